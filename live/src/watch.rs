//! What one subscriber watches: who is here, in topics that it need not have joined.
//!
//! A watch is a number in the same bell as the cursors, so that news take turns with messages. It holds nothing that was
//! not given out: what is next is asked for when its turn comes.

use std::sync::Arc;

use crate::bell::{Bell, Listener, Seat};
use crate::delivery::Delivery;
use crate::roster::LATER;
use crate::slab::Slab;
use crate::sync::lock;
use crate::told::{News, Watcher};
use crate::topic::Inner;

/// Most subscribers watch nothing.
pub(crate) struct Watches<M>(Option<Box<Slab<Watch<M>>>>);

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
    pub(crate) fn watch(&mut self, topic: &Arc<Inner<M>>, bell: &mut Listener) {
        let key = self.begin(topic, bell.bell());
        // There may be something to read. Another task may wait with this subscriber, behind a lock of the caller's.
        drop(bell.forget(key));
        if let Some(waiter) = bell.bell().ring(key) {
            waiter.wake();
        }
    }

    /// Returns the number in the bell.
    fn begin(&mut self, topic: &Arc<Inner<M>>, bell: &Arc<Bell>) -> u32 {
        let watches = self.0.get_or_insert_with(|| Box::new(Slab::new()));
        if let Some((key, watch)) = watches.iter_mut().find(|(_, watch)| Arc::ptr_eq(&watch.topic, topic)) {
            let again = topic.if_roster(|roster| {
                let watched = roster.watched.as_mut()?;
                if let Some(seat) = watched.seats.get_mut(watch.seat) {
                    seat.rung = true;
                }
                Some(watched.told.watch())
            });
            watch.watcher = again.flatten().unwrap_or(watch.watcher);
            return key | WATCH;
        }
        let key = watches.insert_with(|key| {
            let (seat, watcher) = topic.with_roster(|roster| {
                let watcher = roster.watch();
                let seat = Seat { bell: Arc::clone(bell), cursor: key | WATCH, rung: true };
                let seat = roster.watched.as_mut().map_or(0, |watched| watched.seats.insert_with(|_| seat));
                (seat, watcher)
            });
            Watch { topic: Arc::clone(topic), seat, watcher }
        });
        key | WATCH
    }

    pub(crate) fn unwatch(&mut self, topic: &Arc<Inner<M>>, bell: &mut Listener) {
        let Some(watches) = &mut self.0 else { return };
        let found = watches.iter_mut().find(|(_, watch)| Arc::ptr_eq(&watch.topic, topic)).map(|(key, _)| key);
        if let Some((key, watch)) = found.and_then(|key| Some((key, watches.remove(key)?))) {
            watch.end();
            // Turns ring under the roster's lock, so none of them rings any more.
            drop(bell.forget(key | WATCH));
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
    fn end(self) {
        self.topic.if_roster(|roster| {
            if let Some(watched) = &mut roster.watched {
                watched.seats.remove(self.seat);
            }
            roster.unwatch(LATER);
        });
    }
}

impl<M> Drop for Watches<M> {
    fn drop(&mut self) {
        if let Some(watches) = self.0.take() {
            watches.into_values().for_each(Watch::end);
        }
    }
}

/// Marks the numbers of watches in a bell. Memory ends long before there are so many cursors.
const WATCH: u32 = 1 << 31;
