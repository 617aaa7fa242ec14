//! fastwebsockets on the bare TcpStream, which is faster than hyper's Upgraded. It writes each frame at once.

use bytes::Bytes;
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, Role, WebSocket};
use tokio::net::TcpStream;

use super::peer::Peer;
use super::{Setup, hand};
use crate::Result;

pub struct Fast(FragmentCollector<TcpStream>);

impl Peer for Fast {
    type Message = Frame<'static>;
    type Shared = (bool, Bytes);

    async fn open(mut io: TcpStream, _: &'static Setup) -> Result<Fast> {
        hand::upgrade(&mut io, None).await?;
        Ok(Fast(FragmentCollector::new(WebSocket::after_handshake(io, Role::Server))))
    }

    async fn recv(&mut self) -> Result<Option<Frame<'static>>> {
        loop {
            let frame = self.0.read_frame().await?;
            match frame.opcode {
                OpCode::Text | OpCode::Binary => return Ok(Some(frame)),
                OpCode::Close => return Ok(None),
                _ => {}
            }
        }
    }

    async fn feed(&mut self, frame: Frame<'static>) -> Result<()> {
        Ok(self.0.write_frame(Frame::new(true, frame.opcode, None, frame.payload)).await?)
    }

    fn share(&mut self, frame: Frame<'static>) -> (bool, Bytes) {
        (frame.opcode == OpCode::Text, Bytes::copy_from_slice(&frame.payload))
    }

    async fn feed_shared(&mut self, (text, bytes): &(bool, Bytes)) -> Result<()> {
        let opcode = if *text { OpCode::Text } else { OpCode::Binary };
        // The collector's lifetime is that of all its frames: no borrowing here.
        Ok(self.0.write_frame(Frame::new(true, opcode, None, Payload::Owned(bytes.to_vec()))).await?)
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
