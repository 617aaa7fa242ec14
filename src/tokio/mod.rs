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

use std::boxed::Box;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::code::CloseCode;
use crate::connection::{Closed, Config, Connection, Event, State};
use crate::driver::{Driver, Error, Found};
use crate::message::{Chunk, Message, Outgoing};
use crate::upgrade::{Agreement, Upgrade};
use clock::Clock;
use open::nonzero;
pub use open::{Accepting, Client, Server, accept, connect};
pub use split::{Receiver, Sender};

/// A WebSocket over a tokio transport.
///
/// All work is done inside the calls; there is no task behind it. Receiving also
/// writes what is queued, answers Pings and keeps the deadlines, so a task that
/// waits in [`recv`](Self::recv) has nothing else to look after.
///
/// Every method is cancel-safe: dropping its future loses no message and leaves no
/// frame half-written. What it had not finished goes on in the next call.
///
/// Deadlines need a runtime with time enabled.
#[derive(Debug)]
pub struct WebSocket<S> {
    io: S,
    /// Boxed: a task's future has room for every place that a socket is moved to.
    driver: Box<Driver>,
    clock: Clock,
    /// Whether something was written since the transport was last flushed.
    unflushed: bool,
    /// How many bytes have been read since this task waited last.
    turn: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// A WebSocket on a transport whose opening handshake was done elsewhere.
    /// `leftover` is what was read behind it.
    #[must_use]
    pub fn new(io: S, upgrade: Upgrade, config: Config, leftover: &[u8]) -> WebSocket<S> {
        WebSocket::with_clock(io, upgrade, config, leftover, Clock::new())
    }

    /// As [`new`](Self::new), going on with a clock and timer already in use.
    fn with_clock(io: S, upgrade: Upgrade, config: Config, leftover: &[u8], clock: Clock) -> WebSocket<S> {
        let now = clock.now();
        let driver = Driver::new(Connection::new(upgrade, config, now), leftover, now);
        WebSocket { io, driver: Box::new(driver), clock, unflushed: false, turn: 0 }
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
    /// [`Error::Protocol`], [`Error::PongTimeout`] or [`Error::Io`], once; after that it
    /// returns `None`. That the peer went away without a Close frame is not an error
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
            match poll_fn(|cx| self.poll_event(cx, true)).await? {
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

    /// The next event, control frames included. A message that lay whole in what was
    /// read is lent from there, without a copy.
    ///
    /// Cancel-safe: no event is lost.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub async fn event(&mut self) -> Result<Option<Event<'_>>, Error> {
        match poll_fn(|cx| self.poll_event(cx, false)).await? {
            Some(Found::Lent(found)) => Ok(Some(self.driver.look(found))),
            Some(Found::Owned(event)) => Ok(Some(event)),
            None => Ok(None),
        }
    }

    /// Sends a message: returns when the transport has taken all of it.
    ///
    /// Cancel-safe: a dropped future has queued the message whole or not at all (the
    /// latter only if it was still waiting for room); what is queued leaves with the
    /// next call of any kind.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if the connection is closing or a fragmented message is
    /// unfinished; otherwise as [`recv`](Self::recv).
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
        self.driver.queue(|connection| connection.send(message))
    }

    /// Sends the next fragment of a message, as [`Connection::send_fragment`].
    ///
    /// Cancel-safe as [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::TypeChanged`](crate::SendError::TypeChanged).
    pub async fn send_fragment(&mut self, data: impl Into<Message<'_>>, fin: bool) -> Result<(), Error> {
        self.room().await?;
        self.driver.queue(|connection| connection.send_fragment(data, fin))?;
        self.flush().await
    }

    /// Sends a Ping. Its Pong, which [`recv`](Self::recv) takes in, sets
    /// [`latency`](Self::latency).
    ///
    /// Cancel-safe as [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and
    /// [`SendError::ControlTooLong`](crate::SendError::ControlTooLong) above 125 bytes.
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.room().await?;
        let now = self.clock.now();
        self.driver.queue(|connection| connection.ping(payload, now))?;
        self.flush().await
    }

    /// Waits until the transport has taken all that is queued.
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
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Closes the connection: sends a Close frame, skips what the peer still sends,
    /// and waits until it has closed too, at most [`Config::close_timeout`]. It does
    /// no harm to a connection that is closing or closed.
    ///
    /// Cancel-safe: once it has been polled, the Close frame is queued.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if `code` or `reason` cannot be sent; otherwise as
    /// [`recv`](Self::recv).
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.start_close(code, reason)?;
        poll_fn(|cx| self.poll_closed(cx)).await
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

    // The machinery: poll functions that the methods above, the halves and the
    // stream share.

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message<'static>>, Error>> {
        loop {
            if let Some(message) = self.driver.next_message() {
                return Poll::Ready(Ok(Some(message)));
            }
            if !ready!(self.poll_more(cx)) {
                return Poll::Ready(self.driver.outcome().map(|()| None));
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>, chunks: bool) -> Poll<Result<Option<Found>, Error>> {
        loop {
            if let Some(found) = self.driver.next_event(chunks) {
                return Poll::Ready(Ok(Some(found)));
            }
            if !ready!(self.poll_more(cx)) {
                return Poll::Ready(self.driver.outcome().map(|()| None));
            }
        }
    }

    /// Waits for the end. In chunks: what is skipped need not be gathered first.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while ready!(self.poll_event(cx, true))?.is_some() {}
        Poll::Ready(Ok(()))
    }

    /// Nothing is at hand. Writes what is queued, then waits for bytes or a deadline.
    /// True: look again. False: it is over.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.driver.catch_up();
        let written = self.poll_write(cx);
        // An error of the shutdown tells nothing that the next read does not.
        if written.is_ready() && self.driver.wants_shutdown() && Pin::new(&mut self.io).poll_shutdown(cx).is_ready() {
            self.driver.handle_shutdown();
        }
        if self.driver.is_over() {
            return Poll::Ready(false);
        }
        if self.poll_read(cx).is_ready() {
            return Poll::Ready(true);
        }
        self.driver.release();
        self.poll_timeout(cx).map(|()| true)
    }

    /// Waits until there is room to send, or never will be again.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            self.driver.check_sending()?;
            if self.driver.may_queue() {
                return Poll::Ready(Ok(()));
            }
            // What is read ahead may be the end of sending: the peer's Close, say.
            if self.poll_write(cx).is_pending() && self.poll_read_ahead(cx).is_pending() && !self.driver.may_queue() {
                return Poll::Pending;
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.poll_write(cx).is_pending() && !self.driver.is_over() {
            ready!(self.poll_read_ahead(cx));
        }
        Poll::Ready(self.driver.check_flushed())
    }

    /// Writes until nothing waits, or the transport takes no more.
    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.unflushed || self.driver.has_output() { self.poll_write_all(cx) } else { Poll::Ready(()) }
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.driver.has_output() {
            match ready!(self.poll_write_some(cx)) {
                Ok(len) => {
                    self.unflushed = true;
                    self.driver.handle_transmitted(len, || self.clock.now());
                }
                Err(error) => self.driver.write_failed(error),
            }
        }
        if self.unflushed && !self.driver.is_broken() {
            if let Err(error) = ready!(Pin::new(&mut self.io).poll_flush(cx)) {
                self.driver.write_failed(error);
            }
            self.unflushed = false;
        }
        Poll::Ready(())
    }

    #[expect(clippy::indexing_slicing, reason = "`output` fills no more slices than it is given")]
    fn poll_write_some(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.io);
        if let Some(only) = self.driver.only_output() {
            let written = ready!(io.poll_write(cx, only));
            return Poll::Ready(written.and_then(nonzero));
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = self.driver.output(&mut slices);
        // The default of `AsyncWrite` writes the first slice, if it has no better way.
        let written = ready!(io.poll_write_vectored(cx, &slices[..count]));
        Poll::Ready(written.and_then(nonzero))
    }

    /// Reads once. Ready: bytes, the end or a failure have come.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.driver.may_read() {
            return Poll::Pending;
        }
        if self.turn >= TURN {
            // Others must have theirs, however much comes here.
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let read = self.poll_read_some(cx);
        self.turn = match read {
            Poll::Ready(len) => self.turn.saturating_add(len),
            Poll::Pending => 0,
        };
        read.map(drop)
    }

    /// How much was read; 0 at the end.
    fn poll_read_some(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        if let Some(mut spare) = self.driver.spare() {
            match ready!(pin!(self.io.read_buf(&mut spare)).poll(cx)) {
                Ok(len) => {
                    self.driver.appended(len, self.clock.now());
                    return Poll::Ready(len);
                }
                Err(error) => self.driver.read_failed(error),
            }
            return Poll::Ready(0);
        }
        let mut buffer = ReadBuf::new(self.driver.space());
        match ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer)) {
            Ok(()) => {
                let len = buffer.filled().len();
                self.driver.filled(len, self.clock.now());
                Poll::Ready(len)
            }
            Err(error) => {
                self.driver.read_failed(error);
                Poll::Ready(0)
            }
        }
    }

    /// Sending is blocked. Takes in what comes, as far as that is allowed, and keeps
    /// the deadlines.
    fn poll_read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..READS {
            let more = self.driver.may_read_ahead();
            if self.driver.is_over() {
                return Poll::Ready(());
            }
            if !more || self.poll_read(cx).is_pending() {
                self.driver.release();
                return self.poll_timeout(cx);
            }
        }
        // There is more to read, but writing must have its turn.
        Poll::Ready(())
    }

    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = ready!(self.clock.poll_deadline(self.driver.poll_timeout(), cx));
        self.driver.handle_timeout(now);
        Poll::Ready(())
    }

    async fn room(&mut self) -> Result<(), Error> {
        if self.driver.is_sending() {
            return Ok(());
        }
        poll_fn(|cx| self.poll_room(cx)).await
    }

    fn start_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.driver.start_close(code, reason, self.clock.now())
    }
}

/// How many bytes to read before other tasks have their turn. The runtime itself counts
/// reads, of which a hundred large ones take longer than others should wait. To give way
/// costs a fraction of a microsecond, which this much takes many times over.
const TURN: usize = 128 * 1024;

/// How many reads to make between two attempts to write.
const READS: usize = 16;

/// How many slices go into one vectored write.
const SLICES: usize = 32;
