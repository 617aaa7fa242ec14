//! The loop that [`Connection::wants`](crate::Connection::wants) describes, for a transport that blocks. A turn of it
//! is one step or a few. Only this file of the adapter reads, writes and waits. A [`WebSocket`](super::WebSocket)
//! runs it alone; two halves run it with the lock of `shared`.

use std::io;
use std::time::Duration;

use super::Transport;
use super::shared::{Access, Goal, Shared, Writing};
use super::timeouts::{Clock, Flow, Limit};
use crate::driver::Error;
use crate::{Connection, Reading, Ready, SendError, State, Step, Time};

/// Does what the connection wants and the transport can do. It returns when something has happened that may matter
/// for `goal`, or after a short time, and waits at most until `limit`.
///
/// # Errors
///
/// [`Error::TimedOut`] after `limit`; `WouldBlock` if the transport is non-blocking and nothing can be done.
pub(super) fn turn<S: Transport, A: Access>(
    access: &mut A,
    io: &mut S,
    goal: Goal,
    limit: &mut Limit,
) -> Result<(), Error> {
    // The limit is checked in every turn, so that it holds even while bytes come without end.
    let clock = access.clock;
    if limit.is_over(|| clock.now()) {
        return Err(Error::TimedOut);
    }
    let limit = limit.by();
    let mut ready = Ready { read: true, write: true };
    let (mut written, mut written_once, mut read) = (Flow::Done, false, None);
    // When the last write began, until it has been used.
    let mut wrote_at = None;
    loop {
        let at_hand = access.look(goal);
        let Some(mut wants) = access.driver.connection.wants() else {
            // The connection is over. If the other half has the read buffer, this one waits until it can take events.
            if access.other_reads() {
                access.wait(SHORT_WAIT);
            }
            return Ok(());
        };
        if at_hand && written_once {
            return Ok(());
        }
        // While something waits to be written, writing and reading take turns, and a read is brief.
        let mut brief = written != Flow::Done;
        if access.other_writes() != Writing::Nobody && (wants.write || wants.end) {
            // The other half is writing. With the goal `Events` this half leaves the writing to it, and reads. If the
            // other half is about to stop, this one reads for a short time only.
            if !matches!(goal, Goal::Events) {
                access.wait(SHORT_WAIT);
                return Ok(());
            }
            brief |= access.other_writes() == Writing::Leaving;
            (wants.write, wants.end) = (false, false);
        }
        if access.other_reads() {
            wants.read = false;
            // The missing Pong may lie in the transport. Only the half that reads can know.
            if access.driver.connection.state() == State::Open {
                wants.until = None;
            }
        }
        // With the goal `Events` a read comes after one write. Otherwise a sender that feeds all the time would keep
        // this half from reading.
        let put_off =
            written_once && written == Flow::Done && matches!(goal, Goal::Events) && wants.read && wants.write;
        if put_off {
            (wants.write, brief) = (false, true);
        }
        // The clock takes longer than all else here, and is asked only when there is nothing to write.
        match wants.step(ready, Time::ZERO) {
            Step::Write | Step::End => {
                let (flow, start) = write(access, io, goal, limit);
                (written, wrote_at) = (flow, Some(start));
                (written_once, ready.write) = (true, written == Flow::Done);
                if access.has_reached(goal) {
                    return Ok(());
                }
            }
            Step::Read => {
                // The clock is not asked again behind a write. If the write has blocked, this read waits for longer than
                // the deadline allows, by as much as the write took, which is little (`WRITE`).
                let now = wrote_at.take().unwrap_or_else(|| access.clock.now());
                let left = earlier(wants.until, limit).map(|deadline| deadline.since(now));
                let brief = brief.then_some(BRIEF);
                let flow = read_once(access, io, now, earlier(left, earlier(access.nearest, brief)));
                if flow == Flow::Done {
                    // Bytes or signals may come without end, so that no turn waits. The limit of a Pong, which may be
                    // among the bytes, holds only when all is read.
                    let at = access.driver.read_at().max(now);
                    if wants.until.is_some_and(|until| until <= at) {
                        access.driver.connection.handle_timeout_unread(at);
                        access.notify();
                    }
                    return Ok(());
                }
                (ready.read, read) = (false, Some(flow));
            }
            Step::Timeout | Step::Wait => {
                let now = access.clock.now();
                if wants.step(ready, now) == Step::Timeout {
                    access.driver.connection.handle_timeout(now);
                    access.notify();
                    return Ok(());
                }
                if limit.is_some_and(|limit| limit <= now) {
                    return Err(Error::TimedOut);
                }
                if put_off {
                    return Ok(());
                }
                if read == Some(Flow::WouldBlock) || written == Flow::WouldBlock {
                    return Err(would_block());
                }
                // If a read or a write has waited, there is no need to wait here.
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
fn turn_blocked<S: Transport, A: Access>(access: &mut A, io: &mut S, goal: Goal) -> Result<(), Error> {
    if access.driver.connection.reading() != Reading::OneAhead && access.other_writes() == Writing::Nobody {
        write(access, io, goal, None);
        if access.has_reached(goal) {
            return Ok(());
        }
    }
    turn_ahead(access, io, goal)
}

/// A turn that reads ahead.
#[inline(never)]
fn turn_ahead<S: Transport, A: Access>(access: &mut A, io: &mut S, goal: Goal) -> Result<(), Error> {
    let result = turn(access, io, goal, &mut Limit::none());
    for _ in 0..READS {
        if result.is_err() || access.has_reached(goal) || !access.gather_ahead() {
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
pub(super) fn write_to<S: Transport, A: Access>(access: &mut A, io: &mut S, mark: u64) -> Result<(), Error> {
    leave(access, io, mark)?;
    let_go(access, io);
    access.driver.handle_sent();
    access.driver.check_sent(mark)
}

/// Waits until there is room, and queues nothing. If the connection is closing, what was accepted before leaves first.
pub(super) fn ready<S: Transport, A: Access>(access: &mut A, io: &mut S) -> Result<(), Error> {
    room(access, io)?;
    match access.driver.connection.check_send() {
        Ok(()) | Err(SendError::Full) => Ok(()),
        Err(error) => refused(access, io, error.into()),
    }
}

/// Waits until there is room, or never will be.
#[inline]
fn room<S: Transport, A: Access>(access: &mut A, io: &mut S) -> Result<(), Error> {
    check_sending(access, io)?;
    while !access.driver.may_queue() {
        turn_blocked(access, io, Goal::Room)?;
        check_sending(access, io)?;
    }
    Ok(())
}

/// Waits until there is room, and then gives a command that queues something. If the command fails because the
/// connection is closing, what was accepted before leaves first: after this error many programs drop the socket.
pub(super) fn command<S: Transport, A: Access>(
    access: &mut A,
    io: &mut S,
    queue: impl FnOnce(&mut Connection, &Clock) -> Result<(), SendError>,
) -> Result<(), Error> {
    room(access, io)?;
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
        match leave(access, io, mark) {
            // Nothing of the command is queued, so if that would block, the caller can come back.
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Err(error.into()),
            _ => {}
        }
        let_go(access, io);
    }
    Err(error)
}

/// Flushes what a command has queued. That this has to wait is no error of the
/// command's: it would be given again.
pub(super) fn push<S: Transport, A: Access>(access: &mut A, io: &mut S) -> Result<(), Error> {
    let mark = access.driver.sent_mark();
    would_block_is_fine(write_to(access, io, mark))
}

/// The result of a command whose message is queued, and of the attempt to send it.
#[inline]
pub(super) fn would_block_is_fine(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}

/// Returns an error if nothing can be sent any more.
fn check_sending<S: Transport, A: Access>(access: &mut A, io: &mut S) -> Result<(), Error> {
    let_go(access, io);
    access.driver.check_sending()
}

/// Once the connection is over, shuts the transport down. The program may keep the socket, and the peer waits for its
/// end.
#[inline]
pub(super) fn let_go<S: Transport, A: Access>(access: &mut A, io: &mut S) {
    if access.driver.owes_shutdown() && access.other_writes() == Writing::Nobody {
        shut_down(access, io);
    }
}

#[inline(never)]
fn shut_down<S: Transport, A: Access>(access: &mut A, io: &mut S) {
    access.writing = Writing::Somebody;
    let start = access.clock.now();
    arrange_write(access, io, start, None);
    let flushed = if access.driver.owes_flush() { access.unlocked(|| io.flush()) } else { Ok(()) };
    let ended = flushed.and_then(|()| access.unlocked(|| io.shutdown_write()));
    // If it could not be done now, the next call tries again.
    if ended.err().and_then(|error| access.judge(&error, start)).is_none() {
        access.driver.handle_shutdown();
    }
    access.writing = Writing::Nobody;
    access.notify();
}

/// As [`write_to`], but how the connection ended is not returned as an error.
fn leave<S: Transport, A: Access>(access: &mut A, io: &mut S, mark: u64) -> Result<(), Error> {
    let goal = Goal::Sent(mark);
    while !access.has_reached(goal) {
        turn_blocked(access, io, goal)?;
    }
    Ok(())
}

/// Writes until nothing waits, or the goal is reached and the other half does not depend on this one. Returns also when
/// the last write began.
fn write<S: Transport, A: Access>(access: &mut A, io: &mut S, goal: Goal, limit: Option<Time>) -> (Flow, Time) {
    access.writing = Writing::Somebody;
    // The mark up to which to write. With the goal `Events` it is the end of what is queued now.
    let mut mark = match goal {
        Goal::Sent(mark) => mark,
        Goal::Room | Goal::Events => access.driver.connection.written(),
    };
    let mut more = 2_u8;
    // When the last write began. A flush or a shutdown behind it counts from there: the clock takes longer than all else
    // here.
    let mut start = access.clock.now();
    let flow = loop {
        let wants = match access.driver.connection.wants() {
            Some(wants) if wants.write || wants.end => wants,
            _ => break Flow::Done,
        };
        let taken = access.taken();
        let enough = taken >= mark || (matches!(goal, Goal::Room) && access.has_reached(goal));
        let done = if wants.write && !enough && access.driver.connection.next_transmit().is_some() {
            arrange_write(access, io, start, limit);
            access.write_some(io).and_then(|(len, flushed)| {
                access.wrote(len, wants.timed);
                flushed.map_or(Ok(()), |flushed| flushed.map(|()| access.flushed(wants.timed)))
            })
        } else if wants.write && access.driver.connection.transmitted() < taken {
            arrange_write(access, io, start, limit);
            access.unlocked(|| io.flush()).map(|()| access.flushed(wants.timed))
        } else if wants.write && access.other_reads() && !matches!(goal, Goal::Events) && more > 0 {
            // The receiver waits in a read, and this half writes its Pongs. From `Leaving` on the receiver writes by
            // itself what it queues. But the Pong that waited for room is queued only now, so this half writes once
            // more.
            more = more.saturating_sub(1);
            (access.writing, mark) = (Writing::Leaving, access.driver.connection.written());
            continue;
        } else if wants.end && !wants.write {
            arrange_write(access, io, start, limit);
            let ended = access.unlocked(|| io.shutdown_write());
            // It is made again if its time was over. A failure is ignored, since the next read gets one too.
            if let Some(flow) = ended.err().and_then(|error| access.judge(&error, start)) {
                break flow;
            }
            access.driver.connection.handle_shutdown();
            break Flow::Done;
        } else {
            break Flow::Done;
        };
        match done {
            // Speed only; whatever does not match takes the general path.
            Ok(()) if access.driver.is_sending() && access.driver.has_reached(access.driver.connection.written()) => {
                debug_assert!(access.driver.connection.wants().is_some_and(|wants| !wants.write && !wants.end));
                break Flow::Done;
            }
            // Deadlines hold even if the transport takes a few bytes now and then.
            Ok(()) if access.driver.connection.queued() > 0 => {
                start = access.clock.now();
                if access.is_late_with_writing(limit, start) {
                    break Flow::Expired;
                }
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
    (flow, start)
}

/// Sees to it that a write that begins at `start` does not block for long, nor beyond `limit`. A flush and a shutdown
/// may write too, so this comes before each of the three.
#[inline]
fn arrange_write<S: Transport, A: Access>(access: &mut A, io: &S, start: Time, limit: Option<Time>) {
    let set = |timeout| io.set_write_timeout(timeout);
    match limit {
        // Without a limit the time is a constant, with which the compiler reckons beforehand.
        None => access.write_timeout.arrange(Some(WRITE), set),
        Some(limit) => access.write_timeout.arrange(Some(WRITE.min(limit.since(start))), set),
    }
}

/// Reads once, and waits for at most `most`, or for ever.
fn read_once<S: Transport, A: Access>(access: &mut A, io: &mut S, start: Time, most: Option<Duration>) -> Flow {
    access.read_timeout.arrange(most, |timeout| io.set_read_timeout(timeout));
    let read = access.read_some(io);
    let flow = match read {
        Ok(len) => {
            access.note_read(len);
            Flow::Done
        }
        // A signal interrupted the read, which is no failure.
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

/// How long one write may block. After that the loop checks what else there is to do.
const WRITE: Duration = Duration::from_millis(50);

/// How long one read may block while bytes wait to be written.
const BRIEF: Duration = Duration::from_millis(5);

/// How long to wait for the other half. After that the loop checks what else there is to do.
const SHORT_WAIT: Duration = Duration::from_millis(50);

/// How many reads are made between two attempts to write, at most.
const READS: usize = 16;
