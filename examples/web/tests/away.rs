//! An engine that is away, by a clock that is turned by hand: how long the server tries by itself, what it tells its clients
//! then, and what they get when they say the same again.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use openline::tokio::{WebSocket, accept, connect_on};
use openline::{Client, ClientRequest, Message};
use openline_live::{
    Announce, Append, Away, Backplane, Epoch, Fed, Lease, Memory, MemoryNode, NodeId, Page, Position, Present,
    PublishError,
};
use openline_web_example::origins::Origins;
use openline_web_example::site::Site;
use openline_web_example::{live, router};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// What becomes of a call to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// It is answered.
    Stands,
    /// It fails at once, and nothing happens.
    Refuses,
    /// It waits until the link is another one.
    Hangs,
    /// It happens, and the answer is lost.
    LosesAnswers,
}

/// An engine for tests, behind such a link.
struct Engine {
    node: MemoryNode,
    link: watch::Receiver<Link>,
}

impl Engine {
    /// Makes the call, and returns what is heard of it.
    async fn call<T, E>(&self, answer: impl Future<Output = Result<T, E>>, refused: E, lost: E) -> Result<T, E> {
        let mut link = self.link.clone();
        let stands = *link.wait_for(|link| *link != Link::Hangs).await.expect("the test keeps the other end");
        match stands {
            Link::Stands => answer.await,
            Link::Refuses => Err(refused),
            Link::LosesAnswers => answer.await.and(Err(lost)),
            Link::Hangs => unreachable!("it has waited for another one"),
        }
    }
}

impl Backplane for Engine {
    async fn append(&self, append: Append) -> Result<Position, PublishError> {
        self.call(self.node.append(append), PublishError::Failed, PublishError::Unknown).await
    }

    async fn after(&self, topic: Arc<str>, after: Option<Position>, most: usize, fresh: Epoch) -> Result<Page, Away> {
        self.call(self.node.after(topic, after, most, fresh), Away, Away).await
    }

    async fn interest(&self, add: Vec<Arc<str>>, remove: Vec<Arc<str>>) -> Result<(), Away> {
        self.call(self.node.interest(add, remove), Away, Away).await
    }

    async fn fed(&self) -> Fed {
        let mut link = self.link.clone();
        link.wait_for(|link| *link == Link::Stands).await.expect("the test keeps the other end");
        self.node.fed().await
    }

    async fn lease(&self, node: NodeId, time: Duration) -> Result<Lease, Away> {
        self.call(self.node.lease(node, time), Away, Away).await
    }

    async fn announce(&self, announce: Announce) -> Result<(), Away> {
        self.call(self.node.announce(announce), Away, Away).await
    }

    async fn here(&self, topic: Arc<str>) -> Result<Vec<Present>, Away> {
        self.call(self.node.here(topic), Away, Away).await
    }
}

/// A node whose link to its engine can be broken.
struct World {
    site: Site,
    link: watch::Sender<Link>,
}

impl World {
    async fn new() -> Outcome<World> {
        let (link, receiver) = watch::channel(Link::Stands);
        let site = Site::shared(Engine { node: Memory::new().node(), link: receiver }, None, Origins::default())?;
        let running = site.clone();
        tokio::spawn(async move { running.run().await });
        Ok(World { site, link })
    }

    /// A client of `/live`.
    async fn client(&self) -> Outcome<Live> {
        let (near, far) = tokio::io::duplex(64 << 10);
        let site = self.site.clone();
        tokio::spawn(async move {
            let socket = accept(far).await.unwrap();
            drop(live::serve(socket, site).await);
        });
        let mut live = Live(connect_on(&Client::new(ClientRequest::new("ws://host/live")?), near).await?);
        assert!(live.next().await.get("hello").is_some());
        Ok(live)
    }

    async fn status(&self, request: Request<Body>) -> Outcome<u16> {
        Ok(router(&self.site).oneshot(request).await?.status().as_u16())
    }
}

struct Live(WebSocket<DuplexStream>);

impl Live {
    async fn say(&mut self, message: &Value) {
        self.0.send(message.to_string().as_str()).await.unwrap();
    }

    async fn next(&mut self) -> Value {
        let message = timeout(Duration::from_secs(60), self.0.recv()).await.expect("the server says something");
        let message: Message<'_> = message.unwrap().expect("the socket stays");
        serde_json::from_str(message.as_text().expect("text")).unwrap()
    }

    async fn ask(&mut self, message: &Value) -> Value {
        self.say(message).await;
        self.next().await
    }

    /// Asks, and checks that it is told to say it again, after the 5 s in which the server tries, and a little more at most.
    async fn is_told_to_retry(&mut self, message: &Value, about: Value) {
        let since = Instant::now();
        let mut answer = self.ask(message).await;
        let error = answer.as_object_mut().unwrap().remove("error");
        assert!(error.is_some_and(|error| error.is_string()), "{message}: {answer}");
        assert_eq!(answer, about, "{message}");
        let passed = since.elapsed();
        assert!((5.0..5.6).contains(&passed.as_secs_f64()), "{message} is answered after {passed:?}");
    }

    /// All that is in the log of a topic.
    async fn log(&mut self, topic: &str) -> Vec<Value> {
        let joined = self.ask(&json!({"join": topic})).await;
        let last = joined["offset"].as_u64().unwrap_or_else(|| panic!("{joined}"));
        let mut messages = Vec::new();
        while (messages.len() as u64) < last {
            messages.push(self.next().await["message"].clone());
        }
        messages
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_while_the_engine_is_away_is_told_to_retry() -> Outcome {
    for broken in [Link::Refuses, Link::Hangs] {
        let world = World::new().await?;
        let mut ann = world.client().await?;
        assert_eq!(ann.ask(&json!({"say": "chat", "message": 0})).await["offset"], 1);
        assert_eq!(ann.ask(&json!({"bid": 1, "amount": 5, "id": "b"})).await["accepted"], 1);
        world.link.send_replace(broken);

        let say = json!({"say": "chat", "message": 1, "id": "x"});
        let bid = json!({"bid": 1, "amount": 9, "id": "c"});
        let (join, watch) = (json!({"join": "new", "from": "now"}), json!({"watch": "new"}));
        ann.is_told_to_retry(&say, json!({"say": "chat", "id": "x", "retry": true})).await;
        ann.is_told_to_retry(&bid, json!({"bid": 1, "id": "c", "retry": true})).await;
        ann.is_told_to_retry(&join, json!({"join": "new", "retry": true})).await;
        ann.is_told_to_retry(&watch, json!({"watch": "new", "retry": true})).await;
        // Without sockets it is 503.
        let publish = Request::post("/publish?topic=chat").header("host", "h").body(Body::from("2"))?;
        assert_eq!(world.status(publish).await?, 503, "{broken:?}");
        assert_eq!(world.status(Request::get("/poll?topic=other").body(Body::empty())?).await?, 503, "{broken:?}");
        // What is wrong is told at once all the same.
        let since = Instant::now();
        let wrong = ann.ask(&json!({"bid": 6, "amount": 9})).await;
        assert_eq!((wrong["error"].is_string(), wrong.get("retry")), (true, None), "{broken:?}: {wrong}");
        assert_eq!(since.elapsed(), Duration::ZERO);

        world.link.send_replace(Link::Stands);
        assert_eq!(ann.ask(&say).await["said"], "chat", "{broken:?}");
        assert_eq!(ann.ask(&bid).await, json!({"accepted": 1, "price": 9, "id": "c"}), "{broken:?}");
        // Once each: not again by what the server has tried, or given up.
        sleep(Duration::from_secs(60)).await;
        let mut reader = world.client().await?;
        assert_eq!(reader.log("chat").await, [0, 1], "{broken:?}");
        let prices: Vec<_> = reader.log("auction:1").await.iter().map(|bid| bid["price"].clone()).collect();
        assert_eq!(prices, [5, 9], "{broken:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_back_in_time_costs_nobody_an_error() -> Outcome {
    for broken in [Link::Refuses, Link::Hangs, Link::LosesAnswers] {
        let world = World::new().await?;
        let mut ann = world.client().await?;
        ann.ask(&json!({"bid": 1, "amount": 1})).await;
        world.link.send_replace(broken);
        // In the order said, although the first waits.
        for number in 0..3 {
            ann.say(&json!({"say": "chat", "message": number, "id": number.to_string()})).await;
        }
        ann.say(&json!({"bid": 1, "amount": 7, "id": "b"})).await;
        let since = Instant::now();
        let mending = async {
            sleep(Duration::from_secs(3)).await;
            world.link.send_replace(Link::Stands);
        };
        let (_, first) = tokio::join!(mending, ann.next());
        assert!((3.0..4.0).contains(&since.elapsed().as_secs_f64()), "{broken:?}: {:?}", since.elapsed());
        let answers = [first, ann.next().await, ann.next().await, ann.next().await];
        for (number, answer) in answers[..3].iter().enumerate() {
            assert_eq!(
                (&answer["id"], &answer["offset"]),
                (&json!(number.to_string()), &json!(number + 1)),
                "{broken:?}"
            );
        }
        assert_eq!(answers[3], json!({"accepted": 1, "price": 7, "id": "b"}), "{broken:?}");
        assert_eq!(world.client().await?.log("chat").await, [0, 1, 2], "{broken:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_was_said_without_an_answer_is_said_once() -> Outcome {
    let world = World::new().await?;
    let mut ann = world.client().await?;
    ann.ask(&json!({"bid": 1, "amount": 1})).await;
    world.link.send_replace(Link::LosesAnswers);
    let say = json!({"say": "chat", "message": "m", "id": "x"});
    let bid = json!({"bid": 1, "amount": 7, "id": "b"});
    ann.is_told_to_retry(&say, json!({"say": "chat", "id": "x", "retry": true})).await;
    ann.is_told_to_retry(&bid, json!({"bid": 1, "id": "b", "retry": true})).await;
    // The client has come back as another socket, and says the same again: it has been in the log for long.
    world.link.send_replace(Link::Stands);
    let mut again = world.client().await?;
    assert_eq!(again.ask(&say).await["offset"], 1);
    assert_eq!(again.ask(&bid).await, json!({"accepted": 1, "price": 7, "id": "b"}));
    let other = again.ask(&json!({"say": "chat", "message": "other", "id": "x"})).await;
    assert_eq!((other["error"].is_string(), other.get("retry")), (true, None));
    assert_eq!(again.log("chat").await, ["m"]);
    assert_eq!(again.log("auction:1").await.len(), 2);
    Ok(())
}
