//! What lies next to what `rim_clocks.rs` and `rim_words.rs` test: panics that are not the transport's, Pongs that may lie
//! unread, signals, and what is read late. Virtual time only; where a thread or a pause of the real clock is used, it only
//! ends a hang or makes a deadline pass.
#![cfg(feature = "tokio")]

mod common;
#[path = "common/counting.rs"]
mod counting;
mod edges_wire;
#[path = "common/line.rs"]
mod line;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use common::*;
use counting::{Says, Takes, Wire};
use openline::Role::{Client, Server};
use openline::tokio::WebSocket;
use openline::{Event, Keepalive, Message, Reading};
use tokio::time::sleep;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

// Panics.

/// `Drop for Locked`: "Ends all reading and writing if the transport panics". This panic is the application's (its
/// conversion into a message), and the transport is whole: the connection goes on, as it does with tokio's halves.
#[test]
fn a_panic_of_the_application_is_not_taken_for_one_of_the_transport() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    struct Bad;
    impl From<Bad> for Message<'static> {
        fn from(_: Bad) -> Message<'static> {
            panic!("the application panics");
        }
    }
    let mut wrong = vec![];
    for adapter in ["net", "tokio"] {
        let after = if adapter == "net" {
            let wire = edges_wire::Wire::new(|_| edges_wire::timed_out(), |_, bytes| Ok(bytes.len()));
            let (rx, mut tx) = wire.socket(Server, edges_wire::patient()).split().unwrap();
            assert!(catch_unwind(AssertUnwindSafe(|| drop(tx.feed_fragment(Bad, true)))).is_err());
            (format!("{:?}", tx.send("second")), rx.closed())
        } else {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            let _runtime = runtime.as_ref().unwrap().enter();
            let wire = Wire::default();
            wire.begin(Client, Says::Nothing, Takes::All);
            let (rx, mut tx) = WebSocket::new(wire, line::upgrade(Server), quiet(), &[]).split();
            let mut cx = Context::from_waker(Waker::noop());
            let died = catch_unwind(AssertUnwindSafe(|| {
                drop(Box::pin(tx.feed_fragment(Bad, true)).as_mut().poll(&mut cx));
            }));
            assert!(died.is_err());
            let sent = match Box::pin(tx.send("second")).as_mut().poll(&mut cx) {
                std::task::Poll::Ready(sent) => format!("{sent:?}"),
                std::task::Poll::Pending => "pending".into(),
            };
            (sent, rx.closed())
        };
        if after.0 != "Ok(())" {
            wrong.push((adapter, after));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// A transport that panics once does not make a later call wait for ever: that holds for the halves, and for a socket
/// that is not split. A socket that is split after it is neither. The time here only ends a hang.
#[test]
fn a_panic_before_a_split_does_not_keep_the_halves_waiting() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    for (panics, splits) in [(false, true), (true, false), (true, true)] {
        let wire = edges_wire::Wire::new(|_| edges_wire::timed_out(), |_, bytes| Ok(bytes.len()));
        let mut ws = wire.socket(Server, openline::Config::default());
        wire.log().panic_in_set_write_timeout = panics;
        let died = catch_unwind(AssertUnwindSafe(|| drop(ws.send("first"))));
        assert_eq!(died.is_err(), panics);
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let result = if splits {
                let (_rx, mut tx) = ws.split().unwrap();
                tx.send("second")
            } else {
                ws.send("second")
            };
            tell.send(result.is_ok()).unwrap_or(());
        });
        let told = told.recv_timeout(Duration::from_secs(5));
        assert!(told.is_ok(), "panics: {panics}, splits: {splits}: a send hangs");
    }
}

// Deadlines.

/// Manual: "All other time limits hold even while bytes come without end." They hold in net since a read that brought
/// bytes looks at them, and so does one that a signal interrupted.
#[test]
fn a_deadline_holds_though_signals_come_without_end() {
    let mut us = open(Server);
    us.close(1000.into(), "", s(0)).unwrap();
    // In 100 ms the time to close will be over.
    let epoch = std::time::Instant::now().checked_sub(Duration::from_millis(9_900)).unwrap();
    let wire = edges_wire::Wire::new(
        |call| {
            match call {
                // The read waits until the time is over, and a signal comes.
                1 => std::thread::sleep(Duration::from_millis(200)),
                1000 => return Ok(vec![]),
                _ => {}
            }
            Err(std::io::ErrorKind::Interrupted.into())
        },
        |_, bytes| Ok(bytes.len()),
    );
    let mut ws = openline::net::WebSocket::from_connection(wire.clone(), us, epoch);
    let result = ws.recv();
    let (reads, closed) = (wire.log().reads, ws.closed().cloned());
    assert!(reads < 10, "{reads} reads, {result:?}, {closed:?}");
}

/// Promise 9, "One machine": "For Pongs only: nobody is given up before the transport itself has said that nothing is
/// there". A Ping has not left, since the peer takes nothing now; the application was busy. The first read brings a
/// message, so the peer lives.
#[test]
fn a_peer_that_has_just_said_something_is_not_given_up_for_a_pong_in_net() {
    for splits in [false, true] {
        let mut us = connection(Server, openline::Config::default());
        us.ping(b"p", s(0)).unwrap();
        let epoch = std::time::Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
        let wire = edges_wire::Wire::new(
            |call| if call < 3 { Ok(frame(Client, TEXT, "I live")) } else { edges_wire::timed_out() },
            |_, _| edges_wire::timed_out(),
        );
        let mut ws = openline::net::WebSocket::from_connection(wire, us, epoch);
        let (got, state, closed);
        if splits {
            let (mut rx, _tx) = ws.split().unwrap();
            got = rx.recv();
            (state, closed) = (rx.state(), rx.closed());
        } else {
            got = ws.recv();
            (state, closed) = (ws.state(), ws.closed().cloned());
        }
        assert_eq!((state, closed), (openline::State::Open, None), "splits: {splits}, {got:?}");
    }
}

/// The same with tokio, which holds.
#[tokio::test(start_paused = true)]
async fn a_peer_that_has_just_said_something_is_not_given_up_for_a_pong() {
    let mut us = connection(Server, openline::Config::default());
    us.ping(b"p", s(0)).unwrap();
    let epoch = tokio::time::Instant::now().into_std();
    sleep(Duration::from_secs(100)).await;
    let line = line::Line::silent([frame(Client, TEXT, "I live")]);
    line.change(|script| script.blocked = true);
    let mut ws = WebSocket::from_connection(line, us, epoch);
    let got = ws.recv().await;
    assert_eq!((ws.state(), ws.closed()), (openline::State::Open, None), "{got:?}");
}

/// The same with tokio where the task gives way to others before it reads: "The transport has not been asked, and the
/// missing Pong may lie there."
#[tokio::test(start_paused = true)]
async fn a_peer_that_was_not_asked_is_not_given_up_for_a_pong() {
    let mut us = connection(Server, openline::Config::default());
    us.ping(b"p", s(0)).unwrap();
    let epoch = tokio::time::Instant::now().into_std();
    let line = line::Line::none();
    line.change(|script| {
        script.then = line::Then::Bytes(frame(Client, BINARY, vec![7; 60_000]));
        script.blocked = true;
    });
    let mut ws = WebSocket::from_connection(line, us, epoch);
    for _ in 0..3 {
        assert!(ws.recv().await.unwrap().is_some());
    }
    // Busy with the messages.
    sleep(Duration::from_secs(30)).await;
    let got = ws.recv().await.map(|message| message.map(|message| message.len()));
    assert_eq!((ws.state(), ws.closed()), (openline::State::Open, None), "{got:?}");
}

/// `ping`: "When `recv` gets its Pong, that sets `latency`", "unless another Ping is sent before it comes". It came with
/// this read, and nothing was sent before.
#[tokio::test(start_paused = true)]
async fn a_pong_that_a_late_read_brings_has_its_latency() {
    let mut latencies = vec![];
    for adapter in ["tokio", "net"] {
        let mut us = connection(Server, openline::Config::default());
        us.ping(b"p", s(0)).unwrap();
        transmit(&mut us, s(0));
        let bytes = frames(Client, [(PONG, "p"), (TEXT, "hi")]);
        latencies.push(if adapter == "tokio" {
            let epoch = tokio::time::Instant::now().into_std();
            sleep(Duration::from_secs(100)).await;
            let mut ws = WebSocket::from_connection(line::Line::silent([bytes]), us, epoch);
            ws.recv().await.unwrap();
            ws.latency().is_some()
        } else {
            let epoch = std::time::Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
            let wire = edges_wire::Wire::new(move |_| Ok(bytes.clone()), |_, bytes| Ok(bytes.len()));
            let mut ws = openline::net::WebSocket::from_connection(wire, us, epoch);
            ws.recv().unwrap();
            ws.latency().is_some()
        });
    }
    assert_eq!(latencies, [true, true], "tokio, net");
}

/// `handle_eof`: "The connection is `Closed` now [...]. If bytes wait, it is closed only when they have been transmitted".
/// §5.5.1: bytes after the Close frame are ignored. The Close frame has been read ahead, and the host holds the rest of
/// that input, as `receive_ahead` says.
#[test]
fn bytes_that_are_held_behind_a_close_frame_that_was_read_ahead_do_not_put_off_the_end() {
    let mut outcomes = vec![];
    for garbage in [&b""[..], b"x"] {
        let mut us = open(Client);
        us.send("waits").unwrap();
        us.set_reading(Reading::OneAhead, s(0));
        us.handle_blocked(s(0));
        let mut bytes = [&close_frame(Server, 1000, "")[..], garbage].concat();
        let mut input = &mut bytes[..];
        us.receive_ahead(&mut input, s(0)).unwrap();
        us.hold(input);
        us.handle_eof(s(1));
        let eof = (us.state(), us.until());
        // The application ends it, and all leaves.
        let _ = us.close(1000.into(), "", s(2));
        transmit(&mut us, s(2));
        outcomes.push((eof, us.wants(), us.closed().cloned()));
    }
    assert_eq!(outcomes[1], outcomes[0], "with a byte behind the Close frame, and without");
}

/// `recv`: "`Error::Protocol` [...], once, from whatever method meets it first." The time to close is over while the
/// receiver is busy; what it looks at then breaks the protocol, which is why the connection ended from then on.
#[tokio::test(start_paused = true)]
async fn a_fault_that_is_seen_behind_the_time_to_close_is_returned_once() {
    let mut seen = vec![];
    for takes in [Takes::All, Takes::Nothing] {
        let wire = Wire::default();
        wire.begin(Client, Says::Nothing, takes);
        wire.say(&[&frames(Client, [(TEXT, "a"), (TEXT, "b")])[..], &[0xff]].concat());
        let (mut rx, mut tx) = WebSocket::new(wire.clone(), line::upgrade(Server), quiet(), &[]).split();
        assert_eq!(rx.recv().await.unwrap(), Some(Message::from("a")));
        let closed = line::in_time(tx.close(1000.into(), "")).await;
        sleep(Duration::from_secs(20)).await;
        assert_eq!(line::in_time(rx.recv()).await.unwrap(), Some(Message::from("b")));
        let end = line::in_time(rx.recv()).await;
        let cause = rx.closed().map(|closed| closed.cause);
        let is_fault = |error: &openline::Error| matches!(error, openline::Error::Protocol(_));
        let returned = [closed.err(), end.err()].into_iter().flatten().filter(is_fault).count();
        if matches!(cause, Some(openline::Cause::Protocol(_))) && returned != 1 {
            seen.push((takes, cause, returned));
        }
    }
    assert!(seen.is_empty(), "it ended by a fault, which was returned so often: {seen:?}");
}

// The ways to receive.

/// `receive_copied`: "As `receive_owned`". A request was read ahead, and more comes after the time is over.
#[test]
fn receive_copied_returns_what_was_read_ahead_as_receive_does() {
    let mut outcomes = vec![];
    for copied in [false, true] {
        let mut us = openline::Connection::server(&openline::Server::default().config(quiet()), s(0));
        us.set_reading(Reading::OneAhead, s(0));
        us.receive_ahead(&mut &mut REQUEST.to_vec()[..], s(0)).unwrap();
        us.set_reading(Reading::Events, s(0));
        let mut more = frame(Client, TEXT, "early");
        let mut events = vec![];
        let (mut owned, mut shared) = (&mut more.clone()[..], &more[..]);
        for _ in 0..3 {
            events.push(if copied {
                us.receive_copied(&mut shared, s(11))
            } else {
                us.receive_owned(&mut owned, s(11))
            });
        }
        more.clear();
        outcomes.push(events);
    }
    assert_eq!(outcomes[1], outcomes[0], "copied, and owned");
}

/// `Connection::opening_timed_out`: "The answer is offered to the transport once, without waiting." `receive_copied`: "As
/// `receive_owned`". The host goes on reading at the moment in which what came too late is given.
#[test]
fn the_408_is_offered_to_the_transport_whichever_way_late_bytes_are_given() {
    let mut outcomes = vec![];
    for copied in [false, true] {
        let mut us = openline::Connection::server(&openline::Server::default().config(quiet()), s(0));
        us.set_reading(Reading::Paused, s(0));
        us.set_reading(Reading::Events, s(11));
        let mut late = REQUEST.to_vec();
        let event = if copied {
            us.receive_copied(&mut &late.clone()[..], s(11))
        } else {
            us.receive_owned(&mut &mut late[..], s(11))
        };
        let answer = us.next_transmit().map(|bytes| String::from_utf8_lossy(&bytes[..12]).into_owned());
        outcomes.push((event, answer));
    }
    assert_eq!(outcomes[1], outcomes[0], "copied, and owned");
}

/// `has_lost`: "Whether bytes that were queued will never leave". Nothing was queued when the transport failed.
#[test]
fn nothing_is_lost_of_which_nothing_was_queued() {
    let mut us = openline::Connection::server(&openline::Server::default().config(quiet()), s(0));
    us.receive(&mut &mut REQUEST[..20].to_vec()[..], s(0)).unwrap();
    assert_eq!((us.queued(), us.written(), us.has_lost()), (0, 0, false));
    us.handle_reset();
    assert!(!us.has_lost(), "{us:?}");
}

/// `ping`: "Its Pong sets `latency`, unless another Ping is sent before it comes." None is sent before it comes here; that
/// keepalive begins does not change it.
#[test]
fn keepalive_that_begins_does_not_forget_a_ping_before_it_sends_one() {
    for begins in [false, true] {
        let mut us = open(Server);
        us.ping(b"p", s(0)).unwrap();
        transmit(&mut us, s(0));
        if begins {
            let mut config = quiet();
            config.keepalive = Some(Keepalive::default());
            us.set_config(config);
        }
        let _ = hear_in(&mut us, [&frame(Client, PONG, "p")[..]], s(1));
        assert_eq!(us.latency(), Some(Duration::from_secs(1)), "keepalive begins: {begins}");
    }
}

/// `receive_ahead`: "If messages are taken in chunks [...], it stops before the first data." No byte of a message is lost:
/// what was read straight to its place ends a frame, and a send is blocked then.
#[test]
fn what_was_filled_in_chunk_mode_is_not_lost_to_receive_ahead() {
    let mut lens = vec![];
    for ahead in [false, true] {
        let mut us = open(Server);
        let all = frame(Client, BINARY, vec![7; 50_000]);
        let (front, back) = all.split_at(all.len() - 20_000);
        let mut got = 0;
        let mut chunks = |us: &mut openline::Connection, bytes: &[u8]| {
            for event in hear_with_chunks(us, bytes) {
                if let Event::Chunk(chunk) = event {
                    got += chunk.data.len();
                }
            }
        };
        chunks(&mut us, front);
        let space = us.receive_space().unwrap();
        assert!(space.len() >= 20_000);
        space[..20_000].copy_from_slice(back);
        us.handle_filled(20_000, s(0));
        if ahead {
            us.set_reading(Reading::OneAhead, s(0));
            us.receive_ahead(&mut &mut [][..], s(0)).unwrap();
            us.set_reading(Reading::Events, s(0));
        }
        chunks(&mut us, &[]);
        lens.push(got);
    }
    assert_eq!(lens, [50_000, 50_000]);
}

fn hear_with_chunks(us: &mut openline::Connection, bytes: &[u8]) -> Vec<Event<'static>> {
    let (mut buffer, mut events) = (bytes.to_vec(), vec![]);
    let mut input = &mut buffer[..];
    while let Some(event) = us.receive_chunk(&mut input, s(0)).unwrap() {
        events.push(event.into_owned());
    }
    events
}

// Memory.

/// A transport for both adapters that brings a message with each of its first reads, and notes where it was read to.
#[derive(Debug)]
struct Noted {
    messages: Vec<Vec<u8>>,
    spaces: Arc<std::sync::Mutex<Vec<(usize, usize)>>>,
}

impl Noted {
    fn next(&mut self, space: &[u8]) -> Option<Vec<u8>> {
        let message = self.messages.pop()?;
        self.spaces.lock().unwrap().push((space.as_ptr() as usize, space.len()));
        Some(message)
    }
}

impl std::io::Read for Noted {
    fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
        let Some(message) = self.next(space) else { return edges_wire::timed_out() };
        let len = message.len().min(space.len());
        space[..len].copy_from_slice(&message[..len]);
        if len < message.len() {
            self.messages.push(message[len..].to_vec());
        }
        Ok(len)
    }
}

impl std::io::Write for Noted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl openline::net::Transport for Noted {
    fn set_read_timeout(&self, _: Option<Duration>) -> std::io::Result<()> {
        Ok(())
    }
    fn set_write_timeout(&self, _: Option<Duration>) -> std::io::Result<()> {
        Ok(())
    }
    fn shutdown_write(&mut self) -> std::io::Result<()> {
        Ok(())
    }
    fn try_clone(&self) -> std::io::Result<Noted> {
        edges_wire::would_block()
    }
}

impl tokio::io::AsyncRead for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        space: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let Some(message) = self.next(space.initialize_unfilled()) else { return std::task::Poll::Pending };
        space.put_slice(&message);
        std::task::Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Noted {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

/// SECURITY.md: "a read buffer of 64 KiB while there are unread bytes and until it waits or has sent twice since".
/// Promise 3: "a buffer belongs to a connection only while it holds unread bytes". So the next connection of the thread
/// can use it.
#[tokio::test(start_paused = true)]
async fn a_socket_that_only_sends_keeps_no_read_buffer() {
    let mut kept = vec![];
    for adapter in ["tokio", "net"] {
        for size in [10, 4000] {
            let spaces = Arc::<std::sync::Mutex<Vec<(usize, usize)>>>::default();
            let message = frame(Client, TEXT, vec![b'a'; size]);
            let io = || Noted { messages: vec![message.clone(); 3], spaces: Arc::clone(&spaces) };
            if adapter == "tokio" {
                let (mut one, mut two) = (line::socket(Server, io(), quiet()), line::socket(Server, io(), quiet()));
                one.recv().await.unwrap();
                for _ in 0..10 {
                    one.send("x").await.unwrap();
                }
                two.recv().await.unwrap();
                drop(one);
            } else {
                let new =
                    || openline::net::WebSocket::new(io(), edges_wire::upgrade(Server), edges_wire::patient(), &[]);
                let (mut one, mut two) = (new(), new());
                one.recv().unwrap();
                for _ in 0..10 {
                    one.send("x").unwrap();
                }
                two.recv().unwrap();
                drop(one);
            }
            let spaces = spaces.lock().unwrap();
            if spaces.first() != spaces.last() {
                kept.push((adapter, size, spaces.clone()));
            }
        }
    }
    assert!(kept.is_empty(), "the first still has its buffer: {kept:x?}");
}
