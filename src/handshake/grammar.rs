//! §9.1: the grammar of Sec-WebSocket-Extensions. Reading it allocates nothing, since a head of 16 KiB may
//! hold 8,000 extensions.

use core::iter;

use crate::error::HandshakeError;
use crate::http::{Headers, is_tchar, is_token};

/// The elements of all Sec-WebSocket-Extensions fields, which together are one list (§9.1). An element that
/// does not follow the grammar gives an error, and the rest of its field is not read.
pub(super) fn extensions(headers: &Headers) -> impl Iterator<Item = Result<Extension<'_>, HandshakeError>> {
    headers.get_all("Sec-WebSocket-Extensions").flat_map(|value| {
        let mut rest = Scanner(value);
        iter::from_fn(move || {
            let element = rest.element()?;
            if element.is_none() {
                rest = Scanner(&[]);
            }
            Some(element.ok_or(HandshakeError::ExtensionsInvalid))
        })
    })
}

/// An element of Sec-WebSocket-Extensions.
#[cfg_attr(not(feature = "deflate"), allow(dead_code, reason = "no other extension is known"))]
pub(super) struct Extension<'a> {
    pub(super) name: &'a str,
    /// `*( ";" token [ "=" ( token / quoted-string ) ] )`. It has been read once, so it is valid.
    params: Scanner<'a>,
}

impl<'a> Extension<'a> {
    /// The parameters in order, each with its value if it has one.
    #[cfg_attr(not(feature = "deflate"), allow(dead_code, reason = "no other extension is known"))]
    pub(super) fn params(&self) -> impl Iterator<Item = (&'a str, Option<Value<'a>>)> + use<'a> {
        let mut rest = self.params;
        iter::from_fn(move || rest.param().flatten())
    }
}

/// The value of a parameter: a token, or the text between two quotes.
#[derive(Clone, Copy)]
pub(super) struct Value<'a>(&'a [u8]);

impl<'a> Value<'a> {
    /// The bytes, without the backslashes that quote other bytes. A token has no backslash.
    pub(super) fn bytes(self) -> impl Iterator<Item = u8> + use<'a> {
        let mut bytes = self.0.iter().copied();
        iter::from_fn(move || match bytes.next()? {
            b'\\' => bytes.next(),
            byte => Some(byte),
        })
    }
}

/// The part of a field value that has not been read yet.
#[derive(Clone, Copy)]
struct Scanner<'a>(&'a [u8]);

impl<'a> Scanner<'a> {
    /// The next element of a list. `None`: the list has ended. `Some(None)`: what follows is no element.
    fn element(&mut self) -> Option<Option<Extension<'a>>> {
        // RFC 9110 §5.6.1: empty elements are skipped.
        while self.eat(b',') {}
        if self.0.is_empty() {
            return None;
        }
        let extension = self.extension();
        let ended = self.0.is_empty() || self.eat(b',');
        Some(extension.filter(|_| ended))
    }

    /// `token *( ";" token [ "=" ( token / quoted-string ) ] )`
    fn extension(&mut self) -> Option<Extension<'a>> {
        let name = self.token()?;
        let params = *self;
        while let Some(param) = self.param() {
            param?;
        }
        Some(Extension { name, params })
    }

    /// The next parameter. `None`: there are no more. `Some(None)`: what follows is no parameter.
    fn param(&mut self) -> Option<Option<(&'a str, Option<Value<'a>>)>> {
        if !self.eat(b';') {
            return None;
        }
        let Some(name) = self.token() else { return Some(None) };
        if !self.eat(b'=') {
            return Some(Some((name, None)));
        }
        Some(self.value().map(|value| (name, Some(value))))
    }

    fn token(&mut self) -> Option<&'a str> {
        let len = self.0.iter().take_while(|&&byte| is_tchar(byte)).count();
        let (token, rest) = self.0.split_at(len);
        self.0 = rest;
        core::str::from_utf8(token).ok().filter(|token| !token.is_empty())
    }

    /// §9.1: the text between quotes "MUST conform to the token ABNF" too.
    fn value(&mut self) -> Option<Value<'a>> {
        let Some(quoted) = self.0.strip_prefix(b"\"") else { return self.token().map(|token| Value(token.as_bytes())) };
        let mut bytes = quoted.iter();
        let mut len = 0_usize;
        loop {
            len = len.saturating_add(match bytes.next()? {
                b'"' => break,
                b'\\' => {
                    bytes.next()?;
                    2
                }
                _ => 1,
            });
        }
        self.0 = bytes.as_slice();
        let value = Value(quoted.get(..len)?);
        (len > 0 && value.bytes().all(is_tchar)).then_some(value)
    }

    /// If this byte comes next, takes it and the whitespace around it.
    fn eat(&mut self, byte: u8) -> bool {
        self.0 = self.0.trim_ascii_start();
        let Some((_, rest)) = self.0.split_first().filter(|(first, _)| **first == byte) else { return false };
        self.0 = rest.trim_ascii_start();
        true
    }
}

/// Whether all fields of this name together are a list that contains `wanted`, in upper or lower case, and whose
/// elements are all `well_formed`. `wanted` may stand there more than once: RFC 6455 asks for fields that
/// "include" it (§4.2.1), and RFC 9110 does not forbid equal elements in these lists.
pub(super) fn includes(headers: &Headers, name: &str, wanted: &[u8], well_formed: fn(&[u8]) -> bool) -> bool {
    // The common case: one field with this element only.
    // Speed only; whatever does not match takes the general path.
    if headers.only(name).is_some_and(|only| only.eq_ignore_ascii_case(wanted)) {
        return true;
    }
    let mut included = false;
    let all = headers.list(name).all(|element| {
        let is_wanted = element.eq_ignore_ascii_case(wanted);
        included |= is_wanted;
        is_wanted || well_formed(element)
    });
    all && included
}

/// RFC 9110 §7.8: a protocol is a name, or a name and a version.
pub(super) fn is_protocol(element: &[u8]) -> bool {
    let mut parts = element.split(|&byte| byte == b'/');
    parts.by_ref().take(2).all(is_token) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    type Read = Vec<(String, Vec<(String, Option<String>)>)>;

    fn parse(lines: &[&str]) -> Result<Read, HandshakeError> {
        let mut headers = Headers::new();
        for line in lines {
            headers.append("Sec-WebSocket-Extensions", line).unwrap();
        }
        let text = |value: Value<'_>| String::from_utf8(value.bytes().collect()).unwrap();
        let read = |extension: Extension<'_>| {
            let params = extension.params().map(|(name, value)| (name.into(), value.map(text)));
            (extension.name.into(), params.collect())
        };
        extensions(&headers).map(|element| element.map(read)).collect()
    }

    fn extension(name: &str, params: &[(&str, Option<&str>)]) -> (String, Vec<(String, Option<String>)>) {
        (name.into(), params.iter().map(|(name, value)| ((*name).into(), value.map(String::from))).collect())
    }

    #[test]
    fn extension_lists() {
        assert_eq!(parse(&[]), Ok(Read::new()));
        assert_eq!(parse(&["", " , ,, "]), Ok(Read::new()));
        assert_eq!(parse(&["foo"]), Ok([extension("foo", &[])].into()));
        assert_eq!(parse(&["foo , bar", "baz"]).unwrap().len(), 3);
        let expected = extension("deflate", &[("a", None), ("b", Some("10")), ("c", Some("x.y")), ("d", None)]);
        assert_eq!(parse(&["deflate; a;b=10 ;c = \"x\\.y\";d"]), Ok([expected].into()));
        let two = [extension("a", &[("q", Some("x"))]), extension("b", &[])];
        assert_eq!(parse(&["a;q=\"x\",b"]), Ok(two.into()));
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
            "foo;a=\"\\\"\"",
            "bar, ;",
        ] {
            assert_eq!(parse(&[wrong]), Err(HandshakeError::ExtensionsInvalid), "{wrong}");
            assert_eq!(parse(&["a", wrong, "b"]), Err(HandshakeError::ExtensionsInvalid), "{wrong}");
        }
    }

    #[test]
    fn lists_include_an_element_once_or_more() {
        for (list, included) in [
            ("websocket", true),
            ("a/1, WebSocket, websocket", true),
            ("websocket/13", false),
            ("websocket, a/b/c", false),
            ("websocket, a b", false),
            ("websocket, /", false),
            ("", false),
        ] {
            let mut headers = Headers::new();
            headers.append("Upgrade", list).unwrap();
            assert_eq!(includes(&headers, "upgrade", b"websocket", is_protocol), included, "{list}");
        }
    }
}
