//! What a host does next, as one answer.

use super::Connection;
use super::reading::Reading;
use super::state::Phase;
use crate::role::Role;
use crate::time::Time;

/// What a connection wants of its host. Each part stands for itself: a host that waits, waits for
/// whatever is wanted of the three that its transport and its clock can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wants {
    /// To be given what the peer sends: read, and call [`Connection::receive`], or
    /// [`receive_ahead`](Connection::receive_ahead) if that is how it [reads](Connection::set_reading) now.
    pub read: bool,
    /// To write what [`Connection::transmits`] has; or, if that is nothing, to flush the transport, for a
    /// host that tells of a [buffer](Connection::handle_buffered).
    pub write: bool,
    /// To have the writing side of the transport shut down (for TCP, a FIN): all that was to be sent
    /// has been, and it is our turn. Say so with [`Connection::handle_shutdown`].
    ///
    /// §7.1.1: of two ends that have both said Close, the server goes first; the
    /// client waits for it. An end that has failed the connection does not wait.
    pub end: bool,
    /// When to call [`Connection::handle_timeout`], if nothing else happens before. It may move both
    /// ways with every other call.
    pub until: Option<Time>,
    /// Whether [`Connection::handle_transmitted`] has a use for the time. Where a clock takes long,
    /// it need not be asked otherwise.
    pub timed: bool,
}

/// What a transport can do now, as far as a host knows: it cannot once it has said `WouldBlock`, until
/// it says otherwise.
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
    /// Wait, for what is wanted and the transport could not do, or until [`Wants::until`].
    Wait,
}

impl Wants {
    /// Which of the wishes comes first, of those that the transport can fulfil. The order matters:
    /// what was provoked leaves before more is read, and all that has come is read before anybody
    /// is given up for silence.
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
    /// What to do next; `None` once it is over, and the transport can be dropped.
    ///
    /// Asked when [`receive`](Self::receive) has returned `Ok(None)`. A host does what
    /// [`Wants::step`] says, and asks again, until that is to wait.
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
    /// // Nobody has said anything, so the answer is 408 (Request Timeout).
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
        let usual = matches!(self.phase, Phase::Open)
            && self.reading != Reading::Paused
            && self.ahead.is_none()
            && self.answer.is_none()
            && !self.liveness.needs_time();
        if !usual {
            return self.wants_of_any();
        }
        let write = self.out.has_untaken() || self.is_unflushed();
        let until = self.liveness.next_ping(&self.config);
        let wants = Some(Wants { read: true, write, end: false, until, timed: false });
        // Both paths agree: each test that drives a connection sees to it.
        debug_assert_eq!(wants, self.wants_of_any());
        wants
    }

    #[inline(never)]
    fn wants_of_any(&self) -> Option<Wants> {
        let (reads, waits) = (self.may_read(), self.out.has_untaken() || self.is_unflushed());
        // §5.5.1: once both have said Close, a Pong behind that does not keep the end waiting.
        let last = || waits && self.is_unsent();
        let end = || !self.shut_down && !self.is_unsent();
        let (read, write, end) = match &self.phase {
            Phase::Open | Phase::CloseSent { .. } | Phase::ReadOnly { .. } => (reads, waits, false),
            Phase::Draining { .. } => (!self.has_ended(), last(), self.role == Role::Server && end()),
            Phase::Failing { .. } => (!self.has_ended(), last(), end()),
            Phase::Flushing { .. } => (false, last(), end()),
            // A request that waits for a decision is all that may come until then.
            Phase::Opening { opening, eof, .. } => (!*eof && opening.request().is_none(), waits, false),
            Phase::Closed(_) => return None,
        };
        Some(Wants { read, write, end, until: self.deadline(reads), timed: self.liveness.needs_time() })
    }

    /// The next deadline, of whatever kind. `reads` says whether a Pong could be seen.
    #[inline]
    pub(super) fn deadline(&self, reads: bool) -> Option<Time> {
        let usual = match self.phase {
            Phase::Open => self.liveness.deadline(&self.config, reads),
            _ => self.phase.deadline(),
        };
        // Mostly nothing was read ahead.
        let usual = if self.ahead.is_none() { usual } else { Time::earlier(usual, self.close_ahead_by()) };
        match &self.answer {
            Some(answer) => Time::earlier(usual, Some(answer.by)),
            None => usual,
        }
    }
}
