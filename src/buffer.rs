//! Bytes on their way out, in order. Knows nothing of frames, and owns no memory
//! while it is empty but for a few hundred bytes.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "all are lengths of what lies in memory, or of what waits in it: `sent <= run.len()`, `taken <= beside`, \
              and a stream's bytes are counted in 64 bits"
)]

mod beside;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::{fmt, mem};

use beside::Beside;
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
/// No byte is moved by growth more than three times (4 KiB, 17 KiB and 68 KiB are the steps after
/// the first), and the first few once more (256 bytes). None is moved more than once to make room
/// where others have been sent, and to free blocks no more is copied than [`RUN`] and the 15th part
/// of a block.
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
    /// Blocks, and what was taken: mostly there is nothing.
    beside: Option<Box<Beside>>,
    /// All bytes ever transmitted, for [`written`](Self::written).
    transmitted: u64,
    /// How many bytes went into runs last time, until the queue was empty, but no more than [`RUN`]: what to allocate
    /// first this time.
    usual: u32,
}

/// Makes room for `more` parts (bytes, mostly), which make no more than `most` in all. The memory becomes four times as
/// large, so that many short parts take little time, but it does not grow beyond `most`. The last step is not a small
/// one: while memory grows, the old one is there too.
pub(crate) fn reserve_within<T>(parts: &mut Vec<T>, more: usize, most: usize) {
    let needed = parts.len().saturating_add(more);
    if needed > parts.capacity() {
        let grown = parts.capacity().saturating_mul(4);
        let target = if grown > most / 2 { most } else { grown };
        parts.reserve_exact(target.max(needed) - parts.len());
    }
}

impl SendBuffer {
    /// How many bytes have not been transmitted.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.run.len() - self.sent + self.beside.as_ref().map_or(0, |beside| beside.len)
    }

    /// Whether something waits that was not taken.
    #[inline]
    pub(crate) fn has_untaken(&self) -> bool {
        match &self.beside {
            None => self.run.len() > self.sent,
            Some(beside) => self.len() > beside.taken,
        }
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
            self.run = Vec::with_capacity(wanted.max(self.usual as usize + UNUSED));
            return;
        }
        let waits = self.run.len() - self.sent;
        if self.run.len() <= RUN && waits <= self.sent {
            // Moves no more than has been sent, and nothing twice: by then it will have been sent.
            self.run.drain(..self.sent);
            let sent = mem::take(&mut self.sent);
            if let Some(beside) = &mut self.beside {
                beside.base += sent as u64;
            }
            if self.run.capacity() - waits >= wanted {
                return;
            }
        }
        let needed = self.run.len().saturating_add(wanted);
        if needed <= RUN {
            let grown = self.run.capacity().saturating_mul(4).clamp(SECOND_STEP, RUN);
            let step = if needed <= LITTLE { LITTLE } else { grown };
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
        let beside = self.beside.get_or_insert_default();
        let (at, end) = (beside.base + sent as u64, beside.base + run.len() as u64);
        let mut bytes = Bytes::from(run);
        bytes.advance(sent);
        beside.len += bytes.len();
        beside.base = end;
        // The blocks that have their places in what waits of the run.
        let behind = beside.blocks.split_behind(at);
        if beside.blocks.is_empty() {
            beside.block_sent = sent;
        }
        let mut from = at;
        for (place, block) in behind {
            if place > from {
                beside.blocks.push_back((end, bytes.split_to((place - from) as usize)));
                from = place;
            }
            beside.blocks.push_back((end, block));
        }
        if !bytes.is_empty() {
            beside.blocks.push_back((end, bytes));
        }
        beside.free_front();
    }

    /// Appends a block without copying it.
    pub(crate) fn push_block(&mut self, block: Bytes) {
        if !block.is_empty() {
            let beside = self.beside.get_or_insert_default();
            beside.len += block.len();
            beside.blocks.push_back((beside.base + self.run.len() as u64, block));
        }
    }

    /// The first of [`slices`](Self::slices); empty if there is none.
    #[inline]
    pub(crate) fn first_slice(&self) -> &[u8] {
        match &self.beside {
            None => self.run.get(self.sent..).unwrap_or_default(),
            Some(beside) => self.first_with(beside),
        }
    }

    /// Never inlined: mostly there is no block.
    #[inline(never)]
    fn first_with<'b>(&'b self, beside: &'b Beside) -> &'b [u8] {
        let Some((place, block)) = beside.blocks.front() else { return self.run.get(self.sent..).unwrap_or_default() };
        match beside.index(*place) {
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
        let beside = self.beside.as_deref();
        let last = beside.and_then(|beside| Some(beside.index(beside.blocks.back()?.0))).unwrap_or(0).max(self.sent);
        let blocks = beside.into_iter().flat_map(|beside| beside.blocks.iter().map(move |block| (beside, block)));
        let blocks = blocks.flat_map(move |(beside, (place, block))| {
            let before = &self.run[from..beside.index(*place).max(from)];
            from += before.len();
            [before, &block[..]]
        });
        blocks.chain([&self.run[last..]]).filter(|slice| !slice.is_empty())
    }

    /// `len` more bytes have been transmitted (all, if fewer wait): those that were taken first,
    /// then those at the front of [`slices`](Self::slices).
    #[inline]
    pub(crate) fn advance(&mut self, len: usize) {
        let len = match &mut self.beside {
            None => len.min(self.run.len() - self.sent),
            Some(_) => len.min(self.len()),
        };
        self.transmitted += len as u64;
        self.sent += match &mut self.beside {
            None => len,
            Some(beside) => beside.advance(self.sent, len),
        };
        self.tidy();
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
        // What is next lies in the run unless a block comes before it.
        let is_at_block = |beside: &Beside| beside.blocks.front().is_some_and(|(at, _)| beside.index(*at) <= self.sent);
        if self.run.len() > self.sent && !self.beside.as_deref().is_some_and(is_at_block) {
            self.close_run();
        }
        let beside = self.beside.as_mut()?;
        let (_, block) = beside.blocks.front_mut()?;
        let bytes = block.split_to(most.min(block.len()));
        beside.block_sent += bytes.len();
        beside.taken += bytes.len();
        if block.is_empty() {
            beside.pop_block();
        }
        self.tidy();
        Some(bytes)
    }

    /// Gives back the memory that an empty buffer keeps, and forgets what was usual: what comes next is of another kind.
    pub(crate) fn forget_usual(&mut self) {
        if self.run.is_empty() {
            (self.run, self.usual) = (Vec::new(), 0);
        }
    }

    /// Drops all that waits.
    pub(crate) fn clear(&mut self) {
        *self = SendBuffer { transmitted: self.transmitted, ..SendBuffer::default() };
    }

    /// If no block is left, how many bytes went into earlier runs. Never inlined: mostly there was no block.
    #[inline(never)]
    fn tidy_beside(&mut self) -> Option<usize> {
        let beside = self.beside.as_mut().filter(|beside| beside.blocks.is_empty())?;
        let before = mem::take(&mut beside.base) as usize;
        // What was taken is still counted.
        if beside.taken == 0 {
            self.beside = None;
        }
        Some(before)
    }

    /// Gives memory back: all but a little when nothing is left here, and a long run, which can
    /// be freed as a block when little of it is left.
    #[inline]
    fn tidy(&mut self) {
        let before = match &self.beside {
            _ if self.run.len() != self.sent => None,
            None => Some(0),
            Some(_) => self.tidy_beside(),
        };
        if let Some(before) = before {
            self.usual = self.run.len().saturating_add(before).min(RUN) as u32;
            self.run.clear();
            self.sent = 0;
            if self.run.capacity() > LITTLE {
                self.run = Vec::new();
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
            .field("taken", &self.beside.as_ref().map_or(0, |beside| beside.taken))
            .field("blocks", &self.beside.as_ref().map_or(0, |beside| beside.blocks.len()))
            .field("transmitted", &self.transmitted)
            .finish_non_exhaustive()
    }
}

/// As much an empty buffer keeps, so that small messages go on being sent without the allocator. The first allocation
/// has only what is asked for, or is usual: most connections send one short answer at a time, and never need more.
const LITTLE: usize = 256;

/// Who appends asks for the longest header, and uses less.
const UNUSED: usize = 16;

/// What a run grows to next. From then on it grows fourfold: doubling from a little would copy a
/// burst of answers several times.
const SECOND_STEP: usize = 4096 + 256;

/// What a run grows to at the most: all that may wait below the usual high-water mark of 64 KiB,
/// and a short message more, lies in one piece.
const RUN: usize = 16 * SECOND_STEP;

/// A closed run gives back the room that it has left over, from this many bytes on.
const SLACK: usize = 256;

#[cfg(test)]
mod tests;
