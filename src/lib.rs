//! A sans-IO WebSocket (RFC 6455).
#![no_std]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod code;
mod entropy;
mod error;
mod role;
mod time;
mod upgrade;

pub use code::CloseCode;
pub use entropy::Seed;
pub use error::{HandshakeError, ProtocolError, SendError};
pub use role::Role;
pub use time::Time;
pub use upgrade::{Agreement, Upgrade};
