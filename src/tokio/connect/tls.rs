//! Carries the bytes of a [`TlsSession`] over TCP.

use std::future::Future;
use std::io::{self, BufRead, IoSlice, Write};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::vec::Vec;

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ::tokio::net::TcpStream;
use ::tokio::task::consume_budget;

use crate::TlsError;
use crate::driver::TlsSession;

/// A TLS session, and its bytes that wait to be written.
pub(super) struct Tls {
    session: TlsSession,
    out: Vec<u8>,
    /// How many bytes of `out` have been written.
    sent: usize,
    closed: bool,
}

impl Tls {
    /// `ahead` has bytes of the server that have been read.
    pub(super) fn new(mut session: TlsSession, ahead: &[u8]) -> Tls {
        session.receive(ahead);
        Tls { session, out: Vec::new(), sent: 0, closed: false }
    }

    pub(super) fn poll_handshake(&mut self, tcp: &mut TcpStream, cx: &mut Context<'_>) -> Poll<Result<(), TlsError>> {
        loop {
            // Also after a failure: there may be an alert, which says to the server what is wrong. Why there is no session
            // comes before that it did not leave.
            let written = self.poll_flush(tcp, cx);
            if self.session.is_open()? {
                return written.map_err(TlsError::from);
            }
            if let Poll::Ready(Err(error)) = written {
                return Poll::Ready(Err(error.into()));
            }
            if ready!(self.poll_receive(tcp, cx))? == 0 {
                return Poll::Ready(Err(TlsError::Io(io::ErrorKind::UnexpectedEof.into())));
            }
        }
    }

    pub(super) fn poll_read(
        &mut self,
        tcp: &mut TcpStream,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut read = 0_usize;
        loop {
            match self.session.fill_buf() {
                Ok(bytes) => {
                    let taken = bytes.len().min(buffer.remaining());
                    buffer.put_slice(bytes.get(..taken).unwrap_or_default());
                    self.session.consume(taken);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                Err(_) => {
                    read = read.saturating_add(ready!(self.poll_receive(tcp, cx))?);
                    // Other tasks must run too, even if bytes come without end and bring nothing.
                    if read >= FAIR_SHARE {
                        return give_way(cx);
                    }
                }
            }
        }
    }

    /// Reads encrypted bytes, once. Returns how many came, which is 0 at the end.
    fn poll_receive(&mut self, tcp: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [const { MaybeUninit::uninit() }; READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(tcp).poll_read(cx, &mut buffer))?;
        match buffer.filled() {
            [] => self.session.handle_eof(),
            bytes => self.session.receive(bytes),
        }
        Poll::Ready(Ok(buffer.filled().len()))
    }

    pub(super) fn poll_write(
        &mut self,
        tcp: &mut TcpStream,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // What was encrypted before leaves first. So the memory for encrypted bytes has a limit.
        ready!(self.poll_flush(tcp, cx))?;
        Poll::Ready(self.session.write_vectored(slices))
    }

    pub(super) fn poll_flush(&mut self, tcp: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.transmit(&mut self.out);
        while let Some(bytes) = self.out.get(self.sent..).filter(|bytes| !bytes.is_empty()) {
            match ready!(Pin::new(&mut *tcp).poll_write(cx, bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                len => self.sent = self.sent.saturating_add(len),
            }
        }
        self.sent = 0;
        self.out.clear();
        self.out.shrink_to(KEEP);
        Poll::Ready(Ok(()))
    }

    /// Sends a close_notify, and then ends TCP.
    pub(super) fn poll_shutdown(&mut self, tcp: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            self.session.close();
            self.closed = true;
        }
        ready!(self.poll_flush(tcp, cx))?;
        Pin::new(tcp).poll_shutdown(cx)
    }
}

/// Lets other tasks run. tokio's budget is used up, which says that the transport has not been asked for all it has.
fn give_way<T>(cx: &mut Context<'_>) -> Poll<T> {
    for _ in 0..BUDGET {
        if pin!(consume_budget()).poll(cx).is_pending() {
            return Poll::Pending;
        }
    }
    // Outside of the budget.
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// How many encrypted bytes are read before other tasks run.
const FAIR_SHARE: usize = 128 * 1024;

/// More than tokio's budget.
const BUDGET: u8 = 255;

/// How many encrypted bytes are read at once: a record of the greatest length.
const READ: usize = 16 * 1024 + 256;

/// How many bytes of memory for encrypted bytes are kept.
const KEEP: usize = 4 * 1024;
