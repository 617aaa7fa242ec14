//! Which topics the engine feeds to this node, and which it should.
//!
//! ```text
//!   changed ──────take──────► being told ──answered──► told, or not told
//!      (not while in doubt)        │  ▲
//!                            failed│  │take, after a pause
//!                                  ▼  │
//!                                 again: some at a time, down to one
//! ```
//!
//! A call that fails has a name that the engine refuses, or the engine is away. Until it has answered something, nobody
//! knows which, and nothing is taken from `changed`: each call may have happened, so all of its names must be remembered.
//! So while the engine is away there are not more of them than one call has, and while it is there, no name waits for
//! another one that is refused.
//!
//! A name stands in `changed` after its topic was joined for the first time, or swept. What the topic wants is looked up
//! only when the engine is told, one call at a time, so a topic that is swept and joined again meanwhile is never lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::round::{Lane, Round};
use crate::sync::{Mutex, lock};

/// Topics' locks may be held when this one's is taken, and never the other way round.
#[derive(Debug, Default)]
pub(crate) struct Interest(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    /// What the engine has been told.
    told: BTreeMap<Arc<str>, Told>,
    changed: BTreeSet<Arc<str>>,
    /// Names of calls that have failed.
    again: Round,
    /// The engine has answered nothing since a call has failed.
    is_in_doubt: bool,
    waker: Option<Waker>,
}

/// Whether the engine feeds a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A call has failed, or is under way.
    Perhaps,
    Yes,
}

/// A name, and what the engine had been told of it.
pub(crate) type Taken = (Arc<str>, Option<Told>);

impl Interest {
    /// A topic has been joined for the first time, or is gone. Whoever waits is returned, to be woken when no lock is
    /// held.
    #[must_use]
    pub(crate) fn change(&self, name: &Arc<str>) -> Option<Waker> {
        let mut names = lock(&self.0);
        names.changed.insert(Arc::clone(name));
        names.waker.take()
    }

    /// A topic is gone. It leaves nothing behind if the engine has never heard of it.
    #[must_use]
    pub(crate) fn gone(&self, name: &Arc<str>) -> Option<Waker> {
        let mut names = lock(&self.0);
        if !names.told.contains_key(name) {
            names.changed.remove(name);
            return None;
        }
        names.changed.insert(Arc::clone(name));
        names.waker.take()
    }

    /// Nothing that was told counts any more, and all of it is told again.
    pub(crate) fn begin_again(&self) {
        let Names { told, changed, again, is_in_doubt, .. } = &mut *lock(&self.0);
        (*again, *is_in_doubt) = (Round::default(), false);
        told.values_mut().for_each(|told| *told = Told::Perhaps);
        changed.extend(told.keys().cloned());
    }

    /// Takes names that are to be told, so many at most, and what the engine had been told of them. They count as perhaps
    /// told until [`settle`](Self::settle). Without any, the task is woken by the next change. `again`: those of calls that
    /// have failed first. After such a call has failed again there is a pause for the others.
    pub(crate) fn take(&self, most: usize, again: bool, cx: &Context<'_>) -> (Lane, Vec<Taken>) {
        let mut guard = lock(&self.0);
        let names = &mut *guard;
        let mut taken = if again { names.again.take(most) } else { BTreeSet::new() };
        let lane = if taken.is_empty() { Lane::New } else { Lane::Again };
        while lane == Lane::New
            && !names.is_in_doubt
            && taken.len() < most
            && let Some(name) = names.changed.pop_first()
        {
            // What it wants is looked up when it is told again.
            if !names.again.contains(&name) {
                taken.insert(name);
            }
        }
        let before = |name: Arc<str>| (Arc::clone(&name), names.told.insert(name, Told::Perhaps));
        let taken: Vec<_> = taken.into_iter().map(before).collect();
        let old = if taken.is_empty() { names.waker.replace(cx.waker().clone()) } else { None };
        drop(guard);
        // Dropping a waker can run code of the executor, so it is done without the lock.
        drop(old);
        (lane, taken)
    }

    /// The engine has answered something. Returns whether there are names for which that was to be known.
    pub(crate) fn trust(&self) -> bool {
        let mut names = lock(&self.0);
        std::mem::replace(&mut names.is_in_doubt, false) && !names.changed.is_empty()
    }

    /// A call was answered.
    pub(crate) fn heard(&self, lane: Lane) {
        let mut names = lock(&self.0);
        names.is_in_doubt = false;
        if lane == Lane::Again {
            names.again.heard();
        }
    }

    /// Whether names of calls that have failed wait.
    pub(crate) fn has_failed(&self) -> bool {
        !lock(&self.0).again.is_empty()
    }

    /// Whether some of them may only have been in bad company.
    pub(crate) fn has_suspects(&self) -> bool {
        lock(&self.0).again.has_suspects()
    }

    /// What the engine now knows of a name; `None`: that it is not wanted.
    pub(crate) fn settle(&self, name: &Arc<str>, told: Option<Told>) {
        let mut names = lock(&self.0);
        match told {
            Some(told) => names.told.insert(Arc::clone(name), told),
            None => names.told.remove(name),
        };
    }

    /// Whether the engine feeds a topic of this name.
    pub(crate) fn is_told(&self, name: &str) -> bool {
        lock(&self.0).told.get(name) == Some(&Told::Yes)
    }

    /// The engine could not be told, or has refused one of these names. They are told again.
    pub(crate) fn failed(&self, untold: BTreeSet<Arc<str>>) {
        let mut names = lock(&self.0);
        names.is_in_doubt = true;
        names.again.failed(untold);
    }
}
