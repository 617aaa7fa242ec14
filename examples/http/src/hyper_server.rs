//! A server on hyper 1: HTTP/1.1 and HTTP/2 with prior knowledge on one port. `/echo` is a WebSocket, over both (RFC 6455
//! and RFC 8441); all else is pages.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use openline::{Accept, Request, Response, Server};
use tokio::net::TcpListener;

/// Answers requests until the listener fails.
///
/// # Errors
///
/// Those of [`TcpListener::accept`].
pub async fn serve(listener: TcpListener, server: Arc<Server>) -> std::io::Result<()> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // With a clock hyper ends a connection that does not send a whole head of HTTP/1.1 in 30 s, or does not answer a PING
    // of HTTP/2. The time before the first byte is for the listener to limit.
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(20));
    // To a browser this is a promise that `/echo` keeps. Where no handler stands it is not to be switched on.
    let mut http2 = builder.http2();
    http2.enable_connect_protocol();
    // The window of the connection is that of all its streams together: a socket that nobody reads holds up its own
    // window, and the page and the other sockets go on.
    http2
        .max_concurrent_streams(250)
        .initial_stream_window_size(64 << 10)
        .initial_connection_window_size(250 * (64 << 10));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (builder, server) = (builder.clone(), Arc::clone(&server));
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&server), request));
            // An error here is the end of one client's connection.
            drop(builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(
    server: Arc<Server>,
    mut request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let protocol = request.extensions().get::<Protocol>().map(|protocol| protocol.as_str().to_owned());
    let asked = Request::from_http(&request, protocol.as_deref());
    let response = match asked.path() {
        "/echo" => match server.answer(&asked, &Accept::default()) {
            Ok((response, upgrade)) => {
                tokio::spawn(async move {
                    // hyper has sent the response when this is ready.
                    let io = TokioIo::new(hyper::upgrade::on(&mut request).await?);
                    let socket =
                        openline::tokio::WebSocket::new(io, upgrade, Arc::clone(server.connection_config()), &[]);
                    crate::echo(socket).await.map_err(Box::<dyn std::error::Error + Send + Sync>::from)
                });
                response
            }
            Err(refusal) => refusal.response,
        },
        // A CONNECT elsewhere, to a proxy or for a socket, is not for us (RFC 9110 §15.6.2).
        _ if asked.method == "CONNECT" => Response::new(501),
        "/" => Response::new(200).body("a page"),
        _ => Response::new(404),
    };
    Ok(response.to_http().map_or_else(|_| hyper::Response::default(), |response| response.map(Full::from)))
}
