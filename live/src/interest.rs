//! Which topics the engine feeds to this node, and which it should.
//!
//! ```text
//!   changed ──take──► being told ──answered──► told, or not told
//!                  ▲       └──── failed: told again first ─┐
//!                  └──────────────────────────────────────────┘
//! ```
//!
//! A name stands in `changed` after its topic was joined for the first time, or swept. What the topic wants is looked up
//! only when the engine is told, one call at a time, so a topic that is swept and joined again meanwhile is never lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::sync::{Mutex, lock};

/// Topics' locks may be held when this one's is taken, and never the other way round.
#[derive(Debug, Default)]
pub(crate) struct Interest(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    /// What the engine has been told.
    told: BTreeMap<Arc<str>, Told>,
    changed: BTreeSet<Arc<str>>,
    /// Names of a call that has failed. The same ones are told again before any others: each call may have happened, so
    /// all of its names must be remembered, and while the engine is away there are not more of them than one call has.
    again: BTreeSet<Arc<str>>,
    waker: Option<Waker>,
}

/// Whether the engine feeds a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A call has failed, or is under way.
    Perhaps,
    Yes,
}

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
        let Names { told, changed, again, .. } = &mut *lock(&self.0);
        again.clear();
        told.values_mut().for_each(|told| *told = Told::Perhaps);
        changed.extend(told.keys().cloned());
    }

    /// Takes names that have changed, so many at most, and what the engine had been told of them. They count as perhaps
    /// told until [`settle`](Self::settle). Without any, the task is woken by the next change.
    pub(crate) fn take(&self, most: usize, cx: &Context<'_>) -> Vec<(Arc<str>, Option<Told>)> {
        let mut names = lock(&self.0);
        let Names { told, changed, again, .. } = &mut *names;
        let from = if again.is_empty() { changed } else { again };
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(name) = from.pop_first()
        {
            let before = told.insert(Arc::clone(&name), Told::Perhaps);
            taken.push((name, before));
        }
        let old = if taken.is_empty() { names.waker.replace(cx.waker().clone()) } else { None };
        drop(names);
        // Dropping a waker can run code of the executor, so it is done without the lock.
        drop(old);
        taken
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

    /// The engine could not be told. These names are taken again, before all others.
    pub(crate) fn failed(&self, untold: impl IntoIterator<Item = Arc<str>>) {
        lock(&self.0).again.extend(untold);
    }
}
