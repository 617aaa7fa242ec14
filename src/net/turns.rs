//! How two threads use one WebSocket: under a lock that nobody holds while a read
//! or a write blocks.
//!
//! At most one half reads at a time, and at most one writes; who does has taken
//! the *turn*, a flag under the lock.
//!
//! - The turn to read comes with the read buffer: the reader takes it out of the
//!   driver, fills it without the lock and puts it back. It is the receiver's,
//!   except that a sender that is blocked reads one message ahead while the
//!   receiver is busy elsewhere.
//! - The writer copies some of what is queued, writes that without the lock, then
//!   takes what was written off the queue. A sender keeps this turn for the whole of
//!   its call. The receiver takes it, if it is free, for what is queued at that moment;
//!   if not it reads on, and leaves its Pong to the sender.
//!
//! No deadlock: nobody waits for the lock while holding it, and whoever waits for a
//! turn holds none. (A sender waits for a receiver that writes, which comes back
//! within [`WRITE`]; a receiver for a sender that reads ahead, within [`BRIEF`].)
//!
//! No lost wake-up: every turn ends under the lock, and with a `notify_all`.
//!
//! No lost output: the queue grows at the hands of a half that is not in a read. So a
//! writer goes on until the queue is empty if the other half is reading; if it is
//! not, it will come by here before it reads.

use std::io;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use std::vec::Vec;

use super::timeouts::{Clock, Flow, Timeout};
use super::{BRIEF, READS, Transport, WRITE, would_block};
use crate::driver::Driver;
use crate::driver::Error;

/// What the halves share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) driver: Driver,
    pub(super) clock: Clock,
    /// What is set at the socket: its handles have their timeouts in common.
    pub(super) read_timeout: Timeout,
    pub(super) write_timeout: Timeout,
    pub(super) nearest: Duration,
    pub(super) unflushed: bool,
    /// Whether somebody has the turn to read, and so the driver's buffer.
    pub(super) reading: bool,
    /// Whether somebody has the turn to write.
    pub(super) writing: bool,
    /// Memory for the writer.
    pub(super) batch: Vec<u8>,
}

impl Shared {
    pub(super) fn wants_to_write(&self) -> bool {
        self.driver.has_output() || (self.unflushed && !self.driver.is_broken()) || self.driver.wants_shutdown()
    }

    /// Keeps the deadlines. Whether one had come.
    pub(super) fn pass_time(&mut self) -> bool {
        let now = self.clock.now();
        let due = self.driver.is_due(now);
        self.driver.handle_timeout(now);
        due
    }
}

/// The lock.
#[derive(Debug)]
pub(super) struct Lock {
    shared: Mutex<Shared>,
    /// Somebody's turn has ended.
    changed: Condvar,
}

impl Lock {
    pub(super) fn new(shared: Shared) -> Lock {
        Lock { shared: Mutex::new(shared), changed: Condvar::new() }
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        // No transport is called under the lock but to set a timeout, so a panic there
        // left nothing half-done.
        Locked { lock: self, shared: self.shared.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// The lock, held.
pub(super) struct Locked<'l> {
    lock: &'l Lock,
    shared: MutexGuard<'l, Shared>,
}

impl<'l> Locked<'l> {
    /// Waits until somebody's turn has ended.
    pub(super) fn wait(self) -> Locked<'l> {
        let shared = self.lock.changed.wait(self.shared).unwrap_or_else(PoisonError::into_inner);
        Locked { lock: self.lock, shared }
    }

    /// Reads once, waiting until the next deadline, or for `most`. Nobody may be
    /// reading, and nothing may be at hand.
    pub(super) fn read<S: Transport>(mut self, io: &mut S, most: Option<Duration>) -> (Locked<'l>, Flow) {
        let start = self.clock.now();
        let left = self.driver.poll_timeout().map(|deadline| deadline.since(start));
        // The other half may set a deadline while this one reads.
        let nearest = self.nearest.max(NEAREST);
        let left = left.into_iter().chain(most).fold(nearest, Duration::min);
        self.read_timeout.arrange(Some(left), |timeout| io.set_read_timeout(timeout));

        self.reading = true;
        let mut buffer = self.driver.lend_buffer();
        let (mut shared, read) = self.unlocked(|| io.read(buffer.space()));
        shared.reading = false;
        shared.lock.changed.notify_all();

        let now = shared.clock.now();
        match read {
            Ok(len) => shared.driver.give_back(buffer, len, now),
            Err(error) => match shared.read_timeout.judge(&error, now.since(start)) {
                Some(flow) => return (shared, flow),
                None => shared.driver.read_failed(error),
            },
        }
        (shared, Flow::Done)
    }

    /// In the turn to write: writes until nothing waits, or `enough` is done and the
    /// other half is not in a read.
    pub(super) fn write<S: Transport>(mut self, io: &mut S, enough: impl Fn(&Driver) -> bool) -> (Locked<'l>, Flow) {
        while self.wants_to_write() {
            if self.driver.has_output() && enough(&self.driver) && !self.reading {
                break;
            }
            let mut batch = mem::take(&mut self.batch);
            let whole = self.driver.copy_output(&mut batch, BATCH);
            if batch.is_empty() && !self.unflushed {
                // An error of the shutdown tells nothing that the next read does not.
                (self, _) = self.unlocked(|| io.shutdown_write());
                self.driver.handle_shutdown();
                continue;
            }
            self.write_timeout.arrange(Some(WRITE), |timeout| io.set_write_timeout(timeout));
            let start = self.clock.now();
            let written;
            (self, written) = self.unlocked(|| write(io, &batch, whole));
            self.batch = batch;

            let now = self.clock.now();
            let failure = match written {
                Ok((len, flushed)) => {
                    self.unflushed = !matches!(flushed, Some(Ok(())));
                    self.driver.handle_transmitted(len, || now);
                    flushed.and_then(Result::err)
                }
                Err(error) => Some(error),
            };
            if let Some(error) = failure {
                match self.write_timeout.judge(&error, now.since(start)) {
                    Some(flow) => return (self, flow),
                    None => self.driver.write_failed(error),
                }
            }
            // A transport that takes a little now and then does not stop the clock.
            if self.driver.has_output() && self.driver.is_due(now) {
                return (self, Flow::Expired);
            }
        }
        (self, Flow::Done)
    }

    /// The sender's way to write: takes the turn, and keeps it until `enough` is done.
    /// Whoever waits here cannot go on by itself, so if the transport takes nothing,
    /// one message is read ahead, unless the receiver is reading.
    pub(super) fn write_until<S: Transport>(
        mut self,
        io: &mut S,
        enough: impl Fn(&Driver) -> bool,
    ) -> (Locked<'l>, Result<(), Error>) {
        while self.writing {
            if enough(&self.driver) {
                return (self, Ok(()));
            }
            self = self.wait();
        }
        self.writing = true;
        let result = loop {
            let flow;
            (self, flow) = self.write(io, &enough);
            if flow == Flow::Done {
                break Ok(());
            }
            self = self.read_ahead(io);
            if !self.pass_time() && flow == Flow::Refused {
                break Err(would_block());
            }
        };
        self.end_writing();
        (self, result)
    }

    fn read_ahead<S: Transport>(mut self, io: &mut S) -> Locked<'l> {
        for _ in 0..READS {
            if self.reading || !self.driver.may_read_ahead() {
                break;
            }
            let read;
            (self, read) = self.read(io, Some(BRIEF));
            if read != Flow::Done {
                break;
            }
        }
        self
    }

    /// Ends the turn to write.
    pub(super) fn end_writing(&mut self) {
        self.writing = false;
        if self.batch.capacity() > KEEP {
            self.batch = Vec::new();
        }
        self.lock.changed.notify_all();
    }

    /// Does something that may block, without the lock.
    fn unlocked<T>(self, work: impl FnOnce() -> T) -> (Locked<'l>, T) {
        let lock = self.lock;
        drop(self.shared);
        let _alarm = Alarm(lock);
        let result = work();
        (lock.lock(), result)
    }
}

impl Deref for Locked<'_> {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Shared {
        &mut self.shared
    }
}

/// Writes a batch, and flushes behind it if it is the `whole` of what is queued.
type Written = io::Result<(usize, Option<io::Result<()>>)>;

fn write<S: Transport>(io: &mut S, batch: &[u8], whole: bool) -> Written {
    let len = if batch.is_empty() { 0 } else { io.write(batch)? };
    if len == 0 && !batch.is_empty() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok((len, (whole && len == batch.len()).then(|| io.flush())))
}

/// Ends everybody's turns if the transport panics in one of them: the other thread
/// would wait for ever.
struct Alarm<'l>(&'l Lock);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut shared = self.0.lock();
            shared.driver.read_failed(io::Error::other("the transport panicked"));
            (shared.reading, shared.writing) = (false, false);
            self.0.changed.notify_all();
        }
    }
}

/// How much is copied out of the queue for one write.
const BATCH: usize = 64 * 1024;

/// How much memory for that is kept for the next time.
const KEEP: usize = 4 * 1024;

/// A receiver does not look for new deadlines more often than this.
const NEAREST: Duration = Duration::from_millis(16);
