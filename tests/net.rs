//! The blocking adapter: every conversation over every kind of transport, the
//! deadlines, and two halves on two threads. Nothing here depends on how fast it runs.
#![cfg(feature = "std")]

mod common;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use common::talks::{Cue, Talk, talks, told};
use common::*;
use openline::Role::{Client, Server};
use openline::net::{Transport, WebSocket};
use openline::{
    Agreement, Cause, CloseCode, Closed, Config, Error, Event, Keepalive, Message, ProtocolError, Role, SendError,
    State, Upgrade,
};

// A transport that follows a script.

#[derive(Clone, Default)]
struct Line(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    /// What comes, one read each; then the end.
    reads: VecDeque<io::Result<Vec<u8>>>,
    /// What comes instead of the end, for ever.
    then: Option<Then>,
    /// What becomes of each write: how much is taken, or an error; then all is taken.
    writes: VecDeque<io::Result<usize>>,
    /// What becomes of all writes after that, if not all is taken.
    blocked: Option<ErrorKind>,
    /// Comes before every success.
    hiccup: Option<ErrorKind>,
    hiccuped: bool,
    written: Vec<u8>,
    /// How many writes there were.
    sizes: Vec<usize>,
    flushed: usize,
    shut_down: bool,
    calls: usize,
    read_timeouts: Vec<Option<Duration>>,
}

#[derive(Clone)]
enum Then {
    Bytes(Vec<u8>),
    Error(ErrorKind),
}

impl Line {
    fn hearing(pieces: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Line {
        let line = Line::default();
        line.script().reads = pieces.into_iter().map(|piece| Ok(piece.into())).collect();
        line
    }

    /// A peer that never says anything.
    fn silent() -> Line {
        let line = Line::default();
        line.script().then = Some(Then::Error(ErrorKind::TimedOut));
        line
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }

    fn said(&self, role: Role) -> Vec<(u8, Vec<u8>)> {
        parse(role, &self.script().written)
    }
}

impl Script {
    fn hiccup(&mut self) -> io::Result<()> {
        self.calls += 1;
        assert!(self.calls < 1_000_000, "the adapter runs in circles");
        if let Some(kind) = self.hiccup {
            self.hiccuped = !self.hiccuped;
            if self.hiccuped {
                return Err(kind.into());
            }
        }
        Ok(())
    }
}

impl Read for Line {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut script = self.script();
        script.hiccup()?;
        let mut bytes = match (script.reads.pop_front(), &script.then) {
            (Some(read), _) => read?,
            (None, Some(Then::Bytes(bytes))) => bytes.clone(),
            (None, Some(Then::Error(kind))) => return Err((*kind).into()),
            (None, None) => return Ok(0),
        };
        let rest = bytes.split_off(bytes.len().min(space.len()));
        space[..bytes.len()].copy_from_slice(&bytes);
        if !rest.is_empty() {
            script.reads.push_front(Ok(rest));
        }
        Ok(bytes.len())
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut script = self.script();
        script.hiccup()?;
        assert!(!script.shut_down, "written after the shutdown");
        let len = match (script.writes.pop_front(), script.blocked) {
            (Some(write), _) => write?.min(bytes.len()),
            (None, Some(kind)) => return Err(kind.into()),
            (None, None) => bytes.len(),
        };
        script.written.extend_from_slice(&bytes[..len]);
        script.sizes.push(len);
        Ok(len)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write(&slices.iter().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut script = self.script();
        script.hiccup()?;
        script.flushed = script.written.len();
        Ok(())
    }
}

impl Transport for Line {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.script().read_timeouts.push(timeout);
        Ok(())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let mut script = self.script();
        assert_eq!(script.flushed, script.written.len(), "flushed before the shutdown");
        assert!(!script.shut_down, "shut down twice");
        script.shut_down = true;
        Ok(())
    }
}

fn upgrade(role: Role) -> Upgrade {
    match role {
        Server => Upgrade::server(Agreement::default()),
        Client => Upgrade::client(Agreement::default(), [7; 32]),
    }
}

fn socket<S: Transport>(role: Role, io: S, config: Config) -> WebSocket<S> {
    WebSocket::new(io, upgrade(role), config, &[])
}

fn ended(closed: Option<&Closed>) -> Option<(u16, Cause)> {
    closed.map(|closed| (closed.code.get(), closed.cause))
}

fn is_io<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind) -> bool {
    matches!(&result, Err(Error::Io(error)) if error.kind() == kind)
}

// Conversations.

fn act<S: Transport>(socket: &mut WebSocket<S>, cue: Cue) -> Result<String, Error> {
    let done = match cue {
        Cue::Recv => return Ok(socket.recv()?.map_or("end".into(), |message| told(&message))),
        Cue::Send(text) => socket.send(text),
        Cue::Feed(text) => socket.feed(text),
        Cue::Fragment(text, fin) => socket.send_fragment(text, fin),
        Cue::Ping(payload) => socket.ping(payload.as_bytes()),
        Cue::Flush => socket.flush(),
        Cue::Close(code, reason) => socket.close(CloseCode::new(code), reason),
    };
    done.map(|()| "ok".into())
}

/// Does it again until the transport does not refuse.
fn insist<T>(mut act: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    loop {
        match act() {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
            other => return other,
        }
    }
}

fn check(talk: &Talk, line: &Line, how: &str) {
    let (name, role) = (talk.name, talk.role);
    let mut socket = socket(role, line.clone(), quiet());
    for (cue, expected) in &talk.cues {
        let answer = insist(|| act(&mut socket, *cue)).unwrap_or_else(|error| chain(&error));
        assert_eq!(answer, *expected, "{role:?}, {name}: {cue:?} {how}");
    }
    // What was queued on a transport that does not block may be waiting still.
    let _ = insist(|| socket.flush());
    assert_eq!(line.said(role), talk.says, "{role:?}, {name} {how}");
    let shut_down = line.script().shut_down;
    let closed = ended(socket.closed()).map(|(code, cause)| (code, cause, shut_down));
    assert_eq!(closed, talk.closed, "{role:?}, {name} {how}");
}

#[test]
fn every_talk_goes_the_same_over_every_transport() {
    for talk in talks() {
        for hiccup in [None, Some(ErrorKind::Interrupted), Some(ErrorKind::WouldBlock), Some(ErrorKind::TimedOut)] {
            for cut in [1, 2, 3, 7, usize::MAX] {
                for take in [1, 3, usize::MAX] {
                    let line = Line::hearing(talk.hears.chunks(cut.min(talk.hears.len()).max(1)));
                    {
                        let mut script = line.script();
                        script.hiccup = hiccup;
                        script.writes = (0..1000).map(|_| Ok(take)).collect();
                    }
                    check(&talk, &line, &format!("in reads of {cut}, writes of {take}, with {hiccup:?}"));
                }
            }
        }
    }
}

#[test]
fn what_was_read_with_the_handshake_comes_first() {
    for role in BOTH {
        let bytes = frames(role.peer(), [(TEXT, "one"), (TEXT, "two")]);
        for cut in 0..=bytes.len() {
            let (leftover, rest) = bytes.split_at(cut);
            let mut socket = WebSocket::new(Line::hearing([rest]), upgrade(role), quiet(), leftover);
            assert_eq!(socket.recv().unwrap(), Some(Message::from("one")));
            assert_eq!(socket.recv().unwrap(), Some(Message::from("two")));
        }
    }
}

#[test]
fn all_that_one_read_provokes_leaves_in_one_write() {
    let line = Line::hearing([frames(Client, [(PING, "a"), (TEXT, "b"), (TEXT, "c"), (PING, "d"), (TEXT, "e")])]);
    let mut socket = socket(Server, line.clone(), quiet());
    while let Some(message) = socket.recv().unwrap() {
        socket.feed(message).unwrap();
    }
    assert_eq!(line.script().sizes.len(), 1);
    assert_eq!(line.said(Server).len(), 5);
}

#[test]
fn a_long_owned_message_is_written_from_where_it_lies_with_its_header() {
    let line = Line::default();
    let mut socket = socket(Server, line.clone(), quiet());
    socket.send(vec![7; 100_000]).unwrap();
    assert_eq!(line.script().sizes, [100_010]);
    assert_eq!(line.said(Server), [(BINARY, vec![7; 100_000])]);
}

#[test]
fn a_refused_read_is_told_and_nothing_is_lost() {
    for role in BOTH {
        let line = Line::default();
        line.script().then = Some(Then::Error(ErrorKind::WouldBlock));
        let mut socket = socket(role, line.clone(), quiet());
        assert!(is_io(socket.recv(), ErrorKind::WouldBlock));
        for byte in frame(role.peer(), TEXT, "slow") {
            line.script().reads.push_back(Ok(vec![byte]));
            if let Ok(message) = socket.recv() {
                assert_eq!(message, Some(Message::from("slow")));
                assert_eq!(socket.state(), State::Open);
            }
        }
        assert!(is_io(socket.recv(), ErrorKind::WouldBlock));
    }
}

#[test]
fn a_refused_write_is_told_only_when_nothing_was_queued() {
    let mut config = quiet();
    config.high_water = 100;
    let line = Line::default();
    {
        let mut script = line.script();
        script.blocked = Some(ErrorKind::WouldBlock);
        script.then = Some(Then::Error(ErrorKind::WouldBlock));
    }
    let mut socket = socket(Server, line.clone(), config);
    let mut sent = vec![];
    while insist_not(socket.send("0123456789")) {
        sent.push((TEXT, b"0123456789".to_vec()));
    }
    assert_eq!(sent.len(), 9, "108 bytes with their headers");
    assert!(is_io(socket.flush(), ErrorKind::WouldBlock));
    assert!(is_io(socket.recv(), ErrorKind::WouldBlock));
    line.script().blocked = None;
    socket.send("last").unwrap();
    sent.push((TEXT, b"last".into()));
    assert_eq!(line.said(Server), sent);
}

/// False if it was refused.
fn insist_not(result: Result<(), Error>) -> bool {
    match result {
        Ok(()) => true,
        Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    }
}

// Failures.

#[test]
fn after_a_failed_write_what_the_peer_had_sent_is_read() {
    for role in BOTH {
        let peer = role.peer();
        let line = Line::hearing([frame(peer, TEXT, "why"), close_frame(peer, 1008, "not you")]);
        line.script().writes.push_back(Err(ErrorKind::BrokenPipe.into()));
        let mut socket = socket(role, line.clone(), quiet());
        assert!(is_io(socket.send("hello"), ErrorKind::BrokenPipe));
        assert!(is_io(socket.send("hello?"), ErrorKind::BrokenPipe));
        assert_eq!(socket.recv().unwrap(), Some(Message::from("why")));
        let _ = socket.recv();
        assert_eq!(socket.closed().unwrap().code.get(), 1008);
        assert_eq!(socket.recv().unwrap(), None);
        assert!(line.script().written.is_empty());
    }
}

#[test]
fn a_write_of_nothing_is_a_failure() {
    let line = Line::silent();
    line.script().writes.push_back(Ok(0));
    assert!(is_io(socket(Server, line, quiet()).send("hello"), ErrorKind::WriteZero));
}

#[test]
fn a_failed_read_is_told_once() {
    for role in BOTH {
        let line = Line::hearing([frame(role.peer(), TEXT, "first")]);
        line.script().reads.push_back(Err(ErrorKind::ConnectionReset.into()));
        let mut socket = socket(role, line, quiet());
        assert_eq!(socket.recv().unwrap(), Some(Message::from("first")));
        assert!(is_io(socket.recv(), ErrorKind::ConnectionReset));
        assert_eq!(socket.recv().unwrap(), None);
        assert_eq!(ended(socket.closed()), Some((1006, Cause::Eof)));
        assert!(matches!(socket.send("late"), Err(Error::Send(SendError::Closed))));
    }
}

#[test]
fn without_any_room_messages_leave_one_by_one() {
    let mut config = quiet();
    config.high_water = 0;
    let line = Line::default();
    let mut socket = socket(Server, line.clone(), config);
    for text in ["one", "two"] {
        assert_eq!(socket.has_room(), text == "one", "there is room if nothing waits");
        socket.feed(text).unwrap();
    }
    assert_eq!(line.said(Server), [(TEXT, b"one".into())]);
}

// Deadlines. Those of no length have come as soon as they are looked for.

/// A Ping at once, and no time to answer it.
fn impatient() -> Config {
    let mut config = Config::default();
    config.keepalive = Some(Keepalive::new(Duration::ZERO, Duration::ZERO));
    config.close_timeout = Duration::ZERO;
    config
}

#[test]
fn a_peer_that_is_silent_is_pinged_and_then_given_up() {
    for role in BOTH {
        let line = Line::silent();
        let mut socket = socket(role, line.clone(), impatient());
        assert!(matches!(socket.recv(), Err(Error::PongTimeout)));
        assert_eq!(socket.recv().unwrap(), None);
        assert_eq!(ended(socket.closed()), Some((1006, Cause::PongTimeout)));
        assert_eq!(line.said(role), [(PING, 1_u64.to_be_bytes().into())]);
        assert!(line.script().shut_down);
    }
}

#[test]
fn a_close_that_is_not_answered_ends() {
    for role in BOTH {
        let line = Line::silent();
        let mut config = quiet();
        config.close_timeout = Duration::ZERO;
        let mut socket = socket(role, line.clone(), config);
        socket.close(CloseCode::NORMAL, "").unwrap();
        assert_eq!(ended(socket.closed()), Some((1006, Cause::CloseTimeout)));
        assert!(line.script().shut_down);
    }
}

#[test]
fn a_close_ends_though_the_peer_never_stops_talking() {
    for role in BOTH {
        for (first, payload) in [(TEXT, "on and on"), (PING, "ping")] {
            let line = Line::default();
            line.script().then = Some(Then::Bytes(frame(role.peer(), first, payload)));
            let mut config = quiet();
            config.close_timeout = Duration::ZERO;
            let mut socket = socket(role, line, config);
            socket.close(CloseCode::NORMAL, "").unwrap();
            assert_eq!(ended(socket.closed()), Some((1006, Cause::CloseTimeout)));
        }
    }
}

#[test]
fn deadlines_come_while_writing_is_blocked() {
    for role in BOTH {
        let blocked = || {
            let line = Line::silent();
            line.script().blocked = Some(ErrorKind::TimedOut);
            line
        };
        let mut first = socket(role, blocked(), impatient());
        assert!(matches!(first.send("hello"), Err(Error::PongTimeout)));
        assert!(matches!(first.send("hello"), Err(Error::Send(SendError::Closed))));

        let mut config = quiet();
        config.close_timeout = Duration::ZERO;
        let line = blocked();
        let mut second = socket(role, line.clone(), config);
        second.close(CloseCode::NORMAL, "").unwrap();
        assert_eq!(ended(second.closed()), Some((1006, Cause::CloseTimeout)));
        assert!(line.script().written.is_empty());
    }
}

#[test]
fn a_peer_that_has_gone_and_takes_nothing_is_given_up() {
    for role in BOTH {
        let line = Line::default();
        line.script().blocked = Some(ErrorKind::TimedOut);
        let mut config = quiet();
        config.close_timeout = Duration::ZERO;
        let mut socket = socket(role, line, config);
        assert!(matches!(socket.send("hello"), Err(Error::Send(SendError::Closed))));
        assert_eq!(socket.recv().unwrap(), None);
        assert_eq!(ended(socket.closed()), Some((1006, Cause::Eof)));
    }
}

#[test]
fn the_timeout_of_the_socket_follows_the_deadline_in_few_calls() {
    let line = Line::hearing((0..1000).map(|_| frame(Client, TEXT, "tick")));
    let mut socket = socket(Server, line.clone(), Config::default());
    while socket.recv().unwrap().is_some() {}
    // 25 s to the first Ping, unless this takes half of them.
    assert!(line.script().read_timeouts.len() < 10);
    assert!(line.script().read_timeouts[0] <= Some(Duration::from_secs(13)));
}

// Chunks and events.

#[test]
fn a_long_message_comes_in_chunks() {
    let data: Vec<u8> = (0..1_000_000_u32).map(|i| i as u8).collect();
    for role in BOTH {
        let bytes = [frame(role.peer(), BINARY, &data), close_frame(role.peer(), 1000, "")].concat();
        let mut socket = socket(role, Line::hearing(bytes.chunks(10_007)), quiet());
        let (mut got, mut chunks) = (vec![], 0);
        while let Some(chunk) = socket.recv_chunk().unwrap() {
            assert_eq!(chunk.first, chunks == 0);
            chunks += 1;
            got.extend_from_slice(chunk.data.as_bytes());
            assert_eq!(chunk.last, got.len() == data.len());
        }
        assert!(got == data && chunks > 50, "{chunks} chunks");
        assert_eq!(ended(socket.closed()), Some((1000, Cause::Clean)));
    }
}

#[test]
fn a_long_message_comes_whole() {
    let data: Vec<u8> = (0..1_000_000_u32).map(|i| (i / 3) as u8).collect();
    for role in BOTH {
        for cut in [997, 100_000, usize::MAX] {
            let bytes = [frame(role.peer(), BINARY, &data), frame(role.peer(), TEXT, "then")].concat();
            let mut socket = socket(role, Line::hearing(bytes.chunks(cut)), quiet());
            assert!(socket.recv().unwrap() == Some(Message::from(&data[..])), "in reads of {cut}");
            assert_eq!(socket.recv().unwrap(), Some(Message::from("then")));
        }
    }
}

#[test]
fn an_event_is_lent_from_the_read_buffer() {
    let line = Line::hearing([frames(Client, [(TEXT, "whole"), (PING, "p"), (BINARY, "too"), (CLOSE, "")])]);
    let mut socket = socket(Server, line, quiet());
    assert!(matches!(socket.event().unwrap(), Some(Event::Message(Message::Text(Cow::Borrowed("whole"))))));
    assert!(matches!(socket.event().unwrap(), Some(Event::Ping(payload)) if *payload == *b"p"));
    assert!(matches!(socket.event().unwrap(), Some(Event::Message(Message::Binary(Cow::Borrowed(b"too"))))));
    assert!(matches!(socket.event().unwrap(), Some(Event::Close(_))));
    assert!(socket.event().unwrap().is_none());
}

#[test]
fn a_message_is_read_ahead_while_writing_is_blocked_and_no_more() {
    for role in BOTH {
        let line = Line::hearing((0..3).map(|i| frame(role.peer(), TEXT, format!("{i}"))));
        line.script().writes = (0..5).map(|_| Err(ErrorKind::TimedOut.into())).collect();
        let mut socket = socket(role, line.clone(), quiet());
        socket.send("hello").unwrap();
        assert_eq!(line.script().reads.len(), 2);
        for i in 0..3 {
            assert_eq!(socket.recv().unwrap(), Some(Message::from(format!("{i}"))));
        }
        assert_eq!(socket.recv().unwrap(), None);
    }
}

#[test]
fn a_box_may_hold_any_transport() {
    let line = Line::hearing([frame(Client, TEXT, "boxed"), close_frame(Client, 1000, "")]);
    let mut socket = socket(Server, Box::new(line.clone()) as Box<dyn Transport>, quiet());
    assert_eq!(socket.recv().unwrap(), Some(Message::from("boxed")));
    assert_eq!(socket.recv().unwrap(), None);
    assert!(line.script().shut_down);
}

// Two halves.

#[test]
fn what_cannot_be_split_stays_whole() {
    let line = Line::hearing([frame(Client, TEXT, "still here")]);
    let Err(error) = socket(Server, line, quiet()).split() else { panic!("it cannot be cloned") };
    assert_eq!(error.error.kind(), ErrorKind::Unsupported);
    let mut socket = error.socket;
    assert_eq!(socket.recv().unwrap(), Some(Message::from("still here")));
}

/// Two ends of a TCP connection on this machine: the client's and the server's.
fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

/// Message `i` of a long conversation: mostly small, now and then larger than any buffer.
fn nth(i: u32) -> Vec<u8> {
    let len = match i % 1000 {
        0 => 300_000,
        n if n % 50 == 0 => 20_000,
        n => n % 100,
    };
    let mut data = i.to_be_bytes().to_vec();
    data.resize(4 + len as usize, i as u8);
    data
}

const MANY: u32 = 10_000;

#[test]
fn both_directions_at_once_on_four_threads() {
    let (client, server) = tcp();
    let ends = [socket(Client, client, Config::default()), socket(Server, server, Config::default())];
    let threads = ends.map(|socket| {
        let (mut receiver, mut sender) = socket.split().unwrap();
        let sending = thread::spawn(move || {
            for i in 0..MANY {
                match i % 7 {
                    0 => sender.feed(nth(i)).unwrap(),
                    1 => sender.ping(b"are you there").and_then(|()| sender.send(&nth(i)[..])).unwrap(),
                    _ => sender.send(nth(i)).unwrap(),
                }
            }
            sender.flush().unwrap();
            sender
        });
        let receiving = thread::spawn(move || {
            for i in 0..MANY {
                assert!(receiver.recv().unwrap() == Some(Message::from(nth(i))), "message {i}");
            }
            receiver
        });
        (sending, receiving)
    });
    let [(mut client, mut client_hears), (mut server, mut server_hears)] =
        threads.map(|(sending, receiving)| (sending.join().unwrap(), receiving.join().unwrap()));
    // Both close at once.
    let closings = [
        thread::spawn(move || client.close(CloseCode::NORMAL, "").unwrap()),
        thread::spawn(move || server.close(CloseCode::NORMAL, "").unwrap()),
        thread::spawn(move || {
            assert_eq!(client_hears.recv().unwrap(), None);
            assert!(client_hears.closed().unwrap().is_clean());
        }),
        thread::spawn(move || {
            assert_eq!(server_hears.recv().unwrap(), None);
            assert!(server_hears.closed().unwrap().is_clean());
        }),
    ];
    closings.into_iter().for_each(|closing| closing.join().unwrap());
}

#[test]
fn a_sender_closes_while_its_receiver_waits() {
    for role in BOTH {
        let (client, server) = tcp();
        let (ours, theirs) = if role == Client { (client, server) } else { (server, client) };
        let (mut receiver, mut sender) = socket(role, ours, Config::default()).split().unwrap();
        let mut peer = socket(role.peer(), theirs, Config::default());
        let receiving = thread::spawn(move || {
            assert_eq!(receiver.recv().unwrap(), Some(Message::from("ready")));
            assert_eq!(receiver.recv().unwrap(), Some(Message::from("last words")));
            assert_eq!(receiver.recv().unwrap(), None);
            receiver
        });
        peer.send("ready").unwrap();
        sender.close(CloseCode::new(1001), "bye").unwrap();
        assert_eq!(sender.state(), State::Closing);
        peer.feed("last words").unwrap();
        assert_eq!(peer.recv().unwrap(), None);
        assert_eq!(ended(peer.closed()), Some((1001, Cause::Clean)));
        let receiver = receiving.join().unwrap();
        assert_eq!(ended(receiver.closed().as_ref()), Some((1001, Cause::Clean)));
        assert!(matches!(sender.send("late"), Err(Error::Send(SendError::Closed))));
        sender.close(CloseCode::NORMAL, "again").unwrap();
    }
}

#[test]
fn the_peer_closes_and_both_halves_know() {
    for role in BOTH {
        let (client, server) = tcp();
        let (ours, theirs) = if role == Client { (client, server) } else { (server, client) };
        let (mut receiver, mut sender) = socket(role, ours, Config::default()).split().unwrap();
        let mut peer = socket(role.peer(), theirs, Config::default());
        let closing = thread::spawn(move || {
            peer.close(CloseCode::NORMAL, "done").unwrap();
            peer
        });
        assert_eq!(receiver.recv().unwrap(), None);
        assert!(matches!(sender.send("late"), Err(Error::Send(SendError::Closed))));
        assert!(closing.join().unwrap().closed().unwrap().is_clean());
        assert_eq!(ended(receiver.closed().as_ref()), Some((1000, Cause::Clean)));
    }
}

/// More than the buffers of two sockets hold.
const FLOOD: usize = 64 * 1024 * 1024;

#[test]
fn a_blocked_sender_does_not_stop_its_receiver() {
    for role in BOTH {
        let (client, server) = tcp();
        let (ours, mut peer) = if role == Client { (client, server) } else { (server, client) };
        let (mut receiver, mut sender) = socket(role, ours, quiet()).split().unwrap();
        let sending = thread::spawn(move || {
            sender.send(vec![1; FLOOD]).unwrap();
            sender
        });
        // The peer reads nothing until all it sent has been received.
        for i in 0..MANY {
            let first = if i % 10 == 0 { PING } else { TEXT };
            peer.write_all(&frame(role.peer(), first, format!("{i}"))).unwrap();
            if first == TEXT {
                assert_eq!(receiver.recv().unwrap(), Some(Message::from(format!("{i}"))));
            }
        }
        assert!(!sending.is_finished());
        // Pongs may stand before it.
        let (mut bytes, mut start) = (vec![0; 64 * 1024], 0);
        peer.read_exact(&mut bytes[..2]).unwrap();
        let short = header(role, PONG, 1).len();
        while bytes[start] == PONG {
            let len = short + usize::from(bytes[start + 1] & 0x7f);
            peer.read_exact(&mut bytes[start + 2..start + len + 2]).unwrap();
            start += len;
        }
        bytes.drain(..start);
        bytes.resize(header(role, BINARY, FLOOD as u64).len() + FLOOD, 0);
        peer.read_exact(&mut bytes[2..]).unwrap();
        assert!(parse(role, &bytes) == [(BINARY, vec![1; FLOOD])]);
        sending.join().unwrap();
    }
}

#[test]
fn a_sender_alone_is_not_stopped_by_a_peer_that_sends_first() {
    // Each sends a message that fits into no buffer, and nobody receives before
    // both have been sent: each has to read ahead.
    const LONG: usize = FLOOD / 2;
    let mut config = quiet();
    config.max_message_size = LONG as u64;
    let (client, server) = tcp();
    let whole = thread::spawn(move || {
        let mut socket = socket(Client, client, config);
        socket.send(vec![1; LONG]).unwrap();
        assert!(socket.recv().unwrap() == Some(Message::from(vec![2; LONG])));
        socket.close(CloseCode::NORMAL, "").unwrap();
    });
    let (mut receiver, mut sender) = socket(Server, server, config).split().unwrap();
    sender.send(vec![2; LONG]).unwrap();
    assert!(receiver.recv().unwrap() == Some(Message::from(vec![1; LONG])));
    assert_eq!(receiver.recv().unwrap(), None);
    whole.join().unwrap();
}

#[test]
fn a_close_by_the_sender_ends_in_time_though_the_peer_is_silent() {
    for role in BOTH {
        let (client, server) = tcp();
        let (ours, _theirs) = if role == Client { (client, server) } else { (server, client) };
        let mut config = quiet();
        config.close_timeout = Duration::from_millis(50);
        let (mut receiver, mut sender) = socket(role, ours, config).split().unwrap();
        let receiving = thread::spawn(move || {
            assert_eq!(receiver.recv().unwrap(), None);
            receiver
        });
        sender.close(CloseCode::NORMAL, "").unwrap();
        let receiver = receiving.join().unwrap();
        assert_eq!(ended(receiver.closed().as_ref()), Some((1006, Cause::CloseTimeout)));
    }
}

/// A Ping that nobody answers, soon.
fn short_of_breath() -> Config {
    let mut config = Config::default();
    config.keepalive = Some(Keepalive::new(Duration::from_millis(20), Duration::from_millis(20)));
    config
}

#[test]
fn a_blocked_sender_ends_when_the_peer_is_given_up() {
    let (client, _server) = tcp();
    let (receiver, mut sender) = socket(Client, client, short_of_breath()).split().unwrap();
    assert!(matches!(sender.send(vec![1; FLOOD]), Err(Error::PongTimeout)));
    assert_eq!(ended(receiver.closed().as_ref()), Some((1006, Cause::PongTimeout)));
}

#[test]
fn one_half_is_told_why_and_the_sender_that_its_message_is_lost() {
    let (client, _server) = tcp();
    let (mut receiver, mut sender) = socket(Client, client, short_of_breath()).split().unwrap();
    let receiving = thread::spawn(move || receiver.recv());
    let sent = sender.send(vec![1; FLOOD]);
    match receiving.join().unwrap() {
        Err(Error::PongTimeout) => assert!(matches!(sent, Err(Error::Send(SendError::Closed)))),
        received => assert!(matches!((received, sent), (Ok(None), Err(Error::PongTimeout)))),
    }
}

#[test]
fn pings_are_answered_by_the_receiver_alone() {
    let (client, mut peer) = tcp();
    let (mut receiver, _sender) = socket(Client, client, quiet()).split().unwrap();
    let receiving = thread::spawn(move || receiver.recv().unwrap());
    peer.write_all(&frame(Server, PING, "there?")).unwrap();
    let mut bytes = [0; 12];
    peer.read_exact(&mut bytes).unwrap();
    assert_eq!(parse(Client, &bytes), [(PONG, b"there?".into())]);
    drop(peer);
    assert_eq!(receiving.join().unwrap(), None);
}

#[test]
fn an_error_ends_both_halves() {
    let (client, mut peer) = tcp();
    let (mut receiver, mut sender) = socket(Client, client, quiet()).split().unwrap();
    peer.write_all(&[0x83]).unwrap();
    let speaking = thread::spawn(move || {
        let mut bytes = vec![];
        peer.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let error = receiver.recv().unwrap_err();
    assert!(matches!(error, Error::Protocol(ProtocolError::ReservedOpcode(3))));
    assert_eq!(receiver.recv().unwrap(), None);
    assert!(matches!(sender.send("late"), Err(Error::Send(SendError::Closed))));
    assert!(matches!(&parse(Client, &speaking.join().unwrap())[..], [(CLOSE, _)]));
}
