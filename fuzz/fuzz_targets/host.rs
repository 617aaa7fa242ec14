//! Whatever host drives a connection by `wants()`, with whatever transport, application and clock, and
//! whatever else it calls in between: it never runs in circles, never waits without a deadline while
//! something is to be waited for, has no deadline in the past once that was handled, holds no more memory
//! than it may, and comes to its end when the clock runs on.
#![no_main]

use std::time::Duration;

use allocation_counter::measure;
use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use openline::frame::Opcode;
use openline::{
    Accept, Client, ClientRequest, CloseCode, Config, Connection, Deflate, Event, Fault, HandshakeConfig, Keepalive,
    Reading, Ready, Response, Role, Server, State, Step, Time,
};
use openline_fuzz::{connection, frame, role};

#[derive(Arbitrary, Debug)]
struct Setup {
    server: bool,
    /// Whether it begins with the opening handshake.
    opens: bool,
    /// Whether permessage-deflate was agreed, where it does not open.
    deflate: bool,
    /// How the application takes messages.
    chunks: bool,
    limits: Limits,
    handshake_timeout: u8,
}

#[derive(Arbitrary, Debug)]
struct Limits {
    unlimited: bool,
    keepalive: Option<(u8, u8)>,
    stall_timeout: Option<u8>,
    close_timeout: u8,
}

#[derive(Arbitrary, Debug)]
enum Act<'a> {
    // The peer and the network.
    Comes(&'a [u8]),
    Frame {
        fin: bool,
        opcode: u8,
        payload: &'a [u8],
    },
    Long(u16),
    /// A compressed message of so many KiB, most of which may have to be inflated later.
    Compressed(u8),
    /// A request that is in order, or the answer to ours.
    Opening,
    PeerEnds,
    /// So many bytes more are taken.
    Room(u16),
    // The application.
    Reading(u8),
    Send(u16),
    Queue(u8),
    TrySend(u8),
    Fragment(u8, bool),
    Ping(u8),
    Close(u16),
    Accept,
    Reject,
    SetConfig(Limits),
    // The clock.
    Pass(u16),
    /// A host that asks for nothing, and calls this.
    Call(Call),
    /// The loop runs until it waits.
    Run,
}

#[derive(Arbitrary, Debug)]
enum Call {
    Timeout,
    Blocked,
    Transmitted(u8),
    Eof,
    Reset,
    WriteFailed,
    Shutdown,
    Late,
    Fill(u16),
    Hold(u8),
    Ahead(u8),
    Copied(u8),
    Owned(u8),
    /// One event, in chunks: the application is called away behind it.
    Chunk(u8),
    TakeTransmit(u16),
}

const LIMIT: usize = 20_000;
const HIGH_WATER: usize = 2000;

/// What a connection may hold besides: queues' own memory, 16 control events, a header, the handshake.
const CONSTANT: usize = 48 * 1024;

/// A compressor, an inflater, and what a thread keeps for all of them.
const DEFLATE: usize = 512 * 1024;

struct Host {
    us: Connection,
    server: bool,
    deflate: bool,
    chunks: bool,
    now: Time,
    config: Config,
    /// The highest limit of messages that has held.
    longest: u64,
    /// What lies in the transport, and whether the peer has ended it; the latter is told once.
    incoming: Vec<u8>,
    ended: bool,
    room: usize,
    /// What was read and could not be given.
    kept: Vec<u8>,
    events: u64,
    ends_told: u64,
    /// What the connection holds, and what it may hold.
    held: i64,
    queued_by_us: usize,
    kept_by_us: usize,
    blocked: bool,
}

fuzz_target!(|input: (Setup, Vec<Act<'_>>)| {
    let (setup, acts) = input;
    let ours = role(setup.server);
    let config = config(&setup.limits);
    let mut handshake = HandshakeConfig::default();
    handshake.timeout = Duration::from_millis(u64::from(setup.handshake_timeout) + 1);
    handshake.max_head = 4096;
    let us = match (setup.opens, ours) {
        (false, _) => connection(ours, setup.deflate.then(Deflate::default), config),
        (true, Role::Server) => Connection::server(&Server::default().handshake(handshake).config(config), Time::ZERO),
        (true, Role::Client) => {
            let client = Client::new(ClientRequest::new("ws://h/").expect("a URI"));
            Connection::client(&client.handshake(handshake).config(config), [7; 32], Time::ZERO)
        }
    };
    let mut host = Host {
        us,
        server: setup.server,
        deflate: setup.deflate && !setup.opens,
        chunks: setup.chunks,
        now: Time::ZERO,
        config,
        longest: config.max_message_size,
        incoming: vec![],
        ended: false,
        room: 0,
        kept: vec![],
        events: 0,
        ends_told: 0,
        held: 0,
        queued_by_us: 0,
        kept_by_us: 0,
        blocked: false,
    };
    for act in acts {
        let before = host.us.state();
        host.act(act);
        assert!(host.us.state() as u8 >= before as u8, "no way back");
        assert_eq!(host.us.wants().is_none(), host.us.state() == State::Closed);
    }

    // The peer does nothing any more, the application closes, and the clock runs on.
    host.run();
    let now = host.now;
    let _ = host.us.close(CloseCode::GOING_AWAY, "", now);
    for _ in 0..100 {
        host.run();
        let Some(wants) = host.us.wants() else { return };
        host.now = wants.until.expect("a connection that closes has a deadline");
    }
    panic!("100 deadlines, and it is not over: {:?}", host.us);
});

fn config(limits: &Limits) -> Config {
    // At least a millisecond: who asks to be woken at once is.
    let millis = |count: u8| Duration::from_millis(u64::from(count) + 1);
    let mut config = Config::default();
    config.max_message_size = if limits.unlimited { u64::MAX } else { LIMIT as u64 };
    config.max_fragments = 50;
    config.high_water = HIGH_WATER;
    config.keepalive = limits.keepalive.map(|(interval, timeout)| Keepalive::new(millis(interval), millis(timeout)));
    config.stall_timeout = limits.stall_timeout.map(millis);
    config.close_timeout = millis(limits.close_timeout);
    config
}

impl Host {
    fn act(&mut self, act: Act<'_>) {
        let now = self.now;
        match act {
            Act::Comes(bytes) => self.incoming.extend_from_slice(bytes),
            Act::Frame { fin, opcode, payload } => {
                let opcode = Opcode::new(opcode & 15).unwrap_or(Opcode::Binary);
                self.incoming.extend(frame(self.us.role().peer(), fin, 0, opcode, payload));
            }
            Act::Long(len) => {
                self.incoming.extend(frame(self.us.role().peer(), true, 0, Opcode::Binary, &vec![7; len.into()]));
            }
            Act::Compressed(len) => {
                let mut peer = connection(self.us.role().peer(), Some(Deflate::default()), Config::default());
                let _ = peer.send(vec![0; usize::from(len) * 1024]);
                self.incoming.extend(peer.transmits().flatten());
            }
            Act::Opening => self.incoming.extend(opening(self.server)),
            Act::PeerEnds => self.ended = true,
            Act::Room(len) => {
                self.room += usize::from(len);
                self.blocked = false;
            }
            Act::Reading(which) => {
                let reading = [Reading::Events, Reading::OneAhead, Reading::Paused][usize::from(which % 3)];
                self.tell(|us| us.set_reading(reading, now));
            }
            Act::Send(len) => {
                self.queued_by_us += usize::from(len);
                self.tell(|us| us.send(vec![7; len.into()]));
            }
            Act::Queue(len) => {
                self.queued_by_us += usize::from(len) + 14;
                self.tell(|us| us.queue("x".repeat(len.into())));
            }
            Act::TrySend(len) => {
                self.queued_by_us += usize::from(len);
                self.tell(|us| {
                    let may = us.check_send();
                    assert_eq!(us.try_send("x".repeat(len.into())).map_err(|unsent| unsent.error), may);
                });
            }
            Act::Fragment(len, fin) => {
                self.queued_by_us += usize::from(len);
                self.tell(|us| us.send_fragment(vec![7; len.into()], fin));
            }
            Act::Ping(len) => self.tell(|us| us.ping(&vec![7; len.into()], now)),
            Act::Close(code) => self.tell(|us| us.close(CloseCode::new(code), "", now)),
            Act::Accept => self.tell(|us| us.accept(Accept::default(), now)),
            Act::Reject => self.tell(|us| us.reject(Response::new(403), now)),
            Act::SetConfig(limits) => {
                self.config = config(&limits);
                self.longest = self.longest.max(self.config.max_message_size);
                let config = self.config;
                self.tell(|us| us.set_config(config));
            }
            Act::Pass(millis) => self.now += Duration::from_millis(millis.into()),
            Act::Call(call) => self.call(call),
            Act::Run => self.run(),
        }
    }

    /// A call into the connection, of which what it allocates is counted.
    fn tell<T>(&mut self, call: impl FnOnce(&mut Connection) -> T) {
        let us = &mut self.us;
        let info = measure(|| {
            let _ = call(us);
        });
        let message = 8 * LIMIT;
        let constant = if self.deflate { CONSTANT + DEFLATE } else { CONSTANT };
        let bound = message + HIGH_WATER + self.queued_by_us + self.kept_by_us + constant;
        // The payload of a message without a limit is the peer's to choose.
        let unlimited = self.longest == u64::MAX;
        assert!(unlimited || self.held + info.bytes_max as i64 <= bound as i64, "{} held", self.held);
        self.held += info.bytes_current;
        // What is dropped with an `Arc` of another configuration may have been made outside.
        self.held = self.held.max(0);
    }

    /// Any call at any time. What it is given of the incoming bytes it takes, or they are kept.
    fn call(&mut self, call: Call) {
        let now = self.now;
        match call {
            Call::Timeout => self.timeout(),
            Call::Blocked => self.blocked_now(),
            Call::Transmitted(len) => self.tell(|us| us.handle_transmitted(len.into(), now)),
            Call::Eof => self.tell(|us| us.handle_eof(now)),
            Call::Reset => self.tell(Connection::handle_reset),
            Call::WriteFailed => self.tell(|us| us.handle_write_failed(now)),
            Call::Shutdown => self.tell(Connection::handle_shutdown),
            Call::Late => self.tell(|us| us.handle_late(now)),
            Call::Fill(len) => self.tell(|us| {
                let Some(space) = us.receive_space() else { return };
                let len = space.len().min(len.into());
                space[..len].fill(7);
                us.handle_filled(len, now);
            }),
            Call::Hold(len) => {
                let bytes = self.some(len.into());
                self.kept_by_us += 2 * bytes.len();
                self.tell(|us| us.hold(&bytes));
            }
            Call::Ahead(len) => {
                let mut bytes = self.some(len.into());
                let mut input = &mut bytes[..];
                self.tell(|us| us.receive_ahead(&mut input, now));
                let rest = input.to_vec();
                self.kept_by_us += 2 * rest.len();
                self.tell(|us| us.hold(&rest));
            }
            Call::Copied(len) => {
                let bytes = self.some(len.into());
                let mut input = &bytes[..];
                self.kept_by_us += 2 * input.len();
                self.tell(|us| while goes_on(us.receive_copied(&mut input, now), input.is_empty()) {});
                assert!(input.is_empty());
            }
            Call::Owned(len) => {
                let mut bytes = self.some(len.into());
                let mut input = &mut bytes[..];
                self.tell(|us| while goes_on(us.receive_owned(&mut input, now), input.is_empty()) {});
                assert!(input.is_empty());
            }
            Call::Chunk(len) => {
                let mut bytes = self.some(len.into());
                let mut input = &mut bytes[..];
                self.tell(|us| us.receive_chunk(&mut input, now).map(drop));
                let rest = input.to_vec();
                self.kept.splice(..0, rest);
            }
            Call::TakeTransmit(most) => {
                // It is gone from where it waited, and counts until it was transmitted.
                let queued = self.us.queued();
                let taken = self.us.take_transmit(most.into());
                assert!(taken.is_none_or(|taken| !taken.is_empty() && taken.len() <= most.into()));
                assert_eq!(self.us.queued(), queued);
            }
        }
    }

    /// The next bytes that came, those that were kept first.
    fn some(&mut self, len: usize) -> Vec<u8> {
        let from = if self.kept.is_empty() { &mut self.incoming } else { &mut self.kept };
        let len = from.len().min(len);
        from.drain(..len).collect()
    }

    fn blocked_now(&mut self) {
        let now = self.now;
        self.blocked = true;
        self.tell(|us| us.handle_blocked(now));
    }

    fn timeout(&mut self) {
        let now = self.now;
        self.tell(|us| us.handle_timeout(now));
        let until = self.us.wants().and_then(|wants| wants.until);
        // What an opening handshake has to say when time is over is offered once, at that time.
        if until.is_some_and(|until| until <= now) {
            self.tell(|us| us.handle_timeout(now));
            let until = self.us.wants().and_then(|wants| wants.until);
            assert!(until.is_none_or(|until| until > now), "{:?}", self.us);
        }
    }

    /// Events, as the connection reads now.
    fn take_events(&mut self) {
        let (now, chunks) = (self.now, self.chunks);
        // Of a message that has come another limit says nothing any more.
        let limit = self.longest;
        let mut bytes = std::mem::take(&mut self.kept);
        let mut input = &mut bytes[..];
        // Who pauses is not paused when the other end has nothing to say any more.
        let reads = self.us.wants().is_some_and(|wants| wants.read);
        match self.us.reading() {
            Reading::OneAhead => self.tell(|us| us.receive_ahead(&mut input, now)),
            reading if reading == Reading::Events || reads => {
                let mut events = 0_u64;
                self.tell(|us| {
                    loop {
                        let event =
                            if chunks { us.receive_chunk(&mut input, now) } else { us.receive(&mut input, now) };
                        match &event {
                            Ok(Some(Event::Message(message))) => assert!(!chunks && message.len() as u64 <= limit),
                            Ok(Some(Event::Chunk(_))) => assert!(chunks),
                            _ => {}
                        }
                        events += 1;
                        if !goes_on(event, input.is_empty()) {
                            break;
                        }
                    }
                });
                self.events += events;
                assert!(input.is_empty(), "all that was given is taken");
            }
            _ => {}
        }
        self.kept = input.to_vec();
    }

    /// What the loop may change.
    fn fingerprint(&self) -> (u64, usize, State, usize, usize, u64, u64, bool) {
        let us = &self.us;
        let unread = self.incoming.len() + self.kept.len();
        (us.transmitted(), us.queued(), us.state(), unread, self.room, self.events, self.ends_told, us.has_ahead())
    }

    /// The loop that `wants` describes, until it waits.
    fn run(&mut self) {
        let mut ready = Ready { read: true, write: true };
        let (mut same, mut last) = (0, None);
        loop {
            self.take_events();
            let Some(wants) = self.us.wants() else { return };
            // A step that changes nothing says so of a direction, or of the clock: three, and a deadline of
            // each kind.
            let now = Some((self.fingerprint(), ready));
            same = if now == last { same + 1 } else { 0 };
            last = now;
            assert!(same < 4, "it runs in circles: {wants:?}, {:?}", self.us);
            let now = self.now;
            match wants.step(ready, now) {
                Step::Write => {
                    let len = self.us.transmits().flatten().take(self.room).count();
                    if len == 0 {
                        ready.write = false;
                        self.blocked_now();
                    } else {
                        self.room -= len;
                        self.blocked = false;
                        self.tell(|us| us.handle_transmitted(len, now));
                    }
                }
                Step::End => {
                    self.ends_told += 1;
                    self.tell(Connection::handle_shutdown);
                    assert!(!self.us.wants().is_some_and(|wants| wants.end), "it ends once");
                }
                Step::Read => {
                    assert!(self.kept.is_empty(), "what was read has not been taken");
                    if !self.incoming.is_empty() {
                        let space = self.us.receive_space().map(|space| space.len());
                        let len = self.incoming.len().min(space.unwrap_or(1000));
                        let bytes: Vec<u8> = self.incoming.drain(..len).collect();
                        if space.is_some() {
                            self.tell(|us| {
                                us.receive_space().expect("it has just been there")[..len].copy_from_slice(&bytes);
                                us.handle_filled(len, now);
                            });
                        } else {
                            self.kept = bytes;
                        }
                    } else if self.ended {
                        self.ends_told += 1;
                        self.tell(|us| us.handle_eof(now));
                        assert!(!self.us.wants().is_some_and(|wants| wants.read), "the end is read once");
                    } else {
                        ready.read = false;
                    }
                }
                Step::Timeout => self.timeout(),
                Step::Wait => {
                    assert!(wants.until.is_none_or(|until| until > now), "it waits for the past");
                    let blocked = self.blocked && wants.write && self.config.stall_timeout.is_some();
                    let must_end = self.us.state() != State::Open || self.config.keepalive.is_some() || blocked;
                    assert!(wants.until.is_some() || !must_end, "it waits without a deadline: {:?}", self.us);
                    return;
                }
            }
        }
    }
}

/// Whether to ask for events again. A fault that lay in what was held leaves the input to the next call.
fn goes_on(event: Result<Option<Event<'_>>, Fault>, all: bool) -> bool {
    match event {
        Ok(event) => event.is_some(),
        Err(_) => !all,
    }
}

/// A request that is in order, or the answer to the request of our client.
fn opening(to_server: bool) -> Vec<u8> {
    let client = Client::new(ClientRequest::new("ws://h/").expect("a URI"));
    let mut client = Connection::client(&client, [7; 32], Time::ZERO);
    let request: Vec<u8> = client.transmits().flatten().copied().collect();
    client.handle_reset();
    if to_server {
        return request;
    }
    let mut server = Connection::server(&Server::default(), Time::ZERO);
    let mut bytes = request;
    let _ = server.receive(&mut &mut bytes[..], Time::ZERO);
    let _ = server.accept(Accept::default(), Time::ZERO);
    server.transmits().flatten().copied().collect()
}
