//! A topic's messages: which of them are kept, for whom, and when they go.
//!
//! ```text
//!   first          kept                 head   head + 1
//!     ▼              ▼                    ▼      ▼
//!     [ slack, waited for ][ for everybody ]     where a cursor stands that has read all
//! ```
//!
//! Each message counts the cursors that read it next, so it is known without a search what nobody waits for. A cursor
//! before `first` has lagged. With `Lag::Skip` it goes on at `first`, so it is counted there; otherwise it needs nothing
//! but the end of the log, and keeps no message.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::delivery::Lag;
use crate::limits::{Retain, Stamp};
use crate::position::{Epoch, Position};

#[derive(Debug)]
pub(crate) struct Log<M> {
    epoch: Epoch,
    /// The offset of `entries[0]`, or of the next message.
    first: u64,
    /// The first offset that `Retain` keeps; `first` or later.
    kept: u64,
    entries: VecDeque<Entry<M>>,
    /// Payload of all entries, and of those from `kept` on.
    bytes: usize,
    kept_bytes: usize,
    /// The cursors that stand behind the last message.
    waiting: Cursors,
    /// Those that have lagged, and keep nothing.
    lagged: Cursors,
}

/// How many cursors read a message next, and how many of these have `Lag::Skip`.
#[derive(Clone, Copy, Debug, Default)]
struct Cursors {
    all: u32,
    skipping: u32,
}

/// What is to be appended.
#[derive(Clone, Copy)]
struct New {
    messages: usize,
    bytes: usize,
}

const NOTHING: New = New { messages: 0, bytes: 0 };

#[derive(Debug)]
pub(crate) struct Entry<M> {
    pub(crate) message: M,
    /// For snapshots. It shares nothing with a buffer of the publisher's.
    pub(crate) payload: Bytes,
    pub(crate) at: Stamp,
    cursors: Cursors,
}

impl<M> Entry<M> {
    pub(crate) fn new(message: M, payload: Bytes, at: Stamp) -> Entry<M> {
        Entry { message, payload, at, cursors: Cursors::default() }
    }

    /// What a payload of this length counts against [`Limits::bytes`](crate::Limits::bytes).
    pub(crate) fn weight(payload: usize) -> usize {
        payload.saturating_add(size_of::<Entry<M>>())
    }
}

impl<M> Log<M> {
    /// An empty log, whose next message follows this position.
    pub(crate) fn new(at: Position) -> Log<M> {
        let first = at.offset.saturating_add(1);
        Log {
            epoch: at.epoch,
            first,
            kept: first,
            entries: VecDeque::new(),
            bytes: 0,
            kept_bytes: 0,
            waiting: Cursors::default(),
            lagged: Cursors::default(),
        }
    }

    /// The offset of the last message there was.
    pub(crate) fn head(&self) -> u64 {
        self.first - 1 + self.entries.len() as u64
    }

    pub(crate) fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.head() }
    }

    /// The oldest offset that is still there.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The oldest offset that a newcomer may read.
    pub(crate) fn kept(&self) -> u64 {
        self.kept
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn weight(&self) -> usize {
        self.bytes + self.entries.len() * size_of::<Entry<M>>()
    }

    /// How many messages the slowest cursor waits for that are still there. For one that has lagged it is all of them.
    pub(crate) fn lag(&self) -> u64 {
        if self.lagged.all > 0 {
            return self.entries.len() as u64;
        }
        let slowest = self.entries.iter().position(|entry| entry.cursors.all > 0);
        slowest.map_or(0, |at| (self.entries.len() - at) as u64)
    }

    /// Appends a message. What is too much afterwards goes with the next [`trim`](Self::trim).
    pub(crate) fn append(&mut self, mut entry: Entry<M>) {
        self.bytes += entry.payload.len();
        self.kept_bytes += entry.payload.len();
        // Who stood behind the last message now reads this one next.
        entry.cursors = std::mem::take(&mut self.waiting);
        self.entries.push_back(entry);
    }

    /// Lets go of what `Retain` does not keep, unless a cursor waits for it and the slack holds it.
    pub(crate) fn trim(&mut self, retain: &Retain, now: Stamp) {
        self.trim_beside(NOTHING, retain, now);
    }

    /// [`trim`](Self::trim) before a message of so many bytes is appended: what goes then, goes now.
    pub(crate) fn trim_before(&mut self, bytes: usize, retain: &Retain, now: Stamp) {
        self.trim_beside(New { messages: 1, bytes }, retain, now);
    }

    fn trim_beside(&mut self, new: New, retain: &Retain, now: Stamp) {
        let most = retain.messages.max(1);
        while let Some(entry) = self.entries.get((self.kept - self.first) as usize) {
            let count = (self.head() - self.kept) as usize + 1 + new.messages;
            if count <= most && self.kept_bytes + new.bytes <= retain.bytes && now.since(entry.at) <= retain.age {
                break;
            }
            self.kept_bytes -= entry.payload.len();
            self.kept += 1;
        }
        self.trim_slack_beside(new, retain);
    }

    /// [`trim`](Self::trim) after a cursor has moved: nothing but the slack can go.
    pub(crate) fn trim_slack(&mut self, retain: &Retain) {
        self.trim_slack_beside(NOTHING, retain);
    }

    fn trim_slack_beside(&mut self, new: New, retain: &Retain) {
        let most = retain.messages.max(1).saturating_add(retain.slack_messages);
        let bytes = retain.bytes.saturating_add(retain.slack_bytes);
        while let Some(oldest) = self.entries.front().filter(|_| self.first < self.kept) {
            let fits = self.entries.len() + new.messages <= most && self.bytes + new.bytes <= bytes;
            if oldest.cursors.all > 0 && fits {
                break;
            }
            self.drop_oldest();
        }
        // A burst does not hold its memory for ever, also if its messages went because the hub had no room.
        if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    /// Drops the oldest message, kept or not. Returns whether there was one.
    pub(crate) fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.entries.pop_front() else { return false };
        self.bytes -= oldest.payload.len();
        if self.kept == self.first {
            self.kept += 1;
            self.kept_bytes -= oldest.payload.len();
        }
        self.first += 1;
        let Cursors { all, skipping } = oldest.cursors;
        let next = self.entries.front_mut().map_or(&mut self.waiting, |entry| &mut entry.cursors);
        next.all += skipping;
        next.skipping += skipping;
        self.lagged.all += all - skipping;
        true
    }

    /// The messages up to this offset have come and gone, and with them all before. Who waits for one of them has lagged.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "a local log has no holes"))]
    pub(crate) fn pass(&mut self, offset: u64) {
        while self.drop_oldest() {}
        // Those who skip are counted behind the last message now. Of the others nobody is who waits for one of these.
        if offset >= self.first {
            self.first = offset + 1;
            self.kept = self.first;
            self.lagged.all += self.waiting.all - self.waiting.skipping;
            self.waiting.all = self.waiting.skipping;
        }
    }

    /// A cursor now reads this offset next.
    pub(crate) fn enter(&mut self, offset: u64, lag: Lag) {
        let cursors = self.cursors(offset, lag);
        cursors.all += 1;
        cursors.skipping += u32::from(lag == Lag::Skip);
    }

    /// A cursor that would have read this offset next is gone. [`trim`](Self::trim) then drops what nobody waits for.
    pub(crate) fn exit(&mut self, offset: u64, lag: Lag) {
        let cursors = self.cursors(offset, lag);
        cursors.all -= 1;
        cursors.skipping -= u32::from(lag == Lag::Skip);
    }

    /// Where a cursor at this offset is counted.
    fn cursors(&mut self, offset: u64, lag: Lag) -> &mut Cursors {
        let offset = if lag == Lag::Skip { offset.max(self.first) } else { offset };
        let Some(at) = offset.checked_sub(self.first) else { return &mut self.lagged };
        self.entries.get_mut(at as usize).map_or(&mut self.waiting, |entry| &mut entry.cursors)
    }

    /// The message of this offset.
    pub(crate) fn get(&self, offset: u64) -> Option<&M> {
        Some(&self.entries.get(offset.checked_sub(self.first)? as usize)?.message)
    }

    /// The messages from this offset on, `most` of them at most. The offset is not before `first`.
    pub(crate) fn read(&self, from: u64, most: usize) -> impl DoubleEndedIterator<Item = &M> + ExactSizeIterator {
        let begin = (from.saturating_sub(self.first) as usize).min(self.entries.len());
        let end = begin.saturating_add(most).min(self.entries.len());
        self.entries.range(begin..end).map(|entry| &entry.message)
    }

    /// What a newcomer may read, for snapshots.
    pub(crate) fn kept_entries(&self) -> impl Iterator<Item = &Entry<M>> {
        self.entries.iter().skip((self.kept - self.first) as usize)
    }
}

#[cfg(test)]
#[path = "../tests/log/mod.rs"]
mod tests;
