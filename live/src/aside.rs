//! What a subscriber has taken and nobody has asked for yet. Most subscribers are idle, and hold nothing here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::delivery::Delivery;
use crate::position::Position;

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
    pub(crate) fn pop(&mut self) -> Option<Delivery<M>> {
        let taken = self.0.as_mut()?;
        let next = match taken.answers.pop() {
            Some(Answer { topic, at, whole }) => Some(Delivery::Joined { topic, at, whole }),
            None => taken.rest.pop().map(Delivery::Message),
        };
        self.free();
        next
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

/// Those of one topic are found without a search, since there may be thousands.
#[derive(Default)]
struct Answers {
    next: u64,
    in_order: BTreeMap<u64, Answer>,
    /// By the address of the topic's own name and not by its text, since topics of two hubs may have one text.
    by_topic: BTreeSet<(usize, u64)>,
}

struct Answer {
    topic: Arc<str>,
    at: Position,
    whole: bool,
}

impl Answers {
    fn push(&mut self, answer: Answer) {
        self.by_topic.insert((address(&answer.topic), self.next));
        self.in_order.insert(self.next, answer);
        self.next += 1;
    }

    fn pop(&mut self) -> Option<Answer> {
        let (number, answer) = self.in_order.pop_first()?;
        self.by_topic.remove(&(address(&answer.topic), number));
        Some(answer)
    }

    /// Returns whether there was one.
    fn drop_oldest_of(&mut self, topic: &Arc<str>) -> bool {
        let of = address(topic);
        let Some(&oldest) = self.by_topic.range((of, 0)..=(of, u64::MAX)).next() else { return false };
        self.by_topic.remove(&oldest);
        self.in_order.remove(&oldest.1);
        true
    }
}

fn address(name: &Arc<str>) -> usize {
    Arc::as_ptr(name).addr()
}
