//! §5.4, §6, §8.1: frames become messages, whole or in chunks, and messages become
//! frames. Limits, memory and borrowing included.

mod common;

use std::borrow::Cow;

use common::*;
use openline::Role::{Client, Server};
use openline::{Chunk, CloseCode, Config, Connection, Event, Message, ProtocolError, Role, SendError, State, Time};

/// Feeds whole frames of the peer in every cut and expects these events.
#[track_caller]
fn they_say(receiver: Role, list: &[(u8, &str)], expected: &[Event<'static>]) {
    let ((events, error), _) = every_way(|| open(receiver), &frames(receiver.peer(), list.iter().copied()));
    assert_eq!(error, None);
    assert_eq!(events, expected);
}

/// Feeds whole frames of the peer in every cut and expects this error after these events.
#[track_caller]
fn they_break(config: Config, list: &[(u8, &[u8])], heard: &[Event<'static>], broken: ProtocolError) {
    for receiver in BOTH {
        let bytes = frames(receiver.peer(), list.iter().copied());
        let ((events, error), answer) = every_way(|| connection(receiver, config), &bytes);
        assert_eq!((&events[..], error), (heard, Some(broken)));
        let answer = parse(receiver, &answer);
        let (first, body) = answer.last().unwrap();
        assert_eq!((*first, &body[..2]), (CLOSE, &broken.close_code().get().to_be_bytes()[..]));
    }
}

/// The number of bytes of `bytes` that it takes to be refused, and the error.
fn refused_after(us: &mut Connection, bytes: &[u8]) -> (usize, ProtocolError) {
    for (at, byte) in bytes.chunks(1).enumerate() {
        if let Some(error) = hear(us, byte).1 {
            return (at + 1, error);
        }
    }
    panic!("not refused")
}

// Fragmentation (§5.4).

#[test]
fn whole_messages() {
    for us in BOTH {
        they_say(us, &[(TEXT, "Hello"), (BINARY, "World"), (TEXT, "")], &[text("Hello"), binary(*b"World"), text("")]);
    }
}

#[test]
fn fragments_make_a_message() {
    for us in BOTH {
        they_say(us, &[(TEXT_BEGINS, "a"), (GOES_ON, "b"), (ENDS, "c")], &[text("abc")]);
        they_say(us, &[(BINARY_BEGINS, "a"), (GOES_ON, "b"), (ENDS, "c")], &[binary(*b"abc")]);
    }
}

#[test]
fn empty_fragments_are_legal_everywhere() {
    for us in BOTH {
        they_say(us, &[(TEXT_BEGINS, ""), (GOES_ON, ""), (ENDS, "")], &[text("")]);
        they_say(us, &[(BINARY_BEGINS, ""), (GOES_ON, "b"), (GOES_ON, ""), (ENDS, "")], &[binary(*b"b")]);
        they_say(us, &[(BINARY_BEGINS, ""), (ENDS, "b")], &[binary(*b"b")]);
    }
}

#[test]
fn control_frames_between_fragments_come_first() {
    for us in BOTH {
        they_say(
            us,
            &[(TEXT_BEGINS, "a"), (PING, "1"), (GOES_ON, "b"), (PONG, "2"), (PING, ""), (ENDS, "c")],
            &[ping("1"), pong("2"), ping(""), text("abc")],
        );
    }
}

#[test]
fn close_inside_a_message_ends_the_connection() {
    for us in BOTH {
        let bytes = [frame(us.peer(), TEXT_BEGINS, "a"), close_frame(us.peer(), 1000, "")].concat();
        let ((events, error), answer) = every_way(|| open(us), &bytes);
        assert!(matches!(&events[..], [Event::Close(frame)] if frame.code == CloseCode::NORMAL));
        assert_eq!((error, parse(us, &answer)), (None, vec![(CLOSE, vec![3, 0xe8])]));
    }
}

#[test]
fn messages_follow_each_other_after_fragments() {
    for us in BOTH {
        they_say(
            us,
            &[(TEXT_BEGINS, "a"), (ENDS, "b"), (TEXT, "c"), (BINARY_BEGINS, "d"), (ENDS, "e")],
            &[text("ab"), text("c"), binary(*b"de")],
        );
    }
}

#[test]
fn continuation_of_nothing() {
    they_break(quiet(), &[(ENDS, b"x")], &[], ProtocolError::UnexpectedContinuation);
    they_break(quiet(), &[(GOES_ON, b"")], &[], ProtocolError::UnexpectedContinuation);
    they_break(quiet(), &[(TEXT, b"a"), (ENDS, b"x")], &[text("a")], ProtocolError::UnexpectedContinuation);
    they_break(
        quiet(),
        &[(TEXT_BEGINS, b"a"), (ENDS, b"b"), (ENDS, b"c")],
        &[text("ab")],
        ProtocolError::UnexpectedContinuation,
    );
}

#[test]
fn message_inside_a_message() {
    for first in [TEXT_BEGINS, BINARY_BEGINS] {
        for second in [TEXT, BINARY, TEXT_BEGINS, BINARY_BEGINS] {
            they_break(quiet(), &[(first, b"a"), (second, b"b")], &[], ProtocolError::ExpectedContinuation);
        }
    }
}

#[test]
fn continuation_rules_are_judged_at_the_header() {
    for us in BOTH {
        let bytes = frame(us.peer(), ENDS, "long enough to wait for");
        let (at, error) = refused_after(&mut open(us), &bytes);
        assert_eq!(error, ProtocolError::UnexpectedContinuation);
        assert!(at <= header(us.peer(), ENDS, 23).len(), "refused after {at} bytes");
    }
}

// Limits (§10.4).

fn limited(size: u64, fragments: u32) -> Config {
    let mut config = quiet();
    config.max_message_size = size;
    config.max_fragments = fragments;
    config
}

#[test]
fn message_as_long_as_the_limit() {
    for us in BOTH {
        let bytes = frames(us.peer(), [(BINARY, vec![1; 100]), (BINARY_BEGINS, vec![1; 40]), (ENDS, vec![1; 60])]);
        let ((events, error), _) = every_way(|| connection(us, limited(100, 2)), &bytes);
        assert_eq!((events, error), (vec![binary([1; 100]), binary([1; 100])], None));
    }
}

#[test]
fn message_longer_than_the_limit() {
    let broken = ProtocolError::MessageTooBig { limit: 100 };
    they_break(limited(100, 9), &[(BINARY, &[1; 101])], &[], broken);
    they_break(limited(100, 9), &[(TEXT_BEGINS, &[65; 60]), (ENDS, &[65; 41])], &[], broken);
    they_break(limited(0, 9), &[(TEXT, b""), (TEXT, b"a")], &[text("")], ProtocolError::MessageTooBig { limit: 0 });
}

#[test]
fn the_limit_is_for_one_message_not_for_the_sum() {
    for us in BOTH {
        let bytes = frames(us.peer(), std::iter::repeat_n((BINARY, vec![1; 100]), 5));
        let ((events, error), _) = every_way(|| connection(us, limited(100, 1)), &bytes);
        assert_eq!((events.len(), error), (5, None));
    }
}

#[test]
fn announced_length_is_refused_at_the_header() {
    for us in BOTH {
        for announced in [101, 70_000, u64::MAX / 2] {
            let bytes = header(us.peer(), BINARY, announced);
            let (at, error) = refused_after(&mut connection(us, limited(100, 9)), &bytes);
            assert_eq!(error, ProtocolError::MessageTooBig { limit: 100 });
            assert!(at <= bytes.len());
        }
        // The sum of what is announced counts, and cannot overflow.
        let mut long = connection(us, limited(u64::MAX - 1, 9));
        hear(&mut long, &frame(us.peer(), BINARY_BEGINS, "abc"));
        assert_eq!(hear(&mut long, &header(us.peer(), GOES_ON, i64::MAX as u64)).1, None);
    }
}

#[test]
fn limits_hold_in_chunk_mode() {
    for us in BOTH {
        let mut too_long = connection(us, limited(100, 9));
        let bytes = frames(us.peer(), [(BINARY_BEGINS, vec![1; 60]), (ENDS, vec![1; 41])]);
        assert_eq!(hear_chunks(&mut too_long, [&bytes[..]]).1, Some(ProtocolError::MessageTooBig { limit: 100 }));
        let mut too_many = connection(us, limited(100, 2));
        let bytes = frames(us.peer(), [(BINARY_BEGINS, ""), (GOES_ON, ""), (GOES_ON, "")]);
        assert_eq!(hear_chunks(&mut too_many, [&bytes[..]]).1, Some(ProtocolError::TooManyFragments { limit: 2 }));
    }
}

#[test]
fn fragments_are_counted_empty_ones_too() {
    let broken = ProtocolError::TooManyFragments { limit: 3 };
    let empty: (u8, &[u8]) = (GOES_ON, b"");
    they_break(limited(100, 3), &[(TEXT_BEGINS, b""), empty, empty, empty], &[], broken);
    they_break(limited(100, 3), &[(TEXT_BEGINS, b"a"), (GOES_ON, b"b"), empty, (ENDS, b"d")], &[], broken);
    for us in BOTH {
        // Control frames are no fragments, and each message is counted anew.
        let message = [(TEXT_BEGINS, "a"), (PING, ""), (PONG, ""), (GOES_ON, "b"), (PING, ""), (ENDS, "c")];
        let bytes = frames(us.peer(), [message, message].concat());
        let ((events, error), _) = every_way(|| connection(us, limited(100, 3)), &bytes);
        assert_eq!((error, events.last()), (None, Some(&text("abc"))));
    }
}

// UTF-8 (§8.1).

#[test]
fn text_that_is_not_utf8() {
    let cases: [(&[u8], u64); 9] = [
        (b"\xff", 0),
        (b"abc\x80", 3),
        (b"\xc0\xaf", 0),
        (b"\xed\xa0\x80", 0),
        (b"\xf4\x90\x80\x80", 0),
        (b"ab\xe2\x82", 2),
        (b"ab\xe2\x82A", 2),
        (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", 11),
        (b"\xf8\x88\x80\x80\x80", 0),
    ];
    for (bytes, at) in cases {
        let broken = ProtocolError::InvalidUtf8 { at };
        assert_eq!(broken.close_code(), CloseCode::INVALID_PAYLOAD);
        they_break(quiet(), &[(TEXT, bytes)], &[], broken);
        for cut in 0..=bytes.len() {
            they_break(quiet(), &[(TEXT_BEGINS, &bytes[..cut]), (ENDS, &bytes[cut..])], &[], broken);
        }
        for us in BOTH {
            let heard = hear(&mut open(us), &frame(us.peer(), BINARY, bytes));
            assert_eq!(heard, (vec![binary(bytes)], None), "binary is not text");
        }
    }
}

#[test]
fn utf8_fails_at_the_first_bad_byte_of_an_unfinished_frame() {
    for us in BOTH {
        for (bad, noticed) in [(&b"ok\xff"[..], 3), (b"ok\xed\xa0", 4), (b"ok\xf4\x90", 4), (b"ok\xe2\x82A", 5)] {
            let mut payload = bad.to_vec();
            payload.resize(1000, b'x');
            let size = header(us.peer(), TEXT, 1000).len();
            let found = refused_after(&mut open(us), &frame(us.peer(), TEXT, &payload));
            assert_eq!(found, (size + noticed, ProtocolError::InvalidUtf8 { at: 2 }), "{bad:x?}");
            // The same in a fragment, and in chunks.
            let found = refused_after(&mut open(us), &frame(us.peer(), TEXT_BEGINS, &payload));
            assert_eq!(found, (size + noticed, ProtocolError::InvalidUtf8 { at: 2 }), "{bad:x?}");
            let unfinished = &frame(us.peer(), TEXT, &payload)[..size + noticed];
            assert_eq!(hear_chunks(&mut open(us), [unfinished]).1, Some(ProtocolError::InvalidUtf8 { at: 2 }));
            assert_eq!(hear_chunks(&mut open(us), [&unfinished[..size + noticed - 1]]).1, None);
        }
    }
}

#[test]
fn characters_cut_between_fragments_and_chunks() {
    let word = "aß水🦀";
    for us in BOTH {
        for first in 0..=word.len() {
            for second in first..=word.len() {
                let list = [
                    (TEXT_BEGINS, &word.as_bytes()[..first]),
                    (GOES_ON, &word.as_bytes()[first..second]),
                    (ENDS, &word.as_bytes()[second..]),
                ];
                let bytes = frames(us.peer(), list);
                let ((events, error), _) = every_way(|| open(us), &bytes);
                assert_eq!((events, error), (vec![text(word)], None));
                let (events, error) = hear_chunks(&mut open(us), bytes.chunks(1));
                assert_eq!((joined(&events), error), (Message::from(word), None));
            }
        }
    }
}

// Borrowed and owned.

/// Whether the next event's payload borrows from the input.
fn borrows(us: &mut Connection, bytes: &[u8], chunks: bool) -> bool {
    let mut bytes = bytes.to_vec();
    let mut input = &mut bytes[..];
    let event = if chunks { us.receive_chunk(&mut input, s(0)) } else { us.receive(&mut input, s(0)) };
    match event.unwrap().unwrap() {
        Event::Message(Message::Text(text)) => matches!(text, Cow::Borrowed(_)),
        Event::Message(Message::Binary(data)) => matches!(data, Cow::Borrowed(_)),
        Event::Chunk(Chunk { data: Message::Text(text), .. }) => matches!(text, Cow::Borrowed(_)),
        Event::Chunk(Chunk { data: Message::Binary(data), .. }) => matches!(data, Cow::Borrowed(_)),
        Event::Ping(payload) | Event::Pong { payload, .. } => matches!(payload, Cow::Borrowed(_)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_lies_whole_in_the_input_is_borrowed() {
    for us in BOTH {
        for first in [TEXT, BINARY, PING, PONG] {
            for len in [0, 1, 125] {
                let bytes = frame(us.peer(), first, vec![b'x'; len]);
                assert!(borrows(&mut open(us), &bytes, false));
                assert!(borrows(&mut open(us), &bytes, true));
            }
        }
        assert!(borrows(&mut open(us), &frame(us.peer(), TEXT, "x".repeat(100_000)), false));
        assert!(borrows(&mut open(us), &frame(us.peer(), BINARY, vec![9; 100_000]), false));
    }
}

#[test]
fn chunks_are_borrowed() {
    for us in BOTH {
        for first in [TEXT, BINARY] {
            let bytes = frame(us.peer(), first, "x".repeat(1000));
            let mut us = open(us);
            assert!(borrows(&mut us, &bytes[..500], true));
            assert!(borrows(&mut us, &bytes[500..900], true));
            assert!(borrows(&mut us, &bytes[900..], true));
        }
    }
}

/// The owned message that comes of these pieces, with its capacity.
fn capacity(us: &mut Connection, bytes: &[u8], pieces: usize) -> (usize, usize) {
    let (events, _) = hear_in(us, bytes.chunks(pieces), s(0));
    match events.into_iter().next().unwrap() {
        Event::Message(Message::Text(Cow::Owned(text))) => (text.len(), text.capacity()),
        Event::Message(Message::Binary(Cow::Owned(data))) => (data.len(), data.capacity()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_gathered_is_owned_in_memory_of_its_own_size() {
    for us in BOTH {
        for len in [2, 20, 100, 1000, 70_000] {
            for pieces in [1, 7, 64, 4096] {
                for first in [TEXT, BINARY] {
                    let bytes = frame(us.peer(), first, "x".repeat(len));
                    if pieces < bytes.len() {
                        assert_eq!(capacity(&mut open(us), &bytes, pieces), (len, len), "in pieces of {pieces}");
                    }
                    for cut in [0, len / 3, len - len / 3, len] {
                        let (front, back) = ("x".repeat(cut), "x".repeat(len - cut));
                        let bytes = frames(us.peer(), [(first & 0x0f, front), (ENDS, back)]);
                        assert_eq!(capacity(&mut open(us), &bytes, pieces), (len, len), "in pieces of {pieces}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_kept_chunk_is_right_sized_too() {
    // Some has been gathered before chunks were asked for, or a character was cut.
    for first in [TEXT, BINARY] {
        let bytes = frame(Server, first, "水".repeat(1000));
        for cut in [9, 10, 11, 1500] {
            let mut us = open(Client);
            hear(&mut us, &bytes[..cut]);
            for event in hear_chunks(&mut us, bytes[cut..].chunks(100)).0 {
                let (len, capacity) = match event {
                    Event::Chunk(Chunk { data: Message::Text(Cow::Owned(text)), .. }) => (text.len(), text.capacity()),
                    Event::Chunk(Chunk { data: Message::Binary(Cow::Owned(data)), .. }) => {
                        (data.len(), data.capacity())
                    }
                    other => panic!("{other:?}"),
                };
                assert_eq!(capacity, len);
            }
        }
    }
}

// Chunk mode.

/// The chunks of one message put together, after a check of their marks.
#[track_caller]
fn joined(events: &[Event<'static>]) -> Message<'static> {
    let chunks: Vec<_> =
        events.iter().map(|event| if let Event::Chunk(chunk) = event { chunk } else { panic!("{event:?}") }).collect();
    for (nth, chunk) in chunks.iter().enumerate() {
        assert_eq!((chunk.first, chunk.last), (nth == 0, nth + 1 == chunks.len()), "{chunks:?}");
        assert!(chunk.last || !chunk.data.is_empty(), "only the last may be empty: {chunks:?}");
        assert_eq!(chunk.data.is_text(), chunks[0].data.is_text());
    }
    let bytes: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.data.as_bytes()).copied().collect();
    if chunks[0].data.is_text() { Message::from(String::from_utf8(bytes).unwrap()) } else { Message::from(bytes) }
}

#[test]
fn chunks_join_to_the_message_in_every_cut() {
    let word = "naïve 水 🦀 café";
    for us in BOTH {
        let cases: [&[(u8, &str)]; 6] = [
            &[(TEXT, word)],
            &[(TEXT_BEGINS, ""), (GOES_ON, word), (ENDS, "")],
            &[(TEXT_BEGINS, "naï"), (GOES_ON, ""), (ENDS, "ve 水 🦀 café")],
            &[(BINARY, word)],
            &[(BINARY_BEGINS, "naï"), (GOES_ON, "ve 水 🦀"), (ENDS, " café")],
            &[(BINARY_BEGINS, ""), (GOES_ON, ""), (ENDS, word)],
        ];
        for list in cases {
            let bytes = frames(us.peer(), list.iter().copied());
            let expected = if list[0].0 & 1 == 1 { Message::from(word) } else { Message::from(word.as_bytes()) };
            for cut in cuts(bytes.len()) {
                let (events, error) = hear_chunks(&mut open(us), [&bytes[..cut], &bytes[cut..]]);
                assert_eq!((joined(&events), error), (expected.clone(), None), "{list:?} cut at {cut}");
            }
            let (events, _) = hear_chunks(&mut open(us), bytes.chunks(1));
            assert_eq!(joined(&events), expected, "{list:?} byte by byte");
        }
    }
}

#[test]
fn empty_messages_are_one_empty_chunk() {
    for us in BOTH {
        for list in
            [&[(TEXT, "")][..], &[(TEXT_BEGINS, ""), (ENDS, "")], &[(BINARY_BEGINS, ""), (GOES_ON, ""), (ENDS, "")]]
        {
            let bytes = frames(us.peer(), list.iter().copied());
            for pieces in [1, 100] {
                let (events, _) = hear_chunks(&mut open(us), bytes.chunks(pieces));
                assert_eq!(events.len(), 1);
                assert!(joined(&events).is_empty());
            }
        }
    }
}

#[test]
fn control_frames_come_between_chunks() {
    let bytes = frames(Server, [(TEXT_BEGINS, "a"), (PING, "1"), (ENDS, "b")]);
    let (events, _) = hear_chunks(&mut open(Client), [&bytes[..]]);
    let chunk = |data: &'static str, first, last| Event::Chunk(Chunk::new(data.into(), first, last));
    assert_eq!(events, [chunk("a", true, false), ping("1"), chunk("b", false, true)]);
}

#[test]
fn from_gathering_to_chunks() {
    // What was gathered comes with the first chunk.
    for first in [TEXT, BINARY] {
        let word = "aß水🦀 and more";
        let bytes = frame(Server, first, word);
        for cut in 0..bytes.len() {
            for second in cut..=bytes.len() {
                let mut us = open(Client);
                assert_eq!(hear(&mut us, &bytes[..cut]).0, []);
                let (events, _) = hear_chunks(&mut us, [&bytes[cut..second], &bytes[second..]]);
                assert_eq!(joined(&events).as_bytes(), word.as_bytes(), "cut at {cut}");
            }
        }
    }
}

#[test]
fn from_chunks_to_messages() {
    // The rest of a message that was begun in chunks is skipped; the next one is whole.
    for first in [TEXT, BINARY] {
        let bytes = frames(Server, [(first, "0123456789"), (PING, "1"), (TEXT, "next")]);
        for cut in 3..12 {
            let mut us = open(Client);
            assert_eq!(hear_chunks(&mut us, [&bytes[..cut]]).0.len(), 1);
            assert_eq!(hear(&mut us, &bytes[cut..]), (vec![ping("1"), text("next")], None));
        }
    }
    // Skipped text is text all the same.
    let bytes = frame(Server, TEXT, b"0123\xff");
    let mut us = open(Client);
    hear_chunks(&mut us, [&bytes[..4]]);
    assert_eq!(hear(&mut us, &bytes[4..]).1, Some(ProtocolError::InvalidUtf8 { at: 4 }));
}

#[test]
fn a_message_that_was_skipped_is_not_resumed() {
    // "The rest of that message is skipped": the rest, not a hole in its middle.
    for first in [TEXT, BINARY] {
        let bytes = frames(Server, [(first, "0123456789"), (TEXT, "next")]);
        let mut us = open(Client);
        assert_eq!(hear_chunks(&mut us, [&bytes[..5]]).0.len(), 1);
        assert_eq!(hear(&mut us, &bytes[5..8]), (vec![], None));
        let (events, _) = hear_chunks(&mut us, [&bytes[8..]]);
        assert_eq!(joined(&events), Message::from("next"));
    }
}

#[test]
fn an_empty_chunk_is_no_chunk() {
    // Asking for chunks where nothing has come yet does not spoil the message.
    for first in [TEXT_BEGINS, BINARY_BEGINS] {
        let bytes = frames(Server, [(first, ""), (ENDS, "水")]);
        // Up to here no byte, or no whole character, has come.
        for cut in 0..=if first == TEXT_BEGINS { 6 } else { 4 } {
            let mut us = open(Client);
            assert_eq!(hear_chunks(&mut us, [&bytes[..cut]]).0, []);
            let (events, _) = hear(&mut us, &bytes[cut..]);
            assert!(matches!(&events[..], [Event::Message(message)] if message.as_bytes() == "水".as_bytes()));
        }
    }
}

#[test]
fn asking_for_messages_without_input_skips_nothing() {
    let bytes = frame(Server, TEXT, "0123456789");
    let mut us = open(Client);
    let mut events = hear_chunks(&mut us, [&bytes[..6]]).0;
    assert_eq!(hear(&mut us, b"").0, []);
    events.extend(hear_chunks(&mut us, [&bytes[6..]]).0);
    assert_eq!(joined(&events), Message::from("0123456789"));
}

#[test]
fn a_long_message_in_chunks_takes_no_memory() {
    let mut config = quiet();
    config.max_message_size = u64::MAX;
    for role in BOTH {
        let mut us = connection(role, config);
        let part = frame(role.peer(), GOES_ON, vec![3; 60_000]);
        hear_chunks(&mut us, [&frame(role.peer(), BINARY_BEGINS, "x")[..]]);
        let mut total = 0_u64;
        let mut buffer = part.clone();
        let info = allocation_counter::measure(|| {
            for _ in 0..1000 {
                buffer.copy_from_slice(&part);
                for piece in buffer.chunks_mut(4096) {
                    let mut input = piece;
                    while let Some(event) = us.receive_chunk(&mut input, s(0)).unwrap() {
                        let Event::Chunk(chunk) = event else { panic!() };
                        total += chunk.data.len() as u64;
                    }
                }
            }
        });
        assert_eq!(total, 60_000_000);
        assert_eq!(info.bytes_total, 0, "nothing is allocated");
    }
}

// Reading straight into the message.

/// As an adapter does: reads into the space wherever there is some, at most `most` bytes
/// at a time; into a buffer of `size` elsewhere.
fn hear_by_space(us: &mut Connection, mut bytes: &[u8], size: usize, most: usize) -> (Heard, usize) {
    let mut heard: Heard = (vec![], None);
    let mut through_space = 0;
    while !bytes.is_empty() && heard.1.is_none() {
        if let Some(space) = us.receive_space() {
            assert!(!space.is_empty());
            let len = space.len().min(bytes.len()).min(most);
            space[..len].copy_from_slice(&bytes[..len]);
            us.handle_filled(len, s(0));
            through_space += len;
            bytes = &bytes[len..];
            let (events, error) = hear(us, b"");
            heard.0.extend(events);
            heard.1 = error;
        } else {
            let (now, later) = bytes.split_at(size.min(bytes.len()));
            bytes = later;
            let (events, error) = hear(us, now);
            heard.0.extend(events);
            heard.1 = error;
        }
    }
    (heard, through_space)
}

#[test]
fn reading_into_the_space_is_reading() {
    let data: Vec<u8> = (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for us in BOTH {
        let cases = [
            frames(us.peer(), [(BINARY, &data[..]), (TEXT, b"next")]),
            frames(
                us.peer(),
                [(BINARY_BEGINS, &data[..100_000]), (PING, b"1"), (ENDS, &data[100_000..]), (TEXT, b"n")],
            ),
            frames(us.peer(), [(BINARY_BEGINS, &data[..20]), (GOES_ON, &data[..]), (ENDS, b""), (ENDS, b"")]),
        ];
        for bytes in cases {
            let expected = hear(&mut open(us), &bytes);
            for size in [16_384, 20_001, 65_536] {
                for most in [1000, 16_385, usize::MAX] {
                    let (heard, through_space) = hear_by_space(&mut open(us), &bytes, size, most);
                    assert!(heard == expected, "buffer of {size}, at most {most}");
                    assert!(through_space > 100_000, "{through_space} bytes through the space");
                }
            }
        }
    }
}

#[test]
fn a_message_read_into_the_space_is_right_sized() {
    for len in [40_000, 1_000_000] {
        let bytes = frame(Client, BINARY, vec![7; len]);
        let ((events, _), _) = hear_by_space(&mut open(Server), &bytes, 16_384, usize::MAX);
        let [Event::Message(Message::Binary(Cow::Owned(data)))] = &events[..] else { panic!() };
        assert_eq!((data.len(), data.capacity()), (len, len));
    }
}

#[test]
fn the_room_may_be_ignored() {
    let data: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
    let bytes = frame(Server, BINARY, &data);
    let mut us = open(Client);
    let mut events = vec![];
    for (nth, piece) in bytes.chunks(10_000).enumerate() {
        // Looked at, sometimes half used, never in the same rhythm as the input.
        let _ = us.receive_space();
        if nth % 3 == 0 {
            us.handle_filled(0, s(0));
        }
        events.extend(hear(&mut us, piece).0);
    }
    assert_eq!(events, [binary(data)]);
}

#[test]
fn there_is_no_space_before_the_bytes_have_come() {
    for announced in [100, 1 << 20, 1 << 40] {
        let mut config = quiet();
        config.max_message_size = u64::MAX;
        let mut us = connection(Client, config);
        let mut bytes = header(Server, BINARY, announced);
        bytes.extend(vec![0; 99]);
        let info = allocation_counter::measure(|| {
            hear(&mut us, &bytes);
        });
        assert_eq!(us.receive_space(), None);
        assert!(info.bytes_max < 4096, "{} bytes allocated for an announcement of {announced}", info.bytes_max);
    }
}

#[test]
fn memory_follows_the_bytes_that_came() {
    let mut config = quiet();
    config.max_message_size = u64::MAX;
    for first in [TEXT, BINARY] {
        let mut us = connection(Client, config);
        let mut bytes = header(Server, first, 1 << 40);
        bytes.extend(vec![b'x'; 100_000]);
        let info = allocation_counter::measure(|| {
            hear(&mut us, &bytes);
            us.receive_space();
        });
        assert!(info.bytes_max < 10 * 100_000, "{} bytes allocated for 100,000", info.bytes_max);
    }
}

#[test]
fn there_is_room_for_binary_data_only_and_within_its_frame() {
    let some = "x".repeat(50_000);
    let begun = |first, whole: u64| [&header(Server, first, whole)[..], some.as_bytes()].concat();
    let mut us = open(Client);
    hear(&mut us, &begun(TEXT, 1 << 20));
    assert_eq!(us.receive_space(), None, "text is checked on its way");
    let mut us = open(Client);
    hear(&mut us, &begun(BINARY, 1 << 20));
    let space = us.receive_space().unwrap().len();
    assert!(space <= 50_000, "no more than has come: {space}");
    let mut us = open(Client);
    hear(&mut us, &begun(BINARY, 70_000));
    assert!(us.receive_space().unwrap().len() <= 20_000, "no more than is left of the frame");
    us.handle_eof(Time::ZERO);
    assert_eq!(us.receive_space(), None, "nothing more will come");
}

#[test]
fn any_handle_filled_is_safe() {
    let mut us = open(Client);
    us.handle_filled(5, s(0));
    assert_eq!(us.receive_space(), None);
    hear(&mut us, &[&header(Server, BINARY, 100_000)[..], &[1; 40_000]].concat());
    let space = us.receive_space().unwrap().len();
    us.handle_filled(usize::MAX, s(0));
    let mut rest = vec![0; 100_000 - 40_000 - space];
    rest.extend(frame(Server, TEXT, "in step"));
    let (events, _) = hear(&mut us, &rest);
    assert_eq!(events.last(), Some(&text("in step")));
}

// Sending.

#[test]
fn messages_are_sent_in_one_frame() {
    for role in BOTH {
        for len in [0, 1, 125, 126, 65_535, 65_536, 200_000] {
            let mut us = open(role);
            us.send("x".repeat(len)).unwrap();
            let bytes = transmit(&mut us, s(0));
            assert_eq!(parse(role, &bytes), [(TEXT, vec![b'x'; len])]);
            us.send(vec![7; len]).unwrap();
            let bytes = transmit(&mut us, s(0));
            assert_eq!(parse(role, &bytes), [(BINARY, vec![7; len])]);
        }
    }
}

#[test]
fn messages_are_sent_in_fragments() {
    for role in BOTH {
        let mut us = open(role);
        us.send_fragment(b"a", false).unwrap();
        us.ping(b"1", s(0)).unwrap();
        us.send_fragment(vec![b'b'; 20_000], false).unwrap();
        us.pong(b"2").unwrap();
        us.send_fragment(b"", true).unwrap();
        us.send("next").unwrap();
        us.send_fragment("all", true).unwrap();
        let expected = [
            (BINARY_BEGINS, b"a".to_vec()),
            (PING, b"1".to_vec()),
            (GOES_ON, vec![b'b'; 20_000]),
            (PONG, b"2".to_vec()),
            (ENDS, vec![]),
            (TEXT, b"next".to_vec()),
            (TEXT, b"all".to_vec()),
        ];
        assert_eq!(said(&mut us), expected);
    }
}

#[test]
fn every_frame_of_a_client_has_a_key_of_its_own() {
    let mut us = open(Client);
    let mut keys = std::collections::HashSet::new();
    for _ in 0..100 {
        us.send("").unwrap();
        keys.insert(transmit(&mut us, s(0))[2..6].to_vec());
    }
    assert!(keys.len() > 98);
}

#[test]
fn send_errors_queue_nothing() {
    for role in BOTH {
        let mut us = open(role);
        us.send_fragment("begun", false).unwrap();
        let before = us.queued();
        let long = "x".repeat(126);
        let reason = "x".repeat(124);
        assert_eq!(us.send("x"), Err(SendError::MessageUnfinished));
        assert_eq!(us.send_fragment(b"x", true), Err(SendError::TypeChanged));
        assert_eq!(us.ping(long.as_bytes(), s(0)), Err(SendError::ControlTooLong { len: 126 }));
        assert_eq!(us.pong(long.as_bytes()), Err(SendError::ControlTooLong { len: 126 }));
        let invalid = CloseCode::new(1004);
        assert_eq!(us.close(invalid, "", s(0)), Err(SendError::CloseCodeInvalid(invalid)));
        assert_eq!(us.close(CloseCode::NORMAL, &reason, s(0)), Err(SendError::CloseReasonTooLong { len: 124 }));
        assert_eq!(us.close(CloseCode::NO_STATUS, "x", s(0)), Err(SendError::CloseReasonTooLong { len: 1 }));
        assert_eq!((us.queued(), us.state()), (before, State::Open));
        // The message goes on as if nothing had been asked.
        us.send_fragment("ended", true).unwrap();
        assert_eq!(said(&mut us), [(TEXT_BEGINS, b"begun".to_vec()), (ENDS, b"ended".to_vec())]);

        us.close(CloseCode::NORMAL, "", s(0)).unwrap();
        let before = us.queued();
        assert_eq!(us.send("x"), Err(SendError::Closed));
        assert_eq!(us.send_fragment("x", true), Err(SendError::Closed));
        assert_eq!(us.ping(b"", s(0)), Err(SendError::Closed));
        assert_eq!(us.pong(b""), Err(SendError::Closed));
        assert_eq!(us.close(CloseCode::NORMAL, "", s(0)), Err(SendError::Closed));
        assert_eq!(us.queued(), before);
    }
}

#[test]
fn the_send_buffer_has_a_high_water_mark() {
    for role in BOTH {
        let mut config = quiet();
        config.high_water = 1000;
        let mut us = connection(role, config);
        while us.has_room() {
            us.send(vec![1; 90]).unwrap();
        }
        let full = us.queued();
        assert!((1000..1100).contains(&full));
        assert_eq!(us.send("x"), Err(SendError::Full));
        assert_eq!(us.send_fragment("x", true), Err(SendError::Full));
        assert_eq!(us.ping(b"x", s(0)), Err(SendError::Full));
        assert_eq!(us.pong(b"x"), Err(SendError::Full));
        assert_eq!(us.queued(), full);

        us.handle_transmitted(full - 1000, s(0));
        assert!(!us.has_room(), "fewer than 1000 may wait");
        us.handle_transmitted(1, s(0));
        assert!(us.has_room());
        us.send(vec![1; 5000]).unwrap();
        assert!(!us.has_room() && us.queued() > 5999, "a message taken before may exceed the mark");

        us.close(CloseCode::NORMAL, "", s(0)).unwrap();
        let bytes = transmit(&mut us, s(0));
        assert!(bytes.len() > 5999 && us.has_room());
    }
}

#[test]
fn a_refused_first_fragment_begins_nothing() {
    let mut config = quiet();
    config.high_water = 1;
    let mut us = connection(Server, config);
    us.send("x").unwrap();
    assert_eq!(us.send_fragment("a", false), Err(SendError::Full));
    transmit(&mut us, s(0));
    us.send("not in between").unwrap();
}

#[test]
fn slices_go_out_in_order_however_the_transport_cuts_them() {
    for role in BOTH {
        for step in [1, 3, 1000, 30_000] {
            let mut us = connection(role, {
                let mut config = quiet();
                config.high_water = usize::MAX;
                config
            });
            let mut expected = vec![];
            for nth in 0..6_u8 {
                let len = [5, 20_000, 0, 300, 16_384, 16_383][usize::from(nth)];
                us.send(vec![nth; len]).unwrap();
                expected.push((BINARY, vec![nth; len]));
            }
            let total = us.queued();
            let whole: Vec<u8> = us.transmits().flatten().copied().collect();
            assert_eq!(whole.len(), total);
            let mut bytes = vec![];
            while let Some(slice) = us.next_transmit() {
                assert!(!slice.is_empty() && us.transmits().all(|slice| !slice.is_empty()));
                let len = slice.len().min(step);
                bytes.extend_from_slice(&slice[..len]);
                us.handle_transmitted(len, s(0));
                assert_eq!(us.queued(), total - bytes.len());
            }
            assert!(bytes == whole);
            assert!(parse(role, &bytes) == expected);
        }
    }
}

#[test]
fn a_large_owned_message_is_not_copied() {
    for role in BOTH {
        let mut us = open(role);
        let data = vec![1; 1_000_000];
        let info = allocation_counter::measure(|| us.send(data).unwrap());
        assert!(info.bytes_total < 1000, "{} bytes allocated", info.bytes_total);
        assert_eq!(parse(role, &transmit(&mut us, s(0)))[0].1.len(), 1_000_000);
    }
}

#[test]
fn a_queue_that_never_empties_keeps_its_order_and_its_size() {
    // Small messages are gathered and large ones are not: the bookkeeping between them must hold.
    for role in BOTH {
        let mut us = open(role);
        us.send(vec![0; 10_000]).unwrap();
        let mut wire = vec![];
        let info = allocation_counter::measure(|| {
            for nth in 1..=200_u8 {
                us.send(vec![nth; 3_000]).unwrap();
                us.send(vec![nth; 20_000]).unwrap();
                let mut left = 23_000;
                while left > 0 {
                    let slice = us.next_transmit().unwrap();
                    let len = slice.len().min(left);
                    allocation_counter::opt_out(|| wire.extend_from_slice(&slice[..len]));
                    us.handle_transmitted(len, s(0));
                    left -= len;
                }
            }
        });
        assert!(info.bytes_max < 150_000, "{} bytes held for {} that wait", info.bytes_max, us.queued());
        wire.extend(transmit(&mut us, s(0)));
        let order: Vec<_> = parse(role, &wire).into_iter().map(|(_, data)| (data[0], data.len())).collect();
        let mut expected = vec![(0, 10_000)];
        expected.extend((1..=200).flat_map(|nth| [(nth, 3_000), (nth, 20_000)]));
        assert!(order == expected);
    }
}

#[test]
fn an_idle_connection_owns_next_to_nothing() {
    // Whatever went through it: no buffer stays that is not in use.
    for role in BOTH {
        let mut us = open(role);
        let info = allocation_counter::measure(|| {
            us.send(&[1; 60_000]).unwrap();
            us.send(vec![2; 60_000]).unwrap();
            let bytes =
                frames(role.peer(), [(BINARY_BEGINS, vec![3; 100_000]), (PING, vec![4; 100]), (ENDS, vec![5; 9])]);
            hear_in(&mut us, bytes.chunks(777), s(0));
            transmit(&mut us, s(0));
        });
        assert!(info.bytes_current <= 512, "{} bytes", info.bytes_current);
    }
}
