//! §3: `ws:` and `wss:` URIs. A URI in which RFC 3986 and the WHATWG URL Standard see different hosts is
//! refused: a program may check a URI with another parser, and must not connect to another host than the one
//! it checked.

#![expect(clippy::arithmetic_side_effects, reason = "positions in a string")]

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use super::authority::{Authority, basic_authorization};
use super::percent;
use crate::error::{HandshakeError, UriPart};

/// A WebSocket URI (RFC 6455 §3).
///
/// - The scheme is `ws` or `wss`. `http` and `https` mean the same, as in browsers.
/// - The userinfo follows RFC 3986. It is sent as Basic authentication (RFC 7617).
/// - The host follows RFC 3986, and is ASCII: write a name in another script in its `xn--` form. A host
///   whose last part is a number must be an IPv4 address in its usual form. Other forms, such as `0x7f.1`,
///   which browsers take for `127.0.0.1`, are refused.
/// - A backslash before the path is refused. In the path it counts as a slash, as in browsers.
/// - Path and query are sent as browsers send them: `.` and `..` are removed from the path, and characters
///   that may not stand in a URI, among them all that are not ASCII, are percent-encoded. Spaces and control
///   characters are refused. A `%` is left as it is, whatever follows it.
/// - A fragment is refused (§3).
///
/// `Display` writes the URI without the userinfo. `Debug` shows only the length of path and query.
///
/// ```
/// use openline::Uri;
///
/// let uri: Uri = "ws://[::1]:9001/chat?room=1".parse()?;
/// assert_eq!((uri.host(), uri.port(), uri.resource()), ("::1", 9001, "/chat?room=1"));
/// assert_eq!("wss://example.com".parse::<Uri>()?.authority(), "example.com");
/// assert_eq!("ws://example.com/{id}".parse::<Uri>()?.resource(), "/%7Bid%7D");
/// # Ok::<(), openline::HandshakeError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Uri {
    secure: bool,
    /// `user:password`, as it stands in the URI.
    userinfo: Option<String>,
    /// The host as it stands in an authority: an IPv6 address has its brackets.
    host: String,
    port: u16,
    resource: String,
}

impl Uri {
    /// Whether the scheme is `wss` or `https`.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host to connect to: a name in lower case, or an address. An IPv6 address has no brackets here.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port to connect to: 80 or 443 unless the URI says otherwise.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of the Host header. It has the port only if that is not the default (§4.1).
    #[must_use]
    pub fn authority(&self) -> String {
        match self.port == default_port(self.secure) {
            true => self.host.clone(),
            false => self.site(),
        }
    }

    /// Host and port, the port even if it is the default: what a CONNECT asks for.
    pub(crate) fn site(&self) -> String {
        alloc::format!("{}:{}", self.host, self.port)
    }

    /// Path and query as they are sent, at least `/`. §3 calls them the resource name.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The value of the Authorization header that the userinfo stands for (RFC 7617).
    pub(super) fn authorization(&self) -> Option<String> {
        self.userinfo.as_deref().and_then(basic_authorization)
    }
}

impl FromStr for Uri {
    type Err = HandshakeError;

    fn from_str(text: &str) -> Result<Uri, HandshakeError> {
        let invalid = |part, at| HandshakeError::UriInvalid { part, at };
        let (scheme, rest) = text.split_at(text.bytes().take_while(u8::is_ascii_alphanumeric).count());
        let is = |known: &str| scheme.eq_ignore_ascii_case(known);
        let secure = match () {
            () if is("ws") || is("http") => false,
            () if is("wss") || is("https") => true,
            () => return Err(invalid(UriPart::Scheme, 0)),
        };
        let rest = rest.strip_prefix("://").ok_or(invalid(UriPart::Scheme, scheme.len()))?;
        // §3: "Fragment identifiers are meaningless [...] and MUST NOT be used".
        if rest.contains('#') {
            return Err(HandshakeError::UriFragment);
        }
        let start = text.len() - rest.len();
        let end = rest.find(['/', '?', '\\']).unwrap_or(rest.len());
        let (authority, resource) = rest.split_at(end);
        // A backslash that ends the authority is refused. RFC 3986 knows no backslash; a browser takes it for a
        // slash, which ends the host.
        if resource.starts_with('\\') {
            return Err(invalid(UriPart::Host, start + end));
        }
        let Authority { userinfo, host, port } = Authority::parse(authority, start)?;
        let port = port.unwrap_or(default_port(secure));
        let userinfo = userinfo.map(ToOwned::to_owned);
        let (path, query) = match resource.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (resource, None),
        };
        // This also keeps CR and LF out of the request line.
        if let Some(at) = resource.bytes().position(|byte| byte <= b' ' || byte == 0x7f) {
            let part = if at < path.len() { UriPart::Path } else { UriPart::Query };
            return Err(invalid(part, start + end + at));
        }
        let mut resource = percent::encode_path(path);
        if let Some(query) = query {
            resource.push('?');
            percent::encode_query(&mut resource, query);
        }
        Ok(Uri { secure, userinfo, host, port, resource })
    }
}

/// `Display` leaves out the userinfo, which is secret: URIs are written to logs.
impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.secure { "wss" } else { "ws" }, self.authority(), self.resource)
    }
}

/// `Debug` shows neither path nor query: each may hold a token.
impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uri")
            .field("secure", &self.secure)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("resource", &format_args!("{} bytes", self.resource.len()))
            .finish_non_exhaustive()
    }
}

const fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}
