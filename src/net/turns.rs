//! One turn of the loop that [`Connection::wants`](crate::Connection::wants) describes, for a transport
//! that blocks: the only place of this adapter that reads, writes and waits. A [`WebSocket`](super::WebSocket)
//! runs it by itself, two halves with the lock of `shared`.

use std::io;
use std::time::Duration;

use super::Transport;
use super::shared::{Access, Goal, Shared, Writing};
use super::timeouts::{Clock, Flow};
use crate::driver::Error;
use crate::{Connection, Reading, Ready, SendError, State, Step, Time};

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
    // Looked at in every turn: a peer that goes on talking does not stop this clock.
    if limit.is_some_and(|limit| limit <= access.clock.now()) {
        return Err(Error::TimedOut);
    }
    let mut ready = Ready { read: true, write: true };
    let (mut written, mut written_once, mut read) = (Flow::Done, false, None);
    loop {
        let at_hand = access.look(goal);
        let Some(mut wants) = access.driver.connection.wants() else {
            // It is over, but the other half has the read buffer, and this one cannot look at what is left.
            if access.reading {
                access.wait(SHORT_WAIT);
            }
            return Ok(());
        };
        if at_hand && written_once {
            return Ok(());
        }
        let mut leaving = false;
        if access.writing != Writing::Nobody && (wants.write || wants.end) {
            // Who only wants events leaves the writing to the other half, and looks again soon if that
            // is about to leave.
            if !matches!(goal, Goal::Events) {
                access.wait(SHORT_WAIT);
                return Ok(());
            }
            leaving = access.writing == Writing::Leaving;
            (wants.write, wants.end) = (false, false);
        }
        if access.reading {
            wants.read = false;
            // The Pong that is missing may lie in the transport: the reader knows whether it does.
            if access.driver.connection.state() == State::Open {
                wants.until = None;
            }
        }
        // The clock takes longer than all else here, and is asked only when there is nothing to write.
        match wants.step(ready, Time::ZERO) {
            Step::Write | Step::End => {
                written = write(access, io, goal, limit);
                (written_once, ready.write) = (true, written == Flow::Done);
                if access.has_reached(goal) {
                    return Ok(());
                }
            }
            Step::Read => {
                let now = access.clock.now();
                let left = earlier(wants.until, limit).map(|deadline| deadline.since(now));
                // While there is something to write, writing and reading take turns.
                let brief = (written != Flow::Done || leaving).then_some(BRIEF);
                let flow = read_once(access, io, now, earlier(left, earlier(access.nearest, brief)));
                if flow == Flow::Done {
                    return Ok(());
                }
                (ready.read, read) = (false, Some(flow));
            }
            Step::Timeout | Step::Wait => {
                let now = access.clock.now();
                if wants.until.is_some_and(|until| until <= now) {
                    access.driver.connection.handle_timeout(now);
                    access.notify();
                    return Ok(());
                }
                if limit.is_some_and(|limit| limit <= now) {
                    return Err(Error::TimedOut);
                }
                if read == Some(Flow::Refused) || written == Flow::Refused {
                    return Err(would_block());
                }
                // A read or a write has waited already.
                if read.is_none() && written == Flow::Done {
                    let left = earlier(wants.until, limit).map(|deadline| deadline.since(now));
                    access.wait(left.unwrap_or(SHORT_WAIT).min(SHORT_WAIT));
                }
                return Ok(());
            }
        }
    }
}

/// A turn while sending is blocked: one message may be read ahead. Always inlined, up to the first attempt to
/// write: that mostly goes through, and nothing else is to be done then.
#[inline(always)]
fn turn_blocked<S: Transport, A: Access>(
    access: &mut A,
    io: &mut S,
    goal: Goal,
    limit: Option<Time>,
) -> Result<(), Error> {
    if access.driver.connection.reading() != Reading::OneAhead && access.writing == Writing::Nobody {
        write(access, io, goal, limit);
        if access.has_reached(goal) {
            return Ok(());
        }
    }
    turn_ahead(access, io, goal, limit)
}

/// A turn that reads ahead.
#[inline(never)]
fn turn_ahead<S: Transport, A: Access>(
    access: &mut A,
    io: &mut S,
    goal: Goal,
    limit: Option<Time>,
) -> Result<(), Error> {
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
    leave(access, io, mark, limit)?;
    let_go(access, io);
    access.driver.check_sent(mark)
}

/// Waits until there is room, then gives a command that queues something. If that is refused because the
/// connection is closing, a program's loop often ends, and the socket with it; so what was accepted before
/// leaves first.
pub(super) fn command<S: Transport, A: Access>(
    access: &mut A,
    io: &mut S,
    queue: impl FnOnce(&mut Connection, &Clock) -> Result<(), SendError>,
) -> Result<(), Error> {
    check_sending(access, io)?;
    while !access.driver.may_queue() {
        turn_blocked(access, io, Goal::Room, None)?;
        check_sending(access, io)?;
    }
    let Shared { driver, clock, .. } = &mut **access;
    match driver.queue(|connection| queue(connection, clock)) {
        Ok(()) => Ok(()),
        Err(error) => refused(access, io, error),
    }
}

#[inline(never)]
fn refused<S: Transport, A: Access>(access: &mut A, io: &mut S, error: Error) -> Result<(), Error> {
    if error.is_closed() {
        let mark = access.driver.connection.owed();
        match leave(access, io, mark, None) {
            // Nothing of the command is queued, so if that would block, the caller can come back.
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Err(error.into()),
            _ => {}
        }
    }
    Err(error)
}

/// Flushes what a command has queued. That this has to wait is no error of the
/// command's: it would be given again.
pub(super) fn push<S: Transport, A: Access>(access: &mut A, io: &mut S) -> Result<(), Error> {
    let mark = access.driver.promised();
    would_block_is_fine(write_to(access, io, mark, None))
}

/// The result of a command whose message is queued, and of the attempt to send it.
#[inline]
pub(super) fn would_block_is_fine(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}

/// Why sending cannot go on, if it cannot.
fn check_sending<S: Transport, A: Access>(access: &mut A, io: &mut S) -> Result<(), Error> {
    let_go(access, io);
    access.driver.check_sending()
}

/// If it is over, the transport is shut down: the program may keep the socket, and the peer waits
/// for the end.
#[inline]
pub(super) fn let_go<S: Transport, A: Access>(access: &mut A, io: &mut S) {
    if access.driver.owes_shutdown() && access.writing == Writing::Nobody {
        shut_down(access, io);
    }
}

#[inline(never)]
fn shut_down<S: Transport, A: Access>(access: &mut A, io: &mut S) {
    access.writing = Writing::Somebody;
    let start = access.clock.now();
    let flushed = if access.driver.owes_flush() { access.unlocked(|| io.flush()) } else { Ok(()) };
    let ended = flushed.and_then(|()| access.unlocked(|| io.shutdown_write()));
    // What could not be done now is tried again by the next call.
    let took = access.clock.now().since(start);
    if ended.is_ok() || ended.is_err_and(|error| access.write_timeout.judge(&error, took).is_none()) {
        access.driver.handle_shutdown();
    }
    access.writing = Writing::Nobody;
    access.notify();
}

/// As [`write_to`], or until it never will. What the connection has ended with is not told here.
fn leave<S: Transport, A: Access>(access: &mut A, io: &mut S, mark: u64, limit: Option<Time>) -> Result<(), Error> {
    let goal = Goal::Sent(mark);
    while !access.has_reached(goal) {
        turn_blocked(access, io, goal, limit)?;
    }
    Ok(())
}

/// The turn to write: until nothing waits, or the goal is reached and nobody else depends on it.
fn write<S: Transport, A: Access>(access: &mut A, io: &mut S, goal: Goal, limit: Option<Time>) -> Flow {
    access.writing = Writing::Somebody;
    // How far to write. Who only wants events writes what is queued now, and no more.
    let mut mark = match goal {
        Goal::Sent(mark) => mark,
        Goal::Room | Goal::Events => access.driver.connection.written(),
    };
    let mut more = 2_u8;
    // When the last write began. A flush behind it counts from there: the clock takes longer than all else here.
    let mut start = access.clock.now();
    let flow = loop {
        let wants = match access.driver.connection.wants() {
            Some(wants) if wants.write || wants.end => wants,
            _ => break Flow::Done,
        };
        let taken = access.taken();
        let enough = taken >= mark || (matches!(goal, Goal::Room) && access.has_reached(goal));
        let done = if wants.write && !enough && access.driver.connection.next_transmit().is_some() {
            access.write_timeout.arrange(Some(WRITE), |timeout| io.set_write_timeout(timeout));
            access.write_some(io).and_then(|(len, flushed)| {
                access.wrote(len, wants.timed);
                flushed.map_or(Ok(()), |flushed| flushed.map(|()| access.flushed(wants.timed)))
            })
        } else if wants.write && access.driver.connection.transmitted() < taken {
            access.unlocked(|| io.flush()).map(|()| access.flushed(wants.timed))
        } else if wants.write && access.reading && !matches!(goal, Goal::Events) && more > 0 {
            // The receiver, which waits for bytes, leaves it to this half to write its Pongs. When it comes
            // back it looks again soon, so what it queues from now on is not this half's business, but for
            // the Pong that waited for room.
            more = more.saturating_sub(1);
            (access.writing, mark) = (Writing::Leaving, access.driver.connection.written());
            continue;
        } else if wants.end && !wants.write {
            match access.unlocked(|| io.shutdown_write()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
                // Another error tells nothing that the next read does not.
                _ => {
                    access.driver.connection.handle_shutdown();
                    continue;
                }
            }
        } else {
            break Flow::Done;
        };
        match done {
            // A transport that takes a little now and then does not stop the clock.
            Ok(()) if access.driver.connection.queued() > 0 => {
                start = access.clock.now();
                if access.is_late_with_writing(limit, start) {
                    break Flow::Expired;
                }
            }
            // Speed only; whatever does not match takes the general path.
            Ok(()) if access.driver.is_sending() && access.driver.has_reached(access.driver.connection.written()) => {
                debug_assert!(access.driver.connection.wants().is_some_and(|wants| !wants.write && !wants.end));
                break Flow::Done;
            }
            Ok(()) => {}
            Err(error) => {
                if let Some(flow) = access.judge_write(error, start) {
                    break flow;
                }
            }
        }
    };
    access.writing = Writing::Nobody;
    access.keep_little();
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
        // A signal came: that says nothing of the transport.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Flow::Done,
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

/// The earlier of two deadlines, or the shorter of two times, of which there may be none.
fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

pub(super) fn would_block() -> Error {
    Error::Io(io::ErrorKind::WouldBlock.into())
}

/// How long one write may block, before it is looked what else there is to do.
const WRITE: Duration = Duration::from_millis(50);

/// How long to wait for bytes while something waits to be written.
const BRIEF: Duration = Duration::from_millis(5);

/// How long to wait for the other half, before it is looked what else there is to do.
const SHORT_WAIT: Duration = Duration::from_millis(50);

/// How many reads to make between two attempts to write.
const READS: usize = 16;
