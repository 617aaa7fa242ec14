//! Any order of calls: a host that is careful with its bytes and careless with everything else.

mod common;

use std::time::Duration;

use common::*;
use openline::Role::{Client, Server};
use openline::{Accept, CloseCode, Config, Connection, Event, Reading, Response, State};

struct Rng(u64);
impl Rng {
    fn next(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Messages come whole, once, and in order, however `receive`, `receive_owned`, `receive_copied`, `receive_ahead`, `hold`,
/// `receive_space` and `set_reading` are mixed.
#[test]
fn messages_keep_their_order_in_any_mix() {
    for seed in 1..400_u64 {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let role = if rng.next(2) == 0 { Client } else { Server };
        let peer = role.peer();
        let mut us = open(role);
        let mut wire = vec![];
        let mut expected: Vec<Event<'static>> = vec![];
        for n in 0..1 + rng.next(12) {
            let len = [3, 40, 300, 20_000, 70_000][rng.next(5) as usize];
            match rng.next(4) {
                0 => {
                    let body = format!("{n}").repeat(len.min(300));
                    wire.extend(frame(peer, TEXT, &body));
                    expected.push(text(&body));
                }
                1 => {
                    let body = vec![n as u8; len];
                    wire.extend(frame(peer, BINARY, &body));
                    expected.push(binary(body));
                }
                2 => {
                    let body = vec![n as u8; len];
                    let cut = rng.next(len as u64) as usize;
                    wire.extend(frame(peer, BINARY_BEGINS, &body[..cut]));
                    wire.extend(frame(peer, PING, "p"));
                    wire.extend(frame(peer, ENDS, &body[cut..]));
                    expected.push(binary(body));
                }
                _ => wire.extend(frame(peer, PING, format!("ping {n}"))),
            }
        }
        let mut got: Vec<Event<'static>> = vec![];
        let mut rest: Vec<u8> = vec![];
        let mut at = 0;
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < 100_000, "seed {seed}: circles");
            if us.reading() != Reading::Events && rng.next(4) == 0 || steps > 5000 {
                us.set_reading(Reading::Events, s(0));
            }
            let wants = us.wants().unwrap();
            // A careful host reads only when all has been taken, or is told to.
            if rest.is_empty()
                && wants.read
                && (us.reading() == Reading::OneAhead || !us.has_ahead())
                && at < wire.len()
            {
                let some = 1 + rng.next(30_000) as usize;
                if let Some(space) = us.receive_space().filter(|_| rng.next(2) == 0) {
                    let len = space.len().min(wire.len() - at).min(some);
                    space[..len].copy_from_slice(&wire[at..at + len]);
                    us.handle_filled(len, s(0));
                    at += len;
                } else {
                    let end = wire.len().min(at + some);
                    rest = wire[at..end].to_vec();
                    at = end;
                }
            }
            let mut bytes = std::mem::take(&mut rest);
            match us.reading() {
                Reading::Events => {
                    let event = match rng.next(6) {
                        0 => {
                            us.set_reading(Reading::OneAhead, s(0));
                            rest = bytes;
                            continue;
                        }
                        1 => {
                            us.hold(&bytes);
                            continue;
                        }
                        2 => {
                            let mut input = &bytes[..];
                            let event = us.receive_copied(&mut input, s(0)).unwrap();
                            rest = input.to_vec();
                            event
                        }
                        3 => {
                            let mut input = &mut bytes[..];
                            let event = us.receive_owned(&mut input, s(0)).unwrap();
                            rest = input.to_vec();
                            event
                        }
                        _ => {
                            let mut input = &mut bytes[..];
                            let event = us.receive(&mut input, s(0)).unwrap().map(Event::into_owned);
                            rest = input.to_vec();
                            event
                        }
                    };
                    let none = event.is_none();
                    got.extend(event.filter(|event| matches!(event, Event::Message(_))));
                    if none {
                        assert!(rest.is_empty() && !us.has_ahead(), "seed {seed}");
                        if at == wire.len() {
                            break;
                        }
                    }
                }
                _ => {
                    let mut input = &mut bytes[..];
                    us.receive_ahead(&mut input, s(0)).unwrap();
                    rest = input.to_vec();
                    if !rest.is_empty() && rng.next(2) == 0 {
                        us.hold(&rest);
                        rest.clear();
                    }
                }
            }
            transmit(&mut us, s(0));
        }
        assert!(got == expected, "seed {seed}");
    }
}

/// No panic. A deadline is never in the past after `handle_timeout`; who is opening or closing has a deadline.
#[test]
fn nothing_panics_and_a_clock_always_runs() {
    let mut failures = std::collections::BTreeMap::<String, (u64, u64)>::new();
    for seed in 1..15_000_u64 {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let role = if rng.next(2) == 0 { Client } else { Server };
        let peer = role.peer();
        let mut now = s(0);
        let mut us = match rng.next(3) {
            0 => Connection::server(&openline::Server::default(), now),
            1 => {
                let request = openline::ClientRequest::new("ws://h/").unwrap();
                Connection::client(&openline::Client::new(request), [7; 32], now)
            }
            _ => connection(role, Config::default()),
        };
        let mut log = vec![];
        for _ in 0..40 {
            let op = rng.next(24);
            log.push(op);
            if rng.next(4) == 0 {
                now += Duration::from_secs(rng.next(20));
            }
            match op {
                0 => drop(us.send("hello")),
                1 => drop(us.ping(b"x", now)),
                2 => drop(us.close(CloseCode::NORMAL, "", now)),
                3 => us.handle_eof(now),
                4 => us.handle_write_failed(now),
                5 => us.handle_blocked(now),
                6 | 7 => us.handle_transmitted(rng.next(200) as usize, now),
                8 => us.handle_late(now),
                9 => us.set_reading([Reading::Events, Reading::OneAhead, Reading::Paused][rng.next(3) as usize], now),
                10 => us.hold(&frame(peer, TEXT, "held")[..rng.next(6) as usize]),
                11 => drop(us.take_transmit(rng.next(100) as usize)),
                12 => drop(us.accept(Accept::default(), now)),
                13 if rng.next(4) == 0 => drop(us.reject(Response::new(404), now)),
                14 if rng.next(4) == 0 => us.handle_reset(),
                15 if rng.next(4) == 0 => us.handle_shutdown(),
                16 => drop(us.send_fragment("x", rng.next(2) == 0)),
                17 => us.handle_filled(rng.next(300) as usize, now),
                18..=22 => {
                    let mut bytes = match rng.next(8) {
                        0 => REQUEST.to_vec(),
                        1 => frame(peer, PING, "p"),
                        2 => close_frame(peer, 1000, "x"),
                        3 => frame(peer, BINARY, vec![1; 40_000])[..20_000].to_vec(),
                        4 => frame(peer, BINARY, vec![1; 40_000])[20_000..].to_vec(),
                        5 => frame(peer, PONG, [0, 0, 0, 0, 0, 0, 0, 1]),
                        6 => vec![],
                        _ => frame(peer, TEXT, "t"),
                    };
                    match op {
                        18 => drop(us.receive(&mut &mut bytes[..], now)),
                        19 => drop(us.receive_owned(&mut &mut bytes[..], now)),
                        20 => drop(us.receive_copied(&mut &bytes[..], now)),
                        21 => drop(us.receive_chunk(&mut &mut bytes[..], now)),
                        _ => drop(us.receive_ahead(&mut &mut bytes[..], now)),
                    }
                }
                _ => drop(us.receive_space().map(|space| space.len())),
            }
            let opening = us.state() == State::Opening;
            us.handle_timeout(now);
            let shown = format!("{us:?}").split(['{', '(']).nth(1).unwrap().chars().take(60).collect::<String>();
            let state = us.state();
            let mut fail = |what: &str| {
                let entry = failures.entry(format!("{what} {state:?} op {op} {shown}")).or_insert((seed, 0));
                entry.1 += 1;
            };
            match us.wants() {
                None => {
                    if us.state() != State::Closed {
                        fail("over but not closed");
                    }
                }
                Some(wants) => {
                    // An answer to a request that is over time is offered once.
                    if wants.until.is_some_and(|until| until <= now) {
                        us.handle_timeout(now);
                        if us.wants().and_then(|wants| wants.until).is_some_and(|until| until <= now) {
                            fail("deadline in the past twice");
                        } else if !opening {
                            fail("deadline in the past");
                        }
                    }
                    if wants.until.is_none() {
                        fail("no deadline");
                    }
                }
            }
        }
    }
    for (what, (seed, count)) in &failures {
        println!("{count:6} {what} (seed {seed})");
    }
    assert!(failures.is_empty());
}
