//! The blocking adapter. It carries the core's bytes over a blocking [`Transport`], and keeps its deadlines with the
//! transport's timeouts. The core says what to do next. It has the same names in the same order as [`tokio`].
//!
//! [`tokio`]: https://docs.rs/openline/latest/openline/tokio/index.html
//!
//! ```no_run
//! # fn example() -> Result<(), openline::Error> {
//! let mut socket = openline::net::connect("ws://127.0.0.1:9001/")?;
//! socket.send("Hello")?;
//! while let Some(message) = socket.recv()? {
//!     println!("{message:?}");
//! }
//! # Ok(())
//! # }
//! ```

#[cfg(not(windows))]
mod connect;
mod open;
mod shared;
mod split;
mod timeouts;
mod transport;
mod turns;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::driver::{Driver, Error, Form, NextEvent};
use crate::{
    Agreement, Chunk, CloseCode, Closed, Config, Connection, Event, Message, Outgoing, Reading, SendError, State, Time,
    Unsent, Upgrade,
};
#[cfg(not(windows))]
pub use connect::{Stream, connect, connect_tcp, connect_with};
pub use open::{Accepting, accept, accept_with, connect_on, read_request};
use shared::{Alone, Goal, Shared};
pub use split::{Receiver, Sender, SplitError};
use timeouts::{Clock, Limit};
pub use transport::Transport;
use turns::{command, let_go, push, ready, turn, write_to};

/// A WebSocket over a blocking transport.
///
/// All work is done inside the calls; there is no background thread. Receiving also writes what is queued, answers
/// Pings and keeps the deadlines, so a thread that waits in [`recv`](Self::recv) need do nothing else. A thread that
/// only sends must do more: see [`send`](Self::send).
///
/// The WebSocket sets the timeouts of the transport to keep its deadlines. If the program sets them too, deadlines
/// may be missed.
///
/// # Non-blocking transports
///
/// A socket that was made non-blocking works too. A method that would have to wait returns [`Error::Io`] with
/// [`WouldBlock`](std::io::ErrorKind::WouldBlock). Nothing is lost, and the next call goes on. A method that sends
/// returns this error only if it has queued nothing. Otherwise it returns `Ok` as soon as the message is queued, and
/// [`flush`](Self::flush) says whether all has left.
#[derive(Debug)]
pub struct WebSocket<S> {
    io: S,
    shared: Shared,
}

impl<S: Transport> WebSocket<S> {
    /// A WebSocket on a transport after an opening handshake that other code made. `leftover` has the bytes that were
    /// read after the handshake.
    #[must_use]
    pub fn new(io: S, upgrade: Upgrade, config: impl Into<Arc<Config>>, leftover: &[u8]) -> WebSocket<S> {
        let mut connection = Connection::new(upgrade, config, Time::ZERO);
        connection.hold(leftover);
        WebSocket::with_clock(io, connection, Clock::new(), Time::ZERO)
    }

    /// A WebSocket made of a transport and a connection. The times in `connection` count from `epoch`. It should be
    /// open: if it is a server's opening, nobody decides on the request, which is answered with 408 when time is over.
    #[must_use]
    pub fn from_connection(io: S, connection: Connection, epoch: Instant) -> WebSocket<S> {
        let clock = Clock::since(epoch);
        let now = clock.now();
        WebSocket::with_clock(io, connection, clock, now)
    }

    /// The transport and the connection, and the moment from which the times in the connection count. The connection
    /// [holds](Connection::hold) the bytes that were read and not taken.
    #[must_use]
    pub fn into_parts(self) -> (S, Connection, Instant) {
        (self.io, self.shared.driver.into_connection(), self.shared.clock.epoch())
    }

    fn with_clock(io: S, connection: Connection, clock: Clock, now: Time) -> WebSocket<S> {
        WebSocket { io, shared: Shared::new(Driver::new(connection, now), clock) }
    }

    /// The next message; `None` once the connection is closed, and
    /// [`closed`](Self::closed) then says how.
    ///
    /// Before it waits, everything that is queued leaves in one write: what was [fed](Self::feed), and Pongs.
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`], [`Error::PongTimeout`], [`Error::StallTimeout`] or [`Error::Io`], once, from whatever
    /// method meets it first. Messages that were read before still come, and then `None`. It is no error if the peer
    /// goes away without a Close frame: then [`closed`](Self::closed) has the code 1006.
    pub fn recv(&mut self) -> Result<Option<Message<'static>>, Error> {
        self.recv_until(Limit::none())
    }

    /// As [`recv`](Self::recv), but waits for at most `limit`. With a limit of zero it returns what lies there, and
    /// writes what is queued; it waits for about a millisecond then, since no transport takes a shorter timeout.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] if no message came in that time; nothing is lost. Otherwise as [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Option<Message<'static>>, Error> {
        self.recv_until(Limit::at(self.shared.clock.now() + limit))
    }

    #[inline]
    fn recv_until(&mut self, mut limit: Limit) -> Result<Option<Message<'static>>, Error> {
        self.shared.set_reading(Reading::Events);
        loop {
            if let Some(message) = self.shared.next_message() {
                return Ok(Some(message));
            }
            if self.shared.driver.is_over() {
                let_go(&mut Alone(&mut self.shared), &mut self.io);
                return self.shared.driver.outcome().map(|()| None);
            }
            turn(&mut Alone(&mut self.shared), &mut self.io, Goal::Events, &mut limit)?;
        }
    }

    /// As [`recv`](Self::recv), but returns a message as it arrives, so that a message of any length takes little
    /// memory. [`Connection::receive_chunk`] says what happens if both are called.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_chunk(&mut self) -> Result<Option<Chunk<'_>>, Error> {
        let found = loop {
            match self.find(Form::Chunks)? {
                Some(NextEvent::InPlace(found)) => break found,
                Some(NextEvent::Owned(Event::Chunk(chunk))) => return Ok(Some(chunk)),
                Some(NextEvent::Owned(_)) => {}
                None => return Ok(None),
            }
        };
        match self.shared.driver.look(found) {
            Event::Chunk(chunk) => Ok(Some(chunk)),
            _ => Ok(None),
        }
    }

    /// Takes and drops what comes, until the connection is over. It answers Pings, sees the peer's Close frame, and
    /// keeps the deadlines. A program that only sends must have it running at the same time, on the other
    /// [half](Self::split).
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn drain(&mut self) -> Result<(), Error> {
        // It takes chunks, so that messages which are dropped are not gathered.
        while self.find(Form::Chunks)?.is_some() {}
        Ok(())
    }

    /// The next event, control frames included. A message that lies whole in the read buffer is borrowed from there,
    /// without a copy. A message that came in several reads [owns](Message::is_owned) its data.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn event(&mut self) -> Result<Option<Event<'_>>, Error> {
        match self.find(Form::Whole)? {
            Some(NextEvent::InPlace(found)) => Ok(Some(self.shared.driver.look(found))),
            Some(NextEvent::Owned(event)) => Ok(Some(event)),
            None => Ok(None),
        }
    }

    /// Sends a message. It returns when the transport has taken all of it.
    ///
    /// A program that only sends must also call [`drain`](Self::drain) at the same time, in a thread of its own. If
    /// nothing is received, no Ping is answered, so the keepalive of the peer ends the connection; and the peer's
    /// Close frame is not seen.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if the connection is closing, or ended before the transport had taken all, or if a fragmented
    /// message is unfinished; otherwise as [`recv`](Self::recv). If the connection is closing, this returns when what
    /// was accepted before has left, or the time to close is over. So the socket can be dropped, and nothing is lost.
    pub fn send<'m>(&mut self, message: impl Into<Outgoing<'m>>) -> Result<(), Error> {
        self.send_with(|connection, _| connection.queue(message))
    }

    /// Queues a message, waiting only while there is no
    /// [room](Connection::has_room). It leaves with the next [`flush`](Self::flush) or
    /// [`send`](Self::send), or when [`recv`](Self::recv) has no message at hand. So
    /// a loop that feeds an answer to each message writes once for each read.
    ///
    /// A thread that waits for anything but this socket must flush first.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn feed<'m>(&mut self, message: impl Into<Outgoing<'m>>) -> Result<(), Error> {
        self.feed_with(|connection, _| connection.queue(message))
    }

    /// Queues a message if there is room for it now, and gives it back otherwise. It waits for nothing.
    ///
    /// # Errors
    ///
    /// As [`Connection::try_send`]: [`SendError::Full`] with the message, and the other reasons.
    pub fn try_feed<'m, M: Into<Outgoing<'m>>>(&mut self, message: M) -> Result<(), Unsent<M>> {
        self.shared.driver.try_queue(message)
    }

    /// Waits until there is [room](Self::has_room) for a message.
    ///
    /// While the transport takes nothing, one message is read ahead at most.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn ready(&mut self) -> Result<(), Error> {
        ready(&mut Alone(&mut self.shared), &mut self.io)
    }

    /// Sends the next fragment of a message, as [`Connection::send_fragment`].
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::TypeChanged`].
    pub fn send_fragment<'m>(&mut self, data: impl Into<Message<'m>>, fin: bool) -> Result<(), Error> {
        self.send_with(|connection, _| connection.queue_fragment(data, fin))
    }

    /// Queues the next fragment of a message, as [`feed`](Self::feed) does with a whole one.
    ///
    /// # Errors
    ///
    /// As [`send_fragment`](Self::send_fragment).
    pub fn feed_fragment<'m>(&mut self, data: impl Into<Message<'m>>, fin: bool) -> Result<(), Error> {
        self.feed_with(|connection, _| connection.queue_fragment(data, fin))
    }

    /// Sends a Ping. When [`recv`](Self::recv) gets its Pong, that sets [`latency`](Self::latency).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::ControlTooLong`] above 125 bytes.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.send_with(|connection, clock| connection.ping(payload, clock.now()))
    }

    /// Waits until the transport has taken all that this end queued before.
    ///
    /// While the transport takes nothing, one message is read ahead, so that two ends
    /// that send to each other at once do not wait for each other.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or why the connection ended while this waited.
    pub fn flush(&mut self) -> Result<(), Error> {
        let mark = self.shared.driver.sent_mark();
        write_to(&mut Alone(&mut self.shared), &mut self.io, mark)
    }

    /// Closes the connection: sends a Close frame, drops what the peer still sends, and waits until the peer has
    /// closed too, for at most [`Config::close_timeout`]. It may also be called if the connection is closing or
    /// closed.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if `code` or `reason` cannot be sent, or if something that was accepted before has
    /// not left in that time; otherwise as [`recv`](Self::recv).
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        let mark = self.shared.driver.sent_mark();
        self.shared.driver.start_close(code, reason, self.shared.clock.now())?;
        self.drain()?;
        self.shared.driver.check_sent(mark)
    }

    /// What was agreed in the opening handshake.
    #[must_use]
    pub fn agreement(&self) -> &Agreement {
        self.connection().agreement()
    }

    /// Where the connection stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.connection().state()
    }

    /// How the connection ended, once it has.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        self.connection().closed()
    }

    /// The time from the last answered Ping to its Pong.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.connection().latency()
    }

    /// How many bytes wait to be transmitted.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.connection().queued()
    }

    /// Whether [`feed`](Self::feed) would take a message without waiting. Receiving may make room, and goes on waiting.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.connection().has_room()
    }

    /// Sets other limits and deadlines, as [`Connection::set_config`].
    pub fn set_config(&mut self, config: impl Into<Arc<Config>>) {
        self.shared.driver.connection.set_config(config);
    }

    /// The connection, which has more methods to ask.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.shared.driver.connection
    }

    /// The transport. Do not read or write it.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// Splits the socket into two halves, for two threads.
    ///
    /// # Errors
    ///
    /// The transport cannot be [cloned](Transport::try_clone). The error has the WebSocket, unchanged; `?` drops it.
    pub fn split(self) -> Result<(Receiver<S>, Sender<S>), SplitError<S>> {
        split::split(self)
    }

    // The methods above use these.

    fn find(&mut self, form: Form) -> Result<Option<NextEvent>, Error> {
        self.shared.set_reading(Reading::Events);
        loop {
            if let Some(found) = self.shared.next_event(form) {
                return Ok(Some(found));
            }
            if self.shared.driver.is_over() {
                let_go(&mut Alone(&mut self.shared), &mut self.io);
                return self.shared.driver.outcome().map(|()| None);
            }
            turn(&mut Alone(&mut self.shared), &mut self.io, Goal::Events, &mut Limit::none())?;
        }
    }

    fn feed_with(&mut self, queue: impl FnOnce(&mut Connection, &Clock) -> Result<(), SendError>) -> Result<(), Error> {
        command(&mut Alone(&mut self.shared), &mut self.io, queue)
    }

    fn send_with(&mut self, queue: impl FnOnce(&mut Connection, &Clock) -> Result<(), SendError>) -> Result<(), Error> {
        command(&mut Alone(&mut self.shared), &mut self.io, queue)?;
        push(&mut Alone(&mut self.shared), &mut self.io)
    }
}
