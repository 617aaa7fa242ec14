//! What waits: `/poll` for 25 s, `/events` with a comment each 15 s. The clock is turned by hand, and the router is asked
//! without a connection.

use axum::body::Body;
use futures_util::StreamExt;
use http::Request;
use http_body_util::BodyExt;
use openline_web_example::origins::Origins;
use openline_web_example::router;
use openline_web_example::say::{Said, say};
use openline_web_example::site::Site;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};
use tower::ServiceExt;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

async fn poll(site: &Site, query: &str) -> Outcome<Value> {
    let response = router(site).oneshot(Request::get(format!("/poll?topic=t{query}")).body(Body::empty())?).await?;
    Ok(serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?)
}

#[tokio::test(start_paused = true)]
async fn a_poll_waits_for_25_s() -> Outcome {
    let site = Site::local(None, Origins::default(), None)?;
    let before = Instant::now();
    let now = poll(&site, "").await?;
    assert_eq!(before.elapsed(), Duration::ZERO);
    let epoch = now["epoch"].as_str().unwrap();
    let same = poll(&site, &format!("&after={epoch}:0")).await?;
    assert_eq!(before.elapsed().as_secs(), 25);
    assert_eq!(same, json!({"epoch": epoch, "offset": 0, "whole": true, "messages": []}));
    // An unknown position is told at once, though there is nothing.
    let other = poll(&site, "&after=other:7").await?;
    assert_eq!(before.elapsed().as_secs(), 25);
    assert_eq!(other, json!({"epoch": epoch, "offset": 0, "whole": false, "messages": []}));
    // What comes meanwhile ends the wait.
    let topic = site.hub().topic("t")?;
    let saying = async {
        sleep(Duration::from_secs(7)).await;
        say(&site, &topic, &Said { by: "test", message: "1", id: None }).await
    };
    let query = format!("&after={epoch}:0");
    let (heard, said) = tokio::join!(poll(&site, &query), saying);
    assert_eq!((heard?["messages"][0]["message"].clone(), said?.offset), (json!(1), 1));
    assert_eq!(before.elapsed().as_secs(), 25 + 7);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_order_to_stop_ends_what_waits_within_seconds() -> Outcome {
    let site = Site::local(None, Origins::default(), None)?;
    let epoch = poll(&site, "").await?["epoch"].clone();
    let events = Request::get("/events?topic=t").body(Body::empty())?;
    let mut events = router(&site).oneshot(events).await?.into_body().into_data_stream();
    assert!(events.next().await.is_some());
    // A stream with much to tell ends too.
    let (topic, stopped) = (site.hub().topic("t")?, Instant::now());
    site.stop().cancel();
    let said = Said { by: "test", message: "1", id: None };
    let ended = async {
        loop {
            let told = tokio::join!(say(&site, &topic, &said), events.next()).1;
            if told.is_none() {
                return stopped.elapsed();
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(ended.await <= Duration::from_millis(3_100));
    let (stopped, at) = (Instant::now(), say(&site, &topic, &said).await?.offset);
    let page = poll(&site, &format!("&after={}:{at}", epoch.as_str().unwrap())).await?;
    assert_eq!((&page["messages"], stopped.elapsed() <= Duration::from_secs(3)), (&json!([]), true));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_comment_comes_each_15_s() -> Outcome {
    let site = Site::local(None, Origins::default(), None)?;
    let request = Request::get("/events?topic=t").body(Body::empty())?;
    let mut events = router(&site).oneshot(request).await?.into_body().into_data_stream();
    let before = Instant::now();
    assert!(events.next().await.unwrap()?.starts_with(b"id: "));
    for count in 1..=3 {
        let comment = events.next().await.unwrap()?;
        assert_eq!((&comment[..1], &comment[comment.len() - 2..]), (&b":"[..], &b"\n\n"[..]));
        assert_eq!(before.elapsed().as_secs(), 15 * count);
    }
    Ok(())
}
