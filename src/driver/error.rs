//! What the adapters add: the transport's own failures.

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
    /// The peer broke the protocol. It has been told so.
    Protocol(ProtocolError),
    /// The opening handshake failed.
    Handshake(HandshakeError),
    /// The server answered the opening handshake with this instead of 101.
    Refused(Box<Response>),
    /// The caller asked for what cannot be sent.
    Send(SendError),
    /// The peer gave no sign of life after a Ping (§5.5.2).
    PongTimeout,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => write!(f, "transport failed: {error}"),
            Error::Protocol(error) => write!(f, "peer broke the protocol: {error}"),
            Error::Handshake(error) => write!(f, "opening handshake failed: {error}"),
            Error::Refused(response) => write!(f, "server answered with status {} instead of 101", response.status),
            Error::Send(error) => write!(f, "cannot send: {error}"),
            Error::PongTimeout => f.write_str("no answer to a ping in time"),
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
            Error::Refused(_) | Error::PongTimeout => None,
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
