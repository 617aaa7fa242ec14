//! What a subscriber has taken and nobody has asked for yet. Most subscribers are idle, and hold nothing here.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::delivery::Delivery;
use crate::keyed::address;
use crate::position::Position;
use crate::sync::step;

/// Nothing, or one thing at least.
pub(crate) struct Aside<M>(Option<Box<Taken<M>>>);

struct Taken<M> {
    /// The answers to joins. They come before all messages.
    answers: Answers<M>,
    /// The rest of the last turn, in reverse order.
    rest: Vec<M>,
    /// The cursor whose turn that was.
    turn_of: u32,
}

impl<M> Aside<M> {
    pub(crate) const NOTHING: Aside<M> = Aside(None);

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many answers to joins there are.
    pub(crate) fn answers(&self) -> usize {
        self.0.as_ref().map_or(0, |taken| taken.answers.len())
    }

    /// What comes next.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Delivery<M>> {
        let taken = self.0.as_mut()?;
        if taken.answers.len() > 0 {
            return self.pop_answer();
        }
        let next = taken.rest.pop();
        if taken.rest.is_empty() {
            self.0 = None;
        }
        next.map(Delivery::Message)
    }

    #[cold]
    fn pop_answer(&mut self) -> Option<Delivery<M>> {
        let next = self.0.as_mut()?.answers.pop();
        self.free();
        next
    }

    /// Puts aside the answer to a join. If there are `most` already, it replaces the oldest one of this topic.
    pub(crate) fn answer(&mut self, topic: &Arc<str>, at: Position, whole: bool, most: usize) {
        let answers = &mut self.0.get_or_insert_with(Taken::new).answers;
        if answers.len() >= most {
            answers.drop_oldest_of(topic);
        }
        answers.push(address(topic), Delivery::Joined { topic: Arc::clone(topic), at, whole });
    }

    /// Puts aside the rest of a turn, one message at least, in reverse order. There is none of another turn.
    pub(crate) fn put(&mut self, turn_of: u32, rest: Vec<M>) {
        let taken = self.0.get_or_insert_with(Taken::new);
        (taken.rest, taken.turn_of) = (rest, turn_of);
    }

    /// Drops the messages of this cursor.
    pub(crate) fn drop_turn(&mut self, of: u32) {
        if let Some(taken) = &mut self.0
            && taken.turn_of == of
        {
            taken.rest = Vec::new();
            self.free();
        }
    }

    /// Drops the answers to joins of this topic.
    pub(crate) fn drop_answers(&mut self, topic: &Arc<str>) {
        if let Some(taken) = &mut self.0 {
            while taken.answers.drop_oldest_of(topic) {}
            self.free();
        }
    }

    fn free(&mut self) {
        if self.0.as_ref().is_some_and(|taken| taken.answers.len() == 0 && taken.rest.is_empty()) {
            self.0 = None;
        }
    }
}

impl<M> Taken<M> {
    fn new() -> Box<Taken<M>> {
        Box::new(Taken { answers: Answers { queue: VecDeque::new(), index: None }, rest: Vec::new(), turn_of: 0 })
    }
}

/// Answers that nobody has taken, in order. Few are searched. Many have an index, so that a thousand topics do not cost a
/// thousand times a thousand steps.
struct Answers<M> {
    /// With an index, an answer that is dropped leaves its place empty.
    queue: VecDeque<Option<Delivery<M>>>,
    index: Option<Box<Index>>,
}

struct Index {
    /// The number of the first place in the queue.
    first: u64,
    /// The answers of each topic, by number.
    by_topic: BTreeSet<(usize, u64)>,
}

impl<M> Answers<M> {
    fn len(&self) -> usize {
        self.index.as_ref().map_or(self.queue.len(), |index| index.by_topic.len())
    }

    fn push(&mut self, of: usize, answer: Delivery<M>) {
        self.queue.push_back(Some(answer));
        match &mut self.index {
            Some(index) => _ = index.by_topic.insert((of, index.first + self.queue.len() as u64 - 1)),
            None if self.queue.len() <= FEW => {}
            None => self.make_index(),
        }
    }

    fn make_index(&mut self) {
        self.queue.retain(Option::is_some);
        let by_topic = self.queue.iter().map(address_of).zip(0..).collect();
        self.index = Some(Box::new(Index { first: 0, by_topic }));
    }

    fn pop(&mut self) -> Option<Delivery<M>> {
        loop {
            step();
            let oldest = self.queue.pop_front()?;
            if let Some(index) = &mut self.index {
                index.by_topic.remove(&(address_of(&oldest), index.first));
                index.first += 1;
            }
            if oldest.is_some() {
                return oldest;
            }
        }
    }

    /// Returns whether there was one.
    fn drop_oldest_of(&mut self, topic: &Arc<str>) -> bool {
        let of = address(topic);
        let Some(Index { first, by_topic }) = self.index.as_deref_mut() else {
            let oldest = self.queue.iter().inspect(|_| step()).position(|answer| address_of(answer) == of);
            return oldest.is_some_and(|oldest| self.queue.remove(oldest).is_some());
        };
        let Some(&oldest) = by_topic.range((of, 0)..=(of, u64::MAX)).next() else { return false };
        by_topic.remove(&oldest);
        if let Some(place) = self.queue.get_mut((oldest.1 - *first) as usize) {
            *place = None;
        }
        if self.queue.len() > 2 * by_topic.len() + FEW {
            // More than half of the places are empty, so those who emptied them have paid for this.
            self.make_index();
        }
        true
    }
}

/// The address of the topic's name in an answer, and not its text, since topics of two hubs may have one text. No name has
/// 0.
fn address_of<M>(answer: &Option<Delivery<M>>) -> usize {
    match answer {
        Some(Delivery::Joined { topic, .. }) => address(topic),
        _ => 0,
    }
}

/// So many answers are searched without an index.
const FEW: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Epoch;

    /// Against a list that is searched, from none to many more than have no index, and back.
    #[test]
    fn answers_keep_their_order_and_the_oldest_of_a_topic_is_found() {
        let topics: Vec<Arc<str>> = (0..8).map(|_| "all of one name".into()).collect();
        let (mut aside, mut model) = (Aside::<()>::NOTHING, Vec::new());
        let mut random = 1u64;
        for offset in 0..20_000u64 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let topic = (random >> 33) as usize % topics.len();
            let at = Position { epoch: Epoch::from_bytes([0; 16]), offset };
            match random >> 60 {
                0..=7 => {
                    aside.answer(&topics[topic], at, true, 60);
                    if model.len() >= 60 {
                        let oldest = model.iter().position(|(of, _)| *of == topic);
                        oldest.map(|oldest| model.remove(oldest));
                    }
                    model.push((topic, offset));
                }
                8 if offset % 8 == 0 => {
                    aside.drop_answers(&topics[topic]);
                    model.retain(|(of, _)| *of != topic);
                }
                // For a while, more are taken than come.
                8..=14 if offset % 2000 < 1200 => {}
                _ => {
                    let next = (!model.is_empty()).then(|| model.remove(0));
                    let taken = aside.pop().map(|delivery| match delivery {
                        Delivery::Joined { topic, at, .. } => (address(&topic), at.offset),
                        other => panic!("{other:?}"),
                    });
                    assert_eq!(taken, next.map(|(topic, offset)| (address(&topics[topic]), offset)));
                }
            }
            assert_eq!((aside.answers(), aside.is_empty()), (model.len(), model.is_empty()));
        }
    }
}
