//! Opening connections over a tokio transport. How an opening handshake goes is the core's business:
//! here is a connection like any other, and its first events are waited for.

use std::boxed::Box;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, AsyncWrite};
use ::tokio::net::TcpStream;

use super::clock::Clock;
use super::{Goal, WebSocket};
use crate::driver::{Error, Form, Found};
use crate::{Accept, Client, ClientRequest, Connection, Event, HandshakeError, Request, Response, Server, Time};

/// Connects to a `ws://` URI, with the defaults. [`Client`] and [`connect_with`] have the choices.
///
/// # Errors
///
/// As [`connect_with`].
pub async fn connect(uri: &str) -> Result<WebSocket<TcpStream>, Error> {
    connect_with(&Client::new(ClientRequest::new(uri)?)).await
}

/// Connects over TCP, with `TCP_NODELAY` set. Looking up the name, connecting and
/// the handshake share [`HandshakeConfig::timeout`](crate::HandshakeConfig::timeout).
///
/// Dropping the future closes the transport.
///
/// # Errors
///
/// [`Error::Io`], [`Error::Handshake`], or [`Error::Refused`] with what the server
/// answered instead. A `wss://` URI fails: for TLS, bring your own stream to
/// [`connect_on`].
pub async fn connect_with(client: &Client) -> Result<WebSocket<TcpStream>, Error> {
    let uri = client.request().uri();
    // Never send in the clear what was meant to be secret.
    if uri.is_secure() {
        return Err(HandshakeError::TlsUnavailable.into());
    }
    let mut clock = Clock::new();
    let deadline = clock.now() + client.timeout();
    // Boxed, here and below: a task would keep room for the opening as long as it lives.
    let mut connecting = pin!(Box::pin(TcpStream::connect((uri.host(), uri.port()))));
    let io = poll_fn(|cx| match connecting.as_mut().poll(cx) {
        Poll::Ready(connected) => Poll::Ready(connected.map_err(Error::from)),
        Poll::Pending => clock.poll_deadline(Some(deadline), cx).map(|_| Err(HandshakeError::TimedOut.into())),
    })
    .await?;
    io.set_nodelay(true)?;
    Box::pin(open(client, io, clock, Time::ZERO)).await
}

/// Opens a WebSocket on a transport that is connected to the server already.
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
    let clock = Clock::new();
    let now = clock.now();
    Box::pin(open(client, io, clock, now)).await
}

async fn open<S>(client: &Client, io: S, clock: Clock, begun: Time) -> Result<WebSocket<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let seed = client.new_seed()?;
    let mut socket = WebSocket::with_clock(io, Connection::client(client, seed, begun), clock);
    poll_fn(|cx| socket.poll_opening(cx)).await?;
    Ok(socket)
}

/// Accepts a WebSocket on a transport that a client has just opened, with the
/// defaults: any path, any origin, no subprotocol. [`Server`] and [`accept_with`] have the choices.
///
/// For a `TcpStream`, call `set_nodelay(true)` first: otherwise small messages wait
/// for the acknowledgement of those before them.
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
/// [`Error::Io`], or [`Error::Handshake`] if the request was refused; the client
/// has its answer then.
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
    Box::pin(async { read_request(server, io).await?.accept().await }).await
}

/// Waits for a request that is in order, for the application to decide on.
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
    let clock = Clock::new();
    let mut socket = WebSocket::with_clock(io, Connection::server(server, clock.now()), clock);
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

    /// The transport, to look at.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.socket.io
    }

    /// Accepts it as the [`Server`] says.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Handshake`] if time is over; the client is answered with 408 then.
    pub async fn accept(self) -> Result<WebSocket<S>, Error> {
        self.accept_as(Accept::default()).await
    }

    /// Accepts it as `answer` says.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept); an answer that cannot be given is an error too, and the
    /// client is answered with 500 then.
    pub async fn accept_as(self, answer: Accept) -> Result<WebSocket<S>, Error> {
        let Accepting { mut socket } = self;
        let now = socket.clock.now();
        if let Err(error) = socket.driver.connection.accept(answer, now) {
            // Our mistake, not the client's: it gets an answer all the same. If time is over it has one.
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

    /// Answers with something else than a WebSocket, and closes the transport.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Handshake`] if the answer did not go in time.
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
            if let Some(Found::Owned(Event::Request | Event::Opened)) =
                self.driver.next_event(Form::Whole, || self.clock.now())
            {
                return Poll::Ready(Ok(()));
            }
            if self.driver.is_over() {
                self.let_go(cx);
                return Poll::Ready(self.driver.outcome());
            }
            ready!(self.poll_turn(cx, Goal::Events));
        }
    }

    /// Waits for the end of a connection that does not open.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.driver.is_over() {
            let _ = self.driver.next_event(Form::Chunks, || self.clock.now());
            ready!(self.poll_turn(cx, Goal::Events));
        }
        Poll::Ready(())
    }
}
