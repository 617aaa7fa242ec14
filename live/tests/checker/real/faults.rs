//! What is done to real processes.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::site::Machines;
use crate::actors::Site;
use crate::plan::Fault;
use crate::rng::Rng;

/// Breaks things until it is time to stop, one after the other. Then everything is whole.
pub async fn harm(site: &Arc<Machines>) {
    let plan = site.plan();
    let mut rng = Rng::new(plan.seed, "faults");
    let stop = Instant::now() + plan.chaos;
    while Instant::now() < stop {
        sleep(rng.millis(50..plan.every)).await;
        let fault = rng.pick(&plan.faults);
        inflict(site, fault, &mut rng).await;
    }
    site.notes().quiet();
}

/// Cuts all feeds again and again.
pub async fn cut(site: &Machines) {
    site.notes().did("all feeds are cut again and again", false);
    loop {
        site.server.tell("CLIENT KILL TYPE pubsub").await;
    }
}

async fn inflict(site: &Arc<Machines>, fault: Fault, rng: &mut Rng) {
    let number = rng.below(site.plan().nodes);
    let most = rng.pick(&[300, 1_500, 1_500, 7_000]);
    let later = rng.millis(1..most);
    let (notes, seconds) = (site.notes(), later.as_secs_f32());
    match fault {
        Fault::KillNode => {
            notes.did(format!("node {number} is killed for {seconds} s"), false);
            site.kill(number);
            sleep(later).await;
            site.start(number).await;
        }
        Fault::PauseNode => {
            let Some(node) = site.node(number) else { return };
            notes.did(format!("node {number} stops for {seconds} s"), false);
            node.process.signal("STOP");
            sleep(later).await;
            node.process.signal("CONT");
        }
        Fault::CutLink => {
            notes.did("all feeds are cut", false);
            site.server.tell("CLIENT KILL TYPE pubsub").await;
        }
        Fault::KillEngine => {
            let bytes = rng.pick(&[0, 0, 300, 3_000]);
            notes.did(format!("the engine is killed for {seconds} s, and loses {bytes} bytes of its file"), true);
            site.server.kill();
            site.server.lose(bytes);
            sleep(later).await;
            site.server.start();
            site.server.tell("PING").await;
        }
        Fault::PauseEngine => {
            notes.did(format!("the engine stops for {seconds} s"), false);
            site.server.signal("STOP");
            sleep(later).await;
            site.server.signal("CONT");
        }
        Fault::FlushEngine => {
            notes.did("the engine is flushed", true);
            site.server.tell("FLUSHALL").await;
        }
        Fault::Failover | Fault::StopRun => {}
    }
}
