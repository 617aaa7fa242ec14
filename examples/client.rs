//! A WebSocket client for the terminal: each line that is typed goes out as a text
//! message, each message that comes is printed.
//!
//! ```text
//! cargo run --features tokio,deflate,rustls,proxy-env --example client -- wss://example.com/
//! ```
//!
//! `--help` says what can be chosen, what is printed, and what the exit status means.

#[path = "support/args.rs"]
mod args;
#[path = "support/deflate.rs"]
mod deflate;
#[path = "support/own_ca.rs"]
mod own_ca;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use deflate::Compression;
use lexopt::Arg::{Long, Value};
use lexopt::ValueExt;
use openline::tokio::{WebSocket, connect_with};
use openline::{Client, ClientRequest, CloseCode, Config, Error, HandshakeConfig, Keepalive, Message, Proxy, TlsError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

const HELP: &str = "usage: client [OPTIONS] URL

A WebSocket client for the terminal: each line of the input goes out as a text message, each
message that comes is printed. After the end of the input it waits until no message has come for
some time, and closes. It ends at once when the server closes.

The URL is ws://... or wss://..., the latter if this was built with --features rustls or a --ca is given.

options:
  --subprotocol P               offer this subprotocol, after those that were given before
  --header 'NAME: VALUE'        send this header with the request, besides those given before
  --proxy URL|env               connect through a proxy: http://[USER:PASSWORD@]HOST:PORT,
                                socks5h://... (it looks up the name) or socks5://...; env: through the
                                one that the environment asks for, if this was built with
                                --features proxy-env
  --ca FILE                     trust the certificates in this file (PEM), besides those that the
                                platform trusts
  --ping-interval SECONDS       the time from one Ping to the next (25 if not given)
  --linger SECONDS              how long to wait after the end of the input (1 if not given)
  --deflate takeover|alone|off  offer compression with context takeover (if not given), of each
                                message alone, or none
  -h, --help                    print this

output: a line text:... or binary:<hex> for each message; at the end a line close:<code>, or
error:<kind>, and then a sentence about it on standard error; if that is a terminal, it shows how
much of a long message has come
exit status: 0 after close:<code>, 1 after error:<kind>, 2 if the command line is wrong
";

struct Options {
    request: ClientRequest,
    handshake: HandshakeConfig,
    config: Config,
    proxy: Option<Through>,
    ca: Option<PathBuf>,
    linger: Duration,
}

/// Which proxy to connect through.
enum Through {
    This(Proxy),
    Environment,
}

/// Why it ends without a Close: one word for programs, and a sentence for people.
struct Failure {
    kind: &'static str,
    words: String,
}

fn main() -> ExitCode {
    let options = args::read(HELP, options);
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end(Err(Error::Io(error).into())),
    };
    let ended = runtime.block_on(run(options));
    // A runtime waits for its threads, and a look-up of a name may take longer than the time limit.
    runtime.shutdown_background();
    end(ended)
}

fn end(ended: Result<CloseCode, Failure>) -> ExitCode {
    match ended {
        Ok(code) => {
            println!("close:{}", code.get());
            ExitCode::SUCCESS
        }
        Err(Failure { kind, words }) => {
            println!("error:{kind}");
            eprintln!("{words}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<CloseCode, Failure> {
    let connector = match &options.ca {
        Some(file) => Some(
            own_ca::connector(file)
                .map_err(|error| Failure { kind: "ca", words: format!("{}: {error}", file.display()) })?,
        ),
        None => None,
    };
    let client = Client::new(options.request).handshake(options.handshake).config(options.config);
    let client = match options.proxy {
        Some(Through::This(proxy)) => client.proxy(proxy),
        Some(Through::Environment) => from_environment(client)?,
        None => client,
    };
    let ended = match connector {
        Some(connector) if client.request().uri().is_secure() => {
            talk(own_ca::connect(&client, connector).await?, options.linger).await
        }
        _ => talk(connect_with(&client).await?, options.linger).await,
    };
    ended.map_err(Failure::from)
}

#[cfg(feature = "proxy-env")]
fn from_environment(client: Client) -> Result<Client, Failure> {
    client
        .proxy_from_env()
        .map_err(|error| Failure { kind: "proxy", words: format!("proxy of the environment: {error}") })
}

#[cfg(not(feature = "proxy-env"))]
fn from_environment(_: Client) -> Result<Client, Failure> {
    Err(Failure { kind: "proxy", words: "--proxy env takes the feature proxy-env".into() })
}

/// Sends the lines of the input, and prints what comes.
async fn talk<S>(mut socket: WebSocket<S>, linger: Duration) -> Result<CloseCode, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut lines = Some(lines_of_stdin());
    let mut parts = Parts::new();
    // Set once the input has ended.
    let mut until: Option<Instant> = None;
    loop {
        // Both futures may be dropped half-way: nothing is lost by that.
        tokio::select! {
            message = next_message(&mut socket, &mut parts) => match message? {
                Some(message) => {
                    print(&message);
                    until = until.map(|_| Instant::now() + linger);
                }
                None => break,
            },
            line = next_line(&mut lines) => match line {
                Some(line) => send(&mut socket, &line?).await?,
                None => {
                    lines = None;
                    until = Some(Instant::now() + linger);
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

/// The next message. What has come of it is kept in `parts`, so nothing is lost if this is dropped.
async fn next_message<S>(socket: &mut WebSocket<S>, parts: &mut Parts) -> Result<Option<Message<'static>>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(chunk) = socket.recv_chunk().await? {
        parts.bytes.extend_from_slice(chunk.data.as_bytes());
        if !chunk.last {
            parts.show();
            continue;
        }
        let bytes = parts.take();
        // Each part of a text is valid, so the whole is.
        return Ok(Some(match chunk.data {
            Message::Text(_) => Message::from(String::from_utf8(bytes).unwrap_or_default()),
            Message::Binary(_) => Message::from(bytes),
        }));
    }
    Ok(None)
}

/// The parts of a message that have come. A terminal shows how long a long one is by now.
struct Parts {
    bytes: Vec<u8>,
    /// The length at which to show it next; `None` if nobody looks.
    next: Option<usize>,
    shown: bool,
}

impl Parts {
    fn new() -> Parts {
        Parts { bytes: Vec::new(), next: io::stderr().is_terminal().then_some(LONG), shown: false }
    }

    fn show(&mut self) {
        if self.next.is_some_and(|next| self.bytes.len() >= next) {
            eprint!("\rreceiving: {} KiB", self.bytes.len() / 1024);
            (self.next, self.shown) = (Some(self.bytes.len() + LONG / 4), true);
        }
    }

    fn take(&mut self) -> Vec<u8> {
        if self.shown {
            // Back to the first column, and the line is empty again.
            eprint!("\r\x1b[K");
        }
        (self.next, self.shown) = (self.next.map(|_| LONG), false);
        std::mem::take(&mut self.bytes)
    }
}

/// From this length on a message is long.
const LONG: usize = 1 << 20;

/// Sends a line, unless the server has said goodbye in the meantime; how it ended is
/// then for `recv` to say.
async fn send<S>(socket: &mut WebSocket<S>, line: &str) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
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

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let kind = match &error {
            Error::Name(_) => "name",
            Error::Connect(_) => "connect",
            Error::ProxyIo(_) | Error::Proxy(_) | Error::ProxyRefused(_) => "proxy",
            Error::Tls(TlsError::Certificate(_)) => "certificate",
            Error::Tls(_) => "tls",
            Error::Io(error) if own_ca::is_certificate(error) => "certificate",
            Error::Io(_) => "io",
            Error::Protocol(_) => "protocol",
            Error::Handshake(_) => "handshake",
            Error::Refused(_) => "refused",
            Error::Send(_) => "send",
            Error::PongTimeout => "pong-timeout",
            _ => "other",
        };
        // What lies beneath an error is told by its source.
        let mut words = error.to_string();
        let mut beneath = std::error::Error::source(&error);
        while let Some(error) = beneath {
            words = format!("{words}: {error}");
            beneath = error.source();
        }
        if let Error::Refused(response) | Error::ProxyRefused(response) = &error {
            for name in ["Location", "WWW-Authenticate", "Proxy-Authenticate"] {
                if let Some(value) = response.headers.get(name) {
                    words = format!("{words}; {name}: {value}");
                }
            }
        }
        Failure { kind, words }
    }
}

fn options(args: &mut lexopt::Parser) -> Result<Options, lexopt::Error> {
    // Subprotocols and headers need the request, which needs the URL, which may come last.
    let (mut uri, mut subprotocols, mut headers) = (None, Vec::new(), Vec::new());
    let mut config = Config::default();
    let mut linger = Duration::from_secs(1);
    let (mut proxy, mut ca) = (None, None);
    let mut compression = Compression::Takeover;
    while let Some(arg) = args.next()? {
        match arg {
            Long("subprotocol") => subprotocols.push(args.value()?.string()?),
            Long("header") => headers.push(args.value()?.string()?),
            Long("proxy") => proxy = Some(through(&args.value()?.string()?)?),
            Long("ca") => ca = Some(PathBuf::from(args.value()?)),
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
    let mut request = ClientRequest::new(&uri).map_err(|error| args::wrong("URL", error))?;
    for name in subprotocols {
        let wrong = |error| args::wrong(format_args!("--subprotocol {name}"), error);
        request = request.subprotocol(&name).map_err(wrong)?;
    }
    for header in headers {
        let (name, value) = header.split_once(':').ok_or("--header takes 'NAME: VALUE'")?;
        let wrong = |error| args::wrong(format_args!("--header {header}"), error);
        request = request.header(name.trim(), value.trim()).map_err(wrong)?;
    }
    Ok(Options { request, handshake: compression.handshake(), config, proxy, ca, linger })
}

fn through(value: &str) -> Result<Through, lexopt::Error> {
    match value {
        "env" => Ok(Through::Environment),
        // The value is not shown: there may be a password in it.
        uri => uri.parse().map(Through::This).map_err(|error| args::wrong("--proxy", error)),
    }
}
