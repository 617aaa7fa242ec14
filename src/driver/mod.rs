//! What both adapters would say twice: a connection, the bytes that were read for
//! it, and how it ended. Still no socket and no clock; `io::Error` is the only
//! word of the outside world.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "positions in a stream, in 64 bits, and lengths of what lies in memory"
)]

mod error;
mod found;
mod input;
mod open;

use std::boxed::Box;
use std::io::{self, IoSlice};
use std::mem;
use std::vec::Vec;

#[cfg(feature = "tokio")]
use bytes::buf::Limit;

use crate::code::CloseCode;
use crate::connection::{Cause, Connection, Event, State};
use crate::error::SendError;
use crate::message::{Chunk, Message, utf8};
use crate::time::Time;
pub use error::Error;
pub(crate) use found::{Found, Lent};
pub(crate) use input::ReadBuffer;
pub(crate) use open::{Answering, Calling, HEAD_READ, LINGER, LINGER_READS};

/// A [`Connection`] with its read buffer.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) connection: Connection,
    input: ReadBuffer,
    /// When `input` was read.
    read_at: Time,
    /// What came while nobody asked. Boxed: a connection at rest should be small.
    early: Option<Box<Event<'static>>>,
    /// What the application asked for last.
    asked: Asked,
    /// Whether the peer may be heard no more for now: sending is blocked, and as much
    /// has been read ahead as may be. Its silence means nothing then.
    deaf: bool,
    /// Whether the transport has ended on the peer's side.
    ended: bool,
    /// The first failure of the transport, until it is told.
    failure: Option<io::Error>,
    /// Whether the transport has failed.
    broken: bool,
    /// How many bytes the transport has taken.
    taken: u64,
    /// Where in that stream the last thing ends that the application sent.
    promised: u64,
    shut_down: bool,
    reported: bool,
}

impl Driver {
    /// A driver for a connection of which `leftover` has been read already.
    pub(crate) fn new(connection: Connection, leftover: &[u8], now: Time) -> Driver {
        Driver {
            connection,
            input: ReadBuffer::holding(leftover),
            read_at: now,
            early: None,
            asked: Asked::Messages,
            deaf: false,
            ended: false,
            failure: None,
            broken: false,
            taken: 0,
            promised: 0,
            shut_down: false,
            reported: false,
        }
    }

    // Events at hand.

    /// The next message at hand. Control frames have been dealt with on the way.
    #[inline]
    pub(crate) fn next_message(&mut self) -> Option<Message<'static>> {
        (self.asked, self.deaf) = (Asked::Messages, false);
        if let Some(early) = self.early.take()
            && let Event::Message(message) = *early
        {
            return Some(message);
        }
        self.decode_message()
    }

    /// Looks for an event. One that borrows is left where it lies for
    /// [`look`](Self::look): the borrow checker lets only the end of a function return
    /// it, not a loop. `None`: all that was at hand has been taken in.
    pub(crate) fn next_event(&mut self, chunks: bool) -> Option<Found> {
        (self.asked, self.deaf) = (if chunks { Asked::Chunks } else { Asked::Events }, false);
        if let Some(early) = self.early.take() {
            return Some(Found::Owned(match *early {
                Event::Message(data) if chunks => Event::Chunk(Chunk { data, first: true, last: true }),
                event => event,
            }));
        }
        let (connection, now) = (&mut self.connection, self.read_at);
        let base = self.input.address();
        self.input.take(|input| {
            Some(match receive(connection, input, now, chunks)? {
                Event::Message(data) => Found::data(base, data, None),
                Event::Chunk(Chunk { data, first, last }) => Found::data(base, data, Some((first, last))),
                control => Found::Owned(control.into_owned()),
            })
        })
    }

    /// The event that [`next_event`](Self::next_event) has just left here.
    pub(crate) fn look(&self, found: Lent) -> Event<'_> {
        let bytes = self.input.slice(found.at, found.len);
        let data = match found.text {
            // Valid a moment ago; safe code has to ask again.
            true => Message::from(utf8::from_utf8(bytes).unwrap_or_default()),
            false => Message::from(bytes),
        };
        match found.chunk {
            Some((first, last)) => Event::Chunk(Chunk { data, first, last }),
            None => Event::Message(data),
        }
    }

    /// Whether more may be read while the application is sending and does not ask for
    /// messages: until one is at hand. Two ends that send to each other at once would
    /// wait for ever otherwise. Who takes messages in chunks, or without a limit, does
    /// not want them gathered.
    pub(crate) fn may_read_ahead(&mut self) -> bool {
        if self.asked == Asked::Chunks || !self.connection.has_message_limit() {
            self.deaf = true;
        } else if self.early.is_none() {
            let early = match self.asked {
                Asked::Events => self.decode_event(),
                _ => self.decode_message().map(Event::Message),
            };
            self.early = early.map(Box::new);
            self.deaf = self.early.is_some();
        }
        if !self.deaf {
            self.catch_up();
        }
        !self.deaf && self.may_read()
    }

    fn decode_event(&mut self) -> Option<Event<'static>> {
        let (connection, now) = (&mut self.connection, self.read_at);
        self.input.take(|input| receive_owned(connection, input, now))
    }

    #[inline]
    fn decode_message(&mut self) -> Option<Message<'static>> {
        let (connection, now) = (&mut self.connection, self.read_at);
        // Most looks find nothing, for they come before a wait and after it.
        if self.input.bytes().is_empty() && connection.is_between_messages() {
            return None;
        }
        self.input.take(|input| {
            loop {
                match receive_owned(connection, input, now)? {
                    Event::Message(message) => return Some(message),
                    _ => continue,
                }
            }
        })
    }

    // Reading.

    /// Whether there is any use in reading.
    #[inline]
    pub(crate) fn may_read(&self) -> bool {
        !self.ended && !self.is_over()
    }

    /// Where to read to. All that was at hand must have been taken.
    #[inline]
    pub(crate) fn space(&mut self) -> &mut [u8] {
        // Asked twice because of the borrow checker: a look now, the borrow at the end.
        if self.connection.receive_room().is_some() {
            return self.connection.receive_room().unwrap_or_default();
        }
        self.input.space()
    }

    /// `len` bytes have been read into [`space`](Self::space).
    #[inline]
    pub(crate) fn filled(&mut self, len: usize, now: Time) {
        self.read_at = now;
        match self.connection.receive_room() {
            _ if len == 0 => self.handle_eof(now),
            Some(_) => self.connection.handle_filled(len, now),
            None => self.input.fill(len),
        }
    }

    /// Where to append to instead of [`space`](Self::space), while a long message is gathered.
    #[cfg(feature = "tokio")]
    #[inline]
    pub(crate) fn spare(&mut self) -> Option<Limit<&mut Vec<u8>>> {
        self.connection.receive_spare()
    }

    /// `len` bytes have been appended to [`spare`](Self::spare).
    #[cfg(feature = "tokio")]
    pub(crate) fn appended(&mut self, len: usize, now: Time) {
        self.read_at = now;
        match len {
            0 => self.handle_eof(now),
            _ => self.connection.handle_filled(len, now),
        }
    }

    /// The buffer, to read into while others use the driver. Comes back with
    /// [`give_back`](Self::give_back).
    pub(crate) fn lend_buffer(&mut self) -> ReadBuffer {
        mem::take(&mut self.input)
    }

    /// `len` bytes have been read into the space of the buffer that was lent.
    pub(crate) fn give_back(&mut self, mut buffer: ReadBuffer, len: usize, now: Time) {
        self.read_at = now;
        buffer.fill(len);
        self.input = buffer;
        if len == 0 {
            self.handle_eof(now);
        }
    }

    fn handle_eof(&mut self, now: Time) {
        self.ended = true;
        match self.broken {
            true => self.connection.handle_reset(),
            false => self.connection.handle_eof(now),
        }
    }

    /// There is nothing to read now: keep no buffer while waiting.
    #[inline]
    pub(crate) fn release(&mut self) {
        self.input.release();
    }

    /// Reading failed: the transport is gone.
    pub(crate) fn read_failed(&mut self, error: io::Error) {
        // An earlier failure to write is the cause, and this its consequence.
        self.ended = true;
        self.write_failed(error);
    }

    // Writing.

    /// Whether there is something to write to a transport that still takes it.
    #[inline]
    pub(crate) fn has_output(&self) -> bool {
        !self.broken && self.connection.queued() > 0
    }

    /// What is queued, if it lies in one piece.
    #[inline]
    pub(crate) fn only_output(&self) -> Option<&[u8]> {
        self.connection.only_transmit()
    }

    /// What is queued, as far as it fits into one vectored write: how many slices.
    pub(crate) fn output<'d>(&'d self, slices: &mut [IoSlice<'d>]) -> usize {
        let mut count = 0;
        for (slot, bytes) in slices.iter_mut().zip(self.connection.transmits()) {
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// Copies up to `most` bytes of what is queued to `batch`, in place of what was
    /// there. Whether that is all.
    #[expect(clippy::indexing_slicing, reason = "the shorter of both; `batch` never outgrows `most`")]
    pub(crate) fn copy_output(&self, batch: &mut Vec<u8>, most: usize) -> bool {
        batch.clear();
        for bytes in self.connection.transmits() {
            let bytes = &bytes[..bytes.len().min(most - batch.len())];
            batch.extend_from_slice(bytes);
        }
        batch.len() == self.connection.queued()
    }

    /// The transport took `len` bytes.
    /// The time is asked for only if it matters: a clock takes longer than all else here.
    #[inline]
    pub(crate) fn handle_transmitted(&mut self, len: usize, now: impl FnOnce() -> Time) {
        let now = if self.connection.awaits_pong() { now() } else { self.read_at };
        self.taken += len as u64;
        self.connection.handle_transmitted(len, now);
    }

    /// Gives the connection something to send, that [`check_flushed`](Self::check_flushed)
    /// asks for.
    pub(crate) fn queue(
        &mut self,
        command: impl FnOnce(&mut Connection) -> Result<(), SendError>,
    ) -> Result<(), Error> {
        command(&mut self.connection)?;
        self.promised = self.mark();
        Ok(())
    }

    /// The place in the outgoing stream behind all that is queued now.
    pub(crate) fn mark(&self) -> u64 {
        self.taken + self.connection.queued() as u64
    }

    /// Whether the transport has taken all that was queued before `mark`.
    pub(crate) fn has_reached(&self, mark: u64) -> bool {
        self.taken >= mark
    }

    /// Writing failed. What the peer sent before may still be read, its reason to
    /// close perhaps among it; so the connection ends only when reading ends too.
    pub(crate) fn write_failed(&mut self, error: io::Error) {
        if !mem::replace(&mut self.broken, true) {
            self.failure = Some(error);
        }
        if self.ended {
            self.connection.handle_reset();
        }
    }

    /// Whether writing has failed.
    #[inline]
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether to shut down the writing side now; true once.
    #[inline]
    pub(crate) fn wants_shutdown(&self) -> bool {
        !self.shut_down && self.connection.poll_shutdown()
    }

    /// The writing side has been shut down, or could not be.
    pub(crate) fn handle_shutdown(&mut self) {
        self.shut_down = true;
    }

    // Time.

    /// Lets the deadlines pass that were over when the last bytes came, all of which
    /// have been taken: a peer that never stops talking does not stop the clock.
    #[inline]
    pub(crate) fn catch_up(&mut self) {
        self.connection.handle_timeout(self.read_at);
    }

    /// The next deadline.
    #[inline]
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        match self.deaf && self.connection.state() == State::Open {
            true => None,
            false => self.connection.poll_timeout(),
        }
    }

    /// Whether a deadline has come.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.poll_timeout().is_some_and(|deadline| deadline <= now)
    }

    /// Nothing could be read, and perhaps nothing written.
    pub(crate) fn handle_timeout(&mut self, now: Time) {
        if self.is_due(now) {
            self.connection.handle_timeout(now);
        }
    }

    // The end.

    /// Begins the closing handshake, unless it has begun.
    pub(crate) fn start_close(&mut self, code: CloseCode, reason: &str, now: Time) -> Result<(), Error> {
        match self.queue(|connection| connection.close(code, reason, now)) {
            Err(Error::Send(SendError::Closed)) => Ok(()),
            other => other,
        }
    }

    /// Whether there is nothing more to wait for: no message will come.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.connection.state() == State::Closed
    }

    /// How it ended: an error, the first time that it is asked for, unless both ends
    /// said goodbye or the peer just went away.
    pub(crate) fn outcome(&mut self) -> Result<(), Error> {
        let Some(closed) = self.connection.closed() else { return Ok(()) };
        if mem::replace(&mut self.reported, true) {
            return Ok(());
        }
        match (closed.cause, self.failure.take()) {
            // §7.1.4: after both Close frames it does not matter how the transport went.
            (Cause::Handshake, _) => Ok(()),
            (Cause::Protocol(error), _) => Err(Error::Protocol(error)),
            (Cause::PongTimeout, _) => Err(Error::PongTimeout),
            (_, Some(error)) => Err(Error::Io(error)),
            (_, None) => Ok(()),
        }
    }

    /// Whether a command may be given to the connection now: there is room, or waiting
    /// for it is of no use.
    pub(crate) fn may_queue(&self) -> bool {
        let connection = &self.connection;
        connection.has_room() || connection.state() != State::Open || connection.queued() == 0
    }

    /// Whether nothing at all is in the way of a command; the common case.
    #[cfg(feature = "tokio")]
    #[inline]
    pub(crate) fn is_sending(&self) -> bool {
        self.failure.is_none() && self.connection.state() == State::Open && self.connection.has_room()
    }

    /// Changes whenever something happened that a waiting task may care for.
    #[cfg(feature = "tokio")]
    pub(crate) fn milestone(&self) -> (usize, State, bool, bool) {
        (self.connection.queued(), self.connection.state(), self.is_broken(), self.early.is_some())
    }

    /// Why sending cannot go on, if it cannot.
    pub(crate) fn check_sending(&mut self) -> Result<(), Error> {
        match &self.failure {
            Some(error) if !self.is_over() => Err(Error::Io(error.kind().into())),
            _ => self.outcome(),
        }
    }

    /// Whether all that was sent has been transmitted, or why it never will be.
    pub(crate) fn check_flushed(&mut self) -> Result<(), Error> {
        self.check_sent(self.promised)
    }

    /// Whether all before `mark` has been transmitted, or why it never will be.
    pub(crate) fn check_sent(&mut self, mark: u64) -> Result<(), Error> {
        self.check_sending()?;
        // The end was reported before, but not that these bytes were lost in it.
        if self.has_reached(mark) { Ok(()) } else { Err(SendError::Closed.into()) }
    }
}

/// In what form the application takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Messages,
    Events,
    Chunks,
}

/// The next event in `input`. An offence is not lost here: the connection keeps it.
fn receive<'b>(connection: &mut Connection, input: &mut &'b mut [u8], now: Time, chunks: bool) -> Option<Event<'b>> {
    let event = if chunks { connection.receive_chunk(input, now) } else { connection.receive(input, now) };
    event.ok().flatten()
}

/// As [`receive`], for an event that is kept.
#[inline]
fn receive_owned(connection: &mut Connection, input: &mut &mut [u8], now: Time) -> Option<Event<'static>> {
    connection.receive_owned(input, now).ok().flatten()
}
