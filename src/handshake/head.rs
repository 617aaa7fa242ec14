//! RFC 9112: the head of an HTTP/1.1 message, up to its empty line. Knows `\r\n`,
//! and no header by name. Looks at each byte once, as it comes.

use alloc::vec;
use alloc::vec::Vec;

use super::fields::{Headers, is_control};
use crate::error::HandshakeError;

/// Gathers a head, line by line, within limits.
#[derive(Debug)]
pub(super) struct HeadReader {
    bytes: Vec<u8>,
    /// Where the line begins that is being read.
    line: usize,
    /// Lines that are complete, the first one included.
    lines: usize,
    max_head: usize,
    max_headers: usize,
}

impl HeadReader {
    pub(super) fn new(max_head: usize, max_headers: usize) -> HeadReader {
        HeadReader { bytes: Vec::new(), line: 0, lines: 0, max_head, max_headers }
    }

    /// Takes the head's bytes off the front of `input`. True: the head is complete, and
    /// what is left of `input` comes after it.
    pub(super) fn receive(&mut self, input: &mut &[u8]) -> Result<bool, HandshakeError> {
        while !input.is_empty() {
            let end = input.iter().position(|&byte| byte == b'\n');
            let (part, rest) = input.split_at(end.map_or(input.len(), |end| end + 1));
            if self.bytes.len() + part.len() > self.max_head {
                return Err(match self.lines {
                    0 => HandshakeError::TargetTooLong { limit: self.max_head },
                    _ => HandshakeError::HeadTooLarge { limit: self.max_head },
                });
            }
            self.bytes.extend_from_slice(part);
            *input = rest;
            if end.is_some() && self.end_line()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Judges the line that has just ended. True if it is the empty one.
    fn end_line(&mut self) -> Result<bool, HandshakeError> {
        let line = &self.bytes[self.line..];
        // RFC 9112 §2.2: a lone LF may be taken for a line's end; who does so can be
        // made to disagree with the proxy in front about where a head ends.
        let Some(line) = line.strip_suffix(b"\r\n") else { return Err(HandshakeError::BareLineFeed) };
        if line.iter().any(|&byte| is_control(byte)) {
            return Err(HandshakeError::ControlCharacter);
        }
        if line.is_empty() && self.lines == 0 {
            // RFC 9112 §2.2: an empty line before the request line is ignored. One is.
            if self.line > 0 {
                return Err(HandshakeError::MalformedHead);
            }
            self.line = self.bytes.len();
            return Ok(false);
        }
        // RFC 9112 §5.2: obs-fold.
        if self.lines > 0 && matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(HandshakeError::FoldedHeader);
        }
        let empty = line.is_empty();
        self.lines += 1;
        self.line = self.bytes.len();
        // The first line is no header, and neither is the empty one.
        if !empty && self.lines - 1 > self.max_headers {
            return Err(HandshakeError::TooManyHeaders { limit: self.max_headers });
        }
        Ok(empty)
    }

    /// How many bytes have been gathered.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The complete head as a request.
    pub(super) fn into_request(self) -> Result<RequestHead, HandshakeError> {
        let mut slots = vec![httparse::EMPTY_HEADER; self.lines];
        let mut request = httparse::Request::new(&mut slots);
        complete(request.parse(&self.bytes))?;
        check_version(request.version)?;
        let method = request.method.unwrap_or_default().into();
        let target = request.path.unwrap_or_default().into();
        let fields = fields(&self.bytes, request.headers);
        Ok(RequestHead { method, target, headers: Headers::parsed(self.bytes, fields) })
    }

    /// The complete head as a response.
    pub(super) fn into_response(self) -> Result<(u16, Headers), HandshakeError> {
        let mut slots = vec![httparse::EMPTY_HEADER; self.lines];
        let mut response = httparse::Response::new(&mut slots);
        complete(response.parse(&self.bytes))?;
        check_version(response.version)?;
        let status = response.code.unwrap_or_default();
        let fields = fields(&self.bytes, response.headers);
        Ok((status, Headers::parsed(self.bytes, fields)))
    }
}

/// The parts of a request's head.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) method: alloc::string::String,
    pub(super) target: alloc::string::String,
    pub(super) headers: Headers,
}

fn complete(parsed: Result<httparse::Status<usize>, httparse::Error>) -> Result<(), HandshakeError> {
    match parsed {
        Ok(httparse::Status::Complete(_)) => Ok(()),
        Err(httparse::Error::Version) => Err(HandshakeError::HttpVersionUnknown),
        // The empty line is there, so "partial" means that the first line is not one.
        _ => Err(HandshakeError::MalformedHead),
    }
}

fn check_version(minor: Option<u8>) -> Result<(), HandshakeError> {
    // §4.1, §4.2.1: "an HTTP/1.1 or higher".
    if minor == Some(1) { Ok(()) } else { Err(HandshakeError::HttpVersionTooOld) }
}

/// Where names and values lie in `bytes`.
fn fields(bytes: &[u8], headers: &[httparse::Header<'_>]) -> Vec<(core::ops::Range<usize>, core::ops::Range<usize>)> {
    let base = bytes.as_ptr().addr();
    let place = |part: &[u8]| {
        let start = if part.is_empty() { 0 } else { part.as_ptr().addr() - base };
        start..start + part.len()
    };
    headers.iter().map(|header| (place(header.name.as_bytes()), place(header.value))).collect()
}
