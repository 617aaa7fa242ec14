//! Those who publish. A publisher that does not know whether its message has arrived says it again under its id, at
//! whatever node it finds.

use std::sync::Arc;
use std::time::Duration;

use openline_live::{Position, PublishError};
use tokio::time::{sleep, timeout};

use super::Site;
use crate::history::{Said, What, Words};
use crate::plan::Plant;
use crate::rng::Rng;

pub struct Speech {
    pub topic: usize,
    pub words: Words,
    pub id: Option<u64>,
    pub expect: Option<Position>,
}

/// Says it once. An answer that does not come in time is `Unknown`.
async fn say<S: Site>(
    site: &S,
    voice: &mut S::Voice,
    node: &Arc<S::Node>,
    speech: &Speech,
    patience: Duration,
    attempt: u64,
) -> Result<Position, PublishError> {
    let Speech { topic, words: Words { said, .. }, id, expect } = *speech;
    site.notes().saw(Some(topic), What::Says { node: site.number_of(node), said, id, expect });
    let forgets = attempt > 0 && site.plan().has(Plant::RetryWithoutId);
    let speech = Speech { words: Words { said, attempt }, id: id.filter(|_| !forgets), ..*speech };
    let answer = timeout(patience, site.publish(voice, node, &speech)).await.unwrap_or_else(|_| {
        // What comes later would be taken for the answer to something else.
        *voice = S::Voice::default();
        Err(PublishError::Unknown)
    });
    site.notes().saw(Some(topic), What::Answer { number: said.number, answer });
    answer
}

/// Says it until the answer is known, if it has an id, at this node or at others, so many times at most.
pub async fn insist<S: Site>(
    site: &S,
    rng: &mut Rng,
    voice: &mut S::Voice,
    mut node: Arc<S::Node>,
    speech: &Speech,
    tries: u64,
) -> Result<Position, PublishError> {
    let mut tried = 0;
    // Some come back at once, as a page does that is loaded again, and some wait for long.
    let hasty = rng.chance(300);
    loop {
        let patience = rng.millis(if hasty { 1..100 } else { 1_000..12_000 });
        let answer = say(site, voice, &node, speech, patience, tried).await;
        tried += 1;
        let is_known = !matches!(answer, Err(PublishError::Unknown | PublishError::Failed));
        let may_repeat = speech.id.is_some() || answer == Err(PublishError::Failed);
        if is_known || !may_repeat || tried >= tries {
            return answer;
        }
        sleep(rng.millis(if hasty { 0..10 } else { 10..800 })).await;
        if rng.chance(500)
            && let Some(other) = site.some_node(rng)
        {
            node = other;
        }
    }
}

/// Publishes until faults are over.
pub async fn publish<S: Site>(site: Arc<S>, publisher: usize) {
    let plan = site.plan();
    let mut rng = Rng::new(plan.seed, ("publisher", publisher));
    let (mut voice, mut own) = (S::Voice::default(), Vec::new());
    let plain = plan.topics - plan.lots;
    while !site.notes().is_quiet() && plain > 0 {
        // Now and then many at once.
        let burst = if rng.chance(30) { 40 } else { 1 };
        for _ in 0..burst {
            let Some(node) = site.some_node(&mut rng) else { break };
            let (topic, number) = (rng.below(plain), site.notes().number());
            let id = match own.last() {
                // Somebody else's id, or an own one for another message.
                Some((of, id)) if *of == topic && rng.chance(50) => Some(*id),
                Some(_) if rng.chance(20) => Some(number.saturating_sub(1 + rng.next() % 9)),
                _ => rng.chance(800).then_some(number),
            };
            own.extend(id.map(|id| (topic, id)));
            let expect = if rng.chance(150) { site.position(&node, topic) } else { None };
            let speech = Speech { topic, words: Words { said: Said::plain(number), attempt: 0 }, id, expect };
            let tries = rng.within(1..6);
            let _ = insist(&*site, &mut rng, &mut voice, node, &speech, tries).await;
            if site.notes().is_quiet() {
                return;
            }
        }
        sleep(rng.millis(1..plan.pace + 1)).await;
    }
}

/// Says something in each topic at this node, when faults are over. All of it must be answered.
pub async fn probe<S: Site>(site: &S, node: &Arc<S::Node>) {
    let mut rng = Rng::new(site.plan().seed, ("probe", site.number_of(node)));
    let mut voice = S::Voice::default();
    for topic in 0..site.plan().topics {
        let number = site.notes().number();
        let words = Words { said: Said::plain(number), attempt: 0 };
        let speech = Speech { topic, words, id: Some(number), expect: None };
        let _ = insist(site, &mut rng, &mut voice, Arc::clone(node), &speech, 5).await;
    }
}
