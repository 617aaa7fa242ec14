//! sockudo-ws. Its receiving flushes before it waits, so `+batch` needs no flush. With permessage-deflate it is another
//! type, which has no handshake of its own.

use futures_util::{SinkExt, StreamExt};
use sockudo_ws::server::WebSocketServer;
use sockudo_ws::{CompressedWebSocketStream, Config, DeflateConfig, Http1, Message, WebSocketStream};
use tokio::net::TcpStream;

use super::peer::Peer;
use super::{LONGEST, Setup, hand};
use crate::Result;

pub struct Sockudo(WebSocketStream<TcpStream>);
pub struct Compressed(CompressedWebSocketStream<TcpStream>);

fn config() -> Config {
    Config::builder().max_frame_size(LONGEST).build()
}

async fn open(io: TcpStream, _: &Setup) -> Result<WebSocketStream<TcpStream>> {
    let (socket, _) = WebSocketServer::<Http1>::new(config()).accept_raw(io).await?;
    Ok(socket)
}

async fn open_compressed(mut io: TcpStream, setup: &Setup) -> Result<CompressedWebSocketStream<TcpStream>> {
    hand::upgrade(&mut io, setup.deflate).await?;
    let wish = setup.deflate.ok_or("nothing to compress")?;
    let mut deflate = DeflateConfig {
        server_no_context_takeover: !wish.takeover,
        client_no_context_takeover: !wish.takeover,
        ..DeflateConfig::default()
    };
    deflate.compression_level = wish.level.map_or(deflate.compression_level, Into::into);
    Ok(CompressedWebSocketStream::server(io, config(), deflate))
}

macro_rules! peer {
    ($name:ident, $open:ident) => {
        impl Peer for $name {
            type Message = Message;
            type Shared = Message;

            async fn open(io: TcpStream, setup: &'static Setup) -> Result<$name> {
                $open(io, setup).await.map($name)
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
    };
}

peer!(Sockudo, open);
peer!(Compressed, open_compressed);
