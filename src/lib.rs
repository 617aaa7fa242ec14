//! **openline** is WebSocket (RFC 6455) as a pure state machine, with two thin
//! adapters that carry its bytes: [`net`] over blocking `std::net`, and
//! [`tokio`](https://docs.rs/tokio) in the module of that name.
//!
//! ```text
//!  socket ─bytes─► frames ─► unmask ─► (inflate) ─► UTF-8 ─► messages ─► Event ─► application
//!                     │ Ping, Close                                                  │
//!    now ─────────► state, deadlines ──► what to do next ─► adapter                  │
//!                     │ Pong, Close                                                  │
//!  socket ◄─bytes─ send buffer ◄─ mask ◄─ frames ◄─ (deflate) ◄──── send, ping, close ┘
//! ```
//!
//! - Most programs want an adapter: `openline::tokio::connect` and `accept`, or the
//!   same in [`net`].
//! - Networking code of your own embeds [`Connection`], after a [`ServerHandshake`] or
//!   [`ClientHandshake`], or after a handshake made elsewhere ([`Upgrade`]).
//! - Protocol tools and fuzzers find single frames in [`frame`].
//!
//! [`manual`] explains how to drive the core, how connections end, what is bounded by
//! what, and why things are as they are.
//!
//! # The core in a loop
//!
//! Bytes, time and chance are inputs; what to do next is the answer. This is a whole
//! server for one connection, with a blocking socket as the smallest of adapters:
//!
//! ```
//! use std::io::{self, Read, Write};
//! use std::time::Instant;
//! use openline::{Config, Connection, Event, State, Time, Upgrade};
//!
//! fn echo(mut socket: impl Read + Write, upgrade: Upgrade) -> io::Result<()> {
//!     let epoch = Instant::now();
//!     let mut connection = Connection::new(upgrade, Config::default(), Time::ZERO);
//!     let mut buffer = vec![0; 64 * 1024];
//!     while connection.state() != State::Closed {
//!         // Wait no longer than until `connection.poll_timeout()`, if the socket can.
//!         let len = socket.read(&mut buffer)?;
//!         let now = Time::from_epoch(epoch.elapsed());
//!         if len == 0 {
//!             connection.handle_eof(now);
//!         }
//!         let mut input = &mut buffer[..len];
//!         // An `Err` says that the peer broke the protocol; the answer is queued.
//!         while let Ok(Some(event)) = connection.receive(&mut input, now) {
//!             if let Event::Message(message) = event {
//!                 connection.send(message).map_err(io::Error::other)?;
//!             }
//!         }
//!         connection.handle_timeout(now);
//!         // All that this read provoked leaves together.
//!         while let Some(bytes) = connection.poll_transmit() {
//!             let len = socket.write(bytes)?;
//!             connection.handle_transmitted(len, now);
//!         }
//!         if connection.poll_shutdown() {
//!             break;
//!         }
//!     }
//!     Ok(())
//! }
//! # struct Wire(io::Cursor<Vec<u8>>, Vec<u8>);
//! # impl Read for Wire { fn read(&mut self, b: &mut [u8]) -> io::Result<usize> { self.0.read(b) } }
//! # impl Write for Wire {
//! #     fn write(&mut self, b: &[u8]) -> io::Result<usize> { self.1.write(b) }
//! #     fn flush(&mut self) -> io::Result<()> { Ok(()) }
//! # }
//! # let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
//! # let mut wire = Wire(io::Cursor::new(masked.to_vec()), vec![]);
//! # struct Lend<'a>(&'a mut Wire);
//! # impl Read for Lend<'_> { fn read(&mut self, b: &mut [u8]) -> io::Result<usize> { self.0.read(b) } }
//! # impl Write for Lend<'_> {
//! #     fn write(&mut self, b: &[u8]) -> io::Result<usize> { self.0.write(b) }
//! #     fn flush(&mut self) -> io::Result<()> { Ok(()) }
//! # }
//! # echo(Lend(&mut wire), Upgrade::server(openline::Agreement::default())).unwrap();
//! # assert_eq!(wire.1, b"\x81\x05Hello");
//! ```
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `std` | yes | [`net`], [`Error`] |
//! | `simdutf8` | yes | faster UTF-8 checks of text from 64 bytes up |
//! | `simd` | no | masks payloads from 512 B up with the widest vectors of the machine: twice as fast, 1 to 2 % of an echo of 1 MiB |
//! | `tokio` | no | the tokio adapter |
//! | `deflate` | no | permessage-deflate (RFC 7692), to be asked for in [`HandshakeConfig`] |
//!
//! Without `std` and `deflate` the core needs `alloc` only.
//!
//! # What it does not do
//!
//! No TLS (bring a stream that has it), no proxies, no
//! reconnecting, no HTTP server around the upgrade.

#![no_std]
// Nothing that a peer sends may panic: where one of these is needed, its reason stands beside it,
// or at the head of the file for sums and differences.
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
pub use driver::Error;
pub use entropy::Seed;
pub use error::{Fault, HandshakeError, ProtocolError, SendError, UriPart};
pub use frame::CloseFrame;
pub use handshake::{ClientRequest, HandshakeConfig, OnPlainRequest, Origins, Uri};
pub use http::{Accept, Headers, Request, Response};
pub use message::{BytesMessage, Chunk, Message, Outgoing, Prepared};
pub use open::{Client, Server};
pub use role::Role;
pub use time::Time;
pub use upgrade::{Agreement, Upgrade};

/// The README's code is compiled, and run where it can be.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
