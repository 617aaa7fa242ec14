//! Errors, one enum for each culprit: the peer broke the protocol
//! ([`ProtocolError`]), the opening failed ([`HandshakeError`]), the caller asked
//! for what cannot be done ([`SendError`]). The adapters add the
//! transport's own failures.

mod handshake;
mod protocol;
mod send;

pub use handshake::{HandshakeError, UriPart};
pub use protocol::ProtocolError;
pub use send::SendError;
