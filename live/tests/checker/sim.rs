//! A whole site in one thread, with virtual time and one seed that decides everything: several hubs behind a simulated
//! engine, those who publish, decide and read, and all that can break.

mod engine;
mod faults;
mod link;
mod node;
mod site;
mod socket;
mod world;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::actors::words::name;
use crate::actors::{decide, read, speak};
use crate::history::{History, What};
use crate::oracle::Setup;
use crate::plan::Plan;
use world::World;

/// Runs what this plan says. The same plan gives the same history.
pub fn run(plan: Plan) -> (Setup, History) {
    let retain = (!plan.short).then_some(plan.retain.messages.max(1) as u64);
    let setup = Setup { retain, ..Setup::default() };
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    (setup, runtime.block_on(live(plan)))
}

async fn live(plan: Plan) -> History {
    let world = World::new(plan);
    let plan = &world.plan;
    for reader in 0..plan.readers {
        tokio::spawn(read::read(Arc::clone(&world), reader));
    }
    for publisher in 0..plan.publishers {
        tokio::spawn(speak::publish(Arc::clone(&world), publisher));
    }
    for decider in 0..plan.deciders {
        tokio::spawn(decide::decide(Arc::clone(&world), decider, plan.topics - 1));
    }
    faults::harm(&world).await;
    for node in world.living() {
        tokio::spawn(read::audit(Arc::clone(&world), node));
    }
    for node in world.living().iter().filter(|_| plan.probes) {
        speak::probe(&*world, node).await;
    }
    sleep(CATCH_UP).await;
    for topic in 0..plan.topics {
        let end = world.end(&name(topic)).await;
        if let Some(at) = end {
            world.notes.saw(Some(topic), What::End { at });
        }
    }
    world.notes.history()
}

/// When the last fault is over, everybody has what there is after so long: the longest that a call can take, and a second
/// attempt.
const CATCH_UP: Duration = Duration::from_secs(30);
