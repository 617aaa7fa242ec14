//! What a reader of heads promises, for any cut of its input.

use super::*;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

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

/// Up to the limits, which are those of this head, and beyond them.
#[test]
fn ends_of_lines_are_the_same_byte_by_byte() {
    let head = b"\r\nGET / HTTP/1.1\r\nHost: h\r\nA:\r\n!b: \tc \r\nD: e\tf\r\n\r\n";
    for (max_head, max_headers) in [(head.len(), 4), (head.len() - 1, 4), (head.len(), 3), (20, 9), (21, 9), (22, 9)] {
        let new = || HeadReader::request(max_head, max_headers);
        let (mut whole, mut bytes) = (new(), new());
        let mut rest = &head[..];
        let at_once = whole.receive(&mut rest);
        let one_by_one = head.iter().map(|byte| bytes.receive(&mut &[*byte][..])).find(|done| *done != Ok(false));
        assert_eq!(Some(at_once), one_by_one, "{max_head} bytes, {max_headers} headers");
        assert_eq!((&whole.bytes, whole.lines, &whole.first), (&bytes.bytes, bytes.lines, &bytes.first));
        assert_eq!(whole.fields, bytes.fields);
        if at_once.is_ok() {
            let headers = whole.into_request().unwrap().headers;
            let expected = [("Host", &b"h"[..]), ("A", b""), ("!b", b"c"), ("D", b"e\tf")];
            assert_eq!(headers.iter().collect::<Vec<_>>(), expected);
        }
    }
}

/// [`HeadReader::skim`] takes only bytes that [`HeadReader::judge`] accepts, and leaves the reader where that would.
#[test]
#[cfg_attr(miri, ignore = "reads six thousand heads")]
fn the_fast_path_agrees_with_the_general_one() {
    let new = [HeadReader::request as fn(_, _) -> _, |most, headers| HeadReader::response(0, most, headers)];
    for (new, front) in new.into_iter().zip([&b"G \r\n"[..], b"HTTP/1.1 200\r\nA: b\r\n"]) {
        let mut skimmed = 0;
        for at in 0..front.len() {
            for next in 0..=u8::MAX {
                let mut reader = new(100, 9);
                assert_eq!(reader.receive(&mut &front[..at]), Ok(false));
                reader.bytes.push(next);
                let judged = reader.judge(next, at - reader.line);
                if reader.skim(at) == 1 {
                    skimmed += 1;
                    let stands =
                        matches!((judged, reader.at), (Ok(Some(At::Within)), At::Within) | (Ok(Some(At::Cr)), At::Cr));
                    assert!(stands, "{next:#x} after {at}");
                }
            }
        }
        assert!(skimmed > 0);
    }
}

#[test]
fn a_control_character_is_found_at_any_place() {
    // Miri takes a thousand times as long. For it, one word and a rest are enough, and the bytes beside the bounds.
    let longest = if cfg!(miri) { 10 } else { 30 };
    let beside =
        |byte: u8| byte < b'\t' + 2 || (0x1f..0x22).contains(&byte) || (0x7e..0x82).contains(&byte) || byte == 0xff;
    for len in 0..longest {
        for at in 0..len {
            for byte in (0..=u8::MAX).filter(|byte| !cfg!(miri) || beside(*byte)) {
                // What stands before and behind is what a borrow could reach.
                for (before, behind) in [(b'\t', b' '), (b' ', 0x80), (0xff, b'!'), (b'~', 0)] {
                    let mut line = vec![before; len];
                    line[at..].fill(behind);
                    line[at] = byte;
                    let expected = line.iter().position(|byte| is_control(*byte)).unwrap_or(len);
                    assert_eq!(without_control(&line), expected, "{line:?}");
                }
            }
        }
    }
}

/// `httparse` reads the same, or refuses the same. What is refused before it would be asked has tests of its own.
#[test]
fn another_parser_agrees() {
    let lines: Vec<_> =
        ["A: b", "A:b", "A :b", ":", "A", "", " : ", "\u{e4}: b", "A: \u{e4}", "A:\t b\t", "a!#$%&'*+-.^_`|~9: b:c"]
            .into_iter()
            .map(String::from)
            .chain((0..=0x7f_u8).map(|byte| format!("A{}B: c", byte as char)))
            .filter(|line| !line.is_empty() && !line.starts_with(' ') && !line.bytes().any(is_control))
            .collect();
    let mut read = 0;
    let firsts = [
        "GET / HTTP/1.1",
        "GET  HTTP/1.1",
        "GET /\u{e4} HTTP/1.1",
        "GET /\t HTTP/1.1",
        "! * HTTP/1.0",
        "GET / HTTP/1.1 ",
    ];
    for (first, line) in firsts.iter().flat_map(|first| lines.iter().map(move |line| (first, line))) {
        let head = format!("{first}\r\nX: y\r\n{line}\r\n\r\n");
        let mut slots = [httparse::EMPTY_HEADER; 8];
        let mut other = httparse::Request::new(&mut slots);
        let parsed = other.parse(head.as_bytes()).ok().filter(httparse::Status::is_complete);
        let mut reader = HeadReader::request(1000, 9);
        let ours = reader.receive(&mut head.as_bytes()).and_then(|_| reader.into_request());
        assert_eq!(ours.is_ok(), parsed.is_some(), "{head:?}: {ours:?}");
        if let Ok(ours) = ours {
            read += 1;
            assert_eq!((Some(&*ours.method), Some(&*ours.target)), (other.method, other.path));
            let others = other.headers.iter().map(|header| (header.name, header.value));
            assert!(ours.headers.iter().eq(others), "{head:?}");
        }
    }
    assert!(read > 100, "{read}");
    for line in [
        "HTTP/1.1 200",
        "HTTP/1.1 200 ",
        "HTTP/1.1 200 OK then",
        "HTTP/1.0 999 \u{e4}",
        "HTTP/1.1 20",
        "HTTP/1.1 2000",
        "HTTP/1.1 2a0 OK",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1  200",
        "HTTP/1.1 200\tOK",
    ] {
        let head = format!("{line}\r\nA: b\r\n\r\n");
        let mut slots = [httparse::EMPTY_HEADER; 8];
        let mut other = httparse::Response::new(&mut slots);
        let parsed = other.parse(head.as_bytes()).ok().filter(httparse::Status::is_complete);
        let mut reader = HeadReader::response(0, 1000, 9);
        let ours = reader.receive(&mut head.as_bytes()).and_then(|_| reader.into_response());
        assert_eq!(ours.as_ref().ok().map(|ours| ours.status), parsed.and(other.code), "{line:?}");
        assert!(ours.is_err() || ours.unwrap().headers.get("A") == Some("b"));
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
