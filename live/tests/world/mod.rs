//! A hub, and a model that forgets nothing and searches for everything. Each operation is done to both.
//!
//! What must hold: each cursor sees offsets that rise by one, nothing twice, and each hole is announced with its exact
//! count and occurs only if retain and slack were exceeded; a join begins where it must and says truly whether it is whole;
//! no more is kept than the limits allow; ids and `expect` do what they say, also across a restart.

#![allow(unreachable_pub, reason = "the fuzz target `topics` is another crate root of this file")]

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use openline_live::{
    Delivery, Epoch, EpochSeed, Hub, Id, Lag, Position, PublishError, Retain, Snapshot, Start, Subscriber, Topic,
};

use crate::common::{now, seconds};

pub const TOPICS: usize = 3;
pub const SUBSCRIBERS: usize = 4;

#[derive(Clone, Debug)]
pub enum Op {
    Publish {
        topic: usize,
        len: usize,
        id: Option<u8>,
        expect: bool,
    },
    /// The last message again under its id, or another one.
    Again {
        topic: usize,
        id: u8,
        same: bool,
    },
    Join {
        subscriber: usize,
        topic: usize,
        start: Begin,
        lag: Lag,
    },
    Leave {
        subscriber: usize,
        topic: usize,
    },
    Next {
        subscriber: usize,
        count: usize,
    },
    Drop {
        subscriber: usize,
    },
    Tick {
        seconds: u64,
    },
    /// Lets go of the handle, sweeps after so long, and asks for the topic again.
    Release {
        topic: usize,
        seconds: u64,
    },
    Restart,
}

#[derive(Clone, Copy, Debug)]
pub enum Begin {
    Now,
    Oldest,
    Back(u64),
    Future(u64),
    Elsewhere,
}

type Said = (String, Position, Bytes);

fn make(name: &str, at: Position, payload: &Bytes) -> Said {
    (name.to_owned(), at, payload.clone())
}

/// Everything that a topic ever had in this epoch: payload and second.
struct Book {
    epoch: Epoch,
    said: Vec<(Bytes, u64)>,
    ids: BTreeMap<u8, (u64, u64)>,
    touched: u64,
}

/// What a cursor must see next.
struct Reader {
    lag: Lag,
    /// The last offset that was given out, and the last one of the turn that has been taken from the log.
    given: u64,
    taken: u64,
    /// The last offset that is lost (`Skip`), and whether the cursor has lagged.
    lost: u64,
    lagged: bool,
}

struct Member {
    subscriber: Subscriber<Said>,
    joined: VecDeque<(usize, Position, bool)>,
    readers: HashMap<usize, Reader>,
}

impl Member {
    fn new() -> Member {
        Member { subscriber: Subscriber::new(), joined: VecDeque::new(), readers: HashMap::new() }
    }
}

pub struct World {
    retain: Retain,
    hub: Hub<Said>,
    restarts: u8,
    topics: Vec<Topic<Said>>,
    books: Vec<Book>,
    members: Vec<Member>,
    now: u64,
    number: u64,
}

fn name(topic: usize) -> String {
    format!("topic {topic}")
}

impl Book {
    fn new(topic: &Topic<Said>, now: u64) -> Book {
        assert_eq!(topic.position().unwrap().offset, 0);
        Book { epoch: topic.position().unwrap().epoch, said: vec![], ids: BTreeMap::new(), touched: now }
    }

    fn head(&self) -> u64 {
        self.said.len() as u64
    }

    fn at(&self) -> Position {
        Position { epoch: self.epoch, offset: self.head() }
    }

    fn bytes_after(&self, offset: u64) -> usize {
        self.said[offset as usize..].iter().map(|(payload, _)| payload.len()).sum()
    }

    /// The oldest offset that `Retain` keeps.
    fn kept(&self, retain: &Retain, now: Option<u64>) -> u64 {
        let keeps = |offset: &u64| {
            let (count, bytes) = ((self.head() - offset + 1) as usize, self.bytes_after(offset - 1));
            let old = now.is_some_and(|now| now - self.said[*offset as usize - 1].1 > retain.age.as_secs());
            count <= retain.messages.max(1) && bytes <= retain.bytes && !old
        };
        (1..=self.head()).find(keeps).unwrap_or(self.head() + 1)
    }
}

impl World {
    pub fn new(retain: Retain) -> World {
        let hub = Hub::local(retain, EpochSeed::from([0; 16]), make);
        let topics: Vec<_> = (0..TOPICS).map(|topic| hub.topic(&name(topic)).unwrap()).collect();
        let books = topics.iter().map(|topic| Book::new(topic, 0)).collect();
        let members = (0..SUBSCRIBERS).map(|_| Member::new()).collect();
        World { retain, hub, restarts: 0, topics, books, members, now: 0, number: 0 }
    }

    pub fn apply(&mut self, op: Op) {
        match op {
            Op::Publish { topic, len, id, expect } => self.publish(topic, len, id, expect),
            Op::Again { topic, id, same } => self.again(topic, id, same),
            Op::Join { subscriber, topic, start, lag } => self.join(subscriber, topic, start, lag),
            Op::Leave { subscriber, topic } => {
                let member = &mut self.members[subscriber];
                member.subscriber.leave(&self.topics[topic]);
                member.readers.remove(&topic);
                member.joined.retain(|(of, ..)| *of != topic);
            }
            Op::Next { subscriber, count } => {
                for _ in 0..count {
                    let _ = self.next(subscriber);
                }
            }
            Op::Drop { subscriber } => self.members[subscriber] = Member::new(),
            Op::Tick { seconds } => self.tick(seconds),
            Op::Release { topic, seconds } => self.release(topic, seconds),
            Op::Restart => self.restart(),
        }
        self.check_what_is_kept();
    }

    fn tick(&mut self, later: u64) {
        self.now += later;
        let next = self.hub.tick(seconds(self.now)).unwrap();
        assert!(seconds(self.now) < next && next <= seconds(self.now + 5));
    }

    fn publish(&mut self, topic: usize, len: usize, id: Option<u8>, expect: bool) {
        self.number += 1;
        let payload = Bytes::from(format!("{:0len$}", self.number));
        let (book, now_is) = (&mut self.books[topic], self.now);
        book.ids.retain(|_, (_, at)| now_is - *at <= 300);
        let expect = expect.then(|| book.at());
        let answer = now(self.topics[topic].publish(id.map(|id| Id::new(&id.to_string())), payload.clone(), expect));
        if payload.len() > self.retain.bytes {
            assert_eq!(answer, Err(PublishError::TooLong));
            return;
        }
        if let Some(id) = id {
            if book.ids.contains_key(&id) {
                assert_eq!(answer, Err(PublishError::IdTaken));
                return;
            }
            book.ids.insert(id, (book.head() + 1, now_is));
        }
        book.said.push((payload, now_is));
        book.touched = now_is;
        assert_eq!(answer, Ok(book.at()));
        // Who is too far behind now loses messages, and nobody else does.
        let most = self.retain.messages.max(1) + self.retain.slack_messages;
        let bytes = self.retain.bytes + self.retain.slack_bytes;
        for reader in self.members.iter_mut().filter_map(|member| member.readers.get_mut(&topic)) {
            let mut begin = reader.taken.max(reader.lost);
            while (book.head() - begin) as usize > most || book.bytes_after(begin) > bytes {
                (begin, reader.lagged) = (begin + 1, true);
            }
            if reader.lagged && reader.lag == Lag::Skip {
                reader.lost = begin;
            }
        }
    }

    fn again(&mut self, topic: usize, id: u8, same: bool) {
        let (book, now_is) = (&self.books[topic], self.now);
        let Some(&(offset, at)) = book.ids.get(&id).filter(|(_, at)| now_is - at <= 300) else { return };
        assert!(now_is - at <= 300);
        let payload = if same { book.said[offset as usize - 1].0.clone() } else { Bytes::from("another") };
        // What is expected does not matter: it was so the first time.
        let expect = Some(Position { epoch: book.epoch, offset: offset - 1 });
        let answer = now(self.topics[topic].publish(Some(Id::new(&id.to_string())), payload, expect));
        let first = Position { epoch: book.epoch, offset };
        assert_eq!(answer, if same { Ok(first) } else { Err(PublishError::IdTaken) });
    }

    fn join(&mut self, subscriber: usize, topic: usize, begin: Begin, lag: Lag) {
        let book = &self.books[topic];
        let (at, kept) = (book.at(), book.kept(&self.retain, Some(self.now)));
        let after = |offset| Start::After(Position { offset, ..at });
        let (start, given, whole) = match begin {
            Begin::Now => (Start::Now, at.offset, true),
            Begin::Oldest => (Start::Oldest, kept - 1, kept == 1),
            Begin::Back(back) => {
                let asked = at.offset.saturating_sub(back);
                (after(asked), asked.max(kept - 1), asked + 1 >= kept)
            }
            Begin::Future(more) => (after(at.offset.saturating_add(more)), kept - 1, false),
            Begin::Elsewhere => {
                let epoch = self.books[(topic + 1) % TOPICS].epoch;
                (Start::After(Position { epoch, offset: 0 }), kept - 1, false)
            }
        };
        let member = &mut self.members[subscriber];
        member.subscriber.join(&self.topics[topic], start, lag);
        member.readers.insert(topic, Reader { lag, given, taken: given, lost: 0, lagged: false });
        if member.joined.len() < member.readers.len() + 64 {
            member.joined.push_back((topic, at, whole));
        } else {
            let oldest = member.joined.iter().position(|(of, ..)| *of == topic);
            oldest.map(|oldest| member.joined.remove(oldest));
            member.joined.push_back((topic, at, whole));
        }
    }

    /// One delivery, if there must be one.
    fn next(&mut self, subscriber: usize) -> Option<()> {
        let member = &mut self.members[subscriber];
        let delivery = member.subscriber.try_next();
        if let Some((topic, at, whole)) = member.joined.pop_front() {
            let expected = Delivery::Joined { topic: name(topic).into(), at, whole };
            assert_eq!(delivery, Some(expected));
            return Some(());
        }
        let index = |name: &str| name.strip_prefix("topic ").unwrap().parse::<usize>().unwrap();
        match delivery? {
            Delivery::Message((name, at, payload)) => {
                let topic = index(&name);
                let (book, reader) = (&self.books[topic], member.readers.get_mut(&topic).unwrap());
                assert_eq!(at, Position { epoch: book.epoch, offset: reader.given + 1 });
                assert_eq!(payload, book.said[at.offset as usize - 1].0);
                if reader.given == reader.taken {
                    assert!(!reader.lagged, "a hole was not announced");
                    reader.taken = book.head().min(reader.given + 32);
                }
                reader.given += 1;
            }
            Delivery::Missed(gap) => {
                let topic = index(&gap.topic);
                let (book, reader) = (&self.books[topic], member.readers.get_mut(&topic).unwrap());
                assert!(reader.lagged && reader.given == reader.taken);
                let newest = book.head();
                let resumed = match reader.lag {
                    Lag::Skip => reader.lost,
                    // If the newest one has gone too, because it is too old, all are missed.
                    Lag::Latest if reader.given + gap.count == newest => {
                        assert_eq!(book.kept(&self.retain, Some(self.now)), newest + 1);
                        newest
                    }
                    Lag::Latest => newest - 1,
                    Lag::Leave => panic!("leave has no gaps"),
                };
                assert_eq!(reader.given + gap.count, resumed, "the count is exact");
                (reader.given, reader.lagged) = (resumed, false);
                reader.taken = newest.min(resumed + 32);
            }
            Delivery::Left(name) => {
                let reader = member.readers.remove(&index(&name)).unwrap();
                assert!(reader.lagged && reader.lag == Lag::Leave && reader.given == reader.taken);
            }
            other => panic!("{other:?}"),
        }
        Some(())
    }

    /// Until nothing comes any more. Then everybody has all there is.
    fn drain(&mut self) {
        for subscriber in 0..SUBSCRIBERS {
            while self.next(subscriber).is_some() {}
            for (topic, reader) in &self.members[subscriber].readers {
                assert_eq!((reader.given, reader.lagged), (self.books[*topic].head(), false), "something is left over");
            }
        }
        self.check_what_is_kept();
    }

    fn release(&mut self, topic: usize, later: u64) {
        let held = self.members.iter().any(|member| member.readers.contains_key(&topic));
        // An empty place in the list of handles, of another hub.
        self.topics[topic] = Hub::local(self.retain, EpochSeed::from([255; 16]), make).topic("none").unwrap();
        self.tick(later);
        self.topics[topic] = self.hub.topic(&name(topic)).unwrap();
        let book = &mut self.books[topic];
        if self.topics[topic].position().unwrap().epoch == book.epoch {
            return;
        }
        let stay = if book.said.is_empty() { self.retain.linger } else { self.retain.linger.max(self.retain.age) };
        assert!(!held && (self.restarts > 0 || self.now - book.touched > stay.as_secs()));
        assert!(book.ids.values().all(|(_, at)| self.now - at > 300));
        *book = Book::new(&self.topics[topic], self.now);
    }

    /// All connections break, and come back after the restart with what they have seen.
    fn restart(&mut self) {
        let file = self.hub.snapshot().to_bytes();
        self.restarts += 1;
        let seed = EpochSeed::from([self.restarts; 16]);
        let snapshot = Snapshot::from_bytes(&file).unwrap();
        self.hub = Hub::restore(&snapshot, self.retain, seed, seconds(self.now), make);
        assert_eq!(self.hub.snapshot(), snapshot);
        self.topics = (0..TOPICS).map(|topic| self.hub.topic(&name(topic)).unwrap()).collect();
        for (topic, book) in self.topics.iter().zip(&mut self.books) {
            assert_eq!(topic.position(), Some(book.at()));
            book.touched = self.now;
        }
        for subscriber in 0..SUBSCRIBERS {
            let old = std::mem::replace(&mut self.members[subscriber], Member::new());
            for (topic, reader) in old.readers {
                let back = self.books[topic].head() - reader.given;
                self.join(subscriber, topic, Begin::Back(back), reader.lag);
            }
        }
    }

    fn check_what_is_kept(&self) {
        let mut most = 0;
        for (topic, book) in self.books.iter().enumerate() {
            let readers = self.members.iter().filter_map(|member| member.readers.get(&topic));
            let waiting = readers.filter(|reader| !reader.lagged || reader.lag == Lag::Skip);
            let first = waiting.map(|reader| reader.taken.max(reader.lost) + 1).min();
            let kept = book.kept(&self.retain, None);
            most += book.head() + 1 - first.unwrap_or(kept).min(kept);
        }
        let counters = self.hub.counters();
        assert!(counters.messages as u64 <= most, "{} of {most}", counters.messages);
        let joined: usize = self.members.iter().map(|member| member.readers.len()).sum();
        assert_eq!(counters.subscribers, joined);
        assert!(counters.lag as usize <= self.retain.messages.max(1) + self.retain.slack_messages);
    }

    /// In the end nobody reads, and after long enough nothing is left.
    pub fn end(mut self) {
        self.drain();
        self.members.clear();
        self.topics.clear();
        self.now += 1000;
        self.hub.tick(seconds(self.now));
        self.hub.tick(seconds(self.now + 1000));
        let counters = self.hub.counters();
        assert_eq!((counters.topics, counters.messages, counters.bytes, counters.subscribers), (0, 0, 0, 0));
    }
}
