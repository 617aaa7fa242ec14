//! Waits at the rims: which deadline holds and from when, time limits while bytes come without end, waits of the
//! blocking adapter that have no clock of their own, wake-ups between two halves, and what is known after a handover.
//! No test depends on how fast it runs.
#![cfg(feature = "tokio")]

mod common;
#[path = "common/counting.rs"]
mod counting;
mod edges_wire;
#[path = "common/line.rs"]
mod line;

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use common::*;
use edges_wire::{Wire as Script, patient, timed_out};
use line::{Line, in_time, only, socket, upgrade};
use openline::Role::{Client, Server};
use openline::tokio::WebSocket;
use openline::{CloseCode, Config, Connection, Error, Keepalive, Message, Reading, Ready, Step, Time, net};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn server_with(config: Config) -> openline::Server {
    openline::Server::default().config(config)
}

/// Gives `bytes` to the connection, and drops what it tells.
fn give(us: &mut Connection, bytes: &[u8], now: Time) {
    let mut bytes = bytes.to_vec();
    let mut input = &mut bytes[..];
    while let Ok(Some(_)) = us.receive(&mut input, now) {}
}

// The wrong deadline.

/// `accept`: the 101 must leave within the time of the opening handshake, 10 s here. That the first Ping is due sooner
/// does not matter.
#[test]
fn an_answer_has_the_time_of_the_handshake_and_not_that_of_the_first_ping_in_net() {
    let mut config = Config::default();
    config.keepalive = Some(Keepalive::new(Duration::from_millis(1), Duration::from_secs(20)));
    let wire = Script::new(
        |n| if n == 1 { Ok(REQUEST.to_vec()) } else { timed_out() },
        |n, b| {
            if n == 1 {
                // Longer than to the first Ping.
                thread::sleep(Duration::from_millis(5));
                return timed_out();
            }
            Ok(b.len())
        },
    );
    let accepted = net::accept_with(&server_with(config), wire);
    assert!(accepted.is_ok(), "{:?}", accepted.err());
}

/// Manual: "If the application was busy when the frame came, it begins when this end first tries to answer." So of a
/// Close frame that was read ahead the time does not run while nothing waits for the peer.
#[tokio::test(start_paused = true)]
async fn the_time_to_close_does_not_run_between_two_sends() {
    let line = Line::silent([close_frame(Client, 1000, "")]);
    line.change(|script| script.blocked = true);
    let mut ws = socket(Server, line.clone(), quiet());
    assert!(only(3, ws.send("first")).await.is_none(), "blocked, and reads ahead");
    line.unblock();
    in_time(ws.flush()).await.unwrap();
    // The application is busy with something else.
    sleep(Duration::from_secs(20)).await;
    line.change(|script| script.blocked = true);
    let later = line.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(1)).await;
        later.unblock();
    });
    let sent = in_time(ws.send("second")).await;
    assert!(sent.is_ok(), "{sent:?}, {:?}, said {:?}", ws.closed(), line.said(Server));
}

/// The same of the core, and of a `close`, which has the time to close from when it is called.
#[test]
fn a_close_has_its_time_though_theirs_was_read_ahead_long_ago() {
    let mut us = open(Server);
    us.set_reading(Reading::OneAhead, s(0));
    let mut bytes = close_frame(Client, 1000, "");
    us.receive_ahead(&mut &mut bytes[..], s(0)).unwrap();
    // Busy. No send waits, and nothing asked for events.
    us.close(CloseCode::NORMAL, "", s(21)).unwrap();
    us.handle_blocked(s(21));
    let until = us.until().unwrap();
    us.handle_timeout(s(21));
    assert!(us.closed().is_none() && until > s(21), "until {until:?}: {:?}", us.closed());
}

/// Manual: "While nothing is read, no Pong is waited for, since none could be seen." So a second Ping of the application
/// does not take over the time of the first one, and no deadline is in the past when it is set.
#[test]
fn a_ping_is_not_overdue_when_it_is_queued_while_nothing_is_read() {
    let mut us = connection(Server, Config::default());
    us.ping(b"one", s(1)).unwrap();
    transmit(&mut us, s(1));
    us.set_reading(Reading::Paused, s(2));
    // The next Ping of its own is due at 25 s.
    us.ping(b"two", s(24)).unwrap();
    us.handle_blocked(s(24));
    us.handle_timeout(s(24));
    assert_eq!(us.closed(), None, "given up in that moment");
    assert!(us.until().unwrap() > s(24));
}

/// The same with an adapter: a message was read ahead, and the application sends two Pings with some time between.
#[tokio::test(start_paused = true)]
async fn a_second_ping_of_a_sender_is_not_overdue_when_it_is_queued() {
    let line = Line::silent([frame(Client, TEXT, "kept for later")]);
    line.change(|script| script.blocked = true);
    let mut ws = socket(Server, line.clone(), Config::default());
    assert!(only(3, ws.send("first")).await.is_none(), "blocked, and reads ahead");
    line.unblock();
    in_time(ws.flush()).await.unwrap();
    in_time(ws.ping(b"one")).await.unwrap();
    sleep(Duration::from_secs(23)).await;
    line.change(|script| script.blocked = true);
    let later = line.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(10)).await;
        later.unblock();
    });
    let pinged = in_time(ws.ping(b"two")).await;
    assert!(pinged.is_ok(), "{pinged:?}: {:?}", ws.closed());
}

// Time limits under a flood.

/// Manual: "All other time limits hold even while bytes come without end." Here it is the time in which a peer must take
/// something, for a host that knows from its transport when it may write again, and so does not try after each read.
#[test]
fn a_flood_does_not_stop_the_clock_of_a_stall() {
    for says in [frame(Client, PING, "p"), frame(Client, TEXT, "whole"), frame(Client, BINARY, vec![7; 300])] {
        let mut us = open(Server);
        us.send("something").unwrap();
        let over = flood(&mut us, &says);
        assert!(over.is_some_and(|over| over <= 61), "over at {over:?}");
    }
}

/// A host by the table of the manual, and a peer that takes nothing and says something each second. When it was over.
fn flood(us: &mut Connection, says: &[u8]) -> Option<u64> {
    let mut ready = Ready { read: true, write: true };
    let mut second = 0;
    while second < 300 {
        let Some(wants) = us.wants() else { return Some(second) };
        match wants.step(ready, s(second)) {
            Step::Write => {
                ready.write = false;
                us.handle_blocked(s(second));
            }
            Step::Read => {
                second += 1;
                give(us, says, s(second));
            }
            Step::End => us.handle_shutdown(),
            Step::Timeout => us.handle_timeout(s(second)),
            Step::Wait => panic!("it is always readable"),
        }
    }
    None
}

// Waits without a clock, in the blocking adapter.

/// Every wait has a deadline. A flush may block, also that of a socket which comes from another adapter with something
/// that was not passed on yet, and at which no timeout was set.
#[test]
fn a_flush_has_a_time_limit_though_nothing_was_written_before() {
    let first = Script::new(|_| timed_out(), |_, b| Ok(b.len())).on_flush(|_| Err(io::ErrorKind::WouldBlock.into()));
    let mut ws = first.socket(Server, patient());
    ws.feed("taken, and not passed on").unwrap();
    let _ = ws.flush();
    let (_, connection, epoch) = ws.into_parts();
    // The same transport as the system sees it: no time limit is set.
    let second = Script::new(|_| timed_out(), |_, b| Ok(b.len()));
    let (log, limits) = (second.clone(), Arc::new(Mutex::new(vec![])));
    let seen = limits.clone();
    let second = second.on_flush(move |_| {
        seen.lock().unwrap().push(log.log().write_timeouts.last().copied().flatten());
        Ok(())
    });
    let mut ws = net::WebSocket::from_connection(second, connection, epoch);
    ws.flush().unwrap();
    let limits = limits.lock().unwrap();
    assert!(!limits.is_empty() && limits.iter().all(Option::is_some), "flushed with these time limits: {limits:?}");
}

/// The same of the shutdown, which writes over TLS.
#[test]
fn a_shutdown_has_a_time_limit_though_nothing_was_written_before() {
    for ends in [vec![], close_frame(Client, 1000, "")] {
        let wire = Script::new(move |n| Ok(if n == 1 { ends.clone() } else { vec![] }), |_, b| Ok(b.len()));
        let (log, limits) = (wire.clone(), Arc::new(Mutex::new(vec![])));
        let seen = limits.clone();
        let wire = wire.on_shutdown(move |_| {
            seen.lock().unwrap().push(log.log().write_timeouts.last().copied().flatten());
            Ok(())
        });
        let mut ws = wire.socket(Server, patient());
        assert_eq!(ws.recv().unwrap(), None);
        let limits = limits.lock().unwrap();
        assert!(!limits.is_empty() && limits.iter().all(Option::is_some), "shut down with these: {limits:?}");
    }
}

/// `recv_timeout` waits for at most `limit`, in a write too.
#[test]
fn a_write_does_not_block_for_longer_than_the_limit_of_the_call() {
    let wire = Script::new(|_| timed_out(), |_, _| timed_out());
    let mut ws = wire.socket(Server, patient());
    ws.feed("for a peer that takes nothing").unwrap();
    let limit = Duration::from_millis(10);
    let result = ws.recv_timeout(limit);
    assert!(matches!(result, Err(Error::TimedOut)), "{result:?}");
    let limits = &wire.log().write_timeouts;
    assert!(limits.iter().flatten().all(|most| *most <= limit), "{limits:?}");
}

/// Receiving also writes what is queued, answers Pings and keeps the deadlines: also with a limit of zero, in a loop that
/// has other things to do, or one that is over before the transport is looked at.
#[test]
fn a_receive_that_may_not_wait_gets_what_lies_there() {
    let wire = Script::new(|n| if n == 1 { Ok(frame(Client, TEXT, "here")) } else { timed_out() }, |_, b| Ok(b.len()));
    let mut ws = wire.socket(Server, patient());
    ws.feed("answer").unwrap();
    let mut got = None;
    for _ in 0..100 {
        got = got.or(ws.recv_timeout(Duration::ZERO).ok().flatten());
    }
    let log = wire.log();
    assert_eq!(got, Some(Message::from("here")), "{} reads and {} writes in 100 calls", log.reads, log.writes);
}

/// The same of a half.
#[test]
fn a_half_that_may_not_wait_gets_what_lies_there() {
    let wire = Script::new(|n| if n == 1 { Ok(frame(Client, TEXT, "here")) } else { timed_out() }, |_, b| Ok(b.len()));
    let (mut rx, _tx) = wire.socket(Server, patient()).split().unwrap();
    let mut got = None;
    for _ in 0..100 {
        got = got.or(rx.recv_timeout(Duration::ZERO).ok().flatten());
    }
    assert_eq!(got, Some(Message::from("here")), "{} reads in 100 calls", wire.log().reads);
}

/// `shared`: "A receiver writes what is queued at that moment." It does not write again before it has read, though the
/// other half feeds while it writes.
#[test]
fn a_receiver_reads_though_the_other_half_feeds_all_the_time() {
    let (go, fed) = (mpsc::channel(), mpsc::channel());
    let (before, count) = (Arc::new(AtomicUsize::new(usize::MAX)), Arc::new(AtomicUsize::new(0)));
    let (first_read, writes) = (before.clone(), count.clone());
    let (say_go, stop, wait_fed) = (go.0.clone(), go.0, fed.1);
    let wire = Script::new(
        move |n| {
            if n == 1 {
                first_read.store(count.load(Ordering::SeqCst), Ordering::SeqCst);
                return Ok(frame(Client, TEXT, "hello"));
            }
            timed_out()
        },
        move |_, b| {
            // While this write is under way, the sender queues one more message. It stops at some time.
            let more = writes.fetch_add(1, Ordering::SeqCst) < 500;
            if say_go.send(more).is_ok() {
                let _ = wait_fed.recv();
            }
            Ok(b.len())
        },
    );
    let (mut rx, mut tx) = wire.socket(Server, patient()).split().unwrap();
    tx.feed("first").unwrap();
    let (wait_go, say_fed) = (go.1, fed.0);
    let feeding = thread::spawn(move || {
        for _ in wait_go.iter().take_while(|more| *more) {
            tx.feed("more").unwrap();
            say_fed.send(()).unwrap();
        }
    });
    assert_eq!(rx.recv().unwrap(), Some(Message::from("hello")));
    let _ = stop.send(false);
    feeding.join().unwrap();
    let before = before.load(Ordering::SeqCst);
    assert!(before < 10, "{before} writes before the first read");
}

/// `set_write_timeout`: a call that took longer fails with `WouldBlock` or `TimedOut`. A shutdown writes over TLS, so
/// both names mean the same of it, and the peer waits for the end.
#[test]
fn a_shutdown_that_timed_out_is_tried_again() {
    let wire = Script::new(
        |n| {
            if n == 1 {
                return Ok(close_frame(Client, 1000, ""));
            }
            thread::sleep(Duration::from_millis(1));
            timed_out()
        },
        |_, b| Ok(b.len()),
    )
    .on_shutdown(|n| if n == 1 { timed_out() } else { Ok(()) });
    let mut ws = wire.socket(Server, patient());
    let _ = ws.recv_timeout(Duration::from_millis(200));
    let log = wire.log();
    assert!(log.shut_down, "tried {} times, and then {} reads", log.shutdowns, log.reads);
}

/// A signal interrupts a write, and does not say that the transport takes nothing: no time to stall runs.
#[test]
fn a_signal_is_no_blocked_transport() {
    let mut config = patient();
    config.stall_timeout = Some(Duration::from_millis(1));
    let wire = Script::new(
        |_| timed_out(),
        |n, b| {
            if n < 5 {
                // Longer than the time to stall.
                thread::sleep(Duration::from_millis(5));
                return Err(io::ErrorKind::Interrupted.into());
            }
            Ok(b.len())
        },
    );
    let mut ws = wire.socket(Server, config);
    let sent = ws.send("something");
    assert!(sent.is_ok(), "{sent:?}");
}

// Wake-ups.

/// A transport with a waker for each direction, as a socket has: bytes that come wake who reads, and nobody else.
#[derive(Clone, Default)]
struct Duo(Arc<Mutex<DuoEnds>>);

#[derive(Default)]
struct DuoEnds {
    incoming: VecDeque<u8>,
    room: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Duo {
    fn say(&self, bytes: &[u8]) {
        let reader = {
            let mut ends = self.0.lock().unwrap();
            ends.incoming.extend(bytes);
            ends.reader.take()
        };
        reader.into_iter().for_each(Waker::wake);
    }

    fn unread(&self) -> usize {
        self.0.lock().unwrap().incoming.len()
    }
}

impl AsyncRead for Duo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, space: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut ends = self.0.lock().unwrap();
        if ends.incoming.is_empty() {
            ends.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let len = ends.incoming.len().min(space.remaining());
        space.put_slice(&ends.incoming.drain(..len).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Duo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut ends = self.0.lock().unwrap();
        if ends.room == 0 {
            ends.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let len = bytes.len().min(ends.room);
        ends.room -= len;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// `wakers`: whatever one half does that the other may wait for wakes that. Bytes that came behind the handshake, or
/// before a handover, lie in the connection. When the receiver takes the message that was read ahead of them, a blocked
/// sender may read again; otherwise two ends that send to each other wait for each other.
#[tokio::test(start_paused = true)]
async fn a_sender_reads_on_when_the_receiver_has_taken_what_was_ahead_of_held_bytes() {
    for held in [false, true] {
        let second = frame(Client, TEXT, "second");
        let begun = [&frame(Client, TEXT, "first")[..], &second[..9]].concat();
        let duo = Duo::default();
        let ws = match held {
            true => WebSocket::new(duo.clone(), upgrade(Server), quiet(), &begun),
            false => {
                duo.say(&begun);
                WebSocket::new(duo.clone(), upgrade(Server), quiet(), &[])
            }
        };
        let (mut rx, mut tx) = ws.split();
        let sending = tokio::spawn(async move { tx.send("blocked").await });
        sleep(Duration::from_secs(1)).await;
        assert_eq!(in_time(rx.recv()).await.unwrap(), Some(Message::from("first")));
        sleep(Duration::from_secs(1)).await;
        // The peer is in the middle of its second message, and takes ours only behind it.
        duo.say(&second[9..]);
        sleep(Duration::from_secs(30)).await;
        let unread = duo.unread();
        sending.abort();
        assert_eq!(unread, 0, "held: {held}: nobody reads");
    }
}

/// `Reading::OneAhead`: no message is gathered for who takes messages in chunks. Who asks for whole messages now is none
/// of those, though none came since.
#[tokio::test(start_paused = true)]
async fn a_send_reads_ahead_for_who_has_begun_to_receive_whole_messages() {
    for way in ["event", "recv"] {
        let line = Line::silent([frame(Client, TEXT, "in a chunk")]);
        let mut ws = socket(Server, line.clone(), quiet());
        assert!(in_time(ws.recv_chunk()).await.unwrap().is_some());
        match way {
            "recv" => assert!(only(1, ws.recv()).await.is_none()),
            _ => assert!(only(1, ws.event()).await.is_none()),
        }
        line.change(|script| script.blocked = true);
        let long = frame(Client, BINARY, vec![7; 300_000]);
        long.chunks(50_000).for_each(|piece| line.say(piece));
        assert!(only(50, ws.send("to a peer that takes it behind its own message")).await.is_none());
        let left = line.script().reads.len();
        assert_eq!(left, 0, "{way}: pieces of the message that are not read");
    }
}

// Handing over.

/// `flush` waits until the transport has taken all that this end queued before, or says why not. A write has failed and
/// nobody has been told yet: a socket that is put together again knows that what was accepted is lost.
#[tokio::test(start_paused = true)]
async fn a_failed_write_is_known_after_the_handover() {
    for handed_over in [false, true] {
        let line = Line::none();
        line.change(|script| script.writes.push_back(Err(io::ErrorKind::BrokenPipe.into())));
        let mut ws = socket(Server, line.clone(), quiet());
        ws.feed("lost").await.unwrap();
        assert!(only(1, ws.recv()).await.is_none(), "what the peer said before may still be read");
        if handed_over {
            let (io, connection, epoch) = ws.into_parts();
            ws = WebSocket::from_connection(io, connection, epoch);
        }
        let flushed = in_time(ws.flush()).await;
        assert!(flushed.is_err(), "handed over: {handed_over}, {flushed:?}, said {:?}", line.said(Server));
    }
}

/// The same with the blocking adapter, and of a connection that was over before.
#[test]
fn what_was_lost_is_known_after_the_handover_in_net() {
    for over in [false, true] {
        let wire = Script::new(
            move |n| if over && n > 1 { Ok(vec![]) } else { timed_out() },
            |_, _| Err(io::ErrorKind::BrokenPipe.into()),
        );
        let mut ws = wire.socket(Server, patient());
        ws.feed("lost").unwrap();
        let _ = ws.recv_timeout(Duration::ZERO);
        if over {
            assert!(ws.recv().is_err(), "said once, to another part of the program");
        }
        let (io, connection, epoch) = ws.into_parts();
        assert_eq!((connection.has_lost(), connection.closed().is_some()), (true, over));
        let flushed = net::WebSocket::from_connection(io, connection, epoch).flush();
        assert!(flushed.is_err(), "over: {over}, {flushed:?}");
    }
}
