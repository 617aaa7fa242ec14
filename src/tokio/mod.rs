//! The tokio adapter: carries the core's bytes over an `AsyncRead + AsyncWrite`,
//! and its deadlines over tokio's clock. What to do next is the core's answer.
//!
//! ```no_run
//! # async fn example() -> Result<(), openline::Error> {
//! let mut socket = openline::tokio::connect("ws://127.0.0.1:9001/").await?;
//! socket.send("Hello").await?;
//! while let Some(message) = socket.recv().await? {
//!     println!("{message:?}");
//! }
//! # Ok(())
//! # }
//! ```

mod clock;
mod open;
mod sink;
mod split;
mod turn;
mod wakers;

use std::boxed::Box;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::tokio::io::{AsyncRead, AsyncWrite};

use crate::driver::{Driver, Error, Form, Found};
use crate::{
    Agreement, Chunk, CloseCode, Closed, Config, Connection, Event, Message, Outgoing, Reading, SendError, State,
    Unsent, Upgrade,
};
use clock::Clock;
pub use open::{Accepting, accept, accept_with, connect, connect_on, connect_with, read_request};
pub use split::{Receiver, Sender};
use turn::Goal;
use wakers::Wakers;

/// A WebSocket over a tokio transport.
///
/// All work is done inside the calls; there is no task behind it. Receiving also
/// writes what is queued, answers Pings and keeps the deadlines, so a task that
/// waits in [`recv`](Self::recv) has nothing else to look after. A task that only sends
/// has: see [`send`](Self::send).
///
/// Every method is cancel-safe: dropping its future loses no message and leaves no
/// frame half-written. What it had not finished goes on in the next call.
///
/// Deadlines need a runtime with time enabled, and the one in which the socket was first waited for: its timer
/// belongs there. [`into_parts`](Self::into_parts) takes a socket to another.
#[derive(Debug)]
pub struct WebSocket<S> {
    io: S,
    /// Boxed: a task's future has room for every place that a socket is moved to.
    driver: Box<Driver>,
    clock: Clock,
    /// How many bytes have been read since this task waited last.
    lately: u32,
    /// How many reads there were, to see that there was one.
    reads: u16,
    /// Whether a message was refused that a sink had taken: its next poll says so.
    refused: bool,
    /// Who waits, once two tasks may: see `wakers`.
    wakers: Option<Arc<Wakers>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
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
    pub fn from_connection(io: S, connection: Connection, epoch: std::time::Instant) -> WebSocket<S> {
        WebSocket::with_clock(io, connection, Clock::since(epoch))
    }

    /// The two parts, for another loop: the connection [holds](Connection::hold) what was read and
    /// not taken, and counts its times from the moment that comes with it. A message that a `Sink` took when the
    /// connection was closing already is gone: flush first, to be told.
    #[must_use]
    pub fn into_parts(self) -> (S, Connection, std::time::Instant) {
        (self.io, self.driver.into_connection(), self.clock.epoch())
    }

    fn with_clock(io: S, connection: Connection, clock: Clock) -> WebSocket<S> {
        let driver = Box::new(Driver::new(connection, clock.now()));
        WebSocket { io, driver, clock, lately: 0, reads: 0, refused: false, wakers: None }
    }

    /// The next message; `None` once the connection is closed, and
    /// [`closed`](Self::closed) then says how.
    ///
    /// Before it waits, all that was [fed](Self::feed) or provoked leaves in one write.
    ///
    /// Cancel-safe: no message is lost.
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`], [`Error::PongTimeout`], [`Error::StallTimeout`] or [`Error::Io`], once, from whatever
    /// method meets it first; messages that were read before still come, and then `None`. That the peer went away without a Close frame is not an error
    /// here: [`closed`](Self::closed) has the code 1006 then.
    pub async fn recv(&mut self) -> Result<Option<Message<'static>>, Error> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), but hands a message out as it arrives, so that one of
    /// any length takes no memory. See [`Connection::receive_chunk`] for what happens
    /// if both are called.
    ///
    /// Cancel-safe: no chunk is lost.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub async fn recv_chunk(&mut self) -> Result<Option<Chunk<'_>>, Error> {
        let found = loop {
            match poll_fn(|cx| self.poll_event(cx, Form::Chunks)).await? {
                Some(Found::Lent(found)) => break found,
                Some(Found::Owned(Event::Chunk(chunk))) => return Ok(Some(chunk)),
                Some(Found::Owned(_)) => {}
                None => return Ok(None),
            }
        };
        match self.driver.look(found) {
            Event::Chunk(chunk) => Ok(Some(chunk)),
            _ => Ok(None),
        }
    }

    /// Takes and drops what comes, until the connection is over: what a program that only sends must
    /// have running beside its sending, best on the other [half](Self::split). It answers Pings,
    /// sees the peer's Close frame, and keeps the deadlines.
    ///
    /// Cancel-safe: what has been dropped is gone, and nothing else.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub async fn drain(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_closed(cx)).await
    }

    /// The next event, control frames included. A message that lay whole in what was
    /// read is lent from there, without a copy.
    ///
    /// Cancel-safe: no event is lost.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub async fn event(&mut self) -> Result<Option<Event<'_>>, Error> {
        match poll_fn(|cx| self.poll_event(cx, Form::Whole)).await? {
            Some(Found::Lent(found)) => Ok(Some(self.driver.look(found))),
            Some(Found::Owned(event)) => Ok(Some(event)),
            None => Ok(None),
        }
    }

    /// Sends a message: returns when the transport has taken all of it.
    ///
    /// A program that sends and never receives is deaf: it answers no Ping, does not see the peer's Close
    /// frame, and is given up by the peer's keepalive. Have [`drain`](Self::drain) running beside it.
    ///
    /// Cancel-safe: a dropped future has queued the message whole or not at all (the
    /// latter only if it was still waiting for room); what is queued leaves with the
    /// next call of any kind.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if the connection is closing or a fragmented message is
    /// unfinished; otherwise as [`recv`](Self::recv). If it is closing, what was accepted before
    /// has left when this returns, or the time to close is over: a socket that is dropped then loses nothing.
    pub async fn send(&mut self, message: impl Into<Outgoing<'_>>) -> Result<(), Error> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Queues a message, waiting only while there is no
    /// [room](Connection::has_room). It leaves with the next [`flush`](Self::flush) or
    /// [`send`](Self::send), or when [`recv`](Self::recv) has no message at hand. So
    /// a loop that feeds an answer to each message writes once for each read:
    ///
    /// ```no_run
    /// # async fn echo(mut socket: openline::tokio::WebSocket<tokio::net::TcpStream>) -> Result<(), openline::Error> {
    /// while let Some(message) = socket.recv().await? {
    ///     socket.feed(message).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A task that waits for anything but this socket must flush first.
    ///
    /// Cancel-safe: the message is queued whole or not at all.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn feed(&mut self, message: impl Into<Outgoing<'_>>) -> Result<(), Error> {
        self.room().await?;
        let queued = self.driver.queue(|connection| connection.queue(message));
        if is_refused(&queued) { self.farewell().await } else { queued }
    }

    /// Queues a message if there is room for it now, and gives it back otherwise. It waits for nothing.
    ///
    /// # Errors
    ///
    /// As [`Connection::try_send`]: [`SendError::Full`] with the message, and the other reasons.
    pub fn try_feed<'m, M: Into<Outgoing<'m>>>(&mut self, message: M) -> Result<(), Unsent<M>> {
        self.driver.try_queue(message)
    }

    /// Waits until there is [room](Self::has_room) for a message, or never will be again: what a pump
    /// needs that must not take a message from elsewhere before it can pass it on.
    ///
    /// While the transport takes nothing, one message is read ahead at most.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn ready(&mut self) -> Result<(), Error> {
        self.room().await?;
        let open = self.driver.connection.check_send().or_else(|error| match error {
            SendError::Full => Ok(()),
            error => Err(error.into()),
        });
        if is_refused(&open) { self.farewell().await } else { open }
    }

    /// Sends the next fragment of a message, as [`Connection::send_fragment`].
    ///
    /// Cancel-safe as [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::TypeChanged`].
    pub async fn send_fragment(&mut self, data: impl Into<Message<'_>>, fin: bool) -> Result<(), Error> {
        self.feed_fragment(data, fin).await?;
        self.flush().await
    }

    /// Queues the next fragment of a message, as [`feed`](Self::feed) does with a whole one.
    ///
    /// Cancel-safe: the fragment is queued whole or not at all.
    ///
    /// # Errors
    ///
    /// As [`send_fragment`](Self::send_fragment).
    pub async fn feed_fragment(&mut self, data: impl Into<Message<'_>>, fin: bool) -> Result<(), Error> {
        self.room().await?;
        let queued = self.driver.queue(|connection| connection.queue_fragment(data, fin));
        if is_refused(&queued) { self.farewell().await } else { queued }
    }

    /// Sends a Ping. Its Pong, which [`recv`](Self::recv) takes in, sets
    /// [`latency`](Self::latency).
    ///
    /// Cancel-safe as [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::ControlTooLong`] above 125 bytes.
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.room().await?;
        let now = self.clock.now();
        let queued = self.driver.queue(|connection| connection.ping(payload, now));
        if is_refused(&queued) {
            return self.farewell().await;
        }
        queued?;
        self.flush().await
    }

    /// Waits until the transport has taken all that this end queued before.
    ///
    /// While the transport takes nothing, one message is read ahead, so that two ends
    /// that send to each other at once do not wait for each other.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or why the connection ended while this waited.
    pub async fn flush(&mut self) -> Result<(), Error> {
        let mark = self.driver.promised();
        poll_fn(|cx| self.poll_sent(cx, mark)).await
    }

    /// Closes the connection: sends a Close frame, skips what the peer still sends,
    /// and waits until it has closed too, at most [`Config::close_timeout`]. It does
    /// no harm to a connection that is closing or closed.
    ///
    /// Cancel-safe: once it has been polled, the Close frame is queued.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if `code` or `reason` cannot be sent, or if something that was accepted before has
    /// not left in that time; otherwise as [`recv`](Self::recv).
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        let mark = self.driver.promised();
        self.start_close(code, reason)?;
        self.drain().await?;
        self.check_sent(mark)
    }

    /// What was agreed in the opening handshake.
    #[must_use]
    pub fn agreement(&self) -> &Agreement {
        self.driver.connection.agreement()
    }

    /// Where the connection stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.driver.connection.state()
    }

    /// How the connection ended, once it has.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        self.driver.connection.closed()
    }

    /// The time from the last answered Ping to its Pong.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.driver.connection.latency()
    }

    /// How many bytes wait to be transmitted.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.driver.connection.queued()
    }

    /// Whether [`feed`](Self::feed) would take a message without waiting.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.driver.connection.has_room()
    }

    /// Sets other limits and deadlines, as [`Connection::set_config`].
    pub fn set_config(&mut self, config: impl Into<Arc<Config>>) {
        self.driver.connection.set_config(config);
    }

    /// The connection, to ask what this type does not tell.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.driver.connection
    }

    /// The transport, to look at.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// Two halves, for two tasks. Each keeps the whole connection going while it
    /// waits, so neither depends on the other being polled.
    #[must_use]
    pub fn split(self) -> (Receiver<S>, Sender<S>) {
        split::split(self)
    }

    // What the methods above, the halves and the `Stream` share.

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message<'static>>, Error>> {
        self.set_reading(Reading::Events);
        loop {
            if let Some(message) = self.driver.next_message(|| self.clock.now()) {
                return Poll::Ready(Ok(Some(message)));
            }
            if self.driver.is_over() {
                self.let_go(cx);
                return Poll::Ready(self.driver.outcome().map(|()| None));
            }
            ready!(self.poll_turn(cx, Goal::Events));
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>, form: Form) -> Poll<Result<Option<Found>, Error>> {
        self.set_reading(Reading::Events);
        loop {
            if let Some(found) = self.driver.next_event(form, || self.clock.now()) {
                return Poll::Ready(Ok(Some(found)));
            }
            if self.driver.is_over() {
                self.let_go(cx);
                return Poll::Ready(self.driver.outcome().map(|()| None));
            }
            ready!(self.poll_turn(cx, Goal::Events));
        }
    }

    /// Waits for the end. In chunks: what is skipped need not be gathered first.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while ready!(self.poll_event(cx, Form::Chunks))?.is_some() {}
        Poll::Ready(Ok(()))
    }

    /// Waits until there is room to send, or never will be again.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            self.driver.check_sending()?;
            if self.driver.may_queue() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_blocked(cx, Goal::Room));
        }
    }

    /// Waits until the transport has taken all that was queued before `mark`.
    fn poll_sent(&mut self, cx: &mut Context<'_>, mark: u64) -> Poll<Result<(), Error>> {
        let goal = Goal::Sent(mark);
        while !self.has_reached(goal) {
            ready!(self.poll_blocked(cx, goal));
        }
        self.let_go(cx);
        Poll::Ready(self.check_sent(mark))
    }

    /// If it is over, the transport is shut down, without waiting for that: the program may keep the
    /// socket, and the peer waits for the end.
    fn let_go(&mut self, cx: &mut Context<'_>) {
        if self.driver.owes_shutdown()
            && (!self.driver.owes_flush() || Pin::new(&mut self.io).poll_flush(cx).is_ready())
            && Pin::new(&mut self.io).poll_shutdown(cx).is_ready()
        {
            self.driver.handle_shutdown();
        }
    }

    async fn room(&mut self) -> Result<(), Error> {
        if self.driver.is_sending() {
            return Ok(());
        }
        poll_fn(|cx| self.poll_room(cx)).await
    }

    /// A command that is refused because the connection is closing often ends the program's loop, and
    /// the socket with it. So what was accepted before leaves first.
    async fn farewell(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_farewell(cx)).await;
        Err(SendError::Closed.into())
    }

    /// Waits until what is queued has left, or never will. What it has ended with is not told here.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let goal = Goal::Sent(self.driver.connection.owed());
        while !self.has_reached(goal) {
            ready!(self.poll_blocked(cx, goal));
        }
        Poll::Ready(())
    }

    /// Waits until what is queued has left, our Close frame the last of it.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mark = self.driver.connection.owed().max(self.driver.promised());
        ready!(self.poll_farewell(cx));
        self.let_go(cx);
        Poll::Ready(self.check_sent(mark))
    }

    fn start_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.driver.start_close(code, reason, self.clock.now())
    }

    #[inline]
    fn set_reading(&mut self, reading: Reading) {
        if self.driver.connection.reading() != reading {
            self.driver.connection.set_reading(reading, self.clock.now());
        }
    }
}

/// Whether a command was refused because the connection is closing.
#[inline]
fn is_refused(result: &Result<(), Error>) -> bool {
    result.as_ref().is_err_and(Error::is_closed)
}
