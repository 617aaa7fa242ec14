//! How a server accepts a request.

use alloc::string::String;
use core::fmt;

use super::{Headers, is_framing, is_websocket_field};
use crate::error::HandshakeError;

/// How a server accepts a request. By default it chooses the first offered subprotocol that
/// [`HandshakeConfig::subprotocols`](crate::HandshakeConfig::subprotocols) has, compresses as
/// [`HandshakeConfig`](crate::HandshakeConfig) says, and sends no headers of its own.
///
/// `Debug` shows only the lengths of the subprotocol and of the header values.
///
/// ```
/// use openline::Accept;
///
/// let answer = Accept::default().subprotocol("chat.v2").header("Set-Cookie", "seen=1")?.uncompressed();
/// # Ok::<(), openline::HandshakeError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Accept {
    pub(crate) subprotocol: Choice,
    pub(crate) headers: Headers,
    pub(crate) uncompressed: bool,
}

/// Which subprotocol the server chooses.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The first offered one that the configuration has, or none if it has none of them.
    #[default]
    Configured,
    None,
    This(String),
}

impl Accept {
    /// Chooses this subprotocol, whatever the configuration says. If the client did not offer it,
    /// [`Connection::accept`](crate::Connection::accept) fails.
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
    /// Content-Length, Transfer-Encoding and all names that begin with `Sec-WebSocket-`: the handshake
    /// sets these headers itself.
    pub fn header(mut self, name: &str, value: &str) -> Result<Accept, HandshakeError> {
        if is_framing(name) || is_websocket_field(name) || name.eq_ignore_ascii_case("Upgrade") {
            return Err(HandshakeError::HeaderReserved);
        }
        self.headers.append(name, value)?;
        Ok(self)
    }

    /// Declines compression on this connection, whatever the client offers and the configuration says.
    #[must_use]
    pub fn uncompressed(mut self) -> Accept {
        self.uncompressed = true;
        self
    }
}

/// `Debug` hides headers, which may hold cookies, and the subprotocol: some applications send a token as one.
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
}
