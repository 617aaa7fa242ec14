//! Those who only read: quick ones and slow ones, who stall, are cut off and come back, at another node or the same.

use std::sync::Arc;

use openline_live::{Lag, Start};
use tokio::time::{Instant, sleep};

use super::Site;
use super::client::{Client, LONG, Step};
use crate::rng::Rng;

pub async fn read<S: Site>(site: Arc<S>, reader: usize) {
    let mut rng = Rng::new(site.plan().seed, ("reader", reader));
    let some: Vec<_> = (0..site.plan().topics).filter(|_| rng.chance(700)).collect();
    let topics = some.into_iter().map(|topic| {
        let start = if rng.chance(500) { Start::Now } else { Start::Oldest };
        (topic, start, rng.pick(&[Lag::Skip, Lag::Latest, Lag::Leave]))
    });
    let mut client = Client::new(&site, reader, topics.collect::<Vec<_>>());
    // Milliseconds for each message, how often it stops in so many thousand, and for how long.
    let (slow, stalls) = (rng.pick(&[0, 0, 3, 40]), rng.pick(&[0, 0, 5, 100]));
    let session = rng.pick(&[300, 3_000, 30_000]);
    let plainly = rng.chance(850);
    loop {
        let node = site.some_node(&mut rng);
        let Some(node) = node else {
            sleep(rng.millis(50..500)).await;
            continue;
        };
        client.connect(&node, plainly).await;
        let ends = Instant::now() + rng.millis(1..session);
        loop {
            // When faults are over nobody goes any more.
            let until = if site.notes().is_quiet() { Instant::now() + LONG } else { ends };
            match client.next(until).await {
                Step::Heard(_) => wander(&*site, &mut client, &mut rng).await,
                Step::Time if site.notes().is_quiet() => continue,
                Step::Time | Step::Over => break,
            }
            if slow > 0 && !site.notes().is_quiet() {
                sleep(rng.millis(1..slow)).await;
            }
            if rng.chance(stalls) && !site.notes().is_quiet() {
                sleep(rng.millis(100..12_000)).await;
            }
            if Instant::now() > ends && !site.notes().is_quiet() {
                break;
            }
        }
        client.cut();
        let most = rng.pick(&[100, 100, 100, 5_000]);
        sleep(rng.millis(0..most)).await;
    }
}

/// Now and then it leaves a topic and joins it again, or joins it elsewhere without leaving it.
async fn wander<S: Site>(site: &S, client: &mut Client<S>, rng: &mut Rng) {
    if site.notes().is_quiet() || !rng.chance(15) {
        return;
    }
    let topics: Vec<_> = client.places.keys().copied().collect();
    let topic = rng.pick(&topics);
    let start = client.places[&topic].start;
    if rng.chance(500) {
        client.leave(topic);
        let most = rng.pick(&[1, 1_000, 10_000]);
        sleep(rng.millis(0..most)).await;
    }
    let elsewhere = if rng.chance(500) { Start::Oldest } else { Start::Now };
    client.join_again(topic, if rng.chance(700) { start } else { elsewhere });
}

/// Joins each topic at this node when faults are over, and reads all that is kept.
pub async fn audit<S: Site>(site: Arc<S>, node: Arc<S::Node>) {
    let topics = (0..site.plan().topics).map(|topic| (topic, Start::Oldest, Lag::Skip));
    let mut client = Client::new(&site, 200 + site.number_of(&node), topics.collect::<Vec<_>>());
    client.connect(&node, true).await;
    while !matches!(client.next(Instant::now() + LONG).await, Step::Over) {}
    client.cut();
}
