//! The core at its edges: odd orders of calls, ends in the middle, and clocks. The first lines of each test say the promise.

mod common;

use std::time::Duration;

use common::*;
use openline::Role::{Client, Server};
use openline::{
    Accept, Cause, CloseCode, Config, Connection, Event, Fault, HandshakeError, Message, Reading, Ready, Response,
    Step, Time,
};

const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn server_opening() -> Connection {
    Connection::server(&openline::Server::default(), Time::ZERO)
}

fn client_opening() -> Connection {
    let request = openline::ClientRequest::new("ws://h/").unwrap();
    Connection::client(&openline::Client::new(request), [7; 32], Time::ZERO)
}

fn give(us: &mut Connection, bytes: &[u8], now: Time) -> Result<Option<Event<'static>>, Fault> {
    let mut bytes = bytes.to_vec();
    let mut input = &mut bytes[..];
    let event = us.receive(&mut input, now).map(|event| event.map(Event::into_owned));
    let rest = input.to_vec();
    us.hold(&rest);
    event
}

fn rest(us: &mut Connection, now: Time) -> Vec<Event<'static>> {
    let mut events = vec![];
    while let Ok(Some(event)) = us.receive(&mut &mut [][..], now) {
        events.push(event.into_owned());
    }
    events
}

fn ahead(us: &mut Connection, bytes: &[u8], now: Time) {
    let mut bytes = bytes.to_vec();
    let mut input = &mut bytes[..];
    us.receive_ahead(&mut input, now).unwrap();
    assert!(input.is_empty());
}

// Liveness.

/// §5.5.2 and `Keepalive::timeout`: a peer that answers a Ping is alive. A host that hears of the Pong before
/// it hears that its write is complete (io_uring, HTTP/2, QUIC; the blocking halves, which write without
/// the lock) tells the Pong first. The Pong is thrown away then, the Ping waits for ever for an
/// answer that was given, no further Ping is sent, and a healthy idle peer is given up.
#[test]
fn a_pong_that_overtakes_the_word_that_its_ping_has_left_is_an_answer() {
    let mut us = connection(Server, Config::default());
    us.handle_timeout(s(25));
    let taken = us.take_transmit(usize::MAX).unwrap();
    let (_, payload) = &parse(Server, &taken)[0];
    // The write is in flight; its completion is seen after that of the read.
    hear_in(&mut us, [&frame(Client, PONG, payload)[..]], s(25));
    us.handle_transmitted(taken.len(), s(25));
    // The peer has nothing to say for a while, and answers every Ping at once.
    for second in 26..=200 {
        us.handle_timeout(s(second));
        assert_eq!(us.closed(), None, "given up at {second} s, although every Ping was answered");
        if let Some(taken) = us.take_transmit(usize::MAX) {
            let (_, payload) = &parse(Server, &taken)[0];
            us.handle_transmitted(taken.len(), s(second));
            hear_in(&mut us, [&frame(Client, PONG, payload)[..]], s(second));
        }
    }
}

/// Promise 9: "`until` is never in the past after `handle_timeout`"; the manual: while nothing is read no Pong is
/// waited for, and what judges the peer is whether it takes, for `stall_timeout`. A second Ping while
/// paused inherits the time of the first one, so it is overdue the moment that it is queued, and a
/// transport that has been full for one second costs the connection.
#[test]
fn a_second_ping_while_paused_is_not_overdue_when_it_is_queued() {
    let mut us = connection(Server, Config::default());
    us.set_reading(Reading::Paused, s(0));
    us.handle_timeout(s(25));
    transmit(&mut us, s(25));
    us.send("for a peer that is slow today").unwrap();
    us.handle_blocked(s(49));
    us.handle_timeout(s(50));
    let until = us.until().expect("a deadline always runs");
    us.handle_timeout(s(50));
    assert_eq!(us.closed(), None, "given up after one second");
    assert!(until > s(50), "{until:?} is in the past");
}

/// "Its time to answer begins anew when reading goes on" (manual, Keepalive::timeout). It does only if
/// `set_reading` made it go on; a `receive` that takes the message which was read ahead makes it go on too.
#[test]
fn taking_what_was_read_ahead_resumes_reading_and_the_time_to_answer() {
    let mut us = connection(Server, Config::default());
    us.set_reading(Reading::OneAhead, s(1));
    ahead(&mut us, &frame(Client, TEXT, "ahead"), s(1));
    us.handle_timeout(s(25));
    transmit(&mut us, s(25));
    assert!(!us.wants().unwrap().read);
    assert!(matches!(give(&mut us, b"", s(49)), Ok(Some(Event::Message(_)))));
    assert!(us.wants().unwrap().read, "it goes on reading");
    us.handle_timeout(s(49));
    assert_eq!(us.closed(), None);
    assert!(us.until().unwrap() >= s(49) + Duration::from_secs(20), "{:?}", us.until());
}

// Waiting for nothing.

/// "Every wait has a reason": our Close could not be written (the transport takes nothing more) and then the
/// peer's side ends too. Both directions are dead, nothing is to be written, read or ended; yet the
/// connection lingers in `Flushing` until `close_timeout` (10 s), for a Close frame that was thrown away.
#[test]
fn nothing_is_waited_for_when_both_directions_are_dead() {
    let mut us = open(Client);
    us.close(CloseCode::NORMAL, "", s(0)).unwrap();
    us.handle_write_failed(s(1));
    us.handle_eof(s(1));
    let wants = us.wants();
    assert_eq!(wants, None, "{us:?} has nothing to do");
}

/// An end that was told is told ("There is nothing more to read then"): `accept` remembers that the peer has
/// ended its side while the request waited, `reject` forgets it, and waits to read an end that has come.
/// A host that reads an end only once (completion-based, edge-triggered) waits until the handshake's deadline.
#[test]
fn a_rejection_remembers_that_the_peer_has_ended_its_side() {
    let mut us = server_opening();
    assert!(matches!(give(&mut us, REQUEST, s(0)), Ok(Some(Event::Request))));
    us.handle_eof(s(0));
    assert!(!us.wants().unwrap().read);
    us.reject(Response::new(403), s(0)).unwrap();
    assert!(!us.wants().unwrap().read, "the end has been read");
    transmit(&mut us, s(0));
    if us.wants().is_some_and(|wants| wants.end) {
        us.handle_shutdown();
    }
    assert_eq!(us.wants(), None, "nothing is left to wait for");
}

/// "Two ends that wait so for each other would wait for ever if neither read": while a send is blocked one message
/// is read ahead. But if any byte is held (a host that upgrades with hyper gives `leftover`; what came
/// behind a request), nothing at all is read, no message is ahead, no Ping is answered, and two ends that
/// send wait for each other until `stall_timeout`.
#[test]
fn one_message_is_read_ahead_behind_bytes_that_are_held() {
    let mut us = open(Server);
    let whole = frame(Client, TEXT, "a message, of which three bytes came with the request");
    us.hold(&whole[..3]);
    us.set_reading(Reading::OneAhead, s(0));
    ahead(&mut us, b"", s(0));
    assert!(us.wants().unwrap().read, "no message has been read ahead, so reading must go on");
}

/// The same for a Ping that is held: "Pings are answered at once" (`receive_ahead`).
#[test]
fn a_ping_that_is_held_is_answered_while_a_send_is_blocked() {
    let mut us = open(Server);
    us.hold(&frame(Client, PING, "there?"));
    us.set_reading(Reading::OneAhead, s(0));
    ahead(&mut us, b"", s(0));
    assert_eq!(said(&mut us), [(PONG, b"there?".to_vec())]);
}

// Deadlines.

/// Manual: the time to close begins "not before this end has tried to answer, if the application was busy
/// meanwhile". A host that knows that the transport is full, and waits for it to say otherwise (epoll), has not
/// tried; but `until` is the old time, long past, and the next step is `Timeout`: the answer is never tried.
#[test]
fn the_time_to_close_of_a_late_host_has_not_passed_before_it_has_tried() {
    let mut us = open(Server);
    us.send("what fills the transport").unwrap();
    us.handle_blocked(s(0));
    // Close was read at 1 s; the application was busy until 31 s.
    let mut bytes = close_frame(Client, 1000, "");
    assert!(matches!(us.receive(&mut &mut bytes[..], s(1)), Ok(Some(Event::Close(_)))));
    us.handle_late(s(31));
    let step = us.wants().unwrap().step(Ready { read: false, write: false }, s(31));
    assert_eq!(step, Step::Wait, "the answer has not been tried, and time is over: {:?}", us.until());
}

/// "All other time limits hold also while bytes come without end." After `handle_late` the limit holds no more
/// for bytes, until something is written; where nothing is to be written (we said Close first), or nothing
/// can be, a flood keeps the connection for ever.
#[test]
fn a_flood_does_not_stop_the_time_to_close_of_a_late_host() {
    let mut us = close_sent(Client);
    let mut bytes = close_frame(Server, 1000, "");
    assert!(matches!(us.receive(&mut &mut bytes[..], s(1)), Ok(Some(Event::Close(_)))));
    us.handle_late(s(31));
    for second in 2..100_u64 {
        let _ = us.receive(&mut &mut [0; 1000][..], s(second));
    }
    assert!(us.closed().is_some(), "a flood of 98 s, where 10 s are allowed");
}

// How it ended.

/// `Closed::code`: "The code in the peer's Close frame; ABNORMAL if there was no frame." A Close frame that was read
/// ahead is forgotten by every end but `handle_eof`, `handle_reset` and its own time limit: here the stall.
#[test]
fn a_stall_does_not_forget_the_close_frame_that_was_read_ahead() {
    let mut us = open(Server);
    us.send("x").unwrap();
    us.handle_blocked(s(0));
    us.set_reading(Reading::OneAhead, s(0));
    ahead(&mut us, &close_frame(Client, 4000, "why"), s(55));
    us.handle_blocked(s(60));
    let closed = us.closed().unwrap().clone();
    assert!(matches!(&rest(&mut us, s(60))[..], [Event::Close(frame)] if frame.code.get() == 4000));
    assert_eq!((closed.code.get(), &*closed.reason), (4000, "why"), "{closed:?}");
}

/// The same, where a write fails and nobody takes the events before time is over.
#[test]
fn a_failed_write_does_not_forget_the_close_frame_that_was_read_ahead() {
    let mut us = open(Server);
    us.set_reading(Reading::OneAhead, s(0));
    ahead(&mut us, &close_frame(Client, 4000, "why"), s(1));
    us.handle_write_failed(s(1));
    us.handle_timeout(us.until().unwrap_or(s(1)));
    let closed = us.closed().unwrap().clone();
    assert_eq!((closed.code.get(), &*closed.reason), (4000, "why"), "{closed:?}");
}

/// The same, where the application closes without looking at what was read ahead: both ends have said Close, both
/// frames have arrived, and it is told as 1006, `CloseTimeout`, after a wait of 10 s in which nothing is
/// wanted of anybody (no read, no write, no end).
#[test]
fn our_own_close_does_not_forget_the_close_frame_that_was_read_ahead() {
    let mut us = open(Server);
    us.set_reading(Reading::OneAhead, s(0));
    ahead(&mut us, &close_frame(Client, 4000, "why"), s(1));
    us.close(CloseCode::NORMAL, "", s(2)).unwrap();
    transmit(&mut us, s(2));
    let wants = us.wants().unwrap();
    us.handle_timeout(wants.until.unwrap());
    let closed = us.closed().unwrap().clone();
    assert_eq!((closed.code.get(), closed.cause), (4000, Cause::Clean), "{closed:?}; it wanted {wants:?}");
}

/// A client is to get the server's refusal, "with as much of the body as came" (`response`), also if its end is
/// a reset, which is how many servers end. Its end by EOF and by time is told so; its end by
/// `handle_reset` throws away a response whose status and headers were complete.
#[test]
fn a_reset_in_the_body_of_a_refusal_does_not_lose_the_refusal() {
    let refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nbecause";
    for (name, end) in [
        ("eof", &(|us: &mut Connection| us.handle_eof(s(1))) as &dyn Fn(&mut Connection)),
        ("time", &|us| us.handle_timeout(s(10))),
        ("reset", &|us| us.handle_reset()),
    ] {
        let mut us = client_opening();
        transmit(&mut us, s(0));
        assert!(matches!(give(&mut us, refusal, s(0)), Ok(None)));
        end(&mut us);
        assert_eq!(us.closed().unwrap().cause, Cause::Opening(HandshakeError::Refused { status: 403 }), "{name}");
        assert_eq!(us.response().map(|response| &response.body[..]), Some(&b"because"[..]), "{name}");
    }
}

// What was accepted and is lost.

/// What is held is kept for `receive` ("later calls of receive look at it"), and `accept` after the end works. But
/// the end that follows throws away all that the client said behind its request, its Close frame too, so it is
/// told as 1006 as well. Without the end the same bytes are two events.
#[test]
fn what_came_behind_a_request_is_heard_though_the_client_has_ended_its_side() {
    let said_at_once = [REQUEST, &frame(Client, TEXT, "hello"), &close_frame(Client, 1000, "")].concat();
    for ended in [false, true] {
        let mut us = server_opening();
        assert!(matches!(give(&mut us, &said_at_once, s(0)), Ok(Some(Event::Request))));
        if ended {
            us.handle_eof(s(0));
        }
        us.accept(Accept::default(), s(0)).unwrap();
        let events = rest(&mut us, s(0));
        assert_eq!(events.first(), Some(&text("hello")), "ended: {ended}");
        assert!(matches!(events.last(), Some(Event::Close(_))), "ended: {ended}");
    }
}

/// The kind of it: "any order of calls is legal". What was held before the peer ended its side came before that end.
#[test]
fn what_is_held_outlives_the_end_of_the_peer() {
    let mut us = open(Server);
    us.hold(&[frame(Client, TEXT, "hello"), close_frame(Client, 1000, "")].concat());
    us.handle_eof(s(0));
    let events = rest(&mut us, s(0));
    assert_eq!(events.first(), Some(&text("hello")));
    assert_eq!(us.closed().map(|closed| closed.code.get()).unwrap_or(1000), 1000);
}

/// `receive_copied` takes all of its input at once and keeps what it has no event for yet. An end that is told
/// between two of its calls, as any order is legal, loses messages that it took.
#[test]
fn what_receive_copied_took_is_not_lost() {
    let mut us = open(Server);
    let bytes = frames(Client, [(TEXT, "one"), (TEXT, "two")]);
    let mut input = &bytes[..];
    assert_eq!(us.receive_copied(&mut input, s(0)), Ok(Some(text("one"))));
    assert!(input.is_empty(), "it took both");
    us.handle_eof(s(0));
    assert_eq!(us.receive_copied(&mut input, s(0)), Ok(Some(text("two"))));
}

/// "Any order of calls is legal": a host that reads ahead while a handshake is open. The request is noted as an
/// event that was read ahead, and such are not returned while a handshake is open: `receive` never says
/// `Request`; and when the request has been accepted, it says so, of a connection that is open.
#[test]
fn a_request_that_was_read_ahead_is_told_before_it_is_accepted() {
    let mut us = server_opening();
    us.set_reading(Reading::OneAhead, s(0));
    ahead(&mut us, REQUEST, s(0));
    us.set_reading(Reading::Events, s(0));
    assert_eq!(rest(&mut us, s(0)), [Event::Request]);
    us.accept(Accept::default(), s(0)).unwrap();
    assert_eq!(rest(&mut us, s(0)), []);
}

/// `receive` looks at held bytes "before its own input", so no later byte may pass them. `receive_space` lends the place
/// of the next byte though bytes of that frame are held, and the message comes out of order.
#[test]
fn there_is_no_room_in_front_of_bytes_that_are_held() {
    let mut us = open(Client);
    let data: Vec<u8> = (0..200_000_u32).map(|i| (i / 1000) as u8).collect();
    let whole = frame(Server, BINARY, &data);
    assert!(hear(&mut us, &whole[..70_000]).0.is_empty());
    us.hold(&whole[70_000..71_000]);
    let mut at = 71_000;
    if let Some(space) = us.receive_space() {
        let len = space.len().min(whole.len() - at);
        space[..len].copy_from_slice(&whole[at..at + len]);
        us.handle_filled(len, s(0));
        at += len;
    }
    let events = hear(&mut us, &whole[at..]).0;
    assert!(events == [Event::Message(Message::from(data))], "out of order");
}

/// `accept`: the 101 "must leave within the time of the opening handshake"; SECURITY.md: an opening handshake ends
/// after 10 s "whatever the peer does". A client that says Close right behind its request, and then takes nothing, moves
/// the connection from `Accepted` to `Draining`, and the handshake's deadline is forgotten for `close_timeout` more.
/// So do our own `close`, the peer's end and a failed write.
#[test]
fn the_answer_to_a_request_leaves_in_time_or_never() {
    let mut late = vec![];
    for what in ["their close", "our close", "their end"] {
        let mut us = server_opening();
        assert!(matches!(give(&mut us, REQUEST, s(0)), Ok(Some(Event::Request))));
        us.accept(Accept::default(), s(9)).unwrap();
        match what {
            "their close" => drop(give(&mut us, &close_frame(Client, 1000, ""), s(9))),
            "our close" => us.close(CloseCode::NORMAL, "", s(9)).unwrap(),
            _ => us.handle_eof(s(9)),
        }
        us.handle_blocked(s(9));
        us.handle_timeout(s(10));
        late.extend(us.wants().map(|wants| (what, wants.until)));
    }
    assert_eq!(late, [], "the 101 has not left after 10 s");
}

/// `set_config`: a Ping "that was not due, for there was no keepalive, is due at once". If the application has once sent a
/// Ping of its own which was not answered, no Ping is sent: the connection is given up in that instant,
/// though no time limit ran for it.
#[test]
fn keepalive_that_is_switched_on_begins_with_a_ping() {
    let mut us = open(Server);
    us.ping(b"mine", s(1)).unwrap();
    transmit(&mut us, s(1));
    us.set_config(Config::default());
    us.handle_timeout(s(1000));
    assert_eq!(us.closed(), None);
}
