//! Subscribers that join, move, leave, watch, poll and go in any order, two tasks with each of them, while messages are said
//! and turns are taken. Wakers do all that too: they are called between two groups of seats that are rung for.
//!
//! A model knows what each must still get. Whoever waits and has not been woken has nothing to read; each reader has each
//! message once and in order, after the answers to its joins; after each turn, and in the end, each watcher knows who is here.

mod common;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use common::say;
use openline_live::{Delivery, EpochSeed, Hub, Lag, Position, Presence, Retain, Start, Subscriber, Time, Topic};

/// The topic's number, and the offset.
type Said = (usize, u64);

/// How often it has been woken.
#[derive(Default)]
struct Task(AtomicU32);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
        if let Some(world) = WORLD.with_borrow(Option::clone) {
            world.between();
        }
    }
}

thread_local! {
    /// Wakers must not hold it, since they may go to other threads.
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

/// A subscriber, and what it must still get.
#[derive(Default)]
struct Reader {
    subscriber: Subscriber<Said>,
    /// The offset that comes next, of each topic that is joined.
    next: BTreeMap<usize, u64>,
    answers: VecDeque<(usize, u64)>,
    /// Those who are here, as it has been told, in each topic that it watches; nothing before `Here`.
    here: BTreeMap<usize, Option<BTreeSet<Arc<str>>>>,
    tasks: [Arc<Task>; 2],
    /// The task that was told to wait, and how often it had been woken then.
    waits: Option<(usize, u32)>,
}

impl Reader {
    /// Whether a task waits with it, and has not been woken.
    fn sleeps(&self) -> bool {
        self.waits.is_some_and(|(task, woken)| self.tasks[task].0.load(Relaxed) == woken)
    }
}

struct World {
    hub: Hub<Said>,
    topics: Vec<Topic<Said>>,
    readers: Vec<RefCell<Reader>>,
    guards: RefCell<Vec<(usize, Presence<Said>)>>,
    random: Cell<u64>,
    millis: Cell<u64>,
    /// How many wakers have called each other, and how much those of this step may still do.
    depth: Cell<u32>,
    left: Cell<u32>,
    /// How often each thing has happened.
    counts: RefCell<BTreeMap<&'static str, u64>>,
}

impl World {
    fn new(seed: u64, topics: usize, readers: usize) -> World {
        let mut retain = Retain::default();
        (retain.messages, retain.bytes, retain.age) = (1 << 30, 1 << 40, Duration::from_secs(1 << 30));
        retain.absence = Duration::from_secs(1);
        let make = |name: &str, at: Position, _: &bytes::Bytes| (name.parse().unwrap(), at.offset);
        let hub = Hub::local(retain, EpochSeed::from([7; 16]), make);
        World {
            topics: (0..topics).map(|number| hub.topic(&number.to_string()).unwrap()).collect(),
            readers: (0..readers).map(|_| RefCell::default()).collect(),
            hub,
            guards: RefCell::default(),
            random: Cell::new(seed),
            millis: Cell::new(0),
            depth: Cell::new(0),
            left: Cell::new(0),
            counts: RefCell::default(),
        }
    }

    fn random(&self, below: usize) -> usize {
        let next = self.random.get().wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.random.set(next);
        (next >> 33) as usize % below
    }

    fn count(&self, what: &'static str) {
        *self.counts.borrow_mut().entry(what).or_default() += 1;
    }

    fn head(&self, topic: usize) -> u64 {
        self.topics[topic].position().unwrap().offset
    }

    fn say(&self, topic: usize) {
        say(&self.topics[topic], "").unwrap();
        self.count("said");
    }

    /// Somebody is here, or is no more.
    fn come_or_go(&self, topic: usize) {
        let count = self.guards.borrow().len();
        if count < 8 && self.random(2) == 0 {
            let guard = self.topics[topic].enter(["ann", "bob", "cid"][self.random(3)]).unwrap();
            self.guards.borrow_mut().push((topic, guard));
        } else if count > 0 {
            let gone = self.guards.borrow_mut().swap_remove(self.random(count));
            drop(gone);
        }
    }

    /// A turn. Whoever waits then and was not woken knows of all who are here.
    fn turn(&self) {
        self.millis.set(self.millis.get() + 300);
        self.hub.tick(Time::from_epoch(Duration::from_millis(self.millis.get())));
        for reader in &self.readers {
            let reader = reader.borrow();
            for (topic, told) in reader.here.iter().filter(|_| reader.sleeps()) {
                let told = told.as_ref().map(BTreeSet::len);
                assert_eq!(told, Some(self.topics[*topic].present()), "it was not woken for who came or went");
            }
        }
    }

    /// A waker has been called.
    fn between(&self) {
        let actions = if self.depth.get() < 2 { self.random(3) } else { 0 };
        self.depth.set(self.depth.get() + 1);
        for _ in 0..actions {
            let Some(left) = self.left.get().checked_sub(1) else { break };
            self.left.set(left);
            self.count("between");
            if self.readers.len() > 100 && self.random(3) == 0 { self.row() } else { self.act() }
        }
        self.depth.set(self.depth.get() - 1);
    }

    /// Something happens.
    fn step(&self) {
        self.left.set(60);
        let topic = self.random(self.topics.len());
        match self.random(100) {
            0..16 => (0..[1, 1, 1, 1, 1, 1, 2, 60][self.random(8)]).for_each(|_| self.say(topic)),
            16..24 => self.come_or_go(topic),
            24..34 => self.turn(),
            _ => self.act(),
        }
    }

    /// A row of neighbours comes or goes, so gaps grow to one side, lie beside others, and are filled.
    fn row(&self) {
        let (from, count, readers) = (self.random(self.readers.len()), self.random(60), self.readers.len());
        let (comes, upwards) = (self.random(2) == 0, self.random(2) == 0);
        for at in 0..count {
            let number = (from + if upwards { at } else { count - at }) % readers;
            // If it is in hand further out, it is let be.
            let Ok(mut reader) = self.readers[number].try_borrow_mut() else { continue };
            if !comes {
                *reader = Reader::default();
            } else if reader.next.is_empty() {
                self.join(&mut reader, 0, Start::Now, Lag::Leave);
                self.watch(&mut reader, 0);
            }
        }
    }

    /// One reader does something.
    fn act(&self) {
        let Ok(mut reader) = self.readers[self.random(self.readers.len())].try_borrow_mut() else { return };
        let reader = &mut *reader;
        let number = self.random(self.topics.len());
        let topic = &self.topics[number];
        match self.random(100) {
            // With more answers that nobody has taken, the oldest would be replaced.
            0..22 if reader.answers.len() < 60 => {
                let at = topic.position().unwrap();
                let offset = at.offset.saturating_sub(self.random(80) as u64);
                let start = [Start::Oldest, Start::Now, Start::After(Position { offset, ..at })][self.random(3)];
                self.join(reader, number, start, [Lag::Skip, Lag::Latest, Lag::Leave][self.random(3)]);
            }
            22..38 => {
                reader.subscriber.leave(topic);
                reader.next.remove(&number);
                reader.answers.retain(|(of, _)| *of != number);
            }
            38..42 => self.watch(reader, number),
            42..46 => {
                reader.subscriber.unwatch(topic);
                reader.here.remove(&number);
            }
            46..48 => *reader = Reader::default(),
            48..60 => {
                let most = self.random(40);
                for taken in 0..most {
                    let Some(delivery) = reader.subscriber.try_next() else {
                        assert!(self.has_nothing(reader), "nothing comes after {taken}");
                        break;
                    };
                    self.take(reader, delivery);
                }
            }
            _ => self.poll(reader, [1, 2, 1000][self.random(3)]),
        }
    }

    fn join(&self, reader: &mut Reader, topic: usize, start: Start, lag: Lag) {
        let head = self.head(topic);
        let before = match start {
            Start::Now => head,
            Start::After(at) => at.offset,
            _ => 0,
        };
        reader.next.insert(topic, before + 1);
        reader.answers.push_back((topic, head));
        reader.subscriber.join(&self.topics[topic], start, lag);
    }

    fn watch(&self, reader: &mut Reader, topic: usize) {
        reader.here.insert(topic, None);
        reader.subscriber.watch(&self.topics[topic]);
    }

    /// One of the tasks takes so many deliveries, or waits.
    fn poll(&self, reader: &mut Reader, most: usize) {
        let task = self.random(2);
        let waker = Arc::clone(&reader.tasks[task]).into();
        for _ in 0..most {
            let woken = reader.tasks[task].0.load(Relaxed);
            let Poll::Ready(delivery) = reader.subscriber.poll_next(&mut Context::from_waker(&waker)) else {
                assert!(self.has_nothing(reader), "it waits, and something is there to be read");
                reader.waits = Some((task, woken));
                self.count("waits");
                break;
            };
            reader.waits = None;
            self.take(reader, delivery);
        }
    }

    /// Whether nothing is to be read. Within a waker nobody can say: a message may be there for which the ring comes later.
    fn has_nothing(&self, reader: &Reader) -> bool {
        let is_read = |(topic, next): (&usize, &u64)| *next > self.head(*topic);
        self.depth.get() > 0 || (reader.answers.is_empty() && reader.next.iter().all(is_read))
    }

    fn take(&self, reader: &mut Reader, delivery: Delivery<Said>) {
        let number = |topic: &str| topic.parse::<usize>().unwrap();
        match delivery {
            Delivery::Joined { topic, at, whole: true } => {
                assert_eq!(reader.answers.pop_front(), Some((number(&topic), at.offset)));
            }
            Delivery::Message((topic, offset)) => {
                assert!(reader.answers.is_empty(), "answers come first");
                let next = reader.next.get_mut(&topic).expect("it has joined");
                assert_eq!(*next, offset, "once, and in order");
                *next += 1;
                self.count("message");
            }
            Delivery::Here { topic, names, more: 0 } => {
                let here = reader.here.get_mut(&number(&topic)).expect("it watches");
                *here = Some(names.iter().cloned().collect());
            }
            Delivery::Changed { topic, joined, gone } => {
                let here = reader.here.get_mut(&number(&topic)).expect("it watches");
                let here = here.as_mut().expect("Here comes first");
                joined.iter().for_each(|name| assert!(here.insert(Arc::clone(name))));
                gone.iter().for_each(|name| assert!(here.remove(name)));
                self.count("changed");
            }
            other => panic!("{other:?}"),
        }
    }

    /// Whoever waits and was not woken has nothing to read.
    fn check(&self) {
        for reader in &self.readers {
            let reader = reader.borrow();
            assert!(!reader.sleeps() || self.has_nothing(&reader), "it was not woken for what is to be read");
        }
        for (number, topic) in self.topics.iter().enumerate() {
            let joined = self.readers.iter().filter(|reader| reader.borrow().next.contains_key(&number));
            assert_eq!(topic.subscribers(), joined.count());
        }
    }

    /// After some turns everybody reads what is there, and goes.
    fn end(&self) {
        (0..8).for_each(|_| self.turn());
        self.check();
        for reader in &self.readers {
            let reader = &mut *reader.borrow_mut();
            self.poll(reader, usize::MAX);
            assert_eq!(reader.subscriber.topics(), reader.next.len());
            for (topic, told) in &reader.here {
                let guards = self.guards.borrow();
                let here = guards.iter().filter(|(of, _)| of == topic).map(|(_, guard)| guard.name().into()).collect();
                assert_eq!(told.as_ref(), Some(&here), "it knows who is here");
            }
        }
        self.readers.iter().for_each(|reader| *reader.borrow_mut() = Reader::default());
        assert!(self.topics.iter().all(|topic| topic.subscribers() == 0));
    }
}

/// Runs the steps with each seed, and checks after each. All that can happen must have happened often.
fn run(seeds: u64, steps: u64, topics: usize, readers: usize, begin: impl Fn(&World), step: impl Fn(&World, u64)) {
    let mut counts = BTreeMap::<_, u64>::new();
    for seed in 1..=seeds {
        println!("seed {seed}");
        let world = Rc::new(World::new(seed, topics, readers));
        WORLD.set(Some(Rc::clone(&world)));
        begin(&world);
        for number in 0..steps {
            step(&world, number);
            world.check();
        }
        // Wakers do nothing any more.
        WORLD.set(None);
        world.end();
        world.counts.take().into_iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
    }
    println!("{counts:?}");
    for what in ["said", "message", "changed", "waits", "between"] {
        assert!(counts.get(what).is_some_and(|count| *count > 100), "{what}");
    }
}

#[test]
fn few_subscribers_of_few_topics() {
    run(10, 2000, 3, 4, |_| (), |world, _| world.step());
}

/// A subscriber of so many topics has an index of them.
#[test]
fn few_subscribers_of_many_topics() {
    run(10, 2000, 40, 3, |_| (), |world, _| world.step());
}

/// All wait in one topic, where a message rings for several groups, and so does a turn.
#[test]
fn a_crowd_that_comes_and_goes_between_two_groups() {
    let begin = |world: &World| {
        for reader in &world.readers {
            world.join(&mut reader.borrow_mut(), 0, Start::Now, Lag::Leave);
            world.watch(&mut reader.borrow_mut(), 0);
            world.poll(&mut reader.borrow_mut(), usize::MAX);
        }
    };
    let step = |world: &World, number| {
        // All but a few have read what has been said.
        for reader in world.readers.iter().filter(|_| world.random(16) > 0) {
            world.poll(&mut reader.borrow_mut(), usize::MAX);
        }
        world.left.set(200);
        match number % 8 {
            0 => world.row(),
            1 => {
                world.come_or_go(0);
                world.turn();
            }
            2 => (0..50).for_each(|_| world.act()),
            _ => world.say(0),
        }
    };
    run(2, 300, 1, 1000, begin, step);
}
