//! The transport of a WebSocket that this adapter has connected: TCP, with TLS or without.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;
use std::vec::Vec;

#[cfg(feature = "rustls-no-provider")]
use super::tls::Tls;
use crate::net::Transport;

/// The transport of a WebSocket that [`connect`](super::connect()) has opened: TCP, with TLS for `wss://`, perhaps through
/// a proxy.
pub struct Stream {
    tcp: TcpStream,
    /// Bytes of the server that were read together with the proxy's last ones.
    ahead: Vec<u8>,
    layer: Layer,
}

enum Layer {
    Plain,
    #[cfg(feature = "rustls-no-provider")]
    Tls(std::sync::Arc<Tls>),
}

impl Stream {
    /// The TCP connection, to look at or to set options: to the server, or to the proxy. Do not read or write it.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Whether there is TLS in this stream.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        !matches!(self.layer, Layer::Plain)
    }

    pub(super) fn plain(tcp: TcpStream, ahead: Vec<u8>) -> Stream {
        Stream { tcp, ahead, layer: Layer::Plain }
    }

    /// Makes the TLS handshake of a client.
    #[cfg(feature = "rustls-no-provider")]
    pub(super) fn secure(
        self,
        mut session: crate::driver::TlsSession,
        steps: &super::Steps,
    ) -> Result<Stream, crate::TlsError> {
        let Stream { tcp, ahead, .. } = self;
        session.receive(&ahead);
        let tls = std::sync::Arc::new(Tls::handshake(session, &tcp, steps)?);
        Ok(Stream { tcp, ahead: Vec::new(), layer: Layer::Tls(tls) })
    }
}

/// `Debug` shows no byte.
impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("tcp", &self.tcp)
            .field("tls", &self.is_tls())
            .field("bytes_ahead", &self.ahead.len())
            .finish()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.ahead.is_empty() {
            let len = self.ahead.as_slice().read(buffer)?;
            self.ahead.drain(..len);
            return Ok(len);
        }
        match &self.layer {
            Layer::Plain => self.tcp.read(buffer),
            #[cfg(feature = "rustls-no-provider")]
            Layer::Tls(tls) => tls.read(&self.tcp, buffer),
        }
    }
}

/// With TLS, bytes may lie in the stream until it is flushed.
impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.layer {
            Layer::Plain => self.tcp.write(bytes),
            #[cfg(feature = "rustls-no-provider")]
            Layer::Tls(tls) => tls.write(&self.tcp, &[IoSlice::new(bytes)]),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.layer {
            Layer::Plain => self.tcp.write_vectored(slices),
            #[cfg(feature = "rustls-no-provider")]
            Layer::Tls(tls) => tls.write(&self.tcp, slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &self.layer {
            Layer::Plain => self.tcp.flush(),
            #[cfg(feature = "rustls-no-provider")]
            Layer::Tls(tls) => tls.flush(&self.tcp),
        }
    }
}

/// A read, a write and a flush are one system call each, with TLS too. A read that has brought no whole record of TLS
/// fails with [`TimedOut`](io::ErrorKind::TimedOut), or with [`Interrupted`](io::ErrorKind::Interrupted) if more lies there;
/// a flush after which bytes are left fails with `TimedOut`.
///
/// Two threads may read and write at the same time, on two handles.
impl Transport for Stream {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.tcp.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.tcp.set_write_timeout(timeout)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match &self.layer {
            Layer::Plain => {}
            #[cfg(feature = "rustls-no-provider")]
            Layer::Tls(tls) => tls.close(&self.tcp)?,
        }
        self.tcp.shutdown(Shutdown::Write)
    }

    fn try_clone(&self) -> io::Result<Stream> {
        // Only one handle can have them. The opening handshake reads them, so a WebSocket that is open can be split.
        if !self.ahead.is_empty() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let layer = match &self.layer {
            Layer::Plain => Layer::Plain,
            #[cfg(feature = "rustls-no-provider")]
            Layer::Tls(tls) => Layer::Tls(std::sync::Arc::clone(tls)),
        };
        Ok(Stream { tcp: self.tcp.try_clone()?, ahead: Vec::new(), layer })
    }
}
