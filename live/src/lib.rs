//! **openline-live**: topics for many connections, in which nothing is lost in silence.
//!
//! A *topic* is a named, bounded log. Its messages have the offsets 1, 2, 3, … A *subscriber* is a set of cursors, one
//! for each topic that it has joined. So there is no queue and no copy of a message per receiver, a slow receiver
//! costs nobody memory, and a client that comes back reads on from its last [`Position`], as if it had been slow.
//!
//! ```text
//!  topic "news"     1   2   3   4   5   6   7        offsets
//!                  gone └─ slack ─┘ └ retain ┘
//!                           ▲               ▲
//!                  a slow cursor            a cursor that has read all
//! ```
//!
//! - What [`Retain`] keeps is there for everybody who joins.
//! - What lies before that is kept only while a cursor still waits for it, up to the *slack*. A cursor that is further
//!   behind has lagged. What happens then is its [`Lag`] policy, which has no default.
//! - Each hole is told: by [`Delivery::Missed`] with its exact length, by [`Delivery::Left`], or by `whole: false` in
//!   [`Delivery::Joined`].
//!
//! ```
//! use bytes::Bytes;
//! use openline_live::{Delivery, EpochSeed, Hub, Lag, Retain, Start, Subscriber};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // What a receiver gets is made once for each message. For WebSockets, make an `openline::Prepared`.
//! let hub = Hub::local(Retain::default(), EpochSeed::from_os()?, |topic, at, payload: &Bytes| {
//!     format!("{topic} {}: {}", at.offset, String::from_utf8_lossy(payload))
//! });
//! let news = hub.topic("news")?;
//! let mut reader = Subscriber::new();
//! reader.join(&news, Start::Now, Lag::Leave);
//! let Delivery::Joined { at, whole: true, .. } = reader.next().await else { panic!() };
//! assert_eq!(Some(at), news.position());
//!
//! let seen = news.publish(None, Bytes::from("rain"), None).await?;
//! assert_eq!(reader.next().await, Delivery::Message("news 1: rain".into()));
//!
//! // The connection breaks, and life goes on without it. The next one begins where the first one ended.
//! drop(reader);
//! news.publish(None, Bytes::from("sun"), None).await?;
//! let mut reader = Subscriber::new();
//! reader.join(&news, Start::After(seen), Lag::Leave);
//! assert!(matches!(reader.next().await, Delivery::Joined { whole: true, .. }));
//! assert_eq!(reader.next().await, Delivery::Message("news 2: sun".into()));
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! - **Order.** A cursor sees the messages of its topic with offsets that rise by one, but for the holes that are told.
//! - **Position at join.** [`Delivery::Joined`] comes before the first message, so a client can come back even if it has
//!   received nothing yet. Join *before* you read a database, and take its `at`: what is published meanwhile then comes as
//!   a message.
//! - **At least once, within the window.** A publisher that does not know whether its message has arrived says it
//!   again with the same [`Id`]. It is not appended twice within 5 minutes and 4,096 ids of a topic.
//! - **Bounds.** Messages, bytes and age of a topic; topics, bytes and names of a hub ([`Limits`]).
//! - **No runtime.** Wakers of the standard library for tasks, [`Subscriber::try_next`] for everybody else. There is no
//!   task, timer or callback. Time comes in by [`Hub::tick`], or by `Hub::run` with the feature `tokio`.
//!
//! # Without a runtime
//!
//! A thread of its own asks [`Subscriber::try_next`] when it has nothing else to do. With a local hub,
//! [`Topic::publish`] is ready at its first poll:
//!
//! ```
//! use std::pin::pin;
//! use std::task::{Context, Poll, Waker};
//!
//! use bytes::Bytes;
//! use openline_live::{Delivery, EpochSeed, Hub, Lag, PublishError, Position, Retain, Start, Subscriber, Topic};
//!
//! fn publish(topic: &Topic<Bytes>, payload: Bytes) -> Result<Position, PublishError> {
//!     match pin!(topic.publish(None, payload, None)).poll(&mut Context::from_waker(Waker::noop())) {
//!         Poll::Ready(result) => result,
//!         Poll::Pending => Err(PublishError::Unknown),
//!     }
//! }
//!
//! let hub = Hub::local(Retain::default(), EpochSeed::from_os()?, |_, _, payload: &Bytes| payload.clone());
//! let news = hub.topic("news")?;
//! let mut reader = Subscriber::new();
//! reader.join(&news, Start::Now, Lag::Skip);
//! publish(&news, Bytes::from("rain"))?;
//! assert!(matches!(reader.try_next(), Some(Delivery::Joined { .. })));
//! assert_eq!(reader.try_next(), Some(Delivery::Message(Bytes::from("rain"))));
//! assert_eq!(reader.try_next(), None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Many machines
//!
//! With the feature `tokio`, `Hub::with` makes a hub that shares its topics with others by an engine, a `Backplane`. The
//! engine keeps the logs, and each hub, a *node*, keeps copies of those that somebody has joined there. All that is
//! promised above holds across the nodes: one order, positions that are good at each node, ids, `expect`, holes that are
//! told. What comes from the engine is at hand while somebody awaits `Hub::run`. `Memory` is an engine for tests.
//!
//! What is different: [`Topic::publish`] waits for the engine, so it can be [`PublishError::Unknown`] what has become of a
//! message; the first [`Delivery::Joined`] of a topic waits for the engine's log; and an engine that has lost its data
//! begins a new [`Epoch`], which each cursor is told by another `Joined`.
//!
//! # Who is here
//!
//! [`Topic::enter`] says that somebody is here, as long as its guard is held and for a while afterwards
//! ([`Retain::absence`]). [`Subscriber::watch`] tells who is here, and who comes and goes. Neither needs a join. Several
//! guards of one name are one person, on all nodes together. Names of a node that has died go 10 to 20 seconds later,
//! and those of one that takes leave by `Hub::sign_off` at once.
//!
//! ```
//! use bytes::Bytes;
//! use openline_live::{Delivery, EpochSeed, Hub, Retain, Subscriber};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::local(Retain::default(), EpochSeed::from_os()?, |_, _, payload: &Bytes| payload.clone());
//! let room = hub.topic("room")?;
//! let ann = room.enter("ann")?;
//! let mut watcher = Subscriber::new();
//! watcher.watch(&room);
//! # let hear = async {
//! let Delivery::Here { names, more: 0, .. } = watcher.next().await else { panic!() };
//! assert_eq!(names.join(" "), "ann");
//! let bob = room.enter("bob")?;
//! let Delivery::Changed { joined, gone, .. } = watcher.next().await else { panic!() };
//! assert_eq!((joined.join(" "), gone.len()), ("bob".to_owned(), 0));
//! # Ok::<(), openline_live::EnterError>(())
//! # };
//! # tokio::select! {
//! #     () = run(&hub) => {}
//! #     heard = hear => heard?,
//! # }
//! # Ok(())
//! # }
//! # #[cfg(feature = "tokio")]
//! # async fn run(hub: &Hub<Bytes>) { hub.run().await }
//! # #[cfg(not(feature = "tokio"))]
//! # async fn run(hub: &Hub<Bytes>) {
//! #     loop { hub.tick(openline_live::Time::from_epoch(std::time::Duration::from_secs(1))); tokio::task::yield_now().await; }
//! # }
//! ```
//!
//! # Over WebSockets
//!
//! With the feature `pump`, `pump` carries what a subscriber gets to a socket of openline's tokio adapter, gives what the
//! client says, and lets go of a client that takes nothing. `answer` says something to this client alone.
//!
//! # The other end
//!
//! With the feature `client`, `client::Persistent` is a WebSocket client that comes back by itself, and
//! `client::Positions` knows from where it goes on.
//!
//! # What it does not do
//!
//! It knows no sockets, users, rooms, acknowledgements or requests. Check whether a client may join before you call
//! [`Hub::topic`], which makes the topic.

// No input may cause a panic. Where one of these is used, the reason stands beside it.
#![cfg_attr(
    not(test),
    warn(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::todo,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod aside;
#[cfg(feature = "tokio")]
mod attend;
#[cfg(feature = "client")]
mod backoff;
#[cfg(feature = "tokio")]
mod backplane;
mod bell;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "tokio")]
mod clock;
mod cursor;
mod delivery;
#[cfg(feature = "tokio")]
mod engine;
mod error;
#[cfg(feature = "client")]
mod event;
#[cfg(feature = "tokio")]
mod follow;
mod hub;
mod id;
#[cfg(feature = "tokio")]
mod interest;
mod join;
mod keyed;
#[cfg(feature = "tokio")]
mod leave;
mod limits;
mod log;
#[cfg(feature = "tokio")]
mod memory;
#[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "without a backplane, there are no other nodes"))]
mod nodes;
#[cfg(feature = "client")]
mod outbox;
#[cfg(feature = "client")]
mod persistent;
mod phase;
mod position;
#[cfg(feature = "client")]
mod positions;
mod presence;
#[cfg(feature = "pump")]
mod pump;
#[cfg(feature = "redis")]
mod redis;
#[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "without a backplane, there are no other nodes"))]
mod remote;
mod roster;
#[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "without a backplane, nothing is announced"))]
mod round;
#[cfg(feature = "tokio")]
mod run;
mod shared;
mod slab;
mod snapshot;
#[cfg(feature = "pump")]
mod stall;
#[cfg(feature = "client")]
mod standing;
#[cfg(feature = "tokio")]
mod store;
mod subscriber;
mod sync;
mod told;
mod topic;
mod turns;
#[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "without a backplane, nothing is announced"))]
mod unsaid;
#[cfg(feature = "client")]
mod verdict;
mod watch;
mod watching;

#[cfg(feature = "redis")]
pub use self::redis::{Redis, RedisError, RedisOptions};
#[cfg(feature = "tokio")]
pub use backplane::{Announce, Append, Away, Backplane, Fed, Kept, Lease, NodeId, Page, Present};
pub use delivery::{Delivery, Gap, Lag, Start};
pub use error::{EnterError, PublishError, SnapshotError, TopicError};
pub use hub::{Counters, Hub};
pub use id::Id;
pub use limits::{Limits, Retain};
#[cfg(feature = "tokio")]
pub use memory::{Memory, MemoryNode};
#[doc(no_inline)]
pub use openline::Time;
pub use position::{Epoch, EpochSeed, ParsePositionError, Position};
pub use presence::Presence;
#[cfg(feature = "pump")]
pub use pump::{answer, pump};
pub use snapshot::Snapshot;
pub use subscriber::Subscriber;
pub use topic::Topic;
