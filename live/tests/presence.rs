//! Who is here, as watchers are told it: by one hub, and by several that share an engine.
#![cfg(feature = "tokio")]

mod common;
#[path = "common/faulty.rs"]
mod faulty;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Said, make, say};
use faulty::{Faulty, Mood as Way};
use openline_live::{
    Announce, Append, Away, Backplane, Delivery, EnterError, Epoch, EpochSeed, Fed, Hub, Lag, Lease, Limits, Memory,
    MemoryNode, NodeId, Page, Position, Presence, Present, PublishError, Retain, Start, Subscriber, Time, Topic,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

fn local(retain: Retain) -> Hub<Said> {
    Hub::local(retain, EpochSeed::from([7; 16]), make)
}

fn node(backplane: impl Backplane) -> Hub<Said> {
    static SEED: AtomicUsize = AtomicUsize::new(0);
    let seed = [SEED.fetch_add(1, Relaxed) as u8; 16];
    Hub::with(backplane, Retain::default(), EpochSeed::from(seed), make)
}

fn run(hub: &Hub<Said>) -> JoinHandle<()> {
    let hub = hub.clone();
    tokio::spawn(async move { hub.run().await })
}

/// An engine's way to a node that a test can disturb.
#[derive(Default)]
struct Mood {
    /// Calls fail.
    is_away: bool,
    /// What is fed is lost, and nobody is told.
    is_deaf: bool,
    /// The next thing that comes from the feed.
    cut: bool,
    /// `feed NAME`, `no NAME`, `here NAME`, `say +NAME -NAME`.
    asked: Vec<String>,
}

#[derive(Clone, Default)]
struct Moods(Arc<Mutex<Mood>>);

impl Moods {
    fn set(&self, change: impl FnOnce(&mut Mood)) {
        change(&mut self.0.lock().unwrap());
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().asked)
    }

    fn ask(&self, asked: String) -> Result<(), Away> {
        let mood = &mut *self.0.lock().unwrap();
        mood.asked.push(asked);
        if mood.is_away { Err(Away) } else { Ok(()) }
    }
}

struct Moody {
    node: MemoryNode,
    moods: Moods,
}

impl Moody {
    fn hub(memory: &Memory) -> (Hub<Said>, Moods) {
        let moods = Moods::default();
        (node(Moody { node: memory.node(), moods: moods.clone() }), moods)
    }
}

impl Backplane for Moody {
    async fn append(&self, append: Append) -> Result<Position, PublishError> {
        self.node.append(append).await
    }

    async fn after(&self, topic: Arc<str>, after: Option<Position>, most: usize, fresh: Epoch) -> Result<Page, Away> {
        self.node.after(topic, after, most, fresh).await
    }

    async fn interest(&self, add: Vec<Arc<str>>, remove: Vec<Arc<str>>) -> Result<(), Away> {
        add.iter().try_for_each(|name| self.moods.ask(format!("feed {name}")))?;
        remove.iter().try_for_each(|name| self.moods.ask(format!("no {name}")))?;
        // Who asks before the answer would not be fed.
        sleep(Duration::from_millis(100)).await;
        self.node.interest(add, remove).await
    }

    async fn fed(&self) -> Fed {
        loop {
            let fed = tokio::select! {
                biased;
                () = sleep(Duration::from_millis(10)), if self.moods.0.lock().unwrap().cut => Fed::Cut,
                fed = self.node.fed() => fed,
            };
            let mood = &mut *self.moods.0.lock().unwrap();
            mood.cut &= fed != Fed::Cut;
            if !mood.is_deaf {
                return fed;
            }
        }
    }

    async fn lease(&self, node: NodeId, time: Duration) -> Result<Lease, Away> {
        self.moods.ask("lease".to_owned())?;
        self.node.lease(node, time).await
    }

    async fn announce(&self, announce: Announce) -> Result<(), Away> {
        let (joined, gone) = (announce.joined.iter(), announce.gone.iter());
        let words = joined.map(|name| format!(" +{name}")).chain(gone.map(|name| format!(" -{name}")));
        self.moods.ask(format!("say{}", words.collect::<String>()))?;
        self.node.announce(announce).await
    }

    async fn here(&self, topic: Arc<str>) -> Result<Vec<Present>, Away> {
        self.moods.ask(format!("here {topic}"))?;
        self.node.here(topic).await
    }
}

/// `here a b`, `here a and 2`, `+a -b`; other deliveries as elsewhere.
fn word(delivery: Delivery<Said>) -> String {
    let list =
        |names: &[Arc<str>], before: &str| names.iter().map(|name| format!(" {before}{name}")).collect::<String>();
    match delivery {
        Delivery::Here { names, more: 0, .. } => format!("here{}", list(&names, "")),
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

/// The next news. The time only ends a test in which nothing comes.
async fn next(subscriber: &mut Subscriber<Said>) -> String {
    word(timeout(Duration::from_secs(600), subscriber.next()).await.expect("something comes"))
}

fn watching(topic: &Topic<Said>) -> Subscriber<Said> {
    let mut subscriber = Subscriber::new();
    subscriber.watch(topic);
    subscriber
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

/// The next news, and after how many milliseconds it came.
async fn news(subscriber: &mut Subscriber<Said>, from: Instant) -> (String, u128) {
    let news = next(subscriber).await;
    (news, from.elapsed().as_millis())
}

#[tokio::test(start_paused = true)]
async fn several_guards_are_one_person_and_who_reconnects_does_not_go() {
    let hub = local(Retain::default());
    run(&hub);
    let topic = hub.topic("t").unwrap();
    let mut watcher = watching(&topic);
    assert_eq!(next(&mut watcher).await, "here");
    let (desktop, phone) = (topic.enter("ann").unwrap(), topic.enter("ann").unwrap());
    assert_eq!((desktop.name(), topic.present(), topic.subscribers()), ("ann", 1, 0));
    assert_eq!(next(&mut watcher).await, "+ann");
    drop(desktop);
    seconds(60).await;
    assert_eq!(all(&mut watcher), [""; 0], "the phone is here");
    drop(phone);
    seconds(29).await;
    let again = topic.enter("ann").unwrap();
    seconds(60).await;
    assert_eq!((all(&mut watcher).len(), topic.present()), (0, 1));
    let gone = Instant::now();
    drop(again);
    let (word, after) = news(&mut watcher, gone).await;
    assert!(word == "-ann" && (30_000..31_000).contains(&after), "{word} after {after}");
    assert_eq!((topic.present(), hub.counters().names), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_comes_is_told_within_a_second_and_all_of_a_moment_together() {
    let hub = local(Retain::default());
    run(&hub);
    let topic = hub.topic("t").unwrap();
    let mut watcher = watching(&topic);
    assert_eq!(next(&mut watcher).await, "here");
    // The hub sleeps until its next sweep.
    sleep(Duration::from_millis(3_300)).await;
    let began = Instant::now();
    let coming = topic.clone();
    let coming = tokio::spawn(async move {
        let mut guards = vec![];
        for number in 0..100 {
            guards.push(coming.enter(&format!("{number:02}")).unwrap());
            sleep(Duration::from_millis(10)).await;
        }
        guards
    });
    let (first, after) = news(&mut watcher, began).await;
    assert!(first == "+00" && after <= 250, "{first} after {after}");
    let guards = coming.await.unwrap();
    seconds(1).await;
    let told = all(&mut watcher);
    assert!((3..=5).contains(&told.len()), "{told:?}");
    assert_eq!(told.concat().matches('+').count(), guards.len() - 1);
}

#[tokio::test(start_paused = true)]
async fn who_comes_and_goes_between_two_turns_is_not_told() {
    let mut retain = Retain::default();
    retain.absence = Duration::ZERO;
    let hub = local(retain);
    run(&hub);
    let topic = hub.topic("t").unwrap();
    let _ann = topic.enter("ann").unwrap();
    let mut watcher = watching(&topic);
    assert_eq!(next(&mut watcher).await, "here ann");
    let bob = topic.enter("bob").unwrap();
    seconds(1).await;
    drop(topic.enter("cid").unwrap());
    seconds(1).await;
    drop(bob);
    seconds(1).await;
    assert_eq!(all(&mut watcher), ["+bob", "-bob"]);
}

#[test]
fn a_host_without_a_runtime_calls_tick() {
    let hub = local(Retain::default());
    let topic = hub.topic("t").unwrap();
    let at = |millis| Time::from_epoch(Duration::from_millis(millis));
    assert!(hub.tick(at(0)) >= Some(at(1000)), "nobody watches");
    let ann = topic.enter("ann").unwrap();
    let mut watcher = watching(&topic);
    assert_eq!((all(&mut watcher), topic.subscribers(), watcher.topics()), (vec!["here ann".to_owned()], 0, 0));
    let _bob = topic.enter("bob").unwrap();
    assert_eq!(all(&mut watcher).len(), 0);
    assert_eq!(hub.tick(at(100)), Some(at(350)));
    assert_eq!(all(&mut watcher), ["+bob"]);
    drop(ann);
    assert_eq!(hub.tick(at(200)), Some(at(350)), "a turn takes a quarter of a second");
    hub.tick(at(350));
    hub.tick(at(30_349));
    assert_eq!(all(&mut watcher).len(), 0, "30 s from the tick that has seen her go");
    hub.tick(at(30_700));
    assert_eq!(all(&mut watcher), ["-ann"]);
    drop(watcher);
    hub.tick(at(31_000));
    hub.tick(at(61_000));
    assert!(hub.tick(at(61_001)) >= Some(at(61_500)), "nobody watches any more");
}

#[tokio::test(start_paused = true)]
async fn a_watch_begins_anew_and_ends() {
    let hub = local(Retain::default());
    run(&hub);
    let topics = ["one", "two"].map(|name| hub.topic(name).unwrap());
    let _here = topics.each_ref().map(|topic| topic.enter("ann").unwrap());
    let mut subscriber = Subscriber::new();
    subscriber.watch(&topics[0]);
    subscriber.watch(&topics[0]);
    assert_eq!(all(&mut subscriber), ["here ann"]);
    subscriber.watch(&topics[0]);
    assert_eq!(all(&mut subscriber), ["here ann"]);
    subscriber.watch(&topics[1]);
    subscriber.unwatch(&topics[1]);
    subscriber.unwatch(&topics[1]);
    assert_eq!(all(&mut subscriber).len(), 0, "what was not taken is not told any more");
    subscriber.join(&topics[0], Start::Now, Lag::Leave);
    assert_eq!((all(&mut subscriber), subscriber.topics()), (vec!["joined 0".to_owned()], 1));
    subscriber.leave(&topics[0]);
    let bob = topics[0].enter("bob").unwrap();
    assert_eq!((next(&mut subscriber).await.as_str(), subscriber.topics()), ("+bob", 0), "it still watches");
    subscriber.unwatch(&topics[0]);
    drop(bob);
    seconds(60).await;
    assert!(timeout(Duration::from_secs(60), subscriber.next()).await.is_err());
    // Guards and watches hold their topics, and nothing else does.
    let [one, two] = topics;
    drop(two);
    subscriber.watch(&one);
    drop(one);
    seconds(600).await;
    assert_eq!((hub.counters().topics, hub.counters().names), (2, 2));
    drop((_here, subscriber));
    seconds(600).await;
    assert_eq!((hub.counters().topics, hub.counters().names), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_topic_stays_for_those_who_linger() {
    let mut retain = Retain::default();
    (retain.linger, retain.absence) = (Duration::from_secs(1), Duration::from_secs(300));
    let hub = local(retain);
    run(&hub);
    drop(hub.topic("t").unwrap().enter("ann").unwrap());
    seconds(290).await;
    assert_eq!((hub.counters().topics, hub.topic("t").unwrap().present()), (1, 1));
    seconds(60).await;
    assert_eq!((hub.counters().topics, hub.counters().names), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_lingers_for_ever_does_and_at_the_end_of_time_nothing_spins() {
    let mut retain = Retain::default();
    retain.absence = Duration::MAX;
    let hub = local(retain);
    let running = run(&hub);
    let topic = hub.topic("t").unwrap();
    let mut watcher = watching(&topic);
    assert_eq!(next(&mut watcher).await, "here");
    drop(topic.enter("ann").unwrap());
    assert_eq!(next(&mut watcher).await, "+ann");
    watcher.unwatch(&topic);
    seconds(100_000).await;
    assert_eq!(topic.present(), 1);
    hub.tick(Time::from_epoch(Duration::MAX));
    watcher.watch(&topic);
    seconds(100).await;
    let _bob = topic.enter("bob").unwrap();
    drop(topic.enter("cid").unwrap());
    seconds(100).await;
    assert!(!running.is_finished() && topic.present() >= 1, "bob is here");
}

#[tokio::test(start_paused = true)]
async fn news_and_messages_take_turns() {
    let hub = local(Retain::default());
    run(&hub);
    let topic = hub.topic("t").unwrap();
    let mut subscriber = watching(&topic);
    subscriber.join(&topic, Start::Now, Lag::Leave);
    assert_eq!(all(&mut subscriber), ["joined 0", "here"]);
    (0..1000).for_each(|_| assert!(say(&topic, "x").is_ok()));
    let _ann = topic.enter("ann").unwrap();
    seconds(1).await;
    let told = all(&mut subscriber);
    let at = told.iter().position(|word| word == "+ann").unwrap();
    assert!(told.len() == 1001 && (1..=64).contains(&at), "{at}");
    // And a watcher that begins again and again lets messages through.
    say(&topic, "y").unwrap();
    subscriber.watch(&topic);
    assert_eq!(all(&mut subscriber), ["1001=y", "here ann"]);
}

#[tokio::test(start_paused = true)]
async fn who_lags_gets_here_again() {
    let hub = local(Retain::default());
    run(&hub);
    let topic = hub.topic("t").unwrap();
    let (mut lags, mut reads) = (watching(&topic), watching(&topic));
    assert_eq!([next(&mut lags).await, next(&mut reads).await], ["here", "here"]);
    let mut guards = vec![];
    for name in ["a", "b", "c", "d"] {
        guards.push(topic.enter(name).unwrap());
        seconds(4).await;
        assert_eq!(all(&mut reads), [format!("+{name}")]);
    }
    assert_eq!(all(&mut lags), ["here a b c d"]);
}

#[tokio::test(start_paused = true)]
async fn more_than_a_thousand_are_counted() {
    let hub = local(Retain::default());
    run(&hub);
    let topic = hub.topic("t").unwrap();
    let mut early = watching(&topic);
    assert_eq!(next(&mut early).await, "here");
    let mut guards: Vec<_> = (0..1200).map(|number| topic.enter(&format!("{number:04}")).unwrap()).collect();
    let mut late = watching(&topic);
    for watcher in [&mut early, &mut late] {
        let Delivery::Here { topic, names, more } = watcher.next().await else { panic!("too much for a change") };
        assert_eq!((&*topic, names.len(), &*names[999], more), ("t", 1000, "0999", 200));
    }
    guards.drain(1100..);
    seconds(31).await;
    let Delivery::Changed { joined, gone, .. } = early.next().await else { panic!() };
    assert_eq!((joined.len(), gone.len(), &*gone[0]), (0, 100, "1100"));
    guards.drain(..200);
    seconds(31).await;
    let Delivery::Here { names, more, .. } = early.next().await else { panic!("all fit now") };
    assert_eq!((names.len(), &*names[0], &*names[899], more), (900, "0200", "1099", 0));
}

#[tokio::test(start_paused = true)]
async fn names_have_limits() {
    let hub = local(Retain::default());
    run(&hub);
    let mut limits = Limits::default();
    (limits.names, limits.names_per_topic) = (3, 2);
    hub.set_limits(limits);
    let (one, two) = (hub.topic("one").unwrap(), hub.topic("two").unwrap());
    assert_eq!(one.enter("").unwrap_err(), EnterError::Name);
    assert_eq!(one.enter(&"x".repeat(129)).unwrap_err(), EnterError::Name);
    let enter = |topic: &Topic<Said>, name: &str| topic.enter(name).map(|guard| (guard, name.len()));
    let (a, b) = (enter(&one, "a").unwrap(), enter(&one, "b").unwrap());
    assert_eq!(enter(&one, "c").unwrap_err(), EnterError::TooMany);
    assert_eq!(EnterError::TooMany.to_string(), "there are too many names");
    let again = enter(&one, "a").unwrap();
    let c = enter(&two, "c").unwrap();
    assert_eq!(enter(&two, "d").unwrap_err(), EnterError::TooMany, "there are three in all");
    assert_eq!(hub.counters().names, 3);
    drop(b);
    let d = enter(&one, "d").unwrap();
    assert_eq!((one.present(), hub.counters().names), (2, 3), "b made room");
    assert_eq!(enter(&two, "d").unwrap_err(), EnterError::TooMany, "others' names are not ours to remove");
    drop((a, again, c, d));
    seconds(31).await;
    assert_eq!((one.present(), two.present(), hub.counters().names), (0, 0, 0));
    drop((one, two));
    seconds(120).await;
    assert_eq!(hub.counters().topics, 0);
}

#[tokio::test(start_paused = true)]
async fn one_person_on_several_nodes_is_one() {
    let memory = Memory::new();
    let hubs = [(); 3].map(|()| node(memory.node()));
    hubs.iter().for_each(|hub| drop(run(hub)));
    let topics = hubs.each_ref().map(|hub| hub.topic("t").unwrap());
    let ann = topics[0].enter("ann").unwrap();
    let mut watchers = topics.each_ref().map(watching);
    for watcher in &mut watchers {
        // They may be asked before she is announced.
        let mut told = next(watcher).await;
        if told == "here" {
            told = next(watcher).await.replace('+', "here ");
        }
        assert_eq!(told, "here ann");
    }
    let also = topics[1].enter("ann").unwrap();
    seconds(5).await;
    drop(ann);
    seconds(60).await;
    assert_eq!(watchers.each_mut().map(|watcher| all(watcher).len()), [0; 3]);
    assert_eq!(topics.each_ref().map(Topic::present), [1; 3]);
    let began = Instant::now();
    drop(also);
    for watcher in &mut watchers {
        let (word, after) = news(watcher, began).await;
        assert!(word == "-ann" && (30_000..31_000).contains(&after), "{word} after {after}");
    }
    let began = Instant::now();
    let _bob = topics[2].enter("bob").unwrap();
    for watcher in &mut watchers {
        let (word, after) = news(watcher, began).await;
        assert!(word == "+bob" && after < 1000, "{word} after {after}");
    }
    assert_eq!(hubs[0].topic("t").unwrap().subscribers(), 0);
}

/// Two nodes, whose leases begin at different times; ann is at the first one and bob at the second.
struct Two {
    memory: Memory,
    hubs: [Hub<Said>; 2],
    moods: [Moods; 2],
    running: [JoinHandle<()>; 2],
    topics: [Topic<Said>; 2],
    guards: [Presence<Said>; 2],
    watchers: [Subscriber<Said>; 2],
    /// What they were told since the last look.
    told: [Vec<String>; 2],
    began: Instant,
}

impl Two {
    async fn new() -> Two {
        let began = Instant::now();
        let memory = Memory::new();
        let ((one, one_mood), (two, two_mood)) = (Moody::hub(&memory), Moody::hub(&memory));
        let hubs = [one, two];
        let first = run(&hubs[0]);
        sleep(Duration::from_millis(2_500)).await;
        let running = [first, run(&hubs[1])];
        let topics = hubs.each_ref().map(|hub| hub.topic("t").unwrap());
        let guards = [topics[0].enter("ann").unwrap(), topics[1].enter("bob").unwrap()];
        seconds(1).await;
        let mut watchers = topics.each_ref().map(watching);
        for watcher in &mut watchers {
            assert_eq!(next(watcher).await, "here ann bob");
        }
        Two {
            memory,
            hubs,
            moods: [one_mood, two_mood],
            running,
            topics,
            guards,
            watchers,
            told: Default::default(),
            began,
        }
    }

    /// Until so many seconds after the beginning. The watchers read meanwhile.
    async fn until(&mut self, seconds: u64) {
        let until = self.began + Duration::from_secs(seconds);
        while Instant::now() < until {
            sleep_until(until.min(Instant::now() + Duration::from_millis(100))).await;
            let read = self.watchers.iter_mut().zip(&mut self.told);
            read.for_each(|(watcher, told)| told.extend(all(watcher)));
        }
    }

    fn told(&mut self) -> [Vec<String>; 2] {
        std::mem::take(&mut self.told)
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_nodes_names_go_after_its_lease_and_not_before() {
    let mut site = Two::new().await;
    site.until(12).await;
    // Its last lease was at 10 s, so it ends at 25 s; the other node leases at 22.5 and 27.5 s.
    site.running[0].abort();
    site.until(24).await;
    assert_eq!(site.told()[1].len(), 0);
    let (word, after) = news(&mut site.watchers[1], site.began).await;
    assert!(word == "-ann" && (25_000..28_000).contains(&after), "{word} after {after}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_takes_leave_takes_its_names_with_it() {
    for runs in [true, false] {
        let mut site = Two::new().await;
        let cid = site.topics.each_ref().map(|topic| topic.enter("cid").unwrap());
        let many: Vec<_> =
            (0..2500).map(|number| site.hubs[0].topic("many").unwrap().enter(&number.to_string())).collect();
        let mut others = watching(&site.hubs[1].topic("many").unwrap());
        drop(site.topics[0].enter("lingers").unwrap());
        // The other node leases at 12.5 and 17.5 s.
        site.until(13).await;
        assert!(site.told()[1].concat().contains("+lingers"));
        assert!(site.hubs[1].topic("many").unwrap().present() == 2500 && many.len() == 2500);
        if !runs {
            site.running[0].abort();
        }
        let began = Instant::now();
        site.hubs[0].sign_off(Duration::from_secs(3)).await.unwrap();
        assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
        // Who comes now is not here for others.
        let late = site.topics[0].enter("late").unwrap();
        site.until(14).await;
        assert_eq!(site.told()[1], ["-ann -lingers"]);
        assert_eq!(site.hubs[1].topic("many").unwrap().present(), 0);
        all(&mut others);
        // Nothing more comes, not even when leases end.
        site.until(100).await;
        assert_eq!(site.told()[1], [""; 0]);
        assert_eq!(site.topics[1].present(), 2);
        let third = node(site.memory.node());
        run(&third);
        let mut watcher = watching(&third.topic("t").unwrap());
        assert_eq!(next(&mut watcher).await, "here bob cid");
        // What the engine does not hear of is not kept.
        for number in 0..1000 {
            drop(site.hubs[0].topic(&number.to_string()).unwrap().enter("x").unwrap());
        }
        if runs {
            seconds(200).await;
            assert!(site.hubs[0].counters().topics <= 3, "{:?}", site.hubs[0].counters());
        }
        // Its guards are still held, and to take leave again is nothing.
        assert_eq!((site.guards[0].name(), cid[0].name(), late.name()), ("ann", "cid", "late"));
        site.hubs[0].sign_off(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn taking_leave_has_a_bound() {
    let mut site = Two::new().await;
    site.moods[0].set(|mood| mood.is_away = true);
    let began = Instant::now();
    assert_eq!(site.hubs[0].sign_off(Duration::from_secs(3)).await, Err(Away));
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    // It goes on as long as the hub runs.
    site.moods[0].set(|mood| mood.is_away = false);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(all(&mut site.watchers[1]), ["-ann"]);
    site.hubs[0].sign_off(Duration::ZERO).await.unwrap();
    // Nobody knows these.
    let alone = [local(Retain::default()), node(Memory::new().node())];
    for hub in alone {
        let _ann = hub.topic("t").unwrap().enter("ann").unwrap();
        assert_eq!(hub.sign_off(Duration::from_secs(1)).await, Ok(()));
    }
    // An engine that refuses one of the names is told of the others, and that the node has gone.
    let memory = Memory::new();
    let ((faulty, plan), other) = (Faulty::new(&memory), node(memory.node()));
    let one = node(faulty);
    run(&one);
    run(&other);
    let topics = [&one, &other].map(|hub| hub.topic("t").unwrap());
    let _guards = ["ann", "bob"].map(|name| topics[0].enter(name).unwrap());
    let _watcher = watching(&topics[1]);
    seconds(1).await;
    assert_eq!(topics[1].present(), 2);
    plan.lock().refused.insert("bob".to_owned());
    assert_eq!(one.sign_off(Duration::from_secs(3)).await, Ok(()));
    seconds(6).await;
    assert_eq!(topics[1].present(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_is_seen_in_the_counters() {
    for hangs in [false, true] {
        let (faulty, plan) = Faulty::new(&Memory::new());
        let hub = node(faulty);
        assert_eq!(hub.counters().engine_away, None);
        seconds(100).await;
        run(&hub);
        seconds(12).await;
        assert_eq!(hub.counters().engine_away, None);
        // It has answered 10 s after the beginning, and is asked again 5 s later.
        plan.mood(if hangs { Way::Hangs } else { Way::Fails });
        seconds(2).await;
        assert_eq!(hub.counters().engine_away, None, "nobody has noticed");
        seconds(if hangs { 12 } else { 2 }).await;
        let away = hub.counters().engine_away.unwrap().as_secs();
        assert_eq!(away, if hangs { 16 } else { 6 }, "since it has answered last");
        seconds(3600).await;
        assert_eq!(hub.counters().engine_away.unwrap().as_secs(), away + 3600);
        plan.mood(Way::Fine);
        seconds(16).await;
        assert_eq!(hub.counters().engine_away, None);
    }
    let hub = local(Retain::default());
    run(&hub);
    seconds(100).await;
    assert_eq!(hub.counters().engine_away, None);
}

#[tokio::test(start_paused = true)]
async fn a_paused_node_comes_back() {
    let mut site = Two::new().await;
    site.until(12).await;
    site.running[0].abort();
    site.until(20).await;
    site.running[0] = run(&site.hubs[0]);
    site.until(60).await;
    assert_eq!(site.told(), [[""; 0]; 2], "it was away for less than its lease");
    site.running[0].abort();
    site.until(100).await;
    assert_eq!(site.told(), [vec![], vec!["-ann"]]);
    let cid = site.topics[1].enter("cid").unwrap();
    site.running[0] = run(&site.hubs[0]);
    site.until(160).await;
    assert_eq!(site.told()[1].concat().replace("+ann", ""), "+cid");
    assert_eq!(site.topics.each_ref().map(Topic::present), [3, 3]);
    assert_eq!((cid.name(), site.guards[0].name()), ("cid", "ann"));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_paused_sees_nobody_go_who_has_not() {
    let mut site = Two::new().await;
    site.until(12).await;
    site.running.iter().for_each(JoinHandle::abort);
    // Both leases have ended, and the engine has forgotten both.
    site.until(100).await;
    site.running[0] = run(&site.hubs[0]);
    site.until(105).await;
    site.running[1] = run(&site.hubs[1]);
    site.until(200).await;
    assert_eq!(site.told(), [[""; 0]; 2]);
    assert_eq!(site.topics.each_ref().map(Topic::present), [2, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_forgets_all_makes_nobody_go() {
    for is_told in [true, false] {
        let mut site = Two::new().await;
        site.until(14).await;
        // Some engines say nothing when they are flushed.
        site.moods.iter().for_each(|moods| moods.set(|mood| mood.is_deaf = !is_told));
        site.memory.forget();
        sleep(Duration::from_millis(50)).await;
        site.moods.iter().for_each(|moods| moods.set(|mood| mood.is_deaf = false));
        site.until(100).await;
        assert_eq!(site.told(), [[""; 0]; 2], "{is_told}");
        // The engine knows all again.
        let third = node(site.memory.node());
        run(&third);
        let mut watcher = watching(&third.topic("t").unwrap());
        assert_eq!(next(&mut watcher).await, "here ann bob");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_feed_loses_is_asked_for_again() {
    let mut site = Two::new().await;
    site.until(12).await;
    let moods = site.moods[1].clone();
    moods.set(|mood| mood.is_deaf = true);
    let cid = site.topics[0].enter("cid").unwrap();
    site.guards[0] = site.topics[0].enter("dan").unwrap();
    site.until(60).await;
    let [one, two] = site.told();
    assert_eq!((one, two.len()), (vec!["+cid +dan".to_owned(), "-ann".to_owned()], 0));
    moods.asked();
    moods.set(|mood| (mood.is_deaf, mood.cut) = (false, true));
    // What is fed before the next sleep ends wakes the feed.
    let _eve = site.topics[0].enter("eve").unwrap();
    site.until(65).await;
    let told = site.told()[1].concat();
    assert_eq!(site.topics[1].present(), 4, "{told}");
    assert!(["+cid", "+dan", "+eve", "-ann"].iter().all(|word| told.contains(word)), "{told}");
    let asked = moods.asked();
    let lease = asked.iter().position(|asked| asked == "lease").unwrap();
    let here = asked.iter().position(|asked| asked == "here t").unwrap();
    assert!(lease < here, "{asked:?}");
    drop(cid);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_is_told_later() {
    let memory = Memory::new();
    let ((one, mood), other) = (Moody::hub(&memory), node(memory.node()));
    mood.set(|mood| mood.is_away = true);
    run(&one);
    run(&other);
    let topics = [&one, &other].map(|hub| hub.topic("t").unwrap());
    let mut watchers = topics.each_ref().map(watching);
    let _ann = topics[0].enter("ann").unwrap();
    let _bob = topics[1].enter("bob").unwrap();
    let mut read = async |seconds| {
        let mut told = [vec![], vec![]];
        for _ in 0..seconds * 10 {
            sleep(Duration::from_millis(100)).await;
            watchers.iter_mut().zip(&mut told).for_each(|(watcher, told)| told.extend(all(watcher)));
        }
        told
    };
    assert_eq!(read(30).await, [vec![], vec!["here bob"]], "nobody knows who is at the other node");
    assert!(mood.asked().iter().all(|asked| asked == "lease" || asked == "feed t"), "not before the first lease");
    mood.set(|mood| mood.is_away = false);
    assert_eq!(read(10).await, [["here ann bob"], ["+ann"]]);
    mood.set(|mood| mood.is_away = true);
    let _cid = topics[0].enter("cid").unwrap();
    let dan = topics[0].enter("dan").unwrap();
    // While it is away, the node goes on with what it knows, and its lease ends.
    assert_eq!(read(8).await, [vec!["+cid +dan"], vec![]]);
    drop(dan);
    assert_eq!(read(35).await, [["-dan"], ["-ann"]]);
    mood.set(|mood| mood.is_away = false);
    assert_eq!(read(10).await, [vec![], vec!["+ann +cid"]]);
}

#[tokio::test(start_paused = true)]
async fn the_engine_feeds_what_is_watched_and_is_asked_after_that() {
    let memory = Memory::new();
    let (hub, mood) = Moody::hub(&memory);
    run(&hub);
    let topic = hub.topic("t").unwrap();
    let ann = topic.enter("ann").unwrap();
    seconds(1).await;
    assert_eq!(mood.asked(), ["lease", "say +ann"], "nobody watches");
    let mut watcher = watching(&topic);
    assert_eq!(next(&mut watcher).await, "here ann");
    assert_eq!(mood.asked(), ["feed t", "here t"]);
    // Watching and stopping in turns costs the engine nothing.
    for _ in 0..10 {
        watcher.unwatch(&topic);
        watcher.watch(&topic);
        assert_eq!(next(&mut watcher).await, "here ann");
    }
    mood.asked().iter().for_each(|asked| assert_eq!(asked, "lease"));
    watcher.unwatch(&topic);
    seconds(31).await;
    assert_eq!(mood.asked().iter().filter(|asked| *asked == "no t").count(), 1);
    watcher.join(&topic, Start::Now, Lag::Leave);
    watcher.watch(&topic);
    assert_eq!([next(&mut watcher).await, next(&mut watcher).await].concat().len(), "joined 0here ann".len());
    watcher.unwatch(&topic);
    seconds(40).await;
    assert!(!mood.asked().contains(&"no t".to_owned()), "it is joined");
    drop(ann);
}

#[tokio::test(start_paused = true)]
async fn many_names_are_announced_in_parts() {
    let memory = Memory::new();
    let ((one, mood), other) = (Moody::hub(&memory), node(memory.node()));
    run(&other);
    let topics = [&one, &other].map(|hub| hub.topic("t").unwrap());
    let guards: Vec<_> = (0..2500).map(|number| topics[0].enter(&number.to_string()).unwrap()).collect();
    let mut watcher = watching(&topics[1]);
    run(&one);
    seconds(2).await;
    assert_eq!(topics[1].present(), 2500);
    let said: Vec<_> = mood.asked().iter().map(|asked| asked.matches('+').count()).filter(|count| *count > 0).collect();
    assert_eq!(said, [1000, 1000, 500]);
    assert!(all(&mut watcher).last().unwrap().ends_with("and 1500"));
    drop(guards);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_the_engine_refuses_holds_up_no_other() {
    let memory = Memory::new();
    let ((faulty, plan), other) = (Faulty::new(&memory), node(memory.node()));
    let one = node(faulty);
    run(&one);
    run(&other);
    plan.lock().refused = ["a\0".to_owned(), "n0700".to_owned(), "z\0".to_owned()].into();
    let topics = [&one, &other].map(|hub| hub.topic("t").unwrap());
    let mut guards: Vec<_> = (0..1500).map(|number| topics[0].enter(&format!("n{number:04}")).unwrap()).collect();
    guards.extend(["a\0", "z\0"].map(|name| topics[0].enter(name).unwrap()));
    let elsewhere = [&one, &other].map(|hub| hub.topic("elsewhere").unwrap());
    let mut watchers = [&topics[1], &elsewhere[1]].map(watching);
    seconds(8).await;
    assert_eq!(topics[1].present(), 1499);
    let _ann = elsewhere[0].enter("ann").unwrap();
    seconds(1).await;
    assert_eq!(all(&mut watchers[1]).last().map(String::as_str), Some("here ann"), "another topic waits for nothing");
    // Those who come later wait for the pause at most.
    guards.push(topics[0].enter("late").unwrap());
    seconds(6).await;
    assert_eq!(topics[1].present(), 1500);
    plan.lock().refused.clear();
    seconds(12).await;
    assert_eq!(topics[1].present(), 1503);
    guards.clear();
    seconds(32).await;
    assert_eq!(topics.each_ref().map(Topic::present), [0, 0]);
    drop(watchers);
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_lease_announces_nothing() {
    let memory = Memory::new();
    let engine = memory.node();
    let (node, lease) = (NodeId([1; 16]), Duration::from_secs(15));
    let announce = Announce { topic: "t".into(), node, joined: vec!["ann".into()], gone: vec![] };
    let here = async || engine.here("t".into()).await.unwrap().len();
    engine.interest(vec!["t".into()], vec![]).await.unwrap();
    assert_eq!((engine.announce(announce.clone()).await, here().await), (Err(Away), 0));
    assert!(timeout(Duration::from_secs(1), engine.fed()).await.is_err(), "and nothing is fed");
    assert!(!engine.lease(node, lease).await.unwrap().held);
    assert_eq!((engine.announce(announce.clone()).await, here().await), (Ok(()), 1));
    seconds(15).await;
    assert_eq!((engine.announce(announce.clone()).await, here().await), (Err(Away), 0));
    assert!(!engine.lease(node, lease).await.unwrap().held);
    assert_eq!(here().await, 0, "it has to announce all again");
}

#[tokio::test(start_paused = true)]
async fn all_of_many_watchers_are_woken() {
    let hub = local(Retain::default());
    run(&hub);
    let topic = hub.topic("t").unwrap();
    let watching = (0..600).map(|_| {
        let mut watcher = watching(&topic);
        tokio::spawn(async move { [next(&mut watcher).await, next(&mut watcher).await] })
    });
    let watching: Vec<_> = watching.collect();
    seconds(1).await;
    let _ann = topic.enter("ann").unwrap();
    for watcher in watching {
        let told = timeout(Duration::from_secs(1), watcher).await.expect("within a second").unwrap();
        assert_eq!(told, ["here", "+ann"]);
    }
}

/// A watcher's picture of who is here, which is checked at each step.
#[derive(Default)]
struct Picture(Option<BTreeSet<Arc<str>>>);

impl Picture {
    fn read(&mut self, subscriber: &mut Subscriber<Said>) {
        while let Some(news) = subscriber.try_next() {
            match (news, &mut self.0) {
                (Delivery::Here { names, more: 0, .. }, picture) => *picture = Some(names.iter().cloned().collect()),
                (Delivery::Changed { joined, gone, .. }, Some(picture)) => {
                    assert!(joined.len() + gone.len() > 0);
                    joined.iter().for_each(|name| assert!(picture.insert(name.clone()), "{name} was here"));
                    gone.iter().for_each(|name| assert!(picture.remove(name), "{name} was not here"));
                }
                (other, _) => panic!("{other:?}"),
            }
        }
    }
}

/// Whatever happens, all watchers agree in the end, and nobody was told as gone while a living node had a guard.
#[tokio::test(start_paused = true)]
async fn in_the_end_all_agree() {
    let memory = Memory::new();
    let nodes = [(); 3].map(|()| Moody::hub(&memory));
    let mut running = nodes.each_ref().map(|(hub, _)| run(hub));
    let topics = nodes.each_ref().map(|(hub, _)| hub.topic("t").unwrap());
    let mut guards: [Vec<Presence<Said>>; 3] = Default::default();
    let mut watchers = topics.each_ref().map(|topic| (watching(topic), Picture::default()));
    let mut random = 7u64;
    let mut dice = move |sides: u64| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) % sides
    };
    for round in 0..40 {
        for _ in 0..20 {
            let which = dice(3) as usize;
            match dice(12) {
                0..=4 => guards[which].push(topics[which].enter(&format!("{}", dice(12))).unwrap()),
                5..=7 if !guards[which].is_empty() => {
                    let index = dice(guards[which].len() as u64) as usize;
                    drop(guards[which].swap_remove(index));
                }
                8 => nodes[which].1.set(|mood| mood.cut = true),
                9 if dice(4) == 0 => memory.forget(),
                10 => {
                    running[which].abort();
                    sleep(Duration::from_millis(dice(20_000))).await;
                    running[which] = run(&nodes[which].0);
                }
                11 => nodes[which].1.set(|mood| mood.is_away = dice(2) == 0),
                _ => sleep(Duration::from_millis(dice(2_000))).await,
            }
            watchers.iter_mut().for_each(|(watcher, picture)| picture.read(watcher));
        }
        nodes.iter().for_each(|(_, moods)| moods.set(|mood| mood.is_away = false));
        seconds(90).await;
        let here: BTreeSet<Arc<str>> = guards.iter().flatten().map(|guard| Arc::from(guard.name())).collect();
        for (watcher, picture) in &mut watchers {
            picture.read(watcher);
            assert_eq!(picture.0.as_ref(), Some(&here), "round {round}");
        }
    }
}
