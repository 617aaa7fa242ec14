//! §7, and everything that has a deadline: the whole protocol from the first byte to the last, for both roles, as one
//! state machine without IO, clock or random source.

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
use state::{Begun, Phase};
pub use state::{Cause, Closed, State};
pub use wants::{Ready, Step, Wants};

/// A WebSocket connection from its first byte to its last, without IO.
///
/// It begins with the opening handshake ([`server`](Self::server), [`client`](Self::client)), or after a handshake
/// that other code made ([`new`](Self::new)). It has four kinds of methods, and any order of calls is legal:
///
/// - *tell* it what happened: [`receive`](Self::receive), [`handle_eof`](Self::handle_eof),
///   [`handle_transmitted`](Self::handle_transmitted), [`handle_blocked`](Self::handle_blocked),
///   [`handle_timeout`](Self::handle_timeout), …
/// - tell it what to *do*: [`accept`](Self::accept), [`send`](Self::send),
///   [`send_fragment`](Self::send_fragment), [`ping`](Self::ping), [`close`](Self::close), …
/// - *take* what is next: [`wants`](Self::wants), [`transmits`](Self::transmits), …
/// - *ask*: [`state`](Self::state), [`closed`](Self::closed), [`latency`](Self::latency), …
///
/// Whatever the peer does, memory is bounded: [`manual`](crate::manual) has the limits.
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
///     server.queue(message)?;
/// }
/// assert_eq!(server.next_transmit(), Some(&b"\x81\x05Hello"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Connection {
    role: Role,
    config: Arc<Config>,
    phase: Phase,
    liveness: Liveness,
    /// `None` if it is nothing, as for most servers.
    agreed: Option<Box<Agreed>>,
    /// What is rarely there. While it is there, the general paths are taken.
    cold: Option<Box<Cold>>,

    // Reading.
    reading: Reading,
    /// In what form the application took its last event.
    delivery: Delivery,
    decoder: Decoder,
    assembler: Assembler,
    /// It is boxed, since most of the time there is none.
    ahead: Option<Box<Ahead>>,

    // Writing.
    encoder: Encoder,
    out: SendBuffer,
    /// The type of the message that is being sent in fragments.
    sending: Option<Opcode>,
    /// The mark where the last Pong ends.
    pong_end: u64,
    /// The mark up to which the transport has passed on the outgoing stream.
    passed_on: u64,
    /// Whether bytes were dropped that had to leave.
    has_lost: bool,
    /// Whether the writing side of the transport has been shut down.
    shut_down: bool,
}

impl Connection {
    /// A connection that begins `now`, after an opening handshake with the result `upgrade`.
    #[must_use]
    pub fn new(upgrade: Upgrade, config: impl Into<Arc<Config>>, now: Time) -> Connection {
        let mut connection = Connection::in_phase(Phase::Open, upgrade.role(), config.into(), now);
        connection.begin(upgrade, None, now);
        connection
    }

    /// A connection that begins with an opening handshake: `opening` judges what comes, `out` is sent first, and it
    /// must be over at the time `by`.
    pub(crate) fn opening(
        role: Role,
        opening: impl Opening + 'static,
        out: &[u8],
        by: Time,
        config: Arc<Config>,
        now: Time,
    ) -> Connection {
        let phase = Phase::Opening(Box::new(Begun { by, eof: false, opening }));
        let mut connection = Connection::in_phase(phase, role, config, now);
        if !out.is_empty() {
            connection.out.run(out.len()).extend_from_slice(out);
        }
        connection
    }

    fn in_phase(phase: Phase, role: Role, config: Arc<Config>, now: Time) -> Connection {
        Connection {
            role,
            phase,
            liveness: Liveness::new(&config, now),
            agreed: None,
            cold: None,
            reading: Reading::Events,
            delivery: Delivery::Messages,
            decoder: Decoder::new(role),
            assembler: Assembler::default(),
            ahead: None,
            encoder: Encoder::new(None),
            out: SendBuffer::default(),
            sending: None,
            pong_end: 0,
            passed_on: 0,
            has_lost: false,
            shut_down: false,
            config,
        }
    }

    /// The opening handshake is done. What was agreed on holds from now on.
    fn begin(&mut self, upgrade: Upgrade, response: Option<Box<Response>>, now: Time) {
        let Upgrade { agreement, entropy } = upgrade;
        self.liveness.opened(&self.config, now);
        self.encoder = Encoder::new(entropy);
        if response.is_none() && agreement == NOTHING_AGREED {
            return;
        }
        #[cfg(feature = "deflate")]
        let deflater = agreement.deflate.as_ref().map(|agreed| {
            self.decoder = Decoder::with_rsv(self.role, deflate::RSV1);
            self.assembler.inflate_with(Inflater::new(agreed.receive));
            Deflater::new(agreed)
        });
        self.agreed = Some(Box::new(Agreed {
            agreement,
            response,
            #[cfg(feature = "deflate")]
            deflater,
        }));
    }

    // Ask.

    /// Which end this is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// What was agreed on in the opening handshake.
    #[must_use]
    pub fn agreement(&self) -> &Agreement {
        self.agreed.as_ref().map_or(&NOTHING_AGREED, |agreed| &agreed.agreement)
    }

    /// Where the connection stands.
    #[must_use]
    #[inline]
    pub fn state(&self) -> State {
        self.phase.state()
    }

    /// Whether messages go both ways.
    #[inline]
    #[cfg(feature = "std")]
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether the connection closes or is closed.
    #[inline]
    #[cfg(feature = "std")]
    pub(crate) fn has_begun_to_close(&self) -> bool {
        !matches!(self.phase, Phase::Open | Phase::Opening(_))
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

    /// Sets other limits and deadlines, which hold from now on. An unfinished message is judged by them at its next
    /// frame. A running time limit counts from when it began; that of the closing handshake is not changed. The next
    /// Ping is sent when it was due before. If there was no keepalive before, the first Ping is due at once.
    pub fn set_config(&mut self, config: impl Into<Arc<Config>>) {
        let config = config.into();
        if self.config.keepalive.is_none() && config.keepalive.is_some() {
            self.liveness.begin_keepalive();
        }
        self.config = config;
    }

    /// Whether fewer than [`Config::high_water`] bytes wait to be transmitted, or none: then [`send`](Self::send) does
    /// not fail with [`SendError::Full`](crate::SendError::Full).
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

    /// The mark (a place in the outgoing stream) behind the last byte that has been queued. All that is queued now has
    /// left once [`transmitted`](Self::transmitted) is not below this.
    #[must_use]
    #[inline]
    pub fn written(&self) -> u64 {
        self.out.written()
    }

    /// The mark behind the last byte that must leave. Once our Close frame is queued this is its end, since only Pongs
    /// may follow it; before that it is [`written`](Self::written).
    #[must_use]
    pub fn owed(&self) -> u64 {
        self.close_end().unwrap_or_else(|| self.written())
    }

    /// How many bytes the transport has taken so far. If it has a buffer of its own, those that it has passed on.
    #[must_use]
    #[inline]
    pub fn transmitted(&self) -> u64 {
        self.passed_on
    }

    /// Whether bytes that were queued will never leave, because the transport has failed or the connection has ended
    /// before. Pongs behind our Close frame do not count.
    #[must_use]
    pub fn has_lost(&self) -> bool {
        self.has_lost
    }

    // Take.

    /// All bytes that wait to be transmitted, in order, for a vectored write. They stay queued until
    /// [`handle_transmitted`](Self::handle_transmitted) says how many have gone. No slice is empty.
    pub fn transmits(&self) -> impl Iterator<Item = &[u8]> {
        self.out.slices()
    }

    /// The bytes to transmit next, if any wait: the front of [`transmits`](Self::transmits).
    #[must_use]
    #[inline]
    pub fn next_transmit(&self) -> Option<&[u8]> {
        Some(self.out.first_slice()).filter(|bytes| !bytes.is_empty())
    }

    /// At most `most` of the next bytes to transmit, for a transport that must own what it transmits: completion-based
    /// IO, HTTP/2, QUIC. Long payloads are not copied, and the bytes never change. They count as waiting until
    /// [`handle_transmitted`](Self::handle_transmitted) says that they have gone. [`transmits`](Self::transmits) goes
    /// on behind them.
    #[must_use]
    pub fn take_transmit(&mut self, most: usize) -> Option<Bytes> {
        self.out.take(most)
    }

    /// Whether bytes wait that must leave before the end: up to our Close frame, or all if there is none. Pongs that
    /// follow our Close frame (§5.5.2) need not leave.
    #[inline]
    fn is_unsent(&self) -> bool {
        match self.close_end() {
            Some(end) => self.passed_on < end,
            None => !self.out.is_empty() || self.is_unflushed(),
        }
    }

    /// The part of the configuration that the assembler needs.
    #[inline]
    fn limits(&self) -> Limits {
        Limits { message_size: self.config.max_message_size, fragments: self.config.max_fragments }
    }

    fn clear_out(&mut self) {
        self.has_lost |= self.is_unsent();
        self.out.clear();
        let lost = self.out.transmitted();
        if lost > 0 || self.cold.is_some() {
            let cold = self.cold();
            (cold.pong, cold.answer, cold.lost) = (None, None, lost);
        }
    }

    // What is rarely there.

    fn cold(&mut self) -> &mut Cold {
        self.cold.get_or_insert_default()
    }

    /// To be called when something in it has been taken out.
    fn tidy_cold(&mut self) {
        self.cold.take_if(|cold| cold.is_empty());
    }

    #[inline]
    fn answer(&self) -> Option<&Answer> {
        self.cold.as_ref()?.answer.as_ref()
    }

    fn close_end(&self) -> Option<u64> {
        self.cold.as_ref()?.close_end
    }

    fn lost(&self) -> u64 {
        self.cold.as_ref().map_or(0, |cold| cold.lost)
    }

    #[inline]
    #[cfg(feature = "deflate")]
    fn deflater(&self) -> Option<&Deflater> {
        self.agreed.as_ref()?.deflater.as_ref()
    }
}

/// What the opening handshake has brought.
#[derive(Default)]
struct Agreed {
    agreement: Agreement,
    /// The server's answer, in a client.
    response: Option<Box<Response>>,
    #[cfg(feature = "deflate")]
    deflater: Option<Deflater>,
}

/// What most servers agree on.
static NOTHING_AGREED: Agreement = Agreement {
    subprotocol: None,
    #[cfg(feature = "deflate")]
    deflate: None,
};

/// What is there while a 101 leaves, while a control frame comes in pieces, while the peer does not take what is sent,
/// and when the connection ends. An idle connection has none of it.
#[derive(Default)]
struct Cold {
    /// The 101 of a server, until it has left.
    answer: Option<Answer>,
    /// The payload of a control frame that did not come in one piece.
    control: Vec<u8>,
    /// The payload of a Pong that is not queued yet, see `queue_pong`.
    pong: Option<Vec<u8>>,
    /// The mark where our Close frame ends, once it is queued.
    close_end: Option<u64>,
    /// The mark up to which the transport had taken it when it failed. Those bytes are not waited for.
    lost: u64,
}

impl Cold {
    fn is_empty(&self) -> bool {
        let Cold { answer, control, pong, close_end, lost } = self;
        answer.is_none() && control.is_empty() && pong.is_none() && close_end.is_none() && *lost == 0
    }
}

/// A 101 that has not left yet.
struct Answer {
    /// The mark where it ends.
    end: u64,
    /// When it must have left.
    by: Time,
}

/// `Debug` shows no payload.
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
