//! The server on hyper over TLS: ALPN says which version of HTTP is spoken, and a WebSocket opens over each.

use std::sync::Arc;

use openline::{Client, ClientRequest, CloseCode, Server};
use openline_http_examples::hyper_server::{Host, TLS_TIMEOUT};
use openline_http_examples::{hyper_client, tls};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio_rustls::rustls::{AlertDescription, ClientConfig, Error, RootCertStore};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A server: its address, and what a client trusts.
async fn serve() -> Outcome<(String, RootCertStore)> {
    let (acceptor, ca) = tls::self_made()?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes())?)?;
    let mut host = Host::new(Server::default());
    host.tls = Some(acceptor);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?.to_string();
    tokio::spawn(host.serve(listener));
    Ok((at, roots))
}

async fn connect(at: &str, roots: &RootCertStore, name: &'static str, alpn: &[&str]) -> Outcome<TlsStream<TcpStream>> {
    let mut config = ClientConfig::builder().with_root_certificates(roots.clone()).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name)?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(at).await?).await?)
}

#[tokio::test]
async fn alpn_says_which_version_is_spoken() -> Outcome {
    let (at, roots) = serve().await?;
    let client = Client::new(ClientRequest::new("ws://localhost/echo")?);
    for (name, offered, chosen) in [
        ("localhost", &["h2", "http/1.1"][..], Some("h2")),
        ("127.0.0.1", &["http/1.1", "h2"], Some("h2")),
        ("127.0.0.1", &["http/1.1"], Some("http/1.1")),
        ("localhost", &[], None),
    ] {
        let stream = connect(&at, &roots, name, offered).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen.map(str::as_bytes), "{offered:?}");
        let opened = match chosen {
            Some("h2") => match hyper_client::http2_connection(stream).await {
                Ok(mut connection) => hyper_client::over_http2(&client, &mut connection).await,
                Err(error) => Err(error),
            },
            _ => hyper_client::over_http1(&client, stream).await,
        };
        let mut socket = opened.map_err(|error| error.to_string())?;
        socket.send("over TLS").await?;
        assert_eq!(socket.recv().await?, Some("over TLS".into()));
        socket.close(CloseCode::NORMAL, "").await?;
    }
    Ok(())
}

/// A client that offers only what the server does not speak learns so before it has sent a byte of HTTP.
#[tokio::test]
async fn another_protocol_is_refused_by_an_alert() -> Outcome {
    let (at, roots) = serve().await?;
    let error = connect(&at, &roots, "localhost", &["http/0.9"]).await.unwrap_err();
    let error = error.downcast::<std::io::Error>()?.downcast::<Error>()?;
    assert_eq!(error, Error::AlertReceived(AlertDescription::NoApplicationProtocol));
    Ok(())
}

/// The clock stands still while anything happens, so what has passed at the end is the server's limit.
#[tokio::test(start_paused = true)]
async fn a_client_that_begins_no_handshake_is_not_waited_for() -> Outcome {
    let (at, _) = serve().await?;
    let mut silent = TcpStream::connect(&at).await?;
    let began = Instant::now();
    assert_eq!(silent.read(&mut [0]).await?, 0);
    assert!(began.elapsed() >= TLS_TIMEOUT);
    Ok(())
}
