//! §5.5.2, §7.1.1 and the clock: keepalive, latency, the time to close, and Pongs.
//! Hours of virtual time in microseconds; nothing here sleeps.

mod common;

use std::time::Duration;

use common::*;
use openline::Role::{Client, Server};
use openline::{Cause, CloseCode, Config, Connection, Event, Keepalive, Role, State, Time};

/// A Ping every 10 s, answered within 4 s; 3 s to close.
fn config() -> Config {
    let mut config = Config::default();
    config.keepalive = Some(Keepalive::new(Duration::from_secs(10), Duration::from_secs(4)));
    config.close_timeout = Duration::from_secs(3);
    config
}

/// The payload of the Ping that leaves now, alone.
#[track_caller]
fn ping_leaves(us: &mut Connection, now: Time) -> Vec<u8> {
    let bytes = transmit(us, now);
    let mut said = parse(us.role(), &bytes);
    assert_eq!(said.len(), 1);
    let (first, payload) = said.remove(0);
    assert_eq!(first, PING);
    payload
}

fn they_say(us: &mut Connection, first: u8, payload: impl AsRef<[u8]>, now: Time) -> Vec<Event<'static>> {
    let bytes = frame(us.role().peer(), first, payload);
    hear_in(us, [&bytes[..]], now).0
}

/// A connection that has sent its first Ping at 10 s.
fn pinged(role: Role) -> (Connection, Vec<u8>) {
    let mut us = connection(role, config());
    us.handle_timeout(s(10));
    let payload = ping_leaves(&mut us, s(10));
    assert_eq!(us.until(), Some(s(14)));
    (us, payload)
}

#[track_caller]
fn dead(us: &Connection) {
    assert_eq!(us.closed().map(|closed| closed.cause), Some(Cause::PongTimeout));
}

// Keepalive.

#[test]
fn without_keepalive_there_is_no_deadline() {
    for role in BOTH {
        let mut us = open(role);
        assert_eq!(us.until(), None);
        us.ping(b"x", s(1)).unwrap();
        transmit(&mut us, s(1));
        assert_eq!(us.until(), None);
        us.handle_timeout(s(1_000_000));
        assert_eq!((us.state(), us.queued()), (State::Open, 0));
    }
}

#[test]
fn a_ping_after_every_interval() {
    for role in BOTH {
        let mut us = connection(role, config());
        let mut payloads = vec![];
        for turn in 1..=5 {
            assert_eq!(us.until(), Some(s(10 * turn)));
            us.handle_timeout(s(10 * turn));
            let payload = ping_leaves(&mut us, s(10 * turn));
            they_say(&mut us, PONG, &payload, s(10 * turn) + Duration::from_millis(30));
            assert_eq!(us.latency(), Some(Duration::from_millis(30)));
            payloads.push(payload);
        }
        payloads.dedup();
        assert_eq!(payloads.len(), 5, "each Ping has a payload of its own");
    }
}

#[test]
fn too_early_a_call_does_nothing() {
    let mut us = connection(Client, config());
    us.handle_timeout(s(0));
    us.handle_timeout(ms(9_999));
    assert_eq!((us.queued(), us.until()), (0, Some(s(10))));
    let (mut us, _) = pinged(Client);
    us.handle_timeout(s(10));
    us.handle_timeout(ms(13_999));
    assert_eq!((us.queued(), us.state(), us.until()), (0, State::Open, Some(s(14))));
    us.close(CloseCode::NORMAL, "", s(20)).unwrap();
    us.handle_timeout(ms(22_999));
    assert_eq!((us.state(), us.until()), (State::Closing, Some(s(23))));
}

#[test]
fn a_silent_peer_is_dead() {
    for role in BOTH {
        let (mut us, _) = pinged(role);
        us.handle_timeout(s(14));
        dead(&us);
    }
}

#[test]
fn anything_heard_is_a_sign_of_life() {
    for role in BOTH {
        let said: [(u8, &str); 4] = [(PONG, "unasked"), (PING, "x"), (TEXT, "x"), (BINARY_BEGINS, "")];
        for (first, payload) in said {
            let (mut us, _) = pinged(role);
            they_say(&mut us, first, payload, s(13));
            assert_eq!(us.until(), Some(s(17)));
            us.handle_timeout(s(16));
            assert_eq!(us.state(), State::Open);
            us.handle_timeout(s(17));
            dead(&us);
        }
    }
}

#[test]
fn bytes_of_an_unfinished_frame_are_a_sign_of_life() {
    // A peer in the middle of a long frame cannot answer before its end.
    let (mut us, payload) = pinged(Server);
    let long = frame(Client, BINARY, vec![0; 100]);
    for (nth, byte) in long.chunks(1).enumerate() {
        let now = s(11 + 3 * nth as u64);
        hear_in(&mut us, [byte], now);
        us.handle_timeout(now);
        assert_eq!(us.state(), State::Open);
    }
    they_say(&mut us, PONG, payload, s(1000));
    assert_eq!((us.latency(), us.state()), (Some(Duration::from_secs(990)), State::Open));
}

#[test]
fn silence_is_no_sign_of_life() {
    let (mut us, _) = pinged(Client);
    hear_in(&mut us, [&b""[..]], s(13));
    us.handle_transmitted(0, s(13));
    assert_eq!(us.until(), Some(s(14)));
    us.handle_timeout(s(14));
    dead(&us);
}

#[test]
fn only_the_right_pong_answers() {
    let (mut us, payload) = pinged(Client);
    they_say(&mut us, PONG, "not that", s(11));
    they_say(&mut us, PONG, "", s(11));
    assert_eq!(us.latency(), None);
    let heard = they_say(&mut us, PONG, &payload, s(12));
    assert!(matches!(&heard[..], [Event::Pong { latency: Some(latency), .. }] if *latency == Duration::from_secs(2)));
    let heard = they_say(&mut us, PONG, &payload, s(13));
    assert!(matches!(&heard[..], [Event::Pong { latency: None, .. }]), "once");
    assert_eq!((us.latency(), us.until()), (Some(Duration::from_secs(2)), Some(s(20))));
}

#[test]
fn a_ping_that_cannot_leave_is_overdue_too() {
    // Deadlines fire while a write is blocked.
    let mut us = connection(Client, config());
    us.send("stuck").unwrap();
    us.handle_timeout(s(10));
    assert_eq!(us.until(), Some(s(14)));
    us.handle_timeout(s(14));
    dead(&us);
    assert_eq!(us.queued(), 0);
}

#[test]
fn progress_before_a_ping_is_a_sign_of_life() {
    let mut us = connection(Server, config());
    us.send(vec![0; 20]).unwrap();
    us.handle_timeout(s(10));
    let total = us.queued() as u64;
    for nth in 1..=total {
        us.handle_timeout(s(10 + 3 * nth));
        us.handle_transmitted(1, s(10 + 3 * nth));
        assert_eq!(us.state(), State::Open);
    }
    // The Ping has left: from here on only the peer can help.
    let left = 10 + 3 * total;
    us.send("more").unwrap();
    us.handle_transmitted(3, s(left + 3));
    assert_eq!(us.until(), Some(s(left + 4)));
    us.handle_timeout(s(left + 4));
    dead(&us);
}

#[test]
fn latency_counts_from_when_the_ping_has_left() {
    let mut us = connection(Client, config());
    us.handle_timeout(s(10));
    let payload = ping_leaves(&mut us, s(12));
    they_say(&mut us, PONG, payload, s(13));
    assert_eq!(us.latency(), Some(Duration::from_secs(1)));
}

#[test]
fn latency_does_not_count_a_ping_that_has_left_in_part() {
    let mut us = open(Client);
    us.ping(b"mine", s(1)).unwrap();
    us.handle_transmitted(3, s(2));
    us.handle_transmitted(us.queued(), s(7));
    they_say(&mut us, PONG, "mine", s(8));
    assert_eq!(us.latency(), Some(Duration::from_secs(1)));
}

#[test]
fn a_late_call_does_what_is_due_and_no_more() {
    // A lid was closed for an hour: one Ping, and its time runs from now.
    for role in BOTH {
        let mut us = connection(role, config());
        us.handle_timeout(s(3600));
        us.handle_timeout(s(3600));
        let payload = ping_leaves(&mut us, s(3600));
        assert_eq!((us.state(), us.until()), (State::Open, Some(s(3604))));
        they_say(&mut us, PONG, payload, s(3601));
        assert_eq!(us.until(), Some(s(3610)), "the Pings of that hour are not made up for");
    }
}

#[test]
fn an_answer_that_lay_there_counts() {
    let (mut us, payload) = pinged(Client);
    they_say(&mut us, PONG, payload, s(3600));
    us.handle_timeout(s(3600));
    assert_eq!(us.state(), State::Open);
    ping_leaves(&mut us, s(3600));
}

#[test]
fn deadlines_are_never_in_the_past_once_handled() {
    // Zero is a strange choice, but must not make a loop spin.
    for (interval, timeout) in [(10, 4), (4, 10), (0, 4), (4, 0), (0, 0), (1, 1)] {
        let mut config = config();
        config.keepalive = Some(Keepalive::new(Duration::from_secs(interval), Duration::from_secs(timeout)));
        for late in [0, 1, 100] {
            let mut us = connection(Server, config);
            let mut calls = 0;
            let mut now = s(0);
            while let Some(next) = us.until() {
                assert!(next >= now, "{next:?} < {now:?}");
                now = next + Duration::from_secs(late);
                us.handle_timeout(now);
                if us.state() == State::Open {
                    assert!(us.until() > Some(now) || timeout == 0);
                }
                transmit(&mut us, now);
                calls += 1;
                assert!(calls < 10, "the loop does not end");
            }
            dead(&us);
        }
    }
}

#[test]
fn never_means_never() {
    let mut config = config();
    config.close_timeout = Duration::MAX;
    config.keepalive = Some(Keepalive::new(Duration::MAX, Duration::MAX));
    let mut us = connection(Client, config);
    us.handle_timeout(s(1 << 30));
    assert_eq!((us.queued(), us.state()), (0, State::Open));
    us.ping(b"", s(5)).unwrap();
    us.handle_timeout(s(1 << 30));
    us.close(CloseCode::NORMAL, "", s(1 << 30)).unwrap();
    us.handle_timeout(s(1 << 33));
    assert_eq!(us.state(), State::Closing);
}

#[test]
fn two_quiet_ends_keep_each_other_alive_for_a_day() {
    let mut pair = Pair::new(config());
    pair.pass(Duration::from_secs(86_400));
    assert_eq!((pair.client.state(), pair.server.state()), (State::Open, State::Open));
    let pings = |heard: &[Event<'_>]| heard.iter().filter(|event| matches!(event, Event::Ping(_))).count();
    assert_eq!((pings(&pair.client_heard), pings(&pair.server_heard)), (8640, 8640));
}

#[test]
fn a_cut_line_is_noticed_by_both_ends() {
    let mut pair = Pair::new(config());
    pair.pass(Duration::from_secs(25));
    pair.line_is_cut = true;
    pair.pass(Duration::from_secs(8));
    assert_eq!((pair.client.state(), pair.server.state()), (State::Open, State::Open));
    pair.pass(Duration::from_secs(1));
    dead(&pair.client);
    dead(&pair.server);
}

// Pings of the application.

#[test]
fn a_ping_of_ours_measures_latency() {
    for role in BOTH {
        let mut us = open(role);
        us.ping(b"mine", s(5)).unwrap();
        assert_eq!(ping_leaves(&mut us, s(6)), b"mine");
        they_say(&mut us, PONG, "mine", s(8));
        assert_eq!(us.latency(), Some(Duration::from_secs(2)));
    }
}

#[test]
fn the_last_ping_is_measured() {
    let mut us = open(Client);
    us.ping(b"1", s(5)).unwrap();
    us.ping(b"2", s(6)).unwrap();
    transmit(&mut us, s(7));
    they_say(&mut us, PONG, "1", s(8));
    assert_eq!(us.latency(), None);
    they_say(&mut us, PONG, "2", s(9));
    assert_eq!(us.latency(), Some(Duration::from_secs(2)));
}

#[test]
fn a_ping_of_ours_has_a_deadline_too() {
    let mut us = connection(Client, config());
    us.ping(b"x", s(1)).unwrap();
    transmit(&mut us, s(2));
    assert_eq!(us.until(), Some(s(6)));
    they_say(&mut us, PONG, "x", s(3));
    assert_eq!(us.until(), Some(s(10)));
}

// Closing.

#[test]
fn our_close_has_one_budget() {
    for role in BOTH {
        let mut us = connection(role, config());
        us.close(CloseCode::NORMAL, "", s(5)).unwrap();
        assert_eq!(us.until(), Some(s(8)), "and no Ping any more");
        // Neither transmitting, nor messages, nor their Close makes it longer.
        transmit(&mut us, s(6));
        they_say(&mut us, TEXT, "x", s(7));
        assert_eq!(us.until(), Some(s(8)));
        they_say(&mut us, CLOSE, "", s(7));
        assert_eq!(us.until(), Some(s(8)));
        us.handle_timeout(s(8));
        assert_eq!((us.closed().unwrap().cause, us.until()), (Cause::Clean, None));
    }
}

#[test]
fn their_close_has_a_budget() {
    for role in BOTH {
        let mut us = connection(role, config());
        they_say(&mut us, CLOSE, "", s(5));
        assert_eq!(us.until(), Some(s(8)));
        transmit(&mut us, s(7));
        us.handle_timeout(s(8));
        assert_eq!(us.closed().unwrap().cause, Cause::Clean);
    }
}

#[test]
fn an_error_has_a_budget_and_keeps_the_one_it_had() {
    for role in BOTH {
        let mut us = connection(role, config());
        hear_in(&mut us, [&b"\xff"[..]], s(5));
        assert_eq!(us.until(), Some(s(8)));
        let mut us = connection(role, config());
        us.close(CloseCode::NORMAL, "", s(5)).unwrap();
        hear_in(&mut us, [&b"\xff"[..]], s(7));
        assert_eq!(us.until(), Some(s(8)));
    }
}

#[test]
fn the_close_timeout_fires_while_a_write_is_blocked() {
    let mut us = connection(Client, config());
    us.send("stuck").unwrap();
    us.close(CloseCode::NORMAL, "", s(5)).unwrap();
    us.handle_timeout(s(8));
    assert_eq!(us.closed().unwrap().cause, Cause::CloseTimeout);
    assert_eq!((us.queued(), us.ends()), (0, true));
}

#[test]
fn an_unanswered_ping_does_not_cut_the_closing_short() {
    let (mut us, _) = pinged(Client);
    us.close(CloseCode::NORMAL, "", s(13)).unwrap();
    us.handle_timeout(s(14));
    assert_eq!((us.state(), us.until()), (State::Closing, Some(s(16))));
}

// Pongs.

/// The payloads of the Pongs that leave.
fn pongs(us: &mut Connection) -> Vec<String> {
    let pongs = said(us).into_iter().filter(|(first, _)| *first == PONG);
    pongs.map(|(_, payload)| String::from_utf8(payload).unwrap()).collect()
}

#[test]
fn every_ping_is_answered_while_the_line_is_free() {
    for role in BOTH {
        let mut us = open(role);
        let expected: Vec<_> = (0..10).map(|nth| format!("ping {nth}")).collect();
        let bytes = frames(role.peer(), expected.iter().map(|payload| (PING, payload)));
        assert_eq!(hear(&mut us, &bytes).0.len(), 10);
        assert_eq!(pongs(&mut us), expected);
        for nth in &expected {
            they_say(&mut us, PING, nth, s(0));
            assert_eq!(pongs(&mut us), [&nth[..]]);
        }
    }
}

#[test]
fn pings_of_125_bytes_and_of_none() {
    for role in BOTH {
        for len in [0, 125] {
            let ((events, _), answer) = every_way(|| open(role), &frame(role.peer(), PING, vec![7; len]));
            assert_eq!(events, [Event::Ping(vec![7; len].into())]);
            assert_eq!(parse(role, &answer), [(PONG, vec![7; len])]);
        }
    }
}

#[test]
fn when_blocked_the_latest_ping_is_answered() {
    for role in BOTH {
        let mut us = open(role);
        us.send(vec![0; 60_000]).unwrap();
        for nth in 0..1000 {
            they_say(&mut us, PING, nth.to_string(), s(0));
        }
        assert_eq!(pongs(&mut us), ["0", "999"], "one was queued, one waits");
        they_say(&mut us, PING, "after", s(0));
        assert_eq!(pongs(&mut us), ["after"]);
    }
}

#[test]
fn a_waiting_pong_leaves_without_another_ping() {
    let mut us = open(Server);
    us.send(vec![0; 60_000]).unwrap();
    they_say(&mut us, PING, "1", s(0));
    they_say(&mut us, PING, "2", s(0));
    us.handle_transmitted(us.queued(), s(0));
    assert_eq!(pongs(&mut us), ["2"]);
}

#[test]
fn a_flood_of_pings_takes_no_memory() {
    for role in BOTH {
        let mut us = open(role);
        let flood = frame(role.peer(), PING, vec![7; 125]);
        let mut buffer = flood.clone();
        let info = allocation_counter::measure(|| {
            for _ in 0..100_000 {
                buffer.copy_from_slice(&flood);
                let mut input = &mut buffer[..];
                while us.receive(&mut input, s(0)).unwrap().is_some() {}
            }
        });
        assert!(us.queued() < 4096 + 256, "{} bytes wait", us.queued());
        assert!(info.bytes_max < 16_384, "{} bytes held", info.bytes_max);
    }
}

#[test]
fn pongs_never_go_back() {
    // However the peer takes what we say, its Pings are answered in their order.
    for role in BOTH {
        for step in [1, 10, 40, 90, 130, 1000, 4000] {
            for pings in [1, 3] {
                let mut us = open(role);
                let mut wire = vec![];
                for round in 0..200_u32 {
                    for nth in 0..pings {
                        they_say(&mut us, PING, format!("{:05}{:90}", round * pings + nth, ""), s(0));
                    }
                    let slice = us.next_transmit().unwrap_or_default();
                    let len = slice.len().min(step);
                    wire.extend_from_slice(&slice[..len]);
                    us.handle_transmitted(len, s(0));
                }
                wire.extend(transmit(&mut us, s(0)));
                let order: Vec<u32> = parse(role, &wire)
                    .iter()
                    .map(|(_, body)| str::from_utf8(&body[..5]).unwrap().parse().unwrap())
                    .collect();
                assert!(order.is_sorted(), "{step} bytes a round: {order:?}");
                assert_eq!(order.last(), Some(&(200 * pings - 1)), "the last is always answered");
            }
        }
    }
}

// What is no sign of life.

#[test]
fn transmitting_nothing_is_no_progress() {
    // As an adapter tells it whose write was refused.
    let mut us = connection(Server, config());
    us.handle_timeout(s(10));
    us.handle_transmitted(0, s(13));
    assert_eq!(us.until(), Some(s(14)));
    us.handle_timeout(s(14));
    dead(&us);
}

#[test]
fn filling_nothing_is_no_sign_of_life() {
    let (mut us, _) = pinged(Server);
    us.handle_filled(0, s(13));
    assert_eq!(us.until(), Some(s(14)));
}

#[test]
fn pings_of_ours_do_not_save_a_dead_peer() {
    // An application that pings every 3 s must still learn of it after 4 s of silence.
    for blocked in [false, true] {
        let mut us = connection(Client, config());
        for now in (0..60).step_by(3) {
            let _ = us.ping(b"are you there?", s(now));
            if !blocked {
                transmit(&mut us, s(now));
            }
            us.handle_timeout(s(now + 1));
            us.handle_timeout(s(now + 2));
        }
        dead(&us);
    }
}

#[test]
fn pings_of_ours_leave_an_answering_peer_alone() {
    let mut us = connection(Client, config());
    for now in (0..60).step_by(3) {
        us.ping(b"1", s(now)).unwrap();
        transmit(&mut us, s(now));
        us.ping(b"2", s(now)).unwrap();
        transmit(&mut us, s(now));
        they_say(&mut us, PONG, "2", s(now + 2));
        us.handle_timeout(s(now + 2));
        assert_eq!((us.state(), us.latency()), (State::Open, Some(Duration::from_secs(2))));
    }
}

// A clock that is not monotonic.

#[test]
fn now_going_backwards_ends_nothing_early() {
    let tells: [fn(&mut Connection); 3] = [
        |us| drop(they_say(us, TEXT, "x", s(0))),
        |us| us.handle_transmitted(1, s(0)),
        |us| {
            let _ = us.ping(b"x", s(0));
        },
    ];
    for tell in tells {
        // Heard at 12 s, and the next Ping is still on its way.
        let (mut us, payload) = pinged(Server);
        they_say(&mut us, PONG, payload, s(12));
        us.handle_timeout(s(20));
        they_say(&mut us, TEXT, "x", s(22));
        let before = us.until().unwrap();
        tell(&mut us);
        assert!(us.until().unwrap() >= before, "{:?} < {before:?}", us.until());
        us.handle_timeout(s(24));
        assert_eq!(us.state(), State::Open);
    }
    let (mut us, payload) = pinged(Server);
    they_say(&mut us, PONG, payload, s(3));
    assert_eq!(us.latency(), Some(Duration::ZERO));
    us.handle_timeout(s(0));
    assert_eq!((us.state(), us.queued()), (State::Open, 0));
}
