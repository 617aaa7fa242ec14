//! The simulated engine: what the contract of `Backplane` asks of one, without a network. It knows the time that it is
//! told, and has no fault but one that a test has planted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openline_live::{Announce, Append, Epoch, Fed, Kept, Lease, NodeId, Page, Position, Present, PublishError, Retain};

use crate::plan::Plant;

#[derive(Debug, Default)]
pub struct Engine {
    /// How often it was started. A log of another run gets a new epoch when it is used.
    run: u64,
    logs: BTreeMap<Arc<str>, Log>,
    leases: BTreeMap<NodeId, Duration>,
    here: BTreeMap<Arc<str>, BTreeMap<NodeId, BTreeSet<Arc<str>>>>,
    plant: Option<Plant>,
}

#[derive(Debug)]
struct Log {
    epoch: Epoch,
    run: u64,
    /// All messages there were, by offset from 1, and the first one that is kept.
    all: Vec<Entry>,
    first: usize,
    ids: VecDeque<([u8; 16], [u8; 16], u64, Duration)>,
}

#[derive(Clone, Debug)]
struct Entry {
    payload: Bytes,
    at: Duration,
    /// `first` after it was appended.
    first: usize,
}

impl Engine {
    pub fn new(plant: Option<Plant>) -> Engine {
        Engine { plant, ..Engine::default() }
    }

    pub fn end(&self, topic: &str) -> Option<Position> {
        self.logs.get(topic).map(Log::end)
    }

    /// The log, with the epoch that it has from now on.
    fn log(&mut self, topic: &Arc<str>, fresh: Epoch) -> &mut Log {
        let run = self.run;
        let log = self.logs.entry(Arc::clone(topic)).or_insert_with(|| Log {
            epoch: fresh,
            run,
            all: Vec::new(),
            first: 0,
            ids: VecDeque::new(),
        });
        if log.run != run {
            (log.run, log.epoch) = (run, fresh);
        }
        log
    }

    pub fn append(&mut self, append: &Append, now: Duration) -> Result<(Position, Option<Fed>), PublishError> {
        let plant = self.plant;
        let log = self.log(&append.topic, append.fresh);
        while log.ids.front().is_some_and(|(.., at)| now - *at > IDS_LAST) || log.ids.len() > IDS {
            log.ids.pop_front();
        }
        let fed = |at| Fed::Message { topic: Arc::clone(&append.topic), at, payload: append.payload.clone() };
        let named = append.id.map(|id| (id.to_bytes(), id.fingerprint(&append.payload)));
        let known = log.ids.iter().find(|(id, ..)| named.is_some_and(|(named, _)| named == *id));
        if let Some((_, hash, offset, _)) = known.filter(|_| plant != Some(Plant::IdsForgotten)) {
            let same = named.is_some_and(|(_, named)| named == *hash) || plant == Some(Plant::IdsSwallow);
            let at = Position { offset: *offset, ..log.end() };
            let fed = (plant == Some(Plant::FedAgain)).then(|| fed(at));
            return if same { Ok((at, fed)) } else { Err(PublishError::IdTaken) };
        }
        let expected = append.expect.is_none_or(|expect| expect == log.end());
        if !expected && plant != Some(Plant::ExpectIgnored) {
            return Err(PublishError::Conflict(log.end()));
        }
        if plant == Some(Plant::OffsetTwice) && log.all.len() % 16 == 15 {
            log.all.pop();
        }
        log.all.push(Entry { payload: append.payload.clone(), at: now, first: 0 });
        let at = log.end();
        if let Some((id, hash)) = named {
            log.ids.push_back((id, hash, at.offset, now));
        }
        log.trim(&append.retain, now, usize::from(plant == Some(Plant::KeepsOneLess)));
        Ok((at, Some(fed(at))))
    }

    pub fn after(
        &mut self,
        topic: &Arc<str>,
        after: Option<Position>,
        most: usize,
        fresh: Epoch,
        now: Duration,
    ) -> Page {
        let plant = self.plant;
        let log = self.log(topic, fresh);
        // An engine may give less than it was asked for.
        let most = if log.all.len().is_multiple_of(3) { most.min(7) } else { most };
        let from = after
            .filter(|after| after.epoch == log.epoch && after.offset <= log.end().offset)
            .map_or(0, |after| after.offset);
        let mut read: Vec<_> = (1..).zip(&log.all).skip(log.first.max(from as usize)).take(most).collect();
        if plant == Some(Plant::PageLacksOne) && read.len() > 2 {
            read.remove(1);
        }
        let keep =
            |(offset, entry): (u64, &Entry)| Kept { offset, age: now - entry.at, payload: entry.payload.clone() };
        Page { at: log.end(), messages: read.into_iter().map(keep).collect() }
    }

    pub fn lease(&mut self, node: NodeId, time: Duration, now: Duration) -> Lease {
        let held = self.leases.insert(node, now + time).is_some_and(|until| until > now);
        if !held {
            self.here.values_mut().for_each(|nodes| drop(nodes.remove(&node)));
        }
        let alive = self.leases.iter().filter(|(_, until)| **until > now).map(|(node, _)| *node).collect();
        Lease { held, alive }
    }

    pub fn announce(&mut self, announce: &Announce) {
        let names = self.here.entry(Arc::clone(&announce.topic)).or_default().entry(announce.node).or_default();
        names.extend(announce.joined.iter().cloned());
        names.retain(|name| !announce.gone.contains(name));
    }

    pub fn here(&self, topic: &str) -> Vec<Present> {
        let nodes = self.here.get(topic).into_iter().flatten();
        nodes.map(|(node, names)| Present { node: *node, names: names.iter().cloned().collect() }).collect()
    }

    /// It was restarted: each log is as it was before so many of its last messages came. Leases are kept, as are the names
    /// that hang on them.
    pub fn restart(&mut self, mut lost: impl FnMut(&str) -> u64) {
        if self.plant != Some(Plant::SameEpoch) {
            self.run += 1;
        }
        for (name, log) in &mut self.logs {
            let end = (log.all.len() as u64).saturating_sub(lost(name));
            log.all.truncate(end as usize);
            log.first = log.all.last().map_or(0, |last| last.first);
            log.ids.retain(|(_, _, offset, _)| *offset <= end);
        }
    }

    /// Everything is gone, and nobody has restarted it.
    pub fn flush(&mut self) {
        self.logs.clear();
        self.leases.clear();
        self.here.clear();
    }
}

impl Log {
    fn end(&self) -> Position {
        Position { epoch: self.epoch, offset: self.all.len() as u64 }
    }

    fn trim(&mut self, retain: &Retain, now: Duration, less: usize) {
        let most = retain.messages.max(1).saturating_sub(less).max(1);
        let mut bytes: usize = self.all[self.first..].iter().map(|entry| entry.payload.len()).sum();
        while let Some(oldest) = self.all.get(self.first)
            && (self.all.len() - self.first > most || bytes > retain.bytes || now - oldest.at > retain.age)
        {
            bytes -= oldest.payload.len();
            self.first += 1;
        }
        if let Some(last) = self.all.last_mut() {
            last.first = self.first;
        }
    }
}

/// How many ids of a topic are known, and for how long.
const IDS: usize = 4096;
const IDS_LAST: Duration = Duration::from_secs(300);
