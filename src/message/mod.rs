//! §5.4, §6, §8.1: turns frames into messages. This module knows frames, and does not know how a connection
//! opens or ends.

mod assembler;
#[cfg(feature = "deflate")]
pub(crate) mod deflate;
#[allow(clippy::module_inception, reason = "the directory is the RFC's word, and so is the type")]
mod message;
mod outgoing;
mod prepared;
pub(crate) mod utf8;

pub(crate) use assembler::{Assembler, Delivery, Limits, Received};
pub use message::{Chunk, Message};
pub(crate) use outgoing::Payload;
pub use outgoing::{BytesMessage, Outgoing};
pub use prepared::Prepared;
