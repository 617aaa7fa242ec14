//! When the topics with somebody here are to be looked at, and which of them have something to tell the engine.
//!
//! A topic that has nothing to do costs a place here and no time. The one who runs the hub sleeps until the first is due,
//! and is woken if another one becomes due before that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::limits::Stamp;
use crate::sync::{Mutex, lock};

/// Rosters' locks may be held when this one's is taken, and never the other way round.
#[derive(Debug)]
pub(crate) struct Turns(Mutex<Schedule>);

#[derive(Debug)]
struct Schedule {
    /// All topics that have a roster.
    rosters: BTreeMap<Arc<str>, Standing>,
    /// Those that are due at some time, by that time.
    order: BTreeSet<(Stamp, Arc<str>)>,
    /// How many are watched.
    watched: usize,
    /// Those that may have something for the engine, and have not been taken yet.
    talk: BTreeSet<Arc<str>>,
    /// There is no turn before this.
    next: Stamp,
    waker: Option<Waker>,
}

/// What a topic's roster waits for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) due: Option<Stamp>,
    pub(crate) is_watched: bool,
    /// It has something to announce or to ask.
    pub(crate) talks: bool,
}

impl Turns {
    pub(crate) fn new(now: Stamp) -> Turns {
        Turns(Mutex::new(Schedule {
            rosters: BTreeMap::new(),
            order: BTreeSet::new(),
            watched: 0,
            talk: BTreeSet::new(),
            next: now,
            waker: None,
        }))
    }

    /// How a topic's roster stands now; `None`: there is none any more. It is called with the roster's lock held, so the
    /// last call is right. Whoever waits is returned, to be woken when no lock is held.
    #[must_use]
    pub(crate) fn note(&self, name: &Arc<str>, standing: Option<Standing>) -> Option<Waker> {
        let schedule = &mut *lock(&self.0);
        let first = schedule.order.first().map(|(due, _)| *due);
        let before = match standing {
            Some(standing) => schedule.rosters.insert(Arc::clone(name), standing),
            None => schedule.rosters.remove(name),
        };
        let (before, after) = (before.unwrap_or_default(), standing.unwrap_or_default());
        if before.due != after.due {
            before.due.map(|due| schedule.order.remove(&(due, Arc::clone(name))));
            after.due.map(|due| schedule.order.insert((due, Arc::clone(name))));
        }
        schedule.watched = schedule.watched + usize::from(after.is_watched) - usize::from(before.is_watched);
        if before.talks && !after.talks {
            // Without anybody who takes them, topics that are gone would stand here for ever.
            schedule.talk.remove(name);
        }
        let talks = after.talks && schedule.talk.insert(Arc::clone(name));
        let is_first = after.due.is_some_and(|due| first.is_none_or(|first| due < first));
        if talks || is_first { schedule.waker.take() } else { None }
    }

    /// The topics that are due, if it is time for a turn.
    pub(crate) fn take_due(&self, now: Stamp) -> Vec<Arc<str>> {
        let schedule = &mut *lock(&self.0);
        let mut due = Vec::new();
        while now >= schedule.next
            && schedule.order.first().is_some_and(|(due, _)| *due <= now)
            && let Some((_, name)) = schedule.order.pop_first()
        {
            if let Some(standing) = schedule.rosters.get_mut(&name) {
                standing.due = None;
            }
            due.push(name);
        }
        if !due.is_empty() {
            schedule.next = now.later(TURN);
        }
        due
    }

    /// When the next turn is.
    pub(crate) fn next(&self) -> Option<Stamp> {
        lock(&self.0).next_turn()
    }

    /// When the next turn is. Whoever makes one due before that wakes the task, and so does who has something to tell the
    /// engine.
    #[cfg(feature = "tokio")]
    pub(crate) fn next_or_wait(&self, waker: &Waker) -> Option<Stamp> {
        let mut schedule = lock(&self.0);
        let known = schedule.waker.as_ref().is_some_and(|known| known.will_wake(waker));
        let old = if known { None } else { schedule.waker.replace(waker.clone()) };
        let next = schedule.next_turn();
        drop(schedule);
        // Dropping a waker can run code of the executor, so it is done without the lock.
        drop(old);
        next
    }

    pub(crate) fn is_watched(&self) -> bool {
        lock(&self.0).watched > 0
    }

    /// A topic that may have something for the engine.
    #[cfg(feature = "tokio")]
    pub(crate) fn take_talk(&self) -> Option<Arc<str>> {
        lock(&self.0).talk.pop_first()
    }

    /// Whether a topic may have something for the engine that has not been taken.
    #[cfg(feature = "tokio")]
    pub(crate) fn has_talk(&self) -> bool {
        !lock(&self.0).talk.is_empty()
    }

    /// The one who runs the hub has something to do. It is to be woken when no lock is held.
    #[cfg(feature = "tokio")]
    pub(crate) fn call(&self) -> Option<Waker> {
        lock(&self.0).waker.take()
    }

    /// All topics with a roster, in order.
    #[cfg(feature = "tokio")]
    pub(crate) fn all(&self) -> Vec<Arc<str>> {
        lock(&self.0).rosters.keys().cloned().collect()
    }
}

impl Schedule {
    fn next_turn(&self) -> Option<Stamp> {
        self.order.first().map(|(due, _)| self.next.max(*due))
    }
}

/// How often watchers are told at most.
pub(crate) const TURN: Duration = Duration::from_millis(250);

#[cfg(all(test, feature = "tokio"))]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_is_gone_leaves_nothing_behind() {
        let turns = Turns::new(Stamp::from_nanos(0));
        let name: Arc<str> = "t".into();
        let standing = Standing { due: Some(Stamp::from_nanos(0)), is_watched: true, talks: true };
        for gone in [None, Some(Standing::default())] {
            assert!(turns.note(&name, Some(standing)).is_none());
            assert!(turns.note(&name, gone).is_none());
            assert_eq!((turns.take_talk(), turns.next(), turns.is_watched()), (None, None, false));
        }
    }
}
