//! The hub: topics by name, time, limits and counters.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use openline::Time;

#[cfg(feature = "tokio")]
use crate::backplane::Backplane;
#[cfg(feature = "tokio")]
use crate::engine::Link;
use crate::error::TopicError;
use crate::id::Ids;
use crate::limits::{Limits, MAX_NAME, Retain, Stamp};
use crate::log::Log;
use crate::position::{EpochSeed, Position};
#[cfg(feature = "tokio")]
use crate::roster::Roster;
use crate::shared::Shared;
use crate::snapshot::{self, Snapshot};
use crate::sync::{Mutex, each, lock};
use crate::topic::{Inner, Topic};
use crate::turns::TURN;

/// All topics of one process. A clone is another handle to the same hub.
///
/// `M` is what subscribers get: for WebSockets an `openline::Prepared`, which is encoded once for all. It is cloned for
/// each receiver, and dropped, while the topic is locked. So a clone should be cheap, and neither a clone nor a drop may use
/// the hub, since it may wait for ever there, or panic, since the hub's counters may be wrong from then on.
pub struct Hub<M>(pub(crate) Arc<Names<M>>);

pub(crate) struct Names<M> {
    pub(crate) shared: Arc<Shared<M>>,
    /// Names are spread over several maps, so that many threads can look up at once.
    shards: [Mutex<Shard<M>>; SHARDS],
    hasher: RandomState,
    topics: AtomicUsize,
    next_sweep: Mutex<Stamp>,
    #[cfg(feature = "tokio")]
    pub(crate) clock: crate::clock::Clock,
}

type Shard<M> = HashMap<Arc<str>, Arc<Inner<M>>>;

impl<M> Hub<M> {
    /// A hub of this process only.
    ///
    /// `make` turns a payload into what subscribers get. It runs once for each message. Others who publish to the same
    /// topic wait for it, so it must not publish there itself. Its clock begins at [`Time::ZERO`].
    pub fn local(
        retain: Retain,
        seed: EpochSeed,
        make: impl Fn(&str, Position, &Bytes) -> M + Send + Sync + 'static,
    ) -> Hub<M> {
        Hub::new(Shared::new(retain, seed, Stamp::from(Time::ZERO), Box::new(make)))
    }

    /// A hub that shares its topics with other nodes, by an engine that all of them reach. Nothing happens but by
    /// [`run`](Self::run): without it, whoever joins waits for ever.
    ///
    /// - A topic that nobody has joined here costs nothing but its name. When somebody joins, the engine's log is read, and
    ///   the answer to the join comes then. From there on it is kept up to date as long as the topic stays.
    /// - What was lost on the way from the engine is read again, once for all who have joined. What the engine has not kept
    ///   either is told to each cursor by its [`Lag`](crate::Lag), as if it had lagged.
    /// - If the engine begins a new [`Epoch`](crate::Epoch), everybody gets [`Delivery::Joined`](crate::Delivery::Joined)
    ///   again, unasked, with `whole: false`, and then what is kept.
    /// - If a message has no room ([`Limits::bytes`](crate::Limits::bytes)) even without the topic's older ones, it is
    ///   treated as one that everybody missed.
    /// - While the engine is away, subscribers have what is here. A message that is said then is not in the log
    ///   ([`PublishError::Failed`](crate::PublishError::Failed)), or may be
    ///   ([`Unknown`](crate::PublishError::Unknown)).
    ///
    /// `make` runs once for each message and node. `retain` should be the same on all nodes. `seed` must be another one on
    /// each node and at each start.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use openline_live::{Delivery, EpochSeed, Hub, Lag, Memory, Retain, Start, Subscriber};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let memory = Memory::new();
    /// let node = || Ok::<_, std::io::Error>(Hub::with(memory.node(), Retain::default(), EpochSeed::from_os()?, make));
    /// let (here, there) = (node()?, node()?);
    /// for hub in [here.clone(), there.clone()] {
    ///     tokio::spawn(async move { hub.run().await });
    /// }
    /// let mut reader = Subscriber::new();
    /// reader.join(&here.topic("news")?, Start::Now, Lag::Leave);
    /// assert!(matches!(reader.next().await, Delivery::Joined { whole: true, .. }));
    /// there.topic("news")?.publish(None, Bytes::from("rain"), None).await?;
    /// assert_eq!(reader.next().await, Delivery::Message(Bytes::from("rain")));
    /// # Ok(())
    /// # }
    /// # fn make(_: &str, _: openline_live::Position, payload: &Bytes) -> Bytes { payload.clone() }
    /// ```
    #[cfg(feature = "tokio")]
    pub fn with(
        backplane: impl Backplane,
        retain: Retain,
        seed: EpochSeed,
        make: impl Fn(&str, Position, &Bytes) -> M + Send + Sync + 'static,
    ) -> Hub<M> {
        let mut shared = Shared::new(retain, seed, Stamp::from(Time::ZERO), Box::new(make));
        shared.link = Some(Link::new(backplane));
        Hub::new(shared)
    }

    /// A hub with the topics of a snapshot: their epochs, their histories and the ids that they know. So clients that
    /// come back after a restart miss nothing.
    ///
    /// `now` is the moment of the restart on the clock that [`tick`](Self::tick) goes on with. Whoever uses `run` passes
    /// [`Time::ZERO`]. The time between the snapshot and the restart does not count as age. `retain` may differ from the
    /// former one. `seed` is for topics that are made later, and must be a new one. What the snapshot holds is restored even
    /// if it exceeds [`Limits`].
    pub fn restore(
        snapshot: &Snapshot,
        retain: Retain,
        seed: EpochSeed,
        now: Time,
        make: impl Fn(&str, Position, &Bytes) -> M + Send + Sync + 'static,
    ) -> Hub<M> {
        let hub = Hub::new(Shared::new(retain, seed, Stamp::from(now), Box::new(make)));
        for inner in snapshot::restore(snapshot, &hub.0.shared) {
            let mut shard = lock(hub.shard(&inner.name));
            if shard.insert(Arc::clone(&inner.name), Arc::new(inner)).is_none() {
                hub.0.topics.fetch_add(1, Relaxed);
            }
        }
        hub
    }

    fn new(shared: Shared<M>) -> Hub<M> {
        let next_sweep = Mutex::new(shared.now());
        Hub(Arc::new(Names {
            shared: Arc::new(shared),
            shards: std::array::from_fn(|_| Mutex::new(HashMap::new())),
            hasher: RandomState::new(),
            topics: AtomicUsize::new(0),
            next_sweep,
            #[cfg(feature = "tokio")]
            clock: crate::clock::Clock::default(),
        }))
    }

    /// Sets how much there may be in all. What is there already stays.
    pub fn set_limits(&self, limits: Limits) {
        self.0.shared.max_topics.store(limits.topics, Relaxed);
        self.0.shared.max_bytes.store(limits.bytes, Relaxed);
        self.0.shared.max_names.store(limits.names, Relaxed);
        self.0.shared.max_names_per_topic.store(limits.names_per_topic, Relaxed);
    }

    /// The topic of this name. It is made if there is none, so check first whether the client may have it.
    ///
    /// # Errors
    ///
    /// The name does not have 1 to 128 bytes, or there are too many topics.
    pub fn topic(&self, name: &str) -> Result<Topic<M>, TopicError> {
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(TopicError::Name);
        }
        let mut shard = lock(self.shard(name));
        if let Some(inner) = shard.get(name) {
            return Ok(Topic(Arc::clone(inner)));
        }
        let names = &*self.0;
        let max = names.shared.max_topics.load(Relaxed);
        let one_more = |count| if count < max { Some(count + 1) } else { None };
        names.topics.fetch_update(Relaxed, Relaxed, one_more).map_err(|_| TopicError::TooMany)?;
        let (name, log) = (Arc::<str>::from(name), Log::new(Position { epoch: names.shared.fresh(), offset: 0 }));
        let inner = Arc::new(Inner::new(Arc::clone(&name), Arc::clone(&names.shared), log, Ids::default()));
        shard.insert(name, Arc::clone(&inner));
        Ok(Topic(inner))
    }

    /// The topic of this name, if there is one.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Inner<M>>> {
        lock(self.shard(name)).get(name).cloned()
    }

    /// Changes all rosters, in the order of their topics' names.
    #[cfg(feature = "tokio")]
    pub(crate) fn each_roster(&self, change: impl Fn(&mut Roster)) {
        for topic in self.0.shared.turns.all() {
            if let Some(topic) = self.find(&topic) {
                topic.if_roster(&change);
            }
        }
    }

    /// All topics, of which other threads may make and sweep some meanwhile. In the order of their names, since that of
    /// the maps differs from run to run.
    #[cfg(feature = "tokio")]
    pub(crate) fn all(&self) -> Vec<Arc<Inner<M>>> {
        let mut all: Vec<_> = self.0.shards.iter().flat_map(topics).collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn shard(&self, name: &str) -> &Mutex<Shard<M>> {
        let [first, ..] = &self.0.shards;
        self.0.shards.get(self.0.hasher.hash_one(name) as usize % SHARDS).unwrap_or(first)
    }

    /// Says what time it is, and sweeps if it is time for that: lets go of what is too old, and of topics that nobody
    /// has held for long enough. Returns when to call it next.
    ///
    /// It is for hosts without a runtime: `run` (feature `tokio`) does it by itself.
    ///
    /// Ages are as exact as these calls are frequent. An earlier time than the last one changes nothing. If nobody calls
    /// it, nothing grows old, and the limits on messages, bytes and topics hold all the same.
    ///
    /// A sweep visits all topics, 1 to 5 seconds after the last one. Who has come and gone is told to watchers, and names
    /// begin and end to linger, a quarter of a second after the last time. While anybody watches, it wants to be called that
    /// often; otherwise call it when it says, even if somebody enters meanwhile.
    pub fn tick(&self, now: Time) -> Option<Time> {
        let sweep = self.advance(now);
        let shared = &self.0.shared;
        let watched = shared.turns.is_watched().then(|| shared.now().later(TURN));
        Some(shared.turns.next().into_iter().chain(watched).fold(sweep, Stamp::min).time())
    }

    /// Does all that is to be done by now. Returns when the next sweep is.
    pub(crate) fn advance(&self, now: Time) -> Stamp {
        let names = &*self.0;
        names.shared.now.fetch_max(Stamp::from(now).nanos(), Relaxed);
        let now = names.shared.now();
        each(names.shared.turns.take_due(now), |name| {
            if let Some(topic) = self.find(&name) {
                topic.turn(now);
            }
        });
        let retain = &names.shared.retain;
        let wait = (retain.age.min(retain.linger) / 4).clamp(Duration::from_secs(1), Duration::from_secs(5));
        {
            let mut next_sweep = lock(&names.next_sweep);
            if now < *next_sweep {
                return *next_sweep;
            }
            *next_sweep = now.later(wait);
        }
        names.shards.iter().for_each(|shard| self.sweep(shard, now));
        now.later(wait)
    }

    fn sweep(&self, shard: &Mutex<Shard<M>>, now: Stamp) {
        // Topics are locked while the names are not, because somebody's `make`, which runs with a topic's lock held, may
        // ask for a name.
        for inner in topics(shard) {
            // Two are the map's and ours.
            if !inner.sweep(now, Arc::strong_count(&inner) > 2) {
                continue;
            }
            let mut shard = lock(shard);
            // Without a handle nobody can get at it now but by the map, which is locked. Somebody may have used it since
            // it was judged.
            if Arc::strong_count(&inner) == 2 && inner.sweep(now, false) {
                shard.remove(&inner.name);
                self.0.topics.fetch_sub(1, Relaxed);
                let waker = self.0.shared.gone(&inner.name);
                drop(shard);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        }
    }

    /// What the topics hold, to take it up after a restart. Each topic is locked in turn, so stop publishing first: what
    /// is published later may be missing.
    ///
    /// With a backplane it is empty, since the engine has the logs.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let shards: &[_] = if self.0.shared.is_local() { &self.0.shards } else { &[] };
        snapshot::take(shards.iter().flat_map(topics))
    }

    /// What there is and what has been. It visits all topics, so ask for it in seconds, not in each turn.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let shared = &self.0.shared;
        let mut counters = Counters {
            bytes: shared.bytes.load(Relaxed),
            names: shared.names.load(Relaxed),
            published: shared.published.load(Relaxed),
            missed: shared.missed.load(Relaxed),
            left: shared.left.load(Relaxed),
            ..Counters::default()
        };
        #[cfg(feature = "tokio")]
        if let Some(link) = &shared.link {
            (counters.loads, counters.engine_delay) = (link.loads.load(Relaxed), link.delay());
            counters.engine_away = link.away();
        }
        for inner in self.0.shards.iter().flat_map(topics) {
            let state = lock(&inner.state);
            counters.topics += 1;
            counters.subscribers += state.seats.len();
            counters.messages += state.log.len();
            counters.lag = counters.lag.max(state.log.lag());
        }
        counters
    }
}

/// All topics of a shard, of which other threads may make and sweep some meanwhile.
fn topics<M>(shard: &Mutex<Shard<M>>) -> Vec<Arc<Inner<M>>> {
    lock(shard).values().cloned().collect()
}

/// What a hub holds, and what has happened since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// How many topics there are.
    pub topics: usize,
    /// How many times a topic is joined. A subscriber counts once for each of its topics.
    pub subscribers: usize,
    /// What counts against [`Limits::names`].
    pub names: usize,
    /// How many messages lie in all logs.
    pub messages: usize,
    /// What counts against [`Limits::bytes`].
    pub bytes: usize,
    /// How many messages the slowest cursor waits for: retain and slack together at most, since what goes beyond is
    /// missed. For a cursor that has lagged and does not know it yet, it is all that its topic holds.
    pub lag: u64,
    /// How many messages have been published. With a backplane, those that were published through this hub, each id as
    /// often as it was said.
    pub published: u64,
    /// How many messages have been told as missed ([`Delivery::Missed`](crate::Delivery::Missed)).
    pub missed: u64,
    /// How many cursors have left because they lagged ([`Delivery::Left`](crate::Delivery::Left)).
    pub left: u64,
    /// How many times a part of the engine's log has been read, or could not be. Beyond the first joins of topics, it grows
    /// when the feed loses something, so much growth means trouble. 0 without a backplane.
    pub loads: u64,
    /// How long the last one took, also if it failed: 10 s if the engine has not answered.
    pub engine_delay: Option<Duration>,
    /// The alarm: for how long the engine has not answered. `None` while it does, and without a backplane.
    ///
    /// A hub that runs asks it for its lease every 5 s, whatever else there is to do. When one such call has failed, within
    /// 15 s after the engine was lost, this is the time since its last answer, or since `run` began. It grows until the
    /// engine answers again.
    pub engine_away: Option<Duration>,
}

impl<M> Clone for Hub<M> {
    fn clone(&self) -> Hub<M> {
        Hub(Arc::clone(&self.0))
    }
}

impl<M> fmt::Debug for Hub<M> {
    // It shows no message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("topics", &self.0.topics.load(Relaxed)).finish_non_exhaustive()
    }
}

// Under loom each run must lock the same things, and the hasher has a random key.
const SHARDS: usize = if cfg!(openline_loom) { 1 } else { 16 };
