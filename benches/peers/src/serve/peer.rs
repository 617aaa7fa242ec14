//! What the servers' loops need of a crate, and the loops.

use std::future::Future;

use futures_util::FutureExt;
use tokio::net::TcpStream;
use tokio::select;

use super::Setup;
use super::hub::Hub;
use crate::Result;

/// A connection of one crate. It is static dispatch: the loops below become each crate's own loop.
pub trait Peer: Sized + Send + 'static {
    /// A text or binary message as it is received.
    type Message: Send;
    /// A message in the form that is best sent to many.
    type Shared: Clone + Send + 'static;

    /// Makes the opening handshake.
    fn open(io: TcpStream, setup: &'static Setup) -> impl Future<Output = Result<Self>> + Send;

    /// The next message, UTF-8 checked if it is text; `None` at the end. Control frames are the crate's business,
    /// or this function's.
    fn recv(&mut self) -> impl Future<Output = Result<Option<Self::Message>>> + Send;

    /// Sends a message, or queues it if the crate can do that.
    fn feed(&mut self, message: Self::Message) -> impl Future<Output = Result<()>> + Send;

    fn share(&mut self, message: Self::Message) -> Self::Shared;

    fn feed_shared(&mut self, message: &Self::Shared) -> impl Future<Output = Result<()>> + Send;

    /// Sees what was fed leave.
    fn flush(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// An echo that sends each message by itself.
pub async fn echo(peer: &mut impl Peer) -> Result<()> {
    while let Some(message) = peer.recv().await? {
        peer.feed(message).await?;
        peer.flush().await?;
    }
    Ok(())
}

/// An echo that feeds the answers to all messages that are ready, and flushes once. `recv` must be cancel-safe.
pub async fn echo_ready(peer: &mut impl Peer) -> Result<()> {
    while let Some(message) = peer.recv().await? {
        peer.feed(message).await?;
        while let Some(message) = peer.recv().now_or_never() {
            match message? {
                Some(message) => peer.feed(message).await?,
                None => return Ok(()),
            }
        }
        peer.flush().await?;
    }
    Ok(())
}

/// An echo over a crate that flushes by itself before it waits for more.
pub async fn echo_fed(peer: &mut impl Peer) -> Result<()> {
    while let Some(message) = peer.recv().await? {
        peer.feed(message).await?;
    }
    Ok(())
}

/// Sends what any client says to all clients.
///
/// Not every crate's `recv` is cancel-safe. It does no harm here: it is dropped only where a client receives, and only
/// one client sends anything.
pub async fn broadcast<P: Peer>(peer: &mut P, hub: &Hub<P::Shared>) -> Result<()> {
    let mut inbox = hub.join();
    loop {
        select! {
            biased;
            Some(message) = inbox.recv() => {
                peer.feed_shared(&message).await?;
                while let Ok(message) = inbox.try_recv() {
                    peer.feed_shared(&message).await?;
                }
                peer.flush().await?;
            }
            message = peer.recv() => match message? {
                Some(message) => hub.publish(&peer.share(message)),
                None => return Ok(()),
            }
        }
    }
}
