//! The blocking adapter: carries the core's bytes over a [`Transport`] of the
//! standard library, and its deadlines over the transport's timeouts. What to do
//! next is the core's answer. Same names in the same order as [`tokio`].
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

use crate::driver::{Driver, Error, Form, Found};
use crate::{
    Agreement, Chunk, CloseCode, Closed, Config, Connection, Event, Message, Outgoing, Reading, SendError, State, Time,
    Unsent, Upgrade,
};
#[cfg(not(windows))]
pub use connect::{connect, connect_with};
pub use open::{Accepting, accept, accept_with, connect_on, read_request};
use shared::{Alone, Goal, Shared};
pub use split::{Receiver, Sender, SplitError};
use timeouts::Clock;
pub use transport::Transport;
use turns::{check_sending, leave, let_go, turn, turn_blocked, write_to};

/// A WebSocket over a blocking transport.
///
/// All work is done inside the calls; there is no thread behind it. Receiving also
/// writes what is queued, answers Pings and keeps the deadlines, so a thread that
/// waits in [`recv`](Self::recv) has nothing else to look after.
///
/// The timeouts of the transport are in its hands: it sets them to keep the
/// deadlines, and a program that sets them itself may make it miss them.
///
/// # Non-blocking transports
///
/// A socket that was made non-blocking works too. A method that would have to wait
/// returns [`Error::Io`] with [`WouldBlock`](std::io::ErrorKind::WouldBlock); nothing is
/// lost, and calling it again goes on where it was. A method that sends returns
/// this only if it has queued nothing, and otherwise `Ok` as soon as the message is
/// queued; [`flush`](Self::flush) tells whether all has left.
#[derive(Debug)]
pub struct WebSocket<S> {
    io: S,
    shared: Shared,
}

impl<S: Transport> WebSocket<S> {
    /// A WebSocket on a transport whose opening handshake was done elsewhere.
    /// `leftover` is what was read behind it.
    #[must_use]
    pub fn new(io: S, upgrade: Upgrade, config: impl Into<Arc<Config>>, leftover: &[u8]) -> WebSocket<S> {
        let clock = Clock::new();
        let mut connection = Connection::new(upgrade, config, clock.now());
        connection.hold(leftover);
        WebSocket::with_clock(io, connection, clock)
    }

    /// A WebSocket of its two parts. The times that `connection` knows are counted from `epoch`. It should be open:
    /// a server's that is not has nobody to decide on its request, which is answered with 408 when time is over.
    #[must_use]
    pub fn from_connection(io: S, connection: Connection, epoch: Instant) -> WebSocket<S> {
        WebSocket::with_clock(io, connection, Clock::since(epoch))
    }

    /// The two parts, for another loop: the connection [holds](Connection::hold) what was read and
    /// not taken, and counts its times from the moment that comes with it.
    #[must_use]
    pub fn into_parts(self) -> (S, Connection, Instant) {
        (self.io, self.shared.driver.into_connection(), self.shared.clock.epoch())
    }

    fn with_clock(io: S, connection: Connection, clock: Clock) -> WebSocket<S> {
        WebSocket { io, shared: Shared::new(Driver::new(connection, clock.now()), clock) }
    }

    /// The next message; `None` once the connection is closed, and
    /// [`closed`](Self::closed) then says how.
    ///
    /// Before it waits, all that was [fed](Self::feed) or provoked leaves in one write.
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`], [`Error::PongTimeout`], [`Error::StallTimeout`] or [`Error::Io`], once, from
    /// whatever method meets it first; messages that were read before still come, and then `None`. That the peer went away without a Close frame is not an error
    /// here: [`closed`](Self::closed) has the code 1006 then.
    pub fn recv(&mut self) -> Result<Option<Message<'static>>, Error> {
        self.recv_until(None)
    }

    /// As [`recv`](Self::recv), but waits for `limit` at the most.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] if no message came in that time; nothing is lost. Otherwise as [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Option<Message<'static>>, Error> {
        self.recv_until(Some(self.shared.clock.now() + limit))
    }

    #[inline]
    fn recv_until(&mut self, limit: Option<Time>) -> Result<Option<Message<'static>>, Error> {
        self.shared.set_reading(Reading::Events);
        loop {
            if let Some(message) = self.shared.next_message() {
                return Ok(Some(message));
            }
            if self.shared.driver.is_over() {
                let_go(&mut Alone(&mut self.shared), &mut self.io);
                return self.shared.driver.outcome().map(|()| None);
            }
            turn(&mut Alone(&mut self.shared), &mut self.io, Goal::Events, limit)?;
        }
    }

    /// As [`recv`](Self::recv), but hands a message out as it arrives, so that one of
    /// any length takes no memory. See [`Connection::receive_chunk`] for what happens
    /// if both are called.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_chunk(&mut self) -> Result<Option<Chunk<'_>>, Error> {
        let found = loop {
            match self.find(Form::Chunks)? {
                Some(Found::Lent(found)) => break found,
                Some(Found::Owned(Event::Chunk(chunk))) => return Ok(Some(chunk)),
                Some(Found::Owned(_)) => {}
                None => return Ok(None),
            }
        };
        match self.shared.driver.look(found) {
            Event::Chunk(chunk) => Ok(Some(chunk)),
            _ => Ok(None),
        }
    }

    /// Takes and drops what comes, until the connection is over: what a program that only sends must
    /// have running beside its sending, on the other [half](Self::split). It answers Pings,
    /// sees the peer's Close frame, and keeps the deadlines.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn drain(&mut self) -> Result<(), Error> {
        // In chunks: what is dropped need not be gathered first.
        while self.find(Form::Chunks)?.is_some() {}
        Ok(())
    }

    /// The next event, control frames included. A message that lay whole in what was
    /// read is lent from there, without a copy.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn event(&mut self) -> Result<Option<Event<'_>>, Error> {
        match self.find(Form::Whole)? {
            Some(Found::Lent(found)) => Ok(Some(self.shared.driver.look(found))),
            Some(Found::Owned(event)) => Ok(Some(event)),
            None => Ok(None),
        }
    }

    /// Sends a message: returns when the transport has taken all of it.
    ///
    /// A program that sends and never receives is deaf: it answers no Ping, does not see the peer's Close
    /// frame, and is given up by the peer's keepalive. Have [`drain`](Self::drain) running beside it,
    /// in a thread of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if the connection is closing, or ended before the transport
    /// had taken all, or if a fragmented message is unfinished; otherwise as
    /// [`recv`](Self::recv). If it is closing, what was accepted before has left when this returns, or
    /// the time to close is over: a socket that is dropped then loses nothing.
    pub fn send<'m>(&mut self, message: impl Into<Outgoing<'m>>) -> Result<(), Error> {
        self.feed(message)?;
        self.push()
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
        self.command(|connection, _| connection.queue(message))
    }

    /// Queues a message if there is room for it now, and gives it back otherwise. It waits for nothing.
    ///
    /// # Errors
    ///
    /// As [`Connection::try_send`]: [`SendError::Full`] with the message, and the other reasons.
    pub fn try_feed<'m, M: Into<Outgoing<'m>>>(&mut self, message: M) -> Result<(), Unsent<M>> {
        self.shared.driver.try_queue(message)
    }

    /// Waits until there is [room](Self::has_room) for a message, or never will be again.
    ///
    /// While the transport takes nothing, one message is read ahead at most.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn ready(&mut self) -> Result<(), Error> {
        self.command(|connection, _| match connection.check_send() {
            Err(SendError::Full) => Ok(()),
            other => other,
        })
    }

    /// Sends the next fragment of a message, as [`Connection::send_fragment`].
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::TypeChanged`].
    pub fn send_fragment<'m>(&mut self, data: impl Into<Message<'m>>, fin: bool) -> Result<(), Error> {
        self.feed_fragment(data, fin)?;
        self.push()
    }

    /// Queues the next fragment of a message, as [`feed`](Self::feed) does with a whole one.
    ///
    /// # Errors
    ///
    /// As [`send_fragment`](Self::send_fragment).
    pub fn feed_fragment<'m>(&mut self, data: impl Into<Message<'m>>, fin: bool) -> Result<(), Error> {
        self.command(|connection, _| connection.queue_fragment(data, fin))
    }

    /// Sends a Ping. Its Pong, which [`recv`](Self::recv) takes in, sets
    /// [`latency`](Self::latency).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::ControlTooLong`] above 125 bytes.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.command(|connection, clock| connection.ping(payload, clock.now()))?;
        self.push()
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
        self.write_to(self.shared.driver.promised())
    }

    /// Closes the connection: sends a Close frame, skips what the peer still sends,
    /// and waits until it has closed too, at most [`Config::close_timeout`]. It does
    /// no harm to a connection that is closing or closed.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if `code` or `reason` cannot be sent, or if something that was accepted before has
    /// not left in that time; otherwise as [`recv`](Self::recv).
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        let mark = self.shared.driver.promised();
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

    /// Whether [`feed`](Self::feed) would take a message without waiting.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.connection().has_room()
    }

    /// Sets other limits and deadlines, as [`Connection::set_config`].
    pub fn set_config(&mut self, config: impl Into<Arc<Config>>) {
        self.shared.driver.connection.set_config(config);
    }

    /// The connection, to ask what this type does not tell.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.shared.driver.connection
    }

    /// The transport, to look at.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// Two halves, for two threads.
    ///
    /// # Errors
    ///
    /// The transport cannot be [cloned](Transport::try_clone). The WebSocket comes
    /// back in the error, as it was; `?` drops it.
    pub fn split(self) -> Result<(Receiver<S>, Sender<S>), SplitError<S>> {
        split::split(self)
    }

    // What the methods above share.

    fn find(&mut self, form: Form) -> Result<Option<Found>, Error> {
        self.shared.set_reading(Reading::Events);
        loop {
            if let Some(found) = self.shared.next_event(form) {
                return Ok(Some(found));
            }
            if self.shared.driver.is_over() {
                let_go(&mut Alone(&mut self.shared), &mut self.io);
                return self.shared.driver.outcome().map(|()| None);
            }
            turn(&mut Alone(&mut self.shared), &mut self.io, Goal::Events, None)?;
        }
    }

    /// Waits for room, then gives a command. If that is refused because the connection is closing, a
    /// program's loop often ends, and the socket with it; so what was accepted before leaves first.
    fn command(&mut self, command: impl FnOnce(&mut Connection, &Clock) -> Result<(), SendError>) -> Result<(), Error> {
        check_sending(&mut Alone(&mut self.shared), &mut self.io)?;
        while !self.shared.driver.may_queue() {
            turn_blocked(&mut Alone(&mut self.shared), &mut self.io, Goal::Room, None)?;
            check_sending(&mut Alone(&mut self.shared), &mut self.io)?;
        }
        let Shared { driver, clock, .. } = &mut self.shared;
        let result = driver.queue(|connection| command(connection, clock));
        if result.as_ref().is_err_and(Error::is_closed) {
            let mark = self.connection().owed();
            leave_or_refuse(leave(&mut Alone(&mut self.shared), &mut self.io, mark, None))?;
        }
        result
    }

    fn write_to(&mut self, mark: u64) -> Result<(), Error> {
        write_to(&mut Alone(&mut self.shared), &mut self.io, mark, None)
    }

    /// Flushes what a command has queued. That this has to wait is no error of the
    /// command's: it would be given again.
    fn push(&mut self) -> Result<(), Error> {
        would_block_is_fine(self.flush())
    }
}

/// The result of waiting for what was accepted before to leave, when a command is refused. Nothing of the
/// command is queued, so if that would block, the caller can come back.
fn leave_or_refuse(left: Result<(), Error>) -> Result<(), Error> {
    match left {
        Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => Err(error.into()),
        _ => Ok(()),
    }
}

/// The result of a command whose message is queued, and of the attempt to send it.
fn would_block_is_fine(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}
