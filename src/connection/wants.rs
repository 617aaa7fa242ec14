//! What a connection wants from its host.

use super::Connection;
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
    /// earlier or later.
    pub until: Option<Time>,
    /// Whether [`Connection::handle_transmitted`] needs the right time. If not, the host need not ask its clock, which
    /// takes time.
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

/// The part of [`Wants`] that concerns the transport.
struct Wishes {
    read: bool,
    write: bool,
    end: bool,
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
    #[inline]
    pub fn wants(&self) -> Option<Wants> {
        // The common case is inlined, so that fields which a host does not use take no time.
        let open = matches!(self.phase, Phase::Open);
        let write = self.out.has_untaken() || self.is_unflushed();
        let wishes = Wishes { read: self.may_read(), write, end: false };
        let Wishes { read, write, end } = if open { wishes } else { self.wishes_unless_open()? };
        let until = self.deadline(self.may_read());
        Some(Wants { read, write, end, until, timed: self.liveness.needs_time() })
    }

    /// What is wanted from the transport, unless the connection is open.
    #[inline(never)]
    fn wishes_unless_open(&self) -> Option<Wishes> {
        let read = match &self.phase {
            Phase::Open | Phase::CloseSent { .. } | Phase::ReadOnly { .. } => self.may_read(),
            Phase::Draining { .. } | Phase::Failing { .. } => !self.has_ended(),
            Phase::Flushing { .. } => false,
            // While a request waits for a decision, nothing is read.
            Phase::Opening { opening, eof, .. } => !*eof && opening.request().is_none(),
            Phase::Closed(_) => return None,
        };
        Some(Wishes { read, write: self.wants_write(), end: self.wants_end() })
    }

    /// The next deadline of any kind. `reads` says whether this end reads, so that it could see a Pong.
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
            // §5.5.1: after both Close frames a Pong that is still queued need not leave.
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
