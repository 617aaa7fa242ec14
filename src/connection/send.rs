//! The sending half of a [`Connection`]: commands in, bytes out. Every frame is queued whole, so no frame can come
//! inside another.

#![expect(clippy::arithmetic_side_effects, reason = "a header of 14 bytes and a payload that lies in memory")]

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

#[cfg(feature = "deflate")]
use super::Agreed;
use super::Connection;
use super::state::{Input, Phase};
use crate::buffer::SendBuffer;
use crate::code::CloseCode;
use crate::error::SendError;
use crate::frame::{CloseFrame, Encoder, FirstByte, Header, MAX_CONTROL_PAYLOAD, Opcode};
#[cfg(feature = "deflate")]
use crate::message::deflate;
use crate::message::{BytesMessage, Message, Outgoing, Payload, Prepared};
use crate::role::Role;
use crate::time::Time;

impl Connection {
    /// Queues a message in one frame. The message is anything that converts into a [`Message`], or [`Bytes`], or a
    /// reference to a [`Prepared`] message.
    ///
    /// A borrowed payload is copied; a client masks it meanwhile. An owned payload of 4 KiB or more is not
    /// copied: a client masks it where it lies, and it is transmitted from there.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if there is [no room](Self::has_room),
    /// [`SendError::NotOpen`] before the opening handshake is done,
    /// [`SendError::Closed`] once closing has begun,
    /// [`SendError::MessageUnfinished`] between the fragments of another message.
    #[inline]
    pub fn send<'m>(&mut self, message: impl Into<Outgoing<'m>>) -> Result<(), SendError> {
        self.check_send()?;
        self.queue_message(message.into());
        Ok(())
    }

    /// What [`send`](Self::send) would say to a message now, without one. A message that is
    /// [unfinished](SendError::MessageUnfinished) comes before a want of room: a loop that waits for room asks
    /// [`has_room`](Self::has_room).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    #[inline]
    pub fn check_send(&self) -> Result<(), SendError> {
        self.check_whole()?;
        self.check_room()
    }

    /// As [`send`](Self::send), but gives the message back if it cannot be queued.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), with the message.
    ///
    /// ```
    /// # use openline::{Agreement, Config, Connection, SendError, Time, Upgrade};
    /// # let mut config = Config::default();
    /// # config.high_water = 1;
    /// # let mut connection = Connection::new(Upgrade::server(Agreement::default()), config, Time::ZERO);
    /// connection.try_send("first").unwrap();
    /// let unsent = connection.try_send(String::from("second")).unwrap_err();
    /// assert_eq!((unsent.error, unsent.message), (SendError::Full, String::from("second")));
    /// ```
    pub fn try_send<'m, M: Into<Outgoing<'m>>>(&mut self, message: M) -> Result<(), Unsent<M>> {
        match self.check_send() {
            Ok(()) => {
                self.queue_message(message.into());
                Ok(())
            }
            Err(error) => Err(Unsent { error, message }),
        }
    }

    /// As [`send`](Self::send), but it needs no [room](Self::has_room). It is for a host that answers all events of a
    /// buffer and cannot stop in the middle. To bound the memory, such a host must stop
    /// [reading](Self::set_reading) while there is no room.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), without [`SendError::Full`].
    // Always inlined: most callers know which kind of message they have, and of the four kinds one is left.
    #[inline(always)]
    pub fn queue<'m>(&mut self, message: impl Into<Outgoing<'m>>) -> Result<(), SendError> {
        self.check_whole()?;
        self.queue_message(message.into());
        Ok(())
    }

    /// Queues the next fragment of a message (§5.4). `fin` says whether it is the last one. The first fragment begins
    /// the message and sets its type. Between the fragments control frames may be sent, but no other message.
    ///
    /// # Errors
    ///
    /// [`SendError::TypeChanged`] if the type is not the first fragment's;
    /// otherwise as [`send`](Self::send).
    ///
    /// ```
    /// # use openline::{Agreement, Config, Connection, SendError, Time, Upgrade};
    /// # let upgrade = Upgrade::server(Agreement::default());
    /// # let mut connection = Connection::new(upgrade, Config::default(), Time::ZERO);
    /// connection.send_fragment("Hel", false)?;
    /// assert_eq!(connection.send("another"), Err(SendError::MessageUnfinished));
    /// connection.send_fragment("lo", true)?;
    /// assert_eq!(connection.next_transmit(), Some(&b"\x01\x03Hel\x80\x02lo"[..]));
    /// # Ok::<(), SendError>(())
    /// ```
    pub fn send_fragment<'m>(&mut self, data: impl Into<Message<'m>>, fin: bool) -> Result<(), SendError> {
        let data = data.into();
        self.check_fragment(&data)?;
        self.check_room()?;
        self.queue_next_fragment(data, fin);
        Ok(())
    }

    /// As [`send_fragment`](Self::send_fragment), but it needs no room, as [`queue`](Self::queue).
    ///
    /// # Errors
    ///
    /// As [`send_fragment`](Self::send_fragment), without [`SendError::Full`].
    pub fn queue_fragment<'m>(&mut self, data: impl Into<Message<'m>>, fin: bool) -> Result<(), SendError> {
        let data = data.into();
        self.check_fragment(&data)?;
        self.queue_next_fragment(data, fin);
        Ok(())
    }

    /// Queues a Ping (§5.5.2). Its Pong sets [`latency`](Self::latency), unless
    /// another Ping is sent before it comes.
    ///
    /// # Errors
    ///
    /// [`SendError::ControlTooLong`] above 125 bytes, [`SendError::Full`],
    /// [`SendError::NotOpen`] before the opening handshake is done, [`SendError::Closed`] once closing has begun.
    pub fn ping(&mut self, payload: &[u8], now: Time) -> Result<(), SendError> {
        self.check_control(payload)?;
        self.queue_ping(payload, now);
        Ok(())
    }

    /// Queues a Pong that answers no Ping (§5.5.3). The core answers Pings by itself.
    ///
    /// # Errors
    ///
    /// As [`ping`](Self::ping).
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.check_control(payload)?;
        self.queue_control(Opcode::Pong, payload);
        Ok(())
    }

    /// Queues a Close frame and begins the closing handshake (§7.1.2), which must end within
    /// [`Config::close_timeout`](crate::Config::close_timeout). Everything that was queued before is transmitted first. If
    /// reading is [`Paused`](crate::Reading::Paused), set [`Events`](crate::Reading::Events): the peer's answer must be read.
    /// [`CloseCode::NO_STATUS`] with an empty reason makes a Close frame without a body. A message whose last fragment
    /// has not been sent stays unfinished.
    ///
    /// # Errors
    ///
    /// [`SendError::CloseCodeInvalid`], [`SendError::CloseReasonTooLong`],
    /// [`SendError::NotOpen`] before the opening handshake is done, or
    /// [`SendError::Closed`] if closing has begun already, from either end.
    pub fn close(&mut self, code: CloseCode, reason: &str, now: Time) -> Result<(), SendError> {
        let payload = CloseFrame::encode(code, reason)?;
        self.check_open()?;
        self.queue_last(&payload);
        self.phase.on(Input::CloseQueued { by: now + self.config.close_timeout });
        // The application sends nothing any more, so a Close frame that was read ahead need not wait.
        self.act_on_close_ahead(now);
        Ok(())
    }

    /// Whether a whole message may be sent.
    fn check_whole(&self) -> Result<(), SendError> {
        self.check_open()?;
        // §5.4: the fragments of one message come without those of another between them.
        if self.sending.is_some() { Err(SendError::MessageUnfinished) } else { Ok(()) }
    }

    /// §5.4: all fragments of a message have the type of the first.
    fn check_fragment(&self, data: &Message<'_>) -> Result<(), SendError> {
        self.check_open()?;
        match self.sending {
            Some(first) if first != data.opcode() => Err(SendError::TypeChanged),
            _ => Ok(()),
        }
    }

    fn queue_next_fragment(&mut self, data: Message<'_>, fin: bool) {
        let (opcode, payload) = parts(data);
        let first = self.sending.is_none();
        self.sending = (!fin).then_some(opcode);
        self.queue_data(fin, if first { opcode } else { Opcode::Continuation }, payload);
    }

    #[inline]
    fn check_open(&self) -> Result<(), SendError> {
        if matches!(self.phase, Phase::Open) { Ok(()) } else { self.check_unless_open() }
    }

    /// It is never inlined, since most connections that send are open.
    #[inline(never)]
    fn check_unless_open(&self) -> Result<(), SendError> {
        // §5.5.1: no more data frames after a Close frame.
        match self.phase {
            Phase::Open => Ok(()),
            Phase::Opening(_) => Err(SendError::NotOpen),
            _ => Err(SendError::Closed),
        }
    }

    fn check_room(&self) -> Result<(), SendError> {
        if self.has_room() { Ok(()) } else { Err(SendError::Full) }
    }

    fn check_control(&self, payload: &[u8]) -> Result<(), SendError> {
        self.check_open()?;
        // §5.5: the payload of a control frame is at most 125 bytes.
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(SendError::ControlTooLong { len: payload.len() });
        }
        self.check_room()
    }

    /// It is always inlined, since most callers know which kind of message they have.
    #[inline(always)]
    fn queue_message(&mut self, message: Outgoing<'_>) {
        match message {
            Outgoing::Message(message) if message.is_owned() && message.len() >= BLOCK => self.queue_block(message),
            // The common case: a short or borrowed payload.
            Outgoing::Message(message) => self.queue_copy(true, message.opcode(), message.as_bytes()),
            Outgoing::Prepared(message) => self.queue_prepared(message),
            Outgoing::Bytes(message) => self.queue_bytes(message),
        }
    }

    #[inline(never)]
    fn queue_block(&mut self, message: Message<'_>) {
        let (opcode, payload) = parts(message);
        self.queue_data(true, opcode, payload);
    }

    #[inline(never)]
    fn queue_bytes(&mut self, message: BytesMessage) {
        let (opcode, payload) = message.into_parts();
        self.queue_data(true, opcode, payload);
    }

    fn queue_prepared(&mut self, message: &Prepared) {
        match self.prepared_frame(message) {
            Some(frame) if frame.len() >= BLOCK => self.out.push_block(frame.clone()),
            Some(frame) => self.out.run(frame.len()).extend_from_slice(frame),
            None => self.queue_copy(true, message.opcode(), message.payload()),
        }
    }

    /// The encoded frame, if this connection can send it without changes.
    fn prepared_frame<'m>(&self, message: &'m Prepared) -> Option<&'m Bytes> {
        if self.role == Role::Client {
            return None;
        }
        #[cfg(feature = "deflate")]
        if let Some(deflater) = self.deflater() {
            return message.deflated(deflater);
        }
        Some(message.uncompressed())
    }

    /// It is always inlined: the call would take a tenth of what a short message does.
    #[inline(always)]
    fn queue_copy(&mut self, fin: bool, opcode: Opcode, payload: &[u8]) {
        #[cfg(feature = "deflate")]
        if self.deflater().is_some() {
            return self.queue_deflated(fin, opcode, Payload::Borrowed(payload));
        }
        let out = self.out.run(Header::MAX_SIZE + payload.len());
        self.encoder.frame(out, FirstByte { fin, rsv: 0, opcode }, payload);
    }

    fn queue_data(&mut self, fin: bool, opcode: Opcode, payload: Payload<'_>) {
        #[cfg(feature = "deflate")]
        if self.deflater().is_some() {
            return self.queue_deflated(fin, opcode, payload);
        }
        queue_frame(&mut self.encoder, &mut self.out, FirstByte { fin, rsv: 0, opcode }, payload);
    }

    /// RFC 7692 §6: queues a frame of a message that may be sent compressed. It is never inlined, since its locals
    /// would give the common case a large stack frame.
    #[cfg(feature = "deflate")]
    #[inline(never)]
    fn queue_deflated(&mut self, fin: bool, opcode: Opcode, payload: Payload<'_>) {
        let Connection { agreed: Some(agreed), encoder, out, .. } = self else { return };
        let Agreed { deflater: Some(deflater), .. } = &mut **agreed else { return };
        let begins = opcode != Opcode::Continuation;
        // RFC 7692 §6.1: only the first frame has RSV1.
        let uncompressed = FirstByte { fin, rsv: 0, opcode };
        let compressed = FirstByte { rsv: if begins { deflate::RSV1 } else { 0 }, ..uncompressed };
        let data = payload.as_slice();
        if !(begins && fin) {
            return deflater.fragment(data, fin, |payload| queue_frame(encoder, out, compressed, payload.into()));
        }
        let mut pays = false;
        if deflater.wants(data.len()) {
            deflater.message(data, |shorter| {
                if let Some(shorter) = shorter {
                    pays = true;
                    queue_frame(encoder, out, compressed, shorter.into());
                }
            });
        }
        if !pays {
            queue_frame(encoder, out, uncompressed, payload);
        }
    }

    fn queue_control(&mut self, opcode: Opcode, payload: &[u8]) {
        let out = self.out.run(Header::MAX_SIZE + payload.len());
        self.encoder.frame(out, FirstByte { fin: true, rsv: 0, opcode }, payload);
    }

    pub(super) fn queue_ping(&mut self, payload: &[u8], now: Time) {
        self.queue_control(Opcode::Ping, payload);
        self.liveness.pinged(payload, self.out.written(), self.sight(), now);
    }

    /// Answers a Ping. Every Ping is answered while few bytes wait. While the peer takes nothing, at most one Pong is
    /// queued, and the payload of one more, for the latest Ping, is kept in `pong`.
    pub(super) fn queue_pong(&mut self, payload: &[u8]) {
        // §5.5.2: a Ping is answered unless the peer's Close frame has come, even if ours has been sent.
        if !matches!(self.phase, Phase::Open | Phase::CloseSent { .. }) {
            return;
        }
        if self.has_pong_room() {
            self.queue_control(Opcode::Pong, payload);
            self.pong_end = self.out.written();
        } else {
            // §5.5.3: it is enough to answer "the most recently processed Ping frame".
            self.cold().pong = Some(payload.into());
        }
    }

    /// Queues the Pong that `pong` keeps, if it may be queued now.
    pub(super) fn queue_late_pong(&mut self) {
        // The same condition as in `queue_pong`: if a new Pong could be queued now, so can this one, and
        // it goes first.
        if self.cold.is_some() {
            self.queue_cold_pong();
        }
    }

    #[inline(never)]
    fn queue_cold_pong(&mut self) {
        if self.has_pong_room()
            && let Some(payload) = self.cold().pong.take()
        {
            self.tidy_cold();
            self.queue_pong(&payload);
        }
    }

    fn has_pong_room(&self) -> bool {
        self.out.len() < PONG_ROOM || self.out.transmitted() >= self.pong_end
    }

    /// Queues a Close frame that is known to be valid.
    pub(super) fn queue_close(&mut self, code: CloseCode, reason: &str) {
        let payload = CloseFrame::encode(code, reason).unwrap_or_default();
        self.queue_last(&payload);
    }

    /// Queues a Close frame. A Pong that `pong` keeps goes before it.
    pub(super) fn queue_last(&mut self, payload: &[u8]) {
        if let Some(pong) = self.cold.as_mut().and_then(|cold| cold.pong.take()) {
            self.queue_control(Opcode::Pong, &pong);
        }
        self.queue_control(Opcode::Close, payload);
        self.cold().close_end = Some(self.out.written());
    }
}

/// A message that could not be queued, and why.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsent<M> {
    /// Why it could not be queued.
    pub error: SendError,
    /// The message, as it was given.
    pub message: M,
}

impl<M> fmt::Debug for Unsent<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unsent({:?})", self.error)
    }
}

impl<M> fmt::Display for Unsent<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message was not queued")
    }
}

impl<M> core::error::Error for Unsent<M> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Queues a frame. A long payload that is owned or shared is queued without a copy; any other is copied.
fn queue_frame(encoder: &mut Encoder, out: &mut SendBuffer, first: FirstByte, payload: Payload<'_>) {
    match payload {
        Payload::Owned(mut data) if data.len() >= BLOCK => {
            if let Some(key) = encoder.header(out.run(Header::MAX_SIZE), first, data.len()) {
                let _ = key.apply(&mut data);
            }
            // Memory that the payload does not use is given back, so that the queue holds about as much as waits.
            if data.capacity() - data.len() > data.len() / 4 {
                data.shrink_to_fit();
            }
            out.push_block(Bytes::from(data));
        }
        Payload::Shared(data) if data.len() >= BLOCK => {
            let Some(key) = encoder.header(out.run(Header::MAX_SIZE), first, data.len()) else {
                return out.push_block(data);
            };
            match data.try_into_mut() {
                Ok(mut data) => {
                    let _ = key.apply(&mut data);
                    out.push_block(data.freeze());
                }
                // Others hold the payload, so it is masked in a copy.
                Err(data) => key.append(out.run(data.len()), &data),
            }
        }
        payload => {
            let data = payload.as_slice();
            encoder.frame(out.run(Header::MAX_SIZE + data.len()), first, data);
        }
    }
}

fn parts(message: Message<'_>) -> (Opcode, Payload<'_>) {
    match message {
        Message::Text(Cow::Borrowed(text)) => (Opcode::Text, Payload::Borrowed(text.as_bytes())),
        Message::Text(Cow::Owned(text)) => (Opcode::Text, Payload::Owned(Vec::from(text))),
        Message::Binary(data) => (Opcode::Binary, data.into()),
    }
}

/// From this length on an owned or shared payload is transmitted from where it lies. To queue and send [`Bytes`] so
/// takes 900 instructions of any length; with a copy it takes 850, and one for each 16 bytes, so at most 200 more just
/// below this length. What the second slice of the write costs the system, which a copy saves, is not in these numbers.
const BLOCK: usize = 4 * 1024;

/// While fewer bytes than this wait to be sent, every Ping is answered.
const PONG_ROOM: usize = 4096;
