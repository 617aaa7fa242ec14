//! The blocking adapter at its edges, with one thread, and with a half where that is the same.
#![cfg(feature = "std")]

mod common;
mod edges_wire;

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::*;
use edges_wire::*;
use openline::Role::{Client, Server};
use openline::net::WebSocket;
use openline::{CloseCode, Error, Event, Keepalive, Message};

fn is_io<T: std::fmt::Debug>(result: &Result<T, Error>, kind: ErrorKind) -> bool {
    matches!(result, Err(Error::Io(error)) if error.kind() == kind)
}

/// Promise (`recv_timeout`): "waits for `limit` at the most ... `TimedOut` if no message came in that time". Instead the
/// limit is looked at only when a read brings nothing: a peer that pings without end makes it wait for ever.
#[test]
fn recv_timeout_ends_though_the_peer_pings_without_end() {
    let wire = Wire::new(|n| if n > 20_000 { Ok(vec![]) } else { Ok(frame(Client, PING, "ping")) }, |_, b| Ok(b.len()));
    let mut socket = wire.socket(Server, patient());
    let result = socket.recv_timeout(Duration::ZERO);
    let reads = wire.log().reads;
    assert!(matches!(result, Err(Error::TimedOut)), "{result:?} after {reads} reads");
}

/// The same of a half.
#[test]
fn recv_timeout_of_a_half_ends_though_the_peer_pings_without_end() {
    let wire = Wire::new(|n| if n > 20_000 { Ok(vec![]) } else { Ok(frame(Client, PING, "ping")) }, |_, b| Ok(b.len()));
    let (mut receiver, _sender) = wire.socket(Server, patient()).split().unwrap();
    let result = receiver.recv_timeout(Duration::ZERO);
    let reads = wire.log().reads;
    assert!(matches!(result, Err(Error::TimedOut)), "{result:?} after {reads} reads");
}

/// The same, with one message that never ends and is within its limit.
#[test]
fn recv_timeout_ends_though_a_message_drips() {
    let wire = Wire::new(
        |n| match n {
            1 => Ok(header(Client, BINARY, 1 << 20)),
            n if n > 20_000 => Ok(vec![]),
            _ => Ok(vec![7]),
        },
        |_, b| Ok(b.len()),
    );
    let mut socket = wire.socket(Server, patient());
    let result = socket.recv_timeout(Duration::ZERO);
    let reads = wire.log().reads;
    assert!(matches!(result, Err(Error::TimedOut)), "{result:?} after {reads} reads");
}

/// Promise: as above. Instead all that is queued is written first, however slowly the peer takes it: the write loop looks
/// at `Wants::until` and not at the caller's limit.
#[test]
fn recv_timeout_ends_though_the_peer_takes_a_byte_at_a_time() {
    let wire = Wire::new(
        |_| timed_out(),
        |_, _| {
            thread::sleep(Duration::from_millis(1));
            Ok(1)
        },
    );
    let mut socket = wire.socket(Server, patient());
    socket.feed(vec![0; 3000]).unwrap();
    let result = socket.recv_timeout(Duration::from_millis(10));
    assert!(matches!(result, Err(Error::TimedOut)));
    let writes = wire.log().writes;
    assert!(writes < 1000, "{writes} writes of 1 ms each within a limit of 10 ms");
}

/// Promise (manual): "No peer is given up for a missing Pong before the transport itself has said that nothing is there to
/// read." Instead EINTR, which a read with a timeout gets after every SIGSTOP/SIGCONT, counts as "nothing is there".
#[test]
fn an_interrupted_read_does_not_say_that_the_pong_is_missing() {
    let wire = Wire::new(
        |n| match n {
            1 => timed_out(),
            2 => Err(ErrorKind::Interrupted.into()),
            3 => Ok(frames(Client, [(PONG, &1_u64.to_be_bytes()[..]), (TEXT, b"alive")])),
            _ => Ok(vec![]),
        },
        |_, b| Ok(b.len()),
    );
    let mut config = openline::Config::default();
    config.keepalive = Some(Keepalive::new(Duration::ZERO, Duration::ZERO));
    let mut socket = wire.socket(Server, config);
    let result = socket.recv();
    assert!(matches!(&result, Ok(Some(message)) if *message == Message::from("alive")), "{result:?}");
}

/// Promise ("Non-blocking transports"): "A method that would have to wait returns `WouldBlock`". Instead the halves look up
/// every `nearest`, and for one below 128 ms a refusal counts as a timeout: `recv` runs in circles for ever.
#[test]
fn a_half_on_a_non_blocking_transport_does_not_run_in_circles() {
    let wire = Wire::new(|n| if n > 20_000 { Ok(vec![]) } else { would_block() }, |_, b| Ok(b.len()));
    let mut config = patient();
    config.close_timeout = Duration::from_millis(30);
    let (mut receiver, _sender) = wire.socket(Server, config).split().unwrap();
    let result = receiver.recv();
    let reads = wire.log().reads;
    assert!(is_io(&result, ErrorKind::WouldBlock), "{result:?} after {reads} reads");
}

/// The same with one thread: while a deadline is near, it asks again and again instead of returning.
#[test]
fn a_non_blocking_transport_is_not_asked_again_and_again_before_a_deadline() {
    let wire = Wire::new(|_| would_block(), |_, b| Ok(b.len()));
    let mut config = patient();
    config.keepalive = Some(Keepalive::new(Duration::from_millis(30), Duration::from_secs(3600)));
    let mut socket = wire.socket(Server, config);
    let result = socket.recv();
    let reads = wire.log().reads;
    assert!(is_io(&result, ErrorKind::WouldBlock) && reads < 10, "{result:?} after {reads} reads");
}

/// Promise (`send`): "If it is closing, what was accepted before has left when this returns, or the time to close is over:
/// a socket that is dropped then loses nothing", and "A method that would have to wait returns `WouldBlock`". Instead it
/// says `Closed` at once, the final word for a loop that sends, while what was accepted still waits.
#[test]
fn a_non_blocking_send_that_is_refused_has_not_left_anything_behind() {
    let wire =
        Wire::new(|n| if n == 1 { Ok(close_frame(Client, 1000, "")) } else { would_block() }, |_, _| would_block());
    let mut socket = wire.socket(Server, patient());
    socket.feed("last words").unwrap();
    assert!(is_io(&socket.recv(), ErrorKind::WouldBlock));
    let result = socket.send("more");
    assert!(
        socket.queued() == 0 || is_io(&result, ErrorKind::WouldBlock),
        "{result:?}, {} bytes wait",
        socket.queued()
    );
}

/// Promise ("Non-blocking transports"): "nothing is lost, and calling it again goes on where it was". Instead a shutdown
/// that is refused (close_notify of a TLS stream whose socket is full) is done with: the server's end of the connection never
/// comes, and the client waits out its time.
#[test]
fn a_shutdown_that_is_refused_is_tried_again() {
    let wire =
        Wire::new(|n| if n == 1 { Ok(close_frame(Client, 1000, "")) } else { would_block() }, |_, b| Ok(b.len()))
            .on_shutdown(|n| if n == 1 { would_block() } else { Ok(()) });
    let mut socket = wire.socket(Server, patient());
    for _ in 0..5 {
        assert!(is_io(&socket.recv(), ErrorKind::WouldBlock));
    }
    let log = wire.log();
    assert!(log.shut_down, "tried {} times", log.shutdowns);
}

/// Promise (manual, "Closing"): the time limit begins "not before this end has tried to answer, if the application was busy
/// meanwhile". Instead a Close frame that is read ahead by a blocked send counts from when its bytes were read: the
/// application was busy with the message before it, and neither its answer nor the Close frame is sent.
#[test]
fn a_close_read_ahead_late_has_its_time_from_then() {
    let wire = Wire::new(
        |n| match n {
            1 => Ok([frame(Client, TEXT, "work"), close_frame(Client, 1000, "")].concat()),
            _ => timed_out(),
        },
        |n, b| if n <= 3 { timed_out() } else { Ok(b.len()) },
    );
    let mut config = patient();
    config.close_timeout = Duration::from_millis(200);
    let mut socket = wire.socket(Server, config);
    assert_eq!(socket.recv().unwrap(), Some(Message::from("work")));
    thread::sleep(Duration::from_millis(400));
    let sent = socket.send("answer");
    let end = socket.recv();
    let said = parse(Server, &wire.log().written);
    assert!(said.len() == 2, "said {said:?}; sent: {sent:?}, then {end:?}, {:?}", socket.closed());
}

/// The same for a peer that breaks the protocol behind the message: it is never told, nor is the answer sent.
#[test]
fn a_fault_read_ahead_late_has_its_time_from_then() {
    let wire = Wire::new(
        |n| match n {
            1 => Ok([frame(Client, TEXT, "work"), frame(Client, 0x83, "")].concat()),
            _ => timed_out(),
        },
        |n, b| if n <= 3 { timed_out() } else { Ok(b.len()) },
    );
    let mut config = patient();
    config.close_timeout = Duration::from_millis(200);
    let mut socket = wire.socket(Server, config);
    assert_eq!(socket.recv().unwrap(), Some(Message::from("work")));
    thread::sleep(Duration::from_millis(400));
    let sent = socket.send("answer");
    let end = socket.recv();
    let said = parse(Server, &wire.log().written);
    assert!(said.len() == 2, "said {said:?}; sent: {sent:?}, then {end:?}, {:?}", socket.closed());
}

/// Promise (manual, "Back-pressure"): "While they wait they go on reading until one message is at hand, so that two ends that
/// send to each other at once both get on." Instead nothing is read if something is held, be it half a header: two such
/// ends wait for each other for ever (or until `stall_timeout`).
#[test]
fn a_blocked_send_reads_on_behind_a_leftover_that_is_no_message() {
    let theirs = frame(Client, TEXT, "theirs");
    let (front, rest) = (theirs[..3].to_vec(), theirs[3..].to_vec());
    let read = Arc::new(AtomicUsize::new(0));
    let (reads, seen) = (Arc::clone(&read), Arc::clone(&read));
    // The peer takes ours when its own has been taken.
    let wire = Wire::new(
        move |n| {
            reads.store(n, Ordering::SeqCst);
            if n == 1 { Ok(rest.clone()) } else { timed_out() }
        },
        move |n, b| match seen.load(Ordering::SeqCst) {
            0 if n > 1000 => Err(io::Error::other("1000 attempts to write and none to read: a deadlock")),
            0 => timed_out(),
            _ => Ok(b.len()),
        },
    );
    let mut socket = WebSocket::new(wire.clone(), upgrade(Server), patient(), &front);
    socket.send("ours").unwrap();
    assert_eq!(socket.recv().unwrap(), Some(Message::from("theirs")));
}

/// Promise: "`flush` tells whether all has left"; `into_parts` gives "the two parts, for another loop". Instead that the
/// transport has not passed on what it took is forgotten between the two, and `flush` says that all has left.
#[test]
fn parts_that_are_put_together_again_know_what_was_not_flushed() {
    let wire =
        Wire::new(|_| would_block(), |_, b| Ok(b.len())).on_flush(|n| if n <= 2 { would_block() } else { Ok(()) });
    let mut socket = wire.socket(Server, patient());
    socket.send("x").unwrap();
    assert_eq!(wire.log().flushed, 0);
    let (io, connection, epoch) = socket.into_parts();
    let mut socket = WebSocket::from_connection(io, connection, epoch);
    socket.flush().unwrap();
    assert_eq!(wire.log().flushed, 1);
}

/// Promise (manual, "Closing"): "A send of an adapter that fails because the connection is closing returns when what was
/// accepted before has left". Instead it also waits for a Pong behind our own Close frame, which is never sent once the peer
/// has said Close: so it waits out the whole `close_timeout`.
#[test]
fn a_send_that_is_refused_does_not_wait_for_a_pong_that_nobody_will_send() {
    let wire = Wire::new(
        |n| match n {
            1 => Ok([frame(Server, PING, "there?"), close_frame(Server, 1000, "")].concat()),
            _ => timed_out(),
        },
        |_, b| Ok(b.len()),
    );
    let mut config = patient();
    config.close_timeout = Duration::from_secs(2);
    let (mut receiver, mut sender) = wire.socket(Client, config).split().unwrap();
    sender.close(CloseCode::NORMAL, "").unwrap();
    assert!(matches!(receiver.event().unwrap(), Some(Event::Ping(_))));
    assert!(matches!(receiver.event().unwrap(), Some(Event::Close(_))));
    let before = wire.log().reads;
    let result = sender.send("late");
    assert!(matches!(&result, Err(error) if error.is_closed()), "{result:?}");
    let reads = wire.log().reads - before;
    assert!(reads < 100, "all had left, and {reads} reads were made until the time to close was over");
}

/// However a connection ends, and whoever has it then: its transport is shut down, and once that has been done, not again. A
/// shutdown that cannot be done now is made again, also by a socket that was made of the parts of the first.
#[test]
fn a_transport_is_shut_down_once_though_its_socket_is_taken_apart() {
    let ends: [(&str, Vec<u8>); 4] = [
        ("a Close frame", close_frame(Client, 1000, "")),
        ("nothing", vec![]),
        ("a fault", frame(Server, TEXT, "not masked")),
        ("a fault behind a message", [frame(Client, TEXT, "hello"), frame(Server, TEXT, "not masked")].concat()),
    ];
    for (end, said) in &ends {
        for refused in 0..6 {
            for (moved, split) in [(0, false), (1, false), (2, false), (0, true), (1, true)] {
                let said = said.clone();
                let wire = Wire::new(move |n| Ok(if n == 1 { said.clone() } else { vec![] }), |_, b| Ok(b.len()))
                    .on_shutdown(move |n| if n <= refused { would_block() } else { Ok(()) });
                let mut socket = wire.socket(Server, patient());
                for call in 0..12 {
                    if moved > 0 && call % moved == 0 {
                        let (io, connection, epoch) = socket.into_parts();
                        socket = WebSocket::from_connection(io, connection, epoch);
                    }
                    if split {
                        let (mut receiver, sender) = socket.split().unwrap();
                        drop(receiver.recv());
                        socket = receiver.reunite(sender).unwrap();
                    } else {
                        drop(socket.recv());
                    }
                }
                let log = wire.log();
                let (shut_down, tried) = (log.shut_down, log.shutdowns);
                let how = format!("{end}, refused {refused} times, moved with each {moved}. call, split: {split}");
                assert!(shut_down && tried == refused + 1, "{how}: {shut_down} after {tried}");
            }
        }
    }
}

/// Promise (`Driver::owes_shutdown`, `let_go`): "If it is over, the transport is shut down: the program may keep the socket, and
/// the peer waits for the end." Instead a send that finds out that it is over returns before that: a program that only sends,
/// and keeps its sockets, leaves its peers without an end.
#[test]
fn a_send_that_finds_that_it_is_over_shuts_the_transport_down() {
    let wire = Wire::new(|_| timed_out(), |_, _| timed_out());
    let mut config = patient();
    config.stall_timeout = Some(Duration::ZERO);
    let mut socket = wire.socket(Server, config);
    let result = socket.send("hello");
    assert!(matches!(result, Err(Error::StallTimeout)), "{result:?}");
    assert!(socket.closed().is_some() && wire.log().shut_down);
}

/// "Receiving also writes what is queued": over a non-blocking transport, a Pong that waited for room leaves before
/// `recv` says that it would block.
#[test]
fn a_late_pong_leaves_before_a_receive_would_block() {
    let pings = frames(Client, [b'a', b'b'].map(|i| (PING, vec![i; 125])));
    let writable = Arc::new(AtomicUsize::new(0));
    let (may_write, reads) = (writable.clone(), writable.clone());
    let wire = Wire::new(
        move |_| match reads.compare_exchange(1, 2, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => Ok(pings.clone()),
            Err(_) => Err(ErrorKind::WouldBlock.into()),
        },
        move |_, b| if may_write.load(Ordering::SeqCst) > 2 { Ok(b.len()) } else { Err(ErrorKind::WouldBlock.into()) },
    );
    let mut socket = wire.socket(Server, patient());
    socket.feed(vec![7; 5000]).unwrap();
    // It takes some calls until the transport is known not to wait.
    for phase in [0, 0, 0, 0, 0, 0, 1, 3] {
        let _ = writable.compare_exchange(2, 3, Ordering::SeqCst, Ordering::SeqCst);
        if phase == 1 {
            writable.store(1, Ordering::SeqCst);
        }
        let result = socket.recv();
        assert!(is_io(&result, ErrorKind::WouldBlock), "{result:?}");
    }
    let said = parse(Server, &wire.log().written);
    assert_eq!(said.iter().map(|(opcode, _)| *opcode).collect::<Vec<_>>(), [BINARY, PONG, PONG]);
}
