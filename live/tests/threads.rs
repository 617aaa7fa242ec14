//! Many threads at once: publishers, readers, and connections that break and come back. Each reader must see every message
//! once and in order, though it joins and leaves all the time.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::*;
use openline_live::Lag::{Leave, Skip};
use openline_live::Start::{After, Now, Oldest};
use openline_live::{Delivery, Position, Subscriber, Topic};
use tokio::time::timeout;

const PUBLISHERS: u64 = 3;
const EACH: u64 = 2000;
const ALL: u64 = PUBLISHERS * EACH;

async fn publish(topic: Topic<Said>) {
    for number in 0..EACH {
        topic.publish(None, Bytes::from(number.to_string()), None).await.unwrap();
        if number % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Reads from `seen` on to the end, and breaks off after each `most` messages.
async fn read(topic: Topic<Said>, mut seen: Position, most: u64) -> Vec<u64> {
    let mut offsets = vec![];
    while seen.offset < ALL {
        let mut subscriber = Subscriber::new();
        subscriber.join(&topic, After(seen), Leave);
        for _ in 0..most {
            match subscriber.next().await {
                Delivery::Joined { whole, .. } => assert!(whole),
                Delivery::Message((offset, _)) => {
                    offsets.push(offset);
                    seen.offset = offset;
                }
                other => panic!("{other:?}"),
            }
            if seen.offset == ALL {
                break;
            }
        }
    }
    offsets
}

/// Lags all the time; what it has and what it has missed make up everything.
async fn lag(mut subscriber: Subscriber<Said>) -> (u64, u64) {
    let (mut read, mut missed) = (0, 0);
    while read + missed < ALL {
        match subscriber.next().await {
            Delivery::Joined { .. } => {}
            Delivery::Missed(gap) => missed += gap.count,
            Delivery::Message((offset, _)) => {
                read += 1;
                assert_eq!(offset, read + missed, "the count is exact");
                tokio::task::yield_now().await;
            }
            other => panic!("{other:?}"),
        }
    }
    (read, missed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everybody_has_everything_once_and_in_order() {
    let hub = hub(retain(ALL as usize, 0));
    let topic = hub.topic("t").unwrap();
    let start = topic.position().unwrap();
    let readers: Vec<_> = [2, 3, 8, 101, u64::MAX].map(|most| tokio::spawn(read(topic.clone(), start, most))).into();
    let publishers: Vec<_> = (0..PUBLISHERS).map(|_| tokio::spawn(publish(topic.clone()))).collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    for reader in readers {
        assert!(reader.await.unwrap().into_iter().eq(1..=ALL));
    }
    assert_eq!((topic.subscribers(), hub.counters().lag, topic.position().unwrap().offset), (0, 0, ALL));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_lags_knows_what_is_missing() {
    let hub = hub(retain(4, 8));
    let topic = hub.topic("t").unwrap();
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Now, Skip);
    let lagging = tokio::spawn(lag(subscriber));
    let publishers: Vec<_> = (0..PUBLISHERS).map(|_| tokio::spawn(publish(topic.clone()))).collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let (read, missed) = lagging.await.unwrap();
    assert_eq!((read + missed, hub.counters().missed), (ALL, missed));
}

/// Reads until the end, in order, from the first message that comes.
async fn stay(mut subscriber: Subscriber<Said>, topic: Topic<Said>, end: u64) {
    let mut seen = None;
    while seen != Some(end) {
        // The time only ends a test in which somebody sleeps for ever.
        match timeout(Duration::from_secs(60), subscriber.next()).await {
            Ok(Delivery::Message((offset, _))) => {
                assert!(seen.is_none_or(|seen| seen + 1 == offset), "{offset} after {seen:?}");
                seen = Some(offset);
            }
            Ok(Delivery::Joined { .. } | Delivery::Here { .. } | Delivery::Changed { .. }) => {}
            Ok(other) => panic!("{other:?}"),
            Err(_) => panic!("nothing comes after {seen:?} of {:?}", topic.position()),
        }
    }
}

/// Joins, moves, watches and leaves with many subscribers, which are dropped now and then and seldom read.
async fn churn(topic: Topic<Said>, other: Topic<Said>, seed: u64) {
    let mut random = seed;
    let mut random = move |below: u64| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) % below
    };
    let mut crowd: Vec<_> = (0..200).map(|_| Subscriber::new()).collect();
    for _ in 0..3000 {
        let subscriber = &mut crowd[random(200) as usize];
        match random(8) {
            0 => *subscriber = Subscriber::new(),
            1..4 => subscriber.join(&topic, if random(2) == 0 { Now } else { Oldest }, Skip),
            4 => subscriber.join(&other, Oldest, Skip),
            5 => subscriber.leave(&topic),
            6 => {
                subscriber.watch(&topic);
                subscriber.unwatch(&topic);
            }
            _ => _ = subscriber.try_next(),
        }
        if random(64) == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Those who stay sit among many who come and go, all together in several groups of those that are rung for at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_stays_is_woken_for_each_message_whoever_comes_and_goes() {
    let hub = hub(retain(2 * ALL as usize, 0));
    let (topic, other) = (hub.topic("t").unwrap(), hub.topic("u").unwrap());
    let staying = (0..400).map(|number| {
        let mut subscriber = Subscriber::new();
        subscriber.join(&topic, Now, Skip);
        if number % 3 == 0 {
            subscriber.watch(&topic);
        }
        tokio::spawn(stay(subscriber, topic.clone(), ALL))
    });
    let staying: Vec<_> = staying.collect();
    let mut working: Vec<_> = (0..3).map(|seed| tokio::spawn(churn(topic.clone(), other.clone(), seed))).collect();
    working.extend((0..PUBLISHERS).map(|_| tokio::spawn(publish(topic.clone()))));
    working.push(tokio::spawn(publish(other.clone())));
    hub.tick(seconds(1));
    for task in working.into_iter().chain(staying) {
        task.await.unwrap();
    }
    assert_eq!((topic.subscribers(), topic.position().unwrap().offset), (0, ALL));
}

/// Joins and the read that opens their topics race: whoever joins is answered, and misses nothing from there on.
#[cfg(feature = "tokio")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_joins_while_a_topic_opens_is_answered() {
    use openline_live::{EpochSeed, Hub, Memory};

    const LAST: u64 = 20;
    let memory = Memory::new();
    let hubs =
        [1, 2].map(|seed| Hub::with(memory.node(), retain(1000, 1000), EpochSeed::from([seed; 16]), common::make));
    let running = hubs.clone().map(|hub| tokio::spawn(async move { hub.run().await }));
    for round in 0..300 {
        let name = format!("topic {round}");
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let topic = hubs[task % 2].topic(&name).unwrap();
                tokio::spawn(async move {
                    let mut subscriber = Subscriber::new();
                    subscriber.join(&topic, Now, Leave);
                    let Delivery::Joined { at, whole: true, .. } = subscriber.next().await else { panic!() };
                    for offset in at.offset + 1..=LAST {
                        assert!(matches!(subscriber.next().await, Delivery::Message((next, _)) if next == offset));
                    }
                })
            })
            .collect();
        let topic = hubs[round % 2].topic(&name).unwrap();
        for number in 1..=LAST {
            topic.publish(None, Bytes::from(number.to_string()), None).await.unwrap();
        }
        for task in tasks {
            task.await.unwrap();
        }
    }
    running.iter().for_each(|running| running.abort());
}
