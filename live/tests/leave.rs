//! Sentences about leases, taking leave and refused names, each put to a test.
#![cfg(feature = "tokio")]

mod common;
#[path = "common/faulty.rs"]
mod faulty;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use common::{Said, make};
use faulty::{Faulty, Mood};
use openline_live::{Backplane, Delivery, EpochSeed, Hub, Lag, Memory, Retain, Start, Subscriber, Topic};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

fn node(backplane: impl Backplane) -> Hub<Said> {
    static SEED: AtomicUsize = AtomicUsize::new(0);
    let seed = [SEED.fetch_add(1, Relaxed) as u8; 16];
    Hub::with(backplane, Retain::default(), EpochSeed::from(seed), make)
}

fn run(hub: &Hub<Said>) -> JoinHandle<()> {
    let hub = hub.clone();
    tokio::spawn(async move { hub.run().await })
}

fn faulty_hub(memory: &Memory) -> (Hub<Said>, faulty::Plan) {
    let (faulty, plan) = Faulty::new(memory);
    (node(faulty), plan)
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

fn watching(topic: &Topic<Said>) -> Subscriber<Said> {
    let mut subscriber = Subscriber::new();
    subscriber.watch(topic);
    subscriber
}

fn joining(topic: &Topic<Said>) -> Subscriber<Said> {
    let mut subscriber = Subscriber::new();
    subscriber.join(topic, Start::Now, Lag::Leave);
    subscriber
}

/// The engine is away for longer than a lease. The first lease after that happens, and its answer is lost.
#[tokio::test(start_paused = true)]
async fn a_lease_that_began_anew_without_an_answer_is_followed_by_all_names() {
    let memory = Memory::new();
    let ((one, plan), two) = (faulty_hub(&memory), node(memory.node()));
    run(&one);
    run(&two);
    let topics = [&one, &two].map(|hub| hub.topic("t").unwrap());
    let _ann = topics[0].enter("ann").unwrap();
    let _watcher = watching(&topics[1]);
    seconds(2).await;
    assert_eq!(topics[1].present(), 1);
    plan.mood(Mood::Fails);
    seconds(30).await;
    assert_eq!(topics[1].present(), 0, "its lease has ended");
    plan.mood(Mood::Unanswered);
    seconds(6).await;
    plan.mood(Mood::Fine);
    seconds(600).await;
    assert_eq!(topics[1].present(), 1, "ann has been at a living node for ten minutes");
}

/// `sign_off`: "Messages come and go as before."
#[tokio::test(start_paused = true)]
async fn after_leave_a_topic_that_is_refused_holds_up_no_other() {
    for leaves in [false, true] {
        let memory = Memory::new();
        let (one, plan) = faulty_hub(&memory);
        run(&one);
        seconds(1).await;
        plan.lock().refused.insert("bad".to_owned());
        if leaves {
            one.sign_off(Duration::from_secs(3)).await.unwrap();
        }
        let _bad = joining(&one.topic("bad").unwrap());
        seconds(1).await;
        let mut good = joining(&one.topic("good").unwrap());
        let joined = timeout(Duration::from_secs(3600), good.next()).await;
        assert!(matches!(joined, Ok(Delivery::Joined { .. })), "leaves: {leaves}; no answer to the join in an hour");
    }
}

/// `engine_away`: "The alarm: for how long the engine has not answered. `None` while it does."
#[tokio::test(start_paused = true)]
async fn after_leave_the_alarm_ends_when_the_engine_answers() {
    let (one, plan) = faulty_hub(&Memory::new());
    plan.mood(Mood::Fails);
    run(&one);
    seconds(20).await;
    assert!(one.counters().engine_away.is_some());
    one.sign_off(Duration::from_secs(3)).await.unwrap();
    plan.mood(Mood::Fine);
    let mut reader = joining(&one.topic("t").unwrap());
    assert!(matches!(timeout(Duration::from_secs(60), reader.next()).await, Ok(Delivery::Joined { .. })));
    one.topic("t").unwrap().publish(None, Bytes::from("x"), None).await.unwrap();
    seconds(60).await;
    assert_eq!(one.counters().engine_away, None, "the engine answers to everything");
}

/// `engine_away`: "A hub that runs asks it for its lease every 5 s, whatever else there is to do."
#[tokio::test(start_paused = true)]
async fn after_leave_an_engine_that_is_away_is_still_seen() {
    let (one, plan) = faulty_hub(&Memory::new());
    run(&one);
    seconds(12).await;
    one.sign_off(Duration::from_secs(3)).await.unwrap();
    plan.mood(Mood::Fails);
    seconds(60).await;
    assert!(one.counters().engine_away.is_some(), "it has not answered for a minute");
}

/// `sign_off`: "Guards need not be dropped first"; "who enters later is here only for this node". So those who still come
/// do not keep it.
#[tokio::test(start_paused = true)]
async fn who_comes_meanwhile_does_not_keep_a_node_that_takes_leave() {
    for comes in [false, true] {
        let memory = Memory::new();
        let (one, plan) = faulty_hub(&memory);
        plan.lock().slow_announce = Duration::from_millis(20);
        run(&one);
        let topic = one.topic("t").unwrap();
        let _ann = topic.enter("ann").unwrap();
        seconds(2).await;
        let coming = topic.clone();
        let comers = tokio::spawn(async move {
            let mut guards = vec![];
            // 100 people a second, at an engine 20 ms away that is well.
            for number in 0.. {
                if comes {
                    guards.push(coming.enter(&format!("n{number}")).unwrap());
                }
                sleep(Duration::from_millis(10)).await;
            }
        });
        let left = one.sign_off(Duration::from_secs(30)).await;
        comers.abort();
        assert_eq!(left, Ok(()), "people come: {comes}; the engine has answered everything");
    }
}

/// `watch`: "Its first delivery is `Here`." `sign_off`: "who enters later is here only for this node".
#[tokio::test(start_paused = true)]
async fn after_leave_who_watches_is_told_who_is_here() {
    let (one, _plan) = faulty_hub(&Memory::new());
    run(&one);
    seconds(1).await;
    one.sign_off(Duration::from_secs(3)).await.unwrap();
    let topic = one.topic("t").unwrap();
    let _ann = topic.enter("ann").unwrap();
    let mut watcher = watching(&topic);
    let first = timeout(Duration::from_secs(3600), watcher.next()).await;
    assert!(matches!(first, Ok(Delivery::Here { .. })), "nothing in an hour: {}", first.is_ok());
}

/// `sign_off`: "whoever is here only at this node is told as gone at all others, within a second", and the answer is `Ok`.
#[tokio::test(start_paused = true)]
async fn one_announcement_that_fails_once_does_not_delay_a_leave_that_is_ok() {
    let memory = Memory::new();
    let ((one, plan), two) = (faulty_hub(&memory), node(memory.node()));
    run(&one);
    run(&two);
    let topics = [&one, &two].map(|hub| hub.topic("t").unwrap());
    let _ann = topics[0].enter("ann").unwrap();
    let _watcher = watching(&topics[1]);
    seconds(6).await;
    assert_eq!(topics[1].present(), 1);
    plan.lock().refused.insert("ann".to_owned());
    let leave = tokio::spawn(async move { one.sign_off(Duration::from_secs(3)).await });
    sleep(Duration::from_millis(50)).await;
    plan.lock().refused.clear();
    assert_eq!(leave.await.unwrap(), Ok(()));
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(topics[1].present(), 0, "it said that the engine has heard it");
}

/// `Backplane::interest`: "so that one that is always refused holds up no other".
#[tokio::test(start_paused = true)]
async fn many_topics_that_are_refused_hold_up_no_other() {
    for count in [5, 1000] {
        let memory = Memory::new();
        let (one, plan) = faulty_hub(&memory);
        run(&one);
        seconds(1).await;
        let bad: Vec<_> = (0..=count).map(|number| format!("bad{number:05}")).collect();
        plan.lock().refused.extend(bad.iter().cloned());
        let (last, first) = bad.split_last().unwrap();
        let _joined: Vec<_> = first.iter().map(|name| joining(&one.topic(name).unwrap())).collect();
        seconds(600).await;
        // One more that is refused, and one that is not.
        let _last = joining(&one.topic(last).unwrap());
        let mut good = joining(&one.topic("good").unwrap());
        let joined = timeout(Duration::from_secs(600), good.next()).await;
        assert!(
            matches!(joined, Ok(Delivery::Joined { .. })),
            "{count} are refused, and this one waits for 10 minutes"
        );
    }
}

/// The same for names of those who are here.
#[tokio::test(start_paused = true)]
async fn many_names_that_are_refused_hold_up_no_other() {
    for count in [5, 1000] {
        let memory = Memory::new();
        let ((one, plan), two) = (faulty_hub(&memory), node(memory.node()));
        run(&one);
        run(&two);
        let topics = [&one, &two].map(|hub| hub.topic("t").unwrap());
        let _watcher = watching(&topics[1]);
        seconds(1).await;
        let bad: Vec<_> = (0..=count).map(|number| format!("bad{number:05}")).collect();
        plan.lock().refused.extend(bad.iter().cloned());
        let (last, first) = bad.split_last().unwrap();
        let _first: Vec<_> = first.iter().map(|name| topics[0].enter(name).unwrap()).collect();
        seconds(600).await;
        let _more = [last, "good"].map(|name| topics[0].enter(name).unwrap());
        seconds(600).await;
        assert_eq!(topics[1].present(), 1, "{count} are refused, and this one waits for 10 minutes");
    }
}

/// Whoever is dropped, somebody goes on: `run`, two `sign_off`s, in any order of ends.
#[tokio::test(start_paused = true)]
async fn two_leaves_and_a_run_take_over_from_each_other() {
    // Each ends early, late, or as it will. One that is to go on at least must be left.
    for (run_ends, leaves_end) in [
        (true, [Some(1), None]),
        (false, [None, Some(1)]),
        (true, [None, None]),
        (true, [Some(2), None]),
        (true, [None, Some(2)]),
        (false, [Some(1), Some(2)]),
    ] {
        let memory = Memory::new();
        let ((one, plan), two) = (faulty_hub(&memory), node(memory.node()));
        run(&two);
        let running = run(&one);
        let topics = [&one, &two].map(|hub| hub.topic("t").unwrap());
        let _ann = topics[0].enter("ann").unwrap();
        let _watcher = watching(&topics[1]);
        seconds(6).await;
        plan.mood(Mood::Hangs);
        let leaves = leaves_end.map(|_| {
            let hub = one.clone();
            tokio::spawn(async move { hub.sign_off(Duration::from_secs(60)).await })
        });
        for second in [1, 2] {
            seconds(1).await;
            leaves.iter().zip(leaves_end).filter(|(_, end)| *end == Some(second)).for_each(|(leave, _)| leave.abort());
            if run_ends {
                running.abort();
            }
        }
        plan.mood(Mood::Fine);
        seconds(20).await;
        assert_eq!(topics[1].present(), 0, "{run_ends} {leaves_end:?}");
        for (leave, end) in leaves.into_iter().zip(leaves_end) {
            match leave.await {
                Ok(left) => assert_eq!((left, end), (Ok(()), None)),
                Err(error) => assert!(error.is_cancelled() && end.is_some()),
            }
        }
    }
}

/// What is published during and after a leave is in the log and comes to readers.
#[tokio::test(start_paused = true)]
async fn messages_during_and_after_a_leave_come() {
    let memory = Memory::new();
    let ((one, plan), two) = (faulty_hub(&memory), node(memory.node()));
    plan.lock().slow_announce = Duration::from_millis(5);
    let running = [run(&one), run(&two)];
    let topics = [&one, &two].map(|hub| hub.topic("t").unwrap());
    let mut readers = topics.each_ref().map(joining);
    let _names: Vec<_> = (0..3000).map(|number| topics[0].enter(&number.to_string()).unwrap()).collect();
    for reader in &mut readers {
        assert!(matches!(reader.next().await, Delivery::Joined { .. }));
    }
    let saying = topics[0].clone();
    let says = tokio::spawn(async move {
        for number in 1..=200 {
            saying.publish(None, Bytes::from(number.to_string()), None).await.unwrap();
            sleep(Duration::from_millis(1)).await;
        }
    });
    one.sign_off(Duration::from_secs(3)).await.unwrap();
    says.await.unwrap();
    seconds(1).await;
    for reader in &mut readers {
        let came: Vec<_> = std::iter::from_fn(|| reader.try_next().map(common::word)).collect();
        assert_eq!(came, (1..=200).map(|number: u32| number.to_string()).collect::<Vec<_>>());
    }
    drop(running);
}
