//! An HTTP request and an HTTP response as values.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::fields::{Headers, write_field};
use crate::error::HandshakeError;

/// The request that asks for a WebSocket, for an application to decide on.
///
/// It does not say how it came, so that a request of HTTP/2 (RFC 8441) fits as well.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The method: `GET`.
    pub method: String,
    /// The request target as it was sent, mostly a path and a query.
    pub target: String,
    /// The header fields.
    pub headers: Headers,
}

impl Request {
    /// The path of the target, without the query. Percent-encoding is left as it is.
    #[must_use]
    pub fn path(&self) -> &str {
        self.split_target().0
    }

    /// What follows the `?` of the target.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.split_target().1
    }

    /// The host that the client meant, with its port unless that is the default.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.headers.get("Host")
    }

    /// The origin of the page that asks (§10.2). Only browsers can be relied on to
    /// send it, and to tell the truth.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.headers.get("Origin")
    }

    /// The subprotocols that the client offers, the best one first (§1.9).
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        // Checked to be tokens before the application sees the request.
        self.headers.list("Sec-WebSocket-Protocol").filter_map(|token| core::str::from_utf8(token).ok())
    }

    fn split_target(&self) -> (&str, Option<&str>) {
        // RFC 9112 §3.2.2: the absolute form has scheme and host in front of the path.
        let target = match self.target.split_once("://") {
            Some((_, rest)) if !self.target.starts_with('/') => rest.find(['/', '?']).map_or("/", |at| &rest[at..]),
            _ => &self.target,
        };
        match target.split_once('?') {
            Some((path, query)) => (if path.is_empty() { "/" } else { path }, Some(query)),
            None => (target, None),
        }
    }
}

/// An HTTP response: a server's refusal, or any answer that a client got.
///
/// ```
/// use openline::Response;
///
/// let response = Response::new(401).header("WWW-Authenticate", "Bearer")?.body("Who are you?");
/// assert_eq!((response.status, &response.body[..]), (401, &b"Who are you?"[..]));
/// # Ok::<(), openline::HandshakeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: Headers,
    /// The body; of a refusal that was received, the first
    /// [`max_body`](super::HandshakeConfig::max_body) bytes.
    pub body: Vec<u8>,
}

impl Response {
    /// A response without headers and body. Content-Length and Connection are added
    /// when it is sent. A `status` outside 200–599 is sent as 500: 101 is what
    /// accepting sends, and nothing else below 200 is an answer.
    #[must_use]
    pub fn new(status: u16) -> Response {
        Response { status, headers: Headers::new(), body: Vec::new() }
    }

    /// Adds a header.
    ///
    /// # Errors
    ///
    /// As [`Headers::append`]; [`HandshakeError::HeaderReserved`] for those that the
    /// sending adds itself.
    pub fn header(mut self, name: &str, value: &str) -> Result<Response, HandshakeError> {
        let reserved = ["Content-Length", "Transfer-Encoding", "Connection"];
        if reserved.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
            return Err(HandshakeError::HeaderReserved);
        }
        self.headers.append(name, value)?;
        Ok(self)
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Response {
        self.body = body.into();
        self
    }

    /// The answer to a request that failed with `error`.
    pub(super) fn refusal(error: HandshakeError) -> Response {
        let mut response = Response::new(error.status().unwrap_or(400)).body(error.to_string() + "\n");
        let mut add = |name: &str, value: &str| {
            let added = response.headers.append(name, value);
            debug_assert!(added.is_ok(), "a header of our own is valid");
        };
        add("Content-Type", "text/plain; charset=utf-8");
        match error {
            // RFC 9110 §10.2.1.
            HandshakeError::MethodNotGet => add("Allow", "GET"),
            // RFC 9110 §15.5.22, RFC 6455 §4.4: say what would be understood.
            HandshakeError::NotUpgrade | HandshakeError::VersionUnsupported | HandshakeError::VersionMissing => {
                add("Upgrade", "websocket");
                add("Sec-WebSocket-Version", "13");
            }
            _ => {}
        }
        response
    }

    /// Appends the response as it goes over the wire. It is the connection's last.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let status = if (200..600).contains(&self.status) { self.status } else { 500 };
        write_status(out, status);
        self.headers.write(out);
        // RFC 9110 §7.8: who sends Upgrade says so in Connection.
        let upgrade = self.headers.contains("Upgrade");
        write_field(out, "Connection", if upgrade { "Upgrade, close" } else { "close" });
        // RFC 9110 §8.6, §15.4.5: these have no body.
        if !matches!(status, 204 | 304) {
            write_field(out, "Content-Length", self.body.len().to_string());
        }
        out.extend_from_slice(b"\r\n");
        if !matches!(status, 204 | 304) {
            out.extend_from_slice(&self.body);
        }
    }
}

/// Appends a status line.
pub(super) fn write_status(out: &mut Vec<u8>, status: u16) {
    let reason = match status {
        101 => "Switching Protocols",
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        414 => "URI Too Long",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        // RFC 9112 §4: the phrase may be empty, and means nothing.
        _ => "",
    };
    for part in ["HTTP/1.1 ", &status.to_string(), " ", reason, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}
