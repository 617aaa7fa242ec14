//! The WebSocket as a `Stream` of messages and a `Sink` for messages. Two tasks may poll the two
//! (`StreamExt::split`), as they may poll the halves.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, AsyncWrite};
use futures_core::Stream;
use futures_sink::Sink;

use super::WebSocket;
use super::split::{Receiver, Sender};
use super::wakers::{Side, Woken};
use crate::driver::Error;
use crate::{CloseCode, Message, SendError, State};

/// An error is the last item.
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for WebSocket<S> {
    type Item = Result<Message<'static>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        woken(self.poll_as(Side::Receiver, cx, WebSocket::poll_recv)).map(Result::transpose)
    }
}

/// `poll_ready` waits for room, and `start_send` queues the message. `poll_close` sends a Close frame with the code
/// 1000, and does not wait for the peer's: the `Stream` gets what still comes, and ends when the peer has closed too.
impl<'m, S: AsyncRead + AsyncWrite + Unpin> Sink<Message<'m>> for WebSocket<S> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        woken(self.poll_as(Side::Sender, cx, WebSocket::poll_sink_room))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message<'m>) -> Result<(), Error> {
        woken(self.command_as(Side::Sender, |socket| socket.start_send_now(message)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        woken(self.poll_as(Side::Sender, cx, WebSocket::poll_sink_flush))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        woken(self.poll_as(Side::Sender, cx, WebSocket::poll_sink_close))
    }
}

/// An error is the last item.
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for Receiver<S> {
    type Item = Result<Message<'static>, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx, WebSocket::poll_recv).map(Result::transpose)
    }
}

/// As the `Sink` of [`WebSocket`].
impl<'m, S: AsyncRead + AsyncWrite + Unpin> Sink<Message<'m>> for Sender<S> {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll(cx, WebSocket::poll_sink_room)
    }

    fn start_send(self: Pin<&mut Self>, message: Message<'m>) -> Result<(), Error> {
        self.with(|socket| socket.start_send_now(message))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll(cx, WebSocket::poll_sink_flush)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll(cx, WebSocket::poll_sink_close)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Waits for room. If the connection is closing, this fails when what was accepted before has left: after the
    /// error most programs drop the sink.
    fn poll_sink_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_room(cx))?;
        if self.state() != State::Open || self.sink_closed {
            return self.poll_refused(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// The error that the connection is closing, once what was accepted before has left.
    fn poll_refused(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_farewell(cx).map(|()| Err(SendError::Closed.into()))
    }

    /// Queues a message, even if a Pong has taken the room since `poll_ready`. If the connection has begun to close
    /// since then, the next poll, flush or close returns the error, because they can wait until what was accepted has
    /// left.
    fn start_send_now(&mut self, message: Message<'_>) -> Result<(), Error> {
        match self.driver.queue(|connection| connection.queue(message)) {
            Err(error) if error.is_closed() && self.state() == State::Closing => {
                self.sink_closed = true;
                Ok(())
            }
            other => other,
        }
    }

    /// Waits until everything that was sent has left.
    fn poll_sink_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.sink_closed {
            return self.poll_refused(cx);
        }
        self.poll_sent(cx, self.driver.sent_mark())
    }

    /// Sends a Close frame, and waits until it has left.
    fn poll_sink_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.start_close(CloseCode::NORMAL, "")?;
        self.poll_goodbye(cx)
    }

    /// Whether all before `mark` has been transmitted. A message that was refused after a sink had taken it was not:
    /// who flushes or closes, the sink's way or the socket's, is told.
    #[inline]
    pub(super) fn check_sent(&mut self, mark: u64) -> Result<(), Error> {
        let sent = self.driver.check_sent(mark);
        if self.sink_closed { sent.and(Err(SendError::Closed.into())) } else { sent }
    }
}

/// Wakes the other task, and returns the result. If the two share a lock, as with `StreamExt::split`, the other task
/// waits for it.
fn woken<T>((result, other): (T, Woken)) -> T {
    other.wake();
    result
}
