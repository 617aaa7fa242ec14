//! RFC 7692 §6 and §7.2: what is sent compressed, and what is heard of it. Every example
//! that the RFC prints, every setting, and what it all costs in memory.
#![cfg(feature = "deflate")]

mod common;

use common::inflate::inflate;
use common::*;
use openline::Role::{Client, Server};
use openline::{
    Agreement, Config, Connection, Deflate, DeflateContext, Event, Message, Prepared, Role, SendError, Time, Upgrade,
};

// First bytes of frames with RSV1 (§6).
const Z_TEXT: u8 = 0xc1;
const Z_BINARY: u8 = 0xc2;
const Z_TEXT_BEGINS: u8 = 0x41;

/// Compresses everything, as §7.2.3's examples do.
fn always() -> Deflate {
    let mut deflate = Deflate::default();
    deflate.threshold = 0;
    deflate
}

fn takeover(mut deflate: Deflate) -> Deflate {
    (deflate.send.takeover, deflate.receive.takeover) = (true, true);
    deflate
}

fn with(role: Role, config: Config, deflate: Deflate) -> Connection {
    let mut agreement = Agreement::default();
    agreement.deflate = Some(deflate);
    let upgrade = match role {
        Server => Upgrade::server(agreement),
        Client => Upgrade::client(agreement, [7; 32]),
    };
    Connection::new(upgrade, config, Time::ZERO)
}

/// What the RFC prints, heard in every cut and by both roles.
#[track_caller]
fn they_say(deflate: Deflate, list: &[(u8, &[u8])], expected: &[Event<'static>]) {
    for us in BOTH {
        let bytes = frames(us.peer(), list.iter().copied());
        let ((events, error), _) = every_way(|| with(us, quiet(), deflate), &bytes);
        assert_eq!((events, error), (expected.to_vec(), None));
    }
}

fn unlimited() -> Config {
    let mut config = quiet();
    config.high_water = usize::MAX;
    config.max_message_size = u64::MAX;
    config
}

/// Bytes that have something in common, but not everything.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut words = vec![];
    while words.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match state >> 29 {
            0 => words.extend(state.to_be_bytes()),
            1..4 => words.extend(format!("{{\"price\":{}}},", state >> 20).bytes()),
            _ => words.extend(b"bidder and the auctioneer ".iter().take((state >> 24) as usize & 31)),
        }
    }
    words.truncate(len);
    words
}

/// Bytes that have nothing in common.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..len).map(step).collect()
}

// §7.2.3, byte for byte.

const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const HELLO_AGAIN: &[u8] = &[0xf2, 0x00, 0x11, 0x00, 0x00];

#[test]
fn one_block() {
    they_say(always(), &[(Z_TEXT, HELLO)], &[text("Hello")]);
    they_say(always(), &[(Z_TEXT_BEGINS, &HELLO[..3]), (ENDS, &HELLO[3..])], &[text("Hello")]);
    // Alone it would be sent as it is, which is shorter.
    for us in BOTH {
        let mut us = with(us, quiet(), takeover(always()));
        us.send("Hello").unwrap();
        assert_eq!(said(&mut us), [(Z_TEXT, HELLO.to_vec())]);
    }
}

#[test]
fn sharing_the_window() {
    they_say(takeover(always()), &[(Z_TEXT, HELLO), (Z_TEXT, HELLO_AGAIN)], &[text("Hello"), text("Hello")]);
    for us in BOTH {
        let mut us = with(us, quiet(), takeover(always()));
        us.send("Hello").unwrap();
        us.send("Hello").unwrap();
        assert_eq!(said(&mut us), [(Z_TEXT, HELLO.to_vec()), (Z_TEXT, HELLO_AGAIN.to_vec())]);
        // Without takeover, the second would be what the first was.
        let mut us = with(us.role(), quiet(), always());
        us.send("Hello, Hello, Hello").unwrap();
        us.send("Hello, Hello, Hello").unwrap();
        let said = said(&mut us);
        assert!(said[0].0 == Z_TEXT && said[0] == said[1], "{said:x?}");
    }
}

#[test]
fn a_block_without_compression() {
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    they_say(always(), &[(Z_TEXT, &stored)], &[text("Hello")]);
}

#[test]
fn a_block_with_bfinal() {
    let ended = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    they_say(always(), &[(Z_TEXT, &ended), (Z_TEXT, HELLO)], &[text("Hello"), text("Hello")]);
    // Streams after it, in the same message and in later ones, with context takeover too.
    let twice = [&ended[..7], HELLO].concat();
    they_say(takeover(always()), &[(Z_TEXT, &twice), (Z_TEXT, HELLO_AGAIN)], &[text("HelloHello"), text("Hello")]);
    // It may be the end of all: then there is nothing that the tail could complete.
    they_say(takeover(always()), &[(Z_TEXT, &ended[..7]), (Z_TEXT, HELLO)], &[text("Hello"), text("Hello")]);
}

#[test]
fn two_blocks() {
    let two = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    they_say(always(), &[(Z_TEXT, &two)], &[text("Hello")]);
}

#[test]
fn nothing_at_all() {
    they_say(always(), &[(Z_TEXT, &[0])], &[text("")]);
    they_say(always(), &[(Z_TEXT_BEGINS, HELLO), (ENDS, &[])], &[text("Hello")]);
    let fragments: [(u8, &[u8]); 3] = [(Z_TEXT_BEGINS, &[]), (GOES_ON, HELLO), (ENDS, &[])];
    they_say(always(), &fragments, &[text("Hello")]);
    // §7.2.3.6: with context takeover the compressor has nothing to flush.
    let mut us = with(Server, quiet(), takeover(always()));
    us.send("").unwrap();
    us.send_fragment("Hello", false).unwrap();
    us.send_fragment("", true).unwrap();
    us.send("").unwrap();
    let said = said(&mut us);
    let expected = [(Z_TEXT, ""), (Z_TEXT_BEGINS, "Hello"), (ENDS, ""), (Z_TEXT, "")];
    assert_eq!(said.len(), expected.len());
    for ((first, _), (expected, _)) in said.iter().zip(expected) {
        assert_eq!(*first, expected);
    }
    assert_eq!((&said[0].1[..], &said[2].1[..], &said[3].1[..]), (&[0][..], &[0][..], &[0][..]));
}

#[test]
fn control_frames_come_between() {
    let list: [(u8, &[u8]); 4] = [(Z_TEXT_BEGINS, &HELLO[..2]), (PING, b"?"), (ENDS, &HELLO[2..]), (PONG, b"!")];
    they_say(always(), &list, &[ping("?"), text("Hello"), pong("!")]);
    // §6: they are never compressed.
    let mut us = with(Server, quiet(), always());
    us.send_fragment("Hello", false).unwrap();
    us.ping(b"Hello", Time::ZERO).unwrap();
    us.send_fragment("", true).unwrap();
    assert_eq!(said(&mut us)[1], (PING, b"Hello".to_vec()));
}

#[test]
fn plain_messages_come_between() {
    let list: [(u8, &[u8]); 3] = [(Z_TEXT, HELLO), (TEXT, b"plain"), (Z_TEXT, HELLO_AGAIN)];
    they_say(takeover(always()), &list, &[text("Hello"), text("plain"), text("Hello")]);
}

// What is sent.

/// Levels, memory and windows, in all mixtures, with takeover and without: what is sent
/// inflates to what was meant, never refers beyond the window, and our own end reads it.
#[test]
fn every_setting() {
    let messages = [sample(100), sample(3000), sample(70_000), noise(1000), vec![b'x'; 40_000], sample(3000)];
    for (level, bits, memory) in settings() {
        for takeover in [false, true] {
            let mut deflate = always();
            (deflate.level, deflate.memory) = (level, memory);
            deflate.send = DeflateContext { takeover, window_bits: bits };
            let mut us = with(Server, unlimited(), deflate);
            let mut peer = always();
            peer.receive = deflate.send;
            let mut peer = with(Client, unlimited(), peer);
            let mut before = vec![];
            for message in &messages {
                us.send(message).unwrap();
                let bytes = transmit(&mut us, Time::ZERO);
                let [(first, payload)] = &parse(Server, &bytes)[..] else { panic!("one frame a message") };
                let context = format!("level {level}, {bits} bits, memory {memory}, takeover {takeover}");
                if *first == Z_BINARY {
                    let inflated = inflate(payload, if takeover { &before } else { &[] });
                    assert!(inflated.data == *message, "{context}");
                    assert!(inflated.farthest <= 1 << bits, "{context}: {} back", inflated.farthest);
                    before.extend(message);
                } else {
                    assert!(!takeover && payload == message, "{context}: sent as it is");
                }
                assert_eq!(hear(&mut peer, &bytes), (vec![binary(&message[..])], None), "{context}");
            }
        }
    }
}

fn settings() -> impl Iterator<Item = (u8, u8, u8)> {
    let all = (0..=9).flat_map(|level| (8..=15).map(move |bits| (level, bits)));
    // The slow reference cannot do all of a thousand: memory turns with the others.
    all.map(|(level, bits)| (level, bits, 1 + (level * 3 + bits) % 9))
}

/// What lies outside the bounds counts as the nearest in them.
#[test]
fn settings_out_of_bounds() {
    for (wrong, right) in [((99, 0, 0), (9, 1, 8)), ((200, 77, 255), (9, 9, 15))] {
        let said = [wrong, right].map(|(level, memory, bits)| {
            let mut deflate = always();
            (deflate.level, deflate.memory) = (level, memory);
            (deflate.send.window_bits, deflate.receive.window_bits) = (bits, bits);
            let mut us = with(Server, unlimited(), deflate);
            us.send(sample(5000)).unwrap();
            said(&mut us)
        });
        assert_eq!(said[0], said[1]);
    }
}

#[test]
fn short_messages_are_sent_as_they_are() {
    let mut deflate = Deflate::default();
    deflate.threshold = 10;
    let mut us = with(Server, quiet(), deflate);
    us.send("aaaaaaaaa").unwrap();
    us.send("aaaaaaaaaa").unwrap();
    let said = said(&mut us);
    assert_eq!(said[0], (TEXT, b"aaaaaaaaa".to_vec()));
    assert_eq!((said[1].0, inflate(&said[1].1, &[]).data), (Z_TEXT, b"aaaaaaaaaa".to_vec()));
}

#[test]
fn what_gets_no_shorter_is_sent_as_it_is() {
    let message = noise(100_000);
    let mut us = with(Server, unlimited(), always());
    us.send(&message).unwrap();
    us.send(message.clone()).unwrap();
    assert!(said(&mut us) == [(BINARY, message.clone()), (BINARY, message.clone())]);
    // With takeover the compressor has seen it, so the peer must.
    let mut us = with(Server, unlimited(), takeover(always()));
    us.send(&message).unwrap();
    assert_eq!(said(&mut us)[0].0, Z_BINARY);
}

#[test]
fn fragments() {
    for deflate in [always(), takeover(always()), Deflate::default()] {
        for us in BOTH {
            let (mut us, mut peer) = (with(us, unlimited(), deflate), with(us.peer(), unlimited(), deflate));
            for _ in 0..2 {
                us.send_fragment("zażółć ", false).unwrap();
                assert_eq!(us.send("other"), Err(SendError::MessageUnfinished));
                us.send_fragment("", false).unwrap();
                us.send_fragment("gęślą ", false).unwrap();
                us.send_fragment("jaźń", true).unwrap();
                us.send(sample(200)).unwrap();
                let bytes = transmit(&mut us, Time::ZERO);
                let firsts: Vec<u8> = parse(us.role(), &bytes).iter().map(|frame| frame.0).collect();
                assert_eq!(firsts, [Z_TEXT_BEGINS, GOES_ON, GOES_ON, ENDS, Z_BINARY]);
                let expected = vec![text("zażółć gęślą jaźń"), binary(sample(200))];
                assert_eq!(hear(&mut peer, &bytes), (expected, None));
            }
        }
    }
}

/// Each fragment can be read when it has come: nothing of it waits for the next.
#[test]
fn a_fragment_leaves_whole() {
    let (mut us, mut peer) = (with(Server, quiet(), always()), with(Client, quiet(), always()));
    for part in ["one ", "two ", "three"] {
        us.send_fragment(part, part == "three").unwrap();
        let bytes = transmit(&mut us, Time::ZERO);
        let (events, _) = hear_chunks(&mut peer, [&bytes[..]]);
        let [Event::Chunk(chunk)] = &events[..] else { panic!("{events:?}") };
        assert_eq!((chunk.data.as_text(), chunk.first, chunk.last), (Some(part), part == "one ", part == "three"));
    }
}

// Chunks.

#[test]
fn chunks_make_the_message() {
    let message = sample(1_000_000);
    for deflate in [always(), takeover(always())] {
        let (mut us, mut peer) = (with(Client, unlimited(), deflate), with(Server, unlimited(), deflate));
        for _ in 0..2 {
            us.send(&message).unwrap();
            let bytes = transmit(&mut us, Time::ZERO);
            for size in [7, 1000, 65_536, bytes.len()] {
                // Each size needs a receiver that stands where the sender stood.
                if size != bytes.len() && deflate.send.takeover {
                    continue;
                }
                let (events, error) = hear_chunks(&mut peer, bytes.chunks(size));
                assert_eq!(error, None);
                let mut data = vec![];
                for (at, event) in events.iter().enumerate() {
                    let Event::Chunk(chunk) = event else { panic!("{event:?}") };
                    assert_eq!((chunk.first, chunk.last), (at == 0, at + 1 == events.len()));
                    assert!(chunk.data.len() <= 64 * 1024, "a chunk of {}", chunk.data.len());
                    data.extend_from_slice(chunk.data.as_bytes());
                }
                assert!(data == message);
            }
        }
    }
}

/// Chunk mode may begin and end in the middle.
#[test]
fn modes_change_in_the_middle() {
    let message = "ä".repeat(300_000);
    let (mut us, mut peer) = (with(Server, unlimited(), always()), with(Client, unlimited(), always()));
    us.send(&message).unwrap();
    us.send("next").unwrap();
    let mut bytes = transmit(&mut us, Time::ZERO);
    let (front, back) = bytes.split_at_mut(200);
    let mut front = front;
    assert_eq!(peer.receive(&mut front, Time::ZERO), Ok(None), "gathered");
    let mut back = back;
    let Ok(Some(Event::Chunk(chunk))) = peer.receive_chunk(&mut back, Time::ZERO) else { panic!() };
    assert!(chunk.first && !chunk.last && chunk.data.len() > 10_000, "what was gathered comes first");
    let next = peer.receive(&mut back, Time::ZERO);
    assert_eq!(next, Ok(Some(text("next"))), "the rest of the message is skipped");
}

// One message for many.

#[test]
fn prepared_messages() {
    let (short, long, chaos) = ("tick".to_owned(), "tock ".repeat(50), noise(50_000));
    let messages = [Message::from(&short), Message::from(&long), Message::from(&chaos)];
    let prepared: Vec<_> = messages.iter().map(Prepared::new).collect();
    let plain = || connection(Server, unlimited());
    let small = || {
        let mut deflate = Deflate::default();
        deflate.send.window_bits = 9;
        with(Server, unlimited(), deflate)
    };
    let alone = || with(Server, unlimited(), Deflate::default());
    let shared = || with(Server, unlimited(), takeover(Deflate::default()));
    let client = || with(Client, unlimited(), Deflate::default());
    for new in [&plain as &dyn Fn() -> Connection, &small, &alone, &shared, &client] {
        // Twice, for what is made on the way is kept.
        for _ in 0..2 {
            let (mut by_hand, mut by_prepared) = (new(), new());
            for (message, prepared) in messages.iter().zip(&prepared) {
                by_hand.send(message).unwrap();
                by_prepared.send(prepared).unwrap();
                assert_eq!(prepared.payload(), message.as_bytes());
            }
            assert!(said(&mut by_hand) == said(&mut by_prepared));
        }
    }
}

#[test]
fn prepared_messages_keep_the_rules() {
    let prepared = Prepared::new("tick");
    let mut us = open(Server);
    us.send_fragment("a", false).unwrap();
    assert_eq!(us.send(&prepared), Err(SendError::MessageUnfinished));
    assert_eq!(close_sent(Server).send(&prepared), Err(SendError::Closed));
    let mut full = quiet();
    full.high_water = 1;
    let mut us = connection(Server, full);
    us.send(&prepared).unwrap();
    assert_eq!(us.send(&prepared), Err(SendError::Full));
}

/// Sending it costs no memory but a place in the send buffer, for the 50 KB are a few hundred
/// bytes by then.
#[test]
fn prepared_messages_cost_nothing_more() {
    let prepared = Prepared::new("tock ".repeat(10_000));
    let mut many: Vec<_> = (0..50).map(|_| with(Server, unlimited(), Deflate::default())).collect();
    many[0].send(&prepared).unwrap();
    let cost = allocation_counter::measure(|| {
        for us in &mut many[1..] {
            us.send(&prepared).unwrap();
        }
    });
    assert!(cost.bytes_total < 49 * 5 * 1024, "{} bytes", cost.bytes_total);
}

// What it costs.

/// How many bytes are still held after `work`, for each of the connections that it returns.
fn held(count: usize, work: impl Fn() -> Connection) -> i64 {
    // What the thread shares is there before.
    drop(work());
    let mut kept = Vec::with_capacity(count);
    let cost = allocation_counter::measure(|| kept.extend((0..count).map(|_| work())));
    cost.bytes_current / count as i64
}

/// Hears and says something compressed.
fn used(mut us: Connection) -> Connection {
    let peer = us.role().peer();
    assert_eq!(hear(&mut us, &frame(peer, Z_TEXT, HELLO)).0, [text("Hello")]);
    us.send(sample(2000)).unwrap();
    assert_eq!(transmit(&mut us, Time::ZERO)[0], Z_BINARY);
    us
}

#[test]
fn an_idle_connection_costs_what_it_costs_without() {
    for us in BOTH {
        let without = held(100, || open(us));
        let with =
            [held(100, || with(us, quiet(), Deflate::default())), held(100, || used(with(us, quiet(), always())))];
        for with in with {
            assert!(with <= without + 256, "{with} bytes instead of {without}");
        }
    }
}

/// The table in the docs of `Deflate`, to the KiB. A pointer has the size that it was made for.
#[cfg(target_pointer_width = "64")]
#[test]
fn takeover_costs_what_the_docs_say() {
    let receive = held(4, || {
        let mut deflate = always();
        deflate.receive.takeover = true;
        used(with(Server, quiet(), deflate))
    });
    assert_eq!(receive / 1024, 46);
    for (memory, sizes) in [
        (1, [134, 136, 140, 148, 164, 196, 260]),
        (5, [147, 149, 153, 161, 177, 209, 273]),
        (8, [245, 247, 251, 259, 275, 307, 371]),
        (9, [357, 359, 363, 371, 387, 419, 483]),
    ] {
        let measured = [9, 10, 11, 12, 13, 14, 15].map(|window_bits| {
            held(4, || {
                let mut deflate = always();
                deflate.memory = memory;
                deflate.send = DeflateContext { takeover: true, window_bits };
                used(with(Server, quiet(), deflate))
            }) / 1024
        });
        assert_eq!(measured, sizes, "memory {memory}");
    }
}

/// Nothing is made before it is needed.
#[test]
fn takeover_costs_nothing_before_the_first_message() {
    let idle = held(10, || with(Server, quiet(), takeover(always())));
    assert!(idle <= held(10, || open(Server)) + 256, "{idle} bytes");
}
