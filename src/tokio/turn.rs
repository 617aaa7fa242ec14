//! The loop that [`Connection::wants`](crate::Connection::wants) describes. A turn of it is one step or a few. Only
//! this file of the adapter reads, writes and waits.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use ::tokio::task::coop::{has_budget_remaining, unconstrained};

use super::WebSocket;
use crate::{Reading, Ready, Step, Time};

/// What a task waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    /// Something to read, or a deadline.
    Events,
    /// Room to send.
    Room,
    /// That the transport has taken everything before this mark in the outgoing stream.
    Sent(u64),
}

/// How a read went.
enum Read {
    /// Bytes, the end or a failure have come.
    Done,
    /// Nothing is there now. The transport will wake the task.
    Nothing,
    /// The transport was not asked, so that other tasks can run. The task is woken after them.
    Later,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Does what the connection wants and the transport can do. `Ready`: something was read, or the goal is reached,
    /// or the connection is over. `Pending`: nothing can be done now; the transport or the clock will wake the task.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>, goal: Goal) -> Poll<()> {
        self.poll_turn_with(cx, goal, Ready { read: true, write: true })
    }

    fn poll_turn_with(&mut self, cx: &mut Context<'_>, goal: Goal, mut ready: Ready) -> Poll<()> {
        loop {
            let Some(mut wants) = self.driver.connection.wants() else { return Poll::Ready(()) };
            // Nothing is read while there are unread bytes.
            wants.read &= !self.driver.has_unread();
            // The clock is asked only when there is nothing else to do.
            match wants.step(ready, Time::ZERO) {
                Step::Write => ready.write = self.poll_write(cx, wants.timed).is_ready(),
                // An error here is ignored, since the next read gets one too.
                Step::End => match Pin::new(&mut self.io).poll_shutdown(cx) {
                    Poll::Ready(_) => self.driver.connection.handle_shutdown(),
                    Poll::Pending => ready.write = false,
                },
                Step::Read => match self.poll_read(cx, wants.timed) {
                    Read::Done => return Poll::Ready(()),
                    // The transport has not been asked, and the missing Pong may lie there.
                    Read::Later => {
                        self.driver.connection.handle_timeout_unread(self.clock.now());
                        return if self.has_reached(goal) || self.driver.is_over() {
                            Poll::Ready(())
                        } else {
                            Poll::Pending
                        };
                    }
                    // To write and to end come before that, so what is left is to wait.
                    Read::Nothing => {
                        ready.read = false;
                        ready!(self.poll_deadline(cx, wants.until));
                    }
                },
                Step::Timeout | Step::Wait => ready!(self.poll_deadline(cx, wants.until)),
            }
            if self.has_reached(goal) {
                return Poll::Ready(());
            }
        }
    }

    /// Waits until `deadline`, or for ever, and does what is due then.
    #[inline(always)]
    fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Option<Time>) -> Poll<()> {
        self.driver.release();
        let now = ready!(self.clock.poll_deadline(deadline, cx));
        self.driver.connection.handle_timeout(now);
        Poll::Ready(())
    }

    /// A turn while sending is blocked: one message may be read ahead. Always inlined, up to the first attempt to
    /// write: that mostly goes through, and nothing else is to be done then.
    #[inline(always)]
    pub(super) fn poll_blocked(&mut self, cx: &mut Context<'_>, goal: Goal) -> Poll<()> {
        let mut ready = Ready { read: true, write: true };
        if self.driver.connection.reading() != Reading::OneAhead {
            if let Some(wants) = self.driver.connection.wants().filter(|wants| wants.write) {
                ready.write = self.poll_write(cx, wants.timed).is_ready();
            }
            if self.has_reached(goal) {
                return Poll::Ready(());
            }
            self.set_reading(Reading::OneAhead);
        }
        self.poll_ahead(cx, goal, ready)
    }

    /// A turn that reads ahead.
    #[inline(never)]
    fn poll_ahead(&mut self, cx: &mut Context<'_>, goal: Goal, ready: Ready) -> Poll<()> {
        self.driver.read_ahead(|| self.clock.now());
        ready!(self.poll_turn_with(cx, goal, ready));
        self.driver.read_ahead(|| self.clock.now());
        Poll::Ready(())
    }

    /// Whether the goal is reached, or never will be.
    #[inline]
    pub(super) fn has_reached(&self, goal: Goal) -> bool {
        match goal {
            Goal::Events => false,
            Goal::Room => self.driver.may_queue() || self.driver.is_dead(),
            Goal::Sent(mark) => self.driver.has_reached(mark) || self.driver.is_dead(),
        }
    }

    /// Writes until nothing waits, or the transport takes no more, and flushes.
    fn poll_write(&mut self, cx: &mut Context<'_>, timed: bool) -> Poll<()> {
        // Nothing here waits, so all of it happens at one time.
        let now = if timed { self.clock.now() } else { self.driver.read_at() };
        while let Some(written) = self.poll_write_some(cx) {
            match written {
                Poll::Ready(Ok(len)) => self.driver.connection.handle_buffered(len, now),
                Poll::Ready(Err(error)) => {
                    self.driver.write_failed(error, self.clock.now());
                    return Poll::Ready(());
                }
                Poll::Pending => {
                    let blocked = self.blocked(cx);
                    // What has been taken is flushed now, since a task may wait for only that.
                    let _ = self.poll_flush(cx, now);
                    return blocked;
                }
            }
        }
        let flushed = self.poll_flush(cx, now);
        if flushed.is_pending() { self.blocked(cx) } else { flushed }
    }

    /// A write returned `Pending`: the transport takes nothing now. But if the task has used up its budget, the
    /// transport was not asked; then the task is only woken again.
    fn blocked(&mut self, cx: &Context<'_>) -> Poll<()> {
        if has_budget_remaining() {
            self.driver.connection.handle_blocked(self.clock.now());
        } else {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Flushes the transport if it has not passed on all that it has taken.
    #[inline(always)]
    fn poll_flush(&mut self, cx: &mut Context<'_>, now: Time) -> Poll<()> {
        if !self.driver.owes_flush() {
            return Poll::Ready(());
        }
        match ready!(Pin::new(&mut self.io).poll_flush(cx)) {
            Ok(()) => self.driver.connection.handle_flushed(now),
            Err(error) => self.driver.write_failed(error, self.clock.now()),
        }
        Poll::Ready(())
    }

    /// Once the connection is over, shuts the transport down, without waiting. The program may keep the socket, and
    /// the peer waits for its end.
    #[inline]
    pub(super) fn let_go(&mut self, cx: &mut Context<'_>) {
        if self.driver.owes_shutdown() {
            self.shut_down(cx);
        }
    }

    #[inline(never)]
    fn shut_down(&mut self, cx: &mut Context<'_>) {
        let owes_flush = self.driver.owes_flush();
        let mut io = Pin::new(&mut self.io);
        // Nobody comes back for this, so it is done outside tokio's budget: if that were used up, the transport would
        // not be asked.
        let ended = unconstrained(poll_fn(|cx| {
            if owes_flush {
                let _ = ready!(io.as_mut().poll_flush(cx));
            }
            io.as_mut().poll_shutdown(cx)
        }));
        if pin!(ended).poll(cx).is_ready() {
            self.driver.handle_shutdown();
        }
    }

    /// Writes some of what waits, once. `None`: nothing waits.
    #[inline]
    fn poll_write_some(&mut self, cx: &mut Context<'_>) -> Option<Poll<io::Result<usize>>> {
        let connection = &self.driver.connection;
        let next = connection.next_transmit()?;
        let written = if next.len() == connection.queued() {
            Pin::new(&mut self.io).poll_write(cx, next)
        } else {
            self.poll_write_vectored(cx)
        };
        Some(written.map(|written| written.and_then(nonzero)))
    }

    /// It is never inlined, since usually all bytes lie in one piece.
    #[inline(never)]
    #[expect(clippy::indexing_slicing, reason = "`output` fills no more slices than it is given")]
    fn poll_write_vectored(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = self.driver.output(&mut slices);
        // If the transport has no vectored write, this writes the first slice.
        Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..count])
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, timed: bool) -> Read {
        if self.lately >= FAIR_SHARE {
            // Other tasks must run too, even if bytes come without end.
            self.lately = 0;
            cx.waker().wake_by_ref();
            return Read::Later;
        }
        match self.poll_read_some(cx, timed) {
            Poll::Ready(len) => {
                self.reads = self.reads.wrapping_add(1);
                self.lately = self.lately.saturating_add(u32::try_from(len).unwrap_or(u32::MAX).max(LEAST_SHARE));
                Read::Done
            }
            // If the task has used up its budget, tokio returns `Pending` without asking the transport. Transports that
            // are not tokio's own do not wake the task then, so it is woken here.
            Poll::Pending if !has_budget_remaining() => {
                cx.waker().wake_by_ref();
                Read::Later
            }
            Poll::Pending => {
                self.lately = 0;
                Read::Nothing
            }
        }
    }

    /// Reads once. Returns how many bytes came, which is 0 at the end.
    fn poll_read_some(&mut self, cx: &mut Context<'_>, timed: bool) -> Poll<usize> {
        let appended = match self.driver.spare() {
            Some(mut spare) => Some(ready!(pin!(self.io.read_buf(&mut spare)).poll(cx))),
            None => None,
        };
        let read = if let Some(read) = appended {
            read.inspect(|len| self.driver.appended(*len, self.read_time(*len, timed)))
        } else {
            let mut buffer = ReadBuf::new(self.driver.space());
            let read = ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer));
            let len = buffer.filled().len();
            read.map(|()| {
                self.driver.filled(len, self.read_time(len, timed));
                len
            })
        };
        Poll::Ready(read.unwrap_or_else(|error| {
            self.driver.read_failed(error, self.clock.now());
            0
        }))
    }
}

impl<S> WebSocket<S> {
    /// The time of a read of `len` bytes. The clock is asked only if it matters, since that takes as long as to receive
    /// several short messages.
    #[inline]
    fn read_time(&self, len: usize, timed: bool) -> Time {
        if timed || len == 0 { self.clock.now() } else { self.driver.read_at() }
    }
}

/// A write of 0 bytes is an error: the transport takes nothing any more.
fn nonzero(len: usize) -> io::Result<usize> {
    if len == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(len) }
}

/// How many bytes a task reads before it lets other tasks run. The runtime only counts reads, and a hundred large
/// reads take too long. Letting others run takes a fraction of a microsecond, much less than to read this many bytes.
const FAIR_SHARE: u32 = 128 * 1024;

/// A read counts as at least this many bytes.
const LEAST_SHARE: u32 = 1024;

/// How many slices go into one vectored write.
const SLICES: usize = 32;
