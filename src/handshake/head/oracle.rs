//! Heads with odd pieces in them: this reader and `httparse` agree, and no cut of the input changes anything.

use super::*;
use std::format;
use std::string::String;
use std::vec::Vec;

/// What is put into a head at any place: rightly, or not.
const PIECES: [&[u8]; 20] = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b"A",
    b"9",
    b"/",
    b".",
    b"\0",
    b"\x7f",
    b"\x1f",
    b"\x80",
    b"\xff",
    b"(",
    b"\x0b",
    b"\r\n\r\n",
    b"X-y: z\r\n",
    b"HTTP/1.1 ",
];

/// What came of a head: the first words, and the fields. For a request the method, the target and the minor version; for an
/// answer the status and the minor version.
type Read = (String, Vec<(String, Vec<u8>)>);

fn ours(is_request: bool, parts: &[&[u8]]) -> (Result<Option<Read>, HandshakeError>, usize) {
    let mut reader = match is_request {
        true => HeadReader::request(4096, 100),
        false => HeadReader::response(0, 4096, 100),
    };
    let mut left = 0;
    let mut outcome = Ok(false);
    for part in parts {
        let mut input = *part;
        if outcome == Ok(false) {
            outcome = reader.receive(&mut input);
        }
        left += input.len();
    }
    let read = match outcome {
        Err(error) => Err(error),
        Ok(false) => Ok(None),
        Ok(true) if is_request => reader
            .into_request()
            .map(|head| (format!("{} {} {}", head.method, head.target, head.version.1), head.headers))
            .map(Some),
        Ok(true) => {
            reader.into_response().map(|head| (format!("{} {}", head.status, head.minor), head.headers)).map(Some)
        }
    };
    (
        read.map(|read| {
            read.map(|(words, headers)| {
                (words, headers.iter().map(|(name, value)| (name.into(), value.to_vec())).collect())
            })
        }),
        left,
    )
}

/// What `httparse` makes of it, and how much is left.
fn others(is_request: bool, bytes: &[u8]) -> Option<(Read, usize)> {
    let mut slots = [httparse::EMPTY_HEADER; 100];
    let (words, len, headers) = if is_request {
        let mut head = httparse::Request::new(&mut slots);
        let Ok(httparse::Status::Complete(len)) = head.parse(bytes) else { return None };
        (format!("{} {} {}", head.method?, head.path?, head.version?), len, head.headers)
    } else {
        let mut head = httparse::Response::new(&mut slots);
        let Ok(httparse::Status::Complete(len)) = head.parse(bytes) else { return None };
        (format!("{} {}", head.code?, head.version?), len, head.headers)
    };
    let fields = headers.iter().map(|header| (header.name.into(), header.value.to_vec())).collect();
    Some(((words, fields), bytes.len() - len))
}

#[test]
#[cfg_attr(miri, ignore = "reads a million heads")]
fn odd_heads_are_read_alike_in_every_cut() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    };
    let (mut read, mut stricter) = (0, 0);
    for round in 0..5_000 {
        let is_request = round % 2 == 0;
        let first: &[u8] = if is_request { b"GET /a HTTP/1.1" } else { b"HTTP/1.1 200 OK" };
        let mut head = [first, b"\r\nHost: h\r\nA:\r\nB: c \td \r\n\r\nbehind"].concat();
        for _ in 0..next(4) {
            let at = next(head.len());
            let end = at + [0, 0, 1, 2][next(4)];
            head.splice(at..end.min(head.len()), PIECES[next(PIECES.len())].iter().copied());
        }
        let (whole, left) = ours(is_request, &[&head]);
        let bytes: Vec<_> = head.chunks(1).collect();
        assert_eq!(ours(is_request, &bytes), (whole.clone(), left), "{}", head.escape_ascii());
        for cut in 0..=head.len() {
            let (front, back) = head.split_at(cut);
            assert_eq!(ours(is_request, &[front, back]), (whole.clone(), left), "{} at {cut}", head.escape_ascii());
        }
        let other = others(is_request, &head);
        match (whole, other) {
            // `httparse` knows no other minor version, but RFC 9110 §2.5 does.
            (Ok(Some((words, _))), None) if !words.ends_with(['0', '1']) => {}
            (Ok(Some(ours)), other) => {
                read += 1;
                assert_eq!(other, Some((ours, left)), "{}", head.escape_ascii());
            }
            (_, None) => {}
            (refused, Some((_, left))) => {
                stricter += 1;
                // A line that ends in a lone LF, and more than one empty line before a head (any before an answer).
                let taken = &head[..head.len() - left];
                let lone =
                    taken.iter().enumerate().any(|(at, byte)| *byte == b'\n' && (at == 0 || taken[at - 1] != b'\r'));
                let empty = if is_request { taken.starts_with(b"\r\n\r\n") } else { taken.starts_with(b"\r\n") };
                assert!(lone || empty, "{}: {refused:?}", head.escape_ascii());
            }
        }
    }
    assert!(read > 1000 && stricter > 20, "{read} {stricter}");
}
