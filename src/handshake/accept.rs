//! §4.2.2: makes the answer of a server that accepts a request, as a value.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::{HandshakeConfig, key};
use crate::error::HandshakeError;
use crate::http::{Accept, Choice, Headers, Request, Response};
use crate::upgrade::{Agreement, Upgrade};

impl HandshakeConfig {
    /// Accepts a request that has been [judged](Self::judge): the 101, or the 200 to an extended
    /// CONNECT, and the upgrade for the connection.
    pub(crate) fn accept(&self, request: &Request, answer: &Accept) -> Result<(Response, Upgrade), HandshakeError> {
        let mut headers = Headers::with_capacity(8, USUAL_BYTES);
        let status = match request.protocol {
            // RFC 8441 §5: no Key is answered there, and RFC 9113 §8.2.2 forbids the other two.
            Some(_) => 200,
            None => {
                let key = request.headers.get("Sec-WebSocket-Key").unwrap_or_default();
                headers.set("Upgrade", "websocket");
                headers.set("Connection", "Upgrade");
                headers.set("Sec-WebSocket-Accept", key::accept(key.as_bytes()));
                101
            }
        };
        let agreement = self.agree(request, answer, &mut headers)?;
        Ok((Response { status, headers, body: Vec::new() }, Upgrade::server(agreement)))
    }

    /// Decides on what the two ends negotiate in every version of HTTP, and adds it to the answer's
    /// headers.
    pub(super) fn agree(
        &self,
        request: &Request,
        answer: &Accept,
        headers: &mut Headers,
    ) -> Result<Agreement, HandshakeError> {
        let subprotocol = match &answer.subprotocol {
            Choice::None => None,
            Choice::Configured => {
                request.subprotocols().find(|offer| self.subprotocols.iter().any(|ours| ours == offer))
            }
            // §4.2.2: "if the client did not offer it, the server MUST NOT choose it".
            Choice::This(name) if !request.subprotocols().any(|offer| offer == name) => {
                return Err(HandshakeError::SubprotocolNotOffered);
            }
            Choice::This(name) => Some(name.as_str()),
        };
        if let Some(subprotocol) = subprotocol {
            headers.set("Sec-WebSocket-Protocol", subprotocol);
        }
        let mut agreement = Agreement { subprotocol: subprotocol.map(ToString::to_string), ..Agreement::default() };
        if !answer.uncompressed
            && let Some(extensions) = self.accept_extensions(&request.headers, &mut agreement)
        {
            headers.set("Sec-WebSocket-Extensions", extensions);
        }
        headers.extend(&answer.headers);
        Ok(agreement)
    }
}

/// Enough bytes for the names and values of a usual 101 with a subprotocol and permessage-deflate.
const USUAL_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// An agreement needs none of the fields that only HTTP/1.1 needs for the upgrade.
    #[test]
    fn an_agreement_is_made_for_any_version_of_http() {
        let mut request = Request::extended_connect("/", "websocket");
        request.headers.append("Sec-WebSocket-Protocol", "a, b").unwrap();
        let config = HandshakeConfig { subprotocols: ["b".into()].into(), ..Default::default() };
        let mut headers = Headers::new();
        let agreement = config.agree(&request, &Accept::default().header("A", "1").unwrap(), &mut headers).unwrap();
        assert_eq!(agreement.subprotocol.as_deref(), Some("b"));
        let headers: Vec<_> = headers.iter().collect();
        assert_eq!(headers, [("Sec-WebSocket-Protocol", &b"b"[..]), ("A", b"1")]);
    }
}
