//! The server of [`openline_http_examples::hyper_server`] as a program: a page at `/` and a WebSocket at `/echo`, over
//! HTTP/1.1 and HTTP/2.
//!
//! ```text
//! cargo run --release --manifest-path examples/http/Cargo.toml -- [OPTIONS]
//! ```

use std::process::ExitCode;

use openline::{Deflate, HandshakeConfig, Request, Server};
use openline_http_examples::hyper_server::Host;
use openline_http_examples::tls;
use tokio::net::TcpListener;

const HELP: &str = "usage: http_echo_server [OPTIONS]

Sends every message back. Prints its address once it listens. After Ctrl-C it accepts nothing new, and ends with the last
socket that is open; a second Ctrl-C ends it at once.

options:
  --listen ADDRESS:PORT   where to listen (127.0.0.1:9001 if not given; port 0: any that is free)
  --tls                   TLS, with a certificate for localhost and 127.0.0.1 that is made now
  --ca-out FILE           write the certificate that a client has to trust to this file, in PEM
  --subprotocols A,B      the subprotocols to speak
  --log                   print each request, with the number of the connection that it came by
  -h, --help              print this
";

#[tokio::main]
async fn main() -> ExitCode {
    run().await.map_or_else(
        |error| {
            eprintln!("http_echo_server: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

async fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (mut listen, mut over_tls, mut ca_out, mut log) = ("127.0.0.1:9001".to_owned(), false, None, false);
    let mut handshake = HandshakeConfig::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value\n\n{HELP}"));
        match &*argument {
            "--listen" => listen = value()?,
            "--tls" => over_tls = true,
            "--ca-out" => ca_out = Some(value()?),
            "--subprotocols" => handshake.subprotocols = value()?.split(',').map(str::to_owned).collect(),
            "--log" => log = true,
            "-h" | "--help" => {
                print!("{HELP}");
                return Ok(());
            }
            other => return Err(format!("unexpected {other}\n\n{HELP}").into()),
        }
    }
    let mut deflate = Deflate::default();
    (deflate.send.takeover, deflate.receive.takeover) = (true, true);
    handshake.deflate.push(deflate);

    let mut host = Host::new(Server::default().handshake(handshake));
    if log {
        host.on_request = print_request;
    }
    if over_tls {
        let (acceptor, ca) = tls::self_made()?;
        host.tls = Some(acceptor);
        ca_out.map_or(Ok(()), |file| std::fs::write(file, ca))?;
    } else if ca_out.is_some() {
        return Err(format!("--ca-out needs --tls\n\n{HELP}").into());
    }
    let listener = TcpListener::bind(&listen).await?;
    let scheme = if over_tls { "https" } else { "http" };
    println!("listening on {scheme}://{}", listener.local_addr()?);
    tokio::select! {
        served = host.serve_until(listener, interrupts(1)) => Ok(served?),
        () = interrupts(2) => Ok(()),
    }
}

/// Waits for so many Ctrl-C.
async fn interrupts(count: usize) {
    for _ in 0..count {
        drop(tokio::signal::ctrl_c().await);
    }
}

/// Such as `connection 1: HTTP/2.0 CONNECT /echo, :protocol websocket`.
fn print_request(connection: usize, request: &Request) {
    let (major, minor) = request.version;
    let protocol = request.protocol.as_deref().map(|name| format!(", :protocol {name}")).unwrap_or_default();
    println!("connection {connection}: HTTP/{major}.{minor} {} {}{protocol}", request.method, request.path());
}
