//! Any order of calls is legal: what a timeout leaves to be sent is still offered when somebody looks for events first.

mod common;

use common::*;
use openline::{Connection, Reading, Server, Time};

const HALF: &str = "GET / HTTP/1.1\r\nHost: example.com\r\n";

/// `accept`, `Connection::server`: who is late "is answered with 408".
#[test]
fn a_late_client_is_answered_though_events_are_asked_for_before_the_write() {
    let mut wrong = vec![];
    for held in [false, true] {
        for asks in [false, true] {
            let mut us = Connection::server(&Server::default(), Time::ZERO);
            if held {
                us.hold(HALF.as_bytes());
                us.set_reading(Reading::Paused, Time::ZERO);
            } else {
                us.receive_copied(&mut HALF.as_bytes(), Time::ZERO).unwrap();
            }
            us.handle_timeout(s(10));
            if asks {
                us.set_reading(Reading::Events, s(10));
                let _ = us.receive(&mut &mut [][..], s(10));
            }
            let wants = us.wants();
            if !wants.is_some_and(|wants| wants.write) {
                wrong.push((held, asks, wants));
            }
        }
    }
    assert!(wrong.is_empty(), "held, asks for events, wants: {wrong:?}");
}

/// `Config::close_timeout`: who is given no time gets the answer that one write takes, and no more; whatever came behind the
/// frame that is answered.
#[test]
fn an_answer_without_any_time_is_offered_once() {
    let mut wrong = vec![];
    for role in BOTH {
        for (name, said) in [("Close", close_frame(role.peer(), 1000, "")), ("fault", vec![0x83])] {
            for behind in [&b""[..], b"behind it"] {
                let mut config = quiet();
                config.close_timeout = std::time::Duration::ZERO;
                let mut us = connection(role, config);
                let mut bytes = [&said[..], behind].concat();
                let mut input = &mut bytes[..];
                while let Ok(Some(_)) = us.receive(&mut input, s(1)) {}
                let _ = us.receive(&mut &mut behind.to_vec()[..], s(1));
                let offers = us.wants().is_some_and(|wants| wants.write);
                us.handle_timeout(s(1));
                if !offers || us.wants().is_some() {
                    wrong.push((role, name, behind.len(), offers, us.wants()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "who, what, bytes behind, is offered, wants afterwards: {wrong:?}");
}
