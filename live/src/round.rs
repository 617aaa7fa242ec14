//! Names that an engine could not be told, and that are told again, some in a call.
//!
//! ```text
//!               failed             failed, one name
//!   new names ─────────▶ suspects ──────────────────▶ refused
//!                          ▲   │ heard                 │   │ heard
//!                          │   ▼                       │   ▼
//!                          └──── failed, several names ┘
//! ```
//!
//! An engine may refuse one name always, and with it each call that has it. So a call after a failure has half as many
//! names, down to one, and it goes on with those that have waited longest for their turn. One after a success has twice as
//! many. A name that was refused alone is told again when no others wait. So one name, or a thousand, hold up no other for
//! long, and an engine that comes back is soon told everything.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

/// Where the names of a call come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// No call has failed that had them.
    New,
    /// They are in a [`Round`].
    Again,
}

/// Names of calls that have failed.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// Each call that failed with them had other names, too.
    suspects: Ring,
    /// A call has failed that had no other name.
    refused: Ring,
    /// The names of the last call were from `refused`.
    tries_refused: bool,
}

#[derive(Debug)]
struct Ring {
    names: BTreeSet<Arc<str>>,
    /// The last one that had its turn. The next ones are those after it, and then those from the beginning.
    last: Option<Arc<str>>,
    /// How many a call has at most.
    most: usize,
}

impl Round {
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.suspects.names.contains(name) || self.refused.names.contains(name)
    }

    pub(crate) fn len(&self) -> usize {
        self.suspects.names.len() + self.refused.names.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether some names may only have been in bad company. They should be told soon, if the engine is there.
    pub(crate) fn has_suspects(&self) -> bool {
        !self.suspects.names.is_empty()
    }

    /// Takes those for the next call: so many at most.
    pub(crate) fn take(&mut self, most: usize) -> BTreeSet<Arc<str>> {
        self.tries_refused = !self.has_suspects();
        self.ring().take(most)
    }

    fn ring(&mut self) -> &mut Ring {
        if self.tries_refused { &mut self.refused } else { &mut self.suspects }
    }

    /// A call has failed. Its names come again.
    pub(crate) fn failed(&mut self, names: BTreeSet<Arc<str>>) {
        let ring = if names.len() == 1 { &mut self.refused } else { &mut self.suspects };
        ring.most = (names.len() / 2).max(1);
        ring.names.extend(names);
    }

    /// A call was answered.
    pub(crate) fn heard(&mut self) {
        let ring = self.ring();
        ring.most = ring.most.saturating_mul(2);
    }
}

impl Default for Ring {
    fn default() -> Ring {
        Ring { names: BTreeSet::new(), last: None, most: usize::MAX }
    }
}

impl Ring {
    fn take(&mut self, most: usize) -> BTreeSet<Arc<str>> {
        let mut taken = BTreeSet::new();
        while taken.len() < most.min(self.most)
            && let Some(name) = self.next()
        {
            self.names.remove(&name);
            self.last = Some(Arc::clone(&name));
            taken.insert(name);
        }
        taken
    }

    fn next(&self) -> Option<Arc<str>> {
        let after = self.last.iter().flat_map(|last| self.names.range::<Arc<str>, _>((Excluded(last), Unbounded)));
        after.chain(&self.names).next().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(count: u32) -> Round {
        let mut round = Round::default();
        round.suspects.names.extend((0..count).map(|number| Arc::from(format!("{number:04}"))));
        round
    }

    #[test]
    fn one_name_that_is_always_refused_holds_up_no_other() {
        for bad in [0, 1, 499, 998, 999] {
            let (mut round, bad) = (round(1000), Arc::from(format!("{bad:04}")));
            let mut calls = 0;
            while round.has_suspects() {
                let taken = round.take(600);
                if taken.contains(&bad) {
                    round.failed(taken)
                } else {
                    round.heard()
                }
                calls += 1;
            }
            assert!(calls <= 40, "{calls}");
            assert_eq!(round.take(9).into_iter().collect::<Vec<_>>(), [bad]);
        }
    }

    /// Also if a thousand others are: it waits for as many calls as there are names in bad company, and those that were
    /// refused before are none of them.
    #[test]
    fn names_that_were_refused_before_hold_up_nobody() {
        let mut round = round(1000);
        while round.has_suspects() {
            let taken = round.take(1000);
            round.failed(taken);
        }
        let (good, bad) = (Arc::from("good"), Arc::from("new and bad"));
        round.failed([Arc::clone(&good), bad].into());
        let calls = (1..).find(|_| {
            let taken = round.take(1000);
            let found = taken.contains(&good) && taken.len() == 1;
            if found {
                round.heard()
            } else {
                round.failed(taken)
            }
            found
        });
        assert!(calls <= Some(2), "{calls:?}");
    }

    #[test]
    fn after_a_failure_everybody_has_a_turn() {
        let mut round = round(10);
        // The engine is away.
        let mut sizes = vec![];
        let mut last = vec![];
        for _ in 0..23 {
            let taken = round.take(8);
            sizes.push(taken.len());
            last.extend(taken.iter().next().cloned());
            round.failed(taken);
        }
        assert_eq!(sizes[..5], [8, 4, 2, 1, 1]);
        last.drain(..13);
        last.sort();
        last.dedup();
        assert_eq!(last.len(), 10);
        // It is there again.
        let mut calls = 0;
        while !round.is_empty() {
            round.take(8);
            round.heard();
            calls += 1;
        }
        assert_eq!(calls, 4, "1, 2, 4 and 3");
    }
}
