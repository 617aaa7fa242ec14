//! The `h2` crate without hyper: each stream of a connection that asks for a WebSocket gets one (RFC 8441). The socket
//! talks through a pipe in memory, so that HTTP/2's windows reach it as a transport that takes nothing for a while.

use std::sync::Arc;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use openline::tokio::WebSocket;
use openline::{Accept, Request, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::net::{TcpListener, TcpStream};

use crate::{STREAMS, WINDOW};

/// A socket on one stream.
pub type Socket = WebSocket<DuplexStream>;

/// Answers requests until the listener fails; `handle` is what becomes of each socket, such as [`echo`](crate::echo).
///
/// # Errors
///
/// Those of [`TcpListener::accept`].
pub async fn serve<F: Future<Output: Send> + Send + 'static>(
    listener: TcpListener,
    server: Server,
    handle: impl Fn(Socket) -> F + Clone + Send + 'static,
) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let (server, handle) = (server.clone(), handle.clone());
        tokio::spawn(async move { connection(stream, &server, handle).await });
    }
}

async fn connection<F: Future<Output: Send> + Send + 'static>(
    stream: TcpStream,
    server: &Server,
    handle: impl Fn(Socket) -> F,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut connection = h2::server::Builder::new()
        .enable_connect_protocol()
        .max_concurrent_streams(STREAMS)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(STREAMS * WINDOW)
        .handshake::<_, Bytes>(stream)
        .await?;
    while let Some(next) = connection.accept().await {
        let (request, mut respond) = next?;
        let protocol = request.extensions().get::<Protocol>().map(|protocol| protocol.as_str().to_owned());
        match server.answer(&Request::from_http(&request, protocol.as_deref()), &Accept::default()) {
            Ok((response, upgrade)) => {
                let outgoing = respond.send_response(response.to_http()?.map(drop), false)?;
                let (near, far) = duplex(64 << 10);
                let (from, to) = split(far);
                tokio::spawn(carry_in(request.into_body(), to));
                tokio::spawn(carry_out(from, outgoing));
                tokio::spawn(handle(WebSocket::new(near, upgrade, Arc::clone(server.connection_config()), &[])));
            }
            Err(refusal) => {
                let (head, body) = refusal.response.to_http()?.into_parts();
                let mut outgoing = respond.send_response(http::Response::from_parts(head, ()), false)?;
                outgoing.send_data(body.into(), true)?;
            }
        }
    }
    Ok(())
}

/// A DATA frame is answered with room for another once the socket has taken it. The end of the stream, by END_STREAM or
/// RST_STREAM, is the end of the pipe.
async fn carry_in(mut from: RecvStream, mut to: WriteHalf<DuplexStream>) {
    while let Some(Ok(data)) = from.data().await {
        if to.write_all(&data).await.is_err() || from.flow_control().release_capacity(data.len()).is_err() {
            break;
        }
    }
    drop(to.shutdown().await);
}

/// No more is read from the socket than the peer's window takes.
async fn carry_out(mut from: ReadHalf<DuplexStream>, mut to: SendStream<Bytes>) -> Option<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        to.reserve_capacity(buffer.len());
        // `poll_capacity` waits for more than there was, and may find none: what there is stands in `capacity`.
        while to.capacity() == 0 {
            std::future::poll_fn(|context| to.poll_capacity(context)).await?.ok()?;
        }
        let room = to.capacity().min(buffer.len());
        let len = from.read(&mut buffer[..room]).await.ok()?;
        to.send_data(Bytes::copy_from_slice(&buffer[..len]), len == 0).ok()?;
        if len == 0 {
            return Some(());
        }
    }
}
