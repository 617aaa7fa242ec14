//! How publishers wake a subscriber: each has one bell, which remembers in which topics there is something to read.
//!
//! A poll that takes the last cursor leaves its waker at once, and not only when it finds nothing the next time. So a
//! delivery locks the bell once, and the poll that finds nothing does not lock it. The price: who is rung for between
//! the two polls is woken without need.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::iter::from_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Waker};

use crate::slab::Slab;
use crate::sync::{AtomicU32, Mutex, each, lock, step};

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
    /// Nearly always nothing.
    more: Option<Box<More>>,
}

#[derive(Debug, Default)]
struct More {
    /// The cursors that are read after the first one, in turn. Each stands there once at most: see [`Seat::rung`].
    others: VecDeque<u32>,
    /// Those numbers here, the first one included, whose cursors are gone. Nobody searches for them, so that a cursor can
    /// go at once however many others have something to read: a number is passed over when its turn comes, or the next
    /// cursor of this number [takes it over](Bell::take_over).
    gone: BTreeSet<u32>,
}

/// A subscriber, as its topic knows it.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) bell: Arc<Bell>,
    /// The subscriber's number for the cursor.
    pub(crate) cursor: u32,
    /// The number stands in the bell: it has rung for this cursor, and the subscriber has not yet found that nothing is left.
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
            rung.more.get_or_insert_default().others.push_back(cursor);
        }
    }

    fn pop(&self, rung: &mut Rung) -> Option<u32> {
        loop {
            step();
            let first = Some(self.first.load(Relaxed)).filter(|first| *first != NONE)?;
            let (mut next, mut is_gone) = (NONE, false);
            if let Some(more) = &mut rung.more {
                next = more.others.pop_front().unwrap_or(NONE);
                is_gone = more.gone.remove(&first);
                if more.others.is_empty() && more.gone.is_empty() {
                    rung.more = None;
                }
            }
            self.first.store(next, Relaxed);
            if !is_gone {
                return Some(first);
            }
        }
    }

    /// A cursor is gone for which the bell has rung. Nobody rings for it any more.
    pub(crate) fn forget(&self, cursor: u32) {
        lock(&self.rung).more.get_or_insert_default().gone.insert(cursor);
    }

    /// A new cursor has this number. Returns whether it stands in the bell still, from the last cursor that had it. Then the
    /// new one begins as one for which the bell has rung.
    pub(crate) fn take_over(&self, cursor: u32) -> bool {
        lock(&self.rung).more.as_mut().is_some_and(|more| more.gone.remove(&cursor))
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
}

/// Rings for all seats of a list by [`ring_some`], which `group` calls with the list locked. The wakers are called without the
/// lock, since an executor may poll at once; between two groups others may read, come and go.
pub(crate) fn ring_all(mut group: impl FnMut(usize, &mut Vec<Waker>) -> Option<usize>) {
    let (wakers, mut next) = (RefCell::new(Vec::new()), Some(0));
    let groups = from_fn(|| {
        next = group(next?, &mut wakers.borrow_mut());
        Some(())
    });
    // A list at a time, since a message of a crowd should cost each of them as little as can be.
    each(groups, |()| each(wakers.borrow_mut().drain(..), Waker::wake));
}

/// Rings for those of [`GROUP`] seats who do not know yet that there is something to read. Returns the place from which to
/// go on, if there are more.
pub(crate) fn ring_some(seats: &mut Slab<Seat>, from: usize, wakers: &mut Vec<Waker>) -> Option<usize> {
    seats.visit(from, GROUP, |seat| {
        if !seat.rung {
            seat.rung = true;
            if let Some(waker) = seat.bell.ring(seat.cursor) {
                wakers.push(waker);
            }
        }
    })
}

/// How many steps are made under one lock. Loom tries what may happen between two groups.
const GROUP: usize = if cfg!(openline_loom) { 1 } else { 256 };
/// No cursor. Memory ends long before there are so many, and none of these numbers is used: see `watch`.
const NONE: u32 = u32::MAX;

#[cfg(all(test, not(openline_loom)))]
mod tests {
    use super::*;

    /// Three tasks, by turns, and five cursors, of which some go and come again: each is read as often as it was rung for,
    /// in that order, and who was told to wait is woken by the next ring, himself and nobody else. A number never stands
    /// there twice.
    #[test]
    fn who_waits_is_woken_and_nothing_is_read_twice() {
        let wakers: [Waker; 3] = std::array::from_fn(|_| Arc::new(Task).into());
        let mut listener = Listener::new();
        // The numbers in the bell, and those of them whose cursors are gone.
        let (mut model, mut gone, mut taken_over) = (VecDeque::new(), BTreeSet::new(), 0);
        let (mut waits, mut random, mut woken) = (None, 1u64, 0);
        let read = |model: &mut VecDeque<u32>, gone: &mut BTreeSet<u32>| loop {
            match model.pop_front() {
                Some(cursor) if gone.remove(&cursor) => {}
                next => return next,
            }
        };
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
                0..=8 => {
                    let next = listener.next_or_wait(&Context::from_waker(&wakers[task]));
                    assert_eq!(next, read(&mut model, &mut gone));
                    waits = next.is_none().then_some(task);
                }
                11 => assert_eq!(listener.next(), read(&mut model, &mut gone)),
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
                9 | 10 | 14 if model.contains(&cursor) => {
                    listener.bell.forget(cursor);
                    gone.insert(cursor);
                }
                _ => {
                    let still = listener.bell.take_over(cursor);
                    assert_eq!(still, gone.remove(&cursor));
                    taken_over += u32::from(still);
                }
            }
            let (rung, first) = (lock(&listener.bell.rung), listener.bell.first.load(Relaxed));
            let others = rung.more.iter().flat_map(|more| more.others.iter().copied());
            assert!(others.clone().count() == 0 || first != NONE);
            let numbers = Some(first).filter(|first| *first != NONE).into_iter().chain(others);
            assert!(numbers.eq(model.iter().copied()));
            assert!(rung.more.as_ref().map_or(gone.is_empty(), |more| more.gone == gone));
        }
        assert!(woken > 1000 && taken_over > 100, "{woken} {taken_over}");
    }

    struct Task;

    impl std::task::Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
}
