//! What the integration tests share: frames built by hand, one way to feed them in
//! every cut, a constructor for every state, and two ends joined in memory.
//!
//! Nothing here uses the crate's own encoder or decoder: what is right is written
//! down a second time, as plainly as the RFC says it.

#![allow(dead_code, reason = "every test binary uses a part of this")]

pub(crate) mod bomb;
pub(crate) mod inflate;
pub(crate) mod talks;

use std::time::Duration;

use openline::{
    Agreement, Cause, CloseCode, Config, Connection, Event, Fault, Message, ProtocolError, Role, State, Time, Upgrade,
};

/// Single parts of what a connection wants.
pub(crate) trait Asks {
    /// The next deadline.
    fn until(&self) -> Option<Time>;
    /// Whether to shut down the writing side, or to drop the transport.
    fn ends(&self) -> bool;
}

impl Asks for Connection {
    fn until(&self) -> Option<Time> {
        self.wants().and_then(|wants| wants.until)
    }

    fn ends(&self) -> bool {
        self.wants().is_none_or(|wants| wants.end)
    }
}

/// The protocol error of a fault; nothing else was to be expected.
pub(crate) fn protocol(fault: Fault) -> ProtocolError {
    match fault {
        Fault::Protocol(error) => error,
        other => panic!("{other:?}"),
    }
}

/// An error and what lies beneath it, as a program prints it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

pub(crate) const BOTH: [Role; 2] = [Role::Client, Role::Server];

/// The key of every masked frame built here: the one of RFC 6455 §5.7.
pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

// First bytes of frames (§5.2), as they stand on the wire.
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const TEXT_BEGINS: u8 = 0x01;
pub(crate) const BINARY_BEGINS: u8 = 0x02;
pub(crate) const GOES_ON: u8 = 0x00;
pub(crate) const ENDS: u8 = 0x80;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

/// A frame as `sender` writes it: `first` byte, shortest length, mask if a client.
pub(crate) fn frame(sender: Role, first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = header(sender, first, payload.len() as u64);
    if sender == Role::Client {
        bytes.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ KEY[i % 4]));
    } else {
        bytes.extend(payload);
    }
    bytes
}

/// The header of such a frame, with the masking key.
pub(crate) fn header(sender: Role, first: u8, len: u64) -> Vec<u8> {
    let mask = if sender == Role::Client { 0x80 } else { 0 };
    let mut bytes = vec![first];
    if len < 126 {
        bytes.push(mask | len as u8);
    } else if len < 65536 {
        bytes.push(mask | 126);
        bytes.extend((len as u16).to_be_bytes());
    } else {
        bytes.push(mask | 127);
        bytes.extend(len.to_be_bytes());
    }
    if sender == Role::Client {
        bytes.extend(KEY);
    }
    bytes
}

/// A Close frame with a body.
pub(crate) fn close_frame(sender: Role, code: u16, reason: &str) -> Vec<u8> {
    frame(sender, CLOSE, [&code.to_be_bytes()[..], reason.as_bytes()].concat())
}

/// Frames of `sender`, one after the other.
pub(crate) fn frames<P: AsRef<[u8]>>(sender: Role, list: impl IntoIterator<Item = (u8, P)>) -> Vec<u8> {
    list.into_iter().flat_map(|(first, payload)| frame(sender, first, payload)).collect()
}

/// Reads whole frames that `sender` wrote: first bytes and unmasked payloads.
/// Panics on anything that §5.2 forbids that sender.
pub(crate) fn parse(sender: Role, mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = vec![];
    while !bytes.is_empty() {
        let (first, second) = (bytes[0], bytes[1]);
        assert_eq!(second & 0x80 != 0, sender == Role::Client, "§5.1: a client masks, a server does not");
        let (len, mut at) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
            127 => (u64::from_be_bytes(bytes[2..10].try_into().unwrap()), 10),
            short => (u64::from(short), 2),
        };
        let mut key = [0; 4];
        if sender == Role::Client {
            key.copy_from_slice(&bytes[at..at + 4]);
            at += 4;
        }
        let len = usize::try_from(len).unwrap();
        assert_eq!(header(sender, first, len as u64).len(), at, "§5.2: the shortest form of {len}");
        let payload = bytes[at..at + len].iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
        found.push((first, payload));
        bytes = &bytes[at + len..];
    }
    found
}

/// Seconds after the epoch.
pub(crate) fn s(seconds: u64) -> Time {
    Time::from_epoch(Duration::from_secs(seconds))
}

/// Milliseconds after the epoch.
pub(crate) fn ms(millis: u64) -> Time {
    Time::from_epoch(Duration::from_millis(millis))
}

/// Defaults, but no Ping by itself.
pub(crate) fn quiet() -> Config {
    let mut config = Config::default();
    config.keepalive = None;
    config
}

pub(crate) fn connection(role: Role, config: Config) -> Connection {
    let upgrade = match role {
        Role::Server => Upgrade::server(Agreement::default()),
        Role::Client => Upgrade::client(Agreement::default(), [7; 32]),
    };
    Connection::new(upgrade, config, Time::ZERO)
}

// A constructor for every state of the diagram in `connection/states.md`.

/// Messages go both ways.
pub(crate) fn open(role: Role) -> Connection {
    connection(role, quiet())
}

/// We said Close 1000 "bye" and wait for theirs.
pub(crate) fn close_sent(role: Role) -> Connection {
    let mut us = open(role);
    us.close(CloseCode::NORMAL, "bye", Time::ZERO).unwrap();
    transmit(&mut us, Time::ZERO);
    assert_eq!(us.state(), State::Closing);
    us
}

/// They said Close 1001 "gone", and our echo has left.
pub(crate) fn draining(role: Role) -> Connection {
    let mut us = open(role);
    let (events, error) = hear(&mut us, &close_frame(role.peer(), 1001, "gone"));
    assert!(matches!(&events[..], [Event::Close(_)]) && error.is_none());
    transmit(&mut us, Time::ZERO);
    assert_eq!(us.state(), State::Closing);
    us
}

/// They sent a reserved opcode, and our Close 1002 has left.
pub(crate) fn failing(role: Role) -> Connection {
    let mut us = open(role);
    assert_eq!(hear(&mut us, &[0x83]), (vec![], Some(ProtocolError::ReservedOpcode(3))));
    transmit(&mut us, Time::ZERO);
    assert_eq!(us.state(), State::Closing);
    us
}

/// Over, cleanly.
pub(crate) fn closed(role: Role) -> Connection {
    let mut us = draining(role);
    us.handle_eof(Time::ZERO);
    assert_eq!(us.closed().unwrap().cause, Cause::Clean);
    us
}

/// Over, because the transport ended.
pub(crate) fn cut_off(role: Role) -> Connection {
    let mut us = open(role);
    us.handle_eof(Time::ZERO);
    assert_eq!(us.closed().unwrap().cause, Cause::Eof);
    us
}

/// What was heard, and the error that ended it.
pub(crate) type Heard = (Vec<Event<'static>>, Option<ProtocolError>);

/// Feeds `bytes` in one piece, at time zero.
pub(crate) fn hear(us: &mut Connection, bytes: &[u8]) -> Heard {
    hear_in(us, [bytes], Time::ZERO)
}

/// Feeds `pieces` one by one.
pub(crate) fn hear_in<'a>(us: &mut Connection, pieces: impl IntoIterator<Item = &'a [u8]>, now: Time) -> Heard {
    hear_with(pieces, |input| Ok(us.receive(input, now).map_err(protocol)?.map(Event::into_owned)))
}

/// The same by `receive_owned`.
pub(crate) fn hear_owned<'a>(us: &mut Connection, pieces: impl IntoIterator<Item = &'a [u8]>) -> Heard {
    hear_with(pieces, |input| us.receive_owned(input, Time::ZERO).map_err(protocol))
}

/// The same in chunk mode.
pub(crate) fn hear_chunks<'a>(us: &mut Connection, pieces: impl IntoIterator<Item = &'a [u8]>) -> Heard {
    hear_with(pieces, |input| Ok(us.receive_chunk(input, Time::ZERO).map_err(protocol)?.map(Event::into_owned)))
}

fn hear_with<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    mut next: impl FnMut(&mut &mut [u8]) -> Result<Option<Event<'static>>, ProtocolError>,
) -> Heard {
    let mut events = vec![];
    for piece in pieces {
        let mut buffer = piece.to_vec();
        let mut input = &mut buffer[..];
        loop {
            match next(&mut input) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
        assert!(input.is_empty(), "`Ok(None)` means that all input has been taken");
    }
    (events, None)
}

/// Takes all that waits to be transmitted.
pub(crate) fn transmit(us: &mut Connection, now: Time) -> Vec<u8> {
    let mut bytes = vec![];
    while let Some(slice) = us.next_transmit() {
        bytes.extend_from_slice(slice);
        let len = slice.len();
        us.handle_transmitted(len, now);
    }
    bytes
}

/// Takes all that waits to be transmitted, as frames.
pub(crate) fn said(us: &mut Connection) -> Vec<(u8, Vec<u8>)> {
    let bytes = transmit(us, Time::ZERO);
    parse(us.role(), &bytes)
}

/// Feeds whole frames to new connections: in one piece, byte by byte, cut at every
/// point, and followed by strangers. What is heard, answered and thought of it must
/// be the same each time, and is returned once.
pub(crate) fn every_way(new: impl Fn() -> Connection, bytes: &[u8]) -> (Heard, Vec<u8>) {
    let outcome = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut us = new();
        let heard = hear_in(&mut us, pieces, Time::ZERO);
        let answer = transmit(&mut us, Time::ZERO);
        (heard, answer, us.state())
    };
    let whole = outcome(&mut [bytes].into_iter());
    assert_eq!(outcome(&mut bytes.chunks(1)), whole, "byte by byte");
    for cut in cuts(bytes.len()) {
        let (front, back) = bytes.split_at(cut);
        assert_eq!(outcome(&mut [front, back].into_iter()), whole, "cut at {cut}");
    }

    // Strangers: a Ping is heard after them if they left the line open; after a
    // Close or an error nothing is, not even nonsense.
    let ((mut events, error), answer, state) = whole.clone();
    let over = error.is_some() || events.iter().any(|event| matches!(event, Event::Close(_)));
    if over {
        for strangers in [&b"\xff\xff\xff\xff"[..], &frame(new().role().peer(), TEXT, "late")] {
            let all = [bytes, strangers].concat();
            assert_eq!(outcome(&mut [&all[..]].into_iter()), whole, "followed by {strangers:x?}");
            assert_eq!(outcome(&mut [bytes, strangers].into_iter()), whole, "followed by {strangers:x?}");
        }
    } else {
        let all = [bytes, &frame(new().role().peer(), PONG, "stranger")].concat();
        events.push(Event::Pong { payload: b"stranger".into(), latency: None });
        assert_eq!(outcome(&mut [&all[..]].into_iter()), ((events, error), answer, state), "followed by a stranger");
    }
    (whole.0, whole.1)
}

/// Every place to cut `len` bytes, or for long ones those near the ends and some between.
pub(crate) fn cuts(len: usize) -> Vec<usize> {
    (0..=len).filter(|cut| len < 600 || *cut < 50 || *cut + 50 > len || cut % 977 == 0).collect()
}

pub(crate) fn text(text: &str) -> Event<'static> {
    Event::Message(Message::from(text.to_owned()))
}

pub(crate) fn binary(data: impl Into<Vec<u8>>) -> Event<'static> {
    Event::Message(Message::from(data.into()))
}

pub(crate) fn ping(payload: &str) -> Event<'static> {
    Event::Ping(payload.as_bytes().to_vec().into())
}

pub(crate) fn pong(payload: &str) -> Event<'static> {
    Event::Pong { payload: payload.as_bytes().to_vec().into(), latency: None }
}

/// Two ends joined in memory, and the clock that they share.
pub(crate) struct Pair {
    pub(crate) client: Connection,
    pub(crate) server: Connection,
    pub(crate) now: Time,
    pub(crate) client_heard: Vec<Event<'static>>,
    pub(crate) server_heard: Vec<Event<'static>>,
    /// When the line is cut, bytes are taken and lost.
    pub(crate) line_is_cut: bool,
}

impl Pair {
    pub(crate) fn new(config: Config) -> Pair {
        Pair {
            client: connection(Role::Client, config),
            server: connection(Role::Server, config),
            now: Time::ZERO,
            client_heard: vec![],
            server_heard: vec![],
            line_is_cut: false,
        }
    }

    /// Carries bytes, and then ends of stream, until neither end has anything to say.
    pub(crate) fn settle(&mut self) {
        let (mut client_ended, mut server_ended) = (false, false);
        loop {
            let to_server = transmit(&mut self.client, self.now);
            let to_client = transmit(&mut self.server, self.now);
            if self.line_is_cut {
                return;
            }
            self.server_heard.extend(hear_in(&mut self.server, [&to_server[..]], self.now).0);
            self.client_heard.extend(hear_in(&mut self.client, [&to_client[..]], self.now).0);
            if !client_ended && self.client.ends() {
                client_ended = true;
                self.server.handle_eof(self.now);
            } else if !server_ended && self.server.ends() {
                server_ended = true;
                self.client.handle_eof(self.now);
            } else if to_server.is_empty() && to_client.is_empty() {
                return;
            }
        }
    }

    /// Lets `duration` pass, stopping at every deadline on the way.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.settle();
        let deadline = |pair: &Pair| {
            let (client, server) = (pair.client.until(), pair.server.until());
            client.into_iter().chain(server).min().filter(|next| *next <= end)
        };
        let mut turns = 0;
        while let Some(next) = deadline(self) {
            assert!(next >= self.now, "a deadline in the past");
            self.now = next;
            self.client.handle_timeout(next);
            self.server.handle_timeout(next);
            self.settle();
            turns += 1;
            assert!(turns < 10_000, "the clock stands still");
        }
        self.now = end;
    }
}
