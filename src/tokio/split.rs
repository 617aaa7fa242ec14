//! Two halves of one WebSocket for two tasks. They share it under a lock, which is held during one poll and never
//! across an await. `wakers` says how they wake each other.

use std::future::poll_fn;
use std::sync::{Arc, PoisonError};
#[cfg(not(openline_loom))]
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::tokio::io::{AsyncRead, AsyncWrite};
#[cfg(openline_loom)]
use loom::sync::{Mutex, MutexGuard};

use super::WebSocket;
use super::wakers::Side;
use crate::driver::{Error, Form, NextEvent, ReuniteError};
use crate::{
    Agreement, Chunk, CloseCode, Closed, Config, Connection, Event, Message, Outgoing, SendError, State, Time, Unsent,
};

/// The receiving half of a [`WebSocket`], from [`split`](WebSocket::split).
#[derive(Debug)]
pub struct Receiver<S>(Half<S>);

/// The sending half of a [`WebSocket`], from [`split`](WebSocket::split).
///
/// Dropping it does not close the connection: [`close`](Self::close) does.
#[derive(Debug)]
pub struct Sender<S>(Half<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Receiver<S> {
    /// As [`WebSocket::recv`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::recv`].
    pub async fn recv(&mut self) -> Result<Option<Message<'static>>, Error> {
        poll_fn(|cx| self.poll(cx, WebSocket::poll_recv)).await
    }

    /// As [`WebSocket::event`], but the event owns its data: the other half may use what it would borrow from.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::recv`].
    pub async fn event(&mut self) -> Result<Option<Event<'static>>, Error> {
        poll_fn(|cx| self.poll_owned(cx, Form::Whole)).await
    }

    /// As [`WebSocket::recv_chunk`], but the chunk owns its data.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::recv`].
    pub async fn recv_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error> {
        loop {
            match poll_fn(|cx| self.poll_owned(cx, Form::Chunks)).await? {
                Some(Event::Chunk(chunk)) => return Ok(Some(chunk)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// As [`WebSocket::drain`]: for a program that only sends, in a task of its own.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::recv`].
    pub async fn drain(&mut self) -> Result<(), Error> {
        while poll_fn(|cx| self.poll_owned(cx, Form::Chunks)).await?.is_some() {}
        Ok(())
    }

    fn poll_owned(&self, cx: &mut Context<'_>, form: Form) -> Poll<Result<Option<Event<'static>>, Error>> {
        self.poll(cx, |socket, cx| {
            Poll::Ready(Ok(match ready!(socket.poll_event(cx, form))? {
                Some(NextEvent::InPlace(found)) => Some(socket.driver.look(found).into_owned()),
                Some(NextEvent::Owned(event)) => Some(event),
                None => None,
            }))
        })
    }

    /// The WebSocket that was split.
    ///
    /// # Errors
    ///
    /// The halves are of different WebSockets. The error has both.
    pub fn reunite(self, sender: Sender<S>) -> Result<WebSocket<S>, ReuniteError<Receiver<S>, Sender<S>>> {
        if !Arc::ptr_eq(&self.0.socket, &sender.0.socket) {
            return Err(ReuniteError(self, sender));
        }
        drop(sender);
        match Arc::try_unwrap(self.0.socket) {
            Ok(socket) => {
                let mut socket = socket.into_inner().unwrap_or_else(PoisonError::into_inner);
                socket.wakers = None;
                Ok(socket)
            }
            Err(socket) => {
                let half = |side| Half { side, socket: Arc::clone(&socket) };
                Err(ReuniteError(Receiver(half(Side::Receiver)), Sender(half(Side::Sender))))
            }
        }
    }

    /// What was agreed in the opening handshake.
    #[must_use]
    pub fn agreement(&self) -> Agreement {
        self.0.lock().agreement().clone()
    }

    /// Where the connection stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.lock().state()
    }

    /// How the connection ended, once it has.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.0.lock().closed().cloned()
    }

    /// The time from the last answered Ping to its Pong.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.0.lock().latency()
    }

    pub(super) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut WebSocket<S>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.0.poll(cx, poll)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sender<S> {
    /// As [`WebSocket::send`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`].
    pub async fn send(&mut self, message: impl Into<Outgoing<'_>>) -> Result<(), Error> {
        let mut message = Some(message.into());
        self.command(true, |connection, _| message.take().map_or(Ok(()), |message| connection.queue(message))).await
    }

    /// As [`WebSocket::feed`]. What is fed also leaves while the receiving half waits.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`].
    pub async fn feed(&mut self, message: impl Into<Outgoing<'_>>) -> Result<(), Error> {
        let mut message = Some(message.into());
        self.command(false, |connection, _| message.take().map_or(Ok(()), |message| connection.queue(message))).await
    }

    /// As [`WebSocket::try_feed`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::try_feed`].
    pub fn try_feed<'m, M: Into<Outgoing<'m>>>(&mut self, message: M) -> Result<(), Unsent<M>> {
        self.with(|socket| socket.try_feed(message))
    }

    /// As [`WebSocket::ready`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::ready`].
    pub async fn ready(&mut self) -> Result<(), Error> {
        let result = poll_fn(|cx| {
            self.poll(cx, |socket, cx| {
                ready!(socket.poll_room(cx))?;
                Poll::Ready(match socket.driver.connection.check_send() {
                    Ok(()) | Err(SendError::Full) => Ok(()),
                    Err(error) => Err(error.into()),
                })
            })
        });
        let result = result.await;
        self.leave_first(result).await
    }

    /// As [`WebSocket::send_fragment`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send_fragment`].
    pub async fn send_fragment(&mut self, data: impl Into<Message<'_>>, fin: bool) -> Result<(), Error> {
        let mut data = Some(data.into());
        self.command(true, |connection, _| data.take().map_or(Ok(()), |data| connection.queue_fragment(data, fin)))
            .await
    }

    /// As [`WebSocket::feed_fragment`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send_fragment`].
    pub async fn feed_fragment(&mut self, data: impl Into<Message<'_>>, fin: bool) -> Result<(), Error> {
        let mut data = Some(data.into());
        self.command(false, |connection, _| data.take().map_or(Ok(()), |data| connection.queue_fragment(data, fin)))
            .await
    }

    /// As [`WebSocket::ping`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::ping`].
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.command(true, |connection, now| connection.ping(payload, now)).await
    }

    /// As [`WebSocket::flush`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::flush`].
    pub async fn flush(&mut self) -> Result<(), Error> {
        let mark = self.0.lock().driver.sent_mark();
        poll_fn(|cx| self.poll(cx, |socket, cx| socket.poll_sent(cx, mark))).await
    }

    /// Sends a Close frame. After that the receiving half gets what the peer still sends, and `None` when the peer
    /// has closed too.
    ///
    /// Cancel-safe: once it has been polled, the Close frame is queued.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if `code` or `reason` cannot be sent, or if the connection ended before all that was accepted
    /// had left, after `close_timeout` at the latest: then [`closed`](Receiver::closed) of the other half says why.
    /// Otherwise as [`WebSocket::flush`].
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.with(|socket| socket.start_close(code, reason))?;
        poll_fn(|cx| self.poll(cx, WebSocket::poll_goodbye)).await
    }

    /// Where the connection stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.lock().state()
    }

    /// How many bytes wait to be transmitted.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.0.lock().queued()
    }

    /// As [`WebSocket::has_room`].
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.0.lock().has_room()
    }

    /// As [`WebSocket::set_config`].
    pub fn set_config(&mut self, config: impl Into<Arc<Config>>) {
        self.with(|socket| socket.set_config(config));
    }

    /// Waits for room, and then gives the command under the same lock: otherwise the other half could queue a Pong in
    /// between. With `flush`, it then waits until what the command queued has left. If the command fails because the
    /// connection is closing, what was accepted before leaves first.
    async fn command(
        &mut self,
        flush: bool,
        mut command: impl FnMut(&mut Connection, Time) -> Result<(), SendError>,
    ) -> Result<(), Error> {
        // Where that ends in the outgoing stream, once it is queued.
        let mut queued = None;
        let mut queue = |socket: &mut WebSocket<S>, cx: &mut Context<'_>| {
            let mark = match queued {
                Some(mark) => mark,
                None => {
                    ready!(socket.poll_room(cx))?;
                    let now = socket.clock.now();
                    socket.driver.queue(|connection| command(connection, now))?;
                    *queued.insert(socket.driver.sent_mark())
                }
            };
            if flush { socket.poll_sent(cx, mark) } else { Poll::Ready(Ok(())) }
        };
        let result = poll_fn(|cx| self.poll(cx, &mut queue)).await;
        self.leave_first(result).await
    }

    /// If a command failed because the connection is closing, waits until what was accepted before has left.
    async fn leave_first(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        if result.as_ref().is_err_and(Error::is_closed) {
            poll_fn(|cx| self.poll(cx, WebSocket::poll_farewell)).await;
        }
        result
    }

    pub(super) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut WebSocket<S>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.0.poll(cx, poll)
    }

    pub(super) fn with<T>(&self, command: impl FnOnce(&mut WebSocket<S>) -> T) -> T {
        let (result, other) = self.0.lock().command_as(self.0.side, command);
        other.wake();
        result
    }
}

pub(super) fn split<S>(socket: WebSocket<S>) -> (Receiver<S>, Sender<S>) {
    let socket = Arc::new(Mutex::new(socket));
    let half = |side| Half { side, socket: Arc::clone(&socket) };
    (Receiver(half(Side::Receiver)), Sender(half(Side::Sender)))
}

#[derive(Debug)]
struct Half<S> {
    side: Side,
    socket: Arc<Mutex<WebSocket<S>>>,
}

impl<S> Half<S> {
    fn lock(&self) -> MutexGuard<'_, WebSocket<S>> {
        // A poll that panicked (in the transport) leaves the core in a valid state.
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut WebSocket<S>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (result, other) = self.lock().poll_as(self.side, cx, poll);
        // The lock is free now. A waker may poll at once, which takes the lock.
        other.wake();
        result
    }
}
