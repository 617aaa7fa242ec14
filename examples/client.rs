//! A WebSocket client for the terminal: each line that is typed goes out as a text
//! message, each message that comes is printed.
//!
//! ```text
//! cargo run --features tokio,deflate --example client -- ws://127.0.0.1:9001/
//! ```
//!
//! `--help` says what can be chosen, what is printed, and what the exit status means.

#[path = "support/args.rs"]
mod args;
#[path = "support/deflate.rs"]
mod deflate;

use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use deflate::Compression;
use lexopt::Arg::{Long, Value};
use lexopt::ValueExt;
use openline::tokio::{WebSocket, connect_with};
use openline::{Client, ClientRequest, CloseCode, Config, Error, HandshakeConfig, Keepalive, Message};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

const HELP: &str = "usage: client [OPTIONS] URL

A WebSocket client for the terminal: each line of the input goes out as a text message, each
message that comes is printed. After the end of the input it waits until no message has come for
some time, and closes. It ends at once when the server closes.

options:
  --subprotocol P               offer this subprotocol, after those that were given before
  --header 'NAME: VALUE'        send this header with the request, besides those given before
  --ping-interval SECONDS       the time from one Ping to the next (25 if not given)
  --linger SECONDS              how long to wait after the end of the input (1 if not given)
  --deflate takeover|alone|off  offer compression with context takeover (if not given), of each
                                message alone, or none
  -h, --help                    print this

output: a line text:... or binary:<hex> for each message; at the end a line close:<code>, or
error:<kind>, and then a sentence about it on standard error
exit status: 0 after close:<code>, 1 after error:<kind>, 2 if the command line is wrong
";

struct Options {
    request: ClientRequest,
    handshake: HandshakeConfig,
    config: Config,
    linger: Duration,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(args::read(HELP, options)).await {
        Ok(code) => {
            println!("close:{}", code.get());
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("error:{}", kind(&error));
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<CloseCode, Error> {
    let client = Client::new(options.request).handshake(options.handshake).config(options.config);
    let mut socket = connect_with(&client).await?;
    let mut lines = Some(lines_of_stdin());
    // Set once the input has ended.
    let mut until: Option<Instant> = None;
    loop {
        // Both futures may be dropped half-way: nothing is lost by that.
        tokio::select! {
            message = socket.recv() => match message? {
                Some(message) => {
                    print(&message);
                    until = until.map(|_| Instant::now() + options.linger);
                }
                None => break,
            },
            line = next_line(&mut lines) => match line {
                Some(line) => send(&mut socket, &line?).await?,
                None => {
                    lines = None;
                    until = Some(Instant::now() + options.linger);
                }
            },
            () = reached(until) => {
                socket.close(CloseCode::NORMAL, "").await?;
                break;
            }
        }
    }
    Ok(socket.closed().map_or(CloseCode::ABNORMAL, |closed| closed.code))
}

/// Sends a line, unless the server has said goodbye in the meantime; how it ended is
/// then for `recv` to say.
async fn send(socket: &mut WebSocket<TcpStream>, line: &str) -> Result<(), Error> {
    match socket.send(line).await {
        Err(Error::Send(openline::SendError::Closed)) => Ok(()),
        other => other,
    }
}

/// The lines that are typed, as a thread of their own reads them. A read of the standard input
/// cannot be stopped. At its end a process does not wait for a thread like this one, but a runtime
/// waits for the read of `tokio::io::stdin`, and so for the next key to be pressed.
fn lines_of_stdin() -> mpsc::Receiver<io::Result<String>> {
    let (sender, receiver) = mpsc::channel(1);
    thread::spawn(move || {
        for line in io::stdin().lines() {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

async fn next_line(lines: &mut Option<mpsc::Receiver<io::Result<String>>>) -> Option<io::Result<String>> {
    match lines {
        Some(lines) => lines.recv().await,
        None => std::future::pending().await,
    }
}

async fn reached(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

fn print(message: &Message<'_>) {
    match message {
        Message::Text(text) => println!("text:{text}"),
        Message::Binary(data) => {
            let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("binary:{hex}");
        }
    }
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::Io(_) => "io",
        Error::Protocol(_) => "protocol",
        Error::Handshake(_) => "handshake",
        Error::Refused(_) => "refused",
        Error::Send(_) => "send",
        Error::PongTimeout => "pong-timeout",
        _ => "other",
    }
}

fn options(args: &mut lexopt::Parser) -> Result<Options, lexopt::Error> {
    // Subprotocols and headers need the request, which needs the URL, which may come last.
    let (mut uri, mut subprotocols, mut headers) = (None, Vec::new(), Vec::new());
    let mut config = Config::default();
    let mut linger = Duration::from_secs(1);
    let mut compression = Compression::Takeover;
    while let Some(arg) = args.next()? {
        match arg {
            Long("subprotocol") => subprotocols.push(args.value()?.string()?),
            Long("header") => headers.push(args.value()?.string()?),
            Long("ping-interval") => {
                let interval = args::seconds(args, "--ping-interval")?;
                config.keepalive = Some(Keepalive::new(interval, Keepalive::default().timeout));
            }
            Long("linger") => linger = args::seconds(args, "--linger")?,
            Long("deflate") => compression = args::value(args, "--deflate", deflate::TAKES)?,
            Value(value) if uri.is_none() => uri = Some(value.string()?),
            other => return args::unexpected(other, HELP),
        }
    }
    let uri = uri.ok_or("no URL")?;
    let mut request = ClientRequest::new(&uri).map_err(|error| args::wrong(&uri, error))?;
    for name in subprotocols {
        let wrong = |error| args::wrong(format_args!("--subprotocol {name}"), error);
        request = request.subprotocol(&name).map_err(wrong)?;
    }
    for header in headers {
        let (name, value) = header.split_once(':').ok_or("--header takes 'NAME: VALUE'")?;
        let wrong = |error| args::wrong(format_args!("--header {header}"), error);
        request = request.header(name.trim(), value.trim()).map_err(wrong)?;
    }
    Ok(Options { request, handshake: compression.handshake(), config, linger })
}
