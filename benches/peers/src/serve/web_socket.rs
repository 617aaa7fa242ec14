//! web-socket. It reads its header in pieces, so it gets a BufReader; it assembles no fragments and checks no UTF-8,
//! which is done here; it answers no Ping and no Close, which is done here too.

use bytes::Bytes;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use web_socket::{DataType, Event, MessageType, Stream};

use super::peer::Peer;
use super::{LONGEST, Setup, hand};
use crate::Result;

pub struct WebSocket {
    io: web_socket::WebSocket<BufReader<TcpStream>>,
    fragments: Vec<u8>,
}

const BUFFER: usize = 16 * 1024;

fn checked(ty: MessageType, data: Box<[u8]>) -> Result<Option<(MessageType, Box<[u8]>)>> {
    if ty.is_text() {
        simdutf8::basic::from_utf8(&data)?;
    }
    Ok(Some((ty, data)))
}

impl WebSocket {
    async fn send(&mut self, ty: MessageType, data: &[u8]) -> Result<()> {
        Ok(self.io.send_raw(web_socket::Frame { fin: true, opcode: ty as u8, data }).await?)
    }
}

impl Peer for WebSocket {
    type Message = (MessageType, Box<[u8]>);
    type Shared = (MessageType, Bytes);

    async fn open(mut io: TcpStream, _: &'static Setup) -> Result<WebSocket> {
        hand::upgrade(&mut io, None).await?;
        let mut io = web_socket::WebSocket::server(BufReader::with_capacity(BUFFER, io));
        io.max_payload_len = LONGEST;
        Ok(WebSocket { io, fragments: Vec::new() })
    }

    async fn recv(&mut self) -> Result<Option<(MessageType, Box<[u8]>)>> {
        loop {
            match self.io.recv().await? {
                Event::Data { ty: DataType::Complete(ty), data } => return checked(ty, data),
                Event::Data { ty: DataType::Stream(part), data } => {
                    self.fragments.extend_from_slice(&data);
                    if let Stream::End(ty) = part {
                        return checked(ty, std::mem::take(&mut self.fragments).into());
                    }
                }
                Event::Ping(data) => self.io.send_pong(data).await?,
                Event::Pong(_) => {}
                Event::Close { code, .. } => {
                    let data = &code.to_be_bytes();
                    self.io.send_raw(web_socket::Frame { fin: true, opcode: 8, data }).await?;
                    return Ok(None);
                }
                Event::Error(error) => return Err(error.into()),
            }
        }
    }

    async fn feed(&mut self, (ty, data): (MessageType, Box<[u8]>)) -> Result<()> {
        self.send(ty, &data).await
    }

    fn share(&mut self, (ty, data): (MessageType, Box<[u8]>)) -> (MessageType, Bytes) {
        (ty, data.into())
    }

    async fn feed_shared(&mut self, (ty, data): &(MessageType, Bytes)) -> Result<()> {
        self.send(*ty, data).await
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
