//! How the server ends, and what the next one takes up.

mod common;

use common::{Outcome, Server, file};
use openline::{Cause, CloseCode};
use serde_json::json;

async fn closed(live: &mut common::Live) -> (CloseCode, Cause) {
    while live.socket.recv().await.is_ok_and(|message| message.is_some()) {}
    let closed = live.socket.closed().cloned().unwrap();
    (closed.code, closed.cause)
}

#[tokio::test]
async fn sigterm_closes_sockets_with_1012_and_saves() -> Outcome {
    let snapshot = file("snapshot");
    let arguments = ["--snapshot", snapshot.to_str().unwrap()];
    let mut server = Server::start(&arguments);
    let mut client = server.live().await;
    let said = client.ask(json!({"say": "t", "message": 1, "id": "x"})).await;
    assert_eq!(client.ask(json!({"bid": 1, "amount": 3, "id": "b"})).await["accepted"], 1);
    let mut echo = openline::tokio::connect(&format!("ws://{}/echo", server.at)).await?;
    server.terminate();
    assert_eq!(closed(&mut client).await, (CloseCode::SERVICE_RESTART, Cause::Clean));
    assert!(echo.recv().await?.is_none());
    assert_eq!(echo.closed().unwrap().code, CloseCode::SERVICE_RESTART);
    drop((client, echo));
    assert!(server.ended().await.success());

    // History, positions, ids and lots go on, at the same address.
    let mut server = Server::start_at(&server.at.clone(), &arguments);
    assert!(!snapshot.exists(), "it is taken up once");
    let mut client = server.live().await;
    let join = json!({"join": "t", "epoch": said["epoch"], "offset": 0});
    let joined = client.ask(join.clone()).await;
    assert_eq!(joined, json!({"joined": "t", "epoch": said["epoch"], "offset": 1, "whole": true}));
    assert_eq!(client.next().await["message"], 1);
    assert_eq!(client.answer(json!({"say": "t", "message": 1, "id": "x"}), "said").await, said);
    assert_eq!(client.ask(json!({"bid": 1, "amount": 3})).await, json!({"refused": 1, "price": 3}));
    let accepted = json!({"accepted": 1, "price": 3, "id": "b"});
    assert_eq!(client.ask(json!({"bid": 1, "amount": 3, "id": "b"})).await, accepted);

    // After a kill nothing old comes back: the positions that were given out since are lost.
    server.kill();
    let server = Server::start(&arguments);
    let mut client = server.live().await;
    let joined = client.ask(join).await;
    assert_ne!(joined["epoch"], said["epoch"]);
    assert_eq!((&joined["offset"], &joined["whole"]), (&json!(0), &json!(false)));
    Ok(())
}

#[tokio::test]
async fn without_a_snapshot_each_start_has_new_epochs() -> Outcome {
    let mut server = Server::start(&[]);
    let epoch = server.get("/poll?topic=t").await.json()["epoch"].clone();
    server.terminate();
    assert!(server.ended().await.success());
    let server = Server::start(&[]);
    assert_ne!(server.get("/poll?topic=t").await.json()["epoch"], epoch);
    Ok(())
}

/// What waits when the order comes ends within seconds, a client that does not answer Close included.
#[tokio::test]
async fn the_end_waits_for_nobody_for_long() -> Outcome {
    let snapshot = file("snapshot");
    let mut server = Server::start(&["--snapshot", snapshot.to_str().unwrap()]);
    let at = server.get("/poll?topic=t").await.json();
    let target = format!("/poll?topic=t&after={}:0", at["epoch"].as_str().unwrap());
    // It reads nothing, so it does not answer Close.
    let silent = server.live().await;
    let (poll, ended) = {
        let address = server.at.clone();
        let waiting = async move {
            let answer = tokio::net::TcpStream::connect(&address).await?;
            let (mut reader, mut writer) = answer.into_split();
            let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n");
            tokio::io::AsyncWriteExt::write_all(&mut writer, request.as_bytes()).await?;
            let mut text = String::new();
            tokio::io::AsyncReadExt::read_to_string(&mut reader, &mut text).await?;
            Ok::<_, std::io::Error>(text)
        };
        let waiting = tokio::spawn(waiting);
        // The poll is there once the server has counted three connections: the poll's, the socket's and the counting one.
        let mut figures = server.live().await;
        figures.ask(json!({"join": "server:figures", "from": "now"})).await;
        while figures.next().await["message"]["connections"].as_u64() < Some(3) {}
        drop(figures);
        server.terminate();
        (waiting.await??, server.ended().await)
    };
    assert!(poll.starts_with("HTTP/1.1 200") && poll.contains("\"messages\":[]"), "{poll}");
    assert!(ended.success() && snapshot.exists());
    drop(silent);
    Ok(())
}

#[tokio::test]
async fn a_damaged_snapshot_is_not_taken_up_and_stays() -> Outcome {
    let snapshot = file("snapshot");
    std::fs::write(&snapshot, "no snapshot")?;
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_web"))
        .args(["--listen", "127.0.0.1:0", "--snapshot", snapshot.to_str().unwrap()])
        .output()?;
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no snapshot"));
    assert_eq!(std::fs::read(&snapshot)?, b"no snapshot");
    Ok(())
}
