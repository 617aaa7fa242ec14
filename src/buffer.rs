//! Bytes on their way out, in order. Knows nothing of frames, and owns no memory
//! while it is empty but for a few hundred bytes.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "all are lengths of what lies in memory, or of what waits in it: `sent <= run.len()`, `taken <= beside`, \
              and a stream's bytes are counted in 64 bits"
)]

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::{fmt, mem};

use bytes::{Buf, Bytes};

/// A queue of bytes. Small writes are gathered in one run; large blocks are kept by
/// reference between stretches of it, so that to queue them copies nothing.
///
/// # Memory
///
/// A run of more than one write never grows beyond [`RUN`] (68 KiB): it is closed instead, which
/// means that it becomes a block, without a copy, and a new run begins. A longer write has a run
/// of its own, of just its length. So what is held is at most
///
/// - what waits,
/// - twice [`RUN`], for the part of the first run that has been sent and for the room that the
///   last run has left over (a closed run has less than [`SLACK`] bytes of it),
/// - and the part of the first block that has been sent, if the block is longer than [`RUN`].
///   The rest of a block is copied and the block is freed when no more of it waits than [`RUN`]
///   or the 16th part of what has been sent, unless somebody else holds the block too. For the
///   moment in which it is copied, that rest is held twice.
///
/// No byte is moved by growth more than three times (256 bytes, 4 KiB, 17 KiB and 68 KiB are
/// the steps), none more than once to make room where others have been sent, and to free blocks
/// no more is copied than [`RUN`] and the 15th part of a block.
///
/// # Two ways to send
///
/// Either look at what waits ([`slices`](Self::slices)) and say how much has been transmitted
/// ([`advance`](Self::advance)), or [`take`](Self::take) bytes away and say later that they have
/// been transmitted. [`len`](Self::len) counts what has not been transmitted, taken or not.
#[derive(Default)]
pub(crate) struct SendBuffer {
    run: Vec<u8>,
    /// How much of `run` has been sent or taken.
    sent: usize,
    /// Where `run` begins in the stream of all bytes that went into runs since the queue was
    /// last empty.
    base: u64,
    /// Blocks, each with its place in that stream: it goes out when all before it has.
    blocks: VecDeque<(u64, Bytes)>,
    /// How much of the first block has been sent or taken.
    block_sent: usize,
    /// The bytes that have not been transmitted and do not lie in `run`: those in `blocks`, and
    /// those that were taken.
    beside: usize,
    /// The bytes that were taken and have not been transmitted.
    taken: usize,
    /// All bytes ever transmitted, for [`written`](Self::written).
    transmitted: u64,
    /// How many bytes went into runs last time, until the queue was empty: what to allocate first
    /// this time.
    usual: usize,
}

/// Makes room for `more` bytes, which make no more than `most` in all. The memory becomes four times as large, so that
/// many short parts take little time, but it does not grow beyond `most`. The last step is not a small one: while memory
/// grows, the old one is there too.
pub(crate) fn reserve_within(bytes: &mut Vec<u8>, more: usize, most: usize) {
    let needed = bytes.len().saturating_add(more);
    if needed > bytes.capacity() {
        let grown = bytes.capacity().saturating_mul(4);
        let target = if grown > most / 2 { most } else { grown };
        bytes.reserve_exact(target.max(needed) - bytes.len());
    }
}

impl SendBuffer {
    /// How many bytes have not been transmitted.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.run.len() - self.sent + self.beside
    }

    /// Whether something waits that was not taken.
    #[inline]
    pub(crate) fn has_untaken(&self) -> bool {
        self.len() > self.taken
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the stream stands once all that is queued now has been transmitted.
    pub(crate) fn written(&self) -> u64 {
        self.transmitted + self.len() as u64
    }

    /// How far the stream has been transmitted.
    pub(crate) fn transmitted(&self) -> u64 {
        self.transmitted
    }

    /// The place to append to, with room for `wanted` bytes.
    #[inline]
    pub(crate) fn run(&mut self, wanted: usize) -> &mut Vec<u8> {
        if self.run.capacity() - self.run.len() < wanted {
            self.make_room(wanted);
        }
        &mut self.run
    }

    /// Never inlined: most runs have room.
    #[inline(never)]
    fn make_room(&mut self, wanted: usize) {
        if self.run.is_empty() {
            self.run = Vec::with_capacity(wanted.max(self.usual).max(LITTLE));
            return;
        }
        let waits = self.run.len() - self.sent;
        if self.run.len() <= RUN && waits <= self.sent {
            // Moves no more than has been sent, and nothing twice: by then it will have been sent.
            self.run.drain(..self.sent);
            self.base += mem::take(&mut self.sent) as u64;
            if self.run.capacity() - waits >= wanted {
                return;
            }
        }
        let needed = self.run.len().saturating_add(wanted);
        if needed <= RUN {
            let step = self.run.capacity().saturating_mul(4).clamp(SECOND_STEP, RUN);
            self.run.reserve_exact(step.max(needed) - self.run.len());
        } else {
            self.close_run();
            self.run = Vec::with_capacity(wanted.max(SECOND_STEP));
        }
    }

    /// Makes blocks of what waits in the run, without copying it, and leaves an empty run.
    fn close_run(&mut self) {
        let (mut run, sent) = (mem::take(&mut self.run), mem::take(&mut self.sent));
        if run.capacity() - run.len() >= SLACK {
            run.shrink_to_fit();
        }
        let (at, end) = (self.base + sent as u64, self.base + run.len() as u64);
        let mut bytes = Bytes::from(run);
        bytes.advance(sent);
        self.beside += bytes.len();
        self.base = end;
        // The blocks that have their places in what waits of the run.
        let behind = self.blocks.split_off(self.blocks.partition_point(|(place, _)| *place <= at));
        if self.blocks.is_empty() {
            self.block_sent = sent;
        }
        let mut from = at;
        for (place, block) in behind {
            if place > from {
                self.blocks.push_back((end, bytes.split_to((place - from) as usize)));
                from = place;
            }
            self.blocks.push_back((end, block));
        }
        if !bytes.is_empty() {
            self.blocks.push_back((end, bytes));
        }
        self.free_front();
    }

    /// Appends a block without copying it.
    pub(crate) fn push_block(&mut self, block: Bytes) {
        if !block.is_empty() {
            self.beside += block.len();
            self.blocks.push_back((self.base + self.run.len() as u64, block));
        }
    }

    /// The first of [`slices`](Self::slices); empty if there is none.
    #[inline]
    pub(crate) fn first_slice(&self) -> &[u8] {
        if self.blocks.is_empty() { self.run.get(self.sent..).unwrap_or_default() } else { self.first_of_blocks() }
    }

    /// Never inlined: mostly there is no block.
    #[inline(never)]
    fn first_of_blocks(&self) -> &[u8] {
        let Some((place, block)) = self.blocks.front() else { return &[] };
        match self.index(*place) {
            index if index > self.sent => self.run.get(self.sent..index).unwrap_or_default(),
            _ => block,
        }
    }

    /// What waits and was not taken, in order, in slices that are not empty.
    #[expect(
        clippy::indexing_slicing,
        reason = "blocks are queued in order, and `run` never shrinks below the last one's place"
    )]
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = self.sent;
        let blocks = self.blocks.iter().flat_map(move |(place, block)| {
            let before = &self.run[from..self.index(*place).max(from)];
            from += before.len();
            [before, &block[..]]
        });
        let last = self.blocks.back().map_or(self.sent, |(place, _)| self.index(*place).max(self.sent));
        blocks.chain([&self.run[last..]]).filter(|slice| !slice.is_empty())
    }

    /// Where a place in the stream of runs lies in the run: at its front, if before it.
    fn index(&self, place: u64) -> usize {
        place.saturating_sub(self.base) as usize
    }

    /// `len` more bytes have been transmitted (all, if fewer wait): those that were taken first,
    /// then those at the front of [`slices`](Self::slices).
    #[inline]
    pub(crate) fn advance(&mut self, len: usize) {
        let len = len.min(self.len());
        self.transmitted += len as u64;
        if self.beside == 0 {
            self.sent += len;
        } else {
            self.advance_beside(len);
        }
        self.tidy();
    }

    fn advance_beside(&mut self, len: usize) {
        let flown = len.min(self.taken);
        self.taken -= flown;
        self.beside -= flown;
        let mut left = len - flown;
        while let Some((place, block)) = self.blocks.front_mut() {
            let before = left.min(place.saturating_sub(self.base + self.sent as u64) as usize);
            let within = (left - before).min(block.len());
            block.advance(within);
            self.sent += before;
            self.block_sent += within;
            self.beside -= within;
            left -= before + within;
            if !block.is_empty() {
                break;
            }
            self.pop_block();
        }
        // What is left lies behind the last block; nothing is, if one remains.
        self.sent += left;
        self.free_front();
    }

    /// Takes the next bytes away, `most` at the most and one at least, to be transmitted by
    /// somebody who must own them. They stay in the counts until [`advance`](Self::advance) says
    /// that they have been transmitted. `None` if nothing waits that was not taken, or if `most`
    /// is 0.
    ///
    /// Nothing is copied, unless the allocator moves a run (68 KiB at the most) that gives back the
    /// room it has left over. Where what is next lies in the run, the run is closed, so the next
    /// small write begins another.
    pub(crate) fn take(&mut self, most: usize) -> Option<Bytes> {
        if most == 0 {
            return None;
        }
        let position = self.base + self.sent as u64;
        if self.run.len() > self.sent && self.blocks.front().is_none_or(|(place, _)| *place > position) {
            self.close_run();
        }
        let (_, block) = self.blocks.front_mut()?;
        let bytes = block.split_to(most.min(block.len()));
        self.block_sent += bytes.len();
        self.taken += bytes.len();
        if block.is_empty() {
            self.pop_block();
        }
        self.tidy();
        Some(bytes)
    }

    /// Drops all that waits.
    pub(crate) fn clear(&mut self) {
        *self = SendBuffer { transmitted: self.transmitted, ..SendBuffer::default() };
    }

    fn pop_block(&mut self) {
        self.blocks.pop_front();
        self.block_sent = 0;
        // The queue's own memory follows the number of blocks, at a constant cost for each.
        if self.blocks.len() < self.blocks.capacity() / 4 && self.blocks.capacity() > MANY_BLOCKS {
            self.blocks.shrink_to(self.blocks.capacity() / 2);
        }
    }

    /// Frees a long block of which little is left.
    fn free_front(&mut self) {
        if self.block_sent > RUN
            && let Some((_, block)) = self.blocks.front_mut()
            && block.len() <= RUN.max(self.block_sent / 16)
            && block.is_unique()
        {
            *block = Bytes::copy_from_slice(block);
            self.block_sent = 0;
        }
    }

    /// Gives memory back: all but a little when nothing is left here, and a long run, which can
    /// be freed as a block when little of it is left.
    #[inline]
    fn tidy(&mut self) {
        if self.run.len() == self.sent && self.blocks.is_empty() {
            self.usual = self.run.len().saturating_add(self.base as usize).min(RUN);
            self.run.clear();
            self.sent = 0;
            self.base = 0;
            if self.run.capacity() > LITTLE {
                self.run = Vec::new();
            }
            if self.blocks.capacity() > 0 {
                self.blocks = VecDeque::new();
            }
        } else if self.run.len() > RUN && self.sent > 0 {
            self.close_run();
        }
    }
}

impl fmt::Debug for SendBuffer {
    // What the application sends is nobody's business but the peer's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendBuffer")
            .field("len", &self.len())
            .field("taken", &self.taken)
            .field("blocks", &self.blocks.len())
            .field("transmitted", &self.transmitted)
            .finish_non_exhaustive()
    }
}

/// The first allocation, unless more is usual. An empty buffer keeps it, so that small
/// messages go on being sent without the allocator.
const LITTLE: usize = 256;

/// What a run grows to next. From then on it grows fourfold: doubling from a little would copy a
/// burst of answers several times.
const SECOND_STEP: usize = 4096 + 256;

/// What a run grows to at the most: all that may wait below the usual high-water mark of 64 KiB,
/// and a short message more, lies in one piece.
const RUN: usize = 16 * SECOND_STEP;

/// A closed run gives back the room that it has left over, from this many bytes on.
const SLACK: usize = 256;

/// From here on the queue of blocks shrinks when few are left.
const MANY_BLOCKS: usize = 64;

#[cfg(test)]
mod tests;
