//! Connects to a server: name, TCP, proxy, TLS, HTTP. All steps together have one time limit, and each has its own
//! error.

mod addresses;
mod stream;
#[cfg(feature = "rustls-no-provider")]
mod tls;

use std::boxed::Box;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::vec::Vec;

use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
use ::tokio::net::TcpStream;

use super::WebSocket;
use super::clock::Clock;
use super::open::open;
use crate::driver::Error;
#[cfg(feature = "rustls-no-provider")]
use crate::driver::TlsSession;
use crate::{Client, ClientRequest, ProxyError, Time, Tunnel};
pub use stream::Stream;

/// Connects to a `ws://` or `wss://` URI with the defaults. For other choices see [`Client`] and [`connect_with`].
///
/// # Errors
///
/// As [`connect_with`].
pub async fn connect(uri: &str) -> Result<WebSocket<Stream>, Error> {
    connect_with(&Client::new(ClientRequest::new(uri)?)).await
}

/// Connects over TCP, with `TCP_NODELAY` set; over TLS for `wss://`, which takes the feature `rustls`; through a proxy
/// if one is [set](Client::proxy). All of it shares [`HandshakeConfig::timeout`](crate::HandshakeConfig::timeout).
///
/// If the name has several addresses, they are tried as RFC 8305 says: IPv6 and IPv4 by turns, each attempt 250 ms after
/// the one before, and the first that succeeds is taken.
///
/// The server must have a certificate that the platform trusts (on Unix see also `SSL_CERT_FILE` and `SSL_CERT_DIR`).
/// For other rules bring a connector of your own: see [`connect_tcp`].
///
/// Dropping the future closes the transport.
///
/// # Errors
///
/// [`Error`] has a variant for each step, and [`Error::Refused`] has the answer of a server that refused. Without the
/// feature a `wss://` URI is [`HandshakeError::TlsUnavailable`](crate::HandshakeError::TlsUnavailable).
pub async fn connect_with(client: &Client) -> Result<WebSocket<Stream>, Error> {
    // It is boxed. Otherwise the task's future would have space for it as long as it lives.
    Box::pin(connect_all(client)).await
}

async fn connect_all(client: &Client) -> Result<WebSocket<Stream>, Error> {
    // This comes first: what was meant to be secret is never sent in the clear.
    #[cfg(not(feature = "rustls-no-provider"))]
    if client.request().uri().is_secure() {
        return Err(crate::HandshakeError::TlsUnavailable.into());
    }
    #[cfg(feature = "rustls-no-provider")]
    let session = match client.request().uri() {
        uri if uri.is_secure() => Some(TlsSession::new(uri.host())?),
        _ => None,
    };
    let mut steps = Steps::new(client);
    let stream = steps.reach(client).await?;
    #[cfg(feature = "rustls-no-provider")]
    let stream = match session {
        Some(session) => steps.in_time(stream.secure(session)).await.unwrap_or_else(|| Err(timed_out().into()))?,
        None => stream,
    };
    open(client, stream, steps.clock, Time::ZERO).await
}

/// Makes the first steps only: name, TCP and proxy. What is left is TLS and HTTP. This is for programs that bring TLS of
/// their own, to trust certificates of their own choice, or to show one: they give the TLS stream to
/// [`connect_on`](super::connect_on). ALPN (RFC 7301) must choose `http/1.1` or nothing.
///
/// ```no_run
/// # async fn example(roots: tokio_rustls::rustls::RootCertStore) -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use openline::{Client, ClientRequest, tokio::{connect_on, connect_tcp}};
/// use tokio_rustls::{TlsConnector, rustls::{ClientConfig, pki_types::ServerName}};
///
/// let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
/// config.alpn_protocols = vec![b"http/1.1".to_vec()];
/// let client = Client::new(ClientRequest::new("wss://example.com/chat")?);
/// let name = ServerName::try_from(client.request().uri().host().to_owned())?;
/// let opening = async {
///     let stream = connect_tcp(&client).await?;
///     let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
///     connect_on(&client, stream).await
/// };
/// let mut socket = tokio::time::timeout(client.timeout(), opening).await??;
/// socket.send("Hello").await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`Error::Name`], [`Error::Connect`], and [`Error::ProxyIo`], [`Error::Proxy`] and [`Error::ProxyRefused`].
pub async fn connect_tcp(client: &Client) -> Result<Stream, Error> {
    Box::pin(async { Steps::new(client).reach(client).await }).await
}

/// The time limit of all steps.
struct Steps {
    clock: Clock,
    by: Time,
}

impl Steps {
    fn new(client: &Client) -> Steps {
        let clock = Clock::new();
        let by = clock.now() + client.timeout();
        Steps { clock, by }
    }

    /// The result of a step; `None` if the time is over.
    async fn in_time<T>(&mut self, step: impl Future<Output = T>) -> Option<T> {
        let mut step = pin!(step);
        poll_fn(|cx| match step.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.clock.poll_deadline(Some(self.by), cx).map(|_| None),
        })
        .await
    }

    async fn io<T>(&mut self, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        self.in_time(step).await.unwrap_or_else(|| Err(timed_out()))
    }

    /// Connects to the server, or through the proxy.
    async fn reach(&mut self, client: &Client) -> Result<Stream, Error> {
        let uri = client.request().uri();
        let server = || addresses::look_up(uri.host(), uri.port());
        let Some(proxy) = client.proxy_to_use() else {
            let addresses = self.io(server()).await.map_err(Error::Name)?;
            let tcp = self.io(addresses::connect(addresses)).await.map_err(Error::Connect)?;
            tcp.set_nodelay(true).map_err(Error::Connect)?;
            return Ok(Stream::plain(tcp, Vec::new()));
        };
        let address = match proxy.looks_up_names() {
            true => None,
            false => self.io(server()).await.map_err(Error::Name)?.first().map(|address| address.ip()),
        };
        let connecting = async {
            let tcp = addresses::connect(addresses::look_up(proxy.host(), proxy.port()).await?).await?;
            tcp.set_nodelay(true).map(|()| tcp)
        };
        let mut tcp = self.io(connecting).await.map_err(Error::ProxyIo)?;
        let mut ahead = Vec::new();
        if let Some(tunnel) = client.tunnel(address) {
            let opened = self.in_time(open_tunnel(tunnel, &mut tcp)).await;
            ahead = opened.unwrap_or_else(|| Err(Error::ProxyIo(timed_out())))?;
        }
        Ok(Stream::plain(tcp, ahead))
    }
}

/// Talks to a proxy until the tunnel is open. Returns what came behind the proxy's last answer.
async fn open_tunnel(mut tunnel: Tunnel, tcp: &mut TcpStream) -> Result<Vec<u8>, Error> {
    let mut buffer = [0; 4096];
    loop {
        while !tunnel.next_transmit().is_empty() {
            let len = tcp.write(tunnel.next_transmit()).await.map_err(Error::ProxyIo)?;
            tunnel.handle_transmitted(len);
        }
        let len = tcp.read(&mut buffer).await.map_err(Error::ProxyIo)?;
        let mut input = buffer.get(..len).unwrap_or_default();
        if input.is_empty() {
            return Err(ProxyError::UnexpectedEof.into());
        }
        match tunnel.receive(&mut input) {
            Ok(true) => return Ok(input.to_vec()),
            Ok(false) => {}
            Err(error) => return Err(tunnel.take_response().map_or(Error::Proxy(error), Error::ProxyRefused)),
        }
    }
}

fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}
