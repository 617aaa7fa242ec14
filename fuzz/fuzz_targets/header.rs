//! A valid header survives the way over the wire, in its shortest form, and an invalid one does not;
//! whatever bytes come, the verdict is reached at the first byte that decides it, stays the same,
//! and what is accepted encodes to those bytes.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use openline::Role;
use openline::frame::{Header, MaskKey, Opcode};
use openline_fuzz::role;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    server: bool,
    /// The reserved bits that an extension defines.
    defined: u8,
    fin: bool,
    rsv: u8,
    opcode: u8,
    key: Option<[u8; 4]>,
    len: u64,
    /// Short lengths have rules of their own, and are rare among all numbers.
    shift: u8,
    bytes: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    let receiver = role(input.server);
    let defined = input.defined & 7;
    let header = Header {
        fin: input.fin,
        rsv: input.rsv & 7,
        opcode: [0, 1, 2, 8, 9, 10].map(|code| Opcode::new(code).unwrap())[usize::from(input.opcode % 6)],
        mask: input.key.map(MaskKey::new),
        len: input.len >> (input.shift & 63),
    };
    there_and_back(header, receiver, defined, input.bytes);
    judge(input.bytes, receiver, defined);
});

fn there_and_back(header: Header, receiver: Role, defined: u8, behind: &[u8]) {
    let mut out = [0; Header::MAX_SIZE];
    let size = header.encode(&mut out);
    let bytes = [&out[..size], behind].concat();
    if !is_valid(&header, receiver, defined) {
        assert!(Header::decode(&bytes[..size], receiver, defined).is_err(), "{header:?}");
        return;
    }
    assert_eq!(Header::decode(&bytes, receiver, defined), Ok(Some((header, size))));
    assert_eq!(Header::decode(&bytes[..size - 1], receiver, defined), Ok(None));
    let extended = [125, 0xffff, u64::MAX].iter().position(|&most| header.len <= most).unwrap();
    assert_eq!(size, [2, 4, 10][extended] + if header.mask.is_some() { 4 } else { 0 });
}

/// The rules of §5.1, §5.2, §5.5 and §5.5.1, and of RFC 7692 §6.
fn is_valid(header: &Header, receiver: Role, defined: u8) -> bool {
    let control = matches!(header.opcode, Opcode::Close | Opcode::Ping | Opcode::Pong);
    let begins = matches!(header.opcode, Opcode::Text | Opcode::Binary);
    header.mask.is_some() == (receiver == Role::Server)
        && header.len < 1 << 63
        && (!control || header.fin && header.len <= 125)
        && (header.opcode != Opcode::Close || header.len != 1)
        && (header.rsv == 0 || begins && header.rsv & !defined == 0)
}

fn judge(bytes: &[u8], receiver: Role, defined: u8) {
    let most = bytes.len().min(Header::MAX_SIZE + 2);
    let mut before = Ok(None);
    for len in 0..=most {
        let verdict = Header::decode(&bytes[..len], receiver, defined);
        if before != Ok(None) {
            assert_eq!(verdict, before, "more bytes change nothing");
        }
        match &verdict {
            Ok(Some((header, size))) => {
                let mut out = [0; Header::MAX_SIZE];
                assert_eq!(header.encode(&mut out), *size);
                assert_eq!(out[..*size], bytes[..*size]);
                assert!(is_valid(header, receiver, defined));
            }
            // There is a way to go on that is valid, so nothing was decided.
            Ok(None) => {
                let mut filled = [0x7f; Header::MAX_SIZE];
                filled[0] = 0x82;
                filled[1] = if receiver == Role::Server { 0x80 } else { 0 };
                filled[..len].copy_from_slice(&bytes[..len]);
                let (_, size) = Header::decode(&filled, receiver, defined).unwrap().unwrap();
                assert!(size > len);
            }
            Err(_) => {}
        }
        before = verdict;
    }
}
