//! However the input is cut, the same frames come out, with the same bytes, and the
//! same error at the end; after which nothing comes out but that error, and nothing is taken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openline::frame::{Decoder, Header};
use openline::{ProtocolError, Role};
use openline_fuzz::{cut, role};

#[derive(Debug, PartialEq)]
struct Frame {
    header: Header,
    payload: Vec<u8>,
    complete: bool,
}

fn decode<'a>(receiver: Role, rsv: u8, chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<ProtocolError>) {
    let mut decoder = Decoder::with_rsv(receiver, rsv);
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
                Err(error) => {
                    stays(&mut decoder, error, input);
                    return (frames, Some(error));
                }
            }
        }
        assert!(input.is_empty(), "all that was given is taken");
    }
    (frames, None)
}

/// The error comes again for what is left, for nothing, and for a frame of any kind.
fn stays(decoder: &mut Decoder, error: ProtocolError, left: &mut [u8]) {
    let mut ping = [0x89, 0];
    let mut masked = [0x82, 0x81, 1, 2, 3, 4, 5];
    for mut input in [left, &mut [], &mut ping, &mut masked] {
        let len = input.len();
        assert_eq!(decoder.decode(&mut input), Err(error));
        assert_eq!(input.len(), len);
    }
}

/// Who receives it, in the lowest bit, and which reserved bits an extension defines, above that; the
/// lengths of pieces; the bytes.
type Input<'a> = (u8, [u8; 4], &'a [u8]);

fuzz_target!(|input: Input<'_>| {
    let (flags, pieces, bytes) = input;
    let (receiver, rsv) = (role(flags & 1 != 0), flags >> 1 & 7);
    let whole = decode(receiver, rsv, std::iter::once(bytes));
    assert_eq!(decode(receiver, rsv, bytes.chunks(1)), whole);
    assert_eq!(decode(receiver, rsv, cut(bytes, pieces)), whole);
});
