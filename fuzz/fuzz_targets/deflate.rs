//! Whatever comes as compressed payload, cut anywhere: no panic, no message beyond the
//! limit, the same messages and the same verdict however it was cut, and in chunks the
//! same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openline::frame::Opcode;
use openline::{Config, Deflate, Event, Fault, Role, Time};
use openline_fuzz::{connection, frame};

const LIMIT: usize = 100_000;

/// Whether messages may refer to those before, how the input is cut, and messages: each
/// in fragments.
type Input<'a> = (bool, u8, Vec<(bool, Vec<&'a [u8]>)>);

fuzz_target!(|input: Input<'_>| {
    let (takeover, cut, messages) = input;
    let mut wire = vec![];
    for (text, fragments) in &messages {
        for (at, fragment) in fragments.iter().enumerate() {
            let opcode = match (at, text) {
                (0, true) => Opcode::Text,
                (0, false) => Opcode::Binary,
                _ => Opcode::Continuation,
            };
            let rsv = if at == 0 { 4 } else { 0 };
            let fin = at + 1 == fragments.len();
            wire.extend(frame(Role::Server, fin, rsv, opcode, fragment));
        }
    }
    let whole = hear(takeover, &wire, wire.len().max(1), false);
    assert_eq!(whole, hear(takeover, &wire, usize::from(cut).max(1), false), "cut to {cut} bytes");
    // Chunks may bring a part of what is refused in the end.
    let chunks = hear(takeover, &wire, usize::from(cut).max(1), true);
    assert_eq!(whole.1, chunks.1);
    assert!(chunks.0.starts_with(&whole.0));
});

/// All messages with their lengths, or all chunks put together, and how it ended.
fn hear(takeover: bool, wire: &[u8], cut: usize, chunks: bool) -> (Vec<Vec<u8>>, Option<Fault>) {
    let mut deflate = Deflate::default();
    deflate.receive.takeover = takeover;
    let mut config = Config::default();
    config.max_message_size = LIMIT as u64;
    let mut us = connection(Role::Client, Some(deflate), config);
    let mut wire = wire.to_vec();
    let mut heard: Vec<Vec<u8>> = vec![];
    for piece in wire.chunks_mut(cut) {
        let mut input = piece;
        loop {
            let event = match chunks {
                true => us.receive_chunk(&mut input, Time::ZERO),
                false => us.receive(&mut input, Time::ZERO),
            };
            match event {
                Ok(Some(Event::Message(message))) => {
                    assert!(message.len() <= LIMIT);
                    heard.push(message.into_bytes());
                }
                Ok(Some(Event::Chunk(chunk))) => {
                    assert!(chunk.data.len() <= 128 * 1024);
                    if chunk.first {
                        heard.push(vec![]);
                    }
                    heard.last_mut().expect("the first chunk came first").extend_from_slice(chunk.data.as_bytes());
                }
                Ok(Some(_)) => unreachable!("only data was sent"),
                Ok(None) => break,
                Err(error) => return (heard, Some(error)),
            }
        }
        assert!(input.is_empty());
    }
    (heard, None)
}
