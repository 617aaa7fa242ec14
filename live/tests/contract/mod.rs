//! What each engine for [`Backplane`] must hold to, as functions over two nodes of one site.
//!
//! `contract::tests!(nodes)` makes a test of each. `nodes` is an async function that gives a guard, which keeps the
//! engine, and two nodes, or None where there can be no engine. Nothing here sleeps as a proof: it waits for a condition, so it runs on a virtual clock too.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses a part of it")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use openline_live::{
    Announce, Append, Away, Backplane, Epoch, Fed, Id, NodeId, Page, Position, Present, PublishError, Retain,
};
use tokio::time::{sleep, timeout};

macro_rules! tests {
    ($nodes:path $(, $flag:tt = $value:tt)*) => {
        $crate::contract::tests!(@ $nodes, ($($flag = $value),*),
            offsets_are_dense_and_all_nodes_have_one_order,
            a_feed_has_what_is_wanted_and_no_more,
            any_payload_and_any_name,
            ids_are_known,
            an_id_may_say_what_it_is_of,
            what_is_known_is_not_fed_again,
            ids_are_forgotten_after_4096_others,
            a_log_is_expected_to_stand_somewhere,
            one_of_two_that_expect_the_same_wins,
            messages_are_kept,
            bytes_are_kept,
            messages_grow_old_and_the_epoch_stays,
            pages_go_on_where_the_last_one_ended,
            an_unknown_topic_gets_the_callers_epoch,
            a_lease_is_held_until_it_ends,
            a_lease_of_no_time_ends_it,
            names_are_here_by_node,
            names_need_a_lease,
            dropping_fed_loses_nothing,
        );
    };
    (@ $nodes:path, $flags:tt, $($name:ident),* $(,)?) => {
        $($crate::contract::tests!(# $nodes, $flags, $name);)*
    };
    (# $nodes:path, ($($flag:tt = $value:tt),*), $name:ident) => {
        #[tokio::test($($flag = $value),*)]
        async fn $name() {
            let Some((_guard, one, two)) = $nodes().await else { return };
            $crate::contract::$name(&one, &two).await;
        }
    };
}
pub(crate) use tests;

pub fn epoch(number: u8) -> Epoch {
    Epoch::from_bytes([number; 16])
}

pub fn append(topic: &str, payload: &str) -> Append {
    Append::new(topic.into(), Bytes::copy_from_slice(payload.as_bytes()), Retain::default(), epoch(1))
}

pub async fn say(node: &impl Backplane, topic: &str, payload: &str) -> Position {
    node.append(append(topic, payload)).await.unwrap()
}

pub async fn page(node: &impl Backplane, topic: &str, after: Option<Position>, most: usize) -> Page {
    node.after(topic.into(), after, most, epoch(2)).await.unwrap()
}

/// Offsets and texts of a page.
pub fn said(page: &Page) -> Vec<(u64, String)> {
    let text = |payload: &Bytes| String::from_utf8_lossy(payload).into_owned();
    page.messages.iter().map(|kept| (kept.offset, text(&kept.payload))).collect()
}

pub fn offsets(page: &Page) -> Vec<u64> {
    page.messages.iter().map(|kept| kept.offset).collect()
}

pub async fn wants(node: &impl Backplane, topics: &[&str]) {
    node.interest(topics.iter().map(|topic| Arc::from(*topic)).collect(), Vec::new()).await.unwrap();
}

/// The next thing of the feed. It must come.
pub async fn fed(node: &impl Backplane) -> Fed {
    timeout(PATIENCE, node.fed()).await.expect("the feed brings nothing")
}

/// Topic, offset and text of the next thing, which must be a message.
pub async fn fed_message(node: &impl Backplane) -> (Arc<str>, u64, String) {
    match fed(node).await {
        Fed::Message { topic, at, payload } => (topic, at.offset, String::from_utf8_lossy(&payload).into_owned()),
        other => panic!("{}", name(&other)),
    }
}

pub fn name(fed: &Fed) -> &'static str {
    match fed {
        Fed::Message { .. } => "message",
        Fed::Presence(_) => "presence",
        Fed::Stale(_) => "stale",
        Fed::Cut => "cut",
        _ => "another thing",
    }
}

/// Tries again until it is so.
pub async fn until<T>(what: &str, mut so: impl AsyncFnMut() -> Option<T>) -> T {
    let whole = async {
        loop {
            if let Some(value) = so().await {
                return value;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, whole).await.unwrap_or_else(|_| panic!("never: {what}"))
}

pub const PATIENCE: Duration = Duration::from_secs(60);

pub async fn offsets_are_dense_and_all_nodes_have_one_order(one: &impl Backplane, two: &impl Backplane) {
    wants(one, &["t"]).await;
    wants(two, &["t"]).await;
    let (mut answered, more) = tokio::join!(say_many(one, "one", 100), say_many(two, "two", 100));
    answered.extend(more);
    answered.sort();
    assert_eq!(answered.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), (1..=200).collect::<Vec<_>>());
    let (first, second) = tokio::join!(collect(one, 200), collect(two, 200));
    assert!(first == answered && second == answered, "a node saw another order");
    assert_eq!(said(&page(one, "t", None, 1000).await), answered);
}

async fn say_many(node: &impl Backplane, who: &str, count: u32) -> Vec<(u64, String)> {
    let mut answered = Vec::new();
    for number in 0..count {
        let text = format!("{who}{number}");
        answered.push((say(node, "t", &text).await.offset, text));
    }
    answered
}

pub async fn collect(node: &impl Backplane, count: usize) -> Vec<(u64, String)> {
    let mut messages = Vec::new();
    while messages.len() < count {
        let (_, offset, text) = fed_message(node).await;
        messages.push((offset, text));
    }
    messages
}

pub async fn a_feed_has_what_is_wanted_and_no_more(one: &impl Backplane, two: &impl Backplane) {
    wants(one, &["a", "b", "marker"]).await;
    for topic in ["a", "c", "b"] {
        say(two, topic, topic).await;
    }
    assert_eq!(fed_message(one).await, ("a".into(), 1, "a".to_owned()));
    assert_eq!(fed_message(one).await, ("b".into(), 1, "b".to_owned()));
    // What is removed and added in one call stays.
    one.interest(vec!["c".into()], vec!["a".into(), "c".into()]).await.unwrap();
    wants(one, &["b"]).await;
    for topic in ["a", "b", "c"] {
        say(two, topic, topic).await;
    }
    for topic in ["b", "c"] {
        assert_eq!(&*fed_message(one).await.0, topic);
    }
    one.interest(vec!["a".into()], Vec::new()).await.unwrap();
    say(two, "a", "again").await;
    assert_eq!(fed_message(one).await, ("a".into(), 3, "again".to_owned()));
}

pub async fn any_payload_and_any_name(one: &impl Backplane, two: &impl Backplane) {
    let topics = ["}", "{", "{}", "}{", "a}b", "a%7Db", "%", "\r\n", "\0", "ü", " ", "*", "[a]", &"x".repeat(128)];
    wants(one, &topics).await;
    let payloads = [Vec::new(), vec![0, 255, b':', b'\r', b'\n'], vec![b'x'; 200_000]];
    for (number, payload) in payloads.iter().enumerate() {
        for topic in topics {
            let mut append = append(topic, "");
            append.payload = Bytes::copy_from_slice(payload);
            let at = two.append(append).await.unwrap();
            assert_eq!(at.offset, number as u64 + 1, "{topic:?}");
            let Fed::Message { topic: fed_topic, at: fed_at, payload: fed_payload } = fed(one).await else { panic!() };
            assert!((&*fed_topic, fed_at) == (topic, at) && fed_payload == payload, "{topic:?}");
        }
    }
    for topic in topics {
        let page = page(two, topic, None, 9).await;
        assert!(page.messages.iter().map(|kept| &kept.payload).eq(&payloads), "{topic:?}");
    }
}

/// The same id with the same or another payload.
fn with_id(topic: &str, payload: &str, id: &str) -> Append {
    let mut append = append(topic, payload);
    append.id = Some(Id::new(id));
    append
}

pub async fn ids_are_known(one: &impl Backplane, two: &impl Backplane) {
    let first = one.append(with_id("t", "a", "id")).await.unwrap();
    say(one, "t", "b").await;
    assert_eq!(two.append(with_id("t", "a", "id")).await, Ok(first));
    assert_eq!(two.append(with_id("t", "x", "id")).await, Err(PublishError::IdTaken));
    // A known id is found before the log is looked at.
    let mut again = with_id("t", "a", "id");
    again.expect = Some(Position { epoch: epoch(9), offset: 77 });
    assert_eq!(two.append(again).await, Ok(first));
    // What was refused is not known.
    let mut refused = with_id("t", "c", "other");
    refused.expect = Some(first);
    assert!(matches!(one.append(refused).await, Err(PublishError::Conflict(at)) if at.offset == 2));
    assert_eq!(one.append(with_id("t", "d", "other")).await.unwrap().offset, 3);
    // Ids outlive their messages, and belong to a topic.
    let mut retain = Retain::default();
    retain.messages = 1;
    let mut last = append("t", "e");
    last.retain = retain;
    assert_eq!(one.append(last).await.unwrap().offset, 4);
    assert_eq!(two.append(with_id("t", "a", "id")).await, Ok(first));
    assert_eq!(two.append(with_id("u", "z", "id")).await.unwrap().offset, 1);
    assert_eq!(said(&page(one, "t", None, 9).await), [(4, "e".to_owned())]);
}

/// The payload that is said with a known id is fed to nobody.
pub async fn what_is_known_is_not_fed_again(one: &impl Backplane, two: &impl Backplane) {
    wants(one, &["t"]).await;
    let of = |payload: &str| {
        let mut append = append("t", payload);
        append.id = Some(Id::new("id").of(b"hello"));
        append
    };
    let first = one.append(of("one: hello")).await.unwrap();
    assert_eq!(two.append(of("two: hello")).await, Ok(first));
    say(two, "t", "last").await;
    let fed = [fed_message(one).await, fed_message(one).await].map(|(_, offset, payload)| (offset, payload));
    assert_eq!(fed, [(1, "one: hello".to_owned()), (2, "last".to_owned())]);
}

pub async fn an_id_may_say_what_it_is_of(one: &impl Backplane, two: &impl Backplane) {
    let of = |payload: &str, content: &str| {
        let mut append = append("t", payload);
        append.id = Some(Id::new("of").of(content.as_bytes()));
        append
    };
    let first = one.append(of("socket 1: hello", "hello")).await.unwrap();
    assert_eq!(two.append(of("socket 2: hello", "hello")).await, Ok(first));
    assert_eq!(two.append(of("socket 1: hello", "good morning")).await, Err(PublishError::IdTaken));
}

pub async fn ids_are_forgotten_after_4096_others(one: &impl Backplane, _: &impl Backplane) {
    for number in 0..4096 {
        one.append(with_id("t", "a", &number.to_string())).await.unwrap();
    }
    assert_eq!(one.append(with_id("t", "a", "0")).await.unwrap().offset, 1);
    assert_eq!(one.append(with_id("t", "a", "another")).await.unwrap().offset, 4097);
    assert_eq!(one.append(with_id("t", "a", "1")).await.unwrap().offset, 2);
    assert_eq!(one.append(with_id("t", "a", "0")).await.unwrap().offset, 4098);
    assert_eq!(one.append(with_id("t", "a", "4095")).await.unwrap().offset, 4096);
}

pub async fn a_log_is_expected_to_stand_somewhere(one: &impl Backplane, two: &impl Backplane) {
    let expecting = |payload: &str, epoch, offset| {
        let mut append = append("t", payload);
        append.expect = Some(Position { epoch, offset });
        append
    };
    // The refusal has begun the topic's epoch.
    let Err(PublishError::Conflict(at)) = one.append(expecting("x", epoch(9), 0)).await else { panic!() };
    assert_eq!(at, Position { epoch: epoch(1), offset: 0 });
    assert_eq!(page(two, "t", None, 9).await.at, at);
    let first = two.append(expecting("a", at.epoch, 0)).await.unwrap();
    assert_eq!(first, Position { epoch: at.epoch, offset: 1 });
    for (epoch, offset) in [(at.epoch, 0), (at.epoch, 2), (epoch(9), 1)] {
        assert_eq!(one.append(expecting("x", epoch, offset)).await, Err(PublishError::Conflict(first)));
    }
    assert_eq!(one.append(expecting("b", at.epoch, 1)).await.unwrap().offset, 2);
    assert_eq!(said(&page(one, "t", None, 9).await), [(1, "a".to_owned()), (2, "b".to_owned())]);
}

pub async fn one_of_two_that_expect_the_same_wins(one: &impl Backplane, two: &impl Backplane) {
    let mut at = page(one, "t", None, 1).await.at;
    for round in 1..=50 {
        let bid = |who: &str| {
            let mut append = append("t", who);
            append.expect = Some(at);
            append
        };
        let (first, second) = tokio::join!(one.append(bid("one")), two.append(bid("two")));
        let (won, lost) = if first.is_ok() { (first, second) } else { (second, first) };
        at = won.unwrap();
        assert_eq!((at.offset, lost), (round, Err(PublishError::Conflict(at))));
    }
}

pub async fn messages_are_kept(one: &impl Backplane, two: &impl Backplane) {
    for (keep, topic) in [(1, "1"), (0, "0"), (3, "3"), (100, "100"), (250, "250")] {
        let mut retain = Retain::default();
        retain.messages = keep;
        for number in 1..=300_u64 {
            let mut append = append(topic, "x");
            append.retain = retain;
            one.append(append).await.unwrap();
            if number % 50 == 0 || number < 5 {
                let first = (number + 1).saturating_sub(keep.max(1) as u64).max(1);
                let page = page(two, topic, None, 1000).await;
                assert_eq!((page.at.offset, offsets(&page)), (number, (first..=number).collect()), "{keep}");
            }
        }
    }
    // The limit can change.
    let mut last = append("250", "x");
    last.retain.messages = 2;
    two.append(last).await.unwrap();
    assert_eq!(offsets(&page(one, "250", None, 1000).await), [300, 301]);
    say(two, "250", "x").await;
    assert_eq!(offsets(&page(one, "250", None, 1000).await), [300, 301, 302]);
}

pub async fn bytes_are_kept(one: &impl Backplane, two: &impl Backplane) {
    let say = async |length: usize, keep: usize| {
        let mut append = append("t", &"x".repeat(length));
        append.retain.bytes = keep;
        one.append(append).await.unwrap();
        offsets(&page(two, "t", None, 1000).await)
    };
    assert_eq!(say(40, 100).await, [1]);
    assert_eq!(say(40, 100).await, [1, 2]);
    assert_eq!(say(20, 100).await, [1, 2, 3]);
    assert_eq!(say(0, 100).await, [1, 2, 3, 4]);
    assert_eq!(say(1, 100).await, [2, 3, 4, 5]);
    assert_eq!(say(100, 100).await, [6]);
    assert_eq!(say(0, 100).await, [6, 7]);
    assert_eq!(say(60, 100).await, [7, 8]);
    assert_eq!(say(40, 100).await, [7, 8, 9]);
    assert_eq!(say(0, 0).await, [10]);
    // The total is exact after many.
    for _ in 0..200 {
        say(7, 100).await;
    }
    assert_eq!(say(2, 100).await.len(), 15);
    assert_eq!(say(3, 100).await.len(), 15);
}

pub async fn messages_grow_old_and_the_epoch_stays(one: &impl Backplane, two: &impl Backplane) {
    const AGE: Duration = Duration::from_millis(1500);
    let say = async |text: &str| {
        let mut append = append("t", text);
        append.retain.age = AGE;
        one.append(append).await.unwrap()
    };
    say("a").await;
    let mut oldest = Duration::ZERO;
    until("a message has an age", async || {
        let age = page(two, "t", None, 9).await.messages.first()?.age;
        assert!(age >= oldest && age <= AGE);
        oldest = age;
        (age > AGE / 3).then_some(())
    })
    .await;
    let second = say("b").await;
    // The first goes before the second, and none is seen that is too old.
    let mut seen = vec![1, 2];
    until("all messages are too old", async || {
        let page = page(two, "t", None, 9).await;
        assert_eq!(page.at, second);
        let now = offsets(&page);
        assert!(seen.ends_with(&now) && page.messages.iter().all(|kept| kept.age <= AGE), "{seen:?} {now:?}");
        seen = now;
        seen.is_empty().then_some(())
    })
    .await;
    let third = say("c").await;
    assert_eq!(third, Position { epoch: second.epoch, offset: 3 });
    assert_eq!(said(&page(two, "t", Some(second), 9).await), [(3, "c".to_owned())]);
    assert_eq!(said(&page(two, "t", None, 9).await), [(3, "c".to_owned())]);
}

pub async fn pages_go_on_where_the_last_one_ended(one: &impl Backplane, two: &impl Backplane) {
    for number in 1..=25 {
        say(one, "t", &number.to_string()).await;
    }
    let at = page(two, "t", None, 1).await.at;
    assert_eq!(at, Position { epoch: epoch(1), offset: 25 });
    let mut from = None;
    for expected in [1..=10, 11..=20, 21..=25] {
        let page = page(two, "t", from, 10).await;
        assert_eq!((page.at, offsets(&page)), (at, expected.collect()));
        from = page.messages.last().map(|kept| Position { epoch: at.epoch, offset: kept.offset });
    }
    assert_eq!(offsets(&page(two, "t", from, 10).await), [] as [u64; 0]);
    for unknown in [Position { epoch: epoch(9), offset: 20 }, Position { epoch: at.epoch, offset: 26 }] {
        assert_eq!(offsets(&page(two, "t", Some(unknown), 2).await), [1, 2]);
    }
    assert_eq!(offsets(&page(two, "t", None, 0).await), [1], "one, if there is one");
    let mut last = append("t", "26");
    last.retain.messages = 3;
    one.append(last).await.unwrap();
    let gone = Position { epoch: at.epoch, offset: 5 };
    assert_eq!(offsets(&page(two, "t", Some(gone), 10).await), [24, 25, 26]);
}

pub async fn an_unknown_topic_gets_the_callers_epoch(one: &impl Backplane, two: &impl Backplane) {
    let page = one.after("t".into(), None, 9, epoch(5)).await.unwrap();
    assert!(page == Page { at: Position { epoch: epoch(5), offset: 0 }, messages: Vec::new() });
    assert_eq!(two.after("t".into(), None, 9, epoch(6)).await.unwrap().at.epoch, epoch(5));
    assert_eq!(say(two, "t", "a").await, Position { epoch: epoch(5), offset: 1 });
    assert_eq!(say(two, "u", "a").await, Position { epoch: epoch(1), offset: 1 });
    assert_eq!(one.after("u".into(), None, 9, epoch(6)).await.unwrap().at.epoch, epoch(1));
}

pub fn node(number: u8) -> NodeId {
    NodeId([number; 16])
}

const LONG: Duration = Duration::from_secs(600);

pub async fn a_lease_is_held_until_it_ends(one: &impl Backplane, two: &impl Backplane) {
    let lease = one.lease(node(1), LONG).await.unwrap();
    assert_eq!((lease.held, lease.alive), (false, vec![node(1)]));
    let brief = Duration::from_millis(500);
    let mut lease = two.lease(node(2), brief).await.unwrap();
    lease.alive.sort();
    assert_eq!((lease.held, lease.alive), (false, vec![node(1), node(2)]));
    let mut lease = one.lease(node(1), LONG).await.unwrap();
    lease.alive.sort();
    assert!(lease.held && lease.alive.starts_with(&[node(1)]));
    until("the second lease has ended", async || {
        let lease = one.lease(node(1), LONG).await.unwrap();
        assert!(lease.held);
        (lease.alive == [node(1)]).then_some(())
    })
    .await;
    assert!(!two.lease(node(2), LONG).await.unwrap().held);
    assert!(two.lease(node(2), LONG).await.unwrap().held);
}

pub fn announce(topic: &str, number: u8, joined: &[&str], gone: &[&str]) -> Announce {
    let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
    Announce { topic: topic.into(), node: node(number), joined: names(joined), gone: names(gone) }
}

/// Nodes by number, with their names in order.
pub async fn here(engine: &impl Backplane, topic: &str) -> Vec<(NodeId, Vec<String>)> {
    let sorted = |present: Present| {
        let mut names: Vec<String> = present.names.iter().map(|name| name.to_string()).collect();
        names.sort();
        (present.node, names)
    };
    let mut here: Vec<_> = engine.here(topic.into()).await.unwrap().into_iter().map(sorted).collect();
    here.retain(|(_, names)| !names.is_empty());
    here.sort();
    here
}

pub async fn names_are_here_by_node(one: &impl Backplane, two: &impl Backplane) {
    one.lease(node(1), LONG).await.unwrap();
    two.lease(node(2), LONG).await.unwrap();
    assert_eq!(here(one, "t").await, []);
    wants(one, &["t"]).await;
    let (ann, ben, odd) = ("ann".to_owned(), "ben".to_owned(), "\0ü:".to_owned());
    for news in [announce("t", 1, &["ann", "ben", &odd], &[]), announce("t", 1, &["ann"], &["nobody"])] {
        one.announce(news.clone()).await.unwrap();
        assert!(fed(one).await == Fed::Presence(news));
    }
    assert_eq!(here(two, "t").await, [(node(1), vec![odd.clone(), ann.clone(), ben.clone()])]);
    // The same name at another node is another one's.
    two.announce(announce("t", 2, &["ann"], &["ben"])).await.unwrap();
    two.announce(announce("u", 2, &["ann"], &[])).await.unwrap();
    one.announce(announce("t", 1, &[], &["ann", &odd])).await.unwrap();
    assert!(fed(one).await == Fed::Presence(announce("t", 2, &["ann"], &["ben"])));
    assert!(fed(one).await == Fed::Presence(announce("t", 1, &[], &["ann", &odd])));
    assert_eq!(here(one, "t").await, [(node(1), vec![ben]), (node(2), vec![ann.clone()])]);
    assert_eq!(here(one, "u").await, [(node(2), vec![ann])]);
    two.announce(announce("u", 2, &[], &["ann"])).await.unwrap();
    assert_eq!(here(one, "u").await, []);
}

pub async fn a_lease_of_no_time_ends_it(one: &impl Backplane, two: &impl Backplane) {
    one.lease(node(1), LONG).await.unwrap();
    two.lease(node(2), LONG).await.unwrap();
    one.announce(announce("t", 1, &["ann"], &[])).await.unwrap();
    let ended = one.lease(node(1), Duration::ZERO).await.unwrap();
    assert_eq!((ended.held, ended.alive), (true, vec![node(2)]));
    assert_eq!(two.lease(node(2), LONG).await.unwrap().alive, [node(2)]);
    assert_eq!(here(two, "t").await, []);
    // To end what has ended changes nothing.
    assert_eq!(one.lease(node(1), Duration::ZERO).await.unwrap().alive, [node(2)]);
    assert!(!one.lease(node(1), LONG).await.unwrap().held);
    assert_eq!(here(two, "t").await, []);
    one.announce(announce("t", 1, &["ann"], &[])).await.unwrap();
    assert_eq!(here(two, "t").await, [(node(1), vec!["ann".to_owned()])]);
}

pub async fn names_need_a_lease(one: &impl Backplane, two: &impl Backplane) {
    wants(two, &["t"]).await;
    two.lease(node(2), LONG).await.unwrap();
    let ann = || announce("t", 1, &["ann"], &[]);
    assert_eq!(one.announce(ann()).await, Err(Away));
    assert!(!one.lease(node(1), Duration::from_millis(500)).await.unwrap().held);
    assert_eq!(here(two, "t").await, []);
    until("its lease has ended", async || {
        let alive = two.lease(node(2), LONG).await.unwrap().alive;
        (alive == [node(2)]).then_some(())
    })
    .await;
    assert_eq!(one.announce(ann()).await, Err(Away));
    one.lease(node(1), LONG).await.unwrap();
    assert_eq!(here(two, "t").await, []);
    let last = announce("t", 1, &["ben"], &[]);
    one.announce(last.clone()).await.unwrap();
    assert!(fed(two).await == Fed::Presence(last), "what was refused is not fed");
    assert_eq!(here(two, "t").await, [(node(1), vec!["ben".to_owned()])]);
}

pub async fn dropping_fed_loses_nothing(one: &impl Backplane, two: &impl Backplane) {
    wants(one, &["t"]).await;
    let speak = async {
        for number in 1..=300 {
            assert_eq!(say(two, "t", "x").await.offset, number);
        }
    };
    let listen = async {
        for number in 1..=300 {
            // Each future is polled once, and dropped if it has nothing.
            let at = until("a message comes", async || {
                tokio::task::yield_now().await;
                match pin!(one.fed()).poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(Fed::Message { at, .. }) => Some(at),
                    Poll::Ready(other) => panic!("{}", name(&other)),
                    Poll::Pending => None,
                }
            })
            .await;
            assert_eq!(at.offset, number);
        }
    };
    tokio::join!(speak, listen);
}
