//! What the peer did wrong, in the opening handshake or after it.

use core::fmt;

use super::{HandshakeError, ProtocolError};

/// The opening handshake failed, or the peer broke a rule of the protocol.
///
/// When this is returned the answer is already queued. All later input is ignored, and every later call to
/// receive returns the same fault.
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
