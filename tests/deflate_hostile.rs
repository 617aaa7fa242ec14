//! RFC 7692 §6 and §7.2 with a peer that is hostile, or only odd: reserved bits, cut and
//! broken DEFLATE data, blocks of every kind in every order, bombs, limits, and text that
//! is none. Frames and most of the compressed data are built by hand.
#![cfg(feature = "deflate")]

mod common;

use common::*;
use openline::Role::{Client, Server};
use openline::{Agreement, Config, Connection, Deflate, Event, ProtocolError, Role, State, Upgrade};

/// §6: marks the first frame of a compressed message.
const RSV1: u8 = 0x40;
/// §7.2.1: what a sender leaves out.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

// The compressed messages of §7.2.3, all of which say "Hello".
const FIXED: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const STORED: &[u8] = &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
const FINAL: &[u8] = &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
const TWO_BLOCKS: &[u8] = &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
/// The one that says so by pointing at the message before.
const AGAIN: &[u8] = &[0xf2, 0x00, 0x11, 0x00, 0x00];
/// §7.2.3.6.
const EMPTY: &[u8] = &[0x00];

/// With permessage-deflate as it is by default, or with takeover.
fn deflate(takeover: bool) -> Deflate {
    let mut deflate = Deflate::default();
    (deflate.send.takeover, deflate.receive.takeover) = (takeover, takeover);
    deflate
}

fn connected(role: Role, config: Config, deflate: Deflate) -> Connection {
    let mut agreement = Agreement::default();
    agreement.deflate = Some(deflate);
    let upgrade = match role {
        Role::Server => Upgrade::server(agreement),
        Role::Client => Upgrade::client(agreement, [7; 32]),
    };
    Connection::new(upgrade, config, s(0))
}

fn plain(role: Role) -> Connection {
    connected(role, quiet(), deflate(false))
}

fn limited(role: Role, size: u64, fragments: u32) -> Connection {
    let mut config = quiet();
    (config.max_message_size, config.max_fragments) = (size, fragments);
    connected(role, config, deflate(false))
}

/// RFC 1951, as far as it takes to write the messages of these tests.
#[derive(Clone, Default)]
struct Writer {
    bytes: Vec<u8>,
    /// Bits of the last byte that are in use; 0 if it is full.
    used: u32,
}

impl Writer {
    /// The lowest bit first, as all but codes stand (§3.1.1).
    fn bits(mut self, value: u32, count: u32) -> Writer {
        for bit in 0..count {
            if self.used == 0 {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> bit & 1) as u8) << self.used;
            self.used = (self.used + 1) % 8;
        }
        self
    }

    /// The highest bit first, as codes stand.
    fn code(self, code: u32, len: u32) -> Writer {
        self.bits(code.reverse_bits() >> (32 - len), len)
    }

    fn align(mut self) -> Writer {
        self.used = 0;
        self
    }

    /// §3.2.4: a stored block.
    fn stored(self, last: bool, data: impl AsRef<[u8]>) -> Writer {
        let data = data.as_ref();
        let mut out = self.bits(u32::from(last), 3).align();
        let len = u16::try_from(data.len()).unwrap();
        out.bytes.extend([len.to_le_bytes(), (!len).to_le_bytes()].concat());
        out.bytes.extend(data);
        out
    }

    /// §3.2.6: opens a block of fixed codes.
    fn open(self, last: bool) -> Writer {
        self.bits(u32::from(last) | 2, 3)
    }

    fn literals(self, data: impl AsRef<[u8]>) -> Writer {
        data.as_ref().iter().fold(self, |out, byte| match u32::from(*byte) {
            low @ ..=143 => out.code(0x30 + low, 8),
            high => out.code(0x190 + high - 144, 9),
        })
    }

    /// The length 258 at this distance, which is one of 1 to 4 and has a code for itself.
    fn repeat(self, distance: u32) -> Writer {
        self.code(0xc5, 8).code(distance - 1, 5)
    }

    fn close(self) -> Writer {
        self.code(0, 7)
    }

    fn fixed(self, last: bool, data: impl AsRef<[u8]>) -> Writer {
        let out = self.open(last).literals(data).close();
        // What follows a last block is another stream, and begins at a byte.
        if last { out.align() } else { out }
    }

    /// §7.2.1: the message that ends here: an empty stored block, without its last bytes.
    fn message(self) -> Vec<u8> {
        self.stored(false, "").without_tail()
    }

    fn without_tail(mut self) -> Vec<u8> {
        assert!(self.bytes.ends_with(&TAIL));
        self.bytes.truncate(self.bytes.len() - 4);
        self.bytes
    }
}

fn stored(data: impl AsRef<[u8]>) -> Vec<u8> {
    data.as_ref().chunks(65_535).fold(Writer::default(), |out, part| out.stored(false, part)).message()
}

fn fixed(data: impl AsRef<[u8]>) -> Vec<u8> {
    Writer::default().fixed(false, data).message()
}

/// `len` zeros, as short as fixed codes allow.
fn zeros(len: usize) -> Vec<u8> {
    let (repeats, rest) = ((len - 1) / 258, (len - 1) % 258);
    let mut out = Writer::default().open(false).literals(vec![0; 1 + rest]);
    if repeats > 0 {
        // Behind 3 bits and whole bytes, the 13 bits of this end at a byte. From there on,
        // eight of them are 13 bytes, again and again.
        out = out.repeat(1);
        let eight = (0..8).fold(Writer::default(), |out, _| out.repeat(1)).bytes;
        out.bytes.extend(eight.repeat((repeats - 1) / 8));
        out = (0..(repeats - 1) % 8).fold(out, |out, _| out.repeat(1));
    }
    out.close().message()
}

/// What the crate itself sends for this, which it must have compressed.
fn sent(deflate: Deflate, message: &[u8]) -> Vec<u8> {
    let mut us = connected(Server, quiet(), deflate);
    us.send(message).unwrap();
    let [(first, payload)] = said(&mut us).try_into().unwrap();
    assert_eq!(first, BINARY | RSV1);
    payload
}

/// Text that is worth compressing and has no period.
fn prose(len: usize) -> Vec<u8> {
    let words = ["line ", "open ", "frame ", "mask ", "close ", "ping ", "a ", "of "];
    let mut seed = 1u32;
    let mut out = vec![];
    while out.len() < len {
        out.extend(words[random(&mut seed) as usize % 8].bytes());
    }
    out.truncate(len);
    out
}

fn random(seed: &mut u32) -> u32 {
    *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *seed >> 8
}

fn noise(len: usize, mut seed: u32) -> Vec<u8> {
    (0..len).map(|_| random(&mut seed) as u8).collect()
}

type Frames<'a> = &'a [(u8, &'a [u8])];

/// Feeds whole frames in every cut, to both ends with and without takeover.
#[track_caller]
fn they_say(list: Frames<'_>, expected: &[Event<'static>]) {
    for us in BOTH {
        for takeover in [false, true] {
            let new = || connected(us, quiet(), deflate(takeover));
            let ((events, error), _) = every_way(new, &frames(us.peer(), list.iter().copied()));
            assert_eq!((&events[..], error), (expected, None), "{us:?}, takeover {takeover}, {list:x?}");
        }
    }
}

/// Feeds whole frames in every cut and expects one of these errors after these events,
/// and a Close frame that says so.
#[track_caller]
fn they_break(list: Frames<'_>, heard: &[Event<'static>], broken: &[ProtocolError]) {
    for us in BOTH {
        for takeover in [false, true] {
            let new = || connected(us, quiet(), deflate(takeover));
            let ((events, error), answer) = every_way(new, &frames(us.peer(), list.iter().copied()));
            let error = error.unwrap_or_else(|| panic!("{list:x?} gives {events:?}"));
            assert!(broken.contains(&error), "{error:?}, {list:x?}");
            assert_eq!(events, heard, "{list:x?}");
            let answer = parse(us, &answer);
            let (first, body) = answer.last().unwrap();
            assert_eq!((*first, &body[..2]), (CLOSE, &error.close_code().get().to_be_bytes()[..]));
        }
    }
}

const TRUNCATED: ProtocolError = ProtocolError::DeflateTruncated;
const INVALID: ProtocolError = ProtocolError::DeflateInvalid;

// The reserved bits (§6, and RFC 6455 §5.2).

#[test]
fn reserved_bits_without_agreement() {
    for us in BOTH {
        for (first, payload) in [(TEXT, FIXED), (BINARY, FIXED), (TEXT_BEGINS, FIXED), (BINARY, EMPTY)] {
            let ((events, error), _) = every_way(|| open(us), &frame(us.peer(), first | RSV1, payload));
            assert_eq!((events, error), (vec![], Some(ProtocolError::ReservedBits(4))));
        }
    }
}

#[test]
fn only_the_first_bit_is_agreed_on() {
    for first in [TEXT, BINARY, TEXT_BEGINS, BINARY_BEGINS] {
        for bits in [1, 2, 3, 5, 6, 7] {
            they_break(&[(first | bits << 4, FIXED)], &[], &[ProtocolError::ReservedBits(bits)]);
        }
    }
}

#[test]
fn reserved_bits_on_continuations() {
    // §6: RSV1 stands on the first frame and says it for all of them.
    for begin in [BINARY_BEGINS, TEXT_BEGINS | RSV1, BINARY_BEGINS | RSV1] {
        for next in [GOES_ON, ENDS] {
            for bits in 1..8 {
                let list = [(begin, &FIXED[..3]), (next | bits << 4, &FIXED[3..])];
                they_break(&list, &[], &[ProtocolError::ReservedBits(bits)]);
            }
        }
    }
    // Nor may a continuation of nothing have it.
    let either = [ProtocolError::ReservedBits(4), ProtocolError::UnexpectedContinuation];
    they_break(&[(ENDS | RSV1, FIXED)], &[], &either);
    they_break(&[(TEXT | RSV1, FIXED), (ENDS | RSV1, FIXED)], &[text("Hello")], &either);
}

#[test]
fn reserved_bits_on_control_frames() {
    // §6.1: control frames are not compressed.
    for first in [PING, PONG, CLOSE] {
        for bits in 1..8 {
            they_break(&[(first | bits << 4, b"")], &[], &[ProtocolError::ReservedBits(bits)]);
            let list = [(TEXT_BEGINS | RSV1, &FIXED[..2]), (first | bits << 4, b""), (ENDS, &FIXED[2..])];
            they_break(&list, &[], &[ProtocolError::ReservedBits(bits)]);
        }
    }
    they_break(&[(PING | RSV1, FIXED)], &[], &[ProtocolError::ReservedBits(4)]);
}

#[test]
fn compression_breaks_no_rule_of_fragments() {
    let begun = (TEXT_BEGINS | RSV1, &FIXED[..3]);
    for second in [TEXT | RSV1, BINARY | RSV1, TEXT, BINARY_BEGINS | RSV1] {
        they_break(&[begun, (second, FIXED)], &[], &[ProtocolError::ExpectedContinuation]);
    }
    they_break(&[(TEXT | RSV1, FIXED), (ENDS, b"")], &[text("Hello")], &[ProtocolError::UnexpectedContinuation]);
}

// The forms that a message may have (§7.2.3).

#[test]
fn the_examples() {
    for payload in [FIXED, STORED, FINAL, TWO_BLOCKS] {
        they_say(&[(TEXT | RSV1, payload)], &[text("Hello")]);
        they_say(&[(BINARY | RSV1, payload)], &[binary(*b"Hello")]);
    }
    they_say(&[(TEXT_BEGINS | RSV1, &FIXED[..3]), (ENDS, &FIXED[3..])], &[text("Hello")]);
    // This file's own writer makes the same of it.
    assert_eq!((&fixed("Hello")[..], &stored("Hello")[..]), (FIXED, STORED));
    assert_eq!(Writer::default().fixed(true, "Hello").message(), FINAL);
    assert_eq!(Writer::default().fixed(false, "He").stored(false, "").fixed(false, "llo").message(), TWO_BLOCKS);
}

#[test]
fn a_message_refers_to_the_one_before_only_with_takeover() {
    for us in BOTH {
        let list = frames(us.peer(), [(TEXT | RSV1, FIXED), (TEXT | RSV1, AGAIN)]);
        let ((events, error), _) = every_way(|| connected(us, quiet(), deflate(true)), &list);
        assert_eq!((events, error), (vec![text("Hello"), text("Hello")], None));
        // §7.1.1: with "no context takeover" every message begins with an empty window.
        let ((events, error), _) = every_way(|| connected(us, quiet(), deflate(false)), &list);
        assert_eq!((events, error), (vec![text("Hello")], Some(INVALID)));
        // And the first always does.
        they_break(&[(TEXT | RSV1, AGAIN)], &[], &[INVALID]);
    }
}

#[test]
fn nothing_leaks_from_another_connection() {
    // Whatever memory inflated one message, the next one does not see it: not that of
    // another connection, however that ended.
    let fill = zeros(40_000);
    for takeover in [false, true] {
        let new = || connected(Server, quiet(), deflate(takeover));
        for before in [
            frame(Client, TEXT | RSV1, FIXED),
            frame(Client, BINARY | RSV1, &fill),
            frame(Client, TEXT_BEGINS | RSV1, &FIXED[..5]),
            frame(Client, TEXT | RSV1, &FIXED[..5]),
            frame(Client, BINARY_BEGINS | RSV1, &fill),
            frame(Client, TEXT | RSV1, [&FIXED[..5], &[0xff]].concat()),
        ] {
            let mut other = new();
            hear(&mut other, &before);
            drop(other);
            assert_eq!(hear(&mut new(), &frame(Client, TEXT | RSV1, AGAIN)), (vec![], Some(INVALID)));
            assert_eq!(hear(&mut new(), &frame(Client, TEXT | RSV1, FIXED)), (vec![text("Hello")], None));
        }
    }
}

#[test]
fn connections_that_take_turns_do_not_mix() {
    for takeover in [false, true] {
        let new = || connected(Server, quiet(), deflate(takeover));
        let (mut one, mut two) = (new(), new());
        let payloads = [fixed("first of one"), fixed("and of two")];
        for i in 0..payloads[0].len().max(payloads[1].len()) {
            for (us, payload) in [(&mut one, &payloads[0]), (&mut two, &payloads[1])] {
                let Some(byte) = payload.get(i) else { continue };
                let first = match i {
                    0 => TEXT_BEGINS | RSV1,
                    _ if i + 1 == payload.len() => ENDS,
                    _ => GOES_ON,
                };
                let (events, error) = hear(us, &frame(Client, first, [*byte]));
                assert_eq!(error, None);
                let whole = if i + 1 < payload.len() {
                    vec![]
                } else if *payload == payloads[0] {
                    vec![text("first of one")]
                } else {
                    vec![text("and of two")]
                };
                assert_eq!(events, whole);
            }
        }
    }
}

#[test]
fn plain_messages_leave_the_window_alone() {
    // §7.2: the window is that of what was compressed.
    let long = vec![b'x'; 40_000];
    let list = frames(Client, [(TEXT | RSV1, FIXED), (TEXT, &long), (TEXT, b""), (TEXT | RSV1, AGAIN)]);
    let mut us = connected(Server, quiet(), deflate(true));
    let (events, error) = hear(&mut us, &list);
    assert_eq!((events.len(), error), (4, None));
    assert_eq!(events[3], text("Hello"));
}

#[test]
fn plain_and_compressed_messages_in_turn() {
    they_say(
        &[
            (TEXT, b"plain"),
            (TEXT | RSV1, FIXED),
            (BINARY, FIXED),
            (BINARY | RSV1, STORED),
            (TEXT_BEGINS, b"pl"),
            (ENDS, b"ain"),
            (TEXT_BEGINS | RSV1, &STORED[..6]),
            (ENDS, &STORED[6..]),
            (TEXT, b""),
            (TEXT | RSV1, EMPTY),
        ],
        &[
            text("plain"),
            text("Hello"),
            binary(FIXED),
            binary(*b"Hello"),
            text("plain"),
            text("Hello"),
            text(""),
            text(""),
        ],
    );
}

#[test]
fn control_frames_between_compressed_fragments() {
    they_say(
        &[
            (TEXT_BEGINS | RSV1, &FIXED[..1]),
            (PING, b"1"),
            (GOES_ON, &FIXED[1..5]),
            (PONG, b"2"),
            (PING, b""),
            (ENDS, &FIXED[5..]),
        ],
        &[ping("1"), pong("2"), ping(""), text("Hello")],
    );
}

#[test]
fn close_inside_a_compressed_message() {
    for us in BOTH {
        let bytes = [frame(us.peer(), TEXT_BEGINS | RSV1, &FIXED[..4]), close_frame(us.peer(), 1000, "")].concat();
        let ((events, error), answer) = every_way(|| plain(us), &bytes);
        assert!(matches!(&events[..], [Event::Close(_)]));
        assert_eq!((error, parse(us, &answer)), (None, vec![(CLOSE, vec![3, 0xe8])]));
    }
}

#[test]
fn an_empty_message() {
    for (first, expected) in [(TEXT | RSV1, text("")), (BINARY | RSV1, binary([]))] {
        they_say(&[(first, EMPTY)], std::slice::from_ref(&expected));
        they_say(&[(first & !ENDS, EMPTY), (ENDS, b"")], std::slice::from_ref(&expected));
        they_say(&[(first & !ENDS, b""), (ENDS, EMPTY)], std::slice::from_ref(&expected));
        they_say(&[(first & !ENDS, b""), (GOES_ON, EMPTY), (ENDS, b"")], std::slice::from_ref(&expected));
        // An empty block of fixed codes, and many stored ones.
        they_say(&[(first, &fixed(""))], std::slice::from_ref(&expected));
        they_say(&[(first, &[EMPTY, &TAIL, EMPTY, &TAIL, EMPTY].concat())], std::slice::from_ref(&expected));
    }
}

#[test]
fn empty_fragments_of_a_compressed_message() {
    they_say(
        &[
            (TEXT_BEGINS | RSV1, b""),
            (GOES_ON, &FIXED[..3]),
            (GOES_ON, b""),
            (GOES_ON, b""),
            (GOES_ON, &FIXED[3..]),
            (ENDS, b""),
        ],
        &[text("Hello")],
    );
}

#[test]
fn fragments_cut_anywhere() {
    // §6.2: fragments share one stream; blocks and codes run over their ends.
    for payload in [FIXED, STORED, FINAL, TWO_BLOCKS] {
        for cut in 0..=payload.len() {
            let (front, back) = payload.split_at(cut);
            they_say(&[(TEXT_BEGINS | RSV1, front), (ENDS, back)], &[text("Hello")]);
        }
        let mut list: Vec<_> = payload.chunks(1).map(|byte| (GOES_ON, byte)).collect();
        list[0].0 = TEXT_BEGINS | RSV1;
        list.push((ENDS, b""));
        they_say(&list, &[text("Hello")]);
    }
}

#[test]
fn every_kind_of_block_behind_every_other() {
    let write = |kind, out: Writer, last| match kind {
        0 => out.stored(last, "ab"),
        1 => out.stored(last, ""),
        2 => out.fixed(last, "ab"),
        _ => out.fixed(last, ""),
    };
    let says = |kind| if kind % 2 == 0 { "ab" } else { "" };
    for a in 0..4 {
        for b in 0..4 {
            for lasts in 0..4 {
                let out = write(a, Writer::default(), lasts & 1 != 0);
                let payload = write(b, out, lasts & 2 != 0).message();
                they_say(&[(TEXT | RSV1, &payload)], &[text(&[says(a), says(b)].concat())]);
            }
        }
    }
}

// Blocks that say they are the last (§7.2.3.4).

#[test]
fn last_blocks_anywhere() {
    for payload in [
        Writer::default().fixed(true, "Hello").message(),
        Writer::default().stored(true, "Hello").message(),
        Writer::default().fixed(true, "He").fixed(false, "llo").message(),
        Writer::default().fixed(true, "He").fixed(true, "llo").message(),
        Writer::default().stored(true, "He").fixed(true, "").stored(true, "").fixed(false, "llo").message(),
        Writer::default().fixed(true, "").fixed(true, "").fixed(true, "Hello").fixed(true, "").message(),
        Writer::default().fixed(false, "Hell").stored(true, "o").message(),
        // The empty block whose end stays at home may be a last one too.
        Writer::default().fixed(false, "Hello").stored(true, "").without_tail(),
        Writer::default().fixed(true, "Hello").stored(true, "").without_tail(),
    ] {
        they_say(
            &[(TEXT | RSV1, &payload), (TEXT | RSV1, &payload), (TEXT | RSV1, FIXED), (TEXT, b"x")],
            &[text("Hello"), text("Hello"), text("Hello"), text("x")],
        );
        for cut in 0..=payload.len() {
            let (front, back) = payload.split_at(cut);
            they_say(
                &[(TEXT_BEGINS | RSV1, front), (PING, b""), (ENDS, back), (TEXT | RSV1, STORED)],
                &[ping(""), text("Hello"), text("Hello")],
            );
        }
    }
}

#[test]
fn last_block_without_the_empty_one() {
    // §7.2.3.4 shows a 00 behind it. Without, the message is complete all the same: its
    // DEFLATE stream says so itself. Some senders leave it out.
    let bare = &FINAL[..7];
    let bare_stored = Writer::default().stored(true, "Hello").bytes;
    for payload in [bare, &bare_stored] {
        they_say(
            &[(TEXT | RSV1, payload), (TEXT | RSV1, payload), (TEXT | RSV1, FIXED), (TEXT | RSV1, payload)],
            &[text("Hello"), text("Hello"), text("Hello"), text("Hello")],
        );
        they_say(&[(TEXT_BEGINS | RSV1, payload), (ENDS, b"")], &[text("Hello")]);
        they_say(&[(TEXT_BEGINS | RSV1, b""), (ENDS, payload)], &[text("Hello")]);
    }
    they_say(&[(TEXT | RSV1, &[0x03, 0x00])], &[text("")]);
    // That one message ended so does not end the next, which has nothing.
    they_break(&[(TEXT | RSV1, bare), (TEXT | RSV1, b"")], &[text("Hello")], &[TRUNCATED]);
    they_break(&[(TEXT | RSV1, bare), (TEXT_BEGINS | RSV1, b""), (ENDS, b"")], &[text("Hello")], &[TRUNCATED]);
}

#[test]
fn what_follows_a_last_block_is_judged() {
    for rest in [&[0x07][..], &[0xff], &[0x01, 0x00], &[0xf2], &[0x00, 0x05, 0x00, 0xfa, 0xff], &[0x00, 0x01, 0x00]] {
        they_break(&[(TEXT | RSV1, &[&FINAL[..7], rest].concat())], &[], &[TRUNCATED, INVALID]);
    }
    // Another stream: it cannot refer to the one before it (RFC 1951 §3.2.3 knows none).
    let back = Writer::default().fixed(true, "abcd").open(false).repeat(4).close().message();
    let same = Writer::default().open(false).literals("abcd").repeat(4).close().message();
    let wide = "abcd".repeat(66)[..262].to_owned();
    they_say(&[(TEXT | RSV1, &same)], &[text(&wide)]);
    for us in BOTH {
        // Both a refusal and the letters' repetition can be argued for; nothing else.
        let ((events, error), _) = every_way(|| plain(us), &frame(us.peer(), TEXT | RSV1, &back));
        assert!(events == [text(&wide)] || (events.is_empty() && error == Some(INVALID)), "{events:?} {error:?}");
    }
}

// Cut short.

/// Payloads and what they say.
fn valid_payloads() -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut list: Vec<(Vec<u8>, Vec<u8>)> =
        [FIXED, STORED, FINAL, TWO_BLOCKS].map(|payload| (payload.to_vec(), b"Hello".to_vec())).into();
    let prose = prose(300);
    let dynamic = sent(deflate(false), &prose);
    assert_eq!(dynamic[0] >> 1 & 3, 2, "a block of dynamic codes");
    list.push((dynamic, prose));
    // Zeros and ones at the end, as the tail has them: whoever takes the tail for data
    // may find that it fits.
    for data in [&b"12345678"[..], &[0; 9], &[0xff; 9], &[1, 0, 0, 0xff, 0xff], &[1, 0, 0, 0, 0xff, 0xff]] {
        list.push((stored(data), data.to_vec()));
        list.push((fixed(data), data.to_vec()));
        list.push((Writer::default().fixed(false, "a").stored(true, data).message(), [b"a", data].concat()));
    }
    // Literals whose codes are all zeros but for a few, and all ones but for a few.
    let edges = [0, 1, 15, 255, 254, 0, 255, 143, 144];
    list.push((fixed(edges), edges.to_vec()));
    list.push((Writer::default().fixed(false, edges).fixed(false, "b").message(), [&edges[..], b"b"].concat()));
    list.push((zeros(2000), vec![0; 2000]));
    list
}

/// The cuts of that payload after which nobody can see that something is missing, and what
/// is left: whole blocks, and behind them an empty stored one that lacks only its tail; or
/// whole blocks, and the last of them ends the stream by itself.
fn complete_cuts(payload: &[u8]) -> Vec<(usize, Vec<u8>)> {
    (0..payload.len()).filter_map(|cut| inflate(&payload[..cut]).map(|says| (cut, says))).collect()
}

#[test]
fn cuts_that_leave_a_message() {
    assert_eq!(complete_cuts(FIXED), []);
    // `00`: the beginning of a stored block is the whole of the empty message (§7.2.3.6).
    assert_eq!(complete_cuts(STORED), [(1, vec![])]);
    // `f2 48 05 00`: the "He", and the empty block between the two without its tail.
    assert_eq!(complete_cuts(TWO_BLOCKS), [(4, b"He".to_vec())]);
    // `f3 48 cd c9 c9 07 00`: the block that says it is the last.
    assert_eq!(complete_cuts(FINAL), [(7, b"Hello".to_vec())]);
}

#[test]
fn every_cut_is_found_out() {
    for (payload, says) in valid_payloads() {
        they_say(&[(BINARY | RSV1, &payload)], &[binary(says.clone())]);
        let complete = complete_cuts(&payload);
        for cut in 0..payload.len() {
            let front = &payload[..cut];
            if let Some((_, says)) = complete.iter().find(|(at, _)| *at == cut) {
                they_say(&[(BINARY | RSV1, front)], &[binary(says.clone())]);
                continue;
            }
            for us in BOTH {
                let bytes = frame(us.peer(), BINARY | RSV1, front);
                for takeover in [false, true] {
                    let new = || connected(us, quiet(), deflate(takeover));
                    let (events, error) = hear(&mut new(), &bytes);
                    assert_eq!(events, [], "{cut} bytes of {payload:x?}");
                    assert!(matches!(error, Some(TRUNCATED | INVALID)), "{error:?}: {cut} of {payload:x?}");
                    assert_eq!(hear_in(&mut new(), bytes.chunks(1), s(0)), (vec![], error));
                    let parts = frames(us.peer(), [(BINARY_BEGINS | RSV1, front), (ENDS, b"")]);
                    assert_eq!(hear(&mut new(), &parts), (vec![], error));
                    // In chunk mode some of it is out already, but never the end.
                    let (events, error_of_chunks) = hear_chunks(&mut new(), [&bytes[..]]);
                    assert_eq!(error_of_chunks, error);
                    assert!(says.starts_with(&joined(&events)), "{cut} bytes of {payload:x?}: {events:?}");
                    assert!(!events.iter().any(|event| matches!(event, Event::Chunk(chunk) if chunk.last)));
                }
            }
        }
    }
}

#[test]
fn the_tail_is_no_data() {
    // A stored block that lacks exactly the four bytes that §7.2.2 appends ends well, to
    // a decompressor; but the message has no empty block then, and was cut short.
    let cut = &STORED[..6];
    they_break(&[(BINARY | RSV1, cut)], &[], &[TRUNCATED]);
    they_break(&[(BINARY_BEGINS | RSV1, &cut[..3]), (ENDS, &cut[3..])], &[], &[TRUNCATED]);
    // No payload at all is no message either: not even an empty one (§7.2.3.6).
    they_break(&[(BINARY | RSV1, b"")], &[], &[TRUNCATED]);
    they_break(&[(TEXT_BEGINS | RSV1, b""), (GOES_ON, b""), (ENDS, b"")], &[], &[TRUNCATED]);
    they_break(&[(TEXT | RSV1, FIXED), (TEXT | RSV1, b"")], &[text("Hello")], &[TRUNCATED]);
    // With the tail sent along there is a block too many, or a part of one.
    they_break(&[(BINARY | RSV1, &[FIXED, &TAIL].concat())], &[], &[TRUNCATED, INVALID]);
}

// Broken.

/// A second opinion: what this payload says by RFC 1951, or `None` if it is no complete
/// message. More patient than zlib with codes that are not complete.
fn inflate(payload: &[u8]) -> Option<Vec<u8>> {
    struct Reader<'a>(&'a [u8], usize);
    impl Reader<'_> {
        fn bits(&mut self, count: u32) -> Option<usize> {
            (0..count).try_fold(0, |value, bit| {
                let byte = *self.0.get(self.1 / 8)?;
                self.1 += 1;
                Some(value | usize::from(byte >> ((self.1 - 1) % 8) & 1) << bit)
            })
        }

        /// §3.2.2: codes of one length follow each other, and those of the next.
        fn symbol(&mut self, (counts, symbols): &Codes) -> Option<usize> {
            let (mut code, mut first, mut before) = (0, 0, 0);
            for count in &counts[1..] {
                code = code << 1 | self.bits(1)?;
                if (first..first + count).contains(&code) {
                    return Some(symbols[before + code - first]);
                }
                (first, before) = ((first + count) << 1, before + count);
            }
            None
        }
    }
    /// How many codes there are of each length, and the symbols in the order of the codes.
    type Codes = ([usize; 16], Vec<usize>);
    fn codes(lens: &[u8]) -> Codes {
        let of_len = |len| (0..lens.len()).filter(move |symbol| usize::from(lens[*symbol]) == len);
        (std::array::from_fn(|len| of_len(len).count()), (1..16).flat_map(of_len).collect())
    }
    let all = [payload, &TAIL].concat();
    let mut reader = Reader(&all, 0);
    let mut out: Vec<u8> = vec![];
    let mut stream = 0;
    loop {
        let (last, kind) = (reader.bits(1)?, reader.bits(2)?);
        if kind == 0 {
            reader.1 = reader.1.next_multiple_of(8);
            let at = reader.1 / 8;
            let (len, check) = (reader.bits(16)?, reader.bits(16)?);
            if len != !check & 0xffff {
                return None;
            }
            if at == payload.len() && len == 0 {
                return Some(out);
            }
            for _ in 0..len {
                out.push(reader.bits(8)? as u8);
            }
        } else {
            let (literals, distances) = match kind {
                1 => (codes(&[vec![8; 144], vec![9; 112], vec![7; 24], vec![8; 8]].concat()), codes(&[5; 30])),
                2 => {
                    let (count, distances, lens) = (257 + reader.bits(5)?, 1 + reader.bits(5)?, 4 + reader.bits(4)?);
                    let mut meta = [0; 19];
                    for at in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15].into_iter().take(lens)
                    {
                        meta[at] = reader.bits(3)? as u8;
                    }
                    let (meta, mut lens) = (codes(&meta), vec![]);
                    while lens.len() < count + distances {
                        let (value, times) = match reader.symbol(&meta)? {
                            16 => (*lens.last()?, 3 + reader.bits(2)?),
                            17 => (0, 3 + reader.bits(3)?),
                            18 => (0, 11 + reader.bits(7)?),
                            len => (len as u8, 1),
                        };
                        lens.extend(std::iter::repeat_n(value, times));
                    }
                    if lens.len() > count + distances {
                        return None;
                    }
                    (codes(&lens[..count]), codes(&lens[count..]))
                }
                _ => return None,
            };
            loop {
                let symbol = reader.symbol(&literals)?;
                if symbol < 256 {
                    out.push(symbol as u8);
                    continue;
                }
                let len = match symbol - 256 {
                    0 => break,
                    short @ ..=8 => 2 + short,
                    29 => 258,
                    // §3.2.5: four codes for each number of extra bits.
                    long @ ..=28 => {
                        let extra = (long - 5) / 4;
                        3 + ((4 + (long - 5) % 4) << extra) + reader.bits(extra as u32)?
                    }
                    _ => return None,
                };
                let distance = match reader.symbol(&distances)? {
                    near @ ..=3 => 1 + near,
                    // Two codes here.
                    far @ ..=29 => {
                        let extra = far / 2 - 1;
                        1 + ((2 + far % 2) << extra) + reader.bits(extra as u32)?
                    }
                    _ => return None,
                };
                if distance > out.len() - stream {
                    return None;
                }
                for _ in 0..len {
                    out.push(out[out.len() - distance]);
                }
            }
        }
        if reader.1 > 8 * payload.len() {
            return None;
        }
        if last == 1 {
            reader.1 = reader.1.next_multiple_of(8);
            stream = out.len();
            if reader.1 == 8 * payload.len() {
                return Some(out);
            }
        }
    }
}

/// Whatever the crate makes of a payload, the second opinion does not contradict.
#[track_caller]
fn same_opinion(payload: &[u8]) -> bool {
    let expected = inflate(payload);
    let bytes = frame(Client, BINARY | RSV1, payload);
    let (events, error) = hear(&mut plain(Server), &bytes);
    match &expected {
        None => assert!(events.is_empty() && matches!(error, Some(TRUNCATED | INVALID)), "{payload:x?}: {events:?}"),
        // zlib may refuse codes that are not complete; RFC 1951 does not allow them, but
        // this file's reader does not look.
        Some(_) if error == Some(INVALID) => assert_eq!(events, []),
        Some(says) => assert_eq!((&events, error), (&vec![binary(says.clone())], None), "{payload:x?}"),
    }
    assert_eq!(hear_in(&mut plain(Server), bytes.chunks(1), s(0)), (events, error), "{payload:x?}");
    error.is_none()
}

#[test]
fn the_second_opinion_is_sound() {
    for (payload, says) in valid_payloads() {
        assert_eq!(inflate(&payload), Some(says));
        assert!(same_opinion(&payload));
    }
    for level in 1..=9 {
        let mut deflate = deflate(false);
        (deflate.level, deflate.memory) = (level, 1);
        let says = [prose(20_000), vec![7; 5000], noise(5000, 9), prose(9000)].concat();
        let payload = sent(deflate, &says);
        assert!(inflate(&payload) == Some(says) && same_opinion(&payload), "level {level}");
    }
}

#[test]
fn garbage_is_refused() {
    let mut accepted = 0;
    for seed in 0..3000 {
        accepted += u32::from(same_opinion(&noise(seed as usize % 60, seed)));
    }
    // Hardly anything that is found on the street is a complete message.
    assert!(accepted < 100, "{accepted}");
}

#[test]
fn every_flipped_bit_is_judged_alike() {
    let prose = prose(300);
    let mut small = deflate(false);
    small.memory = 1;
    for payload in [
        FIXED.to_vec(),
        STORED.to_vec(),
        FINAL.to_vec(),
        TWO_BLOCKS.to_vec(),
        sent(small, &prose),
        zeros(1000),
        Writer::default().fixed(true, "abc").stored(false, "def").fixed(true, "ghi").message(),
    ] {
        for bit in 0..8 * payload.len() {
            let mut flipped = payload.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            same_opinion(&flipped);
        }
    }
}

#[test]
fn what_deflate_forbids() {
    let long_distance = |code, extra| {
        Writer::default().open(false).literals("abcd").code(0xc5, 8).code(code, 5).bits(0, extra).close().message()
    };
    for payload in [
        // Block type 3, alone and behind a good block.
        vec![0x06],
        vec![0x07, 0, 0],
        Writer::default().fixed(false, "x").bits(6, 3).message(),
        // Lengths of a stored block that do not match.
        vec![0x00, 0x05, 0x00, 0x05, 0x00, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        vec![0x00, 0x00, 0x00, 0x00, 0x00, 0x00],
        // The length codes 286 and 287, and the distance codes 30 and 31, mean nothing.
        Writer::default().open(false).literals("a").code(0xc6, 8).code(0, 5).close().message(),
        Writer::default().open(false).literals("a").code(0xc7, 8).code(0, 5).close().message(),
        long_distance(30, 13),
        long_distance(31, 13),
        // Further back than there is anything: by one, and by as much as can be said.
        Writer::default().open(false).repeat(1).close().message(),
        Writer::default().open(false).literals("abc").repeat(4).close().message(),
        long_distance(4, 1),
        long_distance(29, 13),
        // Dynamic codes: none of any length, and too many literals.
        [&[0x04][..], &[0; 60]].concat(),
        vec![0xf4, 0xff, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert_eq!(inflate(&payload), None, "{payload:x?}");
        they_break(&[(BINARY | RSV1, &payload)], &[], &[INVALID]);
        they_break(&[(BINARY_BEGINS | RSV1, b""), (GOES_ON, &payload)], &[], &[INVALID]);
        // Behind a good message too, if it left nothing to refer to.
        let list = frames(Client, [(TEXT | RSV1, FIXED), (BINARY | RSV1, &payload)]);
        assert_eq!(every_way(|| plain(Server), &list).0, (vec![text("Hello")], Some(INVALID)));
    }
}

#[test]
fn plain_text_marked_as_compressed() {
    they_break(&[(TEXT | RSV1, b"Hello")], &[], &[TRUNCATED, INVALID]);
    they_break(&[(BINARY | RSV1, b"{\"price\": 12}")], &[], &[TRUNCATED, INVALID]);
    // With the header of zlib or gzip it is no DEFLATE data.
    they_break(&[(BINARY | RSV1, &[&[0x78, 0x9c], FIXED].concat())], &[], &[TRUNCATED, INVALID]);
    they_break(&[(BINARY | RSV1, &[&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], FIXED].concat())], &[], &[INVALID]);
}

#[test]
fn of_two_errors_the_first_is_told() {
    // The text is wrong, or the message too long, before the block of type 3 is. Which of
    // the two is told must not hang on how the network cut the stream.
    let payload = Writer::default().stored(false, b"ab\xff").bits(6, 3).message();
    let bytes = frame(Client, TEXT | RSV1, &payload);
    let ((events, error), _) = every_way(|| plain(Server), &bytes);
    assert_eq!((events, error), (vec![], Some(ProtocolError::InvalidUtf8 { at: 2 })));
    let bytes = frame(Client, BINARY | RSV1, &payload);
    let ((events, error), _) = every_way(|| limited(Server, 2, 1), &bytes);
    assert_eq!((events, error), (vec![], Some(ProtocolError::MessageTooBig { limit: 2 })));
}

// Text (RFC 6455 §8.1, after inflating).

#[test]
fn text_is_checked_when_inflated() {
    let utf8 = |at| [ProtocolError::InvalidUtf8 { at }];
    for bad in [&b"ok\xff"[..], b"ok\xc0\x80", b"ok\xed\xa0\x80", b"ok\xf5", b"ok\xc3", b"ok\xe2\x82"] {
        for payload in [stored(bad), fixed(bad), Writer::default().fixed(true, bad).message()] {
            they_break(&[(TEXT | RSV1, &payload)], &[], &utf8(2));
            they_say(&[(BINARY | RSV1, &payload)], &[binary(bad)]);
            for cut in 0..=payload.len() {
                let (front, back) = payload.split_at(cut);
                they_break(&[(TEXT_BEGINS | RSV1, front), (ENDS, back)], &[], &utf8(2));
            }
        }
    }
    // The compressed form may be valid UTF-8 or not: that means nothing.
    they_say(&[(TEXT | RSV1, FIXED)], &[text("Hello")]);
}

#[test]
fn characters_split_by_blocks_and_fragments() {
    let says = "a\u{20ac}\u{1f600}\u{e9}z";
    for cut in 0..=says.len() {
        let (front, back) = says.as_bytes().split_at(cut);
        let payload = Writer::default().stored(false, front).fixed(true, back).message();
        they_say(&[(TEXT | RSV1, &payload)], &[text(says)]);
        let first = Writer::default().fixed(false, front).stored(false, "").bytes;
        they_say(&[(TEXT_BEGINS | RSV1, &first), (PING, b""), (ENDS, &fixed(back))], &[ping(""), text(says)]);
        // A character whose end does not come.
        if !says.is_char_boundary(cut) {
            let at = (0..cut).rev().find(|at| says.is_char_boundary(*at)).unwrap() as u64;
            let broken = [ProtocolError::InvalidUtf8 { at }];
            they_break(&[(TEXT | RSV1, &fixed(front))], &[], &broken);
            let list = [(TEXT_BEGINS | RSV1, &first[..]), (ENDS, &fixed([b"z", back].concat())[..])];
            they_break(&list, &[], &broken);
        }
    }
}

#[test]
fn text_fails_before_its_end() {
    for bad in [stored(b"ok\xff and more"), fixed(b"ok\xff and more")] {
        // In a fragment that is not the last one,
        they_break(&[(TEXT_BEGINS | RSV1, &bad)], &[], &[ProtocolError::InvalidUtf8 { at: 2 }]);
        // and within the frame, not at its end. The decompressor may need a few bytes
        // more than those that hold the letter.
        let bytes = frame(Client, TEXT | RSV1, [&bad[..], &[0, 0, 0xff, 0xff, 0x00]].concat());
        let mut us = plain(Server);
        let at = bytes.chunks(1).position(|byte| hear(&mut us, byte).1.is_some()).unwrap();
        assert!(at < bytes.len() - 8, "refused at byte {at} of {}", bytes.len());
    }
}

// Limits (RFC 6455 §10.4, RFC 7692 §8).

#[test]
fn as_long_as_the_limit_and_one_more() {
    let broken = Some(ProtocolError::MessageTooBig { limit: 1000 });
    for us in BOTH {
        for form in [
            zeros,
            |len| stored(vec![0; len]),
            |len| fixed(vec![0; len]),
            |len| Writer::default().fixed(true, vec![0; len / 2]).stored(true, vec![0; len - len / 2]).message(),
        ] {
            let (fits, longer) = (form(1000), form(1001));
            let ((events, error), _) = every_way(|| limited(us, 1000, 9), &frame(us.peer(), BINARY | RSV1, &fits));
            assert_eq!((events, error), (vec![binary([0; 1000])], None));
            let bytes = frame(us.peer(), BINARY | RSV1, &longer);
            let ((events, error), answer) = every_way(|| limited(us, 1000, 9), &bytes);
            assert_eq!((events, error), (vec![], broken));
            let answer = parse(us, &answer);
            assert_eq!((answer[0].0, &answer[0].1[..2]), (CLOSE, &1009u16.to_be_bytes()[..]));
            // In fragments: the limit is one for all of them.
            let (front, back) = longer.split_at(longer.len() / 2);
            let bytes = frames(us.peer(), [(TEXT_BEGINS | RSV1, front), (ENDS, back)]);
            let ((events, error), _) = every_way(|| limited(us, 1000, 9), &bytes);
            assert_eq!((events, error), (vec![], broken));
            let (front, back) = fits.split_at(fits.len() / 2);
            let bytes = frames(us.peer(), [(BINARY_BEGINS | RSV1, front), (ENDS, back)]);
            let ((events, error), _) = every_way(|| limited(us, 1000, 9), &bytes);
            assert_eq!((events, error), (vec![binary([0; 1000])], None));
        }
    }
}

#[test]
fn the_limit_begins_anew_with_each_message() {
    let list = frames(Client, [(BINARY | RSV1, zeros(1000)), (BINARY, vec![0; 1000]), (BINARY | RSV1, zeros(1000))]);
    let ((events, error), _) = every_way(|| limited(Server, 1000, 9), &list);
    assert_eq!((events, error), (vec![binary([0; 1000]), binary([0; 1000]), binary([0; 1000])], None));
}

#[test]
fn a_compressed_form_may_be_longer_than_the_limit() {
    // "Inflated, if it is compressed": what does not compress grows a bit (§8).
    let data = noise(1000, 5);
    let payload = data.chunks(10).fold(Writer::default(), |out, part| out.stored(false, part)).message();
    assert!(payload.len() > 1400);
    for us in BOTH {
        let ((events, error), _) = every_way(|| limited(us, 1000, 2), &frame(us.peer(), BINARY | RSV1, &payload));
        assert_eq!((events, error), (vec![binary(data.clone())], None));
        let (front, back) = payload.split_at(1200);
        let bytes = frames(us.peer(), [(BINARY_BEGINS | RSV1, front), (ENDS, back)]);
        let ((events, error), _) = every_way(|| limited(us, 1000, 2), &bytes);
        assert_eq!((events, error), (vec![binary(data.clone())], None));
    }
}

#[test]
fn a_compressed_form_may_be_much_longer_than_the_limit() {
    // As a sender makes it that flushes every few bytes, or adds blocks of nothing. The
    // message is as long as allowed, and takes no more memory than that.
    let data = noise(10_000, 5);
    let payload = data.chunks(10).fold(Writer::default(), |out, part| out.stored(false, part)).message();
    let heard = hear(&mut limited(Server, 10_000, 1), &frame(Client, BINARY | RSV1, &payload));
    assert_eq!(heard, (vec![binary(data)], None));
    let payload = (0..2000).fold(Writer::default(), |out, _| out.stored(false, "")).fixed(false, "Hello").message();
    assert_eq!(hear(&mut limited(Server, 5, 1), &frame(Client, TEXT | RSV1, &payload)), (vec![text("Hello")], None));
}

#[test]
fn lengths_at_which_a_place_for_output_may_be_full() {
    // The end of the stream, and the judgment of the end, fall on the last byte of it.
    for power in [12, 13, 14, 15, 16, 17] {
        for len in [(1 << power) - 1, 1 << power, (1 << power) + 1] {
            let data = vec![b'x'; len];
            let parts = |last| {
                let mut out = Writer::default();
                for (at, part) in data.chunks(60_000).enumerate() {
                    out = out.stored(last && at == (len - 1) / 60_000, part);
                }
                out
            };
            for payload in [
                parts(false).message(),
                parts(true).message(),
                parts(true).bytes,
                parts(false).stored(true, "").without_tail(),
                parts(true).fixed(true, "").bytes,
            ] {
                for takeover in [false, true] {
                    let mut config = quiet();
                    config.max_message_size = len as u64;
                    let new = || connected(Server, config, deflate(takeover));
                    let expected = [binary(data.clone()), binary(*b"Hello")];
                    let list = frames(Client, [(BINARY | RSV1, &payload[..]), (BINARY | RSV1, FIXED)]);
                    let (events, error) = hear(&mut new(), &list);
                    assert!(events == expected && error.is_none(), "{len} bytes: {error:?}");
                    let (events, error) = hear_chunks(&mut new(), [&list[..]]);
                    assert!(error.is_none() && whole(&events) == expected, "{len} bytes: {error:?}");
                    // Nor does the end come by itself there.
                    let cut = frame(Client, BINARY | RSV1, &payload[..len]);
                    assert!(matches!(hear(&mut new(), &cut).1, Some(TRUNCATED | INVALID)), "{len} bytes");
                }
            }
        }
    }
}

#[test]
fn a_limit_of_nothing() {
    let us = || limited(Server, 0, 9);
    assert_eq!(hear(&mut us(), &frame(Client, TEXT | RSV1, EMPTY)), (vec![text("")], None));
    let broken = Some(ProtocolError::MessageTooBig { limit: 0 });
    assert_eq!(hear(&mut us(), &frame(Client, TEXT | RSV1, fixed("x"))), (vec![], broken));
}

#[test]
fn fragments_are_counted() {
    let (a, b, c) = (&FIXED[..1], &FIXED[1..3], &FIXED[3..]);
    for us in BOTH {
        let bytes = frames(us.peer(), [(TEXT_BEGINS | RSV1, a), (GOES_ON, b), (ENDS, c), (TEXT | RSV1, FIXED)]);
        let ((events, error), _) = every_way(|| limited(us, 99, 3), &bytes);
        assert_eq!((events, error), (vec![text("Hello"), text("Hello")], None));
        let ((events, error), _) = every_way(|| limited(us, 99, 2), &bytes);
        assert_eq!((events, error), (vec![], Some(ProtocolError::TooManyFragments { limit: 2 })));
        // Empty ones count, and give the decompressor nothing.
        let bytes = frames(us.peer(), [(TEXT_BEGINS | RSV1, b""), (GOES_ON, b""), (GOES_ON, b""), (ENDS, b"")]);
        let ((events, error), _) = every_way(|| limited(us, 99, 3), &bytes);
        assert_eq!((events, error), (vec![], Some(ProtocolError::TooManyFragments { limit: 3 })));
    }
}

// Bombs (§8).

const GIB: usize = 1 << 30;

/// What a connection takes besides its messages: an inflater and a place for its output.
const CONSTANT: u64 = 192 * 1024;

#[test]
fn zeros_are_written_as_they_should() {
    for len in [1, 2, 258, 259, 260, 517, 3000, 30_000] {
        assert_eq!(inflate(&zeros(len)), Some(vec![0; len]), "{len}");
    }
    assert!(zeros(GIB).len() < GIB / 150);
}

#[test]
fn a_bomb_is_refused_in_little_memory() {
    let bomb = zeros(GIB);
    for (first, limit) in [(BINARY, 1000), (BINARY, 1_000_000), (TEXT, 1_000_000)] {
        for piece in [1000, 100_000, bomb.len()] {
            for takeover in [false, true] {
                let mut config = quiet();
                config.max_message_size = limit;
                let mut us = connected(Client, config, deflate(takeover));
                let mut bytes = frame(Server, first | RSV1, &bomb);
                let info = allocation_counter::measure(|| {
                    let outcome =
                        bytes.chunks_mut(piece).find_map(|mut piece| us.receive(&mut piece, s(0)).transpose());
                    assert_eq!(outcome, Some(Err(ProtocolError::MessageTooBig { limit }.into())));
                });
                assert!(info.bytes_max <= limit + CONSTANT, "{} bytes for a limit of {limit}", info.bytes_max);
            }
        }
    }
}

#[test]
fn a_bomb_in_chunks_is_refused_in_constant_memory() {
    let mut us = limited(Client, 30_000_000, 1);
    let mut bytes = frame(Server, BINARY | RSV1, zeros(GIB));
    let mut total = 0;
    let info = allocation_counter::measure(|| {
        // The payload of a read may wait for its turn, so reads are of a usual size.
        let error = bytes.chunks_mut(65_536).find_map(|mut piece| {
            loop {
                match us.receive_chunk(&mut piece, s(0)) {
                    Ok(Some(Event::Chunk(chunk))) => total += chunk.data.len(),
                    Ok(None) => return None,
                    Ok(other) => panic!("{other:?}"),
                    Err(error) => return Some(error),
                }
            }
        });
        assert_eq!(error, Some(ProtocolError::MessageTooBig { limit: 30_000_000 }.into()));
    });
    assert!((10_000_000..=30_000_000).contains(&total), "{total} bytes handed out");
    assert!(info.bytes_max <= CONSTANT, "{} bytes", info.bytes_max);
}

#[test]
fn a_message_without_end_flows_through() {
    for (first, takeover, len) in [(BINARY, false, GIB), (TEXT, true, GIB / 16)] {
        let mut config = quiet();
        config.max_message_size = u64::MAX;
        let mut us = connected(Client, config, deflate(takeover));
        // A read of 64 KiB gives some 10 MiB.
        let mut bytes = frame(Server, first | RSV1, zeros(len));
        let (mut total, mut ends) = (0, 0);
        let info = allocation_counter::measure(|| {
            for mut piece in bytes.chunks_mut(65_536) {
                while let Some(event) = us.receive_chunk(&mut piece, s(0)).unwrap() {
                    let Event::Chunk(chunk) = event else { panic!("{event:?}") };
                    assert_eq!(chunk.first, total == 0);
                    total += chunk.data.len();
                    ends += u32::from(chunk.last);
                }
                assert!(piece.is_empty());
            }
        });
        assert_eq!((total, ends), (len, 1));
        assert!(info.bytes_max <= CONSTANT, "{} bytes", info.bytes_max);
    }
}

#[test]
fn compressed_payload_is_not_gathered() {
    // Neither a long frame of nothing but empty blocks, nor many fragments of them.
    let nothing = [EMPTY, &TAIL].concat().repeat(400_000);
    let mut us = limited(Client, 1 << 24, u32::MAX);
    let mut bytes = frame(Server, BINARY | RSV1, [&nothing[..], FIXED].concat());
    let mut parts = frame(Server, BINARY_BEGINS | RSV1, b"");
    parts.extend(frames(Server, nothing.chunks(10_000).map(|part| (GOES_ON, part))));
    parts.extend(frame(Server, ENDS, FIXED));
    for bytes in [&mut bytes, &mut parts] {
        let mut heard = vec![];
        let info = allocation_counter::measure(|| {
            for mut piece in bytes.chunks_mut(3001) {
                while let Some(event) = us.receive(&mut piece, s(0)).unwrap() {
                    heard.push(event.into_owned());
                }
            }
        });
        assert_eq!(heard, [binary(*b"Hello")]);
        assert!(info.bytes_max <= CONSTANT, "{} bytes", info.bytes_max);
    }
}

#[test]
fn what_has_been_announced_takes_no_memory() {
    // A header that promises much, and a byte: nothing of that length is reserved.
    let mut us = limited(Client, u64::MAX, 9);
    let mut bytes = header(Server, BINARY | RSV1, 1 << 40);
    bytes.push(0xf2);
    let info = allocation_counter::measure(|| {
        assert_eq!(us.receive(&mut &mut bytes[..], s(0)), Ok(None));
    });
    assert!(info.bytes_max <= CONSTANT, "{} bytes", info.bytes_max);
}

#[test]
fn a_failed_connection_says_it_again() {
    for payload in [&b"\x07"[..], &FIXED[..4]] {
        let mut us = plain(Server);
        let bytes = frame(Client, TEXT | RSV1, payload);
        let (events, error) = hear(&mut us, &bytes);
        assert_eq!((events, us.state()), (vec![], State::Closing));
        assert!(error.is_some());
        assert_eq!(hear(&mut us, b""), (vec![], error));
        assert_eq!(hear(&mut us, &frame(Client, TEXT | RSV1, FIXED)), (vec![], error));
        assert_eq!(hear_chunks(&mut us, [&frame(Client, TEXT | RSV1, FIXED)[..]]), (vec![], error));
        let body = &said(&mut us)[0].1;
        assert_eq!(body[..2], error.unwrap().close_code().get().to_be_bytes());
    }
}

// Chunks.

/// The payload of all chunks.
fn joined(events: &[Event<'_>]) -> Vec<u8> {
    let data = |event: &Event<'_>| match event {
        Event::Chunk(chunk) => chunk.data.as_bytes().to_vec(),
        _ => vec![],
    };
    events.iter().flat_map(data).collect()
}

/// Chunks put together again to whole messages; panics if they contradict each other.
fn whole(events: &[Event<'static>]) -> Vec<Event<'static>> {
    let mut out = vec![];
    let mut gathered: Option<(bool, Vec<u8>)> = None;
    for event in events {
        let Event::Chunk(chunk) = event else {
            out.push(event.clone());
            continue;
        };
        assert_eq!(chunk.first, gathered.is_none());
        assert!(chunk.last || !chunk.data.is_empty(), "only the last may be empty");
        let (is_text, data) = gathered.get_or_insert((chunk.data.is_text(), vec![]));
        assert_eq!(*is_text, chunk.data.is_text());
        data.extend(chunk.data.as_bytes());
        if chunk.last {
            let (is_text, data) = gathered.take().unwrap();
            out.push(if is_text { text(std::str::from_utf8(&data).unwrap()) } else { binary(data) });
        }
    }
    assert!(gathered.is_none());
    out
}

#[test]
fn chunks_make_the_same_messages() {
    let long = "a\u{20ac}\u{1f600}".repeat(60_000);
    let dynamic = sent(deflate(false), long.as_bytes());
    let bytes = frames(
        Client,
        [
            (TEXT | RSV1, FIXED),
            (TEXT | RSV1, EMPTY),
            (TEXT, b"plain"),
            (TEXT_BEGINS | RSV1, &dynamic[..10]),
            (PING, b""),
            (GOES_ON, b""),
            (GOES_ON, &dynamic[10..400]),
            (ENDS, &dynamic[400..]),
            (BINARY | RSV1, FINAL),
            (BINARY_BEGINS | RSV1, &FINAL[..7]),
            (ENDS, b""),
        ],
    );
    let expected =
        [text("Hello"), text(""), text("plain"), ping(""), text(&long), binary(*b"Hello"), binary(*b"Hello")];
    let hear = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (events, error) = hear_chunks(&mut plain(Server), pieces);
        assert_eq!(error, None);
        // The Ping is heard between the chunks of the long text, which ends behind it.
        assert!(whole(&events) == expected);
    };
    hear(&mut [&bytes[..]].into_iter());
    for size in [1, 2, 7, 100, 1000] {
        hear(&mut bytes.chunks(size));
    }
    for cut in cuts(bytes.len()).into_iter().step_by(7) {
        let (front, back) = bytes.split_at(cut);
        hear(&mut [front, back].into_iter());
    }
}

#[test]
fn broken_messages_in_chunks() {
    let utf8 = ProtocolError::InvalidUtf8 { at: 2 };
    for (first, payload, prefix, errors) in [
        // Two literals, and then nothing.
        (BINARY, vec![0xf2, 0x48, 0x07], &b"Hg"[..], &[TRUNCATED, INVALID][..]),
        (TEXT, fixed(b"ok\xff..."), b"ok", &[utf8]),
        (TEXT, fixed(b"ok\xe2\x82"), b"ok", &[utf8]),
        (BINARY, Writer::default().stored(false, "ok").bits(6, 3).message(), b"ok", &[INVALID]),
        (TEXT, Writer::default().stored(false, "ok").bits(7, 3).message(), b"ok", &[INVALID]),
    ] {
        let bytes = frame(Client, first | RSV1, &payload);
        for size in [1, 2, bytes.len()] {
            let (events, error) = hear_chunks(&mut plain(Server), bytes.chunks(size));
            assert!(errors.contains(&error.unwrap()), "{error:?} of {payload:x?}");
            assert!(prefix.starts_with(&joined(&events)), "{events:?}");
            assert!(!events.iter().any(|event| matches!(event, Event::Chunk(chunk) if chunk.last)));
        }
    }
}

#[test]
fn from_messages_to_chunks_in_the_middle() {
    let says = prose(5000);
    for payload in [stored(&says), sent(deflate(false), &says)] {
        let bytes = frame(Client, BINARY | RSV1, &payload);
        for cut in cuts(bytes.len()).into_iter().step_by(3) {
            let mut us = plain(Server);
            let (front, back) = bytes.split_at(cut);
            let (mut events, error) = hear(&mut us, front);
            assert_eq!(error, None);
            if cut == bytes.len() {
                assert_eq!(events, [binary(says.clone())]);
                continue;
            }
            assert_eq!(events, []);
            // "If the beginning of a message has been gathered already, it comes with the
            // first chunk."
            events.extend(hear_chunks(&mut us, [back]).0);
            assert_eq!(whole(&events), [binary(says.clone())], "cut at {cut}");
            assert_eq!(hear(&mut us, &frame(Client, TEXT | RSV1, FIXED)), (vec![text("Hello")], None));
        }
    }
}

#[test]
fn from_chunks_to_messages_in_the_middle() {
    // "If `receive` is called after some chunks, the rest of that message is skipped."
    let says = [prose(3000), b"Hello".to_vec()].concat();
    let next = Writer::default().open(false).literals("H").close().message();
    for payload in [stored(&says), fixed(&says), sent(deflate(false), &says)] {
        let bytes = frame(Client, BINARY | RSV1, &payload);
        for takeover in [false, true] {
            for cut in cuts(bytes.len()).into_iter().step_by(3) {
                let mut us = connected(Server, quiet(), deflate(takeover));
                let (front, back) = bytes.split_at(cut);
                let (events, error) = hear_chunks(&mut us, [front]);
                assert_eq!(error, None);
                let begun = !events.is_empty();
                assert!(says.starts_with(&joined(&events)));
                let (events, error) = hear(&mut us, back);
                let expected = if begun || cut == bytes.len() { vec![] } else { vec![binary(says.clone())] };
                assert_eq!((&events, error), (&expected, None), "cut at {cut}");
                assert_eq!(hear(&mut us, &frame(Client, TEXT | RSV1, &next)), (vec![text("H")], None));
                // What was skipped is in the window all the same.
                if takeover {
                    let mut us = connected(Server, quiet(), deflate(true));
                    hear_chunks(&mut us, [front]);
                    hear(&mut us, back);
                    let again = hear(&mut us, &frame(Client, TEXT | RSV1, AGAIN));
                    assert_eq!(again, (vec![text("Hello")], None), "cut at {cut}");
                }
            }
        }
    }
}

#[test]
fn what_is_skipped_is_still_judged() {
    let good = Writer::default().stored(false, "begun").bytes;
    for (rest, errors) in [(&[0x07][..], &[INVALID][..]), (&[0xf2, 0x48], &[TRUNCATED, INVALID]), (b"", &[TRUNCATED])] {
        let mut us = plain(Server);
        let (events, error) = hear_chunks(&mut us, [&frame(Client, BINARY_BEGINS | RSV1, &good)[..]]);
        assert_eq!((joined(&events), error), (b"begun".to_vec(), None));
        let (events, error) = hear(&mut us, &frame(Client, ENDS, rest));
        assert!(events.is_empty() && errors.contains(&error.unwrap()), "{error:?}");
    }
}

#[test]
fn modes_changed_while_much_waits() {
    // A few bytes of input hold many chunks. Both modes find the rest of it.
    let bytes = [frame(Client, BINARY | RSV1, zeros(1_000_000)), frame(Client, TEXT | RSV1, FIXED)].concat();
    for taken in [1, 2, 5] {
        let mut us = plain(Server);
        let mut buffer = bytes.clone();
        let mut input = &mut buffer[..];
        let mut total = 0;
        for n in 0..taken {
            let Some(Event::Chunk(chunk)) = us.receive_chunk(&mut input, s(0)).unwrap() else { panic!() };
            assert_eq!((chunk.first, chunk.last), (n == 0, false));
            total += chunk.data.len();
        }
        assert!(total < 1_000_000, "not all at once");
        // To messages: the rest is skipped.
        assert_eq!(us.receive(&mut input, s(0)).unwrap(), Some(text("Hello")));
        assert_eq!(us.receive(&mut input, s(0)).unwrap(), None);
        assert!(input.is_empty());
    }
    // To messages and back again: what does not fit on to the chunks before is skipped.
    let (front, back) = bytes.split_at(3000);
    let mut us = plain(Server);
    let mut buffer = front.to_vec();
    let mut input = &mut buffer[..];
    assert!(matches!(us.receive_chunk(&mut input, s(0)), Ok(Some(Event::Chunk(_)))));
    assert_eq!(us.receive(&mut input, s(0)), Ok(None));
    assert!(input.is_empty());
    let (events, error) = hear_chunks(&mut us, [back]);
    assert_eq!((whole(&events), error), (vec![text("Hello")], None));
}

#[test]
fn an_answer_between_chunks_that_wait() {
    // Events do not borrow the connection, and what waits survives other calls.
    let mut us = plain(Server);
    let mut buffer = frame(Client, BINARY | RSV1, zeros(500_000));
    let mut input = &mut buffer[..];
    let mut total = 0;
    while let Some(event) = us.receive_chunk(&mut input, s(0)).unwrap() {
        let Event::Chunk(chunk) = event else { panic!() };
        us.ping(b"", s(0)).unwrap();
        us.send(vec![b'x'; 500]).unwrap();
        total += chunk.data.len();
        transmit(&mut us, s(0));
    }
    assert_eq!(total, 500_000);
}

#[test]
fn compressed_payload_is_not_read_into_the_space() {
    // `receive_space` is a place for the message itself. If any is offered inside a
    // compressed one, reading there must come to the same.
    let says = prose(60_000);
    for payload in [stored(&says), sent(deflate(false), &says)] {
        let bytes = frame(Client, BINARY | RSV1, &payload);
        // Two frames in clear text: a mask runs over the space too.
        for cut in [1, 8, 20, 100, bytes.len() / 2] {
            let mut us = plain(Server);
            let (front, mut back) = bytes.split_at(cut);
            let (mut events, _) = hear(&mut us, front);
            while !back.is_empty() {
                if let Some(space) = us.receive_space() {
                    let len = space.len().min(back.len());
                    space[..len].copy_from_slice(&back[..len]);
                    us.handle_filled(len, s(0));
                    back = &back[len..];
                    events.extend(hear(&mut us, b"").0);
                } else {
                    let (piece, rest) = back.split_at(back.len().min(700));
                    events.extend(hear(&mut us, piece).0);
                    back = rest;
                }
            }
            assert_eq!(events, [binary(says.clone())], "cut at {cut}");
        }
    }
}

// The end.

#[test]
fn the_transport_ends_inside_a_compressed_message() {
    for us in BOTH {
        for payload in [&FIXED[..4], FIXED] {
            let mut us = plain(us);
            let bytes = frame(us.role().peer(), TEXT_BEGINS | RSV1, payload);
            assert_eq!(hear(&mut us, &bytes), (vec![], None));
            us.handle_eof(s(0));
            assert!(!us.closed().unwrap().is_clean());
            assert_eq!(hear(&mut us, b""), (vec![], None));
        }
    }
}

#[test]
fn compressed_messages_after_our_close() {
    // §5.5.1 of RFC 6455: the peer's messages may come until its own Close.
    for us in BOTH {
        let mut us = plain(us);
        us.close(openline::CloseCode::NORMAL, "", s(0)).unwrap();
        let bytes = frame(us.role().peer(), TEXT | RSV1, FIXED);
        assert_eq!(hear(&mut us, &bytes), (vec![text("Hello")], None));
    }
}
