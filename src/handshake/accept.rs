//! §4.2.2: the answer of a server that accepts, as a value.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::judge::is_websocket_field;
use super::{HandshakeConfig, key};
use crate::error::HandshakeError;
use crate::http::{Headers, Request, Response, is_framing};
use crate::upgrade::{Agreement, Upgrade};

/// How a server accepts a request. The default takes the first of the subprotocols offered that
/// [`HandshakeConfig::subprotocols`] has, compresses as [`HandshakeConfig`] says, and sends no
/// headers of its own.
///
/// `Debug` shows the lengths of the subprotocol and of the header values.
///
/// ```
/// use openline::Accept;
///
/// let answer = Accept::default().subprotocol("chat.v2").header("Set-Cookie", "seen=1")?.uncompressed();
/// # Ok::<(), openline::HandshakeError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Accept {
    subprotocol: Choice,
    headers: Headers,
    uncompressed: bool,
}

/// Which subprotocol.
#[derive(Clone, Default, PartialEq, Eq)]
enum Choice {
    /// The first offered one that the configuration has, if any.
    #[default]
    Configured,
    None,
    This(String),
}

impl Accept {
    /// Chooses this subprotocol, whatever the configuration says. The client must have offered
    /// it: otherwise [`ServerHandshake::accept`](crate::ServerHandshake::accept) fails.
    #[must_use]
    pub fn subprotocol(mut self, name: &str) -> Accept {
        self.subprotocol = Choice::This(name.into());
        self
    }

    /// Chooses no subprotocol, whatever the client offers.
    #[must_use]
    pub fn no_subprotocol(mut self) -> Accept {
        self.subprotocol = Choice::None;
        self
    }

    /// Adds a header to the answer.
    ///
    /// # Errors
    ///
    /// As [`Headers::append`]; [`HandshakeError::HeaderReserved`] for Upgrade, Connection,
    /// Content-Length, Transfer-Encoding and all that begin with `Sec-WebSocket-`, which the
    /// handshake sets itself.
    pub fn header(mut self, name: &str, value: &str) -> Result<Accept, HandshakeError> {
        if is_framing(name) || is_websocket_field(name) || name.eq_ignore_ascii_case("Upgrade") {
            return Err(HandshakeError::HeaderReserved);
        }
        self.headers.append(name, value)?;
        Ok(self)
    }

    /// Accepts no compression on this connection, whatever the client offers and the
    /// configuration says.
    #[must_use]
    pub fn uncompressed(mut self) -> Accept {
        self.uncompressed = true;
        self
    }
}

/// Headers may hold cookies, and a subprotocol is at times used to carry a token.
impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Accept");
        match &self.subprotocol {
            Choice::Configured => shown.field("subprotocol", &format_args!("configured")),
            Choice::None => shown.field("subprotocol", &format_args!("none")),
            Choice::This(name) => shown.field("subprotocol", &format_args!("{} bytes", name.len())),
        };
        shown.field("headers", &self.headers).field("uncompressed", &self.uncompressed).finish()
    }
}

impl HandshakeConfig {
    /// Accepts a request of HTTP/1.1 that has been [judged](Self::judge): the 101, and the upgrade
    /// for the connection.
    pub(super) fn accept(&self, request: &Request, answer: &Accept) -> Result<(Response, Upgrade), HandshakeError> {
        let mut headers = Headers::with_capacity(8, USUAL_BYTES);
        let key = request.headers.get("Sec-WebSocket-Key").unwrap_or_default();
        headers.set("Upgrade", "websocket");
        headers.set("Connection", "Upgrade");
        headers.set("Sec-WebSocket-Accept", key::accept(key.as_bytes()));
        let agreement = self.agree(request, answer, &mut headers)?;
        Ok((Response { status: 101, headers, body: Vec::new() }, Upgrade::server(agreement)))
    }

    /// Decides what the two ends negotiate, in every version of HTTP, and adds it to the answer's
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

/// The names and values of a usual 101, with a subprotocol and permessage-deflate.
const USUAL_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn debug_shows_lengths() {
        let answer = Accept::default().subprotocol("secret").header("Set-Cookie", "secret=1").unwrap();
        let shown = r#"Accept { subprotocol: 6 bytes, headers: {"Set-Cookie": 8 bytes}, uncompressed: false }"#;
        assert_eq!(format!("{answer:?}"), shown);
        let shown = "Accept { subprotocol: none, headers: {}, uncompressed: true }";
        assert_eq!(format!("{:?}", Accept::default().no_subprotocol().uncompressed()), shown);
    }

    /// What both ends negotiate needs none of the fields of HTTP/1.1's upgrade.
    #[test]
    fn an_agreement_is_made_for_any_version_of_http() {
        let mut request =
            Request { method: "CONNECT".into(), target: "/".into(), headers: Headers::new(), version: (2, 0) };
        request.headers.append("Sec-WebSocket-Protocol", "a, b").unwrap();
        let config = HandshakeConfig { subprotocols: ["b".into()].into(), ..Default::default() };
        let mut headers = Headers::new();
        let agreement = config.agree(&request, &Accept::default().header("A", "1").unwrap(), &mut headers).unwrap();
        assert_eq!(agreement.subprotocol.as_deref(), Some("b"));
        let headers: Vec<_> = headers.iter().collect();
        assert_eq!(headers, [("Sec-WebSocket-Protocol", &b"b"[..]), ("A", b"1")]);
    }
}
