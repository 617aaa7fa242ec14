//! §5.2: every frame header there is, judged a second time by a table of what each
//! byte proves, and refused at the first byte that proves it.

mod common;

use common::*;
use openline::Role::{Client, Server};
use openline::frame::{Decoder, Header, MaskKey, Opcode};
use openline::{ProtocolError, Role};

/// A way to write a length: the 7 bits, and the extension.
#[derive(Clone, Copy, Debug)]
struct Length {
    short: u8,
    extended: &'static [u8],
}

const LENGTHS: [Length; 17] = [
    Length { short: 0, extended: &[] },
    Length { short: 1, extended: &[] },
    Length { short: 2, extended: &[] },
    Length { short: 125, extended: &[] },
    Length { short: 126, extended: &[0, 126] },
    Length { short: 126, extended: &[0, 127] },
    Length { short: 126, extended: &[1, 0] },
    Length { short: 126, extended: &[0xff, 0xff] },
    // Too long a form.
    Length { short: 126, extended: &[0, 0] },
    Length { short: 126, extended: &[0, 125] },
    Length { short: 127, extended: &[0, 0, 0, 0, 0, 1, 0, 0] },
    Length { short: 127, extended: &[0, 0, 0, 1, 0, 0, 0, 0] },
    Length { short: 127, extended: &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff] },
    // Too long a form.
    Length { short: 127, extended: &[0, 0, 0, 0, 0, 0, 0, 0] },
    Length { short: 127, extended: &[0, 0, 0, 0, 0, 0, 0xff, 0xff] },
    // The top bit.
    Length { short: 127, extended: &[0x80, 0, 0, 0, 0, 0, 0, 0] },
    Length { short: 127, extended: &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff] },
];

#[derive(Clone, Copy, Debug)]
struct Bits {
    fin: bool,
    rsv: u8,
    opcode: u8,
    masked: bool,
    length: Length,
}

impl Bits {
    fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.fin) * 128 + self.rsv * 16 + self.opcode];
        bytes.push(u8::from(self.masked) * 128 + self.length.short);
        bytes.extend(self.length.extended);
        if self.masked {
            bytes.extend(KEY);
        }
        bytes
    }

    fn len(self) -> u64 {
        match self.length.extended {
            [] => self.length.short.into(),
            extended => extended.iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
        }
    }

    /// The oracle: each broken rule, with the number of bytes that prove it broken.
    fn guilt(self, receiver: Role) -> Vec<(usize, ProtocolError)> {
        let control = self.opcode >= 8;
        let extended = self.length.extended;
        let rules = [
            (matches!(self.opcode, 3..=7 | 11..=15), 1, ProtocolError::ReservedOpcode(self.opcode)),
            (self.rsv != 0, 1, ProtocolError::ReservedBits(self.rsv)),
            (control && !self.fin, 1, ProtocolError::ControlFragmented),
            (receiver == Server && !self.masked, 2, ProtocolError::FrameNotMasked),
            (receiver == Client && self.masked, 2, ProtocolError::FrameMasked),
            (control && self.length.short > 125, 2, ProtocolError::ControlTooLong),
            (self.opcode == 8 && self.length.short == 1, 2, ProtocolError::CloseTruncated),
            (extended.first() >= Some(&128) && extended.len() == 8, 3, ProtocolError::LengthTooLarge),
            (extended.len() == 2 && self.len() < 126, 4, ProtocolError::LengthNotMinimal),
            // Six zeros prove that what follows has a form of 16 bits or fewer.
            (extended.len() == 8 && self.len() < 65536, 8, ProtocolError::LengthNotMinimal),
        ];
        let broken: Vec<_> =
            rules.into_iter().filter(|(broken, ..)| *broken).map(|(_, size, error)| (size, error)).collect();
        let first = broken.iter().map(|(size, _)| *size).min();
        broken.into_iter().filter(|(size, _)| Some(*size) == first).collect()
    }
}

fn grid() -> impl Iterator<Item = (Bits, Role)> {
    let all = |fin, rsv, opcode, masked| LENGTHS.map(move |length| Bits { fin, rsv, opcode, masked, length });
    let mut grid = vec![];
    for opcode in 0..16 {
        for rsv in 0..8 {
            for fin in [false, true] {
                for masked in [false, true] {
                    grid.extend(all(fin, rsv, opcode, masked));
                }
            }
        }
    }
    grid.into_iter().flat_map(|bits| BOTH.map(|role| (bits, role)))
}

/// 17,408 headers, each to both roles: the verdict, and the byte at which it falls.
#[test]
fn header_grid() {
    let (mut accepted, mut refused) = (0, 0);
    for (bits, receiver) in grid() {
        let bytes = bits.bytes();
        let guilt = bits.guilt(receiver);
        let verdict = guilt.first().map_or(bytes.len(), |(size, _)| *size);
        for size in 0..verdict {
            let prefix = Header::decode(&bytes[..size], receiver, 0);
            assert_eq!(prefix, Ok(None), "{bits:?} to a {receiver:?}: {size} bytes prove nothing");
        }
        // All that follows the proof must not change it.
        for size in verdict..=bytes.len() {
            match Header::decode(&bytes[..size], receiver, 0) {
                Ok(Some((header, taken))) => {
                    assert_eq!(guilt, [], "{bits:?} to a {receiver:?}");
                    let opcode = Opcode::new(bits.opcode).unwrap();
                    let mask = bits.masked.then_some(MaskKey::new(KEY));
                    assert_eq!(header, Header { fin: bits.fin, rsv: 0, opcode, mask, len: bits.len() });
                    assert_eq!(taken, bytes.len());
                    accepted += 1;
                }
                Ok(None) => panic!("{bits:?} to a {receiver:?}: no verdict after {size} bytes"),
                Err(error) => {
                    assert!(guilt.iter().any(|(_, broken)| *broken == error), "{bits:?} to a {receiver:?}: {error}");
                    refused += 1;
                }
            }
        }
    }
    // Per role: 3 data opcodes × 2 FIN × 11 lengths, and 3 control × 4 lengths but Close of 1.
    assert_eq!(accepted, 2 * (3 * 2 * 11 + 3 * 4 - 1));
    assert!(refused > 10_000);
}

/// The same grid through the decoder, whole and byte by byte: it must come to the
/// header's verdict at the same byte, though it keeps the header itself.
#[test]
fn decoder_agrees_with_header() {
    for (bits, receiver) in grid() {
        let mut bytes = bits.bytes();
        let expected = (1..=bytes.len())
            .find_map(|size| match Header::decode(&bytes[..size], receiver, 0) {
                Ok(None) => None,
                Ok(Some((header, _))) => Some((size, Ok(header))),
                Err(error) => Some((size, Err(error))),
            })
            .unwrap();
        let mut decoder = Decoder::new(receiver);
        let mut fed = 0;
        let found = loop {
            let mut input = &mut bytes[fed..=fed];
            fed += 1;
            match decoder.decode(&mut input) {
                Ok(None) => assert!(input.is_empty()),
                Ok(Some(piece)) => {
                    assert!(piece.first && piece.payload.is_empty());
                    assert_eq!(piece.last, bits.len() == 0);
                    break (fed, Ok(piece.header));
                }
                Err(error) => break (fed, Err(error)),
            }
        };
        assert_eq!(found, expected, "{bits:?} to a {receiver:?}");

        let whole = Decoder::new(receiver).decode(&mut &mut bytes[..]).map(|piece| piece.unwrap().header);
        assert_eq!(whole, expected.1, "{bits:?} to a {receiver:?}");
    }
}

/// A connection refuses at the same byte, and says so to the peer at once.
#[test]
fn connection_refuses_at_the_first_byte_that_proves_guilt() {
    for (bits, receiver) in grid() {
        let guilt = bits.guilt(receiver);
        let Some((size, _)) = guilt.first() else { continue };
        if bits.opcode == 0 && bits.length.short < 126 {
            continue; // Also a continuation of nothing: see messages.rs.
        }
        let mut us = open(receiver);
        let bytes = bits.bytes();
        assert_eq!(hear(&mut us, &bytes[..size - 1]), (vec![], None), "{bits:?}");
        assert_eq!(us.queued(), 0);
        let (events, error) = hear(&mut us, &bytes[size - 1..*size]);
        assert_eq!(events, []);
        assert!(guilt.iter().any(|(_, broken)| Some(*broken) == error), "{bits:?}: {error:?}");
        let answer = said(&mut us);
        assert!(matches!(&answer[..], [(CLOSE, body)] if body[..2] == 1002_u16.to_be_bytes()), "{answer:?}");
    }
}

/// An extension's bits pass, and only those.
#[test]
fn reserved_bits_that_were_agreed() {
    for agreed in 0..8_u8 {
        for bits in 0..8_u8 {
            let got = Header::decode(&[0x82 | bits << 4, 0], Client, agreed);
            if bits & !agreed == 0 {
                assert_eq!(got.unwrap().unwrap().0.rsv, bits);
            } else {
                assert_eq!(got, Err(ProtocolError::ReservedBits(bits)));
            }
        }
    }
}

/// Every header that can be written is read back, and takes its shortest form.
#[test]
fn headers_round_trip() {
    let lens = [0, 1, 125, 126, 127, 65535, 65536, 65537, u64::from(u32::MAX) + 1, i64::MAX as u64];
    for opcode in (0..16).filter_map(Opcode::new) {
        for fin in [false, true] {
            for mask in [None, Some(MaskKey::new([1, 2, 3, 4]))] {
                for len in lens {
                    if opcode.is_control() && (!fin || len > 125 || (opcode == Opcode::Close && len == 1)) {
                        continue;
                    }
                    let written = Header { fin, rsv: 0, opcode, mask, len };
                    let mut out = [0xee; Header::MAX_SIZE];
                    let size = written.encode(&mut out);
                    let form = if len < 126 {
                        2
                    } else if len < 65536 {
                        4
                    } else {
                        10
                    };
                    assert_eq!(size, form + if mask.is_some() { 4 } else { 0 });
                    assert!(out[size..].iter().all(|byte| *byte == 0xee), "nothing is written beyond the header");
                    let receiver = if mask.is_some() { Server } else { Client };
                    assert_eq!(Header::decode(&out, receiver, 0), Ok(Some((written, size))));
                }
            }
        }
    }
}

/// §5.3: payloads are unmasked in place, wherever they are cut.
#[test]
fn payloads_are_unmasked_across_cuts() {
    let plain: Vec<u8> = (0..200).collect();
    let wire = frame(Client, BINARY, &plain);
    for first in 0..=wire.len() {
        for second in [first, first + 1, first + 5, wire.len()] {
            let second = second.min(wire.len());
            let mut decoder = Decoder::new(Server);
            let mut found = vec![];
            let mut ends = 0;
            for part in [&wire[..first], &wire[first..second], &wire[second..]] {
                let mut part = part.to_vec();
                let mut input = &mut part[..];
                while let Some(piece) = decoder.decode(&mut input).unwrap() {
                    found.extend_from_slice(piece.payload);
                    ends += usize::from(piece.last);
                }
            }
            assert_eq!((found, ends), (plain.clone(), 1));
        }
    }
}

/// A frame always begins with a piece of its own, and ends with exactly one last.
#[test]
fn pieces_are_marked_first_and_last() {
    for len in [0, 1, 2, 130] {
        let wire = frame(Server, BINARY, vec![5; len]);
        let mut decoder = Decoder::new(Client);
        let mut marks = vec![];
        for byte in wire.chunks(1) {
            let mut byte = byte.to_vec();
            let mut input = &mut byte[..];
            while let Some(piece) = decoder.decode(&mut input).unwrap() {
                marks.push((piece.first, piece.last, piece.payload.len()));
            }
        }
        let mut expected = vec![(true, len == 0, 0)];
        expected.extend((1..=len).map(|nth| (false, nth == len, 1)));
        assert_eq!(marks, expected);
    }
}
