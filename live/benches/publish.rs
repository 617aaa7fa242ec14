//! What a message costs for each of its receivers, beside `tokio::sync::broadcast`.
//!
//! *Publish* is the time in which a message enters the log and all sleeping receivers are woken. *Delivered* is the time
//! until the last of them has it, on one thread of tokio. Both are divided by the number of receivers. Runs of the two
//! alternate, and medians are shown. Each receiver sums what it gets, and the sums are checked.

mod common;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use common::{clock, median, ratio, runtime};
use openline_live::{Delivery, EpochSeed, Hub, Lag, Retain, Start, Subscriber};

/// Nanoseconds for each receiver and message.
struct Cost {
    publish: f64,
    delivered: f64,
}

/// Starts the receivers, publishes in bursts, and waits each time until all of them have all.
async fn measure<R: Future<Output = ()> + Send + 'static, P: Future<Output = ()>>(
    receivers: u64,
    rounds: u64,
    burst: u64,
    sum: &AtomicU64,
    receiver: impl Fn() -> R,
    publish: impl Fn(u64) -> P,
) -> Cost {
    let tasks: Vec<_> = (0..receivers).map(|_| tokio::spawn(receiver())).collect();
    tokio::task::yield_now().await;
    let (mut publishing, mut expected, mut begin) = (Duration::ZERO, 0, clock());
    for round in 0..=rounds {
        if round == 1 {
            // The first round has paid for what is allocated once.
            (publishing, begin) = (Duration::ZERO, clock());
        }
        let start = clock();
        for number in 0..burst {
            publish(round * burst + number).await;
            expected += (round * burst + number) * receivers;
        }
        publishing += clock() - start;
        while sum.load(Relaxed) < expected {
            tokio::task::yield_now().await;
        }
        assert_eq!(sum.load(Relaxed), expected, "each has each message once");
    }
    let each = |time: Duration| time.as_nanos() as f64 / (rounds * burst * receivers) as f64;
    let cost = Cost { publish: each(publishing), delivered: each(clock() - begin) };
    tasks.iter().for_each(|task| task.abort());
    cost
}

async fn live(receivers: u64, rounds: u64, burst: u64) -> Cost {
    let seed = EpochSeed::from([1; 16]);
    let hub = Hub::local(Retain::default(), seed, |_, _, payload: &Bytes| payload.clone());
    let topic = hub.topic("t").unwrap();
    let sum = Arc::new(AtomicU64::new(0));
    let receiver = || {
        let mut subscriber = Subscriber::new();
        subscriber.join(&topic, Start::Now, Lag::Leave);
        let sum = Arc::clone(&sum);
        async move {
            loop {
                match subscriber.next().await {
                    Delivery::Message(payload) => add(&sum, &payload),
                    Delivery::Joined { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    };
    let publish = |number: u64| {
        let topic = topic.clone();
        async move {
            topic.publish(None, Bytes::copy_from_slice(&number.to_be_bytes()), None).await.unwrap();
        }
    };
    measure(receivers, rounds, burst, &sum, receiver, publish).await
}

async fn broadcast(receivers: u64, rounds: u64, burst: u64) -> Cost {
    let (sender, _) = tokio::sync::broadcast::channel::<Bytes>(256);
    let sum = Arc::new(AtomicU64::new(0));
    let receiver = || {
        let (mut receiver, sum) = (sender.subscribe(), Arc::clone(&sum));
        async move {
            loop {
                add(&sum, &receiver.recv().await.unwrap());
            }
        }
    };
    let publish = |number: u64| {
        sender.send(Bytes::copy_from_slice(&number.to_be_bytes())).unwrap();
        std::future::ready(())
    };
    measure(receivers, rounds, burst, &sum, receiver, publish).await
}

fn add(sum: &AtomicU64, payload: &Bytes) {
    sum.fetch_add(u64::from_be_bytes(payload[..].try_into().unwrap()), Relaxed);
}

fn main() {
    let runtime = runtime();
    println!(
        "ns for each receiver and message, on one thread: live / tokio's broadcast = ratio (medians of {RUNS} runs)"
    );
    println!("{:>9} {:>5} | {:>21} | {:>21}", "receivers", "burst", "publish", "delivered");
    for (receivers, burst) in [(1_000, 1), (10_000, 1), (100_000, 1), (1_000, 16), (10_000, 16), (100_000, 16)] {
        let rounds = (2_000_000 / receivers / burst).max(3);
        let (mut ours, mut theirs) = (vec![], vec![]);
        for _ in 0..RUNS {
            ours.push(runtime.block_on(live(receivers, rounds, burst)));
            theirs.push(runtime.block_on(broadcast(receivers, rounds, burst)));
        }
        let column = |part: fn(&Cost) -> f64| {
            let (ours, theirs): (Vec<_>, Vec<_>) = (ours.iter().map(part).collect(), theirs.iter().map(part).collect());
            let ratio = ratio(&ours, &theirs);
            format!("{:>6.1} / {:>5.1} = {ratio:>4.2}", median(ours), median(theirs))
        };
        println!("{receivers:>9} {burst:>5} | {} | {}", column(|cost| cost.publish), column(|cost| cost.delivered));
    }
}

/// Of each of the two.
const RUNS: usize = 7;
