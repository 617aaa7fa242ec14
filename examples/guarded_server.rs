//! An echo server with what SECURITY.md recommends: a bound on connections, a smaller one on
//! those that have not said who they are yet, limits that fit what is expected, and the
//! origins that may come.
//!
//! ```text
//! cargo run --release --features tokio --example guarded_server
//! ```

#[path = "support/args.rs"]
mod args;

use std::sync::Arc;
use std::time::Duration;

use openline::Server;
use openline::tokio::accept_with;
use openline::{Config, HandshakeConfig, Origins};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Each of them costs 140 KiB at the most with the limits below, if all of them do
/// their worst: 1.4 GiB.
const CONNECTIONS: usize = 10_000;

/// Each costs 48 KiB at the most, for as long as the handshake may take. Few are enough: an
/// honest client is through in a round trip.
const HANDSHAKES: usize = 500;

const HELP: &str = "usage: guarded_server [--help]

An echo server on 127.0.0.1:9001 that bounds what its clients may cost: how many there may be, how
many may be in their opening handshake, how long that may take, how long a message may be, and
which origin may come. All of it is chosen in the source.

options:
  -h, --help  print this
";

#[tokio::main]
async fn main() -> std::io::Result<()> {
    args::none(HELP);
    let mut handshake = HandshakeConfig::default();
    handshake.timeout = Duration::from_secs(5);
    handshake.origins = Origins::Only(vec!["http://127.0.0.1:9001".into()]);
    let mut config = Config::default();
    config.max_message_size = 16 * 1024;
    config.max_fragments = 64;
    config.high_water = 16 * 1024;
    let server = Server::default().handshake(handshake).config(config);

    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let listener = TcpListener::bind("127.0.0.1:9001").await?;
    loop {
        // First wait for a place, then accept: the rest queue in the kernel, at no cost here.
        let place = Arc::clone(&connections).acquire_owned().await.expect("it is never closed");
        let turn = Arc::clone(&handshakes).acquire_owned().await.expect("it is never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                eprintln!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let server = server.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(&server, stream, turn).await {
                eprintln!("{error}");
            }
            drop(place);
        });
    }
}

/// `turn` is held for the handshake only.
async fn serve(server: &Server, stream: TcpStream, turn: OwnedSemaphorePermit) -> Result<(), openline::Error> {
    stream.set_nodelay(true)?;
    let mut socket = accept_with(server, stream).await?;
    drop(turn);
    while let Some(message) = socket.recv().await? {
        socket.feed(message).await?;
    }
    Ok(())
}
