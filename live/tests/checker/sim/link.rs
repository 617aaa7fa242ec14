//! A node's way to the engine: a `Backplane` whose calls are late, get lost on the way there or back, or take effect after
//! the caller has given up, and whose feed is late, doubled and cut. All of it within the contract.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use openline_live::{
    Announce, Append, Away, Backplane, Epoch, Fed, Lease, NodeId, Page, Position, Present, PublishError,
};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::engine::Engine;
use super::world::{World, lock};
use crate::plan::Plant;
use crate::rng::Rng;

/// What a hub gets.
pub struct Link(pub Arc<Wire>);

pub struct Wire {
    world: Weak<World>,
    /// Which node, and which life of it.
    node: (usize, u64),
    state: Mutex<State>,
    arrived: Notify,
    /// Who changes the interest: one after the other, as on one connection.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    /// Counts the connections that there were. What was under way on an older one is lost.
    connection: u64,
    down: bool,
    topics: BTreeSet<Arc<str>>,
    /// What is fed, and when it arrives.
    feed: VecDeque<(Instant, Fed)>,
    /// What was fed last, to be fed again.
    recent: VecDeque<Fed>,
    chances: BTreeMap<(&'static str, String), Rng>,
}

/// The engine gave no answer.
enum Lost {
    /// It has not got the call either.
    NotSent,
    Perhaps,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    NotSent,
    RequestLost,
    AnswerLost,
}

impl Wire {
    pub fn new(world: &Arc<World>, node: usize, life: u64) -> Arc<Wire> {
        Arc::new(Wire {
            world: Arc::downgrade(world),
            node: (node, life),
            state: Mutex::default(),
            arrived: Notify::new(),
            turn: Arc::default(),
        })
    }

    fn world(&self) -> Arc<World> {
        self.world.upgrade().expect("the world stays for as long as the run")
    }

    /// The next chances of this kind of thing. The order in which a hub visits its topics does not change them.
    fn chance<T>(&self, state: &mut State, kind: &'static str, topic: &str, draw: impl FnOnce(&mut Rng) -> T) -> T {
        let new = || Rng::new(self.world().plan.seed, (self.node, kind, topic));
        draw(state.chances.entry((kind, topic.to_owned())).or_insert_with(new))
    }

    /// The connection is lost: nothing comes until [`up`](Self::up).
    pub fn down(&self) {
        let mut state = lock(&self.state);
        (state.connection, state.down) = (state.connection + 1, true);
        // What has arrived is read, and what is under way is lost.
        let now = Instant::now();
        state.feed.retain(|(at, _)| *at <= now);
    }

    pub fn up(&self) {
        let mut state = lock(&self.state);
        if std::mem::take(&mut state.down) && !self.world().plan.has(Plant::CutUnnoticed) {
            self.push(&mut state, Fed::Cut, Duration::ZERO);
        }
    }

    /// Something was appended or announced.
    pub fn feed(&self, fed: &Fed) {
        let topic = match fed {
            Fed::Message { topic, .. } => topic,
            Fed::Presence(announce) => &announce.topic,
            _ => return,
        };
        let mut state = lock(&self.state);
        if state.down || !state.topics.contains(topic) {
            return;
        }
        let net = self.world().net();
        let (late, twice, stale, instead) = self.chance(&mut state, "feed", topic, |rng| {
            let late = if rng.chance(net.slow) { rng.millis(100..3000) } else { rng.millis(0..8) };
            (late, rng.chance(net.fed_twice), rng.chance(net.stale), rng.chance(500))
        });
        if !stale || !instead {
            self.push(&mut state, fed.clone(), late);
        }
        if stale {
            self.push(&mut state, Fed::Stale(Arc::clone(topic)), late);
        }
        state.recent.push_back(fed.clone());
        if state.recent.len() > 3 {
            state.recent.pop_front();
        }
        if twice {
            let again: Vec<_> = state.recent.iter().filter(|old| same_epoch(old, fed)).cloned().collect();
            again.into_iter().for_each(|fed| self.push(&mut state, fed, Duration::ZERO));
        }
        // Who does not read for too long is cut off.
        if state.feed.len() > UNREAD {
            state.connection += 1;
            state.feed.clear();
            if !self.world().plan.has(Plant::CutUnnoticed) {
                self.push(&mut state, Fed::Cut, Duration::ZERO);
            }
        }
    }

    fn push(&self, state: &mut State, fed: Fed, late: Duration) {
        let after = state.feed.back().map_or_else(Instant::now, |(at, _)| *at);
        state.feed.push_back((after.max(Instant::now() + late), fed));
        self.arrived.notify_one();
    }

    async fn call<T: Send + 'static>(
        self: &Arc<Wire>,
        kind: &'static str,
        topic: &str,
        effect: impl FnOnce(&World, &Wire, &mut Engine) -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let (world, net) = (self.world(), self.world().net());
        let (connection, fate, there, back) = {
            let state = &mut *lock(&self.state);
            let (fate, there, back) = self.chance(state, kind, topic, |rng| {
                let mut way = || if rng.chance(net.slow) { rng.millis(100..2500) } else { rng.millis(0..8) };
                let (there, back) = (way(), way());
                let fates = [(net.not_sent, Fate::NotSent), (net.request_lost, Fate::RequestLost)];
                let fates = fates.into_iter().chain([(net.answer_lost, Fate::AnswerLost)]);
                let fate = fates.filter(|(rate, _)| rng.chance(*rate)).map(|(_, fate)| fate).next();
                (fate.unwrap_or(Fate::Fine), there, back)
            });
            (state.connection, if state.down { Fate::NotSent } else { fate }, there, back)
        };
        if fate == Fate::NotSent {
            sleep(there).await;
            return Err(Lost::NotSent);
        }
        // The call goes its way, whether somebody waits for the answer or not.
        let (wire, (answer, answered)) = (Arc::clone(self), oneshot::channel());
        let is_open = move |wire: &Wire| lock(&wire.state).connection == connection;
        let turn = (kind == "interest").then(|| Arc::clone(&self.turn));
        tokio::spawn(async move {
            let turn = match turn {
                Some(turn) => Some(turn.lock_owned().await),
                None => None,
            };
            sleep(there).await;
            world.engine_runs().await;
            if !is_open(&wire) {
                return;
            }
            if fate == Fate::RequestLost {
                // It holds up no other call.
                drop(turn);
                return sleep(PATIENCE * 2).await;
            }
            let value = effect(&world, &wire, &mut lock(&world.engine));
            drop(turn);
            sleep(back).await;
            if fate == Fate::AnswerLost {
                sleep(PATIENCE * 2).await;
            } else if is_open(&wire) {
                let _ = answer.send(value);
            }
        });
        match timeout(PATIENCE, answered).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) | Err(_) => Err(Lost::Perhaps),
        }
    }

    /// The engine says where a message will stand, and appends it later.
    async fn append_late(self: &Arc<Wire>, append: Append) -> Result<Position, PublishError> {
        let (world, connection) = (self.world(), lock(&self.state).connection);
        let at = lock(&world.engine).end(&append.topic).ok_or(PublishError::Failed)?;
        let wire = Arc::clone(self);
        tokio::spawn(async move {
            sleep(Duration::from_millis(20)).await;
            world.engine_runs().await;
            if lock(&wire.state).connection == connection {
                let appended = lock(&world.engine).append(&append, world.notes.now());
                appended.ok().and_then(|(_, fed)| fed).iter().for_each(|fed| world.feed(fed));
            }
        });
        Ok(Position { offset: at.offset + 1, ..at })
    }
}

impl Backplane for Link {
    async fn append(&self, append: Append) -> Result<Position, PublishError> {
        let (topic, plant) = (append.topic.to_string(), self.0.world().plan.plant);
        if plant == Some(Plant::AckBeforeAppend) && append.expect.is_none() {
            return self.0.append_late(append).await;
        }
        let effect = move |world: &World, _: &Wire, engine: &mut Engine| {
            let (at, fed) = engine.append(&append, world.notes.now())?;
            fed.iter().for_each(|fed| world.feed(fed));
            Ok(at)
        };
        match self.0.call("append", &topic, effect).await {
            Ok(appended) => appended,
            Err(Lost::Perhaps) if plant == Some(Plant::FailedIsAppended) => Err(PublishError::Failed),
            Err(Lost::NotSent) => Err(PublishError::Failed),
            Err(Lost::Perhaps) => Err(PublishError::Unknown),
        }
    }

    async fn after(&self, topic: Arc<str>, after: Option<Position>, most: usize, fresh: Epoch) -> Result<Page, Away> {
        let name = topic.to_string();
        let effect = move |world: &World, _: &Wire, engine: &mut Engine| {
            engine.after(&topic, after, most, fresh, world.notes.now())
        };
        self.0.call("after", &name, effect).await.map_err(|_| Away)
    }

    async fn interest(&self, add: Vec<Arc<str>>, remove: Vec<Arc<str>>) -> Result<(), Away> {
        let effect = move |_: &World, wire: &Wire, _: &mut Engine| {
            let topics = &mut lock(&wire.state).topics;
            topics.extend(add);
            topics.retain(|topic| !remove.contains(topic));
        };
        self.0.call("interest", "", effect).await.map_err(|_| Away)
    }

    async fn fed(&self) -> Fed {
        loop {
            let arrived = self.0.arrived.notified();
            let arrives = {
                let mut state = lock(&self.0.state);
                match state.feed.front().map(|(at, _)| *at) {
                    Some(at) if at <= Instant::now() => {
                        if let Some((_, fed)) = state.feed.pop_front() {
                            return fed;
                        }
                        None
                    }
                    at => at,
                }
            };
            match arrives {
                // What lies before it may be lost, and something else arrives earlier.
                Some(at) => drop(timeout_at(at, arrived).await),
                None => arrived.await,
            }
        }
    }

    async fn lease(&self, node: NodeId, time: Duration) -> Result<Lease, Away> {
        let effect = move |world: &World, _: &Wire, engine: &mut Engine| engine.lease(node, time, world.notes.now());
        self.0.call("lease", "", effect).await.map_err(|_| Away)
    }

    async fn announce(&self, announce: Announce) -> Result<(), Away> {
        let topic = announce.topic.to_string();
        let effect = move |world: &World, _: &Wire, engine: &mut Engine| {
            engine.announce(&announce);
            world.feed(&Fed::Presence(announce));
        };
        self.0.call("announce", &topic, effect).await.map_err(|_| Away)
    }

    async fn here(&self, topic: Arc<str>) -> Result<Vec<Present>, Away> {
        let name = topic.to_string();
        self.0.call("here", &name, move |_, _, engine| engine.here(&topic)).await.map_err(|_| Away)
    }
}

fn same_epoch(one: &Fed, two: &Fed) -> bool {
    match (one, two) {
        (Fed::Message { topic: one, at: first, .. }, Fed::Message { topic: two, at: second, .. }) => {
            one == two && first.epoch == second.epoch
        }
        _ => false,
    }
}

/// How long a call waits for its answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How much is kept for a node that reads nothing of its feed.
const UNREAD: usize = 100;
