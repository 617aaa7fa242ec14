//! The opening handshake failed (§4).

/// Placeholder
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeError {}
