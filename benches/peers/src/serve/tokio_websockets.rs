//! tokio-websockets.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_websockets::{Message, ServerBuilder, WebSocketStream};

use super::Setup;
use super::peer::Peer;
use crate::Result;

pub struct TokioWebsockets(WebSocketStream<TcpStream>);

impl Peer for TokioWebsockets {
    type Message = Message;
    type Shared = Message;

    async fn open(io: TcpStream, _: &'static Setup) -> Result<TokioWebsockets> {
        let (_, socket) = ServerBuilder::new().accept(io).await?;
        Ok(TokioWebsockets(socket))
    }

    async fn recv(&mut self) -> Result<Option<Message>> {
        while let Some(message) = self.0.next().await {
            let message = message?;
            if message.is_text() || message.is_binary() {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    async fn feed(&mut self, message: Message) -> Result<()> {
        Ok(self.0.feed(message).await?)
    }

    fn share(&mut self, message: Message) -> Message {
        message
    }

    async fn feed_shared(&mut self, message: &Message) -> Result<()> {
        Ok(self.0.feed(message.clone()).await?)
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(self.0.flush().await?)
    }
}
