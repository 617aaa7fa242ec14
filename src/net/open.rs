//! Opening handshakes over a blocking transport.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use super::timeouts::{Clock, Flow, Timeout};
use super::{Transport, WebSocket};
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
pub fn connect(uri: &str) -> Result<WebSocket<TcpStream>, Error> {
    Client::new(ClientRequest::new(uri)?).connect()
}

/// Accepts a WebSocket on a transport that a client has just opened, with the
/// defaults: any path, any origin, no subprotocol. [`Server`] has the choices.
///
/// The transport must block; it may be made non-blocking afterwards.
/// For a `TcpStream`, call `set_nodelay(true)` first: otherwise small messages wait
/// for the acknowledgement of those before them.
///
/// # Errors
///
/// As [`Server::accept`].
pub fn accept<S: Transport>(io: S) -> Result<WebSocket<S>, Error> {
    Server::default().accept(io)
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
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Handshake`], or [`Error::Refused`] with what the server
    /// answered instead. A `wss://` URI fails: for TLS, bring your own stream to
    /// [`connect_on`](Self::connect_on).
    pub fn connect(&self) -> Result<WebSocket<TcpStream>, Error> {
        let uri = self.request.uri();
        // Never send in the clear what was meant to be secret.
        if uri.is_secure() {
            return Err(HandshakeError::TlsUnavailable.into());
        }
        let clock = Clock::new();
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for address in (uri.host(), uri.port()).to_socket_addrs()? {
            let left = self.handshake.timeout.saturating_sub(clock.now().since(Time::ZERO));
            if left.is_zero() {
                return Err(HandshakeError::TimedOut.into());
            }
            match TcpStream::connect_timeout(&address, left) {
                Ok(io) => {
                    io.set_nodelay(true)?;
                    return self.open(Line::new(io, clock), Time::ZERO);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure.into())
    }

    /// Opens the WebSocket on a transport that is connected to the server already.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Handshake`] or [`Error::Refused`].
    pub fn connect_on<S: Transport>(&self, io: S) -> Result<WebSocket<S>, Error> {
        let line = Line::new(io, Clock::new());
        let now = line.clock.now();
        self.open(line, now)
    }

    fn open<S: Transport>(&self, mut line: Line<S>, begun: Time) -> Result<WebSocket<S>, Error> {
        let mut calling = Calling::new(&self.request, &self.handshake, begun)?;
        while let Some(bytes) = calling.machine.poll_transmit() {
            match line.write(bytes, calling.machine.poll_timeout())? {
                Some(len) => calling.machine.handle_transmitted(len),
                None => calling.handle_timeout(line.clock.now())?,
            }
        }
        line.io.flush()?;
        let mut buffer = [0; HEAD_READ];
        loop {
            match line.read(&mut buffer, calling.machine.poll_timeout())? {
                Some(bytes) => {
                    if let Some((upgrade, leftover)) = calling.receive(bytes)? {
                        return Ok(WebSocket::new(line.io, upgrade, self.config, &leftover));
                    }
                }
                None => calling.handle_timeout(line.clock.now())?,
            }
        }
    }
}

/// How to accept connections as a server.
///
/// ```no_run
/// # fn example(stream: std::net::TcpStream) -> Result<(), openline::Error> {
/// use openline::HandshakeConfig;
/// use openline::net::Server;
///
/// let mut handshake = HandshakeConfig::default();
/// handshake.subprotocols = vec!["chat".into()];
/// let server = Server::default().handshake(handshake); // one for all connections
///
/// let mut socket = server.accept(stream)?;
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
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Handshake`] if the request was refused; the client
    /// has its answer then.
    pub fn accept<S: Transport>(&self, io: S) -> Result<WebSocket<S>, Error> {
        self.request(io)?.accept()
    }

    /// Waits for a request that is in order, for the application to decide on.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    pub fn request<S: Transport>(&self, io: S) -> Result<Accepting<S>, Error> {
        let mut line = Line::new(io, Clock::new());
        let mut answering = Answering::new(&self.handshake, line.clock.now());
        let mut buffer = [0; HEAD_READ];
        loop {
            let deadline = answering.machine.poll_timeout();
            let step = match line.read(&mut buffer, deadline)? {
                Some(bytes) => answering.receive(bytes),
                None => answering.machine.handle_timeout(line.clock.now()).map(|()| false),
            };
            match step {
                Ok(false) => {}
                Ok(true) => return Ok(Accepting { line, answering, config: self.config }),
                Err(error) => {
                    // The client should get its answer, but whether it does changes nothing.
                    let _ = line.refuse(&mut answering.machine);
                    return Err(error.into());
                }
            }
        }
    }
}

/// A request that waits for the application's decision.
#[derive(Debug)]
pub struct Accepting<S> {
    line: Line<S>,
    answering: Answering,
    config: Config,
}

impl<S: Transport> Accepting<S> {
    /// The request.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        self.answering.machine.request()
    }

    /// The transport, to look at.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.line.io
    }

    /// As [`ServerHandshake::accept`], with the usual answer ([`Accept::default`]).
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Handshake`] if time is over.
    pub fn accept(mut self) -> Result<WebSocket<S>, Error> {
        let upgrade = self.answering.machine.accept(Accept::default())?;
        self.finish(upgrade)
    }

    /// As [`ServerHandshake::accept`].
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept), and those of [`ServerHandshake::accept`]; the
    /// client is answered with 500 then.
    pub fn accept_with(mut self, answer: Accept) -> Result<WebSocket<S>, Error> {
        match self.answering.machine.accept(answer) {
            Ok(upgrade) => self.finish(upgrade),
            Err(error) => {
                // Our mistake, not the client's: it gets an answer all the same.
                let _ = self.reject(Response::new(500));
                Err(error.into())
            }
        }
    }

    /// Answers with something else than a WebSocket, and closes the transport.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Handshake`] if the answer did not go in time.
    pub fn reject(mut self, response: Response) -> Result<(), Error> {
        self.answering.machine.reject(response);
        self.line.refuse(&mut self.answering.machine)
    }

    fn finish(mut self, upgrade: Upgrade) -> Result<WebSocket<S>, Error> {
        let deadline = self.answering.machine.poll_timeout();
        self.line.transmit(&mut self.answering.machine, deadline)?;
        Ok(WebSocket::new(self.line.io, upgrade, self.config, &self.answering.leftover))
    }
}

/// A transport with a deadline for each call.
#[derive(Debug)]
struct Line<S> {
    io: S,
    clock: Clock,
    read_timeout: Timeout,
    write_timeout: Timeout,
}

impl<S: Transport> Line<S> {
    fn new(io: S, clock: Clock) -> Line<S> {
        Line { io, clock, read_timeout: Timeout::default(), write_timeout: Timeout::default() }
    }

    /// Reads some. `None`: the deadline came first.
    #[expect(clippy::indexing_slicing, reason = "a read does not bring more than the buffer holds")]
    fn read<'b>(&mut self, buffer: &'b mut [u8], deadline: Option<Time>) -> io::Result<Option<&'b [u8]>> {
        let Line { io, clock, read_timeout, .. } = self;
        let set = |io: &S, timeout| io.set_read_timeout(timeout);
        let read = attempt(*clock, read_timeout, deadline, io, set, |io| io.read(buffer))?;
        Ok(read.map(|len| &buffer[..len]))
    }

    /// Writes some, likewise. A transport that takes nothing will take nothing more.
    fn write(&mut self, bytes: &[u8], deadline: Option<Time>) -> io::Result<Option<usize>> {
        let Line { io, clock, write_timeout, .. } = self;
        let set = |io: &S, timeout| io.set_write_timeout(timeout);
        match attempt(*clock, write_timeout, deadline, io, set, |io| io.write(bytes))? {
            Some(0) => Err(io::ErrorKind::WriteZero.into()),
            written => Ok(written),
        }
    }

    fn transmit(&mut self, machine: &mut ServerHandshake, deadline: Option<Time>) -> Result<(), Error> {
        while let Some(bytes) = machine.poll_transmit() {
            match self.write(bytes, deadline)? {
                Some(len) => machine.handle_transmitted(len),
                None => return Err(HandshakeError::TimedOut.into()),
            }
        }
        Ok(self.io.flush()?)
    }

    /// Sends the answer and ends the transport so that it arrives.
    fn refuse(&mut self, machine: &mut ServerHandshake) -> Result<(), Error> {
        let deadline = Some(self.clock.now() + LINGER);
        self.transmit(machine, deadline)?;
        self.io.shutdown_write()?;
        let mut buffer = [0; HEAD_READ];
        for _ in 0..LINGER_READS {
            if self.read(&mut buffer, deadline)?.is_none_or(<[u8]>::is_empty) {
                break;
            }
        }
        Ok(())
    }
}

/// Makes a call until it did something or the deadline has come.
fn attempt<S>(
    clock: Clock,
    timeout: &mut Timeout,
    deadline: Option<Time>,
    io: &mut S,
    set: impl Fn(&S, Option<Duration>) -> io::Result<()>,
    mut call: impl FnMut(&mut S) -> io::Result<usize>,
) -> io::Result<Option<usize>> {
    loop {
        let start = clock.now();
        if deadline.is_some_and(|deadline| deadline <= start) {
            return Ok(None);
        }
        timeout.arrange(deadline.map(|deadline| deadline.since(start)), |timeout| set(io, timeout));
        match call(io) {
            Ok(len) => return Ok(Some(len)),
            Err(error) => match timeout.judge(&error, clock.now().since(start)) {
                Some(Flow::Expired) => {}
                _ => return Err(error),
            },
        }
    }
}
