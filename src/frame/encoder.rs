//! §5: payloads become frames, masked on the way where the role demands it.

#![expect(clippy::arithmetic_side_effects, reason = "a header of 14 bytes and a payload that lies in memory")]

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::header::{Header, Opcode};
use super::mask::MaskKey;
use crate::entropy::Entropy;

/// The first byte of a frame: what it is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstByte {
    pub(crate) fin: bool,
    pub(crate) rsv: u8,
    pub(crate) opcode: Opcode,
}

/// Encodes the frames that one end sends.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// Where a client's masking keys come from; a server has none (§5.1).
    entropy: Option<Box<Entropy>>,
}

impl Encoder {
    pub(crate) fn new(entropy: Option<Box<Entropy>>) -> Encoder {
        Encoder { entropy }
    }

    /// Appends a whole frame to `out`: header, then the payload, masked. Always inlined, with
    /// the header: the calls would take as long as a short message.
    #[inline(always)]
    pub(crate) fn frame(&mut self, out: &mut Vec<u8>, first: FirstByte, payload: &[u8]) {
        let mask = self.header(out, first, payload.len());
        match mask {
            Some(key) => key.append(out, payload),
            None => out.extend_from_slice(payload),
        }
    }

    /// Appends a frame's header to `out`, which has room for [`Header::MAX_SIZE`], and returns the
    /// key to mask its payload with, if it has to be masked.
    #[inline(always)]
    pub(crate) fn header(&mut self, out: &mut Vec<u8>, first: FirstByte, len: usize) -> Option<MaskKey> {
        // §5.3: a new key for every frame.
        let mask = self.entropy.as_mut().map(|entropy| MaskKey::new(entropy.mask_key()));
        let FirstByte { fin, rsv, opcode } = first;
        let (bytes, size) = Header { fin, rsv, opcode, mask, len: len as u64 }.bytes();
        // A copy whose length the compiler knows costs a few stores, one that it does not a call.
        let end = out.len() + size;
        out.extend_from_slice(&bytes);
        out.truncate(end);
        mask
    }
}
