//! What a subscriber has taken and nobody has asked for yet. Most subscribers are idle, and hold nothing here.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::delivery::Delivery;
use crate::position::Position;

/// Nothing, or one thing at least.
pub(crate) struct Aside<M>(Option<Box<Taken<M>>>);

struct Taken<M> {
    /// The answers to joins. They come before all messages.
    answers: VecDeque<Delivery<M>>,
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
    pub(crate) fn pop(&mut self) -> Option<Delivery<M>> {
        let taken = self.0.as_mut()?;
        let next = match taken.answers.pop_front() {
            None => taken.rest.pop().map(Delivery::Message),
            answer => answer,
        };
        self.free();
        next
    }

    /// Puts aside the answer to a join. If there are `most` already, it replaces the oldest one of this topic.
    pub(crate) fn answer(&mut self, topic: &Arc<str>, at: Position, whole: bool, most: usize) {
        let answers = &mut self.0.get_or_insert_with(Taken::new).answers;
        if answers.len() >= most
            && let Some(oldest) = answers.iter().position(|answer| is_of(answer, topic))
        {
            answers.remove(oldest);
        }
        answers.push_back(Delivery::Joined { topic: Arc::clone(topic), at, whole });
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
            taken.answers.retain(|answer| !is_of(answer, topic));
            self.free();
        }
    }

    fn free(&mut self) {
        if self.0.as_ref().is_some_and(|taken| taken.answers.is_empty() && taken.rest.is_empty()) {
            self.0 = None;
        }
    }
}

impl<M> Taken<M> {
    fn new() -> Box<Taken<M>> {
        Box::new(Taken { answers: VecDeque::new(), rest: Vec::new(), turn_of: 0 })
    }
}

/// By the topic's own name and not by its text, since topics of two hubs may have one text.
fn is_of<M>(answer: &Delivery<M>, name: &Arc<str>) -> bool {
    matches!(answer, Delivery::Joined { topic, .. } if Arc::ptr_eq(topic, name))
}
