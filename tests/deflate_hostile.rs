//! RFC 7692 with a peer that breaks it, or that sends little which becomes much.
#![cfg(feature = "deflate")]

mod common;

use common::*;
use openline::Role::{Client, Server};
use openline::{Agreement, Config, Connection, Deflate, Event, ProtocolError, Role, Time, Upgrade};

const Z_TEXT: u8 = 0xc1;
const Z_BINARY: u8 = 0xc2;

fn with(role: Role, config: Config, takeover: bool) -> Connection {
    let mut deflate = Deflate::default();
    deflate.threshold = 0;
    (deflate.send.takeover, deflate.receive.takeover) = (takeover, takeover);
    let mut agreement = Agreement::default();
    agreement.deflate = Some(deflate);
    let upgrade = match role {
        Server => Upgrade::server(agreement),
        Client => Upgrade::client(agreement, [7; 32]),
    };
    Connection::new(upgrade, config, Time::ZERO)
}

/// Feeds whole frames of the peer in every cut and expects this error after these events.
#[track_caller]
fn they_break(config: Config, list: &[(u8, &[u8])], heard: &[Event<'static>], broken: ProtocolError) {
    for (receiver, takeover) in BOTH.into_iter().flat_map(|role| [(role, false), (role, true)]) {
        let bytes = frames(receiver.peer(), list.iter().copied());
        let ((events, error), answer) = every_way(|| with(receiver, config, takeover), &bytes);
        assert_eq!((&events[..], error), (heard, Some(broken)));
        let answer = parse(receiver, &answer);
        let (first, body) = answer.last().unwrap();
        assert_eq!((*first, &body[..2]), (CLOSE, &broken.close_code().get().to_be_bytes()[..]));
    }
}

fn limited(max_message_size: u64) -> Config {
    let mut config = quiet();
    config.max_message_size = max_message_size;
    config.high_water = usize::MAX;
    config
}

/// A message compressed by the crate itself, which `tests/deflate.rs` judges.
fn compressed(message: &[u8], level: u8) -> Vec<u8> {
    let mut deflate = Deflate::default();
    (deflate.level, deflate.send.takeover) = (level, true);
    let mut agreement = Agreement::default();
    agreement.deflate = Some(deflate);
    let mut us = Connection::new(Upgrade::server(agreement), limited(u64::MAX), Time::ZERO);
    us.send(message).unwrap();
    let [(Z_BINARY, payload)] = &said(&mut us)[..] else { panic!("not compressed") };
    payload.clone()
}

const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

// Where the bit may be (§6).

#[test]
fn the_bit_is_in_first_frames_only() {
    for first in [0x40, 0xc0] {
        they_break(quiet(), &[(BINARY_BEGINS, b"x"), (first, HELLO)], &[], ProtocolError::ReservedBits(4));
        they_break(quiet(), &[(0x42, &HELLO[..3]), (first, &HELLO[3..])], &[], ProtocolError::ReservedBits(4));
    }
    for control in [0xc8, 0xc9, 0xca] {
        they_break(quiet(), &[(control, &[])], &[], ProtocolError::ReservedBits(4));
    }
    for (first, bits) in [(0xa1, 2), (0x92, 1), (0xe1, 6), (0xf2, 7)] {
        they_break(quiet(), &[(Z_TEXT, HELLO), (first, HELLO)], &[text("Hello")], ProtocolError::ReservedBits(bits));
    }
    // Not agreed on, it is in none.
    for us in BOTH {
        assert_eq!(hear(&mut open(us), &[0xc1]), (vec![], Some(ProtocolError::ReservedBits(4))));
    }
}

// What is no message.

/// Every message that was cut short is refused, after every byte, whatever its blocks are.
#[test]
fn cut_short() {
    let varied: Vec<u8> = (0..3000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    let lines = "the same, and the same again; ".repeat(20).into_bytes();
    for (message, level) in [(&lines, 0), (&lines, 1), (&lines, 6), (&varied, 0), (&varied, 6), (&varied, 9)] {
        let payload = compressed(message, level);
        for takeover in [false, true] {
            let mut us = with(Client, quiet(), takeover);
            assert_eq!(hear(&mut us, &frame(Server, Z_BINARY, &payload)), (vec![binary(&message[..])], None));
            for len in 0..payload.len() {
                let mut us = with(Client, quiet(), takeover);
                let (events, error) = hear(&mut us, &frame(Server, Z_BINARY, &payload[..len]));
                if payload[..len] == [0] {
                    assert_eq!((events, error), (vec![binary([])], None), "§7.2.3.6: the empty message");
                    continue;
                }
                assert_eq!(events, [], "level {level}, {len} of {} bytes", payload.len());
                assert!(matches!(error, Some(ProtocolError::DeflateTruncated | ProtocolError::DeflateInvalid)));
            }
        }
    }
}

#[test]
fn nonsense() {
    for (payload, broken) in [
        // §3.2.3 of RFC 1951: a block of the reserved type.
        (&[0x07][..], ProtocolError::DeflateInvalid),
        // Lengths of a stored block that do not match.
        (&[0x00, 0x05, 0x00, 0xff, 0xff], ProtocolError::DeflateInvalid),
        // A distance to before the beginning: "Hello" again, with nothing before it.
        (&[0xf2, 0x00, 0x11, 0x00, 0x00], ProtocolError::DeflateInvalid),
        // Nothing is not an empty message: that is one octet (§7.2.3.6).
        (&[], ProtocolError::DeflateTruncated),
        // The tail itself, which nobody takes off.
        (&[0x00, 0x00, 0x00, 0xff], ProtocolError::DeflateTruncated),
    ] {
        they_break(quiet(), &[(Z_TEXT, payload)], &[], broken);
    }
    // Without takeover, what came before is out of reach.
    let mut us = with(Server, quiet(), false);
    let again = frames(Client, [(Z_TEXT, HELLO), (Z_TEXT, &[0xf2, 0x00, 0x11, 0x00, 0x00])]);
    assert_eq!(hear(&mut us, &again), (vec![text("Hello")], Some(ProtocolError::DeflateInvalid)));
    // A stream that ended takes its window with it.
    let ended: &[u8] = &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    let mut us = with(Server, quiet(), true);
    let again = frames(Client, [(Z_TEXT, ended), (Z_TEXT, &[0xf2, 0x00, 0x11, 0x00, 0x00])]);
    assert_eq!(hear(&mut us, &again), (vec![text("Hello")], Some(ProtocolError::DeflateInvalid)));
}

/// §8.1 of RFC 6455 holds for the text that is inflated, and fails before its end.
#[test]
fn text_is_utf8() {
    let stored = |data: &[u8]| {
        let len = data.len() as u16;
        [&[0][..], &len.to_le_bytes(), &(!len).to_le_bytes(), data].concat()
    };
    let whole = |data: &[u8]| [&stored(data)[..], &[0]].concat();
    they_break(quiet(), &[(Z_TEXT, &whole(b"ab\xffcd"))], &[], ProtocolError::InvalidUtf8 { at: 2 });
    they_break(quiet(), &[(Z_TEXT, &whole(b"ab\xc3"))], &[], ProtocolError::InvalidUtf8 { at: 2 });
    // In the first of two fragments, and across the two.
    let (front, back) = (stored(b"ab\xc3"), whole(b"("));
    they_break(quiet(), &[(0x41, &front), (ENDS, &back)], &[], ProtocolError::InvalidUtf8 { at: 2 });
    let back = whole(b"\xa9");
    let mut us = with(Server, quiet(), false);
    let good = frames(Client, [(0x41, front), (ENDS, back)]);
    assert_eq!(hear(&mut us, &good), (vec![text("abé")], None));
    // Fails at the byte, although neither the block nor the frame has ended.
    let mut us = with(Client, quiet(), false);
    let mut begun = header(Server, Z_TEXT, 1000);
    begun.extend(&stored(&[&b"ab\xff"[..], &[b'x'; 500]].concat())[..8]);
    assert_eq!(hear(&mut us, &begun), (vec![], Some(ProtocolError::InvalidUtf8 { at: 2 })));
}

// Little that becomes much.

#[test]
fn exactly_the_limit() {
    let noise: Vec<u8> = (0..100_000_u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    for message in [&noise[..], &vec![b'x'; 100_000]] {
        for level in [0, 6] {
            let payload = compressed(message, level);
            for takeover in [false, true] {
                let mut us = with(Client, limited(100_000), takeover);
                assert_eq!(hear(&mut us, &frame(Server, Z_BINARY, &payload)), (vec![binary(message)], None));
                let mut us = with(Client, limited(99_999), takeover);
                let broken = ProtocolError::MessageTooBig { limit: 99_999 };
                assert_eq!(hear(&mut us, &frame(Server, Z_BINARY, &payload)), (vec![], Some(broken)));
                // Fragments do not help.
                let (front, back) = payload.split_at(payload.len() / 2);
                let mut us = with(Client, limited(99_999), takeover);
                let bytes = frames(Server, [(0x42, front), (ENDS, back)]);
                assert_eq!(hear(&mut us, &bytes), (vec![], Some(broken)));
            }
        }
    }
}

/// No compressor makes so much more of it: refused when it is announced.
#[test]
fn announced_too_long() {
    let mut us = with(Client, limited(100_000), false);
    let broken = ProtocolError::MessageTooBig { limit: 100_000 };
    assert_eq!(hear(&mut us, &header(Server, Z_BINARY, 120_000)), (vec![], Some(broken)));
    let mut us = with(Client, limited(u64::MAX), false);
    assert_eq!(hear(&mut us, &header(Server, Z_BINARY, u64::MAX / 2)), (vec![], None));
}

const SIZE: usize = 1 << 28;

/// 256 MiB of zeros in 256 KiB: in blocks that each say the same again.
fn bomb() -> Vec<u8> {
    let message = vec![0; 1 << 20];
    let payload = compressed(&message, 9);
    let mut all = [&payload[..], &[0, 0, 0xff, 0xff]].concat().repeat(SIZE >> 20);
    // §7.2.1: but for the last four bytes.
    all.truncate(all.len() - 4);
    all
}

#[test]
fn a_bomb_costs_no_more_than_the_limit() {
    const LIMIT: u64 = 1 << 20;
    let bytes = frame(Server, Z_BINARY, bomb());
    assert!(bytes.len() < 2 << 20);
    for takeover in [false, true] {
        let mut us = with(Client, limited(LIMIT), takeover);
        let mut error = None;
        let mut buffer = bytes.clone();
        let cost = allocation_counter::measure(|| {
            for piece in buffer.chunks_mut(64 * 1024) {
                let mut input = piece;
                error = us.receive(&mut input, Time::ZERO).err();
                if error.is_some() {
                    break;
                }
            }
        });
        assert_eq!(error, Some(ProtocolError::MessageTooBig { limit: LIMIT }));
        // While it grows there may be two copies; then the inflater and its output.
        assert!(cost.bytes_max < 3 * LIMIT, "{} bytes", cost.bytes_max);
    }
}

#[test]
fn in_chunks_a_bomb_is_a_long_message() {
    let mut buffer = frame(Server, Z_BINARY, bomb());
    let mut config = limited(u64::MAX);
    config.max_fragments = u32::MAX;
    let mut us = with(Client, config, true);
    let mut total = 0;
    let cost = allocation_counter::measure(|| {
        for piece in buffer.chunks_mut(64 * 1024) {
            let mut input = piece;
            while let Some(event) = us.receive_chunk(&mut input, Time::ZERO).unwrap() {
                let Event::Chunk(chunk) = event else { panic!("{event:?}") };
                total += chunk.data.len();
            }
        }
    });
    assert_eq!(total, SIZE);
    assert!(cost.bytes_max < 300 * 1024, "{} bytes", cost.bytes_max);
}

/// Work grows with what comes and what goes out, however it is cut.
#[test]
fn cost_is_linear() {
    let cost = |len: usize| {
        let payload = compressed(&vec![b'x'; len], 6);
        let mut config = limited(u64::MAX);
        config.max_fragments = u32::MAX;
        let mut us = with(Client, config, false);
        let bytes: Vec<u8> = payload.iter().flat_map(|byte| frame(Server, GOES_ON, [*byte])).collect();
        let mut bytes = [frame(Server, 0x42, []), bytes, frame(Server, ENDS, [])].concat();
        allocation_counter::measure(|| {
            let mut input = &mut bytes[..];
            let Some(Event::Message(message)) = us.receive(&mut input, Time::ZERO).unwrap() else { panic!() };
            assert_eq!(message.len(), len);
        })
        .bytes_total
    };
    let (once, twice) = (cost(1_000_000), cost(2_000_000));
    assert!(twice <= 3 * once + 4096, "{once} bytes; twice that: {twice} bytes");
}
