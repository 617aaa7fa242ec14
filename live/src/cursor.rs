//! A subscriber's place in one topic.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::delivery::{Lag, Start};
use crate::keyed::{Keyed, address};
use crate::topic::{Inner, State};

pub(crate) struct Cursor<M> {
    pub(crate) topic: Arc<Inner<M>>,
    /// The topic's number for this cursor.
    pub(crate) seat: u32,
    pub(crate) lag: Lag,
    pub(crate) place: Place,
}

/// Where a cursor stands.
///
/// ```text
///   Waiting ──the topic opens: Joined──► Reading ──another log: Joined, not whole──► Reading
/// ```
pub(crate) enum Place {
    /// The topic's log is not known yet, or not so far. Each of these joins is answered when it is.
    Waiting(Box<Waiting>),
    /// The offset of the message to read next, in this one of the topic's logs.
    Reading { life: u32, next: u64 },
}

/// On the heap, since few wait and many read.
pub(crate) struct Waiting {
    pub(crate) starts: VecDeque<Start>,
    /// The last one, and how many reads of the engine's log had begun then.
    pub(crate) last: Start,
    pub(crate) begun: u64,
}

impl Place {
    /// Before the join is done.
    pub(crate) const NOWHERE: Place = Place::Reading { life: u32::MAX, next: 0 };

    /// How many joins wait here. [`Subscriber::join`](crate::Subscriber::join) lets in no more than 64 for each topic, so
    /// they are far from what the type holds.
    pub(crate) fn waiting(&self) -> u32 {
        match self {
            Place::Waiting(waiting) => waiting.starts.len() as u32,
            Place::Reading { .. } => 0,
        }
    }
}

impl<M> Keyed for Cursor<M> {
    fn address(&self) -> usize {
        address(&self.topic)
    }
}

impl<M> Cursor<M> {
    /// Returns whether the bell has rung for it. Publishers ring under the topic's lock, so none of them rings any more.
    pub(crate) fn leave(self) -> bool {
        let shared = &self.topic.shared;
        self.topic.change(|state| {
            let seat = state.seats.remove(self.seat);
            self.exit(state);
            state.log.trim_slack(&shared.retain);
            seat.is_some_and(|seat| seat.rung)
        })
    }

    /// Nothing is kept for this cursor any more.
    pub(crate) fn exit(&self, state: &mut State<M>) {
        match self.place {
            Place::Reading { life, next } if life == state.life => state.log.exit(next, self.lag),
            // It is counted in no log.
            Place::Reading { .. } | Place::Waiting(_) => {}
        }
    }
}
