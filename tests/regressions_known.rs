//! Holes that other WebSocket libraries had, and this one must not get. SECURITY.md lists
//! them; here are those that no other test is about.
//!
//! What was quadratic elsewhere is fed enough of here that it would not end in hours. No
//! clock is needed to see that.

mod common;
#[path = "common/opening.rs"]
mod opening;

use common::*;
use opening::{Opening, UPGRADE};
use openline::{Accept, Event, HandshakeConfig, HandshakeError, Role, Time};

fn server(max_head: usize, max_headers: usize) -> Opening {
    let mut config = HandshakeConfig::default();
    config.max_head = max_head;
    config.max_headers = max_headers;
    Opening::server(config)
}

/// CVE-2023-43669: a head that was parsed from its beginning with every read, and had no end.
#[test]
fn a_long_head_is_looked_at_once() {
    let len = 2 * 1024 * 1024;
    let mut one = server(len, 64);
    assert_eq!(one.give(&mut &b"GET / HTTP/1.1\r\nX: "[..]), Ok(false));
    let error = loop {
        if let Err(error) = one.give(&mut &b"x"[..]) {
            break error;
        }
    };
    assert_eq!(error, HandshakeError::HeadTooLarge { limit: len });

    let mut many = server(len, usize::MAX);
    assert_eq!(many.give(&mut &b"GET / HTTP/1.1\r\n"[..]), Ok(false));
    let error = loop {
        if let Err(error) = many.give(&mut &b"X:\r\n"[..]) {
            break error;
        }
    };
    assert_eq!(error, HandshakeError::HeadTooLarge { limit: len });
}

/// CVE-2024-37890: a server that kept the first headers only, and then missed one that it
/// had taken for granted. Wherever the limit falls: refused, or accepted with all of them.
#[test]
fn no_header_is_dropped_to_keep_a_limit() {
    for before in 0..12 {
        let junk = "X: y\r\n".repeat(before);
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{junk}{UPGRADE}\r\n");
        for limit in 0..20 {
            let mut server = server(16 * 1024, limit);
            let verdict = server.give(&mut request.as_bytes()).map(|_| server.request().headers.len());
            let expected = 5 + before;
            match expected <= limit {
                true => assert_eq!(verdict, Ok(expected)),
                false => assert_eq!(verdict, Err(HandshakeError::TooManyHeaders { limit })),
            }
        }
    }
}

/// CVE-2021-32640, CVE-2020-7662, CVE-2020-7663: offers that took a pattern for ever to read.
#[test]
fn offers_as_long_as_a_head_may_be_are_read_once() {
    let len = 1024 * 1024;
    for offer in [
        format!("Sec-WebSocket-Protocol: a{}b", " ".repeat(len)),
        format!("Sec-WebSocket-Protocol: {}", ",".repeat(len)),
        format!("Sec-WebSocket-Extensions: a; b=\"{}\"", "\\a".repeat(len / 2)),
        format!("Sec-WebSocket-Extensions: a; b=\"{}", "\\\\".repeat(len / 2)),
        format!("Sec-WebSocket-Extensions: {}", "a; b, ".repeat(len / 6)),
        format!("Sec-WebSocket-Extensions: a{}", ";".repeat(len)),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{UPGRADE}{offer}\r\n\r\n");
        let mut server = server(2 * len, 64);
        // In order or not: there is a verdict, and an answer to it.
        match server.give(&mut request.as_bytes()) {
            Ok(complete) => assert!(complete && server.accept(Accept::default()).is_ok()),
            Err(error) => assert_eq!(error.status(), Some(400), "{error}"),
        }
        assert!(!server.sent().is_empty());
    }
}

/// Text whose beginning is checked again with every fragment.
#[test]
fn text_in_small_fragments_is_checked_once() {
    let part = "0123456789abcde\u{20ac}".repeat(6);
    let count = 100_000;
    let mut us = open(Role::Server);
    let (begin, middle) = (frame(Role::Client, TEXT_BEGINS, &part), frame(Role::Client, GOES_ON, &part));
    let mut buffer = begin.clone();
    assert!(us.receive(&mut &mut buffer[..], Time::ZERO).unwrap().is_none());
    for _ in 0..count {
        buffer.copy_from_slice(&middle);
        assert!(us.receive(&mut &mut buffer[..], Time::ZERO).unwrap().is_none());
    }
    let mut end = frame(Role::Client, ENDS, "");
    let Ok(Some(Event::Message(message))) = us.receive(&mut &mut end[..], Time::ZERO) else { panic!("a message") };
    assert_eq!(message.len(), part.len() * (count + 1));
}

/// CVE-2016-10518: a Pong that held what happened to lie in memory. It says what the Ping
/// said, whatever was in the buffers before.
#[test]
fn a_pong_holds_nothing_but_the_ping() {
    for us in BOTH {
        let mut connection = open(us);
        for secret in [1, 100, 20_000] {
            hear(&mut connection, &frame(us.peer(), BINARY, vec![b's'; secret]));
            for len in [0, 1, 125, 3] {
                let ping = vec![b'p'; len];
                hear(&mut connection, &frame(us.peer(), PING, &ping));
                assert_eq!(said(&mut connection), [(PONG, ping)]);
            }
        }
    }
}

/// CVE-2018-1000518 and its kin: a compressed message that is a thousand times as long as it
/// looks. It is refused at its limit, and has never taken more memory than that and a constant.
#[cfg(feature = "deflate")]
mod bombs {
    use openline::{Agreement, Connection, Deflate, ProtocolError, Upgrade};

    use super::*;
    use crate::common::bomb::zeros;

    const LIMIT: u64 = 1024 * 1024;
    const COMPRESSED: u8 = 0x40;

    fn with(takeover: bool) -> Connection {
        let mut agreement = Agreement::default();
        let mut deflate = Deflate::default();
        (deflate.send.takeover, deflate.receive.takeover) = (takeover, takeover);
        agreement.deflate = Some(deflate);
        let mut config = quiet();
        config.max_message_size = LIMIT;
        Connection::new(Upgrade::server(agreement), config, Time::ZERO)
    }

    /// Feeds this in reads of 64 KiB: what came of it, and the most memory it took.
    fn feed(us: &mut Connection, bytes: &mut [u8]) -> (Vec<usize>, Option<ProtocolError>, u64) {
        let (mut messages, mut failure) = (vec![], None);
        let cost = allocation_counter::measure(|| {
            for piece in bytes.chunks_mut(64 * 1024) {
                let mut input = piece;
                loop {
                    match us.receive(&mut input, Time::ZERO) {
                        Ok(Some(Event::Message(message))) => messages.push(message.len()),
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(error) => {
                            failure = Some(protocol(error));
                            return;
                        }
                    }
                }
            }
        });
        (messages, failure, cost.bytes_max)
    }

    #[test]
    fn a_bomb_costs_the_limit_and_no_more() {
        for takeover in [false, true] {
            let bomb = zeros(256 * LIMIT);
            assert!(bomb.len() < LIMIT as usize, "the frame alone is below the limit");
            for parts in [1, 100] {
                let mut us = with(takeover);
                let len = bomb.len().div_ceil(parts);
                let mut bytes = vec![];
                for (at, part) in bomb.chunks(len).enumerate() {
                    let first = if at == 0 { BINARY_BEGINS | COMPRESSED } else { GOES_ON };
                    let last = if (at + 1) * len >= bomb.len() { ENDS } else { 0 };
                    bytes.extend(frame(Role::Client, first | last, part));
                }
                let (messages, failure, most) = feed(&mut us, &mut bytes);
                assert_eq!((messages, failure), (vec![], Some(ProtocolError::MessageTooBig { limit: LIMIT })));
                // The message twice, while it grows; its compressed form; an inflater and its buffer.
                assert!(most < 2 * LIMIT + bomb.len() as u64 + 256 * 1024, "{most} bytes");
            }
        }
    }

    #[test]
    fn the_limit_is_the_last_that_is_let_through() {
        for takeover in [false, true] {
            let mut us = with(takeover);
            for _ in 0..3 {
                let mut bytes = frame(Role::Client, BINARY | COMPRESSED, zeros(LIMIT));
                let (messages, failure, _) = feed(&mut us, &mut bytes);
                assert_eq!((messages, failure), (vec![LIMIT as usize], None));
            }
            let (messages, failure, _) = feed(&mut us, &mut frame(Role::Client, BINARY | COMPRESSED, zeros(LIMIT + 1)));
            assert_eq!((messages, failure), (vec![], Some(ProtocolError::MessageTooBig { limit: LIMIT })));
        }
    }

    /// What is no DEFLATE data, and what was cut short, fails with 1007 and is never delivered.
    #[test]
    fn what_cannot_be_inflated_is_never_delivered() {
        let cut = &zeros(5000)[..20];
        for (payload, error) in [
            (&[0x06][..], ProtocolError::DeflateInvalid), // BTYPE 3 is reserved
            (&[0x00, 5, 0, 5, 0][..], ProtocolError::DeflateInvalid), // NLEN is no complement
            (&[0x02, 0x02, 0x00, 0x00][..], ProtocolError::DeflateInvalid), // refers to before the beginning
            (cut, ProtocolError::DeflateTruncated),
        ] {
            let (messages, failure, _) = feed(&mut with(true), &mut frame(Role::Client, BINARY | COMPRESSED, payload));
            assert_eq!(messages, [0; 0]);
            assert_eq!(failure.map(|error| error.close_code().get()), Some(1007), "{payload:x?}");
            if payload.len() < 6 {
                assert_eq!(failure, Some(error), "{payload:x?}");
            }
        }
    }
}
