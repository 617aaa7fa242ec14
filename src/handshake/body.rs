//! RFC 9112 §6, §7.1: the body of a server's answer other than 101, up to the limit. A body whose framing
//! is wrong is no error; it ends where the framing goes wrong. The body is only shown to people, and
//! nothing else comes on the connection after it.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "`body.len() <= limit`, and of the rest no more is taken than is wanted"
)]

use alloc::vec::Vec;
use core::fmt;

use crate::http::Headers;

/// RFC 9112 §6.3: where the body ends.
pub(super) enum BodyReader {
    /// The body ends after this many more bytes; for `u64::MAX`, at the end of the connection.
    Length(u64),
    /// The body comes in chunks: the line that is being read, and how much is left of the chunk.
    Chunked { line: Vec<u8>, left: u64 },
}

impl BodyReader {
    pub(super) fn new(status: u16, headers: &Headers) -> BodyReader {
        if matches!(status, 204 | 304) {
            return BodyReader::Length(0);
        }
        // RFC 9112 §6.3: chunked says where the body ends only if it is the last encoding.
        let encoding = headers.list("Transfer-Encoding").last();
        if encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case(b"chunked")) {
            return BodyReader::Chunked { line: Vec::new(), left: 0 };
        }
        match content_length(headers) {
            Some(len) if !headers.contains("Transfer-Encoding") => BodyReader::Length(len),
            _ => BodyReader::Length(u64::MAX),
        }
    }

    /// Takes the body's bytes off the front of `input`. Returns true when the body has ended, or `limit`
    /// bytes of it have come.
    pub(super) fn receive(&mut self, input: &mut &[u8], body: &mut Vec<u8>, limit: usize) -> bool {
        while body.len() < limit {
            let wanted = match self {
                BodyReader::Length(left) => left,
                BodyReader::Chunked { left, .. } if *left > 0 => left,
                BodyReader::Chunked { line, left } => {
                    let Some((&byte, rest)) = input.split_first() else { return false };
                    *input = rest;
                    if line.len() == MAX_CHUNK_LINE {
                        return true;
                    }
                    line.push(byte);
                    // RFC 9112 §7.1: the data of the chunk before ends in CRLF, in front of this size.
                    if byte == b'\n' && !line.trim_ascii().is_empty() {
                        match httparse::parse_chunk_size(line.trim_ascii_start()) {
                            Ok(httparse::Status::Complete((_, size))) if size > 0 => *left = size,
                            _ => return true,
                        }
                        line.clear();
                    }
                    continue;
                }
            };
            let space = (limit - body.len()) as u64;
            let len = input.len().min(space.min(*wanted) as usize);
            let (part, rest) = input.split_at(len);
            body.extend_from_slice(part);
            *input = rest;
            *wanted -= len as u64;
            if *wanted == 0 && matches!(self, BodyReader::Length(_)) {
                return true;
            }
            if input.is_empty() {
                return body.len() >= limit;
            }
        }
        true
    }
}

/// The value of Content-Length. RFC 9110 §8.6: it has digits only. RFC 9112 §6.3: several equal values
/// count as one.
fn content_length(headers: &Headers) -> Option<u64> {
    let mut lengths = headers.list("Content-Length").map(|len| {
        let digits = len.iter().all(u8::is_ascii_digit).then_some(len)?;
        core::str::from_utf8(digits).ok()?.parse::<u64>().ok()
    });
    let first = lengths.next()??;
    lengths.all(|len| len == Some(first)).then_some(first)
}

/// `Debug` shows no byte of the body, which may be secret.
impl fmt::Debug for BodyReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyReader::Length(left) => f.debug_tuple("Length").field(left).finish(),
            BodyReader::Chunked { left, .. } => f.debug_struct("Chunked").field("left", left).finish_non_exhaustive(),
        }
    }
}

/// The longest line with a chunk's size, in bytes. A longer line ends the body.
const MAX_CHUNK_LINE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;

    /// The body, and whether it has ended. Both are the same whether `bytes` come at once or one by one.
    fn read(fields: &[(&str, &str)], bytes: &[u8], limit: usize) -> (String, bool) {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.append(name, value).unwrap();
        }
        let (mut whole, mut parts) = (Vec::new(), Vec::new());
        let ended = BodyReader::new(403, &headers).receive(&mut &bytes[..], &mut whole, limit);
        let mut body = BodyReader::new(403, &headers);
        let ended_in_parts = bytes.iter().any(|&byte| body.receive(&mut &[byte][..], &mut parts, limit));
        assert_eq!((&parts, ended_in_parts), (&whole, ended));
        (String::from_utf8(whole).unwrap(), ended)
    }

    #[test]
    fn lengths() {
        const NAME: &str = "Content-Length";
        for (fields, body, ended) in [
            (&[(NAME, "2")][..], "ab", true),
            (&[(NAME, "2"), (NAME, "02, 2")], "ab", true),
            (&[(NAME, "2"), (NAME, "3")], "abcd", false),
            (&[(NAME, "+2")], "abcd", false),
            (&[(NAME, "-2")], "abcd", false),
            (&[(NAME, "")], "abcd", false),
            (&[(NAME, "99999999999999999999")], "abcd", false),
            (&[(NAME, "18446744073709551615")], "abcd", false),
            (&[(NAME, "2"), ("Transfer-Encoding", "gzip")], "abcd", false),
        ] {
            assert_eq!(read(fields, b"abcd", 9), (body.into(), ended), "{fields:?}");
        }
        assert_eq!(read(&[], b"abcd", 3), ("abc".into(), true));
        assert_eq!(read(&[], b"abcd", 0), (String::new(), true));
    }

    #[test]
    fn chunks() {
        let long = format!("1;{}\r\na", "x".repeat(300));
        let blank = "\r\n".repeat(300);
        for (bytes, body, ended) in [
            ("1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n", "abc", true),
            ("2\r\na", "a", false),
            ("FFFFFFFFFFFFFFFF\r\nabc", "abc", false),
            ("10000000000000000\r\nabc", "", true),
            ("1\na", "", true),
            ("-1\r\na", "", true),
            (&long, "", true),
            (&blank, "", true),
            ("", "", false),
        ] {
            let chunked = [("Transfer-Encoding", "gzip, Chunked"), ("Content-Length", "1")];
            assert_eq!(read(&chunked, bytes.as_bytes(), 9), (body.into(), ended), "{bytes}");
        }
    }
}
