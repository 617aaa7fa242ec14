//! Every frame that RFC 6455 prints (§5.7, and the fragments of §5.4 in words),
//! byte for byte, in every cut, and written where the masking key can be chosen.

mod common;

use common::*;
use openline::Role::{Client, Server};
use openline::frame::{Header, MaskKey, Opcode};
use openline::{CloseCode, CloseFrame, Event, Role};

/// §5.7: "A single-frame unmasked text message".
const HELLO: [u8; 7] = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
/// §5.7: "A single-frame masked text message".
const MASKED_HELLO: [u8; 11] = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
/// §5.7: "A fragmented unmasked text message".
const HEL: [u8; 5] = [0x01, 0x03, 0x48, 0x65, 0x6c];
const LO: [u8; 4] = [0x80, 0x02, 0x6c, 0x6f];
/// §5.7: "Unmasked Ping request and masked Ping response".
const PING_HELLO: [u8; 7] = [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
const MASKED_PONG_HELLO: [u8; 11] = [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
/// §5.7: "256 bytes binary message in a single unmasked frame".
const HEADER_256: [u8; 4] = [0x82, 0x7e, 0x01, 0x00];
/// §5.7: "64KiB binary message in a single unmasked frame".
const HEADER_65536: [u8; 10] = [0x82, 0x7f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00];

/// Writes a frame with a key of our choice, from the crate's public parts.
fn write(opcode: Opcode, fin: bool, key: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    let mask = key.map(MaskKey::new);
    let mut out = [0; Header::MAX_SIZE];
    let size = Header { fin, rsv: 0, opcode, mask, len: payload.len() as u64 }.encode(&mut out);
    if let Some(key) = mask {
        let _ = key.apply(&mut payload);
    }
    [&out[..size], &payload].concat()
}

fn heard_by(receiver: Role, bytes: &[u8]) -> Vec<Event<'static>> {
    let ((events, error), _) = every_way(|| open(receiver), bytes);
    assert_eq!(error, None);
    events
}

#[test]
fn unmasked_text() {
    assert_eq!(heard_by(Client, &HELLO), [text("Hello")]);
    assert_eq!(write(Opcode::Text, true, None, b"Hello"), HELLO);
    let mut us = open(Server);
    us.send("Hello").unwrap();
    assert_eq!(us.next_transmit(), Some(&HELLO[..]));
}

#[test]
fn masked_text() {
    assert_eq!(heard_by(Server, &MASKED_HELLO), [text("Hello")]);
    assert_eq!(write(Opcode::Text, true, Some(KEY), b"Hello"), MASKED_HELLO);
}

#[test]
fn fragmented_unmasked_text() {
    assert_eq!(heard_by(Client, &[&HEL[..], &LO].concat()), [text("Hello")]);
    assert_eq!(write(Opcode::Text, false, None, b"Hel"), HEL);
    assert_eq!(write(Opcode::Continuation, true, None, b"lo"), LO);
    let mut us = open(Server);
    us.send_fragment("Hel", false).unwrap();
    us.send_fragment("lo", true).unwrap();
    assert_eq!(transmit(&mut us, s(0)), [&HEL[..], &LO].concat());
}

#[test]
fn ping_and_masked_pong() {
    let ((events, _), answer) = every_way(|| open(Client), &PING_HELLO);
    assert_eq!(events, [ping("Hello")]);
    // Our key is our own; "The Pong frame's payload is the Ping's" is what is asked.
    assert_eq!(parse(Client, &answer), [(0x8a, b"Hello".to_vec())]);

    assert_eq!(heard_by(Server, &MASKED_PONG_HELLO), [pong("Hello")]);
    assert_eq!(write(Opcode::Ping, true, None, b"Hello"), PING_HELLO);
    assert_eq!(write(Opcode::Pong, true, Some(KEY), b"Hello"), MASKED_PONG_HELLO);
}

#[test]
fn ping_and_unmasked_pong() {
    // The example turned round: the server's answer has no key to choose.
    let ((events, _), answer) = every_way(|| open(Server), &write(Opcode::Ping, true, Some(KEY), b"Hello"));
    assert_eq!(events, [ping("Hello")]);
    assert_eq!(answer, [0x8a, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
}

#[test]
fn binary_of_256_bytes() {
    let data: Vec<u8> = (0..=255).collect();
    let bytes = [&HEADER_256[..], &data].concat();
    assert_eq!(heard_by(Client, &bytes), [binary(data.clone())]);
    let mut us = open(Server);
    us.send(&data).unwrap();
    assert_eq!(transmit(&mut us, s(0)), bytes);
}

#[test]
fn binary_of_64_kib() {
    let data: Vec<u8> = (0..65536_u32).map(|i| ((i * 31) >> 3) as u8).collect();
    let bytes = [&HEADER_65536[..], &data].concat();
    assert_eq!(heard_by(Client, &bytes), [binary(data.clone())]);
    let mut us = open(Server);
    us.send(data).unwrap();
    assert_eq!(transmit(&mut us, s(0)), bytes);
}

/// §5.4: "for a text message sent as three fragments, the first fragment would have an
/// opcode of 0x1 and a FIN bit clear, the second fragment would have an opcode of 0x0
/// and a FIN bit clear, and the third [..] 0x0 and a FIN bit that is set."
#[test]
fn text_in_three_fragments() {
    let mut us = open(Server);
    us.send_fragment("a", false).unwrap();
    us.send_fragment("b", false).unwrap();
    us.send_fragment("c", true).unwrap();
    let bytes = transmit(&mut us, s(0));
    assert_eq!(bytes, b"\x01\x01a\x00\x01b\x80\x01c");
    assert_eq!(heard_by(Client, &bytes), [text("abc")]);
}

/// §5.5.1 in bytes: a Close frame's code comes first, in network byte order.
#[test]
fn close_with_code_and_reason() {
    let mut us = open(Server);
    us.close(CloseCode::GOING_AWAY, "bye", s(0)).unwrap();
    let bytes = transmit(&mut us, s(0));
    assert_eq!(bytes, b"\x88\x05\x03\xe9bye");
    let expected = CloseFrame { code: CloseCode::GOING_AWAY, reason: "bye".into() };
    assert_eq!(heard_by(Client, &bytes), [Event::Close(expected)]);
}

/// §7.1.5: "If this Close control frame contains no status code, [it] is 1005."
#[test]
fn close_without_a_body() {
    let mut us = open(Server);
    us.close(CloseCode::NO_STATUS, "", s(0)).unwrap();
    let bytes = transmit(&mut us, s(0));
    assert_eq!(bytes, [0x88, 0x00]);
    let expected = CloseFrame { code: CloseCode::NO_STATUS, reason: String::new() };
    assert_eq!(heard_by(Client, &bytes), [Event::Close(expected)]);
}
