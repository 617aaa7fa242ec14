//! §4: the opening handshake, which turns an HTTP connection into a WebSocket. This module reads and
//! writes no frame; the result of a handshake is an [`Upgrade`](crate::Upgrade).
//!
//! The rules judge requests and responses as values: [`judge`] and [`accept`] for a server,
//! [`request`] and [`confirm`] for a client. The two machines, [`server`] and [`client`], read and
//! write the bytes of HTTP/1.1, and have no rules of their own.

mod accept;
mod authority;
mod body;
mod client;
mod confirm;
#[cfg(feature = "deflate")]
mod deflate;
mod extensions;
mod grammar;
mod head;
mod judge;
mod key;
mod percent;
mod request;
mod server;
mod uri;
mod write;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

pub(crate) use authority::{Authority, basic_authorization};
pub(crate) use client::ClientOpening;
pub use confirm::PendingUpgrade;
pub(crate) use head::HeadReader;
pub(crate) use percent::decode as percent_decode;
pub use request::ClientRequest;
pub(crate) use server::ServerOpening;
pub use uri::Uri;
pub(crate) use write::write_request;

#[cfg(feature = "deflate")]
use crate::deflate::Deflate;
use crate::http::{Request, Response};

/// Limits and choices for an opening handshake.
#[derive(Clone)]
#[non_exhaustive]
pub struct HandshakeConfig {
    /// How long the handshake may take as a whole. Default 10 s.
    pub timeout: Duration,
    /// The longest head to receive, in bytes. Default 16 KiB.
    pub max_head: usize,
    /// The most header lines to receive. Default 64.
    pub max_headers: usize,
    /// How much of a refusal's body a client keeps, in bytes. Default 16 KiB.
    pub max_body: usize,
    /// The subprotocols that a server speaks. It chooses the first of the client's offers that is
    /// among them, or no subprotocol if there is no such offer. [`Accept`](crate::Accept) can choose
    /// otherwise. Default: none.
    pub subprotocols: Vec<String>,
    /// permessage-deflate (RFC 7692). A client offers all of these, in this order; a server accepts
    /// by the first one. Default: none, so that nothing is compressed.
    #[cfg(feature = "deflate")]
    pub deflate: Vec<Deflate>,
    /// The origins whose pages may open a connection to this server. Default: all.
    pub origins: Origins,
    /// What a server answers to a plain request, one that does not ask for a WebSocket: a page, or
    /// a load balancer's health check. It is called for the methods GET, HEAD and OPTIONS, in
    /// HTTP/1.0 too, if the request is valid and has no body. The answer to a HEAD is sent without
    /// its body. After the answer the handshake ends with [`NotUpgrade`].
    ///
    /// Default: none. Without it a GET is answered with 426 (Upgrade Required), another method with 405
    /// (Method Not Allowed), and HTTP/1.0 with 400 (Bad Request).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use openline::{HandshakeConfig, Response};
    ///
    /// let mut config = HandshakeConfig::default();
    /// config.on_plain_request = Some(Arc::new(|request| match request.path() {
    ///     "/health" => Response::new(200).body("well"),
    ///     _ => Response::new(404),
    /// }));
    /// ```
    ///
    /// [`NotUpgrade`]: crate::HandshakeError::NotUpgrade
    pub on_plain_request: Option<Arc<OnPlainRequest>>,
}

/// The type of [`HandshakeConfig::on_plain_request`].
pub type OnPlainRequest = dyn Fn(&Request) -> Response + Send + Sync;

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
            on_plain_request: None,
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
        shown.field("origins", &self.origins).field("on_plain_request", &self.on_plain_request.is_some()).finish()
    }
}

/// Which origins a server accepts (RFC 6455 §10.2). This protects users of a browser: without it a page of
/// another site can connect, and the browser sends the user's cookies. An origin is a scheme, a host, and
/// a port unless that is the default, such as `https://example.com`. For any other policy, look at
/// [`Request::origin`] and reject the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origins {
    /// Any origin, and requests without one.
    #[default]
    Any,
    /// These origins. A request without an origin is refused.
    Only(Vec<String>),
    /// These origins, and requests without an origin. Browsers always send one; most other programs
    /// send none.
    OnlyOrAbsent(Vec<String>),
}

impl Origins {
    /// Whether a request with this Origin is accepted.
    fn allow(&self, origin: Option<&[u8]>) -> bool {
        let (allowed, absent) = match self {
            Origins::Any => return true,
            Origins::Only(allowed) => (allowed, false),
            Origins::OnlyOrAbsent(allowed) => (allowed, true),
        };
        match origin {
            None => absent,
            // RFC 6454 §4: an origin is in lower case. The configured ones may be in any case.
            Some(origin) => allowed.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin)),
        }
    }
}
