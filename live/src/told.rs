//! What watchers of one topic are told about who is here.
//!
//! Time is cut into turns. Between two turns only the *difference* to what has been told is kept: who comes and goes
//! again in between stands nowhere. A turn makes one [`Change`] of it, which all watchers share. Changes lie in a short
//! log, and a watcher is a cursor in it.
//!
//! ```text
//!    lost        turn - 1   turn     due
//!     ▼             ▼        ▼        ▼
//!     │ change … change   change   ⟨ what has happened since ⟩
//!     └ behind this: Here again       └ a watcher that begins now waits for this turn
//! ```
//!
//! What a watcher can rely on:
//!
//! - Its first news is [`News::Here`], which shows everybody who was here when it began, and perhaps who came later.
//!   `Here` replaces all that was told before.
//! - In a [`News::Changed`] each name stands once. Who has `joined` was not here before, whether named or among `more`.
//! - How many are here: the names of `Here`, plus `more`, plus those who have joined since, minus those who have gone.
//! - With `more` = 0 nobody goes who was not named. With `more` > 0 somebody may: then it was one of the `more`.
//! - A watcher that was told `more` > 0 gets `Here` again as soon as all names fit in one. So when it has read
//!   everything, and few enough are here, it knows all of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::limits::Stamp;

/// What a watcher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Who is here: the first names in order, and how many are here beside them.
    Here { names: Names, more: usize },
    /// Who has come and gone since the last news, in order. Not both are empty, and no name is in both.
    Changed { joined: Names, gone: Names },
}

pub(crate) type Names = Arc<[Arc<str>]>;

/// How far one watcher has read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Watcher {
    /// It gets `Here`, as soon as this turn has been.
    Waits { turn: u64 },
    /// It knows all up to this turn; by name, if it is `whole`.
    Knows { turn: u64, whole: bool },
}

#[derive(Debug)]
pub(crate) struct Told {
    bounds: &'static Bounds,
    /// The number of the last turn. 0: there was none, and nothing can be told.
    turn: u64,
    /// The last turn that a watcher waits for.
    due: u64,
    /// Exactly those names about which the people and the last turn disagree.
    differ: BTreeSet<Arc<str>>,
    /// How many were here at the last turn.
    count: usize,
    changes: VecDeque<Change>,
    /// How many names stand in `changes`.
    weight: usize,
    /// The last turn whose change is no longer in the log.
    lost: u64,
    /// Who was here at the last turn, if a watcher has asked for that since.
    here: Option<Names>,
}

#[derive(Debug)]
struct Change {
    turn: u64,
    at: Stamp,
    joined: Names,
    gone: Names,
}

/// How much is told at once, and kept.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// So many names has a `Here` at most, and a `Changed`. If more change in one turn, all watchers get `Here` again.
    pub(crate) named: usize,
    /// So many names stand in the log of changes.
    pub(crate) kept: usize,
    /// For so long they stand there. Without it, the names of those who have gone would lie in idle topics for ever.
    pub(crate) age: Duration,
}

impl Bounds {
    pub(crate) const DEFAULT: Bounds = Bounds { named: 1000, kept: 2000, age: Duration::from_secs(10) };
}

impl Told {
    pub(crate) fn new(bounds: &'static Bounds) -> Told {
        Told {
            bounds,
            turn: 0,
            due: 0,
            differ: BTreeSet::new(),
            count: 0,
            changes: VecDeque::new(),
            weight: 0,
            lost: 0,
            here: None,
        }
    }

    /// Whether there has been a turn.
    pub(crate) fn has_begun(&self) -> bool {
        self.turn > 0
    }

    /// The first turn has been, without a change.
    pub(crate) fn begin(&mut self, count: usize) {
        (self.turn, self.count) = (1, count);
    }

    /// Somebody came who was not here, or went who was. The second time since the last turn undoes the first.
    pub(crate) fn flip(&mut self, name: &Arc<str>) {
        if !self.differ.remove(name) {
            self.differ.insert(Arc::clone(name));
        }
    }

    /// A watcher begins. It gets `Here` at once if nothing has happened since the last turn, and otherwise at the next
    /// one, because what was told then is older than its question.
    pub(crate) fn watch(&mut self) -> Watcher {
        if self.turn > 0 && self.differ.is_empty() {
            return Watcher::Waits { turn: self.turn };
        }
        self.due = self.turn + 1;
        Watcher::Waits { turn: self.due }
    }

    /// Whether a turn would have something to tell.
    pub(crate) fn is_due(&self) -> bool {
        !self.differ.is_empty() || self.due > self.turn
    }

    /// When the oldest change is to be forgotten.
    pub(crate) fn forgets_at(&self) -> Option<Stamp> {
        self.changes.front().map(|change| change.at.later(self.bounds.age))
    }

    /// A turn: what has happened becomes a change. Returns whether watchers have something to read.
    pub(crate) fn turn<V>(&mut self, people: &BTreeMap<Arc<str>, V>, now: Stamp) -> bool {
        while self.forgets_at().is_some_and(|at| at <= now) {
            self.forget_oldest();
        }
        if !self.is_due() {
            return false;
        }
        self.turn += 1;
        self.count = people.len();
        let differ = std::mem::take(&mut self.differ);
        let weight = differ.len();
        if weight == 0 {
            return true;
        }
        self.here = None;
        if weight > self.bounds.named {
            (self.changes, self.weight, self.lost) = (VecDeque::new(), 0, self.turn);
            return true;
        }
        let (joined, gone): (Vec<_>, Vec<_>) = differ.into_iter().partition(|name| people.contains_key(name));
        self.weight += weight;
        self.changes.push_back(Change { turn: self.turn, at: now, joined: joined.into(), gone: gone.into() });
        while self.weight > self.bounds.kept {
            self.forget_oldest();
        }
        true
    }

    fn forget_oldest(&mut self) {
        if let Some(change) = self.changes.pop_front() {
            self.weight -= change.joined.len() + change.gone.len();
            self.lost = change.turn;
        }
        if self.changes.is_empty() {
            self.changes = VecDeque::new();
        }
    }

    /// The next news for this watcher. `people` are those who are here now.
    pub(crate) fn read<V>(&mut self, watcher: &mut Watcher, people: &BTreeMap<Arc<str>, V>) -> Option<News> {
        match *watcher {
            Watcher::Waits { turn } if turn > self.turn => None,
            Watcher::Knows { turn, whole } if turn >= self.lost && (whole || self.count > self.bounds.named) => {
                let next = self.changes.partition_point(|change| change.turn <= turn);
                let change = self.changes.get(next)?;
                *watcher = Watcher::Knows { turn: change.turn, whole };
                Some(News::Changed { joined: Arc::clone(&change.joined), gone: Arc::clone(&change.gone) })
            }
            // It has waited, or lagged, or can now be told the names that it was not told.
            Watcher::Waits { .. } | Watcher::Knows { .. } => Some(self.here(watcher, people)),
        }
    }

    /// Who was here at the last turn. It is made once for each turn at most, in a time that depends on the names in it
    /// and on what has happened since, not on how many are here.
    fn here<V>(&mut self, watcher: &mut Watcher, people: &BTreeMap<Arc<str>, V>) -> News {
        let (differ, most) = (&self.differ, self.bounds.named);
        let names = self.here.get_or_insert_with(|| {
            let mut stayed = people.keys().filter(|name| !differ.contains(*name)).peekable();
            let mut gone = differ.iter().filter(|name| !people.contains_key(*name)).peekable();
            let merged = std::iter::from_fn(|| match (stayed.peek(), gone.peek()) {
                (Some(one), Some(other)) if other < one => gone.next(),
                (None, _) => gone.next(),
                _ => stayed.next(),
            });
            merged.take(most).cloned().collect()
        });
        let more = self.count - names.len();
        *watcher = Watcher::Knows { turn: self.turn, whole: more == 0 };
        News::Here { names: Arc::clone(names), more }
    }
}
