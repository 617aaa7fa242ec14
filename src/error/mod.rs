//! Errors, one enum for each culprit: the peer broke the protocol
//! ([`ProtocolError`]), the opening failed ([`HandshakeError`]), the caller asked
//! for what cannot be done ([`SendError`]). The adapters add the

mod handshake;
mod protocol;
mod send;
#[cfg(feature = "std")]
mod transport;

pub use handshake::HandshakeError;
pub use protocol::ProtocolError;
pub use send::SendError;
#[cfg(feature = "std")]
pub use transport::Error;
