//! Two tasks that wait for one WebSocket: halves, or a `Stream` and `Sink` that were split.
//!
//! Either may have to read (a send that is blocked reads ahead) or write (a receive answers Pings), so
//! both can wait for the same direction of the same transport, which remembers one waker only. It is
//! given one that wakes both.

#![expect(clippy::arithmetic_side_effects, reason = "a side is 0 or 1")]

use std::sync::{Arc, PoisonError};
#[cfg(not(openline_loom))]
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

#[cfg(openline_loom)]
use loom::sync::{Mutex, MutexGuard};

use super::WebSocket;
use crate::State;

/// Which of the two tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Receiver = 0,
    Sender = 1,
}

/// Who waits, by side.
#[derive(Debug, Default)]
pub(super) struct Wakers(Mutex<[Option<Waker>; 2]>);

impl<S> WebSocket<S> {
    /// Polls for one of two tasks. Besides the result there is the waker of the other one, if what was
    /// done here may be what that waits for; it is to be woken when no lock is held.
    pub(super) fn poll_as<T>(
        &mut self,
        side: Side,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut WebSocket<S>, &mut Context<'_>) -> Poll<T>,
    ) -> (Poll<T>, Option<Waker>) {
        let wakers = Arc::clone(self.wakers.get_or_insert_default());
        // Registered before the poll: a wake that comes during it is not lost.
        wakers.register(side, cx.waker());
        let before = self.milestone();
        let result = poll(self, &mut Context::from_waker(&Waker::from(Arc::clone(&wakers))));
        if result.is_ready() {
            wakers.forget(side);
        }
        let moved = result.is_ready() || self.milestone() != before;
        (result, if moved { wakers.take_other(side) } else { None })
    }

    /// A command of one of two tasks changes what the other should wait for: its waker is returned.
    pub(super) fn command_as<T>(
        &mut self,
        side: Side,
        command: impl FnOnce(&mut WebSocket<S>) -> T,
    ) -> (T, Option<Waker>) {
        let result = command(self);
        (result, self.wakers.as_ref().and_then(|wakers| wakers.take_other(side)))
    }

    /// Changes whenever something happened that a waiting task may care for.
    fn milestone(&self) -> (usize, State, bool, u64) {
        let connection = &self.driver.connection;
        (connection.queued(), connection.state(), connection.has_ahead(), connection.transmitted())
    }
}

#[expect(clippy::indexing_slicing, reason = "there are two sides, and a place for each")]
impl Wakers {
    fn register(&self, side: Side, waker: &Waker) {
        let slot = &mut self.lock()[side as usize];
        match slot {
            Some(known) => known.clone_from(waker),
            None => *slot = Some(waker.clone()),
        }
    }

    fn forget(&self, side: Side) {
        self.lock()[side as usize] = None;
    }

    fn take_other(&self, side: Side) -> Option<Waker> {
        self.lock()[1 - side as usize].take()
    }

    fn lock(&self) -> MutexGuard<'_, [Option<Waker>; 2]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Woken outside the lock: a waker may poll at once.
        let wakers = std::mem::take(&mut *self.lock());
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}
