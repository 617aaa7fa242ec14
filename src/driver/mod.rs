//! What every adapter has besides a transport and a clock, for those who write one: a connection with
//! the bytes that were read for it, and how its transport failed. No socket, no clock and no rule of
//! the protocol is here; what to do next is the answer of [`Connection::wants`].
//!
//! `openline::net` and `openline::tokio` are built on this and on the rest of the public API only.

mod error;
mod found;
mod read_buffer;

use std::io::{self, IoSlice};
use std::mem;
use std::vec::Vec;

use bytes::BufMut;

use crate::code::CloseCode;
use crate::connection::{Cause, Connection, Event, State, Unsent};
use crate::error::{HandshakeError, SendError};
use crate::message::{Chunk, Message, Outgoing, utf8};
use crate::time::Time;
pub use error::{Error, ReuniteError};
pub use found::{Found, Lent};
pub use read_buffer::ReadBuffer;

/// A [`Connection`] with the bytes that were read for it and not taken yet, and the first failure of
/// its transport.
#[derive(Debug)]
pub struct Driver {
    /// The connection.
    pub connection: Connection,
    input: ReadBuffer,
    /// When `input` was read.
    read_at: Time,
    /// The first failure of the transport, until it is told.
    failure: Option<io::Error>,
    /// Where in the outgoing stream the last thing ends that the application sent.
    promised: u64,
    /// Whether the end has been reported.
    reported: bool,
    /// Whether the transport has been shut down for good.
    shut_down: bool,
}

/// In what form to take messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// Whole.
    Whole,
    /// In chunks, as they arrive.
    Chunks,
}

impl Driver {
    /// A driver for a connection, of which nothing has been read that it does not know.
    #[must_use]
    pub fn new(connection: Connection, now: Time) -> Driver {
        let (input, promised) = (ReadBuffer::default(), connection.written());
        Driver { connection, input, read_at: now, failure: None, promised, reported: false, shut_down: false }
    }

    /// The connection, which [holds](Connection::hold) what was read and not taken.
    #[must_use]
    pub fn into_connection(mut self) -> Connection {
        self.connection.hold(self.input.bytes());
        self.connection
    }

    // Events at hand.

    /// The next message at hand. Control frames have been dealt with on the way. The clock is asked if the
    /// connection begins to close: the bytes may have been read long ago.
    #[inline]
    pub fn next_message(&mut self, clock: impl FnOnce() -> Time) -> Option<Message<'static>> {
        let (connection, now) = (&mut self.connection, self.read_at);
        // Most looks find nothing, for they come before a wait and after it.
        if self.input.is_empty() && connection.is_between_messages() {
            return None;
        }
        let before = connection.state();
        let message = self.input.take(|input| {
            loop {
                // A fault is not lost here: the connection keeps it.
                match connection.receive_owned(input, now).ok().flatten()? {
                    Event::Message(message) => return Some(message),
                    _ => continue,
                }
            }
        });
        if message.is_none() && before == State::Open && self.connection.state() != State::Open {
            self.connection.handle_late(clock());
        }
        message
    }

    /// Looks for an event. One that borrows is left where it lies for
    /// [`look`](Self::look): the borrow checker lets only the end of a function return
    /// it, not a loop. `None`: all that was at hand has been taken in. For the clock see
    /// [`next_message`](Self::next_message).
    pub fn next_event(&mut self, form: Form, clock: impl FnOnce() -> Time) -> Option<Found> {
        let (connection, now) = (&mut self.connection, self.read_at);
        // A connection at rest notes that chunks are asked for: then no message is gathered while a send is blocked.
        if form == Form::Whole && self.input.is_empty() && connection.is_between_messages() {
            return None;
        }
        let (base, before) = (self.input.address(), connection.state());
        self.input.take(|input| {
            let event = match form {
                Form::Whole => connection.receive(input, now),
                Form::Chunks => connection.receive_chunk(input, now),
            };
            if before == State::Open && connection.state() != State::Open {
                connection.handle_late(clock());
            }
            Some(match event.ok().flatten()? {
                Event::Message(data) => Found::data(base, data, None),
                Event::Chunk(Chunk { data, first, last, .. }) => Found::data(base, data, Some((first, last))),
                control => Found::Owned(control.into_owned()),
            })
        })
    }

    /// The event that [`next_event`](Self::next_event) has just left here.
    #[must_use]
    pub fn look(&self, found: Lent) -> Event<'_> {
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

    /// Gives the connection what is at hand while a send is blocked: see [`Connection::receive_ahead`].
    pub fn read_ahead(&mut self, now: Time) {
        let connection = &mut self.connection;
        // A fault is not lost here: the connection keeps it.
        let _ = self.input.take(|input| connection.receive_ahead(input, now));
    }

    // Reading.

    /// Whether bytes that were read wait to be taken.
    #[must_use]
    #[inline]
    pub fn has_unread(&self) -> bool {
        !self.input.is_empty()
    }

    /// Where to read to, when all that was at hand has been taken: 64 KiB, or the room for a long
    /// message, which is never longer than 272 KiB.
    #[inline]
    pub fn space(&mut self) -> &mut [u8] {
        self.space_of(usize::MAX)
    }

    /// As [`space`](Self::space), for at most `most` bytes, unless there is room for a long message.
    /// During the opening handshake it is 4 KiB at most: what a client says behind its request is kept
    /// until the request is decided on.
    ///
    /// Always inlined, since an adapter has one place to read.
    #[inline(always)]
    pub fn space_of(&mut self, most: usize) -> &mut [u8] {
        // Asked twice because of the borrow checker: a look now, the borrow at the end.
        if self.connection.receive_room().is_some() {
            return self.connection.receive_room().unwrap_or_default();
        }
        let most_now = if self.connection.state() == State::Opening { OPENING_READ } else { usize::MAX };
        let space = self.input.space(most);
        let len = space.len().min(most_now);
        space.split_at_mut(len).0
    }

    /// `len` bytes have been read into [`space`](Self::space); 0 at the end of the transport.
    #[inline]
    pub fn filled(&mut self, len: usize, now: Time) {
        self.read_at = now;
        match self.connection.receive_room() {
            _ if len == 0 => self.connection.handle_eof(now),
            Some(_) => self.connection.handle_filled(len, now),
            None => self.input.fill(len),
        }
    }

    /// Where to append to instead of [`space`](Self::space), while a long message is gathered.
    #[inline]
    pub fn spare(&mut self) -> Option<impl BufMut + '_> {
        self.connection.receive_spare()
    }

    /// `len` bytes have been appended to [`spare`](Self::spare); 0 at the end of the transport.
    pub fn appended(&mut self, len: usize, now: Time) {
        self.read_at = now;
        match len {
            0 => self.connection.handle_eof(now),
            _ => self.connection.handle_filled(len, now),
        }
    }

    /// The buffer, to read into while others use the driver. Comes back with
    /// [`give_back`](Self::give_back).
    pub fn lend_buffer(&mut self) -> ReadBuffer {
        mem::take(&mut self.input)
    }

    /// `len` bytes have been read into the space of the buffer that was lent; 0 at the end of the transport.
    pub fn give_back(&mut self, mut buffer: ReadBuffer, len: usize, now: Time) {
        self.read_at = now;
        buffer.fill(len);
        self.input = buffer;
        if len == 0 {
            self.connection.handle_eof(now);
        }
    }

    /// There is nothing to read now: keep no buffer while waiting.
    #[inline]
    pub fn release(&mut self) {
        self.input.release();
    }

    /// When bytes were read last: a time for what does not need an exact one.
    #[must_use]
    #[inline]
    pub fn read_at(&self) -> Time {
        self.read_at
    }

    /// Reading failed: the transport is gone. But a TLS stream that has ended without saying so
    /// ([`UnexpectedEof`](io::ErrorKind::UnexpectedEof)) has ended: whether all of it came, the Close
    /// frames tell.
    pub fn read_failed(&mut self, error: io::Error, now: Time) {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return self.connection.handle_eof(now);
        }
        // An earlier failure to write is the cause, and this its consequence.
        self.failure.get_or_insert(error);
        self.connection.handle_reset();
    }

    // Writing.

    /// What is queued, as far as it fits into one vectored write: how many slices.
    pub fn output<'d>(&'d self, slices: &mut [IoSlice<'d>]) -> usize {
        let mut count = 0_usize;
        for (slot, bytes) in slices.iter_mut().zip(self.connection.transmits()) {
            *slot = IoSlice::new(bytes);
            count = count.saturating_add(1);
        }
        count
    }

    /// Copies up to `most` bytes of what is queued to `batch`, in place of what was
    /// there. Whether that is all.
    pub fn copy_output(&self, batch: &mut Vec<u8>, most: usize) -> bool {
        batch.clear();
        let first = self.connection.next_transmit().unwrap_or_default();
        batch.extend_from_slice(first.get(..most).unwrap_or(first));
        let all = self.connection.queued();
        // Mostly all lies in one piece.
        if batch.len() < all.min(most) {
            for bytes in self.connection.transmits().skip(1) {
                let room = most.saturating_sub(batch.len());
                batch.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
            }
        }
        batch.len() == all
    }

    /// Writing failed. What the peer sent before may still be read.
    pub fn write_failed(&mut self, error: io::Error, now: Time) {
        self.failure.get_or_insert(error);
        self.connection.handle_write_failed(now);
    }

    /// Gives the connection something to send, and notes where that ends ([`promised`](Self::promised)).
    ///
    /// # Errors
    ///
    /// What the command returns.
    #[inline]
    pub fn queue(&mut self, command: impl FnOnce(&mut Connection) -> Result<(), SendError>) -> Result<(), Error> {
        command(&mut self.connection)?;
        self.promised = self.connection.written();
        Ok(())
    }

    /// As [`Connection::try_send`], noted as [`queue`](Self::queue) does.
    ///
    /// # Errors
    ///
    /// As [`Connection::try_send`].
    pub fn try_queue<'m, M: Into<Outgoing<'m>>>(&mut self, message: M) -> Result<(), Unsent<M>> {
        self.connection.try_send(message)?;
        self.promised = self.connection.written();
        Ok(())
    }

    /// Begins the closing handshake, unless it has begun.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if `code` or `reason` cannot be sent.
    pub fn start_close(&mut self, code: CloseCode, reason: &str, now: Time) -> Result<(), Error> {
        match self.queue(|connection| connection.close(code, reason, now)) {
            Err(error) if error.is_closed() => Ok(()),
            other => other,
        }
    }

    /// Where in the outgoing stream the last thing ends that the application [queued](Self::queue).
    #[must_use]
    pub fn promised(&self) -> u64 {
        self.promised
    }

    /// Whether the transport has taken all that was queued before `mark`, a place in the outgoing
    /// stream ([`Connection::written`]).
    #[must_use]
    #[inline]
    pub fn has_reached(&self, mark: u64) -> bool {
        self.connection.transmitted() >= mark
    }

    // The end.

    /// Whether there is nothing more to wait for: no message will come.
    #[must_use]
    #[inline]
    pub fn is_over(&self) -> bool {
        self.connection.state() == State::Closed
    }

    /// Whether it is over, and the transport has not been [shut down](Self::handle_shutdown). A program
    /// may keep a socket that is over, and the peer waits for the end meanwhile: so the writing
    /// side of the transport is to be shut down.
    #[must_use]
    #[inline]
    pub fn owes_shutdown(&self) -> bool {
        self.is_over() && !self.shut_down
    }

    /// Whether the transport has taken more than it has passed on.
    #[must_use]
    #[inline]
    pub fn owes_flush(&self) -> bool {
        let connection = &self.connection;
        connection.transmitted() < connection.written().saturating_sub(u64::try_from(connection.queued()).unwrap_or(0))
    }

    /// The transport has been shut down for good, or cannot be.
    pub fn handle_shutdown(&mut self) {
        self.shut_down = true;
    }

    /// How it ended: an error, the first time that it is asked for, unless both ends
    /// said goodbye or the peer just went away.
    ///
    /// # Errors
    ///
    /// Why the connection ended.
    #[inline]
    pub fn outcome(&mut self) -> Result<(), Error> {
        if self.is_over() { self.tell_outcome() } else { Ok(()) }
    }

    fn tell_outcome(&mut self) -> Result<(), Error> {
        let Some(closed) = self.connection.closed() else { return Ok(()) };
        if mem::replace(&mut self.reported, true) {
            return Ok(());
        }
        match (closed.cause, self.failure.take()) {
            // §7.1.4: after both Close frames it does not matter how the transport went.
            (Cause::Clean, _) => Ok(()),
            (Cause::Protocol(error), _) => Err(Error::Protocol(error)),
            (Cause::PongTimeout, _) => Err(Error::PongTimeout),
            (Cause::StallTimeout, _) => Err(Error::StallTimeout),
            (Cause::Opening(HandshakeError::UnexpectedEof) | Cause::Eof | Cause::CloseTimeout, Some(error)) => {
                Err(Error::Io(error))
            }
            (Cause::Opening(error), _) => Err(match (error, self.connection.response()) {
                (HandshakeError::Refused { .. }, Some(response)) => Error::Refused(response.clone().into()),
                _ => Error::Handshake(error),
            }),
            (Cause::Eof | Cause::CloseTimeout, None) => Ok(()),
        }
    }

    /// The failure of the transport, if it has not been told.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Whether a command may be given to the connection now: there is room, or waiting
    /// for it is of no use.
    #[must_use]
    #[inline]
    pub fn may_queue(&self) -> bool {
        self.connection.has_room() || self.connection.state() != State::Open
    }

    /// Whether nothing at all is in the way of a command; the common case.
    #[must_use]
    #[inline]
    pub fn is_sending(&self) -> bool {
        self.connection.state() == State::Open && self.connection.has_room()
    }

    /// Whether waiting for anything to leave is of no use any more.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.failure.is_some() || self.is_over()
    }

    /// Why sending cannot go on, if it cannot.
    ///
    /// # Errors
    ///
    /// The failure of the transport, or why the connection ended.
    #[inline]
    pub fn check_sending(&mut self) -> Result<(), Error> {
        match &self.failure {
            Some(error) if !self.is_over() => Err(Error::Io(error.kind().into())),
            _ => self.outcome(),
        }
    }

    /// Whether all before `mark` has been transmitted, or why it never will be.
    ///
    /// # Errors
    ///
    /// As [`check_sending`](Self::check_sending); [`SendError::Closed`] if the bytes were lost in an
    /// end that has been reported.
    #[inline]
    pub fn check_sent(&mut self, mark: u64) -> Result<(), Error> {
        if self.has_reached(mark) && !self.is_over() {
            return Ok(());
        }
        self.check_sending()?;
        if self.has_reached(mark) { Ok(()) } else { Err(SendError::Closed.into()) }
    }
}

/// How much one read may bring during the opening handshake.
const OPENING_READ: usize = 4 * 1024;
