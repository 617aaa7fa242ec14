//! The receiving half of a [`Connection`]: bytes in, events out.

use alloc::borrow::Cow;
use alloc::string::ToString;
use core::mem;

use bytes::BufMut;

use super::Connection;
use super::event::Event;
use super::reading::{OnClose, Reading};
use super::state::{Cause, Input, Phase};
use crate::error::{Fault, ProtocolError};
use crate::frame::{CloseFrame, Opcode, Piece, Whole};
use crate::message::{Chunk, Delivery, Message};
use crate::time::Time;

impl Connection {
    /// Takes bytes that came from the peer off the front of `input`, up to the end of the next event. Call it until
    /// it returns `Ok(None)`: then all of `input` has been taken, and the caller need not keep it.
    ///
    /// The bytes are unmasked where they lie, and events borrow from them. Events that were
    /// [read ahead](Self::receive_ahead) come first. Bytes after the peer's Close frame are ignored (§5.5.1). `now` is
    /// the time when the bytes were read; if that was some time ago, see [`handle_late`](Self::handle_late).
    ///
    /// # Errors
    ///
    /// The opening handshake failed, or the peer broke the protocol (§7.1.7). All messages before that have been
    /// returned by earlier calls. The answer is queued, and every later call returns the same fault. Go on with what
    /// [`wants`](Self::wants) says.
    #[inline]
    pub fn receive<'b>(&mut self, input: &mut &'b mut [u8], now: Time) -> Result<Option<Event<'b>>, Fault> {
        self.delivery = Delivery::Messages;
        self.next_event(self.find_message(input), input, now, Delivery::Messages)
    }

    /// As [`receive`](Self::receive) and then [`Event::into_owned`], for events that are kept. But a binary message is
    /// unmasked while it is copied.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    #[inline]
    pub fn receive_owned(&mut self, input: &mut &mut [u8], now: Time) -> Result<Option<Event<'static>>, Fault> {
        self.delivery = Delivery::Messages;
        let Some(found) = self.find_message(input) else { return self.next_owned(input, now) };
        if found.opcode == Opcode::Binary && self.limits().allow_whole(found.len) {
            self.liveness.heard(now);
            return Ok(Some(Event::Message(Message::from(self.decoder.copy_message(found, input)))));
        }
        // Text is unmasked and checked where it lies, and then copied, which takes less time than to check the copy.
        Ok(Some(Event::Message(self.take_message(found, input, now)?.into_owned())))
    }

    /// As [`receive_owned`](Self::receive_owned), for bytes that may not be changed, such as `Bytes` of another
    /// library. A binary message that lies whole in `input` is unmasked while it is copied. Anything else is copied
    /// once more than by `receive`.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    pub fn receive_copied(&mut self, input: &mut &[u8], now: Time) -> Result<Option<Event<'static>>, Fault> {
        self.delivery = Delivery::Messages;
        if let Some(found) = self.find_message(input)
            && found.opcode == Opcode::Binary
            && self.limits().allow_whole(found.len)
        {
            self.liveness.heard(now);
            return Ok(Some(Event::Message(Message::from(self.decoder.copy_unchanged(found, input)))));
        }
        if matches!(self.phase, Phase::Opening(_)) {
            // What was read before comes before this, and may move the connection on.
            if let Some(event) = self.next_ahead(now, Delivery::Messages)? {
                return Ok(Some(event));
            }
            if matches!(self.phase, Phase::Opening(_)) {
                self.keep_limits_of_reading(input.is_empty(), now);
                if matches!(self.phase, Phase::Opening(_)) {
                    return self.receive_opening(input, now);
                }
                // The time is over. What came too late has no meaning.
                *input = &[];
                return Ok(self
                    .next_in_phase(&mut &mut [][..], now, Delivery::Messages, OnClose::Act)?
                    .map(Event::into_owned));
            }
        }
        self.hold(mem::take(input));
        self.next_owned(&mut &mut [][..], now)
    }

    /// As [`receive`](Self::receive), but returns a message as it arrives, in [`Event::Chunk`]s, so that a message of
    /// any length takes little memory: a chunk that was read into [`receive_space`](Self::receive_space) has at most
    /// 272 KiB.
    ///
    /// Both methods may be called on one connection. If a part of a message has been gathered already, the first chunk
    /// has it. If `receive` is called after some chunks, the rest of that message is skipped.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    pub fn receive_chunk<'b>(&mut self, input: &mut &'b mut [u8], now: Time) -> Result<Option<Event<'b>>, Fault> {
        self.delivery = Delivery::Chunks;
        self.next_event(self.find_message(input), input, now, Delivery::Chunks)
    }

    /// In the middle of a long binary message: the memory that its next bytes belong to. Reading into it, and not into
    /// a buffer, saves a copy. Fill the front of it, then call [`handle_filled`](Self::handle_filled). Using it is
    /// optional, but all earlier input must have been given to `receive` first.
    ///
    /// It is never longer than the rest of the frame, than 272 KiB, and than the part of the message that has come. If
    /// chunks are received, it is instead of the last never longer than four times the last chunk.
    #[inline]
    pub fn receive_space(&mut self) -> Option<&mut [u8]> {
        let remaining = self.remaining()?;
        self.assembler.space(remaining)
    }

    /// As [`receive_space`](Self::receive_space), for a transport that appends, so that the memory need not be filled
    /// with zeros first. Append some bytes, then call [`handle_filled`](Self::handle_filled).
    #[inline]
    pub fn receive_spare(&mut self) -> Option<impl BufMut + '_> {
        let remaining = self.remaining()?;
        self.assembler.spare_space(remaining)
    }

    /// How many bytes are still to come of a data frame that has begun, if they may be read into its message.
    #[inline]
    fn remaining(&self) -> Option<u64> {
        // Nothing is read past bytes that are held. While a send is blocked, data that may not be gathered is held
        // too.
        if self.assembler.is_idle()
            || !self.phase.may_receive()
            || self.held() > 0
            || (self.reading == Reading::OneAhead && !self.may_gather())
        {
            return None;
        }
        let (header, remaining) = self.decoder.unfinished()?;
        if header.opcode.is_control() { None } else { Some(remaining) }
    }

    /// The first `len` bytes of [`receive_space`](Self::receive_space) have been filled. If they end a message or
    /// make a chunk, the next call to `receive` or `receive_chunk` returns it, even without input.
    pub fn handle_filled(&mut self, len: usize, now: Time) {
        if len > 0 {
            self.liveness.heard(now);
        }
        if let Some(data) = self.assembler.fill(len) {
            self.decoder.claim(data);
        }
    }

    /// The bytes that have just made this end close were read some time ago. The time to close begins `now`, since the
    /// peer is not to blame for the delay. The same holds for the peer's Close frame that has just been
    /// [read ahead](Self::receive_ahead).
    ///
    /// This is for hosts that keep read bytes while the application is busy with earlier ones.
    pub fn handle_late(&mut self, now: Time) {
        self.phase.put_off(now + self.config.close_timeout);
        self.put_off_close_ahead(now);
    }

    /// Whether [`receive`](Self::receive) would return nothing without input. It notes, as `receive` does, that whole
    /// messages are asked for: that decides whether one is gathered while a send is blocked.
    #[inline]
    #[cfg(feature = "std")]
    pub(crate) fn is_at_rest_for_messages(&mut self) -> bool {
        self.delivery = Delivery::Messages;
        self.is_between_messages()
    }

    /// Whether the connection is open, no message is unfinished, and nothing was read ahead.
    #[inline]
    fn is_between_messages(&self) -> bool {
        matches!(self.phase, Phase::Open) && self.assembler.is_idle() && self.ahead.is_none()
    }

    /// The common case of [`receive`](Self::receive): takes a whole message of `input`, and leaves it there. Returns
    /// whether it is text, and its payload. The payload has been judged, but no `str` has been made of it: for a caller
    /// that cannot return a borrow now, and would have to make the `str` once more. `None` if there is anything else.
    #[inline]
    #[cfg(feature = "std")]
    pub(crate) fn receive_in_place<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        now: Time,
    ) -> Result<Option<(bool, &'b [u8])>, Fault> {
        self.delivery = Delivery::Messages;
        let Some(found) = self.find_message(input) else { return Ok(None) };
        self.liveness.heard(now);
        let payload = self.decoder.take_message(found, input);
        match self.assembler.judge_whole(found.opcode, payload, self.limits()) {
            Ok(()) => Ok(Some((found.opcode == Opcode::Text, payload))),
            Err(error) => Err(self.fail(error, input, now)),
        }
    }

    /// The common case: `input` begins with a whole message in one frame.
    /// Speed only; whatever does not match takes the general path.
    #[inline]
    fn find_message(&self, input: &[u8]) -> Option<Whole> {
        if self.is_between_messages() { self.decoder.find_message(input) } else { None }
    }

    /// It is always inlined, as are the calls of the common case: a call that returns an event in memory takes three
    /// times as long as finding a short message.
    #[inline(always)]
    fn next_event<'b>(
        &mut self,
        found: Option<Whole>,
        input: &mut &'b mut [u8],
        now: Time,
        delivery: Delivery,
    ) -> Result<Option<Event<'b>>, Fault> {
        // Speed only; whatever does not match takes the general path, `next_of_any`.
        let Some(found) = found else {
            let at_rest = input.is_empty() && self.is_at_rest();
            return if at_rest { Ok(None) } else { self.next_of_any(input, now, delivery) };
        };
        let data = self.take_message(found, input, now)?;
        Ok(Some(match delivery {
            Delivery::Messages => Event::Message(data),
            Delivery::Chunks => Event::Chunk(Chunk { data, first: true, last: true }),
        }))
    }

    /// The next event, owned, on the general path.
    #[inline(never)]
    fn next_owned(&mut self, input: &mut &mut [u8], now: Time) -> Result<Option<Event<'static>>, Fault> {
        Ok(self.next_event(None, input, now, Delivery::Messages)?.map(Event::into_owned))
    }

    /// Whether nothing is to be done at the end of an input. A time limit is looked at there, and not for each message:
    /// that would cost time.
    ///
    /// It is never inlined, so that the search for a message does not keep its result in a register.
    #[inline(never)]
    fn is_at_rest(&self) -> bool {
        self.is_between_messages() && self.cold.is_none() && !self.liveness.is_blocked()
    }

    /// Takes the message that was found. Its payload stays where it lies.
    #[inline(always)]
    fn take_message<'b>(&mut self, found: Whole, input: &mut &'b mut [u8], now: Time) -> Result<Message<'b>, Fault> {
        self.liveness.heard(now);
        let payload = self.decoder.take_message(found, input);
        self.assembler.accept_whole(found.opcode, payload, self.limits()).map_err(|error| self.fail(error, input, now))
    }

    #[inline(never)]
    fn next_of_any<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        now: Time,
        delivery: Delivery,
    ) -> Result<Option<Event<'b>>, Fault> {
        if self.ahead.is_some()
            && let Some(event) = self.next_ahead(now, delivery)?
        {
            return Ok(Some(event));
        }
        self.next_unheld(input, now, delivery, OnClose::Act)
    }

    /// The next event in `input`, whatever was read ahead.
    pub(super) fn next_unheld<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        now: Time,
        delivery: Delivery,
        on_close: OnClose,
    ) -> Result<Option<Event<'b>>, Fault> {
        self.keep_limits_of_reading(input.is_empty(), now);
        self.next_in_phase(input, now, delivery, on_close)
    }

    /// Does what is due when a deadline has come that holds even while bytes come without end. If nothing came, the host
    /// tries to write before that is looked at: the peer may take bytes again.
    fn keep_limits_of_reading(&mut self, is_empty: bool, now: Time) {
        // Who was late has an answer that may leave at that very time only (as has everybody with a `close_timeout` of
        // zero), and it is not taken away before a write.
        let is_last_chance = self.phase.close_deadline() == Some(now);
        if (!is_empty || self.liveness.has_heard(now)) && !is_last_chance {
            self.keep_limits(now);
        }
    }

    fn next_in_phase<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        now: Time,
        delivery: Delivery,
        on_close: OnClose,
    ) -> Result<Option<Event<'b>>, Fault> {
        match &mut self.phase {
            Phase::Open | Phase::CloseSent { .. } | Phase::ReadOnly { .. } | Phase::CutOff(_) => {}
            Phase::Opening(_) => {
                let mut rest = &**input;
                let event = self.receive_opening(&mut rest, now);
                let taken = input.len().saturating_sub(rest.len());
                *input = mem::take(input).split_at_mut(taken).1;
                return event;
            }
            Phase::Failing { failed, .. } => {
                let fault = failed.fault;
                failed.ignored = failed.ignored.saturating_add(input.len());
                *input = &mut [];
                // The rest of a refused request is read, up to a limit, so that no reset destroys the answer.
                if matches!(fault, Fault::Opening(_)) && failed.ignored > MOST_IGNORED {
                    self.handle_reset();
                }
                return Err(fault);
            }
            Phase::Flushing { closed, .. } | Phase::Closed(closed) => {
                *input = &mut [];
                return match closed.cause {
                    Cause::Protocol(error) => Err(Fault::Protocol(error)),
                    Cause::Opening(error) => Err(Fault::Opening(error)),
                    _ => Ok(None),
                };
            }
            // §5.5.1: bytes after the peer's Close frame are ignored.
            Phase::Draining { .. } => {
                *input = &mut [];
                return Ok(None);
            }
        }
        if !input.is_empty() {
            self.liveness.heard(now);
        }
        self.decode(input, now, delivery, on_close).map_err(|error| self.fail(error, input, now))
    }

    fn decode<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        now: Time,
        delivery: Delivery,
        on_close: OnClose,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        #[cfg(feature = "deflate")]
        if let Some(received) = self.assembler.resume(delivery, self.limits())? {
            return Ok(Some(received.into()));
        }
        while let Some(piece) = self.decoder.decode(input)? {
            if piece.header.opcode.is_control() {
                if let Some(event) = self.control(piece, now, on_close)? {
                    return Ok(Some(event));
                }
            } else if let Some(received) = self.assembler.accept(piece, delivery, self.limits())? {
                return Ok(Some(received.into()));
            }
        }
        Ok(self.assembler.filled_chunk(delivery)?.map(Event::from))
    }

    /// §5.5: takes a piece of a control frame, which may come between the fragments of a message.
    fn control<'b>(
        &mut self,
        piece: Piece<'b>,
        now: Time,
        on_close: OnClose,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        let payload = if piece.first && piece.last {
            Cow::Borrowed(&*piece.payload)
        } else {
            let control = &mut self.cold().control;
            control.extend_from_slice(piece.payload);
            if !piece.last {
                if piece.header.opcode == Opcode::Close {
                    CloseFrame::check_front(control)?;
                }
                return Ok(None);
            }
            let control = mem::take(control);
            self.tidy_cold();
            Cow::Owned(control)
        };
        Ok(Some(match piece.header.opcode {
            Opcode::Ping => {
                self.queue_pong(&payload);
                Event::Ping(payload)
            }
            Opcode::Pong => {
                let latency = self.liveness.ponged(&payload, now);
                Event::Pong { payload, latency }
            }
            _ => {
                let frame = CloseFrame::decode(&payload)?;
                if on_close == OnClose::Act {
                    self.close_received(&frame, now);
                }
                Event::Close(frame)
            }
        }))
    }

    /// Acts upon the peer's Close frame: answers it, unless ours was sent before.
    pub(super) fn close_received(&mut self, frame: &CloseFrame, now: Time) {
        if self.phase.may_send() {
            // §5.5.1: "the endpoint typically echos the status code it received".
            self.queue_last(CloseFrame::front(frame.code).as_slice().as_flattened());
        }
        let by = now + self.config.close_timeout;
        self.phase.on(Input::CloseReceived { by, frame: frame.clone() });
    }

    /// §7.1.7: _Fail the WebSocket Connection_.
    #[cold]
    fn fail(&mut self, error: ProtocolError, input: &mut &mut [u8], now: Time) -> Fault {
        *input = &mut [];
        if self.phase.may_send() {
            self.queue_close(error.close_code(), &error.to_string());
        }
        let by = now + self.config.close_timeout;
        let fault = Fault::Protocol(error);
        self.phase.on(Input::Failed { by, fault });
        fault
    }
}

/// How many bytes a client may send after it was refused.
const MOST_IGNORED: usize = 128 * 1024;
