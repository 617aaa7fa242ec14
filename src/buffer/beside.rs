//! What a send buffer has beside its run: blocks, and bytes that were taken. It is boxed, since most of the time there is
//! nothing, and the first block lies in the box: then a long payload takes no memory of the queue but that.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "lengths of what lies in memory, of which no part is longer than all"
)]

use alloc::collections::VecDeque;

use bytes::{Buf, Bytes};

use super::RUN;

/// See the module.
#[derive(Default)]
pub(super) struct Beside {
    /// Where `run` begins in the stream of all bytes that went into runs since this was made.
    pub(super) base: u64,
    pub(super) blocks: Blocks,
    /// How much of the first block has been sent or taken.
    pub(super) block_sent: usize,
    /// The bytes that have not been transmitted and do not lie in `run`: those in `blocks`, and
    /// those that were taken.
    pub(super) len: usize,
    /// The bytes that were taken and have not been transmitted.
    pub(super) taken: usize,
}

impl Beside {
    /// Where a place in the stream of runs lies in the run: at its front, if before it.
    pub(super) fn index(&self, place: u64) -> usize {
        place.saturating_sub(self.base) as usize
    }

    /// `len` more bytes have been transmitted, `sent` of the run before. Returns how many of them lay in the run.
    ///
    /// Never inlined: it would give the common case, where there is nothing beside the run, a large stack frame.
    #[inline(never)]
    pub(super) fn advance(&mut self, sent: usize, len: usize) -> usize {
        let flown = len.min(self.taken);
        self.taken -= flown;
        self.len -= flown;
        let (mut left, mut in_run) = (len - flown, 0);
        while let Some((place, block)) = self.blocks.front_mut() {
            let before = left.min(place.saturating_sub(self.base + (sent + in_run) as u64) as usize);
            let within = (left - before).min(block.len());
            block.advance(within);
            in_run += before;
            self.block_sent += within;
            self.len -= within;
            left -= before + within;
            if !block.is_empty() {
                break;
            }
            self.pop_block();
        }
        self.free_front();
        // What is left lies behind the last block; nothing is, if one remains.
        in_run + left
    }

    pub(super) fn pop_block(&mut self) {
        self.blocks.pop_front();
        self.block_sent = 0;
    }

    /// Frees a long block of which little is left.
    pub(super) fn free_front(&mut self) {
        if self.block_sent > RUN
            && let Some((_, block)) = self.blocks.front_mut()
            && block.len() <= RUN.max(self.block_sent / 16)
            && block.is_unique()
        {
            *block = Bytes::copy_from_slice(block);
            self.block_sent = 0;
        }
    }
}

/// A block, and its place in the stream of runs: it goes out when all before it has.
pub(super) type Block = (u64, Bytes);

/// Blocks in order.
#[derive(Default)]
pub(super) struct Blocks {
    front: Option<Block>,
    /// Empty if there is no front.
    behind: VecDeque<Block>,
}

impl Blocks {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.front.is_none()
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.front.is_some()) + self.behind.len()
    }

    pub(super) fn front(&self) -> Option<&Block> {
        self.front.as_ref()
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut Block> {
        self.front.as_mut()
    }

    pub(super) fn back(&self) -> Option<&Block> {
        self.behind.back().or(self.front.as_ref())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Block> {
        self.front.iter().chain(&self.behind)
    }

    pub(super) fn push_back(&mut self, block: Block) {
        match self.front {
            None => self.front = Some(block),
            Some(_) => self.behind.push_back(block),
        }
    }

    fn pop_front(&mut self) {
        self.front = self.behind.pop_front();
        // The memory follows the number of blocks, at a constant cost for each.
        if self.behind.len() < self.behind.capacity() / 4 && self.behind.capacity() > MANY_BLOCKS {
            self.behind.shrink_to(self.behind.capacity() / 2);
        }
    }

    /// Cuts off the blocks whose places lie behind `place`.
    pub(super) fn split_behind(&mut self, place: u64) -> Blocks {
        if self.front.as_ref().is_some_and(|(at, _)| *at > place) {
            return core::mem::take(self);
        }
        let mut behind = self.behind.split_off(self.behind.partition_point(|(at, _)| *at <= place));
        Blocks { front: behind.pop_front(), behind }
    }
}

impl IntoIterator for Blocks {
    type Item = Block;
    type IntoIter = core::iter::Chain<core::option::IntoIter<Block>, alloc::collections::vec_deque::IntoIter<Block>>;

    fn into_iter(self) -> Self::IntoIter {
        self.front.into_iter().chain(self.behind)
    }
}

/// From here on the queue of blocks shrinks when few are left.
const MANY_BLOCKS: usize = 64;

#[cfg(test)]
impl Blocks {
    /// The memory that it has, the front included.
    pub(super) fn capacity(&self) -> usize {
        self.behind.capacity() + 1
    }
}
