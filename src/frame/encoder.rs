//! §5: turns payloads into frames. A client's payloads are masked while they are copied.

#![expect(clippy::arithmetic_side_effects, reason = "a header of 14 bytes and a payload that lies in memory")]

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::header::{Header, Opcode};
use super::mask::MaskKey;
use crate::entropy::Entropy;

/// What the first byte of a frame says (§5.2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstByte {
    pub(crate) fin: bool,
    pub(crate) rsv: u8,
    pub(crate) opcode: Opcode,
}

/// Encodes the frames that one end sends.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// The source of a client's masking keys. A server does not mask (§5.1), and has none.
    entropy: Option<Box<Entropy>>,
}

impl Encoder {
    pub(crate) fn new(entropy: Option<Box<Entropy>>) -> Encoder {
        Encoder { entropy }
    }

    /// Appends a whole frame to `out`. It is always inlined, as [`header`](Self::header) is: the calls would take
    /// as long as a short message.
    #[inline(always)]
    pub(crate) fn frame(&mut self, out: &mut Vec<u8>, first: FirstByte, payload: &[u8]) {
        let mask = self.header(out, first, payload.len());
        match mask {
            Some(key) => key.append(out, payload),
            None => out.extend_from_slice(payload),
        }
    }

    /// Appends a frame's header to `out`, and returns the key to mask the payload with, if it must be masked.
    /// `out` has a capacity of [`Header::MAX_SIZE`] left.
    #[inline(always)]
    pub(crate) fn header(&mut self, out: &mut Vec<u8>, first: FirstByte, len: usize) -> Option<MaskKey> {
        // §5.3: a new key for every frame.
        let mask = self.entropy.as_mut().map(|entropy| MaskKey::new(entropy.mask_key()));
        let FirstByte { fin, rsv, opcode } = first;
        let (bytes, size) = Header { fin, rsv, opcode, mask, len: len as u64 }.bytes();
        // All of `bytes` is copied, and then the end is cut off. A copy of constant length takes a few instructions; a
        // copy of any other length takes a call.
        let end = out.len() + size;
        out.extend_from_slice(&bytes);
        out.truncate(end);
        mask
    }
}
