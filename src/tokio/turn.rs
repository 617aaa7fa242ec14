//! One turn of the loop that [`Connection::wants`](crate::Connection::wants) describes: the only place of
//! this adapter that reads, writes and waits.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use ::tokio::task::coop::has_budget_remaining;

use super::WebSocket;
use crate::{Reading, Ready, Step, Time};

/// What a task waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    /// Something to read, or a deadline.
    Events,
    /// Room to send.
    Room,
    /// That the transport has taken all before this place in the outgoing stream.
    Sent(u64),
}

/// How a read went.
enum Read {
    /// Bytes, the end or a failure have come.
    Done,
    /// The transport says that nothing is there, and will wake the task.
    Nothing,
    /// The transport was not asked: other tasks come first, and then this one is woken.
    Later,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Does what the connection wants and the transport lets. Ready: something was read, the goal is
    /// reached, or it is over. Pending: nothing can be done; the transport or the clock will wake the task.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>, goal: Goal) -> Poll<()> {
        self.poll_turn_with(cx, goal, Ready { read: true, write: true })
    }

    fn poll_turn_with(&mut self, cx: &mut Context<'_>, goal: Goal, mut ready: Ready) -> Poll<()> {
        loop {
            let Some(mut wants) = self.driver.connection.wants() else { return Poll::Ready(()) };
            // Nothing is read on top of what has not been taken.
            wants.read &= !self.driver.has_unread();
            // The clock is asked only when there is nothing else to do.
            match wants.step(ready, Time::ZERO) {
                Step::Write => ready.write = self.poll_write(cx, wants.timed).is_ready(),
                // An error of the shutdown tells nothing that the next read does not.
                Step::End => match Pin::new(&mut self.io).poll_shutdown(cx) {
                    Poll::Ready(_) => self.driver.connection.handle_shutdown(),
                    Poll::Pending => ready.write = false,
                },
                Step::Read => match self.poll_read(cx) {
                    Read::Done => return Poll::Ready(()),
                    // The Pong that is missing may lie in the transport, which has not been asked.
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
        self.driver.read_ahead(self.clock.now());
        ready!(self.poll_turn_with(cx, goal, ready));
        self.driver.read_ahead(self.clock.now());
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
        while let Some(written) = self.poll_write_some(cx) {
            match written {
                Poll::Ready(Ok(len)) => {
                    let now = if timed { self.clock.now() } else { self.driver.read_at() };
                    self.driver.connection.handle_buffered(len, now);
                }
                Poll::Ready(Err(error)) => {
                    self.driver.write_failed(error, self.clock.now());
                    return Poll::Ready(());
                }
                Poll::Pending => {
                    let refused = self.refused(cx);
                    // Who waits for what has been taken need not wait for the rest.
                    let _ = self.poll_flush(cx, timed);
                    return refused;
                }
            }
        }
        let flushed = self.poll_flush(cx, timed);
        if flushed.is_pending() { self.refused(cx) } else { flushed }
    }

    /// The transport takes nothing now. Or the runtime has put it off, which says nothing of the peer:
    /// then the task is woken.
    fn refused(&mut self, cx: &Context<'_>) -> Poll<()> {
        if has_budget_remaining() {
            self.driver.connection.handle_blocked(self.clock.now());
        } else {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Sees to it that the transport passes on what it has taken.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, timed: bool) -> Poll<()> {
        if !self.driver.owes_flush() {
            return Poll::Ready(());
        }
        match ready!(Pin::new(&mut self.io).poll_flush(cx)) {
            Ok(()) => {
                let now = if timed { self.clock.now() } else { self.driver.read_at() };
                self.driver.connection.handle_flushed(now);
            }
            Err(error) => self.driver.write_failed(error, self.clock.now()),
        }
        Poll::Ready(())
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

    /// Never inlined: mostly all lies in one piece.
    #[inline(never)]
    #[expect(clippy::indexing_slicing, reason = "`output` fills no more slices than it is given")]
    fn poll_write_vectored(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = self.driver.output(&mut slices);
        // The default of `AsyncWrite` writes the first slice, if it has no better way.
        Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..count])
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Read {
        if self.lately >= FAIR_SHARE {
            // Others must come too, however much there is here.
            self.lately = 0;
            cx.waker().wake_by_ref();
            return Read::Later;
        }
        match self.poll_read_some(cx) {
            Poll::Ready(len) => {
                self.reads = self.reads.wrapping_add(1);
                self.lately = self.lately.saturating_add(u32::try_from(len).unwrap_or(u32::MAX).max(LEAST_SHARE));
                Read::Done
            }
            // The runtime says Pending too when the task has used up its budget, without asking the
            // transport. A transport of another make does not know of budgets, and wakes nobody then.
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

    /// How much was read; 0 at the end.
    fn poll_read_some(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let appended = match self.driver.spare() {
            Some(mut spare) => Some(ready!(pin!(self.io.read_buf(&mut spare)).poll(cx))),
            None => None,
        };
        let read = if let Some(read) = appended {
            read.inspect(|len| self.driver.appended(*len, self.clock.now()))
        } else {
            let mut buffer = ReadBuf::new(self.driver.space());
            let read = ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer));
            let len = buffer.filled().len();
            read.map(|()| {
                self.driver.filled(len, self.clock.now());
                len
            })
        };
        Poll::Ready(read.unwrap_or_else(|error| {
            self.driver.read_failed(error, self.clock.now());
            0
        }))
    }
}

/// A transport that takes nothing will take nothing more.
fn nonzero(len: usize) -> io::Result<usize> {
    if len == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(len) }
}

/// How many bytes to read before other tasks come. The runtime itself counts
/// reads, of which a hundred large ones take longer than others should wait. To give way
/// costs a fraction of a microsecond, which this much takes many times over.
const FAIR_SHARE: u32 = 128 * 1024;

/// A read counts as this many bytes at least.
const LEAST_SHARE: u32 = 1024;

/// How many slices go into one vectored write.
const SLICES: usize = 32;
