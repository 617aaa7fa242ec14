//! How publishers wake a subscriber: each has one bell, which remembers in which topics there is something to read.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use crate::slab::Slab;
use crate::sync::{Mutex, lock};

/// The cursors of one subscriber that have something to read, and who waits for that.
///
/// A publisher holds its topic's lock while it rings; nobody takes a topic's lock while holding the bell's.
#[derive(Debug, Default)]
pub(crate) struct Bell(Mutex<Rung>);

#[derive(Debug, Default)]
struct Rung {
    waker: Option<Waker>,
    /// The numbers of cursors, in the order in which they are read. Each stands here once at most: see
    /// [`Seat::rung`]. The first one lies here and not on the heap, because with 100,000 subscribers each place that a
    /// publisher must look at costs more than all the rest.
    first: Option<u32>,
    #[expect(clippy::box_collection, reason = "8 bytes instead of 32, and nearly always empty")]
    others: Option<Box<VecDeque<u32>>>,
}

impl Rung {
    fn push(&mut self, cursor: u32) {
        match self.first {
            None => self.first = Some(cursor),
            Some(_) => self.others.get_or_insert_default().push_back(cursor),
        }
    }

    fn pop(&mut self) -> Option<u32> {
        let first = self.first.take()?;
        if let Some(others) = &mut self.others {
            self.first = others.pop_front();
            if others.is_empty() {
                self.others = None;
            }
        }
        Some(first)
    }
}

/// A subscriber, as its topic knows it.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) bell: std::sync::Arc<Bell>,
    /// The subscriber's number for the cursor.
    pub(crate) cursor: u32,
    /// The bell has rung for this cursor, and the subscriber has not yet found that nothing is left.
    pub(crate) rung: bool,
}

impl Bell {
    /// There is something to read for this cursor. Whoever waits is returned, to be woken when no lock is held.
    pub(crate) fn ring(&self, cursor: u32) -> Option<Waker> {
        let mut rung = lock(&self.0);
        rung.push(cursor);
        rung.waker.take()
    }

    /// Whoever waits, to be woken when no lock is held.
    pub(crate) fn waiter(&self) -> Option<Waker> {
        lock(&self.0).waker.take()
    }

    /// There is more to read for this cursor of a subscriber that is in hand. Whoever waits stays.
    pub(crate) fn ring_in_hand(&self, cursor: u32) {
        lock(&self.0).push(cursor);
    }

    /// The next cursor to read, in turn.
    pub(crate) fn next(&self) -> Option<u32> {
        lock(&self.0).pop()
    }

    /// The next cursor to read; if there is none, the task is woken by the next ring.
    pub(crate) fn next_or_wait(&self, cx: &Context<'_>) -> Option<u32> {
        let mut rung = lock(&self.0);
        let ready = rung.pop();
        let known = rung.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        let old = if ready.is_none() && !known { rung.waker.replace(cx.waker().clone()) } else { None };
        drop(rung);
        // Dropping a waker can run code of the executor, so it is done without the lock.
        drop(old);
        ready
    }

    /// Nothing more is to be read for this cursor.
    pub(crate) fn forget(&self, cursor: u32) {
        let mut rung = lock(&self.0);
        if let Some(others) = &mut rung.others {
            others.retain(|other| *other != cursor);
        }
        if rung.first == Some(cursor) {
            rung.pop();
        }
    }
}

/// Rings for those of [`GROUP`] seats who do not know yet that there is something to read. Returns whether there may be
/// more seats. The wakers are called without a lock, since an executor may poll at once; between two groups others may
/// read, come and go.
pub(crate) fn ring_group(seats: &mut Slab<Seat>, from: usize, wakers: &mut Vec<Waker>) -> bool {
    for seat in seats.range_mut(from, GROUP).filter(|seat| !seat.rung) {
        seat.rung = true;
        wakers.extend(seat.bell.ring(seat.cursor));
    }
    from + GROUP < seats.places()
}

/// How many places are looked at under one lock.
pub(crate) const GROUP: usize = 256;
