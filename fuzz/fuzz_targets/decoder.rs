//! However the input is cut, the same frames come out, with the same bytes, and the
//! same error at the end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openline::frame::{Decoder, Header};
use openline::{ProtocolError, Role};

#[derive(Debug, PartialEq)]
struct Frame {
    header: Header,
    payload: Vec<u8>,
    complete: bool,
}

fn decode<'a>(receiver: Role, chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<ProtocolError>) {
    let mut decoder = Decoder::new(receiver);
    let mut frames: Vec<Frame> = vec![];
    for chunk in chunks {
        let mut chunk = chunk.to_vec();
        let mut input = &mut chunk[..];
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(piece)) => {
                    if piece.first {
                        // The key turns as the payload passes; where it stands says nothing.
                        let header = Header { mask: None, ..piece.header };
                        frames.push(Frame { header, payload: vec![], complete: false });
                    }
                    let frame = frames.last_mut().expect("the first piece begins a frame");
                    frame.payload.extend_from_slice(piece.payload);
                    frame.complete = piece.last;
                    assert!(frame.payload.len() as u64 <= frame.header.len);
                    assert_eq!(frame.complete, frame.payload.len() as u64 == frame.header.len);
                }
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(input.is_empty(), "all that was given is taken");
    }
    (frames, None)
}

fuzz_target!(|input: (bool, u8, &[u8])| {
    let (server, size, bytes) = input;
    let receiver = if server { Role::Server } else { Role::Client };
    let whole = decode(receiver, std::iter::once(bytes));
    assert_eq!(decode(receiver, bytes.chunks(1)), whole);
    assert_eq!(decode(receiver, bytes.chunks(usize::from(size) + 1)), whole);
});
