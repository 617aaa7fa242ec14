//! One message for many: encoded, and compressed, once.

#![expect(clippy::arithmetic_side_effects, reason = "a header of 14 bytes and a payload that lies in memory")]

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::message::Message;
use crate::frame::{Encoder, FirstByte, Header, Opcode};

#[cfg(feature = "deflate")]
use super::deflate::{Deflater, RSV1};

/// A message that is encoded once, to be sent to many connections.
///
/// A server's connections send the bytes as they lie here. Those that have agreed on
/// permessage-deflate without context takeover share one compressed form for each size
/// of window, made when it is first asked for. With context takeover every connection
/// must compress for itself, and a client must mask for itself; to them this is a
/// message like any other.
///
/// A clone is the same message: it costs a reference count.
///
/// ```
/// use openline::{Agreement, Config, Connection, Prepared, Time, Upgrade};
///
/// let open = || Connection::new(Upgrade::server(Agreement::default()), Config::default(), Time::ZERO);
/// let mut bidders = [open(), open(), open()];
/// let price = Prepared::new("lot 7: 120");
/// for bidder in &mut bidders {
///     bidder.send(&price)?;
///     assert_eq!(bidder.next_transmit(), Some(&b"\x81\x0alot 7: 120"[..]));
/// }
/// # Ok::<(), openline::SendError>(())
/// ```
#[derive(Clone)]
pub struct Prepared(Arc<Inner>);

struct Inner {
    opcode: Opcode,
    /// The whole frame, unmasked.
    uncompressed: Bytes,
    /// Where its payload begins.
    payload: usize,
    /// The whole frame with a compressed payload, by the bits of the window; `None` where
    /// that would be no shorter.
    #[cfg(feature = "deflate")]
    deflated: [std::sync::OnceLock<Option<Bytes>>; 16],
}

impl Prepared {
    /// Encodes the message: its payload is copied once, owned or not, to lie behind its header.
    #[must_use]
    pub fn new<'m>(message: impl Into<Message<'m>>) -> Prepared {
        let message = message.into();
        let opcode = message.opcode();
        let uncompressed = frame(0, opcode, message.as_bytes());
        Prepared(Arc::new(Inner {
            opcode,
            payload: uncompressed.len() - message.len(),
            uncompressed,
            #[cfg(feature = "deflate")]
            deflated: [const { std::sync::OnceLock::new() }; 16],
        }))
    }

    /// The message's payload.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "it was made of a header and the payload")]
    pub fn payload(&self) -> &[u8] {
        &self.0.uncompressed[self.0.payload..]
    }

    pub(crate) fn opcode(&self) -> Opcode {
        self.0.opcode
    }

    /// The frame that a server sends.
    pub(crate) fn uncompressed(&self) -> &Bytes {
        &self.0.uncompressed
    }

    /// The frame that a server sends where it has a compressor; `None` if that must have
    /// seen the message.
    #[cfg(feature = "deflate")]
    #[expect(clippy::indexing_slicing, reason = "a window has 15 bits at the most")]
    pub(crate) fn deflated(&self, deflater: &Deflater) -> Option<&Bytes> {
        let window = deflater.window_bits_alone()?;
        if !deflater.wants(self.payload().len()) {
            return Some(self.uncompressed());
        }
        let made = self.0.deflated[usize::from(window)]
            .get_or_init(|| deflater.alone(self.payload(), |shorter| frame(RSV1, self.opcode(), shorter)));
        Some(made.as_ref().unwrap_or(self.uncompressed()))
    }
}

/// A frame without a mask.
fn frame(rsv: u8, opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(Header::MAX_SIZE + payload.len());
    Encoder::new(None).frame(&mut bytes, FirstByte { fin: true, rsv, opcode }, payload);
    Bytes::from(bytes)
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prepared({:?}, {} bytes)", self.0.opcode, self.payload().len())
    }
}
