//! §3: `ws:` and `wss:` URIs. A URI in which RFC 3986 and the WHATWG URL Standard see different hosts is
//! refused: a program may check a URI with another parser, and must not connect to another host than the one
//! it checked.

#![expect(clippy::arithmetic_side_effects, reason = "positions in a string")]

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

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
            false => alloc::format!("{}:{}", self.host, self.port),
        }
    }

    /// Path and query as they are sent, at least `/`. §3 calls them the resource name.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The value of the Authorization header that the userinfo stands for (RFC 7617).
    pub(super) fn authorization(&self) -> Option<String> {
        let written = self.userinfo.as_deref().filter(|userinfo| !userinfo.is_empty())?;
        let mut userinfo = percent::decode(written);
        // RFC 7617 §2: the colon is sent even if there is no password.
        if !written.contains(':') {
            userinfo.push(b':');
        }
        Some("Basic ".to_owned() + &STANDARD.encode(userinfo))
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
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, authority),
        };
        if let Some(at) = userinfo.and_then(|userinfo| wrong_byte(userinfo, b":")) {
            return Err(invalid(UriPart::Userinfo, start + at));
        }
        if userinfo.is_some_and(|userinfo| !is_basic(userinfo)) {
            return Err(invalid(UriPart::Userinfo, start));
        }
        let host_start = start + authority.len() - host.len();
        let (host, port) = read_authority(host).map_err(|(part, at)| invalid(part, host_start + at))?;
        let port_start = host_start + host.len() + 1;
        let port = match port {
            None => default_port(secure),
            Some(0) => return Err(invalid(UriPart::Port, port_start)),
            Some(port) => port,
        };
        let host = canonical_host(host).ok_or(invalid(UriPart::Host, host_start))?;
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
        Ok(Uri { secure, userinfo: userinfo.map(ToOwned::to_owned), host, port, resource })
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

/// RFC 7617 §2: whether the userinfo can be sent as a name and a password. Neither may have control
/// characters. The name may not have a colon, at which the server would cut it.
fn is_basic(userinfo: &str) -> bool {
    let name = userinfo.split(':').next().unwrap_or_default();
    !percent::decode(name).contains(&b':') && !percent::decode(userinfo).iter().any(u8::is_ascii_control)
}

/// Splits `host [ ":" port ]` (RFC 3986 §3.2). `None` if it is invalid or the host is empty. An empty port is
/// the default port.
pub(super) fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    read_authority(authority).ok()
}

/// As [`split_authority`]. The error says which part is wrong, and at which byte.
fn read_authority(authority: &str) -> Result<(&str, Option<u16>), (UriPart, usize)> {
    let end = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']').ok_or((UriPart::Host, 0))? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end);
    let wrong = match bracketed(host) {
        Some(address) => Ipv6Addr::from_str(address).is_err().then_some(0),
        None if host.is_empty() => Some(0),
        None => wrong_byte(host, b""),
    };
    if let Some(at) = wrong {
        return Err((UriPart::Host, at));
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some("") => None,
        // RFC 3986 §3.2.3: a port has digits only. `parse` alone would accept a sign too.
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            Some(digits.parse().map_err(|_| (UriPart::Port, end + 1))?)
        }
        Some(_) => return Err((UriPart::Port, end + 1)),
        None => return Err((UriPart::Port, end)),
    };
    Ok((host, port))
}

/// The address between the brackets, if the host has brackets.
fn bracketed(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}

/// RFC 3986: the place of the first byte that is neither `unreserved`, nor a `sub-delim`, nor percent-encoded,
/// nor one of `others`.
fn wrong_byte(text: &str, others: &[u8]) -> Option<usize> {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        let mut digit = || bytes.next().is_some_and(|(_, digit)| digit.is_ascii_hexdigit());
        let valid = match byte {
            b'%' => digit() && digit(),
            byte => is_unescaped(byte) || others.contains(&byte),
        };
        if !valid {
            return Some(at);
        }
    }
    None
}

/// RFC 3986 §2.2, §2.3: whether the byte is `unreserved` or one of `sub-delims`.
fn is_unescaped(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

/// The host in the form in which it is sent: the one form that the WHATWG URL Standard has for it. `None` if
/// that standard refuses the host, or takes it for an address that is not in its usual form.
fn canonical_host(host: &str) -> Option<String> {
    if let Some(address) = bracketed(host) {
        let address = Ipv6Addr::from_str(address).ok()?;
        // Such an address is written in hexadecimal. The standard library would write its last part in decimal.
        let [.., a, b] = address.segments();
        return Some(match address.to_ipv4_mapped() {
            Some(_) => alloc::format!("[::ffff:{a:x}:{b:x}]"),
            None => alloc::format!("[{address}]"),
        });
    }
    let mut name = String::from_utf8(percent::decode(host)).ok()?;
    name.make_ascii_lowercase();
    let valid = name.bytes().all(is_unescaped) && (!ends_in_a_number(&name) || Ipv4Addr::from_str(&name).is_ok());
    valid.then_some(name)
}

/// The WHATWG "ends-in-a-number checker". If it says yes, that standard reads the host as an IPv4 address of
/// one to four numbers in octal, decimal or hexadecimal.
fn ends_in_a_number(name: &str) -> bool {
    let last = name.strip_suffix('.').unwrap_or(name).rsplit('.').next().unwrap_or_default();
    match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|digit| digit.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|digit| digit.is_ascii_digit()),
    }
}

const fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}
