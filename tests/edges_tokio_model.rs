//! The tokio adapter under a hostile transport, against a model: messages in order, each once; wake-ups; turns.

#![cfg(feature = "tokio")]

mod common;
#[path = "common/line.rs"]
mod line;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::*;
use line::*;
use openline::Event;
use openline::Role::{Client, Server};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

struct Dice(u64);
impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }
}

fn payload(dice: &mut Dice, i: usize) -> (bool, Vec<u8>) {
    let len = [0, 1, 5, 130, 3000, 20_000, 70_000, 140_000][dice.roll(8).min(dice.roll(8))];
    if dice.roll(2) == 0 {
        let mut text = format!("{i}:");
        while text.len() < len {
            text.push(['a', 'é', '€', '🦀'][dice.roll(4)]);
        }
        (true, text.into_bytes())
    } else {
        let mut data = format!("{i}:").into_bytes();
        while data.len() < len {
            data.push(data.len() as u8 ^ i as u8);
        }
        (false, data)
    }
}

/// What the peer says: messages whole and in fragments, Pings between.
fn talk(dice: &mut Dice, peer: openline::Role, count: usize) -> (Vec<(bool, Vec<u8>)>, Vec<u8>) {
    let (mut all, mut wire) = (vec![], vec![]);
    for i in 0..count {
        let (text, data) = payload(dice, i);
        let opcode = if text { 1 } else { 2 };
        let parts = 1 + dice.roll(3);
        let mut at = 0;
        for part in 0..parts {
            let end = if part + 1 == parts { data.len() } else { at + dice.roll(data.len() - at + 1) };
            let fin = if part + 1 == parts { 0x80 } else { 0 };
            wire.extend(frame(peer, fin | if part == 0 { opcode } else { 0 }, &data[at..end]));
            at = end;
            if dice.roll(4) == 0 {
                for _ in 0..=dice.roll(20) {
                    wire.extend(frame(peer, PING, "p"));
                }
            }
        }
        all.push((text, data));
    }
    (all, wire)
}

#[tokio::test(start_paused = true)]
async fn any_calls_in_any_order_lose_double_and_swap_nothing() {
    for seed in 1..60_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let role = BOTH[dice.roll(2)];
        let (said, wire) = talk(&mut dice, role.peer(), 12);
        let line = Line::none();
        let mut rest = &wire[..];
        let mut config = quiet();
        config.high_water = [1, 100, 5000, 65536][dice.roll(4)];
        if dice.roll(5) == 0 {
            config.max_message_size = u64::MAX;
        }
        line.change(|script| {
            (script.hiccup, script.vectored) = (dice.roll(3) == 0, dice.roll(2) == 0);
        });
        let hold = dice.roll(3) == 0;
        let cut = if hold { dice.roll(rest.len().min(5000)) } else { 0 };
        let mut socket = openline::tokio::WebSocket::new(line.clone(), upgrade(role), config, &rest[..cut]);
        rest = &rest[cut..];
        let mut got: Vec<(bool, Vec<u8>)> = vec![];
        let (mut sent, mut fed) = (0, Vec::<usize>::new());
        let mut partial: Option<(bool, Vec<u8>)> = None;
        let mut steps = 0;
        while got.len() < said.len() {
            steps += 1;
            assert!(steps < 100_000, "seed {seed}: {} of {}", got.len(), said.len());
            if dice.roll(2) == 0 && !rest.is_empty() {
                let sizes = [1, 7, 100, 4000, 65_536, 200_000];
                let len = sizes[dice.roll(6)].min(rest.len());
                line.say(&rest[..len]);
                rest = &rest[len..];
            }
            let late = steps > 2000;
            line.change(|script| {
                script.blocked = !late && dice.roll(3) == 0;
                script.take = [0, 1, 50, 10_000][dice.roll(4)];
                if script.blocked && dice.roll(3) == 0 {
                    script.writes.push_back(Ok(1 + dice.roll(20)));
                }
            });
            let polls = 1 + dice.roll(6);
            match dice.roll(9) {
                0 | 1 if partial.is_none() => {
                    if let Some(message) = only(polls, socket.recv()).await {
                        let message = message.unwrap().unwrap();
                        got.push((message.is_text(), message.as_bytes().to_vec()));
                    }
                }
                2 | 3 if partial.is_none() => match only(polls, socket.event()).await {
                    Some(Ok(Some(Event::Message(message)))) => {
                        got.push((message.is_text(), message.as_bytes().to_vec()));
                    }
                    Some(Ok(Some(Event::Ping(payload)))) => assert_eq!(&*payload, b"p"),
                    None => {}
                    other => panic!("{other:?}"),
                },
                0..=4 => {
                    if let Some(chunk) = only(polls, socket.recv_chunk()).await {
                        let chunk = chunk.unwrap().unwrap();
                        assert_eq!(chunk.first, partial.is_none(), "seed {seed}");
                        let whole = partial.get_or_insert_with(|| (chunk.data.is_text(), vec![]));
                        assert_eq!(whole.0, chunk.data.is_text());
                        whole.1.extend_from_slice(chunk.data.as_bytes());
                        if chunk.last {
                            got.extend(partial.take());
                        }
                    }
                }
                5 => {
                    let len = [1, 10, 5000, 30_000][dice.roll(4)];
                    let mut text = format!("{sent}:");
                    text.push_str(&"x".repeat(len));
                    if only(polls, socket.send(text)).await.is_some_and(|sent| sent.is_ok()) {
                        fed.push(sent);
                    }
                    sent += 1;
                }
                6 => {
                    let text = format!("{sent}:{}", "y".repeat(200));
                    if only(polls, socket.feed(text)).await.is_some_and(|sent| sent.is_ok()) {
                        fed.push(sent);
                    }
                    sent += 1;
                }
                7 => drop(only(polls, socket.ready()).await),
                _ => {
                    if dice.roll(20) == 0 && partial.is_none() {
                        let (io, connection, epoch) = socket.into_parts();
                        socket = openline::tokio::WebSocket::from_connection(io, connection, epoch);
                    } else {
                        drop(only(polls, socket.flush()).await);
                    }
                }
            }
            let n = got.len();
            if n > 0 {
                assert!(got[n - 1] == said[n - 1], "seed {seed}: message {} of step {steps}", n - 1);
            }
        }
        line.change(|script| (script.blocked, script.take) = (false, 0));
        line.script().writes.clear();
        while only(5, socket.send("end")).await.is_none() {}
        let texts: Vec<usize> = line
            .said(role)
            .iter()
            .filter(|(first, payload)| *first == TEXT && payload != b"end")
            .map(|(_, payload)| String::from_utf8_lossy(payload).split(':').next().unwrap().parse().unwrap())
            .collect();
        assert!(fed.iter().all(|number| texts.contains(number)), "seed {seed}");
        assert!(texts.is_sorted_by(|a, b| a < b), "seed {seed}: {texts:?}");
    }
}

/// A waker that only counts if it is the last that was given.
#[derive(Default)]
struct Bell(AtomicBool);
impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Halves that are polled only when they were woken, each time with another waker.
#[test]
fn no_wake_up_is_lost_when_wakers_change_at_every_poll() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    for seed in 1..1000_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let role = BOTH[dice.roll(2)];
        let count = 6;
        let (said, wire) = talk(&mut dice, role.peer(), count);
        let line = Line::none();
        let mut config = quiet();
        config.high_water = [1, 100, 65536][dice.roll(3)];
        let (mut receiver, mut sender) = socket(role, line.clone(), config).split();
        let form = dice.roll(3);
        let expected = said.clone();
        let mut futures: Vec<Pin<Box<dyn Future<Output = ()>>>> = vec![
            Box::pin(async move {
                let mut got = 0;
                let mut part = vec![];
                while got < expected.len() {
                    match form {
                        0 => {
                            assert!(receiver.recv().await.unwrap().unwrap().as_bytes() == expected[got].1);
                            got += 1;
                        }
                        1 => {
                            if let Event::Message(message) = receiver.event().await.unwrap().unwrap() {
                                assert!(message.as_bytes() == expected[got].1);
                                got += 1;
                            }
                        }
                        _ => {
                            let chunk = receiver.recv_chunk().await.unwrap().unwrap();
                            part.extend_from_slice(chunk.data.as_bytes());
                            if chunk.last {
                                assert!(std::mem::take(&mut part) == expected[got].1);
                                got += 1;
                            }
                        }
                    }
                }
            }),
            Box::pin(async move {
                for i in 0..count {
                    match i % 3 {
                        0 => sender.feed("fed").await.unwrap(),
                        1 => sender.ping(b"ping").await.unwrap(),
                        _ => sender.send(vec![i as u8; 3000]).await.unwrap(),
                    }
                }
                sender.flush().await.unwrap();
            }),
        ];
        let mut bells = [Arc::new(Bell(AtomicBool::new(true))), Arc::new(Bell(AtomicBool::new(true)))];
        let mut done = [false, false];
        let mut rest = &wire[..];
        let mut steps = 0;
        while done != [true, true] {
            steps += 1;
            let order = if dice.roll(2) == 0 { [0, 1] } else { [1, 0] };
            let mut polled = false;
            for i in order {
                let spurious = steps % 5 == 0 && dice.roll(3) == 0;
                if !done[i] && (bells[i].0.swap(false, Ordering::SeqCst) || spurious) {
                    polled = true;
                    bells[i] = Arc::new(Bell::default());
                    let waker = Waker::from(bells[i].clone());
                    done[i] = futures[i].as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
                    if dice.roll(2) == 0 {
                        break;
                    }
                }
            }
            if polled && dice.roll(2) == 0 {
                continue;
            }
            if !rest.is_empty() && dice.roll(2) == 0 {
                let len = [1, 7, 100, 4000, 65_536, 200_000][dice.roll(6)].min(rest.len());
                line.say(&rest[..len]);
                rest = &rest[len..];
            } else if line.script().blocked || line.script().flush_blocked {
                line.unblock();
            } else if dice.roll(3) == 0 && steps < 3000 {
                let flush = dice.roll(2) == 0;
                let mut script = line.script();
                script.take = [0, 1, 50, 1000][dice.roll(4)];
                if flush { script.flush_blocked = true } else { script.blocked = true }
            } else if !polled && rest.is_empty() {
                let idle = bells.iter().zip(done).all(|(bell, done)| done || !bell.0.load(Ordering::SeqCst));
                assert!(!idle, "seed {seed}: {done:?}, nobody is woken any more");
            }
            assert!(steps < 2_000_000, "seed {seed}");
        }
    }
}

/// A transport that wakes at once, in the middle of the poll, as a budget or a turn that is over does.
struct Eager;
impl AsyncRead for Eager {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if EAGER.swap(false, Ordering::SeqCst) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
impl AsyncWrite for Eager {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

type Task = Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>;

/// A waker that polls its task at once, on the thread that wakes.
struct AtOnce(Task);
impl Wake for AtOnce {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(Arc::clone(&self));
        if let Ok(mut task) = self.0.try_lock()
            && let Some(future) = &mut *task
        {
            let _ = future.as_mut().poll(&mut Context::from_waker(&waker));
        }
    }
}

/// split.rs and wakers.rs: "a waker may poll at once", so wakers are called when no lock is held. But whoever wakes
/// *during* a poll (the turn that is over and the used-up budget in turn.rs, a transport, the timer) calls the shared waker under
/// the halves' lock, and that wakes the other half there: it polls at once, and waits for the lock that its own thread holds.
#[test]
fn a_waker_that_polls_at_once_may_be_woken_in_the_middle_of_a_poll() {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let (mut receiver, mut sender) = socket(Server, Eager, quiet()).split();
        let task = Arc::new(AtOnce(Mutex::new(Some(Box::pin(async move {
            let _ = sender.send("hello").await;
        })))));
        Arc::clone(&task).wake();
        // The next read wakes.
        let mut receiving = Box::pin(async move {
            let _ = receiver.recv().await;
        });
        EAGER.store(true, Ordering::SeqCst);
        let _ = receiving.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        tell.send(()).unwrap();
    });
    assert!(told.recv_timeout(Duration::from_secs(10)).is_ok(), "the thread waits for itself");
}

static EAGER: AtomicBool = AtomicBool::new(false);

/// A transport that has one byte at any time, and does not know of budgets.
struct Drip(Arc<AtomicUsize>, Vec<u8>);
impl AsyncRead for Drip {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, space: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let n = self.0.fetch_add(1, Ordering::SeqCst);
        space.put_slice(&[self.1[n % self.1.len()]]);
        Poll::Ready(Ok(()))
    }
}
impl AsyncWrite for Drip {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// "a connection that keeps bringing bytes gives way to other tasks": bytes are counted, reads are not. A peer that drips,
/// behind a transport that knows no budgets, has 131,072 reads (and writes: a Pong for each six bytes) before others have a turn; tokio's
/// own limit is 128.
#[tokio::test]
async fn a_peer_that_drips_gives_way_after_some_reads_too() {
    let reads = Arc::new(AtomicUsize::new(0));
    let mut socket = socket(Server, Drip(Arc::clone(&reads), frame(Client, PING, "")), quiet());
    assert!(only(1, socket.recv()).await.is_none());
    let reads = reads.load(Ordering::SeqCst);
    assert!(reads <= 10_000, "{reads} reads in one poll");
}
