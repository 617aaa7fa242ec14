//! Who is here: the guards that hold names, and the way from a topic to its roster.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

use crate::bell::{ring_all, ring_some};
use crate::error::EnterError;
use crate::limits::Stamp;
use crate::roster::{LATER, Roster};
use crate::shared::account;
use crate::sync::{each, lock};
use crate::told::Bounds;
use crate::topic::{Inner, Topic};
use crate::turns::Standing;

/// Somebody is here, in one topic, as long as this is held. [`Topic::enter`] gives it.
///
/// Several of the same name are one person, on all nodes together. After the last one is dropped, the name stays for
/// [`Retain::absence`](crate::Retain::absence). It holds the topic.
#[must_use = "the name begins to go when this is dropped"]
pub struct Presence<M> {
    topic: Arc<Inner<M>>,
    name: Arc<str>,
}

impl<M> Topic<M> {
    /// Somebody is here under this name, until what is returned is dropped. Watchers ([`Subscriber::watch`]) are told within
    /// a second, on all nodes. It is no matter whether anybody has joined the topic.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use openline_live::{Delivery, EpochSeed, Hub, Retain, Subscriber};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let hub = Hub::local(Retain::default(), EpochSeed::from_os()?, |_, _, payload: &Bytes| payload.clone());
    /// let room = hub.topic("room")?;
    /// let (desktop, phone) = (room.enter("ann")?, room.enter("ann")?);
    /// assert_eq!(room.present(), 1);
    /// drop(desktop);
    /// drop(phone);
    /// assert_eq!(room.present(), 1, "she may only be reconnecting");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The name does not have 1 to 128 bytes, or there are too many. Names that nobody holds any more make room for new
    /// ones, the oldest first. With an engine that is away, names that it must hear of count too.
    ///
    /// [`Subscriber::watch`]: crate::Subscriber::watch
    pub fn enter(&self, name: &str) -> Result<Presence<M>, EnterError> {
        let shared = &self.0.shared;
        let one_more = |names| if names < shared.max_names.load(Relaxed) { Some(names + 1) } else { None };
        let has_room = shared.names.fetch_update(Relaxed, Relaxed, one_more).is_ok();
        let entered = self.0.with_roster(|roster| {
            let most = shared.max_names_per_topic.load(Relaxed);
            // Without room in the hub, only those who linger here can make it.
            roster.enter(name, if has_room { most } else { most.min(roster.weight()) })
        });
        if has_room {
            // The roster has counted it itself by now.
            shared.names.fetch_sub(1, Relaxed);
        }
        Ok(Presence { topic: Arc::clone(&self.0), name: entered? })
    }

    /// How many names are here: those of this node, and while somebody watches here those of all nodes.
    #[must_use]
    pub fn present(&self) -> usize {
        lock(&self.0.roster).as_ref().map_or(0, |roster| roster.len())
    }
}

impl<M> Presence<M> {
    /// The name that is held.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<M> Drop for Presence<M> {
    fn drop(&mut self) {
        self.topic.if_roster(|roster| roster.leave(&self.name, LATER));
    }
}

impl<M> fmt::Debug for Presence<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").field("topic", &self.topic.name).finish_non_exhaustive()
    }
}

impl<M> Inner<M> {
    /// Changes the roster, which is made if there is none.
    pub(crate) fn with_roster<T>(&self, change: impl FnOnce(&mut Roster) -> T) -> T {
        let mut slot = lock(&self.roster);
        let roster = slot.take().unwrap_or_else(|| {
            let mut roster = Box::new(Roster::new(self.shared.me(), &Bounds::DEFAULT));
            if self.shared.takes_leave() {
                roster.take_leave();
            }
            roster
        });
        self.change_roster(slot, roster, change)
    }

    /// Changes the roster, if there is one.
    pub(crate) fn if_roster<T>(&self, change: impl FnOnce(&mut Roster) -> T) -> Option<T> {
        let mut slot = lock(&self.roster);
        let roster = slot.take()?;
        Some(self.change_roster(slot, roster, change))
    }

    /// Counts what has changed, keeps the roster unless it is idle, and says what it waits for.
    fn change_roster<T>(
        &self,
        mut slot: crate::sync::MutexGuard<'_, Option<Box<Roster>>>,
        mut roster: Box<Roster>,
        change: impl FnOnce(&mut Roster) -> T,
    ) -> T {
        let shared = &self.shared;
        let (weight, was_watched) = (roster.weight(), roster.watched.is_some());
        let result = change(&mut roster);
        account(&shared.names, weight, roster.weight());
        let is_watched = roster.watched.is_some();
        let mut idle = None;
        let standing = if roster.is_idle() {
            idle = Some(roster);
            None
        } else {
            let talks = roster.has_unsaid() || roster.wants().is_some();
            Some(Standing { due: slot.insert(roster).due(), is_watched, talks })
        };
        let waker = shared.turns.note(&self.name, standing);
        drop(slot);
        drop(idle);
        let wanted = if is_watched == was_watched { None } else { shared.want(&self.name) };
        each(waker.into_iter().chain(wanted), Waker::wake);
        result
    }

    /// Looks at the roster, if there is one.
    #[cfg(feature = "tokio")]
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Roster) -> T) -> Option<T> {
        lock(&self.roster).as_deref().map(look)
    }

    /// Whether somebody watches, or has done so until a moment ago.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_watched(&self) -> bool {
        self.look(|roster| roster.watched.is_some()).unwrap_or(false)
    }

    /// A turn: who has lingered long enough goes, and watchers are told what has happened.
    pub(crate) fn turn(&self, now: Stamp) {
        let absence = self.shared.retain.absence;
        let told = self.if_roster(|roster| {
            roster.date(now.later(absence));
            roster.tick(now)
        });
        if told == Some(true) {
            self.ring_watchers();
        }
    }

    /// As [`ring`](Self::ring), for those who watch.
    fn ring_watchers(&self) {
        ring_all(|from, wakers| {
            let mut roster = lock(&self.roster);
            ring_some(&mut roster.as_mut()?.watched.as_mut()?.seats, from, wakers)
        });
    }
}
