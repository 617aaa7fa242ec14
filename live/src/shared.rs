//! What all topics of a hub have in common: what is kept, the caller's `make`, the time, limits and counters, and the way
//! to an engine if there is one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::Waker;

use bytes::Bytes;

#[cfg(feature = "tokio")]
use crate::engine::Link;
use crate::limits::{Limits, Retain, Stamp};
use crate::nodes::Node;
use crate::position::{Epoch, EpochSeed, Position};
use crate::turns::Turns;

/// What all topics of a hub have in common.
pub(crate) struct Shared<M> {
    /// `None`: the hub is local.
    #[cfg(feature = "tokio")]
    pub(crate) link: Option<Link>,
    seed: EpochSeed,
    /// How many epochs have been made.
    made: AtomicU64,
    pub(crate) retain: Retain,
    pub(crate) make: Box<Make<M>>,
    /// The time of the last tick, as a stamp.
    pub(crate) now: AtomicU64,
    pub(crate) max_topics: AtomicUsize,
    pub(crate) max_bytes: AtomicUsize,
    /// Weight of all logs and ids.
    pub(crate) bytes: AtomicUsize,
    pub(crate) max_names: AtomicUsize,
    pub(crate) max_names_per_topic: AtomicUsize,
    /// Weight of all rosters.
    pub(crate) names: AtomicUsize,
    pub(crate) turns: Turns,
    pub(crate) published: AtomicU64,
    pub(crate) missed: AtomicU64,
    pub(crate) left: AtomicU64,
}

type Make<M> = dyn Fn(&str, Position, &Bytes) -> M + Send + Sync;

impl<M> Shared<M> {
    pub(crate) fn new(retain: Retain, seed: EpochSeed, now: Stamp, make: Box<Make<M>>) -> Shared<M> {
        let limits = Limits::default();
        Shared {
            #[cfg(feature = "tokio")]
            link: None,
            seed,
            made: AtomicU64::new(0),
            retain,
            make,
            now: AtomicU64::new(now.nanos()),
            max_topics: AtomicUsize::new(limits.topics),
            max_bytes: AtomicUsize::new(limits.bytes),
            bytes: AtomicUsize::new(0),
            max_names: AtomicUsize::new(limits.names),
            max_names_per_topic: AtomicUsize::new(limits.names_per_topic),
            names: AtomicUsize::new(0),
            turns: Turns::new(now),
            published: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            left: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_local(&self) -> bool {
        #[cfg(feature = "tokio")]
        return self.link.is_none();
        #[cfg(not(feature = "tokio"))]
        return true;
    }

    /// This node, if there may be others. No topic has this epoch.
    pub(crate) fn me(&self) -> Option<Node> {
        if self.is_local() { None } else { Some(self.seed.epoch(u64::MAX).to_bytes()) }
    }

    /// Whether this node has begun to take leave of the others.
    pub(crate) fn takes_leave(&self) -> bool {
        #[cfg(feature = "tokio")]
        return self.link.as_ref().is_some_and(|link| link.takes_leave());
        #[cfg(not(feature = "tokio"))]
        false
    }

    /// An epoch that was never there.
    pub(crate) fn fresh(&self) -> Epoch {
        self.seed.epoch(self.made.fetch_add(1, Relaxed))
    }

    /// The engine must feed a topic of this name. Whoever waits for that is returned, to be woken without a lock.
    pub(crate) fn want(&self, name: &Arc<str>) -> Option<Waker> {
        #[cfg(feature = "tokio")]
        return self.link.as_ref()?.interest.change(name);
        #[cfg(not(feature = "tokio"))]
        return {
            _ = name;
            None
        };
    }

    /// A topic of this name is gone, as for [`want`](Self::want).
    pub(crate) fn gone(&self, name: &Arc<str>) -> Option<Waker> {
        #[cfg(feature = "tokio")]
        return self.link.as_ref()?.interest.gone(name);
        #[cfg(not(feature = "tokio"))]
        return {
            _ = name;
            None
        };
    }

    pub(crate) fn now(&self) -> Stamp {
        Stamp::from_nanos(self.now.load(Relaxed))
    }

    /// Counts these bytes, if there is room for them.
    pub(crate) fn reserve(&self, bytes: usize) -> bool {
        let max = self.max_bytes.load(Relaxed);
        let add = |now: usize| now.checked_add(bytes).filter(|sum| *sum <= max);
        self.bytes.fetch_update(Relaxed, Relaxed, add).is_ok()
    }

    pub(crate) fn account(&self, before: usize, after: usize) {
        account(&self.bytes, before, after);
    }
}

/// A part of what is counted has become another one. Nobody sees both at once, or a large part would seem to fill all
/// that there is room for.
pub(crate) fn account(counter: &AtomicUsize, before: usize, after: usize) {
    if after > before {
        counter.fetch_add(after - before, Relaxed);
    } else if after < before {
        counter.fetch_sub(before - after, Relaxed);
    }
}
