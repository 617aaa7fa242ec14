//! What the hub adds to a delivery over a real socket. Three ways to send the same messages to all sockets:
//!
//! - *hub*: each connection is a task in `pump`, which a topic wakes.
//! - *tasks*: each connection is a task with the same loop, which the simplest thing wakes that can: a list of messages,
//!   which grows for ever, and a list of wakers.
//! - *loop*: one task feeds and flushes all sockets. Nobody is woken.
//!
//! Runs alternate, on one thread. The clients read in another one, between the rounds, and compare each byte.

mod common;

use std::cell::RefCell;
use std::future::{Future, poll_fn, ready};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use common::{clock, median, runtime};
use futures_core::Stream;
use futures_sink::Sink;
use openline::tokio::WebSocket;
use openline::{Agreement, Config, Message, Prepared, Upgrade};
use openline_live::{Delivery, EpochSeed, Hub, Lag, Retain, Start, Subscriber, pump};
use tokio::task::JoinSet;

type Socket = WebSocket<tokio::net::TcpStream>;

/// The clients: told how many messages to expect, they say when each of them has read these.
struct Clients {
    expect: mpsc::Sender<u64>,
    done: mpsc::Receiver<()>,
}

impl Clients {
    fn read(&self, count: u64) {
        self.expect.send(count).unwrap();
        self.done.recv().unwrap();
    }
}

/// Connections, whose clients read in a thread of their own.
async fn connected() -> (Vec<Socket>, Clients) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (mut servers, mut clients) = (vec![], vec![]);
    for _ in 0..SOCKETS {
        clients.push(TcpStream::connect(address).unwrap());
        let (server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        server.set_nodelay(true).unwrap();
        let server = tokio::net::TcpStream::from_std(server).unwrap();
        // From here on the runtime knows that the first write need not wait.
        server.writable().await.unwrap();
        servers.push(WebSocket::new(server, Upgrade::server(Agreement::default()), Config::default(), &[]));
    }
    let (expect, expected) = mpsc::channel();
    let (say, done) = mpsc::channel();
    std::thread::spawn(move || {
        let mut next = 0;
        for count in expected {
            let frame = |number| [&[0x81, TEXT as u8][..], text(number).as_bytes()].concat();
            let frames: Vec<u8> = (next..next + count).flat_map(frame).collect();
            next += count;
            let mut read = vec![0; frames.len()];
            for client in &mut clients {
                client.read_exact(&mut read).unwrap();
                assert!(read == frames, "each has each message once, in order");
            }
            say.send(()).unwrap();
        }
    });
    (servers, Clients { expect, done })
}

fn text(number: u64) -> String {
    format!("{number:0TEXT$}")
}

/// Lets `publish` send each burst, runs until all of it has left, and lets the clients read.
async fn measure<P: Future<Output = ()>>(
    clients: Clients,
    (rounds, burst): (u64, u64),
    sent: &AtomicU64,
    publish: impl Fn(Range<u64>) -> P,
) -> f64 {
    // Who reads is asleep from here on.
    tokio::task::yield_now().await;
    let mut time = Duration::ZERO;
    for round in 0..=rounds {
        let begin = clock();
        publish(round * burst..(round + 1) * burst).await;
        // What is counted leaves in the same poll.
        while sent.load(Relaxed) < (round + 1) * burst * SOCKETS {
            tokio::task::yield_now().await;
        }
        // The first round has paid for what is allocated once.
        time += if round == 0 { Duration::ZERO } else { clock() - begin };
        clients.read(burst);
    }
    time.as_nanos() as f64 / (rounds * burst * SOCKETS) as f64
}

async fn by_hub(size: (u64, u64)) -> f64 {
    let (sockets, clients) = connected().await;
    let hub = Hub::local(Retain::default(), EpochSeed::from([1; 16]), |_, _, payload: &Bytes| {
        Prepared::new(str::from_utf8(payload).unwrap())
    });
    let topic = hub.topic("t").unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for mut socket in sockets {
        let (mut subscriber, sent) = (Subscriber::new(), Arc::clone(&sent));
        subscriber.join(&topic, Start::Now, Lag::Leave);
        tasks.spawn(async move {
            let encode = |delivery| match delivery {
                Delivery::Message(message) => {
                    sent.fetch_add(1, Relaxed);
                    Some(message)
                }
                Delivery::Joined { .. } => None,
                other => panic!("{other:?}"),
            };
            pump(&mut socket, &mut subscriber, encode).await.unwrap();
        });
    }
    let publish = |numbers: Range<u64>| {
        let topic = topic.clone();
        async move {
            for number in numbers {
                topic.publish(None, text(number).into(), None).await.unwrap();
            }
        }
    };
    measure(clients, size, &sent, publish).await
}

#[derive(Default)]
struct Board {
    messages: Vec<Prepared>,
    wakers: Vec<Waker>,
}

async fn by_tasks(size: (u64, u64)) -> f64 {
    let (sockets, clients) = connected().await;
    let board = Arc::new(Mutex::new(Board::default()));
    let sent = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for mut socket in sockets {
        let (board, sent, mut next) = (Arc::clone(&board), Arc::clone(&sent), 0);
        tasks.spawn(poll_fn(move |cx| {
            assert!(Pin::new(&mut socket).poll_next(cx).is_pending(), "no client says anything");
            let mut board = board.lock().unwrap();
            for message in board.messages.iter().skip(next) {
                socket.try_feed(&message.clone()).unwrap();
                sent.fetch_add(1, Relaxed);
            }
            next = board.messages.len();
            board.wakers.push(cx.waker().clone());
            drop(board);
            flush(&mut socket, cx);
            Poll::<()>::Pending
        }));
    }
    let publish = |numbers: Range<u64>| {
        for number in numbers {
            let message = Prepared::new(text(number));
            let mut board = board.lock().unwrap();
            board.messages.push(message);
            let wakers = std::mem::take(&mut board.wakers);
            drop(board);
            wakers.into_iter().for_each(Waker::wake);
        }
        ready(())
    };
    measure(clients, size, &sent, publish).await
}

async fn by_loop(size: (u64, u64)) -> f64 {
    let (sockets, clients) = connected().await;
    let (sockets, sent) = (RefCell::new(sockets), AtomicU64::new(0));
    let publish = |numbers: Range<u64>| {
        let made: Vec<_> = numbers.map(|number| Prepared::new(text(number))).collect();
        let (sockets, sent) = (&sockets, &sent);
        poll_fn(move |cx| {
            for socket in sockets.borrow_mut().iter_mut() {
                assert!(Pin::new(&mut *socket).poll_next(cx).is_pending(), "no client says anything");
                for message in &made {
                    socket.try_feed(&message.clone()).unwrap();
                    sent.fetch_add(1, Relaxed);
                }
                flush(socket, cx);
            }
            Poll::Ready(())
        })
    };
    // One task for so many sockets would use up what tokio lets a task do in one turn.
    tokio::task::unconstrained(measure(clients, size, &sent, publish)).await
}

fn flush(socket: &mut Socket, cx: &mut Context<'_>) {
    let flushed = Sink::<Message<'_>>::poll_flush(Pin::new(socket), cx);
    assert!(matches!(flushed, Poll::Ready(Ok(()))), "the transport has room");
}

fn main() {
    let runtime = runtime();
    println!(
        "\nns for each socket and message, {SOCKETS} sockets over loopback, on one thread (medians of {RUNS} runs)"
    );
    println!("{:>5} | {:>6} {:>6} {:>6} | {:>16} {:>16}", "burst", "hub", "tasks", "loop", "hub - tasks", "hub - loop");
    for burst in [1, 16] {
        let size = (640 / burst, burst);
        let mut runs = vec![];
        for _ in 0..RUNS {
            let hub = runtime.block_on(by_hub(size));
            let tasks = runtime.block_on(by_tasks(size));
            runs.push([hub, tasks, runtime.block_on(by_loop(size))]);
        }
        let of = |part: fn(&[f64; 3]) -> f64| median(runs.iter().map(part));
        println!(
            "{burst:>5} | {:>6.0} {:>6.0} {:>6.0} | {:>6.0} = {:>5.1} % {:>6.0} = {:>5.1} %",
            of(|run| run[0]),
            of(|run| run[1]),
            of(|run| run[2]),
            of(|run| run[0] - run[1]),
            of(|run| 100.0 * (run[0] - run[1]) / run[0]),
            of(|run| run[0] - run[2]),
            of(|run| 100.0 * (run[0] - run[2]) / run[0]),
        );
    }
}

const SOCKETS: u64 = 200;
/// How long a message is.
const TEXT: usize = 64;
/// Of each of the two.
const RUNS: usize = 9;
