//! An echo server over TLS. Its certificate is made at the start, for localhost and 127.0.0.1; a program of yours reads
//! its own from a file. The TLS handshake has a place among a limited number, and the time of the opening handshake.
//!
//! ```text
//! cargo run --release --features tokio,deflate --example tls_server -- --ca-out ca.pem
//! cargo run --features tokio,deflate --example client -- --ca ca.pem wss://localhost:9001/
//! ```

mod support;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use openline::Server;
use openline::tokio::{WebSocket, accept_with};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use support::Options;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, crypto::ring};
use tokio_rustls::server::TlsStream;

const HELP: &str = "usage: tls_server [OPTIONS]

Sends every message back, over TLS. Prints its address once it listens.

options:
  --ca-out FILE                      write the certificate to trust to this file (PEM)
";

/// How many connections may be in their handshakes, of TLS and of HTTP. The others wait in the kernel.
const HANDSHAKES: usize = 500;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut ca_out = None;
    let options = Options::from_args(HELP, |name, args| {
        if name == "ca-out" {
            ca_out = Some(args.value()?);
        }
        Ok(name == "ca-out")
    });
    let (config, ca) = certified()?;
    if let Some(file) = ca_out {
        std::fs::write(file, ca)?;
    }
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = Server::default().handshake(options.handshake).config(options.config);
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let listener = TcpListener::bind(options.listen).await?;
    println!("listening on wss://{}", listener.local_addr()?);
    loop {
        let turn = Arc::clone(&handshakes).acquire_owned().await?;
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of file descriptors, perhaps: some will be closed in a moment.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (server, acceptor) = (server.clone(), acceptor.clone());
        tokio::spawn(async move {
            if let Err(error) = serve(&server, &acceptor, stream, turn).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

async fn serve(
    server: &Server,
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    turn: OwnedSemaphorePermit,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let opening = async {
        let stream = acceptor.accept(stream).await?;
        accept_with(server, stream).await
    };
    // Both handshakes have one time limit.
    let mut socket: WebSocket<TlsStream<TcpStream>> = timeout(server.timeout(), opening).await??;
    drop(turn);
    while let Some(message) = socket.recv().await? {
        socket.feed(message).await?;
    }
    Ok(())
}

/// A certificate, with the authority that has signed it.
fn certified() -> Result<(ServerConfig, String), Box<dyn Error>> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let certificate = params.signed_by(&key, &ca)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into()?)?;
    // Browsers offer HTTP/2 too, over which there is no handshake of RFC 6455.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((config, ca.pem()))
}
