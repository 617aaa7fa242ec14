//! Two halves of one WebSocket for two tasks. They share it under a lock that is
//! held for one poll, never across an await.
//!
//! Either half may have to read (a send that is blocked reads ahead) or write (a
//! receive answers Pings), so both can wait for the same direction of the same
//! transport, which remembers one waker only. It is given one that wakes both.

#![expect(clippy::arithmetic_side_effects, reason = "a side is 0 or 1")]

use std::future::poll_fn;
use std::sync::{Arc, PoisonError};
#[cfg(not(openline_loom))]
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use ::tokio::io::{AsyncRead, AsyncWrite};
#[cfg(openline_loom)]
use loom::sync::{Mutex, MutexGuard};

use super::WebSocket;
use crate::code::CloseCode;
use crate::connection::{Closed, Connection, State};
use crate::driver::Error;
use crate::error::SendError;
use crate::message::{Message, Outgoing};
use crate::time::Time;
use crate::upgrade::Agreement;

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
        self.feed(message).await?;
        self.flush().await
    }

    /// As [`WebSocket::feed`]. What is fed also leaves when the receiving half waits.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`].
    pub async fn feed(&mut self, message: impl Into<Outgoing<'_>>) -> Result<(), Error> {
        let mut message = Some(message.into());
        self.queue(|connection, _| message.take().map_or(Ok(()), |message| connection.send(message))).await
    }

    /// As [`WebSocket::send_fragment`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send_fragment`].
    pub async fn send_fragment(&mut self, data: impl Into<Message<'_>>, fin: bool) -> Result<(), Error> {
        let mut data = Some(data.into());
        self.queue(|connection, _| data.take().map_or(Ok(()), |data| connection.send_fragment(data, fin))).await?;
        self.flush().await
    }

    /// As [`WebSocket::ping`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::ping`].
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.queue(|connection, now| connection.ping(payload, now)).await?;
        self.flush().await
    }

    /// As [`WebSocket::flush`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::flush`].
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll(cx, WebSocket::poll_flush)).await
    }

    /// Sends a Close frame. The receiving half then gets what the peer still sends,
    /// and `None` when it has closed too.
    ///
    /// Cancel-safe: once it has been polled, the Close frame is queued.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if `code` or `reason` cannot be sent; otherwise as
    /// [`WebSocket::flush`].
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.with(|socket| socket.start_close(code, reason))?;
        self.flush().await
    }

    /// Where the connection stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.lock().state()
    }

    /// Waits for room and fills it, under one lock: in between, the other half could
    /// queue a Pong there.
    async fn queue(
        &mut self,
        mut command: impl FnMut(&mut Connection, Time) -> Result<(), SendError>,
    ) -> Result<(), Error> {
        let mut queue = |socket: &mut WebSocket<S>, cx: &mut Context<'_>| {
            ready!(socket.poll_room(cx))?;
            let now = socket.clock.now();
            Poll::Ready(socket.driver.queue(|connection| command(connection, now)))
        };
        poll_fn(|cx| self.poll(cx, &mut queue)).await
    }

    pub(super) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut WebSocket<S>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.0.poll(cx, poll)
    }

    /// A command to the core: changes what the other half should wait for.
    pub(super) fn with<T>(&self, command: impl FnOnce(&mut WebSocket<S>) -> T) -> T {
        let result = command(&mut self.0.lock());
        self.0.wakers.wake_other(self.0.side);
        result
    }
}

pub(super) fn split<S>(socket: WebSocket<S>) -> (Receiver<S>, Sender<S>) {
    let socket = Arc::new(Mutex::new(socket));
    let wakers = Arc::new(Wakers::default());
    let half = |side| {
        let both = Waker::from(Arc::clone(&wakers));
        Half { side, socket: Arc::clone(&socket), wakers: Arc::clone(&wakers), both }
    };
    (Receiver(half(Side::Receiver)), Sender(half(Side::Sender)))
}

#[derive(Debug)]
struct Half<S> {
    side: Side,
    socket: Arc<Mutex<WebSocket<S>>>,
    wakers: Arc<Wakers>,
    /// Wakes both halves.
    both: Waker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Receiver = 0,
    Sender = 1,
}

/// Who waits, by side.
#[derive(Debug, Default)]
struct Wakers(Mutex<[Option<Waker>; 2]>);

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
        let mut socket = self.lock();
        // Registered before the poll: a wake that comes during it is not lost.
        self.wakers.register(self.side, cx.waker());
        let before = socket.driver.milestone();
        let result = poll(&mut socket, &mut Context::from_waker(&self.both));
        let moved = socket.driver.milestone() != before;
        drop(socket);
        if result.is_ready() {
            self.wakers.forget(self.side);
        }
        // What this half read or wrote may be what the other one waits for.
        if moved || result.is_ready() {
            self.wakers.wake_other(self.side);
        }
        result
    }
}

#[expect(clippy::indexing_slicing, reason = "there are two sides, and a place for each")]
impl Wakers {
    fn register(&self, side: Side, waker: &Waker) {
        let slot = &mut self.lock()[side as usize];
        match slot {
            Some(known) => known.clone_from(waker),
            None => *slot = Some(waker.clone()),
        }
    }

    fn forget(&self, side: Side) {
        self.lock()[side as usize] = None;
    }

    fn wake_other(&self, side: Side) {
        let other = self.lock()[1 - side as usize].take();
        if let Some(waker) = other {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, [Option<Waker>; 2]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Woken outside the lock: a waker may poll at once.
        let wakers = std::mem::take(&mut *self.lock());
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}
