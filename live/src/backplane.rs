//! What the nodes of one site share (feature `tokio`): an engine that keeps the logs, and feeds each node with what is
//! appended.
//!
//! This file has the contract only. It knows neither topics of this process nor an engine.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::PublishError;
use crate::id::Id;
use crate::limits::Retain;
use crate::position::{Epoch, Position};

/// An engine that keeps the logs of many nodes: a server process that all of them can reach, such as Redis.
///
/// A node is one [`Hub`](crate::Hub), made by [`Hub::with`](crate::Hub::with). All nodes, the publishing one too, take
/// their messages from the feed, so all see one order. A node that finds a gap in what it is fed reads the engine's log
/// ([`after`](Self::after)), once for all of its subscribers.
///
/// # What an engine must hold to
///
/// - **One order.** The messages of a topic have the offsets 1, 2, 3, … within an epoch, and no offset has two messages.
/// - **A lost tail begins a new epoch.** An engine that may have forgotten something it has answered to (a restart, a
///   failover, an empty store) gives the topic the epoch that the caller brings as `fresh`. Otherwise it hands out old
///   offsets again, and clients skip new messages in silence. The log that is still there stays, under the new epoch,
///   and the offsets go on from its end.
/// - **History ends before its epoch does.** A topic's epoch and last offset are kept for longer than its messages and ids.
/// - **The feed is ordered, and tells when it was cut.** What is appended after [`interest`](Self::interest) has answered
///   is fed, in order, at least once. If something may have been lost on the way, [`Fed::Cut`] or [`Fed::Stale`] comes.
///   Nothing else needs to be exact: what comes twice is dropped, and a gap in the offsets is repaired.
/// - **The log is not behind the feed.** What has been fed is in the log that is read afterwards. So no log is read from
///   a replica that may lag: a log that ends before what was fed counts as one that has lost its tail.
/// - **Answers in time.** Each call ends by itself, well within the 10 seconds after which the hub gives it up.
///
/// Futures are dropped at any time. A call that was given up may have happened.
///
/// # Other engines
///
/// Nothing here is Redis's own.
///
/// - *Postgres*: a table of topics (name, epoch, last offset) and one of messages. `append` is a transaction that locks
///   the topic's row. `NOTIFY` feeds, and a payload that is too long for it becomes [`Fed::Stale`]. The epoch is tied to
///   the system identifier and the timeline, which a failover changes.
/// - *NATS JetStream*: a subject for each topic. JetStream's numbers are the stream's and not the subject's, so each
///   message has its offset in a header, and is published with the expected last sequence of its subject: who loses the
///   race reads on and tries again. `Nats-Msg-Id` with the topic before the id finds duplicates, an ordered consumer
///   feeds, and a key-value bucket with a time to live has leases and presence.
pub trait Backplane: Send + Sync + 'static {
    /// Appends a message to its topic's log and feeds it to all nodes, atomically. Answers with its position.
    ///
    /// In this order: a known id gives the position of its message, or [`PublishError::IdTaken`] if that had another
    /// [`fingerprint`](Id::fingerprint); then [`PublishError::Conflict`] if the log does not stand where [`Append::expect`] says; then it is
    /// appended, and what exceeds [`Append::retain`] goes. Ids are known for 5 minutes and 4,096 ids of a topic. A message
    /// that is known is not fed again: its payload may be another this time, and no position has two.
    ///
    /// # Errors
    ///
    /// [`Failed`](PublishError::Failed) only if the message is certainly not in the log;
    /// [`Unknown`](PublishError::Unknown) if it may be.
    fn append(&self, append: Append) -> impl Future<Output = Result<Position, PublishError>> + Send;

    /// Where a topic's log stands, and its messages after a position, the oldest first: `most` of them at most, and
    /// at least one if there is one. Both are of the same moment.
    ///
    /// Without a position, or with one of another epoch or beyond the end, the messages begin with the oldest that is
    /// kept. If the topic is unknown its epoch is `fresh` from now on.
    fn after(
        &self,
        topic: Arc<str>,
        after: Option<Position>,
        most: usize,
        fresh: Epoch,
    ) -> impl Future<Output = Result<Page, Away>> + Send;

    /// From its answer on the feed has the topics in `add`, and soon no longer those in `remove` which are not in `add`.
    ///
    /// It is called again with the same topics after it has failed, with fewer of them each time, so that one that is always
    /// refused holds up no other. [`announce`](Self::announce) is, too. The engine restores all of it by itself after its
    /// connection was lost, and tells [`Fed::Cut`] then.
    fn interest(&self, add: Vec<Arc<str>>, remove: Vec<Arc<str>>) -> impl Future<Output = Result<(), Away>> + Send;

    /// The next thing that the feed has. Only one caller waits at a time. Cancel-safe: what has not been returned comes
    /// next time.
    ///
    /// It waits as long as there is nothing, also while the engine is away. What it holds meanwhile is bounded; if it
    /// must drop something, it says [`Fed::Cut`].
    fn fed(&self) -> impl Future<Output = Fed> + Send;

    /// Says that a node is alive for so long, from now on. Answers with all nodes that are, and whether this one still was.
    /// [`Duration::ZERO`] ends its lease: the node takes leave.
    ///
    /// A hub leases before it announces anything, and renews that every 5 s for 15 s. When a node's lease has ended, what it
    /// has announced is here no more. Nothing is fed then: the other nodes find it missing in the answers to their own
    /// leases. A node that leases again announces all again, and who has gone meanwhile. So an engine may have kept what the
    /// node had announced, or not.
    fn lease(&self, node: NodeId, time: Duration) -> impl Future<Output = Result<Lease, Away>> + Send;

    /// Adds and removes names of those who are here, for one node and topic, and feeds [`Fed::Presence`] to all nodes
    /// that have the topic.
    ///
    /// They are kept as long as the node's lease. To add what is there or remove what is not changes nothing, but it is fed
    /// all the same, unless the node has no lease. No name is in both lists, and they have 1,000 names together at most.
    ///
    /// **Late is never.** The next call of a node for a topic begins when the one before has been answered or was given up.
    /// One that was given up may happen, but not after a later call of the same node for that topic, nor after the end of
    /// the lease under which it was made: else somebody who has gone would be here again, and nobody would say that he has
    /// gone. An engine that is reached over more than one connection in a node's life must see to that itself, as by a
    /// number that it gives to each call.
    ///
    /// # Errors
    ///
    /// [`Away`] also if the node has no lease: then nothing has happened. The node announces all of its names again when
    /// it has one.
    fn announce(&self, announce: Announce) -> impl Future<Output = Result<(), Away>> + Send;

    /// Who is here, by node: only at nodes whose lease has not ended, judged when their names are read or later.
    ///
    /// What has been fed to this node before the call is in the answer. The hub asks only after
    /// [`interest`](Self::interest) has answered, so what is announced later is fed.
    fn here(&self, topic: Arc<str>) -> impl Future<Output = Result<Vec<Present>, Away>> + Send;
}

/// A message to append.
#[derive(Clone)]
#[non_exhaustive]
pub struct Append {
    /// The name of the topic.
    pub topic: Arc<str>,
    /// The publisher's name for the message.
    pub id: Option<Id>,
    /// At most [`Retain::bytes`] long.
    pub payload: Bytes,
    /// Where the log must stand, if that matters.
    pub expect: Option<Position>,
    /// How much of the log is kept: `messages`, `bytes` and `age`. The slack is the nodes' own.
    pub retain: Retain,
    /// The topic's epoch if a new one begins with this message.
    pub fresh: Epoch,
}

impl Append {
    /// A message without an id, to be appended wherever the log stands. The other fields can be set.
    #[must_use]
    pub fn new(topic: Arc<str>, payload: Bytes, retain: Retain, fresh: Epoch) -> Append {
        Append { topic, id: None, payload, expect: None, retain, fresh }
    }
}

/// A part of a topic's log.
#[derive(Clone, PartialEq, Eq)]
pub struct Page {
    /// Where the whole log stands.
    pub at: Position,
    /// Messages of the epoch of `at`, without a gap between them.
    pub messages: Vec<Kept>,
}

/// A message that an engine has kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its offset.
    pub offset: u64,
    /// How old it is.
    pub age: Duration,
    /// Its payload.
    pub payload: Bytes,
}

/// What the feed of an engine brings.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fed {
    /// A message was appended.
    Message {
        /// The name of its topic.
        topic: Arc<str>,
        /// Its position.
        at: Position,
        /// Its payload.
        payload: Bytes,
    },
    /// Names have been added and removed by a node.
    Presence(Announce),
    /// Something of this topic may be missing, so the hub reads its log again, and asks who is here.
    Stale(Arc<str>),
    /// The feed stands again after it was interrupted: anything may be missing, so the hub reads all logs again,
    /// and asks who is here.
    Cut,
}

/// Who has come and gone at one node, in one topic.
#[derive(Clone, PartialEq, Eq)]
pub struct Announce {
    /// The name of the topic.
    pub topic: Arc<str>,
    /// The node at which they are.
    pub node: NodeId,
    /// Who is here now. Each name has 1 to 128 bytes.
    pub joined: Vec<Arc<str>>,
    /// Who is no longer here.
    pub gone: Vec<Arc<str>>,
}

/// Who is here at one node, in one topic.
#[derive(Clone, PartialEq, Eq)]
pub struct Present {
    /// The node at which they are.
    pub node: NodeId,
    /// Each name once, in any order.
    pub names: Vec<Arc<str>>,
}

/// One hub among many, by 16 random bytes. A restart makes a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 16]);

/// The answer to [`Backplane::lease`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The node's last lease had not ended. If it had, the node announces all again; and so it does after a lease whose answer
    /// was lost, because that may have been a new one.
    pub held: bool,
    /// All nodes whose lease has not ended, this one included.
    pub alive: Vec<NodeId>,
}

/// The engine could not be reached, or did not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away;

impl std::fmt::Display for Away {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the engine of the backplane cannot be reached")
    }
}

impl std::error::Error for Away {}
