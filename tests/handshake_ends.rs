//! What ends an opening handshake besides its verdict: time that is over, a transport that has ended,
//! a decision that comes late, and a client that does not wait for it. And how a server that has
//! refused stays until its answer has arrived.

#[path = "common/opening.rs"]
mod opening;

use std::time::Duration;

use opening::{Opening, UPGRADE, accept_key, get};
use openline::HandshakeError as E;
use openline::{
    Accept, Cause, ClientRequest, Connection, Event, Fault, HandshakeConfig, Message, ProtocolError, Ready, Response,
    SendError, State, Step, Time, Wants,
};

const TIMEOUT: Duration = Duration::from_secs(10);
const HELLO: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
const REFUSED: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const CAN: Ready = Ready { read: true, write: true };

fn at(ms: u64) -> Time {
    Time::ZERO + Duration::from_millis(ms)
}

fn deadline() -> Time {
    Time::ZERO + TIMEOUT
}

fn just_before() -> Time {
    Time::ZERO + (TIMEOUT - Duration::from_nanos(1))
}

fn request() -> String {
    get("/", UPGRADE)
}

fn answer() -> String {
    let fields = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    format!("HTTP/1.1 101 Switching Protocols\r\n{fields}Sec-WebSocket-Accept: {}\r\n\r\n", accept_key())
}

fn server() -> Opening {
    Opening::server(HandshakeConfig::default())
}

fn client() -> Opening {
    Opening::client(ClientRequest::new("ws://example.com/").unwrap(), HandshakeConfig::default())
}

/// A server that has heard this request in order, with these bytes right behind it.
fn deciding(behind: &[u8]) -> Opening {
    let mut server = server();
    let bytes = [request().as_bytes(), behind].concat();
    let mut input = &bytes[..];
    assert_eq!(server.give(&mut input), Ok(true));
    assert_eq!(input, behind);
    server
}

/// A server that has refused a request, with the answer still to send.
fn refusing() -> Opening {
    let mut server = server();
    assert_eq!(server.give(&mut REFUSED.as_bytes()), Err(E::NotUpgrade));
    server
}

/// All that comes of these bytes, and the fault that ends them.
fn events(connection: &mut Connection, bytes: &[u8], now: Time) -> (Vec<Event<'static>>, Option<Fault>) {
    let mut bytes = bytes.to_vec();
    let (mut input, mut events) = (&mut bytes[..], vec![]);
    loop {
        match connection.receive(&mut input, now) {
            Ok(Some(event)) => events.push(event.into_owned()),
            Ok(None) => return (events, None),
            Err(fault) => return (events, Some(fault)),
        }
    }
}

fn hello() -> Event<'static> {
    Event::Message(Message::from("Hello"))
}

/// What is to be done next by a host whose transport can do everything.
fn step(opening: &Opening, now: Time) -> Option<Step> {
    opening.0.wants().map(|wants| wants.step(CAN, now))
}

// Time.

#[test]
fn a_server_has_one_deadline_for_the_request_and_the_decision_and_the_answer() {
    assert_eq!(HandshakeConfig::default().timeout, TIMEOUT);
    let request = request();
    for fed in [0, 1, request.len() - 1, request.len()] {
        let mut server = server();
        assert_eq!(server.give(&mut &request.as_bytes()[..fed]), Ok(fed == request.len()));
        assert_eq!(server.until(), Some(deadline()));
        server.0.handle_timeout(just_before());
        assert_eq!((server.0.state(), server.said()), (State::Opening, String::new()));
        server.0.handle_timeout(deadline());
        assert!(server.said().starts_with("HTTP/1.1 408 "), "after {fed} bytes");
        assert_eq!(server.give(&mut request.as_bytes()), Err(E::TimedOut));
        // The answer is offered to the transport, and not waited for.
        assert_eq!(step(&server, deadline()), Some(Step::Write));
        let blocked = Ready { read: false, write: false };
        assert_eq!(server.0.wants().unwrap().step(blocked, deadline()), Step::Timeout);
        server.0.handle_timeout(deadline());
        assert_eq!((server.failure(), server.0.wants()), (Some(E::TimedOut), None));
        assert!(server.sent().is_empty());
    }
    // An answer that is not taken has no more time than that; a part of it is none.
    for left in [0, 1] {
        let mut server = deciding(b"");
        server.accept(Accept::default()).unwrap();
        assert_eq!((server.0.state(), server.until()), (State::Open, Some(deadline())));
        server.0.handle_transmitted(left, at(1));
        server.0.handle_timeout(just_before());
        assert_eq!(server.0.state(), State::Open);
        server.0.handle_timeout(deadline());
        assert_eq!((server.failure(), server.0.wants()), (Some(E::TimedOut), None));
    }
    // What has left in time has nothing to do with it any more.
    let mut server = deciding(b"");
    server.accept(Accept::default()).unwrap();
    server.0.send("behind it").unwrap();
    let answer = server.sent().len() - 11;
    server.0.handle_transmitted(answer, at(9_999));
    assert_ne!(server.until(), Some(deadline()));
    server.0.handle_timeout(deadline());
    assert_eq!((server.0.state(), server.sent()), (State::Open, b"\x81\x09behind it".to_vec()));
}

#[test]
fn a_client_has_one_deadline_for_the_request_and_the_answer() {
    let answer = answer();
    for sent in [false, true] {
        for fed in [0, 1, answer.len() - 1] {
            let mut client = client();
            if sent {
                client.take(at(9_000));
            }
            assert_eq!(client.give(&mut &answer.as_bytes()[..fed]), Ok(false));
            assert_eq!(client.until(), Some(deadline()));
            client.0.handle_timeout(just_before());
            assert_eq!(client.0.state(), State::Opening);
            client.0.handle_timeout(deadline());
            // A client that gives up has nothing to say, and nothing to wait for.
            assert_eq!((client.failure(), client.0.wants()), (Some(E::TimedOut), None));
            assert!(client.sent().is_empty());
            assert_eq!(client.give(&mut answer.as_bytes()), Err(E::TimedOut));
        }
    }
    // Agreed in time: the deadline is over.
    let mut client = client();
    client.take(at(1));
    assert_eq!(client.give(&mut answer.as_bytes()), Ok(true));
    client.0.handle_timeout(deadline());
    assert_eq!(client.0.state(), State::Open);
}

/// Bytes that were read when the time was over are too late, though nobody has said that it is.
#[test]
fn a_flood_does_not_stop_the_clock() {
    let mut server = server();
    assert_eq!(events(&mut server.0, request().as_bytes(), deadline()), (vec![], Some(E::TimedOut.into())));
    assert!(server.said().starts_with("HTTP/1.1 408 "));
    let mut client = client();
    assert_eq!(events(&mut client.0, answer().as_bytes(), deadline()), (vec![], Some(E::TimedOut.into())));
    assert_eq!(client.failure(), Some(E::TimedOut));
    let mut server = self::server();
    let late = server.0.receive_copied(&mut request().as_bytes(), deadline());
    assert_eq!(late, Err(E::TimedOut.into()));
    assert_eq!(server.said().matches("HTTP/1.1 ").count(), 1);
}

#[test]
fn a_decision_after_the_deadline_is_none() {
    for accepts in [true, false] {
        for (now, late) in [(just_before(), false), (deadline(), true), (at(60_000), true)] {
            let mut server = deciding(HELLO);
            let decided = match accepts {
                true => server.0.accept(Accept::default(), now),
                false => server.0.reject(Response::new(404), now),
            };
            assert_eq!(decided, if late { Err(E::TimedOut) } else { Ok(()) });
            let status = if late {
                408
            } else if accepts {
                101
            } else {
                404
            };
            assert!(server.said().starts_with(&format!("HTTP/1.1 {status} ")), "{}", server.said());
            if late {
                assert_eq!(server.0.accept(Accept::default(), now), Err(E::NothingToDecide));
                assert_eq!(server.0.reject(Response::new(404), now), Err(E::NothingToDecide));
                assert_eq!(server.give(&mut &b""[..]), Err(E::TimedOut));
                assert_eq!(server.said().matches("HTTP/1.1 ").count(), 1);
            }
        }
    }
}

// The end of the transport.

#[test]
fn an_end_in_the_request_is_the_end() {
    let request = request();
    for fed in 0..request.len() {
        let mut server = server();
        assert_eq!(server.give(&mut &request.as_bytes()[..fed]), Ok(false));
        server.0.handle_eof(at(1));
        assert_eq!(server.accept(Accept::default()), Err(E::NothingToDecide));
        assert_eq!(server.give(&mut request.as_bytes()), Err(E::UnexpectedEof));
        // The client may have ended its own side only, and listen; whoever has said nothing does not.
        assert_eq!(server.said().starts_with("HTTP/1.1 400 "), fed > 0);
        if fed > 0 {
            let wants = server.0.wants().unwrap();
            assert!(!wants.read && wants.write && wants.until.is_some(), "{wants:?}");
            server.take(at(2));
        }
        assert_eq!((server.failure(), server.0.wants()), (Some(E::UnexpectedEof), None));
    }
}

#[test]
fn an_end_in_the_answer_is_the_end() {
    let answer = answer();
    for fed in 0..answer.len() {
        let mut client = client();
        assert_eq!(client.give(&mut &answer.as_bytes()[..fed]), Ok(false));
        client.0.handle_eof(at(1));
        assert_eq!((client.failure(), client.0.wants()), (Some(E::UnexpectedEof), None));
        assert_eq!(client.give(&mut answer.as_bytes()), Err(E::UnexpectedEof));
    }
}

#[test]
fn a_request_that_is_complete_may_be_decided_after_the_end() {
    for accepts in [true, false] {
        let mut server = deciding(b"");
        server.0.handle_eof(at(1));
        server.0.handle_eof(at(1));
        let Wants { read, write, end, until, .. } = server.0.wants().unwrap();
        assert_eq!((read, write, end, until), (false, false, false, Some(deadline())));
        assert_eq!((server.0.state(), server.request().path()), (State::Opening, "/"));
        match accepts {
            true => server.0.accept(Accept::default(), at(2)).unwrap(),
            false => server.0.reject(Response::new(404), at(2)).unwrap(),
        }
        let status = if accepts { 101 } else { 404 };
        assert!(server.said().starts_with(&format!("HTTP/1.1 {status} ")));
        assert_eq!(step(&server, at(2)), Some(Step::Write));
        server.take(at(3));
        if accepts {
            // It has been agreed on, and both may know; but no message will come.
            assert_eq!(server.0.closed().map(|closed| closed.cause), Some(Cause::Eof));
        }
    }
    // Nobody decides: the deadline does.
    let mut server = deciding(b"");
    server.0.handle_eof(at(1));
    server.0.handle_timeout(deadline());
    assert!(server.said().starts_with("HTTP/1.1 408 "));
}

#[test]
fn a_transport_that_fails_leaves_nothing_to_wait_for() {
    let mut accepted = deciding(b"");
    accepted.accept(Accept::default()).unwrap();
    let mut sent = client();
    sent.take(at(1));
    for (mut one, cause) in [
        (server(), Cause::Opening(E::UnexpectedEof)),
        (deciding(b""), Cause::Opening(E::UnexpectedEof)),
        (refusing(), Cause::Opening(E::NotUpgrade)),
        (accepted, Cause::Eof),
        (sent, Cause::Opening(E::UnexpectedEof)),
    ] {
        one.0.handle_reset();
        assert_eq!(one.0.closed().map(|closed| closed.cause), Some(cause));
        assert_eq!((one.0.wants(), one.sent()), (None, vec![]));
    }
}

// What a refusal waits for.

#[test]
fn a_refusal_lingers_until_the_client_has_ended() {
    let rejected = || {
        let mut server = deciding(b"");
        server.reject(Response::new(403)).unwrap();
        server
    };
    for (refused, error) in [(refusing as fn() -> Opening, E::NotUpgrade), (rejected, E::Rejected { status: 403 })] {
        let mut server = refused();
        assert_eq!((server.0.state(), server.until()), (State::Closing, Some(deadline())));
        assert_eq!(server.0.send("behind it"), Err(SendError::Closed));
        // The answer, the end of it, and then what the client still says, to its own end.
        assert_eq!(step(&server, at(1)), Some(Step::Write));
        server.take(at(1));
        assert_eq!(step(&server, at(1)), Some(Step::End));
        server.0.handle_shutdown();
        assert_eq!(step(&server, at(1)), Some(Step::Read));
        assert_eq!(server.give(&mut &[b'x'; 1000][..]), Err(error));
        assert_eq!((server.0.state(), step(&server, at(2))), (State::Closing, Some(Step::Read)));
        server.0.handle_eof(at(3));
        assert_eq!((server.failure(), server.0.wants()), (Some(error), None));

        // A client that does not end: until the deadline.
        let mut server = refused();
        server.take(at(1));
        server.0.handle_shutdown();
        server.0.handle_timeout(just_before());
        assert_eq!(server.0.state(), State::Closing);
        server.0.handle_timeout(deadline());
        assert_eq!((server.failure(), server.0.wants()), (Some(error), None));

        // A client that does not take the answer: no longer than that either.
        let mut server = refused();
        server.0.handle_transmitted(1, at(1));
        server.0.handle_blocked(at(1));
        server.0.handle_timeout(deadline());
        assert_eq!((server.failure(), server.0.wants()), (Some(error), None));

        // A client that has ended takes the answer all the same.
        let mut server = refused();
        server.0.handle_eof(at(1));
        assert_eq!((server.0.state(), step(&server, at(1))), (State::Closing, Some(Step::Write)));
        server.take(at(2));
        assert_eq!((server.failure(), server.0.wants()), (Some(error), None));
    }
}

/// What a refused client goes on to say is read, so that the answer arrives, but not without end.
#[test]
fn a_refused_client_may_not_talk_for_ever() {
    let mut server = refusing();
    server.take(at(1));
    let mut said = 0;
    while server.0.state() != State::Closed {
        assert_eq!(server.give(&mut &[b'x'; 4096][..]), Err(E::NotUpgrade));
        said += 4096;
        assert!(said < 1024 * 1024, "it is read without end");
    }
    assert!(said > 64 * 1024, "a request with a body of some length gets its answer: {said}");
    assert_eq!(server.failure(), Some(E::NotUpgrade));
}

#[test]
fn a_client_that_fails_is_over_at_once() {
    for (answer, error) in [
        ("HTTP/1.1 403 x\r\nContent-Length: 2\r\n\r\nno", E::Refused { status: 403 }),
        ("HTTP/1.1 101 x\r\n\r\n", E::UpgradeInvalid),
        ("x", E::MalformedHead),
    ] {
        for sent in [false, true] {
            let mut client = client();
            if sent {
                client.take(at(1));
            }
            assert_eq!(client.give(&mut answer.as_bytes()), Err(error));
            assert_eq!((client.failure(), client.0.wants(), client.sent()), (Some(error), None, vec![]));
            assert_eq!(client.0.send("behind it"), Err(SendError::Closed));
        }
    }
}

// A client that does not wait.

#[test]
fn what_comes_behind_the_request_waits_for_the_decision() {
    let behind = [HELLO, HELLO, &HELLO[..7]].concat();
    for cut in 0..=behind.len() {
        let mut server = deciding(&behind[..cut]);
        for piece in [&behind[..cut], &behind[cut..]] {
            assert_eq!(events(&mut server.0, piece, at(1)), (vec![], None));
        }
        // A host that asks does not read meanwhile.
        assert!(!server.0.wants().unwrap().read);
        assert_eq!(server.request().path(), "/");
        server.0.accept(Accept::default(), at(2)).unwrap();
        assert!(server.0.wants().unwrap().read);
        assert_eq!(events(&mut server.0, b"", at(2)), (vec![hello(), hello()], None), "cut at {cut}");
        assert_eq!(events(&mut server.0, &HELLO[7..], at(3)), (vec![hello()], None));
        // Before, during and after the answer is the same.
        server.take(at(4));
        assert_eq!(events(&mut server.0, HELLO, at(4)), (vec![hello()], None));
    }
    // What is no frame is found out when it is looked at.
    let mut server = deciding(b"");
    assert_eq!(events(&mut server.0, b"GET / HTTP/1.1\r\n\r\n", at(1)), (vec![], None));
    server.0.accept(Accept::default(), at(2)).unwrap();
    assert_eq!(events(&mut server.0, b"", at(2)), (vec![], Some(ProtocolError::ReservedOpcode(7).into())));
    // After a rejection nobody looks at it.
    let mut server = deciding(b"");
    assert_eq!(events(&mut server.0, HELLO, at(1)), (vec![], None));
    assert!(server.0.has_ahead());
    server.0.reject(Response::new(404), at(2)).unwrap();
    assert!(!server.0.has_ahead());
    assert_eq!(events(&mut server.0, b"", at(2)), (vec![], Some(E::Rejected { status: 404 }.into())));
}

#[test]
fn what_comes_behind_the_request_is_held_up_to_the_limit_of_a_head() {
    let mut config = HandshakeConfig::default();
    config.max_head = 1000;
    for (pieces, fits) in [
        (&[1000][..], true),
        (&[1001], false),
        (&[999, 1], true),
        (&[999, 2], false),
        (&[1000, 0], true),
        (&[1000, 1], false),
        (&[1 << 20], false),
    ] {
        let mut server = Opening::server(config.clone());
        assert_eq!(server.give(&mut request().as_bytes()), Ok(true));
        let (last, first) = pieces.split_last().unwrap();
        for len in first {
            assert_eq!(events(&mut server.0, &vec![b'x'; *len], at(1)), (vec![], None));
        }
        let (none, fault) = events(&mut server.0, &vec![b'x'; *last], at(1));
        assert_eq!(none, []);
        let error = E::HeadTooLarge { limit: 1000 };
        assert_eq!(fault, (!fits).then_some(error.into()), "{pieces:?}");
        if fits {
            assert_eq!(server.accept(Accept::default()), Ok(()));
        } else {
            assert!(server.said().starts_with("HTTP/1.1 431 "), "{}", server.said());
            assert_eq!(server.accept(Accept::default()), Err(E::NothingToDecide));
            server.take(at(2));
            server.0.handle_eof(at(2));
            assert_eq!(server.failure(), Some(error));
        }
    }
}

#[test]
fn what_comes_behind_the_answer_is_the_connections() {
    let frames = b"\x81\x05Hello\x88\x00";
    let bytes = [answer().as_bytes(), frames].concat();
    for cut in 0..bytes.len() {
        let mut client = client();
        client.take(at(1));
        let (mut all, fault) = events(&mut client.0, &bytes[..cut], at(2));
        assert_eq!(fault, None);
        all.extend(events(&mut client.0, &bytes[cut..], at(2)).0);
        assert_eq!(all.len(), 3, "cut at {cut}: {all:?}");
        assert_eq!((&all[..2], matches!(all[2], Event::Close(_))), (&[Event::Opened, hello()][..], true));
    }
}

#[test]
fn a_message_may_be_sent_right_behind_the_answer() {
    let mut server = deciding(b"");
    server.accept(Accept::default()).unwrap();
    server.0.send("Hello").unwrap();
    let sent = server.sent();
    assert!(sent.starts_with(b"HTTP/1.1 101 ") && sent.ends_with(b"\r\n\r\n\x81\x05Hello"));
    // Nobody sends before, in either role.
    for mut early in [client(), self::server(), deciding(b"")] {
        let before = early.sent();
        assert_eq!(early.0.send("Hello"), Err(SendError::NotOpen));
        assert_eq!(early.0.ping(b"", at(1)), Err(SendError::NotOpen));
        assert_eq!(early.0.close(openline::CloseCode::NORMAL, "", at(1)), Err(SendError::NotOpen));
        assert_eq!((early.sent(), early.0.state()), (before, State::Opening));
    }
}
