//! An HTTP request and an HTTP response as values.

use alloc::format;
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
        // RFC 9112 §3.2.2: a server "MUST ignore the received Host header field" then.
        match split_absolute(&self.target) {
            Some((authority, _)) => Some(authority),
            None => self.headers.get("Host"),
        }
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
        let target = match split_absolute(&self.target) {
            Some((_, "")) => "/",
            Some((_, rest)) => rest,
            None => &self.target,
        };
        match target.split_once('?') {
            Some((path, query)) => (if path.is_empty() { "/" } else { path }, Some(query)),
            None => (target, None),
        }
    }
}

/// RFC 9112 §3.2.2: authority and path of a target in absolute form.
pub(super) fn split_absolute(target: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    if !["http", "https", "ws", "wss"].iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
        return None;
    }
    Some(rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())))
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
        if is_framing(name) {
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
        let mut response = Response::new(error.status().unwrap_or(400)).body(format!("{error}\n"));
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

    /// The status that is sent.
    pub(super) fn status_sent(&self) -> u16 {
        if (200..600).contains(&self.status) { self.status } else { 500 }
    }

    /// Appends the response as it goes over the wire, the answer to a HEAD without its
    /// body. It is the connection's last.
    pub(super) fn write(&self, out: &mut Vec<u8>, to_head: bool) {
        let status = self.status_sent();
        write_status(out, status);
        // An answer that is passed on was framed for another connection.
        for (name, value) in self.headers.iter().filter(|(name, _)| !is_framing(name)) {
            write_field(out, name, value);
        }
        // RFC 9110 §7.8: who sends Upgrade says so in Connection.
        let upgrade = self.headers.contains("Upgrade");
        write_field(out, "Connection", if upgrade { "Upgrade, close" } else { "close" });
        // RFC 9110 §8.6, §15.3.6, §15.4.5: these have no body.
        let body = if matches!(status, 204 | 205 | 304) { &[] } else { &self.body[..] };
        if !matches!(status, 204 | 304) {
            write_field(out, "Content-Length", body.len().to_string());
        }
        out.extend_from_slice(b"\r\n");
        // RFC 9110 §9.3.2: "the server MUST NOT send content in the response" to HEAD.
        if !to_head {
            out.extend_from_slice(body);
        }
    }
}

/// What says where a message ends: the sending adds it itself.
fn is_framing(name: &str) -> bool {
    ["Content-Length", "Transfer-Encoding", "Connection"].iter().any(|framing| framing.eq_ignore_ascii_case(name))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str) -> Request {
        let mut headers = Headers::new();
        headers.append("Host", "header").unwrap();
        Request { method: "GET".into(), target: target.into(), headers }
    }

    #[test]
    fn the_host_of_the_target_wins() {
        for (target, host, path, query) in [
            ("/a?b", "header", "/a", Some("b")),
            ("/a?u=http://x/y", "header", "/a", Some("u=http://x/y")),
            ("http://x:1/a?b", "x:1", "/a", Some("b")),
            ("WS://x", "x", "/", None),
            ("ws://x?b", "x", "/", Some("b")),
        ] {
            let request = request(target);
            assert_eq!((request.host(), request.path(), request.query()), (Some(host), path, query), "{target}");
        }
    }

    #[test]
    fn an_answer_that_is_passed_on_is_framed_anew() {
        let mut response = Response::new(403).body("no");
        for (name, value) in
            [("content-length", "9"), ("Transfer-Encoding", "chunked"), ("CONNECTION", "x"), ("A", "b")]
        {
            response.headers.append(name, value).unwrap();
        }
        let sent = |to_head| {
            let mut out = Vec::new();
            response.write(&mut out, to_head);
            String::from_utf8(out).unwrap()
        };
        let head = "HTTP/1.1 403 Forbidden\r\nA: b\r\nConnection: close\r\nContent-Length: 2\r\n\r\n";
        assert_eq!((sent(false), sent(true)), (String::from(head) + "no", String::from(head)));
    }
}
