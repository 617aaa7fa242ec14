//! What the peer did wrong, before the connection was open or after.

use core::fmt;

use super::{HandshakeError, ProtocolError};

/// The peer is at fault: the opening handshake failed, or a rule of the protocol was broken.
///
/// What to answer is queued when this is returned, and no later input is looked at; each
/// later call to receive returns the same fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The opening handshake failed (§4).
    Opening(HandshakeError),
    /// The peer broke the protocol (§7.1.7).
    Protocol(ProtocolError),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Opening(_) => "opening handshake failed",
            Fault::Protocol(_) => "peer broke the protocol",
        })
    }
}

impl core::error::Error for Fault {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(match self {
            Fault::Opening(error) => error,
            Fault::Protocol(error) => error,
        })
    }
}

impl From<HandshakeError> for Fault {
    fn from(error: HandshakeError) -> Fault {
        Fault::Opening(error)
    }
}

impl From<ProtocolError> for Fault {
    fn from(error: ProtocolError) -> Fault {
        Fault::Protocol(error)
    }
}
