//! A WebSocket client for the terminal: each line that is typed goes out as a text
//! message, each message that comes is printed.
//!
//! ```text
//! cargo run --features tokio,deflate --example client -- ws://127.0.0.1:9001/ [--subprotocol P]
//!     [--header 'Name: value'] [--ping-interval SECONDS] [--linger SECONDS]
//!     [--deflate takeover|alone|off]
//! ```
//!
//! Prints `text:…` or `binary:<hex>` for a message, and at the end `close:<code>` (exit
//! status 0) or `error:<kind>` (1). After the end of the input it waits until
//! `--linger` seconds (1 if not given) have passed without a message, and closes.
//! permessage-deflate is offered with context takeover, unless `--deflate` wants each
//! message compressed alone, or none.

#[path = "support/deflate.rs"]
mod deflate;

use std::process::ExitCode;
use std::time::Duration;

use openline::tokio::{Client, WebSocket};
use openline::{ClientRequest, CloseCode, Config, Error, HandshakeConfig, Keepalive, Message};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

const USAGE: &str = "usage: client URL [--subprotocol P] [--header 'K: V'] [--ping-interval S] [--linger S]
         [--deflate takeover|alone|off]";

struct Options {
    request: ClientRequest,
    handshake: HandshakeConfig,
    config: Config,
    linger: Duration,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(options).await {
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
    let mut socket = client.connect().await?;
    let mut lines = Some(BufReader::new(tokio::io::stdin()).lines());
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
            line = next_line(&mut lines) => match line? {
                Some(line) => send(&mut socket, &line).await?,
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

async fn next_line(lines: &mut Option<Lines<BufReader<Stdin>>>) -> std::io::Result<Option<String>> {
    match lines {
        Some(lines) => lines.next_line().await,
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

fn options() -> Result<Options, String> {
    let mut args = std::env::args().skip(1);
    let uri = args.next().ok_or("no URL")?;
    let mut request = ClientRequest::new(&uri).map_err(|error| format!("{uri}: {error}"))?;
    let mut config = Config::default();
    let mut linger = Duration::from_secs(1);
    let mut how = "takeover".to_owned();
    while let Some(option) = args.next() {
        let value = args.next().ok_or_else(|| format!("{option} needs a value"))?;
        let seconds = || {
            let seconds = value.parse().map_err(|_| format!("{option} takes seconds, not {value}"))?;
            Duration::try_from_secs_f64(seconds).map_err(|error| format!("{option}: {error}"))
        };
        let wrong = |error| format!("{option} {value}: {error}");
        match option.as_str() {
            "--subprotocol" => request = request.subprotocol(&value).map_err(wrong)?,
            "--header" => {
                let (name, content) = value.split_once(':').ok_or("--header takes 'Name: value'")?;
                request = request.header(name.trim(), content.trim()).map_err(wrong)?;
            }
            "--ping-interval" => config.keepalive = Some(Keepalive { interval: seconds()?, ..Keepalive::default() }),
            "--linger" => linger = seconds()?,
            "--deflate" => how = value,
            _ => return Err(format!("unknown option {option}")),
        }
    }
    Ok(Options { request, handshake: deflate::handshake(&how)?, config, linger })
}
