//! Two nodes with one engine: a lot is sold once, and an id is said once.

use openline_live::Memory;
use openline_web_example::auction::{Bid, Verdict};
use openline_web_example::origins::Origins;
use openline_web_example::say::{Refusal, Said, say};
use openline_web_example::site::Site;
use tokio::task::JoinSet;

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

async fn prices(site: &Site) -> Result<Vec<u64>, Box<dyn std::error::Error>> {
    let mut reader = openline_live::Subscriber::new();
    reader.join(&site.hub().topic("auction:1")?, openline_live::Start::Oldest, openline_live::Lag::Leave);
    let openline_live::Delivery::Joined { at, .. } = reader.next().await else { panic!("it joins first") };
    let mut prices = Vec::new();
    while (prices.len() as u64) < at.offset {
        if let openline_live::Delivery::Message(item) = reader.next().await {
            let text: serde_json::Value = serde_json::from_str(item.text())?;
            prices.extend(text["message"]["price"].as_u64());
        }
    }
    Ok(prices)
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
