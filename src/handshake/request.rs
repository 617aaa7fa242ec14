//! §4.1: the request of a client as a value: what the application asks for, and what the handshake adds.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::HandshakeConfig;
use super::authority::split_authority;
use super::uri::Uri;
use crate::error::HandshakeError;
use crate::http::{Headers, Request, is_token};

/// What a client asks for: a URI, subprotocols, and headers of its own.
///
/// `Debug` shows no value that may be secret. Of the headers, the path, the query and the subprotocols it
/// shows only lengths or numbers.
///
/// ```
/// use openline::ClientRequest;
///
/// let request = ClientRequest::new("ws://example.com/chat")?
///     .subprotocol("chat.v2")?
///     .subprotocol("chat")?
///     .header("Authorization", "Bearer abc")?;
/// # Ok::<(), openline::HandshakeError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ClientRequest {
    uri: Uri,
    pub(super) subprotocols: Vec<String>,
    headers: Headers,
}

impl ClientRequest {
    /// A request for this URI. [`Uri`] says what may stand in it.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::UriInvalid`] or [`HandshakeError::UriFragment`].
    pub fn new(uri: &str) -> Result<ClientRequest, HandshakeError> {
        Ok(ClientRequest { uri: uri.parse()?, subprotocols: Vec::new(), headers: Headers::new() })
    }

    /// Offers a subprotocol (§1.9), after those that are offered already.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::SubprotocolsInvalid`] if it is not a token or offered already.
    pub fn subprotocol(mut self, name: &str) -> Result<ClientRequest, HandshakeError> {
        if !is_token(name.as_bytes()) || self.subprotocols.iter().any(|other| other == name) {
            return Err(HandshakeError::SubprotocolsInvalid);
        }
        self.subprotocols.push(name.into());
        Ok(self)
    }

    /// Adds a header. A Host or Authorization replaces the one from the URI. Host, Authorization, Origin
    /// and User-Agent are sent once: a later one replaces an earlier one.
    ///
    /// # Errors
    ///
    /// As [`Headers::append`]; [`HandshakeError::HeaderReserved`] for one that the
    /// handshake sets itself; [`HandshakeError::HostInvalid`].
    pub fn header(mut self, name: &str, value: &str) -> Result<ClientRequest, HandshakeError> {
        if is_reserved(name) {
            return Err(HandshakeError::HeaderReserved);
        }
        // RFC 9110 §5.3: only a header whose value is a list may be sent several times.
        if ["Host", "Authorization", "Origin", "User-Agent"].iter().any(|single| single.eq_ignore_ascii_case(name)) {
            self.headers.replace(name, value)?;
        } else {
            self.headers.append(name, value)?;
        }
        if name.eq_ignore_ascii_case("Host") && self.headers.get(name).and_then(split_authority).is_none() {
            return Err(HandshakeError::HostInvalid);
        }
        Ok(self)
    }

    /// The URI of the request.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// §4.1: the request for an upgrade in HTTP/1.1.
    pub(super) fn to_upgrade(&self, key: &str, config: &HandshakeConfig) -> Request {
        let mut headers = Headers::with_capacity(8, USUAL_BYTES);
        if !self.headers.contains("Host") {
            headers.set("Host", self.uri.authority());
        }
        headers.set("Upgrade", "websocket");
        headers.set("Connection", "Upgrade");
        headers.set("Sec-WebSocket-Key", key);
        self.offer(config, &mut headers);
        Request { headers, ..Request::new("GET", self.uri.resource()) }
    }

    /// RFC 8441 §5: the request as an extended CONNECT.
    pub(super) fn to_connect(&self, config: &HandshakeConfig) -> Request {
        let mut headers = Headers::with_capacity(8, USUAL_BYTES);
        self.offer(config, &mut headers);
        let scheme = if self.uri.is_secure() { "https" } else { "http" };
        // RFC 9113 §8.3.1: where there is a Host, it does not differ from `:authority`.
        let authority = self.headers.get("Host").map_or_else(|| self.uri.authority(), ToString::to_string);
        let target = format!("{scheme}://{authority}{}", self.uri.resource());
        Request { headers, ..Request::extended_connect(&target, "websocket") }
    }

    /// Adds the headers that are the same in every version of HTTP, and the application's own.
    pub(super) fn offer(&self, config: &HandshakeConfig, headers: &mut Headers) {
        headers.set("Sec-WebSocket-Version", "13");
        if !self.subprotocols.is_empty() {
            headers.set("Sec-WebSocket-Protocol", self.subprotocols.join(", "));
        }
        if let Some(offers) = config.offer_extensions() {
            headers.set("Sec-WebSocket-Extensions", offers);
        }
        if let Some(authorization) = self.uri.authorization()
            && !self.headers.contains("Authorization")
        {
            headers.set("Authorization", authorization);
        }
        headers.extend(&self.headers);
    }
}

/// `Debug` hides the subprotocols too: some applications send a token as one.
impl fmt::Debug for ClientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientRequest")
            .field("uri", &self.uri)
            .field("subprotocols", &self.subprotocols.len())
            .field("headers", &self.headers)
            .finish()
    }
}

/// Whether the handshake sets this header in a request itself.
fn is_reserved(name: &str) -> bool {
    const RESERVED: [&str; 9] = [
        "Upgrade",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Accept",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
    ];
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}

/// Enough bytes for the names and values of a usual request: 150, and the application's headers.
const USUAL_BYTES: usize = 256;
