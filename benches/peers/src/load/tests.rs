//! The client itself is tested: it must find every wrong answer, and only those.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use flate2::{Compress, Compression};

use super::check::Check;
use super::conn::Opening;
use super::engine::Engine;
use super::frame::{BINARY, PING, TEXT};
use super::pace::{Pace, percentile};
use super::script::{Packing, Script, messages, pack, records};

/// A server's frame.
fn answer(opcode: u8, fin: bool, rsv1: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![u8::from(fin) << 7 | u8::from(rsv1) << 6 | opcode];
    match payload.len() {
        len @ 0..126 => frame.push(len as u8),
        len @ 126..65536 => frame.extend([126, (len >> 8) as u8, len as u8]),
        len => frame.extend([127].into_iter().chain((len as u64).to_be_bytes())),
    }
    frame.extend_from_slice(payload);
    frame
}

fn echoes(script: &Script) -> Vec<u8> {
    script.messages.iter().flat_map(|message| answer(script.opcode, true, false, message)).collect()
}

/// How many messages the bytes complete, given in pieces of a length.
fn completed(script: &Rc<Script>, packing: Packing, bytes: &[u8], piece: usize) -> Result<usize, String> {
    let mut check = Check::new(script.clone(), false, packing);
    bytes.chunks(piece).map(|piece| check.take(piece).map(|progress| progress.messages)).sum()
}

fn script(opcode: u8, len: usize) -> Rc<Script> {
    Rc::new(Script::new(opcode, messages(opcode, 4, len), Packing::None))
}

#[test]
fn right_answers_are_counted_however_they_are_cut() {
    for len in [0, 1, 125, 126, 1000, 70_000] {
        let script = script(BINARY, len);
        let bytes = echoes(&script).repeat(3);
        for piece in [1, 2, 7, 4096, usize::MAX] {
            assert_eq!(completed(&script, Packing::None, &bytes, piece), Ok(12), "{len} in {piece}");
        }
    }
}

#[test]
fn each_wrong_byte_is_found() {
    let script = script(TEXT, 20);
    let bytes = echoes(&script);
    for at in 0..bytes.len() {
        let mut wrong = bytes.clone();
        wrong[at] ^= 1;
        assert_ne!(completed(&script, Packing::None, &wrong, usize::MAX), Ok(4), "byte {at}");
    }
    assert_eq!(completed(&script, Packing::None, &bytes[..bytes.len() - 1], usize::MAX), Ok(3));
}

#[test]
fn fragments_and_pings_are_understood() {
    let script = script(TEXT, 20);
    let (front, back) = script.messages[0].split_at(7);
    let bytes = [answer(TEXT, false, false, front), answer(PING, true, false, b"hi"), answer(0, true, false, back)];
    assert_eq!(completed(&script, Packing::None, &bytes.concat(), 1), Ok(1));
    let short = [answer(TEXT, false, false, front), answer(0, true, false, &back[1..])];
    assert!(completed(&script, Packing::None, &short.concat(), 1).is_err());
    assert!(completed(&script, Packing::None, &answer(0, true, false, back), 1).is_err());
}

#[test]
fn compressed_answers_are_unpacked() {
    let script = Rc::new(Script::new(TEXT, records(4, 1024), Packing::Alone));
    for takeover in [false, true] {
        let mut compress = Compress::new(Compression::fast(), false);
        let mut bytes = Vec::new();
        for message in &script.messages {
            bytes.extend(answer(TEXT, true, true, &pack(&mut compress, message)));
            if !takeover {
                compress.reset();
            }
        }
        assert_eq!(completed(&script, Packing::Takeover, &bytes, 100), Ok(4));
        let other = answer(TEXT, true, true, &pack(&mut Compress::new(Compression::fast(), false), b"other"));
        assert!(completed(&script, Packing::Takeover, &other, 100).is_err());
    }
    // Nobody agreed.
    assert!(completed(&script, Packing::None, &answer(TEXT, true, true, b"x"), 100).is_err());
}

/// What is sent with takeover can be unpacked, round after round.
#[test]
fn the_third_cycle_is_the_second() {
    let script = Script::new(TEXT, records(64, 1024), Packing::Takeover);
    assert!(script.messages.iter().all(|message| message.len() == 1024));
    let mut unpack = flate2::Decompress::new(false);
    for round in 0..4 {
        for (number, message) in script.messages.iter().enumerate() {
            let frame = round.min(2) * script.len() + number;
            let bytes = &script.bytes[script.starts[frame]..script.starts[frame + 1]];
            let (key, masked) = bytes[if bytes[1] & 127 < 126 { 2 } else { 4 }..].split_at(4);
            let mut packed: Vec<u8> = masked.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
            packed.extend([0, 0, 0xff, 0xff]);
            let mut plain = Vec::with_capacity(2048);
            unpack.decompress_vec(&packed, &mut plain, flate2::FlushDecompress::Sync).unwrap();
            assert!(plain == *message, "round {round}, message {number}");
        }
    }
}

#[test]
fn raw_answers_are_the_bytes_that_were_sent() {
    let script = script(TEXT, 20);
    let mut check = Check::new(script.clone(), true, Packing::None);
    let counts: usize = script.bytes.chunks(5).map(|piece| check.take(piece).unwrap().messages).sum();
    assert_eq!(counts, 12);
    assert!(check.take(b"?").is_err());
}

const MS: Duration = Duration::from_millis(1);

/// A second of 1,000 messages on 10 connections, by virtual time. The server answers each at once, but from 300 ms on it
/// pauses for 100 ms. `client_too`: the client does nothing either meanwhile.
fn paused(client_too: bool) -> Pace {
    let mut pace = Pace::new(10, 1000.0, 1000 * MS);
    let mut unanswered = Vec::new();
    for ms in 0..1000 {
        let now = ms * MS;
        let paused = (300..400).contains(&ms);
        while !(paused && client_too)
            && let Some(connection) = pace.next(now)
        {
            unanswered.push(connection);
        }
        if !paused {
            for connection in unanswered.drain(..) {
                pace.answered(connection, 1, now).unwrap();
            }
        }
        assert!(!pace.done() || ms == 999);
    }
    assert!(pace.done());
    pace
}

/// 100 messages were due in the pause. One answer that comes late shows once; it is the others that are forgotten by a
/// client that waits for it.
#[test]
fn a_pause_is_felt_by_every_message_that_is_due_in_it() {
    for client_too in [false, true] {
        let mut pace = paused(client_too);
        pace.took.sort_unstable();
        assert_eq!(pace.took.iter().filter(|took| **took > Duration::ZERO).count(), 100, "{client_too}");
        let expected: Vec<_> = (1..=100).map(|ms| ms * MS).collect();
        assert_eq!(pace.took[900..], expected, "each from when it was due");
        assert_eq!(percentile(&pace.took, 0.5), Duration::ZERO);
        assert_eq!(percentile(&pace.took, 0.99), 90 * MS);
        // The client knows how much of it is its own.
        let own = pace.late.iter().max().unwrap();
        assert_eq!(*own, if client_too { 100 * MS } else { Duration::ZERO });
    }
}

/// It lies in two of twenty stretches, or in all of them.
#[test]
fn what_is_typical_is_without_a_rare_pause_and_with_a_frequent_one() {
    let pace = paused(false);
    assert_eq!(pace.typical(0.99, 50 * MS), Duration::ZERO);
    assert_eq!(pace.typical(0.99, 1000 * MS), 90 * MS);
    assert_eq!(pace.typical(0.99, 5000 * MS), 90 * MS, "all of it, where there is less");
    // Three of ten stretches of 100 ms have no answer late; seven have.
    let mut pace = Pace::new(1, 1000.0, 1000 * MS);
    for ms in 0..1000 {
        assert_eq!(pace.next(ms * MS), Some(0));
        pace.answered(0, 1, if ms < 700 && ms % 100 < 2 { (ms + 7) * MS } else { ms * MS }).unwrap();
    }
    assert_eq!(pace.typical(0.99, 100 * MS), 7 * MS);
}

#[test]
fn messages_are_due_in_turn_and_not_before() {
    let mut pace = Pace::new(3, 1000.0, 4 * MS);
    assert_eq!((pace.next(Duration::ZERO), pace.next(Duration::ZERO)), (Some(0), None));
    assert_eq!([pace.next(2 * MS), pace.next(2 * MS), pace.next(2 * MS)], [Some(1), Some(2), None]);
    assert_eq!([pace.next(9 * MS), pace.next(9 * MS)], [Some(0), None], "there are no more than four");
    // In whatever order the connections answer.
    pace.answered(1, 1, 9 * MS).unwrap();
    pace.answered(0, 2, 9 * MS).unwrap();
    assert!(pace.answered(0, 1, 9 * MS).is_err() && pace.answered(1, 1, 9 * MS).is_err() && !pace.done());
    pace.answered(2, 1, 9 * MS).unwrap();
    assert!(pace.done());
    assert_eq!(pace.took, [9 * MS, 8 * MS, 7 * MS, 6 * MS]);
}

#[test]
fn a_percentile_is_the_nearest_rank() {
    let times: Vec<_> = (1..=200).map(|ms| ms * MS).collect();
    for (share, rank) in [(0.0, 1), (0.001, 1), (0.5, 100), (0.99, 198), (0.991, 199), (1.0, 200)] {
        assert_eq!(percentile(&times, share), rank * MS, "{share}");
    }
    assert_eq!(percentile(&times[..1], 0.99), MS);
}

/// The same over sockets: on the first of ten connections the first message waits 150 ms, and each 10 ms another is due
/// on it, of which the first ten all wait for 50 ms or more.
#[test]
fn a_server_that_pauses_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let (mut buffer, mut pause) = ([0; 4096], number == 0);
                while let Ok(len @ 1..) = stream.read(&mut buffer) {
                    if std::mem::take(&mut pause) {
                        thread::sleep(150 * MS);
                    }
                    stream.write_all(&buffer[..len]).unwrap();
                }
            });
        }
    });
    let opening = Opening { port, raw: true, packing: Packing::None };
    let mut engine = Engine::open(opening, &script(TEXT, 20), 10, 1, false).unwrap();
    let pace = engine.paced(1000.0, 300 * MS).unwrap();
    assert!(pace.done() && pace.took.len() == 300);
    assert!(pace.took.iter().max().unwrap() >= &(150 * MS));
    assert!(pace.took.iter().filter(|took| **took >= 50 * MS).count() >= 10);
}
