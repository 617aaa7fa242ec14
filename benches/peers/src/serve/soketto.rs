//! soketto. It leaves the UTF-8 check to its caller, and keeps no deflate context.

use soketto::connection::{Error, Mode};
use soketto::extension::deflate::Deflate;
use soketto::handshake::Server;
use soketto::handshake::server::Response;
use soketto::{Data, Incoming, Receiver, Sender};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::Setup;
use super::peer::Peer;
use crate::Result;

pub struct Soketto {
    sender: Sender<Compat<TcpStream>>,
    receiver: Receiver<Compat<TcpStream>>,
    /// The message that came last.
    buffer: Vec<u8>,
}

impl Peer for Soketto {
    type Message = Data;
    type Shared = (Data, Vec<u8>);

    async fn open(io: TcpStream, setup: &'static Setup) -> Result<Soketto> {
        let mut server = Server::new(io.compat());
        if setup.deflate.is_some() {
            server.add_extension(Box::new(Deflate::new(Mode::Server)));
        }
        let key = server.receive_request().await?.key();
        server.send_response(&Response::Accept { key, protocol: None }).await?;
        let (sender, receiver) = server.into_builder().finish();
        Ok(Soketto { sender, receiver, buffer: Vec::new() })
    }

    async fn recv(&mut self) -> Result<Option<Data>> {
        loop {
            self.buffer.clear();
            match self.receiver.receive(&mut self.buffer).await {
                Ok(Incoming::Data(data)) => return Ok(Some(data)),
                Ok(Incoming::Pong(_)) => {}
                Ok(Incoming::Closed(_)) | Err(Error::Closed) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn feed(&mut self, data: Data) -> Result<()> {
        match data {
            Data::Text(_) => self.sender.send_text(simdutf8::basic::from_utf8(&self.buffer)?).await?,
            Data::Binary(_) => self.sender.send_binary(&self.buffer).await?,
        }
        Ok(())
    }

    fn share(&mut self, data: Data) -> (Data, Vec<u8>) {
        (data, self.buffer.clone())
    }

    async fn feed_shared(&mut self, (data, bytes): &(Data, Vec<u8>)) -> Result<()> {
        match data {
            Data::Text(_) => self.sender.send_text(simdutf8::basic::from_utf8(bytes)?).await?,
            Data::Binary(_) => self.sender.send_binary(bytes).await?,
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(self.sender.flush().await?)
    }
}
