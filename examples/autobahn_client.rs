//! Lets the Autobahn fuzzing server test the client's side: echoes in every case
//! that it has.
//!
//! ```text
//! cargo run --release --features tokio,deflate --example autobahn_client -- [--impl tokio|std] ws://127.0.0.1:9001
//! ```

#[path = "support/deflate.rs"]
mod deflate;

use openline::{ClientRequest, Config, Error, HandshakeConfig, Message};

fn main() -> Result<(), Error> {
    let mut adapter = "tokio".to_owned();
    let mut base = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--impl" => adapter = args.next().unwrap_or_default(),
            _ => base = Some(arg),
        }
    }
    let usage = "usage: autobahn_client [--impl tokio|std] ws://HOST:PORT";
    let base = base.expect(usage);
    let base = base.trim_end_matches('/');
    let run: fn(&str, &mut Received) -> Result<(), Error> = match adapter.as_str() {
        "tokio" => |uri, received| runtime().block_on(over_tokio(uri, received)),
        "std" => over_std,
        _ => panic!("{usage}"),
    };

    let agent = format!("openline-{adapter}");
    let mut count = Received { echo: false, last: None };
    run(&format!("{base}/getCaseCount"), &mut count)?;
    let count: u32 = count.last.and_then(|text| text.parse().ok()).expect("the fuzzing server says how many cases");
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
    deflate::handshake("takeover").expect("that is one of the ways")
}

async fn over_tokio(uri: &str, received: &mut Received) -> Result<(), Error> {
    let client = openline::tokio::Client::new(ClientRequest::new(uri)?).handshake(handshake()).config(config());
    let mut socket = client.connect().await?;
    while let Some(message) = socket.recv().await? {
        received.keep(&message);
        if received.echo {
            socket.feed(message).await?;
        }
    }
    Ok(())
}

fn over_std(uri: &str, received: &mut Received) -> Result<(), Error> {
    let client = openline::net::Client::new(ClientRequest::new(uri)?).handshake(handshake()).config(config());
    let mut socket = client.connect()?;
    while let Some(message) = socket.recv()? {
        received.keep(&message);
        if received.echo {
            socket.feed(message)?;
        }
    }
    Ok(())
}
