//! A client for the example `chat` that loses nothing: it prints what is said, each message once and in order, however
//! often the connection breaks, or that messages are gone, if the server does not keep them any more. It says what it
//! reads from its standard input.
//!
//! `cargo run -p openline-live --features client --example chat_client -- ws://127.0.0.1:PORT`. An empty line says that
//! the network is back.

use std::future::Future;
use std::io::BufRead;
use std::time::Duration;

use openline::tokio::{WebSocket, connect_with};
use openline::{Client, ClientRequest, CloseCode};
use openline_live::client::{DialError, Event, Offline, Options, Persistent, Positions, Seen};
use openline_live::{Position, Start};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("which server? ws://…")?;
    let mut chat = Chat::new(Options::default(), move || {
        let url = url.clone();
        // A token that expires would be fetched here, for each attempt anew.
        async move { Ok(connect_with(&Client::new(ClientRequest::new(&url)?)).await?) }
    });
    let (typed, mut lines) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if typed.blocking_send(line).is_err() {
                return;
            }
        }
    });
    loop {
        tokio::select! {
            heard = chat.hear() => match heard {
                Some(Heard::Said(text)) => println!("{text}"),
                Some(Heard::Notice(text)) => eprintln!("* {text}"),
                None => return Ok(()),
            },
            line = lines.recv() => match line {
                Some(line) if line.is_empty() => chat.client.wake(),
                Some(line) => if let Err(unsent) = chat.client.send(line).await { eprintln!("* {unsent}") },
                None => {
                    chat.client.flush().await;
                    return Ok(chat.client.close(CloseCode::NORMAL, "").await?);
                }
            },
        }
    }
}

/// A client of the chat, over any transport.
pub struct Chat<S> {
    /// What sends and comes back.
    pub client: Persistent<S>,
    positions: Positions,
    /// How many answers `joined` are still to come. Until then messages belong to an older cursor.
    joins: u32,
}

/// What the chat has for its user.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// What somebody has said.
    Said(String),
    /// What has become of the connection.
    Notice(String),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Chat<S> {
    /// `dial` makes one attempt to connect.
    pub fn new<F, A>(mut options: Options, dial: F) -> Chat<S>
    where
        F: FnMut() -> A + Send + 'static,
        A: Future<Output = Result<WebSocket<S>, DialError>> + Send + 'static,
    {
        // What is typed while there is no connection is said afterwards, unless it is too old by then.
        options.offline = Offline::Queue { messages: 100, bytes: 64 * 1024, age: Duration::from_secs(60) };
        let mut positions = Positions::new(1);
        positions.join(ROOM, Start::Now).expect("there is room for one");
        Chat { client: Persistent::with_options(options, dial), positions, joins: 0 }
    }

    /// What comes next. Cancel-safe, since it waits in one place only.
    pub async fn hear(&mut self) -> Option<Heard> {
        loop {
            let notice = match self.client.next().await? {
                Event::Connected { again } => {
                    // The server joins each connection by itself, with the next message.
                    self.joins = 1;
                    self.rejoin();
                    self.client.ready();
                    if again { "back again".to_owned() } else { "connected".to_owned() }
                }
                Event::Message(message) => match self.read(message.as_text().unwrap_or_default()) {
                    Some(heard) => return Some(heard),
                    None => continue,
                },
                Event::Expired { message, .. } => {
                    format!("not sent, it is too old: {}", message.as_text().unwrap_or_default())
                }
                Event::Lost { why, unknown, retry_in } => {
                    // This chat answers nothing. So what was sent last may have arrived or not.
                    let count = unknown.end.get() - unknown.start.get();
                    format!("{why}; again in {retry_in:.1?}; {count} messages were sent on that connection")
                }
                Event::Ended { why, .. } | Event::Fatal { why, .. } => why.to_string(),
                _ => continue,
            };
            return Some(Heard::Notice(notice));
        }
    }

    /// Goes on after the last message, if there was one.
    fn rejoin(&mut self) {
        // If it cannot be sent, this connection ends, and the next one comes here again.
        if let Some(Start::After(last)) = self.positions.start(ROOM)
            && self.client.send_ahead(format!("from {last}")).is_ok()
        {
            self.joins += 1;
        }
    }

    /// `joined EPOCH:OFFSET WHOLE`, `left` or `EPOCH:OFFSET TEXT`.
    fn read(&mut self, text: &str) -> Option<Heard> {
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        if first == "left" {
            self.rejoin();
            return None;
        }
        if first == "joined" {
            self.joins = self.joins.saturating_sub(1);
            let (at, whole) = rest.split_once(' ')?;
            if self.joins == 0 {
                self.positions.joined(ROOM, at.parse().ok()?);
                if whole != "true" {
                    return Some(Heard::Notice("messages are gone".to_owned()));
                }
            }
            return None;
        }
        let at: Position = first.parse().ok().filter(|_| self.joins == 0)?;
        if self.positions.see(ROOM, at) == Seen::Duplicate {
            return None;
        }
        // The user has it when this returns.
        self.positions.processed(ROOM, at);
        Some(Heard::Said(rest.to_owned()))
    }
}

const ROOM: &str = "room";
