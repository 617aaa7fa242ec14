//! Connections: HTTP/1.1 and HTTP/2 on one port, in the clear (HTTP/2 with prior knowledge) or over TLS (by ALPN).

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::site::{Counted, Site};
use crate::upgrade::is_foreign_connect;

/// Answers requests with the site's pages and sockets until `stop` is ready, and some seconds longer.
///
/// Then it accepts no connection, ends what waits, and closes the sockets one after the other with 1012. It returns when
/// the last one has ended, or after 10 s.
pub async fn serve(site: &Site, listener: TcpListener, tls: Option<TlsAcceptor>, stop: impl Future<Output = ()>) {
    let connections = Connections { router: crate::router(site), builder: Arc::new(builder()), tls };
    let (graceful, mut stop) = (GracefulShutdown::new(), pin!(stop));
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        // First a place, then a connection: the rest wait in the kernel, at no cost here.
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        match stream {
            Ok((stream, _)) => {
                let place = Place { _held: Arc::new((place, site.count_connection())) };
                let (connections, watcher) = (connections.clone(), graceful.watcher());
                // An error on the way is the end of one client's connection.
                tokio::spawn(async move { drop(connections.connection(stream, watcher, place).await) });
            }
            Err(error) => {
                // There may be no more file descriptors for a while.
                eprintln!("accept: {error}");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    site.stop().cancel();
    site.sockets().close();
    let ended = async { tokio::join!(graceful.shutdown(), site.sockets().wait()) };
    drop(timeout(DEADLINE, ended).await);
}

/// A place among the connections, which each request has with it. A socket over HTTP/1.1 outlives hyper's part of its
/// connection, and keeps the place.
#[derive(Clone)]
pub struct Place {
    _held: Arc<(Result<OwnedSemaphorePermit, AcquireError>, Counted)>,
}

#[derive(Clone)]
struct Connections {
    router: Router,
    builder: Arc<auto::Builder<TokioExecutor>>,
    tls: Option<TlsAcceptor>,
}

impl Connections {
    async fn connection(self, stream: TcpStream, watcher: Watcher, place: Place) -> io::Result<()> {
        stream.set_nodelay(true)?;
        // Who says nothing is not waited for.
        timeout(FIRST_BYTES, stream.readable()).await??;
        match self.tls.clone() {
            Some(tls) => {
                let stream = timeout(FIRST_BYTES, tls.accept(stream)).await??;
                self.http(stream, watcher, place).await
            }
            None => self.http(stream, watcher, place).await,
        }
        .map_err(io::Error::other)
    }

    async fn http<S>(
        self,
        stream: S,
        watcher: Watcher,
        place: Place,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let router = self.router;
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(place.clone());
            answer(router.clone(), request)
        });
        watcher.watch(self.builder.serve_connection_with_upgrades(TokioIo::new(stream), service)).await
    }
}

async fn answer(router: Router, request: http::Request<Incoming>) -> Result<Response, std::convert::Infallible> {
    if is_foreign_connect(&request) {
        return Ok((StatusCode::NOT_IMPLEMENTED, "there is no tunnel and no socket here\n").into_response());
    }
    router.oneshot(request).await
}

/// What hyper is told of both versions.
fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // With a clock hyper ends a connection that does not send a whole head of HTTP/1.1 in 30 s, or does not answer a PING
    // of HTTP/2.
    builder.http1().timer(TokioTimer::new());
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(20));
    // To a browser this is a promise, which `/echo` and `/live` keep.
    http2.enable_connect_protocol();
    // The window of the connection is that of all its streams, so a socket that is not read holds up itself only.
    http2
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(STREAMS * WINDOW);
    builder
}

/// How many streams a connection of HTTP/2 may have at a time.
const STREAMS: u32 = 250;
/// How many bytes may come on one stream before they are read.
const WINDOW: u32 = 64 << 10;
/// How long a client may wait with its first byte, and with its part of TLS's handshake.
const FIRST_BYTES: Duration = Duration::from_secs(10);
/// How long the end may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How many connections there may be at a time.
const MOST_CONNECTIONS: usize = 20_000;
