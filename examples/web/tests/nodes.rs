//! Two nodes with one engine: a lot is sold once, and an id is said once.

use openline_live::Memory;
use openline_web_example::auction::{Bid, Verdict};
use openline_web_example::origins::Origins;
use openline_web_example::say::{Refusal, Said, say};
use openline_web_example::site::Site;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn nodes(count: usize) -> std::io::Result<Vec<Site>> {
    let engine = Memory::new();
    let sites: Vec<_> =
        (0..count).map(|_| Site::shared(engine.node(), Some(5000), Origins::default())).collect::<Result<_, _>>()?;
    for site in sites.clone() {
        tokio::spawn(async move { site.run().await });
    }
    Ok(sites)
}

#[tokio::test(start_paused = true)]
async fn bidders_on_three_nodes_make_one_rising_line() -> Outcome {
    let sites = nodes(3)?;
    let mut bidders = JoinSet::new();
    for number in 0..60usize {
        let site = sites[number % 3].clone();
        bidders.spawn(async move {
            let mut accepted = Vec::new();
            for round in 0..10u64 {
                let (amount, id) = (round * 20 + number as u64 % 30 + 1, format!("{number}.{round}"));
                let bid = Bid { by: "s", bidder: "b", amount, id: Some(&id) };
                if let Verdict::Accepted { price } = site.auction().bid(&site, Some(1), &bid).await.unwrap() {
                    accepted.push(price);
                }
                tokio::task::yield_now().await;
            }
            accepted
        });
    }
    let mut accepted: Vec<_> = bidders.join_all().await.into_iter().flatten().collect();
    accepted.sort_unstable();
    let prices = prices(&sites[1]).await?;
    assert!(prices.is_sorted_by(|a, b| a < b), "{prices:?}");
    assert_eq!(prices, accepted);
    assert_eq!(prices.last(), Some(&(9 * 20 + 30)));
    Ok(())
}

/// Until the end and beyond it each node gets bids, at the same moments.
#[tokio::test(start_paused = true)]
async fn a_lot_is_sold_once_by_all_nodes_together() -> Outcome {
    let sites = nodes(3)?;
    let mut bidders = JoinSet::new();
    for (number, site) in sites.iter().cloned().enumerate() {
        bidders.spawn(async move {
            let mut accepted = Vec::new();
            for second in 0..640u64 {
                let amount = second * 3 + (number as u64 + second) % 3 + 1;
                let bid =
                    Bid { by: "s", bidder: &format!("b{number}"), amount, id: Some(&format!("{number}.{second}")) };
                if let Verdict::Accepted { price } = site.auction().bid(&site, Some(3), &bid).await.unwrap() {
                    accepted.push((price, bid.bidder.to_owned()));
                }
                sleep(Duration::from_secs(1)).await;
            }
            accepted
        });
    }
    let mut accepted: Vec<_> = bidders.join_all().await.into_iter().flatten().collect();
    accepted.sort_unstable();
    let (price, winner) = accepted.last().unwrap();
    assert!((590 * 3..=601 * 3).contains(price), "the last bid was accepted at the end: {price}");
    for site in &sites {
        let all = messages(site, 3).await?;
        let ends: Vec<_> = all.iter().filter(|message| message.get("over").is_some()).collect();
        assert_eq!(ends, [&serde_json::json!({"over": price, "winner": winner})]);
        assert_eq!(all.last(), ends.last().copied(), "nothing is accepted behind the end");
    }
    Ok(())
}

async fn prices(site: &Site) -> Result<Vec<u64>, Box<dyn std::error::Error>> {
    Ok(messages(site, 1).await?.iter().filter_map(|message| message["price"].as_u64()).collect())
}

/// What is in the log of a lot.
async fn messages(site: &Site, lot: usize) -> Result<Vec<Value>, Box<dyn std::error::Error>> {
    let mut reader = openline_live::Subscriber::new();
    let topic = site.hub().topic(&format!("auction:{lot}"))?;
    reader.join(&topic, openline_live::Start::Oldest, openline_live::Lag::Leave);
    let openline_live::Delivery::Joined { at, .. } = reader.next().await else { panic!("it joins first") };
    let mut messages = Vec::new();
    loop {
        let openline_live::Delivery::Message(item) = reader.next().await else { panic!("nothing is missing") };
        let text: Value = serde_json::from_str(item.text())?;
        messages.push(text["message"].clone());
        if item.at() == at {
            return Ok(messages);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_said_on_one_node_is_known_on_the_other() -> Outcome {
    let sites = nodes(2)?;
    let topics = [sites[0].hub().topic("t")?, sites[1].hub().topic("t")?];
    let said = |by, message| Said { by, message, id: Some("x") };
    let first = say(&sites[0], &topics[0], &said("a", "1")).await?;
    assert_eq!(say(&sites[1], &topics[1], &said("b", "1")).await, Ok(first));
    assert!(matches!(say(&sites[1], &topics[1], &said("b", "2")).await, Err(Refusal::Wrong(_))));
    let bid = |site: &'static str| Bid { by: site, bidder: site, amount: 5, id: Some("y") };
    let accepted = Ok(Verdict::Accepted { price: 5 });
    assert_eq!(sites[0].auction().bid(&sites[0], Some(2), &bid("a")).await, accepted);
    assert_eq!(sites[1].auction().bid(&sites[1], Some(2), &bid("b")).await, accepted);
    Ok(())
}
