//! What it costs to sit there: bytes of an idle subscriber, and of many who do not read.

mod common;

use common::*;
use openline_live::Lag::{Leave, Skip};
use openline_live::Start::{Now, Oldest};
use openline_live::{Subscriber, Topic};

/// How many bytes stay allocated.
fn bytes_after(run: impl FnOnce()) -> i64 {
    allocation_counter::measure(run).bytes_current
}

#[test]
fn an_idle_connection_in_three_topics_costs_little() {
    let hub = hub(retain(256, 4096));
    let topics = ["a", "b", "c"].map(|name| hub.topic(name).unwrap());
    // The logs have what they need before anything is counted.
    for topic in &topics {
        let mut subscriber = Subscriber::new();
        subscriber.join(topic, Now, Leave);
        count(topic, 1..=400);
    }
    let mut subscribers: Vec<Subscriber<Said>> = Vec::with_capacity(1000);
    let waker = std::task::Waker::noop();
    let total = bytes_after(|| {
        for _ in 0..1000 {
            let mut subscriber = Subscriber::new();
            topics.iter().for_each(|topic| subscriber.join(topic, Now, Leave));
            subscribers.push(subscriber);
        }
        // All have been busy once, and are idle again.
        topics.iter().for_each(|topic| (0..50).for_each(|_| assert!(say(topic, "012").is_ok())));
        for subscriber in &mut subscribers {
            assert_eq!(all(subscriber).len(), 153);
            assert!(subscriber.poll_next(&mut std::task::Context::from_waker(waker)).is_pending());
        }
    });
    let each = total / 1000 + size_of::<Subscriber<Said>>() as i64;
    println!("{each} bytes, of which {} are the subscriber itself", size_of::<Subscriber<Said>>());
    assert!((100..=300).contains(&each), "{each} bytes");
}

/// However often it does so: nothing of it stays, neither at the subscriber nor at the topic.
#[test]
fn who_joins_and_leaves_and_never_reads_holds_nothing() {
    let hub = hub(retain(4, 4));
    let topic = hub.topic("t").unwrap();
    count(&topic, 1..=4);
    let mut subscriber = Subscriber::new();
    let mut rounds = |count| {
        for _ in 0..count {
            subscriber.join(&topic, Oldest, Skip);
            subscriber.watch(&topic);
            subscriber.leave(&topic);
            subscriber.unwatch(&topic);
        }
    };
    rounds(1);
    assert_eq!(bytes_after(|| rounds(20_000)), 0);
    assert_eq!((topic.subscribers(), subscriber.topics(), subscriber.try_next()), (0, 0, None));
}

#[test]
fn two_hundred_thousand_names_cost_little_and_are_freed() {
    let hub = hub(retain(16, 100));
    let topics = ["a", "b"].map(|name| hub.topic(name).unwrap());
    let mut watchers = topics.each_ref().map(|topic| {
        let mut watcher = Subscriber::<Said>::new();
        watcher.watch(topic);
        watcher
    });
    let mut guards = Vec::with_capacity(200_000);
    let total = bytes_after(|| {
        for topic in &topics {
            guards.extend((0..100_000).map(|number| topic.enter(&format!("user-{number:07}")).unwrap()));
        }
        hub.tick(seconds(1));
    });
    assert!(topics[0].enter("one more").is_err());
    // A name is 12 bytes and 16 beside them, and stands in one map.
    println!("{} bytes for each name", total / 200_000);
    assert!((28..=160).contains(&(total / 200_000)), "{total}");
    for watcher in &mut watchers {
        while let Some(news) = watcher.try_next() {
            assert!(matches!(news, openline_live::Delivery::Here { names, more: 99_000, .. } if names.len() == 1000));
        }
    }
    let freed = bytes_after(|| {
        drop(std::mem::take(&mut guards));
        (2..20).for_each(|at| assert!(hub.tick(seconds(at * 5)).is_some()));
    });
    assert_eq!(hub.counters().names, 0);
    // All but the guards' own list, which was there before, and what watchers have yet to read.
    assert!(freed < -total * 9 / 10, "{freed} of {total}");
}

#[test]
fn who_never_reads_holds_the_slack_once_and_no_more() {
    let hub = hub(retain(16, 100));
    let topic = hub.topic("t").unwrap();
    let mut stalled: Vec<Subscriber<Said>> = (0..100).map(|_| Subscriber::new()).collect();
    for (number, subscriber) in stalled.iter_mut().enumerate() {
        subscriber.join(&topic, Now, if number % 2 == 0 { Skip } else { Leave });
    }
    let mut reader = Subscriber::new();
    reader.join(&topic, Now, Leave);
    let publish = |topic: &Topic<Said>, reader: &mut Subscriber<Said>, count: u64| {
        (0..count).for_each(|_| assert!(say(topic, "0123456789").is_ok()));
        all(reader).len() as u64
    };
    assert_eq!((0..4).map(|_| publish(&topic, &mut reader, 50)).sum::<u64>(), 201);
    assert_eq!(hub.counters().messages, 116, "the slack is full");
    // What a message's text holds in the log is freed when the message goes.
    let grown = bytes_after(|| (0..100).for_each(|_| assert_eq!(publish(&topic, &mut reader, 50), 50)));
    assert_eq!((grown, hub.counters().messages), (0, 116));
}
