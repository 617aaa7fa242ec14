//! The errors of the adapters: those of the core, and failures of the transport.

use std::boxed::Box;
use std::fmt;
use std::io;

use crate::error::{HandshakeError, ProtocolError, SendError};
use crate::http::Response;

/// Why an adapter could not go on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The transport failed.
    Io(io::Error),
    /// The peer broke the protocol. A Close frame that says so has been queued.
    Protocol(ProtocolError),
    /// The opening handshake failed.
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
            Error::Io(_) | Error::PongTimeout | Error::StallTimeout | Error::TimedOut => true,
            Error::Handshake(error) => matches!(error, HandshakeError::TimedOut | HandshakeError::UnexpectedEof),
            Error::Refused(response) => matches!(response.status, 408 | 421 | 425 | 429 | 500..=599),
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
            Error::Io(error) => Some(error),
            Error::Protocol(error) => Some(error),
            Error::Handshake(error) => Some(error),
            Error::Send(error) => Some(error),
            Error::Refused(_) | Error::PongTimeout | Error::StallTimeout | Error::TimedOut => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error)
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
