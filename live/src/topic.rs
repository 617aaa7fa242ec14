//! A topic: its log, who has joined it, and how a message gets to them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

#[cfg(feature = "tokio")]
use crate::backplane::Append;
use crate::bell::{Bell, Seat, ring_all, ring_some};
use crate::delivery::Lag;
use crate::error::PublishError;
use crate::id::{Id, Ids, Seen, WEIGHT};
use crate::limits::Stamp;
use crate::log::{Entry, Log};
use crate::phase::{Phase, Reads};
use crate::position::Position;
use crate::roster::Roster;
use crate::shared::Shared;
use crate::slab::Slab;
use crate::sync::{Mutex, lock};

/// A named log of messages. [`Hub::topic`](crate::Hub::topic) makes it.
///
/// A clone is another handle to the same topic. While there is a handle or a subscriber the topic stays; see
/// [`Retain::linger`](crate::Retain::linger).
pub struct Topic<M>(pub(crate) Arc<Inner<M>>);

pub(crate) struct Inner<M> {
    pub(crate) name: Arc<str>,
    pub(crate) shared: Arc<Shared<M>>,
    /// Held while a message is made and appended, so that offsets and `make` agree. Whoever wants both locks takes this
    /// one first.
    pub(crate) ids: Mutex<Ids>,
    pub(crate) state: Mutex<State<M>>,
    /// Who is here. Nothing, if nobody is and nobody watches. Whoever holds its lock takes none of the others here.
    pub(crate) roster: Mutex<Option<Box<Roster>>>,
}

pub(crate) struct State<M> {
    pub(crate) log: Log<M>,
    /// How many logs came before this one. A cursor of another log begins anew.
    pub(crate) life: u32,
    pub(crate) phase: Phase,
    pub(crate) reads: Reads,
    pub(crate) seats: Slab<Seat>,
    /// When the topic was made, or the last message came.
    pub(crate) used: Stamp,
    pub(crate) has_been_used: bool,
    /// When the topic was last seen to be held.
    pub(crate) held: Stamp,
}

impl<M> Topic<M> {
    /// The topic's name: 1 to 128 bytes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Where the log stands: the position of the last message. `None` if this node does not know, because the hub has a
    /// backplane and the topic's log has never been read here. It is read when somebody joins.
    ///
    /// For a client that also reads a database, join first, wait for [`Delivery::Joined`](crate::Delivery::Joined), and
    /// read the database then: what is published in the meantime comes as a message. If the database is read first, that
    /// is lost. A position that is taken *before* the database is read does as well as the join.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        let state = lock(&self.0.state);
        state.phase.is_open().then(|| state.log.position())
    }

    /// How many subscribers have joined.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        lock(&self.0.state).seats.len()
    }

    /// Appends a message to the log, and wakes all who have joined. The answer is the message's position.
    ///
    /// - `id`: if a message with this id is known, nothing is appended, and the answer is that message's position.
    /// - `expect`: the message is appended only if the log stands here. So two who decide on the same log cannot both
    ///   succeed: the second one reads what came in between, and decides anew.
    ///
    /// The payload is copied once, so that it holds no buffer from which it may have been cut. With a local hub the
    /// future is ready at once; nothing happens before it is polled.
    ///
    /// With a backplane it waits for the engine, 10 s at most, and the message comes back to this node's subscribers by the
    /// feed, before or after the answer. It is no matter whether anybody has joined here. If the future is dropped, the
    /// outcome is unknown.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use openline_live::{EpochSeed, Hub, Id, PublishError, Retain};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let hub = Hub::local(Retain::default(), EpochSeed::from_os()?, |_, _, payload: &Bytes| payload.clone());
    /// let lot = hub.topic("lot 7")?;
    /// let seen = lot.position();
    /// let sold = lot.publish(Some(Id::new("bid 1")), Bytes::from("to Ann"), seen).await?;
    /// // The answer got lost, so Ann's node asks again.
    /// let again = lot.publish(Some(Id::new("bid 1")), Bytes::from("to Ann"), seen).await;
    /// assert_eq!(again, Ok(sold));
    /// let late = lot.publish(Some(Id::new("bid 2")), Bytes::from("to Bob"), seen).await;
    /// assert_eq!(late, Err(PublishError::Conflict(sold)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`PublishError`]. After each of them but [`Unknown`](PublishError::Unknown), the message is not in the log.
    ///
    /// # Panics
    ///
    /// The hub has a backplane, and this is polled outside of a runtime of tokio with time.
    pub async fn publish(
        &self,
        id: Option<Id>,
        payload: Bytes,
        expect: Option<Position>,
    ) -> Result<Position, PublishError> {
        #[cfg(feature = "tokio")]
        if let Some(link) = &self.0.shared.link {
            let Shared { retain, published, .. } = &*self.0.shared;
            let append = Append::new(Arc::clone(&self.0.name), payload, *retain, self.0.shared.fresh());
            return link.publish(Append { id, expect, ..append }, published).await;
        }
        let position = self.0.append(id, &payload, expect)?;
        self.0.ring();
        Ok(position)
    }
}

impl<M> State<M> {
    /// A cursor reads this offset next, and has its turn if that is there.
    pub(crate) fn enter(&mut self, seat: u32, cursor: u32, bell: &Bell, next: u64, lag: Lag) {
        self.log.enter(next, lag);
        if next <= self.log.head()
            && let Some(seat) = self.seats.get_mut(seat)
            && !seat.rung
        {
            seat.rung = true;
            bell.ring_in_hand(cursor);
        }
    }
}

impl<M> Inner<M> {
    pub(crate) fn new(name: Arc<str>, shared: Arc<Shared<M>>, log: Log<M>, ids: Ids) -> Inner<M> {
        let now = shared.now();
        shared.account(0, log.weight() + ids.weight());
        // A topic of a snapshot stays for its messages, too.
        let has_been_used = log.head() > 0;
        let phase = if shared.is_local() { Phase::Local } else { Phase::Idle };
        let (reads, seats) = (Reads::default(), Slab::new());
        let state = State { log, life: 0, phase, reads, seats, used: now, has_been_used, held: now };
        Inner { name, shared, ids: Mutex::new(ids), state: Mutex::new(state), roster: Mutex::new(None) }
    }

    /// Changes the state, and counts what the log weighs afterwards.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State<M>) -> T) -> T {
        self.change_locked(&mut lock(&self.state), change)
    }

    fn change_locked<T>(&self, state: &mut State<M>, change: impl FnOnce(&mut State<M>) -> T) -> T {
        let before = state.log.weight();
        let result = change(state);
        self.shared.account(before, state.log.weight());
        result
    }

    pub(crate) fn change_ids<T>(&self, ids: &mut Ids, change: impl FnOnce(&mut Ids) -> T) -> T {
        let before = ids.weight();
        let result = change(ids);
        self.shared.account(before, ids.weight());
        result
    }

    fn append(&self, id: Option<Id>, payload: &[u8], expect: Option<Position>) -> Result<Position, PublishError> {
        let retain = &self.shared.retain;
        if payload.len() > retain.bytes {
            return Err(PublishError::TooLong);
        }
        let named = id.map(|id| (id.to_bytes(), id.fingerprint(payload)));
        let mut ids = lock(&self.ids);
        let now = self.shared.now();
        self.change_ids(&mut ids, |ids| ids.expire(now));
        let at = lock(&self.state).log.position();
        if let Some((id, hash)) = named
            && let Some(known) = ids.known(id, hash, at)
        {
            return known;
        }
        if expect.is_some_and(|expected| expected != at) {
            return Err(PublishError::Conflict(at));
        }
        let at = Position { offset: at.offset + 1, ..at };
        let payload = Bytes::copy_from_slice(payload);
        // The log can be read meanwhile, but nobody else appends: the position stays free.
        let message = (self.shared.make)(&self.name, at, &payload);
        let id_weight = if named.is_some() { WEIGHT } else { 0 };
        self.admit(Entry::new(message, payload, now), id_weight).map_err(|_| PublishError::Full)?;
        if let Some((id, hash)) = named {
            let before = ids.weight() + id_weight;
            ids.insert(id, Seen { offset: at.offset, hash }, now);
            self.shared.account(before, ids.weight());
        }
        self.shared.published.fetch_add(1, Relaxed);
        Ok(at)
    }

    /// Appends a message, if the hub has room for it and for so many bytes beside it, which are counted from then on. What the
    /// topic does not keep beside the new message goes before. If that is not enough, its oldest messages go; but
    /// none, if that would not help. A message without room is given back.
    ///
    /// What goes is counted no more before the new message is, and that is counted once. Otherwise publishers to other
    /// topics could be refused for bytes that nobody holds.
    pub(crate) fn admit(&self, entry: Entry<M>, beside: usize) -> Result<(), Entry<M>> {
        let Shared { retain, bytes, max_bytes, .. } = &*self.shared;
        let (at, now, len) = (entry.at, self.shared.now(), entry.payload.len());
        let weight = Entry::<M>::weight(len).saturating_add(beside);
        let state = &mut *lock(&self.state);
        let may_fit = |state: &State<M>| {
            let others = bytes.load(Relaxed).saturating_sub(state.log.weight());
            others.saturating_add(weight) <= max_bytes.load(Relaxed)
        };
        if !may_fit(state) {
            return Err(entry);
        }
        self.change_locked(state, |state| state.log.trim_before(len, retain, now));
        while !self.shared.reserve(weight) {
            if !may_fit(state) || !self.change_locked(state, |state| state.log.drop_oldest()) {
                return Err(entry);
            }
        }
        state.log.append(entry);
        // It can be too old itself, if it comes from an engine.
        self.change_locked(state, |state| state.log.trim(retain, now));
        (state.used, state.has_been_used) = (state.used.max(at), true);
        Ok(())
    }

    /// Rings for everybody who has joined and does not know yet that there is something to read.
    ///
    /// Who joins between two groups looks at the log himself.
    pub(crate) fn ring(&self) {
        ring_all(|from, wakers| ring_some(&mut lock(&self.state).seats, from, wakers));
    }

    /// Lets go of what is too old. Returns whether the topic itself may go, if nobody holds it.
    pub(crate) fn sweep(&self, now: Stamp, held: bool) -> bool {
        let mut ids = lock(&self.ids);
        self.change_ids(&mut ids, |ids| ids.expire(now));
        let retain = &self.shared.retain;
        let held = held || lock(&self.roster).is_some();
        self.change(|state| {
            state.log.trim(retain, now);
            if held {
                state.held = now;
            }
            let stay = if state.has_been_used { retain.linger.max(retain.age) } else { retain.linger };
            ids.is_empty() && now.since(state.used) > stay && now.since(state.held) > retain.linger
        })
    }
}

impl<M> Drop for Inner<M> {
    fn drop(&mut self) {
        let weight = lock(&self.state).log.weight() + lock(&self.ids).weight();
        self.shared.account(weight, 0);
        let names = lock(&self.roster).as_ref().map_or(0, |roster| roster.weight());
        self.shared.names.fetch_sub(names, Relaxed);
    }
}

impl<M> Clone for Topic<M> {
    fn clone(&self) -> Topic<M> {
        Topic(Arc::clone(&self.0))
    }
}

impl<M> fmt::Debug for Topic<M> {
    // It shows no payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Topic").field(&self.0.name).finish_non_exhaustive()
    }
}
