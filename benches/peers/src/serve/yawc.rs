//! yawc on the bare TcpStream, which is faster than hyper's Upgraded. It checks UTF-8 only if told to: here it is.

use futures_util::SinkExt;
use tokio::net::TcpStream;
use yawc::{CompressionLevel, Frame, OpCode, Options, Role, WebSocket, WebSocketError};

use super::peer::Peer;
use super::{LONGEST, Setup, hand};
use crate::Result;

pub struct Yawc(WebSocket<TcpStream>);

fn options(setup: &Setup) -> Options {
    let mut options = Options::default().with_utf8().with_limits(LONGEST, LONGEST);
    if let Some(deflate) = setup.deflate {
        options = match deflate.level {
            Some(level) => options.with_compression_level(CompressionLevel::new(level.into())),
            None => options.with_balanced_compression(),
        };
        if !deflate.takeover {
            options = options.server_no_context_takeover().client_no_context_takeover();
        }
    }
    options
}

impl Peer for Yawc {
    type Message = Frame;
    type Shared = Frame;

    async fn open(mut io: TcpStream, setup: &'static Setup) -> Result<Yawc> {
        hand::upgrade(&mut io, setup.deflate).await?;
        let extension = setup.deflate.map(hand::agreed);
        Ok(Yawc(WebSocket::from_stream_with_extensions(io, Role::Server, extension, options(setup))?))
    }

    async fn recv(&mut self) -> Result<Option<Frame>> {
        loop {
            match self.0.next_frame().await {
                Ok(frame) if matches!(frame.opcode(), OpCode::Text | OpCode::Binary) => return Ok(Some(frame)),
                Ok(_) => {}
                Err(WebSocketError::ConnectionClosed) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn feed(&mut self, frame: Frame) -> Result<()> {
        Ok(self.0.feed(frame).await?)
    }

    fn share(&mut self, frame: Frame) -> Frame {
        frame
    }

    async fn feed_shared(&mut self, frame: &Frame) -> Result<()> {
        Ok(self.0.feed(frame.clone()).await?)
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(SinkExt::flush(&mut self.0).await?)
    }
}
