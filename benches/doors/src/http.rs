//! Reads responses of HTTP/1.1 from bytes that come in any pieces: a head, then a body with a length or in chunks
//! (RFC 9112 §6, §7.1). It knows as much as the server under test needs, and refuses the rest.

use crate::Result;

/// What the reader has come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// All of the input is read.
    More,
    /// A head is read.
    Head(Head),
    /// The body is whole. The next byte begins a new response.
    End,
}

/// What is needed of a response's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Fields with names in lower case.
    fields: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.0 == name).map(|field| &*field.1)
    }

    fn parse(bytes: &[u8]) -> Result<Head> {
        let text = str::from_utf8(bytes)?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| format!("no status line of HTTP/1.1: {:.60?}", text))?;
        let mut fields = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or_else(|| format!("no header field: {line:?}"))?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Head { status, fields })
    }
}

/// One connection's responses, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    state: State,
    /// The beginning of a head or of a line whose end has not come.
    unfinished: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// So many bytes are to come.
    Length(u64),
    ChunkSize,
    Chunk(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    /// Fields behind the last chunk, up to an empty line.
    Trailer,
    /// Behind a 101: no HTTP any more.
    Switched,
}

impl Reader {
    /// Reads from the front of `input`, and appends what is of the body to `body`.
    ///
    /// Behind a 101 it reads nothing more.
    pub(crate) fn read(&mut self, input: &mut &[u8], body: &mut Vec<u8>) -> Result<Step> {
        loop {
            match self.state {
                State::Head => {
                    let Some(bytes) = self.upto(input, b"\r\n\r\n")? else { return Ok(Step::More) };
                    let head = Head::parse(&bytes)?;
                    self.state = State::behind(&head)?;
                    return Ok(Step::Head(head));
                }
                State::Length(0) => {
                    self.state = State::Head;
                    return Ok(Step::End);
                }
                State::Length(left) => {
                    let left = take(input, left, body);
                    self.state = State::Length(left);
                    if left > 0 {
                        return Ok(Step::More);
                    }
                }
                State::ChunkSize => {
                    let Some(line) = self.upto(input, b"\r\n")? else { return Ok(Step::More) };
                    let size = str::from_utf8(&line)?.split(';').next().unwrap_or_default().trim();
                    let size = u64::from_str_radix(size, 16).map_err(|_| format!("no chunk size: {size:?}"))?;
                    self.state = if size == 0 { State::Trailer } else { State::Chunk(size) };
                }
                State::Chunk(left) => {
                    let left = take(input, left, body);
                    if left > 0 {
                        self.state = State::Chunk(left);
                        return Ok(Step::More);
                    }
                    self.state = State::ChunkEnd;
                }
                State::ChunkEnd => {
                    let Some(line) = self.upto(input, b"\r\n")? else { return Ok(Step::More) };
                    if !line.is_empty() {
                        return Err("a chunk is longer than its size".into());
                    }
                    self.state = State::ChunkSize;
                }
                State::Trailer => {
                    let Some(line) = self.upto(input, b"\r\n")? else { return Ok(Step::More) };
                    if line.is_empty() {
                        self.state = State::Head;
                        return Ok(Step::End);
                    }
                }
                State::Switched => return Ok(Step::More),
            }
        }
    }

    /// What comes before the next `end`, if that is there.
    fn upto(&mut self, input: &mut &[u8], end: &[u8]) -> Result<Option<Vec<u8>>> {
        // The end may have begun in an earlier piece.
        let before = self.unfinished.len();
        let from = before.saturating_sub(end.len() - 1);
        self.unfinished.extend_from_slice(&input[..input.len().min(LONGEST)]);
        let Some(found) = memchr::memmem::find(&self.unfinished[from..], end) else {
            if self.unfinished.len() >= LONGEST {
                return Err("a head or a line is too long".into());
            }
            *input = &[];
            return Ok(None);
        };
        let found = from + found;
        *input = &input[found + end.len() - before..];
        self.unfinished.truncate(found);
        Ok(Some(std::mem::take(&mut self.unfinished)))
    }
}

impl State {
    fn behind(head: &Head) -> Result<State> {
        if head.status == 101 {
            return Ok(State::Switched);
        }
        if head.field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Ok(State::ChunkSize);
        }
        let length = head.field("content-length").ok_or("a body without a length")?;
        Ok(State::Length(length.parse().map_err(|_| format!("no length: {length:?}"))?))
    }
}

/// Moves up to `left` bytes, and says how many are left then.
fn take(input: &mut &[u8], left: u64, body: &mut Vec<u8>) -> u64 {
    let count = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    body.extend_from_slice(&input[..count]);
    *input = &input[count..];
    left - count as u64
}

/// No head of the server under test is near it.
const LONGEST: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Statuses and bodies of what comes in these pieces.
    fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<(u16, Vec<u8>)>> {
        let (mut reader, mut body, mut status, mut responses) = (Reader::default(), Vec::new(), 0, Vec::new());
        for mut piece in pieces {
            loop {
                match reader.read(&mut piece, &mut body)? {
                    Step::More => break,
                    Step::Head(head) => status = head.status,
                    Step::End => responses.push((status, std::mem::take(&mut body))),
                }
            }
            assert!(piece.is_empty());
        }
        Ok(responses)
    }

    /// Whole, byte by byte, and cut at every point.
    fn agree(bytes: &[u8], expected: &[(u16, &[u8])]) {
        let expected: Vec<_> = expected.iter().map(|(status, body)| (*status, body.to_vec())).collect();
        assert_eq!(read([bytes].into_iter()).unwrap(), expected);
        assert_eq!(read(bytes.chunks(1)).unwrap(), expected);
        for at in 0..bytes.len() {
            assert_eq!(read([&bytes[..at], &bytes[at..]].into_iter()).unwrap(), expected, "cut at {at}");
        }
    }

    #[test]
    fn lengths_and_chunks_in_any_pieces() {
        agree(
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello\
              HTTP/1.1 404 Not Found\r\nContent-Length:0\r\nx: y\r\n\r\n\
              HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab\r\r\n1;x=y\r\n\n\r\n0\r\na: b\r\n\r\n\
              HTTP/1.1 200 \r\ncontent-length: 1\r\n\r\n!",
            &[(200, b"hello"), (404, b""), (200, b"ab\r\n"), (200, b"!")],
        );
    }

    #[test]
    fn long_bodies() {
        let long: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        let mut bytes = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", long.len()).into_bytes();
        bytes.extend_from_slice(&long);
        bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n493E0\r\n");
        bytes.extend_from_slice(&long);
        bytes.extend_from_slice(b"\r\n0\r\n\r\n");
        let expected = vec![(200, long.clone()), (200, long)];
        for size in [1, 7, 1000, 65_536, bytes.len()] {
            assert_eq!(read(bytes.chunks(size)).unwrap(), expected, "pieces of {size}");
        }
    }

    #[test]
    fn behind_a_101_there_is_no_http() {
        let mut input = &b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00"[..];
        let (mut reader, mut body) = (Reader::default(), Vec::new());
        let Step::Head(head) = reader.read(&mut input, &mut body).unwrap() else { panic!("no head") };
        assert_eq!((head.status, head.field("upgrade")), (101, Some("websocket")));
        assert_eq!(reader.read(&mut input, &mut body).unwrap(), Step::More);
        assert_eq!(input, b"\x81\x00");
    }

    #[test]
    fn what_is_wrong_is_told() {
        for bytes in [
            "HTTP/1.0 200 OK\r\n\r\n",
            "HTTP/1.1 x\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno field\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
        ] {
            assert!(read([bytes.as_bytes()].into_iter()).is_err(), "{bytes:?}");
            assert!(read(bytes.as_bytes().chunks(1)).is_err(), "{bytes:?}");
        }
        assert!(read([&[b'x'; LONGEST + 1][..]].into_iter()).is_err());
        assert!(read([b'x'; LONGEST + 1].chunks(1)).is_err());
    }
}
