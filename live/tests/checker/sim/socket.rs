//! The way that users go: a server that carries a subscriber's deliveries to a WebSocket by `pump`, and a client at the
//! other end of it.

use std::sync::Arc;

use openline::tokio::{accept, connect_on};
use openline::{Client, ClientRequest, Message, Prepared};
use openline_live::{Delivery, Lag, Start, Subscriber, pump};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;

use super::node::Node;
use crate::actors::words::{Heard, Seen, join};

/// A client's end.
pub struct Socket {
    said: mpsc::UnboundedSender<String>,
    heard: mpsc::Receiver<Heard>,
}

impl Socket {
    pub fn connect(node: &Arc<Node>) -> Socket {
        // So little that a client which does not read soon stops the server's writes.
        let (ours, theirs) = duplex(512);
        let (serving, living) = (Arc::clone(node), Arc::clone(&node.life));
        tokio::spawn(async move { living.run(serve(serving, theirs)).await });
        let (said, to_say) = mpsc::unbounded_channel();
        let (hears, heard) = mpsc::channel(1);
        tokio::spawn(talk(ours, to_say, hears));
        Socket { said, heard }
    }

    pub fn join(&self, topic: usize, start: Start, lag: Lag) {
        // A connection that is over is seen when it is read.
        let _ = self.said.send(join(topic, start, lag));
    }

    /// Nothing: the connection is over.
    pub async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }
}

/// The client's task. It ends with its `Socket`, or with the connection.
async fn talk(
    stream: DuplexStream,
    mut said: mpsc::UnboundedReceiver<String>,
    heard: mpsc::Sender<Heard>,
) -> Option<()> {
    let client = Client::new(ClientRequest::new("ws://node/").ok()?);
    let mut socket = connect_on(&client, stream).await.ok()?;
    loop {
        // It reads on when what it has read was taken, so a client that stalls stalls the server.
        tokio::select! {
            biased;
            text = said.recv() => socket.send(Message::from(text?)).await.ok()?,
            room = heard.clone().reserve_owned() => {
                let room = room.ok()?;
                tokio::select! {
                    biased;
                    text = said.recv() => socket.send(Message::from(text?)).await.ok()?,
                    message = socket.recv() => {
                        room.send(Heard::read(message.ok()??.as_text()?).expect("the server says nothing else"));
                    }
                }
            }
        }
    }
}

async fn serve(node: Arc<Node>, stream: DuplexStream) -> Option<()> {
    let mut socket = accept(stream).await.ok()?;
    let mut subscriber = Subscriber::new();
    let encode = |delivery: Delivery<Seen>| Some(Prepared::new(Heard::new(delivery).write()));
    while let Some(message) = pump(&mut socket, &mut subscriber, encode).await.ok()? {
        let ["join", topic, start, lag] = message.as_text()?.split(' ').collect::<Vec<_>>()[..] else { return None };
        let topic = node.hub.topic(topic).ok()?;
        let start = match start {
            "now" => Start::Now,
            "oldest" => Start::Oldest,
            at => Start::After(at.parse().ok()?),
        };
        let lag = match lag {
            "skip" => Lag::Skip,
            "latest" => Lag::Latest,
            _ => Lag::Leave,
        };
        subscriber.join(&topic, start, lag);
    }
    Some(())
}
