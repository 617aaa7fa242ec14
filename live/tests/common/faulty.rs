//! An engine that loses, repeats and reorders what it feeds, fails, hangs, and tells what it was asked.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use openline_live::{
    Announce, Append, Away, Backplane, Epoch, Fed, Lease, Memory, MemoryNode, NodeId, Page, Position, Present,
    PublishError,
};
use tokio::time::sleep;

/// How calls end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Fine,
    Fails,
    Hangs,
    /// What concerns leases and presence happens, and the answer is lost.
    Unanswered,
}

type Feed = Box<dyn FnMut(Fed) -> Vec<Fed> + Send>;
type Pages = Box<dyn FnMut(Page) -> Page + Send>;

/// What the test says, and what it is told. A clone is the same.
#[derive(Clone)]
pub struct Plan(Arc<Mutex<Told>>);

pub struct Told {
    pub mood: Mood,
    /// A call about interest or presence that has one of these names, of a topic or of somebody who is here, fails.
    pub refused: BTreeSet<String>,
    /// What becomes of each thing that is fed, and of each page.
    pub feed: Feed,
    pub pages: Pages,
    /// How long the answers about a topic take, and each answer about interest.
    pub slow: BTreeMap<String, Duration>,
    pub slow_interest: Duration,
    /// How long an announcement is on its way.
    pub slow_announce: Duration,
    /// What the hub has asked for: `read NAME`, `feed NAME`, `no NAME`.
    pub asked: Vec<String>,
    fed: VecDeque<Fed>,
}

impl Plan {
    pub fn new() -> Plan {
        Plan(Arc::new(Mutex::new(Told {
            mood: Mood::Fine,
            refused: BTreeSet::new(),
            feed: Box::new(|fed| vec![fed]),
            pages: Box::new(|page| page),
            slow: BTreeMap::new(),
            slow_interest: Duration::ZERO,
            slow_announce: Duration::ZERO,
            asked: vec![],
            fed: VecDeque::new(),
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap()
    }

    pub fn mood(&self, mood: Mood) {
        self.lock().mood = mood;
    }

    pub fn feed(&self, feed: impl FnMut(Fed) -> Vec<Fed> + Send + 'static) {
        self.lock().feed = Box::new(feed);
    }

    /// What was asked since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().asked)
    }

    /// How much is in the feed.
    pub fn fed(&self) -> usize {
        self.lock().fed.len()
    }

    /// How often a log was read since the last call.
    pub fn reads(&self) -> usize {
        self.asked().iter().filter(|asked| asked.starts_with("read")).count()
    }
}

pub struct Faulty {
    pub node: MemoryNode,
    pub plan: Plan,
}

impl Faulty {
    pub fn new(memory: &Memory) -> (Faulty, Plan) {
        let plan = Plan::new();
        (Faulty { node: memory.node(), plan: plan.clone() }, plan)
    }

    fn refuses<'n>(&self, mut names: impl Iterator<Item = &'n Arc<str>>) -> Result<(), Away> {
        let refused = &self.plan.lock().refused;
        if names.any(|name| refused.contains(&**name)) { Err(Away) } else { Ok(()) }
    }

    async fn mood<E>(&self, error: E) -> Result<(), E> {
        let mood = self.plan.lock().mood;
        match mood {
            Mood::Fine | Mood::Unanswered => Ok(()),
            Mood::Fails => Err(error),
            Mood::Hangs => pending().await,
        }
    }

    /// A call that concerns leases or presence.
    async fn call<T>(&self, call: impl Future<Output = Result<T, Away>>) -> Result<T, Away> {
        self.mood(Away).await?;
        let answer = call.await;
        if self.plan.lock().mood == Mood::Unanswered { Err(Away) } else { answer }
    }
}

impl Backplane for Faulty {
    async fn append(&self, append: Append) -> Result<Position, PublishError> {
        self.mood(PublishError::Failed).await?;
        self.node.append(append).await
    }

    async fn after(&self, topic: Arc<str>, after: Option<Position>, most: usize, fresh: Epoch) -> Result<Page, Away> {
        self.plan.lock().asked.push(format!("read {topic}"));
        self.mood(Away).await?;
        let page = self.node.after(Arc::clone(&topic), after, most, fresh).await?;
        let slow = self.plan.lock().slow.get(&*topic).copied();
        if let Some(slow) = slow {
            sleep(slow).await;
        }
        Ok((self.plan.lock().pages)(page))
    }

    async fn interest(&self, add: Vec<Arc<str>>, remove: Vec<Arc<str>>) -> Result<(), Away> {
        {
            let asked = &mut self.plan.lock().asked;
            asked.extend(add.iter().map(|name| format!("feed {name}")));
            asked.extend(remove.iter().map(|name| format!("no {name}")));
        }
        self.mood(Away).await?;
        self.refuses(add.iter().chain(&remove))?;
        let slow = self.plan.lock().slow_interest;
        self.node.interest(add, remove).await?;
        sleep(slow).await;
        Ok(())
    }

    async fn fed(&self) -> Fed {
        loop {
            if let Some(fed) = self.plan.lock().fed.pop_front() {
                return fed;
            }
            let fed = self.node.fed().await;
            let told = &mut *self.plan.lock();
            told.fed.extend((told.feed)(fed));
        }
    }

    async fn lease(&self, node: NodeId, time: Duration) -> Result<Lease, Away> {
        self.call(self.node.lease(node, time)).await
    }

    async fn announce(&self, announce: Announce) -> Result<(), Away> {
        self.refuses(announce.joined.iter().chain(&announce.gone))?;
        let slow = self.plan.lock().slow_announce;
        self.call(async {
            sleep(slow).await;
            self.node.announce(announce).await
        })
        .await
    }

    async fn here(&self, topic: Arc<str>) -> Result<Vec<Present>, Away> {
        self.call(self.node.here(topic)).await
    }
}
