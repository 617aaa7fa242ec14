//! What all actors of a run share: the clock, the engine, the nodes, and the history that is written.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use openline_live::{Backplane, Epoch, Fed, Memory, Position};
use tokio::sync::Notify;

use super::engine::Engine;
use super::node::Node;
use crate::actors::notes::Notes;
use crate::plan::{Net, Plan};

pub struct World {
    pub plan: Plan,
    pub notes: Notes,
    pub engine: Mutex<Engine>,
    /// What the plan may say to take instead.
    pub memory: Memory,
    /// The engine does not work on what has come.
    paused: AtomicBool,
    resumed: Notify,
    net: Mutex<Net>,
    /// By number; nothing while it is dead.
    nodes: Mutex<Vec<Option<Arc<Node>>>>,
    /// How many nodes have been started.
    pub lives: AtomicU64,
}

impl World {
    pub fn new(plan: Plan) -> Arc<World> {
        let world = Arc::new(World {
            notes: Notes::new(),
            engine: Mutex::new(Engine::new(plan.plant)),
            memory: Memory::new(),
            paused: AtomicBool::new(false),
            resumed: Notify::new(),
            net: Mutex::new(plan.net),
            nodes: Mutex::new(vec![None; plan.nodes]),
            lives: AtomicU64::new(0),
            plan,
        });
        for node in 0..world.plan.nodes {
            world.start(node);
        }
        world
    }

    pub fn net(&self) -> Net {
        *lock(&self.net)
    }

    /// Sends what was appended to all who want it.
    pub fn feed(&self, fed: &Fed) {
        self.living().iter().for_each(|node| node.wire.feed(fed));
    }

    /// Waits while the engine is paused.
    pub async fn engine_runs(&self) {
        loop {
            let resumed = self.resumed.notified();
            if !self.paused.load(Relaxed) {
                return;
            }
            resumed.await;
        }
    }

    pub fn pause_engine(&self, pause: bool) {
        self.paused.store(pause, Relaxed);
        if !pause {
            self.resumed.notify_waiters();
        }
    }

    /// Where a topic's log stands, if the engine knows it.
    pub async fn end(&self, topic: &str) -> Option<Position> {
        if !self.plan.memory {
            return lock(&self.engine).end(topic);
        }
        let page = self.memory.node().after(topic.into(), None, 1, Epoch::from_bytes([0; 16])).await;
        page.ok().map(|page| page.at)
    }

    pub fn node(&self, node: usize) -> Option<Arc<Node>> {
        lock(&self.nodes)[node].clone()
    }

    pub fn living(&self) -> Vec<Arc<Node>> {
        lock(&self.nodes).iter().flatten().cloned().collect()
    }

    /// Starts a node, unless it runs.
    pub fn start(self: &Arc<World>, number: usize) {
        if self.node(number).is_none() {
            let node = Node::start(self, number);
            lock(&self.nodes)[number] = Some(node);
        }
    }

    pub fn kill(&self, number: usize) {
        let node = lock(&self.nodes)[number].take();
        if let Some(node) = node {
            node.life.end();
        }
    }

    /// Of most messages the feed says no more than that there is something.
    pub fn bad_end(&self) {
        let mut net = lock(&self.net);
        (net.stale, net.slow) = (700, net.slow.max(300));
    }

    /// All faults are over: everything runs, and nothing is lost any more.
    pub fn calm(self: &Arc<World>) {
        *lock(&self.net) = Net::default();
        self.pause_engine(false);
        for number in 0..self.plan.nodes {
            self.start(number);
        }
        for node in self.living() {
            node.life.pause(false);
            node.wire.up();
            node.run();
        }
        self.notes.quiet();
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
