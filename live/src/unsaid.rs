//! What this node has to announce about those who are here: names about which the engine may know something else.
//!
//! ```text
//!             flip               say                  said
//!   (known) ────────▶ waiting ────────▶ on its way ─────────▶ (known)
//!                                        │      ▲
//!                  say: no answer so far │      │ say, fewer at a time
//!                                        ▼      │
//!                                         again
//! ```
//!
//! A name is announced as it is at that moment, here or not. To repeat an announcement changes nothing, so a name may
//! stand here without need; but none that the engine has wrong may be missing.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::round::{Lane, Round};

#[derive(Debug)]
pub(crate) struct Unsaid {
    waiting: BTreeSet<Arc<str>>,
    again: Round,
    on_its_way: BTreeSet<Arc<str>>,
    /// Where those on their way come from.
    lane: Lane,
}

/// Names to announce, in order. No name is in both.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Saying {
    pub(crate) joined: Vec<Arc<str>>,
    pub(crate) gone: Vec<Arc<str>>,
}

impl Default for Unsaid {
    fn default() -> Unsaid {
        let (waiting, again, on_its_way) = (BTreeSet::new(), Round::default(), BTreeSet::new());
        Unsaid { waiting, again, on_its_way, lane: Lane::New }
    }
}

impl Unsaid {
    pub(crate) fn insert(&mut self, name: &Arc<str>) {
        if !self.again.contains(name) {
            self.waiting.insert(Arc::clone(name));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.again.len() + self.on_its_way.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is to be announced next: at most so many names. What was given out before and was not said comes again, in this
    /// call or a later one.
    pub(crate) fn say(&mut self, most: usize, is_here: impl Fn(&str) -> bool) -> Option<Saying> {
        let mut first = Lane::Again;
        if !self.on_its_way.is_empty() {
            // Those who have failed before let others go first.
            first = if self.lane == Lane::Again { Lane::New } else { Lane::Again };
            self.waiting.retain(|name| !self.on_its_way.contains(name));
            self.again.failed(std::mem::take(&mut self.on_its_way));
        }
        self.lane = match first {
            Lane::New if self.waiting.is_empty() => Lane::Again,
            Lane::Again if self.again.is_empty() => Lane::New,
            first => first,
        };
        match self.lane {
            Lane::Again => self.on_its_way = self.again.take(most),
            Lane::New => {
                while self.on_its_way.len() < most
                    && let Some(name) = self.waiting.pop_first()
                {
                    self.on_its_way.insert(name);
                }
            }
        }
        let (joined, gone) = self.on_its_way.iter().cloned().partition(|name| is_here(name));
        Some(Saying { joined, gone }).filter(|_| !self.on_its_way.is_empty())
    }

    /// Whether some names may only have been in bad company.
    pub(crate) fn has_suspects(&self) -> bool {
        self.again.has_suspects() || self.on_its_way.len() > 1
    }

    pub(crate) fn said(&mut self) {
        self.on_its_way = BTreeSet::new();
        if self.lane == Lane::Again {
            self.again.heard();
        }
    }
}
