//! What can go wrong, by who asks: a topic by its name, a publisher, somebody who is here, or a restart.

use std::error::Error;
use std::fmt;

use crate::position::Position;

/// Why there is no topic of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicError {
    /// The name does not have 1 to 128 bytes.
    Name,
    /// The hub has as many topics as [`Limits::topics`](crate::Limits::topics) allows.
    TooMany,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TopicError::Name => "the name of a topic must have 1 to 128 bytes",
            TopicError::TooMany => "there are too many topics",
        })
    }
}

impl Error for TopicError {}

/// Why a message is not in the log, or may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// The payload has more bytes than [`Retain::bytes`](crate::Retain::bytes).
    TooLong,
    /// Another message was published under the same id.
    IdTaken,
    /// The log does not stand where the publisher expected it. It stands here.
    Conflict(Position),
    /// All topics together hold [`Limits::bytes`](crate::Limits::bytes), and this one has nothing that it could drop.
    Full,
    /// The engine could not be reached, or has refused it. It is certainly not in the log, and may be said again later. A
    /// local hub never says this.
    Failed,
    /// It may be in the log or not. Say it again with the same id. A local hub never says this.
    Unknown,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublishError::TooLong => f.write_str("the message is longer than a topic may keep"),
            PublishError::IdTaken => f.write_str("another message was published under this id"),
            PublishError::Conflict(at) => write!(f, "the log stands at {at}, where it was not expected"),
            PublishError::Full => f.write_str("there is no room for more messages"),
            PublishError::Failed => {
                f.write_str("the message has not reached the log: the engine is away, or has refused it")
            }
            PublishError::Unknown => f.write_str("the message may have been published or not"),
        }
    }
}

impl Error for PublishError {}

/// Why somebody cannot be here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnterError {
    /// The name does not have 1 to 128 bytes.
    Name,
    /// There are as many names as [`Limits::names_per_topic`](crate::Limits::names_per_topic) or
    /// [`Limits::names`](crate::Limits::names) allows.
    TooMany,
}

impl fmt::Display for EnterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EnterError::Name => "a name must have 1 to 128 bytes",
            EnterError::TooMany => "there are too many names",
        })
    }
}

impl Error for EnterError {}

/// Why some bytes are no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// They do not begin as a snapshot of this version does.
    Version,
    /// They have been cut or changed.
    Damaged,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SnapshotError::Version => "this is no snapshot, or one of another version",
            SnapshotError::Damaged => "the snapshot has been cut or changed",
        })
    }
}

impl Error for SnapshotError {}
