//! §9.1: extensions. This crate knows one, permessage-deflate, if it is built with that feature.

use alloc::string::String;

use super::HandshakeConfig;
use crate::error::HandshakeError;
use crate::http::Headers;
use crate::upgrade::Agreement;

#[cfg(feature = "deflate")]
use crate::deflate::Deflate;

#[cfg(feature = "deflate")]
impl HandshakeConfig {
    /// The extensions that a client offers.
    pub(super) fn offer_extensions(&self) -> Option<String> {
        if self.deflate.is_empty() { None } else { Some(Deflate::offer(&self.deflate)) }
    }

    /// The extensions that a server accepts, which it adds to the agreement.
    pub(super) fn accept_extensions(&self, request: &Headers, agreement: &mut Agreement) -> Option<String> {
        let (agreed, answer) = self.deflate.first()?.accept(request)?;
        agreement.deflate = Some(agreed);
        Some(answer)
    }

    /// Adds the extensions in a server's answer to the agreement.
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

    /// §4.1, 5: this client offers no extension, so the server may choose none.
    pub(super) fn confirm_extensions(&self, response: &Headers, _: &mut Agreement) -> Result<(), HandshakeError> {
        match super::grammar::extensions(response).next() {
            None => Ok(()),
            Some(_) => Err(HandshakeError::ExtensionNotOffered),
        }
    }
}
