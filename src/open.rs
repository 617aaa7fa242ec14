//! How to open a connection: values without IO. This file knows both the opening handshake and the connection, so
//! that neither of them knows the other.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::connection::{Config, Connection};
use crate::entropy::Seed;
use crate::handshake::{ClientOpening, ClientRequest, HandshakeConfig, ServerOpening};
use crate::role::Role;
use crate::time::Time;

/// How to open connections as a client: the request, limits and choices.
///
/// It opens nothing by itself: give it to `net::connect_with`, `tokio::connect_with` or
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

    /// Sets the seed for the nonce and the masking keys, so that a conversation can be replayed. This is for
    /// tests only: RFC 6455 §10.3 demands that masking keys cannot be predicted. Without it the adapters take a
    /// seed from the operating system.
    #[must_use]
    pub fn seed(mut self, seed: impl Into<Seed>) -> Client {
        self.seed = Some(Arc::new(seed.into()));
        self
    }

    /// The request that it makes.
    #[must_use]
    pub fn request(&self) -> &ClientRequest {
        &self.request
    }

    /// How long opening may take in all.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.handshake.timeout
    }

    /// The seed for one connection: the one that was [set](Self::seed), or else a new one from the operating
    /// system.
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

/// How to accept connections as a server: limits and choices. One value serves all connections.
///
/// It accepts nothing by itself: give it to `net::accept_with`, `tokio::accept_with` or
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
    /// A server's connection, which begins with the first byte of the request.
    /// [`Event::Request`](crate::Event::Request) says that there is a request to [accept](Self::accept) or
    /// [reject](Self::reject). The opening handshake must be over within [`HandshakeConfig::timeout`] from
    /// `now` on.
    #[must_use]
    pub fn server(server: &Server, now: Time) -> Connection {
        let opening = Box::new(ServerOpening::new(Arc::clone(&server.handshake)));
        let by = now + server.handshake.timeout;
        Connection::opening(Role::Server, opening, &[], by, Arc::clone(&server.config), now)
    }

    /// A client's connection, whose request is queued. [`Event::Opened`](crate::Event::Opened) says that the
    /// server has agreed, which it must do within [`HandshakeConfig::timeout`] from `now` on. [`Seed`] says
    /// where the seed must come from.
    #[must_use]
    pub fn client(client: &Client, seed: impl Into<Seed>, now: Time) -> Connection {
        let mut request = Vec::new();
        let handshake = Arc::clone(&client.handshake);
        let opening = Box::new(ClientOpening::new(&client.request, handshake, seed.into(), &mut request));
        let by = now + client.handshake.timeout;
        Connection::opening(Role::Client, opening, &request, by, Arc::clone(&client.config), now)
    }
}
