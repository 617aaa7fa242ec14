//! The engine in memory keeps to the contract of a `Backplane`.
#![cfg(feature = "tokio")]

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use openline_live::{
    Announce, Append, Away, Backplane, Epoch, Fed, Id, Kept, Limits, Memory, MemoryNode, NodeId, Page, Position,
    Present, PublishError, Retain,
};
use tokio::time::sleep;

fn epoch(number: u8) -> Epoch {
    Epoch::from_bytes([number; 16])
}

fn retain(messages: usize) -> Retain {
    let mut retain = Retain::default();
    retain.messages = messages;
    retain
}

fn name(name: &str) -> Arc<str> {
    name.into()
}

fn message(topic: &str, text: &str) -> Append {
    Append::new(name(topic), Bytes::copy_from_slice(text.as_bytes()), retain(3), epoch(1))
}

async fn append(node: &MemoryNode, topic: &str, text: &str) -> Result<u64, PublishError> {
    node.append(message(topic, text)).await.map(|at| at.offset)
}

async fn append_as(node: &MemoryNode, id: &str, text: &str) -> Result<u64, PublishError> {
    let mut append = message("t", text);
    append.id = Some(Id::new(id));
    node.append(append).await.map(|at| at.offset)
}

async fn page(node: &MemoryNode, after: Option<Position>, most: usize) -> (u64, Vec<u64>) {
    let Page { at, messages } = node.after(name("t"), after, most, epoch(2)).await.unwrap();
    (at.offset, messages.iter().map(|kept| kept.offset).collect())
}

/// What the feed has now.
fn fed(node: &MemoryNode) -> Vec<String> {
    let next = || match pin!(node.fed()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Fed::Message { topic, at, .. }) => Some(format!("{topic} {}", at.offset)),
        Poll::Ready(Fed::Presence(announce)) => Some(format!("{} +{:?}", announce.topic, announce.joined)),
        Poll::Ready(Fed::Cut) => Some("cut".to_owned()),
        Poll::Ready(_) => unreachable!(),
        Poll::Pending => None,
    };
    std::iter::from_fn(next).collect()
}

#[tokio::test(start_paused = true)]
async fn pages_begin_after_the_position_or_with_the_oldest() {
    let node = Memory::new().node();
    assert_eq!(page(&node, None, 9).await, (0, vec![]));
    let first = node.append(message("t", "1")).await.unwrap();
    assert_eq!(first, Position { epoch: epoch(2), offset: 1 }, "the epoch began when the topic was read");
    for offset in 2..=5 {
        assert_eq!(append(&node, "t", "x").await, Ok(offset));
    }
    let after = |offset| Some(Position { offset, ..first });
    assert_eq!(page(&node, None, 9).await, (5, vec![3, 4, 5]));
    for (offset, offsets) in [(1, vec![3, 4, 5]), (2, vec![3, 4, 5]), (4, vec![5]), (5, vec![]), (6, vec![3, 4, 5])] {
        assert_eq!(page(&node, after(offset), 9).await, (5, offsets));
    }
    assert_eq!(page(&node, after(3), 1).await, (5, vec![4]));
    assert_eq!(page(&node, Some(Position { epoch: epoch(9), offset: 4 }), 2).await, (5, vec![3, 4]));
    sleep(Duration::from_secs(300)).await;
    append(&node, "t", "y").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let Page { at, messages } = node.after(name("t"), None, 9, epoch(3)).await.unwrap();
    assert_eq!(at, Position { epoch: epoch(2), offset: 6 });
    assert!(
        messages == [Kept { offset: 6, age: Duration::from_secs(1), payload: "y".into() }],
        "the others are too old"
    );
}

#[tokio::test(start_paused = true)]
async fn ids_are_known_on_all_nodes_and_decisions_hold() {
    let memory = Memory::new();
    let (one, two) = (memory.node(), memory.node());
    assert_eq!(append_as(&one, "a", "x").await, Ok(1));
    assert_eq!(append_as(&two, "a", "x").await, Ok(1));
    assert_eq!(append_as(&two, "a", "y").await, Err(PublishError::IdTaken));
    let at = |offset| Position { epoch: epoch(1), offset };
    let mut decided = message("t", "z");
    decided.expect = Some(at(0));
    assert_eq!(two.append(decided.clone()).await, Err(PublishError::Conflict(at(1))));
    decided.id = Some(Id::new("a"));
    decided.payload = "x".into();
    assert_eq!(two.append(decided.clone()).await, Ok(at(1)), "a known id comes before what is expected");
    sleep(Duration::from_secs(300)).await;
    assert_eq!(append_as(&one, "a", "x").await, Ok(1));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(append_as(&one, "a", "y").await, Ok(2), "five minutes are over");
    for number in 0..4096 {
        append_as(&one, &number.to_string(), "x").await.unwrap();
    }
    assert_eq!(append_as(&one, "a", "z").await, Ok(4099), "4,096 other ids have come");
}

#[tokio::test(start_paused = true)]
async fn a_node_is_fed_the_topics_of_its_interest() {
    let memory = Memory::new();
    let (one, two) = (memory.node(), memory.node());
    append(&one, "t", "x").await.unwrap();
    one.interest(vec![name("t"), name("u")], vec![]).await.unwrap();
    two.interest(vec![name("u")], vec![name("none")]).await.unwrap();
    append(&one, "t", "x").await.unwrap();
    append(&two, "u", "x").await.unwrap();
    assert_eq!((fed(&one), fed(&two)), (vec!["t 2".into(), "u 1".into()], vec!["u 1".to_owned()]));
    one.interest(vec![], vec![name("t")]).await.unwrap();
    append(&two, "t", "x").await.unwrap();
    assert_eq!(fed(&one).len(), 0);
    // Whoever waits is woken, and a wait that is given up takes nothing with it.
    let waiting = tokio::spawn(async move { (two.fed().await, two) });
    tokio::task::yield_now().await;
    append(&one, "u", "y").await.unwrap();
    let (Fed::Message { at, payload, .. }, two) = waiting.await.unwrap() else { panic!() };
    assert_eq!((at.offset, &payload[..]), (2, &b"y"[..]));
    assert_eq!(fed(&two).len(), 0);
    for _ in 0..4096 {
        append(&one, "u", "x").await.unwrap();
    }
    fed(&one);
    append(&one, "u", "x").await.unwrap();
    append(&one, "u", "x").await.unwrap();
    assert_eq!(fed(&two), ["cut", "u 4100"], "what a node does not take is bounded");
    assert_eq!(fed(&one), ["u 4099", "u 4100"]);
    let mut retain = retain(3);
    retain.bytes = 32 << 20;
    for _ in 0..3 {
        let long = Append::new(name("u"), vec![0; 6 << 20].into(), retain, epoch(1));
        two.append(long).await.unwrap();
    }
    assert_eq!(fed(&two), ["cut"], "its bytes are, too");
    memory.forget();
    assert_eq!((fed(&two), page(&two, None, 9).await), (vec!["cut".to_owned()], (0, vec![])));
}

#[tokio::test(start_paused = true)]
async fn the_engine_is_bounded_and_forgets() {
    let mut limits = Limits::default();
    (limits.topics, limits.bytes) = (2, 1000);
    let node = Memory::with_limits(limits).node();
    append(&node, "t", &"x".repeat(600)).await.unwrap();
    append(&node, "t", &"x".repeat(600)).await.unwrap();
    assert_eq!(page(&node, None, 9).await, (2, vec![2]), "the older one has made room");
    assert_eq!(append(&node, "u", &"x".repeat(600)).await, Err(PublishError::Full));
    assert_eq!(append(&node, "v", "").await, Err(PublishError::Failed));
    assert_eq!(node.after(name("v"), None, 9, epoch(1)).await.err(), Some(Away));
    // Messages go after 5 minutes, and the topic stays for an hour more, with its epoch and its offsets.
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(page(&node, None, 9).await, (2, vec![]));
    assert_eq!(append(&node, "v", "").await, Err(PublishError::Failed));
    sleep(Duration::from_secs(3601)).await;
    assert_eq!(append(&node, "v", "").await, Ok(1));
    assert_eq!(append(&node, "t", "").await, Ok(1), "it has begun anew");
}

#[tokio::test(start_paused = true)]
async fn who_is_here_goes_with_the_lease_of_its_node() {
    let memory = Memory::new();
    let (one, two) = (memory.node(), memory.node());
    let (a, b) = (NodeId([1; 16]), NodeId([2; 16]));
    let time = Duration::from_secs(10);
    let lease = async |node: &MemoryNode, id| {
        let lease = node.lease(id, time).await.unwrap();
        (lease.held, lease.alive)
    };
    assert_eq!(lease(&one, a).await, (false, vec![a]));
    assert_eq!(lease(&two, b).await, (false, vec![a, b]));
    one.interest(vec![name("t")], vec![]).await.unwrap();
    let announce = |node, joined: &[&str], gone: &[&str]| {
        let names = |names: &[&str]| names.iter().map(|text| name(text)).collect();
        Announce { topic: name("t"), node, joined: names(joined), gone: names(gone) }
    };
    one.announce(announce(a, &["Ann", "Bob"], &[])).await.unwrap();
    two.announce(announce(b, &["Ann"], &["Eve"])).await.unwrap();
    one.announce(announce(a, &["Ann"], &["Bob"])).await.unwrap();
    assert_eq!(fed(&one).len(), 3);
    let present = |node, names: &[&str]| Present { node, names: names.iter().map(|text| name(text)).collect() };
    assert!(two.here(name("t")).await.unwrap() == [present(a, &["Ann"]), present(b, &["Ann"])]);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(lease(&one, a).await, (true, vec![a, b]));
    sleep(Duration::from_secs(6)).await;
    assert!(one.here(name("t")).await.unwrap() == [present(a, &["Ann"])]);
    assert_eq!(lease(&two, b).await, (false, vec![a, b]));
    assert!(one.here(name("t")).await.unwrap() == [present(a, &["Ann"])], "it announces all again by itself");
    one.announce(announce(a, &[], &["Ann"])).await.unwrap();
    assert!(one.here(name("t")).await.unwrap().is_empty());
}

mod contract;

/// What every engine must do, `Redis` too.
mod holds_to_the_contract {
    use super::*;

    async fn nodes() -> Option<(Memory, MemoryNode, MemoryNode)> {
        let memory = Memory::new();
        let (one, two) = (memory.node(), memory.node());
        Some((memory, one, two))
    }

    contract::tests!(nodes, start_paused = true);
}
