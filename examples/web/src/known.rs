//! Which message has which id, as far as this node has seen: what to answer when a message comes again under its id.
//!
//! The hub decides whether an id is new. It takes two payloads for the same message only if they are equal, but a client
//! that comes back has another socket id, and so another payload. Whether it is the same message is looked up here.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use openline_live::{Id, Position};
use tokio::time::Instant;

/// The ids of all topics. Each is known as long as the hub knows it, unless there are too many.
#[derive(Default)]
pub struct Known(Mutex<Table>);

#[derive(Default)]
struct Table {
    entries: HashMap<Id, Entry>,
    /// The keys with their times, the oldest first.
    order: VecDeque<(Id, Instant)>,
}

struct Entry {
    at: Position,
    same: Id,
    since: Instant,
}

impl Known {
    /// Remembers that a message has this id. A later message under the same id takes its place.
    pub fn insert(&self, topic: &str, id: &str, at: Position, same: Id) {
        let (now, key) = (Instant::now(), key(topic, id));
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Table { entries, order } = &mut *table;
        while order.len() >= MOST || order.front().is_some_and(|(_, since)| now.duration_since(*since) > AGE) {
            let Some((oldest, since)) = order.pop_front() else { break };
            // It may have been replaced meanwhile.
            if entries.get(&oldest).is_some_and(|entry| entry.since == since) {
                entries.remove(&oldest);
            }
        }
        entries.insert(key, Entry { at, same, since: now });
        order.push_back((key, now));
    }

    /// Where the message with this id stands, and what makes it the same message.
    #[must_use]
    pub fn get(&self, topic: &str, id: &str) -> Option<(Position, Id)> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.entries.get(&key(topic, id)).map(|entry| (entry.at, entry.same))
    }
}

fn key(topic: &str, id: &str) -> Id {
    // The length tells where the name ends.
    Id::new(&format!("{}:{topic}{id}", topic.len()))
}

/// Longer than the hub knows an id.
const AGE: Duration = Duration::from_secs(310);
/// 30 MB.
const MOST: usize = 262_144;

#[cfg(test)]
mod tests {
    use super::*;
    use openline_live::Epoch;

    #[tokio::test(start_paused = true)]
    async fn an_id_is_known_for_five_minutes_in_its_topic() {
        let known = Known::default();
        let at = |offset| Position { epoch: Epoch::from_bytes([1; 16]), offset };
        known.insert("a", "b", at(1), Id::new("m"));
        assert_eq!(known.get("a", "b"), Some((at(1), Id::new("m"))));
        assert_eq!((known.get("ab", ""), known.get("", "ab"), known.get("a", "c")), (None, None, None));
        tokio::time::advance(Duration::from_secs(200)).await;
        known.insert("a", "b", at(2), Id::new("n"));
        tokio::time::advance(Duration::from_secs(200)).await;
        known.insert("a", "other", at(3), Id::new("n"));
        assert_eq!(known.get("a", "b"), Some((at(2), Id::new("n"))), "the newer one stays when the older one goes");
        tokio::time::advance(Duration::from_secs(200)).await;
        known.insert("a", "another", at(4), Id::new("n"));
        assert_eq!(known.get("a", "b"), None);
        assert!(known.get("a", "other").is_some());
    }

    #[test]
    fn there_are_not_too_many() {
        let known = Known::default();
        let at = Position { epoch: Epoch::from_bytes([1; 16]), offset: 1 };
        for id in 0..MOST + 10 {
            known.insert("t", &id.to_string(), at, Id::new(""));
        }
        let table = known.0.lock().unwrap();
        assert_eq!((table.entries.len(), table.order.len()), (MOST, MOST));
    }
}
