//! An HTTP response as a value.

use alloc::vec::Vec;
use core::fmt;

use super::headers::Headers;
use crate::error::HandshakeError;

/// An HTTP response: the answer of a server that opens no WebSocket, or any answer that a client received.
///
/// `Debug` shows the names of the headers, and only the lengths of their values and of the body.
///
/// ```
/// use openline::Response;
///
/// let response = Response::new(401).header("WWW-Authenticate", "Bearer")?.body("Who are you?");
/// assert_eq!((response.status, &response.body[..]), (401, &b"Who are you?"[..]));
/// # Ok::<(), openline::HandshakeError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: Headers,
    /// The body. A client keeps only the first [`max_body`](crate::HandshakeConfig::max_body) bytes of it.
    pub body: Vec<u8>,
}

impl Response {
    /// A response without headers and body. Content-Length and Connection are added when it is sent. A
    /// `status` outside 200–599 is sent as 500: 101 is sent only by accepting a request, and no other status
    /// below 200 is a final answer.
    #[must_use]
    pub fn new(status: u16) -> Response {
        Response { status, headers: Headers::new(), body: Vec::new() }
    }

    /// Adds a header.
    ///
    /// # Errors
    ///
    /// As [`Headers::append`]; [`HandshakeError::HeaderReserved`] for Content-Length,
    /// Transfer-Encoding and Connection, which are set when the response is sent.
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
}

/// `Debug` hides the body, which may be secret.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

/// Whether this header says where a message or the connection ends. The application cannot set such headers;
/// they are set when the message is sent.
pub(crate) fn is_framing(name: &str) -> bool {
    ["Content-Length", "Transfer-Encoding", "Connection"].iter().any(|framing| framing.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn debug_shows_lengths() {
        let response = Response::new(401).header("Set-Cookie", "secret").unwrap().body("secret too");
        assert_eq!(
            format!("{response:?}"),
            r#"Response { status: 401, headers: {"Set-Cookie": 6 bytes}, body: 10 bytes }"#
        );
    }
}
