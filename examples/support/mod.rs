//! What the two echo servers share: their options and the page for people.

mod args;
mod deflate;

use std::sync::Arc;

use lexopt::Arg::Long;
use lexopt::{Error, Parser, ValueExt};
use openline::{Config, HandshakeConfig, Origins, Request, Response};

pub(crate) use args::value;
use deflate::Compression;

/// The end of the servers' `--help`, which is about these options.
const OPTIONS: &str =
    "  --listen ADDRESS:PORT              where to listen (127.0.0.1:9001 if not given; port 0: any that is free)
  --max-message-size BYTES           the longest message to receive
  --subprotocols A,B                 the subprotocols to speak
  --origin URL                       the only origin whose pages may connect (all may if not given)
  --handshake-timeout SECONDS        how long an opening handshake may take
  --deflate takeover|alone|off       compress with context takeover (if not given), each message alone, or never
  -h, --help                         print this
";

/// What the command line says.
pub(crate) struct Options {
    pub(crate) listen: String,
    pub(crate) config: Config,
    pub(crate) handshake: HandshakeConfig,
}

impl Options {
    /// Reads the command line; says what is wrong with it and exits, if anything is. `own` takes
    /// the options that only this server has: it gets a name without the dashes, and returns
    /// whether it knows that. `help` begins with the usage, and ends where the options of both servers follow.
    pub(crate) fn from_args(help: &str, mut own: impl FnMut(&str, &mut Parser) -> Result<bool, Error>) -> Options {
        let help = format!("{help}{OPTIONS}");
        args::read(&help, |args| {
            let mut compression = Compression::Takeover;
            let mut origins = Origins::default();
            let mut subprotocols = Vec::new();
            let mut timeout = HandshakeConfig::default().timeout;
            let mut listen = "127.0.0.1:9001".to_owned();
            let mut config = Config::default();
            while let Some(arg) = args.next()? {
                match arg {
                    Long("listen") => listen = args.value()?.string()?,
                    Long("max-message-size") => {
                        config.max_message_size = value(args, "--max-message-size", "a number of bytes")?;
                    }
                    Long("subprotocols") => {
                        subprotocols = args.value()?.string()?.split(',').map(str::to_owned).collect();
                    }
                    Long("origin") => origins = Origins::Only(vec![args.value()?.string()?]),
                    Long("handshake-timeout") => timeout = args::seconds(args, "--handshake-timeout")?,
                    Long("deflate") => compression = value(args, "--deflate", deflate::TAKES)?,
                    Long(name) => {
                        let name = name.to_owned();
                        if !own(&name, args)? {
                            return args::unexpected(Long(&name), &help);
                        }
                    }
                    other => return args::unexpected(other, &help),
                }
            }
            let mut handshake = compression.handshake();
            handshake.timeout = timeout;
            handshake.subprotocols = subprotocols;
            handshake.origins = origins;
            handshake.on_plain_request = Some(Arc::new(page));
            Ok(Options { listen, config, handshake })
        })
    }
}

/// A page at `/`; anything else that is no WebSocket is told to become one.
fn page(request: &Request) -> Response {
    let response = match request.path() {
        "/" => Response::new(200).body(include_str!("page.html")).header("Content-Type", "text/html; charset=utf-8"),
        _ => Response::new(426).header("Upgrade", "websocket"),
    };
    response.expect("these headers are valid")
}
