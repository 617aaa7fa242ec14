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

mod open;
mod split;
mod timeouts;
mod transport;
mod turns;

use std::io::{self, IoSlice};
use std::time::Duration;

use crate::code::CloseCode;
use crate::connection::{Closed, Config, Connection, Event, State};
use crate::driver::{Driver, Error, Found};
use crate::message::{Chunk, Message, Outgoing};
use crate::upgrade::{Agreement, Upgrade};
pub use open::{Accepting, Client, Server, accept, connect};
pub use split::{Receiver, Sender, SplitError};
use timeouts::{Clock, Flow, Timeout};
pub use transport::Transport;

/// A WebSocket over a blocking transport.
///
/// All work is done inside the calls; there is no thread behind it. Receiving also
/// writes what is queued, answers Pings and keeps the deadlines, so a thread that
/// waits in [`recv`](Self::recv) has nothing else to look after.
///
/// The timeouts of the transport are in its hands: it sets them to keep the
/// deadlines, and one that a program sets itself is overwritten sooner or later.
///
/// # Non-blocking transports
///
/// A socket that was made non-blocking works too. A method that would have to wait
/// returns [`Error::Io`] with [`WouldBlock`](io::ErrorKind::WouldBlock); nothing is
/// lost, and calling it again goes on where it was. A method that sends returns
/// this only if it has queued nothing, and otherwise `Ok` as soon as the message is
/// queued; [`flush`](Self::flush) tells whether all has left.
#[derive(Debug)]
pub struct WebSocket<S> {
    io: S,
    driver: Driver,
    clock: Clock,
    read_timeout: Timeout,
    write_timeout: Timeout,
    /// No deadline that a command sets can be nearer than this.
    nearest: Duration,
    /// Whether something was written since the transport was last flushed.
    unflushed: bool,
}

impl<S: Transport> WebSocket<S> {
    /// A WebSocket on a transport whose opening handshake was done elsewhere.
    /// `leftover` is what was read behind it.
    #[must_use]
    pub fn new(io: S, upgrade: Upgrade, config: Config, leftover: &[u8]) -> WebSocket<S> {
        let clock = Clock::new();
        let now = clock.now();
        let driver = Driver::new(Connection::new(upgrade, config, now), leftover, now);
        let grace = config.close_timeout;
        let nearest = config.keepalive.map_or(grace, |keepalive| grace.min(keepalive.timeout));
        WebSocket {
            io,
            driver,
            clock,
            read_timeout: Timeout::default(),
            write_timeout: Timeout::default(),
            nearest,
            unflushed: false,
        }
    }

    /// The next message; `None` once the connection is closed, and
    /// [`closed`](Self::closed) then says how.
    ///
    /// Before it waits, all that was [fed](Self::feed) or provoked leaves in one write.
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`], [`Error::PongTimeout`] or [`Error::Io`], once; after that it
    /// returns `None`. That the peer went away without a Close frame is not an error
    /// here: [`closed`](Self::closed) has the code 1006 then.
    pub fn recv(&mut self) -> Result<Option<Message<'static>>, Error> {
        loop {
            if let Some(message) = self.driver.next_message() {
                return Ok(Some(message));
            }
            if !self.more()? {
                return self.driver.outcome().map(|()| None);
            }
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
            match self.find(true)? {
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
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn event(&mut self) -> Result<Option<Event<'_>>, Error> {
        match self.find(false)? {
            Some(Found::Lent(found)) => Ok(Some(self.driver.look(found))),
            Some(Found::Owned(event)) => Ok(Some(event)),
            None => Ok(None),
        }
    }

    /// Sends a message: returns when the transport has taken all of it.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if the connection is closing, or ended before the transport
    /// had taken all, or if a fragmented message is unfinished; otherwise as
    /// [`recv`](Self::recv).
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
        self.room()?;
        self.driver.queue(|connection| connection.send(message))
    }

    /// Sends the next fragment of a message, as [`Connection::send_fragment`].
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::TypeChanged`](crate::SendError::TypeChanged).
    pub fn send_fragment<'m>(&mut self, data: impl Into<Message<'m>>, fin: bool) -> Result<(), Error> {
        self.room()?;
        self.driver.queue(|connection| connection.send_fragment(data, fin))?;
        self.push()
    }

    /// Sends a Ping. Its Pong, which [`recv`](Self::recv) takes in, sets
    /// [`latency`](Self::latency).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and
    /// [`SendError::ControlTooLong`](crate::SendError::ControlTooLong) above 125 bytes.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.room()?;
        let now = self.clock.now();
        self.driver.queue(|connection| connection.ping(payload, now))?;
        self.push()
    }

    /// Waits until the transport has taken all that is queued.
    ///
    /// While the transport takes nothing, one message is read ahead, so that two ends
    /// that send to each other at once do not wait for each other.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or why the connection ended while this waited.
    pub fn flush(&mut self) -> Result<(), Error> {
        loop {
            match self.write() {
                Flow::Done => return self.driver.check_flushed(),
                blocked => self.wait_to_write(blocked)?,
            }
        }
    }

    /// Closes the connection: sends a Close frame, skips what the peer still sends,
    /// and waits until it has closed too, at most [`Config::close_timeout`]. It does
    /// no harm to a connection that is closing or closed.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if `code` or `reason` cannot be sent; otherwise as
    /// [`recv`](Self::recv).
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.driver.start_close(code, reason, self.clock.now())?;
        // In chunks: what is skipped need not be gathered first.
        while self.find(true)?.is_some() {}
        Ok(())
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

    /// Two halves, for two threads.
    ///
    /// # Errors
    ///
    /// The transport cannot be [cloned](Transport::try_clone). The WebSocket comes
    /// back in the error, as it was; `?` drops it.
    pub fn split(self) -> Result<(Receiver<S>, Sender<S>), SplitError<S>> {
        split::split(self)
    }

    // The machinery.

    fn find(&mut self, chunks: bool) -> Result<Option<Found>, Error> {
        loop {
            if let Some(found) = self.driver.next_event(chunks) {
                return Ok(Some(found));
            }
            if !self.more()? {
                return self.driver.outcome().map(|()| None);
            }
        }
    }

    /// Nothing is at hand. Writes what is queued, then waits for bytes or a deadline.
    /// True: look again. False: it is over.
    fn more(&mut self) -> Result<bool, Error> {
        self.driver.catch_up();
        let written = self.write();
        if self.driver.is_over() {
            return Ok(false);
        }
        // While there is something to write, writing and reading take turns.
        if !self.driver.may_read() {
            return match self.pass_time() || written != Flow::Refused {
                true => Ok(true),
                false => Err(would_block()),
            };
        }
        let read = self.read((written != Flow::Done).then_some(BRIEF));
        if read != Flow::Done && !self.pass_time() && (read == Flow::Refused || written == Flow::Refused) {
            return Err(would_block());
        }
        Ok(true)
    }

    /// Waits until there is room to send, or never will be again.
    fn room(&mut self) -> Result<(), Error> {
        loop {
            self.driver.check_sending()?;
            if self.driver.may_queue() {
                return Ok(());
            }
            let written = self.write();
            if written != Flow::Done {
                self.wait_to_write(written)?;
            }
        }
    }

    /// Flushes what a command has queued. That this has to wait is no error of the
    /// command's: it would be given again.
    fn push(&mut self) -> Result<(), Error> {
        match self.flush() {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    /// Writing is blocked. Takes in what comes, as far as that is allowed, and keeps
    /// the deadlines.
    fn wait_to_write(&mut self, blocked: Flow) -> Result<(), Error> {
        for _ in 0..READS {
            if !self.driver.may_read_ahead() || self.read(Some(BRIEF)) != Flow::Done {
                break;
            }
        }
        if !self.pass_time() && blocked == Flow::Refused {
            return Err(would_block());
        }
        Ok(())
    }

    /// Keeps the deadlines. Whether one had come.
    fn pass_time(&mut self) -> bool {
        let now = self.clock.now();
        let due = self.driver.is_due(now);
        self.driver.handle_timeout(now);
        due
    }

    /// Writes until nothing waits or the transport takes no more, and then shuts down
    /// the writing side if it is time.
    fn write(&mut self) -> Flow {
        while self.driver.has_output() {
            let start = self.clock.now();
            self.write_timeout.arrange(Some(WRITE), |timeout| self.io.set_write_timeout(timeout));
            match self.write_some() {
                Ok(len) => {
                    self.unflushed = true;
                    self.driver.handle_transmitted(len, || self.clock.now());
                    // A transport that takes a little now and then does not stop the clock.
                    if self.driver.has_output() && self.driver.is_due(self.clock.now()) {
                        return Flow::Expired;
                    }
                }
                Err(error) => match self.write_timeout.judge(&error, self.clock.now().since(start)) {
                    Some(flow) => return flow,
                    None => self.driver.write_failed(error),
                },
            }
        }
        if self.unflushed && !self.driver.is_broken() {
            let start = self.clock.now();
            if let Err(error) = self.io.flush() {
                match self.write_timeout.judge(&error, self.clock.now().since(start)) {
                    Some(flow) => return flow,
                    None => self.driver.write_failed(error),
                }
            }
            self.unflushed = false;
        }
        if self.driver.wants_shutdown() {
            // An error of the shutdown tells nothing that the next read does not.
            let _ = self.io.shutdown_write();
            self.driver.handle_shutdown();
        }
        Flow::Done
    }

    #[expect(clippy::indexing_slicing, reason = "`output` fills no more slices than it is given")]
    fn write_some(&mut self) -> io::Result<usize> {
        let len = if let Some(only) = self.driver.only_output() {
            self.io.write(only)?
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.driver.output(&mut slices);
            // The default of `Write` writes the first slice, if it has no better way.
            self.io.write_vectored(&slices[..count])?
        };
        if len == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(len) }
    }

    /// Reads once, waiting until the next deadline, or for `most`.
    fn read(&mut self, most: Option<Duration>) -> Flow {
        let start = self.clock.now();
        let left = self.driver.poll_timeout().map(|deadline| deadline.since(start));
        let left = left.into_iter().chain(most).min();
        self.read_timeout.arrange(left, |timeout| self.io.set_read_timeout(timeout));
        let read = self.io.read(self.driver.space());
        let now = self.clock.now();
        match read {
            Ok(len) => self.driver.filled(len, now),
            Err(error) => match self.read_timeout.judge(&error, now.since(start)) {
                Some(flow) => {
                    self.driver.release();
                    return flow;
                }
                None => self.driver.read_failed(error),
            },
        }
        Flow::Done
    }
}

fn would_block() -> Error {
    Error::Io(io::ErrorKind::WouldBlock.into())
}

/// How many slices go into one vectored write.
const SLICES: usize = 32;

/// How long one write may block, before it is looked what else there is to do.
const WRITE: Duration = Duration::from_millis(50);

/// How long to wait for bytes while something waits to be written.
const BRIEF: Duration = Duration::from_millis(5);

/// How many reads to make between two attempts to write.
const READS: usize = 16;
