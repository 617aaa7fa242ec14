//! tungstenite over tokio-tungstenite.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

use super::peer::Peer;
use super::{LONGEST, Setup};
use crate::Result;

pub struct Tungstenite(WebSocketStream<TcpStream>);

pub fn config() -> WebSocketConfig {
    WebSocketConfig::default().max_frame_size(Some(LONGEST))
}

impl Peer for Tungstenite {
    type Message = Message;
    type Shared = Message;

    async fn open(io: TcpStream, _: &'static Setup) -> Result<Tungstenite> {
        Ok(Tungstenite(accept_async_with_config(io, Some(config())).await?))
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
