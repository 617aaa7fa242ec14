//! Connects over TCP. All steps together have one time limit.

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

/// Connects to a `ws://` URI with the defaults. For other choices see [`Client`] and [`connect_with`].
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
/// A name is looked up in a thread of its own, since the system's function has no time limit. If the time is over
/// first, the thread runs on until the system answers. If a name has several addresses, each of them gets an equal
/// part of the time that is left.
///
/// # Errors
///
/// [`Error::Io`], [`Error::Handshake`], or [`Error::Refused`] with the answer of a server that refused. A `wss://`
/// URI is an error: for TLS, give a stream that has it to [`connect_on`](super::connect_on).
pub fn connect_with(client: &Client) -> Result<WebSocket<TcpStream>, Error> {
    let uri = client.request().uri();
    // Without TLS a `wss:` URI is an error: what was meant to be secret is never sent in the clear.
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
        // An address that never answers must leave time for the others.
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

/// The addresses of a name, found within a time limit.
fn look_up(host: &str, port: u16, left: Duration) -> Result<Vec<SocketAddr>, Error> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (found, wait) = mpsc::channel();
    let host = host.to_string();
    thread::Builder::new().name("openline look-up".into()).spawn(move || {
        let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // If the time is over, nobody waits any more, and this fails.
        let _ = found.send(addresses);
    })?;
    match wait.recv_timeout(left) {
        Ok(addresses) => Ok(addresses?),
        Err(_) => Err(HandshakeError::TimedOut.into()),
    }
}

/// An attempt to connect gets at least this time.
const LEAST_SHARE: Duration = Duration::from_millis(10);
