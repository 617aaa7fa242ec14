//! The tokio adapter. It carries the core's bytes over an `AsyncRead + AsyncWrite`, and keeps its deadlines with
//! tokio's clock. The core says what to do next.
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
mod connect;
mod open;
mod sink;
mod split;
mod turn;
mod wakers;

use std::boxed::Box;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::tokio::io::{AsyncRead, AsyncWrite};

use crate::driver::{Driver, Error, Form, NextEvent};
use crate::{
    Agreement, Chunk, CloseCode, Closed, Config, Connection, Event, Message, Outgoing, Reading, SendError, State, Time,
    Unsent, Upgrade,
};
use clock::Clock;
pub use connect::{Stream, connect, connect_tcp, connect_with};
pub use open::{Accepting, accept, accept_with, connect_on, read_request};
pub use split::{Receiver, Sender};
use turn::Goal;
use wakers::Both;

/// A WebSocket over a tokio transport.
///
/// All work is done inside the calls; there is no background task. Receiving also writes what is queued, answers
/// Pings and keeps the deadlines, so a task that waits in [`recv`](Self::recv) need do nothing else. A task that only
/// sends must do more: see [`send`](Self::send).
///
/// Every method is cancel-safe: dropping its future loses no message and no part of a frame. The next call goes on with
/// what was unfinished.
///
/// The methods are for one task at a time. Two tasks use the halves of [`split`](Self::split), or `Stream` and `Sink`, of
/// which each task polls one (`StreamExt::split`): then no method may be called while a task waits for one of them, since
/// it would take that task's place.
///
/// Deadlines need a runtime with time enabled. A socket must stay in the runtime in which it was first polled, since
/// its timer belongs there. [`into_parts`](Self::into_parts) moves it to another runtime.
#[derive(Debug)]
pub struct WebSocket<S> {
    io: S,
    /// It is boxed, so that a socket is small: the future of a task has space for each place that the socket is moved
    /// to.
    driver: Box<Driver>,
    clock: Clock,
    /// How many bytes have been read since this task waited last.
    lately: u32,
    /// A count of the reads, which shows whether there was one.
    reads: u16,
    /// Whether a message was refused that a sink had taken: its next poll says so.
    sink_closed: bool,
    /// Who waits, once two tasks may: see `wakers`.
    wakers: Option<Arc<Both>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
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
    pub fn from_connection(io: S, connection: Connection, epoch: std::time::Instant) -> WebSocket<S> {
        let clock = Clock::since(epoch);
        let now = clock.now();
        WebSocket::with_clock(io, connection, clock, now)
    }

    /// The transport and the connection, and the moment from which the times in the connection count. The connection
    /// [holds](Connection::hold) the bytes that were read and not taken. A message that a `Sink` took when the
    /// connection was closing already is gone: flush first, to be told.
    #[must_use]
    pub fn into_parts(self) -> (S, Connection, std::time::Instant) {
        (self.io, self.driver.into_connection(), self.clock.epoch())
    }

    fn with_clock(io: S, connection: Connection, clock: Clock, now: Time) -> WebSocket<S> {
        let driver = Box::new(Driver::new(connection, now));
        WebSocket { io, driver, clock, lately: 0, reads: 0, sink_closed: false, wakers: None }
    }

    /// The next message; `None` once the connection is closed, and [`closed`](Self::closed) then says how.
    ///
    /// Before it waits, everything that is queued leaves in one write: what was [fed](Self::feed), and Pongs.
    ///
    /// Cancel-safe: no message is lost.
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`], [`Error::PongTimeout`], [`Error::StallTimeout`] or [`Error::Io`], once, from whatever
    /// method meets it first. Messages that were read before still come, and then `None`. It is no error if the peer
    /// goes away without a Close frame: then [`closed`](Self::closed) has the code 1006.
    pub async fn recv(&mut self) -> Result<Option<Message<'static>>, Error> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), but returns a message as it arrives, so that a message of any length takes little
    /// memory. [`Connection::receive_chunk`] says what happens if both are called.
    ///
    /// Cancel-safe: no chunk is lost.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub async fn recv_chunk(&mut self) -> Result<Option<Chunk<'_>>, Error> {
        let found = loop {
            match poll_fn(|cx| self.poll_event(cx, Form::Chunks)).await? {
                Some(NextEvent::InPlace(found)) => break found,
                Some(NextEvent::Owned(Event::Chunk(chunk))) => return Ok(Some(chunk)),
                Some(NextEvent::Owned(_)) => {}
                None => return Ok(None),
            }
        };
        match self.driver.look(found) {
            Event::Chunk(chunk) => Ok(Some(chunk)),
            _ => Ok(None),
        }
    }

    /// Takes and drops what comes, until the connection is over. It answers Pings, sees the peer's Close frame, and
    /// keeps the deadlines. A program that only sends must have it running at the same time, best on the other
    /// [half](Self::split).
    ///
    /// Cancel-safe: only what it has dropped is lost.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub async fn drain(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_closed(cx)).await
    }

    /// The next event, control frames included. A message that lies whole in the read buffer is borrowed from there,
    /// without a copy. A message that came in several reads [owns](Message::is_owned) its data.
    ///
    /// Cancel-safe: no event is lost.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub async fn event(&mut self) -> Result<Option<Event<'_>>, Error> {
        match poll_fn(|cx| self.poll_event(cx, Form::Whole)).await? {
            Some(NextEvent::InPlace(found)) => Ok(Some(self.driver.look(found))),
            Some(NextEvent::Owned(event)) => Ok(Some(event)),
            None => Ok(None),
        }
    }

    /// Sends a message. It returns when the transport has taken all of it.
    ///
    /// A program that only sends must also call [`drain`](Self::drain) at the same time. If nothing is received, no
    /// Ping is answered, so the keepalive of the peer ends the connection; and the peer's Close frame is not seen.
    ///
    /// Cancel-safe: a dropped future has queued the whole message, or nothing if it was still waiting for room. What is
    /// queued leaves as after [`feed`](Self::feed).
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if the connection is closing or a fragmented message is
    /// unfinished; otherwise as [`recv`](Self::recv). If the connection is closing, this returns when what was accepted
    /// before has left, or the time to close is over. So the socket can be dropped, and nothing is lost.
    pub async fn send(&mut self, message: impl Into<Outgoing<'_>>) -> Result<(), Error> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Queues a message, waiting only while there is no [room](Connection::has_room). It leaves with the next
    /// [`flush`](Self::flush) or [`send`](Self::send), or when [`recv`](Self::recv) has no message at hand. So a loop
    /// that feeds an answer to each message writes once for each read:
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
    /// A task that does not wait in [`recv`](Self::recv) next must flush first.
    ///
    /// Cancel-safe: the message is queued whole or not at all.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn feed(&mut self, message: impl Into<Outgoing<'_>>) -> Result<(), Error> {
        // Speed only; `room` says the same, as a future.
        if !self.driver.is_sending() {
            self.room().await?;
        }
        match self.driver.queue(|connection| connection.queue(message)) {
            Ok(()) => Ok(()),
            Err(error) => self.refuse(error).await,
        }
    }

    /// Queues a message if there is room for it now, and gives it back otherwise. It waits for nothing.
    ///
    /// # Errors
    ///
    /// As [`Connection::try_send`]: [`SendError::Full`] with the message, and the other reasons.
    pub fn try_feed<'m, M: Into<Outgoing<'m>>>(&mut self, message: M) -> Result<(), Unsent<M>> {
        self.driver.try_queue(message)
    }

    /// Waits until there is [room](Self::has_room) for a message. This is for programs that must not take a message
    /// from its source before they can send it.
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
        match self.driver.connection.check_send() {
            Ok(()) | Err(SendError::Full) => Ok(()),
            Err(error) => self.refuse(error.into()).await,
        }
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
        match self.driver.queue(|connection| connection.queue_fragment(data, fin)) {
            Ok(()) => Ok(()),
            Err(error) => self.refuse(error).await,
        }
    }

    /// Sends a Ping. When [`recv`](Self::recv) gets its Pong, that sets [`latency`](Self::latency).
    ///
    /// Cancel-safe as [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::ControlTooLong`] above 125 bytes.
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.room().await?;
        let now = self.clock.now();
        match self.driver.queue(|connection| connection.ping(payload, now)) {
            Ok(()) => self.flush().await,
            Err(error) => self.refuse(error).await,
        }
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
        let mark = self.driver.sent_mark();
        poll_fn(|cx| self.poll_sent(cx, mark)).await
    }

    /// Closes the connection: sends a Close frame, drops what the peer still sends, and waits until the peer has
    /// closed too, for at most [`Config::close_timeout`]. It may also be called if the connection is closing or
    /// closed.
    ///
    /// Cancel-safe: once it has been polled, the Close frame is queued.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if `code` or `reason` cannot be sent, or if something that was accepted before has
    /// not left in that time; otherwise as [`recv`](Self::recv).
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        let mark = self.driver.sent_mark();
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

    /// Whether [`feed`](Self::feed) would take a message without waiting. Receiving may make room, and goes on waiting.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.driver.connection.has_room()
    }

    /// Sets other limits and deadlines, as [`Connection::set_config`].
    pub fn set_config(&mut self, config: impl Into<Arc<Config>>) {
        self.driver.connection.set_config(config);
    }

    /// The connection, which has more methods to ask.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.driver.connection
    }

    /// The transport. Do not read or write it.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// Splits the socket into two halves, for two tasks. Each half does all work of the connection while it waits, so
    /// it does not matter whether the other one is polled.
    #[must_use]
    pub fn split(self) -> (Receiver<S>, Sender<S>) {
        split::split(self)
    }

    // The methods above, the halves and the `Stream` use these.

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

    fn poll_event(&mut self, cx: &mut Context<'_>, form: Form) -> Poll<Result<Option<NextEvent>, Error>> {
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

    /// Waits for the end. It takes chunks, so that messages which are dropped are not gathered.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while ready!(self.poll_event(cx, Form::Chunks))?.is_some() {}
        Poll::Ready(Ok(()))
    }

    /// Waits until there is room to send, or never will be again.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            self.let_go(cx);
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
        self.driver.handle_sent();
        Poll::Ready(self.check_sent(mark))
    }

    /// As [`poll_room`](Self::poll_room). It is mostly ready at once.
    fn room(&mut self) -> impl Future<Output = Result<(), Error>> + '_ {
        poll_fn(|cx| match self.driver.is_sending() {
            true => Poll::Ready(Ok(())),
            false => self.poll_room(cx),
        })
    }

    /// Ends a command that failed because the connection is closing. What was accepted before leaves first: after
    /// this error many programs drop the socket.
    ///
    /// It is boxed, since it is rare: a task has room for the largest of its futures, for as long as it lives.
    fn refuse(&mut self, error: Error) -> Pin<Box<impl Future<Output = Result<(), Error>> + '_>> {
        Box::pin(async move {
            if error.is_closed() {
                poll_fn(|cx| self.poll_farewell(cx)).await;
            }
            Err(error)
        })
    }

    /// Waits until what is queued has left, or never will. It returns no error.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let goal = Goal::Sent(self.driver.connection.owed());
        while !self.has_reached(goal) {
            ready!(self.poll_blocked(cx, goal));
        }
        self.let_go(cx);
        Poll::Ready(())
    }

    /// Waits until what is queued has left, up to our Close frame.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mark = self.driver.last_mark();
        ready!(self.poll_farewell(cx));
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
