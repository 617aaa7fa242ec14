//! Clients that take nothing, by a clock that is turned by hand: the server runs here, over pipes in memory.

use std::time::Duration;

use openline::tokio::{WebSocket, accept_with, connect_on};
use openline::{Cause, Client, ClientRequest, CloseCode};
use openline_web_example::live;
use openline_web_example::origins::Origins;
use openline_web_example::say::{Said, say};
use openline_web_example::site::Site;
use serde_json::{Value, json};
use tokio::io::{DuplexStream, duplex};
use tokio::time::{sleep, timeout};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A client whose pipe takes 16 KiB.
async fn client(site: &Site) -> Result<WebSocket<DuplexStream>, Box<dyn std::error::Error>> {
    let (near, far) = duplex(16 << 10);
    let server = site.live().clone();
    let serving = site.clone();
    tokio::spawn(async move { live::serve(accept_with(&server, far).await?, serving).await });
    let mut socket = connect_on(&Client::new(ClientRequest::new("ws://h/live")?), near).await?;
    assert!(socket.recv().await?.is_some_and(|hello| hello.as_text().is_some_and(|text| text.contains("hello"))));
    Ok(socket)
}

async fn fill(site: &Site, count: u32) -> Outcome {
    let topic = site.hub().topic("t")?;
    let message = format!("\"{}\"", "a".repeat(60_000));
    for _ in 0..count {
        say(site, &topic, &Said { by: "test", message: &message, id: None }).await?;
    }
    Ok(())
}

/// Reads to the end, and says how it ended.
async fn ending(mut socket: WebSocket<DuplexStream>) -> (CloseCode, Cause) {
    let read = async { while let Ok(Some(_)) = socket.recv().await {} };
    drop(timeout(Duration::from_secs(60), read).await);
    let closed = socket.closed().cloned().expect("it has ended");
    (closed.code, closed.cause)
}

async fn next(socket: &mut WebSocket<DuplexStream>) -> Value {
    let message = socket.recv().await.unwrap().unwrap_or_else(|| panic!("{:?}", socket.closed()));
    serde_json::from_str(message.as_text().unwrap()).unwrap()
}

/// Sockets that do not read, by different policies. What is gone is told with its exact count.
#[tokio::test(start_paused = true)]
async fn who_lags_is_told_by_his_policy() -> Outcome {
    let site = Site::local(Some(10), Origins::default(), None)?;
    for lag in ["leave", "skip", "latest"] {
        let mut client = client(&site).await?;
        client.send(json!({"join": "t", "from": "now", "lag": lag}).to_string()).await?;
        let mut offset = next(&mut client).await["offset"].as_u64().unwrap();
        // 6 MB, and the slack has 4 MiB.
        fill(&site, 100).await?;
        let (last, mut told) = (offset + 100, false);
        while offset < last {
            let heard = next(&mut client).await;
            if heard.get("message").is_some() {
                offset += 1;
                assert_eq!(heard["offset"], offset, "{lag}");
            } else if lag == "leave" {
                assert_eq!((&heard, told), (&json!({"left": "t", "reason": "lag"}), false));
                (offset, told) = (last, true);
            } else {
                assert_eq!((&heard["missed"], told), (&json!("t"), false), "{heard}");
                offset += heard["count"].as_u64().unwrap();
                told = true;
                assert!(lag == "skip" || offset == last - 1, "the newest one follows: {offset} of {last}");
            }
        }
        assert!(told, "{lag}");
        // The socket stays, and joins again.
        client.send(json!({"join": "t", "from": "now"}).to_string()).await?;
        assert_eq!(next(&mut client).await["offset"], last, "{lag}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_listens_and_takes_nothing_gets_1013_after_10_s() -> Outcome {
    let site = Site::local(None, Origins::default(), None)?;
    for (wait, expected) in [(9_500, None), (10_500, Some(CloseCode::TRY_AGAIN_LATER))] {
        let mut socket = client(&site).await?;
        socket.send("{\"join\":\"t\",\"from\":\"now\",\"lag\":\"skip\"}").await?;
        assert!(socket.recv().await?.is_some());
        fill(&site, 20).await?;
        sleep(Duration::from_millis(wait)).await;
        // The Close frame is behind what it has not read.
        let ended = timeout(Duration::from_secs(4), ending(socket)).await;
        assert_eq!(ended.ok(), expected.map(|code| (code, Cause::Clean)), "after {wait} ms");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_asks_and_takes_no_answer_gets_1013_too() -> Outcome {
    let site = Site::local(None, Origins::default(), None)?;
    let mut socket = client(&site).await?;
    let ask = format!("{{\"join\":\"{}\"}}", "b".repeat(10_000));
    let asks = async { while socket.send(ask.as_str()).await.is_ok() {} };
    assert!(timeout(Duration::from_millis(9_500), asks).await.is_err(), "its questions are not taken any more");
    // Once the server has said Close it drops what still comes, so no more may be asked.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(ending(socket).await, (CloseCode::TRY_AGAIN_LATER, Cause::Clean));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_still_takes_nothing_is_reset() -> Outcome {
    let site = Site::local(None, Origins::default(), None)?;
    let mut socket = client(&site).await?;
    socket.send("{\"join\":\"t\",\"from\":\"now\",\"lag\":\"skip\"}").await?;
    assert!(socket.recv().await?.is_some());
    fill(&site, 20).await?;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(ending(socket).await, (CloseCode::ABNORMAL, Cause::Eof));
    Ok(())
}
