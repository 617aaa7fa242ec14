//! §5.4: joins fragments to messages. No other file compares the length of a message with a limit. Memory grows
//! with the bytes that came, never with an announced length.

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

/// §10.4: the limits for one received message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) message_size: u64,
    pub(crate) fragments: u32,
}

/// In what form the application wants messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Messages,
    Chunks,
}

impl Limits {
    /// Whether a whole message of this length is allowed.
    #[inline]
    pub(crate) fn allow_whole(self, len: usize) -> bool {
        self.check(len as u64, 1, false).is_ok()
    }

    /// How many bytes the frames after this one may add to those that are `announced` so far.
    fn beyond(self, header: &Header, announced: u64) -> u64 {
        if header.fin { 0 } else { self.message_size.saturating_sub(announced) }
    }

    /// Judges what the headers of a message have announced so far.
    fn check(self, announced: u64, fragments: u32, compressed: bool) -> Result<(), ProtocolError> {
        // A compressed message may be longer than the inflated one, for example if the sender flushes every few
        // bytes. So it has a higher limit; the inflated message is judged by itself.
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

/// What the assembler gives to the application.
#[derive(Debug)]
pub(crate) enum Received<'b> {
    Message(Message<'b>),
    Chunk(Chunk<'b>),
}

/// Joins the data frames that one end receives to messages or chunks. The limits stand in the configuration, which
/// connections share: they are given with each call.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    /// It is boxed, so that a connection between two messages is small.
    unfinished: Option<Box<Unfinished>>,
    /// What compressed messages need, if compression was agreed on.
    #[cfg(feature = "deflate")]
    inflate: Option<Box<inflate::Inflating>>,
}

/// A message of which a part has come, and more is to come.
#[derive(Debug)]
struct Unfinished {
    gathered: Gathered,
    /// RFC 7692 §6: whether its first frame had RSV1.
    compressed: bool,
    /// How many payload bytes the headers so far have announced.
    announced: u64,
    /// How many bytes later frames may still add: 0 once the last frame has begun.
    beyond: u64,
    fragments: u32,
    delivered: Delivered,
}

/// What the application has got of an unfinished message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivered {
    Nothing,
    /// Some chunks: so the message can no longer be delivered whole. `last` is the length of the last chunk.
    Chunks {
        last: usize,
    },
    /// Some chunks, after which a part was skipped: so no later part continues them.
    Skipped,
}

/// The part of a message that has come and has not been delivered.
enum Gathered {
    Text {
        text: String,
        utf8: Utf8,
    },
    /// The first `filled` bytes of `data` have come. The bytes behind them are space that is being read into.
    Binary {
        data: Vec<u8>,
        filled: usize,
    },
}

impl fmt::Debug for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gathered::Text { text, .. } => write!(f, "Text({} bytes)", text.len()),
            Gathered::Binary { filled, .. } => write!(f, "Binary({filled} bytes)"),
        }
    }
}

impl Assembler {
    /// Whether no message is unfinished.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.unfinished.is_none()
    }

    /// Whether the assembler holds compressed payload that makes more chunks.
    pub(crate) fn has_rest(&self) -> bool {
        #[cfg(feature = "deflate")]
        if self.has_inflate_rest() {
            return true;
        }
        // What was read straight to its place is to be a chunk.
        self.unfinished.as_ref().is_some_and(|message| {
            matches!(message.delivered, Delivered::Chunks { .. })
                && matches!(message.gathered, Gathered::Binary { filled: 1.., .. })
        })
    }

    /// Takes a whole message. No other may be unfinished ([`is_idle`](Self::is_idle)).
    #[inline]
    pub(crate) fn accept_whole<'b>(
        &self,
        opcode: Opcode,
        payload: &'b [u8],
        limits: Limits,
    ) -> Result<Message<'b>, ProtocolError> {
        limits.check(payload.len() as u64, 1, false)?;
        whole(opcode, payload)
    }

    /// As [`accept_whole`](Self::accept_whole), but makes no message of it.
    #[inline]
    #[cfg(feature = "std")]
    pub(crate) fn judge_whole(&self, opcode: Opcode, payload: &[u8], limits: Limits) -> Result<(), ProtocolError> {
        limits.check(payload.len() as u64, 1, false)?;
        if opcode == Opcode::Binary || utf8::is_short_ascii(payload) {
            Ok(())
        } else {
            whole(opcode, payload).map(drop)
        }
    }

    /// Takes a piece of a data frame.
    #[inline]
    pub(crate) fn accept<'b>(
        &mut self,
        piece: Piece<'b>,
        delivery: Delivery,
        limits: Limits,
    ) -> Result<Option<Received<'b>>, ProtocolError> {
        if piece.first {
            self.begin(&piece.header, limits)?;
            // The common case: the message is whole in one piece, and stays in the input buffer.
            let header = &piece.header;
            if piece.last && header.fin && header.opcode != Opcode::Continuation && header.rsv == 0 {
                let message = whole(header.opcode, piece.payload)?;
                return Ok(Some(match delivery {
                    Delivery::Messages => Received::Message(message),
                    Delivery::Chunks => Received::Chunk(Chunk { data: message, first: true, last: true }),
                }));
            }
        }
        self.append(piece, delivery, limits)
    }

    /// Space to read more of a binary message into; `remaining` bytes of its frame are to come. `None` if it
    /// would be too little to be worth a read of its own. It is never longer than what has come already, or four
    /// times the last chunk, so that a length which is only announced allocates nothing.
    pub(crate) fn space(&mut self, remaining: u64) -> Option<&mut [u8]> {
        let (data, filled, len) = self.reserve_space(remaining)?;
        if data.len() - filled < len {
            data.resize(filled + len, 0);
        }
        data.get_mut(filled..filled + len)
    }

    /// As [`space`](Self::space), for a transport that appends. This space is not filled with zeros first.
    pub(crate) fn spare_space(&mut self, remaining: u64) -> Option<Limit<&mut Vec<u8>>> {
        let (data, filled, len) = self.reserve_space(remaining)?;
        data.truncate(filled);
        Some(data.limit(len))
    }

    /// The memory that the next bytes belong to, how many bytes it has already, and how many to read. The
    /// capacity for them is reserved.
    fn reserve_space(&mut self, remaining: u64) -> Option<(&mut Vec<u8>, usize, usize)> {
        let message = self.unfinished.as_mut().filter(|message| !message.compressed)?;
        let Unfinished { gathered: Gathered::Binary { data, filled }, announced, delivered, beyond, .. } =
            &mut **message
        else {
            return None;
        };
        let come = usize::try_from(announced.saturating_sub(remaining)).unwrap_or(usize::MAX);
        let remaining = usize::try_from(remaining).unwrap_or(usize::MAX);
        let paid = match delivered {
            Delivered::Nothing => come,
            // The buffer is at most four times the last chunk. Each chunk takes new memory, and a peer that sends
            // little at a time must not make this end allocate much each time.
            Delivered::Chunks { last } if *filled == 0 && *last >= LEAST_SPACE => last.saturating_mul(4),
            Delivered::Chunks { .. } | Delivered::Skipped => return None,
        };
        // A short rest of the frame is read together with the part before it, not in a read of its own.
        let most = if remaining < MOST_SPACE + LEAST_SPACE { remaining } else { MOST_SPACE };
        let len = most.min(paid);
        if len < LEAST_SPACE {
            return None;
        }
        match delivered {
            Delivered::Nothing => reserve(data, *filled, len, remaining, *beyond),
            _ => data.reserve_exact(len - data.len().min(len)),
        }
        Some((data, *filled, len))
    }

    /// The bytes that were read into [`space`](Self::space), as a chunk, if chunks are delivered.
    pub(crate) fn filled_chunk(&mut self, delivery: Delivery) -> Result<Option<Received<'static>>, ProtocolError> {
        match &mut self.unfinished {
            Some(message) if matches!(message.delivered, Delivered::Chunks { .. }) && delivery == Delivery::Chunks => {
                Ok(message.chunk(&[], false)?.map(Received::Chunk))
            }
            _ => Ok(None),
        }
    }

    /// Notes that the first `len` bytes of [`space`](Self::space) have been filled, and returns them.
    pub(crate) fn fill(&mut self, len: usize) -> Option<&mut [u8]> {
        let Gathered::Binary { data, filled } = &mut self.unfinished.as_mut()?.gathered else { return None };
        let start = *filled;
        *filled = data.len().min(start.saturating_add(len));
        data.get_mut(start..*filled)
    }

    /// Judges the header of a data frame, before its payload has come.
    #[inline]
    fn begin(&mut self, header: &Header, limits: Limits) -> Result<(), ProtocolError> {
        match (&mut self.unfinished, header.opcode) {
            // §5.4: "fragments of one message MUST NOT be interleaved" with another's.
            (Some(_), Opcode::Text | Opcode::Binary) => Err(ProtocolError::ExpectedContinuation),
            // §5.4: a message begins with a frame whose opcode is not 0.
            (None, Opcode::Continuation) => Err(ProtocolError::UnexpectedContinuation),
            (None, _) => limits.check(header.len, 1, header.rsv != 0),
            (Some(message), _) => {
                message.announced = message.announced.saturating_add(header.len);
                message.fragments = message.fragments.saturating_add(1);
                message.beyond = limits.beyond(header, message.announced);
                limits.check(message.announced, message.fragments, message.compressed)
            }
        }
    }

    fn append<'b>(
        &mut self,
        piece: Piece<'b>,
        delivery: Delivery,
        limits: Limits,
    ) -> Result<Option<Received<'b>>, ProtocolError> {
        let Piece { header, payload, last, .. } = piece;
        let ends = last && header.fin;
        let message = self.unfinished.get_or_insert_with(|| Box::new(Unfinished::new(&header, limits)));
        #[cfg(feature = "deflate")]
        if message.compressed {
            return self.accept_compressed(payload, ends, delivery, limits);
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
        let gathered = match first.opcode {
            Opcode::Text => Gathered::Text { text: String::new(), utf8: Utf8::default() },
            _ => Gathered::Binary { data: Vec::new(), filled: 0 },
        };
        let beyond = limits.beyond(first, first.len);
        let compressed = first.rsv != 0;
        Unfinished { gathered, compressed, announced: first.len, beyond, fragments: 1, delivered: Delivered::Nothing }
    }

    /// Takes the next part of the payload, which is inflated if it was compressed.
    fn take_in<'b>(
        &mut self,
        payload: &'b [u8],
        ends: bool,
        delivery: Delivery,
    ) -> Result<Option<Received<'b>>, ProtocolError> {
        // If the application changes from messages to chunks, the first chunk has what was gathered. If it changes
        // from chunks to messages, the rest of this message is skipped.
        Ok(match (self.delivered, delivery) {
            (Delivered::Nothing | Delivered::Chunks { .. }, Delivery::Chunks) => {
                self.chunk(payload, ends)?.map(Received::Chunk)
            }
            (Delivered::Chunks { .. }, Delivery::Messages) | (Delivered::Skipped, _) => {
                self.skip(payload, ends)?;
                None
            }
            (Delivered::Nothing, Delivery::Messages) => {
                self.gather(payload, ends)?;
                ends.then(|| Received::Message(self.take()))
            }
        })
    }

    /// How long the message will be, as far as that is announced, and how much more may come.
    fn promise(&self, ends: bool) -> (usize, u64) {
        match (self.compressed, ends) {
            (false, _) => (usize::try_from(self.announced).unwrap_or(usize::MAX), self.beyond),
            // The inflated length is never announced.
            (true, false) => (0, self.beyond),
            (true, true) => (0, 0),
        }
    }

    /// Keeps the payload.
    fn gather(&mut self, payload: &[u8], ends: bool) -> Result<(), ProtocolError> {
        let (announced, beyond) = self.promise(ends);
        match &mut self.gathered {
            Gathered::Text { text, utf8 } => {
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
            Gathered::Binary { data, filled } => {
                data.truncate(*filled);
                reserve(data, *filled, payload.len(), announced.saturating_sub(*filled), beyond);
                data.extend_from_slice(payload);
                *filled = data.len();
            }
        }
        Ok(())
    }

    /// Makes a chunk of what was gathered before and the payload.
    fn chunk<'b>(&mut self, payload: &'b [u8], ends: bool) -> Result<Option<Chunk<'b>>, ProtocolError> {
        let first = self.delivered == Delivered::Nothing;
        let data = match &mut self.gathered {
            Gathered::Text { text, utf8 } => {
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
            Gathered::Binary { filled: 0, .. } => Message::from(payload),
            Gathered::Binary { data, filled } => {
                data.truncate(mem::take(filled));
                data.reserve_exact(payload.len());
                data.extend_from_slice(payload);
                data.shrink_to_fit();
                Message::from(mem::take(data))
            }
        };
        // §5.4: empty fragments are legal. They make no chunk unless they end the message.
        if data.is_empty() && !ends {
            return Ok(None);
        }
        self.delivered = Delivered::Chunks { last: data.len() };
        Ok(Some(Chunk { data, first, last: ends }))
    }

    /// Checks the payload of a message whose rest is skipped, and drops it.
    fn skip(&mut self, payload: &[u8], ends: bool) -> Result<(), ProtocolError> {
        if !payload.is_empty() {
            self.delivered = Delivered::Skipped;
        }
        match &mut self.gathered {
            Gathered::Text { utf8, .. } => checked(utf8, payload, ends).map(drop)?,
            Gathered::Binary { data, filled } => {
                if mem::take(filled) > 0 {
                    self.delivered = Delivered::Skipped;
                }
                *data = Vec::new();
            }
        }
        Ok(())
    }

    /// The whole message, in memory of its own length.
    fn take(&mut self) -> Message<'static> {
        match &mut self.gathered {
            Gathered::Text { text, .. } => {
                // Memory is left over only if less came than later frames might have added.
                text.shrink_to_fit();
                Message::Text(Cow::Owned(mem::take(text)))
            }
            Gathered::Binary { data, filled } => {
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

/// §8.1: checks a part of a text. `ends` says whether the text ends with it.
fn checked<'b>(utf8: &mut Utf8, payload: &'b [u8], ends: bool) -> Result<(Option<char>, &'b str), ProtocolError> {
    let invalid = |error: utf8::Invalid| ProtocolError::InvalidUtf8 { at: error.at };
    let parts = utf8.check(payload).map_err(invalid)?;
    if ends {
        utf8.finish().map_err(invalid)?;
    }
    Ok(parts)
}

/// Reserves memory for `growth` bytes behind the `filled` ones. `remaining` bytes are announced, those of
/// `growth` included.
fn reserve(data: &mut Vec<u8>, filled: usize, growth: usize, remaining: usize, beyond: u64) {
    if data.capacity() - filled < growth {
        let target = target(filled, growth, remaining - growth.min(remaining), beyond);
        data.reserve_exact(target - data.len().min(target));
    }
}

/// The capacity to grow to, where `needed` bytes have come, `announced_after` more are announced, and later frames
/// may add `beyond` more: `needed + min(3 * needed, announced_after + min(needed, beyond))`.
///
/// So it is at most four times what has come, and growing costs a constant for each byte. It is no more than is
/// announced, so that a message of one frame ends up in memory of its own size. While later frames may come it is
/// at least twice what has come, within the limit: otherwise many short fragments would cost the square of their
/// number.
fn target(filled: usize, growth: usize, announced_after: usize, beyond: u64) -> usize {
    let needed = filled + growth;
    let ahead = usize::try_from(beyond).unwrap_or(usize::MAX).min(needed).saturating_add(announced_after);
    needed.saturating_add(needed.saturating_mul(3).min(ahead))
}

/// A compressed message may have twice the limit and this many bytes.
const COMPRESSED_OVERHEAD: u64 = 16 * 1024;

/// The least space that is offered. Less is not worth a read of its own: a read into the read buffer brings it
/// together with what follows.
const LEAST_SPACE: usize = 16 * 1024;

/// The most space that is offered. The second-level cache still holds that much when it is unmasked.
const MOST_SPACE: usize = 256 * 1024;
