//! A client that comes back (feature `client`).
//!
//! [`Persistent`] is the client's end of a WebSocket that is connected again when it is lost. [`Positions`] knows how
//! far each topic has been processed, so that the server can go on from there. Together with a server that keeps a log,
//! such as a [`Hub`](crate::Hub), nothing is lost, and each hole is told.
//!
//! ```text
//!              ┌────────────── Lost { why, unknown, retry_in } ◄─────────────┐
//!              ▼                                                             │
//!  new()    waits ──────► dials ──────► Connected ── ready() ──► connected ──┤
//!           (backoff)       │           (rejoin)              (the queue     │
//!              ▲            │                                  follows)      ▼
//!              └── Lost ◄───┴───────────► Ended, Fatal ◄─────────────────────┘
//! ```
//!
//! # A chat client that loses nothing
//!
//! The server of this example ends each connection after two messages. The client goes on where it was.
//!
//! ```
//! use openline::{Client, ClientRequest, tokio::connect_on};
//! use openline_live::client::{Event, Persistent, Positions, Seen};
//! use openline_live::{Position, Start};
//! # use openline::{CloseCode, tokio::{WebSocket, accept}};
//! # use tokio::{io::{DuplexStream, duplex}, sync::mpsc};
//! #
//! # /// Says what comes after `from EPOCH:OFFSET`, two messages at a time; and ends with 1000 behind the last one.
//! # async fn serve(stream: DuplexStream) -> Result<(), openline::Error> {
//! #     let epoch = openline_live::Epoch::from_bytes([1; 16]);
//! #     let mut socket = accept(stream).await?;
//! #     let Some(from) = socket.recv().await? else { return Ok(()) };
//! #     let from = from.as_text().and_then(|text| text.strip_prefix("from ")?.parse::<Position>().ok());
//! #     let from = from.map_or(0, |from| from.offset);
//! #     socket.send(format!("joined {} true", Position { epoch, offset: 5 })).await?;
//! #     for offset in (from + 1..=5).take(2) {
//! #         socket.send(format!("{} message {offset}", Position { epoch, offset })).await?;
//! #     }
//! #     socket.close(if from + 2 >= 5 { CloseCode::NORMAL } else { CloseCode::SERVICE_RESTART }, "").await
//! # }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let reach_the_server = || {
//! #     let (ours, theirs) = duplex(1024);
//! #     tokio::spawn(serve(theirs));
//! #     ours
//! # };
//! let mut positions = Positions::new(100);
//! positions.join("room", Start::Oldest)?;
//!
//! // Each attempt makes its request anew. A token that expires is fetched here.
//! let mut client = Persistent::new(move || async move {
//!     let request = ClientRequest::new("wss://chat.example/")?.header("Authorization", "Bearer …")?;
//!     // Over TCP: Ok(openline::tokio::connect_with(&Client::new(request)).await?)
//!     Ok(connect_on(&Client::new(request), reach_the_server()).await?)
//! });
//!
//! let mut heard = Vec::new();
//! while let Some(event) = client.next().await {
//!     match event {
//!         // Rejoin with the last position processed, then send.
//!         Event::Connected { .. } => {
//!             let from = match positions.start("room") {
//!                 Some(Start::After(position)) => format!("from {position}"),
//!                 _ => "from the oldest".to_owned(),
//!             };
//!             // It is for this connection only. If that is lost again, there is another one.
//!             let _ = client.send_ahead(from);
//!             client.ready();
//!         }
//!         Event::Message(message) => {
//!             let text = message.as_text().unwrap_or_default();
//!             if let Some(joined) = text.strip_prefix("joined ") {
//!                 positions.joined("room", joined.split(' ').next().unwrap_or_default().parse()?);
//!                 continue;
//!             }
//!             let (at, said) = text.split_once(' ').ok_or("no position")?;
//!             let at: Position = at.parse()?;
//!             match positions.see("room", at) {
//!                 Seen::Duplicate => continue,
//!                 Seen::Gap { missing } => println!("{missing} messages are gone"),
//!                 _ => {}
//!             }
//!             heard.push(said.to_owned());
//!             positions.processed("room", at); // not before
//!         }
//!         Event::Lost { why, retry_in, .. } => println!("{why}; again in {retry_in:?}"),
//!         Event::Fatal { why, .. } => return Err(why.into()),
//!         _ => {}
//!     }
//! }
//! assert_eq!(heard, ["message 1", "message 2", "message 3", "message 4", "message 5"]);
//! # Ok(())
//! # }
//! ```
//!
//! The example `chat_client` talks to the example `chat`, and sends what it reads from its standard input.
//!
//! # When it comes back
//!
//! What ended a connection, or an attempt, has a [`Verdict`]:
//!
//! | what happened | |
//! |---|---|
//! | I/O, names, timeouts; 5xx, 408, 421, 425, 429, of a server or a proxy; close codes 1001, 1006, 1011–1014, 3000–4499 | [`Retry`](Verdict::Retry) |
//! | close codes 1000, 1005 | [`End`](Verdict::End) |
//! | bad URI, certificate, wrong Sec-WebSocket-Accept, all other statuses, broken protocol; all other close codes | [`Fatal`](Verdict::Fatal) |
//!
//! This is the table of [`openline::Error::is_transient`] and
//! [`CloseCode::is_transient`](openline::CloseCode::is_transient). An application that knows better says so: with a
//! [`DialError`] of its own, by not calling [`Persistent::next`] again after a `Lost`, or with [`Persistent::resume`]
//! after a `Fatal`.
//!
//! The very first attempt is made at once. Before every other one there is a random wait, also before the first one
//! after a loss, since all clients of a server that restarts are lost in the same moment: [`Pace`] has the numbers, and
//! what is done with `Retry-After`. [`Backoff`] is this rule alone, without IO, clock or random source, for other
//! runtimes.
//!
//! # What is sent, and what becomes of it
//!
//! - While there is no connection, [`Persistent::send`] gives the message back, or keeps it: [`Offline`].
//! - A message that was kept leaves in order after [`Persistent::ready`]. If it becomes too old before, it comes back
//!   as [`Event::Expired`]. If the client ends before, [`Persistent::take_queued`] has it.
//! - A message that was given to a connection may have arrived or not when this connection ends. Nothing is sent twice
//!   by itself. `unknown` in [`Event::Lost`] has the [`Ticket`]s of these messages, as a range. An application whose
//!   server answers each message says again, **with the same id**, what is in the range and has not been answered, so that
//!   the server appends it once. (For a hub this is the [`Id`](crate::Id) of [`Topic::publish`](crate::Topic::publish),
//!   which holds for 5 minutes.) Without answers and ids an application can only choose between twice and not at all.
//!
//! The server of this example publishes what it is told, and answers with the id. Its first connection breaks before the
//! answer.
//!
//! ```
//! use openline_live::client::{Event, Persistent, Ticket};
//! # use bytes::Bytes;
//! # use openline::{Client, ClientRequest, CloseCode, tokio::{accept, connect_on}};
//! # use openline_live::{EpochSeed, Hub, Id, Retain, Topic};
//! # use tokio::io::{DuplexStream, duplex};
//! #
//! # async fn serve(stream: DuplexStream, topic: Topic<Bytes>, answers: bool) -> Option<()> {
//! #     let mut socket = accept(stream).await.ok()?;
//! #     while let Ok(Some(said)) = socket.recv().await {
//! #         let (id, text) = said.as_text()?.split_once(' ')?;
//! #         topic.publish(Some(Id::new(id)), Bytes::from(text.to_owned()), None).await.ok()?;
//! #         socket.send(answers.then(|| id.to_owned())?).await.ok()?;
//! #     }
//! #     Some(())
//! # }
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let hub = Hub::local(Retain::default(), EpochSeed::from_os()?, |_, _, text: &Bytes| text.clone());
//! # let topic = hub.topic("room")?;
//! # let (room, mut answers) = (topic.clone(), false);
//! # let mut client = Persistent::new(move || {
//! #     let (ours, theirs) = duplex(1024);
//! #     tokio::spawn(serve(theirs, room.clone(), std::mem::replace(&mut answers, true)));
//! #     async { Ok(connect_on(&Client::new(ClientRequest::new("ws://chat.example/")?), ours).await?) }
//! # });
//!
//! struct Unanswered {
//!     id: String, // of this message alone, such as a UUID
//!     text: &'static str,
//!     ticket: Option<Ticket>, // nothing: it is to be sent
//! }
//! let say = |id: &str, text| Unanswered { id: id.to_owned(), text, ticket: None };
//! let mut unanswered = vec![say("6d1f", "hello"), say("a90c", "is anybody here?")];
//!
//! while let Some(event) = client.next().await {
//!     match event {
//!         Event::Connected { .. } => client.ready(),
//!         Event::Message(answer) => unanswered.retain(|said| Some(&*said.id) != answer.as_text()),
//!         Event::Lost { unknown, .. } => {
//!             for said in &mut unanswered {
//!                 said.ticket = said.ticket.filter(|ticket| !unknown.contains(ticket));
//!             }
//!         }
//!         _ => {}
//!     }
//!     // What is not accepted now is sent after the next event: a connection, or an answer, which makes room.
//!     for said in unanswered.iter_mut().filter(|said| said.ticket.is_none()) {
//!         said.ticket = client.try_send(format!("{} {}", said.id, said.text)).ok();
//!     }
//!     # if unanswered.is_empty() { client.close(CloseCode::NORMAL, "").await?; }
//! }
//! # assert_eq!(topic.position().map(|at| at.offset), Some(2));
//! # Ok(())
//! # }
//! ```
//!
//! # A peer that is dead
//!
//! Nobody says so when a cable is cut. openline's [keepalive](openline::Keepalive) notices it within 45 s: it is on by
//! default, and should stay on in the client's [`Config`](openline::Config). When the operating system says that the
//! network is back, or that the laptop has been opened, call [`Persistent::wake`].
//!
//! # What it does not do
//!
//! It has no task: it works only while a future of it is polled. So call [`Persistent::next`] all the time, alone or in
//! a `select!`, where it is at home: dropping it loses no message and begins no connection anew.

pub use crate::backoff::{Backoff, Pace, retry_after};
pub use crate::event::{Event, Options};
pub use crate::outbox::{Offline, Ticket, Unsent, UnsentReason};
pub use crate::persistent::Persistent;
pub use crate::positions::{Positions, Seen};
pub use crate::verdict::{DialError, Verdict, Why};
