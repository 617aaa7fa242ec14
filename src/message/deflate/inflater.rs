//! §7.2.2: compressed payload becomes plain payload, a stretch at a time.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "differences of two counts, the later and the earlier, and a length in a buffer"
)]

use core::{fmt, mem};
use std::boxed::Box;

use zlib_rs::{Inflate as Decompressor, InflateError, InflateFlush, Status};

use super::{TAIL, pool};
use crate::deflate::DeflateContext;
use crate::error::ProtocolError;

/// Inflates what one end receives.
pub(crate) struct Inflater {
    takeover: bool,
    /// Made for the first message, and without takeover given away after each.
    state: Option<Box<Decompressor>>,
    /// Whether the last thing that came was the end of a last block, and nothing after it.
    ended: bool,
    /// What is wrong behind the last byte that was given.
    failed: Option<ProtocolError>,
}

impl Inflater {
    pub(crate) fn new(receive: DeflateContext) -> Inflater {
        Inflater { takeover: receive.takeover, state: None, ended: false, failed: None }
    }

    /// Inflates from the front of `input`, the last of the message's payload if it `ends`
    /// there. Returns how much has been put into `out`, and whether that was all that this
    /// input gives. Otherwise call it again with what is left, which may be nothing.
    ///
    /// What came before an error is given first, so that where the input was cut does not
    /// decide which of two faults is found.
    pub(crate) fn inflate(
        &mut self,
        input: &mut &[u8],
        ends: bool,
        out: &mut [u8],
    ) -> Result<(usize, bool), ProtocolError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut state = self.state.take().unwrap_or_else(pool::inflater);
        let (filled, outcome) = self.stretch(&mut state, input, ends, out);
        let done = match outcome {
            Err(error) if filled == 0 => return Err(error),
            Err(error) => {
                self.failed = Some(error);
                return Ok((filled, false));
            }
            Ok(done) => done,
        };
        if done && ends && !self.takeover {
            pool::keep_inflater(state);
        } else {
            self.state = Some(state);
        }
        Ok((filled, done))
    }

    /// Fills `out`, or as much of it as there is to fill.
    #[expect(clippy::indexing_slicing, reason = "the inflater takes and fills no more than it is given")]
    fn stretch(
        &mut self,
        state: &mut Decompressor,
        input: &mut &[u8],
        ends: bool,
        out: &mut [u8],
    ) -> (usize, Result<bool, ProtocolError>) {
        let mut filled = 0;
        while filled < out.len() {
            let (used, made, status) = step(state, input, &mut out[filled..], InflateFlush::NoFlush);
            *input = &input[used..];
            filled += made;
            self.ended &= used == 0;
            match status {
                Err(_) => return (filled, Err(ProtocolError::DeflateInvalid)),
                Ok(Status::StreamEnd) => {
                    // §7.2.3.4: a block with BFINAL ends a stream; another begins at the next byte.
                    state.reset(false);
                    self.ended = true;
                }
                // There is room left, so it was the input that came to its end.
                Ok(_) if filled < out.len() => {
                    let complete = !ends || mem::take(&mut self.ended) || finish(state, &mut out[filled..]);
                    return (filled, if complete { Ok(true) } else { Err(ProtocolError::DeflateTruncated) });
                }
                Ok(_) => {}
            }
        }
        (filled, Ok(false))
    }
}

/// One call, and how much it took and gave.
fn step(
    state: &mut Decompressor,
    input: &[u8],
    out: &mut [u8],
    flush: InflateFlush,
) -> (usize, usize, Result<Status, InflateError>) {
    let (taken, given) = (state.total_in(), state.total_out());
    let status = state.decompress(input, out, flush);
    ((state.total_in() - taken) as usize, (state.total_out() - given) as usize, status)
}

/// §7.2.2: appends the tail, which must end a block with its last byte and say nothing. If
/// the message was cut short, something else takes in the tail, and does not end there: a
/// code or a stored byte would give output, and the end of a block come too early or,
/// as the lengths of a stored block that do not match, not at all.
fn finish(state: &mut Decompressor, out: &mut [u8]) -> bool {
    // Another byte, which inflating up to the end of a block leaves alone.
    let [a, b, c, d] = TAIL;
    matches!(step(state, &[a, b, c, d, 0], out, InflateFlush::Block), (4, 0, Ok(Status::Ok)))
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("takeover", &self.takeover).finish_non_exhaustive()
    }
}
