//! The figures on the first page. They are messages of a topic like any other, and nobody counts while nobody looks.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use crate::message::{Head, payload};
use crate::site::Site;

/// The topic of the figures. Only the server says something to it.
pub const TOPIC: &str = "server:figures";

/// Says them each second while somebody has joined.
pub(crate) async fn run(site: &Site) {
    let Ok(topic) = site.topic(TOPIC) else { return };
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // How many messages there had been, if that was a second ago.
    let mut before = None;
    loop {
        ticks.tick().await;
        if topic.subscribers() == 0 {
            before = None;
            continue;
        }
        let counters = site.hub().counters();
        let (connections, sockets) = site.counts();
        let figures = json!({
            "connections": connections,
            "sockets": sockets,
            "topics": counters.topics,
            "joined": counters.subscribers,
            "kept": counters.messages,
            "published": counters.published,
            // Without this one itself.
            "rate": before.map(|before| counters.published.saturating_sub(before).saturating_sub(1)),
            "memory": resident_bytes(),
        });
        before = Some(counters.published);
        // If there is no room for it, the next one may have some.
        let _unsaid = topic.publish(None, said(&figures), None).await;
    }
}

fn said(figures: &serde_json::Value) -> Bytes {
    payload(&Head { by: "server".into(), state: None }, &figures.to_string())
}

/// The memory that the process holds. `None` where the kernel has no `/proc`.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
