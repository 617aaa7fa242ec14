//! Memory that the connections of a thread share: compressors and inflaters that are
//! in use by no message, and a place for what they put out.

#![expect(clippy::arithmetic_side_effects, reason = "window bits: 15 at the most")]

use std::boxed::Box;
use std::cell::RefCell;
use std::thread_local;
use std::vec;
use std::vec::Vec;

use zlib_rs::{Deflate, DeflateConfig, Inflate};

use crate::deflate::Deflate as Parameters;

/// What a compressor is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    level: u8,
    memory: u8,
    pub(super) window_bits: u8,
}

impl Settings {
    pub(super) fn new(agreed: &Parameters) -> Settings {
        // zlib cannot do 8 bits, and 9 do as well: no distance that it writes is longer
        // than the window less 262 bytes (which `tests/deflate.rs` holds it to), so with
        // 512 bytes none is beyond 250.
        let window_bits = agreed.send.bits().max(9);
        Settings { level: agreed.level.min(9), memory: agreed.memory.clamp(1, 9), window_bits }
    }

    fn compressor(self) -> Box<Deflate> {
        // A negative number asks for DEFLATE without the zlib header.
        let config = DeflateConfig {
            level: self.level.into(),
            window_bits: -i32::from(self.window_bits),
            mem_level: self.memory.into(),
            ..DeflateConfig::default()
        };
        Box::new(Deflate::new_with_config(config))
    }
}

thread_local! {
    #[expect(clippy::vec_box, reason = "it goes to a connection and comes back without an allocation")]
    static INFLATERS: RefCell<Vec<Box<Inflate>>> = const { RefCell::new(Vec::new()) };
    static DEFLATERS: RefCell<Vec<(Settings, Box<Deflate>)>> = const { RefCell::new(Vec::new()) };
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// An inflater at the beginning of a stream.
pub(super) fn inflater() -> Box<Inflate> {
    let spare = INFLATERS.try_with(|spares| spares.borrow_mut().pop()).ok().flatten();
    spare.unwrap_or_else(|| Box::new(Inflate::new(false, Parameters::default().receive.bits())))
}

/// Takes an inflater back.
pub(super) fn keep_inflater(mut inflater: Box<Inflate>) {
    inflater.reset(false);
    // A thread that is ending has no place to keep it any more.
    let _ = INFLATERS.try_with(|spares| keep(&mut spares.borrow_mut(), inflater));
}

/// A compressor at the beginning of a stream.
pub(super) fn deflater(settings: Settings) -> Box<Deflate> {
    let spare = DEFLATERS.try_with(|spares| {
        let mut spares = spares.borrow_mut();
        let at = spares.iter().position(|(made_for, _)| *made_for == settings)?;
        Some(spares.swap_remove(at).1)
    });
    spare.ok().flatten().unwrap_or_else(|| settings.compressor())
}

/// Takes a compressor back.
pub(super) fn keep_deflater(settings: Settings, mut deflater: Box<Deflate>) {
    deflater.reset();
    let _ = DEFLATERS.try_with(|spares| keep(&mut spares.borrow_mut(), (settings, deflater)));
}

fn keep<T>(spares: &mut Vec<T>, spare: T) {
    if spares.len() == MOST_SPARE {
        spares.remove(0);
    }
    spares.push(spare);
}

/// Lends a place to put output in, of [`SCRATCH_SIZE`] bytes.
pub(crate) fn with_scratch<T>(f: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut scratch = SCRATCH.try_with(|scratch| scratch.take()).unwrap_or_default();
    if scratch.is_empty() {
        scratch = vec![0; SCRATCH_SIZE];
    }
    let result = f(&mut scratch);
    let _ = SCRATCH.try_with(|place| place.replace(scratch));
    result
}

/// Large enough that most messages come out in one go, small enough for a cache.
pub(crate) const SCRATCH_SIZE: usize = 32 * 1024;

/// How many compressors, and inflaters, a thread keeps.
const MOST_SPARE: usize = 4;
