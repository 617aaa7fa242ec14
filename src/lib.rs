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
mod handshake;
mod message;
mod role;
mod time;
#[cfg(feature = "tokio")]
pub mod tokio;
mod upgrade;

pub use code::CloseCode;
pub use connection::{Cause, Closed, Config, Connection, Event, Keepalive, State};
#[cfg(feature = "std")]
pub use driver::Error;
pub use entropy::Seed;
pub use error::{HandshakeError, ProtocolError, SendError};
pub use frame::CloseFrame;
pub use handshake::{
    ClientHandshake, ClientRequest, HandshakeConfig, Headers, Origins, Plain, Request, Response, ServerHandshake, Uri,
};
pub use message::{Chunk, Message};
pub use role::Role;
pub use time::Time;
pub use upgrade::{Agreement, Upgrade};
