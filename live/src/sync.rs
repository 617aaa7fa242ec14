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
