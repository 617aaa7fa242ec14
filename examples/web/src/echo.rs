//! `/echo`: sends back what comes, compressed if the client offers that.

use openline::tokio::WebSocket;
use openline::{Deflate, Error, HandshakeConfig, Server};
use tokio::io::{AsyncRead, AsyncWrite};

/// Judges the requests.
#[must_use]
pub fn server() -> Server {
    let mut deflate = Deflate::default();
    (deflate.send.takeover, deflate.receive.takeover) = (true, true);
    let mut handshake = HandshakeConfig::default();
    handshake.deflate.push(deflate);
    Server::default().handshake(handshake)
}

/// Echoes until the connection is over.
///
/// # Errors
///
/// How the connection failed. Its end is no error.
pub async fn serve(socket: &mut WebSocket<impl AsyncRead + AsyncWrite + Unpin>) -> Result<(), Error> {
    while let Some(message) = socket.recv().await? {
        socket.feed(message).await?;
    }
    Ok(())
}
