//! What the client that comes back is told, and what it tells (feature `client`).

use std::ops::Range;
use std::time::Duration;

use openline::Message;

use crate::backoff::Pace;
use crate::outbox::{Offline, Ticket};
use crate::verdict::Why;

/// How a [`Persistent`](crate::client::Persistent) client behaves.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How fast it comes back.
    pub pace: Pace,
    /// What becomes of messages while there is no connection. Default: [`Offline::Refuse`].
    pub offline: Offline,
    /// How long one attempt may take, with all that the caller's part of it does. Default: 60 s. openline has a
    /// [time limit](openline::HandshakeConfig::timeout) of its own for its part, 10 s.
    pub attempt: Duration,
    /// How long after a [`wake`](crate::client::Persistent::wake) whatever is under way may give no sign of life.
    /// Default: 5 s.
    pub probe: Duration,
}

impl Default for Options {
    fn default() -> Options {
        let (attempt, probe) = (Duration::from_secs(60), Duration::from_secs(5));
        Options { pace: Pace::default(), offline: Offline::Refuse, attempt, probe }
    }
}

/// What a [`Persistent`](crate::client::Persistent) client has to tell.
///
/// `unknown` are the messages that the connection was given, which may have arrived or not. It is empty if there was
/// none. Messages that came back as [`Expired`](Self::Expired) were not given to any connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// There is a connection. Rejoin with [`send_ahead`](crate::client::Persistent::send_ahead), then call
    /// [`ready`](crate::client::Persistent::ready).
    Connected {
        /// Whether there was one before.
        again: bool,
    },
    /// A message has come.
    Message(Message<'static>),
    /// A message has waited for a connection for too long, and has not been sent.
    Expired {
        /// Its number.
        ticket: Ticket,
        /// The message.
        message: Message<'static>,
    },
    /// The connection is lost, or an attempt has failed. There will be another one.
    Lost {
        /// What happened.
        why: Why,
        /// What may have arrived or not.
        unknown: Range<Ticket>,
        /// How long it will be until the next attempt.
        retry_in: Duration,
    },
    /// The server has ended the connection, as it is its right. The client stays away.
    Ended {
        /// What happened.
        why: Why,
        /// What may have arrived or not.
        unknown: Range<Ticket>,
    },
    /// The connection is lost, or an attempt has failed, and it would happen again. The client stays away.
    Fatal {
        /// What happened.
        why: Why,
        /// What may have arrived or not.
        unknown: Range<Ticket>,
    },
}
