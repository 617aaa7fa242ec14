//! What was accepted is sent, or said to be lost; and no clock runs from the wrong moment: while the
//! application works, while nobody reads, or while bytes lie unread in the transport.
#![cfg(feature = "tokio")]

mod common;
#[path = "common/counting.rs"]
mod counting;
#[path = "common/line.rs"]
mod line;

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use common::*;
use futures_util::{FutureExt, SinkExt, StreamExt};
use openline::Role::{Client, Server};
use openline::tokio::WebSocket;
use openline::{Agreement, Cause, Config, Error, Event, Message, Upgrade, net};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{sleep, timeout};

fn server(io: DuplexStream) -> WebSocket<DuplexStream> {
    WebSocket::new(io, Upgrade::server(Agreement::default()), Config::default(), &[])
}

fn bye() -> Vec<u8> {
    close_frame(Client, 1000, "")
}

/// A peer that begins to read after `after`, and says everything that came until the end.
fn reads_later(mut peer: DuplexStream, after: Duration) -> tokio::task::JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        sleep(after).await;
        let mut all = vec![];
        peer.read_to_end(&mut all).await.unwrap();
        all
    })
}

// Loops that answer everything.

const LONG: usize = 12_000_000;

/// How an application answers what it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loop {
    RecvFeed,
    RecvSend,
    EventFeed,
    HalvesFeed,
    HalvesSend,
    Forward,
    HalvesForward,
    SplitSend,
}

async fn echo(ws: WebSocket<DuplexStream>, how: Loop) -> Result<(), Error> {
    let mut ws = ws;
    match how {
        Loop::RecvFeed => {
            while let Some(message) = ws.recv().await? {
                ws.feed(message).await?;
            }
        }
        Loop::RecvSend => {
            while let Some(message) = ws.recv().await? {
                ws.send(message).await?;
            }
        }
        Loop::EventFeed => {
            while let Some(event) = ws.event().await? {
                if let Event::Message(message) = event.into_owned() {
                    ws.feed(message).await?;
                }
            }
        }
        Loop::HalvesFeed => {
            let (mut rx, mut tx) = ws.split();
            while let Some(message) = rx.recv().await? {
                tx.feed(message).await?;
            }
        }
        Loop::HalvesSend => {
            let (mut rx, mut tx) = ws.split();
            while let Some(message) = rx.recv().await? {
                tx.send(message).await?;
            }
        }
        Loop::Forward => {
            let (sink, stream) = StreamExt::split(ws);
            stream.forward(sink).await?;
        }
        Loop::HalvesForward => {
            let (rx, tx) = ws.split();
            rx.forward(tx).await?;
        }
        Loop::SplitSend => {
            let (mut sink, mut stream) = StreamExt::split(ws);
            while let Some(message) = stream.next().await {
                sink.send(message?).await?;
            }
        }
    }
    Ok(())
}

const LOOPS: [Loop; 8] = [
    Loop::RecvFeed,
    Loop::RecvSend,
    Loop::EventFeed,
    Loop::HalvesFeed,
    Loop::HalvesSend,
    Loop::Forward,
    Loop::HalvesForward,
    Loop::SplitSend,
];

fn long_short_bye() -> Vec<u8> {
    [frame(Client, BINARY, vec![1; LONG]), frame(Client, BINARY, [2]), bye()].concat()
}

#[tokio::test(start_paused = true)]
async fn all_that_a_loop_answers_arrives_at_a_peer_that_reads_later() {
    answers_arrive(LOOPS.iter().filter(|how| !matches!(how, Loop::Forward | Loop::HalvesForward))).await;
}

/// The sink of `StreamExt::split` keeps one message by itself, which it may give to the socket too late:
/// that one is said to be lost, and what the socket had accepted before arrives.
#[tokio::test(start_paused = true)]
async fn all_that_forward_gave_to_the_socket_arrives_at_a_peer_that_reads_later() {
    answers_arrive([Loop::Forward].iter()).await;
}

/// On a clock that stands still while anything runs, to run in circles is to hang.
#[tokio::test(start_paused = true)]
async fn all_that_forward_gave_to_a_half_arrives_at_a_peer_that_reads_later() {
    answers_arrive([Loop::HalvesForward].iter()).await;
}

async fn answers_arrive(loops: impl Iterator<Item = &Loop>) {
    for &how in loops {
        for ends in [false, true] {
            let (peer, ours) = duplex(64 * 1024);
            let (mut from, mut to) = tokio::io::split(peer);
            let writer = tokio::spawn(async move {
                to.write_all(&long_short_bye()).await.unwrap();
                if ends {
                    to.shutdown().await.unwrap();
                }
                to
            });
            let reader = tokio::spawn(async move {
                sleep(Duration::from_secs(1)).await;
                let mut all = vec![];
                from.read_to_end(&mut all).await.unwrap();
                all
            });
            let end = echo(server(ours), how).await;
            let all = reader.await.unwrap();
            drop(writer.await.unwrap());
            // The second answer may be refused, but not in silence.
            let refused = how == Loop::Forward && end.as_ref().is_err_and(Error::is_closed);
            assert!(end.is_ok() || refused, "{how:?}, ends: {ends}, {end:?}");
            let expected = [(BINARY, LONG), (BINARY, 1), (CLOSE, 2)];
            let lens = if refused { 10 + LONG + 4 } else { 10 + LONG + 3 + 4 };
            assert_eq!(all.len(), lens, "{how:?}, ends: {ends}, {end:?}");
            let said: Vec<_> = parse(Server, &all).into_iter().map(|(first, data)| (first, data.len())).collect();
            assert!(said.iter().eq(expected.iter().filter(|(_, len)| !refused || *len != 1)), "{how:?}: {said:?}");
        }
    }
}

#[test]
fn all_that_a_loop_over_tcp_answers_arrives_at_a_peer_that_reads_later() {
    let threads = ["recv, feed", "recv, send", "halves, feed", "halves, send"].map(|how| {
        thread::spawn(move || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (ours, _) = listener.accept().unwrap();
            let mut to = peer.try_clone().unwrap();
            let writer = thread::spawn(move || to.write_all(&long_short_bye()).unwrap());
            let reader = thread::spawn(move || {
                thread::sleep(Duration::from_millis(300));
                let mut all = vec![];
                peer.read_to_end(&mut all).unwrap();
                all
            });
            let mut ws = net::WebSocket::new(ours, Upgrade::server(Agreement::default()), Config::default(), &[]);
            let end = (|| -> Result<(), Error> {
                match how {
                    "recv, feed" => {
                        while let Some(message) = ws.recv()? {
                            ws.feed(message)?;
                        }
                    }
                    "recv, send" => {
                        while let Some(message) = ws.recv()? {
                            ws.send(message)?;
                        }
                    }
                    _ => {
                        let (mut rx, mut tx) = ws.split()?;
                        while let Some(message) = rx.recv()? {
                            if how == "halves, feed" { tx.feed(message)? } else { tx.send(message)? }
                        }
                    }
                }
                Ok(())
            })();
            writer.join().unwrap();
            let all = reader.join().unwrap();
            let said: Vec<_> = parse(Server, &all).into_iter().map(|(first, data)| (first, data.len())).collect();
            assert_eq!(said, [(BINARY, LONG), (BINARY, 1), (CLOSE, 2)], "{how}, {end:?}");
            assert!(end.as_ref().err().is_none_or(Error::is_closed), "{how}, {end:?}");
        })
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

// The time to close.

/// A job and goodbye come in one read; the job takes longer than `close_timeout`; the peer reads the
/// answer a second later. How the answer is sent makes no difference.
async fn answer_after_a_long_job(how: &str) {
    let (mut peer, ours) = duplex(64);
    let mut ws = server(ours);
    peer.write_all(&[frame(Client, TEXT, "a"), bye()].concat()).await.unwrap();
    assert_eq!(ws.recv().await.unwrap(), Some(Message::from("a")));
    sleep(Duration::from_secs(11)).await;
    let reader = reads_later(peer, Duration::from_secs(1));
    let closed = match how {
        "halves" => {
            let (mut rx, mut tx) = ws.split();
            tx.feed(vec![7; 1000]).await.unwrap();
            let _ = rx.recv().await;
            rx.closed()
        }
        _ => {
            match how {
                "feed" => ws.feed(vec![7; 1000]).await.unwrap(),
                "send" => ws.send(vec![7; 1000]).await.unwrap(),
                "drain" => {
                    ws.feed(vec![7; 1000]).await.unwrap();
                    ws.drain().await.unwrap();
                }
                "close" => {
                    ws.feed(vec![7; 1000]).await.unwrap();
                    ws.close(1000.into(), "").await.unwrap();
                }
                other => panic!("{other}"),
            }
            let _ = ws.recv().await;
            ws.closed().cloned()
        }
    };
    let all = reader.await.unwrap();
    assert_eq!(all.len(), 4 + 1000 + 4, "{how}: {closed:?}");
    assert_eq!(closed.map(|closed| closed.cause), Some(Cause::Clean), "{how}");
}

#[tokio::test(start_paused = true)]
async fn the_time_to_close_does_not_run_while_the_application_works() {
    for how in ["feed", "halves", "drain", "close"] {
        answer_after_a_long_job(how).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_to_close_of_a_frame_that_is_read_ahead_does_not_run_before() {
    answer_after_a_long_job("send").await;
}

/// The same over TCP with the blocking adapter. The answer is more than the kernel takes.
fn answer_after_a_long_job_over_tcp(how: &'static str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    let mut config = quiet();
    config.close_timeout = Duration::from_millis(500);
    peer.write_all(&[frame(Client, TEXT, "a"), bye()].concat()).unwrap();
    let mut ws = net::WebSocket::new(ours, Upgrade::server(Agreement::default()), config, &[]);
    assert_eq!(ws.recv().unwrap(), Some(Message::from("a")));
    thread::sleep(Duration::from_millis(700));
    let reader = thread::spawn(move || {
        thread::sleep(Duration::from_millis(150));
        let mut all = vec![];
        let _ = peer.read_to_end(&mut all);
        all
    });
    let answer = vec![7; LONG];
    let (end, closed) = match how {
        "feed" => {
            ws.feed(answer).unwrap();
            (ws.recv().map(drop), ws.closed().cloned())
        }
        _ => {
            let sent = ws.send(answer);
            (sent.and(ws.recv().map(drop)), ws.closed().cloned())
        }
    };
    let all = reader.join().unwrap();
    assert_eq!(all.len(), 10 + LONG + 4, "{how}: {end:?} {closed:?}");
    assert_eq!(closed.map(|closed| closed.cause), Some(Cause::Clean), "{how}");
}

#[test]
fn the_time_to_close_does_not_run_while_the_application_works_over_tcp() {
    answer_after_a_long_job_over_tcp("feed");
}

#[test]
fn the_time_to_close_of_a_frame_that_is_read_ahead_does_not_run_before_over_tcp() {
    answer_after_a_long_job_over_tcp("send");
}

/// One half is in a write, which may block for 50 ms, when the other finds the Close frame that lay unread.
#[test]
fn the_time_to_close_begins_with_a_write_of_the_other_half() {
    let wire = counting::Wire::default();
    let mut config = quiet();
    config.close_timeout = Duration::from_millis(1000);
    let upgrade = Upgrade::server(Agreement::default());
    let mut ws = net::WebSocket::new(counting::Blocking(wire.clone()), upgrade, config, &[]);
    wire.say(&[frame(Client, TEXT, "a"), bye()].concat());
    assert_eq!(ws.recv().unwrap(), Some(Message::from("a")));
    thread::sleep(Duration::from_millis(1200));
    let (mut rx, mut tx) = ws.split().unwrap();
    // It is queued before the Close frame is found, whichever thread is first.
    tx.feed("answer").unwrap();
    let sending = thread::spawn(move || tx.flush());
    thread::sleep(Duration::from_millis(10));
    let peer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        wire.change(|ends| (ends.room, ends.ended) = (usize::MAX, true));
        wire
    });
    let end = rx.recv();
    sending.join().unwrap().unwrap();
    assert_eq!(rx.closed().map(|closed| closed.cause), Some(Cause::Clean), "{end:?}");
    let said = parse(Server, &peer.join().unwrap().ends().taken);
    assert_eq!(said, [(TEXT, b"answer".to_vec()), (CLOSE, vec![0x03, 0xe8])]);
}

// Messages of the stream half.

#[tokio::test(start_paused = true)]
async fn closing_the_sink_of_a_split_socket_loses_no_message_of_the_stream() {
    for own in [true, false] {
        let (peer, ours) = duplex(64);
        let (mut from, mut to) = tokio::io::split(peer);
        let ws = server(ours);
        let peer = tokio::spawn(async move {
            for i in 0..20 {
                to.write_all(&frame(Client, BINARY, vec![i; 50])).await.unwrap();
            }
            to.write_all(&bye()).await.unwrap();
            to
        });
        let reader = tokio::spawn(async move {
            sleep(Duration::from_secs(1)).await;
            let mut all = vec![];
            from.read_to_end(&mut all).await.unwrap();
            all
        });
        let got: Vec<_> = if own {
            let (rx, mut tx) = ws.split();
            tx.feed(vec![1; 1000]).await.unwrap();
            tx.close(1000.into(), "").await.unwrap();
            rx.collect().await
        } else {
            let (mut sink, stream) = StreamExt::split(ws);
            sink.feed(Message::from(vec![1; 1000])).await.unwrap();
            sink.close().await.unwrap();
            stream.collect().await
        };
        let got: Vec<_> = got.into_iter().map(|item| item.unwrap().into_bytes()).collect();
        assert_eq!(got, (0..20).map(|i| vec![i; 50]).collect::<Vec<_>>(), "own: {own}");
        let said: Vec<_> = parse(Server, &reader.await.unwrap()).into_iter().map(|(first, _)| first).collect();
        assert_eq!(said, [BINARY, CLOSE]);
        drop(peer.await.unwrap());
    }
}

// Unread Pongs.

/// The Ping that keepalive sends after 25 s, and the Pong to it.
async fn pinged(ws: &mut WebSocket<DuplexStream>, peer: &mut DuplexStream) -> Vec<u8> {
    assert!(timeout(Duration::from_secs(26), ws.recv()).await.is_err());
    let mut ping = [0; 10];
    peer.read_exact(&mut ping).await.unwrap();
    assert_eq!(ping[..2], [PING, 8]);
    frame(Client, PONG, &ping[2..])
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_over_does_not_hide_a_pong() {
    // However much lies before the Pong, and whatever the application does with it.
    for before in [0, 1, 2, 3, 5] {
        let (mut peer, ours) = duplex(1 << 20);
        let mut ws = server(ours);
        let pong = pinged(&mut ws, &mut peer).await;
        for _ in 0..before {
            // With its header exactly a read buffer.
            peer.write_all(&frame(Client, BINARY, vec![0; 65_536 - 8])).await.unwrap();
        }
        peer.write_all(&pong).await.unwrap();
        peer.write_all(&frame(Client, BINARY, "later")).await.unwrap();
        for _ in 0..before {
            assert!(ws.recv().await.unwrap().is_some());
        }
        sleep(Duration::from_secs(30)).await;
        assert_eq!(ws.recv().await.unwrap(), Some(Message::from(&b"later"[..])), "behind {before}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_is_used_up_does_not_hide_a_pong() {
    for call in ["recv", "recv_chunk", "event", "next", "send"] {
        let (mut peer, ours) = duplex(1 << 10);
        let mut ws = server(ours);
        let pong = pinged(&mut ws, &mut peer).await;
        peer.write_all(&pong).await.unwrap();
        peer.write_all(&frame(Client, BINARY, "later")).await.unwrap();
        sleep(Duration::from_secs(30)).await;
        poll_fn(|cx| {
            while let Poll::Ready(done) = tokio::task::coop::poll_proceed(cx) {
                done.made_progress();
            }
            Poll::Ready(())
        })
        .await;
        match call {
            "recv_chunk" => assert!(ws.recv_chunk().await.unwrap().is_some()),
            "event" => assert!(matches!(ws.event().await.unwrap(), Some(Event::Pong { .. }))),
            "next" => assert!(ws.next().await.unwrap().is_ok()),
            "send" => {
                // Blocked: the Pong is read ahead.
                let reader = reads_later(peer, Duration::from_secs(1));
                ws.send(vec![0; 10_000]).await.unwrap();
                assert!(ws.recv().await.unwrap().is_some());
                drop(ws);
                reader.await.unwrap();
            }
            _ => assert!(ws.recv().await.unwrap().is_some()),
        }
    }
}

// A send waits for its own mark.

#[tokio::test(start_paused = true)]
async fn a_message_is_sent_once_the_transport_has_taken_it_however_many_pings_come() {
    for how in ["send", "flush", "halves", "sink", "fragment", "ping"] {
        let (peer, ours) = duplex(128);
        let mut ws = server(ours);
        let (mut read, mut write) = tokio::io::split(peer);
        let peer = tokio::spawn(async move {
            // A Ping for each Pong's length that is read.
            let ping = frame(Client, PING, [7; 125]);
            while write.write_all(&ping).await.is_ok() {
                let mut some = [0; 127];
                if read.read_exact(&mut some).await.is_err() {
                    break;
                }
                sleep(Duration::from_millis(100)).await;
            }
        });
        let sent = async {
            match how {
                "send" => ws.send(vec![0; 1000]).await,
                "fragment" => ws.send_fragment(vec![0; 1000], true).await,
                "ping" => {
                    ws.feed(vec![0; 1000]).await?;
                    ws.ping(b"p").await
                }
                "flush" => {
                    ws.feed(vec![0; 1000]).await?;
                    ws.flush().await
                }
                "sink" => SinkExt::send(&mut ws, Message::from(vec![0; 1000])).await,
                _ => {
                    let (mut rx, mut tx) = ws.split();
                    tokio::select! {
                        sent = tx.send(vec![0; 1000]) => sent,
                        got = rx.recv() => panic!("{got:?}"),
                    }
                }
            }
        };
        let sent = timeout(Duration::from_secs(3600), sent.boxed_local()).await;
        assert!(matches!(sent, Ok(Ok(()))), "{how}: {sent:?}");
        peer.abort();
    }
}

/// The transport took a message and never passed it on. Whoever is told why, a send is not told that it went.
#[tokio::test(start_paused = true)]
async fn a_message_that_was_never_flushed_is_not_sent() {
    let halves = || {
        let line = line::Line::none();
        line.script().flush_blocked = true;
        line::socket(Server, line, Config::default()).split()
    };
    let (mut rx, mut tx) = halves();
    let (sent, got) = tokio::join!(tx.send("hello"), rx.recv());
    assert!(sent.is_err(), "{got:?}");
    // The other order.
    let (mut rx, mut tx) = halves();
    let (got, sent) = tokio::join!(rx.recv(), tx.send("hello"));
    assert!(sent.is_err(), "{got:?}");
}
