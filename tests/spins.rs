//! Nothing runs in circles: the same inputs at the same time ask for no second call. Polls are
//! counted, and the calls into a transport.
#![cfg(feature = "tokio")]

mod common;
#[path = "common/counting.rs"]
mod counting;

use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use counting::*;
use futures_util::stream::FuturesUnordered;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use openline::Role::Client;
use openline::net::{self, Transport};
use openline::tokio::WebSocket;
use openline::{Agreement, Config, Message, Upgrade};
use tokio::time::{sleep, timeout};

fn socket(wire: &Wire, config: Config) -> WebSocket<Wire> {
    WebSocket::new(wire.clone(), Upgrade::server(Agreement::default()), config, &[])
}

/// A wire whose peer takes everything, or nothing.
fn wire(takes: Takes) -> Wire {
    let wire = Wire::default();
    wire.begin(Client, Says::Nothing, takes);
    wire
}

/// How often a future is polled until it has not been woken: it must wait in the end.
async fn polls_until_it_waits<F: Future>(future: F) -> usize {
    let mut future = pin!(future);
    let mut polls = 0;
    // The clock is paused, so the time that is given ends only when nothing is woken any more; then
    // there is one poll more.
    let _ = timeout(
        Duration::from_millis(1),
        poll_fn(|cx| {
            polls += 1;
            assert!(polls < 100, "it wakes itself for ever");
            future.as_mut().poll(cx).map(drop)
        }),
    )
    .await;
    polls
}

// Idle connections.

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_is_not_woken() {
    for keepalive in [false, true] {
        let config = if keepalive { Config::default() } else { quiet() };
        let mut ws = socket(&wire(Takes::All), config);
        assert!(polls_until_it_waits(ws.recv()).await <= 2);
        assert!(polls_until_it_waits(ws.next()).await <= 2);
        let (mut rx, mut tx) = ws.split();
        tx.send("hello").await.unwrap();
        assert!(polls_until_it_waits(rx.recv()).await <= 3);
        let mut ws = socket(&wire(Takes::Nothing), config);
        assert!(polls_until_it_waits(ws.send("hello")).await <= 2);
        assert!(polls_until_it_waits(ws.recv()).await <= 2);
    }
}

/// What `forward` does on a connection where nothing happens: `poll_next` waits, then `poll_flush` has
/// nothing to do.
#[tokio::test(start_paused = true)]
async fn a_task_that_polls_stream_and_sink_waits() {
    let ws = || socket(&wire(Takes::All), quiet());
    let (rx, tx) = ws().split();
    polls_until_it_waits(rx.forward(tx)).await;
    let (sink, stream) = StreamExt::split(ws());
    polls_until_it_waits(stream.forward(sink)).await;
    let mut ws = ws();
    let both = poll_fn(|cx| {
        assert!(Pin::new(&mut ws).poll_next(cx).is_pending());
        Sink::<Message<'_>>::poll_flush(Pin::new(&mut ws), cx).map(|flushed| flushed.unwrap()).is_ready();
        Poll::<()>::Pending
    });
    polls_until_it_waits(both).await;
}

/// Two tasks, of which one sends again and again and the other waits: that wakes it in vain, but only
/// as often as something was sent.
#[tokio::test(start_paused = true)]
async fn a_receiver_is_not_polled_more_often_than_something_is_sent() {
    let line = wire(Takes::All);
    let (mut rx, mut tx) = socket(&line, quiet()).split();
    let receiving = tokio::spawn(async move { rx.recv().await.map(drop) });
    for _ in 0..100 {
        tx.send("hello").await.unwrap();
        sleep(Duration::from_millis(1)).await;
    }
    let calls = line.ends().calls;
    assert!(calls < 100 * 8, "{calls} calls for 100 messages");
    receiving.abort();
}

// Both directions blocked.

async fn halves_after(change: impl FnOnce(&Wire), config: Config) {
    let line = wire(Takes::Nothing);
    let (mut rx, mut tx) = socket(&line, config).split();
    let sending = tokio::spawn(async move {
        let _ = tx.send(vec![7; 1000]).await;
    });
    let receiving = tokio::spawn(async move { while rx.recv().await.is_ok_and(|message| message.is_some()) {} });
    sleep(Duration::from_millis(10)).await;
    let before = line.ends().calls;
    change(&line);
    sleep(Duration::from_millis(10)).await;
    let calls = line.ends().calls - before;
    assert!(calls < 40, "{calls} calls");
    timeout(Duration::from_secs(200), async {
        sending.await.unwrap();
        receiving.await.unwrap();
    })
    .await
    .expect("both end");
}

#[tokio::test(start_paused = true)]
async fn halves_wait_though_one_of_them_is_blocked() {
    let fin = |ends: &mut Ends| ends.ended = true;
    halves_after(|line| line.change(fin), Config::default()).await;
    halves_after(|line| line.change(fin), quiet()).await;
    halves_after(|line| line.say(&frame(Client, PING, "p")), Config::default()).await;
    halves_after(|line| line.say(&close_frame(Client, 1000, "")), Config::default()).await;
    halves_after(|line| line.say(&[0x83]), Config::default()).await;
    halves_after(|line| line.change(|ends| (ends.room, ends.flush_blocks) = (usize::MAX, true)), Config::default())
        .await;
    halves_after(|line| line.change(|ends| (ends.room, ends.flush_fails) = (usize::MAX, true)), Config::default())
        .await;
    halves_after(|line| line.say(&frame(Client, BINARY, "whole")), Config::default()).await;
    // The beginning of a message.
    halves_after(|line| line.say(&frame(Client, BINARY, "in part")[..8]), Config::default()).await;
}

#[tokio::test(start_paused = true)]
async fn halves_wait_in_the_middle_of_a_message_without_a_limit() {
    let mut config = Config::default();
    config.max_message_size = u64::MAX;
    halves_after(|line| line.say(&frame(Client, BINARY, "in part")[..8]), config).await;
}

#[tokio::test(start_paused = true)]
async fn halves_wait_in_the_middle_of_a_message_in_chunks() {
    let line = wire(Takes::Nothing);
    let (mut rx, mut tx) = socket(&line, quiet()).split();
    let receiving = tokio::spawn(async move { while rx.recv_chunk().await.is_ok_and(|chunk| chunk.is_some()) {} });
    sleep(Duration::from_millis(10)).await;
    line.say(&frame(Client, BINARY, "in part")[..8]);
    sleep(Duration::from_millis(10)).await;
    let sending = tokio::spawn(async move {
        let _ = tx.send(vec![7; 1000]).await;
    });
    sleep(Duration::from_millis(10)).await;
    let calls = line.ends().calls;
    assert!(calls < 40, "{calls} calls");
    sending.abort();
    receiving.abort();
}

/// A deadline that is long past when somebody looks: it is passed once.
#[tokio::test(start_paused = true)]
async fn deadlines_in_the_past_are_passed_once() {
    for wait in [30, 100, 1000] {
        for takes in [Takes::All, Takes::Nothing, Takes::NoFlush] {
            let line = wire(takes);
            let mut ws = socket(&line, Config::default());
            assert!(timeout(Duration::from_millis(1), ws.recv()).await.is_err());
            // Nobody polls it meanwhile.
            sleep(Duration::from_secs(wait)).await;
            let before = line.ends().calls;
            let _ = timeout(Duration::from_millis(1), ws.recv()).await;
            assert!(line.ends().calls - before < 12, "{wait} s, {takes:?}");
            let _ = timeout(Duration::from_millis(1), ws.send(vec![0; 100])).await;
            assert!(line.ends().calls - before < 24, "{wait} s, {takes:?}");
        }
    }
}

// `StreamExt::split`: two tasks, one socket.

#[tokio::test(start_paused = true)]
async fn a_split_sender_is_woken_though_the_stream_was_polled_later() {
    for unordered in [false, true] {
        let line = wire(Takes::Nothing);
        let (mut sink, mut stream) = StreamExt::split(socket(&line, quiet()));
        let a = async move {
            sink.send(Message::from(vec![1; 10_000])).await.unwrap();
            "a"
        };
        let b = async move {
            sleep(Duration::from_millis(50)).await;
            stream.next().await;
            "b"
        };
        let peer = async {
            sleep(Duration::from_millis(100)).await;
            line.change(|ends| ends.room = usize::MAX);
            "peer"
        };
        if unordered {
            let tasks: FuturesUnordered<Pin<Box<dyn Future<Output = &str>>>> = FuturesUnordered::new();
            tasks.push(Box::pin(a));
            tasks.push(Box::pin(b));
            tasks.push(Box::pin(peer));
            let ended: Vec<_> = timeout(Duration::from_secs(2), tasks.take(2).collect()).await.expect("all was taken");
            assert_eq!(ended, ["peer", "a"]);
        } else {
            let (a, b) = (tokio::spawn(a), tokio::spawn(b));
            peer.await;
            timeout(Duration::from_secs(2), a).await.expect("all was taken, and `send` returns").unwrap();
            b.abort();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_split_stream_is_woken_though_the_sink_was_polled_later() {
    for unordered in [false, true] {
        let line = wire(Takes::Nothing);
        let (mut sink, mut stream) = StreamExt::split(socket(&line, quiet()));
        let b = async move {
            assert!(stream.next().await.unwrap().is_ok());
            "b"
        };
        let a = async move {
            sleep(Duration::from_millis(50)).await;
            sink.send(Message::from(vec![1; 10_000])).await.unwrap();
            "a"
        };
        let peer = async {
            sleep(Duration::from_millis(100)).await;
            line.say(&frame(Client, TEXT, "hi"));
            "peer"
        };
        if unordered {
            let tasks: FuturesUnordered<Pin<Box<dyn Future<Output = &str>>>> = FuturesUnordered::new();
            tasks.push(Box::pin(a));
            tasks.push(Box::pin(b));
            tasks.push(Box::pin(peer));
            let ended: Vec<_> = timeout(Duration::from_secs(2), tasks.take(2).collect()).await.expect("a message came");
            assert_eq!(ended, ["peer", "b"]);
        } else {
            let (a, b) = (tokio::spawn(a), tokio::spawn(b));
            peer.await;
            timeout(Duration::from_secs(2), b).await.expect("a message came, and `next` returns").unwrap();
            a.abort();
        }
    }
}

/// Polls by hand, from two tasks, in the order that would lose a wake-up.
#[tokio::test(start_paused = true)]
async fn each_wake_reaches_the_task_that_waits_for_it() {
    use std::task::{Context, Wake, Waker};
    #[derive(Default)]
    struct Count(AtomicU64);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    for stream_first in [true, false] {
        let line = wire(Takes::Nothing);
        let mut ws = socket(&line, quiet());
        let (a, b) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let (waker_a, waker_b) = (Waker::from(Arc::clone(&a)), Waker::from(Arc::clone(&b)));
        ws.start_send_unpin(Message::from(vec![1; 1000])).unwrap();
        let flush = |ws: &mut WebSocket<Wire>| {
            Sink::<Message<'_>>::poll_flush(Pin::new(ws), &mut Context::from_waker(&waker_a)).is_pending()
        };
        let next = |ws: &mut WebSocket<Wire>| ws.poll_next_unpin(&mut Context::from_waker(&waker_b)).is_pending();
        if stream_first {
            assert!(next(&mut ws) && flush(&mut ws));
        } else {
            assert!(flush(&mut ws) && next(&mut ws));
        }
        // Time for the word to each other.
        for _ in 0..5 {
            assert!(flush(&mut ws) && next(&mut ws));
        }
        let (before_a, before_b) = (a.0.load(Relaxed), b.0.load(Relaxed));
        assert!(before_a < 5 && before_b < 5, "{before_a} and {before_b} wakes");
        line.change(|ends| ends.room = 10);
        assert!(a.0.load(Relaxed) > before_a, "the sender is woken");
        assert!(flush(&mut ws) && next(&mut ws) && flush(&mut ws));
        let before_b = b.0.load(Relaxed);
        line.say(&frame(Client, TEXT, "hi"));
        assert!(b.0.load(Relaxed) > before_b, "the receiver is woken");
    }
}

// The blocking adapter over TCP.

struct Counted(TcpStream, Arc<AtomicU64>);

impl Read for Counted {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.1.fetch_add(1, Relaxed);
        self.0.read(space)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.fetch_add(1, Relaxed);
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1.fetch_add(1, Relaxed);
        Ok(())
    }
}

impl Transport for Counted {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_write_timeout(timeout)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn try_clone(&self) -> io::Result<Counted> {
        Ok(Counted(self.0.try_clone()?, Arc::clone(&self.1)))
    }
}

/// A sender is blocked, and then the peer does this. How many calls it takes until both halves have ended.
fn blocked_halves(config: Config, chunks: bool, then: impl FnOnce(&mut TcpStream)) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    let calls = Arc::new(AtomicU64::new(0));
    let upgrade = Upgrade::server(Agreement::default());
    let ws = net::WebSocket::new(Counted(ours, Arc::clone(&calls)), upgrade, config, &[]);
    let (mut rx, mut tx) = ws.split().unwrap();
    // More than the kernel takes; nobody reads it.
    let sending = thread::spawn(move || tx.send(vec![0; 64 << 20]));
    thread::sleep(Duration::from_millis(200));
    calls.store(0, Relaxed);
    let begun = Instant::now();
    then(&mut peer);
    if chunks {
        while rx.recv_chunk().is_ok_and(|chunk| chunk.is_some()) {}
    } else {
        while rx.recv().is_ok_and(|message| message.is_some()) {}
    }
    assert!(sending.join().unwrap().is_err());
    let (calls, took) = (calls.load(Relaxed), begun.elapsed());
    // A write gives up after 50 ms, a brief read after 5.
    assert!(u128::from(calls) < 50 + took.as_millis(), "{calls} calls in {took:?}");
    drop(peer);
}

#[test]
fn blocked_halves_over_tcp_do_not_run_in_circles() {
    let mut config = quiet();
    (config.close_timeout, config.stall_timeout) = (Duration::from_millis(600), Some(Duration::from_millis(800)));
    let limitless = {
        let mut config = config;
        config.max_message_size = u64::MAX;
        config
    };
    let in_part = || frame(Client, BINARY, "in part")[..8].to_vec();
    let threads = [
        thread::spawn(move || blocked_halves(config, false, |peer| peer.shutdown(Shutdown::Write).unwrap())),
        thread::spawn(move || blocked_halves(config, true, |peer| peer.shutdown(Shutdown::Write).unwrap())),
        thread::spawn(move || {
            blocked_halves(config, false, |peer| peer.write_all(&close_frame(Client, 1000, "")).unwrap())
        }),
        thread::spawn(move || blocked_halves(config, false, |peer| peer.write_all(&[0x83]).unwrap())),
        thread::spawn(move || blocked_halves(config, false, |_| ())),
        thread::spawn(move || blocked_halves(config, true, move |peer| peer.write_all(&in_part()).unwrap())),
        thread::spawn(move || blocked_halves(limitless, false, move |peer| peer.write_all(&in_part()).unwrap())),
    ];
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// The same in memory, where a transport may have flushes that fail or block.
#[test]
fn blocked_halves_in_memory_do_not_run_in_circles() {
    let mut config = quiet();
    (config.close_timeout, config.stall_timeout) = (Duration::from_millis(300), Some(Duration::from_millis(400)));
    for what in ["end", "flush blocks", "flush fails", "in part"] {
        let line = wire(Takes::Nothing);
        let upgrade = Upgrade::server(Agreement::default());
        let ws = net::WebSocket::new(Blocking(line.clone()), upgrade, config, &[]);
        let (mut rx, mut tx) = ws.split().unwrap();
        let sending = thread::spawn(move || tx.send(vec![0; 1 << 20]).is_ok());
        thread::sleep(Duration::from_millis(60));
        let begun = Instant::now();
        let before = line.ends().calls;
        line.change(|ends| match what {
            "end" => ends.ended = true,
            "flush blocks" => (ends.room, ends.flush_blocks) = (usize::MAX, true),
            "flush fails" => (ends.room, ends.flush_fails) = (usize::MAX, true),
            _ => ends.incoming.extend(&frame(Client, BINARY, "in part")[..8]),
        });
        while rx.recv().is_ok_and(|message| message.is_some()) {}
        let sent = sending.join().unwrap();
        // What a send says whose flush failed is another test's, in `kept.rs`.
        assert!(!sent || what.starts_with("flush"), "{what}");
        let (calls, took) = (line.ends().calls - before, begun.elapsed());
        assert!((calls as u128) < 50 + took.as_millis(), "{what}: {calls} calls in {took:?}");
    }
}

/// A transport whose two handles go by turns, so that the end is seen by one of them while the other reads.
struct Handle {
    /// What happened: the sender reads; the receiver has been refused.
    turns: Arc<(Mutex<[bool; 2]>, Condvar)>,
    sends: bool,
}

impl Handle {
    fn happens(&self, what: usize) {
        self.turns.0.lock().unwrap()[what] = true;
        self.turns.1.notify_all();
    }

    fn wait_for(&self, what: usize) {
        drop(self.turns.1.wait_while(self.turns.0.lock().unwrap(), |turns| !turns[what]).unwrap());
        // So that the other one has gone on from there.
        thread::sleep(Duration::from_millis(30));
    }
}

impl Read for Handle {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        if self.sends {
            self.happens(0);
            self.wait_for(1);
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

impl Write for Handle {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        if !self.sends {
            self.wait_for(0);
            self.happens(1);
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Handle {
    fn try_clone(&self) -> io::Result<Handle> {
        Ok(Handle { turns: Arc::clone(&self.turns), sends: true })
    }
}

/// The receiver finds out that the peer takes nothing for too long, while the sender, which is blocked,
/// has the turn to read. Both must come to their end.
#[test]
fn a_receiver_that_sees_the_end_lets_its_sender_see_it() {
    let mut config = quiet();
    config.stall_timeout = Some(Duration::from_millis(20));
    let io = Handle { turns: Arc::default(), sends: false };
    let ws = net::WebSocket::new(io, Upgrade::server(Agreement::default()), config, &[]);
    let (mut rx, mut tx) = ws.split().unwrap();
    let (done, ended) = mpsc::channel();
    let other = done.clone();
    thread::spawn(move || {
        let _ = done.send(tx.send("hello").is_err());
    });
    // Until the sender reads.
    thread::sleep(Duration::from_millis(10));
    thread::spawn(move || {
        let _ = rx.recv();
        let _ = other.send(true);
    });
    for _ in 0..2 {
        assert_eq!(ended.recv_timeout(Duration::from_secs(10)), Ok(true), "both hang");
    }
}

/// A chunk reader is blocked in a send, the peer breaks the protocol, and goes on talking. What it says
/// then is read and dropped: neither is it kept, nor is the end of the transport seen where there is none.
#[tokio::test(start_paused = true)]
async fn what_comes_after_an_error_is_read_and_dropped_while_a_send_is_blocked() {
    let line = wire(Takes::Nothing);
    let mut ws = socket(&line, quiet());
    line.say(&frame(Client, BINARY, "chunk"));
    assert!(ws.recv_chunk().await.unwrap().is_some());
    let sending = tokio::spawn(async move { ws.send(vec![7; 1000]).await.is_err() });
    sleep(Duration::from_millis(10)).await;
    line.say(&[0x83]);
    sleep(Duration::from_millis(10)).await;
    for _ in 0..3 {
        line.say(&frame(Client, BINARY, "more"));
        sleep(Duration::from_millis(10)).await;
    }
    assert!(line.ends().incoming.is_empty());
    assert!(!sending.is_finished());
    assert!(sending.await.unwrap());
}
