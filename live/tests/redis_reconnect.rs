//! The connection of `Redis` for commands, when it is lost while many publish: it is made again, by few attempts.
//!
//! As for `tests/redis.rs`, the server is `redis-server`, or what `REDIS_SERVER` names, unless `OPENLINE_NO_REDIS` is set.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "tests/redis.rs uses the rest")]
#[path = "redis/server.rs"]
mod server;
#[path = "redis/way.rs"]
mod way;

#[allow(unused_macros, unused_imports, reason = "there is no contract here")]
mod contract;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use contract::{announce, append, fed, here, say, until, wants};
use openline_live::{Backplane, Fed, PublishError, Redis, RedisOptions};
use server::Server;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use way::Way;

const SECOND: Duration = Duration::from_secs(1);

/// A node whose calls take a second at most.
async fn node(way: &Way) -> Arc<Redis> {
    let mut options = RedisOptions::default();
    options.timeout = SECOND;
    Arc::new(Redis::connect_with(&way.url(), options).await.unwrap())
}

/// A call each 10 ms, whatever becomes of those before. Each is dropped after this time. Counts what was taken.
fn publish_all_the_time(node: &Arc<Redis>, patience: Duration) -> (JoinHandle<()>, Arc<AtomicUsize>) {
    let (node, taken) = (node.clone(), Arc::new(AtomicUsize::new(0)));
    let count = taken.clone();
    let task = tokio::spawn(async move {
        loop {
            let (node, count) = (node.clone(), count.clone());
            tokio::spawn(async move {
                if let Ok(Ok(_)) = timeout(patience, node.append(append("t", "x"))).await {
                    count.fetch_add(1, Relaxed);
                }
            });
            sleep(Duration::from_millis(10)).await;
        }
    });
    (task, taken)
}

/// An attempt takes 0.4 s here, and no call has that time.
#[tokio::test]
async fn many_publishers_make_few_attempts_and_come_back() {
    let Some(server) = Server::start(&[]).await else { return };
    let way = Way::new(server.port, |came| came).await;
    let node = node(&way).await;
    say(&*node, "t", "before").await;
    way.lead_nowhere();
    assert_eq!(node.append(append("t", "x")).await, Err(PublishError::Unknown));
    let before = way.made();
    let (load, taken) = publish_all_the_time(&node, SECOND * 3 / 10);
    sleep(4 * SECOND).await;
    // One of each kind in a second, and some more.
    let attempts = way.made() - before;
    assert!((1..=20).contains(&attempts), "{attempts} attempts in 4 s");
    assert_eq!(taken.load(Relaxed), 0);
    way.slow_down(SECOND / 5);
    way.open();
    until("messages are taken again", async || (taken.load(Relaxed) > 0).then_some(())).await;
    load.abort();
}

/// Those who waited while it was made have little time left for an answer. That is no fault of the connection.
#[tokio::test]
async fn a_new_connection_is_not_left_because_of_who_waited_for_it() {
    let Some(server) = Server::start(&[]).await else { return };
    let way = Way::new(server.port, |came| came).await;
    let node = node(&way).await;
    say(&*node, "t", "before").await;
    // An attempt takes 0.8 s, and an answer another 0.4 s.
    way.slow_down(SECOND * 2 / 5);
    for (id, _) in server.connections() {
        let _: i64 = server.ask(&["CLIENT", "KILL", "ID", &id.to_string()]);
    }
    let (load, taken) = publish_all_the_time(&node, 10 * SECOND);
    until("messages are taken again", async || (taken.load(Relaxed) > 0).then_some(())).await;
    let (made, before) = (way.made(), taken.load(Relaxed));
    until("many are taken", async || (taken.load(Relaxed) > before + 300).then_some(())).await;
    load.abort();
    assert!(way.made() <= made + 1, "{} more connections", way.made() - made);
}

/// How many scripts the server has run.
fn scripts(server: &Server) -> u64 {
    let info: String = server.ask(&["INFO", "commandstats"]);
    let calls = |line: &str| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next()?.parse().ok();
    info.lines().find_map(calls).unwrap()
}

/// Its caller has been told that nobody answers, has said something newer, and then it comes all the same.
#[tokio::test]
async fn an_announcement_that_was_given_up_changes_nothing_later() {
    let Some(server) = Server::start(&[]).await else { return };
    let way = Way::new(server.port, |came| came).await;
    let (one, two) = (node(&way).await, server.node().await);
    wants(&two, &["t"]).await;
    let me = contract::node(1);
    let arrives = async || {
        let before = scripts(&server);
        way.let_go();
        until("it arrives", async || (scripts(&server) > before).then_some(())).await;
    };
    one.lease(me, 600 * SECOND).await.unwrap();
    one.announce(announce("t", 1, &["ann"], &[])).await.unwrap();
    way.hold();
    assert!(one.announce(announce("t", 1, &["ghost"], &["ann"])).await.is_err());
    let newer = announce("t", 1, &["ann"], &["ghost"]);
    until("something newer is said", async || one.announce(newer.clone()).await.ok()).await;
    arrives().await;
    assert_eq!(here(&two, "t").await, [(me, vec!["ann".to_owned()])]);
    // The node has lost its lease meanwhile, and with it all that it has announced.
    way.hold();
    assert!(one.announce(announce("t", 1, &["ghost"], &[])).await.is_err());
    until("the lease is ended", async || one.lease(me, Duration::ZERO).await.ok()).await;
    one.lease(me, 600 * SECOND).await.unwrap();
    assert_eq!(here(&two, "t").await, []);
    arrives().await;
    assert_eq!(here(&two, "t").await, []);
    // The lease that it knew of has ended.
    one.lease(me, 3 * SECOND).await.unwrap();
    way.hold();
    assert!(one.announce(announce("late", 1, &["ghost"], &[])).await.is_err());
    let other = server.node().await;
    other.lease(me, 600 * SECOND).await.unwrap();
    sleep(3 * SECOND).await;
    arrives().await;
    assert_eq!(here(&two, "late").await, []);
    assert!(fed(&two).await == Fed::Presence(announce("t", 1, &["ann"], &[])));
    assert!(fed(&two).await == Fed::Presence(newer));
    say(&two, "t", "last").await;
    assert!(matches!(fed(&two).await, Fed::Message { .. }), "what is refused is not fed");
}

/// A connection that leads nowhere is left also if no call is ever waited for until its end.
#[tokio::test]
async fn calls_that_are_dropped_do_not_hide_a_dead_connection() {
    let Some(server) = Server::start(&[]).await else { return };
    let way = Way::new(server.port, |came| came).await;
    let node = node(&way).await;
    say(&*node, "t", "before").await;
    way.lead_nowhere();
    way.open();
    let (load, taken) = publish_all_the_time(&node, SECOND / 2);
    until("messages are taken again", async || (taken.load(Relaxed) > 0).then_some(())).await;
    load.abort();
}

/// A server that does not name its run, as some proxies and imitations: a failover behind it could not be seen.
#[tokio::test]
async fn a_server_that_does_not_say_which_one_it_is_will_not_do() {
    let Some(server) = Server::start(&[]).await else { return };
    let nameless = |came: Vec<u8>| String::from_utf8(came).unwrap().replace("run_id:", "nobody:").into_bytes();
    let way = Way::new(server.port, nameless).await;
    let error = Redis::connect(&way.url()).await.err().unwrap().to_string();
    assert!(error.ends_with("it does not say its run_id, so nobody can see that it has lost messages"), "{error}");
    let old = |came: Vec<u8>| {
        let text = String::from_utf8(came).unwrap();
        ["7", "8", "9"]
            .iter()
            .fold(text, |text, major| text.replace(&format!("redis_version:{major}."), "redis_version:6."))
            .into_bytes()
    };
    let way = Way::new(server.port, old).await;
    let error = Redis::connect(&way.url()).await.err().unwrap().to_string();
    assert!(error.contains(": version 6.") && error.ends_with(" is older than 7.0"), "{error}");
}
