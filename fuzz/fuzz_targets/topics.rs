//! Any order of operations on a hub, with any limits: what `live/tests/world` says holds, as it does for the operations that
//! `live/tests/model.rs` draws.
#![no_main]

use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use openline_live::{Lag, Retain};
use world::{Begin, Op, SUBSCRIBERS, TOPICS, World};

#[path = "../../live/tests/common/mod.rs"]
mod common;
#[path = "../../live/tests/world/mod.rs"]
mod world;

#[derive(Debug)]
struct Life {
    retain: Retain,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Life {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Life> {
        let mut retain = Retain::default();
        retain.messages = u.int_in_range(0..=7)?;
        retain.bytes = u.int_in_range(20..=119)?;
        retain.slack_messages = u.int_in_range(0..=49)?;
        retain.slack_bytes = u.int_in_range(0..=299)?;
        retain.age = Duration::from_secs(u.int_in_range(5..=59)?);
        retain.linger = Duration::from_secs(u.int_in_range(0..=19)?);
        let mut ops = Vec::new();
        // The model searches for everything, so a long life takes long.
        while !u.is_empty() && ops.len() < 400 {
            ops.push(op(u)?);
        }
        Ok(Life { retain, ops })
    }
}

fn op(u: &mut Unstructured<'_>) -> Result<Op> {
    let topic = u.int_in_range(0..=TOPICS - 1)?;
    let subscriber = u.int_in_range(0..=SUBSCRIBERS - 1)?;
    Ok(match u.int_in_range(0..=31)? {
        0..=11 => {
            let id = if u.ratio(1, 5)? { Some(u.int_in_range(0..=8)?) } else { None };
            Op::Publish { topic, len: u.int_in_range(0..=29)?, id, expect: u.arbitrary()? }
        }
        12..=13 => Op::Again { topic, id: u.int_in_range(0..=8)?, same: u.arbitrary()? },
        14..=18 => {
            Op::Join { subscriber, topic, start: begin(u)?, lag: *u.choose(&[Lag::Skip, Lag::Latest, Lag::Leave])? }
        }
        19 => Op::Leave { subscriber, topic },
        20..=26 => Op::Next { subscriber, count: u.int_in_range(1..=59)? },
        27 => Op::Drop { subscriber },
        28..=29 => Op::Tick { seconds: seconds(u)? },
        30 => Op::Release { topic, seconds: seconds(u)? },
        _ => Op::Restart,
    })
}

fn begin(u: &mut Unstructured<'_>) -> Result<Begin> {
    Ok(match u.int_in_range(0..=9)? {
        0..=2 => Begin::Now,
        3..=4 => Begin::Oldest,
        5..=7 => Begin::Back(u.int_in_range(0..=49)?),
        8 => Begin::Future(if u.arbitrary()? { u.int_in_range(1..=8)? } else { u64::MAX }),
        _ => Begin::Elsewhere,
    })
}

fn seconds(u: &mut Unstructured<'_>) -> Result<u64> {
    if u.arbitrary()? { u.int_in_range(0..=8) } else { u.int_in_range(0..=399) }
}

fuzz_target!(|life: Life| {
    let mut world = World::new(life.retain);
    for op in life.ops {
        world.apply(op);
    }
    world.end();
});
