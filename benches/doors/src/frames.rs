//! Reads the frames of a WebSocket server (RFC 6455 §5.2) from bytes that come in any pieces, and makes those of a client.
//! It knows no extension and no fragments, which the server under test does not send here, and refuses them.

use crate::Result;

/// What came. The bytes are borrowed until the next is read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Text(&'a str),
    Ping(&'a [u8]),
    Close(Option<u16>),
}

#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The beginning of a frame whose end has not come.
    unfinished: Vec<u8>,
}

impl Reader {
    /// Calls `heard` for each frame that ends in these bytes.
    pub(crate) fn read(&mut self, bytes: &[u8], mut heard: impl FnMut(Frame<'_>) -> Result<()>) -> Result<()> {
        if self.unfinished.is_empty() {
            let read = read(bytes, &mut heard)?;
            self.unfinished = bytes[read..].to_vec();
        } else {
            self.unfinished.extend_from_slice(bytes);
            let read = read(&self.unfinished, &mut heard)?;
            self.unfinished = self.unfinished.split_off(read);
        }
        Ok(())
    }
}

/// Reads all whole frames, and says how many bytes they are.
fn read(bytes: &[u8], heard: &mut impl FnMut(Frame<'_>) -> Result<()>) -> Result<usize> {
    let mut at = 0;
    while let Some((start, end)) = extent(&bytes[at..])? {
        let payload = &bytes[at + start..at + end];
        match bytes[at] {
            0x81 => heard(Frame::Text(str::from_utf8(payload)?))?,
            0x89 => heard(Frame::Ping(payload))?,
            0x88 => heard(Frame::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))))?,
            first => return Err(format!("a frame that begins with {first:#x}").into()),
        }
        at += end;
    }
    Ok(at)
}

/// Where the payload of the first frame begins and ends, if all of it is there.
fn extent(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(second) = bytes.get(1) else { return Ok(None) };
    let (start, length) = match second {
        0..=125 => (2, u64::from(*second)),
        126 => {
            let Some(length) = bytes.get(2..).and_then(|bytes| bytes.first_chunk()) else { return Ok(None) };
            (4, u64::from(u16::from_be_bytes(*length)))
        }
        127 => {
            let Some(length) = bytes.get(2..).and_then(|bytes| bytes.first_chunk()) else { return Ok(None) };
            (10, u64::from_be_bytes(*length))
        }
        _ => return Err("a masked frame from the server".into()),
    };
    if length > LONGEST {
        return Err(format!("a frame of {length} bytes").into());
    }
    let end = start + usize::try_from(length)?;
    Ok((bytes.len() >= end).then_some((start, end)))
}

/// Appends a client's text frame of up to 125 bytes.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    short(out, 0x81, text.as_bytes());
}

/// Appends the answer to a Ping.
pub(crate) fn pong(out: &mut Vec<u8>, payload: &[u8]) {
    short(out, 0x8a, payload);
}

fn short(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    let length = u8::try_from(payload.len()).ok().filter(|length| *length <= 125).expect("a short frame");
    // A key that nobody can guess protects proxies from a page's script (§10.3). Here is none.
    let key = [0x12, 0x34, 0x56, 0x78];
    out.extend_from_slice(&[first, 0x80 | length]);
    out.extend_from_slice(&key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// The server sends no message near it.
const LONGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<String>> {
        let (mut reader, mut frames) = (Reader::default(), Vec::new());
        for piece in pieces {
            reader.read(piece, |frame| {
                frames.push(format!("{frame:?}"));
                Ok(())
            })?;
        }
        assert!(reader.unfinished.is_empty());
        Ok(frames)
    }

    #[test]
    fn all_lengths_in_any_pieces() {
        let (middle, long) = ("m".repeat(300), "l".repeat(70_000));
        let mut bytes = b"\x81\x00\x81\x05hello\x89\x02hi\x81\x7e\x01\x2c".to_vec();
        bytes.extend_from_slice(middle.as_bytes());
        bytes.extend_from_slice(b"\x81\x7f\0\0\0\0\0\x01\x11\x70");
        bytes.extend_from_slice(long.as_bytes());
        bytes.extend_from_slice(b"\x88\x02\x03\xe8\x88\x00");
        let expected: Vec<_> = [
            Frame::Text(""),
            Frame::Text("hello"),
            Frame::Ping(b"hi"),
            Frame::Text(&middle),
            Frame::Text(&long),
            Frame::Close(Some(1000)),
            Frame::Close(None),
        ]
        .iter()
        .map(|frame| format!("{frame:?}"))
        .collect();
        assert_eq!(read_all([&bytes[..]].into_iter()).unwrap(), expected);
        for size in [1, 2, 3, 5, 100, 4096] {
            let (start, rest) = bytes.split_at(400);
            assert_eq!(read_all(start.chunks(size).chain(rest.chunks(size.max(500)))).unwrap(), expected, "{size}");
        }
        for at in 0..400 {
            assert_eq!(read_all([&bytes[..at], &bytes[at..]].into_iter()).unwrap(), expected, "cut at {at}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for bytes in [&b"\x81\x80\0\0\0\0"[..], b"\x01\x00", b"\x82\x00", b"\xc1\x00", b"\x81\x7f\xff\0\0\0\0\0\0\0"] {
            assert!(read_all([bytes].into_iter()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_clients_frame_is_masked() {
        let mut out = Vec::new();
        text(&mut out, "abc");
        assert_eq!(out, [0x81, 0x83, 0x12, 0x34, 0x56, 0x78, b'a' ^ 0x12, b'b' ^ 0x34, b'c' ^ 0x56]);
        out.clear();
        pong(&mut out, b"");
        assert_eq!(out, [0x8a, 0x80, 0x12, 0x34, 0x56, 0x78]);
    }
}
