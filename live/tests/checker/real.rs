//! The same actors and the same judge, but the nodes are processes, the clients have sockets, and the engine is a Redis of
//! their own.

#[path = "../common/example.rs"]
mod example;
mod faults;
mod process;
mod site;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::actors::{Site, decide, read, speak};
use crate::history::{Event, History, What};
use crate::oracle::{Rule, Setup, Summary, Violation, judge};
use crate::plan::{Fault, Plan};
use site::Machines;

/// Runs for so long with faults, and judges when everybody has come to the end, or had time enough.
pub async fn run(seed: u64, persists: bool, chaos: Duration) -> (History, Result<Summary, Violation>) {
    let mut plan = Plan::new(seed, None);
    (plan.nodes, plan.topics, plan.lots, plan.readers, plan.publishers, plan.deciders) = (3, 4, 1, 8, 4, 3);
    (plan.chaos, plan.pace, plan.every) = (chaos, 60, 1_500);
    plan.retain.messages = 50;
    plan.faults = vec![
        Fault::KillNode,
        Fault::PauseNode,
        Fault::CutLink,
        Fault::KillEngine,
        Fault::PauseEngine,
        Fault::FlushEngine,
    ];
    let setup = Setup { retain: Some(50), ..Setup::default() };
    let site = Arc::new(Machines::new(plan, persists));
    let plan = site.plan();
    site.server.tell("PING").await;
    for node in 0..plan.nodes {
        site.start(node).await;
    }
    for reader in 0..plan.readers {
        tokio::spawn(read::read(Arc::clone(&site), reader));
    }
    for publisher in 0..plan.publishers {
        tokio::spawn(speak::publish(Arc::clone(&site), publisher));
    }
    for decider in 0..plan.deciders {
        tokio::spawn(decide::decide(Arc::clone(&site), decider, plan.topics - 1));
    }
    faults::harm(&site).await;
    for node in site.living() {
        tokio::spawn(read::audit(Arc::clone(&site), Arc::clone(&node)));
        speak::probe(&*site, &node).await;
    }
    // All feeds are cut again and again while the last messages come, so nothing later tells what is missing.
    if let Some(node) = site.node(0) {
        tokio::select! {
            () = speak::probe(&*site, &node) => {}
            () = faults::cut(&site) => {}
        }
    }
    let late = Instant::now() + CATCH_UP;
    loop {
        sleep(Duration::from_millis(500)).await;
        let mut ends = Vec::new();
        for (topic, node) in (0..plan.topics).flat_map(|topic| site.living().into_iter().map(move |node| (topic, node)))
        {
            let at = site.end(&node, topic).await;
            ends.extend(at.map(|at| Event { at: site.notes().now(), topic: Some(topic), what: What::End { at } }));
        }
        let mut history = site.notes().history();
        history.0.extend(ends);
        let judged = judge(setup, &history);
        // It may be too early.
        let soon = matches!(&judged, Err(wrong) if matches!(wrong.rule, Rule::Stuck | Rule::Lost | Rule::OldEpoch));
        if !soon || Instant::now() > late {
            return (history, judged);
        }
    }
}

/// How long everybody has, when the last fault is over.
const CATCH_UP: Duration = Duration::from_secs(60);
