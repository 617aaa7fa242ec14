//! What a client sends while it has no connection (feature `client`): a queue with bounds, and the numbers by which
//! messages are told apart. A message that is not sent is always given back.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use openline::{Message, Time};

/// The number of a message that was accepted. The first one is 1, and each has one more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    const FIRST: Ticket = Ticket(1);

    fn next(self) -> Ticket {
        Ticket(self.0.saturating_add(1))
    }
}

/// What becomes of a message that is sent while there is no connection, or before
/// [`ready`](crate::client::Persistent::ready).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Offline {
    /// It is given back.
    Refuse,
    /// It waits, and is sent after `ready`, in order. What also finds no room in a connection that stands waits here.
    Queue {
        /// How many messages wait at most.
        messages: usize,
        /// How many bytes of payload wait at most. A longer message is always given back.
        bytes: usize,
        /// How long a message waits at most. Then [`Event::Expired`](crate::client::Event::Expired) gives it back. It
        /// is measured by tokio's clock, which on some systems stands still while the machine sleeps.
        age: Duration,
    },
}

/// A message that was not accepted, and why. Nothing of it has been sent.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsent {
    /// Why it was not accepted.
    pub reason: UnsentReason,
    /// The message.
    pub message: Message<'static>,
}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnsentReason {
    /// There is no connection now, or [`ready`](crate::client::Persistent::ready) has not been called on it.
    Offline,
    /// The connection has no room for it now: as many bytes wait as
    /// [`high_water`](openline::Config::high_water) allows.
    Full,
    /// The queue of [`Offline::Queue`] has no room for it.
    QueueFull,
    /// The client has ended, and will not connect again.
    Over,
}

impl fmt::Debug for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unsent({:?}, {:?})", self.reason, self.message)
    }
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            UnsentReason::Offline => "the message was not sent: there is no connection now",
            UnsentReason::Full => "the message was not sent: the connection has no room for it now",
            UnsentReason::QueueFull => "the message was not sent: too much waits for a connection",
            UnsentReason::Over => "the message was not sent: the client has ended",
        })
    }
}

impl std::error::Error for Unsent {}

/// A message that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) ticket: Ticket,
    pub(crate) message: Message<'static>,
    /// How long it may wait.
    pub(crate) until: Time,
}

/// The messages that wait, in the order of their tickets.
#[derive(Debug)]
pub(crate) struct Outbox {
    offline: Offline,
    waiting: VecDeque<Waiting>,
    /// What was found too old to be sent, and not given back yet. It lies before all of `waiting`, and takes room.
    expired: VecDeque<Waiting>,
    /// In both.
    bytes: usize,
    next: Ticket,
}

impl Outbox {
    pub(crate) fn new(offline: Offline) -> Outbox {
        Outbox { offline, waiting: VecDeque::new(), expired: VecDeque::new(), bytes: 0, next: Ticket::FIRST }
    }

    /// The number of a message that need not wait.
    pub(crate) fn number(&mut self) -> Ticket {
        let number = self.next;
        self.next = number.next();
        number
    }

    /// Keeps a message that cannot be sent now, for this reason, or gives it back.
    pub(crate) fn keep(
        &mut self,
        message: Message<'static>,
        reason: UnsentReason,
        now: Time,
    ) -> Result<Ticket, Unsent> {
        let Offline::Queue { messages, bytes, age } = self.offline else { return Err(Unsent { reason, message }) };
        let all = self.bytes.saturating_add(message.len());
        if self.len() >= messages || all > bytes {
            return Err(Unsent { reason: UnsentReason::QueueFull, message });
        }
        let ticket = self.number();
        self.bytes = all;
        self.waiting.push_back(Waiting { ticket, message, until: now + age });
        Ok(ticket)
    }

    /// Takes out the first message, also if it is too old.
    pub(crate) fn take(&mut self) -> Option<Waiting> {
        let first = self.expired.pop_front().or_else(|| self.waiting.pop_front())?;
        self.bytes = self.bytes.saturating_sub(first.message.len());
        Some(first)
    }

    /// Takes out the first message that may be sent now. Those before it wait for [`take_expired`](Self::take_expired).
    pub(crate) fn take_to_send(&mut self, now: Time) -> Option<Waiting> {
        while self.expiry().is_some_and(|until| until <= now) {
            self.expired.extend(self.waiting.pop_front());
        }
        let first = self.waiting.pop_front()?;
        self.bytes = self.bytes.saturating_sub(first.message.len());
        Some(first)
    }

    /// Puts the message back that was taken last, to be sent.
    pub(crate) fn put_back(&mut self, first: Waiting) {
        self.bytes = self.bytes.saturating_add(first.message.len());
        self.waiting.push_front(first);
    }

    /// Takes out the first message if it has waited for too long. All have the same time to wait, so that no later one
    /// is too old before it.
    pub(crate) fn take_expired(&mut self, now: Time) -> Option<Waiting> {
        let is_there = !self.expired.is_empty() || self.expiry().is_some_and(|until| until <= now);
        if is_there { self.take() } else { None }
    }

    /// When the first message that may still be sent has waited for too long.
    pub(crate) fn expiry(&self) -> Option<Time> {
        self.waiting.front().map(|first| first.until)
    }

    /// Whether nothing is to be sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.expired.len()
    }
}

/// The messages that one connection was given: from the first up to behind the last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Given(Option<(Ticket, Ticket)>);

impl Given {
    pub(crate) fn note(&mut self, ticket: Ticket) {
        let first = self.0.map_or(ticket, |(first, _)| first);
        self.0 = Some((first, ticket));
    }

    pub(crate) fn range(self) -> Range<Ticket> {
        self.0.map_or(Ticket::FIRST..Ticket::FIRST, |(first, last)| first..last.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Time {
        Time::from_epoch(Duration::from_secs(seconds))
    }

    fn keep(outbox: &mut Outbox, len: usize, now: Time) -> Result<u64, UnsentReason> {
        let kept = outbox.keep("m".repeat(len).into(), UnsentReason::Offline, now);
        kept.map(Ticket::get).map_err(|unsent| {
            assert_eq!(unsent.message.len(), len, "it is given back");
            unsent.reason
        })
    }

    #[test]
    fn messages_bytes_and_age_have_bounds() {
        let age = Duration::from_secs(10);
        let mut outbox = Outbox::new(Offline::Queue { messages: 3, bytes: 10, age });
        assert_eq!(keep(&mut outbox, 11, seconds(0)), Err(UnsentReason::QueueFull));
        assert_eq!(keep(&mut outbox, 6, seconds(0)), Ok(1));
        assert_eq!(keep(&mut outbox, 5, seconds(0)), Err(UnsentReason::QueueFull));
        assert_eq!(keep(&mut outbox, 4, seconds(1)), Ok(2));
        assert_eq!(keep(&mut outbox, 0, seconds(2)), Ok(3));
        assert_eq!(keep(&mut outbox, 0, seconds(2)), Err(UnsentReason::QueueFull));
        assert!(outbox.take_expired(seconds(9)).is_none());
        assert_eq!(outbox.take_expired(seconds(10)).unwrap().ticket, Ticket(1));
        assert!(outbox.take_expired(seconds(10)).is_none());
        assert_eq!(keep(&mut outbox, 6, seconds(10)), Ok(4), "there is room again");
        let first = outbox.take().unwrap();
        assert_eq!(first.ticket, Ticket(2));
        outbox.put_back(first);
        assert_eq!((outbox.len(), outbox.bytes, outbox.expiry()), (3, 10, Some(seconds(11))));
        let order: Vec<_> = std::iter::from_fn(|| outbox.take()).map(|waiting| waiting.ticket.get()).collect();
        assert_eq!((order, outbox.bytes, outbox.is_empty()), (vec![2, 3, 4], 0, true));
    }

    #[test]
    fn what_is_too_old_is_not_sent_and_takes_room_until_it_is_given_back() {
        let mut outbox = Outbox::new(Offline::Queue { messages: 3, bytes: 10, age: Duration::from_secs(10) });
        for (len, at) in [(4, 0), (3, 0), (2, 1)] {
            keep(&mut outbox, len, seconds(at)).unwrap();
        }
        let first = outbox.take_to_send(seconds(10)).unwrap();
        assert_eq!(first.ticket, Ticket(3));
        assert_eq!((outbox.len(), outbox.bytes, outbox.is_empty()), (2, 7, true));
        outbox.put_back(first);
        assert_eq!(keep(&mut outbox, 0, seconds(10)), Err(UnsentReason::QueueFull));
        assert_eq!(outbox.take_expired(seconds(10)).unwrap().ticket, Ticket(1));
        assert_eq!(keep(&mut outbox, 4, seconds(10)), Ok(4));
        assert!(outbox.take_to_send(seconds(11)).is_some_and(|waiting| waiting.ticket == Ticket(4)));
        let order: Vec<_> = std::iter::from_fn(|| outbox.take()).map(|waiting| waiting.ticket.get()).collect();
        assert_eq!((order, outbox.bytes, outbox.len()), (vec![2, 3], 0, 0));
    }

    #[test]
    fn who_refuses_keeps_nothing() {
        let mut outbox = Outbox::new(Offline::Refuse);
        assert_eq!(keep(&mut outbox, 1, seconds(0)), Err(UnsentReason::Offline));
        assert_eq!((outbox.number(), outbox.number()), (Ticket(1), Ticket(2)), "what is refused has no number");
    }

    #[test]
    fn what_a_connection_was_given_is_a_range() {
        let mut given = Given::default();
        assert!(given.range().is_empty());
        given.note(Ticket(4));
        given.note(Ticket(5));
        assert_eq!(given.range(), Ticket(4)..Ticket(6));
        assert!(given.range().contains(&Ticket(5)));
    }

    #[test]
    fn debug_shows_no_payload() {
        let unsent = Unsent { reason: UnsentReason::Full, message: "secret".into() };
        let mut outbox = Outbox::new(Offline::Queue { messages: 1, bytes: 10, age: Duration::MAX });
        keep(&mut outbox, 5, seconds(1)).unwrap();
        let shown = format!("{unsent:?} {outbox:?}");
        assert!(!shown.contains("secret") && !shown.contains("mmmmm"), "{shown}");
        assert!(outbox.take_expired(seconds(1 << 33)).is_none(), "an age without end");
    }
}
