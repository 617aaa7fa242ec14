//! Lets the Autobahn fuzzing server test the client's side: echoes in every case
//! that it has.
//!
//! ```text
//! cargo run --release --features tokio,deflate --example autobahn_client -- ws://127.0.0.1:9001
//! ```

#[path = "support/adapter.rs"]
mod adapter;
#[path = "support/args.rs"]
mod args;
#[path = "support/deflate.rs"]
mod deflate;

use std::process::ExitCode;

use adapter::Adapter;
use deflate::Compression;
use lexopt::Arg::{Long, Value};
use lexopt::ValueExt;
use openline::{Client, ClientRequest, Config, Error, HandshakeConfig, Message};

const HELP: &str = "usage: autobahn_client [OPTIONS] ws://HOST:PORT

Runs all cases of the Autobahn fuzzing server at that address, by echoing what it sends, and lets
it write its report.

options:
  --impl tokio|std  the adapter to test (tokio if not given)
  -h, --help        print this

exit status: 0 if all cases were run, however they ended; 1 if not; 2 if the command line is wrong
";

struct Options {
    base: String,
    adapter: Adapter,
}

fn main() -> ExitCode {
    let options = args::read(HELP, |args| {
        let (mut base, mut adapter) = (None, Adapter::Tokio);
        while let Some(arg) = args.next()? {
            match arg {
                Long("impl") => adapter = args::value(args, "--impl", adapter::TAKES)?,
                Value(uri) if base.is_none() => base = Some(uri.string()?),
                other => return args::unexpected(other, HELP),
            }
        }
        Ok(Options { base: base.ok_or("no URL")?, adapter })
    });
    match run_all(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run_all(options: &Options) -> Result<(), Error> {
    let base = options.base.trim_end_matches('/');
    let (run, agent): (Run, _) = match options.adapter {
        Adapter::Tokio => (|uri, received| runtime().block_on(over_tokio(uri, received)), "openline-tokio"),
        Adapter::Std => (over_std, "openline-std"),
    };
    let mut count = Received { echo: false, last: None };
    run(&format!("{base}/getCaseCount"), &mut count)?;
    let count: Option<u32> = count.last.and_then(|text| text.parse().ok());
    let count = count.ok_or_else(|| std::io::Error::other("the server did not say how many cases it has"))?;
    for case in 1..=count {
        // A case that provokes a protocol error is meant to end in one.
        let mut received = Received { echo: true, last: None };
        match run(&format!("{base}/runCase?case={case}&agent={agent}"), &mut received) {
            Ok(()) => eprintln!("case {case} of {count}"),
            Err(error) => eprintln!("case {case} of {count}: {error}"),
        }
    }
    run(&format!("{base}/updateReports?agent={agent}"), &mut Received { echo: false, last: None })
}

/// Opens a connection to a URI, and stays until it ends.
type Run = fn(&str, &mut Received) -> Result<(), Error>;

/// What to do with messages, and what the last text was.
struct Received {
    echo: bool,
    last: Option<String>,
}

impl Received {
    fn keep(&mut self, message: &Message<'_>) {
        if !self.echo {
            self.last = message.as_text().map(str::to_owned);
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}

fn config() -> Config {
    let mut config = Config::default();
    config.max_message_size = 32 * 1024 * 1024;
    config
}

/// Offers permessage-deflate, if this was built with it.
fn handshake() -> HandshakeConfig {
    Compression::Takeover.handshake()
}

async fn over_tokio(uri: &str, received: &mut Received) -> Result<(), Error> {
    let client = Client::new(ClientRequest::new(uri)?).handshake(handshake()).config(config());
    let mut socket = openline::tokio::connect_with(&client).await?;
    while let Some(message) = socket.recv().await? {
        received.keep(&message);
        if received.echo {
            socket.feed(message).await?;
        }
    }
    Ok(())
}

fn over_std(uri: &str, received: &mut Received) -> Result<(), Error> {
    let client = Client::new(ClientRequest::new(uri)?).handshake(handshake()).config(config());
    let mut socket = openline::net::connect_with(&client)?;
    while let Some(message) = socket.recv()? {
        received.keep(&message);
        if received.echo {
            socket.feed(message)?;
        }
    }
    Ok(())
}
