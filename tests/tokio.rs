//! The tokio adapter: every conversation over every kind of transport, futures that
//! are dropped half-way, deadlines on a virtual clock, and opening handshakes.

#![cfg(feature = "tokio")]

mod common;
#[path = "common/line.rs"]
mod line;

use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::talks::{Cue, Talk, talks, told};
use common::*;
use line::*;
use openline::Role::{Client, Server};
use openline::tokio::WebSocket;
use openline::{Cause, CloseCode, Config, Error, Event, Keepalive, Message, ProtocolError, SendError, State};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

// Conversations.

async fn act<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocket<S>, cue: Cue) -> Result<String, Error> {
    let done = match cue {
        Cue::Recv => return Ok(socket.recv().await?.map_or("end".into(), |message| told(&message))),
        Cue::Send(text) => socket.send(text).await,
        Cue::Feed(text) => socket.feed(text).await,
        Cue::Fragment(text, fin) => socket.send_fragment(text, fin).await,
        Cue::Ping(payload) => socket.ping(payload.as_bytes()).await,
        Cue::Flush => socket.flush().await,
        Cue::Close(code, reason) => socket.close(CloseCode::new(code), reason).await,
    };
    done.map(|()| "ok".into())
}

async fn check(talk: &Talk, line: &Line, how: &str) {
    let (name, role) = (talk.name, talk.role);
    let mut socket = socket(role, line.clone(), quiet());
    for (cue, expected) in &talk.cues {
        let answer = in_time(act(&mut socket, *cue)).await.unwrap_or_else(|error| chain(&error));
        assert_eq!(answer, *expected, "{role:?}, {name}: {cue:?} {how}");
    }
    assert_eq!(line.said(role), talk.says, "{role:?}, {name} {how}");
    if socket.closed().is_some() {
        // No call waits for the shutdown alone; one that had to wait is done with the next.
        for _ in 0..2 {
            assert!(in_time(socket.recv()).await.unwrap().is_none(), "{role:?}, {name} {how}");
        }
    }
    let shut_down = line.script().shut_down;
    let closed = ended(socket.closed()).map(|(code, cause)| (code, cause, shut_down));
    assert_eq!(closed, talk.closed, "{role:?}, {name} {how}");
}

#[tokio::test(start_paused = true)]
async fn every_talk_goes_the_same_over_every_transport() {
    for talk in talks() {
        for hiccup in [false, true] {
            for cut in [1, 2, 3, 7, usize::MAX] {
                for take in [1, 3, 0] {
                    for vectored in [false, true] {
                        let line = Line::hearing(talk.hears.chunks(cut.min(talk.hears.len()).max(1)));
                        line.change(|script| (script.hiccup, script.take, script.vectored) = (hiccup, take, vectored));
                        let how = format!("in reads of {cut}, writes of {take}, hiccup {hiccup}, vectored {vectored}");
                        check(&talk, &line, &how).await;
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn what_was_read_with_the_handshake_comes_first() {
    for role in BOTH {
        let bytes = frames(role.peer(), [(TEXT, "one"), (TEXT, "two")]);
        for cut in 0..=bytes.len() {
            let (leftover, rest) = bytes.split_at(cut);
            let mut socket = WebSocket::new(Line::silent([rest]), upgrade(role), quiet(), leftover);
            assert_eq!(socket.recv().await.unwrap(), Some(Message::from("one")));
            assert_eq!(socket.recv().await.unwrap(), Some(Message::from("two")));
        }
    }
}

#[tokio::test]
async fn all_that_one_read_provokes_leaves_in_one_write() {
    for role in BOTH {
        let heard = frames(role.peer(), [(PING, "a"), (TEXT, "b"), (TEXT, "c"), (PING, "d"), (TEXT, "e")]);
        let line = Line::hearing([heard]);
        let mut socket = socket(role, line.clone(), quiet());
        while let Some(message) = socket.recv().await.unwrap() {
            assert!(line.script().written.is_empty());
            socket.feed(message).await.unwrap();
        }
        assert_eq!(line.script().sizes.len(), 1);
        assert_eq!(line.said(role).len(), 5);
    }
}

#[tokio::test]
async fn a_long_owned_message_is_written_from_where_it_lies_with_its_header() {
    let line = Line::default();
    line.change(|script| script.vectored = true);
    let mut socket = socket(Server, line.clone(), quiet());
    socket.send(vec![7; 100_000]).await.unwrap();
    assert_eq!(line.script().sizes, [100_010]);
    assert_eq!(line.said(Server), [(BINARY, vec![7; 100_000])]);
}

#[tokio::test]
async fn sent_means_taken_and_flushed() {
    for role in BOTH {
        let line = Line::none();
        line.change(|script| script.flush_blocked = true);
        let mut socket = socket(role, line.clone(), quiet());
        socket.feed("one").await.unwrap();
        assert!(line.script().written.is_empty());
        let mut sending = Box::pin(socket.send("two"));
        assert!(waits(&mut sending).await);
        assert_eq!(line.said(role).len(), 2, "taken");
        line.unblock();
        in_time(sending).await.unwrap();
        let script = line.script();
        assert_eq!(script.flushed, script.written.len());
        assert_eq!(script.sizes.len(), 1);
    }
}

#[tokio::test]
async fn a_pong_leaves_though_the_application_only_receives() {
    for role in BOTH {
        let line = Line::none();
        let mut socket = socket(role, line.clone(), quiet());
        let mut receiving = Box::pin(socket.recv());
        assert!(waits(&mut receiving).await);
        line.say(frame(role.peer(), PING, "there?"));
        assert!(waits(&mut receiving).await);
        assert_eq!(line.said(role), [(PONG, b"there?".into())]);
        let script = line.script();
        assert_eq!(script.flushed, script.written.len());
    }
}

// Futures that are dropped half-way, after every number of polls.

/// A transport that takes and gives one byte at a time, and refuses every other call.
fn tiny(heard: &[u8]) -> Line {
    let line = Line::hearing(heard.chunks(1));
    line.change(|script| (script.hiccup, script.take) = (true, 1));
    line
}

fn mixed(peer: openline::Role) -> Vec<u8> {
    let list = [(TEXT, "one"), (PING, "p"), (TEXT_BEGINS, "tw"), (PING, "q"), (ENDS, "o"), (BINARY, ""), (TEXT, "é")];
    [frames(peer, list), close_frame(peer, 1000, "bye")].concat()
}

#[tokio::test(start_paused = true)]
async fn a_dropped_recv_loses_nothing() {
    for role in BOTH {
        let heard = mixed(role.peer());
        for polls in 1..heard.len() * 2 {
            let line = tiny(&heard);
            let mut socket = socket(role, line.clone(), quiet());
            let mut got = vec![];
            loop {
                match only(polls, socket.recv()).await {
                    Some(Ok(Some(message))) => got.push(message),
                    Some(end) => break assert!(end.unwrap().is_none()),
                    None => {}
                }
            }
            let expected = [Message::from("one"), "two".into(), (&b""[..]).into(), "é".into()];
            assert_eq!(got, expected, "{role:?}, dropped after {polls} polls");
            let said = line.said(role);
            assert_eq!(said[..2], [(PONG, b"p".into()), (PONG, b"q".into())]);
            assert_eq!((said.len(), said[2].0), (3, CLOSE));
            assert_eq!(ended(socket.closed()), Some((1000, Cause::Clean)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_event_loses_nothing() {
    for role in BOTH {
        let heard = mixed(role.peer());
        for polls in 1..heard.len() * 2 {
            let mut socket = socket(role, tiny(&heard), quiet());
            let mut got = vec![];
            loop {
                match only(polls, socket.event()).await {
                    Some(Ok(Some(event))) => got.push(event.into_owned()),
                    Some(end) => break assert!(end.unwrap().is_none()),
                    None => {}
                }
            }
            let Some(Event::Close(_)) = got.pop() else { panic!("no Close at the end") };
            let expected = [text("one"), ping("p"), ping("q"), text("two"), binary(""), text("é")];
            assert_eq!(got, expected, "{role:?}, dropped after {polls} polls");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_recv_chunk_loses_nothing() {
    for role in BOTH {
        let heard = mixed(role.peer());
        for polls in 1..heard.len() * 2 {
            let mut socket = socket(role, tiny(&heard), quiet());
            let (mut got, mut whole) = (vec![], vec![]);
            loop {
                match only(polls, socket.recv_chunk()).await {
                    Some(Ok(Some(chunk))) => {
                        assert_eq!(chunk.first, whole.is_empty());
                        whole.push(chunk.data.as_bytes().to_vec());
                        if chunk.last {
                            got.push(whole.concat());
                            whole.clear();
                        }
                    }
                    Some(end) => break assert!(end.unwrap().is_none()),
                    None => {}
                }
            }
            let expected = [b"one".to_vec(), b"two".into(), b"".into(), "é".into()];
            assert_eq!(got, expected, "{role:?}, dropped after {polls} polls");
        }
    }
}

const WORDS: [&str; 5] = ["alpha", "", "gamma gamma", "d", "epsilon"];

/// Every future of the list is polled so often, and dropped; then all is flushed.
/// What is on the wire, and which were said to be done.
async fn drop_senders(role: openline::Role, polls: usize, high_water: usize, flush: bool) -> (Vec<String>, Vec<bool>) {
    let line = tiny(&mixed(role.peer()));
    let mut config = quiet();
    config.high_water = high_water;
    let mut socket = socket(role, line.clone(), config);
    let mut done = vec![];
    for word in WORDS {
        let sent = match flush {
            true => only(polls, socket.send(word)).await,
            false => only(polls, socket.feed(word)).await,
        };
        done.push(sent.is_some_and(|sent| sent.is_ok()));
    }
    while only(polls, socket.flush()).await.is_none() {}
    let said = line.said(role).into_iter().filter(|(first, _)| *first == TEXT);
    (said.map(|(_, payload)| String::from_utf8(payload).unwrap()).collect(), done)
}

#[tokio::test(start_paused = true)]
async fn a_dropped_send_is_whole_or_not_at_all() {
    for role in BOTH {
        for flush in [false, true] {
            for polls in 1..60 {
                let (said, _) = drop_senders(role, polls, 64 * 1024, flush).await;
                assert_eq!(said, WORDS, "{role:?}, dropped after {polls} polls: there was room for all");

                let (said, done) = drop_senders(role, polls, 1, flush).await;
                let mut rest = WORDS.iter().zip(done);
                let mut missed = vec![];
                for word in &said {
                    loop {
                        let (next, done) = rest.next().expect("in order, each once");
                        if next == word {
                            break;
                        }
                        missed.push(done);
                    }
                }
                missed.extend(rest.map(|(_, done)| done));
                assert!(!missed.contains(&true), "{role:?}: {polls} polls, said {said:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_that_was_never_polled_does_nothing() {
    let line = Line::none();
    let mut socket = socket(Server, line.clone(), quiet());
    drop(socket.send("no"));
    drop(socket.close(CloseCode::NORMAL, ""));
    socket.flush().await.unwrap();
    assert!(line.script().written.is_empty());
    assert_eq!(socket.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_close_goes_on() {
    for role in BOTH {
        let heard = mixed(role.peer());
        for polls in 1..heard.len() * 2 {
            let line = tiny(&heard);
            let mut socket = socket(role, line.clone(), quiet());
            socket.feed("last").await.unwrap();
            loop {
                if let Some(closed) = only(polls, socket.close(CloseCode::new(1001), "gone")).await {
                    break closed.unwrap();
                }
            }
            // §5.5.2: Pings are answered until their Close frame comes.
            let mut said = line.said(role);
            said.retain(|(first, _)| *first != PONG);
            let expected = [(TEXT, b"last".to_vec()), (CLOSE, [&1001_u16.to_be_bytes()[..], b"gone"].concat())];
            assert_eq!(said, expected, "{role:?}, dropped after {polls} polls");
            assert_eq!(ended(socket.closed()), Some((1000, Cause::Clean)));
        }
        // One poll is enough for the Close frame, and recv can take over.
        let line = tiny(&heard);
        let mut socket = socket(role, line.clone(), quiet());
        assert!(only(1, socket.close(CloseCode::NORMAL, "")).await.is_none());
        assert_eq!(socket.state(), State::Closing);
        while in_time(socket.recv()).await.unwrap().is_some() {}
        assert_eq!(line.said(role).iter().filter(|(first, _)| *first == CLOSE).count(), 1);
        assert_eq!(ended(socket.closed()), Some((1000, Cause::Clean)));
    }
}

#[tokio::test(start_paused = true)]
async fn calls_of_all_kinds_are_dropped_in_turn() {
    for role in BOTH {
        let heard = mixed(role.peer());
        for polls in 1..12 {
            let line = tiny(&heard);
            let mut socket = socket(role, line.clone(), quiet());
            let (mut got, mut i) = (vec![], 0);
            let said = loop {
                i += 1;
                let over = match i % 4 {
                    0 => only(polls, socket.flush()).await.is_some_and(|flushed| flushed.is_err()),
                    1 if i < 200 => {
                        only(polls, socket.send(&*format!("{i}"))).await;
                        false
                    }
                    2 if i < 200 => {
                        only(polls, socket.ping(b"our ping")).await;
                        false
                    }
                    _ => match only(polls, socket.recv()).await {
                        Some(Ok(Some(message))) => {
                            got.push(message);
                            false
                        }
                        Some(Ok(None)) => true,
                        Some(Err(error)) => panic!("{error}"),
                        None => false,
                    },
                };
                if over {
                    break line.said(role);
                }
            };
            assert_eq!(got, [Message::from("one"), "two".into(), (&b""[..]).into(), "é".into()], "{polls} polls");
            let numbers: Vec<u32> = said
                .iter()
                .filter(|(first, _)| *first == TEXT)
                .map(|(_, payload)| std::str::from_utf8(payload).unwrap().parse().unwrap())
                .collect();
            assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
            assert_eq!(said.iter().filter(|(first, _)| *first == CLOSE).count(), 1);
        }
    }
}

// Back-pressure, and both ends at once.

#[tokio::test(start_paused = true)]
async fn feed_waits_at_high_water_until_the_peer_takes() {
    for role in BOTH {
        let line = Line::none();
        line.change(|script| script.blocked = true);
        let mut config = quiet();
        config.high_water = 100;
        let mut socket = socket(role, line.clone(), config);
        let mut sent = vec![];
        while only(5, socket.feed("0123456789")).await.is_some() {
            sent.push((TEXT, b"0123456789".to_vec()));
        }
        let each = frame(role, TEXT, "0123456789").len();
        assert_eq!(sent.len(), 100_usize.div_ceil(each));
        let mut feeding = Box::pin(socket.feed("last"));
        assert!(waits(&mut feeding).await);
        line.unblock();
        in_time(feeding).await.unwrap();
        socket.flush().await.unwrap();
        sent.push((TEXT, b"last".into()));
        assert_eq!(line.said(role), sent);
    }
}

#[tokio::test]
async fn without_any_room_messages_leave_one_by_one() {
    let mut config = quiet();
    config.high_water = 0;
    let line = Line::none();
    let mut socket = socket(Server, line.clone(), config);
    for text in ["one", "two"] {
        assert_eq!(socket.has_room(), text == "one", "there is room if nothing waits");
        soon(socket.feed(text)).await.unwrap();
    }
    assert_eq!(line.said(Server), [(TEXT, b"one".into())]);
}

#[tokio::test(start_paused = true)]
async fn one_message_is_read_ahead_while_writing_is_blocked_and_no_more() {
    for role in BOTH {
        let line = Line::silent((0..3).map(|i| frame(role.peer(), TEXT, format!("{i}"))));
        line.change(|script| script.blocked = true);
        let mut socket = socket(role, line.clone(), quiet());
        let mut sending = Box::pin(socket.send("hello"));
        assert!(waits(&mut sending).await);
        assert_eq!(line.script().reads.len(), 2);
        line.unblock();
        in_time(sending).await.unwrap();
        for i in 0..3 {
            assert_eq!(socket.recv().await.unwrap(), Some(Message::from(format!("{i}"))));
        }
    }
}

const LONG: usize = 8 * 1024 * 1024;

#[tokio::test]
async fn two_ends_that_send_first_do_not_wait_for_each_other() {
    for capacity in [1000, 65_536] {
        let (client, server) = duplex(capacity);
        let ends = [socket(Client, client, quiet()), socket(Server, server, quiet())].map(|mut socket| {
            tokio::spawn(async move {
                socket.send(vec![1; LONG]).await.unwrap();
                assert!(socket.recv().await.unwrap() == Some(Message::from(vec![1; LONG])));
                socket.close(CloseCode::NORMAL, "").await.unwrap();
                assert!(socket.closed().unwrap().is_clean());
            })
        });
        for end in ends {
            soon(end).await.unwrap();
        }
    }
}

// Deadlines, on a virtual clock.

/// That a deadline came when it should: the timer's grain is a millisecond.
fn assert_after(begun: Instant, seconds: u64) {
    let passed = begun.elapsed();
    let expected = Duration::from_secs(seconds);
    assert!(expected <= passed && passed < expected + Duration::from_millis(10), "{passed:?}, not {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_silent_is_pinged_and_then_given_up() {
    for role in BOTH {
        let (line, begun) = (Line::none(), Instant::now());
        let mut socket = socket(role, line.clone(), Config::default());
        assert!(matches!(in_time(socket.recv()).await, Err(Error::PongTimeout)));
        assert_after(begun, 45);
        assert_eq!(in_time(socket.recv()).await.unwrap(), None);
        assert_eq!(ended(socket.closed()), Some((1006, Cause::PongTimeout)));
        assert_eq!(line.said(role), [(PING, 1_u64.to_be_bytes().into())]);
        assert!(line.script().shut_down);
        assert!(matches!(socket.send("late").await, Err(Error::Send(SendError::Closed))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_lives_and_its_latency_is_known() {
    let (client, server) = duplex(100);
    let mut client = socket(Client, client, Config::default());
    let mut server = socket(Server, server, quiet());
    let answering = tokio::spawn(async move {
        for _ in 0..4 {
            let Some(Event::Ping(_)) = server.event().await.unwrap() else { panic!("only Pings come") };
            tokio::time::sleep(Duration::from_secs(3)).await;
            server.flush().await.unwrap();
        }
        server.send("enough").await.unwrap();
        server
    });
    let begun = Instant::now();
    assert_eq!(in_time(client.recv()).await.unwrap(), Some(Message::from("enough")));
    assert!(begun.elapsed() >= Duration::from_secs(100));
    let latency = client.latency().unwrap();
    assert!(latency.as_millis() / 10 == 300, "{latency:?}");
    answering.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn keepalive_goes_out_though_the_application_only_waits_for_room() {
    for role in BOTH {
        let (line, begun) = (Line::none(), Instant::now());
        line.change(|script| script.blocked = true);
        let mut socket = socket(role, line.clone(), Config::default());
        assert!(matches!(in_time(socket.send("hello")).await, Err(Error::PongTimeout)));
        assert_after(begun, 45);
        assert!(matches!(socket.send("hello").await, Err(Error::Send(SendError::Closed))));
        assert_eq!(in_time(socket.recv()).await.unwrap(), None);
        assert_eq!(ended(socket.closed()), Some((1006, Cause::PongTimeout)));
    }
}

#[tokio::test(start_paused = true)]
async fn feed_ends_when_the_peer_is_given_up() {
    for role in BOTH {
        let line = Line::none();
        line.change(|script| script.blocked = true);
        let mut socket = socket(role, line.clone(), Config::default());
        socket.feed(vec![0; 100_000]).await.unwrap();
        assert!(matches!(in_time(socket.feed("more")).await, Err(Error::PongTimeout)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_not_answered_ends() {
    for role in BOTH {
        for blocked in [false, true] {
            let (line, begun) = (Line::none(), Instant::now());
            line.change(|script| script.blocked = blocked);
            let mut socket = socket(role, line.clone(), Config::default());
            in_time(socket.close(CloseCode::NORMAL, "")).await.unwrap();
            assert_after(begun, 10);
            assert_eq!(ended(socket.closed()), Some((1006, Cause::CloseTimeout)));
            assert_eq!(line.said(role).len(), usize::from(!blocked));
            assert!(line.script().shut_down);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_trickles_does_not_stop_the_clock() {
    for role in BOTH {
        for (first, payload) in [(TEXT, "on and on"), (PING, "ping")] {
            for blocked in [false, true] {
                let (line, begun) = (Line::none(), Instant::now());
                line.change(|script| script.blocked = blocked);
                let trickle = line.clone();
                let trickling = tokio::spawn(async move {
                    loop {
                        for byte in frame(role.peer(), first, payload) {
                            trickle.say([byte]);
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    }
                });
                let mut socket = socket(role, line, Config::default());
                in_time(socket.close(CloseCode::NORMAL, "")).await.unwrap();
                assert_after(begun, 10);
                assert_eq!(ended(socket.closed()), Some((1006, Cause::CloseTimeout)));
                trickling.abort();
            }
        }
    }
}

/// A peer that always has more to say, and a deadline that has come when it is looked for.
fn flooding(role: openline::Role, first: u8) -> (Line, Config) {
    let line = Line::none();
    line.change(|script| script.then = Then::Bytes(frame(role.peer(), first, "on and on")));
    let mut config = quiet();
    config.close_timeout = Duration::ZERO;
    (line, config)
}

#[tokio::test]
async fn a_close_ends_though_the_peer_never_stops_talking() {
    for role in BOTH {
        for first in [TEXT, PING] {
            let (line, config) = flooding(role, first);
            let mut socket = socket(role, line, config);
            soon(socket.close(CloseCode::NORMAL, "")).await.unwrap();
            assert_eq!(ended(socket.closed()), Some((1006, Cause::CloseTimeout)));
        }
    }
}

#[tokio::test]
async fn a_blocked_flush_ends_in_time_though_the_peer_never_stops_talking() {
    for role in BOTH {
        for first in [TEXT, PING, PONG] {
            let (line, config) = flooding(role, first);
            line.change(|script| script.blocked = true);
            let (receiver, mut sender) = socket(role, line, config).split();
            let closed = soon(sender.close(CloseCode::NORMAL, "")).await;
            assert!(matches!(closed, Err(Error::Send(SendError::Closed))), "{role:?}, {first:x}: {closed:?}");
            assert_eq!(ended(receiver.closed().as_ref()), Some((1006, Cause::CloseTimeout)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_beyond_the_clock_is_never_reached() {
    let mut config = Config::default();
    config.keepalive = Some(Keepalive::new(Duration::MAX, Duration::MAX));
    config.close_timeout = Duration::MAX;
    let line = Line::none();
    let mut socket = socket(Client, line.clone(), config);
    assert!(only(5, socket.recv()).await.is_none());
    assert!(only(5, socket.close(CloseCode::NORMAL, "")).await.is_none());
    line.say(close_frame(Server, 1000, ""));
    line.change(|script| script.then = Then::End);
    in_time(socket.recv()).await.unwrap();
    assert!(socket.closed().unwrap().is_clean());
}

// Ends.

#[tokio::test(start_paused = true)]
async fn the_end_of_the_transport_is_told_and_a_failure_once() {
    for role in BOTH {
        let mut socket1 = socket(role, Line::hearing([frame(role.peer(), TEXT, "first")]), quiet());
        assert_eq!(socket1.recv().await.unwrap(), Some(Message::from("first")));
        assert_eq!(socket1.recv().await.unwrap(), None);
        assert_eq!(ended(socket1.closed()), Some((1006, Cause::Eof)));

        let line = Line::hearing([frame(role.peer(), TEXT, "first")]);
        line.change(|script| script.reads.push_back(Err(ErrorKind::ConnectionReset.into())));
        let mut socket2 = socket(role, line, quiet());
        assert_eq!(socket2.recv().await.unwrap(), Some(Message::from("first")));
        assert!(is_io(socket2.recv().await, ErrorKind::ConnectionReset));
        assert_eq!(socket2.recv().await.unwrap(), None);
        assert_eq!(ended(socket2.closed()), Some((1006, Cause::Eof)));
        assert!(matches!(socket2.send("late").await, Err(Error::Send(SendError::Closed))));
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_write_what_the_peer_had_sent_is_read() {
    for role in BOTH {
        let peer = role.peer();
        let line = Line::hearing([frame(peer, TEXT, "why"), close_frame(peer, 1008, "not you")]);
        line.change(|script| script.writes.push_back(Err(ErrorKind::BrokenPipe.into())));
        let mut socket = socket(role, line.clone(), quiet());
        assert!(is_io(socket.send("hello").await, ErrorKind::BrokenPipe));
        assert!(is_io(socket.send("hello?").await, ErrorKind::BrokenPipe));
        assert_eq!(socket.recv().await.unwrap(), Some(Message::from("why")));
        let _ = in_time(socket.recv()).await;
        assert_eq!(socket.closed().unwrap().code.get(), 1008);
        assert_eq!(socket.recv().await.unwrap(), None);
        assert!(line.script().written.is_empty());
    }
}

#[tokio::test]
async fn a_write_of_nothing_is_a_failure() {
    let line = Line::none();
    line.change(|script| script.writes.push_back(Ok(0)));
    assert!(is_io(soon(socket(Server, line, quiet()).send("hello")).await, ErrorKind::WriteZero));
}

/// What ends the transport while a send is blocked on it, and wakes nobody who writes.
#[derive(Clone, Copy, Debug)]
enum Ends {
    Reset,
    Eof,
}

#[tokio::test(start_paused = true)]
async fn a_blocked_send_ends_with_the_transport() {
    for role in BOTH {
        for how in [Ends::Reset, Ends::Eof] {
            for feed in [false, true] {
                let (line, begun) = (Line::none(), Instant::now());
                line.change(|script| {
                    script.blocked = true;
                    match how {
                        Ends::Reset => script.reads.push_back(Err(ErrorKind::ConnectionReset.into())),
                        Ends::Eof => script.then = Then::End,
                    }
                });
                let mut socket = socket(role, line, quiet());
                let result = match feed {
                    false => in_time(socket.send("hello")).await,
                    true => {
                        socket.feed(vec![0; 100_000]).await.unwrap();
                        in_time(socket.feed("hello")).await
                    }
                };
                match how {
                    Ends::Reset => {
                        assert!(is_io(result, ErrorKind::ConnectionReset));
                        assert_after(begun, 0);
                    }
                    Ends::Eof => {
                        assert!(matches!(result, Err(Error::Send(SendError::Closed))), "{result:?}");
                        // A peer that ended its side may still take; closing has begun.
                        assert_after(begun, 10);
                    }
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_blocked_transport_flush_ends_with_the_transport() {
    for role in BOTH {
        for how in [Ends::Reset, Ends::Eof] {
            let line = Line::none();
            line.change(|script| {
                script.flush_blocked = true;
                match how {
                    Ends::Reset => script.reads.push_back(Err(ErrorKind::ConnectionReset.into())),
                    Ends::Eof => script.then = Then::End,
                }
            });
            let mut socket = socket(role, line, quiet());
            let _ = in_time(socket.send("hello")).await;
            assert_eq!(ended(socket.closed()), Some((1006, Cause::Eof)), "{role:?}, {how:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_ends_its_side_first_and_drains() {
    // The server has said Close and shut down; what still comes is skipped to the end.
    let line = Line::silent([close_frame(Client, 1000, "")]);
    let mut server = socket(Server, line.clone(), quiet());
    let mut receiving = Box::pin(server.recv());
    assert!(waits(&mut receiving).await);
    assert!(line.script().shut_down, "a server does not wait for the client's end");
    line.say(frame(Client, TEXT, "nonsense after the Close"));
    assert!(waits(&mut receiving).await);
    line.change(|script| script.then = Then::End);
    assert_eq!(in_time(receiving).await.unwrap(), None);
    assert!(server.closed().unwrap().is_clean());

    // The client waits for the server's end.
    let line = Line::silent([close_frame(Server, 1000, "")]);
    let mut client = socket(Client, line.clone(), quiet());
    let mut receiving = Box::pin(client.recv());
    assert!(waits(&mut receiving).await);
    assert!(!line.script().shut_down);
    line.change(|script| script.then = Then::End);
    assert_eq!(in_time(receiving).await.unwrap(), None);
    assert!(line.script().shut_down);
}

/// Two ends of a TCP connection on this machine: the client's and the server's.
async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (client, server)
}

#[tokio::test]
async fn either_end_closes_over_tcp_and_both_at_once() {
    for who in [&[Client][..], &[Server], &BOTH] {
        let (client, server) = tcp().await;
        let ends = [(Client, client), (Server, server)].map(|(role, io)| {
            tokio::spawn(async move {
                let mut socket = socket(role, io, quiet());
                match who.contains(&role) {
                    true => socket.close(CloseCode::NORMAL, "").await.unwrap(),
                    false => assert_eq!(socket.recv().await.unwrap(), None),
                }
                assert_eq!(ended(socket.closed()), Some((1000, Cause::Clean)), "{role:?} of {who:?}");
                let mut rest = vec![];
                (socket.get_ref().try_read_buf(&mut rest).ok(), rest)
            })
        });
        for end in ends {
            assert_eq!(soon(end).await.unwrap(), (Some(0), vec![]), "the other side has ended");
        }
    }
}

#[tokio::test]
async fn a_dropped_websocket_closes_its_transport() {
    let (client, server) = tcp().await;
    drop(socket(Client, client, quiet()));
    let mut server = socket(Server, server, quiet());
    assert_eq!(soon(server.recv()).await.unwrap(), None);
    assert_eq!(ended(server.closed()), Some((1006, Cause::Eof)));
}

#[tokio::test]
async fn a_protocol_error_reaches_the_peer_that_keeps_talking() {
    let (client, mut server) = tcp().await;
    let mut client = socket(Client, client, quiet());
    server.write_all(&[&[0x83][..], &vec![0; 500_000]].concat()).await.unwrap();
    let error = soon(client.recv());
    let speaking = async {
        let mut bytes = vec![];
        server.read_to_end(&mut bytes).await.unwrap();
        drop(server);
        bytes
    };
    let (error, bytes) = tokio::join!(error, speaking);
    assert!(matches!(error, Err(Error::Protocol(ProtocolError::ReservedOpcode(3)))));
    assert_eq!(soon(client.recv()).await.unwrap(), None);
    assert!(matches!(&parse(Client, &bytes)[..], [(CLOSE, body)] if body.starts_with(&1002_u16.to_be_bytes())));
}

// Chunks, events, memory.

#[tokio::test]
async fn a_long_message_comes_whole_and_in_chunks() {
    let data: Vec<u8> = (0..1_000_000_u32).map(|i| (i / 3) as u8).collect();
    for role in BOTH {
        for cut in [997, 100_000, usize::MAX] {
            let bytes = [frame(role.peer(), BINARY, &data), frame(role.peer(), TEXT, "then")].concat();
            let mut whole = socket(role, Line::hearing(bytes.chunks(cut.min(bytes.len()))), quiet());
            assert!(whole.recv().await.unwrap() == Some(Message::from(&data[..])), "in reads of {cut}");
            assert_eq!(whole.recv().await.unwrap(), Some(Message::from("then")));

            let mut chunked = socket(role, Line::hearing(bytes.chunks(cut.min(bytes.len()))), quiet());
            let mut got = vec![];
            while got.len() < data.len() {
                let chunk = chunked.recv_chunk().await.unwrap().unwrap();
                assert_eq!(chunk.first, got.is_empty());
                got.extend_from_slice(chunk.data.as_bytes());
                assert_eq!(chunk.last, got.len() == data.len());
            }
            assert!(got == data);
            assert_eq!(chunked.recv().await.unwrap(), Some(Message::from("then")));
        }
    }
}

#[test]
fn a_websocket_is_small() {
    // On a 64-bit machine it is 112 bytes, and what a connection always needs 304 more.
    let size = size_of::<WebSocket<TcpStream>>();
    assert!(size <= 112, "{size} bytes");
}

#[tokio::test(start_paused = true)]
async fn an_idle_websocket_keeps_no_read_buffer() {
    let line = Line::none();
    let mut socket = socket(Server, line.clone(), Config::default());
    // The first wait makes the timer, and puts the buffer into the thread's store.
    assert!(only(1, socket.recv()).await.is_none());
    let info = allocation_counter::measure(|| {
        line.say(frame(Client, PING, "p"));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..2 {
            assert!(std::pin::pin!(socket.recv()).poll(&mut cx).is_pending());
        }
    });
    assert!(info.bytes_current < 2000, "{info:?}");
    assert!(info.bytes_max < 4000, "{info:?}: the buffer is borrowed from the thread");
}

/// However much comes, a task that only receives lets others have their turn.
#[tokio::test]
async fn a_flood_leaves_others_their_turn() {
    let line = Line::none();
    line.change(|script| script.then = Then::Bytes(frame(Client, BINARY, vec![7; 60_000])));
    let mut socket = socket(Server, line, Config::default());
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        let mut total = 0;
        while let Poll::Ready(message) = pin!(socket.recv()).poll(&mut cx) {
            total += message.unwrap().unwrap().len();
            assert!(total <= 2 * 1024 * 1024, "{total} bytes in one turn");
        }
        assert!(total > 100_000, "a turn of {total} bytes only");
    }
}
