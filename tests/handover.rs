//! A socket that is taken apart and put together again, waits that are given up, and limits that change: at
//! any moment, without a byte lost.
#![cfg(feature = "tokio")]

mod common;
#[path = "common/counting.rs"]
mod counting;

use std::time::Duration;

use common::*;
use counting::*;
use openline::Role::{Client, Server};
use openline::tokio::WebSocket;
use openline::{Agreement, Config, Error, Message, SendError, Upgrade, net};
use tokio::time::{sleep, timeout};

fn socket(wire: &Wire, config: Config) -> WebSocket<Wire> {
    WebSocket::new(wire.clone(), Upgrade::server(Agreement::default()), config, &[])
}

fn wire(takes: Takes) -> Wire {
    let wire = Wire::default();
    wire.begin(Client, Says::Nothing, takes);
    wire
}

/// Messages of all lengths, one of them in fragments, and Pings.
fn talk() -> (Vec<u8>, Vec<Message<'static>>) {
    let mut bytes = vec![];
    let mut messages = vec![];
    for (i, len) in [5, 300, 0, 5000, 1].into_iter().enumerate() {
        bytes.extend(frame(Client, PING, [i as u8]));
        bytes.extend(frame(Client, BINARY, vec![i as u8; len]));
        messages.push(Message::from(vec![i as u8; len]));
    }
    bytes.extend(frames(Client, [(TEXT_BEGINS, "in "), (GOES_ON, "three "), (ENDS, "parts")]));
    messages.push(Message::from("in three parts"));
    (bytes, messages)
}

/// After each read of `step` bytes the socket is taken apart and put together, one way or the other.
async fn taken_apart(steps: &[usize], ways: &[&str]) {
    let (bytes, messages) = talk();
    for &step in steps {
        for &way in ways {
            let line = wire(if way == "blocked" { Takes::Nothing } else { Takes::All });
            let mut ws = socket(&line, quiet());
            let mut heard = vec![];
            for piece in bytes.chunks(step) {
                line.say(piece);
                match way {
                    "parts" => {
                        let got = timeout(Duration::from_millis(1), ws.recv()).await;
                        heard.extend(got.ok().and_then(|message| message.unwrap()));
                        let (io, connection, epoch) = ws.into_parts();
                        ws = WebSocket::from_connection(io, connection, epoch);
                    }
                    "halves" => {
                        let (mut rx, mut tx) = ws.split();
                        let got = timeout(Duration::from_millis(1), rx.recv()).await;
                        heard.extend(got.ok().and_then(|message| message.unwrap()));
                        tx.feed("x").await.unwrap();
                        ws = rx.reunite(tx).unwrap();
                    }
                    "other adapter" => {
                        let got = timeout(Duration::from_millis(1), ws.recv()).await;
                        heard.extend(got.ok().and_then(|message| message.unwrap()));
                        let (io, connection, epoch) = ws.into_parts();
                        let mut other = net::WebSocket::from_connection(Blocking(io), connection, epoch);
                        other.feed("x").unwrap();
                        match other.recv_timeout(Duration::from_millis(1)) {
                            Err(Error::TimedOut) => {}
                            got => heard.extend(got.unwrap()),
                        }
                        let (io, connection, epoch) = other.into_parts();
                        ws = WebSocket::from_connection(io.0, connection, epoch);
                    }
                    _ => {
                        // A send that is given up reads one message ahead.
                        let _ = timeout(Duration::from_millis(1), ws.send("x")).await;
                        let (io, connection, epoch) = ws.into_parts();
                        ws = WebSocket::from_connection(io, connection, epoch);
                    }
                }
            }
            while let Ok(message) = timeout(Duration::from_millis(1), ws.recv()).await {
                heard.extend(message.unwrap());
            }
            assert_eq!(heard, messages, "{way}, by {step} bytes");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_taken_apart_anywhere_loses_nothing() {
    taken_apart(&[1, 7, 100, 4000, 10_000], &["parts", "halves", "blocked"]).await;
}

/// The blocking adapter knows the true clock only.
#[tokio::test]
async fn a_socket_that_goes_to_the_other_adapter_and_back_loses_nothing() {
    taken_apart(&[100, 4000, 10_000], &["other adapter"]).await;
}

#[tokio::test(start_paused = true)]
async fn halves_of_two_sockets_are_not_one() {
    let (a, b) = (wire(Takes::All), wire(Takes::All));
    let (rx_a, tx_a) = socket(&a, quiet()).split();
    let (rx_b, tx_b) = socket(&b, quiet()).split();
    let error = rx_a.reunite(tx_b).unwrap_err();
    let (mut ws_a, mut ws_b) = (error.0.reunite(tx_a).unwrap(), rx_b.reunite(error.1).unwrap());
    ws_a.send("a").await.unwrap();
    ws_b.send("b").await.unwrap();
    assert_eq!((&a.ends().taken[..], &b.ends().taken[..]), (&b"\x81\x01a"[..], &b"\x81\x01b"[..]));
}

/// `ready` may be given up and called again as often as one likes: it takes one message ahead at the most,
/// and queues nothing.
#[tokio::test(start_paused = true)]
async fn waiting_for_room_takes_one_message_ahead_and_loses_nothing() {
    for halves in [false, true] {
        let line = wire(Takes::Nothing);
        let mut config = quiet();
        config.high_water = 100;
        let mut ws = socket(&line, config);
        let (bytes, messages) = talk();
        line.say(&bytes);
        ws.ready().await.unwrap();
        ws.feed(vec![7; 200]).await.unwrap();
        assert!(!ws.has_room());
        let refused = ws.try_feed(String::from("more")).unwrap_err();
        assert_eq!((refused.error, &*refused.message), (SendError::Full, "more"));
        let ws = if halves {
            let (rx, mut tx) = ws.split();
            for _ in 0..5 {
                assert!(timeout(Duration::from_millis(1), tx.ready()).await.is_err());
                assert_eq!(tx.try_feed("more").unwrap_err().error, SendError::Full);
            }
            rx.reunite(tx).unwrap()
        } else {
            for _ in 0..5 {
                assert!(timeout(Duration::from_millis(1), ws.ready()).await.is_err());
            }
            ws
        };
        let mut ws = ws;
        // What one read brought at the most.
        let queued = ws.queued();
        line.change(|ends| ends.room = queued);
        timeout(Duration::from_millis(1), ws.ready()).await.expect("there is room").unwrap();
        ws.try_feed("more").unwrap();
        let mut heard = vec![];
        while let Ok(message) = timeout(Duration::from_millis(1), ws.recv()).await {
            heard.extend(message.unwrap());
        }
        assert_eq!(heard, messages, "halves: {halves}");
    }
}

#[test]
fn a_receive_with_a_limit_loses_nothing() {
    for halves in [false, true] {
        let line = wire(Takes::All);
        let mut ws = net::WebSocket::new(Blocking(line.clone()), Upgrade::server(Agreement::default()), quiet(), &[]);
        let (bytes, messages) = talk();
        let limit = Duration::from_millis(2);
        let mut heard = vec![];
        let mut hear = |got: Result<Option<Message<'static>>, Error>| match got {
            Err(Error::TimedOut) => false,
            got => {
                heard.extend(got.unwrap());
                true
            }
        };
        if halves {
            let (mut rx, _tx) = ws.split().unwrap();
            for piece in bytes.chunks(200) {
                line.say(piece);
                while hear(rx.recv_timeout(limit)) {}
            }
        } else {
            for piece in bytes.chunks(200) {
                line.say(piece);
                while hear(ws.recv_timeout(limit)) {}
            }
        }
        assert_eq!(heard, messages, "halves: {halves}");
    }
}

/// A limit that is set later holds from then on: for messages, for room, and for deadlines that run.
#[tokio::test(start_paused = true)]
async fn another_configuration_holds_from_now_on() {
    for halves in [false, true] {
        let line = wire(Takes::Nothing);
        let ws = socket(&line, quiet());
        let mut short = quiet();
        short.stall_timeout = Some(Duration::from_secs(5));
        short.high_water = 10;
        let (mut rx, mut tx) = ws.split();
        if !halves {
            let mut ws = rx.reunite(tx).unwrap();
            assert!(timeout(Duration::from_secs(1), ws.send("blocked")).await.is_err());
            ws.set_config(short);
            assert!(timeout(Duration::from_secs(5), ws.flush()).await.expect("in time").is_err());
            continue;
        }
        // The receiver waits already, and finds the new deadline all the same.
        tx.try_feed("blocked").unwrap();
        let receiving = tokio::spawn(async move { rx.recv().await.map(drop) });
        sleep(Duration::from_secs(1)).await;
        tx.set_config(short);
        let got = timeout(Duration::from_secs(5), receiving).await.expect("in time").unwrap();
        assert!(matches!(got, Err(Error::StallTimeout)), "{got:?}");
    }
    let line = wire(Takes::All);
    let mut ws = socket(&line, quiet());
    let mut small = quiet();
    small.max_message_size = 10;
    ws.set_config(small);
    line.say(&frame(Client, BINARY, [7; 11]));
    assert!(matches!(ws.recv().await, Err(Error::Protocol(_))) || ws.closed().is_some());
    assert_eq!(
        parse(Server, &line.ends().taken).first().map(|(first, data)| (*first, data[..2].to_vec())),
        Some((CLOSE, 1009_u16.to_be_bytes().to_vec()))
    );
}

/// `drain` answers, sees the end, and keeps nothing; given up, it goes on in the next call.
#[tokio::test(start_paused = true)]
async fn draining_answers_and_sees_the_end() {
    let line = wire(Takes::All);
    let mut ws = socket(&line, quiet());
    let (bytes, _) = talk();
    for piece in [&bytes[..], &close_frame(Client, 1001, "gone")].concat().chunks(97) {
        line.say(piece);
        let _ = timeout(Duration::from_millis(1), ws.drain()).await;
    }
    line.change(|ends| ends.ended = true);
    ws.drain().await.unwrap();
    assert!(ws.closed().is_some_and(|closed| closed.is_clean() && closed.code.get() == 1001));
    let said: Vec<_> = parse(Server, &line.ends().taken).into_iter().map(|(first, _)| first).collect();
    assert_eq!(said, [vec![PONG; 5], vec![CLOSE]].concat());
}
