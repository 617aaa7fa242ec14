//! What the engine in memory counts is what there is, and never more than its limit: with messages that are known already and
//! that have no room, with topics that are too many, and with time that passes.

use super::*;
use crate::id::Id;
use crate::limits::Retain;

#[tokio::test(start_paused = true)]
async fn what_is_counted_is_what_there_is() {
    let (mut fed, mut known, mut full, mut failed) = (0, 0, 0, 0);
    for seed in 1..=8 {
        let mut random = seed;
        let mut random = move |below: usize| {
            random = u64::wrapping_mul(random, 6364136223846793005).wrapping_add(1442695040888963407);
            (random >> 33) as usize % below
        };
        let mut limits = Limits::default();
        (limits.bytes, limits.topics) = (random(12_000), 3);
        let mut store = Store::new(limits);
        let names: Vec<Arc<str>> = (0..5).map(|number| number.to_string().into()).collect();
        for _ in 0..3000 {
            let topic = Arc::clone(&names[random(5)]);
            let fresh = Epoch::from_bytes([random(9) as u8; 16]);
            let mut retain = Retain::default();
            (retain.messages, retain.bytes) = (random(20), 100 + random(100));
            retain.age = Duration::from_secs(random(100) as u64);
            match random(100) {
                0..75 => {
                    let id = (random(3) == 0).then(|| random(60));
                    // Under one id nearly always the same message.
                    let len = id.filter(|_| random(5) > 0).unwrap_or_else(|| random(100));
                    let (id, payload) = (id.map(|id| Id::new(&id.to_string())), Bytes::from(vec![0; len]));
                    let head = store.topics.get(&topic).map_or(0, |log| log.head);
                    match store.append(Append { id, ..Append::new(topic, payload, retain, fresh) }) {
                        Ok((at, _)) if at.offset > head => fed += 1,
                        Ok(_) => known += 1,
                        Err(PublishError::Full) => full += 1,
                        Err(PublishError::Failed) => failed += 1,
                        Err(PublishError::IdTaken) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
                75..98 => _ = store.page(&topic, None, random(9), fresh),
                _ => tokio::time::advance(Duration::from_secs(random(1000) as u64)).await,
            }
            let sum: usize = store.topics.values().map(Log::weight).sum();
            assert_eq!(store.bytes, sum, "seed {seed}");
            assert!(sum <= limits.bytes, "seed {seed}: {sum} of {}", limits.bytes);
        }
    }
    assert!(fed > 1000 && known > 50 && full > 100 && failed > 100, "{fed} {known} {full} {failed}");
}
