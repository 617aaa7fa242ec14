//! What a connection wants from its host.

use super::Connection;
use super::liveness::Sight;
use super::reading::Reading;
use super::state::Phase;
use crate::role::Role;
use crate::time::Time;

/// What a connection wants from its host. The fields are independent: a host waits for all that is wanted at once,
/// until the transport can read, can write, or the time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wants {
    /// To read. Call [`Connection::receive`] with what came, or [`receive_ahead`](Connection::receive_ahead) if
    /// [reading](Connection::set_reading) is [`OneAhead`](super::Reading::OneAhead).
    pub read: bool,
    /// To write what [`Connection::transmits`] has. If it has nothing, to flush the transport: this occurs only if the
    /// host calls [`handle_buffered`](Connection::handle_buffered).
    pub write: bool,
    /// To shut down the writing side of the transport (for TCP, a FIN), since all bytes have been sent. Call
    /// [`Connection::handle_shutdown`] after it.
    ///
    /// §7.1.1: after both Close frames the server ends its side first, and the client waits for it. An end that has
    /// failed the connection does not wait.
    pub end: bool,
    /// When to call [`Connection::handle_timeout`], if nothing else happens before. Every other call may make it
    /// earlier or later. A timer queue must note an earlier time at once; at one that has become later, the call does
    /// nothing, so most messages need not touch the queue. When the time has come, read before the call: what is missing may
    /// lie in the transport.
    pub until: Option<Time>,
    /// Whether [`Connection::handle_transmitted`] and [`Connection::receive`] need the right time. If not, the host need
    /// not ask its clock, which takes time, and may give them an earlier one. But if the connection begins to close
    /// in `receive`, the host then calls [`Connection::handle_late`] with the right one.
    pub timed: bool,
}

/// What a transport can do now, as far as the host knows. After `WouldBlock` a transport cannot, until it says that
/// it can again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a transport has two directions")]
pub struct Ready {
    /// Whether it may have something to read, or its end.
    pub read: bool,
    /// Whether it may take something.
    pub write: bool,
}

/// The one thing to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a host that leaves one out is wrong, and should not compile")]
pub enum Step {
    /// Write what [`Connection::transmits`] has, once; or flush, see [`Wants::write`].
    Write,
    /// Shut down the writing side of the transport, and say so with [`Connection::handle_shutdown`].
    End,
    /// Read once, and give what came to the connection.
    Read,
    /// Call [`Connection::handle_timeout`].
    Timeout,
    /// Wait until the transport can do what is wanted, or until [`Wants::until`].
    Wait,
}

impl Wants {
    /// What comes first of all that is wanted and that the transport can do. The order matters: answers leave before
    /// more is read, and all that has come is read before a peer is given up for its silence.
    #[must_use]
    #[inline]
    pub fn step(self, ready: Ready, now: Time) -> Step {
        match self {
            Wants { write: true, .. } if ready.write => Step::Write,
            Wants { end: true, .. } if ready.write => Step::End,
            Wants { read: true, .. } if ready.read => Step::Read,
            Wants { until: Some(until), .. } if until <= now => Step::Timeout,
            _ => Step::Wait,
        }
    }
}

impl Connection {
    /// What to do next. `None` once the connection is over: then the transport can be dropped.
    ///
    /// Call it after [`receive`](Self::receive) has returned `Ok(None)`. A host does what [`Wants::step`] says, and
    /// calls this again, until the step is to wait.
    ///
    /// ```
    /// use std::time::Duration;
    /// use openline::{Connection, Ready, Server, Step, Time};
    ///
    /// let now = Time::ZERO;
    /// let mut connection = Connection::server(&Server::default(), now);
    /// let wants = connection.wants().unwrap();
    /// assert_eq!(wants.step(Ready { read: true, write: true }, now), Step::Read);
    ///
    /// // The transport says that there is nothing to read: wait until there is, or for this long.
    /// let ready = Ready { read: false, write: true };
    /// assert_eq!(wants.step(ready, now), Step::Wait);
    /// let until = wants.until.unwrap();
    /// assert_eq!(until.since(now), Duration::from_secs(10));
    ///
    /// // No request has come, so the answer is 408 (Request Timeout).
    /// assert_eq!(wants.step(ready, until), Step::Timeout);
    /// connection.handle_timeout(until);
    /// assert_eq!(connection.wants().unwrap().step(ready, until), Step::Write);
    /// assert!(connection.next_transmit().unwrap().starts_with(b"HTTP/1.1 408 "));
    /// ```
    #[must_use]
    #[inline(always)]
    pub fn wants(&self) -> Option<Wants> {
        // Speed only; whatever does not match takes the general path. Always inlined, so that a host does not
        // pay for answers that it does not look at.
        if !self.is_usual() {
            return self.wants_of_any();
        }
        let write = self.out.has_untaken() || self.is_unflushed();
        let until = self.liveness.next_ping(&self.config);
        let wants = Some(Wants { read: true, write, end: false, until, timed: false });
        // Both paths agree: each test that drives a connection sees to it.
        debug_assert_eq!(wants, self.wants_of_any());
        wants
    }

    /// Whether the connection is open, and nothing of what is rarely there is there. Then no time limit runs but the
    /// one until the next Ping.
    #[inline(always)]
    fn is_usual(&self) -> bool {
        matches!(self.phase, Phase::Open)
            && self.reading != Reading::Paused
            && self.ahead.is_none()
            && self.cold.is_none()
            && !self.liveness.needs_time()
    }

    /// The general path of [`wants`](Self::wants).
    #[inline(never)]
    fn wants_of_any(&self) -> Option<Wants> {
        let (reads, waits) = (self.may_read(), self.out.has_untaken() || self.is_unflushed());
        // §5.5.1: after both Close frames a Pong that is still queued need not leave.
        let last = || waits && self.is_unsent();
        let end = || !self.shut_down && !self.is_unsent();
        let (read, write, end) = match &self.phase {
            Phase::Open | Phase::CloseSent { .. } | Phase::ReadOnly { .. } => (reads, waits, false),
            Phase::Draining { .. } => (!self.has_ended(), last(), self.role == Role::Server && end()),
            Phase::Failing { .. } => (!self.has_ended(), last(), end()),
            Phase::Flushing { .. } => (false, last(), end()),
            // While a request waits for a decision, nothing is read.
            Phase::Opening(begun) => (!begun.eof && begun.opening.request().is_none() && reads, waits, false),
            Phase::CutOff(_) | Phase::Closed(_) => return None,
        };
        Some(Wants { read, write, end, until: self.deadline(self.sight()), timed: !self.is_usual() })
    }

    /// The next deadline of any kind.
    #[inline]
    pub(super) fn deadline(&self, sight: Sight) -> Option<Time> {
        let limit = self.limit();
        match self.phase {
            Phase::Open => Time::earlier(limit, self.liveness.ping_deadline(&self.config, sight)),
            _ => limit,
        }
    }

    /// The next deadline that holds even while bytes come without end. That of a Pong does not, since it may be among
    /// the bytes.
    #[inline]
    fn limit(&self) -> Option<Time> {
        let usual = match self.phase {
            Phase::Open => Time::earlier(self.liveness.stall_deadline(&self.config), self.close_ahead_by()),
            _ => self.phase.deadline(),
        };
        match self.answer() {
            Some(answer) => Time::earlier(usual, Some(answer.by)),
            None => usual,
        }
    }

    /// Whether a deadline has come that holds even while bytes come without end.
    #[inline]
    pub(super) fn is_over_time(&self, now: Time) -> bool {
        self.limit().is_some_and(|limit| limit <= now)
    }
}
