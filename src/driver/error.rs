//! The errors of the adapters: those of the core, and failures of the transport.

use std::boxed::Box;
use std::fmt;
use std::io;

use crate::error::{HandshakeError, ProtocolError, ProxyError, SendError, is_transient};
use crate::http::Response;

/// Why an adapter could not go on.
///
/// To connect takes up to five steps: the name, TCP, the proxy, TLS, HTTP. The error says which of them failed. They
/// share one time limit; if it is over, the error of the step at hand has [`TimedOut`](io::ErrorKind::TimedOut).
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The name of the server has no address, or could not be looked up.
    Name(io::Error),
    /// No address of the server could be connected to. This is the error of the last one.
    Connect(io::Error),
    /// The proxy could not be reached, or the transport to it failed before there was a tunnel.
    ProxyIo(io::Error),
    /// The proxy opened no tunnel.
    Proxy(ProxyError),
    /// The HTTP proxy opened no tunnel, and answered this, without its body.
    ProxyRefused(Box<Response>),
    /// There is no TLS session with the server.
    Tls(TlsError),
    /// The transport failed.
    Io(io::Error),
    /// The peer broke the protocol. A Close frame that says so has been queued.
    Protocol(ProtocolError),
    /// The opening handshake failed: the step of HTTP.
    Handshake(HandshakeError),
    /// The server refused the opening handshake with this answer.
    Refused(Box<Response>),
    /// The caller asked to send something that cannot be sent.
    Send(SendError),
    /// The peer gave no sign of life after a Ping (§5.5.2).
    PongTimeout,
    /// The peer took nothing of what waited for it during [`Config::stall_timeout`](crate::Config::stall_timeout).
    StallTimeout,
    /// The time limit that the caller gave is over. Nothing is lost, and the call can be made again.
    TimedOut,
}

impl Error {
    /// Whether connecting again later may help: the transport failed or was too slow, or the server was not ready (5xx,
    /// 408, 421, 425, 429). False for mistakes of the caller or the peer.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Io(_) | Error::Name(_) | Error::Connect(_) | Error::ProxyIo(_) => true,
            Error::PongTimeout | Error::StallTimeout | Error::TimedOut => true,
            Error::Proxy(error) => error.is_transient(),
            Error::Tls(error) => matches!(error, TlsError::Io(_)),
            Error::Handshake(error) => matches!(error, HandshakeError::TimedOut | HandshakeError::UnexpectedEof),
            Error::Refused(response) | Error::ProxyRefused(response) => is_transient(response.status),
            Error::Protocol(_) | Error::Send(_) => false,
        }
    }

    /// Whether the connection is closing or closed, so that nothing can be sent any more. This is the ordinary end of a
    /// loop that sends. [`closed`](crate::Connection::closed) says how the connection ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Error::Send(SendError::Closed))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text does not repeat that of `source`.
        match self {
            Error::Name(_) => f.write_str("name lookup failed"),
            Error::Connect(_) => f.write_str("cannot connect"),
            Error::ProxyIo(_) => f.write_str("cannot reach the proxy"),
            Error::Proxy(_) => f.write_str("proxy opened no tunnel"),
            Error::ProxyRefused(response) => write!(f, "proxy refused with status {}", response.status),
            Error::Tls(_) => f.write_str("TLS failed"),
            Error::Io(_) => f.write_str("transport failed"),
            Error::Protocol(_) => f.write_str("peer broke the protocol"),
            Error::Handshake(_) => f.write_str("opening handshake failed"),
            Error::Refused(response) => write!(f, "server refused with status {}", response.status),
            Error::Send(_) => f.write_str("cannot send"),
            Error::PongTimeout => f.write_str("no answer to a ping in time"),
            Error::StallTimeout => f.write_str("peer took nothing of what waited for it in time"),
            Error::TimedOut => f.write_str("time given by the caller is over"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Name(error) | Error::Connect(error) | Error::ProxyIo(error) | Error::Io(error) => Some(error),
            Error::Proxy(error) => Some(error),
            Error::Tls(error) => Some(error),
            Error::Protocol(error) => Some(error),
            Error::Handshake(error) => Some(error),
            Error::Send(error) => Some(error),
            Error::Refused(_) | Error::ProxyRefused(_) => None,
            Error::PongTimeout | Error::StallTimeout | Error::TimedOut => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error)
    }
}

impl From<ProxyError> for Error {
    fn from(error: ProxyError) -> Error {
        Error::Proxy(error)
    }
}

impl From<TlsError> for Error {
    fn from(error: TlsError) -> Error {
        Error::Tls(error)
    }
}

impl From<ProtocolError> for Error {
    fn from(error: ProtocolError) -> Error {
        Error::Protocol(error)
    }
}

impl From<HandshakeError> for Error {
    fn from(error: HandshakeError) -> Error {
        Error::Handshake(error)
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Error {
        Error::Send(error)
    }
}

/// Why there is no TLS session with the server. What rustls says about it is the source.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The server's certificate is not valid for its name, or not now, or nobody that we trust has signed it.
    Certificate(Box<dyn std::error::Error + Send + Sync>),
    /// RFC 7301: the server speaks another protocol than `http/1.1` on this port, such as HTTP/2 alone.
    Alpn,
    /// One of the two broke the rules of TLS, or they have no version or cipher in common.
    Protocol(Box<dyn std::error::Error + Send + Sync>),
    /// This end has no TLS: no certificate to trust, no provider of cryptography, or a name that no certificate can
    /// have.
    Setup(Box<dyn std::error::Error + Send + Sync>),
    /// The transport failed or ended during the handshake, or the time was over.
    Io(io::Error),
}

impl From<io::Error> for TlsError {
    fn from(error: io::Error) -> TlsError {
        TlsError::Io(error)
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsError::Certificate(_) => "the server's certificate is not valid",
            TlsError::Alpn => "the server does not speak http/1.1 here",
            TlsError::Protocol(_) => "the handshake broke off",
            TlsError::Setup(_) => "TLS cannot be set up",
            TlsError::Io(_) => "transport failed during the handshake",
        })
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TlsError::Certificate(error) | TlsError::Protocol(error) | TlsError::Setup(error) => Some(&**error),
            TlsError::Io(error) => Some(error),
            TlsError::Alpn => None,
        }
    }
}

/// Two halves that are not of the same WebSocket. They are unchanged.
pub struct ReuniteError<R, S>(pub R, pub S);

impl<R, S> fmt::Debug for ReuniteError<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReuniteError(..)")
    }
}

impl<R, S> fmt::Display for ReuniteError<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of one WebSocket")
    }
}

impl<R, S> std::error::Error for ReuniteError<R, S> {}
