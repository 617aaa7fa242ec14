//! RFC 7692 §7.2.2: receives compressed messages.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "lengths of what lies in memory: a part of the input is not longer than all of it"
)]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::{Assembler, Delivery, Limits, Received};
use crate::error::ProtocolError;
use crate::message::deflate::{Inflater, SCRATCH_SIZE, with_scratch};

/// What an assembler needs for compressed messages. It is boxed, since most connections do not have it.
#[derive(Debug)]
pub(super) struct Inflating {
    inflater: Inflater,
    rest: Option<Rest>,
    /// How many bytes of the message have been inflated.
    inflated: u64,
}

/// Compressed payload that makes more than one chunk, and has been inflated in part.
struct Rest {
    bytes: Vec<u8>,
    /// How much of it has been inflated.
    taken: usize,
    /// Whether the message ends with it.
    ends: bool,
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rest { bytes, taken, ends } = self;
        write!(f, "Rest({taken} of {} bytes taken, ends: {ends})", bytes.len())
    }
}

impl Assembler {
    /// From now on messages may come compressed.
    pub(crate) fn inflate_with(&mut self, inflater: Inflater) {
        self.inflate = Some(Box::new(Inflating { inflater, rest: None, inflated: 0 }));
    }

    /// Whether there is compressed payload that makes more chunks.
    pub(super) fn has_inflate_rest(&self) -> bool {
        self.inflate.as_ref().is_some_and(|inflate| inflate.rest.is_some())
    }

    /// Takes the next part of a compressed message's payload.
    pub(super) fn accept_compressed(
        &mut self,
        payload: &[u8],
        ends: bool,
        delivery: Delivery,
        limits: Limits,
    ) -> Result<Option<Received<'static>>, ProtocolError> {
        let mut left = payload;
        let (received, done) = self.inflate(&mut left, ends, delivery, limits)?;
        if let (false, Some(inflate)) = (done, &mut self.inflate) {
            inflate.rest = Some(Rest { bytes: left.to_vec(), taken: 0, ends });
        }
        Ok(received)
    }

    /// The next chunk of compressed payload that makes more than one. It must be called until it returns `None`
    /// before more payload is accepted.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "`taken` is what inflating left of them")]
    pub(crate) fn resume(
        &mut self,
        delivery: Delivery,
        limits: Limits,
    ) -> Result<Option<Received<'static>>, ProtocolError> {
        let Some(mut rest) = self.inflate.as_mut().and_then(|inflate| inflate.rest.take()) else { return Ok(None) };
        let mut left = &rest.bytes[rest.taken..];
        let (received, done) = self.inflate(&mut left, rest.ends, delivery, limits)?;
        rest.taken = rest.bytes.len() - left.len();
        if let (false, Some(inflate)) = (done, &mut self.inflate) {
            inflate.rest = Some(rest);
        }
        Ok(received)
    }

    /// RFC 7692 §7.2.2: inflates until there is something to deliver, or all of `payload` is inflated (`true`). It
    /// inflates at most [`SCRATCH_SIZE`] bytes at a time, so that a chunk needs no more memory than that.
    #[expect(clippy::indexing_slicing, reason = "1 to its size; and the inflater fills no more than it is given")]
    fn inflate(
        &mut self,
        payload: &mut &[u8],
        ends: bool,
        delivery: Delivery,
        limits: Limits,
    ) -> Result<(Option<Received<'static>>, bool), ProtocolError> {
        let (Some(message), Some(inflate)) = (&mut self.unfinished, &mut self.inflate) else { return Ok((None, true)) };
        let (received, done) = with_scratch(|scratch| {
            loop {
                // The application may have lowered the limit since the last call.
                let left = limits.message_size.saturating_sub(inflate.inflated);
                // §10.4: a few bytes may inflate to very many, so no more is inflated than the limit allows. When the
                // limit has been reached, one more byte is inflated to see whether the message exceeds it.
                let left = usize::try_from(left).unwrap_or(usize::MAX);
                let scratch = &mut scratch[..left.clamp(1, SCRATCH_SIZE)];
                let (len, done) = inflate.inflater.inflate(payload, ends, scratch)?;
                inflate.inflated += len as u64;
                limits.check_size(inflate.inflated)?;
                message.beyond = limits.message_size.saturating_sub(inflate.inflated);
                let received = message.take_in(&scratch[..len], ends && done, delivery)?.map(Received::into_owned);
                if done || received.is_some() {
                    return Ok((received, done));
                }
            }
        })?;
        if ends && done {
            inflate.inflated = 0;
            self.unfinished = None;
        }
        Ok((received, done))
    }
}

impl Received<'_> {
    fn into_owned(self) -> Received<'static> {
        match self {
            Received::Message(message) => Received::Message(message.into_owned()),
            Received::Chunk(chunk) => Received::Chunk(chunk.into_owned()),
        }
    }
}
