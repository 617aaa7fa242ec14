//! Opens connections over a tokio transport. The core makes the opening handshake; this file waits for the first
//! event of the connection.

use std::boxed::Box;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, AsyncWrite};

use super::clock::Clock;
use super::{Goal, WebSocket};
use crate::driver::{Error, Form, NextEvent};
use crate::{Accept, Client, Connection, Event, HandshakeError, Request, Response, Server, Time};

/// Opens a WebSocket on a transport that is already connected to the server.
///
/// Dropping the future closes the transport.
///
/// # Errors
///
/// [`Error::Io`], [`Error::Handshake`] or [`Error::Refused`].
pub async fn connect_on<S>(client: &Client, io: S) -> Result<WebSocket<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    Box::pin(open(client, io, Clock::new(), Time::ZERO)).await
}

pub(super) async fn open<S>(client: &Client, io: S, clock: Clock, begun: Time) -> Result<WebSocket<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let seed = client.new_seed()?;
    let mut socket = WebSocket::with_clock(io, Connection::client(client, seed, begun), clock, begun);
    poll_fn(|cx| socket.poll_opening(cx)).await?;
    Ok(socket)
}

/// Accepts a WebSocket on a transport that a client has just opened, with the defaults: any path, any origin, no
/// subprotocol. For other choices see [`Server`] and [`accept_with`].
///
/// For a `TcpStream`, call `set_nodelay(true)` first. Otherwise a small message waits until the peer has acknowledged
/// the message before it.
///
/// # Errors
///
/// As [`accept_with`].
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(io: S) -> Result<WebSocket<S>, Error> {
    accept_with(&Server::default(), io).await
}

/// Accepts a WebSocket: waits for the request, and answers it.
///
/// Dropping the future closes the transport.
///
/// # Errors
///
/// [`Error::Io`], or [`Error::Handshake`] if the request was refused; then the client has got an answer.
///
/// ```no_run
/// # async fn example(stream: tokio::net::TcpStream) -> Result<(), openline::Error> {
/// use openline::{HandshakeConfig, Server};
///
/// let mut handshake = HandshakeConfig::default();
/// handshake.subprotocols = vec!["chat".into()];
/// let server = Server::default().handshake(handshake); // one for all connections
///
/// let mut socket = openline::tokio::accept_with(&server, stream).await?;
/// # Ok(())
/// # }
/// ```
pub async fn accept_with<S>(server: &Server, io: S) -> Result<WebSocket<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    Box::pin(async {
        let accepting = read_request(server, io).await?;
        // The request has just come, so the clock is not asked again.
        let now = accepting.socket.driver.read_at();
        accepting.accept_at(Accept::default(), now).await
    })
    .await
}

/// Waits for a valid request, on which the application decides.
///
/// Dropping the future closes the transport.
///
/// # Errors
///
/// As [`accept_with`].
pub async fn read_request<S>(server: &Server, io: S) -> Result<Accepting<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut socket = WebSocket::with_clock(io, Connection::server(server, Time::ZERO), Clock::new(), Time::ZERO);
    poll_fn(|cx| socket.poll_opening(cx)).await?;
    Ok(Accepting { socket })
}

/// A request that waits for the application's decision, within
/// [`HandshakeConfig::timeout`](crate::HandshakeConfig::timeout) from its first byte on.
#[derive(Debug)]
pub struct Accepting<S> {
    socket: WebSocket<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Accepting<S> {
    /// The request.
    #[must_use]
    #[expect(clippy::expect_used, reason = "made when there was one, and nothing moves the connection on meanwhile")]
    pub fn request(&self) -> &Request {
        self.socket.driver.connection.request().expect("a request waits")
    }

    /// The transport. Do not read or write it.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.socket.io
    }

    /// Accepts the request as the [`Server`] says.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Handshake`] if the time is over; then the client is answered with 408.
    pub async fn accept(self) -> Result<WebSocket<S>, Error> {
        self.accept_as(Accept::default()).await
    }

    /// Accepts the request as `answer` says.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept). An invalid `answer` is an error too; then the client is answered with 500.
    pub async fn accept_as(self, answer: Accept) -> Result<WebSocket<S>, Error> {
        let now = self.socket.clock.now();
        self.accept_at(answer, now).await
    }

    async fn accept_at(self, answer: Accept, now: Time) -> Result<WebSocket<S>, Error> {
        let Accepting { mut socket } = self;
        if let Err(error) = socket.driver.connection.accept(answer, now) {
            // The mistake is ours, so the client is answered with 500. If the time is over, it has an answer already.
            let _ = socket.driver.connection.reject(Response::new(500), now);
            poll_fn(|cx| socket.poll_over(cx)).await;
            return Err(error.into());
        }
        // The connection ends if the answer does not leave within the handshake's time; and a transport that
        // buffers must pass it on.
        let mark = socket.driver.connection.written();
        poll_fn(|cx| socket.poll_sent(cx, mark)).await?;
        Ok(socket)
    }

    /// Rejects the request with this answer, and closes the transport.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Handshake`] if the answer did not leave in time.
    pub async fn reject(self, response: Response) -> Result<(), Error> {
        let Accepting { mut socket } = self;
        // If time is over, another answer is on its way.
        let rejected = socket.driver.connection.reject(response, socket.clock.now());
        let mark = socket.driver.connection.written();
        poll_fn(|cx| socket.poll_over(cx)).await;
        rejected?;
        match (socket.driver.has_reached(mark), socket.driver.take_failure()) {
            (true, _) => Ok(()),
            (false, Some(error)) => Err(error.into()),
            (false, None) => Err(HandshakeError::TimedOut.into()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Waits for the first event of an opening handshake.
    fn poll_opening(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            // Nothing has come before the first turn.
            ready!(self.poll_turn(cx, Goal::Events));
            if let Some(NextEvent::Owned(Event::Request | Event::Opened)) =
                self.driver.next_event(Form::Whole, || self.clock.now())
            {
                return Poll::Ready(Ok(()));
            }
            if self.driver.is_over() {
                self.let_go(cx);
                return Poll::Ready(self.driver.outcome());
            }
        }
    }

    /// Waits for the end of a connection whose request was rejected.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.driver.is_over() {
            let _ = self.driver.next_event(Form::Chunks, || self.clock.now());
            ready!(self.poll_turn(cx, Goal::Events));
        }
        Poll::Ready(())
    }
}
