//! §3: `ws:` and `wss:` URIs.

#![expect(clippy::arithmetic_side_effects, reason = "positions in a string")]

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv6Addr;
use core::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::HandshakeError;

/// A WebSocket URI (RFC 6455 §3).
///
/// ```
/// use openline::Uri;
///
/// let uri: Uri = "ws://[::1]:9001/chat?room=1".parse()?;
/// assert_eq!((uri.host(), uri.port(), uri.resource()), ("::1", 9001, "/chat?room=1"));
/// assert_eq!("wss://example.com".parse::<Uri>()?.authority(), "example.com");
/// # Ok::<(), openline::HandshakeError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Uri {
    secure: bool,
    /// `user:password`, as written.
    userinfo: Option<String>,
    /// As it stands in an authority: an IPv6 address has its brackets.
    host: String,
    port: u16,
    resource: String,
}

impl Uri {
    /// Whether the scheme is `wss`.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host to connect to: a name or an address, an IPv6 one without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port to connect to: 80 or 443 unless the URI says otherwise.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of the Host header: the port is left out if it is the default (§4.1).
    #[must_use]
    pub fn authority(&self) -> String {
        match self.port == default_port(self.secure) {
            true => self.host.clone(),
            false => alloc::format!("{}:{}", self.host, self.port),
        }
    }

    /// Path and query, at least `/` (§3: the resource name).
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The value of the Authorization header that the userinfo stands for (RFC 7617).
    pub(super) fn authorization(&self) -> Option<String> {
        let written = self.userinfo.as_deref().filter(|userinfo| !userinfo.is_empty())?;
        let mut userinfo = percent_decode(written);
        // RFC 7617 §2: the colon stands there even if there is no password.
        if !written.contains(':') {
            userinfo.push(b':');
        }
        Some("Basic ".to_owned() + &STANDARD.encode(userinfo))
    }
}

impl FromStr for Uri {
    type Err = HandshakeError;

    fn from_str(uri: &str) -> Result<Uri, HandshakeError> {
        let invalid = HandshakeError::UriInvalid;
        // Also keeps CR and LF out of the request line.
        if !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid);
        }
        let (scheme, rest) = uri.split_once("://").ok_or(invalid)?;
        let secure = match scheme {
            _ if scheme.eq_ignore_ascii_case("ws") => false,
            _ if scheme.eq_ignore_ascii_case("wss") => true,
            _ => return Err(invalid),
        };
        // §3: "Fragment identifiers are meaningless [...] and MUST NOT be used".
        if rest.contains('#') {
            return Err(HandshakeError::UriFragment);
        }
        let (authority, resource) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo.to_owned()), host),
            None => (None, authority),
        };
        if userinfo.as_deref().is_some_and(|userinfo| userinfo.contains('@')) {
            return Err(invalid);
        }
        let (host, port) = split_authority(host).ok_or(invalid)?;
        let port = match port {
            None => default_port(secure),
            Some(0) => return Err(invalid),
            Some(port) => port,
        };
        let resource = if resource.starts_with('/') { resource.to_owned() } else { "/".to_owned() + resource };
        Ok(Uri { secure, userinfo, host: host.to_ascii_lowercase(), port, resource })
    }
}

/// Without the userinfo: it is a secret, and this is written to logs.
impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.secure { "wss" } else { "ws" }, self.authority(), self.resource)
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uri({self})")
    }
}

/// Splits `host [ ":" port ]` (RFC 3986 §3.2), if it is valid and names a host. An
/// empty port is the default one.
pub(super) fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let end = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end);
    let valid = match host.strip_prefix('[') {
        Some(address) => Ipv6Addr::from_str(address.strip_suffix(']')?).is_ok(),
        None => is_reg_name(host),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some("") => None,
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => Some(digits.parse().ok()?),
        _ => return None,
    };
    valid.then_some((host, port))
}

/// RFC 3986 §3.2.2: `reg-name`, which an IPv4 address is too.
fn is_reg_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        let valid = match byte {
            b'%' => {
                bytes.next().is_some_and(|b| b.is_ascii_hexdigit())
                    && bytes.next().is_some_and(|b| b.is_ascii_hexdigit())
            }
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte),
        };
        if !valid {
            return false;
        }
    }
    !name.is_empty()
}

fn percent_decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let code = match after {
            [a, b, after @ ..] if *byte == b'%' => hex(*a).zip(hex(*b)).map(|(a, b)| (a << 4 | b, after)),
            _ => None,
        };
        let (byte, after) = code.unwrap_or((*byte, after));
        decoded.push(byte);
        rest = after;
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

const fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}
