//! The server of [`openline_http_examples::hyper_server`] as a program: `ws://ADDRESS/echo` over HTTP/1.1, and over
//! HTTP/2 with prior knowledge.
//!
//! ```text
//! cargo run --release --manifest-path examples/http/Cargo.toml -- [--listen 127.0.0.1:9001]
//! ```

use std::sync::Arc;

use openline::{Deflate, HandshakeConfig, Server};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut listen = "127.0.0.1:9001".to_owned();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (&*argument, arguments.next()) {
            ("--listen", Some(address)) => listen = address,
            _ => return Err("usage: http_echo_server [--listen ADDRESS:PORT]".into()),
        }
    }
    let mut handshake = HandshakeConfig::default();
    let mut deflate = Deflate::default();
    (deflate.send.takeover, deflate.receive.takeover) = (true, true);
    handshake.deflate.push(deflate);
    let listener = TcpListener::bind(&listen).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    openline_http_examples::hyper_server::serve(listener, Arc::new(Server::default().handshake(handshake))).await?;
    Ok(())
}
