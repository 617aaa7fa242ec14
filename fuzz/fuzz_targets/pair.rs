//! Two connections joined in memory, arbitrary commands on both sides, arbitrary cuts, virtual time:
//! what is sent is heard in order and never in part; all of it, as long as the line holds; and then
//! both say the same of how it ended.
#![no_main]

use std::collections::VecDeque;
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use openline::{
    Cause, CloseCode, Config, Connection, Deflate, DeflateContext, Event, Message, Prepared, Role, SendError, State,
    Time,
};
use openline_fuzz::{Asks, connection};

#[derive(Arbitrary, Debug)]
struct Setup {
    /// For each end, the client's first: whether it takes chunks, and whether it reads where bytes belong.
    chunks: [bool; 2],
    rooms: [bool; 2],
    deflate: Option<[(bool, u8); 2]>,
    high_water: u16,
}

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    /// Bytes that can be told from each other, owned.
    Long(u8, u16),
    Prepared(&'a str),
    Fragment(&'a [u8], bool),
    TextFragment(&'a str, bool),
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    Close(u16, &'a str),
    /// So many bytes leave, and so many of those on the way arrive.
    Transmit(u16),
    Deliver(u32),
    Pass(u16),
    /// The transport towards this end is cut off, by an end or by a failure.
    Break(bool),
}

struct End {
    connection: Connection,
    chunks: bool,
    rooms: bool,
    /// What is on its way to here, and whether that is all.
    line: VecDeque<u8>,
    ends: bool,
    eof: bool,
    said: Vec<Message<'static>>,
    /// The fragments of a message that has not been ended.
    saying: Option<Message<'static>>,
    closed_by_us: Option<(CloseCode, String)>,
    heard: Vec<Message<'static>>,
    hearing: Option<Message<'static>>,
    /// How many of those that were heard have been compared.
    checked: usize,
}

fuzz_target!(|input: (Setup, Vec<(bool, Step<'_>)>)| {
    let (setup, steps) = input;
    let mut ends = [0, 1].map(|at| End::new(&setup, at));
    let mut now = Time::ZERO;
    let mut holds = true;
    for (server, step) in &steps {
        let [client_end, server_end] = &mut ends;
        let (us, peer) = if *server { (server_end, client_end) } else { (client_end, server_end) };
        match step {
            Step::Transmit(most) => us.transmit(peer, (*most).into(), now),
            Step::Deliver(most) => us.deliver(*most as usize, now),
            Step::Pass(tens) => {
                now += Duration::from_millis(u64::from(*tens) * 10);
                for end in &mut ends {
                    let before = end.connection.state();
                    end.connection.handle_timeout(now);
                    // Time is over: nothing is promised from here on.
                    holds &= before == end.connection.state();
                }
            }
            Step::Break(reset) => {
                holds = false;
                us.line.clear();
                us.ends = true;
                if *reset { us.connection.handle_reset() } else { us.connection.handle_eof(now) }
            }
            command => us.command(command, now),
        }
        let [client, server] = &mut ends;
        client.check_prefix(server);
        server.check_prefix(client);
    }

    // If nobody has closed it, the client does. Then all that can happen without a clock happens.
    let _ = ends[0].close(CloseCode::GOING_AWAY, "", now);
    let [client, server] = &mut ends;
    for _ in 0..4 {
        client.transmit(server, usize::MAX, now);
        server.deliver(usize::MAX, now);
        server.transmit(client, usize::MAX, now);
        client.deliver(usize::MAX, now);
    }
    client.check_prefix(server);
    server.check_prefix(client);
    if !holds {
        // The time to close is enough to end it, however the line was lost.
        now += Duration::from_secs(60);
        for end in [client, server] {
            end.connection.handle_timeout(now);
            assert_eq!(end.connection.state(), State::Closed);
        }
        return;
    }
    for (us, peer) in [(&*client, &*server), (&*server, &*client)] {
        assert_eq!(us.said.len(), peer.heard.len(), "all of it arrives");
        let closed = us.connection.closed().expect("it is over");
        assert_eq!(closed.cause, Cause::Clean);
        // §7.1.5: the code is the peer's, who echoes ours if it did not close by itself.
        let expected = match (&peer.closed_by_us, &us.closed_by_us) {
            (Some((code, reason)), _) => (*code, &reason[..]),
            (None, Some((code, _))) => (*code, ""),
            (None, None) => panic!("nobody closed it"),
        };
        assert_eq!((closed.code, &closed.reason[..]), expected);
    }
});

impl End {
    fn new(setup: &Setup, at: usize) -> End {
        let deflate = setup.deflate.map(|contexts| {
            let context = |(takeover, window_bits): (bool, u8)| DeflateContext { takeover, window_bits };
            let mut deflate = Deflate::default();
            (deflate.memory, deflate.threshold) = (1, 8);
            (deflate.send, deflate.receive) = (context(contexts[at]), context(contexts[1 - at]));
            deflate
        });
        let mut config = Config::default();
        config.high_water = setup.high_water.max(1).into();
        End {
            connection: connection([Role::Client, Role::Server][at], deflate, config),
            chunks: setup.chunks[at],
            rooms: setup.rooms[at],
            line: VecDeque::new(),
            ends: false,
            eof: false,
            said: vec![],
            saying: None,
            closed_by_us: None,
            heard: vec![],
            hearing: None,
            checked: 0,
        }
    }

    fn command(&mut self, command: &Step<'_>, now: Time) {
        let us = &mut self.connection;
        let open = us.state() == State::Open;
        let (room, unfinished) = (us.has_room(), self.saying.is_some());
        let message: Message<'static> = match command {
            Step::Text(text) | Step::Prepared(text) => Message::from(*text).into_owned(),
            Step::Binary(data) => Message::from(*data).into_owned(),
            Step::Long(seed, len) => {
                let byte = |i: u16| seed.wrapping_add(i as u8) ^ (i >> 8) as u8;
                Message::from((0..*len).map(byte).collect::<Vec<_>>())
            }
            Step::Fragment(data, fin) => return self.fragment(Message::from(*data), *fin),
            Step::TextFragment(text, fin) => return self.fragment(Message::from(*text), *fin),
            Step::Ping(payload) => {
                let fits = open && room && payload.len() <= 125;
                return assert_eq!(us.ping(payload, now).is_ok(), fits);
            }
            Step::Pong(payload) => {
                let fits = open && room && payload.len() <= 125;
                return assert_eq!(us.pong(payload).is_ok(), fits);
            }
            Step::Close(code, reason) => return self.close(CloseCode::new(*code), reason, now),
            _ => unreachable!("not a command"),
        };
        let outcome = match command {
            Step::Prepared(_) => us.send(&Prepared::new(&message)),
            Step::Long(..) => us.send(message.clone()),
            _ => us.send(&message),
        };
        let expected = match () {
            () if !open => Err(SendError::Closed),
            () if unfinished => Err(SendError::MessageUnfinished),
            () if !room => Err(SendError::Full),
            () => Ok(()),
        };
        assert_eq!(outcome, expected);
        if outcome.is_ok() {
            self.said.push(message);
        }
    }

    fn fragment(&mut self, data: Message<'_>, fin: bool) {
        if self.connection.send_fragment(&data, fin).is_ok() {
            append(&mut self.saying, data.into_owned());
            if fin {
                self.said.extend(self.saying.take());
            }
        }
    }

    fn close(&mut self, code: CloseCode, reason: &str, now: Time) {
        if self.connection.close(code, reason, now).is_ok() {
            assert!(self.closed_by_us.is_none());
            self.closed_by_us = Some((code, reason.to_owned()));
        }
    }

    fn transmit(&mut self, peer: &mut End, most: usize, now: Time) {
        let bytes: Vec<u8> = self.connection.transmits().flatten().copied().take(most).collect();
        self.connection.handle_transmitted(bytes.len(), now);
        if !peer.ends {
            peer.line.extend(bytes);
            peer.ends = self.connection.ends();
        }
    }

    fn deliver(&mut self, mut most: usize, now: Time) {
        while self.rooms
            && let Some(space) = self.connection.receive_space()
            && most > 0
            && !self.line.is_empty()
        {
            let len = space.len().min(most).min(self.line.len());
            space[..len].iter_mut().zip(self.line.drain(..len)).for_each(|(to, from)| *to = from);
            self.connection.handle_filled(len, now);
            most -= len;
            self.receive(&mut [], now);
        }
        let mut bytes: Vec<u8> = self.line.drain(..most.min(self.line.len())).collect();
        self.receive(&mut bytes, now);
        if self.ends && self.line.is_empty() && !self.eof {
            self.eof = true;
            self.connection.handle_eof(now);
        }
    }

    fn receive(&mut self, mut input: &mut [u8], now: Time) {
        loop {
            let event = match self.chunks {
                true => self.connection.receive_chunk(&mut input, now),
                // Both ways, in turn.
                false if input.len() % 2 == 0 => self.connection.receive_owned(&mut input, now),
                false => self.connection.receive(&mut input, now),
            };
            match event.expect("neither end breaks the protocol") {
                Some(Event::Message(message)) => self.heard.push(message.into_owned()),
                Some(Event::Chunk(chunk)) => {
                    assert_eq!(chunk.first, self.hearing.is_none());
                    append(&mut self.hearing, chunk.data.into_owned());
                    if chunk.last {
                        self.heard.extend(self.hearing.take());
                    }
                }
                Some(_) => {}
                None => break,
            }
        }
        assert!(input.is_empty());
    }

    /// What we have heard is the front of what the peer has said.
    fn check_prefix(&mut self, peer: &End) {
        let new = self.checked..self.heard.len();
        assert!(self.heard.len() <= peer.said.len() && self.heard[new.clone()] == peer.said[new]);
        self.checked = self.heard.len();
    }
}

fn append(to: &mut Option<Message<'static>>, part: Message<'static>) {
    *to = Some(match (to.take(), part) {
        (None, part) => part,
        (Some(Message::Text(front)), Message::Text(part)) => Message::from(front.into_owned() + &part),
        (Some(Message::Binary(front)), Message::Binary(part)) => Message::from([&front[..], &part].concat()),
        other => panic!("the type changed: {other:?}"),
    });
}
