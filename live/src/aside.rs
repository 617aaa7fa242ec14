//! What a subscriber has taken and nobody has asked for yet. Most subscribers are idle, and hold nothing here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::delivery::Delivery;
use crate::position::Position;
use crate::sync::step;

/// Nothing, or one thing at least.
pub(crate) struct Aside<M>(Option<Box<Taken<M>>>);

struct Taken<M> {
    /// The answers to joins. They come before all messages.
    answers: Answers,
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
        self.0.as_ref().map_or(0, |taken| taken.answers.in_order.len())
    }

    /// What comes next.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Delivery<M>> {
        let taken = self.0.as_mut()?;
        if !taken.answers.in_order.is_empty() {
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
        let Answer { topic, at, whole } = self.0.as_mut()?.answers.pop()?;
        self.free();
        Some(Delivery::Joined { topic, at, whole })
    }

    /// Puts aside the answer to a join. If there are `most` already, it replaces the oldest one of this topic.
    pub(crate) fn answer(&mut self, topic: &Arc<str>, at: Position, whole: bool, most: usize) {
        let answers = &mut self.0.get_or_insert_with(Taken::new).answers;
        if answers.in_order.len() >= most {
            answers.drop_oldest_of(topic);
        }
        answers.push(Answer { topic: Arc::clone(topic), at, whole });
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
        if self.0.as_ref().is_some_and(|taken| taken.answers.in_order.is_empty() && taken.rest.is_empty()) {
            self.0 = None;
        }
    }
}

impl<M> Taken<M> {
    fn new() -> Box<Taken<M>> {
        Box::new(Taken { answers: Answers::default(), rest: Vec::new(), turn_of: 0 })
    }
}

/// Few are searched. Many have an index, so that a thousand topics do not cost a thousand times a thousand steps.
#[derive(Default)]
struct Answers {
    next: u64,
    in_order: BTreeMap<u64, Answer>,
    /// Those of each topic, in order.
    index: Option<BTreeSet<(usize, u64)>>,
}

struct Answer {
    topic: Arc<str>,
    at: Position,
    whole: bool,
}

impl Answers {
    fn push(&mut self, answer: Answer) {
        let number = self.next;
        self.next += 1;
        match &mut self.index {
            Some(index) => _ = index.insert((address(&answer.topic), number)),
            None if self.in_order.len() < FEW => {}
            None => {
                let all = self.in_order.iter().chain([(&number, &answer)]);
                self.index = Some(all.map(|(number, answer)| (address(&answer.topic), *number)).collect());
            }
        }
        self.in_order.insert(number, answer);
    }

    fn pop(&mut self) -> Option<Answer> {
        let (number, answer) = self.in_order.pop_first()?;
        if let Some(index) = &mut self.index {
            index.remove(&(address(&answer.topic), number));
        }
        Some(answer)
    }

    /// Returns whether there was one.
    fn drop_oldest_of(&mut self, topic: &Arc<str>) -> bool {
        let of = address(topic);
        let oldest = match &mut self.index {
            Some(index) => {
                let oldest = index.range((of, 0)..=(of, u64::MAX)).next().copied();
                oldest.filter(|oldest| index.remove(oldest)).map(|(_, number)| number)
            }
            None => {
                let mut few = self.in_order.iter().inspect(|_| step());
                few.find(|(_, answer)| address(&answer.topic) == of).map(|(number, _)| *number)
            }
        };
        oldest.is_some_and(|oldest| self.in_order.remove(&oldest).is_some())
    }
}

/// So many answers are searched without an index.
const FEW: usize = 16;

/// The address of the topic's own name, and not its text, since topics of two hubs may have one text.
fn address(name: &Arc<str>) -> usize {
    Arc::as_ptr(name).addr()
}

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
