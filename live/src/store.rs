//! What an engine in memory holds: logs, the feeds of its nodes, leases, and who is here.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::backplane::{Append, Away, Fed, Kept, NodeId, Page};
use crate::error::PublishError;
use crate::id::{Ids, Seen, WEIGHT};
use crate::limits::{Limits, Stamp};
use crate::position::{Epoch, Position};

pub(crate) struct Store {
    began: Instant,
    limits: Limits,
    topics: HashMap<Arc<str>, Log>,
    /// What all messages and ids weigh.
    bytes: usize,
    next_sweep: Stamp,
    /// In order, so that all runs of a test are alike.
    pub(crate) feeds: BTreeMap<u64, Feed>,
    pub(crate) made: u64,
    pub(crate) leases: BTreeMap<NodeId, Stamp>,
    pub(crate) here: BTreeMap<Arc<str>, BTreeMap<NodeId, BTreeSet<Arc<str>>>>,
}

struct Log {
    epoch: Epoch,
    head: u64,
    messages: VecDeque<(Bytes, Stamp)>,
    bytes: usize,
    ids: Ids,
    /// As the last publisher has said it.
    age: Duration,
    used: Stamp,
}

#[derive(Default)]
pub(crate) struct Feed {
    pub(crate) topics: BTreeSet<Arc<str>>,
    pub(crate) queue: VecDeque<Fed>,
    bytes: usize,
    pub(crate) waker: Option<Waker>,
}

impl Store {
    pub(crate) fn new(limits: Limits) -> Store {
        Store {
            began: Instant::now(),
            limits,
            topics: HashMap::new(),
            bytes: 0,
            next_sweep: Stamp::from(openline::Time::ZERO),
            feeds: BTreeMap::new(),
            made: 0,
            leases: BTreeMap::new(),
            here: BTreeMap::new(),
        }
    }

    /// Forgets all but the feeds, which are cut. Who is to be woken when no lock is held.
    pub(crate) fn forget(&mut self) -> Vec<Waker> {
        (self.topics, self.bytes) = (HashMap::new(), 0);
        (self.leases, self.here) = (BTreeMap::new(), BTreeMap::new());
        self.feeds.values_mut().filter_map(Feed::cut).collect()
    }

    /// What is held for a node comes out.
    pub(crate) fn take(&mut self, node: u64, waker: &Waker) -> Result<Fed, Option<Waker>> {
        let Some(feed) = self.feeds.get_mut(&node) else { return Err(None) };
        let Some(fed) = feed.queue.pop_front() else { return Err(feed.waker.replace(waker.clone())) };
        feed.bytes -= weight(&fed);
        Ok(fed)
    }

    pub(crate) fn now(&self) -> Stamp {
        Stamp::from(openline::Time::ZERO + self.began.elapsed())
    }

    /// Changes a topic, which is made if there is none. The second value is how many bytes the other topics leave free.
    fn change<T>(&mut self, topic: &Arc<str>, fresh: Epoch, change: impl FnOnce(&mut Log, usize) -> T) -> Option<T> {
        let now = self.now();
        let is_full = !self.topics.contains_key(topic) && self.topics.len() >= self.limits.topics;
        if is_full || now >= self.next_sweep {
            self.sweep(now);
        }
        if !self.topics.contains_key(topic) {
            if self.topics.len() >= self.limits.topics {
                return None;
            }
            self.topics.insert(Arc::clone(topic), Log::new(fresh, now));
        }
        let log = self.topics.get_mut(topic)?;
        log.used = now;
        let before = log.weight();
        log.expire(now);
        let others = self.bytes - before;
        let result = change(log, self.limits.bytes.saturating_sub(others));
        self.bytes = others + log.weight();
        Some(result)
    }

    pub(crate) fn page(
        &mut self,
        topic: &Arc<str>,
        after: Option<Position>,
        most: usize,
        fresh: Epoch,
    ) -> Result<Page, Away> {
        let now = self.now();
        self.change(topic, fresh, |log, _| log.page(after, most, now)).ok_or(Away)
    }

    /// Appends a message and feeds it. One that is known by its id is not fed again, since this time it may be made of other
    /// bytes, and all nodes have the same. Who is to be woken when no lock is held.
    pub(crate) fn append(&mut self, append: Append) -> Result<(Position, Vec<Waker>), PublishError> {
        let now = self.now();
        let appended = self.change(&append.topic, append.fresh, |log, room| match log.known(&append) {
            Some(known) => known.map(|at| (at, false)),
            None => log.append(&append, room, now).map(|at| (at, true)),
        });
        let (at, is_new) = appended.unwrap_or(Err(PublishError::Failed))?;
        if !is_new {
            return Ok((at, Vec::new()));
        }
        let Append { topic, payload, .. } = append;
        let wakers = self.feed(&topic, &Fed::Message { topic: Arc::clone(&topic), at, payload });
        Ok((at, wakers))
    }

    /// Forgets topics that nobody has used for long, once a minute.
    fn sweep(&mut self, now: Stamp) {
        let mut bytes = 0;
        self.topics.retain(|_, log| {
            log.expire(now);
            let stays = now.since(log.used) <= HOUR || !log.messages.is_empty() || !log.ids.is_empty();
            bytes += if stays { log.weight() } else { 0 };
            stays
        });
        (self.bytes, self.next_sweep) = (bytes, now.later(MINUTE));
    }

    /// Who is to be woken when no lock is held.
    pub(crate) fn feed(&mut self, topic: &Arc<str>, fed: &Fed) -> Vec<Waker> {
        let feeds = self.feeds.values_mut().filter(|feed| feed.topics.contains(topic));
        feeds.filter_map(|feed| feed.push(fed.clone())).collect()
    }

    pub(crate) fn end_leases(&mut self, now: Stamp) {
        let Store { leases, here, .. } = self;
        let before = leases.len();
        leases.retain(|_, end| now < *end);
        if leases.len() < before {
            here.retain(|_, nodes| {
                nodes.retain(|node, _| leases.contains_key(node));
                !nodes.is_empty()
            });
        }
    }
}

impl Log {
    fn new(epoch: Epoch, used: Stamp) -> Log {
        let (messages, ids) = (VecDeque::new(), Ids::default());
        Log { epoch, head: 0, messages, bytes: 0, ids, age: Duration::MAX, used }
    }

    fn weight(&self) -> usize {
        self.bytes + self.messages.len() * size_of::<(Bytes, Stamp)>() + self.ids.weight()
    }

    fn at(&self) -> Position {
        Position { epoch: self.epoch, offset: self.head }
    }

    /// Where the message stands that has this id already, if it is the same one.
    fn known(&self, append: &Append) -> Option<Result<Position, PublishError>> {
        let id = append.id?;
        self.ids.known(id.to_bytes(), id.fingerprint(&append.payload), self.at())
    }

    fn append(&mut self, append: &Append, room: usize, now: Stamp) -> Result<Position, PublishError> {
        let named = append.id.map(|id| (id.to_bytes(), id.fingerprint(&append.payload)));
        if append.expect.is_some_and(|expected| expected != self.at()) {
            return Err(PublishError::Conflict(self.at()));
        }
        let payload = Bytes::copy_from_slice(&append.payload);
        let weight = payload.len() + size_of::<(Bytes, Stamp)>() + if named.is_some() { WEIGHT } else { 0 };
        if self.ids.weight().saturating_add(weight) > room {
            return Err(PublishError::Full);
        }
        while self.weight() + weight > room && self.drop_oldest() {}
        (self.head, self.age) = (self.head + 1, append.retain.age);
        self.bytes += payload.len();
        self.messages.push_back((payload, now));
        if let Some((id, hash)) = named {
            self.ids.insert(id, Seen { offset: self.head, hash }, now);
        }
        while self.messages.len() > append.retain.messages.max(1) || self.bytes > append.retain.bytes {
            self.drop_oldest();
        }
        Ok(self.at())
    }

    fn page(&self, after: Option<Position>, most: usize, now: Stamp) -> Page {
        let first = self.head + 1 - self.messages.len() as u64;
        let known = after.filter(|after| after.epoch == self.epoch && after.offset <= self.head);
        let from = known.map_or(first, |after| (after.offset + 1).max(first));
        let messages = self.messages.iter().skip((from - first) as usize).take(most.max(1)).zip(from..);
        let keep = |((payload, at), offset): (&(Bytes, Stamp), u64)| Kept {
            offset,
            age: now.since(*at),
            payload: payload.clone(),
        };
        Page { at: self.at(), messages: messages.map(keep).collect() }
    }

    fn expire(&mut self, now: Stamp) {
        self.ids.expire(now);
        while self.messages.front().is_some_and(|(_, at)| now.since(*at) > self.age) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((payload, _)) = self.messages.pop_front() else { return false };
        self.bytes -= payload.len();
        true
    }
}

impl Feed {
    fn push(&mut self, fed: Fed) -> Option<Waker> {
        if self.queue.len() >= FEED || self.bytes.saturating_add(weight(&fed)) > FEED_BYTES {
            return self.cut();
        }
        self.bytes += weight(&fed);
        self.queue.push_back(fed);
        self.waker.take()
    }

    /// What was held is gone, and this is told.
    pub(crate) fn cut(&mut self) -> Option<Waker> {
        (self.queue, self.bytes) = (VecDeque::from([Fed::Cut]), 0);
        self.waker.take()
    }
}

/// What something in a feed counts.
fn weight(fed: &Fed) -> usize {
    match fed {
        Fed::Message { payload, .. } => payload.len(),
        Fed::Presence(announce) => announce.joined.iter().chain(&announce.gone).map(|name| name.len()).sum(),
        Fed::Stale(_) | Fed::Cut => 0,
    }
}

const FEED: usize = 4096;
const FEED_BYTES: usize = 16 << 20;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

#[cfg(test)]
#[path = "../tests/store/mod.rs"]
mod tests;
