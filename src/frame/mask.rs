//! §5.3: masking, which is XOR with a four-byte key. It is safe code, and as fast as memory: the compiler turns
//! the loop over whole words into vector code. With the feature `simd` the loop is compiled for each kind of
//! vector, and the program chooses the widest that its machine has.

#![expect(clippy::arithmetic_side_effects, reason = "a remainder of four, times eight")]

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// A masking key, positioned at the next byte of the payload.
///
/// Masking and unmasking are the same operation (§5.3). Both return the key rotated to the position where the
/// next piece of the payload begins.
///
/// ```
/// use openline::frame::MaskKey;
///
/// let key = MaskKey::new([0x37, 0xfa, 0x21, 0x3d]);
/// let mut payload = *b"Hello";
/// let (front, back) = payload.split_at_mut(2);
/// key.apply(front).apply(back);
/// assert_eq!(payload, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MaskKey([u8; 4]);

impl MaskKey {
    /// The key as the frame header holds it.
    #[must_use]
    pub const fn new(key: [u8; 4]) -> MaskKey {
        MaskKey(key)
    }

    /// The four bytes, the one for the next payload byte first.
    #[must_use]
    pub const fn get(self) -> [u8; 4] {
        self.0
    }

    /// Masks or unmasks `data` in place, and returns the key for the bytes that follow.
    #[inline]
    #[must_use = "the next piece of the same payload needs the key that is returned"]
    pub fn apply(self, data: &mut [u8]) -> MaskKey {
        if data.len() < LONG {
            self.xor(data)
        } else {
            self.xor_long(data)
        }
        self.rotated(data.len())
    }

    /// It is always inlined, so that it is compiled for the vectors of the function that calls it.
    #[inline(always)]
    fn xor(self, data: &mut [u8]) {
        let word = self.word();
        let (words, rest) = data.as_chunks_mut::<8>();
        for bytes in words {
            *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
        }
        let (half, rest) = rest.as_chunks_mut::<4>();
        for bytes in half {
            *bytes = (u32::from_ne_bytes(*bytes) ^ u32::from_ne_bytes(self.0)).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(&self.0) {
            *byte ^= key;
        }
    }

    #[inline(never)]
    fn xor_long(self, data: &mut [u8]) {
        // The vectors begin at a cache line. A payload behind a header is not aligned, and a vector that lies in
        // two cache lines takes twice the time.
        let (front, back) = data.split_at_mut(data.as_ptr().addr().wrapping_neg() % CACHE_LINE);
        self.xor(front);
        let key = self.rotated(front.len());
        #[cfg(not(feature = "simd"))]
        key.xor(back);
        #[cfg(feature = "simd")]
        {
            use fearless_simd::{Level, Simd, dispatch};
            dispatch!(Level::new(), simd => simd.vectorize(#[inline(always)] || key.xor(back)));
        }
    }

    /// Appends `data` to `out`, which is used again and again, and masks or unmasks it.
    #[inline]
    pub(crate) fn append(self, out: &mut Vec<u8>, data: &[u8]) {
        if cfg!(feature = "simd") && WIDE_APPENDS.contains(&data.len()) {
            self.append_wide(out, data);
        } else {
            self.append_once(out, data);
        }
    }

    /// `data`, masked or unmasked, in memory of its own.
    #[inline]
    pub(crate) fn copy(self, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len());
        if cfg!(feature = "simd") && WIDE_COPIES.contains(&data.len()) {
            out.extend_from_slice(data);
            let _ = self.apply(&mut out);
        } else {
            self.append_once(&mut out, data);
        }
        out
    }

    /// Copies a block, and then masks it where it lies, in the nearest cache.
    #[inline(never)]
    fn append_wide(self, out: &mut Vec<u8>, data: &[u8]) {
        out.reserve(data.len());
        for block in data.chunks(BLOCK) {
            let begin = out.len();
            out.extend_from_slice(block);
            let _ = self.apply(out.get_mut(begin..).unwrap_or_default());
        }
    }

    /// Copies and masks in one pass.
    #[inline]
    fn append_once(self, out: &mut Vec<u8>, data: &[u8]) {
        let word = self.word();
        let (words, rest) = data.as_chunks::<8>();
        out.extend(words.iter().flat_map(|bytes| (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes()));
        out.extend(rest.iter().zip(word.to_ne_bytes()).map(|(byte, key)| byte ^ key));
    }

    /// The key for the payload byte that comes `len` bytes later.
    #[inline]
    #[must_use]
    pub const fn rotated(self, len: usize) -> MaskKey {
        // In little-endian order a rotation to the right brings byte `len % 4` to the front.
        MaskKey(u32::from_le_bytes(self.0).rotate_right((len % 4) as u32 * 8).to_le_bytes())
    }

    const fn word(self) -> u64 {
        let key = u32::from_ne_bytes(self.0) as u64;
        key << 32 | key
    }
}

/// From this length on, aligning the data and choosing the widest vectors takes less time than it saves.
const LONG: usize = 512;

/// The lengths for which it takes less time to copy, and then to mask with wide vectors, than to do both in one pass, which the
/// compiler makes of narrow ones. It was measured; what decides is in which cache the data lies.
const WIDE_APPENDS: Range<usize> = 2 * 1024..128 * 1024;

/// The same where the memory is new.
const WIDE_COPIES: Range<usize> = 2 * 1024..16 * 1024 + 1;

/// How much is copied before it is masked. It is a multiple of the key's length, so each block begins with the same key.
const BLOCK: usize = 4 * 1024;

const CACHE_LINE: usize = 64;

impl fmt::Debug for MaskKey {
    // `Debug` hides the key. §10.3: whoever knows it can choose which bytes are sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// §5.3 to the letter: octet i is XORed with key octet i modulo 4.
    fn naive(key: [u8; 4], data: &[u8]) -> Vec<u8> {
        data.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect()
    }

    #[test]
    fn every_length_cut_everywhere_is_the_naive_answer() {
        let key = [0x11, 0x22, 0x44, 0x88];
        for len in if cfg!(miri) { 30..35 } else { 0..70_u8 } {
            let plain: Vec<u8> = (0..len).collect();
            let masked = naive(key, &plain);
            for cut in 0..=usize::from(len) {
                let mut data = plain.clone();
                let (front, back) = data.split_at_mut(cut);
                let rotated = MaskKey::new(key).apply(front);
                assert_eq!(rotated, MaskKey::new(key).rotated(cut));
                assert_eq!(rotated.apply(back), MaskKey::new(key).rotated(usize::from(len)));
                assert_eq!(data, masked, "length {len}, cut at {cut}");
            }
        }
    }

    #[test]
    fn long_payloads_are_the_naive_answer() {
        let key = [0x11, 0x22, 0x44, 0x88];
        for len in [511, 512, 513, 1000] {
            let plain: Vec<u8> = (0..len + 64).map(|at: u32| (at * 7) as u8).collect();
            // The data begins at every place within a cache line.
            for from in (0..64).step_by(if cfg!(miri) { 9 } else { 1 }) {
                let mut data = plain.clone();
                let rotated = MaskKey::new(key).apply(&mut data[from..]);
                assert_eq!(rotated, MaskKey::new(key).rotated(plain.len() - from));
                assert_eq!(data[..from], plain[..from]);
                assert_eq!(data[from..], naive(key, &plain[from..]), "length {len}, from {from}");
            }
        }
    }

    #[test]
    fn every_length_is_appended_as_the_naive_answer() {
        let key = [0x11, 0x22, 0x44, 0x88];
        let (from, to, far) = (WIDE_COPIES.start, WIDE_COPIES.end, WIDE_APPENDS.end);
        let long = [from - 1, from, from + 1, BLOCK, BLOCK + 1, to - 1, to, far - 1, far];
        for len in (0..70).chain(long.into_iter().filter(|_| !cfg!(miri))) {
            let plain: Vec<u8> = (0..len).map(|at| (at * 7) as u8).collect();
            let mut out = vec![9; 3];
            MaskKey::new(key).append(&mut out, &plain);
            assert_eq!(out[..3], [9; 3]);
            assert_eq!(out[3..], naive(key, &plain), "length {len}");
            assert_eq!(MaskKey::new(key).copy(&plain), out[3..]);
        }
    }

    #[test]
    fn a_key_turns_round_in_four_bytes() {
        let key = MaskKey::new([1, 2, 3, 4]);
        assert_eq!(key.rotated(1).get(), [2, 3, 4, 1]);
        assert_eq!(key.rotated(2).get(), [3, 4, 1, 2]);
        assert_eq!(key.rotated(3).get(), [4, 1, 2, 3]);
        assert_eq!(key.rotated(4), key);
    }
}
