//! §9.1: extensions. The only one is permessage-deflate, if this crate was built with it.

use alloc::string::String;

use super::HandshakeConfig;
use crate::error::HandshakeError;
use crate::http::Headers;
use crate::upgrade::Agreement;

#[cfg(feature = "deflate")]
use crate::deflate::Deflate;

#[cfg(feature = "deflate")]
impl HandshakeConfig {
    /// What a client asks for.
    pub(super) fn offer_extensions(&self) -> Option<String> {
        if self.deflate.is_empty() { None } else { Some(Deflate::offer(&self.deflate)) }
    }

    /// What a server answers to a request, and so agrees to.
    pub(super) fn accept_extensions(&self, request: &Headers, agreement: &mut Agreement) -> Option<String> {
        let (agreed, answer) = self.deflate.first()?.accept(request)?;
        agreement.deflate = Some(agreed);
        Some(answer)
    }

    /// What a client has agreed to with this answer.
    pub(super) fn confirm_extensions(
        &self,
        response: &Headers,
        agreement: &mut Agreement,
    ) -> Result<(), HandshakeError> {
        agreement.deflate = Deflate::confirm(&self.deflate, response)?;
        Ok(())
    }
}

#[cfg(not(feature = "deflate"))]
impl HandshakeConfig {
    pub(super) fn offer_extensions(&self) -> Option<String> {
        None
    }

    pub(super) fn accept_extensions(&self, _: &Headers, _: &mut Agreement) -> Option<String> {
        None
    }

    /// §4.1: none is offered, so none may be chosen.
    pub(super) fn confirm_extensions(&self, response: &Headers, _: &mut Agreement) -> Result<(), HandshakeError> {
        match super::grammar::extensions(response).next() {
            None => Ok(()),
            Some(_) => Err(HandshakeError::ExtensionNotOffered),
        }
    }
}
