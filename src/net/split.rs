//! Two halves of one WebSocket for two threads. Each has its own handle of the transport. `shared` says how they
//! share the rest.

use std::boxed::Box;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::shared::{Goal, Lock, Shared};
use super::timeouts::{Clock, Limit};
use super::turns::{command, let_go, push, ready, turn, would_block_is_fine, write_to};
use super::{Transport, WebSocket};
use crate::driver::{Error, Form, NextEvent, ReuniteError};
use crate::{
    Agreement, Chunk, CloseCode, Closed, Config, Connection, Event, Message, Outgoing, Reading, SendError, State,
    Unsent,
};

/// The receiving half of a [`WebSocket`], from [`split`](WebSocket::split).
#[derive(Debug)]
pub struct Receiver<S>(Half<S>);

/// The sending half of a [`WebSocket`], from [`split`](WebSocket::split).
///
/// Dropping it does not close the connection: [`close`](Self::close) does.
#[derive(Debug)]
pub struct Sender<S>(Half<S>);

impl<S: Transport> Receiver<S> {
    /// As [`WebSocket::recv`], except that it does not wait while the sender writes: a Pong leaves after what the
    /// sender is sending.
    ///
    /// This keeps the deadlines, also those that the other half sets.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::recv`].
    pub fn recv(&mut self) -> Result<Option<Message<'static>>, Error> {
        self.next(Limit::none(), Shared::next_message)
    }

    /// As [`WebSocket::recv_timeout`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::recv_timeout`].
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Option<Message<'static>>, Error> {
        let limit = self.0.lock.lock().clock.now() + limit;
        self.next(Limit::at(limit), Shared::next_message)
    }

    /// As [`WebSocket::event`], but the event owns its data: the other half may use what it would borrow from.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::recv`].
    pub fn event(&mut self) -> Result<Option<Event<'static>>, Error> {
        self.next(Limit::none(), |shared| next_owned(shared, Form::Whole))
    }

    /// As [`WebSocket::recv_chunk`], but the chunk owns its data.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::recv`].
    pub fn recv_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error> {
        self.next(Limit::none(), |shared| {
            loop {
                match next_owned(shared, Form::Chunks)? {
                    Event::Chunk(chunk) => return Some(chunk),
                    _ => continue,
                }
            }
        })
    }

    /// As [`WebSocket::drain`]: for a program that only sends, in a thread of its own.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::recv`].
    pub fn drain(&mut self) -> Result<(), Error> {
        while self.next(Limit::none(), |shared| next_owned(shared, Form::Chunks))?.is_some() {}
        Ok(())
    }

    fn next<T>(
        &mut self,
        mut limit: Limit,
        mut next: impl FnMut(&mut Shared) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Half { io, lock } = &mut self.0;
        let mut shared = lock.lock();
        loop {
            if shared.has_buffer() {
                shared.set_reading(Reading::Events);
                if let Some(found) = next(&mut shared) {
                    return Ok(Some(found));
                }
                if shared.driver.is_over() {
                    let_go(&mut shared, io);
                    return shared.driver.outcome().map(|()| None);
                }
            }
            turn(&mut shared, io, Goal::Events, &mut limit)?;
        }
    }

    /// The WebSocket that was split.
    ///
    /// # Errors
    ///
    /// The halves are of different WebSockets. The error has both.
    pub fn reunite(self, sender: Sender<S>) -> Result<WebSocket<S>, ReuniteError<Receiver<S>, Sender<S>>> {
        if !Arc::ptr_eq(&self.0.lock, &sender.0.lock) {
            return Err(ReuniteError(self, sender));
        }
        let Sender(Half { io: clone, lock }) = sender;
        drop(lock);
        let Half { io, lock } = self.0;
        match Arc::try_unwrap(lock) {
            Ok(lock) => {
                let mut shared = lock.into_shared();
                shared.nearest = None;
                Ok(WebSocket { io, shared })
            }
            Err(lock) => {
                let sender = Sender(Half { io: clone, lock: Arc::clone(&lock) });
                Err(ReuniteError(Receiver(Half { io, lock }), sender))
            }
        }
    }

    /// What was agreed in the opening handshake.
    #[must_use]
    pub fn agreement(&self) -> Agreement {
        self.0.lock.lock().driver.connection.agreement().clone()
    }

    /// Where the connection stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.lock.lock().driver.connection.state()
    }

    /// How the connection ended, once it has.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.0.lock.lock().driver.connection.closed().cloned()
    }

    /// The time from the last answered Ping to its Pong.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.0.lock.lock().driver.connection.latency()
    }
}

impl<S: Transport> Sender<S> {
    /// As [`WebSocket::send`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`].
    pub fn send<'m>(&mut self, message: impl Into<Outgoing<'m>>) -> Result<(), Error> {
        self.send_with(|connection, _| connection.queue(message))
    }

    /// As [`WebSocket::feed`]. A receiver that is already waiting does not write what is fed: [`flush`](Self::flush)
    /// before you wait for an answer.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`].
    pub fn feed<'m>(&mut self, message: impl Into<Outgoing<'m>>) -> Result<(), Error> {
        self.feed_with(|connection, _| connection.queue(message))
    }

    /// As [`WebSocket::try_feed`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::try_feed`].
    pub fn try_feed<'m, M: Into<Outgoing<'m>>>(&mut self, message: M) -> Result<(), Unsent<M>> {
        self.0.lock.lock().driver.try_queue(message)
    }

    /// As [`WebSocket::ready`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::ready`].
    pub fn ready(&mut self) -> Result<(), Error> {
        let Half { io, lock } = &mut self.0;
        ready(&mut lock.lock(), io)
    }

    /// As [`WebSocket::send_fragment`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send_fragment`].
    pub fn send_fragment<'m>(&mut self, data: impl Into<Message<'m>>, fin: bool) -> Result<(), Error> {
        self.send_with(|connection, _| connection.queue_fragment(data, fin))
    }

    /// As [`WebSocket::feed_fragment`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send_fragment`].
    pub fn feed_fragment<'m>(&mut self, data: impl Into<Message<'m>>, fin: bool) -> Result<(), Error> {
        self.feed_with(|connection, _| connection.queue_fragment(data, fin))
    }

    /// As [`WebSocket::ping`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::ping`].
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.send_with(|connection, clock| connection.ping(payload, clock.now()))
    }

    /// As [`WebSocket::flush`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::flush`].
    pub fn flush(&mut self) -> Result<(), Error> {
        let Half { io, lock } = &mut self.0;
        let mut shared = lock.lock();
        let mark = shared.driver.sent_mark();
        write_to(&mut shared, io, mark)
    }

    /// Sends a Close frame. After that the receiving half gets what the peer still sends, and `None` when the peer
    /// has closed too.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if `code` or `reason` cannot be sent; otherwise as
    /// [`WebSocket::flush`].
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        let Half { io, lock } = &mut self.0;
        let mut shared = lock.lock();
        let now = shared.clock.now();
        shared.driver.start_close(code, reason, now)?;
        let mark = shared.driver.last_mark();
        would_block_is_fine(write_to(&mut shared, io, mark))
    }

    /// How many bytes wait to be transmitted.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.0.lock.lock().driver.connection.queued()
    }

    /// As [`WebSocket::has_room`].
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.0.lock.lock().driver.connection.has_room()
    }

    /// As [`WebSocket::set_config`].
    pub fn set_config(&mut self, config: impl Into<Arc<Config>>) {
        let mut shared = self.0.lock.lock();
        shared.driver.connection.set_config(config);
        shared.nearest = Some(nearest(shared.driver.connection.config()));
    }

    /// Where the connection stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.lock.lock().driver.connection.state()
    }

    fn feed_with(&mut self, queue: impl FnOnce(&mut Connection, &Clock) -> Result<(), SendError>) -> Result<(), Error> {
        let Half { io, lock } = &mut self.0;
        command(&mut lock.lock(), io, queue)
    }

    fn send_with(&mut self, queue: impl FnOnce(&mut Connection, &Clock) -> Result<(), SendError>) -> Result<(), Error> {
        let Half { io, lock } = &mut self.0;
        let mut shared = lock.lock();
        command(&mut shared, io, queue)?;
        push(&mut shared, io)
    }
}

/// The next event in what was read, as one that can be kept.
fn next_owned(shared: &mut Shared, form: Form) -> Option<Event<'static>> {
    Some(match shared.next_event(form)? {
        NextEvent::InPlace(found) => shared.driver.look(found).into_owned(),
        NextEvent::Owned(event) => event,
    })
}

/// How long one half waits in a read before it checks whether the other has set a deadline.
fn nearest(config: &Config) -> Duration {
    let keepalive = config.keepalive.map(|keepalive| keepalive.timeout);
    keepalive.into_iter().fold(config.close_timeout.min(MOST_NEAREST), Duration::min).max(LEAST_NEAREST)
}

/// The longest such wait. If the transport took nothing from the other half, the reading half writes it after this
/// time.
const MOST_NEAREST: Duration = Duration::from_millis(500);

/// The shortest such wait.
const LEAST_NEAREST: Duration = Duration::from_millis(16);

/// The transport cannot be cloned, so the WebSocket cannot be split. It has the WebSocket, unchanged.
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
        f.write_str("the transport cannot be cloned")
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
    let WebSocket { io, mut shared } = socket;
    shared.nearest = Some(nearest(shared.driver.connection.config()));
    let lock = Arc::new(Lock::new(shared));
    let sender = Sender(Half { io: clone, lock: Arc::clone(&lock) });
    Ok((Receiver(Half { io, lock }), sender))
}

#[derive(Debug)]
struct Half<S> {
    io: S,
    lock: Arc<Lock>,
}
