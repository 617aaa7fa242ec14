//! RFC 7692 §7.2: messages in compressed form. DEFLATE itself (RFC 1951) is `zlib-rs`'s;
//! here is what makes messages of it.

mod deflater;
mod inflater;
mod pool;

pub(crate) use deflater::Deflater;
pub(crate) use inflater::Inflater;
pub(crate) use pool::{SCRATCH_SIZE, with_scratch};

/// RFC 7692 §6: RSV1 says that a message is compressed.
pub(crate) const RSV1: u8 = 4;

/// §7.2.1: what a sender takes off the end of a message, and a receiver appends: the
/// lengths of an empty stored block.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
