//! Sends every message of a server back to it, until the server closes: the echo
//! server's counterpart, for servers that test clients.
//!
//! ```text
//! cargo run --release --features tokio,deflate --example echo_client -- ws://127.0.0.1:9001/
//! ```
//!
//! `--help` says what can be chosen.

#[path = "support/adapter.rs"]
mod adapter;
#[path = "support/args.rs"]
mod args;
#[path = "support/deflate.rs"]
mod deflate;

use std::num::NonZero;
use std::process::ExitCode;

use adapter::Adapter;
use deflate::Compression;
use lexopt::Arg::{Long, Value};
use lexopt::ValueExt;
use openline::{Client, ClientRequest, Error, HandshakeConfig, Message};

const HELP: &str = "usage: echo_client [OPTIONS] URL

Sends every message of the server at URL back to it, until the server closes.

options:
  --impl tokio|std              the adapter to use (tokio if not given)
  --deflate takeover|alone|off  offer compression with context takeover (if not given), of each
                                message alone, or none
  --fragment BYTES              messages longer than this go back in fragments
  -h, --help                    print this

exit status: 0 if the connection ended without an error, 1 if not, 2 if the command line is wrong
";

struct Options {
    request: ClientRequest,
    handshake: HandshakeConfig,
    adapter: Adapter,
    fragment: usize,
}

fn main() -> ExitCode {
    let options = args::read(HELP, options);
    let done = match options.adapter {
        Adapter::Tokio => over_tokio(options),
        Adapter::Std => over_std(options),
    };
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
    let mut socket = openline::tokio::connect_with(&Client::new(options.request).handshake(options.handshake)).await?;
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
    let mut socket = openline::net::connect_with(&Client::new(options.request).handshake(options.handshake))?;
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

fn options(args: &mut lexopt::Parser) -> Result<Options, lexopt::Error> {
    let (mut request, mut adapter, mut fragment) = (None, Adapter::Tokio, NonZero::<usize>::MAX);
    let mut compression = Compression::Takeover;
    while let Some(arg) = args.next()? {
        match arg {
            Long("impl") => adapter = args::value(args, "--impl", adapter::TAKES)?,
            Long("deflate") => compression = args::value(args, "--deflate", deflate::TAKES)?,
            Long("fragment") => fragment = args::value(args, "--fragment", "a number of bytes")?,
            Value(uri) if request.is_none() => {
                let uri = uri.string()?;
                request = Some(ClientRequest::new(&uri).map_err(|error| args::wrong("URL", error))?);
            }
            other => return args::unexpected(other, HELP),
        }
    }
    let request = request.ok_or("no URL")?;
    Ok(Options { request, handshake: compression.handshake(), adapter, fragment: fragment.get() })
}
