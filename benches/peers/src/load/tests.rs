//! The client itself is tested: it must find every wrong answer, and only those.

use std::rc::Rc;

use flate2::{Compress, Compression};

use super::check::Check;
use super::frame::{BINARY, PING, TEXT};
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
