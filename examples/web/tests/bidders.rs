//! A hundred bidders want the same lot: at one server, at two with one Redis between them, and at two of which one is killed
//! in the middle. Each bids more than the price that it has seen. Run with `--nocapture` this prints what they saw.

mod common;
#[path = "common/redis.rs"]
mod engine;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::{Live, Outcome, PATIENCE, Server};
use engine::Redis;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A bid that is in the log: its price, its id, and whose it is.
type Sale = (u64, String, String);

struct Bidder {
    name: String,
    /// Where it can connect to; at the first of them it is.
    nodes: Vec<String>,
    live: Live,
    /// The epoch and the offset of the last message.
    at: (Value, u64),
    /// All that it has seen, in order.
    seen: Vec<Sale>,
    /// Which of its bids were accepted, by id.
    accepted: BTreeMap<String, u64>,
    refused: usize,
    /// How often the outcome was unknown, and the bid was said again.
    unknown: usize,
}

impl Bidder {
    async fn new(number: usize, nodes: Vec<String>) -> Bidder {
        let mut live = Live::connect(&format!("ws://{}/live", nodes[0])).await.unwrap();
        let name = format!("bidder {number}");
        live.say(&json!({"join": "auction:1", "as": name})).await;
        let (_, joined) = live.until("joined").await;
        assert_eq!((&joined["offset"], &joined["whole"]), (&json!(0), &json!(true)), "{joined}");
        let at = (joined["epoch"].clone(), 0);
        let (seen, accepted) = (Vec::new(), BTreeMap::new());
        Bidder { name, nodes, live, at, seen, accepted, refused: 0, unknown: 0 }
    }

    /// Bids, until there is an answer that says what has become of it.
    async fn bid(&mut self, id: &str, more: u64) {
        let amount = self.seen.last().map_or(0, |sale| sale.0) + more;
        let bid = json!({"bid": 1, "amount": amount, "id": id});
        loop {
            let sent = self.live.socket.send(bid.to_string().as_str()).await.is_ok();
            let answer = if sent { self.answer(id).await } else { None };
            match answer {
                Some(answer) if answer.get("accepted").is_some() => {
                    assert_eq!((&answer["accepted"], &answer["price"]), (&json!(1), &json!(amount)), "{answer}");
                    self.accepted.insert(id.to_owned(), amount);
                    return;
                }
                Some(answer) if answer.get("refused").is_some() => {
                    assert!(answer["refused"] == 1 && answer["price"].as_u64() >= Some(amount), "{bid}: {answer}");
                    self.refused += 1;
                    return;
                }
                Some(answer) => assert_eq!(answer["retry"], true, "{answer}"),
                None => self.go_to_the_other_node().await,
            }
            self.unknown += 1;
        }
    }

    /// What is said of this bid. Meanwhile it sees what others bid. `None`: the connection is over.
    async fn answer(&mut self, id: &str) -> Option<Value> {
        loop {
            let next = self.next().await?;
            if next["id"] == id {
                return Some(next);
            }
        }
    }

    async fn next(&mut self) -> Option<Value> {
        let message = timeout(PATIENCE, self.live.socket.recv()).await.expect("the server says something").ok()??;
        let next: Value = serde_json::from_str(message.as_text().expect("text")).unwrap();
        if let Some(sale) = next.get("message") {
            let offset = next["offset"].as_u64().unwrap();
            assert_eq!((&next["epoch"], offset), (&self.at.0, self.at.1 + 1), "{} misses something: {next}", self.name);
            self.at.1 = offset;
            let text = |member: &str| sale[member].as_str().unwrap_or_else(|| panic!("{next}")).to_owned();
            self.seen.push((sale["price"].as_u64().unwrap(), text("id"), text("bidder")));
        }
        Some(next)
    }

    async fn go_to_the_other_node(&mut self) {
        self.nodes.rotate_left(1);
        self.live = Live::connect(&format!("ws://{}/live", self.nodes[0])).await.expect("the other node is there");
        let join = json!({"join": "auction:1", "as": self.name, "epoch": self.at.0, "offset": self.at.1});
        self.live.say(&join).await;
        let (_, joined) = self.live.until("joined").await;
        assert_eq!((&joined["epoch"], &joined["whole"]), (&self.at.0, &json!(true)), "{joined}");
    }

    async fn see_all(&mut self, last: u64) {
        while self.at.1 < last {
            assert!(self.next().await.is_some(), "{} lost its connection", self.name);
        }
    }
}

/// A hundred bidders at these nodes in turn, each with so many bids. `disturb` is told how many bids have been answered.
async fn auction(what: &str, nodes: &[&Server], rounds: usize, disturb: impl AsyncFnOnce(watch::Receiver<usize>)) {
    let answered = Arc::new(watch::channel(0).0);
    // All are here before the first one bids.
    let mut here = Vec::new();
    for number in 0..100 {
        let mut at: Vec<_> = nodes.iter().map(|node| node.at.clone()).collect();
        at.rotate_left(number % nodes.len());
        here.push(Bidder::new(number, at).await);
    }
    let mut bidders = JoinSet::new();
    for (number, mut bidder) in here.into_iter().enumerate() {
        let answered = Arc::clone(&answered);
        bidders.spawn(async move {
            for round in 0..rounds {
                bidder.bid(&format!("{number}.{round}"), 1 + (number * 7 + round * 31) as u64 % 40).await;
                answered.send_modify(|count| *count += 1);
            }
            bidder
        });
    }
    disturb(answered.subscribe()).await;
    let mut bidders = bidders.join_all().await;

    let accepted: BTreeMap<String, (u64, String)> = bidders
        .iter()
        .flat_map(|bidder| bidder.accepted.iter().map(|(id, price)| (id.clone(), (*price, bidder.name.clone()))))
        .collect();
    let refused: usize = bidders.iter().map(|bidder| bidder.refused).sum();
    let unknown: usize = bidders.iter().map(|bidder| bidder.unknown).sum();
    assert_eq!(accepted.len() + refused, 100 * rounds, "each bid has one answer");
    // Offsets rise by one, so a log as long as this has nothing else.
    for bidder in &mut bidders {
        bidder.see_all(accepted.len() as u64).await;
    }
    let sales = bidders[0].seen.clone();
    for bidder in &bidders {
        assert_eq!(bidder.seen, sales, "{} has seen other prices than the first one", bidder.name);
    }
    assert!(sales.is_sorted_by(|a, b| a.0 < b.0), "a price was given twice: {sales:?}");
    let logged: BTreeMap<_, _> = sales.iter().map(|(price, id, name)| (id.clone(), (*price, name.clone()))).collect();
    assert_eq!(logged, accepted, "what was accepted is in the log, and nothing else");
    let (price, _, winner) = sales.last().expect("somebody bid");
    println!(
        "{what}: 100 bidders, {} bids: {} accepted, {refused} refused, {unknown} times unknown and said again; all saw the \
         same {} prices, the last one {price} by {winner}; none was given twice",
        100 * rounds,
        accepted.len(),
        sales.len(),
    );
}

fn node(redis: &Redis) -> Server {
    Server::start(&["--redis", &redis.url(), "--retain", "5000"])
}

#[tokio::test]
async fn at_one_node() -> Outcome {
    let server = Server::start(&["--retain", "5000"]);
    auction("one node", &[&server], 10, async |_| {}).await;
    Ok(())
}

#[tokio::test]
async fn at_two_nodes() -> Outcome {
    let Some(redis) = Redis::start() else { return Ok(()) };
    let (one, two) = (node(&redis), node(&redis));
    auction("two nodes", &[&one, &two], 5, async |_| {}).await;
    Ok(())
}

#[tokio::test]
async fn at_two_nodes_of_which_one_is_killed() -> Outcome {
    let Some(redis) = Redis::start() else { return Ok(()) };
    let (one, two) = (node(&redis), node(&redis));
    let kill = async |mut answered: watch::Receiver<usize>| {
        answered.wait_for(|count| *count >= 150).await.unwrap();
        let killed = std::process::Command::new("kill").args(["-KILL", &one.id().to_string()]).status().unwrap();
        assert!(killed.success());
    };
    timeout(Duration::from_secs(300), auction("two nodes, one killed", &[&one, &two], 5, kill)).await?;
    Ok(())
}
