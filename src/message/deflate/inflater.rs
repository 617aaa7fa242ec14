//! RFC 7692 §7.2.2: inflates compressed payload, a limited length at a time.

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
    /// It is made for the first message. Without context takeover it goes back to the pool after each message.
    state: Option<Box<Decompressor>>,
    /// Whether the input so far ends exactly behind a last block (BFINAL).
    ended: bool,
    /// The error that comes behind the output so far.
    failed: Option<ProtocolError>,
}

impl Inflater {
    pub(crate) fn new(receive: DeflateContext) -> Inflater {
        Inflater { takeover: receive.takeover, state: None, ended: false, failed: None }
    }

    /// Inflates from the front of `input`. `ends` says whether the message's payload ends with it. Returns how
    /// many bytes were put into `out`, and whether that is all that this input gives. If not, it must be called
    /// again with the rest of the input, which may be empty.
    ///
    /// The output before an error is returned first, and the error by the next call. So the place of a cut in
    /// the input does not decide which of two errors is found.
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

    /// Fills `out` as far as the input goes.
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
                    // RFC 7692 §7.2.3.4: a block with BFINAL ends the stream. A new stream begins at the next byte.
                    state.reset(false);
                    self.ended = true;
                }
                // `out` is not full, so the input has ended.
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

/// One call of the decompressor. Returns how many bytes it took and gave, and its status.
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

/// RFC 7692 §7.2.2: appends the tail. Returns whether the message was complete: then the tail ends a block with its
/// last byte, and gives no output. If the message was cut short, the tail is read as something else. A code or a
/// stored byte gives output; an end of a block comes before the last byte; lengths of a stored block do not match.
fn finish(state: &mut Decompressor, out: &mut [u8]) -> bool {
    // The decompressor stops at the end of a block. So it must not take the fifth byte.
    let [a, b, c, d] = TAIL;
    matches!(step(state, &[a, b, c, d, 0], out, InflateFlush::Block), (4, 0, Ok(Status::Ok)))
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("takeover", &self.takeover).finish_non_exhaustive()
    }
}
