//! One turn of the loop that [`Connection::wants`](crate::Connection::wants) describes, for a transport
//! that blocks: the only place of this adapter that reads, writes and waits. A [`WebSocket`](super::WebSocket)
//! runs it by itself; two halves run it under a lock that nobody holds while a read or a write blocks.
//!
//! At most one half reads at a time, and at most one writes; who does has taken the *turn*, which is
//! noted under the lock.
//!
//! - The turn to read comes with the read buffer: the reader takes it out of the driver, fills it
//!   without the lock and puts it back.
//! - The writer copies some of what is queued, writes that without the lock, then takes what was
//!   written off the queue. A receiver writes what is queued at that moment; if a sender is writing,
//!   it leaves that to the sender, and reads on.
//!
//! No deadlock: nobody waits for the lock while holding it, and whoever waits for a turn holds none,
//! and waits for a limited time.
//!
//! No lost wake-up: every turn ends under the lock, and with a `notify_all`.
//!
//! No lost output: a sender that has done what it came for, and leaves while the receiver is in a
//! read, first says so ([`Writing::Leaving`]) and writes what is queued then. What the receiver
//! queues later it writes itself, when the sender has gone.

use std::io::{self, IoSlice};
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use std::vec::Vec;

use super::Transport;
use super::timeouts::{Clock, Flow, Timeout};
use crate::driver::{Driver, Error, Form, Found};
use crate::{Message, Reading, Ready, State, Step, Time};

/// What a thread waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    /// Something to read, or a deadline.
    Events,
    /// Room to send.
    Room,
    /// That the transport has taken all before this place in the outgoing stream.
    Sent(u64),
}

/// Who has the turn to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    Nobody,
    Somebody,
    /// Somebody, who writes what is queued already and then goes: wait for the end of the turn.
    Leaving,
}

/// All of a WebSocket but its transport.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) driver: Driver,
    pub(super) clock: Clock,
    /// What is set at the socket: its handles have their timeouts in common.
    read_timeout: Timeout,
    write_timeout: Timeout,
    /// No deadline that the other half sets can be nearer than this; `None` if there is no other half.
    pub(super) nearest: Option<Duration>,
    /// Whether something was written since the transport was last flushed.
    unflushed: bool,
    /// Whether somebody has the turn to read, and so the driver's buffer.
    reading: bool,
    writing: Writing,
    /// How much to read at most: little, unless much came lately.
    read_size: usize,
    /// How many reads in a row have brought little.
    little_reads: u8,
    /// Memory for the writer.
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
            unflushed: false,
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
    pub(super) fn next_event(&mut self, form: Form) -> Option<Found> {
        let clock = self.clock;
        self.driver.next_event(form, || clock.now())
    }

    /// Whether the read buffer is where it belongs, so that events can be looked for.
    pub(super) fn has_buffer(&self) -> bool {
        !self.reading
    }

    pub(super) fn set_reading(&mut self, reading: Reading) {
        if self.driver.connection.reading() != reading {
            self.driver.connection.set_reading(reading, self.clock.now());
        }
    }

    /// Sees to it that the connection reads as who waits for `goal` does: the other half may have changed
    /// it. Whether there are events to look for, which the other half has read.
    fn look(&mut self, goal: Goal) -> bool {
        if matches!(goal, Goal::Events) {
            self.set_reading(Reading::Events);
            return !self.reading && (self.driver.has_unread() || self.driver.connection.has_ahead());
        }
        self.may_read_ahead();
        false
    }

    /// Takes in what is at hand while a send is blocked. Whether more may be read.
    fn may_read_ahead(&mut self) -> bool {
        self.set_reading(Reading::OneAhead);
        if self.reading {
            return false;
        }
        self.driver.read_ahead(self.clock.now());
        self.driver.connection.wants().is_some_and(|wants| wants.read)
    }

    /// If it is over, the transport is shut down: the program may keep the socket, and the peer waits
    /// for the end.
    pub(super) fn let_go<S: Transport>(&mut self, io: &mut S) {
        if self.driver.owes_shutdown() {
            let start = self.clock.now();
            if self.unflushed
                && let Err(error) = io.flush()
                && self.write_timeout.judge(&error, self.clock.now().since(start)).is_some()
            {
                // The next call tries again.
                return;
            }
            self.unflushed = false;
            let _ = io.shutdown_write();
            self.driver.handle_shutdown();
        }
    }

    pub(super) fn has_reached(&self, goal: Goal) -> bool {
        match goal {
            Goal::Events => false,
            Goal::Room => self.driver.may_queue(),
            Goal::Sent(mark) => self.driver.has_reached(mark) && !self.unflushed,
        }
    }

    /// A read has brought `len` bytes. A thread that waits has its read buffer meanwhile, so the buffer
    /// is small as long as little comes.
    fn note_read(&mut self, len: usize) {
        if len >= LITTLE_READ {
            (self.read_size, self.little_reads) = (usize::MAX, 0);
        } else if self.read_size > LITTLE_READ {
            self.little_reads = self.little_reads.saturating_add(1);
            if self.little_reads >= MANY_LITTLE {
                self.read_size = LITTLE_READ;
                self.driver.release();
            }
        }
    }

    fn wrote(&mut self, len: usize, timed: bool) {
        let now = if timed { self.clock.now() } else { self.driver.read_at() };
        self.driver.connection.handle_transmitted(len, now);
    }

    /// What an error of a write or a flush means. `None`: the transport has failed, and that is noted.
    /// Whether a deadline has come while something waits to be written.
    fn is_late_with_writing(&self) -> bool {
        let now = self.clock.now();
        self.driver.connection.wants().is_some_and(|wants| wants.write && wants.until.is_some_and(|by| by <= now))
    }

    fn judge_write(&mut self, error: io::Error, start: Time) -> Option<Flow> {
        let now = self.clock.now();
        let flow = self.write_timeout.judge(&error, now.since(start));
        match flow {
            Some(_) => self.driver.connection.handle_blocked(now),
            None => self.driver.write_failed(error, now),
        }
        flow
    }
}

/// The state of a WebSocket, and how to use its transport: directly, or without the lock that others
/// wait for.
pub(super) trait Access: DerefMut<Target = Shared> {
    /// Does something that may block.
    fn unlocked<T>(&mut self, work: impl FnOnce() -> T) -> T;

    /// Writes some of what is queued, once.
    fn write_some<S: Transport>(&mut self, io: &mut S) -> io::Result<usize>;

    /// Reads once, to where it belongs.
    fn read_some<S: Transport>(&mut self, io: &mut S) -> io::Result<usize>;

    /// Waits until the other half's turn has ended, for `limit` at the most.
    fn wait(&mut self, limit: Duration);

    /// Tells the other half that a turn has ended.
    fn notify(&self);
}

/// Does what the connection wants and the transport lets. It returns when something has happened that may
/// matter to who waits for `goal`, or after a while; and waits for no longer than until `limit`, if
/// there is one.
///
/// # Errors
///
/// [`Error::TimedOut`] at the limit; `WouldBlock` if the transport does not block, and nothing could be done.
pub(super) fn turn<S: Transport, A: Access>(
    access: &mut A,
    io: &mut S,
    goal: Goal,
    limit: Option<Time>,
) -> Result<(), Error> {
    let mut ready = Ready { read: true, write: true };
    let (mut written, mut written_once, mut read) = (Flow::Done, false, None);
    loop {
        let at_hand = access.look(goal);
        let Some(mut wants) = access.driver.connection.wants() else { return Ok(()) };
        wants.write |= access.unflushed;
        if at_hand && written_once {
            return Ok(());
        }
        if access.writing != Writing::Nobody && (wants.write || wants.end) {
            // Who only wants events leaves the writing to the other half.
            if access.writing == Writing::Leaving || !matches!(goal, Goal::Events) {
                access.wait(SHORT_WAIT);
                return Ok(());
            }
            (wants.write, wants.end) = (false, false);
        }
        if access.reading {
            wants.read = false;
            // The Pong that is missing may lie in the transport: the reader knows whether it does.
            if access.driver.connection.state() == State::Open {
                wants.until = None;
            }
        }
        if matches!(wants.step(ready, Time::ZERO), Step::Write | Step::End) {
            written = write(access, io, goal);
            (written_once, ready.write) = (true, written == Flow::Done);
            if access.has_reached(goal) {
                return Ok(());
            }
            continue;
        }
        // The clock takes longer than all else here, and is asked only when there is nothing to write.
        let now = access.clock.now();
        match wants.step(ready, now) {
            Step::Read => {
                let deadlines = wants.until.into_iter().chain(limit).map(|deadline| deadline.since(now));
                // While there is something to write, writing and reading take turns.
                let brief = (written != Flow::Done).then_some(BRIEF);
                let flow = read_once(access, io, now, deadlines.chain(access.nearest).chain(brief).min());
                if flow == Flow::Done {
                    return Ok(());
                }
                (ready.read, read) = (false, Some(flow));
            }
            Step::Timeout => {
                access.driver.connection.handle_timeout(now);
                access.notify();
                return Ok(());
            }
            // To write and to end come first, so they are not the answer here.
            Step::Wait | Step::Write | Step::End => {
                if limit.is_some_and(|limit| limit <= now) {
                    return Err(Error::TimedOut);
                }
                if read == Some(Flow::Refused) || written == Flow::Refused {
                    return Err(would_block());
                }
                // A read or a write has waited already.
                if read.is_none() && written == Flow::Done {
                    let left = wants.until.into_iter().chain(limit).map(|deadline| deadline.since(now)).min();
                    access.wait(left.unwrap_or(SHORT_WAIT).min(SHORT_WAIT));
                }
                return Ok(());
            }
        }
    }
}

/// A turn while sending is blocked: one message may be read ahead.
pub(super) fn turn_blocked<S: Transport, A: Access>(
    access: &mut A,
    io: &mut S,
    goal: Goal,
    limit: Option<Time>,
) -> Result<(), Error> {
    // The first attempt to write mostly goes through, and nothing else is to be done then.
    if access.driver.connection.reading() != Reading::OneAhead && access.writing == Writing::Nobody {
        write(access, io, goal);
        if access.has_reached(goal) {
            return Ok(());
        }
    }
    let result = turn(access, io, goal, limit);
    for _ in 0..READS {
        if result.is_err() || access.has_reached(goal) || !access.may_read_ahead() {
            break;
        }
        let now = access.clock.now();
        if read_once(access, io, now, Some(BRIEF)) != Flow::Done {
            break;
        }
    }
    result
}

/// Waits until the transport has taken all that was queued before `mark`.
pub(super) fn write_to<S: Transport, A: Access>(
    access: &mut A,
    io: &mut S,
    mark: u64,
    limit: Option<Time>,
) -> Result<(), Error> {
    let goal = Goal::Sent(mark);
    while !access.has_reached(goal) {
        access.driver.check_sending()?;
        if access.driver.is_over() {
            break;
        }
        turn_blocked(access, io, goal, limit)?;
    }
    access.let_go(io);
    access.driver.check_sent(mark)
}

/// The turn to write: until nothing waits, or the goal is reached and nobody else depends on it.
fn write<S: Transport, A: Access>(access: &mut A, io: &mut S, goal: Goal) -> Flow {
    access.writing = Writing::Somebody;
    let mut mark = access.driver.connection.written();
    let flow = loop {
        let Some(wants) = access.driver.connection.wants() else { break Flow::Done };
        let enough = match (goal, access.writing) {
            (Goal::Events, _) | (_, Writing::Leaving) => access.driver.has_reached(mark),
            _ => access.has_reached(goal),
        };
        if wants.write && enough && !access.unflushed {
            // The receiver, which waits for bytes, leaves it to this half to write its Pongs.
            if access.reading && access.writing == Writing::Somebody && !matches!(goal, Goal::Events) {
                (access.writing, mark) = (Writing::Leaving, access.driver.connection.written());
                continue;
            }
            break Flow::Done;
        }
        if wants.write && !enough {
            let start = access.clock.now();
            access.write_timeout.arrange(Some(WRITE), |timeout| io.set_write_timeout(timeout));
            match access.write_some(io) {
                Ok(len) => {
                    access.unflushed = true;
                    access.wrote(len, wants.timed);
                    // A transport that takes a little now and then does not stop the clock.
                    if access.driver.connection.queued() > 0 && access.is_late_with_writing() {
                        break Flow::Expired;
                    }
                }
                Err(error) => {
                    if let Some(flow) = access.judge_write(error, start) {
                        break flow;
                    }
                }
            }
        } else if access.unflushed {
            access.unflushed = false;
            let start = access.clock.now();
            match access.unlocked(|| io.flush()) {
                Ok(()) if wants.timed => access.wrote(0, true),
                Ok(()) => {}
                Err(error) => {
                    if let Some(flow) = access.judge_write(error, start) {
                        access.unflushed = true;
                        break flow;
                    }
                }
            }
        } else if wants.end {
            // An error of the shutdown tells nothing that the next read does not.
            let _ = access.unlocked(|| io.shutdown_write());
            access.driver.connection.handle_shutdown();
        } else {
            break Flow::Done;
        }
    };
    access.writing = Writing::Nobody;
    if access.batch.capacity() > KEEP {
        access.batch = Vec::new();
    }
    access.notify();
    flow
}

/// Reads once, waiting for `most`, or for ever.
fn read_once<S: Transport, A: Access>(access: &mut A, io: &mut S, start: Time, most: Option<Duration>) -> Flow {
    access.read_timeout.arrange(most, |timeout| io.set_read_timeout(timeout));
    let read = access.read_some(io);
    let flow = match read {
        Ok(len) => {
            access.note_read(len);
            Flow::Done
        }
        Err(error) => {
            let now = access.clock.now();
            match access.read_timeout.judge(&error, now.since(start)) {
                Some(flow) => {
                    access.driver.release();
                    flow
                }
                None => {
                    access.driver.read_failed(error, now);
                    Flow::Done
                }
            }
        }
    };
    access.notify();
    flow
}

/// A WebSocket that is not split has its state to itself.
pub(super) struct Alone<'s>(pub(super) &'s mut Shared);

impl Access for Alone<'_> {
    fn unlocked<T>(&mut self, work: impl FnOnce() -> T) -> T {
        work()
    }

    #[expect(clippy::indexing_slicing, reason = "`output` fills no more slices than it is given")]
    fn write_some<S: Transport>(&mut self, io: &mut S) -> io::Result<usize> {
        let connection = &self.driver.connection;
        let next = connection.next_transmit().unwrap_or_default();
        let len = if next.len() == connection.queued() {
            io.write(next)?
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.driver.output(&mut slices);
            // The default of `Write` writes the first slice, if it has no better way.
            io.write_vectored(&slices[..count])?
        };
        if len == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(len) }
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
    /// Somebody's turn has ended.
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
        Locked { lock: self, shared: Some(self.guard()) }
    }

    fn guard(&self) -> MutexGuard<'_, Shared> {
        // No transport is called under the lock but to set a timeout, so a panic there
        // left nothing half-done.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lock, held.
pub(super) struct Locked<'l> {
    lock: &'l Lock,
    /// `None` only within [`unlocked`](Access::unlocked) and [`wait`](Access::wait).
    shared: Option<MutexGuard<'l, Shared>>,
}

impl Access for Locked<'_> {
    fn unlocked<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.shared = None;
        let _ending = EndTurnsOnPanic(self.lock);
        let result = work();
        self.shared = Some(self.lock.guard());
        result
    }

    fn write_some<S: Transport>(&mut self, io: &mut S) -> io::Result<usize> {
        let mut batch = mem::take(&mut self.batch);
        self.driver.copy_output(&mut batch, BATCH);
        let written = self.unlocked(|| io.write(&batch));
        self.batch = batch;
        match written {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            written => written,
        }
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

/// Ends everybody's turns if the transport panics in one of them: the other thread
/// would wait for ever.
struct EndTurnsOnPanic<'l>(&'l Lock);

impl Drop for EndTurnsOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut shared = self.0.guard();
            let now = shared.clock.now();
            shared.driver.read_failed(io::Error::other("the transport panicked"), now);
            (shared.reading, shared.writing) = (false, Writing::Nobody);
            self.0.changed.notify_all();
        }
    }
}

pub(super) fn would_block() -> Error {
    Error::Io(io::ErrorKind::WouldBlock.into())
}

/// How many slices go into one vectored write.
const SLICES: usize = 32;

/// How long one write may block, before it is looked what else there is to do.
const WRITE: Duration = Duration::from_millis(50);

/// How long to wait for bytes while something waits to be written.
const BRIEF: Duration = Duration::from_millis(5);

/// How long to wait for the other half, before it is looked what else there is to do.
const SHORT_WAIT: Duration = Duration::from_millis(50);

/// How many reads to make between two attempts to write.
const READS: usize = 16;

/// How much is copied out of the queue for one write.
const BATCH: usize = 64 * 1024;

/// How much memory for that is kept for the next time.
const KEEP: usize = 4 * 1024;

/// What one read brings at most while little comes.
const LITTLE_READ: usize = 4 * 1024;

/// After so many reads in a row that brought little, little is read again.
const MANY_LITTLE: u8 = 8;
