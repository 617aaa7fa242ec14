//! Those who decide: on a copy of the log that may be old, so what they decide is appended only if the log still stands
//! where they have read to. All of them sell the same lot.

use std::sync::Arc;

use openline_live::{Lag, Position, Start};
use tokio::time::{Instant, sleep};

use super::Site;
use super::client::{Client, LONG, Step};
use super::speak::{Speech, insist};
use super::words::Heard;
use crate::history::{Deal, Said, Words};
use crate::plan::Plant;
use crate::rng::Rng;

/// Where the log stands that was read, and what the last decision in it says. Nothing, if that is not known.
#[derive(Default)]
struct Lot(Option<(Position, Deal)>);

impl Lot {
    fn hear(&mut self, heard: &Heard, start: Start) {
        match *heard {
            Heard::Joined { at, .. } if at.offset == 0 => self.0 = Some((at, Deal::None)),
            // Nothing is gone since what it knows; or what it knows is of no use, and the next message tells all.
            Heard::Joined { at, whole, .. } => match self.0 {
                Some((known, _)) if whole && known.epoch == at.epoch && start == Start::After(known) => {}
                _ => self.0 = None,
            },
            Heard::Message { at, words, .. } => self.0 = Some((at, words.said.deal)),
            Heard::Missed { .. } | Heard::Left { .. } => self.0 = None,
        }
    }
}

pub async fn decide<S: Site>(site: Arc<S>, decider: usize, topic: usize) {
    let plan = site.plan();
    let mut rng = Rng::new(plan.seed, ("decider", decider, topic));
    let mut client = Client::new(&site, 100 + decider, [(topic, Start::Oldest, Lag::Skip)]);
    let (mut lot, mut voice) = (Lot::default(), S::Voice::default());
    loop {
        let node = site.some_node(&mut rng);
        let Some(node) = node else {
            sleep(rng.millis(50..500)).await;
            continue;
        };
        client.connect(&node, true).await;
        let ends = Instant::now() + rng.millis(500..20_000);
        loop {
            let think = if site.notes().is_quiet() { LONG } else { rng.millis(1..plan.pace + 2) };
            let start = client.places[&topic].start;
            match client.next(Instant::now() + think).await {
                Step::Heard(heard) => {
                    lot.hear(&heard, start);
                    // It mostly reads all there is, and sometimes decides too early.
                    if !rng.chance(50) {
                        continue;
                    }
                }
                Step::Time => {}
                Step::Over => break,
            }
            if site.notes().is_quiet() {
                continue;
            }
            if Instant::now() > ends {
                break;
            }
            let Lot(Some((at, deal))) = lot else { continue };
            let deal = match deal {
                Deal::Sold(_) => continue,
                Deal::None => Deal::Bid(1 + rng.next() % 5),
                Deal::Bid(price) if rng.chance(60) => Deal::Sold(price),
                Deal::Bid(price) => Deal::Bid(price + 1 + rng.next() % 5),
            };
            let number = site.notes().number();
            let id = rng.chance(700).then_some(number);
            let expect = (!plan.has(Plant::DecidesBlindly)).then_some(at);
            let words = Words { said: Said { number, deal }, attempt: 0 };
            let speech = Speech { topic, words, id, expect };
            let tries = rng.within(1..4);
            let _ = insist(&*site, &mut rng, &mut voice, Arc::clone(&node), &speech, tries).await;
        }
        client.cut();
        sleep(rng.millis(1..1_000)).await;
    }
}
