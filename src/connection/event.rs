//! What a connection tells the application.

use alloc::borrow::Cow;
use core::fmt;
use core::time::Duration;

use crate::frame::CloseFrame;
use crate::message::{Chunk, Message, Received};

/// Something that came from the peer.
///
/// An event borrows from the input buffer if its payload lies there whole, and owns the payload otherwise. It never
/// borrows from the connection, so the application can answer while it uses the event.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'b> {
    /// In a server that began with the opening handshake: a complete and valid request has come.
    /// [`request`](crate::Connection::request) has it, and it waits for
    /// [`accept`](crate::Connection::accept) or [`reject`](crate::Connection::reject).
    Request,
    /// In a client that began with the opening handshake: the server has agreed.
    /// [`agreement`](crate::Connection::agreement) and [`response`](crate::Connection::response) say to what.
    Opened,
    /// A whole message, from [`receive`](crate::Connection::receive).
    Message(Message<'b>),
    /// A part of a message, from [`receive_chunk`](crate::Connection::receive_chunk).
    Chunk(Chunk<'b>),
    /// A Ping (§5.5.2). Its Pong is queued by itself, unless nothing can be sent any more, or
    /// later Pings take its place because the peer does not take what we send.
    Ping(Cow<'b, [u8]>),
    /// A Pong (§5.5.3).
    Pong {
        /// Its payload.
        payload: Cow<'b, [u8]>,
        /// The time since the Ping, if this answers the last one.
        latency: Option<Duration>,
    },
    /// The peer's Close frame. No event follows it. Our own Close frame is queued, or was sent before (§5.5.1).
    Close(CloseFrame),
}

impl Event<'_> {
    /// An event that can be kept. Its payload is copied only if it was borrowed.
    #[must_use]
    pub fn into_owned(self) -> Event<'static> {
        match self {
            Event::Message(message) => Event::Message(message.into_owned()),
            Event::Chunk(chunk) => Event::Chunk(chunk.into_owned()),
            Event::Ping(payload) => Event::Ping(Cow::Owned(payload.into_owned())),
            Event::Pong { payload, latency } => Event::Pong { payload: Cow::Owned(payload.into_owned()), latency },
            Event::Close(frame) => Event::Close(frame),
            Event::Request => Event::Request,
            Event::Opened => Event::Opened,
        }
    }
}

/// Payloads are the application's, or the peer's, so only their lengths are shown.
impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Request => f.write_str("Request"),
            Event::Opened => f.write_str("Opened"),
            Event::Message(message) => f.debug_tuple("Message").field(message).finish(),
            Event::Chunk(chunk) => f.debug_tuple("Chunk").field(chunk).finish(),
            Event::Ping(payload) => write!(f, "Ping({} bytes)", payload.len()),
            Event::Pong { payload, latency } => write!(f, "Pong({} bytes, latency: {latency:?})", payload.len()),
            Event::Close(frame) => f.debug_tuple("Close").field(frame).finish(),
        }
    }
}

impl<'b> From<Received<'b>> for Event<'b> {
    #[inline]
    fn from(received: Received<'b>) -> Event<'b> {
        match received {
            Received::Message(message) => Event::Message(message),
            Received::Chunk(chunk) => Event::Chunk(chunk),
        }
    }
}
