//! RFC 9112: reads the head of an HTTP/1 message, from its first byte to its empty line. Each byte is
//! judged once, when it comes. This file knows no header by name.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "positions in a head, which has a limit; each line that is looked at ends in CRLF"
)]

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::buffer::reserve_within;
use crate::error::HandshakeError;
use crate::http::{Headers, Request, is_control, is_tchar};

/// Gathers a head within limits. Each byte is judged when it comes, so a wrong head is refused at its
/// first wrong byte, and the result does not depend on how the input was cut.
pub(crate) struct HeadReader {
    kind: HeadKind,
    at: At,
    bytes: Vec<u8>,
    /// The position in `bytes` of the line that is being read.
    line: usize,
    /// The position of the first line, once it is complete.
    first: Range<usize>,
    /// How many lines are complete, the first one included.
    lines: usize,
    /// How many bytes of `max_head` the heads before this one have used up.
    spent: usize,
    max_head: usize,
    max_headers: usize,
}

/// Whose rules the first line follows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HeadKind {
    Request,
    Response,
}

/// Where in its line the next byte stands.
#[derive(Clone, Copy)]
enum At {
    /// It is the first byte of the line.
    Begin,
    /// It stands in the first word of a request.
    Method,
    /// It stands anywhere else.
    Within,
    /// It follows a CR.
    Cr,
}

impl HeadReader {
    pub(crate) fn request(max_head: usize, max_headers: usize) -> HeadReader {
        HeadReader::new(HeadKind::Request, 0, max_head, max_headers)
    }

    /// A reader for a response that follows interim ones of `spent` bytes, which count for the limit too.
    pub(crate) fn response(spent: usize, max_head: usize, max_headers: usize) -> HeadReader {
        HeadReader::new(HeadKind::Response, spent, max_head, max_headers)
    }

    fn new(kind: HeadKind, spent: usize, max_head: usize, max_headers: usize) -> HeadReader {
        let bytes = Vec::new();
        HeadReader { kind, at: At::Begin, bytes, line: 0, first: 0..0, lines: 0, spent, max_head, max_headers }
    }

    /// Takes the head's bytes off the front of `input`. Returns true when the head is complete; what is
    /// left of `input` comes after it. On an error the byte that proves it has been taken, but no byte
    /// beyond the limit.
    pub(crate) fn receive(&mut self, input: &mut &[u8]) -> Result<bool, HandshakeError> {
        let (more, most) = (self.allowance().min(input.len()), self.max_head.saturating_sub(self.spent));
        reserve_within(&mut self.bytes, more, most);
        loop {
            self.skim(input);
            if self.skim_end(input) {
                continue;
            }
            let Some((&byte, rest)) = input.split_first() else { return Ok(false) };
            if self.allowance() == 0 {
                return Err(match (self.kind, self.lines) {
                    (HeadKind::Request, 0) => HandshakeError::TargetTooLong { limit: self.max_head },
                    _ => HandshakeError::HeadTooLarge { limit: self.max_head },
                });
            }
            *input = rest;
            let next = self.judge(byte)?;
            self.bytes.push(byte);
            match next {
                Some(next) => self.at = next,
                None if self.end_line() => return Ok(true),
                None => self.at = At::Begin,
            }
        }
    }

    /// Takes the bytes inside a line up to the next control character, at once.
    /// Speed only; whatever does not match takes the general path, [`judge`](Self::judge).
    fn skim(&mut self, input: &mut &[u8]) {
        let judged = self.kind == HeadKind::Response && self.lines == 0 && self.bytes.len() < PROTOCOL.len();
        if !matches!(self.at, At::Within) || judged {
            return;
        }
        let (allowed, _) = input.split_at(self.allowance().min(input.len()));
        let (taken, rest) = input.split_at(without_control(allowed));
        self.bytes.extend_from_slice(taken);
        *input = rest;
    }

    /// After [`skim`](Self::skim): takes the end of the line and the first byte of the next one, if that is a letter of a
    /// header's name. True if it did: then there is more to skim.
    /// Speed only; whatever does not match takes the general path, [`judge`](Self::judge).
    fn skim_end(&mut self, input: &mut &[u8]) -> bool {
        let more = self.lines < self.max_headers && self.allowance() >= 3;
        if let [b'\r', b'\n', letter, rest @ ..] = input
            && matches!(self.at, At::Within)
            && letter.is_ascii_alphabetic()
            && more
        {
            self.bytes.extend_from_slice(b"\r\n");
            self.end_line();
            self.bytes.push(*letter);
            *input = rest;
            return true;
        }
        false
    }

    /// How many bytes the limit still allows.
    fn allowance(&self) -> usize {
        self.max_head.saturating_sub(self.spent).saturating_sub(self.bytes.len())
    }

    /// Judges one byte. Returns where the next one stands, or `None` if this byte ends the line.
    fn judge(&self, byte: u8) -> Result<Option<At>, HandshakeError> {
        let column = self.bytes.len() - self.line;
        let first = self.lines == 0;
        Ok(Some(match (self.at, byte) {
            (At::Cr, b'\n') => return Ok(None),
            // RFC 9112 §2.2: "a bare CR" makes the element invalid.
            (At::Cr, _) => return Err(HandshakeError::ControlCharacter),
            // RFC 9112 §2.2 allows to take a lone LF for the end of a line. We refuse it: a proxy in front may
            // read it in the other way, and then the two disagree about where a head ends.
            (_, b'\n') => return Err(HandshakeError::BareLineFeed),
            // RFC 9112 §2.2: an empty line before a request line is ignored. We ignore one, not more.
            (At::Begin, b'\r') if first && (self.kind == HeadKind::Response || self.line > 0) => {
                return Err(HandshakeError::MalformedHead);
            }
            (At::Begin | At::Within, b'\r') => At::Cr,
            (_, byte) if is_control(byte) && byte != b'\r' => return Err(HandshakeError::ControlCharacter),
            // RFC 9112 §5.2: a header line that continues the one before it (obs-fold) is refused.
            (At::Begin, b' ' | b'\t') if !first => return Err(HandshakeError::FoldedHeader),
            // `lines` counts the first line too, which is no header.
            (At::Begin, _) if !first && self.lines > self.max_headers => {
                return Err(HandshakeError::TooManyHeaders { limit: self.max_headers });
            }
            // RFC 9112 §3: a request begins with a token and a space. A client of another protocol, such as TLS,
            // fails here; it may never send the end of a line.
            (At::Method, b' ') => At::Within,
            (At::Begin | At::Method, byte) if first && self.kind == HeadKind::Request => match is_tchar(byte) {
                true => At::Method,
                false => return Err(HandshakeError::MalformedHead),
            },
            // RFC 9112 §4: a response begins with the version.
            (_, byte)
                if first && self.kind == HeadKind::Response && PROTOCOL.get(column).is_some_and(|&b| b != byte) =>
            {
                return Err(HandshakeError::MalformedHead);
            }
            _ => At::Within,
        }))
    }

    /// Notes that a line is complete. Returns true if it is the empty line behind the headers.
    fn end_line(&mut self) -> bool {
        let line = self.line..self.bytes.len() - 2;
        self.line = self.bytes.len();
        if self.lines == 0 {
            if line.is_empty() {
                return false;
            }
            self.first = line.clone();
        }
        self.lines += 1;
        line.is_empty()
    }

    /// How many bytes have been gathered.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the request's method is HEAD, as far as it has been read.
    pub(crate) fn is_head(&self) -> bool {
        self.bytes.trim_ascii_start().starts_with(b"HEAD ")
    }

    /// The complete head as a request.
    #[expect(clippy::indexing_slicing, reason = "`first` is a line in `bytes`, and ends in a version")]
    pub(crate) fn into_request(mut self) -> Result<Request, HandshakeError> {
        // RFC 9112 §3: method SP request-target SP HTTP-version.
        let mut words = self.bytes[self.first.clone()].split(|&byte| byte == b' ').skip(2);
        let (Some(version), None) = (words.next(), words.next()) else { return Err(HandshakeError::MalformedHead) };
        let version = (1, minor_version(version)?);
        // RFC 9110 §2.5: a message of another minor version is read as HTTP/1.1. `httparse` must see it so.
        self.bytes[self.first.end - 1] = b'1';
        // Most requests have few lines, and need no memory for this.
        let (mut few, mut many) = ([httparse::EMPTY_HEADER; FEW_LINES], Vec::new());
        let slots = if self.lines <= FEW_LINES {
            &mut few[..]
        } else {
            many.resize(self.lines, httparse::EMPTY_HEADER);
            &mut many[..]
        };
        let mut request = httparse::Request::new(slots);
        complete(request.parse(&self.bytes))?;
        let method = request.method.unwrap_or_default().into();
        let target = request.path.unwrap_or_default().into();
        // The target is not kept twice: it may be nearly all of the head.
        let headers = self.first.end + 2;
        let fields = fields(&self.bytes[headers..], request.headers);
        self.bytes.drain(..headers);
        if headers >= LONG_LINE {
            self.bytes.shrink_to_fit();
        }
        Ok(Request { method, target, headers: Headers::parsed(self.bytes, fields), version, protocol: None })
    }

    /// The complete head as a response.
    #[expect(clippy::indexing_slicing, reason = "`first` is a line in `bytes`, and begins with a version")]
    pub(crate) fn into_response(mut self) -> Result<ResponseHead, HandshakeError> {
        let line = &mut self.bytes[self.first.clone()];
        let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
        let minor = minor_version(&line[..end])?;
        line[end - 1] = b'1';
        let mut slots = vec![httparse::EMPTY_HEADER; self.lines];
        let mut response = httparse::Response::new(&mut slots);
        complete(response.parse(&self.bytes))?;
        let status = response.code.unwrap_or_default();
        let fields = fields(&self.bytes, response.headers);
        Ok(ResponseHead { minor, status, headers: Headers::parsed(self.bytes, fields) })
    }
}

/// `Debug` shows no byte of the head, which may be secret.
impl fmt::Debug for HeadReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeadReader").field("len", &self.len()).field("lines", &self.lines).finish_non_exhaustive()
    }
}

/// The parts of a response's head.
pub(crate) struct ResponseHead {
    /// The minor version: the y of HTTP/1.y.
    pub(crate) minor: u8,
    pub(crate) status: u16,
    pub(crate) headers: Headers,
}

fn complete(parsed: Result<httparse::Status<usize>, httparse::Error>) -> Result<(), HandshakeError> {
    match parsed {
        Ok(httparse::Status::Complete(_)) => Ok(()),
        // The head has its empty line, so "partial" means that the first line is malformed.
        _ => Err(HandshakeError::MalformedHead),
    }
}

/// How many bytes stand before the first control character.
fn without_control(bytes: &[u8]) -> usize {
    // The inner loop does not stop early: only then does the compiler turn it into vector code.
    let any = |chunk: &[u8; 16]| chunk.iter().fold(false, |any, &byte| any | is_control(byte));
    let whole = bytes.as_chunks::<16>().0.iter().take_while(|chunk| !any(chunk)).count() * 16;
    let rest = bytes.iter().skip(whole);
    whole + rest.take_while(|byte| !is_control(**byte)).count()
}

/// The second digit of the version, if the first is 1. RFC 9112 §2.3: a version is `HTTP/` DIGIT `.` DIGIT.
fn minor_version(version: &[u8]) -> Result<u8, HandshakeError> {
    match version.strip_prefix(PROTOCOL) {
        Some([b'1', b'.', minor @ b'0'..=b'9']) => Ok(minor - b'0'),
        // HTTP/2 is written with and without a minor version.
        Some([b'0' | b'2'..=b'9'] | [b'0' | b'2'..=b'9', b'.', b'0'..=b'9']) => Err(HandshakeError::HttpVersionUnknown),
        _ => Err(HandshakeError::MalformedHead),
    }
}

/// Where the names and values of `headers` lie in `bytes`.
fn fields(bytes: &[u8], headers: &[httparse::Header<'_>]) -> Vec<(Range<usize>, Range<usize>)> {
    let base = bytes.as_ptr().addr();
    let place = |part: &[u8]| {
        let start = if part.is_empty() { 0 } else { part.as_ptr().addr() - base };
        start..start + part.len()
    };
    headers.iter().map(|header| (place(header.name.as_bytes()), place(header.value))).collect()
}

const PROTOCOL: &[u8] = b"HTTP/";

/// So many lines of a browser's request find room on the stack: half a KiB of it.
const FEW_LINES: usize = 16;

/// From this length on, the memory of a request line is worth giving back.
const LONG_LINE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    /// The error, and how much of the input was left. Both are the same wherever the input is cut.
    fn refused(mut reader: impl FnMut() -> HeadReader, bytes: &[u8]) -> (HandshakeError, usize) {
        let mut whole = bytes;
        let error = reader().receive(&mut whole).unwrap_err();
        for cut in 0..bytes.len() {
            let (mut front, mut back) = bytes.split_at(cut);
            let mut reader = reader();
            let left = match reader.receive(&mut front) {
                Err(early) => {
                    assert_eq!(early, error, "cut at {cut}");
                    front.len() + back.len()
                }
                Ok(complete) => {
                    assert!(!complete && front.is_empty());
                    assert_eq!(reader.receive(&mut back), Err(error), "cut at {cut}");
                    back.len()
                }
            };
            assert_eq!(left, whole.len(), "cut at {cut}");
        }
        (error, whole.len())
    }

    #[test]
    fn a_wrong_byte_is_refused_as_it_comes() {
        use HandshakeError::*;
        for (head, error) in [
            (&b"\x16"[..], ControlCharacter),
            (b"\x80", MalformedHead),
            (b" ", MalformedHead),
            (b"GE(", MalformedHead),
            (b"GET\r", MalformedHead),
            (b"\r\n\r", MalformedHead),
            (b"\n", BareLineFeed),
            (b"GET / HTTP/1.1\n", BareLineFeed),
            (b"GET / HTTP/1.1\rX", ControlCharacter),
            (b"GET /\0", ControlCharacter),
            (b"GET / HTTP/1.1\r\n ", FoldedHeader),
            (b"GET / HTTP/1.1\r\nA: b\r\n\t", FoldedHeader),
            (b"GET / HTTP/1.1\r\nA: b\r\nB: c\r\nC", TooManyHeaders { limit: 2 }),
        ] {
            let bytes = [head, b"rest"].concat();
            let name = format!("{:?}", std::string::String::from_utf8_lossy(head));
            assert_eq!(refused(|| HeadReader::request(100, 2), &bytes), (error, 4), "{name}");
        }
        for wrong in [&b"\r"[..], b"S", b"HTTPS"] {
            let bytes = [wrong, b"rest"].concat();
            assert_eq!(refused(|| HeadReader::response(0, 100, 2), &bytes), (MalformedHead, 4));
        }
    }

    /// [`HeadReader::skim_end`] needs three bytes at once. Where it has them not, the result is the same: up to the
    /// limits, which are those of this head, and beyond them.
    #[test]
    fn ends_of_lines_are_the_same_byte_by_byte() {
        let head = b"\r\nGET / HTTP/1.1\r\nHost: h\r\nA:\r\n!b: c\r\nD: e\r\n\r\n";
        for (max_head, max_headers) in
            [(head.len(), 4), (head.len() - 1, 4), (head.len(), 3), (20, 9), (21, 9), (22, 9)]
        {
            let new = || HeadReader::request(max_head, max_headers);
            let (mut whole, mut bytes) = (new(), new());
            let mut rest = &head[..];
            let at_once = whole.receive(&mut rest);
            let one_by_one = head.iter().map(|byte| bytes.receive(&mut &[*byte][..])).find(|done| *done != Ok(false));
            assert_eq!(Some(at_once), one_by_one, "{max_head} bytes, {max_headers} headers");
            assert_eq!((&whole.bytes, whole.lines, &whole.first), (&bytes.bytes, bytes.lines, &bytes.first));
            if at_once.is_ok() {
                let (whole, bytes) = (whole.into_request().unwrap(), bytes.into_request().unwrap());
                assert_eq!((whole.headers.len(), &whole), (4, &bytes));
            }
        }
    }

    /// [`HeadReader::skim`] takes only bytes that [`HeadReader::judge`] accepts, and that leave the reader where it is.
    #[test]
    fn the_fast_path_agrees_with_the_general_one() {
        let (request, response) = (HeadReader::request(100, 9), HeadReader::response(0, 100, 9));
        for (mut reader, front) in [(request, &b"G \r\n"[..]), (response, b"HTTP/1.1 200\r\nA: b\r\n")] {
            let mut skimmed = 0;
            for byte in front {
                for next in 0..=u8::MAX {
                    let mut rest = &[next][..];
                    let judged = reader.judge(next);
                    reader.skim(&mut rest);
                    if rest.is_empty() {
                        skimmed += 1;
                        reader.bytes.pop();
                        assert!(matches!(judged, Ok(Some(At::Within))), "{next:#x} after {:?}", reader.bytes);
                    }
                }
                assert!(!reader.receive(&mut &[*byte][..]).unwrap());
            }
            assert!(skimmed > 0);
        }
    }

    #[test]
    fn nothing_is_taken_beyond_the_limit() {
        let head = b"GET /a HTTP/1.1\r\nA: bcd\r\n\r\n";
        for limit in 0..head.len() {
            let error = match limit {
                ..17 => HandshakeError::TargetTooLong { limit },
                _ => HandshakeError::HeadTooLarge { limit },
            };
            assert_eq!(refused(|| HeadReader::request(limit, 9), head), (error, head.len() - limit));
        }
        assert_eq!(HeadReader::request(head.len(), 9).receive(&mut &head[..]), Ok(true));
        let long = (HandshakeError::HeadTooLarge { limit: 10 }, 3);
        assert_eq!(refused(|| HeadReader::response(2, 10, 9), b"HTTP/1.1 20"), long);
    }

    #[test]
    fn versions() {
        use HandshakeError::*;
        for (line, error) in [
            ("GET / HTTP/1.1", None),
            ("\r\nGET / HTTP/1.2", None),
            ("GET / HTTP/1.0", None),
            ("GET / HTTP/2", Some(HttpVersionUnknown)),
            ("PRI * HTTP/2.0", Some(HttpVersionUnknown)),
            ("GET / FOOBAR/9", Some(MalformedHead)),
            ("GET / http/1.1", Some(MalformedHead)),
            ("GET / HTTP/1", Some(MalformedHead)),
            ("GET / HTTP/11.1", Some(MalformedHead)),
            ("GET / a HTTP/2.0", Some(MalformedHead)),
            ("GET /", Some(MalformedHead)),
            ("GET ", Some(MalformedHead)),
        ] {
            let mut reader = HeadReader::request(100, 9);
            assert_eq!(reader.receive(&mut format!("{line}\r\nA: b\r\n\r\n").as_bytes()), Ok(true));
            assert_eq!(reader.into_request().err(), error, "{line}");
        }
        for line in ["HTTP/1.1", "HTTP/", "HTTP/ 200", "HTTP/1.1 2x0", "HTTP/1.1  200"] {
            let mut reader = HeadReader::response(0, 100, 9);
            assert_eq!(reader.receive(&mut format!("{line}\r\n\r\n").as_bytes()), Ok(true));
            assert_eq!(reader.into_response().err(), Some(MalformedHead), "{line}");
        }
    }
}
