//! §7, and all that has a clock: the whole protocol from the first byte to the last, for both
//! roles, as one state machine without a socket, a clock or a die.

mod config;
mod event;
mod liveness;
mod opening;
mod reading;
mod receive;
mod send;
mod state;
mod tell;
mod wants;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use crate::buffer::SendBuffer;
use crate::frame::{Decoder, Encoder, Opcode};
use crate::http::Response;
#[cfg(feature = "deflate")]
use crate::message::deflate::{self, Deflater, Inflater};
use crate::message::{Assembler, Delivery, Limits};
use crate::opening::Opening;
use crate::role::Role;
use crate::time::Time;
use crate::upgrade::{Agreement, Upgrade};
pub use config::{Config, Keepalive};
pub use event::Event;
use liveness::Liveness;
use reading::Ahead;
pub use reading::Reading;
pub use send::Unsent;
use state::Phase;
pub use state::{Cause, Closed, State};
pub use wants::{Ready, Step, Wants};

/// A WebSocket connection from its first byte to its last, without IO.
///
/// It begins with the opening handshake ([`server`](Self::server), [`client`](Self::client)), or after a
/// handshake that was made elsewhere ([`new`](Self::new)). Four kinds of method drive it, and any
/// order of calls is legal:
///
/// - *tell* it what happened: [`receive`](Self::receive), [`handle_eof`](Self::handle_eof),
///   [`handle_transmitted`](Self::handle_transmitted), [`handle_blocked`](Self::handle_blocked),
///   [`handle_timeout`](Self::handle_timeout), …
/// - tell it what to *do*: [`accept`](Self::accept), [`send`](Self::send),
///   [`send_fragment`](Self::send_fragment), [`ping`](Self::ping), [`close`](Self::close), …
/// - *take* what is next: [`wants`](Self::wants), [`transmits`](Self::transmits)
/// - *ask*: [`state`](Self::state), [`closed`](Self::closed), [`latency`](Self::latency), …
///
/// Memory is bounded by [`max_message_size`](Config::max_message_size), plus
/// [`high_water`](Config::high_water), plus what one buffer of events makes the application queue,
/// plus a few kilobytes, whatever the peer does.
///
/// ```
/// use openline::{Agreement, Config, Connection, Event, Message, Time, Upgrade};
///
/// let now = Time::ZERO;
/// let mut server = Connection::new(Upgrade::server(Agreement::default()), Config::default(), now);
/// let mut client = Connection::new(Upgrade::client(Agreement::default(), [7; 32]), Config::default(), now);
///
/// client.send("Hello")?;
/// let mut wire = client.next_transmit().unwrap().to_vec();
/// client.handle_transmitted(wire.len(), now);
///
/// let mut input = &mut wire[..];
/// while let Some(event) = server.receive(&mut input, now)? {
///     let Event::Message(message) = event else { continue };
///     assert_eq!(message, Message::from("Hello"));
///     server.send(message)?;
/// }
/// assert_eq!(server.next_transmit(), Some(&b"\x81\x05Hello"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Connection {
    role: Role,
    config: Arc<Config>,
    agreement: Agreement,
    phase: Phase,
    liveness: Liveness,
    /// The server's answer, in a client.
    response: Option<Box<Response>>,
    /// The 101 of a server, until it has left. Boxed: it leaves at once mostly.
    answer: Option<Box<Answer>>,

    // Reading.
    reading: Reading,
    /// In what form the application took its last event.
    delivery: Delivery,
    decoder: Decoder,
    assembler: Assembler,
    /// The payload of a control frame that did not come in one piece.
    control: Vec<u8>,
    /// Boxed: most of the time there is none.
    ahead: Option<Box<Ahead>>,

    // Writing.
    #[cfg(feature = "deflate")]
    deflater: Option<Box<Deflater>>,
    encoder: Encoder,
    out: SendBuffer,
    /// The type of the message that is being sent in fragments.
    sending: Option<Opcode>,
    /// The payload of the Pong that waits for room, see `queue_pong`.
    pong: Option<Vec<u8>>,
    /// Where the last Pong ends in the outgoing stream.
    pong_end: u64,
    /// Where our Close frame ends in the outgoing stream, once it is queued.
    close_end: Option<u64>,
    /// How much of the outgoing stream the transport has passed on, out of a buffer of its own.
    passed_on: u64,
    /// How much of it the transport had taken when it failed: that is not waited for.
    lost: u64,
    /// Whether the writing side of the transport has been shut down.
    shut_down: bool,
}

impl Connection {
    /// A connection that begins `now`, after the handshake that left `upgrade`.
    #[must_use]
    pub fn new(upgrade: Upgrade, config: impl Into<Arc<Config>>, now: Time) -> Connection {
        let mut connection = Connection::in_phase(Phase::Open, upgrade.role(), config.into(), now);
        connection.begin(upgrade, now);
        connection
    }

    /// A connection that begins with an opening handshake, of which it has `opening` to judge and
    /// `out` to send, and which must be over by then.
    pub(crate) fn opening(
        role: Role,
        opening: Box<dyn Opening>,
        out: &[u8],
        by: Time,
        config: Arc<Config>,
        now: Time,
    ) -> Connection {
        let phase = Phase::Opening { by, opening, eof: false };
        let mut connection = Connection::in_phase(phase, role, config, now);
        if !out.is_empty() {
            connection.out.run(out.len()).extend_from_slice(out);
        }
        connection
    }

    fn in_phase(phase: Phase, role: Role, config: Arc<Config>, now: Time) -> Connection {
        Connection {
            role,
            agreement: Agreement::default(),
            phase,
            liveness: Liveness::new(&config, now),
            response: None,
            answer: None,
            reading: Reading::Events,
            delivery: Delivery::Messages,
            decoder: Decoder::new(role),
            assembler: Assembler::new(limits(&config)),
            control: Vec::new(),
            ahead: None,
            #[cfg(feature = "deflate")]
            deflater: None,
            encoder: Encoder::new(None),
            out: SendBuffer::default(),
            sending: None,
            pong: None,
            pong_end: 0,
            close_end: None,
            passed_on: 0,
            lost: 0,
            shut_down: false,
            config,
        }
    }

    /// The opening handshake is done: what was agreed holds from now on.
    fn begin(&mut self, upgrade: Upgrade, now: Time) {
        #[cfg(feature = "deflate")]
        if let Some(agreed) = &upgrade.agreement.deflate {
            self.decoder = Decoder::with_rsv(self.role, deflate::RSV1);
            self.assembler.inflate_with(Inflater::new(agreed.receive));
            self.deflater = Some(Box::new(Deflater::new(agreed)));
        }
        self.liveness.opened(&self.config, now);
        self.encoder = Encoder::new(upgrade.entropy);
        self.agreement = upgrade.agreement;
    }

    // Ask.

    /// Which end this is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// What was agreed in the opening handshake.
    #[must_use]
    pub fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    /// Where the connection stands.
    #[must_use]
    #[inline]
    pub fn state(&self) -> State {
        self.phase.state()
    }

    /// How the connection ended, once it has.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        match &self.phase {
            Phase::CutOff(closed) | Phase::Closed(closed) => Some(closed),
            _ => None,
        }
    }

    /// The time from the last answered Ping to its Pong. The Ping counts from the
    /// moment when [`handle_transmitted`](Self::handle_transmitted) said that it had left.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.liveness.latency()
    }

    /// The limits and deadlines that hold.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Sets other limits and deadlines, which hold from now on. A message of which some has come
    /// is judged by its next frame. Time limits that run already count from where they began, but for
    /// that of the closing handshake, which stays as it is. The next Ping is sent when it was due
    /// before; one that was not due, for there was no keepalive, is due at once.
    pub fn set_config(&mut self, config: impl Into<Arc<Config>>) {
        let config = config.into();
        if self.config.keepalive.is_none() {
            self.liveness.begin_keepalive();
        }
        self.config = config;
        self.assembler.set_limits(limits(&self.config));
    }

    /// Whether fewer than [`Config::high_water`] bytes wait to be transmitted, or none, so
    /// that [`send`](Self::send) will not be refused for lack of room.
    #[must_use]
    #[inline]
    pub fn has_room(&self) -> bool {
        self.out.len() < self.config.high_water || self.out.is_empty()
    }

    /// How many bytes wait to be transmitted.
    #[must_use]
    #[inline]
    pub fn queued(&self) -> usize {
        self.out.len()
    }

    /// Where in the outgoing stream the last byte ends that has been queued so far. What was
    /// queued before has left once [`transmitted`](Self::transmitted) is not below this.
    #[must_use]
    #[inline]
    pub fn written(&self) -> u64 {
        self.out.written()
    }

    /// Where in the outgoing stream the last byte ends that must leave: that of our Close frame once it
    /// is queued, since what may follow it is Pongs; before that, [all](Self::written).
    #[must_use]
    pub fn owed(&self) -> u64 {
        self.close_end.unwrap_or_else(|| self.written())
    }

    /// How many bytes the transport has taken so far, and passed on if it has a buffer of its own.
    #[must_use]
    #[inline]
    pub fn transmitted(&self) -> u64 {
        self.passed_on
    }

    // Take.

    /// All bytes that wait to be transmitted, in order, for a vectored write.
    /// No slice is empty. Say how many have gone with
    /// [`handle_transmitted`](Self::handle_transmitted).
    pub fn transmits(&self) -> impl Iterator<Item = &[u8]> {
        self.out.slices()
    }

    /// The bytes to transmit next, if any wait: the front of [`transmits`](Self::transmits).
    #[must_use]
    #[inline]
    pub fn next_transmit(&self) -> Option<&[u8]> {
        match self.out.only_slice() {
            Some(bytes) => Some(bytes).filter(|bytes| !bytes.is_empty()),
            None => self.first_transmit(),
        }
    }

    /// Never inlined: mostly all lies in one piece.
    #[inline(never)]
    fn first_transmit(&self) -> Option<&[u8]> {
        self.transmits().next()
    }

    /// The next bytes to transmit, `most` at the most, as a value of their own, for a transport that keeps what it
    /// transmits: completion-based IO, HTTP/2, QUIC. Long payloads are not copied, and the bytes never
    /// change. They count as waiting until [`handle_transmitted`](Self::handle_transmitted) says
    /// that they have gone; [`transmits`](Self::transmits) goes on behind them.
    #[must_use]
    pub fn take_transmit(&mut self, most: usize) -> Option<Bytes> {
        self.out.take(most)
    }

    /// Whether something waits without which the end is not clean: our Close frame, or what is
    /// queued where there is none. What may follow our Close frame is Pongs (§5.5.2), which nobody
    /// needs then.
    #[inline]
    fn is_unsent(&self) -> bool {
        match self.close_end {
            Some(end) => self.passed_on < end,
            None => !self.out.is_empty() || self.is_unflushed(),
        }
    }

    fn clear_out(&mut self) {
        self.out.clear();
        (self.pong, self.answer) = (None, None);
        self.lost = self.out.transmitted();
    }
}

/// A 101 on its way.
struct Answer {
    /// Where it ends in the outgoing stream.
    end: u64,
    /// When it must have left.
    by: Time,
}

/// What the assembler has to know of a configuration.
fn limits(config: &Config) -> Limits {
    Limits { message_size: config.max_message_size, fragments: config.max_fragments }
}

/// No payload is shown: it is the application's, or the peer's.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role)
            .field("phase", &self.phase)
            .field("reading", &self.reading)
            .field("ahead", &self.ahead)
            .field("queued", &self.queued())
            .finish_non_exhaustive()
    }
}
