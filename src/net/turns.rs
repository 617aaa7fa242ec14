//! The loop that [`Connection::wants`](crate::Connection::wants) describes, for a transport that blocks. A turn of it
//! is one step or a few. Only this file of the adapter reads, writes and waits. A [`WebSocket`](super::WebSocket)
//! runs it alone; two halves run it with the lock of `shared`.

use std::io;
use std::time::Duration;

use super::Transport;
use super::shared::{Access, Goal, Writing};
use super::timeouts::Flow;
use crate::driver::Error;
use crate::{Reading, Ready, State, Step, Time};

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
    limit: Option<Time>,
) -> Result<(), Error> {
    // The limit is checked in every turn, so that it holds even while bytes come without end.
    if limit.is_some_and(|limit| limit <= access.clock.now()) {
        return Err(Error::TimedOut);
    }
    let mut ready = Ready { read: true, write: true };
    let (mut written, mut written_once, mut read) = (Flow::Done, false, None);
    loop {
        let at_hand = access.look(goal);
        let Some(mut wants) = access.driver.connection.wants() else {
            // The connection is over. If the other half has the read buffer, this one waits until it can take events.
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
            // The other half is writing. With the goal `Events` this half leaves the writing to it, and reads. If the
            // other half is about to stop, this one reads for a short time only.
            if !matches!(goal, Goal::Events) {
                access.wait(SHORT_WAIT);
                return Ok(());
            }
            leaving = access.writing == Writing::Leaving;
            (wants.write, wants.end) = (false, false);
        }
        if access.reading {
            wants.read = false;
            // The missing Pong may lie in the transport. Only the half that reads can know.
            if access.driver.connection.state() == State::Open {
                wants.until = None;
            }
        }
        if matches!(wants.step(ready, Time::ZERO), Step::Write | Step::End) {
            written = write(access, io, goal, limit);
            (written_once, ready.write) = (true, written == Flow::Done);
            if access.has_reached(goal) {
                return Ok(());
            }
            continue;
        }
        // The clock is asked only when there is nothing to write, since asking it takes longer than all else here.
        let now = access.clock.now();
        match wants.step(ready, now) {
            Step::Read => {
                let deadlines = wants.until.into_iter().chain(limit).map(|deadline| deadline.since(now));
                // While bytes wait to be written, reads are short, and writing is tried after each.
                let brief = (written != Flow::Done || leaving).then_some(BRIEF);
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
            // `Write` and `End` were handled above.
            Step::Wait | Step::Write | Step::End => {
                if limit.is_some_and(|limit| limit <= now) {
                    return Err(Error::TimedOut);
                }
                if read == Some(Flow::WouldBlock) || written == Flow::WouldBlock {
                    return Err(would_block());
                }
                // If a read or a write has waited, there is no need to wait here.
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
    // The first write is tried before anything else: usually it succeeds, and that is all.
    if access.driver.connection.reading() != Reading::OneAhead && access.writing == Writing::Nobody {
        write(access, io, goal, limit);
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
    leave(access, io, mark, limit)?;
    let_go(access, io);
    access.driver.check_sent(mark)
}

/// Returns an error if nothing can be sent any more.
pub(super) fn check_sending<S: Transport, A: Access>(access: &mut A, io: &mut S) -> Result<(), Error> {
    let_go(access, io);
    access.driver.check_sending()
}

/// Once the connection is over, shuts the transport down. The program may keep the socket, and the peer waits for its
/// end.
pub(super) fn let_go<S: Transport, A: Access>(access: &mut A, io: &mut S) {
    if !access.driver.owes_shutdown() || access.writing != Writing::Nobody {
        return;
    }
    access.writing = Writing::Somebody;
    let start = access.clock.now();
    let flushed = if access.driver.owes_flush() { access.unlocked(|| io.flush()) } else { Ok(()) };
    let ended = flushed.and_then(|()| access.unlocked(|| io.shutdown_write()));
    // If it could not be done now, the next call tries again.
    let took = access.clock.now().since(start);
    if ended.is_ok() || ended.is_err_and(|error| access.write_timeout.judge(&error, took).is_none()) {
        access.driver.handle_shutdown();
    }
    access.writing = Writing::Nobody;
    access.notify();
}

/// As [`write_to`], but how the connection ended is not returned as an error.
pub(super) fn leave<S: Transport, A: Access>(
    access: &mut A,
    io: &mut S,
    mark: u64,
    limit: Option<Time>,
) -> Result<(), Error> {
    let goal = Goal::Sent(mark);
    while !access.has_reached(goal) {
        turn_blocked(access, io, goal, limit)?;
    }
    Ok(())
}

/// Writes until nothing waits, or the goal is reached and the other half does not depend on this one.
fn write<S: Transport, A: Access>(access: &mut A, io: &mut S, goal: Goal, limit: Option<Time>) -> Flow {
    access.writing = Writing::Somebody;
    // The mark up to which to write. With the goal `Events` it is the end of what is queued now.
    let mut mark = match goal {
        Goal::Sent(mark) => mark,
        Goal::Room | Goal::Events => access.driver.connection.written(),
    };
    let mut more = 2_u8;
    let flow = loop {
        let Some(wants) = access.driver.connection.wants() else { break Flow::Done };
        let taken = access.taken();
        let enough = taken >= mark || (matches!(goal, Goal::Room) && access.has_reached(goal));
        let start = access.clock.now();
        let done = if wants.write && !enough && access.driver.connection.next_transmit().is_some() {
            access.write_timeout.arrange(Some(WRITE), |timeout| io.set_write_timeout(timeout));
            access.write_some(io).map(|len| access.wrote(len))
        } else if wants.write && access.driver.connection.transmitted() < taken {
            access.unlocked(|| io.flush()).map(|()| access.flushed())
        } else if wants.write && access.reading && !matches!(goal, Goal::Events) && more > 0 {
            // The receiver waits in a read, and this half writes its Pongs. From `Leaving` on the receiver writes by
            // itself what it queues. But the Pong that waited for room is queued only now, so this half writes once
            // more.
            more = more.saturating_sub(1);
            (access.writing, mark) = (Writing::Leaving, access.driver.connection.written());
            continue;
        } else if wants.end && !wants.write {
            match access.unlocked(|| io.shutdown_write()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
                // Any other error is ignored, since the next read gets one too.
                _ => {
                    access.driver.connection.handle_shutdown();
                    continue;
                }
            }
        } else {
            break Flow::Done;
        };
        match done {
            // Deadlines hold even if the transport takes a few bytes now and then.
            Ok(()) if access.driver.connection.queued() > 0 && access.is_late_with_writing(limit) => {
                break Flow::Expired;
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
