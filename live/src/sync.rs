//! The lock that everything here uses, and the number that is read without it. `tests/loom.rs` replaces them, to try every
//! order of threads. And the loop in which one who panics takes nothing from the others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;

#[cfg(openline_loom)]
pub(crate) use loom::sync::atomic::AtomicU32;
#[cfg(openline_loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(not(openline_loom))]
pub(crate) use std::sync::atomic::AtomicU32;
#[cfg(not(openline_loom))]
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Locks, even if another thread has panicked with the lock held. Only `make` may do that, which runs before a state
/// changes. A message may not panic when it is cloned or dropped (see [`Hub`](crate::Hub)), since that is in the middle of a
/// change: what is counted can be wrong from then on.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does this for each of them. If it panics for one, it is done for those after it all the same, and the first panic is what
/// the caller sees: a waker is code of an executor, and one that fails takes nobody else's wake-up with it.
pub(crate) fn each<T>(items: impl IntoIterator<Item = T>, act: impl FnMut(T)) {
    let mut rest = Rest { items: items.into_iter(), act };
    for item in rest.items.by_ref() {
        (rest.act)(item);
    }
}

/// Those for whom it has not been done yet: none, unless one has panicked.
struct Rest<I: Iterator, F: FnMut(I::Item)> {
    items: I,
    act: F,
}

impl<I: Iterator, F: FnMut(I::Item)> Drop for Rest<I, F> {
    fn drop(&mut self) {
        let Rest { items, act } = self;
        for item in items {
            // A second panic would end the process.
            _ = catch_unwind(AssertUnwindSafe(|| act(item)));
        }
    }
}

/// A loop over what a topic or a subscriber holds has made a step. Tests count them, so that no crowd is walked over in
/// vain.
#[inline]
pub(crate) fn step() {
    #[cfg(test)]
    STEPS.with(|steps| steps.set(steps.get() + 1));
}

/// How many steps these loops make in `run`.
#[cfg(test)]
pub(crate) fn steps(run: impl FnOnce()) -> u64 {
    let before = STEPS.get();
    run();
    STEPS.get() - before
}

#[cfg(test)]
thread_local! {
    static STEPS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}
