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
        let (status, upgrade) = self.accept_into(request, answer, &mut |name, value| headers.push(name, value))?;
        Ok((Response { status, headers, body: Vec::new() }, upgrade))
    }

    /// As [`accept`](Self::accept), but gives the answer's fields to `add` and returns its status: a server that writes them
    /// at once needs no memory for them. After an error some fields may have been given.
    pub(super) fn accept_into(
        &self,
        request: &Request,
        answer: &Accept,
        add: &mut AddField<'_>,
    ) -> Result<(u16, Upgrade), HandshakeError> {
        let status = match request.protocol {
            // RFC 8441 §5: no Key is answered there, and RFC 9113 §8.2.2 forbids the other two.
            Some(_) => 200,
            None => {
                let key = request.headers.get_all("Sec-WebSocket-Key").next().unwrap_or_default();
                add(b"Upgrade", b"websocket");
                add(b"Connection", b"Upgrade");
                add(b"Sec-WebSocket-Accept", &key::accept(key));
                101
            }
        };
        Ok((status, Upgrade::server(self.agree(request, answer, add)?)))
    }

    /// Decides on what the two ends negotiate in every version of HTTP, and gives it to `add`, for the answer's
    /// headers.
    pub(super) fn agree(
        &self,
        request: &Request,
        answer: &Accept,
        add: &mut AddField<'_>,
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
            add(b"Sec-WebSocket-Protocol", subprotocol.as_bytes());
        }
        let mut agreement = Agreement { subprotocol: subprotocol.map(ToString::to_string), ..Agreement::default() };
        if !answer.uncompressed
            && let Some(extensions) = self.accept_extensions(&request.headers, &mut agreement)
        {
            add(b"Sec-WebSocket-Extensions", extensions.as_ref());
        }
        answer.headers.raw().for_each(|(name, value)| add(name, value));
        Ok(agreement)
    }
}

/// Takes a field of the answer, name and value, which are always valid.
type AddField<'a> = dyn FnMut(&[u8], &[u8]) + 'a;

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
        let answer = Accept::default().header("A", "1").unwrap();
        let agreement = config.agree(&request, &answer, &mut |name, value| headers.push(name, value)).unwrap();
        assert_eq!(agreement.subprotocol.as_deref(), Some("b"));
        let headers: Vec<_> = headers.iter().collect();
        assert_eq!(headers, [("Sec-WebSocket-Protocol", &b"b"[..]), ("A", b"1")]);
    }
}
