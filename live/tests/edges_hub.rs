//! Edges of a hub: two clocks, two tasks with one subscriber, an engine that is away for hours or answers nonsense.
#![cfg(feature = "tokio")]

mod common;
#[path = "common/faulty.rs"]
mod faulty;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use common::*;
use faulty::{Faulty, Mood, Plan};
use openline_live::Lag::{Latest, Leave, Skip};
use openline_live::Start::{After, Now, Oldest};
use openline_live::{
    Backplane, Delivery, EpochSeed, Fed, Hub, Kept, Memory, Position, Retain, Subscriber, Time, Topic,
};
use tokio::time::{sleep, timeout};

fn node(backplane: impl Backplane, retain: Retain) -> Hub<Said> {
    static SEED: AtomicUsize = AtomicUsize::new(0);
    let seed = [SEED.fetch_add(1, Relaxed) as u8; 16];
    Hub::with(backplane, retain, EpochSeed::from(seed), make)
}

/// Runs the hub, and counts how often it is polled.
fn run(hub: &Hub<Said>) -> Arc<AtomicUsize> {
    let (hub, polls) = (hub.clone(), Arc::new(AtomicUsize::new(0)));
    tokio::spawn({
        let polls = Arc::clone(&polls);
        async move {
            let mut run = std::pin::pin!(hub.run());
            std::future::poll_fn(|cx| {
                polls.fetch_add(1, Relaxed);
                run.as_mut().poll(cx)
            })
            .await
        }
    });
    polls
}

fn faulty(memory: &Memory, retain: Retain) -> (Hub<Said>, Plan) {
    let (faulty, plan) = Faulty::new(memory);
    let hub = node(faulty, retain);
    run(&hub);
    (hub, plan)
}

async fn publish(topic: &Topic<Said>, text: impl ToString) -> Position {
    topic.publish(None, Bytes::from(text.to_string()), None).await.unwrap()
}

async fn quiet() {
    sleep(Duration::from_secs(1)).await;
}

/// Waits for deliveries with a subscriber that other tasks use too, and says them.
fn listen(subscriber: &Arc<Mutex<Subscriber<Said>>>) -> tokio::sync::mpsc::UnboundedReceiver<String> {
    let (say, hear) = tokio::sync::mpsc::unbounded_channel();
    let subscriber = Arc::clone(subscriber);
    tokio::spawn(async move {
        loop {
            let delivery = std::future::poll_fn(|cx| subscriber.lock().unwrap().poll_next(cx)).await;
            if say.send(word(delivery)).is_err() {
                return;
            }
        }
    });
    hear
}

/// `Subscriber::join`: the answer "is there at once", also for a task that waits already.
#[tokio::test(start_paused = true)]
async fn a_join_by_one_task_wakes_the_other_that_waits() {
    let hub = hub(retain(10, 10));
    let (empty, full) = (hub.topic("empty").unwrap(), hub.topic("full").unwrap());
    count(&full, 1..=2);
    let subscriber = Arc::new(Mutex::new(Subscriber::new()));
    let mut heard = listen(&subscriber);
    let mut next = async || timeout(Duration::from_secs(5), heard.recv()).await.ok().flatten();
    quiet().await;
    subscriber.lock().unwrap().join(&empty, Now, Leave);
    assert_eq!(next().await.as_deref(), Some("joined 0"));
    subscriber.lock().unwrap().join(&full, Oldest, Leave);
    for word in ["joined 2", "1", "2"] {
        assert_eq!(next().await.as_deref(), Some(word));
    }
    // Moved, too.
    quiet().await;
    subscriber.lock().unwrap().join(&full, Oldest, Leave);
    count(&full, 3..=3);
    for word in ["joined 2", "1", "2", "3"] {
        assert_eq!(next().await.as_deref(), Some(word));
    }
}

/// As for a join: the first `Here` is there at once.
#[tokio::test(start_paused = true)]
async fn a_watch_by_one_task_wakes_the_other_that_waits() {
    let topic = hub(retain(10, 10)).topic("t").unwrap();
    let subscriber = Arc::new(Mutex::new(Subscriber::new()));
    let waiting = Arc::clone(&subscriber);
    let waits = tokio::spawn(std::future::poll_fn(move |cx| waiting.lock().unwrap().poll_next(cx)));
    quiet().await;
    subscriber.lock().unwrap().watch(&topic);
    let heard = timeout(Duration::from_secs(5), waits).await.expect("it is woken").unwrap();
    assert!(matches!(heard, Delivery::Here { .. }), "{heard:?}");
}

/// `Hub::run`: "The time of a local hub goes on from the last tick".
#[tokio::test(start_paused = true)]
async fn a_tick_while_the_hub_runs_moves_its_clock_and_does_not_stop_it() {
    let hub = hub(retain(10, 0));
    run(&hub);
    quiet().await;
    hub.tick(seconds(100_000));
    let topic = hub.topic("t").unwrap();
    count(&topic, 1..=1);
    sleep(Duration::from_secs(290)).await;
    assert_eq!(hub.counters().messages, 1);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(hub.counters().messages, 0, "5 minutes are over");
}

#[tokio::test(start_paused = true)]
async fn at_the_end_of_time_the_hub_does_not_spin() {
    for local in [true, false] {
        let hub = if local { hub(retain(10, 0)) } else { node(Memory::new().node(), retain(10, 0)) };
        hub.tick(Time::from_epoch(Duration::MAX));
        let polls = run(&hub);
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert!(polls.load(Relaxed) < 10, "{}", polls.load(Relaxed));
    }
}

/// What is counted is what is remembered: at the end the engine is told of each name that it may have.
#[tokio::test(start_paused = true)]
async fn names_that_come_and_go_while_the_engine_is_away_are_forgotten() {
    let mut keep = retain(10, 0);
    (keep.linger, keep.age) = (Duration::from_secs(1), Duration::from_secs(1));
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, keep);
    plan.mood(Mood::Fails);
    let mut name = 10_000_000;
    for _ in 0..600 {
        let mut subscriber = Subscriber::new();
        for _ in 0..100 {
            // Each one comes before those that have not been told yet.
            name -= 1;
            subscriber.join(&hub.topic(&name.to_string()).unwrap(), Now, Leave);
        }
        sleep(Duration::from_secs(1)).await;
    }
    sleep(Duration::from_secs(60)).await;
    assert_eq!(hub.counters().topics, 0);
    plan.mood(Mood::Fine);
    plan.asked();
    sleep(Duration::from_secs(60)).await;
    let asked = plan.asked();
    assert!(asked.iter().all(|asked| asked.starts_with("no ")));
    assert!(asked.len() <= 1024, "{} of 60,000 names", asked.len());
    // The others are not stuck behind it.
    let mut subscriber = Subscriber::new();
    let topic = hub.topic("t").unwrap();
    subscriber.join(&topic, Now, Leave);
    quiet().await;
    assert_eq!(all(&mut subscriber), ["joined 0"]);
}

/// Nobody who waits for a topic to open is woken for each page of its log.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_long_log_is_woken_once() {
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, retain(10_000, 0));
    let topic = hub.topic("t").unwrap();
    for number in 0..10_000 {
        publish(&topic, number).await;
    }
    plan.lock().slow.insert("t".into(), Duration::from_millis(1));
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Now, Leave);
    let mut polls = 0;
    let delivery = std::future::poll_fn(|cx| {
        polls += 1;
        subscriber.poll_next(cx)
    })
    .await;
    assert_eq!(word(delivery), "joined 10000");
    assert_eq!((polls, plan.reads()), (2, 40));
}

/// A page that must not be is no page, whatever its numbers are.
#[tokio::test(start_paused = true)]
async fn offsets_at_the_end_of_the_numbers_do_no_harm() {
    for offset in [u64::MAX, u64::MAX - 1, u64::MAX / 2, 0] {
        for end in [u64::MAX, u64::MAX / 2, offset] {
            for count in [1, 3] {
                let memory = Memory::new();
                let (hub, plan) = faulty(&memory, retain(10, 0));
                let topic = hub.topic("t").unwrap();
                plan.lock().pages = Box::new(move |mut page| {
                    page.at.offset = end;
                    let kept = |n| Kept { offset: offset.wrapping_add(n), age: Duration::MAX, payload: Bytes::new() };
                    page.messages = (0..count).map(kept).collect();
                    page
                });
                let mut subscriber = Subscriber::new();
                subscriber.join(&topic, Oldest, Skip);
                sleep(Duration::from_secs(60)).await;
                assert_eq!(all(&mut subscriber).len(), 0);
                plan.lock().pages = Box::new(|page| page);
                sleep(Duration::from_secs(6)).await;
                assert_eq!(all(&mut subscriber), ["joined 0"], "{offset} {end} {count}: the hub still runs");
            }
        }
    }
}

/// What waits for a page that is on its way is bounded, however much a topic may keep.
#[tokio::test(start_paused = true)]
async fn what_is_held_for_a_page_is_bounded_whatever_a_topic_keeps() {
    let memory = Memory::new();
    let mut keep = retain(usize::MAX, usize::MAX);
    (keep.bytes, keep.slack_bytes) = (usize::MAX, usize::MAX);
    (keep.age, keep.linger) = (Duration::MAX, Duration::MAX);
    let (hub, plan) = faulty(&memory, keep);
    let topic = hub.topic("t").unwrap();
    plan.lock().slow.insert("t".into(), Duration::from_secs(5));
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Oldest, Skip);
    quiet().await;
    for number in 1..=20_000u64 {
        publish(&topic, number).await;
        if number % 1000 == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    plan.lock().slow.clear();
    sleep(Duration::from_secs(10)).await;
    let words = all(&mut subscriber);
    assert_eq!(words.len(), 20_001);
    assert!(words[1..].iter().enumerate().all(|(at, word)| *word == (at + 1).to_string()));
    assert!(plan.reads() > 1, "20,000 messages were held");
}

/// `Counters::lag`: "how many messages the slowest cursor waits for", whatever its policy.
#[test]
fn the_counter_of_lag_shows_who_has_lagged() {
    for lag in [Skip, Latest, Leave] {
        let hub = hub(retain(2, 3));
        let topic = hub.topic("t").unwrap();
        let mut subscriber = Subscriber::new();
        subscriber.join(&topic, Now, lag);
        count(&topic, 1..=4);
        assert_eq!(hub.counters().lag, 4);
        count(&topic, 5..=50);
        assert_ne!(hub.counters().lag, 0, "{lag:?}: it waits, and is told of a hole");
        all(&mut subscriber);
        assert_eq!(hub.counters().lag, 0);
        // Moved, left and dropped after it has lagged.
        for end in 0..3 {
            subscriber.join(&topic, Now, lag);
            count(&topic, 51..=99);
            match end {
                0 => subscriber.join(&topic, Now, Skip),
                1 => subscriber.leave(&topic),
                _ => subscriber = Subscriber::new(),
            }
            assert_eq!(hub.counters().lag, 0, "{lag:?} {end}");
        }
    }
}

/// A subscriber of two hubs: the topic of one is not that of the other, even if both have one name.
#[test]
fn two_hubs_may_have_topics_of_one_name() {
    let (here, there) = (hub(retain(10, 0)), hub(retain(10, 0)));
    let topics = [&here, &there].map(|hub| hub.topic("t").unwrap());
    let mut subscriber = Subscriber::new();
    topics.iter().for_each(|topic| subscriber.join(topic, Now, Leave));
    subscriber.leave(&topics[0]);
    assert_eq!(all(&mut subscriber), ["joined 0"], "the answer of the topic that stays");
}

/// `Subscriber::join`: "If 64 more of them than there are topics have not been taken, a further join replaces one."
#[tokio::test(start_paused = true)]
async fn joins_of_many_topics_that_do_not_open_are_bounded_together() {
    let hub = node(Memory::new().node(), retain(10, 0));
    let mut subscriber = Subscriber::new();
    for _ in 0..100 {
        for name in 0..20 {
            subscriber.join(&hub.topic(&name.to_string()).unwrap(), Now, Leave);
        }
    }
    run(&hub);
    quiet().await;
    let answers = all(&mut subscriber).len();
    assert!(answers <= 20 + 64, "{answers}");
}

/// Extremes of what may be set and asked for.
#[tokio::test(start_paused = true)]
async fn extremes_are_answered() {
    for most in [0, usize::MAX] {
        let mut keep = retain(most, most);
        (keep.bytes, keep.slack_bytes) = (most, most);
        keep.age = if most == 0 { Duration::ZERO } else { Duration::MAX };
        keep.linger = keep.age;
        for hub in [hub(keep), node(Memory::new().node(), keep)] {
            run(&hub);
            let topic = hub.topic("t").unwrap();
            for lag in [Skip, Latest, Leave] {
                let mut subscriber = Subscriber::new();
                for start in [Now, Oldest] {
                    subscriber.join(&topic, start, lag);
                    quiet().await;
                    let at = topic.position().unwrap();
                    subscriber.join(&topic, After(Position { offset: u64::MAX, ..at }), lag);
                }
                quiet().await;
                topic.publish(None, Bytes::new(), None).await.unwrap();
                quiet().await;
                let at = topic.position().unwrap();
                let expect = Some(Position { offset: u64::MAX, ..at });
                topic.publish(None, Bytes::new(), expect).await.unwrap_err();
                let words = all(&mut subscriber);
                assert_eq!(words.last().unwrap(), &format!("{}=", at.offset), "{words:?}");
            }
        }
    }
}

/// Things of topics that nobody has joined, or that there are not, leave nothing behind.
#[tokio::test(start_paused = true)]
async fn feeds_of_unknown_topics_leave_nothing() {
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, retain(10, 0));
    let topic = hub.topic("t").unwrap();
    let _idle = hub.topic("idle").unwrap();
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Now, Leave);
    quiet().await;
    assert_eq!(all(&mut subscriber), ["joined 0"]);
    plan.asked();
    plan.feed(|fed| {
        let Fed::Message { at, payload, .. } = &fed else { return vec![fed] };
        let of = |name: String| Fed::Message { topic: name.into(), at: *at, payload: payload.clone() };
        let mut all: Vec<_> = (0..1000).map(|n| of(format!("none {n}"))).collect();
        all.extend([of("idle".into()), Fed::Stale("idle".into()), Fed::Stale("".into()), fed]);
        all
    });
    publish(&topic, 1).await;
    quiet().await;
    assert_eq!(all(&mut subscriber), ["1"]);
    assert_eq!((plan.asked(), hub.counters().topics), (vec![], 2));
}

/// Joined, left and joined again while each of the engine's calls is under way; all that is said afterwards is heard once.
#[tokio::test(start_paused = true)]
async fn coming_and_going_at_any_time_loses_nothing() {
    for seed in 1..=200u64 {
        let mut random = seed.wrapping_mul(0x9E3779B97F4A7C15);
        let mut below = move |most: u64| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (random >> 33) % most
        };
        let mut keep = retain(100_000, 0);
        (keep.linger, keep.age) = (Duration::from_secs(1), Duration::from_secs(1));
        let memory = Memory::new();
        let (wire, plan) = Faulty::new(&memory);
        let hub = node(wire, keep);
        let start = |hub: &Hub<Said>| {
            let hub = hub.clone();
            tokio::spawn(async move { hub.run().await })
        };
        let mut running = vec![start(&hub)];
        plan.lock().slow.insert("t".into(), Duration::from_millis(below(3000)));
        plan.lock().slow_interest = Duration::from_millis(below(3000));
        let mut subscriber = Subscriber::new();
        for _ in 0..40 {
            match below(10) {
                0..3 => subscriber.join(&hub.topic("t").unwrap(), Now, Leave),
                3 => subscriber.leave(&hub.topic("t").unwrap()),
                4 => subscriber = Subscriber::new(),
                5 => running.push(start(&hub)),
                6 => running.remove(below(running.len() as u64) as usize).abort(),
                7 => plan.mood([Mood::Fine, Mood::Fine, Mood::Fails, Mood::Hangs][below(4) as usize]),
                _ => sleep(Duration::from_millis(below(4000))).await,
            }
            if running.is_empty() {
                running.push(start(&hub));
            }
        }
        plan.mood(Mood::Fine);
        subscriber.join(&hub.topic("t").unwrap(), Now, Leave);
        sleep(Duration::from_secs(60)).await;
        let words = all(&mut subscriber);
        assert!(words.last().is_some_and(|word| word.starts_with("joined")), "seed {seed}: {words:?}");
        let at = publish(&hub.topic("t").unwrap(), "x").await.offset;
        sleep(Duration::from_secs(10)).await;
        assert_eq!(all(&mut subscriber), [format!("{at}=x")], "seed {seed}");
        running.into_iter().for_each(|run| run.abort());
    }
}
