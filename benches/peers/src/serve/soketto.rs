//! soketto. It leaves the UTF-8 check to its caller, and keeps no deflate context. Its receiver must not be dropped while
//! it waits, so a broadcast has a task for each half.

use std::sync::Arc;

use bytes::Bytes;
use soketto::connection::Error;
#[cfg(feature = "soketto-deflate")]
use soketto::extension::deflate::Deflate;
use soketto::handshake::Server;
use soketto::handshake::server::Response;
use soketto::{Data, Incoming, Receiver, Sender};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::hub::Hub;
use super::peer::Peer;
use super::{Setup, complain};
use crate::Result;

pub struct Soketto {
    sender: Sender<Compat<TcpStream>>,
    receiver: Receiver<Compat<TcpStream>>,
    /// The message that came last.
    buffer: Vec<u8>,
}

type Shared = (Data, Bytes);

async fn send(sender: &mut Sender<Compat<TcpStream>>, data: &Data, bytes: &[u8]) -> Result<()> {
    match data {
        Data::Text(_) => sender.send_text(simdutf8::basic::from_utf8(bytes)?).await?,
        Data::Binary(_) => sender.send_binary(bytes).await?,
    }
    Ok(())
}

/// Sends what any client says to all clients.
pub async fn broadcast(io: TcpStream, setup: &'static Setup, hub: Arc<Hub<Shared>>) -> Result<()> {
    let Soketto { mut sender, receiver, buffer } = Soketto::open(io, setup).await?;
    let mut inbox = hub.join();
    let listening = tokio::spawn(async move { listen(receiver, buffer, &hub).await.unwrap_or_else(complain) });
    while let Some((data, bytes)) = inbox.recv().await {
        send(&mut sender, &data, &bytes).await?;
        while let Ok((data, bytes)) = inbox.try_recv() {
            send(&mut sender, &data, &bytes).await?;
        }
        sender.flush().await?;
    }
    Ok(listening.await?)
}

async fn listen(mut receiver: Receiver<Compat<TcpStream>>, mut buffer: Vec<u8>, hub: &Hub<Shared>) -> Result<()> {
    while let Some(data) = next(&mut receiver, &mut buffer).await? {
        hub.publish(&(data, Bytes::copy_from_slice(&buffer)));
    }
    Ok(())
}

async fn next(receiver: &mut Receiver<Compat<TcpStream>>, buffer: &mut Vec<u8>) -> Result<Option<Data>> {
    loop {
        buffer.clear();
        match receiver.receive(buffer).await {
            Ok(Incoming::Data(data)) => return Ok(Some(data)),
            Ok(Incoming::Pong(_)) => {}
            Ok(Incoming::Closed(_)) | Err(Error::Closed) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

impl Peer for Soketto {
    type Message = Data;
    type Shared = Shared;

    async fn open(io: TcpStream, setup: &'static Setup) -> Result<Soketto> {
        let mut server = Server::new(io.compat());
        #[cfg(feature = "soketto-deflate")]
        if setup.deflate.is_some() {
            server.add_extension(Box::new(Deflate::new(soketto::connection::Mode::Server)));
        }
        #[cfg(not(feature = "soketto-deflate"))]
        if setup.deflate.is_some() {
            return Err("this build has no deflate for soketto".into());
        }
        let key = server.receive_request().await?.key();
        server.send_response(&Response::Accept { key, protocol: None }).await?;
        let (sender, receiver) = server.into_builder().finish();
        Ok(Soketto { sender, receiver, buffer: Vec::new() })
    }

    async fn recv(&mut self) -> Result<Option<Data>> {
        next(&mut self.receiver, &mut self.buffer).await
    }

    async fn feed(&mut self, data: Data) -> Result<()> {
        send(&mut self.sender, &data, &self.buffer).await
    }

    fn share(&mut self, data: Data) -> Shared {
        (data, Bytes::copy_from_slice(&self.buffer))
    }

    async fn feed_shared(&mut self, (data, bytes): &Shared) -> Result<()> {
        send(&mut self.sender, data, bytes).await
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(self.sender.flush().await?)
    }
}
