//! The way that users go: a server that carries a subscriber's deliveries to a WebSocket by `pump`, and a client at the
//! other end of it.

use std::sync::Arc;

use openline::tokio::{accept, connect_on};
use openline::{Client, ClientRequest, Prepared};
use openline_live::{Delivery, Lag, Start, Subscriber, pump};
use tokio::io::{DuplexStream, duplex};

use super::node::Node;
use crate::actors::remote::Remote;
use crate::actors::words::{Heard, Seen};

pub fn connect(node: &Arc<Node>) -> Remote {
    // So little that a client which does not read soon stops the server's writes.
    let (ours, theirs) = duplex(512);
    let (serving, living) = (Arc::clone(node), Arc::clone(&node.life));
    tokio::spawn(async move { living.run(serve(serving, theirs)).await });
    Remote::new(async move {
        let client = Client::new(ClientRequest::new("ws://node/").ok()?);
        connect_on(&client, ours).await.ok()
    })
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
