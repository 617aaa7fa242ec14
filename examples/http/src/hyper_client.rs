//! A client on hyper 1: a WebSocket over HTTP/1.1, and one over HTTP/2 among other streams (RFC 8441).

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use openline::tokio::WebSocket;
use openline::{Client, Response, Seed};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{STREAMS, WINDOW};

/// A socket whose bytes hyper carries.
pub type Socket = WebSocket<TokioIo<Upgraded>>;

/// Asks over HTTP/1.1, on a connection of its own.
///
/// # Errors
///
/// hyper's, or what the client found wrong in the answer.
pub async fn over_http1(
    client: &Client,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Socket, Box<dyn Error>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let (request, pending) = client.upgrade_request(Seed::from_os()?);
    let response = sender.send_request(request.to_http()?.map(|()| Empty::<Bytes>::new())).await?;
    let upgrade = pending.confirm(&Response::from_http(&response))?;
    let io = TokioIo::new(hyper::upgrade::on(response).await?);
    Ok(WebSocket::new(io, upgrade, Arc::clone(client.connection_config()), &[]))
}

/// A connection of HTTP/2, for any number of sockets and other requests.
///
/// # Errors
///
/// hyper's.
pub async fn http2_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<http2::SendRequest<Empty<Bytes>>, Box<dyn Error>> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(WINDOW).initial_connection_window_size(STREAMS * WINDOW);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Asks over HTTP/2, on a stream of a connection that has others.
///
/// # Errors
///
/// hyper's, or what the client found wrong in the answer.
pub async fn over_http2(
    client: &Client,
    sender: &mut http2::SendRequest<Empty<Bytes>>,
) -> Result<Socket, Box<dyn Error>> {
    let (request, pending) = client.connect_request(Seed::from_os()?);
    let mut request = request.to_http()?.map(|()| Empty::new());
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let upgrade = pending.confirm(&Response::from_http(&response))?;
    let io = TokioIo::new(hyper::upgrade::on(response).await?);
    Ok(WebSocket::new(io, upgrade, Arc::clone(client.connection_config()), &[]))
}
