//! §5: payloads become frames, masked on the way where the role demands it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::header::{Header, Opcode};
use super::mask::MaskKey;
use crate::entropy::Entropy;

/// The first byte of a frame: what it is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
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

    /// Appends a whole frame to `out`: header, then the payload, masked.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "`start` was the length a moment ago")]
    pub(crate) fn frame(&mut self, out: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
        let mask = self.header(out, kind, payload.len());
        let Some(mut key) = mask else { return out.extend_from_slice(payload) };
        // Copy and mask a stretch at a time, so that each is masked while the
        // copy has it in the nearest cache: memory is walked once.
        for stretch in payload.chunks(STRETCH) {
            let start = out.len();
            out.extend_from_slice(stretch);
            key = key.apply(&mut out[start..]);
        }
    }

    /// Appends a frame's header to `out` and masks its payload where it lies.
    pub(crate) fn frame_in_place(&mut self, out: &mut Vec<u8>, kind: Kind, payload: &mut [u8]) {
        if let Some(key) = self.header(out, kind, payload.len()) {
            let _ = key.apply(payload);
        }
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "`encode` returns how much of `bytes` it has filled")]
    fn header(&mut self, out: &mut Vec<u8>, kind: Kind, len: usize) -> Option<MaskKey> {
        // §5.3: a new key for every frame.
        let mask = self.entropy.as_mut().map(|entropy| MaskKey::new(entropy.mask_key()));
        let mut bytes = [0; Header::MAX_SIZE];
        let Kind { fin, rsv, opcode } = kind;
        let size = Header { fin, rsv, opcode, mask, len: len as u64 }.encode(&mut bytes);
        out.extend_from_slice(&bytes[..size]);
        mask
    }
}

const STRETCH: usize = 4096;
