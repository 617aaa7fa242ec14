//! Connecting over TCP: every step of it within one time limit.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::string::ToString;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use super::WebSocket;
use super::open::open;
use super::timeouts::Clock;
use crate::driver::Error;
use crate::{Client, ClientRequest, HandshakeError, Time};

/// Connects to a `ws://` URI, with the defaults. [`Client`] and [`connect_with`] have the choices.
///
/// # Errors
///
/// As [`connect_with`].
pub fn connect(uri: &str) -> Result<WebSocket<TcpStream>, Error> {
    connect_with(&Client::new(ClientRequest::new(uri)?))
}

/// Connects over TCP, with `TCP_NODELAY` set. Looking up the name, connecting and
/// the handshake share [`HandshakeConfig::timeout`](crate::HandshakeConfig::timeout).
///
/// A name is looked up in a thread of its own, since the system's way to do so has no time limit; if time
/// is over first, the thread is left behind until the system answers. Of several addresses each
/// gets its share of the time that is left.
///
/// # Errors
///
/// [`Error::Io`], [`Error::Handshake`], or [`Error::Refused`] with what the server
/// answered instead. A `wss://` URI fails: for TLS, bring your own stream to
/// [`connect_on`](super::connect_on).
pub fn connect_with(client: &Client) -> Result<WebSocket<TcpStream>, Error> {
    let uri = client.request().uri();
    // Never send in the clear what was meant to be secret.
    if uri.is_secure() {
        return Err(HandshakeError::TlsUnavailable.into());
    }
    let clock = Clock::new();
    let left = || match client.timeout().saturating_sub(clock.now().since(Time::ZERO)) {
        Duration::ZERO => Err(HandshakeError::TimedOut),
        left => Ok(left),
    };
    let addresses = look_up(uri.host(), uri.port(), left()?)?;
    let mut failure = Error::from(io::Error::from(io::ErrorKind::NotFound));
    let mut untried = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        // An address that swallows packets leaves time to the others.
        let share = left()?.checked_div(untried.max(1)).unwrap_or_default().max(LEAST_SHARE);
        untried = untried.saturating_sub(1);
        match TcpStream::connect_timeout(&address, share) {
            Ok(io) => {
                io.set_nodelay(true)?;
                return open(client, io, clock, Time::ZERO);
            }
            Err(error) => failure = error.into(),
        }
    }
    left()?;
    Err(failure)
}

/// The addresses of a name, within a time limit that the system's own way does not have.
fn look_up(host: &str, port: u16, left: Duration) -> Result<Vec<SocketAddr>, Error> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (found, wait) = mpsc::channel();
    let host = host.to_string();
    thread::Builder::new().name("openline look-up".into()).spawn(move || {
        let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // Nobody waits any more if time is over.
        let _ = found.send(addresses);
    })?;
    match wait.recv_timeout(left) {
        Ok(addresses) => Ok(addresses?),
        Err(_) => Err(HandshakeError::TimedOut.into()),
    }
}

/// An attempt to connect gets this much at least.
const LEAST_SHARE: Duration = Duration::from_millis(10);
