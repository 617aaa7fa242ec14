//! The lock that everything here uses, and the number that is read without it. `tests/loom.rs` replaces them, to try every
//! order of threads.

use std::sync::PoisonError;

#[cfg(openline_loom)]
pub(crate) use loom::sync::atomic::AtomicU32;
#[cfg(openline_loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(not(openline_loom))]
pub(crate) use std::sync::atomic::AtomicU32;
#[cfg(not(openline_loom))]
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Locks, even if another thread has panicked with the lock held. Only `make`, `Clone` and `Drop` of a message can
/// panic there, and they run before or after a state changes, not in between.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
