//! §4: HTTP becomes WebSocket. Never sees a frame; what it leaves behind is an
//! [`Upgrade`](crate::Upgrade).

mod accept;
mod body;
mod client;
#[cfg(feature = "deflate")]
mod deflate;
mod extensions;
mod fields;
mod head;
mod key;
mod message;
mod server;
mod uri;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

pub use accept::Accept;
pub use client::{ClientHandshake, ClientRequest};
pub use fields::Headers;
pub use message::{Request, Response};
pub use server::ServerHandshake;
pub use uri::Uri;

#[cfg(feature = "deflate")]
use crate::deflate::Deflate;

/// Limits and choices for an opening handshake.
#[derive(Clone)]
#[non_exhaustive]
pub struct HandshakeConfig {
    /// How long the whole of it may take. Default 10 s.
    pub timeout: Duration,
    /// The longest head to receive, in bytes. Default 16 KiB.
    pub max_head: usize,
    /// The most header lines to receive. Default 64.
    pub max_headers: usize,
    /// How much of a refusal's body a client keeps, in bytes. Default 16 KiB.
    pub max_body: usize,
    /// The subprotocols that a server speaks. Of those that the client offers it
    /// takes the first that is among them, and none if none is. Default: none.
    pub subprotocols: Vec<String>,
    /// permessage-deflate (RFC 7692): what a client offers, best first. A server accepts
    /// by the first of these. Default: none, so that nothing is compressed.
    #[cfg(feature = "deflate")]
    pub deflate: Vec<Deflate>,
    /// Whose pages may open a connection to this server. Default: anybody's.
    pub origins: Origins,
    /// What a server answers to a plain GET, one that asks for no upgrade: a page, or
    /// a load balancer's health check. Default: 426 (Upgrade Required).
    pub plain: Option<Arc<Plain>>,
}

/// See [`HandshakeConfig::plain`].
pub type Plain = dyn Fn(&Request) -> Response + Send + Sync;

impl Default for HandshakeConfig {
    fn default() -> HandshakeConfig {
        HandshakeConfig {
            timeout: Duration::from_secs(10),
            max_head: 16 * 1024,
            max_headers: 64,
            max_body: 16 * 1024,
            subprotocols: Vec::new(),
            #[cfg(feature = "deflate")]
            deflate: Vec::new(),
            origins: Origins::Any,
            plain: None,
        }
    }
}

impl fmt::Debug for HandshakeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("HandshakeConfig");
        shown.field("timeout", &self.timeout).field("max_head", &self.max_head);
        shown.field("max_headers", &self.max_headers).field("max_body", &self.max_body);
        shown.field("subprotocols", &self.subprotocols);
        #[cfg(feature = "deflate")]
        shown.field("deflate", &self.deflate);
        shown.field("origins", &self.origins).field("plain", &self.plain.is_some()).finish()
    }
}

/// Which origins a server accepts (§10.2): the defence against other sites' pages
/// that use a visitor's cookies. For a policy of another kind look at
/// [`Request::origin`] and reject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Any, and none.
    #[default]
    Any,
    /// These only, such as `https://example.com`; a request without an Origin,
    /// which no browser sends, is refused too.
    Only(Vec<String>),
}

impl Origins {
    fn allow(&self, request: &Request) -> bool {
        match self {
            Origins::Any => true,
            // RFC 6454 §4: scheme and host are in lower case, and have no other letters.
            Origins::Only(origins) => {
                let mut sent = request.headers.get_all("Origin");
                matches!((sent.next(), sent.next()), (Some(origin), None)
                    if origins.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin)))
            }
        }
    }
}
