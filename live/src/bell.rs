//! How publishers wake a subscriber: each has one bell, which remembers in which topics there is something to read.
//!
//! A poll that takes the last cursor leaves its waker at once, and not only when it finds nothing the next time. So a
//! delivery locks the bell once, and the poll that finds nothing does not lock it. The price: who is rung for between
//! the two polls is woken without need.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Waker};

use crate::slab::Slab;
use crate::sync::{AtomicU32, Mutex, lock};

/// The cursors of one subscriber that have something to read, and who waits for that.
///
/// A publisher holds its topic's lock while it rings; nobody takes a topic's lock while holding the bell's.
#[derive(Debug)]
pub(crate) struct Bell {
    /// The number of the cursor that is read first, or [`NONE`]. Only who has locked `rung` writes it.
    ///
    /// It lies here and not on the heap, because with 100,000 subscribers each place that a publisher must look at costs
    /// more than all the rest.
    first: AtomicU32,
    rung: Mutex<Rung>,
}

#[derive(Debug, Default)]
struct Rung {
    waker: Option<Waker>,
    /// The cursors that are read after the first one, in turn. Each stands there once at most: see [`Seat::rung`].
    #[expect(clippy::box_collection, reason = "8 bytes instead of 32, and nearly always empty")]
    others: Option<Box<VecDeque<u32>>>,
}

/// A subscriber, as its topic knows it.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) bell: Arc<Bell>,
    /// The subscriber's number for the cursor.
    pub(crate) cursor: u32,
    /// The bell has rung for this cursor, and the subscriber has not yet found that nothing is left.
    pub(crate) rung: bool,
}

impl Bell {
    /// There is something to read for this cursor. Whoever waits is returned, to be woken when no lock is held.
    pub(crate) fn ring(&self, cursor: u32) -> Option<Waker> {
        let mut rung = lock(&self.rung);
        self.push(&mut rung, cursor);
        rung.waker.take()
    }

    /// There is more to read for this cursor of a subscriber that is in hand. Whoever waits stays.
    pub(crate) fn ring_in_hand(&self, cursor: u32) {
        self.push(&mut lock(&self.rung), cursor);
    }

    fn push(&self, rung: &mut Rung, cursor: u32) {
        if self.first.load(Relaxed) == NONE {
            self.first.store(cursor, Relaxed);
        } else {
            rung.others.get_or_insert_default().push_back(cursor);
        }
    }

    fn pop(&self, rung: &mut Rung) -> Option<u32> {
        let first = Some(self.first.load(Relaxed)).filter(|first| *first != NONE)?;
        let mut next = NONE;
        if let Some(others) = &mut rung.others {
            next = others.pop_front().unwrap_or(NONE);
            if others.is_empty() {
                rung.others = None;
            }
        }
        self.first.store(next, Relaxed);
        Some(first)
    }
}

/// The subscriber's end of its bell.
#[derive(Debug)]
pub(crate) struct Listener {
    bell: Arc<Bell>,
    /// While no cursor has anything to read, this waker is in the bell, or has been woken by a ring. What takes it away
    /// otherwise, or takes the last cursor and leaves no waker, must clear this.
    waits: Option<Waker>,
}

impl Listener {
    pub(crate) fn new() -> Listener {
        let bell = Bell { first: AtomicU32::new(NONE), rung: Mutex::default() };
        Listener { bell: Arc::new(bell), waits: None }
    }

    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// Whoever waits, to be woken when no lock is held.
    pub(crate) fn waiter(&mut self) -> Option<Waker> {
        self.waits = None;
        lock(&self.bell.rung).waker.take()
    }

    /// The next cursor to read, in turn.
    pub(crate) fn next(&mut self) -> Option<u32> {
        self.waits = None;
        self.bell.pop(&mut lock(&self.bell.rung))
    }

    /// The next cursor to read. If there is none after it, the task is woken by the next ring.
    #[inline]
    pub(crate) fn next_or_wait(&mut self, cx: &Context<'_>) -> Option<u32> {
        let known = self.waits.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        // A ring that is not seen here has taken the waker, and wakes the task.
        if known && self.bell.first.load(Relaxed) == NONE { None } else { self.next_and_leave(cx, known) }
    }

    /// Takes the next cursor, and leaves the waker if it was the last one. `known`: the waker is `waits`.
    fn next_and_leave(&mut self, cx: &Context<'_>, known: bool) -> Option<u32> {
        let mut rung = lock(&self.bell.rung);
        let ready = self.bell.pop(&mut rung);
        let mut old = (None, None);
        if self.bell.first.load(Relaxed) == NONE {
            if !rung.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                old.0 = rung.waker.replace(cx.waker().clone());
            }
            if !known {
                old.1 = self.waits.replace(cx.waker().clone());
            }
        }
        drop(rung);
        // Dropping a waker can run code of the executor, so it is done without the lock.
        drop(old);
        ready
    }

    /// Nothing more is to be read for this cursor. What is returned is to be dropped when no lock is held.
    #[must_use]
    pub(crate) fn forget(&mut self, cursor: u32) -> Option<Waker> {
        let mut rung = lock(&self.bell.rung);
        if let Some(others) = &mut rung.others {
            others.retain(|other| *other != cursor);
        }
        if self.bell.first.load(Relaxed) == cursor {
            self.bell.pop(&mut rung);
        }
        self.waits.take()
    }
}

/// Rings for those of [`GROUP`] seats who do not know yet that there is something to read. Returns whether there may be
/// more seats. The wakers are called without a lock, since an executor may poll at once; between two groups others may
/// read, come and go.
pub(crate) fn ring_group(seats: &mut Slab<Seat>, from: usize, wakers: &mut Vec<Waker>) -> bool {
    for seat in seats.range_mut(from, GROUP).filter(|seat| !seat.rung) {
        seat.rung = true;
        if let Some(waker) = seat.bell.ring(seat.cursor) {
            wakers.push(waker);
        }
    }
    from + GROUP < seats.places()
}

/// How many places are looked at under one lock.
pub(crate) const GROUP: usize = 256;
/// No cursor. Memory ends long before there are so many, and none of these numbers is used: see `watch`.
const NONE: u32 = u32::MAX;

#[cfg(all(test, not(openline_loom)))]
mod tests {
    use super::*;

    /// Three tasks, by turns, and five cursors: each cursor is read as often as it was rung for, in that order, and who
    /// was told to wait is woken by the next ring, himself and nobody else.
    #[test]
    fn who_waits_is_woken_and_nothing_is_read_twice() {
        let wakers: [Waker; 3] = std::array::from_fn(|_| Arc::new(Task).into());
        let mut listener = Listener::new();
        let (mut model, mut waits, mut random, mut woken) = (VecDeque::new(), None, 1u64, 0);
        for _ in 0..100_000 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (cursor, task) = ((random >> 33) as u32 % 5, (random >> 40) as usize % 3);
            match random >> 60 {
                0..=5 if !model.contains(&cursor) => {
                    model.push_back(cursor);
                    let waker = listener.bell.ring(cursor);
                    if let Some(task) = waits.take() {
                        assert!(waker.is_some_and(|waker| waker.will_wake(&wakers[task])), "a wake-up is lost");
                        woken += 1;
                    }
                }
                0..=10 => {
                    let read = listener.next_or_wait(&Context::from_waker(&wakers[task]));
                    assert_eq!(read, model.pop_front());
                    waits = read.is_none().then_some(task);
                }
                11 => assert_eq!(listener.next(), model.pop_front()),
                12 if !model.contains(&cursor) => {
                    model.push_back(cursor);
                    listener.bell.ring_in_hand(cursor);
                }
                12 | 13 => {
                    let waker = listener.waiter();
                    if let Some(task) = waits.take() {
                        assert!(waker.is_some_and(|waker| waker.will_wake(&wakers[task])), "a waiter is lost");
                    }
                }
                _ => {
                    drop(listener.forget(cursor));
                    model.retain(|other| *other != cursor);
                }
            }
            let (rung, first) = (lock(&listener.bell.rung), listener.bell.first.load(Relaxed));
            let others = rung.others.as_ref().map_or(0, |others| others.len());
            assert_eq!(others + usize::from(first != NONE), model.len());
        }
        assert!(woken > 1000, "{woken}");
    }

    struct Task;

    impl std::task::Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
}
