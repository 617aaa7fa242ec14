//! What the two echo servers share: their options and the page for people.

mod deflate;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use openline::{Config, HandshakeConfig, Origins, Request, Response};

const USAGE: &str = "options: --listen ADDRESS:PORT  --max-message-size BYTES  --subprotocols A,B
         --origin URL  --handshake-timeout SECONDS  --threads N  --deflate takeover|alone|off";

/// `--name value` pairs.
pub(crate) struct Options(HashMap<String, String>);

impl Options {
    /// Reads the command line; says what is wrong with it and exits, if anything is.
    pub(crate) fn from_args() -> Options {
        let known = ["listen", "max-message-size", "subprotocols", "origin", "handshake-timeout", "threads", "deflate"];
        let mut options = HashMap::new();
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let name = arg.strip_prefix("--").filter(|name| known.contains(name));
            match (name, args.next()) {
                (Some(name), Some(value)) => options.insert(name.to_owned(), value),
                (Some(_), None) => exit(&format!("{arg} needs a value")),
                (None, _) => exit(&format!("unknown option {arg}")),
            };
        }
        Options(options)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A number, or the default if the option is not given.
    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str, default: N) -> N {
        self.get(name).map_or(default, |value| match value.parse() {
            Ok(number) => number,
            Err(_) => exit(&format!("--{name} takes a number, not {value}")),
        })
    }

    pub(crate) fn listen(&self) -> &str {
        self.get("listen").unwrap_or("127.0.0.1:9001")
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Config::default();
        config.max_message_size = self.number("max-message-size", config.max_message_size);
        config
    }

    pub(crate) fn handshake(&self) -> HandshakeConfig {
        let wished = deflate::handshake(self.get("deflate").unwrap_or("takeover"));
        let mut handshake = wished.unwrap_or_else(|wrong| exit(&wrong));
        let seconds = self.number("handshake-timeout", handshake.timeout.as_secs_f64());
        match Duration::try_from_secs_f64(seconds) {
            Ok(timeout) => handshake.timeout = timeout,
            Err(error) => exit(&format!("--handshake-timeout: {error}")),
        }
        if let Some(list) = self.get("subprotocols") {
            handshake.subprotocols = list.split(',').map(str::to_owned).collect();
        }
        if let Some(origin) = self.get("origin") {
            handshake.origins = Origins::Only(vec![origin.to_owned()]);
        }
        handshake.on_plain_request = Some(Arc::new(page));
        handshake
    }
}

fn exit(message: &str) -> ! {
    eprintln!("{message}\n{USAGE}");
    std::process::exit(2);
}

/// A page at `/`; anything else that is no WebSocket is told to become one.
fn page(request: &Request) -> Response {
    let response = match request.path() {
        "/" => Response::new(200).body(include_str!("page.html")).header("Content-Type", "text/html; charset=utf-8"),
        _ => Response::new(426).header("Upgrade", "websocket"),
    };
    response.expect("these headers are valid")
}
