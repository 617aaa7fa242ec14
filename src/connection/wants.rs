//! What a host does next, as one answer.

use super::Connection;
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

/// The part of [`Wants`] that is wanted of the transport.
struct Wishes {
    read: bool,
    write: bool,
    end: bool,
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
    #[inline]
    pub fn wants(&self) -> Option<Wants> {
        // The common case is inlined, so that a host does not pay for answers that it does not look at.
        let open = matches!(self.phase, Phase::Open);
        let write = self.out.has_untaken() || self.is_unflushed();
        let wishes = Wishes { read: self.may_read(), write, end: false };
        let Wishes { read, write, end } = if open { wishes } else { self.wishes_unless_open()? };
        let until = self.deadline(self.may_read());
        Some(Wants { read, write, end, until, timed: self.liveness.needs_time() })
    }

    /// What is wanted of the transport.
    #[inline(never)]
    fn wishes_unless_open(&self) -> Option<Wishes> {
        let read = match &self.phase {
            Phase::Open | Phase::CloseSent { .. } | Phase::ReadOnly { .. } => self.may_read(),
            Phase::Draining { .. } | Phase::Failing { .. } => !self.has_ended(),
            Phase::Flushing { .. } => false,
            // A request that waits for a decision is all that may come until then.
            Phase::Opening { opening, eof, .. } => !*eof && opening.request().is_none() && self.may_read(),
            Phase::CutOff(_) | Phase::Closed(_) => return None,
        };
        Some(Wishes { read, write: self.wants_write(), end: self.wants_end() })
    }

    /// The next deadline, of whatever kind. `reads` says whether a Pong could be seen.
    #[inline]
    pub(super) fn deadline(&self, reads: bool) -> Option<Time> {
        // The common case is inlined.
        let usual = matches!(self.phase, Phase::Open) && self.ahead.is_none() && self.answer.is_none();
        if usual && !self.liveness.needs_time() {
            return self.liveness.next_ping(&self.config);
        }
        self.deadline_of_any(reads)
    }

    #[inline(never)]
    fn deadline_of_any(&self, reads: bool) -> Option<Time> {
        let usual = match self.phase {
            Phase::Open => self.liveness.deadline(&self.config, reads),
            _ => self.phase.deadline(),
        };
        let answer_by = self.answer.as_ref().map(|answer| answer.by);
        Time::earlier(usual, Time::earlier(answer_by, self.close_ahead_by()))
    }

    fn wants_write(&self) -> bool {
        match self.phase {
            // §5.5.1: both have said Close. A Pong behind it does not keep the end waiting.
            Phase::Draining { .. } | Phase::Failing { .. } | Phase::Flushing { .. } => {
                self.is_unsent() && (self.out.has_untaken() || self.is_unflushed())
            }
            _ => self.out.has_untaken() || self.is_unflushed(),
        }
    }

    fn wants_end(&self) -> bool {
        let ours = match self.phase {
            Phase::Draining { .. } => self.role == Role::Server,
            Phase::Failing { .. } | Phase::Flushing { .. } => true,
            _ => false,
        };
        ours && !self.shut_down && !self.is_unsent()
    }
}
