//! A chat: what one client says, all hear, in the same order. One message is made once, however many hear it; who does
//! not keep up is let go, and holds up nobody.
//!
//! ```text
//! cargo run --release --features tokio --example chat
//! ```
//!
//! Then start some clients: `cargo run --features tokio --example client -- ws://127.0.0.1:9001/`.

#[path = "support/args.rs"]
mod args;

use std::net::SocketAddr;
use std::time::Duration;

use lexopt::Arg::Long;
use openline::tokio::{Receiver, Sender, accept_with};
use openline::{CloseCode, Config, Error, Prepared, Server};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

const HELP: &str = "usage: chat [OPTIONS]

A chat server: it sends each text that a client says to all clients. Prints its address once it listens.

options:
  --listen ADDRESS  where to listen (127.0.0.1:9001; port 0: any that is free)
  -h, --help        print this
";

/// How many messages wait for a client that is slow.
const BACKLOG: usize = 256;

/// How long a client may take for its next bytes before it is let go.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listen = args::read(HELP, |args| {
        let mut listen: SocketAddr = ([127, 0, 0, 1], 9001).into();
        while let Some(arg) = args.next()? {
            match arg {
                Long("listen") => listen = args::value(args, "--listen", "an address and a port")?,
                other => args::unexpected(other, HELP)?,
            }
        }
        Ok(listen)
    });
    let mut config = Config::default();
    config.max_message_size = 4 * 1024;
    let server = Server::default().config(config);
    let (room, _) = broadcast::channel(BACKLOG);

    let listener = TcpListener::bind(listen).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                eprintln!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (server, room) = (server.clone(), room.clone());
        tokio::spawn(async move {
            if let Err(error) = serve(&server, stream, &room).await {
                eprintln!("{address}: {error}");
            }
        });
    }
}

async fn serve(server: &Server, stream: TcpStream, room: &broadcast::Sender<Prepared>) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let socket = accept_with(server, stream).await?;
    // From here on it hears everything.
    let heard = room.subscribe();
    let (mut receiver, mut sender) = socket.split();
    tokio::select! {
        said = say(&mut receiver, room) => said,
        let_go = hear(&mut sender, heard) => {
            let_go?;
            // The client has our Close frame, and has `close_timeout` to answer.
            receiver.drain().await
        }
    }
}

/// What the client says goes to the room, until it closes.
async fn say(receiver: &mut Receiver<TcpStream>, room: &broadcast::Sender<Prepared>) -> Result<(), Error> {
    while let Some(message) = receiver.recv().await? {
        if message.is_text() {
            // An error only says that nobody is there.
            let _ = room.send(Prepared::new(message));
        }
    }
    Ok(())
}

/// What the room says goes to the client, until the client is too slow. Messages that are at hand leave together.
async fn hear(sender: &mut Sender<TcpStream>, mut heard: broadcast::Receiver<Prepared>) -> Result<(), Error> {
    loop {
        let message = match heard.recv().await {
            Ok(message) => message,
            Err(RecvError::Lagged(_)) => return sender.close(CloseCode::TRY_AGAIN_LATER, "too slow").await,
            Err(RecvError::Closed) => return sender.close(CloseCode::GOING_AWAY, "").await,
        };
        let sent = timeout(PATIENCE, async {
            sender.feed(&message).await?;
            if heard.is_empty() { sender.flush().await } else { Ok(()) }
        });
        // The error drops the socket: a client that takes nothing takes no Close frame either.
        sent.await.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    }
}
