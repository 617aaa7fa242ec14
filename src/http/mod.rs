//! HTTP as values: header fields, a request and a response. This module does not know how they are sent, so
//! any version of HTTP can carry them.

mod accept;
#[cfg(feature = "http")]
mod foreign;
mod headers;
mod request;
mod response;

pub use accept::Accept;
pub(crate) use accept::Choice;
pub use headers::Headers;
pub(crate) use headers::{Field, is_control, is_tchar, is_token};
pub use request::Request;
pub(crate) use request::split_absolute;
pub use response::Response;
pub(crate) use response::is_framing;

/// Whether the name begins with `Sec-WebSocket-`.
pub(crate) fn is_websocket_field(name: &str) -> bool {
    name.get(..14).is_some_and(|front| front.eq_ignore_ascii_case("Sec-WebSocket-"))
}
