//! §7, and all that has a clock: the whole protocol after the handshake, for both
//! roles, as one state machine without a socket, a clock or a die.

mod config;
mod event;
mod keepalive;
mod receive;
mod send;
mod state;

#[cfg(feature = "deflate")]
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use crate::buffer::SendBuffer;
use crate::frame::{Decoder, Encoder, Opcode};
#[cfg(feature = "deflate")]
use crate::message::deflate::{self, Deflater, Inflater};
use crate::message::{Assembler, Limits};
use crate::role::Role;
use crate::time::Time;
use crate::upgrade::{Agreement, Upgrade};
pub use config::{Config, Keepalive};
pub use event::Event;
use keepalive::{Due, Pulse};
pub use state::{Cause, Closed, State};
use state::{Input, Phase};

/// A WebSocket connection after its opening handshake, without IO.
///
/// Four kinds of method drive it, and any order of calls is legal:
///
/// - *tell* it what happened: [`receive`](Self::receive), [`handle_eof`](Self::handle_eof),
///   [`handle_transmitted`](Self::handle_transmitted), [`handle_timeout`](Self::handle_timeout)
/// - tell it what to *do*: [`send`](Self::send), [`send_fragment`](Self::send_fragment),
///   [`ping`](Self::ping), [`pong`](Self::pong), [`close`](Self::close)
/// - *take* what is next: [`poll_transmit`](Self::poll_transmit), [`poll_timeout`](Self::poll_timeout),
///   [`poll_shutdown`](Self::poll_shutdown)
/// - *ask*: [`state`](Self::state), [`closed`](Self::closed), [`latency`](Self::latency), …
///
/// Memory is bounded by [`max_message_size`](Config::max_message_size), plus
/// [`high_water`](Config::high_water), plus the last message queued for sending,
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
/// let mut wire = client.poll_transmit().unwrap().to_vec();
/// client.handle_transmitted(wire.len(), now);
///
/// let mut input = &mut wire[..];
/// while let Some(event) = server.receive(&mut input, now)? {
///     let Event::Message(message) = event else { continue };
///     assert_eq!(message, Message::from("Hello"));
///     server.send(message)?;
/// }
/// assert_eq!(server.poll_transmit(), Some(&b"\x81\x05Hello"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    role: Role,
    config: Config,
    agreement: Agreement,
    phase: Phase,
    pulse: Pulse,

    decoder: Decoder,
    assembler: Assembler,
    /// The payload of a control frame that did not come in one piece.
    control: Vec<u8>,

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
}

impl Connection {
    /// A connection that begins `now`, after the handshake that left `upgrade`.
    #[must_use]
    pub fn new(upgrade: Upgrade, config: Config, now: Time) -> Connection {
        let role = upgrade.role();
        let limits = Limits { message_size: config.max_message_size, fragments: config.max_fragments };
        #[allow(unused_mut, reason = "what extensions change")]
        let (mut decoder, mut assembler) = (Decoder::new(role), Assembler::new(limits));
        #[cfg(feature = "deflate")]
        if let Some(agreed) = &upgrade.agreement.deflate {
            decoder = Decoder::with_rsv(role, deflate::RSV1);
            assembler.inflate_with(Inflater::new(agreed.receive));
        }
        Connection {
            role,
            config,
            #[cfg(feature = "deflate")]
            deflater: upgrade.agreement.deflate.as_ref().map(|agreed| Box::new(Deflater::new(agreed))),
            agreement: upgrade.agreement,
            phase: Phase::Open,
            pulse: Pulse::new(config.keepalive, now),
            decoder,
            assembler,
            control: Vec::new(),
            encoder: Encoder::new(upgrade.entropy),
            out: SendBuffer::default(),
            sending: None,
            pong: None,
            pong_end: 0,
        }
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
            Phase::Closed(closed) => Some(closed),
            _ => None,
        }
    }

    /// The time from the last answered Ping to its Pong. The Ping counts from the
    /// moment when [`handle_transmitted`](Self::handle_transmitted) said that it had left.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.pulse.latency()
    }

    /// Whether fewer than [`Config::high_water`] bytes wait to be transmitted, so
    /// that [`send`](Self::send) will not be refused for lack of room.
    #[must_use]
    #[inline]
    pub fn has_room(&self) -> bool {
        self.out.len() < self.config.high_water
    }

    /// How many bytes wait to be transmitted.
    #[must_use]
    #[inline]
    pub fn queued(&self) -> usize {
        self.out.len()
    }

    /// All that waits to be transmitted, if it lies in one piece.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn only_transmit(&self) -> Option<&[u8]> {
        self.out.only_slice()
    }

    /// Whether a Ping waits for its Pong, so that [`handle_transmitted`](Self::handle_transmitted)
    /// has to be told the time.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn awaits_pong(&self) -> bool {
        self.pulse.is_waiting()
    }

    /// Whether there is a limit to what a message may make us gather.
    #[cfg(feature = "std")]
    pub(crate) fn has_message_limit(&self) -> bool {
        self.config.max_message_size < u64::MAX
    }

    // Take.

    /// The bytes to transmit next, if any wait: the front of
    /// [`transmits`](Self::transmits). Say how many have gone with
    /// [`handle_transmitted`](Self::handle_transmitted).
    #[must_use]
    pub fn poll_transmit(&self) -> Option<&[u8]> {
        self.transmits().next()
    }

    /// All bytes that wait to be transmitted, in order, for a vectored write.
    /// No slice is empty.
    pub fn transmits(&self) -> impl Iterator<Item = &[u8]> {
        self.out.slices()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if nothing else happens
    /// before. Ask again after every other call; the answer may move both ways.
    #[must_use]
    #[inline]
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.phase {
            Phase::Open => self.pulse.deadline(self.config.keepalive),
            _ => self.phase.deadline(),
        }
    }

    /// Whether to shut down the writing side of the transport (for TCP, send FIN):
    /// all that was to be sent has been, and it is our turn.
    ///
    /// §7.1.1: of two ends that have both said Close, the server goes first; the
    /// client waits for it. An end that has failed the connection does not wait.
    #[must_use]
    #[inline]
    pub fn poll_shutdown(&self) -> bool {
        let ours = match self.phase {
            Phase::Open | Phase::CloseSent { .. } => false,
            Phase::Draining { .. } => self.role == Role::Server,
            Phase::Failing { .. } | Phase::Flushing { .. } | Phase::Closed(_) => true,
        };
        ours && self.out.is_empty()
    }

    // Tell.

    /// The transport took the first `len` of the bytes that waited.
    pub fn handle_transmitted(&mut self, len: usize, now: Time) {
        let before = self.out.transmitted();
        self.out.advance(len);
        self.pulse.transmitted(before, self.out.transmitted(), now);
        self.queue_late_pong();
        if matches!(self.phase, Phase::Flushing { .. }) && self.out.is_empty() {
            self.phase.on(Input::Flushed);
        }
    }

    /// The peer has ended its side of the transport (for TCP, a read of 0 bytes). There
    /// is nothing more to read then.
    ///
    /// The connection is [`Closed`](State::Closed), cleanly if both ends had sent their
    /// Close frames; but if bytes wait, only once they have been transmitted or
    /// [`Config::close_timeout`] is over.
    pub fn handle_eof(&mut self, now: Time) {
        let by = now + self.config.close_timeout;
        self.phase.on(Input::Eof { by, unsent: !self.out.is_empty() });
    }

    /// The transport has failed, and carries nothing any more.
    pub fn handle_reset(&mut self) {
        self.phase.on(Input::Reset { unsent: !self.out.is_empty() });
        self.out.clear();
        self.pong = None;
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) gave has come. Too early a
    /// call does nothing; a late one (after a suspend, say) does what is due now and
    /// no more. Read what has arrived before this, so that an answer that lies there
    /// counts.
    #[inline]
    pub fn handle_timeout(&mut self, now: Time) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.pass_deadline(now);
        }
    }

    fn pass_deadline(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Open) {
            self.phase.on(Input::TimedOut { unsent: !self.out.is_empty() });
            self.out.clear();
            return;
        }
        match self.pulse.due(self.config.keepalive, now) {
            Due::Nothing => {}
            Due::Ping(payload) => self.queue_ping(&payload, now),
            Due::Dead => {
                self.phase.on(Input::PongOverdue);
                self.out.clear();
            }
        }
    }
}
