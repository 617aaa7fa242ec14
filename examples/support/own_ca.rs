//! TLS with a connector of one's own, over tokio: it trusts the certificates of a file, besides what the platform trusts.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use openline::Client;
use openline::tokio::{Stream, WebSocket, connect_on, connect_tcp};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig};

/// A connector that trusts the certificates in this file (PEM) too.
///
/// # Errors
///
/// The file cannot be read, or has no certificate.
pub(crate) fn connector(file: &Path) -> Result<TlsConnector, Box<dyn Error>> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)?.collect::<Result<_, _>>()?;
    if certificates.is_empty() {
        return Err("there is no certificate in it".into());
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier::new_with_extra_roots(certificates, Arc::clone(&provider))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous() // The verifier is the platform's, so there is no danger.
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    // With HTTP/2 there is no handshake of RFC 6455. If the server wants another protocol, rustls refuses.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// As `openline::tokio::connect_with` for a `wss://` URI, with this connector.
///
/// # Errors
///
/// As that, but what fails in TLS is an `Error::Io`.
pub(crate) async fn connect(
    client: &Client,
    connector: TlsConnector,
) -> Result<WebSocket<TlsStream<Stream>>, openline::Error> {
    let host = client.request().uri().host().to_owned();
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let opening = async {
        let stream = connect_tcp(client).await?;
        connect_on(client, connector.connect(name, stream).await?).await
    };
    match tokio::time::timeout(client.timeout(), opening).await {
        Ok(opened) => opened,
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}

/// Whether this is about a certificate.
pub(crate) fn is_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented))
}
