//! What breaks, and when it is whole again.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::world::{World, lock};
use crate::plan::Fault;
use crate::rng::Rng;

/// Breaks things until it is time to stop. Then everything is whole.
pub async fn harm(world: &Arc<World>) {
    let mut rng = Rng::new(world.plan.seed, "faults");
    let stop = Instant::now() + world.plan.chaos;
    while Instant::now() < stop {
        let pause = rng.millis(50..world.plan.every);
        sleep(pause.min(stop - Instant::now())).await;
        if !world.plan.faults.is_empty() && Instant::now() < stop {
            let fault = rng.pick(&world.plan.faults);
            inflict(world, fault, &mut rng);
        }
    }
    // The last one comes shortly before the end, so that what it has lost may be the last.
    if world.plan.faults.contains(&Fault::CutLink) {
        inflict(world, Fault::CutLink, &mut rng);
        sleep(rng.millis(1..100)).await;
    }
    // The same for messages that the feed only says something of.
    if world.plan.net.stale > 0 {
        world.bad_end();
        sleep(rng.millis(1..1_000)).await;
    }
    world.calm();
}

fn inflict(world: &Arc<World>, fault: Fault, rng: &mut Rng) {
    let number = rng.below(world.plan.nodes);
    let most = rng.pick(&[1_500, 1_500, 1_500, 15_000]);
    let later = rng.millis(0..most);
    let (again, seconds) = (Arc::clone(world), later.as_secs_f32());
    match fault {
        Fault::KillNode => {
            world.notes.did(format!("node {number} is killed for {seconds} s"), false);
            world.kill(number);
            tokio::spawn(async move {
                sleep(later).await;
                again.start(number);
            });
        }
        Fault::PauseNode => {
            let Some(node) = world.node(number) else { return };
            world.notes.did(format!("node {number} stops for {seconds} s"), false);
            node.life.pause(true);
            tokio::spawn(async move {
                sleep(later).await;
                node.life.pause(false);
            });
        }
        Fault::CutLink => {
            let Some(node) = world.node(number) else { return };
            world.notes.did(format!("node {number} loses its engine for {seconds} s"), false);
            node.wire.down();
            tokio::spawn(async move {
                sleep(later).await;
                node.wire.up();
            });
        }
        Fault::KillEngine => {
            let (all, most) = (rng.chance(300), rng.within(1..12));
            world.notes.did(
                format!("the engine is killed for {seconds} s, it loses {}", if all { "all" } else { "some" }),
                true,
            );
            let seed = rng.next();
            let lost = |topic: &str| if all { u64::MAX } else { Rng::new(seed, topic).within(0..most) };
            restart(world, later, lost);
        }
        Fault::Failover => {
            world.notes.did(format!("another engine takes over after {seconds} s"), true);
            restart(world, later, |_| 0);
        }
        Fault::StopRun => {
            let Some(node) = world.node(number) else { return };
            world.notes.did(format!("nobody runs the hub of node {number} for {seconds} s"), false);
            node.stop();
            tokio::spawn(async move {
                sleep(later).await;
                node.run();
            });
        }
        Fault::PauseEngine => {
            world.notes.did(format!("the engine stops for {seconds} s"), false);
            world.pause_engine(true);
            tokio::spawn(async move {
                sleep(later).await;
                again.pause_engine(false);
            });
        }
        Fault::FlushEngine => {
            world.notes.did("the engine is flushed", true);
            lock(&world.engine).flush();
            world.memory.forget();
        }
    }
}

/// The engine is gone, and comes back after a while without what was lost.
fn restart(world: &Arc<World>, later: std::time::Duration, lost: impl FnMut(&str) -> u64) {
    let nodes = world.living();
    nodes.iter().for_each(|node| node.wire.down());
    lock(&world.engine).restart(lost);
    tokio::spawn(async move {
        sleep(later).await;
        nodes.iter().for_each(|node| node.wire.up());
    });
}
