//! Who is here: what watchers are told, on one node and on two.

mod common;
#[path = "common/redis.rs"]
mod engine;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Live, Outcome, Server};
use engine::Redis;
use openline::tokio::{WebSocket, accept_with, connect_on};
use openline::{Client, ClientRequest};
use openline_live::Memory;
use openline_web_example::live;
use openline_web_example::origins::Origins;
use openline_web_example::site::Site;
use serde_json::{Value, json};
use tokio::io::{DuplexStream, duplex};
use tokio::time::{Instant, sleep, timeout};

/// What a watcher has been told so far.
#[derive(Default)]
struct Here(BTreeSet<String>);

impl Here {
    fn take(&mut self, told: &Value) {
        let names = |member: &str| {
            let list = told.get(member).map(|list| list.as_array().unwrap_or_else(|| panic!("{told}")).clone());
            list.unwrap_or_default().into_iter().map(|name| name.as_str().unwrap().to_owned())
        };
        if told.get("here").is_some() {
            self.0 = names("here").collect();
            return;
        }
        let (joined, gone): (Vec<_>, Vec<_>) = (names("joined").collect(), names("gone").collect());
        assert!(!joined.is_empty() || !gone.is_empty(), "{told}");
        for member in ["joined", "gone"] {
            assert!(told.get(member).is_none_or(|list| !list.as_array().unwrap().is_empty()), "{told}");
        }
        for name in joined {
            assert!(self.0.insert(name), "it was here: {told}");
        }
        for name in gone {
            assert!(self.0.remove(&name), "it was not here: {told}");
        }
    }

    async fn until(&mut self, watcher: &mut Live, names: &[&str]) {
        while self.0.iter().map(String::as_str).collect::<Vec<_>>() != names {
            let (_, told) = watcher.until("presence").await;
            assert_eq!(told["presence"], "t");
            self.take(&told);
        }
    }
}

#[tokio::test]
async fn who_joins_is_here_under_his_name_once() -> Outcome {
    let server = Server::start(&[]);
    let (mut watcher, mut ann, mut other) = (server.live().await, server.live().await, server.live().await);
    assert_eq!(watcher.ask(json!({"watch": "t"})).await, json!({"presence": "t", "here": []}));
    ann.ask(json!({"join": "t", "as": "Ann"})).await;
    assert_eq!(watcher.next().await, json!({"presence": "t", "joined": ["Ann"]}));
    // Two sockets of one name are one; who gives none is here as his socket. Nobody is here who only says something.
    other.ask(json!({"join": "t", "as": "Ann"})).await;
    other.ask(json!({"say": "t", "message": 1})).await;
    let mut third = server.live().await;
    third.ask(json!({"join": "t"})).await;
    let id = third.id.clone();
    assert_eq!(watcher.next().await, json!({"presence": "t", "joined": [id]}));
    let mut names = ["Ann".to_owned(), id.clone()];
    names.sort();
    let mut late = server.live().await;
    assert_eq!(late.ask(json!({"watch": "t"})).await, json!({"presence": "t", "here": names}));
    // To watch again begins anew; unwatch is not answered, and ends it.
    assert_eq!(late.ask(json!({"watch": "t"})).await, json!({"presence": "t", "here": names}));
    late.say(&json!({"unwatch": "t"})).await;
    assert!(late.rest().await.is_empty());
    third.answer(json!({"join": "t", "as": "Bob"}), "joined").await;
    assert_eq!(watcher.next().await, json!({"presence": "t", "joined": ["Bob"]}));
    assert!(late.rest().await.is_empty());
    // Who watches does not leave by leaving.
    assert_eq!(watcher.ask(json!({"leave": "t"})).await, json!({"left": "t"}));
    let mut fourth = server.live().await;
    fourth.ask(json!({"join": "t", "as": "Eve"})).await;
    assert_eq!(watcher.next().await, json!({"presence": "t", "joined": ["Eve"]}));
    Ok(())
}

#[tokio::test]
async fn who_watches_has_one_of_his_128_topics_for_it() -> Outcome {
    let server = Server::start(&[]);
    let mut client = server.live().await;
    for number in 0..128 {
        assert_eq!(client.ask(json!({"watch": format!("w{number}")})).await["here"], json!([]));
    }
    let error = client.ask(json!({"watch": "one more"})).await;
    assert_eq!((error["error"].is_string(), &error["watch"]), (true, &json!("one more")));
    client.say(&json!({"unwatch": "w7"})).await;
    assert_eq!(client.ask(json!({"watch": "one more"})).await["presence"], "one more");
    for (text, context) in [("{\"watch\":1}", json!({"watch": 1})), ("{\"unwatch\":\"\"}", json!({"unwatch": ""}))] {
        client.text(text).await;
        let mut error = client.next().await;
        assert!(error.as_object_mut().unwrap().remove("error").unwrap().is_string());
        assert_eq!(error, context);
    }
    Ok(())
}

/// A client of a site without a network between, so that the clock can be turned by hand.
struct Direct(WebSocket<DuplexStream>);

impl Direct {
    async fn new(site: &Site) -> Direct {
        let (near, far) = duplex(64 << 10);
        let (server, serving) = (site.live().clone(), site.clone());
        tokio::spawn(async move { live::serve(accept_with(&server, far).await?, serving).await });
        let request = ClientRequest::new("ws://h/live").unwrap();
        let mut direct = Direct(connect_on(&Client::new(request), near).await.unwrap());
        assert!(direct.next().await.get("hello").is_some());
        direct
    }

    async fn next(&mut self) -> Value {
        let message = self.0.recv().await.unwrap().unwrap();
        serde_json::from_str(message.as_text().unwrap()).unwrap()
    }

    async fn ask(&mut self, message: Value) -> Value {
        self.0.send(message.to_string()).await.unwrap();
        self.next().await
    }
}

fn run(site: &Site) {
    let site = site.clone();
    tokio::spawn(async move { site.run().await });
}

/// A second is the most that a change may take.
const TOLD: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_name_goes_only_after_a_while() -> Outcome {
    let site = Site::local(None, Origins::default(), None)?;
    run(&site);
    let mut watcher = Direct::new(&site).await;
    watcher.ask(json!({"watch": "t"})).await;
    for (how, leave) in [("leaves", true), ("is gone", false)] {
        let mut ann = Direct::new(&site).await;
        ann.ask(json!({"join": "t", "as": "Ann"})).await;
        assert_eq!(timeout(TOLD, watcher.next()).await?, json!({"presence": "t", "joined": ["Ann"]}), "{how}");
        // Who comes back in time was never away.
        for _ in 0..3 {
            let again = Direct::new(&site).await;
            drop(std::mem::replace(&mut ann, again));
            assert!(timeout(Duration::from_secs(20), watcher.next()).await.is_err());
            ann.ask(json!({"join": "t", "as": "Ann"})).await;
        }
        if leave {
            assert_eq!(ann.ask(json!({"leave": "t"})).await, json!({"left": "t"}));
        } else {
            drop(ann);
        }
        let since = Instant::now();
        assert_eq!(watcher.next().await, json!({"presence": "t", "gone": ["Ann"]}), "{how}");
        assert!((30..=32).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn of_many_a_thousand_are_named() -> Outcome {
    let site = Site::local(None, Origins::default(), None)?;
    run(&site);
    let topic = site.topic("t")?;
    let mut here: Vec<_> = (0..1000).map(|number| topic.enter(&format!("{number:04}"))).collect::<Result<_, _>>()?;
    let mut watcher = Direct::new(&site).await;
    let told = watcher.ask(json!({"watch": "t"})).await;
    assert_eq!((told["here"].as_array().unwrap().len(), told.get("more")), (1000, None));
    here.push(topic.enter("a")?);
    here.push(topic.enter("b")?);
    let mut late = Direct::new(&site).await;
    let told = late.ask(json!({"watch": "t"})).await;
    assert_eq!((told["here"].as_array().unwrap().len(), &told["more"]), (1000, &json!(2)));
    assert_eq!(told["here"][999], "0999");
    Ok(())
}

/// A watcher that takes nothing while thousands come and go is told who is here, and not each of their steps.
#[tokio::test(start_paused = true)]
async fn a_watcher_that_lagged_is_told_who_is_here_again() -> Outcome {
    let site = Site::local(None, Origins::default(), None)?;
    run(&site);
    let mut watcher = Direct::new(&site).await;
    assert_eq!(watcher.ask(json!({"watch": "t"})).await["here"], json!([]));
    let topic = site.topic("t")?;
    let mut held = Vec::new();
    for round in 0..10 {
        for number in 0..900 {
            held.push(topic.enter(&format!("{round}.{number:03}.{}", "x".repeat(100)))?);
        }
        // It takes nothing, for less time than lets it go.
        sleep(Duration::from_millis(700)).await;
    }
    let (mut here, mut again) = (Here::default(), 0);
    let mut more = 0;
    while let Ok(told) = timeout(TOLD, watcher.next()).await {
        again += usize::from(told.get("here").is_some());
        more =
            told.get("more").map_or(if told.get("here").is_some() { 0 } else { more }, |more| more.as_u64().unwrap());
        here.take(&told);
    }
    // Once for what waited in the socket, and once for the rest.
    assert!((1..=2).contains(&again), "{again}");
    assert_eq!(here.0.len() as u64 + more, 9000);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn two_nodes_have_one_list() -> Outcome {
    let engine = Memory::new();
    let sites = [0, 1].map(|_| Site::shared(engine.node(), None, Origins::default()).unwrap());
    sites.iter().for_each(run);
    let mut watchers = [Direct::new(&sites[0]).await, Direct::new(&sites[1]).await];
    for watcher in &mut watchers {
        assert_eq!(watcher.ask(json!({"watch": "t"})).await, json!({"presence": "t", "here": []}));
    }
    let mut ann = Direct::new(&sites[0]).await;
    ann.ask(json!({"join": "t", "as": "Ann"})).await;
    for watcher in &mut watchers {
        assert_eq!(timeout(TOLD, watcher.next()).await?, json!({"presence": "t", "joined": ["Ann"]}));
    }
    // She comes back to the other node, and was never away.
    drop(ann);
    let mut ann = Direct::new(&sites[1]).await;
    ann.ask(json!({"join": "t", "as": "Ann"})).await;
    let [one, two] = &mut watchers;
    let heard = timeout(Duration::from_secs(60), async {
        tokio::select!(told = one.next() => told, told = two.next() => told)
    });
    assert!(heard.await.is_err(), "nobody has come or gone");
    // Now she goes, and it is told as one thing, too.
    drop(ann);
    let gone = json!({"presence": "t", "gone": ["Ann"]});
    assert_eq!(tokio::join!(one.next(), two.next()), (gone.clone(), gone));
    Ok(())
}

#[tokio::test]
async fn a_node_that_dies_takes_its_names_with_it() -> Outcome {
    let Some(redis) = Redis::start() else { return Ok(()) };
    let nodes = || Server::start(&["--redis", &redis.url()]);
    let (mut one, two) = (nodes(), nodes());
    let (mut watcher, mut here) = (two.live().await, Here::default());
    watcher.say(&json!({"watch": "t"})).await;
    let (mut ann, mut bob) = (one.live().await, two.live().await);
    ann.answer(json!({"join": "t", "as": "Ann"}), "joined").await;
    bob.answer(json!({"join": "t", "as": "Bob"}), "joined").await;
    here.until(&mut watcher, &["Ann", "Bob"]).await;
    one.kill();
    here.until(&mut watcher, &["Bob"]).await;
    Ok(())
}
