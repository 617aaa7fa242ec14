//! Sends every message of a server back to it, until the server closes: the echo
//! server's counterpart, for servers that test clients.
//!
//! ```text
//! cargo run --release --features tokio,deflate --example echo_client -- ws://127.0.0.1:9001/
//!     [--impl tokio|std] [--deflate takeover|alone|off] [--fragment BYTES]
//! ```
//!
//! With `--fragment`, messages longer than that go back in fragments. permessage-deflate
//! is offered with context takeover, unless `--deflate` wants it otherwise. Exits with
//! status 0 after a Close frame, else with 1.

#[path = "support/deflate.rs"]
mod deflate;

use std::process::ExitCode;

use openline::{ClientRequest, Error, HandshakeConfig, Message};

const USAGE: &str = "usage: echo_client URL [--impl tokio|std] [--deflate takeover|alone|off] [--fragment BYTES]";

struct Options {
    request: ClientRequest,
    handshake: HandshakeConfig,
    blocking: bool,
    fragment: usize,
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let done = if options.blocking { over_std(options) } else { over_tokio(options) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn over_tokio(options: Options) -> Result<(), Error> {
    let mut socket = openline::tokio::Client::new(options.request).handshake(options.handshake).connect().await?;
    while let Some(message) = socket.recv().await? {
        if message.len() <= options.fragment {
            socket.feed(message).await?;
            continue;
        }
        for (piece, fin) in pieces(&message, options.fragment) {
            socket.send_fragment(piece, fin).await?;
        }
    }
    Ok(())
}

fn over_std(options: Options) -> Result<(), Error> {
    let mut socket = openline::net::Client::new(options.request).handshake(options.handshake).connect()?;
    while let Some(message) = socket.recv()? {
        if message.len() <= options.fragment {
            socket.feed(message)?;
            continue;
        }
        for (piece, fin) in pieces(&message, options.fragment) {
            socket.send_fragment(piece, fin)?;
        }
    }
    Ok(())
}

/// A message in pieces of about `len` bytes: each piece of a text is text. The flag is
/// set with the last.
fn pieces<'m>(message: &'m Message<'_>, len: usize) -> impl Iterator<Item = (Message<'m>, bool)> {
    let mut begin = 0;
    std::iter::from_fn(move || {
        let all = message.len();
        if begin == all {
            return None;
        }
        let mut end = all.min(begin + len);
        let piece = match message.as_text() {
            Some(text) => {
                while !text.is_char_boundary(end) {
                    end += 1;
                }
                Message::from(&text[begin..end])
            }
            None => Message::from(&message.as_bytes()[begin..end]),
        };
        begin = end;
        Some((piece, end == all))
    })
}

fn options() -> Result<Options, String> {
    let (mut request, mut blocking, mut fragment, mut how) = (None, false, usize::MAX, "takeover".to_owned());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--impl" => match value()?.as_str() {
                "tokio" => blocking = false,
                "std" => blocking = true,
                other => return Err(format!("--impl takes tokio or std, not {other}")),
            },
            "--deflate" => how = value()?,
            "--fragment" => {
                let bytes = value()?;
                fragment = bytes.parse().ok().filter(|&bytes| bytes > 0).ok_or("--fragment takes a number of bytes")?;
            }
            uri => request = Some(ClientRequest::new(uri).map_err(|error| format!("{uri}: {error}"))?),
        }
    }
    Ok(Options { request: request.ok_or("no URL")?, handshake: deflate::handshake(&how)?, blocking, fragment })
}
