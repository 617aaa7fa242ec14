//! Who does not read costs the others nothing: 10,000 subscribers of which 100 never read, beside a run in which all read.
//!
//! *p99* is the time in which a message has reached 99 % of those who read, on one thread. *Heap* is how much more is
//! allocated after more messages, once the slack is full. Runs alternate. Each reader sums what it gets, those who do not
//! read are asked at the end, and both are checked.

mod common;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use common::{clock, median, ratio, runtime};
use openline_live::{Delivery, EpochSeed, Hub, Lag, Retain, Start, Subscriber, Topic};
use tokio::task::LocalSet;

/// What a reader adds to.
#[derive(Default)]
struct Read {
    sum: AtomicU64,
    /// When the last message was published.
    published: RefCell<Duration>,
    /// What it took to reach those who look at the clock.
    took: RefCell<Vec<Duration>>,
}

async fn read(mut subscriber: Subscriber<u64>, read: Rc<Read>, looks: bool) {
    loop {
        match subscriber.next().await {
            Delivery::Message(offset) => {
                read.sum.fetch_add(offset, Relaxed);
                if looks {
                    read.took.borrow_mut().push(clock().saturating_sub(*read.published.borrow()));
                }
            }
            Delivery::Joined { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Publishes so many messages, in bursts, and waits each time until all who read have them.
async fn publish(topic: &Topic<u64>, read: &Read, count: u64, burst: u64) {
    for _ in 0..count / burst {
        *read.published.borrow_mut() = clock();
        let mut last = 0;
        for _ in 0..burst {
            last = topic.publish(None, Bytes::from_static(&[7; 100]), None).await.unwrap().offset;
        }
        let expected = READERS * last * (last + 1) / 2;
        while read.sum.load(Relaxed) < expected {
            tokio::task::yield_now().await;
        }
        assert_eq!(read.sum.load(Relaxed), expected, "each has each message once");
    }
}

struct Run {
    p99: f64,
    heap: i64,
    messages: usize,
}

fn run(stalled: u64) -> Run {
    let (runtime, local) = (runtime(), LocalSet::new());
    let mut retain = Retain::default();
    (retain.messages, retain.slack_messages) = (KEPT as usize, SLACK as usize);
    let made = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&made);
    let hub = Hub::local(retain, EpochSeed::from([1; 16]), move |_, at, _: &Bytes| {
        count.fetch_add(1, Relaxed);
        at.offset
    });
    let topic = hub.topic("t").unwrap();
    let subscriber = |lag| {
        let mut subscriber = Subscriber::new();
        subscriber.join(&topic, Start::Now, lag);
        subscriber
    };
    let mut deaf: Vec<_> =
        (0..stalled).map(|at| subscriber(if at % 2 == 0 { Lag::Skip } else { Lag::Leave })).collect();
    let reads = Rc::new(Read::default());
    for at in 0..READERS {
        local.spawn_local(read(subscriber(Lag::Leave), Rc::clone(&reads), at % 10 == 0));
    }
    let more = |count, burst| {
        allocation_counter::measure(|| runtime.block_on(local.run_until(publish(&topic, &reads, count, burst))))
    };
    // All who read sleep now, and what they allocate once they have.
    more(16, 16);
    reads.took.borrow_mut().reserve((KEPT + SLACK + 2 * MEASURED) as usize * READERS as usize / 10);
    more((KEPT + SLACK).next_multiple_of(16), 16);
    more(MEASURED, 1);
    let full = hub.counters().messages;
    reads.took.borrow_mut().clear();
    let heap = more(MEASURED, 1).bytes_current;
    let messages = hub.counters().messages;
    assert_eq!(messages, full);
    assert_eq!(messages as u64, if stalled > 0 { KEPT + SLACK } else { KEPT });
    let published = topic.position().unwrap().offset;
    assert_eq!(made.load(Relaxed), published);
    for (at, subscriber) in deaf.iter_mut().enumerate() {
        let (mut got, mut missed, mut left) = (0, 0, false);
        while let Some(delivery) = subscriber.try_next() {
            match delivery {
                Delivery::Message(_) => got += 1,
                Delivery::Missed(gap) => missed += gap.count,
                Delivery::Left(_) => left = true,
                _ => {}
            }
        }
        let told = if at % 2 == 0 { (KEPT + SLACK, published - KEPT - SLACK, false) } else { (0, 0, true) };
        assert_eq!((got, missed, left), told, "who did not read is told what is gone");
    }
    let mut took = reads.took.take();
    assert_eq!(took.len() as u64, MEASURED * READERS / 10);
    took.sort_unstable();
    Run { p99: took[took.len() * 99 / 100].as_secs_f64() * 1e6, heap, messages }
}

fn main() {
    println!("\n{READERS} who read, and {STALLED} who never do (medians of {RUNS} runs)");
    println!("{:>12} | {:>9} | {:>9} {:>9}", "do not read", "p99, µs", "log", "heap, B");
    let (mut with, mut without) = (vec![], vec![]);
    for _ in 0..RUNS {
        without.push(run(0));
        with.push(run(STALLED));
    }
    let p99 = |runs: &[Run]| runs.iter().map(|run| run.p99).collect::<Vec<_>>();
    for (stalled, runs) in [(0, &without), (STALLED, &with)] {
        let grown = runs.iter().map(|run| run.heap).max().unwrap();
        println!("{stalled:>12} | {:>9.0} | {:>9} {grown:>+9}", median(p99(runs)), runs[0].messages);
        assert!(grown < 64 * 1024, "{grown} bytes more for {MEASURED} messages");
    }
    println!("p99 with / without: {:.2}", ratio(&p99(&with), &p99(&without)));
}

const READERS: u64 = 9_900;
const STALLED: u64 = 100;
const KEPT: u64 = 256;
const SLACK: u64 = 1_024;
const MEASURED: u64 = 200;
/// Of each of the two.
const RUNS: usize = 5;
