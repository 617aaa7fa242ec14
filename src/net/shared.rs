//! All of a WebSocket but its transport, and two ways to use it: alone, or as one of two halves, under a lock that
//! nobody holds while a read or a write blocks.
//!
//! At most one half reads at a time, and at most one writes. [`Shared`] notes under the lock whether somebody does.
//!
//! - The reader takes the read buffer out of the driver, fills it without the lock, and puts it back.
//! - The writer copies a part of what is queued, writes it without the lock, and then removes what was written from
//!   the queue. A receiver writes what is queued at that moment. If a sender is writing, the receiver leaves it to
//!   the sender, and reads on.
//!
//! There is no deadlock: nobody waits for the lock while holding it. A half that waits for the other one neither
//! reads nor writes, and waits for a limited time.
//!
//! There is no lost wake-up: reading and writing end under the lock, and with a `notify_all`.
//!
//! There is no lost output: a sender that has reached its goal while the receiver reads first says that it will stop
//! ([`Writing::Leaving`]), and writes what is queued then. What the receiver queues later, the receiver writes itself.

use std::fmt;
use std::io::{self, IoSlice};
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use std::vec::Vec;

use super::Transport;
use super::timeouts::{Clock, Flow, Timeout};
use crate::driver::{Driver, Form, NextEvent};
use crate::{Message, Reading, Time};

/// What a thread waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    /// Something to read, or a deadline.
    Events,
    /// Room to send.
    Room,
    /// That the transport has taken everything before this mark in the outgoing stream.
    Sent(u64),
}

/// Whether a half is writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    Nobody,
    Somebody,
    /// A half writes what is queued, and then stops. The other half waits for that before it writes.
    Leaving,
}

/// All of a WebSocket but its transport.
pub(super) struct Shared {
    pub(super) driver: Driver,
    pub(super) clock: Clock,
    /// The timeouts that are set at the socket. Both handles of a socket share them.
    pub(super) read_timeout: Timeout,
    pub(super) write_timeout: Timeout,
    /// How long one half waits in a read before it checks for deadlines that the other half has set. `None` if there
    /// is no other half.
    pub(super) nearest: Option<Duration>,
    /// Whether a half is reading. It has the read buffer.
    pub(super) reading: bool,
    pub(super) writing: Writing,
    /// How many bytes to read at most: few, unless many came lately.
    read_size: usize,
    /// How many reads in a row have brought few bytes.
    little_reads: u8,
    /// The writer's copy of what it writes.
    batch: Vec<u8>,
}

impl Shared {
    pub(super) fn new(driver: Driver, clock: Clock) -> Shared {
        Shared {
            driver,
            clock,
            read_timeout: Timeout::default(),
            write_timeout: Timeout::default(),
            nearest: None,
            reading: false,
            writing: Writing::Nobody,
            read_size: LITTLE_READ,
            little_reads: 0,
            batch: Vec::new(),
        }
    }

    /// As [`Driver::next_message`].
    pub(super) fn next_message(&mut self) -> Option<Message<'static>> {
        let clock = self.clock;
        self.driver.next_message(|| clock.now())
    }

    /// As [`Driver::next_event`].
    pub(super) fn next_event(&mut self, form: Form) -> Option<NextEvent> {
        let clock = self.clock;
        self.driver.next_event(form, || clock.now())
    }

    /// Whether the driver has its read buffer, so that there may be events.
    pub(super) fn has_buffer(&self) -> bool {
        !self.reading
    }

    #[inline]
    pub(super) fn set_reading(&mut self, reading: Reading) {
        if self.driver.connection.reading() != reading {
            self.driver.connection.set_reading(reading, self.clock.now());
        }
    }

    /// Whether the goal is reached, or never will be.
    pub(super) fn has_reached(&self, goal: Goal) -> bool {
        match goal {
            Goal::Events => false,
            Goal::Room => self.driver.may_queue() || self.driver.is_dead(),
            Goal::Sent(mark) => self.driver.has_reached(mark) || self.driver.is_dead(),
        }
    }

    /// Notes that a read has brought `len` bytes. The read buffer is small while few bytes come, since a thread that
    /// waits in a read keeps it.
    pub(super) fn note_read(&mut self, len: usize) {
        if len >= LITTLE_READ {
            (self.read_size, self.little_reads) = (usize::MAX, 0);
        } else if self.read_size > LITTLE_READ {
            self.little_reads = self.little_reads.saturating_add(1);
            if self.little_reads >= MANY_LITTLE {
                self.read_size = LITTLE_READ;
            }
        }
    }

    /// The mark up to which the transport has taken the outgoing stream. It may lie in a buffer of the transport.
    pub(super) fn taken(&self) -> u64 {
        let connection = &self.driver.connection;
        connection.written().saturating_sub(u64::try_from(connection.queued()).unwrap_or(u64::MAX))
    }

    /// The transport took `len` bytes. For `timed` see [`Wants::timed`](crate::Wants::timed).
    #[inline]
    pub(super) fn wrote(&mut self, len: usize, timed: bool) {
        let now = self.time_if(timed);
        self.driver.connection.handle_buffered(len, now);
    }

    /// The transport has passed on what it took.
    #[inline]
    pub(super) fn flushed(&mut self, timed: bool) {
        let now = self.time_if(timed);
        self.driver.connection.handle_flushed(now);
    }

    /// The time, or an earlier one if the connection does not need it: to ask the clock takes longer than all else
    /// here.
    fn time_if(&self, timed: bool) -> Time {
        if timed { self.clock.now() } else { self.driver.read_at() }
    }

    /// Gives the writer's memory back if it is large.
    pub(super) fn keep_little(&mut self) {
        if self.batch.capacity() > KEEP {
            self.batch = Vec::new();
        }
    }

    /// Whether a deadline has come while something waits to be written.
    pub(super) fn is_late_with_writing(&self, limit: Option<Time>, now: Time) -> bool {
        let until = self.driver.connection.wants().filter(|wants| wants.write).and_then(|wants| wants.until);
        until.into_iter().chain(limit).any(|by| by <= now)
    }

    /// What an error of a write, a flush or a shutdown means that began at `start`. `None` if the transport has failed.
    pub(super) fn judge(&mut self, error: &io::Error, start: Time) -> Option<Flow> {
        let now = self.clock.now();
        let flow = self.write_timeout.judge(error, now.since(start));
        // A signal interrupted the call, which does not say whether the transport takes anything.
        if flow.is_some() && error.kind() != io::ErrorKind::Interrupted {
            self.driver.connection.handle_blocked(now);
        }
        flow
    }

    /// As [`judge`](Self::judge), for a write or a flush. If the transport has failed, the driver is told.
    pub(super) fn judge_write(&mut self, error: io::Error, start: Time) -> Option<Flow> {
        let flow = self.judge(&error, start);
        if flow.is_none() {
            self.driver.write_failed(error, self.clock.now());
        }
        flow
    }
}

/// `Debug` shows no payload: the writer's copy is left out.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { driver, reading, writing, .. } = self;
        f.debug_struct("Shared")
            .field("driver", driver)
            .field("reading", reading)
            .field("writing", writing)
            .finish_non_exhaustive()
    }
}

/// Access to the state of a WebSocket. It calls the transport without holding the lock.
pub(super) trait Access: DerefMut<Target = Shared> {
    /// Whether the other half is reading. It has the read buffer then.
    fn other_reads(&self) -> bool;

    /// Whether the other half is writing.
    fn other_writes(&self) -> Writing;

    /// Does `work`, which may block, without the lock.
    fn unlocked<T>(&mut self, work: impl FnOnce() -> T) -> T;

    /// Writes some of what is queued, once.
    fn write_some<S: Transport>(&mut self, io: &mut S) -> io::Result<Written>;

    /// Reads once, and gives what came to the driver.
    fn read_some<S: Transport>(&mut self, io: &mut S) -> io::Result<usize>;

    /// Waits until the other half has ended a read or a write, for at most `limit`.
    fn wait(&mut self, limit: Duration);

    /// Tells the other half that this one has ended a read or a write.
    fn notify(&self);

    /// Sets [`Reading`] as `goal` needs it, since the other half may have changed it. Returns whether the other half
    /// has read something from which events can be taken.
    #[inline]
    fn look(&mut self, goal: Goal) -> bool {
        if matches!(goal, Goal::Events) {
            self.set_reading(Reading::Events);
            return !self.other_reads() && (self.driver.has_unread() || self.driver.connection.has_ahead());
        }
        self.gather_ahead();
        false
    }

    /// While a send is blocked: takes in what was read. Returns whether more may be read.
    fn gather_ahead(&mut self) -> bool {
        self.set_reading(Reading::OneAhead);
        if self.other_reads() {
            return false;
        }
        let clock = self.clock;
        self.driver.read_ahead(|| clock.now());
        self.driver.connection.wants().is_some_and(|wants| wants.read)
    }
}

/// How much was written; and if that was all there was, how the flush behind it went.
pub(super) type Written = (usize, Option<io::Result<()>>);

/// Writes once, and flushes at once if the transport has taken `all`. A flush of its own would need another call of
/// `wants`, and halves would take the lock once more.
fn write<S: Transport>(io: &mut S, all: usize, write: impl FnOnce(&mut S) -> io::Result<usize>) -> io::Result<Written> {
    let len = write(io)?;
    if len == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok((len, (len >= all).then(|| io.flush())))
}

/// A WebSocket that is not split has its state to itself.
pub(super) struct Alone<'s>(pub(super) &'s mut Shared);

impl Access for Alone<'_> {
    fn other_reads(&self) -> bool {
        false
    }

    fn other_writes(&self) -> Writing {
        Writing::Nobody
    }

    fn unlocked<T>(&mut self, work: impl FnOnce() -> T) -> T {
        work()
    }

    #[expect(clippy::indexing_slicing, reason = "`output` fills no more slices than it is given")]
    fn write_some<S: Transport>(&mut self, io: &mut S) -> io::Result<Written> {
        let connection = &self.driver.connection;
        let (next, all) = (connection.next_transmit().unwrap_or_default(), connection.queued());
        if next.len() == all {
            return write(io, all, |io| io.write(next));
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = self.driver.output(&mut slices);
        // If the transport has no vectored write, this writes the first slice.
        write(io, all, |io| io.write_vectored(&slices[..count]))
    }

    fn read_some<S: Transport>(&mut self, io: &mut S) -> io::Result<usize> {
        let most = self.read_size;
        let len = io.read(self.driver.space_of(most))?;
        let now = self.clock.now();
        self.driver.filled(len, now);
        Ok(len)
    }

    fn wait(&mut self, limit: Duration) {
        thread::sleep(limit);
    }

    fn notify(&self) {}
}

impl Deref for Alone<'_> {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        self.0
    }
}

impl DerefMut for Alone<'_> {
    fn deref_mut(&mut self) -> &mut Shared {
        self.0
    }
}

/// What the halves share, under a lock.
#[derive(Debug)]
pub(super) struct Lock {
    shared: Mutex<Shared>,
    /// Is notified when a half has ended a read or a write.
    changed: Condvar,
}

impl Lock {
    pub(super) fn new(shared: Shared) -> Lock {
        Lock { shared: Mutex::new(shared), changed: Condvar::new() }
    }

    pub(super) fn into_shared(self) -> Shared {
        self.shared.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        Locked { lock: self, shared: Some(self.guard()), unwinds: thread::panicking() }
    }

    fn guard(&self) -> MutexGuard<'_, Shared> {
        // A poisoned lock can be used: a panic of the transport leaves the state valid.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lock, held.
pub(super) struct Locked<'l> {
    lock: &'l Lock,
    /// `None` only within [`unlocked`](Access::unlocked) and [`wait`](Access::wait).
    shared: Option<MutexGuard<'l, Shared>>,
    /// Whether the thread was unwinding before it took the lock, for another reason.
    unwinds: bool,
}

impl Access for Locked<'_> {
    fn other_reads(&self) -> bool {
        self.reading
    }

    fn other_writes(&self) -> Writing {
        self.writing
    }

    fn unlocked<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.shared = None;
        let result = work();
        self.shared = Some(self.lock.guard());
        result
    }

    fn write_some<S: Transport>(&mut self, io: &mut S) -> io::Result<Written> {
        let mut batch = mem::take(&mut self.batch);
        self.driver.copy_output(&mut batch, BATCH);
        let all = self.driver.connection.queued();
        let written = self.unlocked(|| write(io, all, |io| io.write(&batch)));
        self.batch = batch;
        written
    }

    fn read_some<S: Transport>(&mut self, io: &mut S) -> io::Result<usize> {
        self.reading = true;
        let most = self.read_size;
        let mut buffer = self.driver.lend_buffer();
        let read = self.unlocked(|| io.read(buffer.space(most)));
        self.reading = false;
        let now = self.clock.now();
        match read {
            Ok(len) => self.driver.give_back(buffer, len, now),
            Err(_) => buffer.release(),
        }
        read
    }

    fn wait(&mut self, limit: Duration) {
        if let Some(shared) = self.shared.take() {
            let waited = self.lock.changed.wait_timeout(shared, limit);
            self.shared = Some(waited.unwrap_or_else(PoisonError::into_inner).0);
        }
    }

    fn notify(&self) {
        self.lock.changed.notify_all();
    }
}

#[expect(clippy::expect_used, reason = "it is put back before anybody can look")]
impl Deref for Locked<'_> {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        self.shared.as_ref().expect("the lock is held")
    }
}

#[expect(clippy::expect_used, reason = "it is put back before anybody can look")]
impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Shared {
        self.shared.as_mut().expect("the lock is held")
    }
}

/// Ends all reading and writing if the transport panics, with or without the lock. Otherwise the other thread would wait
/// for ever.
impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if !thread::panicking() || self.unwinds {
            return;
        }
        let mut shared = self.shared.take().unwrap_or_else(|| self.lock.guard());
        let now = shared.clock.now();
        shared.driver.read_failed(io::Error::other("the transport panicked"), now);
        (shared.reading, shared.writing) = (false, Writing::Nobody);
        self.lock.changed.notify_all();
    }
}

/// How many slices go into one vectored write.
const SLICES: usize = 32;

/// How many bytes are copied out of the queue for one write.
const BATCH: usize = 64 * 1024;

/// How many bytes of memory for that copy are kept.
const KEEP: usize = 4 * 1024;

/// How many bytes one read brings at most, while few bytes come.
const LITTLE_READ: usize = 4 * 1024;

/// After this many reads in a row with few bytes, the read buffer becomes small again.
const MANY_LITTLE: u8 = 8;
