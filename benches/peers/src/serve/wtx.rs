//! wtx. It writes each frame at once.

use bytes::Bytes;
use tokio::net::TcpStream;
use wtx::collection::Vector;
use wtx::rng::Xorshift64;
use wtx::web_socket::compression::{Flate2, NegotiatedCompression, NegotiatedFlate2};
use wtx::web_socket::{
    CompressionLevel, DeflateConfig, Frame, OpCode, WebSocketAcceptor, WebSocketOwned, WebSocketPayloadOrigin,
};

use super::peer::Peer;
use super::{LONGEST, Setup};
use crate::Result;

type Socket<C> = WebSocketOwned<C, Xorshift64, TcpStream, false>;

fn text(error: wtx::Error) -> crate::Error {
    format!("{error:?}").into()
}

async fn open(io: TcpStream) -> Result<Socket<()>> {
    let mut socket = WebSocketAcceptor::default().accept(io).await.map_err(text)?;
    socket.set_max_payload_len(LONGEST);
    Ok(socket)
}

/// An echo without a copy, as wtx's own: reader and writer are apart.
pub async fn echo(io: TcpStream) -> Result<()> {
    let mut socket = Box::pin(open(io)).await?;
    echo_over(&mut socket).await
}

/// As [`echo`], with permessage-deflate. Whether the context is kept is wtx's own choice.
pub async fn echo_compressed(io: TcpStream, setup: &Setup) -> Result<()> {
    let mut config = DeflateConfig::default();
    if let Some(level) = setup.deflate.and_then(|deflate| deflate.level) {
        config.compression_level = CompressionLevel::try_from(level).map_err(text)?;
    }
    let acceptor = WebSocketAcceptor::default().compression(Flate2::from(config));
    let mut socket: Socket<Option<NegotiatedFlate2>> = Box::pin(acceptor.accept(io)).await.map_err(text)?;
    echo_over(&mut socket).await
}

async fn echo_over<C: NegotiatedCompression>(socket: &mut Socket<C>) -> Result<()> {
    let (mut common, mut reader, mut writer) = socket.split_mut();
    let mut buffer = Vector::new();
    loop {
        let read = reader.read_frame(&mut buffer, &mut common, WebSocketPayloadOrigin::Adaptive);
        let mut frame = read.await.map_err(text)?;
        match frame.op_code() {
            OpCode::Text | OpCode::Binary => writer.write_frame(&mut common, &mut frame).await.map_err(text)?,
            OpCode::Close => return Ok(()),
            _ => {}
        }
    }
}

/// For broadcasts: a message is kept in the buffer that it is copied into.
pub struct Wtx {
    socket: Socket<()>,
    buffer: Vector<u8>,
}

impl Peer for Wtx {
    type Message = OpCode;
    type Shared = (OpCode, Bytes);

    async fn open(io: TcpStream, _: &'static Setup) -> Result<Wtx> {
        Ok(Wtx { socket: open(io).await?, buffer: Vector::new() })
    }

    async fn recv(&mut self) -> Result<Option<OpCode>> {
        loop {
            let read = self.socket.read_frame(&mut self.buffer, WebSocketPayloadOrigin::Consistent);
            match read.await.map_err(text)?.op_code() {
                OpCode::Close => return Ok(None),
                opcode @ (OpCode::Text | OpCode::Binary) => return Ok(Some(opcode)),
                _ => {}
            }
        }
    }

    async fn feed(&mut self, opcode: OpCode) -> Result<()> {
        let mut frame = Frame::new_fin(opcode, &mut self.buffer[..]);
        self.socket.write_frame(&mut frame).await.map_err(text)
    }

    fn share(&mut self, opcode: OpCode) -> (OpCode, Bytes) {
        (opcode, Bytes::copy_from_slice(&self.buffer))
    }

    async fn feed_shared(&mut self, (opcode, bytes): &(OpCode, Bytes)) -> Result<()> {
        let mut frame = Frame::new_fin(*opcode, bytes.to_vec());
        self.socket.write_frame(&mut frame).await.map_err(text)
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
