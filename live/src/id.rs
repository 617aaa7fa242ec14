//! Ids of messages, and what a topic remembers of them.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use sha1::{Digest, Sha1};

use crate::error::PublishError;
use crate::limits::Stamp;
use crate::position::Position;

/// A publisher's name for one message, by which a topic knows the message if it is published again.
///
/// No two publishers may use the same one, so take a random UUID. An id is known for 5 minutes, among the last 4,096 of
/// its topic. The text may have any length; 16 bytes of its SHA-1 are kept.
///
/// ```
/// use openline_live::Id;
///
/// assert_eq!(Id::new("8c1c43c4-2b1b"), Id::new("8c1c43c4-2b1b"));
/// assert_ne!(Id::new("8c1c43c4-2b1b"), Id::new("8c1c43c4-2b1c"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    key: Key,
    content: Option<[u8; 16]>,
}

/// What a topic knows an id by.
pub(crate) type Key = [u8; 16];

impl Id {
    /// The id that is written like this.
    #[must_use]
    pub fn new(text: &str) -> Id {
        Id { key: hash(text.as_bytes()), content: None }
    }

    /// Says by which part of it the message is the same one when it comes again. Without this it is the whole payload.
    ///
    /// For payloads that hold more than the publisher has said, such as the number of the connection: after a reconnect
    /// the same message then has another payload.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use openline_live::{EpochSeed, Hub, Id, PublishError, Retain};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let hub = Hub::local(Retain::default(), EpochSeed::from_os()?, |_, _, payload: &Bytes| payload.clone());
    /// let room = hub.topic("room")?;
    /// let id = Id::new("8c1c43c4-2b1b").of(b"hello");
    /// let said = room.publish(Some(id), Bytes::from("socket 1: hello"), None).await?;
    /// assert_eq!(room.publish(Some(id), Bytes::from("socket 2: hello"), None).await, Ok(said));
    /// let other = Id::new("8c1c43c4-2b1b").of(b"good morning");
    /// let answer = room.publish(Some(other), Bytes::from("socket 2: good morning"), None).await;
    /// assert_eq!(answer, Err(PublishError::IdTaken));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn of(self, content: &[u8]) -> Id {
        Id { content: Some(hash(content)), ..self }
    }

    /// The 16 bytes by which a topic knows the id, for engines.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.key
    }

    /// The 16 bytes by which this message is known to be the same one when its id comes again, for engines.
    #[must_use]
    pub fn fingerprint(self, payload: &[u8]) -> [u8; 16] {
        self.content.unwrap_or_else(|| hash(payload))
    }
}

/// Tells messages apart that were published under the same id.
fn hash(bytes: &[u8]) -> [u8; 16] {
    let long: [u8; 20] = Sha1::digest(bytes).into();
    std::array::from_fn(|at| long.get(at).copied().unwrap_or_default())
}

/// The message that was published under an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) offset: u64,
    pub(crate) hash: [u8; 16],
}

/// The ids that a topic still knows.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    seen: HashMap<Key, Seen>,
    /// The same ids, the oldest first.
    order: VecDeque<(Key, Stamp)>,
}

impl Ids {
    pub(crate) fn get(&self, id: Key) -> Option<Seen> {
        self.seen.get(&id).copied()
    }

    /// Where the message stands that has this id already, in a log that stands at `at`.
    ///
    /// # Errors
    ///
    /// It was another message.
    pub(crate) fn known(&self, id: Key, hash: [u8; 16], at: Position) -> Option<Result<Position, PublishError>> {
        let seen = self.get(id)?;
        Some(if seen.hash == hash { Ok(Position { offset: seen.offset, ..at }) } else { Err(PublishError::IdTaken) })
    }

    /// Remembers an id that is not known yet.
    pub(crate) fn insert(&mut self, id: Key, seen: Seen, now: Stamp) {
        if self.order.len() >= MOST {
            self.forget_oldest();
        }
        self.seen.insert(id, seen);
        self.order.push_back((id, now));
    }

    /// Forgets what is too old.
    pub(crate) fn expire(&mut self, now: Stamp) {
        while self.order.front().is_some_and(|(_, at)| now.since(*at) > AGE) {
            self.forget_oldest();
        }
        // A burst does not hold its memory for ever. Both tables have as many ids.
        if self.order.is_empty() || self.order.len() < self.order.capacity() / 4 {
            self.order.shrink_to(self.order.len() * 2);
            self.seen.shrink_to(self.order.len() * 2);
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((id, _)) = self.order.pop_front() {
            self.seen.remove(&id);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// What counts against [`Limits::bytes`](crate::Limits::bytes).
    pub(crate) fn weight(&self) -> usize {
        self.order.len() * WEIGHT
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, Stamp, Seen)> {
        self.order.iter().filter_map(|(id, at)| Some((*id, *at, self.get(*id)?)))
    }
}

/// How long, and how many ids are known.
const AGE: Duration = Duration::from_secs(300);
const MOST: usize = 4096;
/// Bytes of one id in two tables, with their free places.
pub(crate) const WEIGHT: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;
    use openline::Time;

    fn key(text: &str) -> Key {
        Id::new(text).to_bytes()
    }

    fn seen(offset: u64) -> Seen {
        Seen { offset, hash: hash(&offset.to_be_bytes()) }
    }

    #[test]
    fn ids_are_known_for_five_minutes_and_4096_ids() {
        let mut ids = Ids::default();
        let at = |seconds| Stamp::from(Time::ZERO + Duration::from_secs(seconds));
        ids.insert(key("first"), seen(1), at(0));
        for number in 2..=4096 {
            ids.insert(key(&number.to_string()), seen(number), at(1));
        }
        assert_eq!(ids.get(key("first")), Some(seen(1)));
        ids.insert(key("another"), seen(4097), at(2));
        assert_eq!((ids.get(key("first")), ids.get(key("2"))), (None, Some(seen(2))));
        assert_eq!((ids.seen.len(), ids.order.len()), (4096, 4096));
        ids.expire(at(301));
        assert_eq!(ids.get(key("2")), Some(seen(2)), "exactly five minutes are kept");
        ids.expire(at(302));
        assert_eq!(ids.iter().map(|(id, ..)| id).collect::<Vec<_>>(), [key("another")]);
        assert!(ids.order.capacity() <= 64 && ids.seen.capacity() <= 64, "one id holds no room for thousands");
        ids.expire(at(303));
        assert!(ids.is_empty() && ids.weight() == 0 && ids.order.capacity() == 0);
    }
}
