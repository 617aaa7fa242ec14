//! A node: a process with a hub, which can be stopped for a while, and killed without a last word.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use bytes::Bytes;
use openline_live::{EpochSeed, Hub, Limits, Position};
use tokio::task::JoinHandle;

use super::link::{Link, Wire};
use super::world::{World, lock};
use crate::actors::words::{Seen, topic};
use crate::rng::Rng;

pub struct Node {
    pub number: usize,
    pub hub: Hub<Seen>,
    pub wire: Arc<Wire>,
    pub life: Arc<Life>,
    running: Mutex<Option<JoinHandle<()>>>,
}

fn make(name: &str, at: Position, payload: &Bytes) -> Seen {
    let words = std::str::from_utf8(payload).unwrap().parse().unwrap();
    Seen { topic: topic(name).unwrap(), at, words }
}

impl Node {
    pub fn start(world: &Arc<World>, number: usize) -> Arc<Node> {
        let lives = world.lives.fetch_add(1, Relaxed);
        let mut seed = [0; 16];
        seed[..8].copy_from_slice(&Rng::new(world.plan.seed, ("epoch", lives)).next().to_be_bytes());
        let wire = Wire::new(world, number, lives);
        let (retain, seed) = (world.plan.retain, EpochSeed::from(seed));
        let hub = if world.plan.memory {
            Hub::with(world.memory.node(), retain, seed, make)
        } else {
            Hub::with(Link(Arc::clone(&wire)), retain, seed, make)
        };
        hub.set_limits({
            let mut limits = Limits::default();
            limits.bytes = world.plan.room;
            limits
        });
        let node = Arc::new(Node { number, hub, wire, life: Arc::default(), running: Mutex::default() });
        node.run();
        node
    }

    /// Runs the hub, unless somebody does.
    pub fn run(&self) {
        let (hub, life) = (self.hub.clone(), Arc::clone(&self.life));
        let run = || tokio::spawn(async move { life.run(hub.run()).await.unwrap_or_default() });
        lock(&self.running).get_or_insert_with(run);
    }

    pub fn stop(&self) {
        lock(&self.running).take().iter().for_each(JoinHandle::abort);
    }
}

/// Whether a process runs.
#[derive(Default)]
pub struct Life(Mutex<Process>);

#[derive(Default)]
struct Process {
    state: Run,
    waiting: Vec<Waker>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Run {
    #[default]
    Running,
    Paused,
    Dead,
}

impl Life {
    /// Runs this as a part of the process: not while it is paused, and no further once it is dead.
    pub async fn run<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let state = {
                let mut process = lock(&self.0);
                if !process.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    process.waiting.push(cx.waker().clone());
                }
                process.state
            };
            match state {
                Run::Running => future.as_mut().poll(cx).map(Some),
                Run::Paused => Poll::Pending,
                Run::Dead => Poll::Ready(None),
            }
        })
        .await
    }

    fn turn(&self, state: Run) {
        let waiting = {
            let mut process = lock(&self.0);
            if process.state != Run::Dead {
                process.state = state;
            }
            std::mem::take(&mut process.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    pub fn pause(&self, pause: bool) {
        self.turn(if pause { Run::Paused } else { Run::Running });
    }

    pub fn end(&self) {
        self.turn(Run::Dead);
    }
}
