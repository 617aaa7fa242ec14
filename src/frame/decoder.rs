//! §5: bytes become pieces of frames, unmasked where they lie. Holds at most a
//! header of its own (14 bytes), so everything it was given may be thrown away.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "a header of 14 bytes at the most, and of a payload no more than lies in the input"
)]

use alloc::vec::Vec;
use core::mem;

use super::header::{Header, Opcode};
use super::mask::MaskKey;
use crate::error::ProtocolError;
use crate::role::Role;

/// A frame, or as much of one as has arrived.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece<'b> {
    /// The frame's header.
    pub header: Header,
    /// The next bytes of the payload, unmasked, in the input buffer.
    pub payload: &'b mut [u8],
    /// Whether the payload begins here.
    pub first: bool,
    /// Whether the payload ends here.
    pub last: bool,
}

/// A whole message in one frame, at the front of the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole {
    pub(crate) opcode: Opcode,
    key: MaskKey,
    /// The header's.
    size: usize,
    /// The payload's.
    pub(crate) len: usize,
}

/// Decodes the frames that one end receives.
///
/// Every frame gives one piece or more. The first comes as soon as the header is
/// whole, even if no payload is at hand yet, so that a frame can be refused
/// before its payload is waited for.
#[derive(Debug)]
pub struct Decoder {
    receiver: Role,
    /// The reserved bits that an agreed extension defines.
    rsv: u8,
    /// How much of `partial` is in use: the front of a header that was cut.
    held: u8,
    partial: [u8; Header::MAX_SIZE],
    /// The frame that is being read, from its header to its last byte.
    frame: Option<Header>,
    /// What is still to come of its payload.
    remaining: u64,
}

impl Decoder {
    /// A decoder at the start of a connection, for what `receiver` gets.
    #[must_use]
    pub fn new(receiver: Role) -> Decoder {
        Decoder::with_rsv(receiver, 0)
    }

    /// As [`new`](Self::new), where an extension defines these reserved bits (RSV1 as 4,
    /// RSV2 as 2, RSV3 as 1) for the first frames of messages.
    #[must_use]
    pub fn with_rsv(receiver: Role, rsv: u8) -> Decoder {
        Decoder { receiver, rsv, held: 0, partial: [0; Header::MAX_SIZE], frame: None, remaining: 0 }
    }

    /// Takes the next piece from the front of `input` and moves `input` past it.
    /// `Ok(None)` means that all input has been taken and more is needed.
    ///
    /// The piece borrows from the input buffer, not from the decoder.
    ///
    /// # Errors
    ///
    /// As [`Header::decode`]. What the decoder returns after an error is
    /// unspecified (but safe): there is no way back into step with the peer.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "`size <= end`, which adds the payload to it")]
    pub fn decode<'b>(&mut self, input: &mut &'b mut [u8]) -> Result<Option<Piece<'b>>, ProtocolError> {
        // The common case: a frame that lies whole in the input leaves no trace here.
        if self.frame.is_none()
            && self.held == 0
            && let Some((header, size)) = Header::decode(input, self.receiver, self.rsv)?
            && let Some(end) = usize::try_from(header.len).ok().and_then(|len| size.checked_add(len))
            && end <= input.len()
        {
            let payload = &mut advance(input, end)[size..];
            return Ok(Some(unmask(header, payload, true, true).1));
        }
        self.decode_cut(input)
    }

    /// Looks for the common case of [`decode`](Self::decode), at a fraction of its cost: a whole
    /// message in one frame that lies in `input` whole. Takes nothing.
    #[inline]
    pub(crate) fn find_message(&self, input: &[u8]) -> Option<Whole> {
        if self.held != 0 || self.frame.is_some() {
            return None;
        }
        let (opcode, key, size, len) = Header::decode_common(input, self.receiver)?;
        if len > input.len() - size { None } else { Some(Whole { opcode, key, size, len }) }
    }

    /// Whether the next bytes of `input` belong to a data frame.
    pub(crate) fn is_at_data(&self, input: &[u8]) -> bool {
        // §5.2: the opcode is the low half of the first byte, and control frames have its high bit.
        let is_data = |first: u8| first & 0x08 == 0;
        match (&self.frame, self.held) {
            (Some(header), _) => !header.opcode.is_control(),
            (None, 0) => input.first().is_some_and(|first| is_data(*first)),
            (None, _) => self.partial.first().is_some_and(|first| is_data(*first)),
        }
    }

    /// Takes the message that was found, and unmasks it where it lies.
    #[inline]
    pub(crate) fn take_message<'b>(&mut self, found: Whole, input: &mut &'b mut [u8]) -> &'b mut [u8] {
        let (_, payload) = advance(input, found.size + found.len).split_at_mut(found.size);
        if self.receiver.peer().masks() {
            let _ = found.key.apply(payload);
        }
        payload
    }

    /// Takes the message that was found, and unmasks it on its way into its own memory.
    #[inline]
    pub(crate) fn copy_message(&mut self, found: Whole, input: &mut &mut [u8]) -> Vec<u8> {
        self.copy_payload(found, advance(input, found.size + found.len))
    }

    /// As [`copy_message`](Self::copy_message), from bytes that stay as they are.
    #[inline]
    pub(crate) fn copy_unchanged(&mut self, found: Whole, input: &mut &[u8]) -> Vec<u8> {
        let (frame, rest) = input.split_at(found.size + found.len);
        *input = rest;
        self.copy_payload(found, frame)
    }

    #[inline]
    fn copy_payload(&self, found: Whole, frame: &[u8]) -> Vec<u8> {
        let (_, payload) = frame.split_at(found.size);
        if !self.receiver.peer().masks() {
            return payload.to_vec();
        }
        let mut data = Vec::with_capacity(found.len);
        found.key.append(&mut data, payload);
        data
    }

    /// The frame does not lie whole in the input.
    fn decode_cut<'b>(&mut self, input: &mut &'b mut [u8]) -> Result<Option<Piece<'b>>, ProtocolError> {
        let first = self.frame.is_none();
        let header = match self.frame {
            Some(header) => header,
            None => {
                let Some(header) = self.header(input)? else { return Ok(None) };
                self.remaining = header.len;
                header
            }
        };
        let len = usize::try_from(self.remaining).map_or(input.len(), |remaining| remaining.min(input.len()));
        if len == 0 && self.remaining != 0 && !first {
            return Ok(None);
        }
        self.remaining -= len as u64;
        let last = self.remaining == 0;
        let (header, piece) = unmask(header, advance(input, len), first, last);
        self.frame = if last { None } else { Some(header) };
        Ok(Some(piece))
    }

    /// The frame whose payload is unfinished, and how much of it is to come.
    pub(crate) fn unfinished(&self) -> Option<(&Header, u64)> {
        self.frame.as_ref().map(|header| (header, self.remaining))
    }

    /// Accounts for payload that was read straight to where it belongs instead
    /// of through [`decode`](Self::decode), and unmasks it there. `data` must not
    /// be longer than what remains. The piece that ends the frame comes, empty,
    /// from the next call to `decode`.
    pub(crate) fn claim(&mut self, data: &mut [u8]) {
        if let Some(header) = &mut self.frame {
            header.mask = header.mask.map(|key: MaskKey| key.apply(data));
            self.remaining = self.remaining.saturating_sub(data.len() as u64);
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "no header is longer than `partial`, so one is whole before `held` gets there"
    )]
    fn header(&mut self, input: &mut &mut [u8]) -> Result<Option<Header>, ProtocolError> {
        if self.held == 0
            && let Some((header, size)) = Header::decode(input, self.receiver, self.rsv)?
        {
            advance(input, size);
            return Ok(Some(header));
        }
        // It does not lie whole in the input: gather it byte by byte.
        while let [byte, ..] = **input {
            let held = usize::from(self.held);
            self.partial[held] = byte;
            self.held += 1;
            advance(input, 1);
            if let Some((header, _)) = Header::decode(&self.partial[..=held], self.receiver, self.rsv)? {
                self.held = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }
}

/// §5.3: the payload is unmasked as soon as it is seen, while the bytes are still warm
/// from the read. Also returns the header with its key turned to what comes next.
#[inline]
fn unmask(header: Header, payload: &mut [u8], first: bool, last: bool) -> (Header, Piece<'_>) {
    let mask = header.mask.map(|key| key.apply(payload));
    let header = Header { mask, ..header };
    (header, Piece { header, payload, first, last })
}

/// Cuts `len` bytes off the front of `input`.
#[inline]
fn advance<'b>(input: &mut &'b mut [u8], len: usize) -> &'b mut [u8] {
    let (front, rest) = mem::take(input).split_at_mut(len);
    *input = rest;
    front
}
