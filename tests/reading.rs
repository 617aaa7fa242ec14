//! What a host may do with bytes that came, in any order of calls: take events, take one ahead, pause,
//! hold the rest, take what cannot be changed. Nothing is lost, doubled or put out of order by it.

mod common;

use common::*;
#[cfg(feature = "deflate")]
use openline::Deflate;
use openline::Role::{Client, Server};
use openline::{Agreement, Cause, Chunk, Config, Connection, Event, Message, Reading, State, Time, Upgrade};
use proptest::collection::vec;
use proptest::prelude::*;

/// One call of a host's.
#[derive(Clone, Copy, Debug)]
enum Act {
    Events,
    OneAhead,
    Paused,
    /// The next bytes of the wire, one of five ways, and whether the rest is held or kept by the host.
    Give {
        way: u8,
        len: u16,
        holds: bool,
    },
    /// An event, if there is one: from no input.
    Take,
    /// Time, and a write.
    Pass(u8),
    Transmit(u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        Just(Act::Events),
        Just(Act::OneAhead),
        Just(Act::Paused),
        (0..5_u8, 0..60_u16, any::<bool>()).prop_map(|(way, len, holds)| Act::Give { way, len, holds }),
        (0..5_u8, 0..2000_u16, any::<bool>()).prop_map(|(way, len, holds)| Act::Give { way, len, holds }),
        Just(Act::Take),
        any::<u8>().prop_map(Act::Pass),
        any::<u8>().prop_map(Act::Transmit),
    ]
}

/// Frames of a peer: messages whole and in fragments, Pings and Pongs between them.
#[derive(Clone, Debug)]
enum Part {
    Message(bool, Vec<u8>),
    Fragments(Vec<Vec<u8>>),
    Ping(u8),
    Pong(u8),
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        (any::<bool>(), vec(32..127_u8, 0..300)).prop_map(|(text, data)| Part::Message(text, data)),
        vec(any::<u8>(), 3000..4000).prop_map(|data| Part::Message(false, data)),
        vec(vec(any::<u8>(), 0..50), 2..5).prop_map(Part::Fragments),
        any::<u8>().prop_map(Part::Ping),
        any::<u8>().prop_map(Part::Pong),
    ]
}

/// What a host heard, as one can compare it: messages whole, whatever they came in.
#[derive(Debug, Default, PartialEq)]
struct Log {
    messages: Vec<Message<'static>>,
    part: Option<Message<'static>>,
    /// Messages of which a host that changed from chunks to whole ones skipped the rest.
    controls: Vec<u8>,
    closed: bool,
}

impl Log {
    fn note(&mut self, event: Event<'_>) {
        match event.into_owned() {
            Event::Message(message) => {
                assert!(self.part.is_none(), "a whole message within chunks");
                self.messages.push(message);
            }
            Event::Chunk(Chunk { data, first, last, .. }) => {
                assert_eq!(first, self.part.is_none());
                let whole = match (self.part.take(), data) {
                    (None, data) => data,
                    (Some(Message::Text(front)), Message::Text(data)) => Message::from(front.into_owned() + &data),
                    (Some(Message::Binary(front)), Message::Binary(data)) => {
                        Message::from([&front[..], &data].concat())
                    }
                    other => panic!("{other:?}"),
                };
                if last { self.messages.push(whole) } else { self.part = Some(whole) }
            }
            Event::Ping(payload) | Event::Pong { payload, .. } => self.controls.extend(&*payload),
            Event::Close(frame) => {
                assert_eq!(frame.code.get(), 1000);
                self.closed = true;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn pair(deflate: bool, limit: bool) -> (Connection, Connection) {
    let mut config = quiet();
    config.stall_timeout = None;
    config.high_water = usize::MAX;
    if !limit {
        config.max_message_size = u64::MAX;
    }
    let agreement = || match deflate {
        #[cfg(feature = "deflate")]
        true => {
            let (mut agreement, mut deflate) = (Agreement::default(), Deflate::default());
            deflate.threshold = 8;
            agreement.deflate = Some(deflate);
            agreement
        }
        _ => Agreement::default(),
    };
    if deflate {
        return (
            Connection::new(Upgrade::client(agreement(), [7; 32]), config, Time::ZERO),
            Connection::new(Upgrade::server(agreement()), config, Time::ZERO),
        );
    }
    (Connection::new(Upgrade::client(agreement(), [7; 32]), config, Time::ZERO), connection(Server, config))
}

/// The bytes that a client sends for these parts, and then a Close frame.
fn wire_of(parts: &[Part], client: &mut Connection) -> Vec<u8> {
    for part in parts {
        match part {
            Part::Message(true, data) => client.send(std::str::from_utf8(data).unwrap()).unwrap(),
            Part::Message(false, data) => client.send(&data[..]).unwrap(),
            Part::Fragments(data) => {
                for (i, data) in data.iter().enumerate() {
                    client.send_fragment(&data[..], false).unwrap();
                    client.ping(&[i as u8], Time::ZERO).unwrap();
                }
                client.send_fragment(&b"end"[..], true).unwrap();
            }
            Part::Ping(byte) => client.ping(&[*byte], Time::ZERO).unwrap(),
            Part::Pong(byte) => client.pong(&[*byte]).unwrap(),
        }
    }
    client.close(1000.into(), "", Time::ZERO).unwrap();
    transmit(client, Time::ZERO)
}

/// Drives a connection by the acts, and gives it the rest at the end.
struct Host {
    us: Connection,
    /// What the host keeps, in order: bytes that it has read and may not give yet.
    kept: Vec<u8>,
    log: Log,
    now: Time,
    /// Whether chunks may be asked for: in the middle of a message a host does not change its mind.
    chunks: bool,
}

impl Host {
    fn take(&mut self, chunks: bool, input: &mut &mut [u8]) -> bool {
        let event = if chunks { self.us.receive_chunk(input, self.now) } else { self.us.receive(input, self.now) };
        let Some(event) = event.unwrap() else { return false };
        self.log.note(event);
        true
    }

    /// Gives `bytes`, which come after all that was given, one of five ways; what is left is held or kept.
    fn give(&mut self, way: u8, bytes: &mut [u8], holds: bool) {
        let mut input = &mut bytes[..];
        match way {
            _ if self.us.reading() == Reading::Paused => {}
            _ if self.us.reading() == Reading::OneAhead => self.us.receive_ahead(&mut input, self.now).unwrap(),
            0 if !self.chunks => {
                while let Some(event) = self.us.receive_owned(&mut input, self.now).unwrap() {
                    self.log.note(event);
                }
            }
            1 if !self.chunks => {
                let mut rest = &*input;
                while let Some(event) = self.us.receive_copied(&mut rest, self.now).unwrap() {
                    self.log.note(event);
                }
                let left = rest.len();
                let taken = input.len() - left;
                input = &mut input[taken..];
            }
            // One event, and the rest for later.
            2 => drop(self.take(self.chunks, &mut input)),
            _ => while self.take(self.chunks, &mut input) {},
        }
        if holds {
            self.us.hold(input);
        } else {
            self.kept.extend_from_slice(input);
        }
    }
}

fn drive(us: Connection, wire: &[u8], acts: &[Act], chunks: bool) -> (Log, Connection) {
    let mut host = Host { us, kept: vec![], log: Log::default(), now: Time::ZERO, chunks };
    let mut rest = wire;
    for act in acts {
        match *act {
            Act::Events => host.us.set_reading(Reading::Events, host.now),
            Act::OneAhead => host.us.set_reading(Reading::OneAhead, host.now),
            Act::Paused => host.us.set_reading(Reading::Paused, host.now),
            Act::Give { way, len, holds } => {
                // What is kept comes before what is read next.
                let mut bytes = std::mem::take(&mut host.kept);
                if bytes.is_empty() {
                    let (now, after) = rest.split_at(rest.len().min(len.into()));
                    bytes = now.to_vec();
                    rest = after;
                }
                host.give(way, &mut bytes, holds);
            }
            Act::Take => {
                let chunks = host.chunks;
                host.take(chunks, &mut &mut [][..]);
            }
            Act::Pass(tens) => {
                host.now += std::time::Duration::from_millis(u64::from(tens));
            }
            Act::Transmit(most) => {
                let len = host.us.queued().min(most.into());
                host.us.handle_transmitted(len, host.now);
            }
        }
    }
    host.us.set_reading(Reading::Events, host.now);
    let mut bytes = std::mem::take(&mut host.kept);
    bytes.extend_from_slice(rest);
    host.give(3, &mut bytes, false);
    (host.log, host.us)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_calls_tells_the_same(
        parts in vec(part(), 0..8),
        acts in vec(act(), 0..60),
        deflate in any::<bool>(),
        chunks in any::<bool>(),
        limit in any::<bool>(),
    ) {
        let deflate = deflate && cfg!(feature = "deflate");
        let (mut client, us) = pair(deflate, limit);
        let wire = wire_of(&parts, &mut client);
        let (expected, _) = drive(pair(deflate, limit).1, &wire, &[], false);
        let (log, us) = drive(us, &wire, &acts, chunks);
        prop_assert_eq!(&log.messages, &expected.messages);
        prop_assert!(log.closed && log.part.is_none());
        prop_assert_eq!(us.state(), State::Closing);
        // Of control events that came ahead some may be left out, but not put out of order.
        let mut all = expected.controls.iter();
        prop_assert!(log.controls.iter().all(|control| all.any(|other| other == control)));
        if acts.iter().all(|act| !matches!(act, Act::OneAhead)) {
            prop_assert_eq!(log.controls, expected.controls);
        }
    }
}

fn events_of(us: &mut Connection) -> Vec<Event<'static>> {
    let mut events = vec![];
    while let Some(event) = us.receive(&mut &mut [][..], s(0)).unwrap() {
        events.push(event.into_owned());
    }
    events
}

// What is held.

#[test]
fn what_is_held_comes_before_what_is_given() {
    for role in BOTH {
        let mut us = open(role);
        let peer = role.peer();
        us.hold(&frame(peer, TEXT, "one"));
        us.hold(&frame(peer, TEXT, "two")[..3]);
        us.hold(&frame(peer, TEXT, "two")[3..]);
        assert_eq!(hear(&mut us, &frame(peer, TEXT, "three")), (vec![text("one"), text("two"), text("three")], None));
        assert!(!us.has_ahead());
    }
}

/// A host that does not take events now may learn all the same that the transport has ended, or that a
/// write failed. What the peer had sent before is there for it later.
#[test]
fn what_is_held_survives_the_end_of_the_transport() {
    let mut us = open(Server);
    us.hold(&frame(Client, TEXT, "held"));
    us.handle_eof(s(0));
    assert_eq!(events_of(&mut us), [text("held")]);
}

#[test]
fn what_was_read_ahead_survives_the_end_of_the_transport() {
    for end in [Connection::handle_eof as fn(&mut Connection, Time), |us, _| us.handle_reset()] {
        let mut us = open(Server);
        us.set_reading(Reading::OneAhead, s(0));
        let mut bytes = frame(Client, TEXT, "ahead");
        us.receive_ahead(&mut &mut bytes[..], s(0)).unwrap();
        end(&mut us, s(0));
        assert_eq!(events_of(&mut us), [text("ahead")]);
    }
    let mut us = open(Server);
    us.hold(&frame(Client, TEXT, "held"));
    us.handle_write_failed(s(0));
    assert_eq!(events_of(&mut us), [text("held")]);
}

#[test]
fn at_most_one_message_and_sixteen_controls_are_read_ahead() {
    let mut us = open(Server);
    us.set_reading(Reading::OneAhead, s(0));
    let pings: Vec<_> = (0..100_u8).map(|i| (PING, vec![i])).collect();
    let mut bytes = [frames(Client, pings), frames(Client, [(TEXT, "one"), (TEXT, "two")])].concat();
    let two = frame(Client, TEXT, "two").len();
    let mut input = &mut bytes[..];
    us.receive_ahead(&mut input, s(0)).unwrap();
    assert_eq!(input.len(), two, "the second message stays where it is");
    assert!(us.wants().is_some_and(|wants| !wants.read), "nothing more is read");
    // All were answered, as long as there was room.
    assert_eq!(said(&mut us).len(), 100);
    let events = events_of(&mut us);
    assert_eq!(events.len(), 16 + 1);
    assert_eq!(events[16], text("one"));
    assert!(us.wants().is_some_and(|wants| wants.read), "now the next may be read ahead");
}

// Paused.

/// While the application does not read, no Pong can be seen: nobody is given up for one.
#[test]
fn a_pong_that_could_not_be_seen_is_not_missed() {
    for role in BOTH {
        let mut us = connection(role, Config::default());
        us.set_reading(Reading::Paused, s(0));
        for at in (0..3600).step_by(5) {
            us.handle_timeout(s(at));
            transmit(&mut us, s(at));
            assert_eq!(us.state(), State::Open, "after {at} s");
            assert!(us.until().is_some_and(|until| until > s(at)));
        }
        // Its clock starts anew.
        us.set_reading(Reading::Events, s(3600));
        us.handle_timeout(s(3619));
        assert_eq!(us.state(), State::Open);
        us.handle_timeout(s(3621));
        assert_eq!(us.closed().map(|closed| closed.cause), Some(Cause::PongTimeout));
    }
}

/// The first Ping left long ago, and its Pong lies unread. The next one meets a transport that takes
/// nothing for a moment: that moment is short.
#[test]
fn a_ping_that_is_blocked_for_a_moment_is_judged_by_its_own_time() {
    let mut us = connection(Server, Config::default());
    us.handle_timeout(s(25));
    transmit(&mut us, s(25));
    us.set_reading(Reading::Paused, s(26));
    us.send("blocked").unwrap();
    us.handle_blocked(s(49));
    us.handle_timeout(s(50));
    us.handle_timeout(s(51));
    assert_eq!(us.state(), State::Open, "nothing was taken for 2 s");
    transmit(&mut us, s(51));
    us.handle_timeout(s(60));
    assert_eq!(us.state(), State::Open);
}

/// What judges a peer that is not read from is whether it takes what is sent.
#[test]
fn a_peer_that_takes_nothing_is_given_up_while_nothing_is_read() {
    let mut us = connection(Server, Config::default());
    us.set_reading(Reading::Paused, s(0));
    us.send("hello").unwrap();
    us.handle_blocked(s(1));
    us.handle_timeout(s(25));
    us.handle_timeout(s(44));
    assert_eq!(us.state(), State::Open);
    us.handle_timeout(s(61));
    assert_eq!(us.state(), State::Closed);
}

// Bytes for a transport that keeps them.

#[test]
fn what_is_taken_to_transmit_is_what_would_be_written() {
    for role in BOTH {
        for most in [1, 2, 7, 100, 4096, 100_000] {
            let mut us = open(role);
            let mut again = open(role);
            for us in [&mut us, &mut again] {
                for len in [0, 5, 200, 20_000, 3] {
                    us.queue(vec![7_u8; len]).unwrap();
                    us.queue("x".repeat(len)).unwrap();
                }
                us.ping(b"p", s(0)).unwrap();
            }
            let expected = transmit(&mut again, s(0));
            let (mut pieces, queued) = (vec![], us.queued());
            while let Some(piece) = us.take_transmit(most) {
                assert!(!piece.is_empty() && piece.len() <= most);
                pieces.push(piece);
                assert_eq!(us.queued(), queued, "they wait until it is said that they went");
            }
            assert!(us.transmits().next().is_none());
            assert!(us.wants().is_some_and(|wants| !wants.write));
            for piece in &pieces {
                us.handle_transmitted(piece.len(), s(0));
            }
            assert_eq!((us.queued(), pieces.concat()), (0, expected), "{role:?}, {most}");
        }
    }
}

// Blocked.

/// A server that answers before it has taken the request: the transport took nothing already before the
/// connection was open, and a host that waits for it to say when it can says so only once.
#[test]
fn a_transport_that_was_blocked_while_opening_still_is() {
    let client = openline::Client::new(openline::ClientRequest::new("ws://h/").unwrap()).config(quiet());
    let mut us = Connection::client(&client, [7; 32], s(0));
    let mut request: Vec<u8> = us.transmits().flatten().copied().collect();
    us.handle_blocked(s(0));
    let mut server = Connection::server(&openline::Server::default(), s(0));
    assert_eq!(server.receive(&mut &mut request[..], s(0)), Ok(Some(Event::Request)));
    server.accept(openline::Accept::default(), s(0)).unwrap();
    let mut answer = transmit(&mut server, s(0));
    assert_eq!(us.receive(&mut &mut answer[..], s(1)), Ok(Some(Event::Opened)));
    assert!(us.wants().is_some_and(|wants| wants.write && wants.until == Some(s(60))), "{:?}", us.wants());
}

/// An opening handshake has no messages, so that none is to be left where it is.
#[test]
fn a_request_is_taken_however_messages_are_read() {
    for limit in [true, false] {
        let mut config = quiet();
        if !limit {
            config.max_message_size = u64::MAX;
        }
        let client = openline::Client::new(openline::ClientRequest::new("ws://h/").unwrap());
        let client = Connection::client(&client, [7; 32], s(0));
        let mut request: Vec<u8> = client.transmits().flatten().copied().collect();
        let mut us = Connection::server(&openline::Server::default().config(config), s(0));
        us.set_reading(Reading::OneAhead, s(0));
        let mut input = &mut request[..];
        us.receive_ahead(&mut input, s(0)).unwrap();
        assert!(input.is_empty() && us.request().is_some(), "limit: {limit}");
    }
}

/// The smallest host there is: what the crate's documentation shows as a whole server for one connection.
/// What one read provokes is answered, however much that is, and leaves together.
fn echo(mut socket: impl std::io::Read + std::io::Write, upgrade: Upgrade) -> std::io::Result<()> {
    let mut us = Connection::new(upgrade, quiet(), s(0));
    let mut buffer = vec![0; 64 * 1024];
    let ready = openline::Ready { read: true, write: true };
    while let Some(wants) = us.wants() {
        match wants.step(ready, s(0)) {
            openline::Step::Write => {
                let len = socket.write(us.next_transmit().unwrap_or_default())?;
                us.handle_transmitted(len, s(0));
            }
            openline::Step::End => us.handle_shutdown(),
            openline::Step::Read => {
                let len = socket.read(&mut buffer)?;
                if len == 0 {
                    us.handle_eof(s(0));
                }
                let mut input = &mut buffer[..len];
                while let Ok(Some(event)) = us.receive(&mut input, s(0)) {
                    if let Event::Message(message) = event {
                        us.queue(message).map_err(std::io::Error::other)?;
                    }
                }
            }
            openline::Step::Timeout => us.handle_timeout(s(0)),
            openline::Step::Wait => break,
        }
    }
    Ok(())
}

#[test]
fn the_smallest_host_answers_all_that_one_read_brings() {
    struct Wire<'a>(std::io::Cursor<Vec<u8>>, &'a mut Vec<u8>);
    impl std::io::Read for Wire<'_> {
        fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(space)
        }
    }
    impl std::io::Write for Wire<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.1.extend_from_slice(&bytes[..bytes.len().min(1000)]);
            Ok(bytes.len().min(1000))
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    // The end of a message beyond the high-water mark comes with the next message in one read.
    let said = [(BINARY, vec![0; 100_000]), (TEXT, b"a".to_vec()), (BINARY, vec![1; 70_000])];
    let mut written = vec![];
    let incoming = std::io::Cursor::new([frames(Client, said.clone()), close_frame(Client, 1000, "")].concat());
    echo(Wire(incoming, &mut written), Upgrade::server(Agreement::default())).unwrap();
    let mut expected = said.to_vec();
    expected.push((CLOSE, vec![0x03, 0xe8]));
    assert_eq!(parse(Server, &written), expected);
}
