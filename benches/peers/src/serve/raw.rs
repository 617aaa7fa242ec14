//! Not a WebSocket: gives back the bytes that come. What the kernel and tokio cost, and so the limit.

use std::io::ErrorKind;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Setup;
use super::peer::Peer;
use crate::Result;

pub struct Raw {
    io: TcpStream,
    buffer: Vec<u8>,
    outbox: Vec<u8>,
}

/// Large enough for few reads of a large message. Pages that are never touched cost nothing.
const BUFFER: usize = 512 * 1024;

impl Peer for Raw {
    /// How many bytes of the buffer.
    type Message = usize;
    type Shared = Bytes;

    async fn open(io: TcpStream, _: &'static Setup) -> Result<Raw> {
        Ok(Raw { io, buffer: vec![0; BUFFER], outbox: Vec::new() })
    }

    async fn recv(&mut self) -> Result<Option<usize>> {
        let len = self.io.read(&mut self.buffer).await?;
        Ok((len > 0).then_some(len))
    }

    async fn feed(&mut self, len: usize) -> Result<()> {
        self.io.write_all(&self.buffer[..len]).await.map_err(Into::into)
    }

    fn share(&mut self, len: usize) -> Bytes {
        Bytes::copy_from_slice(&self.buffer[..len])
    }

    async fn feed_shared(&mut self, message: &Bytes) -> Result<()> {
        self.outbox.extend_from_slice(message);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        if !self.outbox.is_empty() {
            self.io.write_all(&self.outbox).await?;
            self.outbox.clear();
        }
        Ok(())
    }
}

/// An echo that holds nothing while it waits: what a task and a socket take.
pub async fn echo_lean(mut io: TcpStream) -> Result<()> {
    loop {
        io.readable().await?;
        let mut buffer = Vec::with_capacity(2048);
        match io.try_read_buf(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => io.write_all(&buffer).await?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// An echo that has all of a message, of s4's length, before any of it goes back: what whole messages cost.
pub async fn echo_whole(mut io: TcpStream) -> Result<()> {
    let mut message = vec![0; 1024 * 1024 + 14];
    loop {
        io.read_exact(&mut message).await?;
        io.write_all(&message).await?;
    }
}
