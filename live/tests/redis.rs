//! `Redis` against a real server, which each test starts for itself on a free port of the loopback, and kills.
//!
//! The server is `redis-server`, or what `REDIS_SERVER` names. Where there is none, these tests say so and do nothing,
//! unless `OPENLINE_REDIS=required`: then they fail. They wait for conditions, with generous limits.

#![allow(clippy::unwrap_used)]

#[path = "redis/address.rs"]
mod address;
#[path = "redis/server.rs"]
mod server;

mod contract;

use std::sync::Arc;
use std::time::Duration;

use address::Address;
use bytes::Bytes;
use contract::{append, epoch, fed, fed_message, here, node, offsets, page, said, say, until, wants};
use openline_live::{
    Backplane, Delivery, EpochSeed, Fed, Hub, Id, Position, PublishError, Redis, RedisOptions, Retain, Subscriber,
};
use server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn nodes() -> Option<(Server, Redis, Redis)> {
    let server = Server::start(&[]).await?;
    let (one, two) = (server.node().await, server.node().await);
    Some((server, one, two))
}

mod holds_to_the_contract {
    crate::contract::tests!(super::nodes);
}

/// Says "1", "2", … until so many are said.
async fn say_some(node: &Redis, topic: &str, count: u64) -> Position {
    let mut at = None;
    for number in 1..=count {
        at = Some(say(node, topic, &number.to_string()).await);
    }
    at.unwrap()
}

/// Waits for a cut, and passes over all that comes before it.
async fn cut(node: &Redis) {
    while !matches!(fed(node).await, Fed::Cut) {}
}

/// Says it until the engine is there again.
async fn say_again(node: &Redis, topic: &str, payload: &str) -> Position {
    let mut append = append(topic, payload);
    append.id = Some(Id::new(payload));
    append.fresh = epoch(7);
    until("a message is taken", async || node.append(append.clone()).await.ok()).await
}

#[tokio::test]
async fn a_server_killed_without_persistence_begins_anew() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let (one, two) = (server.node().await, server.node().await);
    wants(&one, &["t"]).await;
    say_some(&two, "t", 5).await;
    assert!(!one.lease(node(1), LONG).await.unwrap().held);
    server.kill();
    // Nobody is there: nothing was sent, so nothing can be in the log.
    until("it is noticed", async || (two.append(append("t", "x")).await == Err(PublishError::Failed)).then_some(()))
        .await;
    for _ in 0..5 {
        assert_eq!(two.append(append("t", "x")).await, Err(PublishError::Failed));
        // So that not all of them are refused for the failure of the first.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert_eq!(two.after("t".into(), None, 9, epoch(3)).await.err(), Some(openline_live::Away));
    server.restart().await;
    let at = say_again(&two, "t", "new").await;
    assert_eq!(at, Position { epoch: epoch(7), offset: 1 });
    cut(&one).await;
    say(&two, "t", "more").await;
    until("the feed goes on", async || (fed_message(&one).await.2 == "more").then_some(())).await;
    assert!(!one.lease(node(1), LONG).await.unwrap().held);
    assert!(one.lease(node(1), LONG).await.unwrap().held);
}

#[tokio::test]
async fn a_server_killed_with_a_log_goes_on_in_a_new_epoch() {
    let Some(mut server) = Server::start(&["--appendonly", "yes", "--appendfsync", "everysec"]).await else { return };
    let (one, two) = (server.node().await, server.node().await);
    let mut last = append("t", "known");
    last.id = Some(Id::new("id"));
    say_some(&one, "t", 4).await;
    let before = one.append(last.clone()).await.unwrap();
    assert_eq!(before, Position { epoch: epoch(1), offset: 5 });
    one.lease(node(1), LONG).await.unwrap();
    one.announce(contract::announce("t", 1, &["ann"], &[])).await.unwrap();
    until("it is on the disk", async || {
        let info: String = server.ask(&["INFO", "persistence"]);
        (info.contains("aof_pending_bio_fsync:0") && info.contains("aof_buffer_length:0")).then_some(())
    })
    .await;
    server.kill();
    server.restart().await;
    // Two nodes that come back agree on the epoch, which the first of them has brought.
    let mut page = until("the engine is back", async || one.after("t".into(), None, 9, epoch(4)).await.ok()).await;
    assert_eq!(page.at, Position { epoch: epoch(4), offset: 5 });
    assert_eq!(offsets(&page), [1, 2, 3, 4, 5]);
    page = until("the engine is back", async || two.after("t".into(), Some(before), 9, epoch(5)).await.ok()).await;
    assert_eq!((page.at.epoch, offsets(&page)), (epoch(4), vec![1, 2, 3, 4, 5]), "a position of the old epoch");
    assert_eq!(two.append(last).await, Ok(page.at), "ids are still known");
    assert_eq!(say(&two, "t", "six").await, Position { epoch: epoch(4), offset: 6 });
    // The server may have forgotten what was announced last, perhaps that Ann has gone. So nothing of it counts.
    assert!(!one.lease(node(1), LONG).await.unwrap().held);
    assert_eq!(here(&two, "t").await, []);
    one.announce(contract::announce("t", 1, &["ben"], &[])).await.unwrap();
    assert_eq!(here(&two, "t").await, [(node(1), vec!["ben".to_owned()])]);
}

#[tokio::test]
async fn a_flushed_server_begins_anew() {
    let Some((server, one, two)) = nodes().await else { return };
    wants(&one, &["t"]).await;
    say_some(&two, "t", 3).await;
    contract::collect(&one, 3).await;
    one.lease(node(1), LONG).await.unwrap();
    let () = server.ask(&["FLUSHALL"]);
    let () = server.ask(&["SCRIPT", "FLUSH"]);
    let mut next = append("t", "new");
    next.fresh = epoch(8);
    let at = two.append(next).await.unwrap();
    assert_eq!(at, Position { epoch: epoch(8), offset: 1 });
    assert!(matches!(fed(&one).await, Fed::Message { at: fed_at, .. } if fed_at == at));
    assert!(!one.lease(node(1), LONG).await.unwrap().held);
}

/// Only the hash, or only the messages, were lost: to an operator, or to a `maxmemory-policy` that it should not have.
#[tokio::test]
async fn a_log_that_lost_a_part_is_told_as_a_gap_or_a_new_epoch() {
    let Some((server, one, two)) = nodes().await else { return };
    let at = say_some(&one, "t", 5).await;
    let () = server.ask(&["DEL", "openline:{t}:messages"]);
    assert!(
        two.after("t".into(), None, 9, epoch(2)).await.unwrap() == openline_live::Page { at, messages: Vec::new() }
    );
    assert_eq!(say(&two, "t", "six").await, Position { epoch: epoch(1), offset: 6 });
    assert_eq!(said(&page(&one, "t", None, 9).await), [(6, "six".to_owned())]);
    // What is gone takes no room.
    let fill = async |length: usize| {
        let mut append = append("u", &"x".repeat(length));
        append.retain.bytes = 100;
        one.append(append).await.unwrap();
    };
    fill(60).await;
    let () = server.ask(&["DEL", "openline:{u}:messages"]);
    fill(30).await;
    fill(30).await;
    assert_eq!(offsets(&page(&two, "u", None, 9).await), [2, 3]);
    let () = server.ask(&["DEL", "openline:{t}:log"]);
    let mut next = append("t", "new");
    next.fresh = epoch(8);
    assert_eq!(two.append(next).await, Ok(Position { epoch: epoch(8), offset: 1 }));
    assert_eq!(said(&page(&one, "t", None, 9).await), [(1, "new".to_owned())]);
}

#[tokio::test]
async fn a_server_that_stands_still_is_noticed_in_time() {
    let Some(server) = Server::start(&[]).await else { return };
    let (one, two) = (server.hasty_node().await, server.hasty_node().await);
    wants(&one, &["t"]).await;
    say(&two, "t", "before").await;
    contract::collect(&one, 1).await;
    server.stop();
    let mut during = append("t", "during");
    during.id = Some(Id::new("during"));
    let since = std::time::Instant::now();
    // It is on its way, and may come to the log when the server goes on.
    assert_eq!(two.append(during.clone()).await, Err(PublishError::Unknown));
    assert_eq!(two.after("t".into(), None, 9, epoch(3)).await.err(), Some(openline_live::Away));
    assert!(one.interest(vec!["u".into()], Vec::new()).await.is_err());
    assert!(one.lease(node(1), LONG).await.is_err());
    assert!(one.here("t".into()).await.is_err());
    // 5 calls of 0.7 seconds each.
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
    // The feed's connection stands, but nobody answers on it.
    let noticed = until("the feed's connection is given up", async || {
        matches!(one.interest(vec!["u".into()], Vec::new()).await, Err(openline_live::Away)).then_some(())
    });
    noticed.await;
    server.go_on();
    let at = until("the engine is back", async || two.append(during.clone()).await.ok()).await;
    assert_eq!(at, Position { epoch: epoch(1), offset: 2 }, "the same run, and not twice");
    cut(&one).await;
    until("interest is taken", async || one.interest(vec!["u".into()], Vec::new()).await.ok()).await;
    say(&two, "u", "after").await;
    until("the feed goes on", async || (fed_message(&one).await.2 == "after").then_some(())).await;
    assert_eq!(said(&page(&one, "t", None, 9).await).len(), 2);
    until("two connections for each node", async || (server.connections().len() == 4).then_some(())).await;
}

/// The server is well, but these two connections lead nowhere, and nobody says so.
#[tokio::test]
async fn connections_that_lead_nowhere_are_given_up() {
    let Some(server) = Server::start(&[]).await else { return };
    let address = Address::new(server.port).await;
    let mut options = RedisOptions::default();
    options.timeout = Duration::from_millis(700);
    let one = Redis::connect_with(&address.url(), options.clone()).await.unwrap();
    let without_topics = Redis::connect_with(&address.url(), options).await.unwrap();
    let two = server.node().await;
    wants(&one, &["t"]).await;
    say(&two, "t", "before").await;
    contract::collect(&one, 1).await;
    address.freeze();
    say(&two, "t", "missed").await;
    // Nothing but the node itself can notice it, and it does so before it has something to say.
    cut(&one).await;
    cut(&without_topics).await;
    assert_eq!(say_again(&one, "t", "again").await.offset, 3);
    assert_eq!(fed_message(&one).await, ("t".into(), 3, "again".to_owned()));
}

#[tokio::test]
async fn connections_that_are_killed_are_made_again() {
    let Some((server, one, two)) = nodes().await else { return };
    wants(&one, &["t"]).await;
    wants(&two, &["t"]).await;
    for round in 0..3 {
        let connections = server.connections();
        assert_eq!(connections.len(), 4);
        for (id, _) in connections {
            let () = server.ask(&["CLIENT", "KILL", "ID", &id.to_string()]);
        }
        cut(&one).await;
        cut(&two).await;
        let at = say_again(&one, "t", &round.to_string()).await;
        assert_eq!(at, Position { epoch: epoch(7), offset: round + 1 }, "the same run");
        for node in [&one, &two] {
            assert_eq!(fed_message(node).await, ("t".into(), round + 1, round.to_string()));
            assert_eq!(page(node, "t", None, 9).await.at, at);
        }
    }
}

/// A message that is said while the feed is away is in the log when the cut has been told.
#[tokio::test]
async fn a_feed_that_is_cut_for_being_slow_tells_it() {
    let Some(server) = Server::start(&["--client-output-buffer-limit", "pubsub 100kb 0 0"]).await else { return };
    let (one, two) = (server.node().await, server.node().await);
    wants(&one, &["t"]).await;
    // The server gives up at the first message, which does not fit.
    let mut long = append("t", "");
    long.payload = Bytes::from(vec![b'x'; 300_000]);
    let at = two.append(long).await.unwrap();
    cut(&one).await;
    assert_eq!(offsets(&page(&one, "t", None, 9).await), [at.offset]);
    say(&two, "t", "short").await;
    assert_eq!(fed_message(&one).await, ("t".into(), 2, "short".to_owned()));
}

#[tokio::test]
async fn a_feed_that_nobody_takes_is_bounded() {
    let Some(server) = Server::start(&[]).await else { return };
    let mut options = RedisOptions::default();
    options.feed_messages = 10;
    let one = Redis::connect_with(&server.url(), options).await.unwrap();
    let two = server.node().await;
    wants(&one, &["t"]).await;
    say_some(&two, "t", 25).await;
    // When this is answered, all that was said before has come.
    wants(&one, &["u"]).await;
    assert!(fed(&one).await == Fed::Cut);
    let mut last = 0;
    for _ in 0..9 {
        let Fed::Message { at, .. } = one.fed().await else { continue };
        last = at.offset;
        if last == 25 {
            break;
        }
    }
    assert_eq!(last, 25);
}

#[tokio::test]
async fn a_thousand_topics_have_one_feed_and_come_back() {
    let Some((server, one, two)) = nodes().await else { return };
    let topics: Vec<Arc<str>> = (0..1000).map(|number| Arc::from(format!("topic {number}"))).collect();
    one.interest(topics.clone(), Vec::new()).await.unwrap();
    let hear_all = async |expected: u64| {
        for topic in &topics {
            assert_eq!(say(&two, topic, "x").await.offset, expected);
        }
        for topic in &topics {
            assert_eq!(fed_message(&one).await, (topic.clone(), expected, "x".to_owned()));
        }
    };
    hear_all(1).await;
    assert_eq!(server.connections().len(), 4);
    let (feed, _) = server.connections().into_iter().find(|(_, command)| command == "ssubscribe").unwrap();
    let () = server.ask(&["CLIENT", "KILL", "ID", &feed.to_string()]);
    cut(&one).await;
    hear_all(2).await;
    assert_eq!(server.connections().len(), 4);
    one.interest(Vec::new(), topics).await.unwrap();
    let channels: Vec<String> = server.ask(&["PUBSUB", "SHARDCHANNELS"]);
    assert_eq!(channels, [] as [&str; 0]);
    drop((one, two));
    until("the connections end with their node", async || server.connections().is_empty().then_some(())).await;
}

#[tokio::test]
async fn no_key_is_without_a_time_to_live_and_history_ends_first() {
    let Some((server, one, two)) = nodes().await else { return };
    let mut message = append("t", "x");
    message.id = Some(Id::new("id"));
    message.retain.age = Duration::from_secs(1000);
    one.append(message).await.unwrap();
    page(&two, "only read", None, 1).await;
    one.lease(node(1), Duration::from_secs(20)).await.unwrap();
    one.announce(contract::announce("t", 1, &["ann"], &[])).await.unwrap();
    let mut keys: Vec<String> = server.ask(&["KEYS", "*"]);
    keys.sort();
    let left: Vec<i64> = keys.iter().map(|key| server.ask(&["TTL", key])).collect();
    let expected = [
        ("leases", 20),
        ("{only read}:log", 600),
        ("{t}:here", 3600),
        ("{t}:ids", 300),
        ("{t}:log", 1600),
        ("{t}:messages", 1000),
        ("{t}:order", 300),
    ];
    assert_eq!(keys, expected.map(|(key, _)| format!("openline:{key}")));
    for ((key, most), left) in expected.iter().zip(left) {
        assert!((most - 120..=*most).contains(&left), "{key}: {left}");
    }
}

/// What a node has the feed of is kept, and the lists of ids do not grow.
#[tokio::test]
async fn an_epoch_lives_while_a_node_has_the_feed() {
    let Some((server, one, two)) = nodes().await else { return };
    wants(&one, &["held"]).await;
    for topic in ["held", "left"] {
        say(&two, topic, "x").await;
        let () = server.ask(&["PEXPIRE", &format!("openline:{{{topic}}}:log"), "100000"]);
    }
    until("its time to live has grown", async || {
        let held: i64 = server.ask(&["TTL", "openline:{held}:log"]);
        (held > 500).then_some(())
    })
    .await;
    let left: i64 = server.ask(&["TTL", "openline:{left}:log"]);
    assert!(left <= 100);
}

#[tokio::test]
async fn ids_have_a_bound_in_the_server() {
    let Some((server, one, _two)) = nodes().await else { return };
    for number in 0..5000 {
        let mut message = append("t", "x");
        message.id = Some(Id::new(&number.to_string()));
        one.append(message).await.unwrap();
    }
    for (command, key) in [("HLEN", "ids"), ("LLEN", "order")] {
        assert_eq!(server.ask::<u64>(&[command, &format!("openline:{{t}}:{key}")]), 4096);
    }
    assert_eq!(server.ask::<u64>(&["XLEN", "openline:{t}:messages"]), 256);
}

/// The server's clock cannot be moved, so what it has written down is.
#[tokio::test]
async fn ids_are_known_for_five_minutes() {
    let Some((server, one, _two)) = nodes().await else { return };
    let earlier = "
        local function earlier(text)
            local before, came, after = string.match(text, '^(................)(%d+)(.*)$')
            return before .. string.format('%.0f', tonumber(came) - ARGV[1]) .. after
        end
        local ids = redis.call('HGETALL', KEYS[1])
        for at = 1, #ids, 2 do redis.call('HSET', KEYS[1], ids[at], earlier(ids[at + 1])) end
        for at = 1, redis.call('LLEN', KEYS[2]) do
            redis.call('LSET', KEYS[2], at - 1, earlier(redis.call('LINDEX', KEYS[2], at - 1)))
        end
        return #ids";
    let earlier = |milliseconds| -> u64 {
        server.ask(&["EVAL", earlier, "2", "openline:{t}:ids", "openline:{t}:order", milliseconds])
    };
    let say = async |id: &str| {
        let mut message = append("t", "x");
        message.id = Some(Id::new(id));
        one.append(message).await.unwrap().offset
    };
    for number in 1..=40 {
        assert_eq!(say(&number.to_string()).await, number);
    }
    assert_eq!(earlier("240000"), 80);
    assert_eq!((say("1").await, say("41").await), (1, 41));
    assert_eq!(earlier("61000"), 82);
    assert_eq!((say("1").await, say("41").await, say("1").await), (42, 41, 42));
    // What is too old goes a part at a time, and never what has come again.
    assert_eq!((say("43").await, say("44").await, say("45").await, say("1").await), (43, 44, 45, 42));
    for (command, key) in [("HLEN", "ids"), ("LLEN", "order")] {
        assert_eq!(server.ask::<u64>(&[command, &format!("openline:{{t}}:{key}")]), 5);
    }
}

/// Between a look at who is here and the removal of what the dead have left, one of them may come back.
#[tokio::test]
async fn only_what_is_void_is_removed() {
    let Some((server, one, two)) = nodes().await else { return };
    let script = concat!(
        "#!lua flags=allow-cross-slot-keys\n",
        include_str!("../src/redis/now.lua"),
        include_str!("../src/redis/alive.lua"),
        include_str!("../src/redis/void.lua")
    );
    let me = String::from_utf8(node(1).0.to_vec()).unwrap();
    let fields = || -> u64 {
        let (ann, ben) = (format!("{me}ann"), format!("{me}ben"));
        let key = "openline:{t}:here";
        let () = server.ask(&["EVAL", script, "1", key, "run", "openline:leases", &me, &ann, &ben]);
        server.ask(&["HLEN", key])
    };
    one.lease(node(1), LONG).await.unwrap();
    one.announce(contract::announce("t", 1, &["ann", "ben"], &[])).await.unwrap();
    assert_eq!(fields(), 3);
    one.lease(node(1), Duration::ZERO).await.unwrap();
    one.lease(node(1), LONG).await.unwrap();
    one.announce(contract::announce("t", 1, &["ann"], &[])).await.unwrap();
    assert_eq!(fields(), 2, "ben was announced before");
    one.lease(node(1), Duration::ZERO).await.unwrap();
    assert_eq!(fields(), 0);
    assert_eq!(here(&two, "t").await, []);
}

/// No node has the feed of these topics, and nobody comes or goes for long.
#[tokio::test]
async fn names_are_kept_while_their_node_is_there() {
    let Some((server, one, two)) = nodes().await else { return };
    one.lease(node(1), LONG).await.unwrap();
    for topic in ["held", "left"] {
        one.announce(contract::announce(topic, 1, &["ann", "ben"], &[])).await.unwrap();
        one.announce(contract::announce(topic, 1, &["ann"], &["ben"])).await.unwrap();
    }
    one.announce(contract::announce("left", 1, &[], &["ann", "ben"])).await.unwrap();
    for topic in ["held", "left"] {
        let () = server.ask(&["PEXPIRE", &format!("openline:{{{topic}}}:here"), "100000"]);
    }
    until("its time to live has grown", async || {
        let held: i64 = server.ask(&["TTL", "openline:{held}:here"]);
        (held > 500).then_some(())
    })
    .await;
    let left: i64 = server.ask(&["TTL", "openline:{left}:here"]);
    assert!(left <= 100, "nobody is there: {left}");
    assert_eq!(here(&two, "held").await, [(node(1), vec!["ann".to_owned()])]);
}

/// A node died, came back, and said again that Ann is there: what others remember of its death must not remove her.
#[tokio::test]
async fn names_of_dead_nodes_go_and_those_of_revived_ones_stay() {
    let Some((server, one, two)) = nodes().await else { return };
    one.lease(node(1), LONG).await.unwrap();
    two.lease(node(2), Duration::from_millis(300)).await.unwrap();
    one.announce(contract::announce("t", 1, &["ann"], &[])).await.unwrap();
    two.announce(contract::announce("t", 2, &["ben", "bob"], &[])).await.unwrap();
    until("the second is dead", async || (one.lease(node(1), LONG).await.unwrap().alive == [node(1)]).then_some(()))
        .await;
    assert!(!two.lease(node(2), LONG).await.unwrap().held);
    two.announce(contract::announce("t", 2, &["ben"], &["bob"])).await.unwrap();
    let both = [(node(1), vec!["ann".to_owned()]), (node(2), vec!["ben".to_owned()])];
    assert_eq!(here(&one, "t").await, both);
    // Each node has a field beside its names.
    assert_eq!(server.ask::<u64>(&["HLEN", "openline:{t}:here"]), 4);
    let () = server.ask(&["HDEL", "openline:leases", std::str::from_utf8(&node(2).0).unwrap()]);
    assert_eq!(here(&one, "t").await, both[..1]);
    assert_eq!(server.ask::<u64>(&["HLEN", "openline:{t}:here"]), 2, "the entries of the dead are removed");
}

#[tokio::test]
async fn a_full_server_refuses_and_keeps_what_it_has() {
    let Some((server, one, _two)) = nodes().await else { return };
    say(&one, "t", "before").await;
    let () = server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(one.append(append("t", "x")).await, Err(PublishError::Failed));
    let () = server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(say(&one, "t", "after").await, Position { epoch: epoch(1), offset: 2 });
}

/// A failover by an address that moves: here it is the server that becomes a replica, and then a master again.
#[tokio::test]
async fn a_replica_takes_nothing() {
    let Some(server) = Server::start(&[]).await else { return };
    let Some(other) = Server::start(&[]).await else { return };
    let one = server.node().await;
    wants(&one, &["t"]).await;
    say(&one, "t", "before").await;
    let () = server.ask(&["REPLICAOF", "127.0.0.1", &other.port.to_string()]);
    assert_eq!(one.append(append("t", "x")).await, Err(PublishError::Failed));
    let refused = Redis::connect(&server.url()).await.err().unwrap().to_string();
    assert_eq!(refused, format!("Redis at 127.0.0.1:{}: this is a replica, which takes no messages", server.port));
    until("it has taken over the other's data", async || {
        let keys: u64 = server.ask(&["DBSIZE"]);
        (keys == 0).then_some(())
    })
    .await;
    let () = server.ask(&["REPLICAOF", "NO", "ONE"]);
    let at = say_again(&one, "t", "after").await;
    assert_eq!(at, Position { epoch: epoch(7), offset: 1 });
    // The feed's connection has stayed, or was cut.
    until("the feed goes on", async || match fed(&one).await {
        Fed::Message { at: fed_at, .. } => (fed_at == at).then_some(()),
        _ => (page(&one, "t", None, 9).await.at == at).then_some(()),
    })
    .await;
}

/// The old server lives on as a replica of the new one, and ends no connection.
#[tokio::test]
async fn a_failover_goes_on_in_a_new_epoch() {
    let Some(old) = Server::start(&[]).await else { return };
    let Some(new) = Server::start(&[]).await else { return };
    let address = Address::new(old.port).await;
    let (one, two) = (Redis::connect(&address.url()).await.unwrap(), Redis::connect(&address.url()).await.unwrap());
    wants(&one, &["t"]).await;
    say_some(&two, "t", 3).await;
    let () = new.ask(&["REPLICAOF", "127.0.0.1", &old.port.to_string()]);
    until("the replica has all", async || {
        let keys: u64 = new.ask(&["DBSIZE"]);
        (keys == 2).then_some(())
    })
    .await;
    let () = new.ask(&["REPLICAOF", "NO", "ONE"]);
    let () = old.ask(&["REPLICAOF", "127.0.0.1", &new.port.to_string()]);
    address.turn_to(new.port);
    assert_eq!(two.append(append("t", "x")).await, Err(PublishError::Failed));
    assert_eq!(say_again(&two, "t", "four").await, Position { epoch: epoch(7), offset: 4 });
    assert_eq!(say_again(&one, "t", "five").await, Position { epoch: epoch(7), offset: 5 });
    cut(&one).await;
    assert_eq!(offsets(&page(&one, "t", None, 9).await), [1, 2, 3, 4, 5]);
    say(&two, "t", "six").await;
    until("the feed goes on", async || (fed_message(&one).await.2 == "six").then_some(())).await;
}

/// The old server still stands, and one of the two connections is still there. It must not stay.
#[tokio::test]
async fn commands_and_feed_are_never_at_two_servers() {
    let Some(old) = Server::start(&[]).await else { return };
    let Some(new) = Server::start(&[]).await else { return };
    for lost in ["feed", "commands"] {
        let address = Address::new(old.port).await;
        let one = Redis::connect(&address.url()).await.unwrap();
        let topic = format!("{lost} lost");
        wants(&one, &[&topic]).await;
        say(&one, &topic, "old").await;
        assert_eq!(fed_message(&one).await.2, "old");
        address.turn_to(new.port);
        for (id, last) in old.connections() {
            if (last == "ssubscribe") == (lost == "feed") {
                let () = old.ask(&["CLIENT", "KILL", "ID", &id.to_string()]);
            }
        }
        if lost == "commands" {
            say_again(&one, &topic, "new").await;
        }
        cut(&one).await;
        let at = say_again(&one, &topic, "new").await;
        assert_eq!(at, Position { epoch: epoch(7), offset: 1 });
        say(&one, &topic, "more").await;
        until("the feed is that of the new server", async || (fed_message(&one).await.2 == "more").then_some(())).await;
        until("the old one is left", async || old.connections().is_empty().then_some(())).await;
        drop(one);
        until("the new one is left", async || new.connections().is_empty().then_some(())).await;
    }
}

/// A cluster of one shard is one server. What it takes away, it takes without a word but this one.
#[tokio::test]
async fn a_topic_that_the_server_takes_away_is_a_cut() {
    let Some(server) = Server::start(&["--cluster-enabled", "yes"]).await else { return };
    let () = server.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    until("the cluster is up", async || {
        let info: String = server.ask(&["CLUSTER", "INFO"]);
        info.contains("cluster_state:ok").then_some(())
    })
    .await;
    let (one, two) = (server.node().await, server.node().await);
    contract::a_feed_has_what_is_wanted_and_no_more(&one, &two).await;
    contract::names_are_here_by_node(&two, &one).await;
    wants(&one, &["here", "gone"]).await;
    let slot: u64 = server.ask(&["CLUSTER", "KEYSLOT", "openline:{gone}:log"]);
    let () = server.ask(&["CLUSTER", "DELSLOTS", &slot.to_string()]);
    let () = server.ask(&["CLUSTER", "ADDSLOTS", &slot.to_string()]);
    cut(&one).await;
    say_again(&two, "gone", "again").await;
    until("the feed goes on", async || (fed_message(&one).await.2 == "again").then_some(())).await;
}

#[tokio::test]
async fn databases_and_prefixes_are_apart() {
    let Some(server) = Server::start(&[]).await else { return };
    let mut options = RedisOptions::default();
    options.prefix = "other:".to_owned();
    let url = server.url();
    let plain = Redis::connect(&url).await.unwrap();
    let database = Redis::connect(&format!("{url}3")).await.unwrap();
    let prefixed = Redis::connect_with(&url, options).await.unwrap();
    let all = [&plain, &database, &prefixed];
    for node in all {
        wants(node, &["t"]).await;
    }
    for (number, node) in all.into_iter().enumerate() {
        assert_eq!(say(node, "t", &number.to_string()).await.offset, 1);
    }
    for (number, node) in all.into_iter().enumerate() {
        wants(node, &["u"]).await;
        assert_eq!(fed_message(node).await, ("t".into(), 1, number.to_string()));
    }
}

/// The rights of a user change while it is connected. The server ends its connections then.
#[tokio::test]
async fn a_topic_that_may_not_be_read_any_more_takes_no_feed_from_others() {
    let Some(server) = Server::start(&[]).await else { return };
    let () = server.ask(&["ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all"]);
    let one = Redis::connect(&format!("redis://app:secret@127.0.0.1:{}/", server.port)).await.unwrap();
    let two = server.node().await;
    wants(&one, &["a", "b"]).await;
    let () = server.ask(&["ACL", "SETUSER", "app", "resetchannels", "&openline:{b}*", "&openline:{c}*"]);
    cut(&one).await;
    for topic in ["a", "b"] {
        say(&two, topic, "missed").await;
    }
    assert_eq!(&*fed_message(&one).await.0, "b");
    // Neither does one that is refused when it is wanted.
    assert!(one.interest(vec!["d".into()], Vec::new()).await.is_err());
    wants(&one, &["c"]).await;
    say(&two, "c", "x").await;
    assert_eq!(&*fed_message(&one).await.0, "c");
    let () = server.ask(&["ACL", "SETUSER", "app", "&openline:{a}*"]);
    assert!(fed(&one).await == Fed::Stale("a".into()));
    say(&two, "a", "heard").await;
    assert_eq!(fed_message(&one).await, ("a".into(), 2, "heard".to_owned()));
}

/// Hubs, as programs have them.
#[tokio::test]
async fn a_node_that_takes_leave_takes_its_names_with_it() {
    let Some((server, one, two)) = nodes().await else { return };
    let third = server.node().await;
    let hub = |node, seed: u8| Hub::with(node, Retain::default(), EpochSeed::from([seed; 16]), |_, at, _| at.offset);
    let hubs = [hub(one, 1), hub(two, 2)];
    for hub in &hubs {
        let hub = hub.clone();
        tokio::spawn(async move { hub.run().await });
    }
    let topics = hubs.each_ref().map(|hub| hub.topic("t").unwrap());
    let guards = [("ann", 0), ("bob", 0), ("bob", 1)].map(|(name, at)| topics[at].enter(name).unwrap());
    let mut watcher = Subscriber::new();
    watcher.watch(&topics[1]);
    until("both are here", async || {
        while watcher.try_next().is_some() {}
        (topics[1].present() == 2).then_some(())
    })
    .await;
    assert_eq!(server.ask::<u64>(&["HLEN", "openline:leases"]), 2);
    hubs[0].sign_off(Duration::from_secs(10)).await.unwrap();
    assert_eq!(server.ask::<u64>(&["HLEN", "openline:leases"]), 1);
    let present = here(&third, "t").await;
    assert!(present.len() == 1 && present[0].1 == ["bob"], "{present:?}");
    let next = tokio::time::timeout(Duration::from_secs(8), watcher.next()).await.expect("before a lease ends");
    let Delivery::Changed { joined, gone, .. } = next else { panic!("{next:?}") };
    assert_eq!((joined.len(), gone.join(" ")), (0, "ann".to_owned()));
    drop(guards);
}

/// A user with the rights that the documentation names, and no others.
#[tokio::test]
async fn the_named_rights_are_enough() {
    let Some(server) = Server::start(&[]).await else { return };
    let commands = "HELLO AUTH SELECT INFO PING EVALSHA EVAL TIME EXISTS DEL PEXPIRE HMGET HGET HSET HDEL \
                    HGETALL RPUSH LINDEX LPOP XADD XRANGE XTRIM SPUBLISH SSUBSCRIBE SUNSUBSCRIBE";
    let mut rights = vec!["ACL", "SETUSER", "app", "on", ">secret", "~openline:*", "&openline:*"];
    let allowed: Vec<String> =
        commands.split_whitespace().map(|command| format!("+{}", command.to_lowercase())).collect();
    rights.extend(allowed.iter().map(String::as_str));
    let () = server.ask(&rights);
    let url = format!("redis://app:secret@127.0.0.1:{}/0", server.port);
    let (one, two) = (Redis::connect(&url).await.unwrap(), Redis::connect(&url).await.unwrap());
    contract::a_feed_has_what_is_wanted_and_no_more(&one, &two).await;
    let mut message = append("rights", "x");
    message.id = Some(Id::new("x"));
    message.retain.messages = 1;
    one.append(message).await.unwrap();
    one.append({
        let mut last = append("rights", "y");
        last.retain.messages = 1;
        last
    })
    .await
    .unwrap();
    assert_eq!(offsets(&page(&two, "rights", None, 9).await), [2]);
    contract::names_are_here_by_node(&one, &two).await;
    let () = server.ask(&["ACL", "SETUSER", "app", "resetchannels", "&elsewhere:*"]);
    let refused = Redis::connect(&url).await.err().unwrap().to_string();
    assert!(refused.contains("the user may not do what is needed"), "{refused}");
}

const LONG: Duration = Duration::from_secs(600);

/// Whoever answers each command with these bytes. If they are `""`, it ends the connection.
async fn somebody(answer: &'static str) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut came = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut came).await {
                    let commands = came[..length].iter().filter(|byte| **byte == b'*').count();
                    if answer.is_empty() || stream.write_all(answer.repeat(commands).as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// What is wrong, and where, on one line, and never the password.
#[tokio::test]
async fn errors_say_what_is_wrong_and_where() {
    let error = async |url: &str| {
        let mut options = RedisOptions::default();
        options.timeout = Duration::from_secs(2);
        let error = Redis::connect_with(url, options).await.err().unwrap();
        let (text, debug) = (error.to_string(), format!("{error:?}"));
        assert!(!text.contains("secret") && !debug.contains("secret") && !text.contains('\n'), "{url}: {debug}");
        text
    };
    let form = "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], rediss://… for TLS, or redis+unix:///PATH";
    let unclear = format!(
        "the URL of the Redis server has no host or no good port: it must be {form}, \
         and in a password each of / ? # @ : must be written as % and its number"
    );
    let other = |scheme| format!("a URL with the scheme {scheme} leads to no Redis server: it must be {form}");
    for (url, expected) in [
        ("http://:secret@localhost/", other("http")),
        ("redis+sentinel://:secret@h:26379/", other("redis+sentinel")),
        ("localhost:6379", format!("this is no URL of a Redis server: it must be {form}")),
        ("secret@h://", format!("this is no URL of a Redis server: it must be {form}")),
        ("", format!("this is no URL of a Redis server: it must be {form}")),
        ("redis://:secret@", unclear.clone()),
        ("redis://:secret@h:port/", unclear.clone()),
        ("redis://:se/cret@h:1/", unclear.clone()),
        (
            "redis://u:secret@h/x",
            format!("Redis at h:6379: its URL is wrong: Invalid database number: it must be {form}"),
        ),
        (
            "rediss://:secret@localhost:7/",
            "Redis at localhost:7: this program was built without TLS for Redis \
             (the feature tokio-rustls-comp of the crate redis)"
                .to_owned(),
        ),
    ] {
        assert_eq!(error(url).await, expected, "{url}");
    }
    // In the words of the operating system.
    for (url, at, words) in [
        ("redis+unix:///no/such/socket?pass=secret", "Redis at /no/such/socket: ", "No such file"),
        ("redis://:secret@127.0.0.1:1/", "Redis at 127.0.0.1:1: ", "refused"),
    ] {
        let error = error(url).await;
        assert!(error.starts_with(at) && error.contains(words), "{error}");
    }
    let mut braces = RedisOptions::default();
    braces.prefix = "{".to_owned();
    let wrong = Redis::connect_with("redis://127.0.0.1:1/", braces).await.err().unwrap().to_string();
    assert_eq!(wrong, "the prefix for Redis has more than 128 bytes, or a brace");

    let stranger = "what answers there does not speak as Redis does: another service, or one that wants TLS";
    let slots = "it is one of a cluster and has not all slots, and only one that has is supported: ";
    for (answer, expected) in [
        ("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", stranger.to_owned()),
        ("SSH-2.0-OpenSSH_9.2\r\n", stranger.to_owned()),
        ("\x15\x03\x01\x00\x02\x02\x46", stranger.to_owned()),
        (
            "",
            "the connection was ended without an answer: another service, one that wants TLS or \
             takes nobody from here (protected-mode), or one that goes down"
                .to_owned(),
        ),
        ("-ERR unknown command `HELLO`\r\n", "it does not know HELLO, so it is older than 7.0".to_owned()),
        ("-ERR max number of clients reached\r\n", "ERR max number of clients reached".to_owned()),
        ("-LOADING Redis is loading\r\n", "LOADING Redis is loading".to_owned()),
        ("-MOVED 1 10.0.0.1:6379\r\n", format!("{slots}MOVED 1 10.0.0.1:6379")),
        (
            "-NOPERM no permissions to run 'hello'\r\n",
            "the user may not do what is needed: NOPERM no permissions to run 'hello'".to_owned(),
        ),
        (":1\r", "no answer within 2s".to_owned()),
    ] {
        let port = somebody(answer).await;
        let expected = format!("Redis at 127.0.0.1:{port}: {expected}");
        assert_eq!(error(&format!("redis://:secret@127.0.0.1:{port}/")).await, expected, "{answer}");
    }

    let Some(server) = Server::start(&[]).await else { return };
    let at = |server: &Server, text: &str| format!("Redis at 127.0.0.1:{}: {text}", server.port);
    let beyond = error(&format!("{}99", server.url())).await;
    assert!(beyond.starts_with(&at(&server, "")) && beyond.contains("DB index is out of range"), "{beyond}");
    let () = server.ask(&["CONFIG", "SET", "requirepass", "right"]);
    assert_eq!(error(&server.url()).await, at(&server, "it wants a password, and the URL has none"));
    for user in ["", "nobody"] {
        let wrong = error(&format!("redis://{user}:secret@127.0.0.1:{}/", server.port)).await;
        let text = "it does not take the user and the password of the URL, or the user is disabled";
        assert_eq!(wrong, at(&server, text));
    }
    assert!(Redis::connect(&format!("redis://:right@127.0.0.1:{}/", server.port)).await.is_ok());
    let server = Server::start(&["--cluster-enabled", "yes"]).await.unwrap();
    let () = server.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "100"]);
    until("it has one shard", async || {
        let info: String = server.ask(&["CLUSTER", "INFO"]);
        info.contains("cluster_size:1").then_some(())
    })
    .await;
    let down = error(&server.url()).await;
    assert!(down.starts_with(&at(&server, &format!("{slots}CLUSTERDOWN"))), "{down}");
}
