//! What a message costs for each of its receivers, beside `tokio::sync::broadcast`: `cargo bench -p openline-live`.
//!
//! *Publish* is the time in which a message enters the log and all sleeping receivers are woken. *Delivered* is the time
//! until the last of them has it, on one thread of tokio. Both are divided by the number of receivers. Runs of the two
//! alternate, and the median is shown. Each receiver counts and sums what it gets, and the sums are checked.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
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
    let (mut publishing, mut expected, mut begin) = (Duration::ZERO, 0, Instant::now());
    for round in 0..=rounds {
        if round == 1 {
            // The first round has paid for what is allocated once.
            (publishing, begin) = (Duration::ZERO, Instant::now());
        }
        let start = Instant::now();
        for number in 0..burst {
            publish(round * burst + number).await;
            expected += (round * burst + number) * receivers;
        }
        publishing += start.elapsed();
        while sum.load(Relaxed) < expected {
            tokio::task::yield_now().await;
        }
        assert_eq!(sum.load(Relaxed), expected, "each has each message once");
    }
    let each = |time: Duration| time.as_nanos() as f64 / (rounds * burst * receivers) as f64;
    let cost = Cost { publish: each(publishing), delivered: each(begin.elapsed()) };
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

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    println!("ns for each receiver and message (median of 5 alternating runs)");
    println!(
        "{:>9} {:>5} | {:>16} {:>20} | {:>18}",
        "receivers", "burst", "publish, live", "publish, broadcast", "delivered, live/broadcast"
    );
    for (receivers, burst) in [(1_000, 1), (10_000, 1), (100_000, 1), (1_000, 16), (10_000, 16), (100_000, 16)] {
        let rounds = (4_000_000 / receivers / burst).max(3);
        let (mut ours, mut theirs) = (vec![], vec![]);
        for _ in 0..5 {
            ours.push(runtime.block_on(live(receivers, rounds, burst)));
            theirs.push(runtime.block_on(broadcast(receivers, rounds, burst)));
        }
        let of = |costs: &[Cost], part: fn(&Cost) -> f64| median(costs.iter().map(part).collect());
        let ratios = ours.iter().zip(&theirs).map(|(ours, theirs)| ours.delivered / theirs.delivered).collect();
        println!(
            "{receivers:>9} {burst:>5} | {:>16.1} {:>20.1} | {:>7.1} / {:>5.1} = {:.2}",
            of(&ours, |cost| cost.publish),
            of(&theirs, |cost| cost.publish),
            of(&ours, |cost| cost.delivered),
            of(&theirs, |cost| cost.delivered),
            median(ratios),
        );
    }
}
