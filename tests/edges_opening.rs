//! The opening handshake at its edges. Each test says what should be.

#[path = "common/opening.rs"]
mod opening;

use std::time::Duration;

use opening::{Opening, UPGRADE, get};
use openline::HandshakeError as E;
use openline::{Accept, ClientRequest, Event, HandshakeConfig, Message, Reading, Response, State, Time};

const HELLO: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";

fn at(ms: u64) -> Time {
    Time::ZERO + Duration::from_millis(ms)
}

fn client() -> Opening {
    Opening::client(ClientRequest::new("ws://example.com/").unwrap(), HandshakeConfig::default())
}

fn server() -> Opening {
    Opening::server(HandshakeConfig::default())
}

fn deciding() -> Opening {
    let mut server = server();
    assert_eq!(server.give(&mut get("/", UPGRADE).as_bytes()), Ok(true));
    server
}

/// Many servers answer 403 and close at once, with bytes of the client unread: that is a reset.
#[test]
fn a_reset_in_a_refusals_body_leaves_the_refusal() {
    let mut client = client();
    client.take(at(1));
    assert_eq!(client.give(&mut &b"HTTP/1.1 403 x\r\nContent-Length: 9\r\n\r\nsorr"[..]), Ok(false));
    client.0.handle_reset();
    assert_eq!(client.failure(), Some(E::Refused { status: 403 }));
    assert_eq!(client.response().map(|response| &response.body[..]), Some(&b"sorr"[..]));
}

#[test]
fn a_reset_leaves_nothing_to_send() {
    let mut client = client();
    client.0.handle_reset();
    assert_eq!((client.0.state(), client.0.queued(), client.sent()), (State::Closed, 0, vec![]));
}

/// "Later calls of `receive` look at it before their own input."
#[test]
fn what_is_held_of_a_request_comes_first() {
    let request = get("/", UPGRADE);
    let (first, second) = request.split_at(20);
    let mut server = server();
    server.0.hold(first.as_bytes());
    assert_eq!(server.give(&mut second.as_bytes()), Ok(true));
}

/// "Keeps the events for later calls of `receive`."
#[test]
fn a_request_that_was_read_ahead_is_told() {
    let mut server = server();
    server.0.set_reading(Reading::OneAhead, at(1));
    let mut request = get("/", UPGRADE).into_bytes();
    server.0.receive_ahead(&mut &mut request[..], at(1)).unwrap();
    server.0.set_reading(Reading::Events, at(1));
    assert_eq!(server.0.receive(&mut &mut [][..], at(1)), Ok(Some(Event::Request)));
    server.0.accept(Accept::default(), at(2)).unwrap();
    assert_eq!(server.0.receive(&mut &mut [][..], at(2)), Ok(None));
}

#[test]
fn a_message_behind_the_request_is_not_lost_with_the_end() {
    let mut server = deciding();
    assert_eq!(server.give(&mut &HELLO[..]), Ok(false));
    server.0.handle_eof(at(1));
    server.0.accept(Accept::default(), at(2)).unwrap();
    let message = server.0.receive(&mut &mut [][..], at(2));
    assert_eq!(message, Ok(Some(Event::Message(Message::from("Hello")))));
}

/// As `accept` does, and as a refusal does that was queued before the end.
#[test]
fn a_rejection_after_the_end_does_not_linger() {
    let mut server = deciding();
    server.0.handle_eof(at(1));
    server.0.reject(Response::new(404), at(2)).unwrap();
    assert!(!server.0.wants().unwrap().read, "there is nothing more to read");
    server.take(at(3));
    assert_eq!(server.failure(), Some(E::Rejected { status: 404 }));
}

/// "It must leave within the time of the opening handshake."
#[test]
fn an_answer_after_the_end_has_no_more_time() {
    let mut server = deciding();
    server.0.handle_eof(at(1));
    server.0.accept(Accept::default(), at(9_000)).unwrap();
    assert!(server.until().unwrap() <= at(10_000), "{:?}", server.until());
}

/// "All within the time of the opening handshake." The adapters call `handle_late` whenever an event
/// has changed the state, so for every request that is refused.
#[test]
fn a_refusal_has_no_more_time_than_the_handshake() {
    let mut server = server();
    assert_eq!(server.give(&mut &b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..]), Err(E::NotUpgrade));
    server.0.handle_late(at(9_000));
    server.take(at(9_000));
    server.0.handle_shutdown();
    assert_eq!(server.until(), Some(at(10_000)));
    server.0.handle_timeout(at(10_000));
    assert_eq!(server.failure(), Some(E::NotUpgrade));
}
