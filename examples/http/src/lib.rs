//! openline behind HTTP that somebody else speaks. Each module is one library, and the whole of what it takes to give
//! it WebSockets; `tests/` run them against real counterparts.
//!
//! | module | what it shows |
//! |---|---|
//! | [`hyper_server`] | hyper 1: HTTP/1.1 and HTTP/2 on one port, with or without TLS, pages and sockets; as a program, `src/bin/http_echo_server.rs` |
//! | [`tls`] | rustls for that server, with ALPN and a certificate of its own |
//! | [`hyper_client`] | hyper 1 as a client, over HTTP/1.1 and HTTP/2 |
//! | [`axum_extractor`] | axum 0.8: an extractor |
//! | [`h2_server`] | the `h2` crate without hyper |
//! | [`actix_server`] | actix-web 4, whose types are not those of the `http` crate 1: a `Request` made by hand |

pub mod actix_server;
pub mod axum_extractor;
pub mod h2_server;
pub mod hyper_client;
pub mod hyper_server;
pub mod tls;

use openline::Error;
use openline::tokio::WebSocket;
use tokio::io::{AsyncRead, AsyncWrite};

/// How many streams a connection of HTTP/2 may have at a time.
pub const STREAMS: u32 = 250;

/// How many bytes may come on one stream before they are read. The window of the connection is this for all its streams
/// together: then a socket that nobody reads holds up its own window, and the page and the other sockets go on. Both ends
/// have such windows, each for what it receives.
pub const WINDOW: u32 = 64 << 10;

/// What every server here does with a socket: it sends back what comes.
///
/// # Errors
///
/// Those of [`WebSocket::recv`] and [`WebSocket::feed`].
pub async fn echo(mut socket: WebSocket<impl AsyncRead + AsyncWrite + Unpin>) -> Result<(), Error> {
    while let Some(message) = socket.recv().await? {
        socket.feed(message).await?;
    }
    Ok(())
}
