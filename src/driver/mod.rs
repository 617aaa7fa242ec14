//! For those who write an adapter: a connection, the bytes that were read for it, and the failure of its transport.
//! It has no transport, no clock and no rule of the protocol. [`Connection::wants`] says what to do next.
//!
//! `openline::net` and `openline::tokio` use only this and the rest of the public API.

mod addresses;
mod error;
mod next_event;
mod read_buffer;
#[cfg(feature = "rustls-no-provider")]
mod tls;

use std::io::{self, IoSlice};
use std::mem;
use std::vec::Vec;

use bytes::BufMut;

use crate::code::CloseCode;
use crate::connection::{Cause, Connection, Event, State, Unsent};
use crate::error::{HandshakeError, SendError};
use crate::message::{Chunk, Message, Outgoing, utf8};
use crate::time::Time;
pub use addresses::interleave;
pub use error::{Error, ReuniteError, TlsError};
pub use next_event::{InPlace, NextEvent};
pub use read_buffer::ReadBuffer;
#[cfg(feature = "rustls-no-provider")]
pub use tls::TlsSession;

/// A [`Connection`], the bytes that were read for it and have not been taken, and the first failure of its transport.
#[derive(Debug)]
pub struct Driver {
    /// The connection.
    pub connection: Connection,
    input: ReadBuffer,
    /// When `input` was read.
    read_at: Time,
    /// The first failure of the transport, until it has been returned.
    failure: Option<io::Error>,
    /// The mark (a place in the outgoing stream) where the last thing ends that the application sent.
    sent_mark: u64,
    /// Whether [`outcome`](Self::outcome) has returned an error.
    reported: bool,
    /// Whether something has been sent since the last read.
    has_sent: bool,
}

/// In what form to receive messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// As whole messages.
    Whole,
    /// In chunks, as the parts arrive.
    Chunks,
}

impl Driver {
    /// A driver for a connection. The connection has got all bytes that were read. It may have been used before, and
    /// bytes lost: who waits for what was sent is told so.
    #[must_use]
    pub fn new(connection: Connection, now: Time) -> Driver {
        let (has_lost, is_over) = (connection.has_lost(), connection.state() == State::Closed);
        // What was lost never leaves, so its mark is never reached.
        let sent_mark = if has_lost { u64::MAX } else { connection.owed() };
        // Of a transport that takes nothing any more, the error is not known here.
        let failure = (has_lost && !is_over).then(|| io::ErrorKind::BrokenPipe.into());
        let input = ReadBuffer::default();
        Driver { connection, input, read_at: now, failure, sent_mark, reported: false, has_sent: false }
    }

    /// The connection. It [holds](Connection::hold) the bytes that were read and not taken.
    #[must_use]
    pub fn into_connection(mut self) -> Connection {
        self.connection.hold(self.input.bytes());
        self.connection
    }

    // Events.

    /// The next message in what was read, if there is one. Control frames before it are handled. `clock` is called
    /// only if the connection begins to close, since the bytes may have been read long ago.
    #[inline]
    pub fn next_message(&mut self, clock: impl FnOnce() -> Time) -> Option<Message<'static>> {
        let (connection, now) = (&mut self.connection, self.read_at);
        // Most calls find nothing, since one comes before each wait.
        if self.input.is_empty() && connection.is_at_rest_for_messages() {
            return None;
        }
        let closed_before = connection.has_begun_to_close();
        let message = self.input.take(|input| {
            loop {
                // A fault is not lost here: the connection keeps it.
                match connection.receive_owned(input, now).ok().flatten()? {
                    Event::Message(message) => return Some(message),
                    _ => continue,
                }
            }
        });
        if self.connection.has_begun_to_close() != closed_before {
            self.connection.handle_late(clock());
        }
        message
    }

    /// The next event in what was read. A message that lies in the read buffer is left there, for [`look`](Self::look).
    /// `None` if all that was read has been taken. For `clock` see [`next_message`](Self::next_message).
    pub fn next_event(&mut self, form: Form, clock: impl FnOnce() -> Time) -> Option<NextEvent> {
        let (connection, now) = (&mut self.connection, self.read_at);
        if form == Form::Whole && self.input.is_empty() && connection.is_at_rest_for_messages() {
            return None;
        }
        let (base, closed_before) = (self.input.address(), connection.has_begun_to_close());
        self.input.take(|input| {
            // Speed only; whatever does not match takes the general path. A fault is not lost: the connection keeps it.
            if form == Form::Whole
                && let Ok(Some((text, payload))) = connection.receive_in_place(input, now)
            {
                return Some(NextEvent::in_place(base, text, payload, None));
            }
            let event = match form {
                Form::Whole => connection.receive(input, now),
                Form::Chunks => connection.receive_chunk(input, now),
            };
            if connection.has_begun_to_close() != closed_before {
                connection.handle_late(clock());
            }
            Some(match event.ok().flatten()? {
                Event::Message(data) => NextEvent::data(base, data, None),
                Event::Chunk(Chunk { data, first, last, .. }) => NextEvent::data(base, data, Some((first, last))),
                control => NextEvent::Owned(control.into_owned()),
            })
        })
    }

    /// The message or chunk that the last call of [`next_event`](Self::next_event) left in the read buffer.
    #[must_use]
    pub fn look(&self, found: InPlace) -> Event<'_> {
        let bytes = self.input.slice(found.at, found.len);
        let data = match found.text {
            // The text is valid, but safe code must check it again.
            true => Message::from(utf8::from_utf8(bytes).unwrap_or_default()),
            false => Message::from(bytes),
        };
        match found.chunk {
            Some((first, last)) => Event::Chunk(Chunk { data, first, last }),
            None => Event::Message(data),
        }
    }

    /// While a send is blocked: gives the connection what was read. See [`Connection::receive_ahead`]. The bytes may
    /// have been read long ago. `clock` is called only if the connection begins to close.
    pub fn read_ahead(&mut self, clock: impl FnOnce() -> Time) {
        let (connection, read_at) = (&mut self.connection, self.read_at);
        let is_closing =
            |connection: &Connection| (connection.has_begun_to_close(), connection.close_ahead_by().is_some());
        let before = is_closing(connection);
        // A fault is not lost here: the connection keeps it.
        let _ = self.input.take(|input| connection.receive_ahead(input, read_at));
        if is_closing(connection) != before {
            connection.handle_late(clock());
        }
    }

    /// Whether more may be read ahead. If not, a send that is blocked waits until an event has been taken.
    #[must_use]
    #[inline]
    pub fn may_read_ahead(&self) -> bool {
        self.connection.may_take_ahead()
    }

    // Reading.

    /// Whether bytes that were read wait to be taken.
    #[must_use]
    #[inline]
    pub fn has_unread(&self) -> bool {
        !self.input.is_empty()
    }

    /// The space to read into, if all that was read has been taken: 64 KiB of a buffer, or in the middle of a long
    /// message [`receive_space`](Connection::receive_space), which is at most 272 KiB.
    #[inline]
    pub fn space(&mut self) -> &mut [u8] {
        self.space_of(usize::MAX)
    }

    /// As [`space`](Self::space), but at most `most` bytes of a buffer. During the opening handshake it is at most 4
    /// KiB, since bytes behind a request must be kept until the application has decided on it.
    ///
    /// It is always inlined, since an adapter has one place to read.
    #[inline(always)]
    pub fn space_of(&mut self, most: usize) -> &mut [u8] {
        // The call is made twice because of the borrow checker: a borrow that is returned holds to the end.
        if self.connection.receive_space().is_some() {
            return self.connection.receive_space().unwrap_or_default();
        }
        let most = if self.connection.state() == State::Opening { most.min(OPENING_READ) } else { most };
        self.input.space(most)
    }

    /// `len` bytes have been read into [`space`](Self::space); 0 at the end of the transport.
    #[inline]
    pub fn filled(&mut self, len: usize, now: Time) {
        (self.read_at, self.has_sent) = (now, false);
        match self.connection.receive_space() {
            _ if len == 0 => self.connection.handle_eof(now),
            Some(_) => self.connection.handle_filled(len, now),
            None => self.input.fill(len),
        }
    }

    /// In the middle of a long message: the space to append to, to be used instead of [`space`](Self::space).
    #[inline]
    pub fn spare(&mut self) -> Option<impl BufMut + '_> {
        self.connection.receive_spare()
    }

    /// `len` bytes have been appended to [`spare`](Self::spare); 0 at the end of the transport.
    pub fn appended(&mut self, len: usize, now: Time) {
        (self.read_at, self.has_sent) = (now, false);
        match len {
            0 => self.connection.handle_eof(now),
            _ => self.connection.handle_filled(len, now),
        }
    }

    /// Takes out the read buffer, to read into it while another thread uses the driver.
    /// [`give_back`](Self::give_back) puts it back.
    pub fn lend_buffer(&mut self) -> ReadBuffer {
        mem::take(&mut self.input)
    }

    /// Puts the read buffer back. `len` bytes have been read into its space; 0 at the end of the transport.
    pub fn give_back(&mut self, mut buffer: ReadBuffer, len: usize, now: Time) {
        (self.read_at, self.has_sent) = (now, false);
        buffer.fill(len);
        self.input = buffer;
        if len == 0 {
            self.connection.handle_eof(now);
        }
    }

    /// Gives the buffer's memory back if nothing in it is unread. Call it before waiting.
    #[inline]
    pub fn release(&mut self) {
        self.input.release();
    }

    /// Something has been sent. A program that only sends never waits to read, which would [release](Self::release) the
    /// buffer. So this does it, but only the second time after a read: a program that answers each message reads again at
    /// once.
    #[inline]
    pub fn handle_sent(&mut self) {
        if mem::replace(&mut self.has_sent, true) {
            self.input.release();
        }
    }

    /// When bytes were read last, for calls that need no exact time.
    #[must_use]
    #[inline]
    pub fn read_at(&self) -> Time {
        self.read_at
    }

    /// Reading failed, so the transport has failed. [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) is only an end:
    /// some TLS streams end without a notice, and the Close frames show whether all has come.
    pub fn read_failed(&mut self, error: io::Error, now: Time) {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return self.connection.handle_eof(now);
        }
        // If a write failed before, that is the cause and this the consequence.
        self.failure.get_or_insert(error);
        self.connection.handle_reset();
    }

    // Writing.

    /// Puts the slices of what is queued into `slices`, as many as fit, for one vectored write. Returns their number.
    pub fn output<'d>(&'d self, slices: &mut [IoSlice<'d>]) -> usize {
        let mut count = 0_usize;
        for (slot, bytes) in slices.iter_mut().zip(self.connection.transmits()) {
            *slot = IoSlice::new(bytes);
            count = count.saturating_add(1);
        }
        count
    }

    /// Copies up to `most` bytes of what is queued to `batch`, which is emptied first. Returns whether these are all.
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

    /// Calls a command that queues something, and notes where that ends ([`sent_mark`](Self::sent_mark)).
    ///
    /// # Errors
    ///
    /// The error of the command.
    #[inline]
    pub fn queue(&mut self, command: impl FnOnce(&mut Connection) -> Result<(), SendError>) -> Result<(), Error> {
        command(&mut self.connection)?;
        self.sent_mark = self.connection.written();
        Ok(())
    }

    /// As [`Connection::try_send`]. It also notes where the message ends, as [`queue`](Self::queue).
    ///
    /// # Errors
    ///
    /// As [`Connection::try_send`].
    pub fn try_queue<'m, M: Into<Outgoing<'m>>>(&mut self, message: M) -> Result<(), Unsent<M>> {
        self.connection.try_send(message)?;
        self.sent_mark = self.connection.written();
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

    /// The mark (a place in the outgoing stream) where the last thing ends that the application [queued](Self::queue).
    /// Pongs that were queued after it do not count.
    #[must_use]
    pub fn sent_mark(&self) -> u64 {
        self.sent_mark
    }

    /// The mark up to which all must leave before the end: our Close frame, and what the application
    /// [queued](Self::queue).
    #[must_use]
    pub fn last_mark(&self) -> u64 {
        self.connection.owed().max(self.sent_mark)
    }

    /// Whether the transport has taken everything before `mark`, a place in the outgoing stream such as
    /// [`Connection::written`].
    #[must_use]
    #[inline]
    pub fn has_reached(&self, mark: u64) -> bool {
        self.connection.transmitted() >= mark
    }

    // The end.

    /// Whether the connection is over, so that no message will come.
    #[must_use]
    #[inline]
    pub fn is_over(&self) -> bool {
        self.connection.state() == State::Closed
    }

    /// Whether the connection is over, and the writing side of the transport must still be shut down (see
    /// [`handle_shutdown`](Self::handle_shutdown)). The program may keep the socket, and the peer waits for its end.
    #[must_use]
    #[inline]
    pub fn owes_shutdown(&self) -> bool {
        self.is_over() && !self.connection.has_shut_down()
    }

    /// Whether the transport has taken more than it has passed on.
    #[must_use]
    #[inline]
    pub fn owes_flush(&self) -> bool {
        let connection = &self.connection;
        connection.transmitted() < connection.written().saturating_sub(u64::try_from(connection.queued()).unwrap_or(0))
    }

    /// The transport has been shut down after the end, or cannot be.
    pub fn handle_shutdown(&mut self) {
        self.connection.handle_shutdown();
    }

    /// How the connection ended. The first call after the end returns the error, if there is one. A clean end is no
    /// error, and neither is a peer that went away.
    ///
    /// # Errors
    ///
    /// Why the connection ended.
    #[inline]
    pub fn outcome(&mut self) -> Result<(), Error> {
        if self.is_over() { self.tell_outcome() } else { Ok(()) }
    }

    fn tell_outcome(&mut self) -> Result<(), Error> {
        let Some(closed) = self.connection.closed().filter(|_| !self.reported) else { return Ok(()) };
        let outcome = match (closed.cause, self.failure.take()) {
            // §7.1.4: after both Close frames a failure of the transport does not matter.
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
        };
        // If there was none, an error may still come: what was read before the end may break the protocol.
        self.reported = outcome.is_err();
        outcome
    }

    /// Takes out the failure of the transport, if it has not been returned.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Whether a command need not wait: there is room, or there will never be.
    #[must_use]
    #[inline]
    pub fn may_queue(&self) -> bool {
        self.connection.has_room() || self.connection.state() != State::Open
    }

    /// Whether the connection is open and has room, which is the common case.
    #[must_use]
    #[inline]
    pub fn is_sending(&self) -> bool {
        self.connection.is_open() && self.connection.has_room()
    }

    /// Whether nothing that is queued will leave any more.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.failure.is_some() || self.is_over()
    }

    /// Returns an error if nothing can be sent any more.
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

    /// The result of waiting for `mark`. Call it when [`has_reached`](Self::has_reached) or [`is_dead`](Self::is_dead)
    /// is true.
    ///
    /// # Errors
    ///
    /// As [`check_sending`](Self::check_sending). [`SendError::Closed`] if that has returned the error before, and
    /// bytes before `mark` were lost.
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
