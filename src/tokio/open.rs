//! Opening handshakes over a tokio transport.

use std::boxed::Box;
use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};

use ::tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use ::tokio::net::TcpStream;

use super::WebSocket;
use super::clock::Clock;
use crate::connection::Config;
use crate::driver::{Answering, Calling, Error, HEAD_READ, LINGER, LINGER_READS};
use crate::error::HandshakeError;
use crate::handshake::{Accept, ClientRequest, HandshakeConfig, ServerHandshake};
use crate::http::{Request, Response};
use crate::time::Time;
use crate::upgrade::Upgrade;

/// Connects to a `ws://` URI, with the defaults. [`Client`] has the choices.
///
/// # Errors
///
/// As [`Client::connect`].
pub async fn connect(uri: &str) -> Result<WebSocket<TcpStream>, Error> {
    Client::new(ClientRequest::new(uri)?).connect().await
}

/// Accepts a WebSocket on a transport that a client has just opened, with the
/// defaults: any path, any origin, no subprotocol. [`Server`] has the choices.
///
/// For a `TcpStream`, call `set_nodelay(true)` first: otherwise small messages wait
/// for the acknowledgement of those before them.
///
/// # Errors
///
/// As [`Server::accept`].
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(io: S) -> Result<WebSocket<S>, Error> {
    Server::default().accept(io).await
}

/// How to open connections as a client.
#[derive(Clone, Debug)]
pub struct Client {
    request: ClientRequest,
    handshake: Arc<HandshakeConfig>,
    config: Config,
}

impl Client {
    /// A client that makes this request.
    #[must_use]
    pub fn new(request: ClientRequest) -> Client {
        Client { request, handshake: Arc::default(), config: Config::default() }
    }

    /// Sets the limits of the opening handshake.
    #[must_use]
    pub fn handshake(mut self, handshake: impl Into<Arc<HandshakeConfig>>) -> Client {
        self.handshake = handshake.into();
        self
    }

    /// Sets the limits and deadlines of the connection.
    #[must_use]
    pub fn config(mut self, config: Config) -> Client {
        self.config = config;
        self
    }

    /// Connects over TCP, with `TCP_NODELAY` set. Looking up the name, connecting and
    /// the handshake share [`HandshakeConfig::timeout`].
    ///
    /// Dropping the future closes the transport.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Handshake`], or [`Error::Refused`] with what the server
    /// answered instead. A `wss://` URI fails: for TLS, bring your own stream to
    /// [`connect_on`](Self::connect_on).
    pub async fn connect(&self) -> Result<WebSocket<TcpStream>, Error> {
        let uri = self.request.uri();
        // Never send in the clear what was meant to be secret.
        if uri.is_secure() {
            return Err(HandshakeError::TlsUnavailable.into());
        }
        let mut clock = Clock::new();
        let deadline = clock.now() + self.handshake.timeout;
        // Boxed, here and below: a task would keep room for the handshake as long as it lives.
        let connecting = Box::pin(TcpStream::connect((uri.host(), uri.port())));
        let connected = until(&mut clock, Some(deadline), connecting).await;
        let io = connected.ok_or(HandshakeError::TimedOut)??;
        io.set_nodelay(true)?;
        Box::pin(self.open(io, clock, Time::ZERO)).await
    }

    /// Opens the WebSocket on a transport that is connected to the server already.
    ///
    /// Dropping the future closes the transport.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Handshake`] or [`Error::Refused`].
    pub async fn connect_on<S: AsyncRead + AsyncWrite + Unpin>(&self, io: S) -> Result<WebSocket<S>, Error> {
        let clock = Clock::new();
        let now = clock.now();
        Box::pin(self.open(io, clock, now)).await
    }

    async fn open<S>(&self, mut io: S, mut clock: Clock, begun: Time) -> Result<WebSocket<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut calling = Calling::new(&self.request, &self.handshake, begun)?;
        let deadline = calling.machine.poll_timeout();
        let request = async {
            while let Some(bytes) = calling.machine.poll_transmit() {
                let len = nonzero(io.write(bytes).await?)?;
                calling.machine.handle_transmitted(len);
            }
            io.flush().await
        };
        until(&mut clock, deadline, request).await.ok_or(HandshakeError::TimedOut)??;
        loop {
            let deadline = calling.machine.poll_timeout();
            match until(&mut clock, deadline, read(&mut io, |bytes| calling.receive(bytes))).await {
                Some(received) => {
                    if let Some((upgrade, leftover)) = received?? {
                        return Ok(WebSocket::with_clock(io, upgrade, self.config, &leftover, clock));
                    }
                }
                None => calling.handle_timeout(clock.now())?,
            }
        }
    }
}

/// How to accept connections as a server.
///
/// ```no_run
/// # async fn example(stream: tokio::net::TcpStream) -> Result<(), openline::Error> {
/// use openline::HandshakeConfig;
/// use openline::tokio::Server;
///
/// let mut handshake = HandshakeConfig::default();
/// handshake.subprotocols = vec!["chat".into()];
/// let server = Server::default().handshake(handshake); // one for all connections
///
/// let mut socket = server.accept(stream).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Server {
    handshake: Arc<HandshakeConfig>,
    config: Config,
}

impl Server {
    /// Sets the limits and choices of the opening handshake.
    #[must_use]
    pub fn handshake(mut self, handshake: impl Into<Arc<HandshakeConfig>>) -> Server {
        self.handshake = handshake.into();
        self
    }

    /// Sets the limits and deadlines of the connection.
    #[must_use]
    pub fn config(mut self, config: Config) -> Server {
        self.config = config;
        self
    }

    /// Accepts a WebSocket: waits for the request, and answers it.
    ///
    /// Dropping the future closes the transport.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Handshake`] if the request was refused; the client
    /// has its answer then.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, io: S) -> Result<WebSocket<S>, Error> {
        Box::pin(async { self.request(io).await?.accept().await }).await
    }

    /// Waits for a request that is in order, for the application to decide on.
    ///
    /// Dropping the future closes the transport.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    pub async fn request<S: AsyncRead + AsyncWrite + Unpin>(&self, mut io: S) -> Result<Accepting<S>, Error> {
        let mut clock = Clock::new();
        let mut answering = Answering::new(&self.handshake, clock.now());
        loop {
            let deadline = answering.machine.poll_timeout();
            let step = match until(&mut clock, deadline, read(&mut io, |bytes| answering.receive(bytes))).await {
                Some(received) => received?,
                None => answering.machine.handle_timeout(clock.now()).map(|()| false),
            };
            match step {
                Ok(false) => {}
                Ok(true) => return Ok(Accepting { io, answering, clock, config: self.config }),
                Err(error) => {
                    // The client should get its answer, but whether it does changes nothing.
                    let _ = refuse(&mut io, &mut answering.machine, &mut clock).await;
                    return Err(error.into());
                }
            }
        }
    }
}

/// A request that waits for the application's decision.
#[derive(Debug)]
pub struct Accepting<S> {
    io: S,
    answering: Answering,
    clock: Clock,
    config: Config,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Accepting<S> {
    /// The request.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        self.answering.machine.request()
    }

    /// The transport, to look at.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// As [`ServerHandshake::accept`], with the usual answer ([`Accept::default`]).
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Handshake`] if time is over.
    pub async fn accept(mut self) -> Result<WebSocket<S>, Error> {
        let upgrade = self.answering.machine.accept(Accept::default())?;
        self.finish(upgrade).await
    }

    /// As [`ServerHandshake::accept`].
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept), and those of [`ServerHandshake::accept`]; the
    /// client is answered with 500 then.
    pub async fn accept_with(mut self, answer: Accept) -> Result<WebSocket<S>, Error> {
        match self.answering.machine.accept(answer) {
            Ok(upgrade) => self.finish(upgrade).await,
            Err(error) => {
                // Our mistake, not the client's: it gets an answer all the same.
                let _ = self.reject(Response::new(500)).await;
                Err(error.into())
            }
        }
    }

    /// Answers with something else than a WebSocket, and closes the transport.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Handshake`] if the answer did not go in time.
    pub async fn reject(mut self, response: Response) -> Result<(), Error> {
        self.answering.machine.reject(response);
        refuse(&mut self.io, &mut self.answering.machine, &mut self.clock).await
    }

    async fn finish(mut self, upgrade: Upgrade) -> Result<WebSocket<S>, Error> {
        let deadline = self.answering.machine.poll_timeout();
        transmit(&mut self.io, &mut self.answering.machine, &mut self.clock, deadline).await?;
        Ok(WebSocket::with_clock(self.io, upgrade, self.config, &self.answering.leftover, self.clock))
    }
}

/// Sends the answer, and sees it leave before the deadline.
async fn transmit<S>(
    io: &mut S,
    machine: &mut ServerHandshake,
    clock: &mut Clock,
    deadline: Option<Time>,
) -> Result<(), Error>
where
    S: AsyncWrite + Unpin,
{
    let answer = async {
        while let Some(bytes) = machine.poll_transmit() {
            let len = nonzero(io.write(bytes).await?)?;
            machine.handle_transmitted(len);
        }
        io.flush().await
    };
    Ok(until(clock, deadline, answer).await.ok_or(HandshakeError::TimedOut)??)
}

/// Sends the answer and ends the transport so that it arrives.
async fn refuse<S>(io: &mut S, machine: &mut ServerHandshake, clock: &mut Clock) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let deadline = Some(clock.now() + LINGER);
    transmit(io, machine, clock, deadline).await?;
    let farewell = async {
        io.shutdown().await?;
        for _ in 0..LINGER_READS {
            if read(io, <[u8]>::is_empty).await? {
                break;
            }
        }
        Ok(())
    };
    // The answer has left: a client that stays does no harm.
    until(clock, deadline, farewell).await.unwrap_or(Ok(()))
}

/// Reads once, and hands over what came: nothing, at the end. The buffer lives no longer than
/// an attempt, so that many who say nothing cost none.
async fn read<S, T>(io: &mut S, mut receive: impl FnMut(&[u8]) -> T) -> io::Result<T>
where
    S: AsyncRead + Unpin,
{
    poll_fn(|cx| {
        let mut memory = [MaybeUninit::uninit(); HEAD_READ];
        let mut buffer = ReadBuf::uninit(&mut memory);
        ready!(Pin::new(&mut *io).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(receive(buffer.filled())))
    })
    .await
}

/// A transport that takes nothing will take nothing more.
pub(super) fn nonzero(len: usize) -> io::Result<usize> {
    if len == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(len) }
}

/// Does the work until the deadline; `None` if that came first.
async fn until<T>(clock: &mut Clock, deadline: Option<Time>, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => clock.poll_deadline(deadline, cx).map(|_| None),
    })
    .await
}
