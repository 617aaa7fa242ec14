//! §4.1: the rules by which a client judges the answer to its request. The answer is a value, as
//! the request is for the server's rules.

use alloc::string::String;

use super::HandshakeConfig;
use crate::error::HandshakeError;
use crate::http::{Headers, Response};
use crate::upgrade::Agreement;

/// What a client remembers of its request, to judge the answer by.
pub(super) struct Offered<'a> {
    /// The value of Sec-WebSocket-Accept that answers its key.
    pub(super) accept: &'a str,
    pub(super) subprotocols: &'a [String],
}

impl HandshakeConfig {
    /// Judges the answer of HTTP/1.1 to a request for an upgrade, in the RFC's order.
    pub(super) fn confirm(&self, response: &Response, offered: &Offered<'_>) -> Result<Agreement, HandshakeError> {
        // §4.1, 1: "If the status code received from the server is not 101".
        if response.status != 101 {
            return Err(HandshakeError::Refused { status: response.status });
        }
        check_switch(&response.headers, offered.accept)?;
        self.confirm_choice(&response.headers, offered.subprotocols)
    }

    /// Judges what the server has chosen of the client's offers, in every version of HTTP.
    pub(super) fn confirm_choice(
        &self,
        headers: &Headers,
        subprotocols: &[String],
    ) -> Result<Agreement, HandshakeError> {
        let mut agreement = Agreement::default();
        self.confirm_extensions(headers, &mut agreement)?;
        if headers.contains("Sec-WebSocket-Protocol") {
            let chosen = headers.only("Sec-WebSocket-Protocol");
            let offered = chosen.and_then(|chosen| subprotocols.iter().find(|offer| offer.as_bytes() == chosen));
            agreement.subprotocol = Some(offered.ok_or(HandshakeError::SubprotocolNotOffered)?.clone());
        }
        Ok(agreement)
    }
}

/// §4.1, 2 to 4: what HTTP/1.1 says when it changes to another protocol.
fn check_switch(headers: &Headers, accept: &str) -> Result<(), HandshakeError> {
    // "lacks an |Upgrade| header field or [it] contains a value that is not an ASCII
    // case-insensitive match for the value "websocket"": nothing else may stand beside it.
    let mut protocols = headers.list("Upgrade").peekable();
    if protocols.peek().is_none() || !protocols.all(|protocol| protocol.eq_ignore_ascii_case(b"websocket")) {
        return Err(HandshakeError::UpgradeInvalid);
    }
    // "doesn't contain a token": others may stand beside it.
    if !headers.list("Connection").any(|token| token.eq_ignore_ascii_case(b"upgrade")) {
        return Err(HandshakeError::ConnectionInvalid);
    }
    match headers.only("Sec-WebSocket-Accept") == Some(accept.as_bytes()) {
        true => Ok(()),
        false => Err(HandshakeError::AcceptInvalid),
    }
}
