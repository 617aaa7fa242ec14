//! Leases and names at a real Redis that stands still, whose clock goes back, and of which operators ask things; and URLs
//! whose password is written badly.
#![cfg(feature = "redis")]
#![allow(dead_code, unused_imports, unused_macros, reason = "other tests use the rest of the contract")]

#[path = "redis/server.rs"]
mod server;

mod contract;

use std::time::Duration;

use contract::{announce, here, node, until};
use openline_live::{Backplane, EpochSeed, Hub, Redis, RedisOptions, Retain, Subscriber};
use server::Server;

/// A lease that was asked for while the server stood still begins when it goes on, and nobody hears that. The next one is
/// held, but what the node had announced is void.
#[tokio::test]
#[ignore = "takes a minute; `leave` has the same in virtual time"]
async fn names_are_there_again_after_a_server_stood_still_for_longer_than_a_lease() {
    let Some(server) = Server::start(&[]).await else { return };
    let hub = |node, seed: u8| Hub::with(node, Retain::default(), EpochSeed::from([seed; 16]), |_, at, _| at.offset);
    let hubs = [hub(server.node().await, 1), hub(server.node().await, 2)];
    for hub in &hubs {
        let hub = hub.clone();
        tokio::spawn(async move { hub.run().await });
    }
    let topics = hubs.each_ref().map(|hub| hub.topic("t").unwrap());
    let _guards = [("ann", 0), ("bob", 1)].map(|(name, at)| topics[at].enter(name).unwrap());
    let mut watchers = [Subscriber::new(), Subscriber::new()];
    watchers.iter_mut().zip(&topics).for_each(|(watcher, topic)| watcher.watch(topic));
    until("both see both", async || topics.iter().all(|topic| topic.present() == 2).then_some(())).await;
    server.stop();
    tokio::time::sleep(Duration::from_secs(18)).await;
    server.go_on();
    // A lease, the distrust after it, and some more leases.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let third = server.node().await;
    let engine = here(&third, "t").await.len();
    let seen = topics.each_ref().map(|topic| topic.present());
    assert_eq!((engine, seen), (2, [2, 2]), "nodes with names in the engine, and who is here as each node sees it");
}

/// As if the server's clock had gone back by an hour: all leases end an hour later than they should.
#[tokio::test]
async fn a_dead_node_is_gone_soon_although_the_clock_has_gone_back() {
    let Some(server) = Server::start(&[]).await else { return };
    let (one, two) = (server.node().await, server.node().await);
    let second = Duration::from_secs(1);
    one.lease(node(1), second).await.unwrap();
    one.announce(announce("t", 1, &["ann"], &[])).await.unwrap();
    server.ask::<u64>(&[
        "EVAL",
        "for i, v in ipairs(redis.call('HGETALL', KEYS[1])) do if i % 2 == 0 then \
         local ends, rest = string.match(v, '^(%d+)( .*)$') \
         redis.call('HSET', KEYS[1], redis.call('HGETALL', KEYS[1])[i-1], string.format('%.0f', tonumber(ends) + 3600000) .. rest) \
         end end return redis.call('PEXPIRE', KEYS[1], 3700000)",
        "1",
        "openline:leases",
    ]);
    drop(one);
    for _ in 0..4 {
        tokio::time::sleep(second).await;
        two.lease(node(2), second).await.unwrap();
    }
    let names = here(&two, "t").await;
    assert!(names.is_empty(), "3 s after the end of its lease of 1 s: {names:?}");
}

/// "without a password": the `#`, `?` or `/` in it is not escaped, which many do.
#[tokio::test]
async fn no_error_shows_a_part_of_a_password() {
    let mut shown = vec![];
    for url in [
        "redis://alice:8642#secret@redis.invalid:6379/0",
        "redis://alice:8642?secret@redis.invalid:6379/0",
        "redis://alice:8642/secret@redis.invalid:6379/0",
        "redis://alice:8642\\secret@redis.invalid:6379/0",
        "redis+unix:///nowhere/x?user=alice&pass=8642&db=x",
        "redis+unix://alice:8642@/nowhere/x",
        "unix:///nowhere/x?pass=8642",
        "redis:///alice:8642@h/0",
    ] {
        let mut options = RedisOptions::default();
        options.timeout = Duration::from_secs(2);
        let Some(error) = Redis::connect_with(url, options).await.err() else { continue };
        let text = format!("{error} {error:?}");
        if text.contains("8642") || text.contains("secret") {
            shown.push(format!("{url} -> {error}"));
        }
    }
    assert!(shown.is_empty(), "{shown:#?}");
}

/// SCRIPT FLUSH, CLIENT KILL and FLUSHALL between leases: a node that lives has its names again.
#[tokio::test]
async fn names_come_back_after_what_an_operator_may_do() {
    let Some(server) = Server::start(&[]).await else { return };
    let hub = |node, seed: u8| Hub::with(node, Retain::default(), EpochSeed::from([seed; 16]), |_, at, _| at.offset);
    let one = hub(server.node().await, 1);
    let running = one.clone();
    tokio::spawn(async move { running.run().await });
    let engine = server.node().await;
    let _ann = one.topic("t").unwrap().enter("ann").unwrap();
    for command in [&["SCRIPT", "FLUSH"][..], &["CLIENT", "KILL", "TYPE", "normal"], &["FLUSHALL"]] {
        until("ann is here", async || (here(&engine, "t").await.len() == 1).then_some(())).await;
        server.ask::<redis::Value>(command);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    until("ann is here again", async || {
        let entries = engine.here("t".into()).await;
        entries.is_ok_and(|here| here.len() == 1).then_some(())
    })
    .await;
}
