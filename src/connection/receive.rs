//! The receiving half of a [`Connection`]: bytes in, events out.

use alloc::borrow::Cow;
use alloc::string::ToString;
#[cfg(feature = "tokio")]
use alloc::vec::Vec;
use core::mem;

#[cfg(feature = "tokio")]
use bytes::buf::Limit;

use super::Connection;
use super::event::Event;
use super::state::{Cause, Closed, Input, Phase};
use crate::error::ProtocolError;
use crate::frame::{CloseFrame, Opcode, Piece, Whole};
use crate::message::{Chunk, Delivery, Message};
use crate::time::Time;

impl Connection {
    /// Takes bytes that came from the peer off the front of `input`, up to and with
    /// those that make the next event. Call it until it returns `Ok(None)`: then all
    /// of `input` has been taken, and none of it has to be kept.
    ///
    /// The bytes are unmasked where they lie, and events borrow from them. Bytes
    /// that come after the peer's Close frame are ignored (§5.5.1).
    ///
    /// # Errors
    ///
    /// The peer broke the protocol. The messages before that have been returned by
    /// earlier calls, the Close frame that says why is queued, and every later call
    /// returns the same error. Go on to transmit, and to read until the end of the
    /// transport (§7.1.7).
    #[inline]
    pub fn receive<'b>(&mut self, input: &mut &'b mut [u8], now: Time) -> Result<Option<Event<'b>>, ProtocolError> {
        self.next_event(self.find_message(input), input, now, Delivery::Messages)
    }

    /// As [`receive`](Self::receive), for events that are to be kept: the same as
    /// [`Event::into_owned`] after it, but a binary message is unmasked on its way into
    /// its own memory, so that it is walked only once.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    #[inline]
    pub fn receive_owned(&mut self, input: &mut &mut [u8], now: Time) -> Result<Option<Event<'static>>, ProtocolError> {
        let Some(found) = self.find_message(input) else { return self.next_owned(input, now) };
        if found.opcode == Opcode::Binary && self.assembler.allows_whole(found.len) {
            self.pulse.heard(now);
            return Ok(Some(Event::Message(Message::from(self.decoder.copy_message(found, input)))));
        }
        // Text is checked where it lies: to check it in its own memory would take longer.
        Ok(Some(Event::Message(self.take_message(found, input, now)?.into_owned())))
    }

    /// As [`receive`](Self::receive), but hands a message out as it arrives, in
    /// [`Event::Chunk`]s, so that a message of any length takes next to no memory: a chunk
    /// that was read into its own [room](Self::receive_room) has 272 KiB at the most.
    ///
    /// Both may be called in turn. If the beginning of a message has been gathered
    /// already, it comes with the first chunk. If `receive` is called after some
    /// chunks, the rest of that message is skipped.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    pub fn receive_chunk<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        now: Time,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        self.next_event(self.find_message(input), input, now, Delivery::Chunks)
    }

    /// A place to read into instead of a buffer, in the middle of a long binary message:
    /// what comes next goes there, and reading it there saves a copy, of the message that
    /// is gathered or of the chunk that it becomes. Fill some of the front, then call
    /// [`handle_filled`](Self::handle_filled). Using it is optional, but all earlier input
    /// must have been given to `receive` first.
    ///
    /// It never asks for more than the rest of the frame, nor for more than 272 KiB, nor
    /// for more than has come of the message already; where chunks are handed out, not for
    /// more than four times the last one instead.
    #[inline]
    pub fn receive_room(&mut self) -> Option<&mut [u8]> {
        let remaining = self.remaining()?;
        self.assembler.room(remaining)
    }

    /// As [`receive_room`](Self::receive_room), for a transport that appends.
    #[cfg(feature = "tokio")]
    #[inline]
    pub(crate) fn receive_spare(&mut self) -> Option<Limit<&mut Vec<u8>>> {
        let remaining = self.remaining()?;
        self.assembler.spare_room(remaining)
    }

    /// What is still to come of a data frame that has begun.
    #[inline]
    fn remaining(&self) -> Option<u64> {
        if self.assembler.is_idle() || !matches!(self.phase, Phase::Open | Phase::CloseSent { .. }) {
            return None;
        }
        let (header, remaining) = self.decoder.unfinished()?;
        if header.opcode.is_control() { None } else { Some(remaining) }
    }

    /// The first `len` bytes of [`receive_room`](Self::receive_room) have been filled.
    /// If they end a message, or are to be a chunk, the next call to `receive` or
    /// `receive_chunk` returns it, even without input.
    pub fn handle_filled(&mut self, len: usize, now: Time) {
        if len > 0 {
            self.pulse.heard(now);
        }
        if let Some(data) = self.assembler.fill(len) {
            self.decoder.claim(data);
        }
    }

    /// Whether the next bytes, if any come, begin a frame that the application may see,
    /// and none that came before has anything to say.
    #[inline]
    pub(crate) fn is_between_messages(&self) -> bool {
        matches!(self.phase, Phase::Open) && self.assembler.is_idle()
    }

    /// The common case: a whole message, to begin with.
    #[inline]
    fn find_message(&self, input: &[u8]) -> Option<Whole> {
        if self.is_between_messages() { self.decoder.find_message(input) } else { None }
    }

    /// Always inlined, as what it calls for the common case: a call that hands an event over
    /// in memory takes three times as long as finding a short message.
    #[inline(always)]
    fn next_event<'b>(
        &mut self,
        found: Option<Whole>,
        input: &mut &'b mut [u8],
        now: Time,
        delivery: Delivery,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        // Nothing is decided here that is not decided below too.
        let Some(found) = found else {
            let at_rest = input.is_empty() && self.is_between_messages();
            return if at_rest { Ok(None) } else { self.next_of_any(input, now, delivery) };
        };
        let data = self.take_message(found, input, now)?;
        Ok(Some(match delivery {
            Delivery::Messages => Event::Message(data),
            Delivery::Chunks => Event::Chunk(Chunk { data, first: true, last: true }),
        }))
    }

    /// Whatever comes next, but no message that was found.
    #[inline(never)]
    fn next_owned(&mut self, input: &mut &mut [u8], now: Time) -> Result<Option<Event<'static>>, ProtocolError> {
        Ok(self.next_event(None, input, now, Delivery::Messages)?.map(Event::into_owned))
    }

    /// Takes the message that was found, and leaves it where it lies.
    #[inline(always)]
    fn take_message<'b>(
        &mut self,
        found: Whole,
        input: &mut &'b mut [u8],
        now: Time,
    ) -> Result<Message<'b>, ProtocolError> {
        self.pulse.heard(now);
        let payload = self.decoder.take_message(found, input);
        self.assembler.accept_whole(found.opcode, payload).map_err(|error| self.fail(error, input, now))
    }

    #[inline(never)]
    fn next_of_any<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        now: Time,
        delivery: Delivery,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        match self.phase {
            Phase::Open | Phase::CloseSent { .. } => {}
            Phase::Failing { error, .. }
            | Phase::Flushing { closed: Closed { cause: Cause::Protocol(error), .. }, .. }
            | Phase::Closed(Closed { cause: Cause::Protocol(error), .. }) => {
                *input = &mut [];
                return Err(error);
            }
            // §5.5.1: after the peer's Close frame nothing that it sends means anything.
            Phase::Draining { .. } | Phase::Flushing { .. } | Phase::Closed(_) => {
                *input = &mut [];
                return Ok(None);
            }
        }
        if !input.is_empty() {
            self.pulse.heard(now);
        }
        self.decode(input, now, delivery).map_err(|error| self.fail(error, input, now))
    }

    fn decode<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        now: Time,
        delivery: Delivery,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        #[cfg(feature = "deflate")]
        if let Some(received) = self.assembler.resume(delivery)? {
            return Ok(Some(received.into()));
        }
        while let Some(piece) = self.decoder.decode(input)? {
            if piece.header.opcode.is_control() {
                if let Some(event) = self.control(piece, now)? {
                    return Ok(Some(event));
                }
            } else if let Some(received) = self.assembler.accept(piece, delivery)? {
                return Ok(Some(received.into()));
            }
        }
        Ok(self.assembler.filled_chunk(delivery)?.map(Event::from))
    }

    /// §5.5: control frames may come between the fragments of a message.
    fn control<'b>(&mut self, piece: Piece<'b>, now: Time) -> Result<Option<Event<'b>>, ProtocolError> {
        let payload = if piece.first && piece.last {
            Cow::Borrowed(&*piece.payload)
        } else {
            self.control.extend_from_slice(piece.payload);
            if !piece.last {
                if piece.header.opcode == Opcode::Close {
                    CloseFrame::check_front(&self.control)?;
                }
                return Ok(None);
            }
            Cow::Owned(mem::take(&mut self.control))
        };
        Ok(Some(match piece.header.opcode {
            Opcode::Ping => {
                self.queue_pong(&payload);
                Event::Ping(payload)
            }
            Opcode::Pong => {
                let latency = self.pulse.ponged(&payload, now);
                Event::Pong { payload, latency }
            }
            _ => {
                let frame = CloseFrame::decode(&payload)?;
                if matches!(self.phase, Phase::Open) {
                    // §5.5.1: "the endpoint typically echos the status code it received".
                    self.queue_close(frame.code, "");
                }
                let by = now + self.config.close_timeout;
                self.phase.on(Input::CloseReceived { by, frame: frame.clone() });
                Event::Close(frame)
            }
        }))
    }

    /// §7.1.7: _Fail the WebSocket Connection_.
    #[cold]
    fn fail(&mut self, error: ProtocolError, input: &mut &mut [u8], now: Time) -> ProtocolError {
        *input = &mut [];
        if matches!(self.phase, Phase::Open) {
            self.queue_close(error.close_code(), &error.to_string());
        }
        let by = now + self.config.close_timeout;
        self.phase.on(Input::Failed { by, error });
        error
    }
}
