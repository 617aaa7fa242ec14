//! Hubs that share their topics by an engine: one order, recovery at any node, and what the feed loses is read again. What
//! the engine itself has lost is told.
#![cfg(feature = "tokio")]

mod common;
#[path = "common/faulty.rs"]
mod faulty;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use common::*;
use faulty::{Faulty, Mood, Plan};
use openline_live::Lag::{Latest, Leave, Skip};
use openline_live::Start::{After, Now, Oldest};
use openline_live::{
    Backplane, Delivery, EpochSeed, Fed, Hub, Id, Lag, Limits, Memory, Position, PublishError, Retain, Snapshot, Start,
    Subscriber, Topic,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

fn node(backplane: impl Backplane, retain: Retain) -> Hub<Said> {
    static SEED: AtomicUsize = AtomicUsize::new(0);
    let seed = [SEED.fetch_add(1, Relaxed) as u8; 16];
    Hub::with(backplane, retain, EpochSeed::from(seed), make)
}

fn run(hub: &Hub<Said>) -> JoinHandle<()> {
    let hub = hub.clone();
    tokio::spawn(async move { hub.run().await })
}

/// A hub that runs, behind an engine that does what the plan says.
fn faulty(memory: &Memory, retain: Retain) -> (Hub<Said>, Plan) {
    let (faulty, plan) = Faulty::new(memory);
    let hub = node(faulty, retain);
    run(&hub);
    (hub, plan)
}

/// Until nothing happens any more.
async fn quiet() {
    sleep(Duration::from_secs(1)).await;
}

async fn publish(topic: &Topic<Said>, text: impl ToString) -> Position {
    topic.publish(None, Bytes::from(text.to_string()), None).await.unwrap()
}

async fn publish_all(topic: &Topic<Said>, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        publish(topic, number).await;
    }
}

async fn joined(topic: &Topic<Said>, start: Start, lag: Lag) -> Subscriber<Said> {
    let mut subscriber = Subscriber::new();
    subscriber.join(topic, start, lag);
    quiet().await;
    subscriber
}

/// Joins, and takes the answer.
async fn reader(topic: &Topic<Said>) -> Subscriber<Said> {
    let mut subscriber = Subscriber::new();
    subscriber.join(topic, Now, Leave);
    assert!(matches!(subscriber.next().await, Delivery::Joined { whole: true, .. }));
    subscriber
}

fn numbers(numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn all_nodes_see_one_order() {
    let memory = Memory::new();
    let hubs = [(); 3].map(|()| node(memory.node(), retain(1000, 0)));
    hubs.iter().for_each(|hub| drop(run(hub)));
    let topics = hubs.each_ref().map(|hub| hub.topic("t").unwrap());
    let mut readers = vec![];
    for topic in &topics {
        readers.push(reader(topic).await);
    }
    let publishers = topics.clone().into_iter().zip(["a", "b", "c"]).map(|(topic, name)| {
        tokio::spawn(async move {
            for number in 0..100 {
                publish(&topic, format!("{name}{number}")).await;
                tokio::task::yield_now().await;
            }
        })
    });
    for publisher in publishers.collect::<Vec<_>>() {
        publisher.await.unwrap();
    }
    quiet().await;
    let seen: Vec<_> = readers.iter_mut().map(all).collect();
    assert!(seen[0] == seen[1] && seen[1] == seen[2]);
    let offsets = seen[0].iter().map(|word| word.split_once('=').unwrap().0.parse::<u64>().unwrap());
    assert!(offsets.eq(1..=300));
    for name in ["a", "b", "c"] {
        let said = seen[0].iter().map(|word| word.split_once('=').unwrap().1).filter(|text| text.starts_with(name));
        assert!(said.eq((0..100).map(|number| format!("{name}{number}"))), "what one says stays in order");
    }
    assert_eq!(hubs[0].counters().published, 100);
}

#[tokio::test(start_paused = true)]
async fn a_join_waits_for_the_log_and_everyone_gets_an_answer() {
    let memory = Memory::new();
    let other = node(memory.node(), retain(3, 0));
    publish_all(&other.topic("t").unwrap(), 1..=5).await;
    assert_eq!(other.topic("t").unwrap().position(), None, "nobody has joined there");
    let hub = node(memory.node(), retain(3, 0));
    let topic = hub.topic("t").unwrap();
    let mut subscribers: Vec<_> = [Now, Oldest].map(|start| (Subscriber::new(), start)).into();
    for (subscriber, start) in &mut subscribers {
        subscriber.join(&topic, *start, Leave);
    }
    // Each join has its answer, also the one that has moved the cursor before the topic has opened.
    let mut moved = Subscriber::new();
    moved.join(&topic, Oldest, Leave);
    moved.join(&topic, Now, Leave);
    let mut left = Subscriber::new();
    left.join(&topic, Oldest, Leave);
    left.leave(&topic);
    quiet().await;
    assert!(subscribers.iter_mut().all(|(subscriber, _)| all(subscriber).is_empty()), "nobody runs the hub");
    assert_eq!((topic.position(), topic.subscribers()), (None, 3));
    let waiting = tokio::spawn(async move { moved.next().await });
    let running = run(&hub);
    assert_eq!(word(waiting.await.unwrap()), "joined 5 not whole", "who sleeps is woken");
    let expected = [vec!["joined 5"], vec!["joined 5 not whole", "3", "4", "5"]];
    assert!(subscribers.iter_mut().zip(expected).all(|((subscriber, _), expected)| all(subscriber) == expected));
    assert_eq!((all(&mut left), topic.position().unwrap().offset), (vec![], 5));
    // A join of an open topic is answered at once.
    let at = topic.position().unwrap();
    let mut late = Subscriber::new();
    late.join(&topic, After(Position { offset: 4, ..at }), Leave);
    assert_eq!(all(&mut late), ["joined 5", "5"]);
    assert_eq!((hub.counters().loads, hub.counters().engine_delay), (1, Some(Duration::ZERO)));
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn each_join_of_a_topic_that_opens_has_its_answer() {
    let memory = Memory::new();
    let hub = node(memory.node(), retain(9, 0));
    let topic = hub.topic("t").unwrap();
    publish_all(&topic, 1..=2).await;
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Oldest, Leave);
    subscriber.join(&topic, Now, Leave);
    run(&hub);
    quiet().await;
    // This one finds the topic open, before the answers to the others have been taken.
    subscriber.join(&topic, Oldest, Skip);
    assert_eq!(all(&mut subscriber), ["joined 2", "joined 2", "joined 2", "1", "2"]);
    let other = hub.topic("u").unwrap();
    (0..1000).for_each(|_| subscriber.join(&other, Now, Leave));
    subscriber.join(&other, Oldest, Leave);
    quiet().await;
    let answers = all(&mut subscriber);
    assert!((60..70).contains(&answers.len()), "joins that nobody answers are bounded: {}", answers.len());
    assert_eq!((subscriber.topics(), other.subscribers()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_client_comes_back_at_another_node() {
    let memory = Memory::new();
    let (here, there) = (node(memory.node(), retain(10, 0)), node(memory.node(), retain(10, 0)));
    let topics = [&here, &there].map(|hub| hub.topic("t").unwrap());
    let _running = [&here, &there].map(run);
    let mut client = reader(&topics[0]).await;
    publish_all(&topics[1], 1..=3).await;
    let seen = Position { offset: 2, ..topics[0].position().unwrap() };
    quiet().await;
    assert_eq!(all(&mut client), numbers(1..=3));
    drop(client);
    publish_all(&topics[0], 4..=5).await;
    let mut client = joined(&topics[1], After(seen), Leave).await;
    assert_eq!(all(&mut client), ["joined 5", "3", "4", "5"]);
    publish_all(&topics[0], 6..=20).await;
    quiet().await;
    let mut client = joined(&topics[1], After(seen), Leave).await;
    assert_eq!(all(&mut client)[..2], ["joined 20 not whole", "11"]);
}

/// This node has not been fed yet what the client has read elsewhere. Nothing is gone, so the client is not told so.
#[tokio::test(start_paused = true)]
async fn a_client_that_has_come_further_elsewhere_waits_for_the_engine() {
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, retain(10, 0));
    let topic = hub.topic("t").unwrap();
    let mut other = reader(&topic).await;
    assert_eq!(plan.asked(), ["feed t", "read t"]);
    plan.feed(|_| vec![]);
    publish_all(&topic, 1..=3).await;
    let epoch = topic.position().unwrap().epoch;
    let (seen, beyond) = (Position { epoch, offset: 2 }, Position { epoch, offset: 4 });
    assert_eq!(all(&mut joined(&topic, After(seen), Leave).await), ["joined 3", "3"]);
    assert_eq!((all(&mut other), plan.asked()), (numbers(1..=3), vec!["read t".to_owned()]));
    // What the engine does not know either is another log's. A read that had begun before the join does not count.
    plan.lock().slow.insert("t".into(), Duration::from_millis(400));
    let mut clients = [After(beyond), After(Position { offset: 5, ..beyond })].map(|start| {
        let mut client = Subscriber::new();
        client.join(&topic, start, Leave);
        client
    });
    sleep(Duration::from_millis(100)).await;
    let mut late = Subscriber::new();
    late.join(&topic, After(beyond), Leave);
    publish(&topic, 4).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(all(&mut late), ["joined 4"]);
    // An answer is made when it is taken.
    let [one, two] = clients.each_mut().map(all);
    assert_eq!((one, two[0].as_str()), (vec!["joined 4".to_owned()], "joined 4 not whole"));
    assert_eq!(plan.asked(), ["read t", "read t"]);
}

#[tokio::test(start_paused = true)]
async fn ids_and_decisions_hold_on_all_nodes() {
    let memory = Memory::new();
    let topics = [(); 2].map(|()| node(memory.node(), retain(10, 0)).topic("t").unwrap());
    let say = async |at: usize, id: Option<&str>, text: &'static str, expect| {
        topics[at].publish(id.map(Id::new), text.into(), expect).await
    };
    let first = say(0, Some("a"), "sold", None).await.unwrap();
    assert_eq!(say(1, Some("a"), "sold", None).await, Ok(first));
    assert_eq!(say(1, Some("a"), "other", None).await, Err(PublishError::IdTaken));
    let second = say(1, None, "more", Some(first)).await.unwrap();
    assert_eq!(say(0, None, "less", Some(first)).await, Err(PublishError::Conflict(second)));
    assert_eq!((first.offset, second), (1, Position { offset: 2, ..first }));
    let long = topics[0].publish(None, vec![0; (1 << 20) + 1].into(), None).await;
    assert_eq!(long, Err(PublishError::TooLong));
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_read_once_for_all_who_have_joined() {
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, retain(10, 100));
    let topic = hub.topic("t").unwrap();
    let mut readers = vec![];
    for _ in 0..50 {
        readers.push(reader(&topic).await);
    }
    publish_all(&topic, 1..=2).await;
    quiet().await;
    assert_eq!(plan.reads(), 1);
    plan.feed(|fed| if matches!(fed, Fed::Message { at, .. } if at.offset == 3) { vec![] } else { vec![fed] });
    publish_all(&topic, 3..=5).await;
    quiet().await;
    assert!(readers.iter_mut().all(|reader| all(reader) == numbers(1..=5)));
    assert_eq!((plan.reads(), hub.counters().loads), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn what_comes_twice_is_dropped() {
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, retain(10, 100));
    let topic = hub.topic("t").unwrap();
    let mut reader = reader(&topic).await;
    let mut before = vec![];
    plan.feed(move |fed| {
        before.push(fed);
        before.clone()
    });
    publish_all(&topic, 1..=20).await;
    quiet().await;
    assert_eq!((all(&mut reader), plan.reads()), (numbers(1..=20), 1), "old messages are no reason to read");
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_without_a_successor_comes_after_stale_and_after_cut() {
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, retain(10, 100));
    let (one, two) = (hub.topic("one").unwrap(), hub.topic("two").unwrap());
    let (mut of_one, mut of_two) = (reader(&one).await, reader(&two).await);
    let (cut, idle) = (Fed::Cut, hub.topic("idle").unwrap());
    assert_eq!(plan.reads(), 2);
    plan.feed(|fed| match fed {
        Fed::Message { topic, .. } if &*topic == "one" => vec![Fed::Stale(topic)],
        _ => vec![],
    });
    publish(&two, 1).await;
    publish(&one, 1).await;
    quiet().await;
    assert_eq!((all(&mut of_one), all(&mut of_two)), (vec!["1".to_owned()], vec![]));
    assert_eq!(plan.asked(), ["read one"]);
    plan.feed(move |_| vec![cut.clone(), cut.clone()]);
    publish(&one, 2).await;
    quiet().await;
    assert_eq!((all(&mut of_one), all(&mut of_two)), (vec!["2".to_owned()], vec!["1".to_owned()]));
    assert_eq!((plan.asked(), idle.position()), (vec!["read one".into(), "read two".into()], None));
}

/// The page that is on its way when the feed was cut may be older than what was lost.
#[tokio::test(start_paused = true)]
async fn a_cut_while_a_page_is_on_its_way_leads_to_another() {
    for stale in [true, false] {
        let memory = Memory::new();
        let (hub, plan) = faulty(&memory, retain(10, 100));
        let topic = hub.topic("t").unwrap();
        let mut reader = reader(&topic).await;
        plan.lock().slow.insert("t".into(), Duration::from_millis(500));
        plan.feed(|fed| if matches!(fed, Fed::Message { at, .. } if at.offset == 1) { vec![] } else { vec![fed] });
        publish_all(&topic, 1..=2).await;
        sleep(Duration::from_millis(100)).await;
        // The page with 1 and 2 is on its way. The next one is lost.
        plan.feed(move |fed| match fed {
            Fed::Message { topic, .. } if stale => vec![Fed::Stale(topic)],
            _ => vec![Fed::Cut],
        });
        publish(&topic, 3).await;
        sleep(Duration::from_secs(3)).await;
        assert_eq!(all(&mut reader), numbers(1..=3), "{stale}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_fed_while_a_page_is_on_its_way_is_not_lost() {
    for (keep, reads) in [(100, 1), (3, 2)] {
        let memory = Memory::new();
        let (hub, plan) = faulty(&memory, retain(keep, 100));
        let topic = hub.topic("t").unwrap();
        plan.lock().slow.insert("t".into(), Duration::from_millis(500));
        let mut reader = Subscriber::new();
        reader.join(&topic, Oldest, Skip);
        sleep(Duration::from_millis(100)).await;
        publish_all(&topic, 1..=10).await;
        sleep(Duration::from_secs(3)).await;
        let words = all(&mut reader);
        if keep == 100 {
            // All has been held, in order, so the topic stands where the feed does when it opens.
            assert_eq!(words, [vec!["joined 10".to_owned()], numbers(1..=10)].concat());
        } else {
            // Not more is held than the topic keeps, so the log is read again. Nothing that it keeps is missing.
            assert_eq!(words, ["joined 10 not whole", "8", "9", "10"]);
        }
        assert_eq!(plan.reads(), reads);
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_epoch_is_told_to_everybody_whatever_its_policy() {
    let memory = Memory::new();
    let (hub, _plan) = faulty(&memory, retain(10, 100));
    let topic = hub.topic("t").unwrap();
    let mut readers = [Skip, Latest, Leave].map(|lag| {
        let mut subscriber = Subscriber::new();
        subscriber.join(&topic, Oldest, lag);
        subscriber
    });
    quiet().await;
    publish_all(&topic, 1..=3).await;
    quiet().await;
    // One has read all, one nothing but the answer, and one is in the middle.
    assert_eq!(all(&mut readers[0]).len(), 4);
    assert_eq!(readers[1].try_next().map(word).unwrap(), "joined 3");
    assert_eq!(readers[1].try_next().map(word).unwrap(), "1");
    let before = topic.position().unwrap();
    memory.forget();
    quiet().await;
    assert_ne!(topic.position().unwrap().epoch, before.epoch);
    publish_all(&topic, 1..=2).await;
    quiet().await;
    let begun = ["joined 2 not whole", "1", "2"];
    assert_eq!(all(&mut readers[0]), begun);
    assert_eq!(all(&mut readers[1]), [&numbers(2..=3)[..], &begun.map(str::to_owned)].concat(), "behind its turn");
    assert_eq!(all(&mut readers[2]), ["joined 2", "1", "2"], "nothing of the other epoch has been told");
    assert_eq!(topic.subscribers(), 3);
    publish(&topic, 3).await;
    quiet().await;
    assert!(readers.iter_mut().all(|reader| all(reader) == ["3"]));
    drop(readers);
    assert_eq!((topic.subscribers(), hub.counters().lag), (0, 0));
    let mut late = Subscriber::new();
    late.join(&topic, After(before), Leave);
    assert_eq!(all(&mut late), ["joined 3 not whole", "1", "2", "3"]);
}

/// What a turn has taken before the epoch changed is given out before the new beginning.
#[tokio::test(start_paused = true)]
async fn a_new_epoch_comes_behind_the_turn_that_was_taken() {
    let memory = Memory::new();
    let (hub, _plan) = faulty(&memory, retain(10, 100));
    let topic = hub.topic("t").unwrap();
    let mut reader = reader(&topic).await;
    publish_all(&topic, 1..=3).await;
    quiet().await;
    assert_eq!(reader.try_next().map(word).unwrap(), "1");
    memory.forget();
    publish(&topic, 1).await;
    quiet().await;
    assert_eq!(all(&mut reader), ["2", "3", "joined 1 not whole", "1"]);
    // A join of one's own takes its place.
    memory.forget();
    publish(&topic, 1).await;
    quiet().await;
    reader.join(&topic, Now, Leave);
    assert_eq!(all(&mut reader), ["joined 1"]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_lost_its_tail_in_silence_counts_as_another_epoch() {
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, retain(10, 100));
    let topic = hub.topic("t").unwrap();
    let mut reader = reader(&topic).await;
    publish_all(&topic, 1..=5).await;
    quiet().await;
    all(&mut reader);
    plan.lock().pages = Box::new(|mut page| {
        page.at.offset = 3;
        page.messages.clear();
        page
    });
    plan.feed(|_| vec![Fed::Cut]);
    publish(&topic, 6).await;
    quiet().await;
    assert_eq!(all(&mut reader), ["joined 3 not whole"]);
}

/// What is fed behind such a page is in no page that was asked for, and its log gives way.
#[tokio::test(start_paused = true)]
async fn what_is_fed_while_the_page_of_another_log_comes_is_read_again() {
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, retain(10, 100));
    let topic = hub.topic("t").unwrap();
    let mut reader = reader(&topic).await;
    publish_all(&topic, 1..=5).await;
    quiet().await;
    assert_eq!(all(&mut reader), numbers(1..=5));
    plan.lock().slow.insert("t".into(), Duration::from_millis(500));
    let mut lost = true;
    plan.lock().pages = Box::new(move |mut page| {
        if std::mem::take(&mut lost) {
            page.at.offset = 3;
            page.messages.clear();
        }
        page
    });
    plan.feed(|_| vec![Fed::Cut]);
    publish(&topic, 6).await;
    sleep(Duration::from_millis(100)).await;
    // 7 is lost, and 6 comes late.
    let forged = Fed::Message { topic: "t".into(), at: topic.position().unwrap(), payload: "6".into() };
    plan.feed(move |_| {
        let Fed::Message { topic, at, payload } = forged.clone() else { return vec![] };
        vec![Fed::Message { topic, at: Position { offset: 6, ..at }, payload }]
    });
    publish(&topic, 7).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(all(&mut reader), ["joined 7 not whole", "4", "5", "6", "7"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_engine_has_not_kept_is_missed_with_its_exact_count() {
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, retain(3, 100));
    let topic = hub.topic("t").unwrap();
    let mut behind = reader(&topic).await;
    behind.join(&topic, Now, Skip);
    let mut readers = [Skip, Latest, Leave].map(|lag| {
        let mut subscriber = Subscriber::new();
        subscriber.join(&topic, Now, lag);
        subscriber
    });
    publish_all(&topic, 1..=2).await;
    quiet().await;
    readers.iter_mut().for_each(|reader| assert_eq!(all(reader), ["joined 0", "1", "2"]));
    let end = Arc::new(AtomicUsize::new(12));
    plan.feed({
        let end = Arc::clone(&end);
        move |fed| match fed {
            Fed::Message { at, .. } if (at.offset as usize) < end.load(Relaxed) => vec![],
            fed => vec![fed],
        }
    });
    publish_all(&topic, 3..=12).await;
    quiet().await;
    // The engine has 10 to 12.
    let [skip, latest, leave] = &mut readers;
    assert_eq!(all(skip), ["missed 7", "10", "11", "12"]);
    assert_eq!(all(latest), ["missed 9", "12"]);
    assert_eq!((all(leave), leave.topics()), (vec!["left".to_owned()], 0));
    assert_eq!(all(&mut behind), ["joined 0", "missed 9", "10", "11", "12"], "1 and 2 lie before the hole");
    assert_eq!((hub.counters().missed, hub.counters().left), (7 + 9 + 9, 1));
    // All of it is too old when it is read.
    end.store(100, Relaxed);
    publish_all(&topic, 13..=15).await;
    sleep(Duration::from_secs(301)).await;
    plan.feed(|_| vec![Fed::Cut]);
    publish(&topic, 16).await;
    quiet().await;
    assert_eq!((all(skip), all(latest)), (vec!["missed 3".into(), "16".into()], vec!["missed 3".into(), "16".into()]));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_end_is_given_up() {
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, retain(10, 100));
    let topic = hub.topic("t").unwrap();
    plan.mood(Mood::Hangs);
    let began = Instant::now();
    assert_eq!(topic.publish(None, "x".into(), None).await, Err(PublishError::Unknown));
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    let mut reader = Subscriber::new();
    reader.join(&topic, Now, Leave);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(all(&mut reader).len(), 0);
    let asked = plan.asked().len();
    assert!((4..=7).contains(&asked), "it is tried again, after 10 s and a pause: {asked}");
    plan.mood(Mood::Fails);
    assert_eq!(topic.publish(None, "x".into(), None).await, Err(PublishError::Failed));
    sleep(Duration::from_secs(60)).await;
    let asked = plan.asked().len();
    assert!((8..=20).contains(&asked), "every 5 s in the end: {asked}");
    plan.mood(Mood::Fine);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(all(&mut reader), ["joined 0"]);
}

#[tokio::test(start_paused = true)]
async fn what_has_failed_is_tried_again_after_a_pause_that_doubles() {
    for read in [false, true] {
        let memory = Memory::new();
        let (hub, plan) = faulty(&memory, retain(10, 100));
        let mut client = Subscriber::new();
        if read {
            client = reader(&hub.topic("t").unwrap()).await;
            plan.feed(|_| vec![Fed::Cut]);
            publish(&hub.topic("t").unwrap(), 1).await;
        }
        plan.asked();
        plan.mood(Mood::Fails);
        client.join(&hub.topic("t").unwrap(), Oldest, Leave);
        let began = Instant::now();
        let mut tried = vec![];
        while began.elapsed() < Duration::from_secs(22) {
            sleep(Duration::from_millis(50)).await;
            if !plan.asked().is_empty() {
                tried.push(began.elapsed().as_millis() / 100);
            }
        }
        assert_eq!(tried, [0, 1, 3, 7, 15, 31, 63, 113, 163, 213], "{read}");
    }
}

/// Whoever has joined one of these topics and has no answer yet.
fn unanswered(readers: &mut [(String, Subscriber<Said>)]) -> Vec<String> {
    let waits = |(name, reader): &mut (String, Subscriber<Said>)| all(reader).is_empty().then(|| name.clone());
    readers.iter_mut().filter_map(waits).collect()
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_the_engine_refuses_holds_up_no_other() {
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, retain(10, 100));
    let join = |numbers: std::ops::Range<u32>| {
        let join = |number: u32| {
            let (name, mut reader) = (format!("{number:04}"), Subscriber::new());
            reader.join(&hub.topic(&name).unwrap(), Now, Leave);
            (name, reader)
        };
        numbers.map(join).collect::<Vec<_>>()
    };
    let refused = ["0000", "0700", "1100", "1101", "2000"];
    plan.lock().refused = refused.iter().map(|name| (*name).to_owned()).collect();
    let mut readers = join(0..1500);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(unanswered(&mut readers), refused[..4]);
    // It is refused again and again, and who comes later does not wait for that.
    sleep(Duration::from_secs(600)).await;
    for number in 1990..2010 {
        let mut reader = join(number..number + 1);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(unanswered(&mut reader).len(), usize::from(number == 2000), "{number}");
        readers.extend(reader);
    }
    plan.asked();
    sleep(Duration::from_secs(600)).await;
    let asked = plan.asked().len();
    assert!((100..=140).contains(&asked), "one each 5 s: {asked}");
    plan.lock().refused.clear();
    sleep(Duration::from_secs(6)).await;
    let late = refused.map(|name| readers.iter_mut().find(|(reader, _)| reader == name).map(|(_, reader)| all(reader)));
    assert_eq!(late, [(); 5].map(|()| Some(vec!["joined 0".to_owned()])));
}

/// Each call may have happened, so all of its names must be remembered, and taken back later.
#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_is_told_of_no_more_than_one_call_has() {
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, retain(10, 100));
    plan.mood(Mood::Fails);
    let mut asked = std::collections::BTreeSet::new();
    for number in 0..3000 {
        let mut reader = Subscriber::new();
        reader.join(&hub.topic(&number.to_string()).unwrap(), Now, Leave);
        sleep(Duration::from_millis(100)).await;
        asked.extend(plan.asked());
    }
    assert!(asked.len() <= 1024, "{}", asked.len());
    plan.mood(Mood::Fine);
    sleep(Duration::from_secs(600)).await;
    let mut reader = Subscriber::new();
    reader.join(&hub.topic("t").unwrap(), Now, Leave);
    quiet().await;
    assert_eq!(all(&mut reader), ["joined 0"]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_whose_reads_fail_or_hang_stops_nothing_else() {
    for mood in [Mood::Fails, Mood::Hangs] {
        let memory = Memory::new();
        let (hub, plan) = faulty(&memory, retain(10, 100));
        let other = node(memory.node(), retain(10, 100));
        let topics: Vec<_> = (0..40).map(|number| hub.topic(&number.to_string()).unwrap()).collect();
        let mut readers = vec![];
        for topic in &topics {
            readers.push(reader(topic).await);
        }
        plan.mood(mood);
        // All but the last ones are to be read, and cannot.
        plan.feed(|fed| match fed {
            Fed::Message { topic, .. } if topic.len() == 1 || topic.as_bytes()[0] < b'3' => vec![Fed::Stale(topic)],
            fed => vec![fed],
        });
        for number in 0..40 {
            publish(&other.topic(&number.to_string()).unwrap(), 1).await;
        }
        sleep(Duration::from_millis(10)).await;
        assert!(readers[..30].iter_mut().all(|reader| all(reader).is_empty()));
        assert!(readers[30..].iter_mut().all(|reader| all(reader) == ["1"]), "the feed is drained");
        assert!(hub.counters().loads < 100);
        sleep(Duration::from_secs(60)).await;
        plan.mood(Mood::Fine);
        sleep(Duration::from_secs(16)).await;
        assert!(readers[..30].iter_mut().all(|reader| all(reader) == ["1"]), "{mood:?}");
        assert!(hub.counters().engine_delay.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn one_slow_topic_holds_up_no_other() {
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, retain(10, 100));
    plan.lock().slow.insert("slow".into(), Duration::from_secs(9));
    let mut slow = joined(&hub.topic("slow").unwrap(), Now, Leave).await;
    let began = Instant::now();
    let _readers: Vec<_> = {
        let mut readers = vec![];
        for number in 0..100 {
            readers.push(reader(&hub.topic(&number.to_string()).unwrap()).await);
        }
        readers
    };
    assert_eq!((began.elapsed(), all(&mut slow)), (Duration::ZERO, vec![]));
    assert_eq!(word(slow.next().await), "joined 0");
}

#[tokio::test(start_paused = true)]
async fn run_can_be_dropped_and_begun_again() {
    let memory = Memory::new();
    let (wire, plan) = Faulty::new(&memory);
    let hub = node(wire, retain(10, 100));
    let (topic, other) = (hub.topic("t").unwrap(), hub.topic("u").unwrap());
    let running = run(&hub);
    let mut first = reader(&topic).await;
    // In the middle of a read, of a call for interest, and with something in the feed.
    plan.lock().slow.insert("t".into(), Duration::from_secs(1));
    plan.lock().slow_interest = Duration::from_secs(1);
    plan.feed(|_| vec![Fed::Cut]);
    publish(&topic, 1).await;
    let mut second = Subscriber::new();
    second.join(&other, Oldest, Leave);
    sleep(Duration::from_millis(10)).await;
    publish(&topic, 2).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    publish_all(&topic, 3..=4).await;
    publish_all(&other, 1..=2).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!((all(&mut first), all(&mut second)), (vec![], vec![]), "nobody runs it");
    plan.feed(|fed| vec![fed]);
    let running = run(&hub);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(all(&mut first), numbers(1..=4));
    assert_eq!(all(&mut second), ["joined 2", "1", "2"]);
    // Two at once are one after the other.
    let waiting = run(&hub);
    sleep(Duration::from_secs(5)).await;
    plan.asked();
    running.abort();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(plan.asked(), ["feed t", "feed u", "read t", "read u"], "all is asked for and read again");
    publish(&topic, 5).await;
    quiet().await;
    assert_eq!(all(&mut first), ["5"]);
    assert!(!waiting.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_long_log_is_read_while_more_is_published_and_the_join_is_answered() {
    let memory = Memory::new();
    let mut keep = retain(200_000, 0);
    keep.bytes = 10 << 20;
    let publisher = node(memory.node(), keep);
    let topic = publisher.topic("t").unwrap();
    publish_all(&topic, 1..=100_000).await;
    let (hub, plan) = faulty(&memory, keep);
    plan.lock().slow.insert("t".into(), Duration::from_millis(1));
    // Others say more in the time of a page than a page holds.
    let saying = tokio::spawn(async move {
        for number in 100_001..=300_000u64 {
            publish(&topic, number).await;
            if number % 300 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let mut reader = Subscriber::new();
    reader.join(&hub.topic("t").unwrap(), Oldest, Leave);
    let Ok(Delivery::Joined { at, whole: true, .. }) = timeout(Duration::from_secs(5), reader.next()).await else {
        panic!("it is not answered")
    };
    assert!(!saying.is_finished() && at.offset >= 100_000);
    let mut next = 1;
    let mut read = async || {
        while next <= 300_000 {
            assert_eq!(reader.next().await, Delivery::Message((next, next.to_string())));
            next += 1;
        }
    };
    timeout(Duration::from_secs(100), read()).await.expect("it comes to the end");
    assert_eq!(hub.counters().messages, 200_000);
}

#[tokio::test(start_paused = true)]
async fn a_swept_topic_is_fed_no_more_and_is_fed_again_when_it_is_joined() {
    let mut keep = retain(10, 0);
    (keep.linger, keep.age) = (Duration::from_secs(10), Duration::from_secs(10));
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, keep);
    let other = node(memory.node(), keep);
    let publisher = other.topic("t").unwrap();
    let mut client = reader(&hub.topic("t").unwrap()).await;
    publish(&hub.topic("said").unwrap(), "x").await;
    publish(&publisher, 1).await;
    quiet().await;
    assert_eq!((all(&mut client), plan.asked()), (vec!["1".to_owned()], vec!["feed t".into(), "read t".into()]));
    drop(client);
    sleep(Duration::from_secs(30)).await;
    assert_eq!((plan.asked(), hub.counters().topics, hub.counters().bytes), (vec!["no t".to_owned()], 0, 0));
    publish(&publisher, 2).await;
    let mut client = joined(&hub.topic("t").unwrap(), Oldest, Leave).await;
    assert_eq!((all(&mut client), plan.asked().len()), (vec!["joined 2 not whole".into(), "2".into()], 2));
    // It is joined again while the engine is told that nobody wants it.
    drop(client);
    plan.lock().slow_interest = Duration::from_secs(3);
    while plan.lock().asked.is_empty() {
        sleep(Duration::from_millis(100)).await;
    }
    let mut client = joined(&hub.topic("t").unwrap(), Oldest, Leave).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(plan.asked(), ["no t", "feed t", "read t"]);
    assert_eq!(all(&mut client).len(), 1);
    publish(&publisher, 3).await;
    quiet().await;
    assert_eq!(all(&mut client), ["3"]);
}

/// A topic is swept while the engine is told that somebody wants it, and joined again.
#[tokio::test(start_paused = true)]
async fn a_topic_that_comes_and_goes_while_the_engine_is_told_is_fed_in_the_end() {
    let mut keep = retain(10, 0);
    (keep.linger, keep.age) = (Duration::ZERO, Duration::ZERO);
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, keep);
    for (again, mood) in [(true, Mood::Fine), (false, Mood::Fine), (true, Mood::Fails), (false, Mood::Fails)] {
        plan.lock().slow_interest = Duration::from_secs(8);
        plan.mood(mood);
        drop(joined(&hub.topic("t").unwrap(), Now, Leave).await);
        sleep(Duration::from_secs(4)).await;
        assert_eq!(hub.counters().topics, 0);
        let mut client = again.then(|| {
            let mut client = Subscriber::new();
            client.join(&hub.topic("t").unwrap(), Now, Leave);
            client
        });
        plan.mood(Mood::Fine);
        sleep(Duration::from_secs(60)).await;
        if let Some(client) = &mut client {
            assert_eq!(all(client), ["joined 0"]);
            publish(&hub.topic("t").unwrap(), 1).await;
            quiet().await;
            assert_eq!(all(client), ["1"]);
        }
        let asked = plan.asked();
        let last = asked.iter().rfind(|asked| !asked.starts_with("read")).unwrap();
        assert_eq!(last, if again { "feed t" } else { "no t" }, "{asked:?}");
        drop(client);
        plan.lock().slow_interest = Duration::ZERO;
        memory.forget();
        sleep(Duration::from_secs(60)).await;
        plan.asked();
    }
}

/// The engine was never told that nobody wants it, so it feeds the topic already.
#[tokio::test(start_paused = true)]
async fn a_topic_that_comes_back_before_the_engine_is_told_is_read_at_once() {
    let mut keep = retain(10, 0);
    (keep.linger, keep.age) = (Duration::ZERO, Duration::ZERO);
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, keep);
    drop(reader(&hub.topic("t").unwrap()).await);
    plan.lock().slow_interest = Duration::from_secs(9);
    let mut other = Subscriber::new();
    other.join(&hub.topic("u").unwrap(), Now, Leave);
    sleep(Duration::from_secs(5)).await;
    assert_eq!((hub.counters().topics, plan.asked().len()), (1, 3), "one is swept while the engine hears of the other");
    let mut client = Subscriber::new();
    client.join(&hub.topic("t").unwrap(), Now, Leave);
    sleep(Duration::from_secs(5)).await;
    assert_eq!((all(&mut client), all(&mut other)), (vec!["joined 0".to_owned()], vec!["joined 0".to_owned()]));
    assert_eq!(plan.asked(), ["read u", "read t"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_without_room_is_missed_and_not_lost_in_silence() {
    let memory = Memory::new();
    let (hub, _plan) = faulty(&memory, retain(10, 100));
    let mut limits = Limits::default();
    limits.bytes = 2000;
    hub.set_limits(limits);
    let (one, two) = (hub.topic("one").unwrap(), hub.topic("two").unwrap());
    let (mut reader, mut leaver) = (joined(&one, Now, Skip).await, joined(&two, Now, Leave).await);
    assert_eq!((all(&mut reader), all(&mut leaver)), (vec!["joined 0".to_owned()], vec!["joined 0".to_owned()]));
    for _ in 0..3 {
        publish(&one, "x".repeat(800)).await;
    }
    quiet().await;
    let words = all(&mut reader);
    assert_eq!((&words[..1], words.len()), (&["missed 1".to_owned()][..], 3));
    // Those of `one` leave no room for this one, and `two` has nothing that it could drop.
    publish(&two, "y".repeat(800)).await;
    publish(&one, "x".repeat(3000)).await;
    quiet().await;
    assert_eq!(all(&mut leaver), ["left"]);
    assert_eq!(all(&mut reader), ["missed 1"]);
    assert!(hub.counters().bytes <= 2000);
    publish(&one, 5).await;
    quiet().await;
    assert_eq!(all(&mut reader), ["5"]);
    let mut late = Subscriber::new();
    late.join(&one, Oldest, Leave);
    assert_eq!(all(&mut late), ["joined 5 not whole", "5"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_as_old_as_it_is_and_not_as_its_copy() {
    let memory = Memory::new();
    let (hub, _plan) = faulty(&memory, retain(10, 100));
    publish(&hub.topic("t").unwrap(), 1).await;
    sleep(Duration::from_secs(200)).await;
    let mut reader = joined(&hub.topic("t").unwrap(), Oldest, Leave).await;
    assert_eq!(all(&mut reader), ["joined 1", "1"]);
    sleep(Duration::from_secs(90)).await;
    assert_eq!(hub.counters().messages, 1);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(hub.counters().messages, 0);
}

#[tokio::test(start_paused = true)]
async fn a_local_hub_runs_by_the_clock() {
    let hub = hub(retain(10, 0));
    count(&hub.topic("t").unwrap(), 1..=1);
    hub.tick(seconds(1000));
    count(&hub.topic("t").unwrap(), 2..=2);
    let running = run(&hub);
    sleep(Duration::from_secs(290)).await;
    assert_eq!(hub.counters().messages, 1, "what was old at the last tick is gone, and 2 is not");
    running.abort();
    sleep(Duration::from_secs(100)).await;
    assert_eq!(hub.counters().messages, 1, "nobody runs it");
    run(&hub);
    quiet().await;
    assert_eq!(hub.counters().messages, 0, "the time without a run counts");
    let hub = Hub::restore(
        &Snapshot::from_bytes(&{
            let hub = common::hub(retain(10, 0));
            count(&hub.topic("t").unwrap(), 1..=1);
            hub.tick(seconds(200));
            hub.snapshot().to_bytes()
        })
        .unwrap(),
        retain(10, 0),
        EpochSeed::from([3; 16]),
        seconds(5000),
        make,
    );
    run(&hub);
    sleep(Duration::from_secs(90)).await;
    assert_eq!(hub.counters().messages, 1);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(hub.counters().messages, 0, "200 s before the restart and 100 after it");
}

#[tokio::test(start_paused = true)]
async fn a_hub_at_rest_is_polled_for_its_sweeps_only() {
    let memory = Memory::new();
    let hub = node(memory.node(), retain(10, 0));
    let polls = Arc::new(AtomicUsize::new(0));
    tokio::spawn({
        let (hub, polls) = (hub.clone(), Arc::clone(&polls));
        async move {
            let mut run = std::pin::pin!(hub.run());
            std::future::poll_fn(|cx| {
                polls.fetch_add(1, Relaxed);
                run.as_mut().poll(cx)
            })
            .await
        }
    });
    let mut reader = reader(&hub.topic("t").unwrap()).await;
    publish(&hub.topic("t").unwrap(), 1).await;
    quiet().await;
    let before = polls.load(Relaxed);
    sleep(Duration::from_secs(600)).await;
    let polled = polls.load(Relaxed) - before;
    assert!((100..=250).contains(&polled), "{polled} in 10 minutes, with a sweep each 5 s");
    assert_eq!((all(&mut reader), hub.snapshot().to_bytes().len()), (vec!["1".to_owned()], 16 + 8 + 20));
}

/// An engine that always has something to feed.
#[tokio::test(start_paused = true)]
async fn a_flood_leaves_other_tasks_their_turn() {
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, retain(10, 0));
    let mut reader = reader(&hub.topic("t").unwrap()).await;
    let topic: Arc<str> = "none".into();
    plan.feed(move |_| vec![Fed::Stale(Arc::clone(&topic)); 1_000_000]);
    publish(&hub.topic("t").unwrap(), 1).await;
    tokio::task::yield_now().await;
    let turns = tokio::spawn(async move {
        let mut turns = 0;
        // Not `yield_now`, which waits for dozens of other polls.
        std::future::poll_fn(|cx| {
            turns += 1;
            cx.waker().wake_by_ref();
            if plan.fed() > 0 { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        turns
    });
    let turns = turns.await.unwrap();
    assert!(turns > 1000, "{turns}");
    quiet().await;
    assert_eq!(all(&mut reader).len(), 0, "that message was lost");
}

#[tokio::test(start_paused = true)]
async fn make_may_use_the_hub_and_runs_once_for_each_message() {
    let memory = Memory::new();
    let made = Arc::new(AtomicUsize::new(0));
    let cell = Arc::new(std::sync::OnceLock::<Hub<u64>>::new());
    let inner = (Arc::clone(&cell), Arc::clone(&made));
    let hub = Hub::with(memory.node(), retain(10, 0), EpochSeed::from([1; 16]), move |name, at, _: &Bytes| {
        inner.1.fetch_add(1, Relaxed);
        let topic = inner.0.get().unwrap().topic(name).unwrap();
        let mut subscriber = Subscriber::new();
        subscriber.join(&topic, Now, Leave);
        assert!(topic.position().is_none_or(|log| log.offset + 1 == at.offset));
        at.offset
    });
    cell.set(hub.clone()).unwrap();
    let topic = hub.topic("t").unwrap();
    for _ in 0..3 {
        topic.publish(None, Bytes::new(), None).await.unwrap();
    }
    let running = tokio::spawn({
        let hub = hub.clone();
        async move { hub.run().await }
    });
    let mut readers = [(); 3].map(|()| Subscriber::new());
    readers.iter_mut().for_each(|reader| reader.join(&topic, Oldest, Leave));
    quiet().await;
    topic.publish(None, Bytes::new(), None).await.unwrap();
    quiet().await;
    for reader in &mut readers {
        assert_eq!(std::iter::from_fn(|| reader.try_next()).count(), 5);
    }
    assert_eq!(made.load(Relaxed), 4);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn what_an_engine_must_not_say_does_no_harm() {
    let memory = Memory::new();
    let (hub, plan) = faulty(&memory, retain(10, 100));
    let topic = hub.topic("t").unwrap();
    let mut reader = reader(&topic).await;
    publish_all(&topic, 1..=3).await;
    quiet().await;
    all(&mut reader);
    let gap: fn(&mut openline_live::Page) = |page| {
        page.messages.remove(1);
    };
    let beyond: fn(&mut openline_live::Page) = |page| page.at.offset = 2;
    let zero: fn(&mut openline_live::Page) = |page| page.messages[0].offset = 0;
    let huge: fn(&mut openline_live::Page) = |page| page.at.offset = u64::MAX;
    let nothing_new: fn(&mut openline_live::Page) = |page| {
        page.messages.remove(0).offset = 1;
        page.messages.truncate(1);
        page.messages[0].offset = 2;
    };
    for wrong in [gap, beyond, zero, huge, nothing_new] {
        plan.lock().pages = Box::new(move |mut page| {
            wrong(&mut page);
            page
        });
        plan.feed(|_| vec![Fed::Cut]);
        plan.asked();
        let at = topic.position().unwrap();
        publish_all(&topic, at.offset + 1..=at.offset + 3).await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!((all(&mut reader).len(), topic.position()), (0, Some(at)));
        assert!((10..=20).contains(&plan.reads()), "it is tried again, after a pause");
        plan.lock().pages = Box::new(|page| page);
        sleep(Duration::from_secs(6)).await;
        assert_eq!(all(&mut reader), numbers(at.offset + 1..=at.offset + 3));
    }
    plan.feed(|fed| match fed {
        Fed::Message { topic, at, payload } => {
            let odd = [0, u64::MAX].map(|offset| Fed::Message {
                topic: Arc::clone(&topic),
                at: Position { offset, ..at },
                payload: payload.clone(),
            });
            [odd.into(), vec![Fed::Message { topic, at, payload }]].concat()
        }
        fed => vec![fed],
    });
    publish(&topic, 19).await;
    quiet().await;
    assert_eq!(all(&mut reader), ["19"]);
}

/// Any order of faults: what a reader sees has no hole that was not told, nothing twice, and comes to the end.
#[tokio::test(start_paused = true)]
async fn whatever_the_feed_does_nothing_is_lost_in_silence() {
    for seed in 1..=300u64 {
        let mut random = seed.wrapping_mul(0x9E3779B97F4A7C15);
        let mut below = move |most: u64| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (random >> 33) % most
        };
        let memory = Memory::new();
        let (hub, plan) = faulty(&memory, retain(8, 8));
        let other = node(memory.node(), retain(8, 8));
        let topics = [hub.topic("t").unwrap(), other.topic("t").unwrap()];
        run(&other);
        let mut chance = below;
        let mut late: Option<Fed> = None;
        plan.feed(move |fed| match chance(8) {
            0 => vec![],
            1 => vec![fed.clone(), fed],
            2 => late.replace(fed).into_iter().collect(),
            3 => [Some(fed), late.take()].into_iter().flatten().collect(),
            4 => vec![Fed::Stale("t".into())],
            5 => vec![Fed::Cut],
            _ => vec![fed],
        });
        plan.lock().slow.insert("t".into(), Duration::from_millis(below(30)));
        let mut readers = [Skip, Latest].map(|lag| {
            let mut subscriber = Subscriber::new();
            subscriber.join(&topics[0], Oldest, lag);
            (subscriber, None::<(Position, bool)>)
        });
        let check = |(subscriber, seen): &mut (Subscriber<Said>, Option<(Position, bool)>), topic: &Topic<Said>| {
            while let Some(delivery) = subscriber.try_next() {
                match (delivery, seen.as_mut()) {
                    (Delivery::Joined { whole: true, at, .. }, None) => {
                        *seen = Some((Position { offset: 0, ..at }, true));
                    }
                    // What follows begins anywhere.
                    (Delivery::Joined { at, .. }, _) => *seen = Some((at, false)),
                    (Delivery::Missed(gap), Some((seen, _))) => seen.offset += gap.count,
                    (Delivery::Message((offset, _)), Some((seen, known))) => {
                        assert!(!*known || offset == seen.offset + 1, "{offset} after {}", seen.offset);
                        (seen.offset, *known) = (offset, true);
                    }
                    (other, seen) => panic!("{other:?} {seen:?}"),
                }
            }
            (seen.map(|(at, _)| at), topic.position())
        };
        for _ in 0..60 {
            match below(12) {
                0..8 => drop(publish(&topics[below(2) as usize], "x").await),
                8 => sleep(Duration::from_millis(below(100))).await,
                9 if below(4) == 0 => memory.forget(),
                10 => drop(check(&mut readers[below(2) as usize], &topics[0])),
                _ => tokio::task::yield_now().await,
            }
        }
        plan.feed(|fed| vec![fed, Fed::Cut]);
        let last = publish(&topics[1], "last").await;
        sleep(Duration::from_secs(20)).await;
        for reader in &mut readers {
            assert_eq!(check(reader, &topics[0]), (Some(last), Some(last)), "seed {seed}");
        }
    }
}
