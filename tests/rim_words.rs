//! What the docs promise of the rim, word by word: what was accepted leaves or is said to be lost, nothing is held for
//! longer than is said, `Debug` shows lengths, nothing panics, and the two adapters do the same. Each test names the
//! promise that it tests. No test depends on real time.

#![cfg(all(feature = "tokio", feature = "http"))]

mod common;
#[path = "common/counting.rs"]
mod counting;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use common::*;
use counting::*;
use openline::Role::{Client, Server};
use openline::driver::{Driver, Form, NextEvent};
use openline::net::{self, Transport};
use openline::tokio::WebSocket;
use openline::{
    Agreement, Cause, CloseCode, Config, Connection, Error, Event, Message, Reading, Request, SendError, Time, Upgrade,
};

fn upgrade() -> Upgrade {
    Upgrade::server(Agreement::default())
}

/// A non-blocking transport with a script: reads come one by one, then the error; writes are taken, or nothing is.
#[derive(Clone, Debug, Default)]
struct Scripted(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    reads: VecDeque<Vec<u8>>,
    /// What a read says behind the last of them.
    then: Option<ErrorKind>,
    takes_nothing: bool,
    writes_fail: bool,
    shut_down: bool,
}

/// It shows nothing: what a test looks for is not to come from here.
impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

impl Read for Scripted {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut script = self.0.lock().unwrap();
        let Some(mut bytes) = script.reads.pop_front() else {
            return Err(script.then.unwrap_or(ErrorKind::WouldBlock).into());
        };
        let rest = bytes.split_off(bytes.len().min(space.len()));
        space[..bytes.len()].copy_from_slice(&bytes);
        if !rest.is_empty() {
            script.reads.push_front(rest);
        }
        Ok(bytes.len())
    }
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &*self.0.lock().unwrap() {
            Script { writes_fail: true, .. } => Err(ErrorKind::BrokenPipe.into()),
            Script { takes_nothing: true, .. } => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Scripted {
    fn try_clone(&self) -> io::Result<Scripted> {
        Ok(self.clone())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().shut_down = true;
        Ok(())
    }
}

// What was accepted, and is lost without being said.

/// `Sender::close`: "`Error::Send` ...; otherwise as `WebSocket::flush`", and flush says when what was accepted has
/// not left. The tokio half says it.
#[test]
fn close_of_a_sending_half_says_that_something_was_lost_over_net() {
    let io = Scripted::default();
    {
        let mut script = io.0.lock().unwrap();
        (script.takes_nothing, script.then) = (true, Some(ErrorKind::ConnectionReset));
    }
    let (mut rx, mut tx) = net::WebSocket::new(io, upgrade(), quiet(), &[]).split().unwrap();
    tx.try_feed("accepted").unwrap();
    assert!(matches!(rx.recv(), Err(Error::Io(error)) if error.kind() == ErrorKind::ConnectionReset));
    assert!(matches!(tx.flush(), Err(Error::Send(SendError::Closed))), "flush says it");
    let closed = tx.close(CloseCode::NORMAL, "");
    assert!(matches!(closed, Err(Error::Send(SendError::Closed))), "close says {closed:?}");
}

/// The same over tokio, for comparison.
#[tokio::test(start_paused = true)]
async fn close_of_a_sending_half_says_that_something_was_lost_over_tokio() {
    let wire = Wire::default();
    let (mut rx, mut tx) = WebSocket::new(wire.clone(), upgrade(), stalls(), &[]).split();
    tx.try_feed("accepted").unwrap();
    assert!(matches!(rx.recv().await, Err(Error::StallTimeout)));
    let closed = tx.close(CloseCode::NORMAL, "").await;
    assert!(matches!(closed, Err(Error::Send(SendError::Closed))), "close says {closed:?}");
}

/// No keepalive, and 5 s in which the peer may take nothing.
fn stalls() -> Config {
    let mut config = quiet();
    config.stall_timeout = Some(Duration::from_secs(5));
    config
}

/// `recv`: "Messages that were read before still come, and then `None`."; `Sender::close`: "the receiving half gets
/// what the peer still sends". Here one read has brought three messages, and the peer does not take our Close frame.
#[tokio::test(start_paused = true)]
async fn a_message_that_was_read_survives_the_end_of_the_time_to_close() {
    let wire = Wire::default();
    wire.say(&frames(Client, [(TEXT, "one"), (TEXT, "two"), (TEXT, "three")]));
    let (mut rx, mut tx) = WebSocket::new(wire.clone(), upgrade(), quiet(), &[]).split();
    assert_eq!(rx.recv().await.unwrap().unwrap(), Message::from("one"));
    // The peer takes nothing, so our Close frame does not leave.
    let closed = tx.close(CloseCode::NORMAL, "").await;
    assert!(closed.is_err());
    assert_eq!(rx.closed().unwrap().cause, Cause::CloseTimeout);
    assert_eq!(rx.recv().await.unwrap(), Some(Message::from("two")));
    assert_eq!(rx.recv().await.unwrap(), Some(Message::from("three")));
}

/// `Connection::hold`: what is held is looked at "also after [...] the transport has failed". A write has failed, and
/// the application is busy for `close_timeout`.
#[test]
fn what_is_held_survives_a_failed_write_and_a_busy_application() {
    for role in BOTH {
        let mut us = open(role);
        us.hold(&frames(role.peer(), [(TEXT, "one"), (TEXT, "two")]));
        us.set_reading(Reading::Paused, s(0));
        us.queue("answer").unwrap();
        us.handle_write_failed(s(1));
        let until = us.until().expect("a deadline");
        us.handle_timeout(until);
        us.set_reading(Reading::Events, until);
        let heard = hear_in(&mut us, [&[][..]], until);
        assert_eq!(heard, (vec![text("one"), text("two")], None), "{role:?}");
    }
}

/// The same for our Close frame, whose answer does not come in time.
#[test]
fn what_is_held_survives_the_end_of_the_time_to_close() {
    for role in BOTH {
        let mut us = open(role);
        us.hold(&frames(role.peer(), [(TEXT, "one"), (TEXT, "two")]));
        us.set_reading(Reading::Paused, s(0));
        us.close(CloseCode::NORMAL, "", s(1)).unwrap();
        transmit(&mut us, s(1));
        let until = us.until().expect("a deadline");
        us.handle_timeout(until);
        us.set_reading(Reading::Events, until);
        let heard = hear_in(&mut us, [&[][..]], until);
        assert_eq!(heard, (vec![text("one"), text("two")], None), "{role:?}");
    }
}

// Bounds and deadlines.

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// `limits.md`: `max_head` bytes "may wait behind a request that is being decided on"; manual: "All other time limits
/// hold even while bytes come without end." `receive` keeps both; `receive_copied` is "as `receive_owned`".
#[test]
fn receive_copied_keeps_the_limits_of_a_request_that_waits_when_its_time_is_over() {
    let server = openline::Server::default();
    for copied in [false, true] {
        let mut us = Connection::server(&server, s(0));
        let mut head = GET.as_bytes().to_vec();
        assert_eq!(us.receive(&mut &mut head[..], s(0)), Ok(Some(Event::Request)));
        let mut behind = vec![0; 16 * 1024];
        let (mut failed, mut calls) = (false, 0);
        let info = allocation_counter::measure(|| {
            while calls < 100 && !failed {
                calls += 1;
                failed = match copied {
                    false => us.receive(&mut &mut behind[..], s(11)).is_err(),
                    true => us.receive_copied(&mut &behind[..], s(11)).is_err(),
                };
            }
        });
        assert!(failed, "copied {copied}: {calls} calls later it still waits, and holds {} bytes", info.bytes_current);
    }
}

/// SECURITY.md: "with the blocking adapter a thread that waits has one of 4 KiB, or of 64 KiB if much came lately".
/// `linear.rs` looks at how much of the buffer is lent to each read; this looks at the memory.
#[test]
fn a_thread_that_waits_has_little_memory_to_read_to_unless_much_came() {
    let held = |much: bool| {
        let work = move || {
            let (little, io) = (frame(Client, TEXT, "hello"), Scripted::default());
            io.0.lock().unwrap().reads.reserve(4);
            let mut ws = None;
            let info = allocation_counter::measure(|| {
                let socket = ws.insert(net::WebSocket::new(io.clone(), upgrade(), quiet(), &[]));
                if much {
                    io.0.lock()
                        .unwrap()
                        .reads
                        .push_back(frames(Client, std::iter::repeat_n((BINARY, [7_u8; 100]), 100)));
                    (0..100).for_each(|_| assert!(socket.recv().unwrap().is_some()));
                }
                for _ in 0..1000 {
                    io.0.lock().unwrap().reads.push_back(little.clone());
                    assert!(socket.recv().unwrap().is_some());
                }
            });
            info.bytes_current
        };
        // A thread of its own, since each keeps buffers.
        std::thread::spawn(work).join().unwrap()
    };
    let (quiet, loud) = (held(false), held(true));
    assert!(loud < quiet + 32 * 1024, "{quiet} bytes without and {loud} with one long read, 1000 short reads ago");
}

/// DESIGN.md, promise 3: "An idle connection owns no read buffer [...] a buffer belongs to a connection only while it
/// holds unread bytes." SECURITY.md: "a read buffer of 64 KiB while there are unread bytes".
#[tokio::test(start_paused = true)]
async fn who_has_taken_the_last_message_owns_no_read_buffer() {
    const SOCKETS: i64 = 50;
    let wires: Vec<_> = (0..SOCKETS)
        .map(|_| {
            let wire = Wire::default();
            wire.change(|ends| ends.room = usize::MAX);
            wire.say(&frame(Client, TEXT, "subscribe"));
            wire
        })
        .collect();
    let mut sockets: Vec<_> = wires.iter().map(|wire| WebSocket::new(wire.clone(), upgrade(), quiet(), &[])).collect();
    let info = allocation_counter::measure(|| {
        for ws in &mut sockets {
            let received = futures_util::FutureExt::now_or_never(ws.recv()).expect("it lies there").unwrap();
            assert!(received.is_some());
            // From now on the task sends what others produce.
            for _ in 0..2 {
                futures_util::FutureExt::now_or_never(ws.send("news")).expect("it is taken").unwrap();
            }
        }
    });
    // What a thread may keep for all of its sockets, and a little for each.
    let most = 4 * 68 * 1024 + SOCKETS * 2048;
    assert!(info.bytes_current < most, "{} bytes for {SOCKETS} sockets without an unread byte", info.bytes_current);
}

// What is shown.

/// SECURITY.md: "`Debug` of the crate's types shows lengths only: no payload".
#[test]
fn debug_of_halves_shows_nothing_that_was_sent() {
    const SECRET: &str = "secret";
    let (rx, mut tx) = net::WebSocket::new(Scripted::default(), upgrade(), quiet(), &[]).split().unwrap();
    tx.send(SECRET).unwrap();
    let socket_of = |rx: net::Receiver<Scripted>, tx| rx.reunite(tx).unwrap();
    let mut shown = vec![format!("{rx:?}"), format!("{tx:?}")];
    shown.push(format!("{:?}", socket_of(rx, tx)));
    for text in shown {
        for part in [SECRET, "115, 101, 99, 114"] {
            assert!(!text.contains(part), "{text}");
        }
    }
}

// What panics.

/// SECURITY.md: "No panic". The `http` crate's names of HTTP/2 may have a `"`, which is no token: `h2` makes such a
/// name of what a peer sends (`HeaderName::from_lowercase`).
#[test]
fn a_field_name_of_http_2_that_is_no_token_does_not_panic() {
    let name = http::HeaderName::from_lowercase(b"a\"b").expect("the `http` crate takes it");
    let request = http::Request::connect("https://example.com/chat")
        .version(http::Version::HTTP_2)
        .header(name, "1")
        .body(())
        .unwrap();
    let taken = catch_unwind(AssertUnwindSafe(|| Request::from_http(&request, Some("websocket"))));
    assert!(taken.is_ok(), "a peer's field makes it panic");
}

/// DESIGN.md, promise 8: "Any order of calls is legal."
#[test]
fn to_look_at_an_event_after_its_buffer_was_released_does_not_panic() {
    let mut driver = Driver::new(open(Server), Time::ZERO);
    let message = frame(Client, BINARY, "hello");
    driver.space()[..message.len()].copy_from_slice(&message);
    driver.filled(message.len(), Time::ZERO);
    let Some(NextEvent::InPlace(found)) = driver.next_event(Form::Whole, || Time::ZERO) else { panic!("no message") };
    driver.release();
    let looked = catch_unwind(AssertUnwindSafe(|| drop(driver.look(found))));
    assert!(looked.is_ok(), "`look` after `release`");
}

// Where the adapters differ.

/// `Driver::owes_shutdown`: "The program may keep the socket, and the peer waits for its end." The peer ends its side
/// while it is sent to; the program's loop sends until there is an error, and keeps the socket.
#[tokio::test(start_paused = true)]
async fn who_only_sends_ends_its_side_when_it_is_over_over_tokio() {
    let wire = Wire::default();
    wire.change(|ends| ends.ended = true);
    let mut config = quiet();
    config.high_water = 1;
    let mut ws = WebSocket::new(wire.clone(), upgrade(), config, &[]);
    ws.feed("one").await.unwrap();
    {
        // There is no room, so this reads, and sees that the peer has ended its side.
        let mut feed = std::pin::pin!(ws.feed("two"));
        assert!(poll_fn(|cx| Poll::Ready(feed.as_mut().poll(cx).is_pending())).await);
        wire.change(|ends| ends.room = usize::MAX);
        assert!(feed.await.unwrap_err().is_closed());
    }
    for _ in 0..3 {
        assert!(ws.send("three").await.unwrap_err().is_closed());
    }
    assert!(ws.connection().wants().is_none(), "it is over");
    assert!(wire.ends().shut_down, "the peer waits for our end");
}

/// A socket with one message queued and room for no other. The transport takes nothing, and its input is at its end.
fn with_one_queued_over_net() -> (Scripted, net::WebSocket<Scripted>) {
    let io = Scripted::default();
    {
        let mut script = io.0.lock().unwrap();
        script.takes_nothing = true;
        script.reads.push_back(vec![]);
    }
    let mut config = quiet();
    config.high_water = 1;
    let mut ws = net::WebSocket::new(io.clone(), upgrade(), config, &[]);
    ws.feed("one").unwrap();
    (io, ws)
}

/// The same over net, for comparison.
#[test]
fn who_only_sends_ends_its_side_when_it_is_over_over_net() {
    let (io, mut ws) = with_one_queued_over_net();
    assert!(ws.feed("two").is_err());
    io.0.lock().unwrap().takes_nothing = false;
    for _ in 0..3 {
        assert!(ws.send("three").unwrap_err().is_closed());
    }
    assert!(ws.connection().wants().is_none(), "it is over");
    assert!(io.0.lock().unwrap().shut_down, "the peer waits for our end");
}

/// As `close_of_a_sending_half_says_that_something_was_lost_over_net`, but here nobody has been told of any error: the
/// receiver's write of what was fed has failed, and what the peer sends is still read.
#[test]
fn close_of_a_sending_half_says_that_a_write_has_failed_over_net() {
    let io = Scripted::default();
    io.0.lock().unwrap().writes_fail = true;
    let (mut rx, mut tx) = net::WebSocket::new(io.clone(), upgrade(), quiet(), &[]).split().unwrap();
    tx.feed("accepted").unwrap();
    assert!(matches!(rx.recv(), Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock), "nothing came");
    let closed = tx.close(CloseCode::NORMAL, "");
    assert!(closed.is_err(), "neither the message nor the Close frame has left, and close says {closed:?}");
}

/// `flush`: "Waits until the transport has taken all that this end queued before"; `Driver::sent_mark`: where the last
/// thing ends that the application queued. Nothing was queued here but a Pong, which the peer does not take. A `flush`
/// alone returns at once (`kept.rs` has that for `send`), and so does one behind `ready`.
#[tokio::test(start_paused = true)]
async fn flush_behind_ready_waits_for_no_pong() {
    for ready in [false, true] {
        let wire = Wire::default();
        wire.say(&frames(Client, [(PING, "ping"), (TEXT, "one")]));
        let (mut rx, mut tx) = WebSocket::new(wire.clone(), upgrade(), stalls(), &[]).split();
        assert!(rx.recv().await.unwrap().is_some());
        if ready {
            tx.ready().await.unwrap();
        }
        let flushed = tx.flush().await;
        assert!(flushed.is_ok(), "ready {ready}: {flushed:?}");
    }
}

/// The same for a whole socket of `net`: its `flush` tells of no loss if nothing was sent.
#[test]
fn flush_behind_ready_tells_of_no_lost_pong() {
    for ready in [false, true] {
        let io = Scripted::default();
        {
            let mut script = io.0.lock().unwrap();
            (script.takes_nothing, script.then) = (true, Some(ErrorKind::ConnectionReset));
            script.reads.push_back(frames(Client, [(PING, "ping"), (TEXT, "one")]));
        }
        let mut ws = net::WebSocket::new(io, upgrade(), quiet(), &[]);
        assert!(ws.recv().unwrap().is_some());
        if ready {
            ws.ready().unwrap();
        }
        assert!(matches!(ws.recv(), Err(Error::Io(error)) if error.kind() == ErrorKind::ConnectionReset));
        let flushed = ws.flush();
        assert!(flushed.is_ok(), "ready {ready}: {flushed:?}");
    }
}

/// SECURITY.md: "A connection that is still opening takes 48 KiB at most". `handshake_costs.rs` cuts at 4096, where
/// memory that doubles comes out even. An adapter reads 4 KiB at most, but a peer may send any less.
#[test]
fn a_head_that_comes_in_odd_pieces_takes_no_more_than_it_says() {
    let over = opening_costs(&[(4096, 0), (4095, 0), (2047, 0), (1000, 0), (700, 0)]);
    assert!(over.is_empty(), "pieces of a head, pieces behind it, bytes: {over:?}");
}

/// The same for what comes behind a request that waits for a decision, in a host that goes on reading.
#[test]
fn what_waits_behind_a_request_in_odd_pieces_takes_no_more_than_it_says() {
    let over = opening_costs(&[(4096, 4096), (4096, 4095), (4096, 1000), (4096, 700)]);
    assert!(over.is_empty(), "pieces of a head, pieces behind it, bytes: {over:?}");
}

/// Which of these ways to cut a head of 16 KiB, and as much behind it, take more than 44 KiB: a read buffer has the
/// other four.
fn opening_costs(cuts: &[(usize, usize)]) -> Vec<(usize, usize, u64)> {
    let server = openline::Server::default();
    let cost = |&(head, then): &(usize, usize)| {
        let target = "a".repeat(16 * 1024 - GET.len());
        let mut request = GET.replacen("GET /", &format!("GET /{target}"), 1).into_bytes();
        let mut behind = vec![0; if then == 0 { 0 } else { 16 * 1024 }];
        let info = allocation_counter::measure(|| {
            let mut us = Connection::server(&server, Time::ZERO);
            for part in request.chunks_mut(head).chain(behind.chunks_mut(then.max(1))) {
                let mut input = part;
                while let Ok(Some(_)) = us.receive(&mut input, Time::ZERO) {}
            }
            assert!(us.request().is_some(), "it waits");
        });
        (head, then, info.bytes_max)
    };
    cuts.iter().map(cost).filter(|(_, _, bytes)| *bytes > 44 * 1024).collect()
}

/// The loop in the docs of `Connection`, word for word: every message is sent back. Here a long message ends in the
/// buffer in which a short one follows, as in `one_long_message_and_many_short_ones_at_once` of `loops.rs`.
#[test]
fn the_loop_in_the_docs_of_connection_answers_a_long_message_and_a_short_one() {
    let (mut server, now) = (connection(Server, Config::default()), Time::ZERO);
    let mut wire = frames(Client, [(BINARY, &vec![7; 70_000][..]), (BINARY, b"short")]);
    let mut serve = || -> Result<(), Box<dyn std::error::Error>> {
        for part in wire.chunks_mut(64 * 1024) {
            let mut input = part;
            while let Some(event) = server.receive(&mut input, now)? {
                let Event::Message(message) = event else { continue };
                server.queue(message)?;
            }
        }
        Ok(())
    };
    let served = serve();
    assert!(served.is_ok(), "{served:?}");
}

/// As `who_only_sends_ends_its_side_when_it_is_over_over_net`, but the loop ends with its first error, as those of the
/// README do.
#[test]
fn a_loop_that_sends_until_its_first_error_ends_its_side_over_net() {
    let (io, mut ws) = with_one_queued_over_net();
    assert!(matches!(ws.feed("two"), Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock));
    io.0.lock().unwrap().takes_nothing = false;
    while let Ok(()) = ws.send("three") {}
    assert!(ws.connection().wants().is_none(), "it is over");
    assert!(io.0.lock().unwrap().shut_down, "the peer waits for our end");
}

/// `Connection::has_lost`: "Whether bytes that were queued will never leave, because the transport has failed or the
/// connection has ended before." Here it is the request of a client.
#[test]
fn a_request_that_never_left_is_lost() {
    let client = openline::Client::new(openline::ClientRequest::new("ws://example.com/").unwrap());
    for how in ["time is over", "reset", "the server's end"] {
        let mut us = Connection::client(&client, [7; 32], s(0));
        assert!(us.queued() > 0);
        match how {
            "reset" => us.handle_reset(),
            "time is over" => us.handle_timeout(s(10)),
            _ => us.handle_eof(s(1)),
        }
        assert!(us.wants().is_none() && us.queued() == 0, "{how}: it is over, and nothing waits");
        assert!(us.has_lost(), "{how}: nothing was lost, it says");
    }
}
