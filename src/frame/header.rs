//! §5.2: the frame header, 2 to 14 bytes. Every rule that a header alone can break is checked here, and an
//! error is returned at the first byte that proves it.

#![expect(clippy::arithmetic_side_effects, reason = "sizes of a header: 14 bytes at the most")]

use super::MAX_CONTROL_PAYLOAD;
use super::mask::MaskKey;
use crate::error::ProtocolError;
use crate::role::Role;

/// What a frame is for (§5.2). Reserved opcodes have no value here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of the message that an earlier frame began.
    Continuation = 0x0,
    /// A text message, or its first fragment.
    Text = 0x1,
    /// A binary message, or its first fragment.
    Binary = 0x2,
    /// The end of the conversation (§5.5.1).
    Close = 0x8,
    /// A request for a Pong (§5.5.2).
    Ping = 0x9,
    /// The answer to a Ping, or a sign of life (§5.5.3).
    Pong = 0xA,
}

impl Opcode {
    /// The opcode with this number, unless it is reserved.
    #[must_use]
    pub const fn new(opcode: u8) -> Option<Opcode> {
        Some(match opcode {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xA => Opcode::Pong,
            _ => return None,
        })
    }

    /// Whether this is a control frame's (§5.5): Close, Ping or Pong.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// A frame header (§5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Whether this frame ends its message.
    pub fin: bool,
    /// The reserved bits: RSV1 as 4, RSV2 as 2, RSV3 as 1.
    pub rsv: u8,
    /// What the frame is for.
    pub opcode: Opcode,
    /// The masking key, if the payload is masked.
    pub mask: Option<MaskKey>,
    /// The payload's length in bytes, below 2^63.
    pub len: u64,
}

impl Header {
    /// The longest header: 2 bytes, 8 of length, 4 of masking key.
    pub const MAX_SIZE: usize = 14;

    /// Reads the header at the front of `bytes`, as `receiver` gets it from its peer, and says how many
    /// bytes it takes. `rsv` has the reserved bits that an agreed extension defines for the first frames
    /// of messages. `Ok(None)` means that more bytes are needed; no header needs more than
    /// [`MAX_SIZE`](Self::MAX_SIZE).
    ///
    /// # Errors
    ///
    /// The rule of §5.1, §5.2 or §5.5 that the peer broke, as soon as the bytes
    /// at hand prove it.
    ///
    /// ```
    /// use openline::frame::Header;
    /// use openline::{ProtocolError, Role};
    ///
    /// let (header, size) = Header::decode(&[0x82, 0x7e, 0x01, 0x00], Role::Client, 0)?.unwrap();
    /// assert_eq!((header.len, size), (256, 4));
    /// // The first byte proves the error.
    /// assert_eq!(Header::decode(&[0x83], Role::Client, 0), Err(ProtocolError::ReservedOpcode(3)));
    /// # Ok::<(), ProtocolError>(())
    /// ```
    #[inline]
    pub fn decode(bytes: &[u8], receiver: Role, rsv: u8) -> Result<Option<(Header, usize)>, ProtocolError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        // §5.2: "If an unknown opcode is received, the receiving endpoint MUST fail".
        let Some(opcode) = Opcode::new(first & 0x0f) else {
            return Err(ProtocolError::ReservedOpcode(first & 0x0f));
        };
        // §5.2: RSV bits MUST be 0 unless an extension defines them. RFC 7692 §6 defines RSV1 for the first
        // frame of a message only.
        let bits = first >> 4 & 0x7;
        let begins = matches!(opcode, Opcode::Text | Opcode::Binary);
        if bits != 0 && (bits & !rsv != 0 || !begins) {
            return Err(ProtocolError::ReservedBits(bits));
        }
        let fin = first & 0x80 != 0;
        // §5.5: control frames MUST NOT be fragmented.
        if opcode.is_control() && !fin {
            return Err(ProtocolError::ControlFragmented);
        }

        let Some(&second) = bytes.get(1) else { return Ok(None) };
        // §5.1: a client masks every frame, a server none.
        let masked = second & 0x80 != 0;
        if masked != receiver.peer().masks() {
            return Err(if masked { ProtocolError::FrameMasked } else { ProtocolError::FrameNotMasked });
        }
        let short = second & 0x7f;
        // §5.5: control frames have a payload of 125 bytes or less.
        if opcode.is_control() && usize::from(short) > MAX_CONTROL_PAYLOAD {
            return Err(ProtocolError::ControlTooLong);
        }
        // §5.5.1: a Close payload, if there is one, begins with two bytes of code.
        if matches!(opcode, Opcode::Close) && short == 1 {
            return Err(ProtocolError::CloseTruncated);
        }
        let Some((len, size)) = decode_length(short, bytes)? else { return Ok(None) };

        if !masked {
            return Ok(Some((Header { fin, rsv: bits, opcode, mask: None, len }, size)));
        }
        let Some(key) = bytes.get(size..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
        Ok(Some((Header { fin, rsv: bits, opcode, mask: Some(MaskKey::new(*key)), len }, size + 4)))
    }

    /// Reads the header of a whole message in one frame without reserved bits, the common case of
    /// [`decode`](Self::decode), at a fraction of its cost. Returns the opcode, the key (all zeros if the
    /// payload is not masked), where the payload begins and its length; `None` for any other header, valid or
    /// not.
    /// Speed only; whatever does not match takes the general path.
    #[inline]
    pub(super) fn decode_common(bytes: &[u8], receiver: Role) -> Option<(Opcode, MaskKey, usize, usize)> {
        let [first, second, rest @ ..] = bytes else { return None };
        let opcode = match first {
            0x81 => Opcode::Text,
            0x82 => Opcode::Binary,
            _ => return None,
        };
        let masked = receiver.peer().masks();
        let (len, size, rest) = match (second ^ if masked { 0x80 } else { 0 }, rest) {
            (len @ 0..=125, rest) => (usize::from(len), 2, rest),
            (126, [high, low, rest @ ..]) => match u16::from_be_bytes([*high, *low]) {
                0..126 => return None,
                len => (usize::from(len), 4, rest),
            },
            (127, [a, b, c, d, e, f, g, h, rest @ ..]) => match u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) {
                len @ 0x1_0000..=MAX_LEN => (usize::try_from(len).ok()?, 10, rest),
                _ => return None,
            },
            _ => return None,
        };
        match masked {
            true => Some((opcode, MaskKey::new(*rest.first_chunk()?), size + 4, len)),
            false => Some((opcode, MaskKey::default(), size, len)),
        }
    }

    /// Writes the header to the front of `out` and returns how many bytes it takes. The length is written in
    /// its shortest form (§5.2).
    ///
    /// ```
    /// use openline::frame::{Header, Opcode};
    ///
    /// let mut out = [0; Header::MAX_SIZE];
    /// let header = Header { fin: true, rsv: 0, opcode: Opcode::Ping, mask: None, len: 5 };
    /// assert_eq!(header.encode(&mut out), 2);
    /// assert_eq!(out[..2], [0x89, 0x05]);
    /// ```
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "`size` is 14 at the most")]
    pub fn encode(&self, out: &mut [u8; Header::MAX_SIZE]) -> usize {
        let (bytes, size) = self.bytes();
        out[..size].copy_from_slice(&bytes[..size]);
        size
    }

    /// The header as it is sent, followed by zeros, and how many bytes it takes.
    #[inline]
    pub(super) fn bytes(&self) -> ([u8; Header::MAX_SIZE], usize) {
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        let first = u8::from(self.fin) << 7 | (self.rsv & 0x7) << 4 | self.opcode as u8;
        // The header is put together in a register, with the first byte lowest. If it were written to memory in
        // short pieces, the copy that follows would have to wait for them.
        let (len, extended, size) = match self.len {
            0..=125 => (self.len as u8, 0, 2),
            126..=0xffff => (126, u64::from((self.len as u16).swap_bytes()), 4),
            _ => (127, self.len.swap_bytes(), 10),
        };
        let bytes = u128::from(first) | u128::from(masked | len) << 8 | u128::from(extended) << 16;
        let key = self.mask.map_or(0, |key| u128::from(u32::from_le_bytes(key.get())));
        let [front @ .., _, _] = (bytes | key << (8 * size)).to_le_bytes();
        (front, if self.mask.is_some() { size + 4 } else { size })
    }
}

/// §5.2: "the most significant bit MUST be 0".
const MAX_LEN: u64 = u64::MAX >> 1;

/// §5.2: the payload's length, which has 7, 7+16 or 7+64 bits, and where it ends.
#[inline]
fn decode_length(short: u8, bytes: &[u8]) -> Result<Option<(u64, usize)>, ProtocolError> {
    match short {
        126 => {
            let Some(&[_, _, high, low]) = bytes.first_chunk() else { return Ok(None) };
            let len = u16::from_be_bytes([high, low]);
            // §5.2: "the minimal number of bytes MUST be used to encode the length".
            if len < 126 {
                return Err(ProtocolError::LengthNotMinimal);
            }
            Ok(Some((len.into(), 4)))
        }
        127 => {
            let field = bytes.get(2..).unwrap_or_default();
            // §5.2: "the most significant bit MUST be 0".
            if field.first().is_some_and(|byte| byte & 0x80 != 0) {
                return Err(ProtocolError::LengthTooLarge);
            }
            // §5.2: the shortest form again. After six zero bytes the length fits into 16 bits.
            if field.first_chunk() == Some(&[0; 6]) {
                return Err(ProtocolError::LengthNotMinimal);
            }
            let Some(field) = field.first_chunk() else { return Ok(None) };
            Ok(Some((u64::from_be_bytes(*field), 10)))
        }
        _ => Ok(Some((short.into(), 2))),
    }
}
