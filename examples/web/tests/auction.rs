//! The lots: prices that only rise, bids that come again, the end of a lot, and what outlives old messages.

mod common;

use std::time::Duration;

use common::{Outcome, Server};
use openline_live::Snapshot;
use openline_web_example::auction::{Bid, Verdict};
use openline_web_example::origins::Origins;
use openline_web_example::site::Site;
use serde_json::json;
use tokio::time::sleep;

#[tokio::test]
async fn a_bid_is_accepted_if_it_is_higher() -> Outcome {
    let server = Server::start(&[]);
    let mut ann = server.live().await;
    let mut bob = server.live().await;
    assert_eq!(ann.ask(json!({"join": "auction:2", "as": "Ann"})).await["offset"], 0);
    let accepted = ann.answer(json!({"bid": 2, "amount": 5, "id": "x"}), "accepted").await;
    assert_eq!(accepted, json!({"accepted": 2, "price": 5, "id": "x"}));
    assert_eq!(bob.ask(json!({"bid": 2, "amount": 5})).await, json!({"refused": 2, "price": 5}));
    assert_eq!(bob.ask(json!({"bid": 2, "amount": 4, "id": "y"})).await, json!({"refused": 2, "price": 5, "id": "y"}));
    assert_eq!(
        bob.ask(json!({"bid": "2", "amount": 9007199254740991u64})).await,
        json!({"accepted": "2", "price": 9007199254740991u64})
    );
    // All of it is in the log; who has not joined bids under its socket's id.
    let mut reader = server.live().await;
    let joined = reader.ask(json!({"join": "auction:2"})).await;
    assert_eq!((&joined["offset"], &joined["whole"]), (&json!(2), &json!(true)));
    let (first, second) = (reader.next().await, reader.next().await);
    assert_eq!(
        (&first["socketid"], &first["message"]),
        (&json!(ann.id), &json!({"price": 5, "bidder": "Ann", "id": "x"}))
    );
    assert_eq!(second["message"], json!({"price": 9007199254740991u64, "bidder": bob.id, "id": null}));
    // A lot is on its own.
    assert_eq!(bob.ask(json!({"bid": 3, "amount": 1})).await, json!({"accepted": 3, "price": 1}));
    Ok(())
}

#[tokio::test]
async fn a_bid_that_comes_again_has_the_same_answer() -> Outcome {
    let server = Server::start(&["--retain", "1"]);
    let mut ann = server.live().await;
    let bid = json!({"bid": 1, "amount": 10, "id": "x"});
    let accepted = json!({"accepted": 1, "price": 10, "id": "x"});
    assert_eq!(ann.ask(bid.clone()).await, accepted);
    assert_eq!(ann.ask(bid.clone()).await, accepted);
    let mut again = server.live().await;
    assert_eq!(again.ask(json!({"bid": 1, "amount": 20})).await["accepted"], 1);
    assert_eq!(again.ask(json!({"bid": 1, "amount": 30, "id": "z"})).await["accepted"], 1);
    // By another socket, outbid, and no longer in the log.
    assert_eq!(again.ask(bid).await, accepted);
    let error = again.ask(json!({"bid": 1, "amount": 40, "id": "x"})).await;
    assert_eq!((error["error"].is_string(), &error["bid"], &error["id"]), (true, &json!(1), &json!("x")));
    let error = again.ask(json!({"bid": 1, "amount": 2, "id": "x"})).await;
    assert_eq!((error["error"].is_string(), &error["bid"]), (true, &json!(1)));
    assert_eq!(again.ask(json!({"join": "auction:1"})).await["offset"], 3);
    Ok(())
}

fn bid(amount: u64) -> Bid<'static> {
    Bid { by: "s", bidder: "Ann", amount, id: None }
}

fn refused(price: u64, over: bool) -> Verdict {
    Verdict::Refused { price, over }
}

/// The messages are kept for 5 minutes, and one of them at most; a lot lasts ten.
#[tokio::test(start_paused = true)]
async fn the_price_outlives_its_message_and_a_restart() -> Outcome {
    let site = Site::local(Some(1), Origins::default(), None)?;
    let running = tokio::spawn({
        let site = site.clone();
        async move { site.run().await }
    });
    let lot = Some(4);
    assert_eq!(site.auction().bid(&site, lot, &bid(7)).await?, Verdict::Accepted { price: 7 });
    sleep(Duration::from_secs(400)).await;
    let topic = site.hub().topic("auction:4")?;
    assert_eq!(site.auction().bid(&site, lot, &bid(7)).await?, refused(7, false));
    let snapshot = site.hub().snapshot().to_bytes();
    running.abort();

    // The message is gone, or this would show nothing.
    let mut reader = openline_live::Subscriber::new();
    reader.join(&topic, openline_live::Start::Oldest, openline_live::Lag::Leave);
    assert!(matches!(reader.next().await, openline_live::Delivery::Joined { at, whole: false, .. } if at.offset == 1));
    assert!(reader.try_next().is_none());

    let again = Site::local(Some(1), Origins::default(), Some(&Snapshot::from_bytes(&snapshot)?))?;
    assert_eq!(again.auction().bid(&again, lot, &bid(7)).await?, refused(7, false));
    assert_eq!(again.auction().bid(&again, lot, &bid(8)).await?, Verdict::Accepted { price: 8 });
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_lot_ends_after_ten_minutes_and_opens_a_minute_later() -> Outcome {
    let site = Site::local(None, Origins::default(), None)?;
    let running = site.clone();
    tokio::spawn(async move { running.run().await });
    let lot = Some(5);
    // A lot without bids waits.
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(site.auction().bid(&site, lot, &bid(7)).await?, Verdict::Accepted { price: 7 });
    sleep(Duration::from_secs(599)).await;
    assert_eq!(site.auction().bid(&site, lot, &bid(8)).await?, Verdict::Accepted { price: 8 });
    sleep(Duration::from_secs(2)).await;
    assert_eq!(site.auction().bid(&site, lot, &bid(9)).await?, refused(8, true));
    assert_eq!(site.auction().describe().await[4]["over"], true);
    let mut reader = openline_live::Subscriber::new();
    reader.join(&site.hub().topic("auction:5")?, openline_live::Start::Oldest, openline_live::Lag::Leave);
    let mut last = None;
    while let Some(delivery) = reader.try_next() {
        last = Some(delivery);
    }
    let Some(openline_live::Delivery::Message(last)) = last else { panic!("there is a message") };
    let last: serde_json::Value = serde_json::from_str(last.text())?;
    assert_eq!(last["message"], json!({"over": 8, "winner": "Ann"}));
    sleep(Duration::from_secs(57)).await;
    assert_eq!(site.auction().bid(&site, lot, &bid(9)).await?, refused(8, true));
    sleep(Duration::from_secs(3)).await;
    // Within an epoch prices only rise.
    assert_eq!(site.auction().bid(&site, lot, &bid(8)).await?, refused(8, false));
    assert_eq!(site.auction().bid(&site, lot, &bid(9)).await?, Verdict::Accepted { price: 9 });
    Ok(())
}
