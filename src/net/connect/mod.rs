//! Connects to a server: name, TCP, proxy, TLS, HTTP. All steps together have one time limit, and each has its own
//! error.

mod stream;
#[cfg(feature = "rustls-no-provider")]
mod tls;

use std::io::{self, Read, Write};
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
#[cfg(feature = "rustls-no-provider")]
use crate::driver::TlsSession;
use crate::driver::{Error, interleave};
use crate::{Client, ClientRequest, ProxyError, Time, Tunnel};
pub use stream::Stream;

/// Connects to a `ws://` or `wss://` URI with the defaults. For other choices see [`Client`] and [`connect_with`].
///
/// # Errors
///
/// As [`connect_with`].
pub fn connect(uri: &str) -> Result<WebSocket<Stream>, Error> {
    connect_with(&Client::new(ClientRequest::new(uri)?))
}

/// Connects over TCP, with `TCP_NODELAY` set; over TLS for `wss://`, which takes the feature `rustls`; through a proxy
/// if one is [set](Client::proxy). All of it shares [`HandshakeConfig::timeout`](crate::HandshakeConfig::timeout).
///
/// A name is looked up in a thread of its own, since the system's function has no time limit. If the time is over
/// first, the thread runs on until the system answers. If a name has several addresses, IPv6 and IPv4 take turns, and
/// each address gets an equal part of the time that is left.
///
/// The server must have a certificate that the platform trusts (on Unix see also `SSL_CERT_FILE` and `SSL_CERT_DIR`).
/// For other rules bring TLS of your own: see [`connect_tcp`].
///
/// # Errors
///
/// [`Error`] has a variant for each step, and [`Error::Refused`] has the answer of a server that refused. Without the
/// feature a `wss://` URI is [`HandshakeError::TlsUnavailable`](crate::HandshakeError::TlsUnavailable).
pub fn connect_with(client: &Client) -> Result<WebSocket<Stream>, Error> {
    // This comes first: what was meant to be secret is never sent in the clear.
    #[cfg(not(feature = "rustls-no-provider"))]
    if client.request().uri().is_secure() {
        return Err(crate::HandshakeError::TlsUnavailable.into());
    }
    #[cfg(feature = "rustls-no-provider")]
    let session = match client.request().uri() {
        uri if uri.is_secure() => Some(TlsSession::new(uri.host())?),
        _ => None,
    };
    let steps = Steps::new(client);
    let stream = steps.reach(client)?;
    #[cfg(feature = "rustls-no-provider")]
    let stream = match session {
        Some(session) => stream.secure(session, &steps)?,
        None => stream,
    };
    open(client, stream, steps.clock, Time::ZERO)
}

/// Makes the first steps only: name, TCP and proxy. What is left is TLS and HTTP. This is for programs that bring TLS of
/// their own, to trust certificates of their own choice, or to show one: they give a [`Transport`](super::Transport) with
/// TLS to [`connect_on`](super::connect_on). ALPN (RFC 7301) must choose `http/1.1` or nothing.
///
/// # Errors
///
/// [`Error::Name`], [`Error::Connect`], and [`Error::ProxyIo`], [`Error::Proxy`] and [`Error::ProxyRefused`].
pub fn connect_tcp(client: &Client) -> Result<Stream, Error> {
    Steps::new(client).reach(client)
}

/// The time limit of all steps.
struct Steps {
    clock: Clock,
    limit: Duration,
}

impl Steps {
    fn new(client: &Client) -> Steps {
        Steps { clock: Clock::new(), limit: client.timeout() }
    }

    /// The time that is left.
    fn left(&self) -> io::Result<Duration> {
        match self.limit.saturating_sub(self.clock.now().since(Time::ZERO)) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            // No socket takes a shorter timeout than this, nor one of many years.
            left => Ok(left.clamp(LEAST_SHARE, MOST)),
        }
    }

    /// Connects to the server, or through the proxy.
    fn reach(&self, client: &Client) -> Result<Stream, Error> {
        let uri = client.request().uri();
        let server = || self.look_up(uri.host(), uri.port());
        let Some(proxy) = client.proxy_to_use() else {
            let addresses = server().map_err(Error::Name)?;
            return Ok(Stream::plain(self.connect(addresses).map_err(Error::Connect)?, Vec::new()));
        };
        let address = match proxy.looks_up_names() {
            true => None,
            false => server().map_err(Error::Name)?.first().map(SocketAddr::ip),
        };
        let addresses = self.look_up(proxy.host(), proxy.port()).map_err(Error::ProxyIo)?;
        let tcp = self.connect(addresses).map_err(Error::ProxyIo)?;
        let ahead = match client.tunnel(address) {
            Some(tunnel) => self.open_tunnel(tunnel, &tcp)?,
            None => Vec::new(),
        };
        // A program may bring TLS of its own, which knows nothing of these timeouts.
        tcp.set_read_timeout(None).and_then(|()| tcp.set_write_timeout(None)).map_err(Error::ProxyIo)?;
        Ok(Stream::plain(tcp, ahead))
    }

    /// The addresses of a host, in the order in which to try them; at least one.
    fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let (found, wait) = mpsc::channel();
        let host = host.to_string();
        thread::Builder::new().name("openline look-up".into()).spawn(move || {
            let addresses = (host.as_str(), port).to_socket_addrs().map(interleave);
            // If the time is over, nobody waits any more, and this fails.
            let _ = found.send(addresses);
        })?;
        let addresses = wait.recv_timeout(self.left()?).map_err(|_| io::ErrorKind::TimedOut)??;
        if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
    }

    /// Connects to the first of these addresses that works.
    fn connect(&self, addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        let mut untried = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        for address in addresses {
            // An address that never answers must leave time for the others.
            let share = self.left()?.checked_div(untried.max(1)).unwrap_or_default().max(LEAST_SHARE);
            untried = untried.saturating_sub(1);
            match TcpStream::connect_timeout(&address, share) {
                Ok(tcp) => {
                    tcp.set_nodelay(true)?;
                    return Ok(tcp);
                }
                Err(error) => failure = error,
            }
        }
        self.left()?;
        Err(failure)
    }

    /// Talks to a proxy until the tunnel is open. Returns what came behind the proxy's last answer.
    fn open_tunnel(&self, mut tunnel: Tunnel, tcp: &TcpStream) -> Result<Vec<u8>, Error> {
        let mut buffer = [0; 4096];
        loop {
            let bytes = tunnel.next_transmit();
            self.write_all(tcp, bytes).map_err(Error::ProxyIo)?;
            tunnel.handle_transmitted(bytes.len());
            let mut input = self.read(tcp, &mut buffer).map_err(Error::ProxyIo)?;
            if input.is_empty() {
                return Err(ProxyError::UnexpectedEof.into());
            }
            match tunnel.receive(&mut input) {
                Ok(true) => return Ok(input.to_vec()),
                Ok(false) => {}
                Err(error) => return Err(tunnel.take_response().map_or(Error::Proxy(error), Error::ProxyRefused)),
            }
        }
    }

    /// Reads once, while there is time. Returns what came, which is nothing at the end.
    fn read<'b>(&self, mut tcp: &TcpStream, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let len = loop {
            tcp.set_read_timeout(Some(self.left()?))?;
            match tcp.read(buffer) {
                Err(error) if is_over(&error) => {}
                read => break read?,
            }
        };
        Ok(buffer.get(..len).unwrap_or_default())
    }

    /// Writes all, while there is time.
    fn write_all(&self, mut tcp: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            tcp.set_write_timeout(Some(self.left()?))?;
            match tcp.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
                Err(error) if is_over(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether a read or a write has only waited. `TimedOut` is another thing: TCP has given up the peer.
fn is_over(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// An attempt to connect gets at least this time.
const LEAST_SHARE: Duration = Duration::from_millis(10);

/// The longest timeout. Some systems refuse timeouts of many years.
const MOST: Duration = Duration::from_secs(60 * 60 * 24);
