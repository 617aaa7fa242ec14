//! The transport of a WebSocket that this adapter has connected: TCP, with TLS or without.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec::Vec;

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ::tokio::net::TcpStream;

#[cfg(feature = "rustls-no-provider")]
use super::tls::Tls;

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
    Tls(std::boxed::Box<Tls>),
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
    pub(super) async fn secure(self, session: crate::driver::TlsSession) -> Result<Stream, crate::TlsError> {
        let Stream { mut tcp, ahead, .. } = self;
        let mut tls = std::boxed::Box::new(Tls::new(session, &ahead));
        std::future::poll_fn(|cx| tls.poll_handshake(&mut tcp, cx)).await?;
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

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Stream { tcp, ahead, layer } = self.get_mut();
        if !ahead.is_empty() {
            let len = ahead.len().min(buffer.remaining());
            buffer.put_slice(ahead.drain(..len).as_slice());
            return Poll::Ready(Ok(()));
        }
        match layer {
            Layer::Plain => Pin::new(tcp).poll_read(cx, buffer),
            #[cfg(feature = "rustls-no-provider")]
            Layer::Tls(tls) => tls.poll_read(tcp, cx, buffer),
        }
    }
}

/// With TLS, bytes may lie in the stream until it is flushed.
impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Stream { tcp, layer, .. } = self.get_mut();
        match layer {
            Layer::Plain => Pin::new(tcp).poll_write(cx, bytes),
            #[cfg(feature = "rustls-no-provider")]
            Layer::Tls(tls) => tls.poll_write(tcp, cx, &[IoSlice::new(bytes)]),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Stream { tcp, layer, .. } = self.get_mut();
        match layer {
            Layer::Plain => Pin::new(tcp).poll_write_vectored(cx, slices),
            #[cfg(feature = "rustls-no-provider")]
            Layer::Tls(tls) => tls.poll_write(tcp, cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Stream { tcp, layer, .. } = self.get_mut();
        match layer {
            Layer::Plain => Pin::new(tcp).poll_flush(cx),
            #[cfg(feature = "rustls-no-provider")]
            Layer::Tls(tls) => tls.poll_flush(tcp, cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Stream { tcp, layer, .. } = self.get_mut();
        match layer {
            Layer::Plain => Pin::new(tcp).poll_shutdown(cx),
            #[cfg(feature = "rustls-no-provider")]
            Layer::Tls(tls) => tls.poll_shutdown(tcp, cx),
        }
    }
}
