//! Two servers with one Redis between them: what is said at one is heard at the other, whatever stops or dies.

mod common;
#[path = "common/redis.rs"]
mod engine;

use std::time::Instant;

use common::{Live, Outcome, PATIENCE, Server};
use engine::Redis;
use serde_json::{Value, json};

fn node(redis: &Redis) -> Server {
    Server::start(&["--redis", &redis.url(), "--retain", "5000"])
}

fn two() -> Option<(Redis, Server, Server)> {
    let redis = Redis::start()?;
    let nodes = (node(&redis), node(&redis));
    Some((redis, nodes.0, nodes.1))
}

/// Says it, again and again as long as it is told to retry, or is refused by a price of another epoch, which a node knows until it
/// has read the lot's new log.
async fn insist(live: &mut Live, message: &Value, member: &str) -> Value {
    let since = Instant::now();
    loop {
        live.say(message).await;
        let answer = loop {
            let next = live.next().await;
            if [member, "error", "refused"].iter().any(|member| next.get(member).is_some()) {
                break next;
            }
        };
        let is_old = answer["price"] == OLD_PRICE;
        if answer.get(member).is_some() && !is_old {
            return answer;
        }
        assert!(answer["retry"] == true || is_old, "{answer}");
        assert!(since.elapsed() < PATIENCE, "{answer}");
    }
}

const OLD_PRICE: u64 = 50;

/// The messages up to this offset.
async fn hear(live: &mut Live, last: u64) -> Vec<Value> {
    let mut heard: Vec<Value> = Vec::new();
    while heard.last().is_none_or(|message| message["offset"].as_u64() < Some(last)) {
        heard.push(live.until("message").await.1);
    }
    heard
}

#[tokio::test]
async fn one_chat_whichever_node_one_is_at() -> Outcome {
    let Some((_redis, one, two)) = two() else { return Ok(()) };
    let (mut ann, mut bob) = (one.live().await, two.live().await);
    let joined = [ann.ask(json!({"join": "chat"})).await, bob.ask(json!({"join": "chat"})).await];
    assert_eq!((&joined[0], &joined[0]["whole"]), (&joined[1], &json!(true)));
    for number in 1..=50 {
        let (says, node) = if number % 2 == 0 { (&mut ann, "a") } else { (&mut bob, "b") };
        let said = says.answer(json!({"say": "chat", "message": node, "id": number.to_string()}), "said").await;
        assert_eq!((&said["offset"], &said["epoch"]), (&json!(number), &joined[0]["epoch"]));
    }
    // A newcomer at either gets what both get.
    let mut late = one.live().await;
    assert_eq!(late.ask(json!({"join": "chat"})).await["offset"], 50);
    let heard = hear(&mut late, 50).await;
    assert_eq!(heard.len(), 50);
    let mut other = two.live().await;
    other.ask(json!({"join": "chat"})).await;
    assert_eq!(hear(&mut other, 50).await, heard);
    // The same id at the other node, from another socket.
    let again = other.ask(json!({"say": "chat", "message": "a", "id": "50"})).await;
    assert_eq!(again["offset"], 50);
    let error = other.ask(json!({"say": "chat", "message": "other", "id": "50"})).await;
    assert_eq!((error["error"].is_string(), error.get("retry")), (true, None));
    // Without sockets too.
    let page = two.get("/poll?topic=chat&after=").await;
    assert_eq!(page.status, 400);
    let target = format!("/poll?topic=chat&after={}:49", joined[0]["epoch"].as_str().unwrap());
    assert_eq!(one.get(&target).await.json()["messages"], json!([heard[49]]));
    assert_eq!(two.http("POST", "/publish?topic=chat", &[], "1").await.json()["offset"], 51);
    // The figures are those of one node.
    let figures =
        [one.get("/poll?topic=server:figures").await.json(), two.get("/poll?topic=server:figures").await.json()];
    assert_ne!(figures[0]["epoch"], figures[1]["epoch"]);
    Ok(())
}

#[tokio::test]
async fn while_redis_stands_still_clients_are_told_and_nothing_is_said_twice() -> Outcome {
    let Some((redis, one, two)) = two() else { return Ok(()) };
    let (mut ann, mut bob) = (one.live().await, two.live().await);
    let epoch = bob.ask(json!({"join": "chat"})).await["epoch"].clone();
    ann.ask(json!({"say": "chat", "message": 0})).await;
    assert_eq!(ann.ask(json!({"bid": 1, "amount": 5, "id": "b"})).await["accepted"], 1);
    redis.stop();
    let since = Instant::now();
    let say = json!({"say": "chat", "message": 1, "id": "x"});
    let mut error = ann.ask(say.clone()).await;
    // It has tried for 5 s.
    assert!(since.elapsed().as_secs_f32() > 4.9, "{:?}", since.elapsed());
    assert!(error.as_object_mut().unwrap().remove("error").unwrap().is_string());
    assert_eq!(error, json!({"say": "chat", "id": "x", "retry": true}));
    let mut error = ann.ask(json!({"bid": 1, "amount": 9, "id": "c"})).await;
    assert!(error.as_object_mut().unwrap().remove("error").unwrap().is_string());
    assert_eq!(error, json!({"bid": 1, "id": "c", "retry": true}));
    let mut error = ann.ask(json!({"join": "new", "from": "now"})).await;
    assert!(error.as_object_mut().unwrap().remove("error").unwrap().is_string());
    assert_eq!(error, json!({"join": "new", "retry": true}));
    let mut error = ann.ask(json!({"watch": "new"})).await;
    assert!(error.as_object_mut().unwrap().remove("error").unwrap().is_string());
    assert_eq!(error, json!({"watch": "new", "retry": true}));
    let (poll, publish) = tokio::join!(one.get("/poll?topic=other"), two.http("POST", "/publish?topic=o", &[], "1"));
    assert_eq!((poll.status, publish.status), (503, 503));
    // The connections stay, pages are there, and what is here is given out.
    assert_eq!(one.get("/chat").await.status, 200);
    assert_eq!(two.get("/poll?topic=chat").await.json()["messages"][0]["message"], 0);
    redis.go_on();
    let said = insist(&mut ann, &say, "said").await;
    let heard = hear(&mut bob, said["offset"].as_u64().unwrap()).await;
    let messages: Vec<_> = heard.iter().map(|heard| &heard["message"]).collect();
    assert_eq!(messages, [&json!(0), &json!(1)]);
    assert!(heard.iter().all(|heard| heard["epoch"] == epoch));
    assert_eq!(insist(&mut ann, &json!({"bid": 1, "amount": 9, "id": "c"}), "accepted").await["price"], 9);
    assert_eq!(insist(&mut ann, &json!({"join": "new"}), "joined").await["offset"], 0);
    assert!(insist(&mut ann, &json!({"watch": "new"}), "presence").await["here"].is_array());
    assert_eq!(bob.answer(json!({"bid": 1, "amount": 9}), "refused").await["price"], 9);
    Ok(())
}

#[tokio::test]
async fn a_redis_that_has_lost_all_begins_new_epochs_and_that_is_told() -> Outcome {
    let Some((mut redis, one, two)) = two() else { return Ok(()) };
    let (mut ann, mut bob) = (one.live().await, two.live().await);
    let before = bob.ask(json!({"join": "chat"})).await["epoch"].clone();
    ann.ask(json!({"say": "chat", "message": 1})).await;
    assert_eq!(ann.ask(json!({"bid": 2, "amount": OLD_PRICE})).await["accepted"], 2);
    bob.until("message").await;
    redis.kill();
    redis.restart();
    let said = insist(&mut ann, &json!({"say": "chat", "message": 2, "id": "y"}), "said").await;
    assert_ne!(said["epoch"], before);
    let (_, joined) = bob.until("joined").await;
    assert_eq!(
        (&joined["joined"], &joined["epoch"], &joined["whole"]),
        (&json!("chat"), &said["epoch"], &json!(false))
    );
    assert_eq!(hear(&mut bob, said["offset"].as_u64().unwrap()).await.last().unwrap()["message"], 2);
    // In a new epoch a lot begins anew, at both nodes alike.
    assert_eq!(insist(&mut ann, &json!({"bid": 2, "amount": 1, "id": "a"}), "accepted").await["price"], 1);
    let refused = insist(&mut bob, &json!({"bid": 2, "amount": 1, "id": "b"}), "refused").await;
    assert_eq!(refused["price"], 1);
    Ok(())
}

#[tokio::test]
async fn a_node_that_dies_costs_nobody_a_message() -> Outcome {
    let Some((redis, mut one, two)) = two() else { return Ok(()) };
    let (mut ann, mut bob) = (one.live().await, two.live().await);
    let joined = ann.ask(json!({"join": "chat"})).await;
    let mut at = Value::Null;
    for number in 1..=10 {
        at = ann.answer(json!({"say": "chat", "message": number, "id": number.to_string()}), "said").await;
    }
    assert_eq!(ann.answer(json!({"bid": 3, "amount": 7, "id": "b"}), "accepted").await["accepted"], 3);
    one.kill();
    bob.answer(json!({"say": "chat", "message": 11}), "said").await;
    // Ann comes back to the other node: no node knows her better than another.
    let mut ann = two.live().await;
    let back = json!({"join": "chat", "epoch": at["epoch"], "offset": at["offset"]});
    let again = ann.ask(back.clone()).await;
    assert_eq!(again, json!({"joined": "chat", "epoch": joined["epoch"], "offset": 11, "whole": true}));
    assert_eq!(ann.next().await["message"], 11);
    let accepted = json!({"accepted": 3, "price": 7, "id": "b"});
    assert_eq!(ann.ask(json!({"bid": 3, "amount": 7, "id": "b"})).await, accepted);
    assert_eq!(ann.answer(json!({"say": "chat", "message": 10, "id": "10"}), "said").await["offset"], 10);
    // Both nodes go, and the next one knows all of it.
    let mut two = two;
    two.terminate();
    assert!(two.ended().await.success());
    let three = node(&redis);
    let mut ann = three.live().await;
    assert_eq!(ann.ask(back).await, again);
    assert_eq!(ann.next().await["message"], 11);
    assert_eq!(ann.ask(json!({"bid": 3, "amount": 7})).await, json!({"refused": 3, "price": 7}));
    Ok(())
}

/// So its names go at once, and not when its lease ends.
#[tokio::test]
async fn a_node_that_stops_has_taken_leave_before_it_ends() -> Outcome {
    let Some((redis, mut one, two)) = two() else { return Ok(()) };
    let (mut ann, mut watcher) = (one.live().await, two.live().await);
    watcher.ask(json!({"watch": "chat"})).await;
    ann.ask(json!({"join": "chat", "as": "Ann"})).await;
    assert_eq!(watcher.next().await, json!({"presence": "chat", "joined": ["Ann"]}));
    assert_eq!(redis.number("HLEN openline:leases"), Some(2));
    one.terminate();
    assert!(one.ended().await.success());
    assert_eq!(redis.number("HLEN openline:leases"), Some(1));
    assert_eq!(watcher.next().await, json!({"presence": "chat", "gone": ["Ann"]}));
    Ok(())
}

#[test]
fn a_url_without_a_server_is_told_at_the_start() -> Outcome {
    let arguments = ["--listen", "127.0.0.1:0", "--redis", "redis://127.0.0.1:1/"];
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_web")).args(arguments).output()?;
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("127.0.0.1:1"));
    Ok(())
}
