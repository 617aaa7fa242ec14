//! openline: the loop that its README shows, and two that avoid the message's allocation.

use std::sync::OnceLock;

use openline::Server;
use openline::tokio::{WebSocket, accept_with};
use openline::{Event, HandshakeConfig, Message, Prepared};
use tokio::net::TcpStream;

use super::peer::Peer;
use super::{Deflate, Setup};
use crate::Result;

pub struct Openline(WebSocket<TcpStream>);

/// One for all connections.
static SERVER: OnceLock<Server> = OnceLock::new();

async fn accept(io: TcpStream, setup: &Setup) -> Result<WebSocket<TcpStream>> {
    let server = SERVER.get_or_init(|| {
        let mut config = HandshakeConfig::default();
        config.deflate.extend(setup.deflate.map(wish));
        Server::default().handshake(config)
    });
    Ok(accept_with(server, io).await?)
}

fn wish(deflate: Deflate) -> openline::Deflate {
    let mut wish = openline::Deflate::default();
    wish.send.takeover = deflate.takeover;
    wish.receive.takeover = deflate.takeover;
    wish.level = deflate.level.unwrap_or(wish.level);
    wish
}

impl Peer for Openline {
    type Message = Message<'static>;
    type Shared = Prepared;

    async fn open(io: TcpStream, setup: &'static Setup) -> Result<Openline> {
        accept(io, setup).await.map(Openline)
    }

    async fn recv(&mut self) -> Result<Option<Message<'static>>> {
        Ok(self.0.recv().await?)
    }

    async fn feed(&mut self, message: Message<'static>) -> Result<()> {
        Ok(self.0.feed(message).await?)
    }

    fn share(&mut self, message: Message<'static>) -> Prepared {
        Prepared::new(message)
    }

    async fn feed_shared(&mut self, message: &Prepared) -> Result<()> {
        Ok(self.0.feed(message).await?)
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(self.0.flush().await?)
    }
}

/// An echo of borrowed messages. An event borrows from the socket, which therefore cannot send it: it goes through a
/// buffer that is kept. A long message owns its data, and is sent as it is.
pub async fn echo_events(io: TcpStream, setup: &Setup) -> Result<()> {
    let mut socket = Box::pin(accept(io, setup)).await?;
    let (mut text, mut data) = (String::new(), Vec::new());
    while let Some(event) = socket.event().await? {
        let Event::Message(message) = event else { continue };
        if message.is_owned() {
            let owned = message.into_owned();
            socket.feed(owned).await?;
        } else {
            let kept = keep(&message, &mut text, &mut data);
            socket.feed(kept).await?;
        }
    }
    Ok(())
}

/// An echo that holds no whole message.
pub async fn echo_chunks(io: TcpStream, setup: &Setup) -> Result<()> {
    let mut socket = Box::pin(accept(io, setup)).await?;
    while let Some(chunk) = socket.recv_chunk().await? {
        let chunk = chunk.into_owned();
        socket.send_fragment(chunk.data, chunk.last).await?;
    }
    Ok(())
}

fn keep<'k>(message: &Message<'_>, text: &'k mut String, data: &'k mut Vec<u8>) -> Message<'k> {
    if let Some(new) = message.as_text() {
        text.clear();
        text.push_str(new);
        Message::from(&*text)
    } else {
        data.clear();
        data.extend_from_slice(message.as_bytes());
        Message::from(&*data)
    }
}
