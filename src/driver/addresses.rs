//! In what order the addresses of a name are tried.

use std::net::SocketAddr;
use std::vec::Vec;

/// Puts addresses in an order in which IPv6 and IPv4 take turns (RFC 8305 §4), beginning with the family of the first
/// one. Within a family the order stays: the system has sorted them (RFC 6724). So if one family does not work here,
/// every second attempt does.
///
/// ```
/// use std::net::SocketAddr;
/// use openline::driver::interleave;
///
/// let addresses: Vec<SocketAddr> =
///     ["[::1]:80", "[::2]:80", "[::3]:80", "1.1.1.1:80", "2.2.2.2:80"].iter().map(|a| a.parse().unwrap()).collect();
/// let order: Vec<_> = interleave(addresses).iter().map(|a| a.ip().to_string()).collect();
/// assert_eq!(order, ["::1", "1.1.1.1", "::2", "2.2.2.2", "::3"]);
/// ```
#[must_use]
pub fn interleave(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let addresses: Vec<_> = addresses.into_iter().collect();
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut order = Vec::new();
    loop {
        let before = order.len();
        order.extend(one.next());
        order.extend(other.next());
        if order.len() == before {
            return order;
        }
    }
}
