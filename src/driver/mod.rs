//! What both adapters would say twice: a connection, the bytes that were read for
//! it, and how it ended. Still no socket and no clock; `io::Error` is the only
//! word of the outside world.

mod error;
mod input;

use std::borrow::Cow;
use std::io;

use rand::TryRng;
use rand::rngs::SysRng;

use crate::connection::{Cause, Connection, Event, State};
use crate::entropy::Seed;
use crate::message::{Chunk, Message, utf8};
use crate::time::Time;
pub use error::Error;
use input::ReadBuffer;

/// A [`Connection`] with its read buffer.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) connection: Connection,
    input: ReadBuffer,
    /// When `input` was read.
    read_at: Time,
    /// A message that came while nobody asked for one.
    early: Option<Message<'static>>,
    /// Whether the application takes messages in chunks, so that none may be
    /// gathered while nobody asks.
    chunks: bool,
    failure: Option<io::Error>,
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
            chunks: false,
            failure: None,
            shut_down: false,
            reported: false,
        }
    }

    // Events at hand.

    /// The next message at hand. Control frames have been dealt with on the way.
    pub(crate) fn next_message(&mut self) -> Option<Message<'static>> {
        self.chunks = false;
        self.early.take().or_else(|| self.decode_message())
    }

    /// Looks for an event. One that borrows is left where it lies for
    /// [`look`](Self::look): the borrow checker lets only the end of a function return
    /// it, not a loop. `None`: all that was at hand has been taken in.
    pub(crate) fn next_event(&mut self, chunks: bool) -> Option<Found> {
        self.chunks = chunks;
        if let Some(data) = self.early.take() {
            return Some(Found::Owned(match chunks {
                true => Event::Chunk(Chunk { data, first: true, last: true }),
                false => Event::Message(data),
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
    /// messages: until one message is at hand. Two ends that send to each other at
    /// once would wait for ever otherwise.
    pub(crate) fn may_read_ahead(&mut self) -> bool {
        if self.early.is_none() && !self.chunks {
            self.early = self.decode_message();
        }
        self.early.is_none() && !self.chunks && self.connection.state() != State::Closed
    }

    fn decode_message(&mut self) -> Option<Message<'static>> {
        let (connection, now) = (&mut self.connection, self.read_at);
        self.input.take(|input| {
            loop {
                match receive(connection, input, now, false)? {
                    Event::Message(message) => return Some(message.into_owned()),
                    _ => continue,
                }
            }
        })
    }

    // Reading.

    /// Where to read to. All that was at hand must have been taken.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        // Asked twice because of the borrow checker: a look now, the borrow at the end.
        if self.connection.receive_room().is_some() {
            return self.connection.receive_room().unwrap_or_default();
        }
        self.input.space()
    }

    /// `len` bytes have been read into [`space`](Self::space).
    pub(crate) fn filled(&mut self, len: usize, now: Time) {
        self.read_at = now;
        match self.connection.receive_room() {
            _ if len == 0 => self.connection.handle_eof(),
            Some(_) => self.connection.handle_filled(len, now),
            None => self.input.fill(len),
        }
    }

    /// There is nothing to read now: keep no buffer while waiting.
    pub(crate) fn release(&mut self) {
        self.input.release();
    }

    /// Reading failed: the transport is gone.
    pub(crate) fn read_failed(&mut self, error: io::Error) {
        // An earlier failure to write is the cause, and this its consequence.
        self.failure.get_or_insert(error);
        self.connection.handle_reset();
    }

    // Writing.

    /// Whether there is something to write to a transport that still takes it.
    pub(crate) fn has_output(&self) -> bool {
        self.failure.is_none() && self.connection.queued() > 0
    }

    /// Writing failed. What the peer sent before may still be read, its reason to
    /// close perhaps among it; so the connection ends only when reading ends too.
    pub(crate) fn write_failed(&mut self, error: io::Error) {
        self.failure.get_or_insert(error);
    }

    /// Whether writing has failed.
    pub(crate) fn is_broken(&self) -> bool {
        self.failure.is_some()
    }

    /// Whether to shut down the writing side now; true once.
    pub(crate) fn wants_shutdown(&self) -> bool {
        !self.shut_down && self.connection.poll_shutdown()
    }

    /// The writing side has been shut down, or could not be.
    pub(crate) fn handle_shutdown(&mut self) {
        self.shut_down = true;
    }

    // The end.

    /// Whether there is nothing more to wait for: no message will come.
    pub(crate) fn is_over(&self) -> bool {
        self.connection.state() == State::Closed
    }

    /// How it ended: an error, the first time that it is asked for, unless both ends
    /// said goodbye or the peer just went away.
    pub(crate) fn outcome(&mut self) -> Result<(), Error> {
        let Some(closed) = self.connection.closed() else { return Ok(()) };
        if std::mem::replace(&mut self.reported, true) {
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

    /// Changes whenever something happened that a waiting task may care for.
    pub(crate) fn milestone(&self) -> (usize, State, bool) {
        (self.connection.queued(), self.connection.state(), self.is_broken())
    }

    /// Why sending cannot go on, if it cannot.
    pub(crate) fn check_sending(&mut self) -> Result<(), Error> {
        match &self.failure {
            Some(error) if !self.is_over() => Err(Error::Io(error.kind().into())),
            _ => self.outcome(),
        }
    }
}

/// Chance from the operating system, for a client.
pub(crate) fn seed() -> io::Result<Seed> {
    let mut seed = Seed::default();
    SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
    Ok(seed)
}

/// What [`Driver::next_event`] found.
#[derive(Debug)]
pub(crate) enum Found {
    Lent(Lent),
    Owned(Event<'static>),
}

/// A message or chunk, and where its payload lies in the read buffer.
#[derive(Debug)]
pub(crate) struct Lent {
    text: bool,
    /// Where in the buffer's memory it begins.
    at: usize,
    len: usize,
    /// For a chunk: whether it is the first, and the last.
    chunk: Option<(bool, bool)>,
}

impl Found {
    /// `base` is the address of the read buffer, to know the place of a slice in it.
    fn data(base: usize, data: Message<'_>, chunk: Option<(bool, bool)>) -> Found {
        let (text, len) = (data.is_text(), data.len());
        // An empty slice may lie anywhere.
        let at = if len == 0 { 0 } else { data.as_bytes().as_ptr().addr().wrapping_sub(base) };
        match data {
            Message::Text(Cow::Borrowed(_)) | Message::Binary(Cow::Borrowed(_)) => {
                Found::Lent(Lent { text, at, len, chunk })
            }
            owned => Found::Owned(match chunk {
                Some((first, last)) => Event::Chunk(Chunk { data: owned.into_owned(), first, last }),
                None => Event::Message(owned.into_owned()),
            }),
        }
    }
}

/// The next event in `input`. An offence is not lost here: the connection keeps it.
fn receive<'b>(connection: &mut Connection, input: &mut &'b mut [u8], now: Time, chunks: bool) -> Option<Event<'b>> {
    let event = if chunks { connection.receive_chunk(input, now) } else { connection.receive(input, now) };
    event.ok().flatten()
}
