//! A chat: a client that comes back says `from EPOCH:OFFSET` first, and hears what it has missed.

use bytes::Bytes;
use openline::{Error, Prepared, tokio::accept};
use openline_live::{Delivery, EpochSeed, Hub, Lag, Retain, Start, Subscriber, Topic, pump};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A message is made once, however many hear it.
    let hub = Hub::local(Retain::default(), EpochSeed::from_os()?, |_, at, text: &Bytes| {
        Prepared::new(format!("{at} {}", String::from_utf8_lossy(text)))
    });
    let room = hub.topic("room")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(talk(stream, room.clone()));
    }
}

async fn talk(stream: TcpStream, room: Topic<Prepared>) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut socket = accept(stream).await?;
    let mut heard = Subscriber::new();
    heard.join(&room, Start::Now, Lag::Leave);
    while let Some(said) = pump(&mut socket, &mut heard, encode).await? {
        let Some(text) = said.as_text() else { continue };
        match text.strip_prefix("from ").and_then(|at| at.parse().ok()) {
            Some(at) => heard.join(&room, Start::After(at), Lag::Leave),
            None => drop(room.publish(None, Bytes::from(text.to_owned()), None).await),
        }
    }
    Ok(())
}

fn encode(delivery: Delivery<Prepared>) -> Option<Prepared> {
    match delivery {
        Delivery::Message(message) => Some(message),
        Delivery::Joined { at, whole, .. } => Some(Prepared::new(format!("joined {at} {whole}"))),
        // It was too slow, and comes back with its position.
        _ => Some(Prepared::new("left")),
    }
}
