//! How to open a connection, as values without IO, and where an opening handshake and a connection
//! meet. Above both, so that neither knows the other.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::connection::{Config, Connection, Opened, Opening};
use crate::entropy::Seed;
use crate::error::HandshakeError;
use crate::handshake::{Accept, ClientHandshake, ClientRequest, HandshakeConfig, ServerHandshake};
use crate::http::{Request, Response};
use crate::role::Role;
use crate::time::Time;
use crate::upgrade::Upgrade;

/// How to open connections as a client: what to ask for, limits and choices.
///
/// It opens nothing by itself: `net::connect_with` and `tokio::connect_with` do, and
/// [`Connection::client`].
#[derive(Clone, Debug)]
pub struct Client {
    request: ClientRequest,
    handshake: Arc<HandshakeConfig>,
    config: Arc<Config>,
    seed: Option<Arc<Seed>>,
}

impl Client {
    /// A client that makes this request.
    #[must_use]
    pub fn new(request: ClientRequest) -> Client {
        Client { request, handshake: Arc::default(), config: Arc::default(), seed: None }
    }

    /// Sets the limits of the opening handshake.
    #[must_use]
    pub fn handshake(mut self, handshake: impl Into<Arc<HandshakeConfig>>) -> Client {
        self.handshake = handshake.into();
        self
    }

    /// Sets the limits and deadlines of the connection.
    #[must_use]
    pub fn config(mut self, config: impl Into<Arc<Config>>) -> Client {
        self.config = config.into();
        self
    }

    /// Sets what the nonce and the masking keys are drawn from, so that a conversation can be
    /// replayed. Without it the adapters ask the operating system, as RFC 6455 §10.3 demands of
    /// everything but tests.
    #[must_use]
    pub fn seed(mut self, seed: impl Into<Seed>) -> Client {
        self.seed = Some(Arc::new(seed.into()));
        self
    }

    /// What it asks for.
    #[must_use]
    pub fn request(&self) -> &ClientRequest {
        &self.request
    }

    /// How long opening may take in all.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.handshake.timeout
    }

    /// The seed for one connection: the one that was [set](Self::seed), or a new one from the
    /// operating system.
    ///
    /// # Errors
    ///
    /// As [`Seed::from_os`].
    #[cfg(feature = "std")]
    pub fn new_seed(&self) -> std::io::Result<Seed> {
        match &self.seed {
            Some(seed) => Ok(seed.again()),
            None => Seed::from_os(),
        }
    }
}

/// How to accept connections as a server: limits and choices, one value for all connections.
///
/// It accepts nothing by itself: `net::accept_with` and `tokio::accept_with` do, and
/// [`Connection::server`].
///
/// ```
/// use openline::{HandshakeConfig, Server};
///
/// let mut handshake = HandshakeConfig::default();
/// handshake.subprotocols = vec!["chat".into()];
/// let server = Server::default().handshake(handshake);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Server {
    handshake: Arc<HandshakeConfig>,
    config: Arc<Config>,
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
    pub fn config(mut self, config: impl Into<Arc<Config>>) -> Server {
        self.config = config.into();
        self
    }

    /// How long opening may take in all.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.handshake.timeout
    }
}

impl Connection {
    /// A server's connection, from the first byte of the request on. [`Event::Request`](crate::Event::Request)
    /// says that there is a request to [accept](Self::accept) or [reject](Self::reject); all of it
    /// must be done within [`HandshakeConfig::timeout`] from `now` on.
    #[must_use]
    pub fn server(server: &Server, now: Time) -> Connection {
        let machine = ServerHandshake::new(Arc::clone(&server.handshake), now);
        let opening = Box::new(ServerOpening { machine, most: server.handshake.max_head });
        let by = now + server.handshake.timeout;
        Connection::opening(Role::Server, opening, &[], by, Arc::clone(&server.config), now)
    }

    /// A client's connection, whose request is queued. [`Event::Opened`](crate::Event::Opened) says
    /// that the server has agreed; it must have within [`HandshakeConfig::timeout`] from `now` on.
    /// See [`Seed`] for where the seed must come from.
    #[must_use]
    pub fn client(client: &Client, seed: impl Into<Seed>, now: Time) -> Connection {
        let mut machine = ClientHandshake::new(client.request.clone(), Arc::clone(&client.handshake), seed.into(), now);
        let request = machine.poll_transmit().unwrap_or_default().to_vec();
        machine.handle_transmitted(request.len());
        let by = now + client.handshake.timeout;
        Connection::opening(
            Role::Client,
            Box::new(ClientOpening(machine)),
            &request,
            by,
            Arc::clone(&client.config),
            now,
        )
    }
}

#[derive(Debug)]
struct ServerOpening {
    machine: ServerHandshake,
    most: usize,
}

fn drain(machine: &mut ServerHandshake, out: &mut Vec<u8>) {
    if let Some(bytes) = machine.poll_transmit() {
        out.extend_from_slice(bytes);
    }
    machine.handle_transmitted(usize::MAX);
}

impl Opening for ServerOpening {
    fn receive(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<Option<Opened>, HandshakeError> {
        let got = self.machine.receive(input).map(|request| request.map(|_| Opened::Request));
        drain(&mut self.machine, out);
        got
    }

    fn handle_eof(&mut self, out: &mut Vec<u8>) -> Option<HandshakeError> {
        let error = self.machine.handle_eof().err();
        drain(&mut self.machine, out);
        error
    }

    fn handle_timeout(&mut self, out: &mut Vec<u8>) -> HandshakeError {
        let _ = self.machine.handle_timeout(Time::ZERO + Duration::MAX);
        drain(&mut self.machine, out);
        HandshakeError::TimedOut
    }

    fn request(&self) -> Option<&Request> {
        self.machine.request()
    }

    fn max_held(&self) -> usize {
        self.most
    }

    fn accept(&mut self, answer: Accept, out: &mut Vec<u8>) -> Result<Upgrade, HandshakeError> {
        let upgrade = self.machine.accept(answer)?;
        drain(&mut self.machine, out);
        Ok(upgrade)
    }

    fn reject(&mut self, response: Response, out: &mut Vec<u8>) -> Result<HandshakeError, HandshakeError> {
        self.machine.reject(response);
        drain(&mut self.machine, out);
        match self.machine.receive(&mut &[][..]) {
            Err(error) => Ok(error),
            Ok(_) => Err(HandshakeError::NothingToDecide),
        }
    }
}

#[derive(Debug)]
struct ClientOpening(ClientHandshake);

impl Opening for ClientOpening {
    fn receive(&mut self, input: &mut &[u8], _: &mut Vec<u8>) -> Result<Option<Opened>, HandshakeError> {
        Ok(self.0.receive(input)?.map(Opened::Agreed))
    }

    fn handle_eof(&mut self, _: &mut Vec<u8>) -> Option<HandshakeError> {
        self.0.handle_eof().err()
    }

    fn handle_timeout(&mut self, _: &mut Vec<u8>) -> HandshakeError {
        self.0.handle_timeout(Time::ZERO + Duration::MAX).err().unwrap_or(HandshakeError::TimedOut)
    }

    fn take_response(&mut self) -> Option<Box<Response>> {
        self.0.response().cloned().map(Box::new)
    }
}
