//! The tokio adapter: every conversation over every kind of transport, futures that
//! are dropped half-way, deadlines on a virtual clock, and opening handshakes.

#![cfg(feature = "tokio")]

mod common;
#[path = "common/line.rs"]
mod line;

use std::io::ErrorKind;
use std::time::Duration;

use common::talks::{Cue, Talk, talks};
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
        Cue::Recv => return Ok(socket.recv().await?.map_or("end".into(), |message| format!("{message:?}"))),
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
        let answer = in_time(act(&mut socket, *cue)).await.unwrap_or_else(|error| error.to_string());
        assert_eq!(answer, *expected, "{role:?}, {name}: {cue:?} {how}");
    }
    assert_eq!(line.said(role), talk.says, "{role:?}, {name} {how}");
    if socket.closed().is_some() {
        // A shutdown that had to wait is done with the next call.
        assert!(in_time(socket.recv()).await.unwrap().is_none(), "{role:?}, {name} {how}");
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
        assert_eq!(line.script().flushed, line.script().written.len());
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
            assert_eq!(ended(socket.closed()), Some((1000, Cause::Handshake)));
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
            let expected = [(TEXT, b"last".to_vec()), (CLOSE, [&1001_u16.to_be_bytes()[..], b"gone"].concat())];
            assert_eq!(line.said(role), expected, "{role:?}, dropped after {polls} polls");
            assert_eq!(ended(socket.closed()), Some((1000, Cause::Handshake)));
        }
        // One poll is enough for the Close frame, and recv can take over.
        let line = tiny(&heard);
        let mut socket = socket(role, line.clone(), quiet());
        assert!(only(1, socket.close(CloseCode::NORMAL, "")).await.is_none());
        assert_eq!(socket.state(), State::Closing);
        while in_time(socket.recv()).await.unwrap().is_some() {}
        assert_eq!(line.said(role).len(), 1);
        assert_eq!(ended(socket.closed()), Some((1000, Cause::Handshake)));
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
