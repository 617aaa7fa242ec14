//! How publishers wake a subscriber: each has one bell, which remembers in which topics there is something to read.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use crate::sync::{Mutex, lock};

/// The cursors of one subscriber that have something to read, and who waits for that.
///
/// A publisher holds its topic's lock while it rings; nobody takes a topic's lock while holding the bell's.
#[derive(Debug, Default)]
pub(crate) struct Bell(Mutex<Rung>);

#[derive(Debug, Default)]
struct Rung {
    /// The numbers of cursors, in the order in which they are read. Each stands here once at most: see
    /// [`Seat::rung`].
    ready: VecDeque<u32>,
    waker: Option<Waker>,
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
        rung.ready.push_back(cursor);
        rung.waker.take()
    }

    /// The next cursor to read, in turn.
    pub(crate) fn next(&self) -> Option<u32> {
        lock(&self.0).ready.pop_front()
    }

    /// The next cursor to read; if there is none, the task is woken by the next ring.
    pub(crate) fn next_or_wait(&self, cx: &Context<'_>) -> Option<u32> {
        let mut rung = lock(&self.0);
        let ready = rung.ready.pop_front();
        let known = rung.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        let old = if ready.is_none() && !known { rung.waker.replace(cx.waker().clone()) } else { None };
        drop(rung);
        // Dropping a waker can run code of the executor, so it is done without the lock.
        drop(old);
        ready
    }

    /// Nothing more is to be read for this cursor.
    pub(crate) fn forget(&self, cursor: u32) {
        lock(&self.0).ready.retain(|ready| *ready != cursor);
    }
}
