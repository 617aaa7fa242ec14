//! §4.1: the rules by which a client judges the answer to its request. The answer is a value, not bytes.

use alloc::string::String;

use super::HandshakeConfig;
use crate::error::HandshakeError;
use crate::http::{Headers, Response};
use crate::upgrade::Agreement;

/// What a client keeps of its request in order to judge the answer.
pub(super) struct Offered<'a> {
    /// The Sec-WebSocket-Accept that belongs to the client's key.
    pub(super) accept: &'a str,
    pub(super) subprotocols: &'a [String],
}

impl HandshakeConfig {
    /// Judges the answer to a request for an upgrade in HTTP/1.1, in the order of the RFC.
    pub(super) fn confirm(&self, response: &Response, offered: &Offered<'_>) -> Result<Agreement, HandshakeError> {
        // §4.1, 1: "If the status code received from the server is not 101".
        if response.status != 101 {
            return Err(HandshakeError::Refused { status: response.status });
        }
        check_switch(&response.headers, offered.accept)?;
        self.confirm_choice(&response.headers, offered.subprotocols)
    }

    /// Judges what the server chose from the client's offers. This is the same in every version of HTTP.
    pub(super) fn confirm_choice(
        &self,
        headers: &Headers,
        subprotocols: &[String],
    ) -> Result<Agreement, HandshakeError> {
        let mut agreement = Agreement::default();
        self.confirm_extensions(headers, &mut agreement)?;
        // §4.1, 6: the server chooses one of the subprotocols that the client offered, or none.
        if headers.contains("Sec-WebSocket-Protocol") {
            let chosen = headers.only("Sec-WebSocket-Protocol");
            let offered = chosen.and_then(|chosen| subprotocols.iter().find(|offer| offer.as_bytes() == chosen));
            agreement.subprotocol = Some(offered.ok_or(HandshakeError::SubprotocolNotOffered)?.clone());
        }
        Ok(agreement)
    }
}

/// §4.1, 2 to 4: judges the fields by which HTTP/1.1 changes to another protocol.
fn check_switch(headers: &Headers, accept: &str) -> Result<(), HandshakeError> {
    // §4.1, 2: "lacks an |Upgrade| header field or [it] contains a value that is not an ASCII
    // case-insensitive match for the value "websocket"". No other value may stand beside it.
    let mut protocols = headers.list("Upgrade").peekable();
    if protocols.peek().is_none() || !protocols.all(|protocol| protocol.eq_ignore_ascii_case(b"websocket")) {
        return Err(HandshakeError::UpgradeInvalid);
    }
    // §4.1, 3: "doesn't contain a token". Other tokens may stand beside it.
    if !headers.list("Connection").any(|token| token.eq_ignore_ascii_case(b"upgrade")) {
        return Err(HandshakeError::ConnectionInvalid);
    }
    // §4.1, 4: Sec-WebSocket-Accept stands there once, and answers our key.
    match headers.only("Sec-WebSocket-Accept") == Some(accept.as_bytes()) {
        true => Ok(()),
        false => Err(HandshakeError::AcceptInvalid),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ClientRequest;
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    /// The request and the answer are values: no byte is written or read.
    #[test]
    fn a_value_is_asked_and_confirmed() {
        let config = HandshakeConfig::default();
        let request = ClientRequest::new("ws://u@h:81/a").unwrap().subprotocol("b").unwrap();
        let asked = request.header("A", "1").unwrap().to_upgrade("key", &config);
        assert_eq!((&asked.method[..], &asked.target[..], asked.version), ("GET", "/a", (1, 1)));
        let fields: Vec<_> = asked.headers.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))).collect();
        assert_eq!(
            fields,
            [
                ("Host", "h:81".into()),
                ("Upgrade", "websocket".into()),
                ("Connection", "Upgrade".into()),
                ("Sec-WebSocket-Key", "key".into()),
                ("Sec-WebSocket-Version", "13".into()),
                ("Sec-WebSocket-Protocol", "b".into()),
                ("Authorization", "Basic dTo=".into()),
                ("A", "1".into()),
            ]
        );

        let mut response = Response { status: 101, headers: Headers::new(), body: Vec::new() };
        for (name, value) in [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", "x")] {
            response.headers.append(name, value).unwrap();
        }
        let offered = Offered { accept: "x", subprotocols: &["b".to_string()] };
        assert_eq!(config.confirm(&response, &offered), Ok(Agreement::default()));
        let other = Offered { accept: "y", ..offered };
        assert_eq!(config.confirm(&response, &other), Err(HandshakeError::AcceptInvalid));
        response.status = 200;
        assert_eq!(config.confirm(&response, &offered), Err(HandshakeError::Refused { status: 200 }));
    }

    /// The server's choice is judged without the fields that only HTTP/1.1 needs for the upgrade.
    #[test]
    fn a_choice_is_judged_alone() {
        let config = HandshakeConfig::default();
        let mut headers = Headers::new();
        headers.append("Sec-WebSocket-Protocol", "b").unwrap();
        let agreement = config.confirm_choice(&headers, &["b".to_string()]).unwrap();
        assert_eq!(agreement.subprotocol.as_deref(), Some("b"));
        assert_eq!(config.confirm_choice(&headers, &[]), Err(HandshakeError::SubprotocolNotOffered));
    }
}
