//! What this node has to announce about those who are here: names about which the engine may know something else.
//!
//! ```text
//!             flip               say                  said
//!   (known) ────────▶ waiting ────────▶ on its way ─────────▶ (known)
//!                        ▲                  │
//!                        └──────────────────┘  say again: there was no answer
//! ```
//!
//! A name is announced as it is at that moment, here or not. To repeat an announcement changes nothing, so a name may
//! stand here without need; but none that the engine has wrong may be missing.

use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(crate) struct Unsaid {
    waiting: BTreeSet<Arc<str>>,
    on_its_way: BTreeSet<Arc<str>>,
}

/// Names to announce, in order. No name is in both.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Saying {
    pub(crate) joined: Vec<Arc<str>>,
    pub(crate) gone: Vec<Arc<str>>,
}

impl Unsaid {
    pub(crate) fn insert(&mut self, name: &Arc<str>) {
        self.waiting.insert(Arc::clone(name));
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.on_its_way.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.on_its_way.is_empty()
    }

    /// What is to be announced next: at most so many names. What was given out before and was not said comes again.
    pub(crate) fn say(&mut self, most: usize, is_here: impl Fn(&str) -> bool) -> Option<Saying> {
        self.waiting.append(&mut self.on_its_way);
        while self.on_its_way.len() < most
            && let Some(name) = self.waiting.pop_first()
        {
            self.on_its_way.insert(name);
        }
        let (joined, gone) = self.on_its_way.iter().cloned().partition(|name| is_here(name));
        Some(Saying { joined, gone }).filter(|_| !self.on_its_way.is_empty())
    }

    pub(crate) fn said(&mut self) {
        self.on_its_way = BTreeSet::new();
    }
}
