//! 10,000 clients come back at once, while more is published: what each of them has missed comes from the log.
//!
//! Nothing is made for them: the log is read and nobody is asked. Each client checks that it has each message once, from
//! the position that it had.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use bytes::Bytes;
use common::{clock, median, runtime};
use openline_live::{Delivery, EpochSeed, Hub, Lag, Position, Retain, Start, Subscriber, Topic};
use tokio::runtime::Builder;

/// How many messages went wrong.
#[derive(Debug, Default, PartialEq)]
struct Wrong {
    lost: u64,
    twice: u64,
    /// By `make`, beyond once for each that was published.
    made: u64,
}

/// Reads on from this position until this offset.
async fn come_back(topic: Topic<u64>, seen: Position, until: u64) -> Wrong {
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Start::After(seen), Lag::Leave);
    let (mut wrong, mut next) = (Wrong::default(), seen.offset + 1);
    while next <= until {
        match subscriber.next().await {
            Delivery::Joined { whole, .. } => assert!(whole, "all is there"),
            Delivery::Message(offset) => {
                wrong.lost += offset.saturating_sub(next);
                wrong.twice += u64::from(offset < next);
                next = next.max(offset + 1);
            }
            other => panic!("{other:?}"),
        }
    }
    wrong
}

async fn publish(topic: &Topic<u64>, count: u64) {
    for _ in 0..count {
        topic.publish(None, Bytes::from_static(b"hello"), None).await.unwrap();
    }
}

/// Nanoseconds for each client.
async fn run(time: impl Fn() -> f64) -> (f64, Wrong) {
    let made = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&made);
    let hub = Hub::local(Retain::default(), EpochSeed::from([1; 16]), move |_, at, _: &Bytes| {
        count.fetch_add(1, Relaxed);
        at.offset
    });
    let topic = hub.topic("t").unwrap();
    publish(&topic, AWAY).await;
    // Where each of them stood when its connection broke: after 0, 1, … messages.
    let epoch = topic.position().unwrap().epoch;
    let seen = |client: u64| Position { epoch, offset: client % AWAY };
    let begin = time();
    let clients: Vec<_> =
        (0..CLIENTS).map(|client| tokio::spawn(come_back(topic.clone(), seen(client), AWAY + MORE))).collect();
    for _ in 0..MORE {
        publish(&topic, 1).await;
        tokio::task::yield_now().await;
    }
    let mut wrong = Wrong::default();
    for client in clients {
        let its = client.await.unwrap();
        wrong.lost += its.lost;
        wrong.twice += its.twice;
    }
    let time = time() - begin;
    wrong.made = made.load(Relaxed) - AWAY - MORE;
    assert_eq!(topic.subscribers(), 0);
    (time / CLIENTS as f64, wrong)
}

fn main() {
    println!("\n{CLIENTS} clients come back at once, each {} messages behind on average, while {MORE} come", AWAY / 2);
    println!("{:>20} | {:>12} {:>12} | {:>5} {:>5} {:>5}", "", "µs a client", "ns a message", "lost", "twice", "made");
    let print = |name, runs: Vec<(f64, Wrong)>| {
        let took = median(runs.iter().map(|(took, _)| *took));
        let behind = (AWAY as f64 + 1.0) / 2.0 + MORE as f64;
        let sum = |part: fn(&Wrong) -> u64| runs.iter().map(|(_, wrong)| part(wrong)).sum::<u64>();
        let (lost, twice, made) = (sum(|wrong| wrong.lost), sum(|wrong| wrong.twice), sum(|wrong| wrong.made));
        println!("{name:>20} | {:>12.1} {:>12.0} | {lost:>5} {twice:>5} {made:>5}", took / 1e3, took / behind);
        assert_eq!((lost, twice, made), (0, 0, 0));
    };
    let one = runtime();
    print("on one thread", (0..RUNS).map(|_| one.block_on(run(|| clock().as_nanos() as f64))).collect());
    let many = Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let begin = Instant::now();
    let run = || run(move || begin.elapsed().as_nanos() as f64);
    print(
        "on four, by the wall",
        (0..RUNS).map(|_| many.block_on(async { tokio::spawn(run()).await.unwrap() })).collect(),
    );
}

const CLIENTS: u64 = 10_000;
/// So many messages there were before the clients came back, and so many come then.
const AWAY: u64 = 100;
const MORE: u64 = 20;
const RUNS: usize = 5;
