//! A sans-IO WebSocket (RFC 6455).
#![no_std]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod buffer;
mod code;
mod connection;
#[cfg(feature = "std")]
mod driver;
mod entropy;
mod error;
pub mod frame;
mod message;
#[cfg(feature = "std")]
pub mod net;
mod role;
mod time;
#[cfg(feature = "tokio")]
pub mod tokio;
mod upgrade;

pub use code::CloseCode;
pub use connection::{Cause, Closed, Config, Connection, Event, Keepalive, State};
pub use entropy::Seed;
#[cfg(feature = "std")]
pub use error::Error;
pub use error::{HandshakeError, ProtocolError, SendError};
pub use frame::CloseFrame;
pub use message::{Chunk, Message};
pub use role::Role;
pub use time::Time;
pub use upgrade::{Agreement, Upgrade};
