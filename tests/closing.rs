//! §7: how a connection ends. One test for every arrow of the diagram in
//! `connection/states.md`, in both roles, and the rules that hold on all ways.

mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::*;
use openline::Role::{Client, Server};
use openline::{
    Cause, CloseCode, CloseFrame, Config, Connection, Event, Keepalive, ProtocolError, Role, SendError, State, Time,
};

fn close_event(code: u16, reason: &str) -> Event<'static> {
    Event::Close(CloseFrame { code: CloseCode::new(code), reason: reason.into() })
}

fn body(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

/// How it ended: code, reason, cause; clean or not must agree with the cause.
#[track_caller]
fn ended(us: &Connection) -> (u16, &str, Cause) {
    assert_eq!(us.state(), State::Closed);
    let closed = us.closed().unwrap();
    assert_eq!(closed.is_clean(), closed.cause == Cause::Clean);
    (closed.code.get(), &closed.reason, closed.cause)
}

// The arrows.

#[test]
fn open_to_close_sent_by_close() {
    for role in BOTH {
        let mut us = open(role);
        us.close(CloseCode::NORMAL, "bye", s(0)).unwrap();
        assert_eq!((us.state(), us.closed()), (State::Closing, None));
        assert_eq!(said(&mut us), [(CLOSE, body(1000, "bye"))]);
        assert!(!us.ends(), "we wait for their Close");
    }
}

#[test]
fn close_sent_to_draining_by_close() {
    for role in BOTH {
        let mut us = close_sent(role);
        assert_eq!(hear(&mut us, &close_frame(role.peer(), 1001, "too")), (vec![close_event(1001, "too")], None));
        assert_eq!((us.state(), us.queued()), (State::Closing, 0), "a Close is not answered twice");
        us.handle_eof(Time::ZERO);
        assert_eq!(ended(&us), (1001, "too", Cause::Clean));
    }
}

#[test]
fn open_to_draining_by_close() {
    for role in BOTH {
        let mut us = open(role);
        assert_eq!(hear(&mut us, &close_frame(role.peer(), 4321, "why")), (vec![close_event(4321, "why")], None));
        assert_eq!((us.state(), us.closed()), (State::Closing, None));
        assert_eq!(said(&mut us), [(CLOSE, body(4321, ""))], "§5.5.1: the code is echoed");
    }
}

#[test]
fn open_to_draining_by_close_without_a_body() {
    for role in BOTH {
        let mut us = open(role);
        assert_eq!(hear(&mut us, &frame(role.peer(), CLOSE, "")), (vec![close_event(1005, "")], None));
        assert_eq!(said(&mut us), [(CLOSE, vec![])], "§7.4.1: 1005 is not sent");
        us.handle_eof(Time::ZERO);
        assert_eq!(ended(&us), (1005, "", Cause::Clean));
    }
}

#[test]
fn draining_to_closed_by_eof() {
    for role in BOTH {
        let mut us = draining(role);
        us.handle_eof(Time::ZERO);
        assert_eq!(ended(&us), (1001, "gone", Cause::Clean));
    }
}

#[test]
fn draining_to_closed_by_timeout() {
    for role in BOTH {
        let mut us = draining(role);
        us.handle_timeout(us.until().unwrap());
        assert_eq!(ended(&us), (1001, "gone", Cause::Clean));
    }
}

#[test]
fn open_to_failing_by_error() {
    for role in BOTH {
        let mut us = open(role);
        assert_eq!(hear(&mut us, &[0x83]).1, Some(ProtocolError::ReservedOpcode(3)));
        assert_eq!((us.state(), us.closed()), (State::Closing, None));
        assert_eq!(said(&mut us), [(CLOSE, body(1002, "reserved opcode 0x3 in a frame header"))]);
    }
}

#[test]
fn close_sent_to_failing_by_error() {
    for role in BOTH {
        let mut us = close_sent(role);
        assert_eq!(hear(&mut us, &[0x83]).1, Some(ProtocolError::ReservedOpcode(3)));
        assert_eq!((us.state(), us.queued()), (State::Closing, 0), "no second Close");
        us.handle_eof(Time::ZERO);
        assert_eq!(ended(&us), (1006, "", Cause::Protocol(ProtocolError::ReservedOpcode(3))));
    }
}

#[test]
fn failing_to_closed_by_eof() {
    for role in BOTH {
        let mut us = failing(role);
        us.handle_eof(Time::ZERO);
        assert_eq!(ended(&us), (1006, "", Cause::Protocol(ProtocolError::ReservedOpcode(3))));
    }
}

#[test]
fn failing_to_closed_by_timeout() {
    for role in BOTH {
        let mut us = failing(role);
        us.handle_timeout(us.until().unwrap());
        assert_eq!(ended(&us), (1006, "", Cause::Protocol(ProtocolError::ReservedOpcode(3))));
    }
}

#[test]
fn open_to_closed_by_eof() {
    for role in BOTH {
        let mut us = open(role);
        us.handle_eof(Time::ZERO);
        assert_eq!(ended(&us), (1006, "", Cause::Eof));
    }
}

#[test]
fn close_sent_to_closed_by_eof() {
    for role in BOTH {
        let mut us = close_sent(role);
        us.handle_eof(Time::ZERO);
        assert_eq!(ended(&us), (1006, "", Cause::Eof));
    }
}

#[test]
fn close_sent_to_closed_by_timeout() {
    for role in BOTH {
        let mut us = close_sent(role);
        us.handle_timeout(us.until().unwrap());
        assert_eq!(ended(&us), (1006, "", Cause::CloseTimeout));
    }
}

#[test]
fn open_to_closed_by_overdue_pong() {
    for role in BOTH {
        let mut us = connection(role, Config::default());
        us.handle_timeout(us.until().unwrap());
        assert_eq!(said(&mut us).len(), 1, "a Ping");
        us.handle_timeout(us.until().unwrap());
        assert_eq!(ended(&us), (1006, "", Cause::PongTimeout));
        assert_eq!((us.queued(), us.until(), us.ends()), (0, None, true));
    }
}

/// Everything else changes nothing: once over, it stays over as it was.
#[test]
fn closed_stays_closed() {
    for role in BOTH {
        for (mut us, cause) in [(closed(role), Cause::Clean), (cut_off(role), Cause::Eof)] {
            let before = us.closed().cloned();
            us.handle_eof(Time::ZERO);
            us.handle_timeout(s(1_000_000));
            us.handle_reset();
            us.handle_transmitted(5, s(9));
            us.handle_filled(5, s(9));
            assert_eq!(hear(&mut us, &close_frame(role.peer(), 1000, "")), (vec![], None));
            assert_eq!(hear(&mut us, b"\xff\xff\xff"), (vec![], None));
            assert_eq!(us.close(CloseCode::NORMAL, "", s(9)), Err(SendError::Closed));
            assert_eq!(us.send(""), Err(SendError::Closed));
            assert_eq!((us.closed().cloned(), us.closed().unwrap().cause), (before, cause));
            assert_eq!((us.queued(), us.until(), us.receive_space()), (0, None, None));
        }
    }
}

// The order of closing, with both ends.

#[test]
fn we_close_first() {
    for first in BOTH {
        let mut pair = Pair::new(quiet());
        let us = if first == Client { &mut pair.client } else { &mut pair.server };
        us.close(CloseCode::GOING_AWAY, "first", s(0)).unwrap();
        pair.settle();
        let (us, them) = if first == Client { (&pair.client, &pair.server) } else { (&pair.server, &pair.client) };
        assert_eq!(ended(us), (1001, "", Cause::Clean), "their echo");
        assert_eq!(ended(them), (1001, "first", Cause::Clean));
    }
}

#[test]
fn both_close_at_once() {
    let mut pair = Pair::new(quiet());
    pair.client.close(CloseCode::NORMAL, "client", s(0)).unwrap();
    pair.server.close(CloseCode::GOING_AWAY, "server", s(0)).unwrap();
    pair.settle();
    assert_eq!(ended(&pair.client), (1001, "server", Cause::Clean));
    assert_eq!(ended(&pair.server), (1000, "client", Cause::Clean));
}

#[test]
fn messages_before_the_close_arrive() {
    let mut pair = Pair::new(quiet());
    pair.client.send("one").unwrap();
    pair.client.send(vec![2; 50_000]).unwrap();
    pair.client.close(CloseCode::NORMAL, "", s(0)).unwrap();
    pair.server.send("crossed").unwrap();
    pair.settle();
    assert_eq!(pair.server_heard, [text("one"), binary(vec![2; 50_000]), close_event(1000, "")]);
    assert_eq!(pair.client_heard, [text("crossed"), close_event(1000, "")]);
    assert!(pair.client.closed().unwrap().is_clean() && pair.server.closed().unwrap().is_clean());
}

#[test]
fn a_protocol_error_ends_both_ends() {
    let mut pair = Pair::new(quiet());
    hear(&mut pair.server, &frame(Client, ENDS, "x"));
    pair.settle();
    assert_eq!(ended(&pair.server), (1006, "", Cause::Protocol(ProtocolError::UnexpectedContinuation)));
    assert_eq!(ended(&pair.client), (1002, "continuation frame outside a message", Cause::Clean));
}

// After a Close frame.

#[test]
fn their_messages_still_come_after_our_close() {
    for role in BOTH {
        let mut us = close_sent(role);
        let bytes = frames(role.peer(), [(TEXT_BEGINS, "a"), (PONG, "p"), (ENDS, "b")]);
        assert_eq!(hear(&mut us, &bytes), (vec![pong("p"), text("ab")], None));
        assert_eq!(us.queued(), 0);
    }
}

#[test]
fn nothing_is_sent_after_our_close() {
    for role in BOTH {
        for mut us in [close_sent(role), draining(role), failing(role), closed(role)] {
            assert_eq!(us.send("x"), Err(SendError::Closed));
            assert_eq!(us.send_fragment("x", true), Err(SendError::Closed));
            assert_eq!(us.ping(b"", s(0)), Err(SendError::Closed));
            assert_eq!(us.pong(b""), Err(SendError::Closed));
            assert_eq!(us.close(CloseCode::NORMAL, "", s(0)), Err(SendError::Closed));
            assert_eq!((us.queued(), us.next_transmit()), (0, None));
        }
    }
}

#[test]
fn nothing_is_heard_after_their_close() {
    for role in BOTH {
        let close = close_frame(role.peer(), 1000, "");
        for late in [frame(role.peer(), TEXT, "late"), close.clone(), frame(role.peer(), PING, ""), vec![0xff; 9]] {
            let bytes = [&close[..], &late].concat();
            assert_eq!(hear(&mut open(role), &bytes), (vec![close_event(1000, "")], None));
            assert_eq!(hear(&mut draining(role), &late), (vec![], None));
        }
    }
}

#[test]
fn what_was_queued_goes_before_the_close() {
    for role in BOTH {
        let mut us = open(role);
        us.send("first").unwrap();
        hear(&mut us, &frame(role.peer(), PING, "p"));
        us.close(CloseCode::NORMAL, "", s(0)).unwrap();
        assert_eq!(said(&mut us), [(TEXT, b"first".to_vec()), (PONG, b"p".to_vec()), (CLOSE, body(1000, ""))]);
    }
}

#[test]
fn a_pong_that_waits_goes_before_the_close() {
    for role in BOTH {
        for they_close in [false, true] {
            let mut us = open(role);
            us.send(vec![1; 50_000]).unwrap();
            for nth in ["1", "2", "3"] {
                hear(&mut us, &frame(role.peer(), PING, nth));
            }
            if they_close {
                hear(&mut us, &close_frame(role.peer(), 1000, ""));
            } else {
                us.close(CloseCode::NORMAL, "", s(0)).unwrap();
            }
            let said = said(&mut us);
            let said: Vec<_> = said[1..].iter().map(|(first, body)| (*first, &body[..])).collect();
            assert_eq!(said, [(PONG, &b"1"[..]), (PONG, b"3"), (CLOSE, &body(1000, ""))]);
        }
    }
}

#[test]
fn close_is_taken_where_nothing_else_is() {
    let mut config = quiet();
    config.high_water = 1;
    for role in BOTH {
        let mut us = connection(role, config);
        us.send_fragment("unfinished", false).unwrap();
        assert!(!us.has_room());
        us.close(CloseCode::NORMAL, "", s(0)).unwrap();
        assert_eq!(said(&mut us).len(), 2);
    }
}

// Codes and reasons (§7.4, the IANA registry).

/// What may travel: the registry's codes but 1004, 1005, 1006 and 1015, and the
/// ranges for libraries, frameworks, applications (3000–3999) and private use.
fn registry() -> HashSet<u16> {
    let registered = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
    registered.into_iter().chain(3000..4000).chain(4000..5000).collect()
}

#[test]
fn all_codes_received() {
    let registry = registry();
    for code in 0..=u16::MAX {
        let mut us = open(Client);
        let heard = hear(&mut us, &close_frame(Server, code, ""));
        if registry.contains(&code) {
            assert_eq!(heard, (vec![close_event(code, "")], None));
            assert_eq!(said(&mut us), [(CLOSE, body(code, ""))]);
        } else {
            assert_eq!(heard, (vec![], Some(ProtocolError::CloseCodeInvalid(CloseCode::new(code)))), "{code}");
            assert_eq!(said(&mut us)[0].1[..2], 1002_u16.to_be_bytes(), "{code}");
        }
    }
}

#[test]
fn all_codes_sent() {
    let registry = registry();
    for code in 0..=u16::MAX {
        let mut us = open(Server);
        let closed = us.close(CloseCode::new(code), "", s(0));
        if registry.contains(&code) {
            assert_eq!(closed, Ok(()));
            assert_eq!(said(&mut us), [(CLOSE, body(code, ""))]);
        } else if code == 1005 {
            assert_eq!(closed, Ok(()));
            assert_eq!(said(&mut us), [(CLOSE, vec![])], "stands for a Close without a code");
        } else {
            assert_eq!(closed, Err(SendError::CloseCodeInvalid(CloseCode::new(code))));
            assert_eq!((us.queued(), us.state()), (0, State::Open));
        }
        assert_eq!(CloseCode::new(code).is_sendable(), registry.contains(&code));
    }
}

#[test]
fn reasons_of_123_bytes_and_more() {
    for role in BOTH {
        for len in [0, 1, 122, 123] {
            let reason = "x".repeat(len);
            let mut us = open(role);
            us.close(CloseCode::NORMAL, &reason, s(0)).unwrap();
            assert_eq!(said(&mut us), [(CLOSE, body(1000, &reason))]);
            let ((events, _), _) = every_way(|| open(role), &close_frame(role.peer(), 1000, &reason));
            assert_eq!(events, [close_event(1000, &reason)]);
        }
        for len in [124, 125, 1000] {
            let refused = open(role).close(CloseCode::NORMAL, &"x".repeat(len), s(0));
            assert_eq!(refused, Err(SendError::CloseReasonTooLong { len }));
            let heard = hear(&mut open(role), &close_frame(role.peer(), 1000, &"x".repeat(len)));
            assert_eq!(heard, (vec![], Some(ProtocolError::ControlTooLong)));
        }
    }
}

#[test]
fn close_bodies_that_are_refused() {
    for role in BOTH {
        let cases: [(&[u8], ProtocolError, u16); 4] = [
            (b"\x03", ProtocolError::CloseTruncated, 1002),
            (b"\x03\xe8\xff", ProtocolError::CloseReasonInvalid, 1007),
            (b"\x03\xe8ok\xe2\x82", ProtocolError::CloseReasonInvalid, 1007),
            (b"\x03\xed\xff", ProtocolError::CloseCodeInvalid(CloseCode::NO_STATUS), 1002),
        ];
        for (payload, broken, code) in cases {
            let ((events, error), answer) = every_way(|| open(role), &frame(role.peer(), CLOSE, payload));
            assert_eq!((events, error), (vec![], Some(broken)));
            assert_eq!(parse(role, &answer)[0].1[..2], code.to_be_bytes());
        }
    }
}

// Shutting down (§7.1.1).

#[test]
fn who_shuts_down_when() {
    type New = fn(Role) -> Connection;
    let grid: [(&str, New, bool, bool); 6] = [
        ("open", open, false, false),
        ("close sent", close_sent, false, false),
        ("draining", draining, false, true),
        ("failing", failing, true, true),
        ("closed", closed, true, true),
        ("cut off", cut_off, true, true),
    ];
    for (name, new, client, server) in grid {
        assert_eq!(new(Client).ends(), client, "client, {name}");
        assert_eq!(new(Server).ends(), server, "server, {name}");
    }
}

#[test]
fn shutdown_waits_until_all_has_been_sent() {
    for role in BOTH {
        for bytes in [close_frame(role.peer(), 1000, ""), vec![0x83]] {
            let mut us = open(role);
            us.send("first").unwrap();
            hear(&mut us, &bytes);
            let all = us.queued();
            for _ in 0..all {
                assert!(!us.ends());
                us.handle_transmitted(1, s(0));
            }
            assert_eq!(us.ends(), role == Server || bytes == [0x83]);
        }
    }
}

// The end of the transport.

#[test]
fn eof_in_every_phase() {
    type New = fn(Role) -> Connection;
    let broken = Cause::Protocol(ProtocolError::ReservedOpcode(3));
    let grid: [(New, u16, Cause); 6] = [
        (open, 1006, Cause::Eof),
        (close_sent, 1006, Cause::Eof),
        (draining, 1001, Cause::Clean),
        (failing, 1006, broken),
        (closed, 1001, Cause::Clean),
        (cut_off, 1006, Cause::Eof),
    ];
    for (new, code, cause) in grid {
        for role in BOTH {
            let (mut by_eof, mut by_reset) = (new(role), new(role));
            by_eof.handle_eof(Time::ZERO);
            by_reset.handle_reset();
            assert_eq!((ended(&by_eof).0, ended(&by_eof).2), (code, cause));
            assert_eq!((ended(&by_reset).0, ended(&by_reset).2), (code, cause));
            assert_eq!((by_eof.until(), by_eof.ends()), (None, true));
        }
    }
}

#[test]
fn eof_in_the_middle_of_a_frame() {
    for role in BOTH {
        let bytes = frame(role.peer(), TEXT, "unfinished");
        for cut in 1..bytes.len() {
            let mut us = open(role);
            assert_eq!(hear(&mut us, &bytes[..cut]), (vec![], None));
            us.handle_eof(Time::ZERO);
            assert_eq!(ended(&us), (1006, "", Cause::Eof));
            assert_eq!(hear(&mut us, &bytes[cut..]), (vec![], None));
        }
    }
}

#[test]
fn what_waits_may_follow_an_eof_but_not_a_reset() {
    for role in BOTH {
        for reset in [false, true] {
            let mut us = open(role);
            us.send("last").unwrap();
            hear(&mut us, &close_frame(role.peer(), 1000, ""));
            if reset {
                us.handle_reset()
            } else {
                us.handle_eof(Time::ZERO)
            }
            let expected = if reset { vec![] } else { vec![(TEXT, b"last".to_vec()), (CLOSE, body(1000, ""))] };
            assert_eq!(us.ends(), reset);
            assert_eq!(us.state(), if reset { State::Closed } else { State::Closing });
            assert_eq!(said(&mut us), expected);
            assert!(us.ends());
            // Our Close frame was sent in the one case, and lost in the other.
            assert_eq!(ended(&us).2, if reset { Cause::Eof } else { Cause::Clean });
        }
    }
}

#[test]
fn what_waits_after_an_eof_has_the_close_timeout_to_go() {
    for role in BOTH {
        for (goodbye, cause) in [(true, Cause::CloseTimeout), (false, Cause::Eof)] {
            let mut us = open(role);
            us.send("last").unwrap();
            if goodbye {
                hear(&mut us, &close_frame(role.peer(), 1000, ""));
            }
            us.handle_eof(Time::ZERO);
            let by = us.until().unwrap();
            assert_eq!(by, Time::ZERO + Config::default().close_timeout);
            assert_eq!(us.send("more"), Err(SendError::Closed));
            assert_eq!(hear(&mut us, &frame(role.peer(), TEXT, "from beyond")), (vec![], None));
            us.handle_timeout(by);
            assert_eq!((ended(&us).2, us.queued(), us.until()), (cause, 0, None));
        }
    }
}

// Errors.

#[test]
fn an_error_is_said_once_and_returned_always() {
    for role in BOTH {
        let mut us = open(role);
        let broken = ProtocolError::UnexpectedContinuation;
        assert_eq!(hear(&mut us, &frame(role.peer(), ENDS, "x")).1, Some(broken));
        let answer = said(&mut us);
        assert_eq!(answer, [(CLOSE, body(1002, "continuation frame outside a message"))]);
        for bytes in [frame(role.peer(), TEXT, "x"), close_frame(role.peer(), 1000, ""), vec![]] {
            assert_eq!(hear(&mut us, &bytes), (vec![], Some(broken)));
            assert_eq!(hear_chunks(&mut us, [&bytes[..]]), (vec![], Some(broken)));
            assert_eq!(us.queued(), 0);
        }
    }
}

#[test]
fn all_input_is_taken_by_an_error() {
    let mut bytes = *b"\x83 and much more";
    let mut input = &mut bytes[..];
    assert!(open(Client).receive(&mut input, s(0)).is_err());
    assert!(input.is_empty());
}

// Every order of events.

#[derive(Clone, Copy, Debug)]
enum Step {
    TheySend,
    TheyPing,
    TheyClose,
    TheyBreak,
    WeSend,
    WePing,
    WeClose,
    Eof,
    Reset,
    Late,
    Transmit,
}

const STEPS: [Step; 11] = [
    Step::TheySend,
    Step::TheyPing,
    Step::TheyClose,
    Step::TheyBreak,
    Step::WeSend,
    Step::WePing,
    Step::WeClose,
    Step::Eof,
    Step::Reset,
    Step::Late,
    Step::Transmit,
];

/// All 14,641 dialogues of four steps, in both roles: at most one Close frame, nothing
/// behind it, no way back, and every end is reached and explained.
#[test]
fn at_most_one_close_frame_ever_and_only_pongs_behind_it() {
    let mut config = Config::default();
    config.keepalive = Some(Keepalive::new(Duration::from_secs(5), Duration::from_secs(5)));
    for role in BOTH {
        for number in 0..STEPS.len().pow(4) {
            let dialogue = [0, 1, 2, 3].map(|place| STEPS[number / STEPS.len().pow(place) % STEPS.len()]);
            let mut us = connection(role, config);
            let mut wire = vec![];
            let mut now = s(0);
            for step in dialogue {
                let before = us.state();
                let they = role.peer();
                match step {
                    Step::TheySend => drop(hear_in(&mut us, [&frame(they, TEXT, "x")[..]], now)),
                    Step::TheyPing => drop(hear_in(&mut us, [&frame(they, PING, "x")[..]], now)),
                    Step::TheyClose => drop(hear_in(&mut us, [&close_frame(they, 1000, "")[..]], now)),
                    Step::TheyBreak => drop(hear_in(&mut us, [&b"\xff"[..]], now)),
                    Step::WeSend => drop(us.send("x")),
                    Step::WePing => drop(us.ping(b"x", now)),
                    Step::WeClose => drop(us.close(CloseCode::NORMAL, "", now)),
                    Step::Eof => us.handle_eof(Time::ZERO),
                    Step::Reset => us.handle_reset(),
                    Step::Late => {
                        now += Duration::from_secs(60);
                        us.handle_timeout(now);
                    }
                    Step::Transmit => wire.extend(transmit(&mut us, now)),
                }
                let rank =
                    |state| [State::Open, State::Closing, State::Closed].iter().position(|other| *other == state);
                assert!(rank(before) <= rank(us.state()), "{dialogue:?}: back to {:?}", us.state());
                assert_eq!(us.closed().is_some(), us.state() == State::Closed);
            }
            wire.extend(transmit(&mut us, now));
            let said = parse(role, &wire);
            let closes = said.iter().filter(|(first, _)| *first == CLOSE).count();
            assert!(closes <= 1, "{dialogue:?}: {said:?}");
            let behind = said.iter().skip_while(|(first, _)| *first != CLOSE).skip(1);
            // §5.5.2: a Ping is answered until their Close frame comes.
            assert!(behind.clone().all(|(first, _)| *first == PONG), "{dialogue:?}: {said:?}");

            // However it stands, the clock alone brings it to its end.
            for _ in 0..3 {
                if let Some(next) = us.until() {
                    us.handle_timeout(next.max(now));
                }
                transmit(&mut us, now);
            }
            assert_eq!(us.state(), State::Closed, "{dialogue:?}");
            assert!(us.ends() && us.until().is_none());
        }
    }
}

#[test]
fn an_error_is_returned_even_after_the_end() {
    for role in BOTH {
        let mut us = failing(role);
        us.handle_eof(Time::ZERO);
        assert_eq!(hear(&mut us, b""), (vec![], Some(ProtocolError::ReservedOpcode(3))), "every later call");
    }
}

#[test]
fn a_close_frame_is_judged_as_it_comes() {
    for role in BOTH {
        let size = header(role.peer(), CLOSE, 125).len();
        let mut payload = vec![b'x'; 125];
        payload[..4].copy_from_slice(b"\x03\xed\xff\xff");
        let mut us = open(role);
        let bytes = frame(role.peer(), CLOSE, &payload);
        assert_eq!(hear(&mut us, &bytes[..size + 1]).1, None);
        let broken = ProtocolError::CloseCodeInvalid(CloseCode::NO_STATUS);
        assert_eq!(hear(&mut us, &bytes[size + 1..size + 2]).1, Some(broken), "the code is there");

        payload[..6].copy_from_slice(b"\x03\xe8\xed\xa0\x80x");
        let mut us = open(role);
        let bytes = frame(role.peer(), CLOSE, &payload);
        assert_eq!(hear(&mut us, &bytes[..size + 3]).1, None);
        assert_eq!(hear(&mut us, &bytes[size + 3..size + 4]).1, Some(ProtocolError::CloseReasonInvalid));
    }
}

#[test]
fn it_is_not_clean_if_our_own_close_never_left() {
    // `is_clean`: "both ends said goodbye, so that neither can have missed a message".
    for role in BOTH {
        for by_timeout in [false, true] {
            let mut us = open(role);
            us.send("they never got this").unwrap();
            hear(&mut us, &close_frame(role.peer(), 1000, "bye"));
            if by_timeout {
                us.handle_timeout(us.until().unwrap());
            } else {
                us.handle_reset();
            }
            let closed = us.closed().unwrap();
            assert_eq!((closed.code, &closed.reason[..]), (CloseCode::NORMAL, "bye"), "the peer's, all the same");
            assert!(!closed.is_clean(), "{closed:?}");
        }
    }
}
