//! Two halves of one WebSocket for two threads, each with its own handle of the
//! transport. How they share the rest is told in `turns`.

use std::boxed::Box;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use super::timeouts::{Clock, Flow};
use super::turns::{Lock, Shared};
use super::{BRIEF, Transport, WebSocket, would_block};
use crate::code::CloseCode;
use crate::connection::{Closed, State};
use crate::driver::Driver;
use crate::driver::Error;
use crate::error::SendError;
use crate::message::{Message, Outgoing};
use crate::upgrade::Agreement;

/// The receiving half of a [`WebSocket`], from [`split`](WebSocket::split).
#[derive(Debug)]
pub struct Receiver<S>(Half<S>);

/// The sending half of a [`WebSocket`], from [`split`](WebSocket::split).
///
/// Dropping it does not close the connection: [`close`](Self::close) does.
#[derive(Debug)]
pub struct Sender<S>(Half<S>);

impl<S: Transport> Receiver<S> {
    /// As [`WebSocket::recv`], except that it does not wait for a sender that is
    /// writing: a Pong leaves behind what that one sends.
    ///
    /// The deadlines are kept here, those of the other half too: it looks for them at
    /// least once in [`close_timeout`](crate::Config::close_timeout) and in
    /// [`Keepalive::timeout`](crate::Keepalive::timeout).
    ///
    /// # Errors
    ///
    /// As [`WebSocket::recv`].
    pub fn recv(&mut self) -> Result<Option<Message<'static>>, Error> {
        let Half { io, shared } = &mut self.0;
        let mut shared = shared.lock();
        // How writing went since the last read.
        let mut written = None;
        loop {
            if shared.reading {
                shared = shared.wait();
                continue;
            }
            if let Some(message) = shared.driver.next_message() {
                return Ok(Some(message));
            }
            shared.driver.catch_up();
            if written.is_none() && shared.wants_to_write() && !shared.writing {
                shared.writing = true;
                let mark = shared.driver.mark();
                let flow;
                (shared, flow) = shared.write(io, |driver| driver.has_reached(mark));
                shared.end_writing();
                written = Some(flow);
                // The lock was released: look again at what is at hand.
                continue;
            }
            if shared.driver.is_over() {
                return shared.driver.outcome().map(|()| None);
            }
            let blocked = written.take().filter(|flow| *flow != Flow::Done);
            let read;
            (shared, read) = shared.read(io, blocked.map(|_| BRIEF));
            if read != Flow::Done && !shared.pass_time() && (read == Flow::Refused || blocked == Some(Flow::Refused)) {
                return Err(would_block());
            }
        }
    }

    /// What was agreed in the opening handshake.
    #[must_use]
    pub fn agreement(&self) -> Agreement {
        self.0.shared.lock().driver.connection.agreement().clone()
    }

    /// Where the connection stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.shared.lock().driver.connection.state()
    }

    /// How the connection ended, once it has.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.0.shared.lock().driver.connection.closed().cloned()
    }

    /// The time from the last answered Ping to its Pong.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.0.shared.lock().driver.connection.latency()
    }
}

impl<S: Transport> Sender<S> {
    /// As [`WebSocket::send`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`].
    pub fn send<'m>(&mut self, message: impl Into<Outgoing<'m>>) -> Result<(), Error> {
        let mark = self.command(|driver, _| driver.connection.send(message))?;
        self.push(mark)
    }

    /// As [`WebSocket::feed`]. A receiver that waits already does not notice it:
    /// [`flush`](Self::flush) before waiting for an answer.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`].
    pub fn feed<'m>(&mut self, message: impl Into<Outgoing<'m>>) -> Result<(), Error> {
        self.command(|driver, _| driver.connection.send(message)).map(drop)
    }

    /// As [`WebSocket::send_fragment`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send_fragment`].
    pub fn send_fragment<'m>(&mut self, data: impl Into<Message<'m>>, fin: bool) -> Result<(), Error> {
        let mark = self.command(|driver, _| driver.connection.send_fragment(data, fin))?;
        self.push(mark)
    }

    /// As [`WebSocket::ping`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::ping`].
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        let mark = self.command(|driver, clock| driver.connection.ping(payload, clock.now()))?;
        self.push(mark)
    }

    /// As [`WebSocket::flush`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::flush`].
    pub fn flush(&mut self) -> Result<(), Error> {
        let mark = self.0.shared.lock().driver.mark();
        self.write_to(mark)
    }

    /// Sends a Close frame. The receiving half then gets what the peer still sends,
    /// and `None` when it has closed too.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if `code` or `reason` cannot be sent; otherwise as
    /// [`WebSocket::flush`].
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        let mut shared = self.0.shared.lock();
        let now = shared.clock.now();
        shared.driver.start_close(code, reason, now)?;
        let mark = shared.driver.mark();
        drop(shared);
        self.push(mark)
    }

    /// Where the connection stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.shared.lock().driver.connection.state()
    }

    /// Waits until there is room, then queues something. Returns where it ends in the
    /// outgoing stream: looked up later, what was lost meanwhile would not be missed.
    fn command(&mut self, queue: impl FnOnce(&mut Driver, Clock) -> Result<(), SendError>) -> Result<u64, Error> {
        let Half { io, shared } = &mut self.0;
        let mut shared = shared.lock();
        if !shared.driver.may_queue() {
            let result;
            (shared, result) = shared.write_until(io, Driver::may_queue);
            result?;
        }
        shared.driver.check_sending()?;
        let clock = shared.clock;
        queue(&mut shared.driver, clock)?;
        Ok(shared.driver.mark())
    }

    fn write_to(&mut self, mark: u64) -> Result<(), Error> {
        let Half { io, shared } = &mut self.0;
        let (mut shared, result) = shared.lock().write_until(io, |driver| driver.has_reached(mark));
        result?;
        shared.driver.check_sent(mark)
    }

    /// As the one of [`WebSocket`].
    fn push(&mut self, mark: u64) -> Result<(), Error> {
        match self.write_to(mark) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }
}

/// A transport that cannot be cloned, so that it cannot be split, and the
/// WebSocket on it, as good as before.
pub struct SplitError<S> {
    /// The error of [`Transport::try_clone`].
    pub error: io::Error,
    /// The WebSocket.
    pub socket: Box<WebSocket<S>>,
}

impl<S> fmt::Debug for SplitError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<S> fmt::Display for SplitError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the transport cannot be cloned: {}", self.error)
    }
}

impl<S> std::error::Error for SplitError<S> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<S> From<SplitError<S>> for Error {
    fn from(error: SplitError<S>) -> Error {
        Error::Io(error.error)
    }
}

impl<S> From<SplitError<S>> for io::Error {
    fn from(error: SplitError<S>) -> io::Error {
        error.error
    }
}

pub(super) fn split<S: Transport>(socket: WebSocket<S>) -> Result<(Receiver<S>, Sender<S>), SplitError<S>> {
    let clone = match socket.io.try_clone() {
        Ok(clone) => clone,
        Err(error) => return Err(SplitError { error, socket: Box::new(socket) }),
    };
    let WebSocket { io, driver, clock, read_timeout, write_timeout, nearest, unflushed } = socket;
    let shared = Shared {
        driver,
        clock,
        read_timeout,
        write_timeout,
        nearest,
        unflushed,
        reading: false,
        writing: false,
        batch: Vec::new(),
    };
    let shared = Arc::new(Lock::new(shared));
    let sender = Sender(Half { io: clone, shared: Arc::clone(&shared) });
    Ok((Receiver(Half { io, shared }), sender))
}

#[derive(Debug)]
struct Half<S> {
    io: S,
    shared: Arc<Lock>,
}
