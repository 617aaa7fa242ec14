//! Rooms on many machines: run it on each of them, with the same Redis.
//!
//! ```text
//! cargo run --features pump,redis --example machines -- 0.0.0.0:8080 redis://redis.example:6379
//! ```
//!
//! Client and server say lines of text:
//!
//! ```text
//! join ROOM now|oldest|EPOCH:OFFSET skip|latest|leave      joined ROOM EPOCH:OFFSET true|false
//! leave ROOM                                               message ROOM EPOCH:OFFSET TEXT
//! say ROOM ID|- EPOCH:OFFSET|- TEXT                        missed ROOM COUNT, left ROOM
//!                                                          said EPOCH:OFFSET, conflict EPOCH:OFFSET, taken, failed, unknown
//! ```
//!
//! `say` names the message, so that it can be said again, and where the log must stand; a `-` leaves it open. The answers come
//! in the order in which the client has said something.

use std::env;

use bytes::Bytes;
use openline::{Error, Prepared, tokio::accept};
use openline_live::{Delivery, EpochSeed, Hub, Id, Lag, PublishError, Redis, Retain, Start, Subscriber, Topic, pump};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

type Rooms = Hub<Prepared>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = env::args().skip(1);
    let listen = args.next().unwrap_or("127.0.0.1:0".to_owned());
    let redis = Redis::connect(&args.next().unwrap_or("redis://127.0.0.1:6379".to_owned())).await?;
    let mut retain = Retain::default();
    if let Some(messages) = args.next() {
        retain.messages = messages.parse()?;
    }
    // A message is made once on each machine, however many hear it there.
    let hub = Hub::with(redis, retain, EpochSeed::from_os()?, |room, at, text: &Bytes| {
        Prepared::new(format!("message {room} {at} {}", String::from_utf8_lossy(text)))
    });
    let running = hub.clone();
    tokio::spawn(async move { running.run().await });
    let listener = TcpListener::bind(listen).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(talk(stream, hub.clone()));
    }
}

async fn talk(stream: TcpStream, hub: Rooms) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut socket = accept(stream).await?;
    let mut heard = Subscriber::new();
    // The client hears others while what it has said is on its way.
    let (say, to_say) = mpsc::channel(64);
    let (answer, mut answers) = mpsc::channel(64);
    tokio::spawn(publish(to_say, answer));
    loop {
        let said = tokio::select! {
            Some(answer) = answers.recv() => {
                // It stands behind what `pump` has queued, and leaves when that waits again.
                openline_live::answer(&mut socket, &mut heard, answer).await?;
                continue;
            }
            said = pump(&mut socket, &mut heard, encode) => said?,
        };
        let Some(said) = said else { return Ok(()) };
        let line = said.as_text().unwrap_or_default().splitn(5, ' ').collect::<Vec<_>>();
        let [verb, room, rest @ ..] = &line[..] else { continue };
        let Ok(room) = hub.topic(room) else { continue };
        match (*verb, rest) {
            ("join", [start, lag]) => {
                let start = match *start {
                    "now" => Start::Now,
                    "oldest" => Start::Oldest,
                    at => at.parse().map_or(Start::Oldest, Start::After),
                };
                let lag = match *lag {
                    "skip" => Lag::Skip,
                    "latest" => Lag::Latest,
                    _ => Lag::Leave,
                };
                heard.join(&room, start, lag);
            }
            ("leave", []) => heard.leave(&room),
            ("say", [id, expect, text]) => {
                let said = Said {
                    room,
                    id: Some(*id).filter(|id| *id != "-").map(Id::new),
                    expect: expect.parse().ok(),
                    text: Bytes::from(text.to_string()),
                };
                // Who says more than 64 things before the first is answered is let go.
                if say.try_send(said).is_err() {
                    return Ok(());
                }
            }
            _ => {}
        }
    }
}

struct Said {
    room: Topic<Prepared>,
    id: Option<Id>,
    expect: Option<openline_live::Position>,
    text: Bytes,
}

/// Says one thing after the other.
async fn publish(mut to_say: mpsc::Receiver<Said>, answer: mpsc::Sender<String>) {
    while let Some(Said { room, id, expect, text }) = to_say.recv().await {
        let answered = match room.publish(id, text, expect).await {
            Ok(at) => format!("said {at}"),
            Err(PublishError::Conflict(at)) => format!("conflict {at}"),
            Err(PublishError::IdTaken) => "taken".to_owned(),
            Err(PublishError::Unknown) => "unknown".to_owned(),
            Err(_) => "failed".to_owned(),
        };
        if answer.send(answered).await.is_err() {
            return;
        }
    }
}

fn encode(delivery: Delivery<Prepared>) -> Option<Prepared> {
    Some(match delivery {
        Delivery::Message(message) => message,
        Delivery::Joined { topic, at, whole } => Prepared::new(format!("joined {topic} {at} {whole}")),
        Delivery::Missed(gap) => Prepared::new(format!("missed {} {}", gap.topic, gap.count)),
        Delivery::Left(topic) => Prepared::new(format!("left {topic}")),
        _ => return None,
    })
}
