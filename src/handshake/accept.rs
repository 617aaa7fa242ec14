//! How to accept a request (placeholder of the merge).
use super::fields::Headers;
use crate::error::HandshakeError;
use alloc::string::String;

/// How to accept.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Accept {
    pub(crate) subprotocol: Option<Option<String>>,
    pub(crate) headers: Headers,
}

impl Accept {
    /// Chooses.
    #[must_use]
    pub fn subprotocol(mut self, name: &str) -> Accept {
        self.subprotocol = Some(Some(name.into()));
        self
    }
    /// Adds.
    pub fn header(mut self, name: &str, value: &str) -> Result<Accept, HandshakeError> {
        self.headers.append(name, value)?;
        Ok(self)
    }
}
