//! Opens connections over a blocking transport. The core makes the opening handshake; this file waits for the first
//! event of the connection.

use super::shared::{Alone, Goal};
use super::timeouts::{Clock, Limit};
use super::turns::{let_go, turn, write_to};
use super::{Transport, WebSocket};
use crate::driver::{Error, Form, NextEvent};
use crate::{Accept, Client, Connection, Event, HandshakeError, Request, Response, Server, Time};

/// Opens a WebSocket on a transport that is already connected to the server.
///
/// # Errors
///
/// [`Error::Io`], [`Error::Handshake`] or [`Error::Refused`].
pub fn connect_on<S: Transport>(client: &Client, io: S) -> Result<WebSocket<S>, Error> {
    open(client, io, Clock::new(), Time::ZERO)
}

pub(super) fn open<S: Transport>(client: &Client, io: S, clock: Clock, begun: Time) -> Result<WebSocket<S>, Error> {
    let seed = client.new_seed()?;
    let mut socket = WebSocket::with_clock(io, Connection::client(client, seed, begun), clock, begun);
    socket.opening()?;
    Ok(socket)
}

/// Accepts a WebSocket on a transport that a client has just opened, with the defaults: any path, any origin, no
/// subprotocol. For other choices see [`Server`] and [`accept_with`].
///
/// The transport must block; it may be made non-blocking afterwards. For a `TcpStream`, call `set_nodelay(true)` first.
/// Otherwise a small message waits until the peer has acknowledged the message before it.
///
/// # Errors
///
/// As [`accept_with`].
pub fn accept<S: Transport>(io: S) -> Result<WebSocket<S>, Error> {
    accept_with(&Server::default(), io)
}

/// Accepts a WebSocket: waits for the request, and answers it.
///
/// # Errors
///
/// [`Error::Io`], or [`Error::Handshake`] if the request was refused; then the client has got an answer.
///
/// ```no_run
/// # fn example(stream: std::net::TcpStream) -> Result<(), openline::Error> {
/// use openline::{HandshakeConfig, Server};
///
/// let mut handshake = HandshakeConfig::default();
/// handshake.subprotocols = vec!["chat".into()];
/// let server = Server::default().handshake(handshake); // one for all connections
///
/// let mut socket = openline::net::accept_with(&server, stream)?;
/// # Ok(())
/// # }
/// ```
pub fn accept_with<S: Transport>(server: &Server, io: S) -> Result<WebSocket<S>, Error> {
    let accepting = read_request(server, io)?;
    // The request has just come, so the clock is not asked again.
    let now = accepting.socket.shared.driver.read_at();
    accepting.accept_at(Accept::default(), now)
}

/// Waits for a valid request, on which the application decides.
///
/// # Errors
///
/// As [`accept_with`].
pub fn read_request<S: Transport>(server: &Server, io: S) -> Result<Accepting<S>, Error> {
    let mut socket = WebSocket::with_clock(io, Connection::server(server, Time::ZERO), Clock::new(), Time::ZERO);
    socket.opening()?;
    Ok(Accepting { socket })
}

/// A request that waits for the application's decision, within
/// [`HandshakeConfig::timeout`](crate::HandshakeConfig::timeout) from its first byte on.
#[derive(Debug)]
pub struct Accepting<S> {
    socket: WebSocket<S>,
}

impl<S: Transport> Accepting<S> {
    /// The request.
    #[must_use]
    #[expect(clippy::expect_used, reason = "made when there was one, and nothing moves the connection on meanwhile")]
    pub fn request(&self) -> &Request {
        self.socket.connection().request().expect("a request waits")
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
    pub fn accept(self) -> Result<WebSocket<S>, Error> {
        self.accept_as(Accept::default())
    }

    /// Accepts the request as `answer` says.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept). An invalid `answer` is an error too; then the client is answered with 500.
    pub fn accept_as(self, answer: Accept) -> Result<WebSocket<S>, Error> {
        let now = self.socket.shared.clock.now();
        self.accept_at(answer, now)
    }

    fn accept_at(self, answer: Accept, now: Time) -> Result<WebSocket<S>, Error> {
        let Accepting { mut socket } = self;
        let connection = &mut socket.shared.driver.connection;
        if let Err(error) = connection.accept(answer, now) {
            // The mistake is ours, so the client is answered with 500. If the time is over, it has an answer already.
            let _ = connection.reject(Response::new(500), now);
            socket.until_over()?;
            return Err(error.into());
        }
        // The connection ends if the answer does not leave within the handshake's time; and a transport that
        // buffers must pass it on.
        let mark = connection.written();
        write_to(&mut Alone(&mut socket.shared), &mut socket.io, mark)?;
        Ok(socket)
    }

    /// Rejects the request with this answer, and closes the transport.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Handshake`] if the answer did not leave in time.
    pub fn reject(self, response: Response) -> Result<(), Error> {
        let Accepting { mut socket } = self;
        let now = socket.shared.clock.now();
        // If time is over, another answer is on its way.
        let rejected = socket.shared.driver.connection.reject(response, now);
        let mark = socket.connection().written();
        socket.until_over()?;
        rejected?;
        match (socket.shared.driver.has_reached(mark), socket.shared.driver.take_failure()) {
            (true, _) => Ok(()),
            (false, Some(error)) => Err(error.into()),
            (false, None) => Err(HandshakeError::TimedOut.into()),
        }
    }
}

impl<S: Transport> WebSocket<S> {
    /// Waits for the first event of an opening handshake.
    fn opening(&mut self) -> Result<(), Error> {
        loop {
            // Nothing has come before the first turn.
            turn(&mut Alone(&mut self.shared), &mut self.io, Goal::Events, &mut Limit::none())?;
            if let Some(NextEvent::Owned(Event::Request | Event::Opened)) = self.shared.next_event(Form::Whole) {
                return Ok(());
            }
            if self.shared.driver.is_over() {
                let_go(&mut Alone(&mut self.shared), &mut self.io);
                return self.shared.driver.outcome();
            }
        }
    }

    /// Waits for the end of a connection whose request was rejected.
    fn until_over(&mut self) -> Result<(), Error> {
        while !self.shared.driver.is_over() {
            let _ = self.shared.next_event(Form::Chunks);
            turn(&mut Alone(&mut self.shared), &mut self.io, Goal::Events, &mut Limit::none())?;
        }
        let_go(&mut Alone(&mut self.shared), &mut self.io);
        Ok(())
    }
}
