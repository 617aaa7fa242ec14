//! Text in any fragments and any pieces gets the verdict of `std::str::from_utf8`, with the same
//! first bad byte, and as soon as the bytes that prove it are there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openline::frame::Opcode;
use openline::{Config, Event, ProtocolError, Time};
use openline_fuzz::{connection, cut, frame, role};

/// Who receives it, in chunks or whole, with Pings in between or none; the lengths of fragments;
/// those of pieces; the text.
type Input<'a> = (u8, [u8; 4], [u8; 4], &'a [u8]);

fuzz_target!(|input: Input<'_>| {
    let (flags, fragments, pieces, text) = input;
    let (receiver, chunks, pings) = (role(flags & 1 != 0), flags & 2 != 0, flags & 4 != 0);

    // The frames, and for each of their bytes how much of the text has come with it.
    let (mut wire, mut came) = (vec![], vec![]);
    let mut at = 0;
    let mut send = |fin, opcode, payload: &[u8]| {
        let bytes = frame(receiver.peer(), fin, 0, opcode, payload);
        let header = bytes.len() - payload.len();
        let data = if opcode == Opcode::Ping { 0 } else { payload.len() };
        came.extend((0..bytes.len()).map(|i| at + data.min((i + 1).saturating_sub(header))));
        at += data;
        wire.extend(bytes);
    };
    let mut opcode = Opcode::Text;
    for fragment in cut(text, fragments) {
        send(false, opcode, fragment);
        opcode = Opcode::Continuation;
        if pings {
            send(true, Opcode::Ping, b"\xff");
        }
    }
    send(true, opcode, b"");

    let expected = std::str::from_utf8(text);
    let mut us = connection(receiver, None, Config::default());
    let (mut heard, mut ended, mut taken) = (vec![], false, 0);
    for piece in cut(&wire, pieces) {
        taken += piece.len();
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            let event = match chunks {
                true => us.receive_chunk(&mut input, Time::ZERO),
                false => us.receive(&mut input, Time::ZERO),
            };
            match event {
                Ok(Some(Event::Message(message))) => {
                    heard = message.into_bytes();
                    ended = true;
                }
                Ok(Some(Event::Chunk(chunk))) => {
                    assert_eq!(chunk.first, heard.is_empty());
                    heard.extend_from_slice(chunk.data.as_text().expect("text").as_bytes());
                    ended = chunk.last;
                }
                Ok(Some(event)) => assert_eq!(event, Event::Ping(b"\xff".into())),
                Ok(None) => break,
                Err(error) => {
                    let at = expected.expect_err("refused text").valid_up_to() as u64;
                    return assert_eq!(error, ProtocolError::InvalidUtf8 { at }.into());
                }
            }
        }
        let proved = std::str::from_utf8(&text[..came[taken - 1]]).is_err_and(|error| error.error_len().is_some());
        assert!(!proved, "the bytes that prove it are there");
    }
    assert_eq!(heard, expected.expect("accepted text").as_bytes());
    assert!(ended);
});
