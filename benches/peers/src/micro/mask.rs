//! Masking in place, where a crate lets one call it.

use std::hint::black_box;

use openline::frame::MaskKey;

use super::{Case, table};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub fn run() {
    let sizes = [125, 1024, 16 * 1024, 1024 * 1024];
    table("Masking", &sizes, |size| {
        let copied = vec![7; size];
        let mut copy = copied.clone();
        let cases = vec![
            Case::new("memcpy", move || black_box(&mut copy[..]).copy_from_slice(black_box(&copied))),
            case("openline", size, |data| _ = MaskKey::new(KEY).apply(data)),
            case("fastwebsockets", size, |data| fastwebsockets::unmask(data, KEY)),
            case("yawc", size, |data| yawc::mask::apply_mask(data, KEY)),
            case("sockudo", size, |data| sockudo_ws::simd::apply_mask(data, KEY)),
            case("soketto", size, |data| {
                let mut header = soketto::base::Header::new(soketto::base::OpCode::Binary);
                header.set_masked(true).set_mask(u32::from_be_bytes(KEY));
                soketto::base::Codec::apply_mask(&header, data);
            }),
        ];
        (cases, 1)
    });
}

fn case(name: &'static str, size: usize, mask: impl Fn(&mut [u8]) + 'static) -> Case {
    let plain: Vec<u8> = (0..size).map(|at| (at * 7) as u8).collect();
    let mut data = plain.clone();
    mask(&mut data);
    assert!(data.iter().zip(&plain).enumerate().all(|(at, (a, b))| *a == *b ^ KEY[at % 4]), "{name} masks {size}");
    Case::new(name, move || mask(black_box(&mut data)))
}
