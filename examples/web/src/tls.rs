//! TLS for the examples: a certificate that is made when the program starts, and ALPN (RFC 7301), by which a client learns
//! that it may speak HTTP/2 here. Browsers speak HTTP/2 only after ALPN.

use std::error::Error;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// Accepts TLS with a certificate for localhost and 127.0.0.1. The text is the certificate of the authority that has
/// signed it, in PEM: a client that is to trust this server needs it.
///
/// # Errors
///
/// No key could be made, for want of random numbers.
pub fn self_made() -> Result<(TlsAcceptor, String), Box<dyn Error + Send + Sync>> {
    let mut params = CertificateParams::default();
    // The name says that this is no authority to keep.
    params.distinguished_name.push(DnType::CommonName, "openline example, made at its start");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let key = KeyPair::generate()?;
    let params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let certificate = params.signed_by(&key, &authority)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let mut config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key)?;
    // The server's order decides. A client that offers neither is refused by an alert; one that offers nothing speaks
    // HTTP/1.1.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), authority.pem()))
}
