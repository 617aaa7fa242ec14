//! What the host tells the connection about the transport and the time.

use super::Connection;
use super::liveness::{Due, Sight};
use super::state::{Cause, Input, Phase};
use crate::error::HandshakeError;
use crate::time::Time;

impl Connection {
    /// The transport took the first `len` bytes of those that waited.
    ///
    /// If [`Wants::timed`](super::Wants::timed) is false, `now` may be any earlier time.
    #[inline]
    pub fn handle_transmitted(&mut self, len: usize, now: Time) {
        self.handle_buffered(len, now);
        self.handle_flushed(now);
    }

    /// As [`handle_transmitted`](Self::handle_transmitted), for a transport with a buffer of its own, such as a TLS
    /// stream. The bytes count as transmitted only after [`handle_flushed`](Self::handle_flushed).
    ///
    /// It is always inlined, since usually it does next to nothing.
    #[inline(always)]
    pub fn handle_buffered(&mut self, len: usize, now: Time) {
        self.out.advance(len);
        self.liveness.took(now);
        self.queue_late_pong();
    }

    /// The transport has passed on all that it has taken.
    #[inline]
    pub fn handle_flushed(&mut self, now: Time) {
        let before = self.passed_on;
        self.passed_on = self.out.transmitted();
        if self.liveness.needs_time() {
            self.liveness.transmitted(before, self.passed_on, self.out.has_untaken(), now);
        }
        if !matches!(self.phase, Phase::Open) || self.cold.is_some() {
            self.passed_on_otherwise();
        }
    }

    /// What follows from passed-on bytes in a connection that is opening or closing.
    fn passed_on_otherwise(&mut self) {
        if matches!(self.phase, Phase::Flushing { .. }) && !self.is_unsent() {
            self.phase.on(Input::Flushed);
        }
        if self.answer().is_some_and(|answer| self.passed_on >= answer.end) {
            self.cold().answer = None;
            self.tidy_cold();
            self.out.forget_usual();
        }
    }

    /// Whether the transport has taken more than it has passed on.
    #[inline]
    pub(super) fn is_unflushed(&self) -> bool {
        self.passed_on < self.out.transmitted() && self.lost() < self.out.transmitted()
    }

    /// The transport took nothing of what waits. Or nothing waits, and it could not pass on what it has taken. The host
    /// waits until the transport is ready again. After [`Config::stall_timeout`](super::Config::stall_timeout) the
    /// connection is over. A write that takes a byte ends that time; if nothing waited, a flush does.
    pub fn handle_blocked(&mut self, now: Time) {
        self.liveness.blocked(!self.out.has_untaken(), now);
        self.limit_close_ahead(now);
        self.keep_limits(now);
    }

    /// Does what is due when a deadline has come that holds even while bytes come without end.
    #[inline]
    pub(super) fn keep_limits(&mut self, now: Time) {
        if self.is_over_time(now) {
            self.pass_deadline(Sight::Unread, now);
        }
    }

    /// Whether a 101 has not left in the time of the opening handshake.
    fn is_answer_late(&self, now: Time) -> bool {
        self.answer().is_some_and(|answer| answer.by <= now)
    }

    /// The peer has ended its side of the transport (for TCP, a read of 0 bytes). There is nothing more to read.
    ///
    /// The connection is [`Closed`](super::State::Closed) now, cleanly if both ends have sent their Close frames. If
    /// bytes wait, it is closed only when they have been transmitted, or
    /// [`Config::close_timeout`](super::Config::close_timeout) is over. A request that waits for a decision still
    /// waits.
    pub fn handle_eof(&mut self, now: Time) {
        // Bytes that are held came before the end, and are decoded first. Those behind a request are decoded when the
        // request has been decided on.
        if !self.is_deciding() && self.has_unread() {
            return self.end_behind_held();
        }
        self.end_of_input(now);
    }

    /// The peer has ended its side, and all that came before has been looked at.
    pub(super) fn end_of_input(&mut self, now: Time) {
        match self.phase {
            Phase::Opening(ref begun) if begun.eof => {}
            Phase::Opening(_) => self.opening_eof(now),
            _ => {
                self.act_on_close_ahead(now);
                let by = now + self.config.close_timeout;
                self.phase.on(Input::Eof { by, unsent: self.is_unsent() });
            }
        }
    }

    /// A write has failed: the transport takes nothing any more. For
    /// [`Config::close_timeout`](super::Config::close_timeout) what the peer has sent is still read, since it may
    /// have the reason.
    pub fn handle_write_failed(&mut self, now: Time) {
        self.act_on_close_ahead(now);
        let by = now + self.config.close_timeout;
        self.phase.on(Input::WriteFailed { by, unsent: self.is_unsent() });
        self.clear_out();
    }

    /// The transport has failed, and carries nothing any more: the connection is
    /// [`Closed`](super::State::Closed). What was read before, and [held](Self::hold) or kept by the host, may
    /// still be given to [`receive`](Self::receive); if the peer's Close frame or a
    /// fault of the peer is in it, [`closed`](Self::closed) then says so.
    pub fn handle_reset(&mut self) {
        if matches!(self.phase, Phase::Opening(_)) {
            return self.opening_reset();
        }
        // Nothing is waited for any more, so the time does not matter.
        self.act_on_close_ahead(Time::ZERO);
        self.phase.on(Input::Reset { unsent: self.is_unsent() });
        self.clear_out();
    }

    /// The writing side of the transport has been shut down, or cannot be.
    pub fn handle_shutdown(&mut self) {
        self.shut_down = true;
    }

    /// Whether [`handle_shutdown`](Self::handle_shutdown) has been called.
    #[inline]
    #[cfg(feature = "std")]
    pub(crate) fn has_shut_down(&self) -> bool {
        self.shut_down
    }

    /// The time of [`Wants::until`](super::Wants::until) has come. A call that is too early does nothing. A late call
    /// (for example after the machine was suspended) does what is due now. Before this call, read until the transport
    /// says that nothing is there: the missing Pong may lie in it.
    #[inline]
    pub fn handle_timeout(&mut self, now: Time) {
        let sight = self.sight();
        if self.deadline(sight).is_some_and(|deadline| deadline <= now) {
            self.pass_deadline(sight, now);
        }
    }

    /// As [`handle_timeout`](Self::handle_timeout), if the transport has not been asked whether there is something to
    /// read. The time limit of the Pong, which may lie there, is left out.
    pub fn handle_timeout_unread(&mut self, now: Time) {
        if self.deadline(Sight::Unread).is_some_and(|deadline| deadline <= now) {
            self.pass_deadline(Sight::Unread, now);
        }
    }

    fn pass_deadline(&mut self, sight: Sight, now: Time) {
        match self.phase {
            _ if self.is_answer_late(now) => self.end_dead(Cause::Opening(HandshakeError::TimedOut)),
            // The peer has said Close, and has not taken what this end sends before it answers.
            Phase::Open if self.close_ahead_by().is_some_and(|by| by <= now) => {
                self.act_on_close_ahead(now);
                self.phase.on(Input::TimedOut { unsent: self.is_unsent() });
                self.clear_out();
            }
            Phase::Open => match self.liveness.due(&self.config, sight, now) {
                Due::Nothing => {}
                Due::Ping(payload) => self.queue_ping(&payload, now),
                Due::Dead(cause) => self.end_dead(cause),
            },
            Phase::Opening(_) => {
                self.opening_timed_out(now);
            }
            _ => {
                self.phase.on(Input::TimedOut { unsent: self.is_unsent() });
                self.clear_out();
            }
        }
    }

    fn end_dead(&mut self, cause: Cause) {
        // Nothing is waited for any more, so the time does not matter.
        self.act_on_close_ahead(Time::ZERO);
        self.phase.on(Input::Dead(cause));
        self.clear_out();
    }
}
