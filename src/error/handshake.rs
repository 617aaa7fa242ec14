//! The opening handshake failed (§4).

/// Placeholder
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeError {}

impl core::fmt::Display for HandshakeError {
    fn fmt(&self, _: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {}
    }
}
impl core::error::Error for HandshakeError {}
