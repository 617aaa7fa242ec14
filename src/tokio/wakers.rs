//! Two tasks that wait for one WebSocket: its halves, or a `Stream` and `Sink` that were split.
//!
//! The transport gets one waker that wakes both tasks. Each task may read (a blocked send reads ahead) and write (a
//! receiver answers Pings), so both may wait for the same direction of the transport, which keeps one waker only.

#![expect(clippy::arithmetic_side_effects, reason = "a side is 0 or 1")]

use std::sync::{Arc, PoisonError};
#[cfg(not(openline_loom))]
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

#[cfg(openline_loom)]
use loom::sync::{Mutex, MutexGuard};

use super::WebSocket;
use crate::State;

/// One of the two tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Receiver = 0,
    Sender = 1,
}

/// The wakers of the tasks that wait, by side.
#[derive(Debug, Default)]
pub(super) struct Wakers(Mutex<Waiting>);

/// What the transport is given: who waits, and the waker of both, which is made once.
#[derive(Debug)]
pub(super) struct Both {
    wakers: Arc<Wakers>,
    waker: Waker,
}

impl Default for Both {
    fn default() -> Both {
        let wakers = Arc::<Wakers>::default();
        Both { waker: Waker::from(Arc::clone(&wakers)), wakers }
    }
}

#[derive(Debug, Default)]
struct Waiting {
    wakers: [Option<Waker>; 2],
    /// Whether one of the two is being polled. A wake that comes then is put off until after the poll: a waker may
    /// poll at once, but the lock of the halves is held.
    polling: bool,
    /// Whether such a wake has been put off.
    woken: bool,
}

/// Tasks to be woken when no lock is held.
#[derive(Debug, Default)]
pub(super) struct Woken([Option<Waker>; 2]);

impl Woken {
    #[inline]
    pub(super) fn wake(self) {
        let Woken([one, other]) = self;
        if let Some(waker) = one {
            waker.wake();
        }
        if let Some(waker) = other {
            waker.wake();
        }
    }
}

impl<S> WebSocket<S> {
    /// Polls for one of two tasks. Returns the result, and the other task if it must be woken because it may have
    /// waited for what was done here.
    pub(super) fn poll_as<T>(
        &mut self,
        side: Side,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut WebSocket<S>, &mut Context<'_>) -> Poll<T>,
    ) -> (Poll<T>, Woken) {
        let both = Arc::clone(self.wakers.get_or_insert_default());
        // The waker is registered before the poll, so that a wake during the poll is not lost.
        both.wakers.begin(side, cx.waker());
        let before = self.milestone();
        let polling = Polling(&both.wakers);
        let result = poll(self, &mut Context::from_waker(&both.waker));
        std::mem::forget(polling);
        let woken = both.wakers.end(side, result.is_ready(), || self.milestone() != before);
        (result, woken)
    }

    /// Polls for one of two tasks if there are two: if another task polls `Stream` or `Sink`, it stays registered,
    /// since the future that polls here may be dropped. Always inlined: a socket that one task uses pays for the
    /// question only.
    #[inline(always)]
    pub(super) fn poll_own<T>(
        &mut self,
        side: Side,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut WebSocket<S>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if self.wakers.is_none() { poll(self, cx) } else { self.poll_beside(side, cx, &mut poll) }
    }

    #[inline(never)]
    fn poll_beside<T>(
        &mut self,
        side: Side,
        cx: &mut Context<'_>,
        poll: &mut dyn FnMut(&mut WebSocket<S>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let (result, other) = self.poll_as(side, cx, |socket, cx| poll(socket, cx));
        other.wake();
        result
    }

    /// Gives a command for one of two tasks. The other task must be woken, since what it waits for may have changed.
    pub(super) fn command_as<T>(&mut self, side: Side, command: impl FnOnce(&mut WebSocket<S>) -> T) -> (T, Woken) {
        let result = command(self);
        let woken = self.wakers.as_ref().map(|both| both.wakers.end(side, false, || true));
        (result, woken.unwrap_or_default())
    }

    /// A value that changes when something happens that a task may wait for.
    fn milestone(&self) -> (usize, State, [bool; 2], u64, u16) {
        let connection = &self.driver.connection;
        // A receiver waits for what was read ahead. A sender that is blocked waits until more may be.
        let ahead = [connection.has_ahead(), self.driver.may_read_ahead()];
        (connection.queued(), connection.state(), ahead, connection.transmitted(), self.reads)
    }
}

/// Ends a poll that panicked: whoever waits is woken if that was put off. Any other poll ends with [`Wakers::end`].
struct Polling<'w>(&'w Wakers);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.polling = false;
        let woken = if waiting.woken { waiting.take() } else { Woken::default() };
        drop(waiting);
        woken.wake();
    }
}

impl Waiting {
    /// All who wait, to be woken.
    fn take(&mut self) -> Woken {
        self.woken = false;
        Woken(std::mem::take(&mut self.wakers))
    }
}

#[expect(clippy::indexing_slicing, reason = "there are two sides, and a place for each")]
impl Wakers {
    /// Notes that one of the two is being polled, and keeps its waker.
    fn begin(&self, side: Side, waker: &Waker) {
        let mut waiting = self.lock();
        waiting.polling = true;
        match &mut waiting.wakers[side as usize] {
            Some(known) => known.clone_from(waker),
            slot => *slot = Some(waker.clone()),
        }
    }

    /// A poll of `side` has ended. If it is `ready`, it waits no more. Returns whom to wake: both tasks if a wake was
    /// put off, else the other one if something `moved`.
    #[inline]
    fn end(&self, side: Side, ready: bool, moved: impl FnOnce() -> bool) -> Woken {
        let mut waiting = self.lock();
        waiting.polling = false;
        if ready {
            waiting.wakers[side as usize] = None;
        }
        if waiting.woken {
            return waiting.take();
        }
        Woken([waiting.wakers[1 - side as usize].take_if(|_| moved()), None])
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut waiting = self.lock();
        if waiting.polling {
            waiting.woken = true;
            return;
        }
        // The tasks are woken outside the lock, since a waker may poll at once.
        let woken = waiting.take();
        drop(waiting);
        woken.wake();
    }
}
