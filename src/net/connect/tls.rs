//! Carries the bytes of a [`TlsSession`] over a blocking TCP connection, for one thread or two.
//!
//! There are three locks. `input` is held by the thread that reads from TCP, and `output` by the one that writes to it,
//! also while they wait there: so the records stay in their order. `session` is held for the cryptography only, and last.
//! So a thread that waits in a read does not keep another one from writing, and there is no deadlock.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use super::Steps;
use crate::TlsError;
use crate::driver::TlsSession;

/// A TLS session, for the handles of one connection.
pub(super) struct Tls {
    input: Mutex<()>,
    output: Mutex<Output>,
    session: Mutex<TlsSession>,
}

/// Encrypted bytes that wait to be written.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    /// How many of them have been written.
    sent: usize,
    closed: bool,
}

impl Tls {
    /// Makes the handshake.
    pub(super) fn handshake(mut session: TlsSession, tcp: &TcpStream, steps: &Steps) -> Result<Tls, TlsError> {
        let mut input = [0; READ];
        loop {
            let mut bytes = Vec::new();
            session.transmit(&mut bytes);
            let written = steps.write_all(tcp, &bytes);
            // Why there is no session comes before that an alert about it did not leave.
            if session.is_open()? {
                written?;
                return Ok(Tls { input: Mutex::default(), output: Mutex::default(), session: Mutex::new(session) });
            }
            written?;
            match steps.read(tcp, &mut input)? {
                [] => return Err(TlsError::Io(io::ErrorKind::UnexpectedEof.into())),
                bytes => session.receive(bytes),
            }
        }
    }

    /// Reads from TCP once, unless plain bytes are there.
    pub(super) fn read(&self, mut tcp: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        let _input = lock(&self.input);
        match lock(&self.session).read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
        // An idle connection owns no buffer.
        let mut input = [0; READ];
        let len = tcp.read(&mut input)?;
        let mut session = lock(&self.session);
        match input.get(..len).unwrap_or_default() {
            [] => session.handle_eof(),
            bytes => session.receive(bytes),
        }
        match session.read(buffer) {
            // A part of a record has come. The caller has a look at its deadlines, and reads again. If the read was full,
            // more lies there, and the peer is not to be given up for its silence.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && len == READ => {
                Err(io::ErrorKind::Interrupted.into())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::TimedOut.into()),
            read => read,
        }
    }

    /// Takes bytes, which leave with the next flush. What was taken before leaves first.
    pub(super) fn write(&self, tcp: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut output = lock(&self.output);
        output.write(tcp)?;
        let mut session = lock(&self.session);
        let taken = session.write_vectored(slices)?;
        session.transmit(&mut output.bytes);
        Ok(taken)
    }

    /// Writes to TCP once.
    pub(super) fn flush(&self, tcp: &TcpStream) -> io::Result<()> {
        let mut output = lock(&self.output);
        lock(&self.session).transmit(&mut output.bytes);
        output.write(tcp)
    }

    /// Sends a close_notify.
    pub(super) fn close(&self, tcp: &TcpStream) -> io::Result<()> {
        let mut output = lock(&self.output);
        if !output.closed {
            lock(&self.session).close();
            output.closed = true;
        }
        lock(&self.session).transmit(&mut output.bytes);
        output.write(tcp)
    }
}

impl Output {
    /// Writes to TCP once. [`TimedOut`](io::ErrorKind::TimedOut) if bytes are left.
    fn write(&mut self, mut tcp: &TcpStream) -> io::Result<()> {
        let Some(bytes) = self.bytes.get(self.sent..).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        match tcp.write(bytes)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            len => self.sent = self.sent.saturating_add(len),
        }
        if self.sent < self.bytes.len() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.sent = 0;
        self.bytes.clear();
        self.bytes.shrink_to(KEEP);
        Ok(())
    }
}

/// A poisoned lock can be used: whoever panicked has left the session or the bytes valid.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many encrypted bytes are read at once: a record of the greatest length.
const READ: usize = 16 * 1024 + 256;

/// How many bytes of memory for encrypted bytes are kept.
const KEEP: usize = 4 * 1024;
