//! How to open a connection: values without IO. This file knows both the opening handshake and the connection, so
//! that neither of them knows the other.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use crate::connection::{Config, Connection};
use crate::entropy::Seed;
use crate::error::HandshakeError;
use crate::handshake::{ClientOpening, ClientRequest, HandshakeConfig, PendingUpgrade, ServerOpening};
use crate::http::{Accept, Request, Response};
use crate::proxy::{Proxy, Tunnel};
use crate::role::Role;
use crate::time::Time;
use crate::upgrade::Upgrade;

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
    proxy: Option<Arc<Proxy>>,
}

impl Client {
    /// A client that makes this request.
    #[must_use]
    pub fn new(request: ClientRequest) -> Client {
        Client { request, handshake: Arc::default(), config: Arc::default(), seed: None, proxy: None }
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

    /// Connects through this proxy. Without it the adapters connect directly, whatever the environment says.
    ///
    /// The proxy learns the name and the port of the server, and nothing of the request; the server learns nothing of
    /// what is said to the proxy. Over `ws://` the proxy can read all that comes after.
    ///
    /// ```no_run
    /// # fn example() -> Result<(), openline::Error> {
    /// use openline::{Client, ClientRequest};
    ///
    /// let client = Client::new(ClientRequest::new("ws://example.com/chat")?).proxy("http://proxy:3128".parse()?);
    /// let socket = openline::net::connect_with(&client)?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn proxy(mut self, proxy: Proxy) -> Client {
        self.proxy = Some(Arc::new(proxy));
        self
    }

    /// Connects through the proxy that the environment asks for now, if it does.
    ///
    /// For `ws://` this is `HTTP_PROXY`, for `wss://` `HTTPS_PROXY`, and for both `ALL_PROXY` if the other is not set or
    /// empty. A value is the URI of a [`Proxy`]; without a scheme it is taken for `http://`. A host that `NO_PROXY` lists
    /// is connected to directly: its entries, separated by commas, are `*` for all names, a domain for its names and
    /// itself, an address, or a network such as `10.0.0.0/8`; a port may follow, for this port only. The variables in
    /// lower case count if those in capitals are not set. None of them counts in a CGI program, where `REQUEST_METHOD` is
    /// set. These are the rules of `hyper-util`, and so of reqwest, but for the ports.
    ///
    /// # Errors
    ///
    /// The value that counts is no URI of a proxy. `hyper-util` connects directly then.
    #[cfg(feature = "proxy-env")]
    pub fn proxy_from_env(mut self) -> Result<Client, HandshakeError> {
        let found = crate::proxy::from_environment(self.request.uri(), |name| {
            // What is no text becomes a value that is no proxy's URI: that is an error, and not a direct connection.
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        })?;
        self.proxy = found.map(Arc::new);
        Ok(self)
    }

    /// The proxy that was set.
    #[must_use]
    pub fn proxy_to_use(&self) -> Option<&Proxy> {
        self.proxy.as_deref()
    }

    /// The conversation with the [proxy](Self::proxy), for a transport that is connected to it. `None` if there is no
    /// proxy. `address` is the server's, which has been looked up for a proxy that [does not do
    /// so](Proxy::looks_up_names).
    #[must_use]
    pub fn tunnel(&self, address: Option<IpAddr>) -> Option<Tunnel> {
        let proxy = self.proxy.as_deref()?;
        Some(Tunnel::new(proxy, self.request.uri(), address, &self.handshake))
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

    /// The limits and deadlines that were [set](Self::config), for a connection that is made of an [`Upgrade`].
    #[must_use]
    pub fn connection_config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The request of HTTP/1.1 as a value, for another HTTP library to send, and what
    /// [judges](PendingUpgrade::confirm) the answer. See [`Seed`] for where the seed must come
    /// from. Time limits are the library's business.
    ///
    /// ```
    /// use openline::{Client, ClientRequest, Config, Connection, Headers, Request, Response, Server, Time};
    ///
    /// let client = Client::new(ClientRequest::new("ws://example.com/chat")?);
    /// let (request, pending) = client.upgrade_request([7; 32]);
    /// assert_eq!((&*request.method, &*request.target), ("GET", "/chat"));
    /// // The request goes over the wire, by somebody else's HTTP, to a server like this one.
    /// let (response, upgrade) = Server::default().answer(&request, &Default::default())?;
    /// let server = Connection::new(upgrade, Config::default(), Time::ZERO);
    /// // And its response comes back.
    /// let client = Connection::new(pending.confirm(&response)?, Config::default(), Time::ZERO);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn upgrade_request(&self, seed: impl Into<Seed>) -> (Request, PendingUpgrade) {
        PendingUpgrade::upgrade(&self.request, Arc::clone(&self.handshake), seed.into())
    }

    /// As [`upgrade_request`](Self::upgrade_request), over HTTP/2 (RFC 8441) or HTTP/3 (RFC 9220):
    /// an extended CONNECT, which a server takes that has sent SETTINGS_ENABLE_CONNECT_PROTOCOL.
    /// The target is the whole URI; the library makes `:scheme`, `:authority` and `:path` of it.
    #[must_use]
    pub fn connect_request(&self, seed: impl Into<Seed>) -> (Request, PendingUpgrade) {
        PendingUpgrade::connect(&self.request, Arc::clone(&self.handshake), seed.into())
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

    /// The limits and deadlines that were [set](Self::config), for a connection that is made of an [`Upgrade`].
    #[must_use]
    pub fn connection_config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Judges a request that another HTTP library has read, and accepts it: the response that the
    /// library is to send, and the [`Upgrade`] for a [`Connection::new`] over what comes behind it. Rules,
    /// origins, subprotocols and compression are those of [`Connection::server`]. The response is a 101, or a
    /// 200 to an [extended CONNECT](Request::extended_connect).
    ///
    /// Limits on the head, and the time that all of it may take, are the library's business: `max_head`,
    /// `max_headers` and `timeout` have no part in this. To say no, look at the request and send a response of the
    /// library's own. With the feature `http`, `Request::from_http` and `Response::to_http` convert the two values.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use openline::{Accept, Connection, Request, Server, Time};
    ///
    /// let server = Server::default();
    /// let request = Request::extended_connect("https://example.com/chat", "websocket");
    /// let (response, upgrade) = server.answer(&request, &Accept::default())?;
    /// assert_eq!(response.status, 200);
    /// let connection = Connection::new(upgrade, Arc::clone(server.connection_config()), Time::ZERO);
    ///
    /// let refusal = Server::default().answer(&Request::new("GET", "/chat"), &Accept::default()).unwrap_err();
    /// assert_eq!(refusal.response.status, 400); // it has no Host
    /// # Ok::<(), openline::Refusal>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The request breaks a rule, asks for no WebSocket, or comes from an origin that is not
    /// allowed: the [`Refusal`] has the response to send. For a plain request that is what
    /// [`on_plain_request`](HandshakeConfig::on_plain_request) answers, if it is set. It is a 500 if `accept` chooses
    /// a subprotocol that was not offered, which is the program's mistake.
    pub fn answer(&self, request: &Request, accept: &Accept) -> Result<(Response, Upgrade), Refusal> {
        self.judge(request)?;
        // The client is not to blame, and learns nothing of what the program did wrong.
        self.handshake.accept(request, accept).map_err(|error| Refusal { error, response: Response::new(500) })
    }

    /// Judges a request as [`answer`](Self::answer) does, and accepts nothing: for a program that decides on it later.
    ///
    /// # Errors
    ///
    /// As `answer`, but for the mistakes of the program.
    pub fn judge(&self, request: &Request) -> Result<(), Refusal> {
        let refusal = |error| Refusal { error, response: self.handshake.refusal(error, Some(request)) };
        self.handshake.judge(request).map_err(refusal)
    }
}

/// Why a server does not accept a request, and the response that says so. `Display` has the status, and the rule is its
/// source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The rule that was broken.
    pub error: HandshakeError,
    /// The response to send. What frames it on the wire (Content-Length, the end of the
    /// connection) is left to the HTTP library.
    pub response: Response,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "opening handshake refused with status {}", self.response.status)
    }
}

impl core::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl Connection {
    /// A server's connection, which begins with the first byte of the request.
    /// [`Event::Request`](crate::Event::Request) says that there is a request to [accept](Self::accept) or
    /// [reject](Self::reject). The opening handshake must be over within [`HandshakeConfig::timeout`] from
    /// `now` on.
    #[must_use]
    pub fn server(server: &Server, now: Time) -> Connection {
        let opening = ServerOpening::new(Arc::clone(&server.handshake));
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
        let opening = ClientOpening::new(&client.request, handshake, seed.into(), &mut request);
        let by = now + client.handshake.timeout;
        Connection::opening(Role::Client, opening, &request, by, Arc::clone(&client.config), now)
    }
}
