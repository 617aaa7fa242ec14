//! Errors, one enum for each cause: the peer broke the protocol ([`ProtocolError`]), the opening handshake failed
//! ([`HandshakeError`]), the caller asked for what cannot be sent ([`SendError`]), a proxy opened no tunnel
//! ([`ProxyError`]). [`Fault`] is one of the first two. The adapters add the failures of the transport.

mod fault;
mod handshake;
mod protocol;
mod proxy;
mod send;

pub use fault::Fault;
pub use handshake::{HandshakeError, UriPart};
pub use protocol::ProtocolError;
pub use proxy::ProxyError;
pub use send::SendError;

/// Whether a server or a proxy that answers with this status may answer otherwise later.
pub(crate) const fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 421 | 425 | 429 | 500..=599)
}
