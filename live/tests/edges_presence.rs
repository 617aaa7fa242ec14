//! The edges of presence: limits of nothing and of all, guards and watchers in many hands, and time that ends.
#![cfg(feature = "tokio")]

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::{Said, make, now, say};
use openline_live::{
    Announce, Append, Away, Backplane, Delivery, EnterError, Epoch, EpochSeed, Fed, Hub, Lag, Lease, Limits, Memory,
    MemoryNode, NodeId, Page, Position, Present, PublishError, Retain, Start, Subscriber, Time, Topic,
};
use tokio::time::{Instant, sleep};

fn absent(absence: Duration) -> Hub<Said> {
    let mut retain = Retain::default();
    retain.absence = absence;
    common::hub(retain)
}

fn node(backplane: impl Backplane) -> Hub<Said> {
    static SEED: AtomicUsize = AtomicUsize::new(0);
    let seed = [SEED.fetch_add(1, Relaxed) as u8; 16];
    Hub::with(backplane, Retain::default(), EpochSeed::from(seed), make)
}

/// Runs a hub, and counts how often it is polled.
fn run(hub: &Hub<Said>) -> Arc<AtomicUsize> {
    let (hub, polls) = (hub.clone(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&polls);
    tokio::spawn(async move {
        let mut run = pin!(hub.run());
        std::future::poll_fn(|cx| {
            count.fetch_add(1, Relaxed);
            run.as_mut().poll(cx)
        })
        .await;
    });
    polls
}

fn limits(names: usize, names_per_topic: usize) -> Limits {
    let mut limits = Limits::default();
    (limits.names, limits.names_per_topic) = (names, names_per_topic);
    limits
}

fn word(delivery: Delivery<Said>) -> String {
    let list =
        |names: &[Arc<str>], before: &str| names.iter().map(|name| format!(" {before}{name}")).collect::<String>();
    match delivery {
        Delivery::Here { names, more, .. } => format!("here{} and {more}", list(&names, "")),
        Delivery::Changed { joined, gone, .. } => {
            format!("{}{}", list(&joined, "+"), list(&gone, "-")).trim().to_owned()
        }
        other => common::word(other),
    }
}

fn all(subscriber: &mut Subscriber<Said>) -> Vec<String> {
    std::iter::from_fn(|| subscriber.try_next().map(word)).collect()
}

fn watching(topic: &Topic<Said>) -> Subscriber<Said> {
    let mut subscriber = Subscriber::new();
    subscriber.watch(topic);
    subscriber
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

/// A task that waits, and whether it was woken since the last look.
#[derive(Default)]
struct Sleeper(AtomicBool);

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

impl Sleeper {
    /// Falls asleep with this subscriber.
    fn on(subscriber: &mut Subscriber<Said>) -> Arc<Sleeper> {
        let sleeper = Arc::new(Sleeper::default());
        let waker = Waker::from(Arc::clone(&sleeper));
        assert!(subscriber.poll_next(&mut Context::from_waker(&waker)).is_pending());
        sleeper
    }

    fn was_woken(&self) -> bool {
        self.0.swap(false, Relaxed)
    }
}

/// An engine's way to a node that may be away.
struct Far {
    node: MemoryNode,
    is_away: Arc<AtomicBool>,
}

impl Far {
    fn look(&self) -> Result<(), Away> {
        if self.is_away.load(Relaxed) { Err(Away) } else { Ok(()) }
    }
}

impl Backplane for Far {
    async fn append(&self, append: Append) -> Result<Position, PublishError> {
        self.node.append(append).await
    }

    async fn after(&self, topic: Arc<str>, after: Option<Position>, most: usize, fresh: Epoch) -> Result<Page, Away> {
        self.look()?;
        self.node.after(topic, after, most, fresh).await
    }

    async fn interest(&self, add: Vec<Arc<str>>, remove: Vec<Arc<str>>) -> Result<(), Away> {
        self.look()?;
        self.node.interest(add, remove).await
    }

    async fn fed(&self) -> Fed {
        self.node.fed().await
    }

    async fn lease(&self, node: NodeId, time: Duration) -> Result<Lease, Away> {
        self.look()?;
        self.node.lease(node, time).await
    }

    async fn announce(&self, announce: Announce) -> Result<(), Away> {
        self.look()?;
        self.node.announce(announce).await
    }

    async fn here(&self, topic: Arc<str>) -> Result<Vec<Present>, Away> {
        self.look()?;
        self.node.here(topic).await
    }
}

/// Who never goes does not keep a turn for ever, and neither does who goes at the end of time.
#[test]
fn an_absence_without_end_and_an_end_of_time() {
    let (done, ended) = channel();
    std::thread::spawn(move || {
        let hub = absent(Duration::MAX);
        let topic = hub.topic("t").unwrap();
        let mut watcher = watching(&topic);
        assert_eq!(all(&mut watcher), ["here and 0"]);
        drop(topic.enter("ann").unwrap());
        hub.tick(common::seconds(1));
        drop(topic.enter("bob").unwrap());
        hub.tick(common::seconds(1_000_000_000));
        assert_eq!((all(&mut watcher), topic.present()), (vec!["here ann bob and 0".to_owned()], 2));
        drop(watcher);
        let next = hub.tick(common::seconds(1_000_000_001)).unwrap();
        assert!(hub.tick(next).unwrap() > next, "nobody watches, and nobody goes");

        let hub = absent(Duration::from_secs(30));
        let topic = hub.topic("t").unwrap();
        let end = Time::from_epoch(Duration::MAX);
        hub.tick(end);
        drop((topic.enter("ann").unwrap(), watching(&topic)));
        hub.tick(end);
        hub.tick(end);
        assert_eq!((topic.present(), hub.counters().names), (0, 0));
        done.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_secs(60)).expect("a tick that ends");
}

#[test]
fn who_waits_is_woken_by_a_watch_that_another_task_begins() {
    let hub = common::hub(Retain::default());
    let topic = hub.topic("t").unwrap();
    let mut subscriber = Subscriber::new();
    let sleeper = Sleeper::on(&mut subscriber);
    subscriber.watch(&topic);
    assert!(sleeper.was_woken(), "there is a Here");
    assert_eq!(all(&mut subscriber), ["here and 0"]);
    // Again, while there is something that it must wait for.
    let sleeper = Sleeper::on(&mut subscriber);
    let _ann = topic.enter("ann").unwrap();
    subscriber.watch(&topic);
    assert!(sleeper.was_woken());
    assert_eq!(all(&mut subscriber).len(), 0, "until the next turn");
    let sleeper = Sleeper::on(&mut subscriber);
    hub.tick(common::seconds(1));
    assert!(sleeper.was_woken());
}

#[test]
fn who_waits_is_still_woken_after_another_task_has_taken_news() {
    let hub = common::hub(Retain::default());
    let topic = hub.topic("t").unwrap();
    let mut subscriber = watching(&topic);
    subscriber.join(&topic, Start::Now, Lag::Leave);
    assert_eq!(all(&mut subscriber), ["joined 0", "here and 0"]);
    let sleeper = Sleeper::on(&mut subscriber);
    subscriber.watch(&topic);
    let sleeper = if sleeper.was_woken() { Arc::clone(&sleeper) } else { panic!("it is woken") };
    assert_eq!(all(&mut subscriber), ["here and 0"]);
    assert!(!sleeper.was_woken());
    let sleeper = Sleeper::on(&mut subscriber);
    say(&topic, "x").unwrap();
    assert!(sleeper.was_woken());
}

#[test]
fn who_is_refused_pushes_nobody_out() {
    let hub = common::hub(Retain::default());
    let topic = hub.topic("t").unwrap();
    let mut watcher = watching(&topic);
    let held: Vec<_> = ["a", "b", "c"].map(|name| topic.enter(name).unwrap()).into();
    drop(["x", "y"].map(|name| topic.enter(name).unwrap()));
    hub.tick(common::seconds(1));
    assert_eq!(all(&mut watcher), ["here a b c x y and 0"]);
    // No room even without those who linger, in the topic and then in the hub.
    for (names, names_per_topic) in [(10, 3), (10, 0), (0, 2), (0, 0)] {
        hub.set_limits(limits(names, names_per_topic));
        assert_eq!(topic.enter("z").unwrap_err(), EnterError::TooMany);
        hub.tick(common::seconds(2 + names as u64 + names_per_topic as u64));
        assert_eq!((all(&mut watcher).concat().as_str(), topic.present()), ("", 5), "{names} {names_per_topic}");
        // Who is here, held or not, may always come.
        let again = [topic.enter("a"), topic.enter("x")];
        assert!(again.iter().all(Result::is_ok));
    }
    hub.set_limits(limits(10, 4));
    let _z = topic.enter("z").unwrap();
    hub.tick(common::seconds(20));
    assert_eq!(all(&mut watcher), ["+z -x -y"], "one more than the three who are held");
    assert_eq!((held.len(), topic.present()), (3, 4));
}

#[tokio::test(start_paused = true)]
async fn many_at_another_node_push_nobody_out() {
    let memory = Memory::new();
    let (here, there) = (node(memory.node()), node(memory.node()));
    run(&here);
    run(&there);
    let topics = [&here, &there].map(|hub| hub.topic("t").unwrap());
    let _there: Vec<_> = (0..20).map(|number| topics[1].enter(&format!("{number:02}")).unwrap()).collect();
    let mut watcher = watching(&topics[0]);
    here.set_limits(limits(100, 5));
    // One of them is also at the other node.
    assert_eq!(topics[0].enter("ann").map(drop), Ok(()), "nothing is known yet");
    seconds(2).await;
    let lingering = topics[0].enter("07").map(drop);
    assert_eq!(lingering, Ok(()));
    all(&mut watcher);
    for _ in 0..3 {
        assert_eq!(topics[0].enter("zoe").unwrap_err(), EnterError::TooMany);
        seconds(1).await;
    }
    assert_eq!((all(&mut watcher).concat().as_str(), topics[0].present()), ("", 21));
    seconds(31).await;
    assert_eq!((all(&mut watcher).concat().as_str(), topics[0].present()), ("-ann", 20));
}

/// A large topic in which something happens does not seem to be there twice.
#[test]
fn a_busy_topic_takes_no_room_from_others() {
    let hub = absent(Duration::ZERO);
    hub.set_limits(limits(1000, 1000));
    let (large, small) = (hub.topic("large").unwrap(), hub.topic("small").unwrap());
    let guards: Vec<_> = (0..800).map(|number| large.enter(&number.to_string()).unwrap()).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                drop(large.enter("0"));
            }
        });
        // Each time she is new in a topic where nobody could make room for her.
        let refused = (0..20_000).filter(|second| {
            let is_refused = small.enter("ann").map(drop).is_err();
            hub.tick(common::seconds(*second));
            is_refused
        });
        let refused = refused.count();
        stop.store(true, Relaxed);
        assert_eq!(refused, 0, "there was room for 199 more at all times");
    });
    assert_eq!((guards.len(), hub.counters().names), (800, 800));
}

/// Nobody ticks, runs or reads, and all the same there is an end to what is kept.
#[test]
fn names_without_end_are_bounded_without_a_clock() {
    let hubs = [common::hub(Retain::default()), node(Memory::new().node())];
    for hub in &hubs {
        hub.set_limits(limits(30, 10));
        let topic = hub.topic("t").unwrap();
        let _watcher = watching(&topic);
        let entered = (0..5000).filter(|number| topic.enter(&number.to_string()).is_ok()).count();
        assert!(entered >= 10 && hub.counters().names <= 20, "{entered} {:?}", hub.counters());
    }
    for _ in 0..1000 {
        hubs.iter().for_each(|hub| drop(watching(&hub.topic("watched").unwrap())));
    }
}

#[test]
fn guards_and_watches_may_outlive_their_hub() {
    let hub = common::hub(Retain::default());
    let topic = hub.topic("t").unwrap();
    let mut watcher = watching(&topic);
    let (ann, also) = (topic.enter("\0\u{202e}\r\n").unwrap(), topic.enter(&"ü".repeat(64)).unwrap());
    drop((hub, topic));
    drop(ann);
    assert_eq!(all(&mut watcher), ["here and 0"], "no turn comes any more");
    drop(watcher);
    assert_eq!(also.name().len(), 128);
    drop(also);
}

/// Somebody else ticks while the hub runs, and time jumps.
#[tokio::test(start_paused = true)]
async fn a_jump_of_time_delays_nobody() {
    let hub = common::hub(Retain::default());
    run(&hub);
    let topic = hub.topic("t").unwrap();
    let mut watcher = watching(&topic);
    seconds(11).await;
    assert_eq!(all(&mut watcher), ["here and 0"]);
    let _ann = topic.enter("ann").unwrap();
    hub.tick(common::seconds(3600));
    assert_eq!(all(&mut watcher), ["+ann"]);
    let (began, _bob) = (Instant::now(), topic.enter("bob").unwrap());
    assert_eq!(word(watcher.next().await), "+bob");
    assert!(began.elapsed() <= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_idle_hub_sleeps() {
    let (local, shared) = (common::hub(Retain::default()), node(Memory::new().node()));
    for hub in [local, absent(Duration::MAX), shared] {
        let polls = run(&hub);
        let topic = hub.topic("t").unwrap();
        let mut watcher = watching(&topic);
        let (_ann, bob) = (topic.enter("ann").unwrap(), topic.enter("bob").unwrap());
        drop(bob);
        seconds(3600).await;
        // A sweep each 5 s, and a lease.
        let polls = polls.load(Relaxed);
        assert!((700..5000).contains(&polls), "{polls}");
        all(&mut watcher);
    }
}

/// Everybody comes and goes while the engine is away, and afterwards all is as it should be.
#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_for_an_hour() {
    let memory = Memory::new();
    let is_away = Arc::new(AtomicBool::new(false));
    let (one, two) = (node(Far { node: memory.node(), is_away: Arc::clone(&is_away) }), node(memory.node()));
    one.set_limits(limits(10_000, 100));
    let polls = run(&one);
    run(&two);
    let topics = [&one, &two].map(|hub| hub.topic("t").unwrap());
    let mut watchers = topics.each_ref().map(watching);
    let stays = topics[0].enter("stays").unwrap();
    seconds(5).await;
    is_away.store(true, Relaxed);
    let (mut guards, mut refused) = (vec![], 0);
    for round in 0..360u32 {
        guards.extend(topics[0].enter(&format!("{}", round % 300)).map_err(|_| refused += 1));
        guards.truncate(20);
        let topic = one.topic(&format!("t{round}")).unwrap();
        drop((topic.enter("x"), watching(&topic)));
        seconds(10).await;
        if round % 60 == 0 {
            watchers.iter_mut().for_each(|watcher| drop(all(watcher)));
        }
    }
    let names = one.counters().names;
    assert!(names <= 10_000 && one.counters().topics <= 362, "{:?}", one.counters());
    let spent = polls.swap(0, Relaxed);
    assert!(spent < 50_000, "{spent} polls");
    is_away.store(false, Relaxed);
    guards.clear();
    seconds(120).await;
    assert_eq!(topics.each_ref().map(Topic::present), [1, 1]);
    assert_eq!(one.counters().names, 1, "{refused}");
    let mut fresh = topics.each_ref().map(watching);
    for watcher in &mut fresh {
        assert_eq!(word(watcher.next().await), "here stays and 0");
    }
    assert_eq!(stays.name(), "stays");
    seconds(600).await;
    assert_eq!(one.counters().topics, 1);
}

/// Nodes come and go, each with names of its own, and leave nothing behind.
#[tokio::test(start_paused = true)]
async fn nodes_come_and_go() {
    let memory = Memory::new();
    let hub = node(memory.node());
    run(&hub);
    let topic = hub.topic("t").unwrap();
    let mut watcher = watching(&topic);
    seconds(1).await;
    let mut told = all(&mut watcher).concat().replace("here and 0", "");
    for round in 0..40 {
        let other = node(memory.node());
        let running = tokio::spawn({
            let other = other.clone();
            async move { other.run().await }
        });
        let _guard = other.topic("t").unwrap().enter(&format!("{round}.")).unwrap();
        seconds(4).await;
        running.abort();
        told += &all(&mut watcher).concat();
    }
    for _ in 0..10 {
        seconds(3).await;
        told += &all(&mut watcher).concat();
    }
    for round in 0..40 {
        for sign in ["+", "-"] {
            assert_eq!(told.matches(&format!("{sign}{round}.")).count(), 1, "{sign}{round} {told}");
        }
    }
    assert_eq!((topic.present(), hub.counters().names), (0, 0));
}

#[test]
fn nobody_lingers_without_an_absence() {
    let hub = absent(Duration::ZERO);
    let topic = hub.topic("t").unwrap();
    let mut watcher = watching(&topic);
    assert_eq!(all(&mut watcher), ["here and 0"]);
    let ann = topic.enter("ann").unwrap();
    hub.tick(common::seconds(1));
    drop(ann);
    hub.tick(common::seconds(2));
    assert_eq!((all(&mut watcher), topic.present()), (vec!["+ann".to_owned(), "-ann".to_owned()], 0));
    let mut later = pin!(watcher.next());
    assert_eq!(later.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending);
    assert!(now(async { hub.tick(common::seconds(3)) }).is_some());
}
