//! **openline** is WebSocket (RFC 6455) as a state machine without IO, with two thin adapters that carry its bytes:
//! [`net`] for blocking `std::net`, and `openline::tokio` for [tokio](https://docs.rs/tokio).
//!
//! ```text
//!  socket ─bytes─► frames ─► unmask ─► (inflate) ─► UTF-8 ─► messages ─► Event ─► application
//!                     │ Ping, Close                                                  │
//!    now ─────────► state, deadlines ──► what to do next ─► adapter                  │
//!                     │ Pong, Close                                                  │
//!  socket ◄─bytes─ send buffer ◄─ mask ◄─ frames ◄─ (deflate) ◄──── send, ping, close ┘
//! ```
//!
//! # Where to begin
//!
//! - Most programs want an **adapter**: `openline::tokio::connect` and `accept`, or the same in
//!   [`net`].
//! - Networking code of your own (an event loop, another runtime, no operating system) embeds a
//!   [`Connection`]. [`Connection::server`] and [`Connection::client`] begin with the opening handshake.
//! - If other code makes the opening handshake (an HTTP library, HTTP/2), an [`Upgrade`] says what
//!   was agreed on, and [`Connection::new`] begins after the handshake. The adapters take an
//!   [`Upgrade`] too.
//! - An adapter for another runtime is written with [`driver`], as the two adapters here are.
//! - Protocol tools and fuzzers find single frames in [`frame`].
//!
//! [`manual`] explains the words, how to drive the core, how connections end, all limits, and the
//! reasons.
//!
//! # The core in a loop
//!
//! Bytes, time and random numbers are inputs, and the core says what to do next. This is a whole
//! server for one connection, with a small adapter for a blocking socket:
//!
//! ```
//! use std::io::{self, ErrorKind, Read, Write};
//! use std::net::{Shutdown, TcpStream};
//! use std::time::{Duration, Instant};
//!
//! use openline::{Accept, Connection, Event, Reading, Ready, SendError, Server, Step, Time};
//!
//! /// Sends every message back until the connection is over.
//! fn serve(mut socket: TcpStream, server: &Server) -> io::Result<()> {
//!     let epoch = Instant::now();
//!     let now = || Time::from_epoch(epoch.elapsed());
//!     // A socket that takes nothing for this long is blocked. Then the loop looks at the other direction.
//!     let short = Duration::from_millis(50);
//!     socket.set_write_timeout(Some(short))?;
//!     let mut connection = Connection::server(server, now());
//!     let (mut buffer, mut len, both) = (vec![0; 64 * 1024], 0, Ready { read: true, write: true });
//!     let mut ready = both;
//!     loop {
//!         answer(&mut connection, &mut buffer[..len], now());
//!         len = 0;
//!         let Some(wants) = connection.wants() else { return Ok(()) };
//!         match wants.step(ready, now()) {
//!             Step::Write => match socket.write(connection.next_transmit().unwrap_or_default()) {
//!                 Ok(len) => connection.handle_transmitted(len, now()),
//!                 Err(error) if is_timeout(&error) => {
//!                     ready.write = false;
//!                     connection.handle_blocked(now());
//!                 }
//!                 Err(_) => connection.handle_write_failed(now()),
//!             },
//!             Step::End => {
//!                 // If this fails, the next read fails too.
//!                 let _ = socket.shutdown(Shutdown::Write);
//!                 connection.handle_shutdown();
//!             }
//!             Step::Read => {
//!                 // While something waits to be written, reading must not take long.
//!                 let left = wants.until.map(|until| until.since(now()).max(short));
//!                 socket.set_read_timeout(if wants.write { Some(short) } else { left })?;
//!                 match socket.read(&mut buffer) {
//!                     Ok(0) => connection.handle_eof(now()),
//!                     // Each read is followed by an attempt to write, even if bytes come without end.
//!                     Ok(read) => (len, ready.write) = (read, true),
//!                     Err(error) if is_timeout(&error) => ready.read = false,
//!                     Err(_) => connection.handle_reset(),
//!                 }
//!             }
//!             Step::Timeout => connection.handle_timeout(now()),
//!             // The read and the write have waited already.
//!             Step::Wait => ready = both,
//!         }
//!     }
//! }
//!
//! /// The application. It answers what has come while there is room for answers. After that the rest of
//! /// the input is held, and nothing is read, until there is room again.
//! fn answer(connection: &mut Connection, mut input: &mut [u8], now: Time) {
//!     while connection.check_send() != Err(SendError::Full) {
//!         connection.set_reading(Reading::Events, now);
//!         match connection.receive(&mut input, now) {
//!             // Both fail only when the connection ends, which `wants` says too.
//!             Ok(Some(Event::Request)) => drop(connection.accept(Accept::default(), now)),
//!             Ok(Some(Event::Message(message))) => drop(connection.queue(message)),
//!             Ok(Some(_)) => {}
//!             // All input has been taken; or the peer broke the protocol, and the answer is queued.
//!             Ok(None) | Err(_) => return,
//!         }
//!     }
//!     connection.hold(input);
//!     connection.set_reading(Reading::Paused, now);
//! }
//!
//! fn is_timeout(error: &io::Error) -> bool {
//!     matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
//! }
//! ```
//!
//! The deadlines and limits of [`Config`] hold for every peer, also for one that never reads, reads slowly, or
//! sends everything at once. `examples/epoll_server` has the same loop for many connections on one thread.
//!
//! # Features
//!
#![doc = include_str!("features.md")]
//!
//! Without `std` and `deflate` the crate is `no_std`: it needs an allocator and CAS atomics
//! (compare-and-swap, for pointers).
//!
//! # What it does not do
//!
//! - TLS for servers: give `accept` a stream that has it. Clients have it with the feature `rustls`; without it a `wss://`
//!   URI is an error.
//! - Redirects ([`manual`] has the loop) and reconnecting.
//! - HTTP other than the upgrade, except for one answer to each plain request
//!   ([`HandshakeConfig::on_plain_request`]).
//! - HTTP/2 and HTTP/3: another library speaks them. [`Server::answer`] judges the requests that it has read; the
//!   [`manual`] says what to set.

#![no_std]
// Nothing that a peer sends may cause a panic. Where one of these is used, the reason stands beside it; for
// arithmetic, at the head of the file.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::todo,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(any(feature = "std", feature = "deflate", test))]
extern crate std;

mod buffer;
mod code;
mod connection;
#[cfg(feature = "deflate")]
mod deflate;
#[cfg(feature = "std")]
pub mod driver;
mod entropy;
mod error;
pub mod frame;
mod handshake;
mod http;
pub mod manual;
mod message;
#[cfg(feature = "std")]
pub mod net;
mod open;
mod opening;
mod proxy;
mod role;
mod time;
#[cfg(feature = "tokio")]
pub mod tokio;
mod upgrade;

pub use code::CloseCode;
pub use connection::{Cause, Closed, Config, Connection, Event, Keepalive, Reading, Ready, State, Step, Unsent, Wants};
#[cfg(feature = "deflate")]
pub use deflate::{Deflate, DeflateContext};
#[cfg(feature = "std")]
pub use driver::{Error, TlsError};
pub use entropy::Seed;
pub use error::{Fault, HandshakeError, ProtocolError, ProxyError, SendError, UriPart};
pub use frame::CloseFrame;
pub use handshake::{ClientRequest, HandshakeConfig, OnPlainRequest, Origins, PendingUpgrade, Uri};
pub use http::{Accept, Headers, Request, Response};
pub use message::{BytesMessage, Chunk, Message, Outgoing, Prepared};
pub use open::{Client, Refusal, Server};
pub use proxy::{Proxy, Tunnel};
pub use role::Role;
pub use time::Time;
pub use upgrade::{Agreement, Upgrade};

/// This compiles the README's code, and runs what can run.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
