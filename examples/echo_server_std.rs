//! Sends every message back, over blocking sockets, with a thread for each connection.
//!
//! ```text
//! cargo run --release --example echo_server_std
//! ```
//!
//! Then open <http://127.0.0.1:9001/>, or point any WebSocket client at it. `--help` says what
//! can be chosen.

mod support;

use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use openline::Server;
use openline::net::accept_with;
use support::Options;

const HELP: &str = "usage: echo_server_std [OPTIONS]

Sends every message back, over blocking sockets, with a thread for each connection. Prints its
address once it listens.

options:
";

fn main() -> std::io::Result<()> {
    let options = Options::from_args(HELP, |_, _| Ok(false));
    let server = Server::default().handshake(options.handshake).config(options.config);
    let listener = TcpListener::bind(options.listen)?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let started = listener.accept().and_then(|(stream, peer)| {
            let server = server.clone();
            thread::Builder::new().spawn(move || {
                if let Err(error) = echo(&server, stream) {
                    eprintln!("{peer}: {error}");
                }
            })
        });
        // Out of file descriptors or threads, perhaps: some will end in a moment.
        if let Err(error) = started {
            eprintln!("accept: {error}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn echo(server: &Server, stream: TcpStream) -> Result<(), openline::Error> {
    stream.set_nodelay(true)?;
    let mut socket = accept_with(server, stream)?;
    // Fed messages leave together when no more are at hand.
    while let Some(message) = socket.recv()? {
        socket.feed(message)?;
    }
    Ok(())
}
