//! A client's TLS session (RFC 8446, RFC 5246) without IO: rustls, with what a WebSocket needs of it. Only this file
//! knows rustls. An adapter carries the bytes, as it does for a connection.

use std::boxed::Box;
use std::fmt;
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::mem;
use std::string::ToString;
use std::sync::{Arc, OnceLock};
use std::vec;
use std::vec::Vec;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ClientConnection};
use rustls_platform_verifier::BuilderVerifierExt;

use super::TlsError;

/// A client's TLS session without IO.
///
/// Encrypted bytes come in by [`receive`](Self::receive) and go out by [`transmit`](Self::transmit). Plain bytes are
/// read and written with [`Read`], [`BufRead`] and [`Write`], which never wait: a read fails with
/// [`WouldBlock`](io::ErrorKind::WouldBlock) until a whole record has come.
///
/// A read returns 0 after the peer's close_notify. If the transport ends without one, the read fails with
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof), which is only an end for [`Driver`](super::Driver): whether
/// something was cut off is seen by the frames.
///
/// ```no_run
/// use std::io::{Read, Write};
/// use openline::driver::TlsSession;
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut tcp = std::net::TcpStream::connect("example.com:443")?;
/// let mut session = TlsSession::new("example.com")?;
/// let mut buffer = [0; 4096];
/// loop {
///     let mut out = Vec::new();
///     session.transmit(&mut out);
///     tcp.write_all(&out)?;
///     if session.is_open()? {
///         break;
///     }
///     match tcp.read(&mut buffer)? {
///         0 => session.handle_eof(),
///         len => session.receive(&buffer[..len]),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct TlsSession {
    rustls: ClientConnection,
    /// Encrypted bytes that wait until what came before has been read: rustls keeps a limited number of plain ones.
    waiting: Vec<u8>,
    /// Why the session has failed.
    failure: Option<rustls::Error>,
    /// Whether the transport has ended.
    ended: bool,
}

impl TlsSession {
    /// A session with the server of this name or address. It trusts what the platform trusts; on Unix the environment
    /// variables `SSL_CERT_FILE` and `SSL_CERT_DIR` say otherwise. That is read once per process. The session offers
    /// `http/1.1` (RFC 7301), the one version of HTTP that has the handshake of RFC 6455.
    ///
    /// # Errors
    ///
    /// [`TlsError::Setup`]: no certificate to trust, no provider of cryptography, or a host that is neither a DNS name
    /// nor an address.
    pub fn new(host: &str) -> Result<TlsSession, TlsError> {
        static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        let config = match CONFIG.get() {
            Some(config) => config,
            None => {
                let made = platform_config()?;
                CONFIG.get_or_init(|| made)
            }
        };
        TlsSession::with_config(Arc::clone(config), host)
    }

    fn with_config(config: Arc<ClientConfig>, host: &str) -> Result<TlsSession, TlsError> {
        let name = ServerName::try_from(host.to_string()).map_err(|error| TlsError::Setup(Box::new(error)))?;
        let mut rustls = ClientConnection::new(config, name).map_err(|error| TlsError::Setup(Box::new(error)))?;
        rustls.set_buffer_limit(Some(MOST_QUEUED));
        Ok(TlsSession { rustls, waiting: Vec::new(), failure: None, ended: false })
    }

    /// Takes encrypted bytes. Call it when a read has failed with [`WouldBlock`](io::ErrorKind::WouldBlock): so what is
    /// kept here is at most what this call and one record bring.
    pub fn receive(&mut self, bytes: &[u8]) {
        let waiting = mem::take(&mut self.waiting);
        if waiting.is_empty() {
            self.waiting = self.decrypt(bytes).to_vec();
        } else {
            self.waiting = waiting;
            self.waiting.extend_from_slice(bytes);
        }
    }

    /// The transport has ended.
    pub fn handle_eof(&mut self) {
        self.ended = true;
        self.pass_on_end();
    }

    /// Tells rustls of the end, by a read of 0 bytes. It takes none while many plain bytes wait, so it is told again.
    fn pass_on_end(&mut self) {
        if self.ended && self.waiting.is_empty() {
            let _ = self.rustls.read_tls(&mut io::empty());
        }
    }

    /// Moves the encrypted bytes that are to be written to the end of `out`.
    pub fn transmit(&mut self, out: &mut Vec<u8>) {
        while self.rustls.wants_write() {
            // To write to memory cannot fail.
            let _ = self.rustls.write_tls(out);
        }
    }

    /// Whether the TLS handshake is over, and HTTP may begin.
    ///
    /// # Errors
    ///
    /// Why there is no session. An alert for the peer may wait to be [transmitted](Self::transmit).
    pub fn is_open(&self) -> Result<bool, TlsError> {
        if let Some(failure) = &self.failure {
            return Err(blame(failure));
        }
        if self.rustls.is_handshaking() {
            return Ok(false);
        }
        // RFC 7301 §3.2: a server that knows no ALPN chooses nothing.
        match self.rustls.alpn_protocol() {
            None | Some(HTTP_1_1) => Ok(true),
            Some(_) => Err(TlsError::Alpn),
        }
    }

    /// Queues a close_notify (RFC 8446 §6.1). Nothing can be written after it.
    pub fn close(&mut self) {
        self.rustls.send_close_notify();
    }

    /// Decrypts as much as there is room for, and returns the rest.
    fn decrypt<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        while !bytes.is_empty() {
            match self.rustls.read_tls(&mut bytes) {
                // After a close_notify nothing is read any more.
                Ok(0) => return &[],
                Ok(_) => {}
                // The plain bytes must be read first.
                Err(_) if self.has_plain() => return bytes,
                // There is no room for a message of the handshake: it is longer than any that is expected.
                Err(error) => {
                    self.failure.get_or_insert(rustls::Error::General(error.to_string()));
                    return &[];
                }
            }
            if let Err(failure) = self.rustls.process_new_packets() {
                self.failure.get_or_insert(failure);
                return &[];
            }
        }
        bytes
    }

    /// Whether plain bytes can be read.
    fn has_plain(&mut self) -> bool {
        self.rustls.reader().into_first_chunk().is_ok_and(|chunk| !chunk.is_empty())
    }

    fn check_failure(&self) -> io::Result<()> {
        if self.failure.is_some() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

impl BufRead for TlsSession {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if !self.waiting.is_empty() && !self.has_plain() {
            let waiting = mem::take(&mut self.waiting);
            self.waiting = self.decrypt(&waiting).to_vec();
        }
        // What came before the failure or the end is read first.
        let has_plain = self.has_plain();
        if !has_plain {
            self.pass_on_end();
        }
        match &self.failure {
            Some(failure) if !has_plain => Err(io::Error::new(io::ErrorKind::InvalidData, failure.clone())),
            _ => self.rustls.reader().into_first_chunk(),
        }
    }

    fn consume(&mut self, amount: usize) {
        self.rustls.reader().consume(amount);
    }
}

/// Reads plain bytes.
impl Read for TlsSession {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(buffer)?;
        self.consume(len);
        Ok(len)
    }
}

/// Takes plain bytes, 32 KiB at most before they are [transmitted](TlsSession::transmit). It returns 0 if there is no
/// room.
impl Write for TlsSession {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check_failure()?;
        self.rustls.writer().write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.check_failure()?;
        self.rustls.writer().write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("TlsSession");
        shown
            .field("handshaking", &self.rustls.is_handshaking())
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

/// What a failure of rustls means.
fn blame(failure: &rustls::Error) -> TlsError {
    use rustls::Error::*;
    match failure {
        InvalidCertificate(_) | NoCertificatesPresented => TlsError::Certificate(Box::new(failure.clone())),
        AlertReceived(AlertDescription::NoApplicationProtocol)
        | PeerMisbehaved(rustls::PeerMisbehaved::SelectedUnofferedApplicationProtocol) => TlsError::Alpn,
        _ => TlsError::Protocol(Box::new(failure.clone())),
    }
}

/// How all sessions are made.
fn platform_config() -> Result<Arc<ClientConfig>, TlsError> {
    let provider = CryptoProvider::get_default().cloned().or_else(own_provider);
    let provider = provider.ok_or_else(|| TlsError::Setup("no provider of cryptography is installed".into()))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map_err(|error| TlsError::Setup(Box::new(error)))?;
    let mut config = config.with_no_client_auth();
    // A server may send long tickets, and they would outlive their connections.
    config.resumption = Resumption::disabled();
    Ok(offering_http_1_1(config))
}

fn offering_http_1_1(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Arc::new(config)
}

#[cfg(feature = "rustls")]
fn own_provider() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(rustls::crypto::ring::default_provider()))
}

#[cfg(not(feature = "rustls"))]
fn own_provider() -> Option<Arc<CryptoProvider>> {
    None
}

const HTTP_1_1: &[u8] = b"http/1.1";

/// How many plain bytes are taken before they are transmitted. Twice as many make an echo of 1 MiB no faster, and half as
/// many an echo of 16 KiB slower by a tenth. A peer has shown no sign of life until it has taken them.
const MOST_QUEUED: usize = 32 * 1024;

#[cfg(test)]
mod tests;
