//! Two nodes of one site, here in one process: what is said at one is heard at the other.

use bytes::Bytes;
use openline_live::{Delivery, EpochSeed, Hub, Lag, Memory, Retain, Start, Subscriber};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // An engine in memory. Another one is another type here, and nothing else changes.
    let engine = Memory::new();
    let node = || -> std::io::Result<Hub<String>> {
        let seed = EpochSeed::from_os()?;
        let hub = Hub::with(engine.node(), Retain::default(), seed, |_, at, text: &Bytes| {
            format!("{}: {}", at.offset, String::from_utf8_lossy(text))
        });
        let running = hub.clone();
        tokio::spawn(async move { running.run().await });
        Ok(hub)
    };
    let (london, tokyo) = (node()?, node()?);
    let mut reader = Subscriber::new();
    reader.join(&tokyo.topic("news")?, Start::Now, Lag::Leave);
    // The topic's log is read now. Whoever also reads a database does it after this.
    let Delivery::Joined { at, .. } = reader.next().await else { return Ok(()) };
    london.topic("news")?.publish(None, Bytes::from("rain"), None).await?;
    if let Delivery::Message(text) = reader.next().await {
        println!("{text}");
    }
    // Its connection breaks, and it comes back at the other node.
    drop(reader);
    let mut reader = Subscriber::new();
    reader.join(&london.topic("news")?, Start::After(at), Lag::Leave);
    if let Delivery::Joined { whole, .. } = reader.next().await {
        println!("nothing is gone: {whole}");
    }
    if let Delivery::Message(text) = reader.next().await {
        println!("{text}");
    }
    Ok(())
}
