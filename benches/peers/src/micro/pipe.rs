//! A transport in memory, which never waits: gives the same frames for ever, and takes everything.

use std::hint::black_box;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Clone, Default)]
pub struct Pipe {
    input: Arc<Vec<u8>>,
    at: usize,
    output: Arc<Output>,
}

/// What was written: counted, and kept if somebody is to look at it. Shared, as not every crate gives its transport back.
#[derive(Default)]
pub struct Output {
    count: AtomicUsize,
    keep: AtomicBool,
    kept: Mutex<Vec<u8>>,
}

impl Output {
    #[inline]
    pub fn take(&self, bytes: &[u8]) {
        // One thread: no need to pay for more.
        self.count.store(self.count.load(Relaxed) + bytes.len(), Relaxed);
        if self.keep.load(Relaxed) {
            self.kept.lock().unwrap().extend_from_slice(bytes);
        }
        black_box(bytes.as_ptr());
    }

    /// How many bytes since it was last asked.
    pub fn count(&self) -> usize {
        let count = self.count.load(Relaxed);
        self.count.store(0, Relaxed);
        count
    }

    /// What is written by some work.
    pub fn kept(&self, work: impl FnOnce()) -> Vec<u8> {
        self.keep.store(true, Relaxed);
        work();
        self.keep.store(false, Relaxed);
        std::mem::take(&mut self.kept.lock().unwrap())
    }
}

impl Pipe {
    pub fn new(input: &Arc<Vec<u8>>) -> Pipe {
        Pipe { input: input.clone(), ..Pipe::default() }
    }

    /// Has nothing to read.
    pub fn to(output: &Arc<Output>) -> Pipe {
        Pipe { output: output.clone(), ..Pipe::default() }
    }

    /// The bytes for the next read, of a length at the most.
    fn next(&mut self, most: usize) -> &[u8] {
        let at = self.at;
        let end = self.input.len().min(at + most);
        self.at = if end == self.input.len() { 0 } else { end };
        &self.input[at..end]
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.next(buffer.len());
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.take(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let most = buffer.remaining();
        buffer.put_slice(self.next(most));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        slices.iter().for_each(|bytes| self.output.take(bytes));
        Poll::Ready(Ok(slices.iter().map(|bytes| bytes.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl wtx::stream::StreamReader for Pipe {
    async fn read(&mut self, buffer: &mut [u8]) -> wtx::Result<usize> {
        Ok(Read::read(self, buffer)?)
    }
}

impl wtx::stream::StreamWriter for Pipe {
    async fn write_all(&mut self, bytes: &[u8]) -> wtx::Result<()> {
        self.output.take(bytes);
        Ok(())
    }

    async fn write_all_vectored(&mut self, slices: &[&[u8]]) -> wtx::Result<()> {
        slices.iter().for_each(|bytes| self.output.take(bytes));
        Ok(())
    }
}
