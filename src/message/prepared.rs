//! A message for many connections, which is encoded and compressed once.

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
/// A server's connections send the encoded bytes without a copy of their own. Connections that agreed on
/// permessage-deflate without context takeover share one compressed form for each window size; it is made when
/// it is first needed. A connection with context takeover must compress the message itself, and a client must
/// mask it itself: they treat it as any other message.
///
/// A clone is cheap: it shares the bytes.
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
    /// The whole frame with a compressed payload, for each number of window bits. `None` if compressing does
    /// not make the payload shorter.
    #[cfg(feature = "deflate")]
    deflated: [std::sync::OnceLock<Option<Bytes>>; 16],
}

impl Prepared {
    /// Encodes the message. The payload is copied once, even if it was owned: it must lie behind its header.
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

    /// The frame that a server sends without permessage-deflate.
    pub(crate) fn uncompressed(&self) -> &Bytes {
        &self.0.uncompressed
    }

    /// The frame that a server sends with permessage-deflate. `None` with context takeover: the compressor of
    /// the connection must see the message.
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

/// A whole frame, not masked.
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
