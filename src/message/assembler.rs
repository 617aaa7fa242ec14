//! §5.4: fragments become messages. The only place that compares a length with a
//! limit. Memory follows the bytes that came, never the length announced.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "lengths of what lies in memory; what a peer announces is added saturating"
)]

#[cfg(feature = "deflate")]
mod inflate;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::{fmt, mem};

use bytes::{BufMut, buf::Limit};

use super::message::{Chunk, Message};
use super::utf8::{self, Utf8};
use crate::error::ProtocolError;
use crate::frame::{Header, Opcode, Piece};

/// §10.4: what one message may cost us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) message_size: u64,
    pub(crate) fragments: u32,
}

/// What the application wants to be handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Messages,
    Chunks,
}

impl Limits {
    /// How much the frames after this one may add to what is `announced` with it.
    fn beyond(self, header: &Header, announced: u64) -> u64 {
        if header.fin { 0 } else { self.message_size.saturating_sub(announced) }
    }

    /// Judges what the headers of a message have announced.
    fn check(self, announced: u64, fragments: u32, compressed: bool) -> Result<(), ProtocolError> {
        // A compressed message may be longer than what will be inflated from it, which is
        // judged by itself: a sender that flushes every few bytes makes much of little.
        let overhead = if compressed { self.message_size.saturating_add(COMPRESSED_OVERHEAD) } else { 0 };
        self.check_size(announced.saturating_sub(overhead))?;
        match fragments > self.fragments {
            true => Err(ProtocolError::TooManyFragments { limit: self.fragments }),
            false => Ok(()),
        }
    }

    fn check_size(self, size: u64) -> Result<(), ProtocolError> {
        match size > self.message_size {
            true => Err(ProtocolError::MessageTooBig { limit: self.message_size }),
            false => Ok(()),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Received<'b> {
    Message(Message<'b>),
    Chunk(Chunk<'b>),
}

/// Puts the data frames of one direction together.
#[derive(Debug)]
pub(crate) struct Assembler {
    limits: Limits,
    /// Boxed: between messages a connection should be small.
    unfinished: Option<Box<Unfinished>>,
    /// For messages that come compressed, if that was agreed.
    #[cfg(feature = "deflate")]
    inflate: Option<Box<inflate::Inflate>>,
}

/// A message of which some has come, and more is to come.
#[derive(Debug)]
struct Unfinished {
    body: Body,
    /// RFC 7692 §6: whether its first frame had RSV1.
    compressed: bool,
    /// Payload bytes that have been announced by the headers so far.
    announced: u64,
    /// What later frames may still add: nothing, once the last has begun.
    beyond: u64,
    fragments: u32,
    handed: Handed,
}

/// What the application has been handed of a message that is unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handed {
    Nothing,
    /// Chunks of it, so that it can no longer be handed out whole; the last had this length.
    Chunks {
        last: usize,
    },
    /// Chunks of it, and then some was skipped, so that nothing fits on to them.
    Skipped,
}

enum Body {
    Text {
        text: String,
        utf8: Utf8,
    },
    /// `data` may end in room that is being read into; `filled` is what has come.
    Binary {
        data: Vec<u8>,
        filled: usize,
    },
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::Text { text, .. } => write!(f, "Text({} bytes)", text.len()),
            Body::Binary { filled, .. } => write!(f, "Binary({filled} bytes)"),
        }
    }
}

impl Assembler {
    pub(crate) fn new(limits: Limits) -> Assembler {
        Assembler {
            limits,
            unfinished: None,
            #[cfg(feature = "deflate")]
            inflate: None,
        }
    }

    /// Sets other limits, by which the next frame is judged.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether no message is unfinished.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.unfinished.is_none()
    }

    /// Whether a part of a message waits here, and not in the input.
    pub(crate) fn has_rest(&self) -> bool {
        #[cfg(feature = "deflate")]
        if self.has_inflate_rest() {
            return true;
        }
        // What was read straight to its place is to be a chunk.
        self.unfinished.as_ref().is_some_and(|message| {
            matches!(message.handed, Handed::Chunks { .. }) && matches!(message.body, Body::Binary { filled: 1.., .. })
        })
    }

    /// Whether a whole message of this length keeps the limits.
    #[inline]
    pub(crate) fn allows_whole(&self, len: usize) -> bool {
        self.limits.check(len as u64, 1, false).is_ok()
    }

    /// Takes a whole message, while [idle](Self::is_idle).
    #[inline]
    pub(crate) fn accept_whole<'b>(&self, opcode: Opcode, payload: &'b [u8]) -> Result<Message<'b>, ProtocolError> {
        self.limits.check(payload.len() as u64, 1, false)?;
        whole(opcode, payload)
    }

    /// Takes a piece of a data frame.
    #[inline]
    pub(crate) fn accept<'b>(
        &mut self,
        piece: Piece<'b>,
        delivery: Delivery,
    ) -> Result<Option<Received<'b>>, ProtocolError> {
        if piece.first {
            self.begin(&piece.header)?;
            // The common case: a whole message in one piece. It never leaves the buffer.
            let header = &piece.header;
            if piece.last && header.fin && header.opcode != Opcode::Continuation && header.rsv == 0 {
                let message = whole(header.opcode, piece.payload)?;
                return Ok(Some(match delivery {
                    Delivery::Messages => Received::Message(message),
                    Delivery::Chunks => Received::Chunk(Chunk { data: message, first: true, last: true }),
                }));
            }
        }
        self.append(piece, delivery)
    }

    /// Room to read more of a binary message straight into, if enough of it has come
    /// and `remaining` in its frame to be worth it. Never more than has come already, or
    /// four times the last chunk, so that an announcement alone makes nobody allocate.
    pub(crate) fn room(&mut self, remaining: u64) -> Option<&mut [u8]> {
        let (data, filled, len) = self.reserve_room(remaining)?;
        if data.len() - filled < len {
            data.resize(filled + len, 0);
        }
        data.get_mut(filled..filled + len)
    }

    /// As [`room`](Self::room), for a transport that appends: it need not be filled with
    /// zeros before.
    pub(crate) fn spare_room(&mut self, remaining: u64) -> Option<Limit<&mut Vec<u8>>> {
        let (data, filled, len) = self.reserve_room(remaining)?;
        data.truncate(filled);
        Some(data.limit(len))
    }

    /// Where the next bytes belong, how many are there and how many to read, for which
    /// there is capacity.
    fn reserve_room(&mut self, remaining: u64) -> Option<(&mut Vec<u8>, usize, usize)> {
        let message = self.unfinished.as_mut().filter(|message| !message.compressed)?;
        let Unfinished { body: Body::Binary { data, filled }, announced, handed, beyond, .. } = &mut **message else {
            return None;
        };
        let come = usize::try_from(announced.saturating_sub(remaining)).unwrap_or(usize::MAX);
        let remaining = usize::try_from(remaining).unwrap_or(usize::MAX);
        let paid = match handed {
            Handed::Nothing => come,
            // What is read becomes a chunk of its own, which takes new memory. A peer that sends
            // little at a time must not make that much each time: the last chunk pays for it.
            Handed::Chunks { last } if *filled == 0 && *last >= LEAST_ROOM => last.saturating_mul(4),
            Handed::Chunks { .. } | Handed::Skipped => return None,
        };
        // A short rest would be a read of its own.
        let most = if remaining < MOST_ROOM + LEAST_ROOM { remaining } else { MOST_ROOM };
        let len = most.min(paid);
        if len < LEAST_ROOM {
            return None;
        }
        match handed {
            Handed::Nothing => reserve(data, *filled, len, remaining, *beyond),
            _ => data.reserve_exact(len - data.len().min(len)),
        }
        Some((data, *filled, len))
    }

    /// What was read straight to its place in the middle of a frame, if it is to be a chunk.
    pub(crate) fn filled_chunk(&mut self, delivery: Delivery) -> Result<Option<Received<'static>>, ProtocolError> {
        match &mut self.unfinished {
            Some(message) if matches!(message.handed, Handed::Chunks { .. }) && delivery == Delivery::Chunks => {
                Ok(message.chunk(&[], false)?.map(Received::Chunk))
            }
            _ => Ok(None),
        }
    }

    /// The first `len` bytes of the room have been filled.
    pub(crate) fn fill(&mut self, len: usize) -> Option<&mut [u8]> {
        let Body::Binary { data, filled } = &mut self.unfinished.as_mut()?.body else { return None };
        let start = *filled;
        *filled = data.len().min(start.saturating_add(len));
        data.get_mut(start..*filled)
    }

    /// A data frame begins: judge its header before any of its payload is waited for.
    #[inline]
    fn begin(&mut self, header: &Header) -> Result<(), ProtocolError> {
        match (&mut self.unfinished, header.opcode) {
            // §5.4: "fragments of one message MUST NOT be interleaved" with another's.
            (Some(_), Opcode::Text | Opcode::Binary) => Err(ProtocolError::ExpectedContinuation),
            (None, Opcode::Continuation) => Err(ProtocolError::UnexpectedContinuation),
            (None, _) => self.limits.check(header.len, 1, header.rsv != 0),
            (Some(message), _) => {
                message.announced = message.announced.saturating_add(header.len);
                message.fragments = message.fragments.saturating_add(1);
                message.beyond = self.limits.beyond(header, message.announced);
                self.limits.check(message.announced, message.fragments, message.compressed)
            }
        }
    }

    fn append<'b>(&mut self, piece: Piece<'b>, delivery: Delivery) -> Result<Option<Received<'b>>, ProtocolError> {
        let Piece { header, payload, last, .. } = piece;
        let ends = last && header.fin;
        let message = self.unfinished.get_or_insert_with(|| Box::new(Unfinished::new(&header, self.limits)));
        #[cfg(feature = "deflate")]
        if message.compressed {
            return self.accept_compressed(payload, ends, delivery);
        }
        let received = message.take_in(payload, ends, delivery);
        if ends {
            self.unfinished = None;
        }
        received
    }
}

impl Unfinished {
    fn new(first: &Header, limits: Limits) -> Unfinished {
        let body = match first.opcode {
            Opcode::Text => Body::Text { text: String::new(), utf8: Utf8::default() },
            _ => Body::Binary { data: Vec::new(), filled: 0 },
        };
        let beyond = limits.beyond(first, first.len);
        let compressed = first.rsv != 0;
        Unfinished { body, compressed, announced: first.len, beyond, fragments: 1, handed: Handed::Nothing }
    }

    /// Takes the next part of the payload, as plain as the application will see it.
    fn take_in<'b>(
        &mut self,
        payload: &'b [u8],
        ends: bool,
        delivery: Delivery,
    ) -> Result<Option<Received<'b>>, ProtocolError> {
        // What was gathered before chunks were asked for is their beginning; what
        // is left after chunks were asked for is not a message, and is dropped.
        Ok(match (self.handed, delivery) {
            (Handed::Nothing | Handed::Chunks { .. }, Delivery::Chunks) => {
                self.chunk(payload, ends)?.map(Received::Chunk)
            }
            (Handed::Chunks { .. }, Delivery::Messages) | (Handed::Skipped, _) => {
                self.skip(payload, ends)?;
                None
            }
            (Handed::Nothing, Delivery::Messages) => {
                self.gather(payload, ends)?;
                ends.then(|| Received::Message(self.take()))
            }
        })
    }

    /// How long the message is announced to become, and how much may come beyond that.
    fn promise(&self, ends: bool) -> (usize, u64) {
        match (self.compressed, ends) {
            (false, _) => (usize::try_from(self.announced).unwrap_or(usize::MAX), self.beyond),
            // Nothing is announced of what will be inflated.
            (true, false) => (0, self.beyond),
            (true, true) => (0, 0),
        }
    }

    /// Keeps the payload.
    fn gather(&mut self, payload: &[u8], ends: bool) -> Result<(), ProtocolError> {
        let (announced, beyond) = self.promise(ends);
        match &mut self.body {
            Body::Text { text, utf8 } => {
                let (first, rest) = checked(utf8, payload, ends)?;
                let growth = rest.len() + first.map_or(0, char::len_utf8);
                if text.capacity() - text.len() < growth {
                    let announced_after = announced.saturating_sub(text.len() + growth);
                    let target = target(text.len(), growth, announced_after, beyond);
                    text.reserve_exact(target - text.len());
                }
                text.extend(first);
                text.push_str(rest);
            }
            Body::Binary { data, filled } => {
                data.truncate(*filled);
                reserve(data, *filled, payload.len(), announced.saturating_sub(*filled), beyond);
                data.extend_from_slice(payload);
                *filled = data.len();
            }
        }
        Ok(())
    }

    /// Hands the payload on, behind what was gathered before, if anything was.
    fn chunk<'b>(&mut self, payload: &'b [u8], ends: bool) -> Result<Option<Chunk<'b>>, ProtocolError> {
        let first = self.handed == Handed::Nothing;
        let data = match &mut self.body {
            Body::Text { text, utf8 } => {
                let (completed, rest) = checked(utf8, payload, ends)?;
                if text.is_empty() && completed.is_none() {
                    Message::from(rest)
                } else {
                    text.reserve_exact(rest.len() + completed.map_or(0, char::len_utf8));
                    text.extend(completed);
                    text.push_str(rest);
                    text.shrink_to_fit();
                    Message::from(mem::take(text))
                }
            }
            Body::Binary { filled: 0, .. } => Message::from(payload),
            Body::Binary { data, filled } => {
                data.truncate(mem::take(filled));
                data.reserve_exact(payload.len());
                data.extend_from_slice(payload);
                data.shrink_to_fit();
                Message::from(mem::take(data))
            }
        };
        // §5.4: empty fragments are legal, and say nothing unless they end the message.
        if data.is_empty() && !ends {
            return Ok(None);
        }
        self.handed = Handed::Chunks { last: data.len() };
        Ok(Some(Chunk { data, first, last: ends }))
    }

    /// Checks the payload of a message whose rest nobody wants.
    fn skip(&mut self, payload: &[u8], ends: bool) -> Result<(), ProtocolError> {
        if !payload.is_empty() {
            self.handed = Handed::Skipped;
        }
        match &mut self.body {
            Body::Text { utf8, .. } => checked(utf8, payload, ends).map(drop)?,
            Body::Binary { data, filled } => {
                if mem::take(filled) > 0 {
                    self.handed = Handed::Skipped;
                }
                *data = Vec::new();
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Message<'static> {
        match &mut self.body {
            Body::Text { text, .. } => {
                // Only a limit that was announced and not reached leaves room over.
                text.shrink_to_fit();
                Message::Text(Cow::Owned(mem::take(text)))
            }
            Body::Binary { data, filled } => {
                data.truncate(*filled);
                data.shrink_to_fit();
                Message::Binary(Cow::Owned(mem::take(data)))
            }
        }
    }
}

/// A message that lies whole in one frame.
#[inline]
fn whole(opcode: Opcode, payload: &[u8]) -> Result<Message<'_>, ProtocolError> {
    if opcode == Opcode::Binary {
        return Ok(Message::from(payload));
    }
    // §8.1: invalid UTF-8 fails the connection.
    match utf8::from_utf8(payload) {
        Ok(text) => Ok(Message::from(text)),
        Err(at) => Err(ProtocolError::InvalidUtf8 { at: at as u64 }),
    }
}

/// §8.1, for a part of a text that may `end` with it.
fn checked<'b>(utf8: &mut Utf8, payload: &'b [u8], ends: bool) -> Result<(Option<char>, &'b str), ProtocolError> {
    let invalid = |error: utf8::Invalid| ProtocolError::InvalidUtf8 { at: error.at };
    let parts = utf8.check(payload).map_err(invalid)?;
    if ends {
        utf8.finish().map_err(invalid)?;
    }
    Ok(parts)
}

/// Makes room for `growth` bytes behind the `filled` ones, of the `remaining` that
/// are announced.
fn reserve(data: &mut Vec<u8>, filled: usize, growth: usize, remaining: usize, beyond: u64) {
    if data.capacity() - filled < growth {
        let target = target(filled, growth, remaining - growth.min(remaining), beyond);
        data.reserve_exact(target - data.len().min(target));
    }
}

/// The capacity to grow to: four times what has come, so that growing costs a
/// constant for each byte; but no more than is announced, so that a message of
/// one frame ends up in memory of its own size. Where later frames may go `beyond`
/// what is announced it is twice what has come, or fragments of a byte each would
/// cost the square of their number.
fn target(filled: usize, growth: usize, announced_after: usize, beyond: u64) -> usize {
    let needed = filled + growth;
    let ahead = usize::try_from(beyond).unwrap_or(usize::MAX).min(needed).saturating_add(announced_after);
    needed.saturating_add(needed.saturating_mul(3).min(ahead))
}

/// How many bytes a compressed message may have beyond twice its limit.
const COMPRESSED_OVERHEAD: u64 = 16 * 1024;

/// Less than this is not worth a read of its own: what follows it can come with it.
const LEAST_ROOM: usize = 16 * 1024;

/// What is read in one go is unmasked while a second-level cache still holds it.
const MOST_ROOM: usize = 256 * 1024;
