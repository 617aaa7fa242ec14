//! RFC 3986 §3.2: the authority of a URI, which says where to connect to. An authority in which RFC 3986 and the WHATWG
//! URL Standard see different hosts is refused.

#![expect(clippy::arithmetic_side_effects, reason = "positions in a string")]

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::percent;
use crate::error::{HandshakeError, UriPart};

/// The parts of an authority: `[ userinfo "@" ] host [ ":" port ]`.
#[derive(Debug)]
pub(crate) struct Authority<'t> {
    /// As it stands in the URI. It can be sent as Basic authentication.
    pub(crate) userinfo: Option<&'t str>,
    /// In the form in which it is sent: an IPv6 address has its brackets.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

impl<'t> Authority<'t> {
    /// Reads an authority that begins at the byte `start` of its URI.
    pub(crate) fn parse(authority: &'t str, start: usize) -> Result<Authority<'t>, HandshakeError> {
        let invalid = |part, at| HandshakeError::UriInvalid { part, at };
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
        if port == Some(0) {
            return Err(invalid(UriPart::Port, host_start + host.len() + 1));
        }
        let host = canonical_host(host).ok_or(invalid(UriPart::Host, host_start))?;
        Ok(Authority { userinfo, host, port })
    }
}

/// The value of an Authorization or Proxy-Authorization header that this userinfo stands for (RFC 7617). `None` if it
/// is empty.
pub(crate) fn basic_authorization(userinfo: &str) -> Option<String> {
    if userinfo.is_empty() {
        return None;
    }
    let mut decoded = percent::decode(userinfo);
    // RFC 7617 §2: the colon is sent even if there is no password.
    if !userinfo.contains(':') {
        decoded.push(b':');
    }
    Some("Basic ".to_owned() + &STANDARD.encode(decoded))
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
        None => authority.bytes().position(|byte| byte == b':').unwrap_or(authority.len()),
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
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&'..=b',' | b';' | b'=')
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
