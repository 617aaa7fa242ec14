//! Percent-encoding: the form in which the path and the query of a URI are sent. It follows the WHATWG URL
//! Standard, so that a server gets from us what it gets from a browser.

use alloc::string::String;
use alloc::vec::Vec;

/// The WHATWG "path state" of a special scheme, such as `ws`: a backslash counts as a slash, the segments `.`
/// and `..` are removed, and a character that may not stand in a path is percent-encoded. A `%` is left as
/// it is, whatever follows it.
pub(super) fn encode_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len().max(1));
    let mut segments = path.split(['/', '\\']).skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment.as_bytes() {
            segment if is_dots(segment, 1) => {}
            segment if is_dots(segment, 2) => out.truncate(out.rfind('/').unwrap_or(0)),
            segment => {
                out.push('/');
                encode(&mut out, segment, b"\"#<>?^`{}");
                continue;
            }
        }
        // If the last segment is removed, the path ends in a slash.
        if last {
            out.push('/');
        }
    }
    if out.is_empty() {
        out.push('/');
    }
    out
}

/// The WHATWG "special-query percent-encode set".
pub(super) fn encode_query(out: &mut String, query: &str) {
    encode(out, query.as_bytes(), b"\"#'<>");
}

/// Appends `text`. Bytes that are not visible ASCII, or are in `set`, are percent-encoded.
fn encode(out: &mut String, text: &[u8], set: &[u8]) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or_default();
    for &byte in text {
        if byte.is_ascii_graphic() && !set.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// Whether the segment consists of `count` dots. Each of them may be percent-encoded.
fn is_dots(mut segment: &[u8], count: usize) -> bool {
    for _ in 0..count {
        segment = match segment {
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            _ => return false,
        };
    }
    segment.is_empty()
}

/// RFC 3986 §2.1: decodes a percent-encoded text. A `%` that two digits do not follow is left as it is.
pub(crate) fn decode(text: &str) -> Vec<u8> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, sent) in [
            ("", "/"),
            ("/", "/"),
            ("//", "//"),
            ("/a/b", "/a/b"),
            ("/a//../b", "/a/b"),
            ("/.", "/"),
            ("/..", "/"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/b/../..", "/"),
            ("/a/%2E%2e/b/%2e", "/b/"),
            ("/../../a", "/a"),
            ("/...", "/..."),
            ("/.a", "/.a"),
            ("/a\\b\\..\\c", "/a/c"),
            ("/\"#<>?^`{}", "/%22%23%3C%3E%3F%5E%60%7B%7D"),
            ("/|[]'%zz%", "/|[]'%zz%"),
            ("/\u{e9}\u{20ac}", "/%C3%A9%E2%82%AC"),
        ] {
            assert_eq!(encode_path(path), sent, "{path}");
        }
    }

    #[test]
    fn queries() {
        let mut sent = String::new();
        encode_query(&mut sent, "a=\"'<>\u{e9}#&b[]=\\^`{|}%zz/../?");
        assert_eq!(sent, "a=%22%27%3C%3E%C3%A9%23&b[]=\\^`{|}%zz/../?");
    }

    #[test]
    fn decoding() {
        assert_eq!(decode("a%2fb%zz%2"), b"a/b%zz%2");
    }
}
