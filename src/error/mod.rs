//! Errors, one enum for each culprit: the peer broke the protocol
//! ([`ProtocolError`]), the opening failed ([`HandshakeError`]), the caller asked
//! for what cannot be done ([`SendError`]). [`Fault`] is either of the first two.
//! The adapters add the transport's own failures.

mod fault;
mod handshake;
mod protocol;
mod send;

pub use fault::Fault;
pub use handshake::{HandshakeError, UriPart};
pub use protocol::ProtocolError;
pub use send::SendError;
