//! A deadline always runs: whatever a peer says and takes, and whatever blocks in the transport,
//! every wait of the tokio adapter ends within the time that is documented. In virtual time.
#![cfg(feature = "tokio")]

mod common;
#[path = "common/counting.rs"]
mod counting;

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use common::*;
use counting::*;
use futures_core::Stream;
use futures_sink::Sink;
use openline::Role::{Client, Server};
use openline::tokio::{Receiver, Sender, WebSocket, accept_with, connect_on, read_request};
use openline::{
    Accept, Agreement, Client as ClientValue, ClientRequest, Config, Error, Message, Response, Role, Upgrade,
};
use tokio::time::{Instant, sleep, timeout};

/// How often the peer does something.
const TICK: Duration = Duration::from_secs(1);

/// Longer than any wait that is documented.
const LONG: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    // Until the end.
    Recv,
    RecvChunk,
    Event,
    Drain,
    Stream,
    // Once, with more than the peer takes at once.
    Send,
    Fragment,
    Feed,
    FeedFragment,
    Ready,
    Flush,
    Ping,
    SinkReady,
    SinkFlush,
    // The end.
    Close,
    SinkClose,
}

const RECEIVES: [Call; 5] = [Call::Recv, Call::RecvChunk, Call::Event, Call::Drain, Call::Stream];

const SENDS: [Call; 9] = [
    Call::Send,
    Call::Fragment,
    Call::Feed,
    Call::FeedFragment,
    Call::Ready,
    Call::Flush,
    Call::Ping,
    Call::SinkReady,
    Call::SinkFlush,
];

const CLOSES: [Call; 2] = [Call::Close, Call::SinkClose];

/// More than the high-water mark, so that a second message has to wait for room.
fn long() -> Vec<u8> {
    vec![7; 70_000]
}

async fn whole(ws: &mut WebSocket<Wire>, call: Call) -> Result<(), Error> {
    match call {
        Call::Recv => while ws.recv().await?.is_some() {},
        Call::RecvChunk => while ws.recv_chunk().await?.is_some() {},
        Call::Event => while ws.event().await?.is_some() {},
        Call::Drain => ws.drain().await?,
        Call::Stream => {
            while let Some(item) = poll_fn(|cx| Pin::new(&mut *ws).poll_next(cx)).await {
                item?;
            }
        }
        Call::Send => ws.send(long()).await?,
        Call::Fragment => ws.send_fragment(long(), true).await?,
        Call::Feed => {
            ws.feed(long()).await?;
            ws.feed("and more").await?;
        }
        Call::FeedFragment => {
            ws.feed_fragment(long(), false).await?;
            ws.feed_fragment(long(), true).await?;
        }
        Call::Ready => {
            ws.feed(long()).await?;
            ws.ready().await?;
        }
        Call::Flush => {
            ws.feed(long()).await?;
            ws.flush().await?;
        }
        Call::Ping => {
            ws.feed(long()).await?;
            ws.ping(b"p").await?;
        }
        Call::SinkReady => {
            ws.feed(long()).await?;
            poll_fn(|cx| Pin::new(&mut *ws).poll_ready(cx)).await?;
        }
        Call::SinkFlush => {
            Pin::new(&mut *ws).start_send(Message::from(long()))?;
            poll_fn(|cx| Sink::<Message<'_>>::poll_flush(Pin::new(&mut *ws), cx)).await?;
        }
        Call::Close => ws.close(1000.into(), "bye").await?,
        Call::SinkClose => poll_fn(|cx| Sink::<Message<'_>>::poll_close(Pin::new(&mut *ws), cx)).await?,
    }
    Ok(())
}

async fn receiver(half: &mut Receiver<Wire>, call: Call) -> Result<(), Error> {
    match call {
        Call::Recv => while half.recv().await?.is_some() {},
        Call::RecvChunk => while half.recv_chunk().await?.is_some() {},
        Call::Event => while half.event().await?.is_some() {},
        Call::Drain => half.drain().await?,
        Call::Stream => {
            while let Some(item) = poll_fn(|cx| Pin::new(&mut *half).poll_next(cx)).await {
                item?;
            }
        }
        other => panic!("{other:?}"),
    }
    Ok(())
}

async fn sender(half: &mut Sender<Wire>, call: Call) -> Result<(), Error> {
    match call {
        Call::Send => half.send(long()).await?,
        Call::Fragment => half.send_fragment(long(), true).await?,
        Call::Feed => {
            half.feed(long()).await?;
            half.feed("and more").await?;
        }
        Call::FeedFragment => {
            half.feed_fragment(long(), false).await?;
            half.feed_fragment(long(), true).await?;
        }
        Call::Ready => {
            half.feed(long()).await?;
            half.ready().await?;
        }
        Call::Flush => {
            half.feed(long()).await?;
            half.flush().await?;
        }
        Call::Ping => {
            half.feed(long()).await?;
            half.ping(b"p").await?;
        }
        Call::SinkReady => {
            half.feed(long()).await?;
            poll_fn(|cx| Pin::new(&mut *half).poll_ready(cx)).await?;
        }
        Call::SinkFlush => {
            Pin::new(&mut *half).start_send(Message::from(long()))?;
            poll_fn(|cx| Sink::<Message<'_>>::poll_flush(Pin::new(&mut *half), cx)).await?;
        }
        Call::Close => half.close(1000.into(), "bye").await?,
        Call::SinkClose => poll_fn(|cx| Sink::<Message<'_>>::poll_close(Pin::new(&mut *half), cx)).await?,
        other => panic!("{other:?}"),
    }
    Ok(())
}

/// How many seconds a call may take at most; `None` for as long as it likes, since the peer lives.
fn most(Case { call, says, takes, keepalive, before, shape, .. }: Case) -> Option<u64> {
    if CLOSES.contains(&call) {
        // `close_timeout`.
        return Some(10);
    }
    let ends = matches!(says, Says::End | Says::MessageAndEnd);
    let lives = matches!(says, Says::Pings | Says::MessagesAndPings | Says::Drips);
    if RECEIVES.contains(&call) {
        return match (says, takes) {
            _ if ends => Some(0),
            // Nothing is to be sent.
            (Says::Drips, _) if !keepalive => None,
            // `stall_timeout` from the first Pong, or from the first Ping on.
            (Says::Pings | Says::MessagesAndPings, Takes::Nothing) => Some(61),
            (Says::Drips, Takes::Nothing | Takes::NoFlush) => Some(85),
            _ if lives => None,
            // A Ping after 25 s, and 20 s for the answer.
            _ if keepalive => Some(45),
            _ => None,
        };
    }
    // A message that nobody takes lies before the end.
    let ends = says == Says::End || (ends && (before.is_some() || shape == Shape::Halves));
    // A transport with a buffer has room for all.
    let flushes = !matches!(call, Call::Feed | Call::FeedFragment | Call::Ready | Call::SinkReady);
    match takes {
        Takes::All | Takes::NoShutdown => Some(0),
        Takes::NoFlush if !flushes => Some(0),
        // `close_timeout`: the peer has ended its side.
        Takes::Nothing | Takes::NoFlush | Takes::Slowly if ends => Some(10),
        Takes::Nothing | Takes::NoFlush if keepalive && says == Says::Nothing => Some(45),
        // `stall_timeout`.
        Takes::Nothing | Takes::NoFlush => Some(60),
        // 140,000 bytes, 2,000 in a second; Pongs and Pings are between them.
        Takes::Slowly => Some(90),
    }
}

/// In what the socket is when the call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Whole,
    /// The other half does nothing.
    Half,
    /// Both halves are at work, in tasks of their own.
    Halves,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    call: Call,
    shape: Shape,
    says: Says,
    takes: Takes,
    keepalive: bool,
    /// Whether messages have a limit.
    limit: bool,
    /// What was called before, so that a message may be read ahead.
    before: Option<Call>,
}

fn open_on(wire: &Wire, role: Role, case: Case) -> WebSocket<Wire> {
    let mut config = if case.keepalive { Config::default() } else { quiet() };
    if !case.limit {
        config.max_message_size = u64::MAX;
    }
    let upgrade = match role {
        Server => Upgrade::server(Agreement::default()),
        Client => Upgrade::client(Agreement::default(), [7; 32]),
    };
    WebSocket::new(wire.clone(), upgrade, config, &[])
}

/// Makes the call; how long it took, if it ended.
async fn time(role: Role, case: Case) -> Option<Duration> {
    let _named = Named(case);
    let wire = Wire::default();
    wire.begin(role.peer(), case.says, case.takes);
    let mut ws = open_on(&wire, role, case);
    let first = async {
        match case.before {
            Some(Call::Recv) => ws.recv().await.map(drop),
            Some(Call::RecvChunk) => ws.recv_chunk().await.map(drop),
            Some(Call::Event) => ws.event().await.map(drop),
            _ => Ok(()),
        }
    };
    let _ = timeout(TICK, first).await;
    let peer = tokio::spawn({
        let wire = wire.clone();
        async move {
            loop {
                sleep(TICK).await;
                wire.tick(role.peer(), case.says, case.takes);
            }
        }
    });
    let begun = Instant::now();
    let done = match case.shape {
        Shape::Whole => timeout(LONG, whole(&mut ws, case.call)).await.map(drop),
        Shape::Half => {
            let (mut rx, mut tx) = ws.split();
            match RECEIVES.contains(&case.call) {
                true => timeout(LONG, receiver(&mut rx, case.call)).await.map(drop),
                false => timeout(LONG, sender(&mut tx, case.call)).await.map(drop),
            }
        }
        Shape::Halves => {
            let (mut rx, mut tx) = ws.split();
            let other = tokio::spawn(async move {
                let _ = receiver(&mut rx, Call::Recv).await;
                rx
            });
            let done = timeout(LONG, sender(&mut tx, case.call)).await.map(drop);
            other.abort();
            done
        }
    };
    peer.abort();
    let took = begun.elapsed();
    // A handful of calls for each tick of the peer's, and for each deadline.
    let (calls, ticks) = (wire.ends().calls, took.as_millis() / TICK.as_millis());
    assert!(calls as u128 <= 100 + 20 * ticks, "{calls} calls in {ticks} ticks: {case:?}");
    done.ok().map(|()| took)
}

/// Tries every kind of peer, and lists the waits that have no end, or a late one.
async fn try_all(calls: &[Call], shapes: &[Shape], only: impl Fn(Case) -> bool) {
    let mut wrong = vec![];
    let mut tried = 0;
    for &call in calls {
        for &shape in shapes {
            for says in SAYS {
                for takes in TAKES {
                    for (keepalive, limit, before, role) in [
                        (true, true, None, Server),
                        (true, true, Some(Call::Recv), Server),
                        (true, false, Some(Call::Recv), Client),
                        (true, true, Some(Call::RecvChunk), Server),
                        (true, true, Some(Call::Event), Client),
                        (false, true, None, Client),
                        (false, false, Some(Call::RecvChunk), Server),
                        (false, true, Some(Call::Event), Client),
                    ] {
                        let case = Case { call, shape, says, takes, keepalive, limit, before };
                        let Some(most) = most(case).filter(|_| only(case)) else { continue };
                        tried += 1;
                        let took = time(role, case).await;
                        // The clock of a timer has a millisecond.
                        if took.is_none_or(|took| took > Duration::from_secs(most) + TICK) {
                            wrong.push(format!("{case:?}: {took:?} instead of {most} s"));
                        }
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried > 10, "{tried} cases");
}

/// The transport has a buffer that takes our Pongs, and does not pass on what is in it.
fn pongs_are_taken(case: Case) -> bool {
    let says = match case.says {
        // The other half takes the messages.
        Says::MessagesAndPings => case.shape == Shape::Halves,
        says => matches!(says, Says::Pings | Says::Drips),
    };
    case.takes == Takes::NoFlush && says && !is_in_chunks(case)
}

/// One half receives a message that nobody may gather, the other half is blocked.
fn is_in_chunks(case: Case) -> bool {
    case.shape == Shape::Halves && case.says == Says::Drips && !case.limit
}

#[tokio::test(start_paused = true)]
async fn every_receive_ends() {
    try_all(&RECEIVES, &[Shape::Whole, Shape::Half], |_| true).await;
}

#[tokio::test(start_paused = true)]
async fn every_send_ends() {
    try_all(&SENDS, &[Shape::Whole, Shape::Half], |case| !pongs_are_taken(case)).await;
}

#[tokio::test(start_paused = true)]
async fn every_send_ends_beside_a_receiver() {
    try_all(&SENDS, &[Shape::Halves], |case| !pongs_are_taken(case) && !is_in_chunks(case)).await;
}

#[tokio::test(start_paused = true)]
async fn every_close_ends() {
    try_all(&CLOSES, &[Shape::Whole, Shape::Half, Shape::Halves], |case| !is_in_chunks(case)).await;
}

#[tokio::test(start_paused = true)]
async fn pongs_that_a_buffer_takes_do_not_stop_the_clock_of_a_send() {
    try_all(&SENDS, &[Shape::Whole, Shape::Half, Shape::Halves], pongs_are_taken).await;
}

#[tokio::test(start_paused = true)]
async fn halves_in_the_middle_of_a_long_message_do_not_wake_each_other_for_ever() {
    try_all(&[Call::Send, Call::Flush, Call::Close], &[Shape::Halves], is_in_chunks).await;
}

/// Both ends of a narrow pipe were pinged and have something long to say before they listen: each reads
/// ahead what the other says, and a Ping does not count as that.
#[tokio::test(start_paused = true)]
async fn two_ends_that_ping_and_send_at_once_do_not_wait_for_each_other() {
    for events in [false, true] {
        let (a, b) = tokio::io::duplex(64);
        let client = Upgrade::client(Agreement::default(), [7; 32]);
        let mut a = WebSocket::new(a, client, Config::default(), &[]);
        let mut b = WebSocket::new(b, Upgrade::server(Agreement::default()), Config::default(), &[]);
        a.ping(b"1").await.unwrap();
        b.ping(b"2").await.unwrap();
        let say_then_hear = async |ws: &mut WebSocket<tokio::io::DuplexStream>| {
            ws.send(vec![7; 1000]).await.unwrap();
            loop {
                match events {
                    false => return ws.recv().await.unwrap().map(|message| message.len()),
                    true => match ws.event().await.unwrap() {
                        Some(openline::Event::Message(message)) => return Some(message.len()),
                        Some(_) => {}
                        None => return None,
                    },
                }
            }
        };
        let both = timeout(LONG, async { tokio::join!(say_then_hear(&mut a), say_then_hear(&mut b)) }).await;
        assert_eq!(both, Ok((Some(1000), Some(1000))), "events: {events}");
    }
}

// Opening.

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Accept,
    /// The application decides at once, or after 9 s.
    ReadRequest(u64),
    AcceptAs(u64),
    Impossible(u64),
    Reject(u64),
    Connect,
}

/// What the other end says while a connection opens: at the beginning, and with every tick.
const HEADS: [(&str, &[u8], &[u8]); 9] = [
    ("nothing", b"", b""),
    ("half a head", b"GET / HTTP/1.1\r\nHost: h\r\n", b""),
    ("a head that drips", b"GET / HTTP/1.1\r\nHost: h\r\nX: ", b"x"),
    ("an answer that drips", b"HTTP/1.1 404 No\r\nContent-Length: 10000\r\n\r\n", b"x"),
    ("no HTTP", b"\0\r\n\r\n", b""),
    ("no HTTP, without end", b"\0\r\n\r\n", b"x"),
    ("a request", REQUEST, b""),
    ("a request and Pings", REQUEST, b"\x89\x80\0\0\0\0"),
    ("a plain request, and more", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"more"),
];

async fn open(wire: Wire, opening: Opening) {
    let server = openline::Server::default();
    let late = match opening {
        Opening::Accept => return drop(accept_with(&server, wire).await),
        Opening::Connect => {
            let client = ClientValue::new(ClientRequest::new("ws://h/").unwrap());
            return drop(connect_on(&client, wire).await);
        }
        Opening::ReadRequest(late) | Opening::AcceptAs(late) | Opening::Impossible(late) | Opening::Reject(late) => {
            late
        }
    };
    let Ok(accepting) = read_request(&server, wire).await else { return };
    sleep(Duration::from_secs(late)).await;
    match opening {
        Opening::Reject(_) => drop(accepting.reject(Response::new(403)).await),
        Opening::Impossible(_) => {
            // A subprotocol that was not offered.
            assert!(accepting.accept_as(Accept::default().subprotocol("chat")).await.is_err());
        }
        Opening::AcceptAs(_) => drop(accepting.accept_as(Accept::default()).await),
        _ => drop(accepting.accept().await),
    }
}

async fn try_openings(only: impl Fn(&str, u64) -> bool) {
    let mut wrong = vec![];
    for opening in [
        Opening::Accept,
        Opening::ReadRequest(0),
        Opening::ReadRequest(9),
        Opening::AcceptAs(9),
        Opening::Impossible(0),
        Opening::Impossible(9),
        Opening::Reject(0),
        Opening::Reject(9),
        Opening::Connect,
    ] {
        for (name, at_once, tick) in HEADS {
            for takes in TAKES {
                for late in [0, 9] {
                    if opening != Opening::Connect && !only(name, late) {
                        continue;
                    }
                    let wire = Wire::default();
                    wire.begin(Client, Says::Nothing, takes);
                    let peer = tokio::spawn({
                        let wire = wire.clone();
                        async move {
                            sleep(Duration::from_secs(late)).await;
                            wire.say(at_once);
                            loop {
                                sleep(TICK).await;
                                wire.tick(Client, Says::Nothing, takes);
                                wire.say(tick);
                            }
                        }
                    });
                    let begun = Instant::now();
                    let done = timeout(LONG, open(wire.clone(), opening)).await;
                    peer.abort();
                    let took = begun.elapsed();
                    // `HandshakeConfig::timeout`, for all of it; but the application may be late.
                    let most =
                        if late == 9 && !matches!(opening, Opening::Accept | Opening::Connect) { 18 } else { 10 };
                    if done.is_err() || took > Duration::from_secs(most) + TICK / 10 {
                        wrong.push(format!("{opening:?}, {name} after {late} s, {takes:?}: {took:?}, not {most} s"));
                    }
                    let calls = wire.ends().calls;
                    assert!(calls < 400, "{calls} calls: {opening:?}, {name}, {takes:?}");
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// What is refused late in the time of the opening handshake.
fn is_refused_late(name: &str, late: u64) -> bool {
    let refused = ["an answer that drips", "no HTTP", "no HTTP, without end", "a plain request, and more"];
    late > 0 && refused.contains(&name)
}

#[tokio::test(start_paused = true)]
async fn every_opening_ends() {
    try_openings(|name, late| !is_refused_late(name, late)).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_late_gets_no_more_time() {
    try_openings(is_refused_late).await;
}

/// Says which case it was if the transport fails the test.
struct Named(Case);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in {:?}", self.0);
        }
    }
}
