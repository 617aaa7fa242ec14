//! Bytes on their way out, in order. Knows nothing of frames, and owns no memory
//! while it is empty but for a few hundred bytes.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "all are lengths of what lies in memory, or of what waits in it: `sent <= run.len()`, and `blocked` is their sum"
)]

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Buf, Bytes};

/// A queue of bytes: small writes are gathered in one run, large blocks are kept
/// by reference between stretches of it, so that they are never copied.
#[derive(Debug, Default)]
pub(crate) struct SendBuffer {
    run: Vec<u8>,
    /// How much of `run` has been sent.
    sent: usize,
    /// Blocks, each with the length of `run` at the moment it was queued: it goes
    /// out when `sent` reaches that.
    blocks: VecDeque<(usize, Bytes)>,
    /// The bytes waiting in `blocks`.
    blocked: usize,
    /// All bytes ever handed out, for [`written`](Self::written).
    transmitted: u64,
    /// How long `run` became last time: its first allocation, this time.
    usual: usize,
}

impl SendBuffer {
    /// How many bytes wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.run.len() - self.sent + self.blocked
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the stream stands once all that is queued now has been sent.
    pub(crate) fn written(&self) -> u64 {
        self.transmitted + self.len() as u64
    }

    /// How far the stream has been sent.
    pub(crate) fn transmitted(&self) -> u64 {
        self.transmitted
    }

    /// The place to append to, with room for `additional` bytes.
    #[inline]
    pub(crate) fn run(&mut self, additional: usize) -> &mut Vec<u8> {
        if self.run.capacity() == 0 {
            self.run = Vec::with_capacity(additional.max(self.usual).max(LITTLE));
        } else if self.run.capacity() - self.run.len() < additional {
            // Doubling from a little would copy a burst of answers several times.
            self.run.reserve(additional.max(self.run.len().saturating_mul(3).clamp(LEAST_STEP, LARGEST_STEP)));
        }
        &mut self.run
    }

    /// Appends a block without copying it.
    pub(crate) fn push_block(&mut self, block: Bytes) {
        if !block.is_empty() {
            self.blocked += block.len();
            self.blocks.push_back((self.run.len(), block));
        }
    }

    /// What waits, if it lies in one piece.
    #[inline]
    pub(crate) fn only_slice(&self) -> Option<&[u8]> {
        if self.blocks.is_empty() { self.run.get(self.sent..) } else { None }
    }

    /// What waits, in order, in slices that are not empty.
    #[expect(
        clippy::indexing_slicing,
        reason = "blocks are queued in order, and `run` never shrinks below the last one's place"
    )]
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = self.sent;
        let blocks = self.blocks.iter().flat_map(move |(at, block)| {
            let before = &self.run[from..*at];
            from = *at;
            [before, &block[..]]
        });
        let last = self.blocks.back().map_or(self.sent, |(at, _)| *at);
        blocks.chain([&self.run[last..]]).filter(|slice| !slice.is_empty())
    }

    /// Removes `len` bytes from the front (all, if fewer wait).
    pub(crate) fn advance(&mut self, len: usize) {
        let mut left = len.min(self.len());
        self.transmitted += left as u64;
        while let Some((at, block)) = self.blocks.front_mut() {
            let before = left.min(*at - self.sent);
            let within = (left - before).min(block.len());
            block.advance(within);
            self.sent += before;
            self.blocked -= within;
            left -= before + within;
            if !block.is_empty() {
                break;
            }
            self.blocks.pop_front();
        }
        // What is left lies behind the last block; nothing is, if one remains.
        self.sent += left;
        self.tidy();
    }

    /// Drops all that waits.
    pub(crate) fn clear(&mut self) {
        *self = SendBuffer { transmitted: self.transmitted, ..SendBuffer::default() };
    }

    /// Gives memory back: all but a little when nothing waits, and the sent part
    /// of the run once it is the larger part (so each byte moves once at most).
    fn tidy(&mut self) {
        if self.is_empty() {
            self.usual = self.run.len().min(LARGEST_STEP);
            self.run.clear();
            self.sent = 0;
            if self.run.capacity() > LITTLE {
                self.run = Vec::new();
            }
            if self.blocks.capacity() > 0 {
                self.blocks = VecDeque::new();
            }
        } else if self.sent > self.run.len() / 2 && self.sent > LEAST_STEP {
            self.run.drain(..self.sent);
            for (at, _) in &mut self.blocks {
                *at -= self.sent;
            }
            self.sent = 0;
        }
    }
}

/// The first allocation, unless more is usual. An empty buffer keeps it, so that small
/// messages go on being sent without the allocator.
const LITTLE: usize = 256;

/// A run that grows does so by this much at least.
const LEAST_STEP: usize = 4096;

/// Otherwise it grows fourfold, by this much at the most unless more is needed. More than this is
/// not thought usual: the high-water mark lets most runs grow no further than a little more.
const LARGEST_STEP: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn waiting(buffer: &SendBuffer) -> Vec<u8> {
        buffer.slices().flatten().copied().collect()
    }

    /// Every script of runs and blocks, sent in every step size, comes out as it went in.
    #[test]
    fn what_goes_in_comes_out_in_order() {
        for step in 1..12 {
            let mut buffer = SendBuffer::default();
            let mut expected = vec![];
            for round in 0..40_u8 {
                let piece = vec![round; usize::from(round % 5)];
                expected.extend_from_slice(&piece);
                if round % 3 == 0 {
                    buffer.push_block(Bytes::from(piece));
                } else {
                    buffer.run(piece.len()).extend_from_slice(&piece);
                }
            }
            let total = expected.len();
            assert_eq!(buffer.written(), total as u64);
            while !buffer.is_empty() {
                assert_eq!(waiting(&buffer), expected);
                assert_eq!(buffer.len(), expected.len());
                assert!(buffer.slices().all(|slice| !slice.is_empty()));
                buffer.advance(step);
                expected.drain(..step.min(expected.len()));
            }
            assert_eq!(buffer.transmitted(), total as u64);
        }
    }

    #[test]
    fn a_queue_that_never_empties_does_not_grow() {
        let mut buffer = SendBuffer::default();
        buffer.run(1000).extend_from_slice(&[0; 1000]);
        for _ in 0..10_000 {
            buffer.run(1000).extend_from_slice(&[0; 1000]);
            buffer.push_block(Bytes::from_static(b"block"));
            buffer.advance(1005);
        }
        assert_eq!(buffer.len(), 1000);
        assert!(buffer.run.capacity() < 64 * 1024, "{}", buffer.run.capacity());
    }

    #[test]
    fn an_empty_buffer_owns_next_to_nothing() {
        let mut buffer = SendBuffer::default();
        buffer.run(100_000).extend_from_slice(&[0; 100_000]);
        buffer.push_block(Bytes::from(vec![0; 100_000]));
        buffer.advance(usize::MAX);
        assert!(buffer.is_empty());
        assert!(buffer.run.capacity() <= LITTLE);
        assert_eq!(buffer.blocks.capacity(), 0);
    }
}
