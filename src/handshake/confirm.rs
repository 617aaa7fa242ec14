//! §4.1: the rules by which a client judges the answer to its request. The answer is a value, not bytes.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::{ClientRequest, HandshakeConfig, key};
use crate::entropy::{Entropy, Seed};
use crate::error::HandshakeError;
use crate::http::{Headers, Request, Response};
use crate::upgrade::{Agreement, Upgrade};

/// What a client remembers of its request, to judge the answer by.
///
/// A client whose HTTP is another library's has it from
/// [`Client::upgrade_request`](crate::Client::upgrade_request) or
/// [`Client::connect_request`](crate::Client::connect_request). `Debug` shows nothing of it.
pub struct PendingUpgrade {
    config: Arc<HandshakeConfig>,
    /// The value of Sec-WebSocket-Accept that answers the key. An extended CONNECT has no key.
    pub(super) accept: Option<[u8; 28]>,
    subprotocols: Vec<String>,
    /// The connection goes on with this generator, so that no random number is used twice.
    entropy: Box<Entropy>,
}

impl PendingUpgrade {
    /// The request of HTTP/1.1 that this client makes, and what judges the answer.
    pub(crate) fn upgrade(
        request: &ClientRequest,
        config: Arc<HandshakeConfig>,
        seed: Seed,
    ) -> (Request, PendingUpgrade) {
        let mut entropy = Box::new(Entropy::new(seed));
        // §4.1: a nonce "selected randomly for each connection".
        let key = key::encode(entropy.nonce());
        let accept = Some(key::accept(key.as_bytes()));
        let asked = request.to_upgrade(&key, &config);
        (asked, PendingUpgrade { config, accept, subprotocols: request.subprotocols.clone(), entropy })
    }

    /// The extended CONNECT that this client makes, and what judges the answer.
    pub(crate) fn connect(
        request: &ClientRequest,
        config: Arc<HandshakeConfig>,
        seed: Seed,
    ) -> (Request, PendingUpgrade) {
        let (entropy, asked) = (Box::new(Entropy::new(seed)), request.to_connect(&config));
        (asked, PendingUpgrade { config, accept: None, subprotocols: request.subprotocols.clone(), entropy })
    }

    /// Judges the final answer to the request; what came before it with a status of 100 to 199
    /// (other than 101) is to be left out. Its body does not matter.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::Refused`] if the server said no, by any status but 101, or but 2xx to an
    /// extended CONNECT. A redirect is a no: its Location is in the headers of `response`. Another
    /// error says what was wrong with a yes. The connection is to be closed then.
    pub fn confirm(self, response: &Response) -> Result<Upgrade, HandshakeError> {
        let agreement =
            self.config.confirm(response, self.accept.as_ref().map(<[u8; 28]>::as_slice), &self.subprotocols)?;
        Ok(Upgrade::client_with(agreement, self.entropy))
    }
}

/// Who knows the answer to the key can take the server's place, and subprotocols may be secret.
impl fmt::Debug for PendingUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingUpgrade").finish_non_exhaustive()
    }
}

impl HandshakeConfig {
    /// Judges the answer to a request for an upgrade, in the RFC's order. `accept` is `None` if
    /// the request was an extended CONNECT.
    fn confirm(
        &self,
        response: &Response,
        accept: Option<&[u8]>,
        subprotocols: &[String],
    ) -> Result<Agreement, HandshakeError> {
        match (accept, response.status) {
            // §4.1, 1: "If the status code received from the server is not 101".
            (Some(accept), 101) => check_switch(&response.headers, accept)?,
            // RFC 8441 §5, RFC 9110 §9.3.6: any status of success answers a CONNECT.
            (None, 200..=299) => {}
            (_, status) => return Err(HandshakeError::Refused { status }),
        }
        self.confirm_choice(&response.headers, subprotocols)
    }

    /// Judges what the server has chosen of the client's offers, in every version of HTTP.
    fn confirm_choice(&self, headers: &Headers, subprotocols: &[String]) -> Result<Agreement, HandshakeError> {
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
fn check_switch(headers: &Headers, accept: &[u8]) -> Result<(), HandshakeError> {
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
    match headers.only("Sec-WebSocket-Accept") == Some(accept) {
        true => Ok(()),
        false => Err(HandshakeError::AcceptInvalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

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
        let subprotocols = ["b".to_string()];
        assert_eq!(config.confirm(&response, Some(b"x"), &subprotocols), Ok(Agreement::default()));
        assert_eq!(config.confirm(&response, Some(b"y"), &subprotocols), Err(HandshakeError::AcceptInvalid));
        assert_eq!(config.confirm(&response, None, &subprotocols), Err(HandshakeError::Refused { status: 101 }));
        response.status = 200;
        assert_eq!(config.confirm(&response, Some(b"x"), &subprotocols), Err(HandshakeError::Refused { status: 200 }));
        // An extended CONNECT needs none of the three fields.
        response.headers = Headers::new();
        assert_eq!(config.confirm(&response, None, &subprotocols), Ok(Agreement::default()));
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
