//! A server on hyper 1: HTTP/1.1 and HTTP/2 on one port, in the clear (HTTP/2 with prior knowledge) or over TLS (by ALPN).
//! `/echo` is a WebSocket, over both (RFC 6455 and RFC 8441); all else is pages.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use openline::{Accept, Request, Response, Server};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::{STREAMS, WINDOW};

/// How long the handshake of TLS may take: a client that sends nothing is not waited for.
pub const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// A server of pages and WebSockets. A clone is the same server.
#[derive(Clone)]
pub struct Host {
    /// Judges the requests for WebSockets.
    pub server: Arc<Server>,
    /// TLS on each connection, such as [`self_made`](crate::tls::self_made).
    pub tls: Option<TlsAcceptor>,
    /// Called for each request, with the number of its connection.
    pub on_request: fn(usize, &Request),
    /// The tasks of the sockets.
    sockets: TaskTracker,
}

impl Host {
    /// A server without TLS.
    #[must_use]
    pub fn new(server: Server) -> Host {
        Host { server: Arc::new(server), tls: None, on_request: |_, _| (), sockets: TaskTracker::new() }
    }

    /// Answers requests until the listener fails.
    ///
    /// # Errors
    ///
    /// Those of [`TcpListener::accept`].
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        self.serve_until(listener, pending()).await
    }

    /// Answers requests until `stop` is ready. Then it accepts no connection, and tells the clients of HTTP/2 by GOAWAY to
    /// ask for nothing more on theirs. The sockets that are open go on; it returns when the last one has ended.
    ///
    /// # Errors
    ///
    /// Those of [`TcpListener::accept`].
    pub async fn serve_until(self, listener: TcpListener, stop: impl Future<Output = ()>) -> std::io::Result<()> {
        let (builder, graceful, mut stop) = (builder(), GracefulShutdown::new(), pin!(stop));
        for number in 1.. {
            let (stream, _) = tokio::select! {
                accepted = listener.accept() => accepted?,
                () = &mut stop => break,
            };
            tokio::spawn(self.clone().connection(number, stream, builder.clone(), graceful.watcher()));
        }
        drop(listener);
        graceful.shutdown().await;
        // hyper lets go of a connection of HTTP/1.1 when it becomes a socket.
        self.sockets.close();
        self.sockets.wait().await;
        Ok(())
    }

    /// An error on the way is the end of one client's connection.
    async fn connection(self, number: usize, stream: TcpStream, builder: Builder, watcher: Watcher) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        match self.tls.clone() {
            Some(tls) => {
                let stream = tokio::time::timeout(TLS_TIMEOUT, tls.accept(stream)).await.ok()?.ok()?;
                self.http(number, stream, &builder, watcher).await
            }
            None => self.http(number, stream, &builder, watcher).await,
        }
    }

    async fn http<S>(self, number: usize, stream: S, builder: &Builder, watcher: Watcher) -> Option<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(move |request| self.clone().answer(number, request));
        watcher.watch(builder.serve_connection_with_upgrades(TokioIo::new(stream), service)).await.ok()
    }

    async fn answer(
        self,
        number: usize,
        mut request: hyper::Request<Incoming>,
    ) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
        let protocol = request.extensions().get::<Protocol>().map(|protocol| protocol.as_str().to_owned());
        let asked = Request::from_http(&request, protocol.as_deref());
        (self.on_request)(number, &asked);
        let response = match asked.path() {
            "/echo" => match self.server.answer(&asked, &Accept::default()) {
                Ok((response, upgrade)) => {
                    let config = Arc::clone(self.server.connection_config());
                    self.sockets.spawn(async move {
                        // hyper has sent the response when this is ready.
                        let io = TokioIo::new(hyper::upgrade::on(&mut request).await?);
                        let socket = openline::tokio::WebSocket::new(io, upgrade, config, &[]);
                        crate::echo(socket).await.map_err(Box::<dyn std::error::Error + Send + Sync>::from)
                    });
                    response
                }
                Err(refusal) => refusal.response,
            },
            // A CONNECT elsewhere, to a proxy or for a socket, is not for us (RFC 9110 §15.6.2).
            _ if asked.method == "CONNECT" => Response::new(501),
            "/" => page(),
            _ => Response::new(404),
        };
        Ok(response.to_http().map_or_else(|_| hyper::Response::default(), |response| response.map(Full::from)))
    }
}

type Builder = auto::Builder<TokioExecutor>;

/// What hyper is told of both versions.
fn builder() -> Builder {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // With a clock hyper ends a connection that does not send a whole head of HTTP/1.1 in 30 s, or does not answer a PING
    // of HTTP/2. The time before the first byte is for the listener to limit.
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(20));
    // To a browser this is a promise that `/echo` keeps. Where no handler stands it is not to be switched on.
    let mut http2 = builder.http2();
    http2.enable_connect_protocol();
    http2
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(STREAMS * WINDOW);
    builder
}

/// Plain HTML, whose script opens a socket at `/echo`.
fn page() -> Response {
    let page = Response::new(200).body(include_str!("page.html"));
    page.header("Content-Type", "text/html; charset=utf-8").expect("the header is valid")
}
