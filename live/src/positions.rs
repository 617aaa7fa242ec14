//! How far a client has processed each of its topics (feature `client`), and what the next message means.

use std::collections::BTreeMap;

use crate::delivery::Start;
use crate::error::TopicError;
use crate::limits::MAX_NAME;
use crate::position::Position;

/// The topics of a client, and the last position of each that it has *processed*: from there it goes on after a
/// reconnect.
///
/// ```
/// use openline_live::client::{Positions, Seen};
/// use openline_live::{Epoch, Position, Start};
///
/// let at = |offset| Position { epoch: Epoch::from_bytes([1; 16]), offset };
/// let mut positions = Positions::new(10);
/// positions.join("news", Start::Now)?;
/// positions.joined("news", at(6));                 // the server's answer
/// assert_eq!(positions.see("news", at(7)), Seen::Fresh);
/// positions.processed("news", at(7));              // once it is
/// assert_eq!(positions.see("news", at(7)), Seen::Duplicate);
/// assert_eq!(positions.see("news", at(10)), Seen::Gap { missing: 2 });
/// assert_eq!(positions.start("news"), Some(Start::After(at(7))));
/// # Ok::<(), openline_live::TopicError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Positions {
    topics: BTreeMap<Box<str>, Start>,
    most: usize,
}

/// What a message is, judged by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seen {
    /// It is the next one, or the first of its topic.
    Fresh,
    /// It has been processed before.
    Duplicate,
    /// It is fresh, and messages before it are missing.
    Gap {
        /// How many.
        missing: u64,
    },
    /// It is fresh, and belongs to another log than the last one: nobody can say what lies between the two.
    OtherEpoch,
    /// Nobody has joined this topic.
    NotJoined,
}

impl Positions {
    /// No topic, and room for `most`.
    #[must_use]
    pub fn new(most: usize) -> Positions {
        Positions { topics: BTreeMap::new(), most }
    }

    /// Adds a topic. `start` is where to begin as long as nothing is known; after a restart of the program,
    /// [`Start::After`] the position that was kept on disk. A topic that is there already stays as it is.
    ///
    /// # Errors
    ///
    /// As [`Hub::topic`](crate::Hub::topic): a name of 0 bytes or more than 128, or there is no room. No other topic is
    /// forgotten to make room: its messages would be lost in silence.
    pub fn join(&mut self, topic: &str, start: Start) -> Result<(), TopicError> {
        if self.topics.contains_key(topic) {
            return Ok(());
        }
        if topic.is_empty() || topic.len() > MAX_NAME {
            return Err(TopicError::Name);
        }
        if self.topics.len() >= self.most {
            return Err(TopicError::TooMany);
        }
        self.topics.insert(topic.into(), start);
        Ok(())
    }

    /// Forgets a topic.
    pub fn leave(&mut self, topic: &str) {
        self.topics.remove(topic);
    }

    /// Where to join this topic now; `None` if it is not there.
    #[must_use]
    pub fn start(&self, topic: &str) -> Option<Start> {
        self.topics.get(topic).copied()
    }

    /// All topics, and where to join each now.
    pub fn rejoin(&self) -> impl ExactSizeIterator<Item = (&str, Start)> {
        self.topics.iter().map(|(topic, start)| (&**topic, *start))
    }

    /// The server has answered the join, or says that the epoch has changed. `at` is where its log stands. So a client
    /// can come back that has not received anything yet.
    ///
    /// What was processed in another epoch, or beyond the end of this log, does not count any more. Whether anything is
    /// gone, the server says (`whole`).
    pub fn joined(&mut self, topic: &str, at: Position) {
        let Some(start) = self.topics.get_mut(topic) else { return };
        match start {
            Start::Now => *start = Start::After(at),
            Start::After(last) if last.epoch == at.epoch && last.offset <= at.offset => {}
            // The messages up to `at` are still to come.
            Start::Oldest | Start::After(_) => *start = Start::After(Position { epoch: at.epoch, offset: 0 }),
        }
    }

    /// What a message at this position is. It changes nothing.
    #[must_use]
    pub fn see(&self, topic: &str, at: Position) -> Seen {
        let last = match self.topics.get(topic) {
            None => return Seen::NotJoined,
            Some(Start::Now | Start::Oldest) => return Seen::Fresh,
            Some(Start::After(last)) => last,
        };
        if last.epoch != at.epoch {
            return Seen::OtherEpoch;
        }
        match at.offset.checked_sub(last.offset) {
            None | Some(0) => Seen::Duplicate,
            Some(1) => Seen::Fresh,
            Some(ahead) => Seen::Gap { missing: ahead - 1 },
        }
    }

    /// The message at this position has been processed, and all before it. A position that lies before the last one
    /// changes nothing.
    pub fn processed(&mut self, topic: &str, at: Position) {
        if matches!(self.see(topic, at), Seen::Fresh | Seen::Gap { .. } | Seen::OtherEpoch)
            && let Some(start) = self.topics.get_mut(topic)
        {
            *start = Start::After(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Epoch;

    fn at(epoch: u8, offset: u64) -> Position {
        Position { epoch: Epoch::from_bytes([epoch; 16]), offset }
    }

    fn joined(start: Start, log: Position) -> Positions {
        let mut positions = Positions::new(1);
        positions.join("t", start).unwrap();
        positions.joined("t", log);
        positions
    }

    #[test]
    fn a_position_is_fresh_once_and_gaps_are_counted() {
        let mut positions = joined(Start::Oldest, at(1, 9));
        for (seen, offset) in [
            (Seen::Fresh, 1),
            (Seen::Duplicate, 1),
            (Seen::Fresh, 2),
            (Seen::Gap { missing: 2 }, 5),
            (Seen::Duplicate, 4),
            (Seen::Duplicate, 0),
            (Seen::Fresh, 6),
            (Seen::Gap { missing: u64::MAX - 7 }, u64::MAX),
            (Seen::Duplicate, u64::MAX),
        ] {
            assert_eq!(positions.see("t", at(1, offset)), seen, "{offset}");
            positions.processed("t", at(1, offset));
        }
        assert_eq!(positions.start("t"), Some(Start::After(at(1, u64::MAX))));
    }

    #[test]
    fn what_was_seen_and_not_processed_comes_again() {
        let mut positions = joined(Start::Now, at(1, 4));
        assert_eq!(positions.see("t", at(1, 5)), Seen::Fresh);
        assert_eq!(positions.start("t"), Some(Start::After(at(1, 4))));
        positions.processed("t", at(1, 5));
        positions.processed("t", at(1, 3));
        assert_eq!(positions.start("t"), Some(Start::After(at(1, 5))), "it never goes back");
    }

    #[test]
    fn the_answer_to_a_join_is_a_position_already() {
        for (start, log, then) in [
            (Start::Now, at(1, 4), at(1, 4)),
            (Start::Oldest, at(1, 4), at(1, 0)),
            // After a reconnect: all is there, or the messages before the oldest are gone.
            (Start::After(at(1, 2)), at(1, 4), at(1, 2)),
            (Start::After(at(1, 4)), at(1, 4), at(1, 4)),
            // Another life of the log, or one that has lost its end.
            (Start::After(at(1, 2)), at(2, 4), at(2, 0)),
            (Start::After(at(1, 5)), at(1, 4), at(1, 0)),
        ] {
            let positions = joined(start, log);
            assert_eq!(positions.start("t"), Some(Start::After(then)), "{start:?} {log}");
        }
    }

    #[test]
    fn another_epoch_is_told() {
        let mut positions = joined(Start::After(at(1, 2)), at(1, 4));
        assert_eq!(positions.see("t", at(2, 3)), Seen::OtherEpoch);
        positions.processed("t", at(2, 3));
        assert_eq!(positions.see("t", at(2, 3)), Seen::Duplicate);
    }

    #[test]
    fn the_number_of_topics_has_a_bound() {
        let mut positions = Positions::new(100);
        let names: Vec<_> = (0..1000).map(|at| format!("{at:03}")).collect();
        for (count, name) in names.iter().enumerate() {
            let expected = if count < 100 { Ok(()) } else { Err(TopicError::TooMany) };
            assert_eq!(positions.join(name, Start::Now), expected);
            positions.joined(name, at(1, 1));
            positions.processed(name, at(1, 2));
        }
        assert_eq!(positions.rejoin().len(), 100);
        assert_eq!(positions.join("000", Start::Now), Ok(()), "it is there");
        assert_eq!(positions.start("000"), Some(Start::After(at(1, 2))), "and stays as it is");
        assert_eq!((positions.start("500"), positions.see("500", at(1, 3))), (None, Seen::NotJoined));
        positions.leave("000");
        assert_eq!(positions.join("500", Start::Oldest), Ok(()));
        assert_eq!(positions.join(&"n".repeat(129), Start::Now), Err(TopicError::Name));
        assert_eq!(positions.join("", Start::Now), Err(TopicError::Name));
        assert!(positions.rejoin().map(|(topic, _)| topic).is_sorted());
    }
}
