//! An HTTP request as a value.

use alloc::string::String;
use core::fmt;

use super::headers::Headers;
use crate::error::HandshakeError;

/// An HTTP request, for an application to decide on: one that asks for a WebSocket, or, in
/// [`HandshakeConfig::on_plain_request`](crate::HandshakeConfig::on_plain_request), any other.
///
/// `Debug` shows the names of the headers, and only the lengths of their values and of the target: each may
/// hold a password or a token.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The method. A request for a WebSocket has `GET`, and over HTTP/2 and HTTP/3 `CONNECT`.
    pub method: String,
    /// The request target as it was sent: mostly a path and a query; `*` in an OPTIONS request
    /// for the whole server. In HTTP/2 and HTTP/3 it is the URI that `:scheme`, `:authority` and
    /// `:path` make.
    pub target: String,
    /// The header fields.
    pub headers: Headers,
    /// The version of HTTP, major and minor. HTTP/1.0 knows no upgrade and no Host; from HTTP/2 on
    /// a WebSocket is asked for with an extended CONNECT.
    pub version: (u8, u8),
    /// The `:protocol` of an extended CONNECT (RFC 8441 §4, RFC 9220 §3). `None` in every other
    /// request, a CONNECT to a proxy among them.
    pub protocol: Option<String>,
}

impl Request {
    /// A request of HTTP/1.1, without headers: for a server that has its requests from another
    /// HTTP library, see [`Server::answer`](crate::Server::answer).
    #[must_use]
    pub fn new(method: &str, target: &str) -> Request {
        let (method, target, headers) = (method.into(), target.into(), Headers::new());
        Request { method, target, headers, version: (1, 1), protocol: None }
    }

    /// An extended CONNECT of HTTP/2 (RFC 8441 §4), without headers. `target` is a URI, such as
    /// `https://example.com/chat`, or its path and query alone; `protocol` is the `:protocol`.
    /// For HTTP/3 (RFC 9220) the `version` is to be set.
    #[must_use]
    pub fn extended_connect(target: &str, protocol: &str) -> Request {
        Request { version: (2, 0), protocol: Some(protocol.into()), ..Request::new("CONNECT", target) }
    }

    /// Adds a header.
    ///
    /// # Errors
    ///
    /// As [`Headers::append`].
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Request, HandshakeError> {
        self.headers.append(name, value)?;
        Ok(self)
    }

    /// The path of the target, without the query. Percent-encoding is left as it is.
    #[must_use]
    pub fn path(&self) -> &str {
        self.split_target().0
    }

    /// The part of the target behind the `?`, if there is one.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.split_target().1
    }

    /// The host that the client asked for, and its port if the client sent one. It is empty if the client
    /// sent an empty one.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        // RFC 9112 §3.2.2: if the target has an authority, a server "MUST ignore the received Host header field".
        match split_absolute(&self.target) {
            Some((authority, _)) => Some(authority),
            None => self.headers.get("Host"),
        }
    }

    /// The origin of the page that opens the connection (RFC 6455 §10.2). A browser always sends the true
    /// origin; any other program can send any origin.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.headers.get("Origin")
    }

    /// The subprotocols that the client offers, the best one first (RFC 6455 §1.9). In a request for a
    /// WebSocket all of them are tokens, and no two are equal.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
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

/// `Debug` hides the target, whose query may hold a token.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("target", &format_args!("{} bytes", self.target.len()))
            .field("headers", &self.headers)
            .field("version", &self.version)
            .field("protocol", &self.protocol)
            .finish()
    }
}

/// RFC 9112 §3.2.2: the authority of a target in absolute form, and what follows it. `None` for any other target.
pub(crate) fn split_absolute(target: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    if !["http", "https", "ws", "wss"].iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
        return None;
    }
    Some(rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn request(target: &str) -> Request {
        let mut headers = Headers::new();
        headers.append("Host", "header").unwrap();
        Request { headers, ..Request::new("GET", target) }
    }

    #[test]
    fn the_host_of_the_target_wins() {
        for (target, host, path, query) in [
            ("/a?b", "header", "/a", Some("b")),
            ("/a?u=http://x/y", "header", "/a", Some("u=http://x/y")),
            ("http://x:1/a?b", "x:1", "/a", Some("b")),
            ("WS://x", "x", "/", None),
            ("ws://x?b", "x", "/", Some("b")),
            ("*", "header", "*", None),
        ] {
            let request = request(target);
            assert_eq!((request.host(), request.path(), request.query()), (Some(host), path, query), "{target}");
        }
    }

    #[test]
    fn debug_shows_lengths() {
        let mut request = request("/?token=secret");
        request.headers.append("Cookie", "secret").unwrap();
        assert_eq!(
            format!("{request:?}"),
            r#"Request { method: "GET", target: 14 bytes, headers: {"Host": 6 bytes, "Cookie": 6 bytes}, version: (1, 1), protocol: None }"#
        );
    }
}
