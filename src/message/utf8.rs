//! §8.1: checks that text is UTF-8, as it arrives. Each byte is checked once. An invalid text fails at its first
//! wrong byte, wherever it was cut.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "`cut_at_end` is at most 3 and at most the length, and a text's bytes are counted in 64 bits"
)]

use core::{fmt, str};

/// The state between two chunks of one text: at most three bytes of a character, the end of which has not
/// arrived.
#[derive(Default)]
pub(crate) struct Utf8 {
    carry: [u8; 4],
    /// How many bytes of `carry` are in use.
    held: u8,
    /// How many bytes have been found valid.
    valid: u64,
}

/// The text is not UTF-8 after its first `at` bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    pub(crate) at: u64,
}

impl Utf8 {
    /// Checks the next chunk. Returns the character that the front of the chunk completes, if one was cut,
    /// and then the text up to the last whole character.
    pub(crate) fn check<'b>(&mut self, mut chunk: &'b [u8]) -> Result<(Option<char>, &'b str), Invalid> {
        let mut completed = None;
        while self.held > 0 && completed.is_none() {
            let [byte, rest @ ..] = chunk else { return Ok((None, "")) };
            completed = self.carry(*byte)?;
            chunk = rest;
        }
        let (whole, cut) = chunk.split_at(chunk.len() - cut_at_end(chunk));
        let text = from_utf8(whole).map_err(|at| Invalid { at: self.valid + at as u64 })?;
        self.valid += text.len() as u64;
        for &byte in cut {
            // This completes no character: `cut` is shorter than its first byte demands.
            self.carry(byte)?;
        }
        Ok((completed, text))
    }

    /// Checks that the text may end here.
    pub(crate) fn finish(&self) -> Result<(), Invalid> {
        if self.held == 0 { Ok(()) } else { Err(Invalid { at: self.valid }) }
    }

    /// Adds one byte to the character that was cut.
    #[expect(clippy::indexing_slicing, reason = "a fourth byte completes a character, or is wrong")]
    fn carry(&mut self, byte: u8) -> Result<Option<char>, Invalid> {
        let held = usize::from(self.held);
        self.carry[held] = byte;
        match str::from_utf8(&self.carry[..=held]) {
            Ok(text) => {
                self.held = 0;
                self.valid += text.len() as u64;
                Ok(text.chars().next())
            }
            // `None` means that more bytes may complete the character.
            Err(error) if error.error_len().is_none() => {
                self.held += 1;
                Ok(None)
            }
            Err(_) => Err(Invalid { at: self.valid }),
        }
    }
}

impl fmt::Debug for Utf8 {
    // `Debug` hides `carry`, which is payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Utf8({} bytes valid, {} more held)", self.valid, self.held)
    }
}

/// Checks a whole text at once. The error is the number of valid bytes at its front.
#[inline]
pub(crate) fn from_utf8(bytes: &[u8]) -> Result<&str, usize> {
    // Speed only; whatever does not match takes the general path, which says where a text is wrong.
    #[cfg(feature = "simdutf8")]
    if bytes.len() >= SIMD_PAYS
        && let Ok(text) = simdutf8::basic::from_utf8(bytes)
    {
        return Ok(text);
    }
    str::from_utf8(bytes).map_err(|error| error.valid_up_to())
}

/// Below this many bytes `simdutf8` itself calls the standard library. From here on it is faster, measured
/// between two system calls, where the processor cannot predict the branches.
#[cfg(feature = "simdutf8")]
const SIMD_PAYS: usize = 64;

/// Whether this is a text that is not long and has ASCII only, as most have: to see that takes a third of the time of a
/// check of UTF-8. (`[u8]::is_ascii` stops at the first byte that is not, and so takes longer.)
#[inline]
#[cfg(feature = "std")]
pub(crate) fn is_short_ascii(bytes: &[u8]) -> bool {
    if bytes.len() >= LONG {
        return false;
    }
    let all = match bytes.last_chunk() {
        // The last word may have bytes of the one before it.
        Some(last) => bytes.as_chunks().0.iter().fold(*last, |all, word| or(all, *word)),
        None => bytes.iter().fold([0; 8], |all, byte| or(all, [*byte; 8])),
    };
    u64::from_ne_bytes(all) & 0x8080_8080_8080_8080 == 0
}

#[inline]
#[cfg(feature = "std")]
fn or(one: [u8; 8], other: [u8; 8]) -> [u8; 8] {
    (u64::from_ne_bytes(one) | u64::from_ne_bytes(other)).to_ne_bytes()
}

/// From this length on a check of UTF-8 is as fast.
#[cfg(feature = "std")]
const LONG: usize = 512;

/// How many bytes at the end of `chunk` belong to a character that `chunk` does not complete.
fn cut_at_end(chunk: &[u8]) -> usize {
    for (after, byte) in chunk.iter().rev().take(3).enumerate() {
        let whole = match byte {
            0x80..=0xbf => continue,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
            _ => 1,
        };
        return if after + 1 < whole { after + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    /// Feeds `pieces` and returns the text, or where it is wrong and after how many bytes that was noticed.
    fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<String, (u64, usize)> {
        let (mut utf8, mut text, mut fed) = (Utf8::default(), String::new(), 0);
        for piece in pieces {
            fed += piece.len();
            let (first, rest) = utf8.check(piece).map_err(|Invalid { at }| (at, fed))?;
            text.extend(first);
            text.push_str(rest);
        }
        utf8.finish().map_err(|Invalid { at }| (at, fed)).map(|()| text)
    }

    /// For every sequence of up to four of the bytes at which the grammar of RFC 3629 changes, and every cut: the
    /// result is that of `std`.
    #[test]
    fn agrees_with_std_however_it_is_cut() {
        let edges = [
            0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0,
            0xf3, 0xf4, 0xf5, 0xff,
        ];
        let mut all: Vec<Vec<u8>> = std::vec![std::vec![]];
        for _ in 0..4 {
            let longer = all.iter().filter(|s| s.len() == all.last().unwrap().len());
            let longer: Vec<_> = longer.flat_map(|s| edges.map(|e| [&s[..], &[e]].concat())).collect();
            all.extend(longer);
        }
        for bytes in &all {
            let expected = str::from_utf8(bytes).map_err(|error| error.valid_up_to() as u64);
            for cut in 0..=bytes.len() {
                let got = feed([&bytes[..cut], &bytes[cut..]]);
                assert_eq!(got.as_deref().map_err(|(at, _)| *at), expected, "{bytes:x?} cut at {cut}");
            }
            let got = feed(bytes.chunks(1));
            assert_eq!(got.as_deref().map_err(|(at, _)| *at), expected, "{bytes:x?} byte by byte");
        }
    }

    #[test]
    fn fails_at_the_first_bad_byte() {
        let cases: [(&[u8], usize); 7] = [
            (b"\x80", 1),
            (b"\xc0\xaf", 1),
            (b"\xed\xa0\x80", 2),
            (b"\xf4\x90\x80\x80", 2),
            (b"\xf0\x80\x80\x80", 2),
            (b"\xe2\x82A", 3),
            ("κόσμε\u{7f}\u{0}".as_bytes(), usize::MAX),
        ];
        for (bytes, noticed) in cases {
            match feed(bytes.chunks(1)) {
                Ok(text) => assert_eq!((text.as_bytes(), noticed), (bytes, usize::MAX)),
                Err((_, fed)) => assert_eq!(fed, noticed, "{bytes:x?}"),
            }
        }
    }

    #[test]
    fn long_texts_take_the_same_way() {
        let text = "zażółć gęślą jaźń 線路 🦀 ".repeat(300);
        for size in [1, 3, 127, 128, 129, 1000, 5000] {
            assert_eq!(feed(text.as_bytes().chunks(size)).unwrap(), text);
        }
        let mut broken = text.clone().into_bytes();
        broken[4000] = 0xff;
        let at = str::from_utf8(&broken).unwrap_err().valid_up_to() as u64;
        for size in [1, 3, 127, 128, 129, 1000, 5000, 100_000] {
            assert_eq!(feed(broken.chunks(size)).unwrap_err().0, at, "chunks of {size}");
        }
    }

    #[test]
    #[cfg(feature = "std")]
    fn short_ascii_is_what_std_says() {
        for len in 0..40 {
            let text = std::vec![0x7f; len];
            assert!(is_short_ascii(&text));
            for at in 0..len {
                let mut text = text.clone();
                text[at] = 0x80;
                assert!(!is_short_ascii(&text), "{len} bytes, the one at {at} is no ASCII");
            }
        }
        assert!(!is_short_ascii(&[b'x'; LONG]));
    }

    #[test]
    fn what_is_held_is_not_shown() {
        let mut utf8 = Utf8::default();
        assert!(utf8.check(&[b'x', 0xe6]).is_ok());
        assert_eq!(std::format!("{utf8:?}"), "Utf8(1 bytes valid, 1 more held)");
    }
}
