//! A subscriber: a set of cursors, and what it has taken of the logs but not given out yet.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};

use crate::aside::Aside;
use crate::bell::{Listener, Seat};
use crate::cursor::{Cursor, Place, Waiting};
use crate::delivery::{Delivery, Gap, Lag, Start};
use crate::keyed::{List, address};
use crate::position::Position;
use crate::sync::each;
use crate::topic::Topic;
use crate::watch::Watches;

/// Reads any number of topics: one for each connection.
///
/// Topics with something to read take turns, of 32 messages at most. What it holds beside its cursors are at most 32
/// messages of its last turn, and the [`Delivery::Joined`] that nobody has taken. If it is dropped, it leaves all topics
/// and watches none any more.
///
/// ```
/// # use bytes::Bytes;
/// # use openline_live::{Delivery, EpochSeed, Hub, Lag, Retain, Start, Subscriber};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut retain = Retain::default();
/// (retain.messages, retain.slack_messages) = (2, 1);
/// let hub = Hub::local(retain, EpochSeed::from_os()?, |_, at, _: &Bytes| at.offset);
/// let price = hub.topic("price")?;
/// let mut slow = Subscriber::new();
/// slow.join(&price, Start::Now, Lag::Skip);
/// for _ in 1..=10 {
///     price.publish(None, Bytes::new(), None).await?;
/// }
/// assert!(matches!(slow.try_next(), Some(Delivery::Joined { .. })));
/// assert!(matches!(slow.try_next(), Some(Delivery::Missed(gap)) if gap.count == 7));
/// assert_eq!(slow.try_next(), Some(Delivery::Message(8)));
/// assert_eq!(slow.try_next(), Some(Delivery::Message(9)));
/// assert_eq!(slow.try_next(), Some(Delivery::Message(10)));
/// assert_eq!(slow.try_next(), None);
/// # Ok(())
/// # }
/// ```
pub struct Subscriber<M> {
    aside: Aside<M>,
    pub(crate) bell: Listener,
    cursors: List<Cursor<M>>,
    /// How many joins wait at all cursors together.
    waiting: u32,
    /// How many messages `pump` has returned since it has sent something, or waited.
    #[cfg(feature = "pump")]
    pub(crate) heard: u32,
    #[cfg(feature = "pump")]
    pub(crate) stall: crate::stall::Stall,
    pub(crate) watches: Watches<M>,
}

/// How a cursor's turn has ended.
enum Turn {
    Taken,
    /// The cursor is not in the topic's log yet.
    Begins,
    Left,
}

impl<M> Subscriber<M> {
    /// A subscriber that has joined nothing.
    #[must_use]
    pub fn new() -> Subscriber<M> {
        Subscriber {
            aside: Aside::NOTHING,
            bell: Listener::new(),
            cursors: List::new(),
            waiting: 0,
            #[cfg(feature = "pump")]
            heard: 0,
            #[cfg(feature = "pump")]
            stall: crate::stall::Stall::default(),
            watches: Watches::NONE,
        }
    }

    /// How many topics it has joined. Those that it only watches do not count.
    #[must_use]
    pub fn topics(&self) -> usize {
        self.cursors.len()
    }

    /// Joins a topic. Its first delivery is [`Delivery::Joined`]. It is there at once, but on a hub with a backplane the
    /// topic's log must be read when somebody joins there for the first time, which the hub's `run` does. Then the answer
    /// is made when it is taken: [`Start::Now`] means the message after that.
    ///
    /// If the topic is joined already, the cursor moves: what comes after its new `Joined` is by the new start, and
    /// the new lag policy holds.
    ///
    /// Topics of two hubs may have one name. They are two topics here, and each is joined, left and read by itself. But a
    /// delivery has only the topic's name, so whoever must tell them apart takes a subscriber for each hub, or has the
    /// hubs' `make` mark the messages.
    ///
    /// Each join has its `Joined`. If 64 more of them than there are topics have not been taken, a further join of a
    /// topic replaces the topic's oldest one.
    pub fn join(&mut self, topic: &Topic<M>, start: Start, lag: Lag) {
        let old = self.cursor_of(topic);
        if let Some(key) = old {
            self.aside.drop_turn(key);
        }
        let is_full = old.is_some() && self.waiting as usize + self.aside.answers() >= self.cursors.len() + SPARE;
        let inner = &topic.0;
        let (shared, bell) = (&inner.shared, self.bell.bell());
        let (cursors, waiting) = (&mut self.cursors, &mut self.waiting);
        let (before, answer, waker) = inner.change(|state| {
            let key = match old {
                Some(key) => key,
                None => cursors.insert_with(|key| {
                    let seat = Seat { bell: Arc::clone(bell), cursor: key, rung: bell.take_over(key) };
                    let seat = state.seats.insert_with(|_| seat);
                    Cursor { topic: Arc::clone(inner), seat, lag, place: Place::NOWHERE }
                }),
            };
            let Some(cursor) = cursors.get_mut(key) else { return (Vec::new(), None, None) };
            if old.is_some() {
                // If the bell has rung for it, it keeps its turn.
                cursor.exit(state);
            }
            cursor.lag = lag;
            let place = std::mem::replace(&mut cursor.place, Place::NOWHERE);
            *waiting -= place.waiting();
            let mut starts = if let Place::Waiting(waiting) = place { waiting.starts } else { VecDeque::new() };
            let begun = state.reads.begun;
            if state.must_wait(start, begun) {
                if is_full {
                    starts.pop_front();
                }
                starts.push_back(start);
                cursor.place = Place::Waiting(Box::new(Waiting { starts, last: start, begun }));
                *waiting += cursor.place.waiting();
                return (Vec::new(), None, if state.look(begun) { shared.want(&inner.name) } else { None });
            }
            state.log.trim(&shared.retain, shared.now());
            let before = starts.into_iter().map(|start| state.begin(start)).collect::<Vec<_>>();
            let answer = state.begin(start);
            cursor.place = Place::Reading { life: state.life, next: answer.2 };
            state.enter(cursor.seat, key, bell, answer.2, lag);
            (before, Some(answer), None)
        });
        // Another task may wait with this subscriber, behind a lock of the caller's.
        let waiter = answer.and_then(|_| self.bell.waiter());
        for (at, whole, _) in before.into_iter().chain(answer) {
            self.answer(&inner.name, at, whole);
        }
        each(waker.into_iter().chain(waiter), Waker::wake);
    }

    /// Puts aside the answer to a join.
    fn answer(&mut self, name: &Arc<str>, at: Position, whole: bool) {
        self.aside.answer(name, at, whole, self.cursors.len() + SPARE);
    }

    /// Leaves a topic. Nothing more of it is delivered, not even a `Joined`. Nothing happens if it was not joined. If it is
    /// watched, it still is.
    pub fn leave(&mut self, topic: &Topic<M>) {
        let Some(key) = self.cursor_of(topic) else { return };
        if let Some(cursor) = self.cursors.remove(key) {
            self.waiting -= cursor.place.waiting();
            if cursor.leave() {
                self.bell.bell().forget(key);
            }
        }
        self.aside.drop_turn(key);
        self.aside.drop_answers(&topic.0.name);
    }

    fn cursor_of(&mut self, topic: &Topic<M>) -> Option<u32> {
        self.cursors.find(address(&topic.0))
    }
}

impl<M: Clone> Subscriber<M> {
    /// Waits for the next delivery. It waits for ever if nothing is joined or watched.
    ///
    /// It can be cancelled: what has not been returned comes next time. Only the task that has polled last is woken.
    pub async fn next(&mut self) -> Delivery<M> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// [`next`](Self::next), for futures that are written by hand.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Delivery<M>> {
        match self.take(|bell| bell.next_or_wait(cx)) {
            Some(delivery) => Poll::Ready(delivery),
            None => Poll::Pending,
        }
    }

    /// The next delivery, if there is one now.
    pub fn try_next(&mut self) -> Option<Delivery<M>> {
        self.take(Listener::next)
    }

    #[inline]
    fn take(&mut self, mut next: impl FnMut(&mut Listener) -> Option<u32>) -> Option<Delivery<M>> {
        if !self.aside.is_empty() {
            return self.aside.pop();
        }
        loop {
            let key = next(&mut self.bell)?;
            let watched = Watches::<M>::is_key(key);
            if let Some(delivery) = if watched { self.watches.next(key, self.bell.bell()) } else { self.take_turn(key) }
            {
                return Some(delivery);
            }
        }
    }

    /// Takes what this cursor has not read, 32 messages at most. The first delivery is returned and the others are put
    /// aside, so a single message costs no allocation.
    fn take_turn(&mut self, key: u32) -> Option<Delivery<M>> {
        let Cursor { topic, seat, lag, place } = self.cursors.get_mut(key)?;
        let (lag, seat) = (*lag, *seat);
        let (aside, bell, shared) = (&mut self.aside, self.bell.bell(), &topic.shared);
        let mut returned = None;
        let turn = topic.change(|state| {
            let next = match *place {
                Place::Reading { life, next } if life == state.life => next,
                _ => return Turn::Begins,
            };
            let (first, head) = (state.log.first(), state.log.head());
            // Before anything is cloned, since the cursor's number no longer stands in the bell, whatever `clone` does.
            if let Some(seat) = state.seats.get_mut(seat) {
                seat.rung = false;
            }
            let mut begin = next;
            if begin < first {
                begin = match lag {
                    Lag::Leave => {
                        state.seats.remove(seat);
                        state.log.exit(next, lag);
                        return Turn::Left;
                    }
                    Lag::Skip => first,
                    Lag::Latest => first.max(head),
                };
                let count = begin - next;
                returned = Some(Delivery::Missed(Gap { topic: Arc::clone(&topic.name), count }));
                shared.missed.fetch_add(count, Relaxed);
            }
            let mut end = begin;
            if returned.is_none()
                && let Some(message) = state.log.get(begin)
            {
                returned = Some(Delivery::Message(message.clone()));
                end += 1;
            }
            if end <= head {
                let messages = state.log.read(end, TURN - (end - begin) as usize);
                end += messages.len() as u64;
                aside.put(key, messages.rev().cloned().collect());
            }
            state.log.exit(next, lag);
            let next = end;
            state.log.enter(next, lag);
            *place = Place::Reading { life: state.life, next };
            state.log.trim_slack(&shared.retain);
            if next <= head
                && let Some(seat) = state.seats.get_mut(seat)
            {
                // Behind all others who wait for their turn.
                seat.rung = true;
                bell.ring_in_hand(key);
            }
            Turn::Taken
        });
        match turn {
            Turn::Taken => returned,
            Turn::Begins => self.begin(key),
            Turn::Left => {
                shared.left.fetch_add(1, Relaxed);
                let left = Delivery::Left(Arc::clone(&topic.name));
                self.cursors.remove(key);
                Some(left)
            }
        }
    }

    /// The topic has opened, or has another log: the cursor begins to read, and its joins are answered.
    #[cold]
    #[inline(never)]
    fn begin(&mut self, key: u32) -> Option<Delivery<M>> {
        let Cursor { topic, seat, lag, place } = self.cursors.get_mut(key)?;
        let (inner, bell) = (Arc::clone(topic), self.bell.bell());
        let waited = place.waiting();
        let (answers, waker) = inner.change(|state| {
            if let Some(seat) = state.seats.get_mut(*seat) {
                seat.rung = false;
            }
            if let Place::Waiting(waiting) = place
                && state.must_wait(waiting.last, waiting.begun)
            {
                let tell = state.look(waiting.begun);
                return (Vec::new(), if tell { inner.shared.want(&inner.name) } else { None });
            }
            state.log.trim(&inner.shared.retain, inner.shared.now());
            let answers: Vec<_> = match place {
                Place::Waiting(waiting) => waiting.starts.iter().map(|start| state.begin(*start)).collect(),
                // What the cursor has read is gone with its log, whatever it would read next.
                Place::Reading { .. } => vec![(state.log.position(), false, state.log.kept())],
            };
            let next = answers.last().map_or(state.log.kept(), |(.., next)| *next);
            *place = Place::Reading { life: state.life, next };
            state.enter(*seat, key, bell, next, *lag);
            (answers, None)
        });
        self.waiting -= waited - place.waiting();
        if let Some(waker) = waker {
            waker.wake();
        }
        for (at, whole, _) in answers {
            self.answer(&inner.name, at, whole);
        }
        self.aside.pop()
    }
}

impl<M> Default for Subscriber<M> {
    fn default() -> Subscriber<M> {
        Subscriber::new()
    }
}

impl<M> Drop for Subscriber<M> {
    fn drop(&mut self) {
        std::mem::replace(&mut self.cursors, List::new()).into_values().for_each(|cursor| _ = cursor.leave());
        // While the bell is here: else the last seat would drop it with a topic's lock held, and with it a waker, which may
        // run code of an executor.
        drop(std::mem::replace(&mut self.watches, Watches::NONE));
    }
}

impl<M> fmt::Debug for Subscriber<M> {
    // It shows no message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("topics", &self.topics()).finish_non_exhaustive()
    }
}

/// How many answers to joins are put aside beyond one for each topic.
const SPARE: usize = 64;
/// How many messages are taken under one lock.
const TURN: usize = 32;

#[cfg(all(test, not(openline_loom)))]
#[path = "../tests/many/mod.rs"]
mod tests;
