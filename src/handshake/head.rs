//! RFC 9112: reads the head of an HTTP/1 message, from its first byte to its empty line. Each byte is
//! judged once, when it comes; a header's name at the end of its line, and the words of the first line at the end of the
//! head. This file knows no header by name.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "positions in a head, which has a limit; each line that is looked at ends in CRLF"
)]

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::buffer::reserve_within;
use crate::error::HandshakeError;
use crate::http::{Field, Headers, Request, is_control, is_tchar};

/// Gathers a head within limits. Each byte is judged when it comes, so a head of wrong bytes or lines is refused at the
/// first of them; a wrong name or word waits for the end of its line, or of the head. The result does not depend on how the
/// input was cut.
pub(crate) struct HeadReader {
    kind: HeadKind,
    at: At,
    bytes: Vec<u8>,
    /// The position in `bytes` of the line that is being read.
    line: usize,
    /// The position of the first line, once it is complete.
    first: Range<usize>,
    /// Where the names and values of the complete header lines lie behind the first line.
    fields: Vec<Field>,
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
        let (bytes, fields) = (Vec::new(), Vec::new());
        HeadReader { kind, at: At::Begin, bytes, line: 0, first: 0..0, fields, lines: 0, spent, max_head, max_headers }
    }

    /// Takes the head's bytes off the front of `input`. Returns true when the head is complete; what is
    /// left of `input` comes after it. On an error the byte that proves it has been taken, but no byte
    /// beyond the limit.
    pub(crate) fn receive(&mut self, input: &mut &[u8]) -> Result<bool, HandshakeError> {
        let most = self.max_head.saturating_sub(self.spent);
        loop {
            let old = self.bytes.len();
            let allowed = piece(input.get(..self.allowance()).unwrap_or(input));
            reserve_within(&mut self.bytes, allowed.len(), most);
            self.bytes.extend_from_slice(allowed);
            let mut next = old;
            let complete = self.judge_from(&mut next);
            // What lies behind the end of the head, or behind the wrong byte, is not the head's.
            self.bytes.truncate(next);
            *input = input.get(next - old..).unwrap_or_default();
            if complete != Ok(false) || input.is_empty() {
                return complete;
            }
            if self.allowance() == 0 {
                return Err(match (self.kind, self.lines) {
                    (HeadKind::Request, 0) => HandshakeError::TargetTooLong { limit: self.max_head },
                    _ => HandshakeError::HeadTooLarge { limit: self.max_head },
                });
            }
        }
    }

    /// Judges the bytes from `next` on, and moves `next` behind the last one that was judged. Returns true if that ends the
    /// head.
    fn judge_from(&mut self, next: &mut usize) -> Result<bool, HandshakeError> {
        loop {
            *next += self.skim(*next);
            let Some(&byte) = self.bytes.get(*next) else { return Ok(false) };
            *next += 1;
            match self.judge(byte, *next - 1 - self.line)? {
                Some(at) => self.at = at,
                None if self.end_line(*next)? => return Ok(true),
                None => self.at = At::Begin,
            }
        }
    }

    /// How many bytes from `next` on stand within a line and are no control characters, so that nothing else is to be judged
    /// of them, nor of the CR behind them.
    /// Speed only; whatever is left over takes the general path, [`judge`](Self::judge).
    fn skim(&mut self, next: usize) -> usize {
        let judged = self.kind == HeadKind::Response && self.lines == 0 && next < PROTOCOL.len();
        if !matches!(self.at, At::Within) || judged {
            return 0;
        }
        let rest = self.bytes.get(next..).unwrap_or_default();
        let within = without_control(rest);
        if rest.get(within) == Some(&b'\r') {
            self.at = At::Cr;
            return within + 1;
        }
        within
    }

    /// How many bytes the limit still allows.
    fn allowance(&self) -> usize {
        self.max_head.saturating_sub(self.spent).saturating_sub(self.bytes.len())
    }

    /// Judges the byte that stands at `column` of its line. Returns where the next one stands, or `None` if this byte ends
    /// the line.
    fn judge(&self, byte: u8, column: usize) -> Result<Option<At>, HandshakeError> {
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

    /// Notes that a line is complete, of which `end` is the end. Returns true if it is the empty line behind the headers.
    fn end_line(&mut self, end: usize) -> Result<bool, HandshakeError> {
        let line = self.line..end - 2;
        self.line = end;
        if self.lines == 0 {
            if line.is_empty() {
                return Ok(false);
            }
            self.first = line;
        } else if line.is_empty() {
            return Ok(true);
        } else {
            let more = if self.fields.is_empty() { FEW_FIELDS } else { 1 };
            reserve_within(&mut self.fields, more, self.max_headers.min(self.max_head / SHORTEST_FIELD));
            self.fields.push(field(self.bytes.get(line.clone()).unwrap_or_default(), line.start - self.first.end - 2)?);
        }
        self.lines += 1;
        Ok(false)
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
    pub(crate) fn into_request(self) -> Result<Request, HandshakeError> {
        // RFC 9112 §3: method SP request-target SP HTTP-version. `judge` has seen that the method is a token.
        let mut words = self.first_line().split(|&byte| byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(HandshakeError::MalformedHead);
        };
        let version = (1, minor_version(version)?);
        let text = |word| core::str::from_utf8(word).map_err(|_| HandshakeError::MalformedHead);
        let (method, target) = (text(method)?.into(), text(target)?);
        if target.is_empty() || target.contains('\t') {
            return Err(HandshakeError::MalformedHead);
        }
        Ok(Request { method, target: target.into(), version, protocol: None, headers: self.into_headers() })
    }

    /// The complete head as a response.
    pub(crate) fn into_response(self) -> Result<ResponseHead, HandshakeError> {
        // RFC 9112 §4: HTTP-version SP status-code SP [ reason-phrase ]. Many servers leave out the second space when
        // they have no reason.
        let mut words = self.first_line().splitn(3, |&byte| byte == b' ');
        let minor = minor_version(words.next().unwrap_or_default())?;
        let status = match words.next() {
            Some(digits @ [_, _, _]) if digits.iter().all(u8::is_ascii_digit) => {
                digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'))
            }
            _ => return Err(HandshakeError::MalformedHead),
        };
        Ok(ResponseHead { minor, status, headers: self.into_headers() })
    }

    fn first_line(&self) -> &[u8] {
        self.bytes.get(self.first.clone()).unwrap_or_default()
    }

    /// The headers, without the line before them: the target is not kept twice, and it may be nearly all of the head.
    fn into_headers(mut self) -> Headers {
        let begin = self.first.end + 2;
        self.bytes.drain(..begin);
        if self.bytes.capacity() - self.bytes.len() >= SLACK {
            self.bytes.shrink_to_fit();
        }
        Headers::parsed(self.bytes, self.fields)
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

/// What is copied of the input before it is judged: it may go beyond the end of the head by [`PIECE`], not more, since
/// many interim answers may come together, and a long message behind the head.
fn piece(input: &[u8]) -> &[u8] {
    if input.len() <= PIECE {
        return input;
    }
    let end = input.windows(4).position(|end| end == b"\r\n\r\n").map_or(input.len(), |at| at + 4);
    input.get(..end).unwrap_or(input)
}

/// How many bytes stand before the first control character.
fn without_control(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        // In each of the two, the lowest bit that is set belongs to a byte below b' ', or to 0x7f; those above it may be
        // set by a borrow.
        let low = word.wrapping_sub(EACH * 0x20) & !word;
        let del = (word ^ (EACH * 0x7f)).wrapping_sub(EACH) & !(word ^ (EACH * 0x7f));
        let found = (low | del) & (EACH * 0x80);
        if found == 0 {
            at += 8;
            continue;
        }
        at += found.trailing_zeros() as usize / 8;
        match bytes.get(at) {
            // A tab is the only byte below b' ' that is none.
            Some(b'\t') => at += 1,
            _ => return at,
        }
    }
    at + bytes.iter().skip(at).take_while(|byte| !is_control(**byte)).count()
}

/// A word with 1 in each byte.
const EACH: u64 = u64::from_le_bytes([1; 8]);

/// The second digit of the version, if the first is 1. RFC 9112 §2.3: a version is `HTTP/` DIGIT `.` DIGIT.
fn minor_version(version: &[u8]) -> Result<u8, HandshakeError> {
    match version.strip_prefix(PROTOCOL) {
        Some([b'1', b'.', minor @ b'0'..=b'9']) => Ok(minor - b'0'),
        // HTTP/2 is written with and without a minor version.
        Some([b'0' | b'2'..=b'9'] | [b'0' | b'2'..=b'9', b'.', b'0'..=b'9']) => Err(HandshakeError::HttpVersionUnknown),
        _ => Err(HandshakeError::MalformedHead),
    }
}

/// Where the name and the value lie in a header line that begins at `start`. RFC 9112 §5: field-name ":" OWS field-value
/// OWS. The name is a token, which nothing stands behind, and the value has no control characters.
fn field(line: &[u8], start: usize) -> Result<Field, HandshakeError> {
    let name = line.iter().take_while(|byte| is_tchar(**byte)).count();
    let Some((b':', value)) = line.get(name..).and_then(<[u8]>::split_first) else {
        return Err(HandshakeError::MalformedHead);
    };
    if name == 0 {
        return Err(HandshakeError::MalformedHead);
    }
    let end = start + name + 1 + value.trim_ascii_end().len();
    Ok((start..start + name, end - value.trim_ascii().len()..end))
}

const PROTOCOL: &[u8] = b"HTTP/";

/// How many headers there is room for at once. A request that is not a browser's seldom has more.
const FEW_FIELDS: usize = 8;

/// The length of `a:` and the end of its line.
const SHORTEST_FIELD: usize = 4;

/// An input that is not longer is copied as a whole, wherever the head ends: most heads are not longer.
const PIECE: usize = 1024;

/// From this many bytes on, the memory that a request line, or what came behind the head, has left over is given back.
const SLACK: usize = 1024;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
