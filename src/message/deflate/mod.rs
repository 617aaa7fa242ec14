//! RFC 7692 §7.2: compressed messages. `zlib-rs` does DEFLATE itself (RFC 1951); this module makes messages of
//! it.

mod deflater;
mod inflater;
mod pool;

pub(crate) use deflater::Deflater;
pub(crate) use inflater::Inflater;
pub(crate) use pool::{SCRATCH_SIZE, with_scratch};

/// RFC 7692 §6: the bit RSV1 in the first frame of a message says that the message is compressed.
pub(crate) const RSV1: u8 = 4;

/// RFC 7692 §7.2.1: a sender removes these bytes from the end of a message, and a receiver appends them. They are
/// the lengths in an empty stored block.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
