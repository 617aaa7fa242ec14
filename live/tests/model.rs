//! Any order of operations on a hub, against the model in `world`.

mod common;
mod world;

use std::time::Duration;

use openline_live::{Lag, Retain};
use proptest::prelude::*;
use world::{Begin, Op, SUBSCRIBERS, TOPICS, World};

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let (topic, subscriber) = (|| 0..TOPICS, || 0..SUBSCRIBERS);
    let lag = prop_oneof![Just(Lag::Skip), Just(Lag::Latest), Just(Lag::Leave)];
    let start = prop_oneof![
        3 => Just(Begin::Now),
        2 => Just(Begin::Oldest),
        3 => (0..50u64).prop_map(Begin::Back),
        1 => prop_oneof![1..9u64, Just(u64::MAX)].prop_map(Begin::Future),
        1 => Just(Begin::Elsewhere),
    ];
    let op = prop_oneof![
        24 => (topic(), 0..30usize, prop::option::weighted(0.2, 0..9u8), any::<bool>())
            .prop_map(|(topic, len, id, expect)| Op::Publish { topic, len, id, expect }),
        2 => (topic(), 0..9u8, any::<bool>()).prop_map(|(topic, id, same)| Op::Again { topic, id, same }),
        6 => (subscriber(), topic(), start, lag)
            .prop_map(|(subscriber, topic, start, lag)| Op::Join { subscriber, topic, start, lag }),
        1 => (subscriber(), topic()).prop_map(|(subscriber, topic)| Op::Leave { subscriber, topic }),
        8 => (subscriber(), 1..60usize).prop_map(|(subscriber, count)| Op::Next { subscriber, count }),
        1 => subscriber().prop_map(|subscriber| Op::Drop { subscriber }),
        3 => prop_oneof![0..9u64, 0..400u64].prop_map(|seconds| Op::Tick { seconds }),
        1 => (topic(), prop_oneof![0..9u64, 0..400u64]).prop_map(|(topic, seconds)| Op::Release { topic, seconds }),
        1 => Just(Op::Restart),
    ];
    prop::collection::vec(op, 0..250)
}

fn retains() -> impl Strategy<Value = Retain> {
    (0..8usize, 20..120usize, 0..50usize, 0..300usize, 5..60u64, 0..20u64).prop_map(
        |(messages, bytes, slack_messages, slack_bytes, age, linger)| {
            let mut retain = Retain::default();
            (retain.messages, retain.bytes) = (messages, bytes);
            (retain.slack_messages, retain.slack_bytes) = (slack_messages, slack_bytes);
            (retain.age, retain.linger) = (Duration::from_secs(age), Duration::from_secs(linger));
            retain
        },
    )
}

proptest! {
    #[test]
    fn the_hub_does_what_the_model_does(retain in retains(), ops in ops()) {
        let mut world = World::new(retain);
        for op in ops {
            world.apply(op);
        }
        world.end();
    }
}
