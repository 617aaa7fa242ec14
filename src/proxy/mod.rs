//! Proxies (RFC 9110 §9.3.6, RFC 1928): which one a client asks for a tunnel to its server, and the conversation that
//! opens the tunnel, without IO. This module knows nothing of WebSockets: a proxy learns the server's name and port, and
//! nothing of the request.

#[cfg(feature = "proxy-env")]
mod env;
mod http;
mod socks;

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

#[cfg(feature = "proxy-env")]
pub(crate) use env::find as from_environment;

use crate::error::{HandshakeError, ProxyError, UriPart};
use crate::handshake::{Authority, HandshakeConfig, Uri};
use crate::http::Response;
use http::Connect;
use socks::Socks;

/// A proxy through which a client connects, for [`Client::proxy`](crate::Client::proxy).
///
/// Its URI is `http://`, `socks5h://` or `socks5://`, then `name:password@` if it wants to know who asks, and its host
/// and port. Without a port it is 80 for `http` and 1080 for the others.
///
/// - `http`: an HTTP proxy, which is asked with CONNECT, for `ws://` and `wss://` alike. Name and password are sent as
///   Basic authentication (RFC 7617), in the clear.
/// - `socks5h`: a SOCKS5 proxy, which looks up the server's name.
/// - `socks5`: a SOCKS5 proxy, which is told the first address that this machine has for the name.
///
/// `Display` and `Debug` show no name and no password.
///
/// ```
/// use openline::Proxy;
///
/// let proxy: Proxy = "socks5h://me:secret@[::1]:9050".parse()?;
/// assert_eq!((proxy.host(), proxy.port()), ("::1", 9050));
/// assert_eq!(proxy.to_string(), "socks5h://[::1]:9050");
/// # Ok::<(), openline::HandshakeError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    scheme: Scheme,
    /// `name:password`, as it stands in the URI.
    userinfo: Option<String>,
    /// The host as it stands in an authority: an IPv6 address has its brackets.
    host: String,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    /// The proxy gets an address.
    Socks5,
    /// The proxy gets a name.
    Socks5h,
}

impl Proxy {
    /// The host of the proxy. An IPv6 address has no brackets here.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port of the proxy.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the proxy looks up the server's name. If not, an adapter does, and tells the [`Tunnel`] the address.
    #[must_use]
    pub fn looks_up_names(&self) -> bool {
        self.scheme != Scheme::Socks5
    }
}

impl FromStr for Proxy {
    type Err = HandshakeError;

    fn from_str(text: &str) -> Result<Proxy, HandshakeError> {
        let invalid = |part, at| HandshakeError::UriInvalid { part, at };
        let (scheme, rest) = text.split_once("://").ok_or(invalid(UriPart::Scheme, 0))?;
        let is = |known: &str| scheme.eq_ignore_ascii_case(known);
        let start = text.len().saturating_sub(rest.len());
        let (scheme, default_port) = match () {
            () if is("http") => (Scheme::Http, 80),
            () if is("socks5h") => (Scheme::Socks5h, 1080),
            () if is("socks5") => (Scheme::Socks5, 1080),
            () => return Err(invalid(UriPart::Scheme, 0)),
        };
        // The one path that is no path: other programs write proxies with it.
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if let Some(at) = authority.find(['/', '?', '#', '\\']) {
            return Err(invalid(UriPart::Path, start.saturating_add(at)));
        }
        let Authority { userinfo, host, port } = Authority::parse(authority, start)?;
        let userinfo = userinfo.filter(|userinfo| !userinfo.is_empty()).map(ToOwned::to_owned);
        if scheme != Scheme::Http && userinfo.as_deref().is_some_and(|userinfo| !socks::fits(userinfo)) {
            return Err(invalid(UriPart::Userinfo, start));
        }
        Ok(Proxy { scheme, userinfo, host, port: port.unwrap_or(default_port) })
    }
}

/// `Display` leaves out the userinfo, which is secret.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Socks5 => "socks5",
            Scheme::Socks5h => "socks5h",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// The conversation with a proxy, without IO: from a transport that is connected to the proxy, to one that is connected
/// to the server. [`Client::tunnel`](crate::Client::tunnel) makes one.
///
/// Write what [`next_transmit`](Self::next_transmit) has, give what was read to [`receive`](Self::receive), and go on
/// until it says that the tunnel is open. There is no clock in here: the adapter ends the conversation when
/// [`Client::timeout`](crate::Client::timeout) is over.
///
/// ```
/// use openline::{Client, ClientRequest, ProxyError};
///
/// let client = Client::new(ClientRequest::new("ws://example.com/chat")?).proxy("http://proxy:3128".parse()?);
/// let mut tunnel = client.tunnel(None).unwrap();
/// let asked = tunnel.next_transmit().to_vec();
/// assert_eq!(asked, b"CONNECT example.com:80 HTTP/1.1\r\nHost: example.com:80\r\n\r\n");
/// tunnel.handle_transmitted(asked.len());
/// let mut input = &b"HTTP/1.1 200 OK\r\n\r\nof the server"[..];
/// assert_eq!(tunnel.receive(&mut input), Ok(true));
/// assert_eq!(input, b"of the server");
/// # Ok::<(), openline::HandshakeError>(())
/// ```
#[derive(Debug)]
pub struct Tunnel {
    /// What waits to be written.
    out: Out,
    talk: Talk,
}

#[derive(Debug)]
enum Talk {
    Http(Box<Connect>),
    Socks(Socks),
}

/// Bytes to be written, of which the first `sent` have been.
#[derive(Default)]
struct Out {
    bytes: Vec<u8>,
    sent: usize,
}

/// `Debug` shows no byte, since there may be a password.
impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes sent", self.sent, self.bytes.len())
    }
}

impl Tunnel {
    /// A tunnel to the server of `uri`. `address` is the server's, for a proxy that is told one.
    pub(crate) fn new(proxy: &Proxy, uri: &Uri, address: Option<IpAddr>, config: &HandshakeConfig) -> Tunnel {
        let mut out = Out::default();
        let userinfo = proxy.userinfo.as_deref();
        let talk = match proxy.scheme {
            Scheme::Http => Talk::Http(Box::new(Connect::new(userinfo, uri, config, &mut out.bytes))),
            Scheme::Socks5 | Scheme::Socks5h => Talk::Socks(Socks::new(userinfo, uri, address, &mut out.bytes)),
        };
        Tunnel { out, talk }
    }

    /// Takes what the proxy has sent off the front of `input`. Returns true once the tunnel is open. What is left of
    /// `input` then comes from the server.
    ///
    /// # Errors
    ///
    /// There is no tunnel, and the transport is to be closed.
    pub fn receive(&mut self, input: &mut &[u8]) -> Result<bool, ProxyError> {
        match &mut self.talk {
            Talk::Http(connect) => connect.receive(input),
            Talk::Socks(socks) => socks.receive(input, &mut self.out.bytes),
        }
    }

    /// What to write next; empty if nothing waits.
    #[must_use]
    pub fn next_transmit(&self) -> &[u8] {
        self.out.bytes.get(self.out.sent..).unwrap_or_default()
    }

    /// The transport took `len` bytes of [`next_transmit`](Self::next_transmit).
    pub fn handle_transmitted(&mut self, len: usize) {
        self.out.sent = self.out.sent.saturating_add(len);
        if self.out.sent >= self.out.bytes.len() {
            self.out = Out::default();
        }
    }

    /// The answer of an HTTP proxy that refused, without its body. It is taken out once.
    #[must_use]
    pub fn take_response(&mut self) -> Option<Box<Response>> {
        match &mut self.talk {
            Talk::Http(connect) => connect.take_response(),
            Talk::Socks(_) => None,
        }
    }
}
