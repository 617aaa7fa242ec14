//! RFC 9110 §5: header fields, and the grammars inside their values: tokens,
//! comma lists, quoted strings.

#![expect(clippy::arithmetic_side_effects, reason = "positions in a list that is not empty")]

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::error::HandshakeError;

/// Header fields, in order. Names match in any case.
///
/// ```
/// use openline::Headers;
///
/// let mut headers = Headers::new();
/// headers.append("Set-Cookie", "a=1")?;
/// headers.append("set-cookie", "b=2")?;
/// assert_eq!(headers.get("SET-COOKIE"), Some("a=1"));
/// assert_eq!(headers.get_all("Set-Cookie").count(), 2);
/// assert!(headers.append("X", "a\r\nInjected: yes").is_err());
/// # Ok::<(), openline::HandshakeError>(())
/// ```
#[derive(Clone, Default)]
pub struct Headers {
    /// Names and values, where the fields say. All fields of a message that was
    /// received share the memory it was received in.
    bytes: Vec<u8>,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

impl Headers {
    /// No fields.
    #[must_use]
    pub fn new() -> Headers {
        Headers::default()
    }

    /// Fields that lie in `bytes` and are known to be valid.
    pub(super) fn parsed(bytes: Vec<u8>, fields: Vec<(Range<usize>, Range<usize>)>) -> Headers {
        Headers { bytes, fields }
    }

    /// Adds a field behind those that there are.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::HeaderNameInvalid`] or [`HandshakeError::HeaderValueInvalid`].
    pub fn append(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), HandshakeError> {
        let value = value.as_ref();
        if !is_token(name.as_bytes()) {
            return Err(HandshakeError::HeaderNameInvalid);
        }
        // RFC 9110 §5.5: CR, LF and NUL could end the field and begin another.
        if value.iter().any(|&byte| is_control(byte)) {
            return Err(HandshakeError::HeaderValueInvalid);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value.trim_ascii());
        self.fields.push((start..middle, middle..self.bytes.len()));
        Ok(())
    }

    /// As [`append`](Self::append), and removes the other fields of this name.
    #[expect(clippy::indexing_slicing, reason = "the ranges of all fields lie in `bytes`")]
    pub(super) fn replace(&mut self, name: &str, value: &str) -> Result<(), HandshakeError> {
        self.append(name, value)?;
        let others = self.fields.len() - 1;
        let mut at = 0;
        self.fields.retain(|(other, _)| {
            at += 1;
            at > others || !self.bytes[other.clone()].eq_ignore_ascii_case(name.as_bytes())
        });
        Ok(())
    }

    /// The first field of this name, if its value is text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_all(name).next().and_then(|value| core::str::from_utf8(value).ok())
    }

    /// The values of all fields of this name, in order.
    pub fn get_all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.raw().filter(move |(other, _)| other.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// Whether there is a field of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get_all(name).next().is_some()
    }

    /// All fields: name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.raw().map(|(name, value)| (core::str::from_utf8(name).unwrap_or_default(), value))
    }

    /// All fields, without a look at the bytes of their names.
    #[expect(clippy::indexing_slicing, reason = "the ranges of all fields lie in `bytes`")]
    fn raw(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (&self.bytes[name.clone()], &self.bytes[value.clone()]))
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The value of the only field of this name.
    pub(super) fn only(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.get_all(name);
        let only = values.next();
        if values.next().is_some() { None } else { only }
    }

    /// The elements of the list that all fields of this name make (RFC 9110 §5.6.1:
    /// empty ones do not count).
    pub(super) fn list<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.get_all(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|element| !element.is_empty())
    }

    /// Appends the fields as they go over the wire.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in self.iter() {
            write_field(out, name, value);
        }
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Headers) -> bool {
        self.len() == other.len()
            && self.iter().zip(other.iter()).all(|(a, b)| a.0.eq_ignore_ascii_case(b.0) && a.1 == b.1)
    }
}

impl Eq for Headers {}

/// Without the values that are secret: this is written to logs.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.iter().map(|(name, value)| match is_secret(name) {
            true => (name, "…".into()),
            false => (name, String::from_utf8_lossy(value)),
        });
        f.debug_map().entries(entries).finish()
    }
}

fn is_secret(name: &str) -> bool {
    const SECRET: [&str; 4] = ["Authorization", "Cookie", "Set-Cookie", "Proxy-Authorization"];
    SECRET.iter().any(|secret| secret.eq_ignore_ascii_case(name))
}

/// Appends one field as it goes over the wire.
pub(super) fn write_field(out: &mut Vec<u8>, name: &str, value: impl AsRef<[u8]>) {
    for part in [name.as_bytes(), b": ", value.as_ref(), b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// An element of Sec-WebSocket-Extensions (§9.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extension {
    pub(super) name: String,
    /// Parameters in order, with the value if there is one.
    pub(super) params: Vec<(String, Option<String>)>,
}

/// Reads all Sec-WebSocket-Extensions fields (§9.1: together they are one list).
pub(super) fn extensions(headers: &Headers) -> Result<Vec<Extension>, HandshakeError> {
    let mut extensions = Vec::new();
    for value in headers.get_all("Sec-WebSocket-Extensions") {
        let mut rest = Scanner(value);
        loop {
            rest.skip_space();
            if !rest.at(b",") && !rest.0.is_empty() {
                extensions.push(rest.extension().ok_or(HandshakeError::ExtensionsInvalid)?);
            }
            if rest.0.is_empty() {
                break;
            }
            if !rest.eat(b',') {
                return Err(HandshakeError::ExtensionsInvalid);
            }
        }
    }
    Ok(extensions)
}

/// What is left of a field value.
struct Scanner<'a>(&'a [u8]);

impl<'a> Scanner<'a> {
    fn at(&self, prefix: &[u8]) -> bool {
        self.0.starts_with(prefix)
    }

    #[expect(clippy::indexing_slicing, reason = "there is a first byte")]
    fn eat(&mut self, byte: u8) -> bool {
        self.skip_space();
        let there = self.0.first() == Some(&byte);
        if there {
            self.0 = &self.0[1..];
            self.skip_space();
        }
        there
    }

    fn skip_space(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    /// `token *( ";" token [ "=" ( token / quoted-string ) ] )`
    fn extension(&mut self) -> Option<Extension> {
        let name = self.token()?;
        let mut params = Vec::new();
        while self.eat(b';') {
            let param = self.token()?;
            let value = if self.eat(b'=') { Some(self.value()?) } else { None };
            params.push((param, value));
        }
        Some(Extension { name, params })
    }

    fn token(&mut self) -> Option<String> {
        let len = self.0.iter().take_while(|&&byte| is_tchar(byte)).count();
        let (token, rest) = self.0.split_at(len);
        self.0 = rest;
        if token.is_empty() { None } else { Some(String::from_utf8_lossy(token).into_owned()) }
    }

    /// §9.1: a quoted value "MUST conform to the token ABNF" once unquoted.
    #[expect(clippy::indexing_slicing, reason = "there is a first byte")]
    fn value(&mut self) -> Option<String> {
        if self.0.first() != Some(&b'"') {
            return self.token();
        }
        let mut unquoted = Vec::new();
        let mut bytes = self.0[1..].iter();
        loop {
            match bytes.next()? {
                b'"' => break,
                b'\\' => unquoted.push(*bytes.next()?),
                byte => unquoted.push(*byte),
            }
        }
        self.0 = bytes.as_slice();
        if is_token(&unquoted) { String::from_utf8(unquoted).ok() } else { None }
    }
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_tchar(byte))
}

pub(super) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110 §5.5: what a field value, or any line of a head, may not hold.
pub(super) fn is_control(byte: u8) -> bool {
    byte < b' ' && byte != b'\t' || byte == 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn parse(lines: &[&str]) -> Result<Vec<Extension>, HandshakeError> {
        let mut headers = Headers::new();
        for line in lines {
            headers.append("Sec-WebSocket-Extensions", line).unwrap();
        }
        extensions(&headers)
    }

    fn extension(name: &str, params: &[(&str, Option<&str>)]) -> Extension {
        let params = params.iter().map(|(name, value)| ((*name).into(), value.map(String::from))).collect();
        Extension { name: name.into(), params }
    }

    #[test]
    fn extension_lists() {
        assert_eq!(parse(&[]), Ok(vec![]));
        assert_eq!(parse(&["", " , ,, "]), Ok(vec![]));
        assert_eq!(parse(&["foo"]), Ok(vec![extension("foo", &[])]));
        assert_eq!(parse(&["foo , bar", "baz"]).unwrap().len(), 3);
        let expected = extension("deflate", &[("a", None), ("b", Some("10")), ("c", Some("x.y")), ("d", None)]);
        assert_eq!(parse(&["deflate; a;b=10 ;c = \"x\\.y\";d"]), Ok(vec![expected]));
        let two = [extension("a", &[("q", Some("x"))]), extension("b", &[])];
        assert_eq!(parse(&["a;q=\"x\",b"]), Ok(two.to_vec()));
    }

    #[test]
    fn extension_lists_that_are_none() {
        for wrong in [
            ";",
            "foo;",
            "foo;=1",
            "foo;a=",
            "foo bar",
            "foo;a=\"",
            "foo;a=\"x",
            "foo;a=\"x y\"",
            "foo;a=\"\"",
            "foo;a=\"x\"y",
            "foo=1",
            "\"foo\"",
            "foo;a=\"\\",
        ] {
            assert_eq!(parse(&[wrong]), Err(HandshakeError::ExtensionsInvalid), "{wrong}");
        }
    }

    #[test]
    fn debug_keeps_secrets() {
        let mut headers = Headers::new();
        for name in ["Host", "authorization", "COOKIE", "Set-Cookie", "Proxy-Authorization"] {
            headers.append(name, "x").unwrap();
        }
        let shown =
            r#"{"Host": "x", "authorization": "…", "COOKIE": "…", "Set-Cookie": "…", "Proxy-Authorization": "…"}"#;
        assert_eq!(std::format!("{headers:?}"), shown);
    }

    #[test]
    fn lists_run_over_several_lines() {
        let mut headers = Headers::new();
        headers.append("Connection", " keep-alive ,, Upgrade ,").unwrap();
        headers.append("Host", "x").unwrap();
        headers.append("connection", "TE").unwrap();
        let list: Vec<_> = headers.list("CONNECTION").collect();
        assert_eq!(list, [&b"keep-alive"[..], b"Upgrade", b"TE"]);
    }
}
