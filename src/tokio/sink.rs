//! The same WebSocket as a `Stream` of messages and a `Sink` for them, for code
//! that is written against those traits.

use std::pin::Pin;
use std::task::{Context, Poll};

use ::tokio::io::{AsyncRead, AsyncWrite};
use futures_core::Stream;
use futures_sink::Sink;

use super::WebSocket;
use super::split::{Receiver, Sender};
use crate::code::CloseCode;
use crate::driver::Error;
use crate::message::Message;

/// An error is an item, and the last one.
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for WebSocket<S> {
    type Item = Result<Message<'static>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx).map(Result::transpose)
    }
}

/// `start_send` is [`feed`](WebSocket::feed) when there is room; `poll_close` is
/// [`close`](WebSocket::close) with the code 1000.
impl<'m, S: AsyncRead + AsyncWrite + Unpin> Sink<Message<'m>> for WebSocket<S> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_room(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message<'m>) -> Result<(), Error> {
        // `poll_ready` found room, which a Pong may have taken since.
        self.driver.queue(|connection| connection.send_beyond(message))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        WebSocket::poll_flush(&mut self, cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.start_close(CloseCode::NORMAL, "")?;
        self.poll_closed(cx)
    }
}

/// An error is an item, and the last one.
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for Receiver<S> {
    type Item = Result<Message<'static>, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx, WebSocket::poll_recv).map(Result::transpose)
    }
}

/// As the `Sink` of [`WebSocket`], except that `poll_close` does not wait for the
/// peer: the receiving half does.
impl<'m, S: AsyncRead + AsyncWrite + Unpin> Sink<Message<'m>> for Sender<S> {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll(cx, WebSocket::poll_room)
    }

    fn start_send(self: Pin<&mut Self>, message: Message<'m>) -> Result<(), Error> {
        self.with(|socket| socket.driver.queue(|connection| connection.send_beyond(message)))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll(cx, WebSocket::poll_flush)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.with(|socket| socket.start_close(CloseCode::NORMAL, ""))?;
        self.poll(cx, WebSocket::poll_flush)
    }
}
