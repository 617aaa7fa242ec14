//! Sends every message back, over tokio.
//!
//! ```text
//! cargo run --release --features tokio,deflate --example echo_server
//! ```
//!
//! Then open <http://127.0.0.1:9001/>, or point any WebSocket client at it. `--help` says what
//! can be chosen.

mod support;

use openline::Server;
use openline::tokio::accept_with;
use support::{Options, value};
use tokio::net::{TcpListener, TcpStream};

const HELP: &str = "usage: echo_server [OPTIONS]

Sends every message back, over tokio. Prints its address once it listens.

options:
  --threads N                        threads that serve (if not given, one for each processor)
";

fn main() -> std::io::Result<()> {
    let mut threads = 0;
    let options = Options::from_args(HELP, |name, args| {
        if name == "threads" {
            threads = value(args, "--threads", "a number of threads")?;
        }
        Ok(name == "threads")
    });
    let runtime = match threads {
        0 => tokio::runtime::Builder::new_multi_thread().enable_all().build()?,
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        threads => tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?,
    };
    runtime.block_on(serve(options))
}

async fn serve(options: Options) -> std::io::Result<()> {
    let server = Server::default().handshake(options.handshake).config(options.config);
    let listener = TcpListener::bind(options.listen).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let server = server.clone();
                tokio::spawn(async move {
                    if let Err(error) = echo(&server, stream).await {
                        eprintln!("{peer}: {error}");
                    }
                });
            }
            // Out of file descriptors, perhaps: some will be closed in a moment.
            Err(error) => {
                eprintln!("accept: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn echo(server: &Server, stream: TcpStream) -> Result<(), openline::Error> {
    stream.set_nodelay(true)?;
    let mut socket = accept_with(server, stream).await?;
    // Fed messages leave together when no more are at hand.
    while let Some(message) = socket.recv().await? {
        socket.feed(message).await?;
    }
    Ok(())
}
