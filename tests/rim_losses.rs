//! What is lost, waited for or shown at the rims of a connection: as it opens, as its transport ends or fails, as it
//! is given up, and when what came before that is looked at only then. Each test says the promise that it holds to.

#![cfg(all(feature = "tokio", feature = "deflate"))]

mod common;
#[path = "common/line.rs"]
mod line;
#[path = "common/opening.rs"]
mod opening;

use std::future::poll_fn;
use std::io::{Read, Write};
use std::pin::Pin;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use common::*;
use futures_sink::Sink;
use line::{Line, socket};
use opening::{Opening, UPGRADE, get};
use openline::Role::{Client, Server};
use openline::tokio::{WebSocket, accept_with, read_request};
use openline::{
    Accept, Agreement, Cause, CloseCode, Connection, Deflate, Error, Event, HandshakeConfig, HandshakeError, Keepalive,
    Message, Reading, Response, State, Upgrade,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Permessage-deflate was agreed; what this end sends whole is never compressed.
fn compressed() -> Agreement {
    let mut deflate = Deflate::default();
    deflate.threshold = usize::MAX;
    let mut agreement = Agreement::default();
    agreement.deflate = Some(deflate);
    agreement
}

/// One compressed message of 200,000 zeros in a few hundred bytes, as a client sends it.
fn bomb() -> Vec<u8> {
    let mut agreement = Agreement::default();
    agreement.deflate = Some(Deflate::default());
    let mut client = Connection::new(Upgrade::client(agreement, [7; 32]), quiet(), s(0));
    client.send(vec![0; 200_000]).unwrap();
    transmit(&mut client, s(0))
}

/// Does it in a thread of its own, and waits for it no longer than no work of this size can take: the only clock
/// here, which only ends a loop that has no end.
fn ends<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, wait) = mpsc::channel();
    thread::spawn(move || drop(done.send(work())));
    match wait.recv_timeout(Duration::from_secs(20)) {
        Ok(result) => Some(result),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => panic!("the work itself failed"),
    }
}

// 1. A loop without end.

/// "Any order of calls is legal", "no loop spins", "nothing a peer sends can panic, or grow without bound". A
/// compressed message that makes more than one chunk has a rest in the assembler; a send that is blocked notes that
/// data waits (`Ahead::full`); the connection ends. The next `receive_chunk` must return.
#[test]
fn a_rest_to_inflate_does_not_spin_when_it_is_over() {
    type End = fn(&mut Connection);
    let reset: End = |us| us.handle_reset();
    let stalled: End = |us| {
        us.send("x").unwrap();
        us.handle_blocked(s(0));
        us.handle_timeout(s(60));
    };
    let closed: End = |us| {
        us.close(CloseCode::NORMAL, "", s(0)).unwrap();
        us.handle_timeout(s(60));
    };
    let spins = [("reset", reset), ("stalled", stalled), ("closed", closed)].into_iter().filter(|(_, end)| {
        let end = *end;
        let over = ends(move || {
            let mut us = Connection::new(Upgrade::server(compressed()), quiet(), s(0));
            let mut bytes = bomb();
            let mut input = &mut bytes[..];
            let Ok(Some(Event::Chunk(first))) = us.receive_chunk(&mut input, s(0)) else { panic!("no chunk") };
            assert!(!first.last && input.is_empty());
            us.set_reading(Reading::OneAhead, s(0));
            us.receive_ahead(&mut input, s(0)).unwrap();
            end(&mut us);
            assert_eq!(us.state(), State::Closed);
            us.receive_chunk(&mut &mut [][..], s(61)).map(drop)
        });
        over.is_none()
    });
    let spins: Vec<_> = spins.map(|(name, _)| name).collect();
    assert!(spins.is_empty(), "`receive_chunk` does not return: {spins:?}");
}

/// The same, as any client does it to a server that takes chunks: it sends a few hundred bytes, and reads nothing.
/// After the stall (a `send` that says `StallTimeout`) the server's `close` must return.
#[test]
fn a_client_that_sends_a_bomb_and_does_not_read_does_not_make_close_spin() {
    let over = ends(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (io, _peer) = tokio::io::duplex(1024);
            let mut us = WebSocket::new(io, Upgrade::server(compressed()), quiet(), &bomb());
            assert!(us.recv_chunk().await.unwrap().is_some_and(|chunk| !chunk.last));
            let sent = us.send(vec![1; 100_000]).await;
            assert!(matches!(sent, Err(Error::StallTimeout)), "{sent:?}");
            let _ = us.close(CloseCode::NORMAL, "").await;
        });
    });
    assert!(over.is_some(), "`close` does not return");
}

// 2. What came in, or was accepted, is lost.

/// `hold`: "Later calls of `receive` look at it before their own input." `receive_copied` gives its input to the
/// opening handshake and leaves what is held: a request is read from its middle.
#[test]
fn receive_copied_looks_at_what_is_held_of_a_request_first() {
    let request = get("/", UPGRADE);
    let (first, second) = request.split_at(20);
    let mut server = Opening::server(HandshakeConfig::default());
    server.0.hold(first.as_bytes());
    assert_eq!(server.give_copied(&mut second.as_bytes()), Ok(true));
}

/// `receive_ahead`: "Keeps the events for later calls of `receive`". `receive_copied`: "As `receive_owned`". It does
/// not tell of the request, which nobody decides on then.
#[test]
fn receive_copied_tells_of_a_request_that_was_read_ahead() {
    let mut server = Opening::server(HandshakeConfig::default());
    server.0.set_reading(Reading::OneAhead, s(0));
    let mut request = get("/", UPGRADE).into_bytes();
    server.0.receive_ahead(&mut &mut request[..], s(0)).unwrap();
    server.0.set_reading(Reading::Events, s(0));
    assert_eq!(server.0.receive_copied(&mut &[][..], s(0)), Ok(Some(Event::Request)));
}

/// `Event::Request`: "it waits for `accept` or `reject`". A host that asks `request()`, and accepts, is told of the
/// request again when it is open.
#[test]
fn a_request_that_was_accepted_is_not_told_of_again() {
    let mut server = Opening::server(HandshakeConfig::default());
    server.0.set_reading(Reading::OneAhead, s(0));
    let mut request = get("/", UPGRADE).into_bytes();
    server.0.receive_ahead(&mut &mut request[..], s(0)).unwrap();
    assert!(server.0.request().is_some());
    server.0.accept(Accept::default(), s(0)).unwrap();
    assert_eq!(server.0.receive(&mut &mut [][..], s(0)), Ok(None));
}

/// "What is held came before the end, and is looked at before it" (`handle_eof`): not in the opening handshake, of
/// either role.
#[test]
fn a_request_that_is_held_is_not_lost_with_the_end() {
    let mut server = Opening::server(HandshakeConfig::default());
    server.0.hold(get("/", UPGRADE).as_bytes());
    server.0.handle_eof(s(0));
    assert_eq!(server.0.receive(&mut &mut [][..], s(0)), Ok(Some(Event::Request)));
}

/// The same, where more is held behind the request: the end comes behind that, and a rejection is told of it too.
#[test]
fn an_end_behind_a_request_that_is_held_is_known_when_it_was_decided_on() {
    let behind = frame(Client, TEXT, "behind");
    for accepts in [true, false] {
        let mut server = Opening::server(HandshakeConfig::default());
        server.0.hold(&[get("/", UPGRADE).as_bytes(), &behind].concat());
        server.0.handle_eof(s(0));
        assert!(!server.0.wants().unwrap().read);
        assert_eq!(server.0.receive(&mut &mut [][..], s(0)), Ok(Some(Event::Request)));
        if accepts {
            server.0.accept(Accept::default(), s(0)).unwrap();
            assert_eq!(server.0.receive(&mut &mut [][..], s(0)), Ok(Some(text("behind"))));
        } else {
            server.0.reject(Response::new(404), s(0)).unwrap();
        }
        assert!(!server.0.wants().unwrap().read, "the end has been read");
        let _ = server.0.receive(&mut &mut [][..], s(0));
        transmit(&mut server.0, s(0));
        assert_eq!(server.0.state(), State::Closed);
    }
}

/// Of a client the same: the answer that is held is read before the end.
#[test]
fn an_answer_that_is_held_is_not_lost_with_the_end() {
    let mut server = Opening::server(HandshakeConfig::default());
    let mut client =
        Opening::client(openline::ClientRequest::new("ws://example.com/").unwrap(), HandshakeConfig::default());
    let request = transmit(&mut client.0, s(0));
    assert_eq!(server.give(&mut &request[..]), Ok(true));
    server.0.accept(Accept::default(), s(0)).unwrap();
    server.0.send("behind").unwrap();
    client.0.hold(&transmit(&mut server.0, s(0)));
    client.0.handle_eof(s(0));
    assert_eq!(client.0.receive(&mut &mut [][..], s(0)), Ok(Some(Event::Opened)));
    assert_eq!(client.0.receive(&mut &mut [][..], s(0)), Ok(Some(text("behind"))));
    assert_eq!(client.0.receive(&mut &mut [][..], s(0)), Ok(None));
    assert_eq!(client.0.state(), State::Closed);
}

/// "A host that does not take events now may learn all the same that the transport has ended, or that a write failed.
/// What the peer had sent before is there for it later" (`tests/reading.rs`): of a reset it is not.
#[test]
fn what_is_held_survives_a_reset() {
    let mut us = open(Server);
    us.hold(&frame(Client, TEXT, "held"));
    us.handle_reset();
    assert_eq!(us.receive(&mut &mut [][..], s(0)), Ok(Some(text("held"))));
}

/// The same where the peer is given up (here: it took nothing): messages that were read and wait are lost, though
/// one that was read *ahead* is not.
#[test]
fn what_is_held_survives_a_stall() {
    let mut us = open(Server);
    us.hold(&frame(Client, TEXT, "held"));
    us.set_reading(Reading::Paused, s(0));
    us.send("x").unwrap();
    us.handle_blocked(s(0));
    us.handle_timeout(s(60));
    assert_eq!(us.closed().map(|closed| closed.cause), Some(Cause::StallTimeout));
    assert_eq!(us.receive(&mut &mut [][..], s(60)), Ok(Some(text("held"))));
}

/// A Close frame that is found behind such an end says how the peer ended it, and a fault that it was at fault.
#[test]
fn what_is_held_still_tells_how_it_ended() {
    let held = [frame(Client, TEXT, "held"), close_frame(Client, 4000, "why"), frame(Client, TEXT, "nothing")].concat();
    let mut us = open(Server);
    us.hold(&held);
    us.handle_reset();
    assert_eq!(us.receive(&mut &mut [][..], s(0)), Ok(Some(text("held"))));
    assert!(matches!(us.receive(&mut &mut [][..], s(0)), Ok(Some(Event::Close(_)))));
    assert_eq!(us.receive(&mut &mut [][..], s(0)), Ok(None));
    assert_eq!(us.closed().map(|closed| (closed.code.get(), closed.cause)), Some((4000, Cause::Eof)));
    assert_eq!((us.wants(), us.queued()), (None, 0));

    let mut us = open(Server);
    us.hold(b"\x83");
    us.handle_reset();
    for _ in 0..2 {
        assert!(us.receive(&mut &mut [][..], s(0)).is_err());
    }
    assert!(matches!(us.closed().map(|closed| closed.cause), Some(Cause::Protocol(_))));
}

/// What came in one read arrives, though the peer was given up behind the first of it.
#[tokio::test(start_paused = true)]
async fn all_that_one_read_brought_survives_a_stall() {
    let (io, mut peer) = tokio::io::duplex(1024);
    let messages = ["a", "b", "c", "d"].map(|message| frame(Client, TEXT, message)).concat();
    peer.write_all(&messages).await.unwrap();
    let mut us = WebSocket::new(io, Upgrade::server(Agreement::default()), quiet(), &[]);
    assert_eq!(us.recv().await.unwrap(), Some(Message::from("a")));
    let sent = us.send(vec![1; 100_000]).await;
    assert!(matches!(sent, Err(Error::StallTimeout)), "{sent:?}");
    for message in ["b", "c", "d"] {
        assert_eq!(us.recv().await.unwrap(), Some(Message::from(message)));
    }
    assert_eq!(us.recv().await.unwrap(), None);
}

/// `handle_filled`: "If they end a message, or are to be a chunk, the next call to `receive` or `receive_chunk` returns
/// it, even without input." Not if the end of the transport is told before.
#[test]
fn a_message_that_was_filled_is_not_lost_with_the_end() {
    let mut us = open(Server);
    let whole = frame(Client, BINARY, vec![7; 50_000]);
    let (front, back) = whole.split_at(whole.len() - 20_000);
    let mut front = front.to_vec();
    assert_eq!(us.receive(&mut &mut front[..], s(0)), Ok(None));
    let room = us.receive_space().unwrap();
    assert_eq!(room.len(), 20_000);
    room.copy_from_slice(back);
    us.handle_filled(20_000, s(0));
    us.handle_eof(s(0));
    let event = us.receive(&mut &mut [][..], s(0));
    assert!(matches!(&event, Ok(Some(Event::Message(Message::Binary(data)))) if data.len() == 50_000), "{event:?}");
}

/// The same of what is to be a chunk.
#[test]
fn a_chunk_that_was_filled_is_not_lost_with_the_end() {
    let mut us = open(Server);
    let whole = frame(Client, BINARY, vec![7; 80_000]);
    let (front, back) = whole.split_at(40_000);
    let mut front = front.to_vec();
    assert!(matches!(us.receive_chunk(&mut &mut front[..], s(0)), Ok(Some(Event::Chunk(_)))));
    us.receive_space().unwrap()[..5_000].copy_from_slice(&back[..5_000]);
    us.handle_filled(5_000, s(0));
    us.handle_eof(s(0));
    let event = us.receive_chunk(&mut &mut [][..], s(0));
    assert!(matches!(&event, Ok(Some(Event::Chunk(chunk))) if chunk.data.len() == 5_000), "{event:?}");
    assert_eq!(us.receive_chunk(&mut &mut [][..], s(0)), Ok(None));
    assert_eq!(us.state(), State::Closed);
}

/// `Closed::code`: "The code in the peer's Close frame; ABNORMAL if there was no frame." A Close frame that is read
/// ahead when ours has been sent is kept, although nothing waits for it any more (`close` says so itself), and
/// forgotten when time is over.
#[test]
fn our_close_does_not_forget_the_close_frame_that_is_read_ahead_after_it() {
    for role in BOTH {
        let mut us = close_sent(role);
        us.set_reading(Reading::OneAhead, s(1));
        let mut bytes = close_frame(role.peer(), 4000, "why");
        us.receive_ahead(&mut &mut bytes[..], s(1)).unwrap();
        let wants = us.wants();
        us.handle_timeout(s(10));
        let closed = us.closed().unwrap();
        assert_eq!((closed.code.get(), closed.cause), (4000, Cause::Clean), "{closed:?}; it wanted {wants:?}");
    }
}

/// The same where nothing can be sent any more.
#[test]
fn a_failed_write_does_not_forget_the_close_frame_that_is_read_ahead_after_it() {
    let mut us = cut_write(Server);
    us.set_reading(Reading::OneAhead, s(1));
    let mut bytes = close_frame(Client, 4000, "why");
    us.receive_ahead(&mut &mut bytes[..], s(1)).unwrap();
    us.handle_timeout(s(10));
    assert_eq!(us.closed().map(|closed| closed.code.get()), Some(4000));
}

fn cut_write(role: openline::Role) -> Connection {
    let mut us = open(role);
    us.handle_write_failed(s(0));
    us
}

/// `start_send` says Ok to a message that it drops, since "the next poll says so". The socket's own `flush` and
/// `close` ("waits until the transport has taken all that this end queued before") do not: they say Ok.
#[tokio::test(start_paused = true)]
async fn a_message_that_the_sink_took_is_not_said_to_be_sent() {
    for closes in [false, true] {
        let line = Line::none();
        let mut us = socket(Server, line.clone(), quiet());
        poll_fn(|cx| Pin::new(&mut us).poll_ready(cx)).await.unwrap();
        // The peer says Close, which is taken in behind `poll_ready`.
        line.say(close_frame(Client, 1000, ""));
        assert!(line::only(2, us.recv()).await.is_none());
        assert_eq!(us.state(), State::Closing);
        Pin::new(&mut us).start_send(Message::from("accepted")).unwrap();
        let said = if closes { us.close(CloseCode::NORMAL, "").await } else { us.flush().await };
        let arrived = line.said(Server).contains(&(TEXT, b"accepted".to_vec()));
        assert!(arrived || said.is_err(), "`start_send` and {} said Ok", if closes { "`close`" } else { "`flush`" });
    }
}

// 3. Deadlines.

/// `Accepting::accept`: an error "if time is over", which is `HandshakeConfig::timeout`, here 10 s. But the adapter
/// takes the connection's next deadline for that of the answer, and that may be the first Ping's.
#[tokio::test(start_paused = true)]
async fn a_101_that_leaves_slowly_has_the_time_of_the_handshake() {
    let mut config = quiet();
    config.keepalive = Some(Keepalive::new(Duration::from_secs(1), Duration::from_secs(20)));
    let server = openline::Server::default().config(config);
    let (io, mut client) = tokio::io::duplex(64);
    let client = tokio::spawn(async move {
        client.write_all(get("/", UPGRADE).as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut answer = [0; 129];
        client.read_exact(&mut answer).await.map(|_| client)
    });
    let accepted = accept_with(&server, io).await;
    assert!(accepted.is_ok(), "{:?}", accepted.err());
    assert!(client.await.unwrap().is_ok());
}

/// `Connection::reject`: if time is over, "the client is answered with 408 then", as limits.md says. `Accepting::accept`
/// sees to that; `Accepting::reject` drops the transport before anything was written.
#[tokio::test(start_paused = true)]
async fn a_rejection_that_comes_too_late_is_answered_with_408() {
    let (io, mut client) = tokio::io::duplex(4096);
    client.write_all(get("/", UPGRADE).as_bytes()).await.unwrap();
    let accepting = read_request(&openline::Server::default(), io).await.unwrap();
    tokio::time::sleep(Duration::from_secs(11)).await;
    let rejected = accepting.reject(Response::new(404)).await;
    assert!(matches!(rejected, Err(Error::Handshake(HandshakeError::TimedOut))), "{rejected:?}");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
}

/// The same over a blocking transport.
#[test]
fn a_rejection_that_blocks_and_comes_too_late_is_answered_with_408() {
    let mut handshake = HandshakeConfig::default();
    handshake.timeout = Duration::from_millis(20);
    let server = openline::Server::default().handshake(handshake);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.write_all(get("/", UPGRADE).as_bytes()).unwrap();
    let accepting = openline::net::read_request(&server, listener.accept().unwrap().0).unwrap();
    thread::sleep(Duration::from_millis(30));
    let rejected = accepting.reject(Response::new(404));
    assert!(matches!(rejected, Err(Error::Handshake(HandshakeError::TimedOut))), "{rejected:?}");
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
}

/// `states.md`: "a server's 101 must leave within the handshake's time". If the client breaks the protocol before,
/// its time comes, all that waited is thrown away, and still the connection is not over: it waits, wanting nothing
/// but to read and ignore, for `close_timeout`.
#[test]
fn a_101_that_did_not_leave_in_time_ends_a_failing_connection() {
    let mut server = Opening::server(HandshakeConfig::default());
    assert_eq!(server.give(&mut get("/", UPGRADE).as_bytes()), Ok(true));
    server.0.accept(Accept::default(), s(0)).unwrap();
    assert!(server.0.receive(&mut &mut [0x83][..], s(9)).is_err());
    assert_eq!(server.until(), Some(s(10)));
    server.0.handle_timeout(s(10));
    let wants = server.0.wants();
    assert_eq!(wants, None, "nothing is left to send, and the peer is not told of the end");
}

/// "All other time limits hold also while bytes come without end": that of the 101 too, which a host that always has
/// something to read learns by no call of `handle_timeout`.
#[test]
fn a_101_that_does_not_leave_ends_it_though_bytes_come_without_end() {
    let mut server = Opening::server(HandshakeConfig::default());
    assert_eq!(server.give(&mut get("/", UPGRADE).as_bytes()), Ok(true));
    server.0.accept(Accept::default(), s(0)).unwrap();
    for second in 1..=10 {
        assert_eq!(server.0.state(), State::Open);
        let mut pings = frame(Client, PING, "");
        assert!(server.0.receive(&mut &mut pings[..], s(second)).is_ok());
        server.0.handle_blocked(s(second));
    }
    let cause = server.0.closed().map(|closed| closed.cause);
    assert_eq!(cause, Some(Cause::Opening(HandshakeError::TimedOut)));
}

/// "Zero is a strange choice, but must not make a loop spin" (`tests/timers.rs`); `wants`, after `handle_timeout`, "is
/// never in the past". While this end does not read, it does: a Ping in every turn, at one and the same time.
#[test]
fn an_interval_of_zero_does_not_spin_while_nothing_is_read() {
    let mut config = quiet();
    config.keepalive = Some(Keepalive::new(Duration::ZERO, Duration::from_secs(20)));
    let mut us = connection(Server, config);
    us.set_reading(Reading::Paused, s(1));
    let mut sent = 0;
    while us.until().is_some_and(|until| until <= s(1)) && sent < 1000 {
        us.handle_timeout(s(1));
        transmit(&mut us, s(1));
        sent += 1;
    }
    assert!(sent < 1000, "{sent} Pings at the same time, and no end");
}

/// `set_config`: "one [a Ping] that was not due, for there was no keepalive, is due at once."
#[test]
fn keepalive_that_is_switched_on_again_begins_at_once() {
    let mut config = quiet();
    config.keepalive = Some(Keepalive::new(Duration::from_secs(3600), Duration::from_secs(20)));
    let mut us = connection(Server, config);
    us.set_config(quiet());
    assert_eq!(us.until(), None);
    config.keepalive = Some(Keepalive::default());
    us.set_config(config);
    assert_eq!(us.until(), Some(s(0)));
}

/// `Reading::Paused`: "The application takes nothing now. Nothing is read, so the transport slows the peer down."
#[test]
fn nothing_is_read_of_an_opening_handshake_while_paused() {
    let mut server = Opening::server(HandshakeConfig::default());
    server.0.set_reading(Reading::Paused, s(0));
    assert!(!server.0.wants().unwrap().read);
}
