//! What a subscriber asks for, and what it gets.

use std::sync::Arc;

use crate::position::Position;

/// Where a subscriber begins to read a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the next message.
    Now,
    /// With the oldest message that [`Retain`](crate::Retain) keeps.
    Oldest,
    /// After this position, usually the last one that the client has processed.
    ///
    /// If it belongs to another epoch, lies beyond the end, or messages after it are gone, reading begins with the
    /// oldest message that is kept, and [`Delivery::Joined`] says `whole: false`.
    ///
    /// The end is the engine's, if the hub has one: a node that has not come as far as the client has elsewhere asks first.
    After(Position),
}

/// What happens to a cursor that is further behind than retain and slack together allow.
///
/// There is no default. Which of these is right depends on what the messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// It goes on with the oldest message that the slack still holds. For logs of which any part is useful.
    Skip,
    /// It goes on with the newest message only. For values that replace each other, such as a price.
    Latest,
    /// It leaves the topic. For clients that should come back with their position, or start anew.
    Leave,
}

/// What comes out of a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery<M> {
    /// The topic has been joined. It is the first delivery of each join.
    ///
    /// It comes again, unasked and with `whole: false`, if a hub with a backplane finds the topic in another epoch. What is
    /// kept of that follows, whatever the cursor has read before.
    Joined {
        /// The name of the topic.
        topic: Arc<str>,
        /// Where the log stood at the join.
        at: Position,
        /// Whether nothing is gone between the position asked for and `at`. [`Start::Oldest`] asks for offset 0.
        /// [`Start::Now`] asks for `at`, so it is always whole.
        whole: bool,
    },
    /// A message, as the hub's `make` made it.
    Message(M),
    /// The cursor lagged, and these messages are gone ([`Lag::Skip`], [`Lag::Latest`]). Comes before the message that
    /// follows the gap.
    Missed(Gap),
    /// The cursor lagged and has left the topic of this name ([`Lag::Leave`]).
    ///
    /// [`Subscriber::leave`](crate::Subscriber::leave) does not cause it.
    Left(Arc<str>),
    /// Who is here. It is the first delivery of each [`watch`](crate::Subscriber::watch), and replaces all that was told of
    /// the topic before.
    ///
    /// It comes again for a watcher that has lagged, if more than 1,000 names have come and gone at once, and when all names
    /// fit after some of them did not.
    Here {
        /// The name of the topic.
        topic: Arc<str>,
        /// The first names in order, each once: 1,000 at most.
        names: Arc<[Arc<str>]>,
        /// How many are here beside them.
        more: usize,
    },
    /// Who has come and gone since the last [`Here`](Self::Here) or `Changed`: 1,000 names at most, and one at least. Each
    /// name stands once.
    ///
    /// Who is among the `more` of a `Here` may be told as gone without having been named.
    Changed {
        /// The name of the topic.
        topic: Arc<str>,
        /// Who is here now, in order.
        joined: Arc<[Arc<str>]>,
        /// Who is no longer here, in order.
        gone: Arc<[Arc<str>]>,
    },
}

/// A hole in what a subscriber sees.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The name of the topic.
    pub topic: Arc<str>,
    /// How many messages are missing, exactly.
    pub count: u64,
}
