//! Every wait has a clock, which begins at the right moment; and what could not be done is tried again. Virtual time
//! only.
#![cfg(feature = "tokio")]

mod common;
#[path = "common/counting.rs"]
mod counting;
mod edges_wire;
#[path = "common/line.rs"]
mod line;

use std::future::Future;
use std::time::Duration;

use common::*;
use counting::{Says, Takes, Wire};
use line::{Line, in_time, only, socket};
use openline::Role::{Client, Server};
use openline::tokio::WebSocket;
use openline::{Cause, Message, Reading};
use tokio::time::{Instant, sleep, timeout};

/// Longer than any wait that is documented.
const LONG: Duration = Duration::from_secs(600);

// The clock of a blocked transport.

/// `handle_blocked`: "The transport took nothing of what waits. [...] After `stall_timeout` the connection is over. A
/// write that takes a byte ends that time; if nothing waited, a flush does." Something waits, and no byte was taken.
#[test]
fn a_flush_does_not_stop_the_clock_of_bytes_that_wait() {
    let mut us = open(Server);
    us.send("in a buffer of the transport").unwrap();
    us.handle_buffered(us.queued(), s(0));
    // Nothing waits, and it cannot pass on what it has.
    us.handle_blocked(s(0));
    assert_eq!(us.until(), Some(s(60)));
    us.send("waits").unwrap();
    // It takes nothing of what waits, though it has passed on what it had.
    us.handle_blocked(s(1));
    us.handle_flushed(s(1));
    let wants = us.wants().unwrap();
    assert!(wants.write && wants.until.is_some(), "no time limit: {wants:?}");
}

/// The same with the adapter, which flushes after a write that blocks. The peer opens no window (as of HTTP/2) for what
/// waits; the transport has passed on what it had.
#[tokio::test(start_paused = true)]
async fn a_send_ends_though_a_flush_goes_through_behind_its_write() {
    let mut wrong = vec![];
    for handed_over in [false, true] {
        let wire = Wire::default();
        wire.begin(Client, Says::Nothing, Takes::NoFlush);
        let mut ws = WebSocket::new(wire.clone(), line::upgrade(Server), quiet(), &[]);
        assert!(timeout(Duration::from_secs(1), ws.send("in the buffer")).await.is_err());
        if handed_over {
            // So that no timer is left that was set for the flush.
            let (io, connection, epoch) = ws.into_parts();
            ws = WebSocket::from_connection(io, connection, epoch);
        }
        // What lies in the buffer has gone on; nothing more is taken.
        wire.change(|ends| (ends.room, ends.flush_blocks) = (0, false));
        // The wake-up of this task, which is for the send before.
        sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        let sent = timeout(LONG, ws.send("waits")).await;
        let took = begun.elapsed();
        let until = ws.connection().wants().map(|wants| wants.until);
        wrong.extend((took > Duration::from_secs(61)).then_some((handed_over, took, sent.is_err(), until)));
    }
    assert!(wrong.is_empty(), "handed over, it took, it has no end, until: {wrong:?}");
}

// An end behind what was read is acted upon.

/// `handle_eof`: "If bytes wait, it is closed only when they have been transmitted, or `close_timeout` is over." Bytes
/// that were filled in come before the end: `receive_ahead` looks at them, and then at the end behind them.
#[test]
fn an_end_behind_what_was_filled_is_acted_upon_by_receive_ahead() {
    for asks_before in [true, false] {
        let mut us = open(Server);
        us.set_reading(Reading::OneAhead, s(0));
        us.send("waits").unwrap();
        // The first fragment of a message: it makes no event.
        let first = frame(Client, BINARY_BEGINS, vec![7; 50_000]);
        let (front, back) = first.split_at(first.len() - 20_000);
        us.receive_ahead(&mut &mut front.to_vec()[..], s(0)).unwrap();
        us.receive_space().unwrap()[..20_000].copy_from_slice(back);
        us.handle_filled(20_000, s(0));
        if asks_before {
            us.receive_ahead(&mut &mut [][..], s(0)).unwrap();
        }
        us.handle_eof(s(0));
        us.receive_ahead(&mut &mut [][..], s(0)).unwrap();
        let wants = us.wants();
        assert_eq!(us.until(), Some(s(10)), "asks before: {asks_before}, {us:?}, {wants:?}");
    }
}

/// `handle_eof`: "The connection is `Closed` now, cleanly if both ends have sent their Close frames." §5.5.1: bytes after
/// the peer's Close frame are ignored, so they do not put it off. (A host holds the rest of an input in which it stops.)
#[test]
fn bytes_that_are_held_behind_a_close_frame_do_not_put_off_the_end() {
    for garbage in [&b""[..], b"x"] {
        for role in BOTH {
            let mut us = open(role);
            let mut bytes = [&close_frame(role.peer(), 1000, "")[..], garbage].concat();
            let mut input = &mut bytes[..];
            assert!(matches!(us.receive(&mut input, s(0)), Ok(Some(openline::Event::Close(_)))));
            us.hold(input);
            us.set_reading(Reading::Paused, s(0));
            transmit(&mut us, s(0));
            us.handle_eof(s(0));
            assert_eq!(us.wants(), None, "{role:?}, {} bytes behind: {us:?}", garbage.len());
        }
    }
}

// The time to close begins when it begins to close, and not when bytes were read.

/// `handle_late`: "The bytes that have just made this end close were read some time ago. The time to close begins
/// `now`."
#[test]
fn an_end_that_is_seen_late_has_its_time_from_then_on() {
    let mut us = open(Server);
    us.hold(&frame(Client, TEXT, "held"));
    us.handle_eof(s(0));
    us.send("waits").unwrap();
    // The host was busy. It says when the bytes were read, and that this was some time ago.
    assert_eq!(us.receive(&mut &mut [][..], s(0)), Ok(Some(text("held"))));
    assert_eq!(us.receive(&mut &mut [][..], s(0)), Ok(None));
    us.handle_late(s(20));
    let until = us.until();
    assert_eq!(until, Some(s(30)), "{us:?}");
}

/// The same with the adapter, to which a connection was handed over: what was accepted is not lost, since the peer takes
/// it within a second.
#[tokio::test(start_paused = true)]
async fn an_adapter_that_sees_the_end_late_does_not_lose_what_was_sent() {
    let line = Line::none();
    line.change(|script| script.blocked = true);
    let mut us = open(Server);
    us.hold(&frame(Client, TEXT, "held"));
    us.handle_eof(s(0));
    let epoch = Instant::now().into_std();
    let mut ws = WebSocket::from_connection(line.clone(), us, epoch);
    ws.feed("answer").await.unwrap();
    // Busy.
    sleep(Duration::from_secs(20)).await;
    let later = line.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(1)).await;
        later.unblock();
    });
    assert_eq!(in_time(ws.recv()).await.unwrap(), Some(Message::from("held")));
    assert_eq!(in_time(ws.recv()).await.unwrap(), None);
    assert_eq!(line.said(Server), [(TEXT, b"answer".to_vec())], "{:?}", ws.closed());
    assert_eq!(ws.closed().unwrap().cause, Cause::Eof);
}

// Time limits under a flood.

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// `Connection::accept`: the 101 "must leave within the time of the opening handshake". Manual: "All other time limits
/// hold even while bytes come without end." The client takes a byte at a time, and sends messages without end.
#[test]
fn a_101_that_is_taken_byte_by_byte_ends_it_though_messages_come_without_end_in_net() {
    let mut us = openline::Connection::server(&openline::Server::default().config(quiet()), s(0));
    let mut request = REQUEST.to_vec();
    assert_eq!(us.receive(&mut &mut request[..], s(0)), Ok(Some(openline::Event::Request)));
    us.accept(openline::Accept::default(), s(0)).unwrap();
    // 20 s ago, so its time was over 10 s ago.
    let epoch = std::time::Instant::now().checked_sub(Duration::from_secs(20)).unwrap();
    let wire = edges_wire::Wire::new(|_| Ok(frame(Client, TEXT, "flood")), |_, _| Ok(1));
    let mut ws = openline::net::WebSocket::from_connection(wire.clone(), us, epoch);
    let mut messages = 0;
    let result = loop {
        match ws.recv() {
            Ok(Some(_)) if messages < 100 => messages += 1,
            other => break other,
        }
    };
    let taken = wire.log().written.len();
    assert!(
        matches!(result, Err(openline::Error::Handshake(openline::HandshakeError::TimedOut))),
        "{messages} messages, {taken} bytes of the 101, and {result:?}"
    );
}

/// The same with the tokio adapter.
#[tokio::test(start_paused = true)]
async fn a_101_that_is_taken_byte_by_byte_ends_it_though_messages_come_without_end() {
    let mut us = openline::Connection::server(&openline::Server::default().config(quiet()), s(0));
    let mut request = REQUEST.to_vec();
    assert_eq!(us.receive(&mut &mut request[..], s(0)), Ok(Some(openline::Event::Request)));
    us.accept(openline::Accept::default(), s(0)).unwrap();
    let epoch = Instant::now().into_std();
    sleep(Duration::from_secs(20)).await;
    let line = Line::none();
    line.change(|script| {
        script.then = line::Then::Bytes(frame(Client, TEXT, "flood"));
        script.blocked = true;
    });
    let mut ws = WebSocket::from_connection(line.clone(), us, epoch);
    let mut messages = 0;
    let result = loop {
        line.change(|script| script.writes.push_back(Ok(1)));
        match in_time(ws.recv()).await {
            Ok(Some(_)) if messages < 100 => messages += 1,
            other => break other,
        }
    };
    assert!(result.is_err(), "{messages} messages, and {result:?}");
}

// A shutdown that the runtime did not let through.

/// A transport whose shutdown writes, as that of a TLS stream: tokio lets no write through when the task has used up
/// its budget.
struct Tls(Wire);

impl tokio::io::AsyncRead for Tls {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        space: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(cx, space)
    }
}

impl tokio::io::AsyncWrite for Tls {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if !tokio::task::coop::has_budget_remaining() {
            cx.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// `Driver::owes_shutdown`: "The program may keep the socket, and the peer waits for its end."
#[tokio::test(start_paused = true)]
async fn the_end_is_shut_down_though_the_task_has_used_up_its_budget() {
    for used_up in [false, true] {
        let wire = Wire::default();
        wire.begin(Client, Says::End, Takes::All);
        let mut ws = WebSocket::new(Tls(wire.clone()), line::upgrade(Server), quiet(), &[]);
        let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
        (0..1000).for_each(|n| tx.send(n).unwrap());
        sleep(Duration::from_secs(1)).await;
        while used_up && tokio::task::coop::has_budget_remaining() {
            rx.recv().await.unwrap();
        }
        assert_eq!(ws.recv().await.unwrap(), None);
        // The program keeps the socket.
        sleep(LONG).await;
        assert!(wire.ends().shut_down, "used up: {used_up}");
    }
}

// The time of a Pong.

/// `latency`: "The time from the last answered Ping to its Pong." `receive`, and so `receive_ahead`: "`now` is the time
/// when the bytes were read".
#[tokio::test(start_paused = true)]
async fn a_pong_that_was_read_before_the_application_was_busy_has_its_time() {
    for sends in [false, true] {
        let line = Line::none();
        let mut ws = socket(Server, line.clone(), quiet());
        in_time(ws.ping(b"p")).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        line.say([frame(Client, TEXT, "a message"), frame(Client, PONG, "p")].concat());
        assert_eq!(in_time(ws.recv()).await.unwrap(), Some(Message::from("a message")));
        // Busy. The Pong was read with the message.
        sleep(Duration::from_secs(30)).await;
        if sends {
            line.change(|script| script.blocked = true);
            assert!(only(3, ws.send("blocked")).await.is_none());
        } else {
            assert!(only(3, ws.recv()).await.is_none());
        }
        let latency = ws.latency().unwrap();
        assert!(latency < Duration::from_secs(2), "sends: {sends}, {latency:?}");
    }
}

/// `ping`: "Its Pong sets `latency`, unless another Ping is sent before it comes." Other limits send no Ping.
#[test]
fn other_limits_do_not_forget_a_ping() {
    for sets in [false, true] {
        let mut us = open(Server);
        us.ping(b"p", s(0)).unwrap();
        transmit(&mut us, s(0));
        if sets {
            let mut config = quiet();
            config.max_message_size = 1000;
            us.set_config(config);
        }
        let _ = hear_in(&mut us, [&frame(Client, PONG, "p")[..]], s(1));
        assert_eq!(us.latency(), Some(Duration::from_secs(1)), "sets other limits: {sets}");
    }
}

// A Ping that is due under a flood.

/// `Config::keepalive`: "a Ping every 25 s". Both adapters send it while bytes come without end.
#[test]
fn a_ping_is_sent_while_messages_come_without_end_in_net() {
    let us = connection(Server, openline::Config::default());
    // The Ping was due 75 s ago.
    let epoch = std::time::Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
    let wire = edges_wire::Wire::new(|_| Ok(frame(Client, TEXT, vec![b'm'; 1000])), |_, bytes| Ok(bytes.len()));
    let mut ws = openline::net::WebSocket::from_connection(wire.clone(), us, epoch);
    for _ in 0..1000 {
        assert!(ws.recv().unwrap().is_some());
    }
    let said = parse(Server, &wire.log().written);
    assert_eq!(said.iter().filter(|(first, _)| *first == PING).count(), 1, "Pings with 1 MB of messages");
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_sent_while_messages_come_without_end() {
    let us = connection(Server, openline::Config::default());
    let epoch = Instant::now().into_std();
    sleep(Duration::from_secs(100)).await;
    let line = Line::none();
    line.change(|script| script.then = line::Then::Bytes(frame(Client, TEXT, vec![b'm'; 1000])));
    let mut ws = WebSocket::from_connection(line.clone(), us, epoch);
    for _ in 0..1000 {
        assert!(in_time(ws.recv()).await.unwrap().is_some());
    }
    assert_eq!(line.said(Server).iter().filter(|(first, _)| *first == PING).count(), 1);
}

// A cancelled future whose waker was registered last.

#[derive(Default)]
struct Count(std::sync::atomic::AtomicUsize);

impl std::task::Wake for Count {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// "Every method is cancel-safe." One task waits in `poll_next`, another gives a command under the same lock and drops
/// its future when that blocks. What comes then, and the next deadline, must wake who waits.
#[tokio::test(start_paused = true)]
async fn a_send_that_is_dropped_does_not_take_the_wake_up_of_a_stream() {
    use futures_util::{SinkExt, StreamExt};
    for way in ["none", "sink", "own"] {
        let wire = Wire::default();
        wire.begin(Client, Says::Nothing, Takes::Nothing);
        let mut ws = WebSocket::new(wire.clone(), line::upgrade(Server), quiet(), &[]);
        let (a, b) = (std::sync::Arc::new(Count::default()), std::sync::Arc::new(Count::default()));
        let (waker_a, waker_b) = (std::task::Waker::from(a.clone()), std::task::Waker::from(b.clone()));
        let mut cx_a = std::task::Context::from_waker(&waker_a);
        let mut cx_b = std::task::Context::from_waker(&waker_b);
        assert!(ws.poll_next_unpin(&mut cx_a).is_pending());
        match way {
            "own" => {
                let mut sending = Box::pin(ws.send("blocked"));
                assert!(sending.as_mut().poll(&mut cx_b).is_pending());
            }
            "sink" => {
                ws.start_send_unpin(Message::from("blocked")).unwrap();
                assert!(
                    futures_sink::Sink::<Message<'_>>::poll_flush(std::pin::Pin::new(&mut ws), &mut cx_b).is_pending()
                );
                while a.0.swap(0, std::sync::atomic::Ordering::Relaxed) > 0 {
                    assert!(ws.poll_next_unpin(&mut cx_a).is_pending());
                }
            }
            _ => {}
        }
        let woken = |count: &Count| count.0.load(std::sync::atomic::Ordering::Relaxed);
        let before = woken(&a);
        wire.say(&frame(Client, TEXT, "hi"));
        assert!(woken(&a) > before, "{way}: a message lies there, and who waits for it is not woken");
    }
}

// A flush after a handover.

/// `has_lost`: "Pongs behind our Close frame do not count." `flush` waits for nothing that can never leave.
#[tokio::test(start_paused = true)]
async fn a_flush_after_a_handover_does_not_wait_for_a_pong_that_is_lost() {
    for handed_over in [false, true] {
        let wire = Wire::default();
        wire.begin(Client, Says::Nothing, Takes::All);
        let mut ws = WebSocket::new(wire.clone(), line::upgrade(Server), quiet(), &[]);
        assert!(only(2, ws.close(1000.into(), "")).await.is_none());
        // Our Close frame has left. Now the writing side fails with a Pong.
        wire.change(|ends| ends.flush_fails = true);
        wire.say(&frame(Client, PING, "p"));
        assert!(only(3, ws.recv()).await.is_none());
        assert!(!ws.connection().has_lost());
        if handed_over {
            let (io, connection, epoch) = ws.into_parts();
            ws = WebSocket::from_connection(io, connection, epoch);
        }
        let begun = Instant::now();
        let flushed = in_time(ws.flush()).await;
        assert!(
            flushed.is_ok() && begun.elapsed() < Duration::from_secs(1),
            "handed over: {handed_over}, {flushed:?} after {:?}",
            begun.elapsed()
        );
    }
}

// A transport that panics.

/// `shared`: "Ends all reading and writing if the transport panics", also while a timeout is set, which is done under the
/// lock. The time here only ends a hang.
#[test]
fn a_panic_while_a_timeout_is_set_does_not_keep_the_other_half_waiting() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    for panics in [false, true] {
        let wire = edges_wire::Wire::new(|_| edges_wire::timed_out(), |_, bytes| Ok(bytes.len()));
        let (mut rx, mut tx) = wire.socket(Server, openline::Config::default()).split().unwrap();
        tx.feed("first").unwrap();
        wire.log().panic_in_set_write_timeout = panics;
        let died = catch_unwind(AssertUnwindSafe(|| drop(rx.recv_timeout(Duration::from_millis(1)))));
        assert_eq!(died.is_err(), panics);
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || tell.send(tx.send("second").is_ok()).unwrap_or(()));
        assert!(told.recv_timeout(Duration::from_secs(5)).is_ok(), "panics: {panics}, and then a send hangs");
    }
}

/// `wakers`: a wake-up that comes during a poll "is put off until after the poll", also if that poll panics.
#[test]
fn a_wake_up_that_was_put_off_is_not_lost_with_a_poll_that_panics() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::pin::Pin;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll, Waker};

    use futures_util::StreamExt;

    #[derive(Default)]
    struct State {
        incoming: Vec<u8>,
        reader: Option<Waker>,
        panics: bool,
    }
    #[derive(Clone, Default)]
    struct Io(Arc<Mutex<State>>);
    impl tokio::io::AsyncRead for Io {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            space: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            let mut state = self.0.lock().unwrap();
            if state.incoming.is_empty() {
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            space.put_slice(&std::mem::take(&mut state.incoming));
            Poll::Ready(Ok(()))
        }
    }
    impl tokio::io::AsyncWrite for Io {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
            let (reader, panics) = {
                let mut state = self.0.lock().unwrap();
                // A message comes in this moment.
                state.incoming = frame(Client, TEXT, "hi");
                (state.reader.take(), state.panics)
            };
            reader.into_iter().for_each(Waker::wake);
            assert!(!panics, "the transport panics");
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _entered = runtime.enter();
    for panics in [false, true] {
        let io = Io::default();
        io.0.lock().unwrap().panics = panics;
        let (mut rx, mut tx) = WebSocket::new(io, line::upgrade(Server), quiet(), &[]).split();
        let (a, b) = (Arc::new(Count::default()), Arc::new(Count::default()));
        assert!(rx.poll_next_unpin(&mut Context::from_waker(&Waker::from(a.clone()))).is_pending());
        let died = catch_unwind(AssertUnwindSafe(|| {
            let waker = Waker::from(b.clone());
            let mut sending = Box::pin(tx.send("x"));
            let _ = sending.as_mut().poll(&mut Context::from_waker(&waker));
        }));
        assert_eq!(died.is_err(), panics);
        assert!(a.0.load(std::sync::atomic::Ordering::Relaxed) > 0, "panics: {panics}: the receiver is not woken");
    }
}

// What was read before the time to close was over.

/// `hold`: "Later calls of `receive` look at it before their own input; also after [...] the peer was given up for its
/// silence, or since it takes nothing."
#[test]
fn what_is_held_survives_the_time_to_close() {
    let mut lost = vec![];
    for fails in [false, true] {
        let mut us = open(Server);
        us.hold(&frames(Client, [(TEXT, "held")]));
        us.hold(&close_frame(Client, 4000, "why"));
        us.set_reading(Reading::Paused, s(0));
        if fails {
            us.handle_write_failed(s(0));
        } else {
            us.close(1000.into(), "", s(0)).unwrap();
            us.handle_blocked(s(0));
        }
        us.handle_timeout(s(10));
        assert!(us.closed().is_some());
        let event = us.receive(&mut &mut [][..], s(10));
        let _ = us.receive(&mut &mut [][..], s(10));
        if event != Ok(Some(text("held"))) || us.closed().unwrap().code.get() != 4000 {
            lost.push((if fails { "a write failed" } else { "closed" }, event, us.closed().cloned()));
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

/// `recv`: "Messages that were read before still come, and then `None`." The receiver is busy with the first message of
/// a read, while the other half closes, and the peer takes nothing.
#[tokio::test(start_paused = true)]
async fn all_that_one_read_brought_survives_the_time_to_close() {
    for takes in [Takes::All, Takes::Nothing] {
        let wire = Wire::default();
        wire.begin(Client, Says::Nothing, takes);
        wire.say(&frames(Client, [(TEXT, "a"), (TEXT, "b"), (TEXT, "c")]));
        let (mut rx, mut tx) = WebSocket::new(wire.clone(), line::upgrade(Server), quiet(), &[]).split();
        assert_eq!(rx.recv().await.unwrap(), Some(Message::from("a")));
        let _ = in_time(tx.close(1000.into(), "")).await;
        // Busy with the message.
        sleep(Duration::from_secs(20)).await;
        for message in ["b", "c"] {
            assert_eq!(in_time(rx.recv()).await.unwrap(), Some(Message::from(message)), "{takes:?}: {:?}", rx.closed());
        }
    }
}
