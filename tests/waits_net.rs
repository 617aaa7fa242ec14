//! A deadline always runs: whatever a peer says and takes, every wait of the blocking adapter ends
//! within the time that is documented. The clock is the true one, so the deadlines are short here, and
//! all cases run at once: they do nothing but wait. A slow machine makes them late, so what is asserted
//! is that they end, and do so well before the next longer deadline would.
#![cfg(feature = "std")]

mod common;
#[path = "common/counting.rs"]
mod counting;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use counting::*;
use openline::Role::{Client, Server};
use openline::net::{Receiver, Sender, WebSocket, accept_with, connect_on, read_request};
use openline::{
    Accept, Agreement, Client as ClientValue, ClientRequest, Config, Error, HandshakeConfig, Keepalive, Response, Role,
    Upgrade,
};

const TICK: Duration = Duration::from_millis(5);

/// A Ping after this, and as long again to answer.
const KEEPALIVE: Duration = Duration::from_millis(300);
const STALL: Duration = Duration::from_millis(400);
const CLOSE: Duration = Duration::from_millis(300);
const OPENING: Duration = Duration::from_millis(300);

/// What the machine may add to a wait.
const LATE: Duration = Duration::from_millis(1500);

/// When a wait counts as one without end.
const LONG: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Recv,
    RecvChunk,
    Event,
    Drain,
    RecvTimeout,
    Send,
    Fragment,
    Feed,
    FeedFragment,
    Ready,
    Flush,
    Ping,
    Close,
}

const RECEIVES: [Call; 4] = [Call::Recv, Call::RecvChunk, Call::Event, Call::Drain];
const SENDS: [Call; 7] =
    [Call::Send, Call::Fragment, Call::Feed, Call::FeedFragment, Call::Ready, Call::Flush, Call::Ping];

fn long() -> Vec<u8> {
    vec![7; 70_000]
}

/// The same calls for a whole socket and for its halves.
macro_rules! receive {
    ($socket:expr, $call:expr) => {
        match $call {
            Call::Recv => while $socket.recv()?.is_some() {},
            Call::RecvChunk => while $socket.recv_chunk()?.is_some() {},
            Call::Event => while $socket.event()?.is_some() {},
            Call::Drain => $socket.drain()?,
            Call::RecvTimeout => while $socket.recv_timeout(CLOSE)?.is_some() {},
            other => panic!("{other:?}"),
        }
    };
}

macro_rules! send {
    ($socket:expr, $call:expr) => {
        match $call {
            Call::Send => $socket.send(long())?,
            Call::Fragment => $socket.send_fragment(long(), true)?,
            Call::Feed => {
                $socket.feed(long())?;
                $socket.feed("and more")?;
            }
            Call::FeedFragment => {
                $socket.feed_fragment(long(), false)?;
                $socket.feed_fragment(long(), true)?;
            }
            Call::Ready => {
                $socket.feed(long())?;
                $socket.ready()?;
            }
            Call::Flush => {
                $socket.feed(long())?;
                $socket.flush()?;
            }
            Call::Ping => {
                $socket.feed(long())?;
                $socket.ping(b"p")?;
            }
            Call::Close => $socket.close(1000.into(), "bye")?,
            other => panic!("{other:?}"),
        }
    };
}

fn whole(ws: &mut WebSocket<Blocking>, call: Call) -> Result<(), Error> {
    if RECEIVES.contains(&call) || call == Call::RecvTimeout {
        receive!(ws, call)
    } else {
        send!(ws, call)
    }
    Ok(())
}

fn receiver(half: &mut Receiver<Blocking>, call: Call) -> Result<(), Error> {
    receive!(half, call);
    Ok(())
}

fn sender(half: &mut Sender<Blocking>, call: Call) -> Result<(), Error> {
    send!(half, call);
    Ok(())
}

/// How long a call may take at most; `None` for as long as it likes, since the peer lives.
fn most(Case { call, says, takes, keepalive, before, shape, .. }: Case) -> Option<Duration> {
    match call {
        Call::Close => return Some(CLOSE),
        // Once for each message that came.
        Call::RecvTimeout => return Some(CLOSE * 3),
        _ => {}
    }
    let ends = matches!(says, Says::End | Says::MessageAndEnd);
    let lives = matches!(says, Says::Pings | Says::MessagesAndPings | Says::Drips);
    let dead = KEEPALIVE * 2;
    if RECEIVES.contains(&call) {
        return match (says, takes) {
            _ if ends => Some(Duration::ZERO),
            (Says::Drips, _) if !keepalive => None,
            (Says::Pings | Says::MessagesAndPings, Takes::Nothing) => Some(STALL),
            (Says::Drips, Takes::Nothing | Takes::NoFlush) => Some(KEEPALIVE + STALL),
            _ if lives => None,
            _ => keepalive.then_some(dead),
        };
    }
    let flushes = !matches!(call, Call::Feed | Call::FeedFragment | Call::Ready);
    let ends = says == Says::End || (ends && (before || shape == Shape::Halves));
    match takes {
        Takes::All | Takes::NoShutdown => Some(Duration::ZERO),
        Takes::NoFlush if !flushes => Some(Duration::ZERO),
        Takes::Nothing | Takes::NoFlush | Takes::Slowly if ends => Some(CLOSE),
        Takes::Nothing | Takes::NoFlush => Some(STALL.max(dead)),
        // 140,000 bytes, 1,000 with each tick.
        Takes::Slowly => Some(TICK * 200),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Whole,
    Half,
    Halves,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    call: Call,
    shape: Shape,
    says: Says,
    takes: Takes,
    keepalive: bool,
    limit: bool,
    /// Whether a message was received before, so that the next may be read ahead.
    before: bool,
}

fn open_on(wire: &Wire, role: Role, case: Case) -> WebSocket<Blocking> {
    let mut config = Config::default();
    config.keepalive = case.keepalive.then_some(Keepalive::new(KEEPALIVE, KEEPALIVE));
    (config.stall_timeout, config.close_timeout) = (Some(STALL), CLOSE);
    if !case.limit {
        config.max_message_size = u64::MAX;
    }
    let upgrade = match role {
        Server => Upgrade::server(Agreement::default()),
        Client => Upgrade::client(Agreement::default(), [7; 32]),
    };
    WebSocket::new(Blocking(wire.clone()), upgrade, config, &[])
}

/// Does `work` while the peer ticks; how long it took, if it ended. A thread that hangs is left behind.
fn time(wire: &Wire, tick: impl Fn() + Send + 'static, work: impl FnOnce() + Send + 'static) -> Option<Duration> {
    let (done, wait) = mpsc::channel();
    let begun = Instant::now();
    thread::spawn(move || {
        work();
        let _ = done.send(begun.elapsed());
    });
    let took = loop {
        match wait.recv_timeout(TICK) {
            Ok(took) => break Some(took),
            Err(mpsc::RecvTimeoutError::Disconnected) => panic!("the call has panicked"),
            Err(_) if begun.elapsed() > LONG => break None,
            Err(_) => tick(),
        }
    };
    let calls = wire.ends().calls;
    assert!(calls as u128 <= 100 + 8 * begun.elapsed().as_millis(), "{calls} calls in {:?}", begun.elapsed());
    took
}

fn try_case(role: Role, case: Case) -> Option<Duration> {
    let wire = Wire::default();
    wire.begin(role.peer(), case.says, case.takes);
    let mut ws = open_on(&wire, role, case);
    let is_receive = RECEIVES.contains(&case.call) || case.call == Call::RecvTimeout;
    let ticking = wire.clone();
    time(
        &wire,
        move || ticking.tick(role.peer(), case.says, case.takes),
        move || {
            if case.before {
                let _ = ws.recv_timeout(TICK);
            }
            if case.shape == Shape::Whole {
                return drop(whole(&mut ws, case.call));
            }
            let (mut rx, mut tx) = ws.split().unwrap();
            match case.shape {
                Shape::Halves => {
                    thread::spawn(move || {
                        let _ = receiver(&mut rx, Call::Recv);
                        rx
                    });
                    // Until the receiver waits.
                    thread::sleep(TICK);
                    drop(sender(&mut tx, case.call));
                }
                _ if is_receive => drop(receiver(&mut rx, case.call)),
                _ => drop(sender(&mut tx, case.call)),
            }
        },
    )
}

/// Tries every kind of peer, all at once, and lists the waits that have no end, or a late one.
fn try_all(calls: &[Call], shapes: &[Shape], only: impl Fn(Case) -> bool) {
    let mut cases = vec![];
    for &call in calls {
        for &shape in shapes {
            for says in SAYS {
                for takes in TAKES {
                    for (keepalive, limit, before, role) in
                        [(true, true, false, Server), (true, false, true, Client), (false, true, true, Server)]
                    {
                        let case = Case { call, shape, says, takes, keepalive, limit, before };
                        if let Some(most) = most(case).filter(|_| only(case)) {
                            cases.push(thread::spawn(move || {
                                let took = try_case(role, case);
                                took.is_none_or(|took| took > most + LATE)
                                    .then(|| format!("{case:?}: {took:?} instead of {most:?}"))
                            }));
                        }
                    }
                }
            }
        }
    }
    let tried = cases.len();
    let wrong: Vec<_> = cases.into_iter().filter_map(|case| case.join().unwrap()).collect();
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried > 5, "{tried} cases");
}

/// The transport has a buffer that takes our Pings and Pongs, and does not pass on what is in it.
fn buffer_takes_more(case: Case) -> bool {
    case.takes == Takes::NoFlush && (case.says != Says::Nothing || case.keepalive)
}

/// The call before it has a limit too.
fn pings_against_a_limit(case: Case) -> bool {
    case.takes == Takes::NoFlush
        && matches!(case.says, Says::Pings | Says::MessagesAndPings)
        && (case.before || case.call == Call::RecvTimeout)
}

#[test]
fn every_receive_ends() {
    try_all(&RECEIVES, &[Shape::Whole, Shape::Half], |case| !pings_against_a_limit(case));
}

#[test]
fn every_send_ends() {
    try_all(&SENDS, &[Shape::Whole, Shape::Half], |case| !buffer_takes_more(case));
}

#[test]
fn every_send_ends_beside_a_receiver() {
    try_all(&SENDS, &[Shape::Halves], |case| !buffer_takes_more(case));
}

#[test]
fn every_close_ends() {
    try_all(&[Call::Close], &[Shape::Whole, Shape::Half], |case| !pings_against_a_limit(case));
}

#[test]
fn every_receive_with_a_limit_ends() {
    try_all(&[Call::RecvTimeout], &[Shape::Whole, Shape::Half], |case| !pings_against_a_limit(case));
}

#[test]
fn what_a_buffer_takes_does_not_stop_the_clock_of_a_send() {
    try_all(&SENDS, &[Shape::Whole, Shape::Half], |case| buffer_takes_more(case) && !pings_against_a_limit(case));
}

#[test]
fn a_limit_holds_though_pings_come() {
    try_all(&[Call::RecvTimeout], &[Shape::Whole, Shape::Half], pings_against_a_limit);
}

// A peer that never stops talking: there is always something to read.

/// As [`Blocking`], but a Ping lies there whenever somebody reads.
struct Flood(Blocking);

impl std::io::Read for Flood {
    fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
        let ping = frame(Client, PING, "p");
        space[..ping.len()].copy_from_slice(&ping);
        Ok(ping.len())
    }
}

impl std::io::Write for Flood {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl openline::net::Transport for Flood {
    fn set_write_timeout(&self, timeout: Option<Duration>) -> std::io::Result<()> {
        self.0.set_write_timeout(timeout)
    }

    fn try_clone(&self) -> std::io::Result<Flood> {
        Ok(Flood(self.0.try_clone()?))
    }
}

fn flooded(takes: Takes, act: impl FnOnce(&mut WebSocket<Flood>) + Send + 'static) -> Option<Duration> {
    let wire = Wire::default();
    wire.begin(Client, Says::Nothing, takes);
    let mut config = quiet();
    (config.stall_timeout, config.close_timeout) = (Some(STALL), CLOSE);
    let mut ws = WebSocket::new(Flood(Blocking(wire)), Upgrade::server(Agreement::default()), config, &[]);
    let (done, wait) = mpsc::channel();
    let begun = Instant::now();
    thread::spawn(move || {
        act(&mut ws);
        let _ = done.send(begun.elapsed());
    });
    wait.recv_timeout(LONG).ok()
}

#[test]
fn a_flood_of_pings_stops_neither_close_nor_stall() {
    for takes in [Takes::All, Takes::Nothing, Takes::NoFlush] {
        let took = flooded(takes, |ws| drop(ws.close(1000.into(), "")));
        assert!(took.is_some_and(|took| took < CLOSE + LATE), "{takes:?}: {took:?}");
    }
    let took = flooded(Takes::Nothing, |ws| drop(ws.send(long())));
    assert!(took.is_some_and(|took| took < STALL + LATE), "{took:?}");
    let took = flooded(Takes::Nothing, |ws| drop(ws.recv()));
    assert!(took.is_some_and(|took| took < STALL + LATE), "{took:?}");
}

#[test]
fn a_flood_of_pings_does_not_stop_a_limit() {
    let took = flooded(Takes::All, |ws| drop(ws.recv_timeout(CLOSE)));
    assert!(took.is_some_and(|took| took < CLOSE + LATE), "{took:?}");
}

// Opening.

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Accept,
    AcceptLate,
    Impossible,
    Reject,
    RejectLate,
    Connect,
}

/// What the other end says at the beginning, and with every tick.
const HEADS: [(&str, &[u8], &[u8]); 7] = [
    ("nothing", b"", b""),
    ("half a head", b"GET / HTTP/1.1\r\nHost: h\r\n", b""),
    ("a head that drips", b"GET / HTTP/1.1\r\nHost: h\r\nX: ", b"x"),
    ("an answer that drips", b"HTTP/1.1 404 No\r\nContent-Length: 10000\r\n\r\n", b"x"),
    ("no HTTP, without end", b"\0\r\n\r\n", b"x"),
    ("a request", REQUEST, b""),
    ("a request and Pings", REQUEST, b"\x89\x80\0\0\0\0"),
];

fn open(wire: Wire, opening: Opening) {
    let mut handshake = HandshakeConfig::default();
    handshake.timeout = OPENING;
    let mut config = Config::default();
    config.close_timeout = CLOSE;
    if opening == Opening::Connect {
        let client = ClientValue::new(ClientRequest::new("ws://h/").unwrap()).handshake(handshake).config(config);
        return drop(connect_on(&client, Blocking(wire)));
    }
    let server = openline::Server::default().handshake(handshake).config(config);
    if opening == Opening::Accept {
        return drop(accept_with(&server, Blocking(wire)));
    }
    let Ok(accepting) = read_request(&server, Blocking(wire)) else { return };
    if matches!(opening, Opening::AcceptLate | Opening::RejectLate) {
        thread::sleep(OPENING * 2);
    }
    match opening {
        Opening::Reject | Opening::RejectLate => drop(accepting.reject(Response::new(403))),
        Opening::Impossible => assert!(accepting.accept_as(Accept::default().subprotocol("chat")).is_err()),
        _ => drop(accepting.accept()),
    }
}

#[test]
fn every_opening_ends() {
    try_openings(|opening, name, takes| !is_blocked_flush_and_pings(opening, name, takes));
}

fn is_blocked_flush_and_pings(opening: Opening, name: &str, takes: Takes) -> bool {
    opening == Opening::Accept && name == "a request and Pings" && takes == Takes::NoFlush
}

#[test]
fn accepting_ends_though_pings_come() {
    try_openings(is_blocked_flush_and_pings);
}

fn try_openings(only: impl Fn(Opening, &str, Takes) -> bool) {
    let mut cases = vec![];
    for opening in [
        Opening::Accept,
        Opening::AcceptLate,
        Opening::Impossible,
        Opening::Reject,
        Opening::RejectLate,
        Opening::Connect,
    ] {
        for (name, at_once, tick) in HEADS {
            for takes in TAKES.into_iter().filter(|takes| only(opening, name, *takes)) {
                cases.push(thread::spawn(move || {
                    let wire = Wire::default();
                    wire.begin(Client, Says::Nothing, takes);
                    wire.say(at_once);
                    let (ours, ticking) = (wire.clone(), wire.clone());
                    let peer = move || {
                        ticking.tick(Client, Says::Nothing, takes);
                        ticking.say(tick);
                    };
                    let took = time(&wire, peer, move || open(ours, opening));
                    // The application may be late.
                    took.is_none_or(|took| took > OPENING * 3 + LATE)
                        .then(|| format!("{opening:?}, {name}, {takes:?}: {took:?}"))
                }));
            }
        }
    }
    let wrong: Vec<_> = cases.into_iter().filter_map(|case| case.join().unwrap()).collect();
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
