//! The `h2` crate without hyper: each stream of a connection that asks for a WebSocket gets one (RFC 8441). The socket
//! talks through a pipe in memory, so that HTTP/2's windows reach it as a transport that takes nothing for a while.

use std::sync::Arc;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use openline::tokio::WebSocket;
use openline::{Accept, Request, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, duplex, split};
use tokio::net::{TcpListener, TcpStream};

/// Answers requests until the listener fails.
///
/// # Errors
///
/// Those of [`TcpListener::accept`].
pub async fn serve(listener: TcpListener, server: Server) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let server = server.clone();
        tokio::spawn(async move { connection(stream, &server).await });
    }
}

async fn connection(stream: TcpStream, server: &Server) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut connection = h2::server::Builder::new().enable_connect_protocol().handshake::<_, Bytes>(stream).await?;
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
                tokio::spawn(crate::echo(WebSocket::new(near, upgrade, Arc::clone(server.connection_config()), &[])));
            }
            Err(refusal) => {
                let response = refusal.response.to_http()?;
                let mut body = respond.send_response(response.clone().map(drop), false)?;
                body.send_data(response.into_body().into(), true)?;
            }
        }
    }
    Ok(())
}

/// A DATA frame is answered with room for another once the socket has taken it. The end of the stream, by END_STREAM or
/// RST_STREAM, is the end of the pipe.
async fn carry_in(mut from: RecvStream, mut to: WriteHalf<tokio::io::DuplexStream>) -> Option<()> {
    while let Some(data) = from.data().await {
        let data = data.ok()?;
        to.write_all(&data).await.ok()?;
        from.flow_control().release_capacity(data.len()).ok()?;
    }
    to.shutdown().await.ok()
}

/// No more is read from the socket than the peer's window takes.
async fn carry_out(mut from: ReadHalf<tokio::io::DuplexStream>, mut to: SendStream<Bytes>) -> Option<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        to.reserve_capacity(buffer.len());
        let room = std::future::poll_fn(|context| to.poll_capacity(context)).await?.ok()?.min(buffer.len());
        let len = from.read(&mut buffer[..room]).await.ok()?;
        to.send_data(Bytes::copy_from_slice(&buffer[..len]), len == 0).ok()?;
        if len == 0 {
            return Some(());
        }
    }
}
