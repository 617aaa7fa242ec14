//! What one subscriber watches: who is here, in topics that it need not have joined.
//!
//! A watch is a number in the same bell as the cursors, so that news take turns with messages. It holds nothing that was
//! not given out: what is next is asked for when its turn comes.

use std::sync::Arc;

use crate::bell::{Bell, Seat};
use crate::delivery::Delivery;
use crate::keyed::{Keyed, List, address};
use crate::roster::LATER;
use crate::sync::lock;
use crate::told::{News, Watcher};
use crate::topic::Inner;

/// Most subscribers watch nothing.
pub(crate) struct Watches<M>(Option<Box<List<Watch<M>>>>);

struct Watch<M> {
    topic: Arc<Inner<M>>,
    /// The topic's number for this watch.
    seat: u32,
    watcher: Watcher,
}

impl<M> Watches<M> {
    pub(crate) const NONE: Watches<M> = Watches(None);

    /// Whether a number in the bell is that of a watch.
    pub(crate) fn is_key(key: u32) -> bool {
        key & WATCH != 0
    }

    /// Begins to watch a topic, or begins anew.
    pub(crate) fn watch(&mut self, topic: &Arc<Inner<M>>, bell: &Arc<Bell>) {
        let watches = self.0.get_or_insert_with(|| Box::new(List::new()));
        let (key, rung) = match watches.find(address(topic)) {
            Some(key) => (key, watches.get_mut(key).is_none_or(Watch::begin_again)),
            None => {
                let mut rung = false;
                let key = watches.insert_with(|key| {
                    rung = bell.take_over(key | WATCH);
                    Watch::begin(topic, key, bell)
                });
                (key, rung)
            }
        };
        // There may be something to read. Another task may wait with this subscriber, behind a lock of the caller's.
        if !rung && let Some(waiter) = bell.ring(key | WATCH) {
            waiter.wake();
        }
    }

    pub(crate) fn unwatch(&mut self, topic: &Arc<Inner<M>>, bell: &Bell) {
        let Some(watches) = &mut self.0 else { return };
        if let Some(key) = watches.find(address(topic))
            && let Some(watch) = watches.remove(key)
            && watch.end()
        {
            bell.forget(key | WATCH);
        }
        if watches.len() == 0 {
            self.0 = None;
        }
    }

    /// The next news of this watch. Others have their turn before the one after it.
    pub(crate) fn next(&mut self, key: u32, bell: &Bell) -> Option<Delivery<M>> {
        let Watch { topic, seat, watcher } = self.0.as_mut()?.get_mut(key & !WATCH)?;
        let mut slot = lock(&topic.roster);
        let roster = slot.as_mut()?;
        let news = roster.read(watcher);
        if let Some(seat) = roster.watched.as_mut().and_then(|watched| watched.seats.get_mut(*seat)) {
            seat.rung = news.is_some();
            if seat.rung {
                bell.ring_in_hand(key);
            }
        }
        drop(slot);
        let topic = Arc::clone(&topic.name);
        Some(match news? {
            News::Here { names, more } => Delivery::Here { topic, names, more },
            News::Changed { joined, gone } => Delivery::Changed { topic, joined, gone },
        })
    }
}

impl<M> Watch<M> {
    /// The watch begins as one that is to be read, so nobody rings for it.
    fn begin(topic: &Arc<Inner<M>>, key: u32, bell: &Arc<Bell>) -> Watch<M> {
        let (seat, watcher) = topic.with_roster(|roster| {
            let watcher = roster.watch();
            let seat = Seat { bell: Arc::clone(bell), cursor: key | WATCH, rung: true };
            let seat = roster.watched.as_mut().map_or(0, |watched| watched.seats.insert_with(|_| seat));
            (seat, watcher)
        });
        Watch { topic: Arc::clone(topic), seat, watcher }
    }

    /// As [`begin`](Self::begin). Returns whether the bell has rung for it already.
    fn begin_again(&mut self) -> bool {
        let again = self.topic.if_roster(|roster| {
            let watched = roster.watched.as_mut()?;
            let seat = watched.seats.get_mut(self.seat)?;
            self.watcher = watched.told.watch();
            Some(std::mem::replace(&mut seat.rung, true))
        });
        // The roster is watched as long as this watch is there.
        again.flatten().unwrap_or(true)
    }

    /// Returns whether the bell has rung for it. Turns ring under the roster's lock, so none of them rings any more.
    fn end(self) -> bool {
        let rung = self.topic.if_roster(|roster| {
            let seat = roster.watched.as_mut().and_then(|watched| watched.seats.remove(self.seat));
            roster.unwatch(LATER);
            seat.is_some_and(|seat| seat.rung)
        });
        rung.unwrap_or(false)
    }
}

impl<M> Keyed for Watch<M> {
    fn address(&self) -> usize {
        address(&self.topic)
    }
}

impl<M> Drop for Watches<M> {
    fn drop(&mut self) {
        if let Some(watches) = self.0.take() {
            watches.into_values().for_each(|watch| _ = watch.end());
        }
    }
}

/// Marks the numbers of watches in a bell. Memory ends long before there are so many cursors.
const WATCH: u32 = 1 << 31;
