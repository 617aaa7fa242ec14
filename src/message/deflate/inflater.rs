//! §7.2.2: compressed payload becomes plain payload, a stretch at a time.

use core::fmt;
use std::boxed::Box;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::{TAIL, pool};
use crate::deflate::DeflateContext;
use crate::error::ProtocolError;

/// Inflates what one end receives.
pub(crate) struct Inflater {
    takeover: bool,
    /// Made for the first message, and without takeover given away after each.
    state: Option<Box<Inflate>>,
    /// Whether the last thing that came was the end of a last block, and nothing after it.
    ended: bool,
}

impl Inflater {
    pub(crate) fn new(receive: DeflateContext) -> Inflater {
        Inflater { takeover: receive.takeover, state: None, ended: false }
    }

    /// Inflates from the front of `input`, the last of the message's payload if it `ends`
    /// there. Returns how much has been put into `out`, and whether that was all that this
    /// input gives. Otherwise call it again with what is left, which may be nothing.
    pub(crate) fn inflate(
        &mut self,
        input: &mut &[u8],
        ends: bool,
        out: &mut [u8],
    ) -> Result<(usize, bool), ProtocolError> {
        let mut state = self.state.take().unwrap_or_else(pool::inflater);
        let mut filled = 0;
        let done = loop {
            let (used, made, status) = step(&mut state, input, &mut out[filled..], InflateFlush::NoFlush)?;
            *input = &input[used..];
            filled += made;
            self.ended &= used == 0;
            if status == Status::StreamEnd {
                // §7.2.3.4: a block with BFINAL ends a stream; another begins at the next byte.
                state.reset(false);
                self.ended = true;
            } else if filled < out.len() {
                // There is room left, so it was the input that came to its end.
                if ends && !self.ended {
                    finish(&mut state, &mut out[filled..])?;
                }
                break true;
            }
            if filled == out.len() {
                break false;
            }
        };
        if done && ends {
            self.ended = false;
        }
        if !(done && ends) || self.takeover {
            self.state = Some(state);
        } else {
            pool::keep_inflater(state);
        }
        Ok((filled, done))
    }
}

/// One call, and how much it took and gave.
fn step(
    state: &mut Inflate,
    input: &[u8],
    out: &mut [u8],
    flush: InflateFlush,
) -> Result<(usize, usize, Status), ProtocolError> {
    let (taken, given) = (state.total_in(), state.total_out());
    let status = state.decompress(input, out, flush).map_err(|_| ProtocolError::DeflateInvalid)?;
    Ok(((state.total_in() - taken) as usize, (state.total_out() - given) as usize, status))
}

/// §7.2.2: appends the tail, which must end a block with its last byte and say nothing. If
/// the message was cut short, something else takes in the tail, and does not end there: a
/// code or a stored byte would give output, and the end of a block come too early or,
/// as the lengths of a stored block that do not match, not at all.
fn finish(state: &mut Inflate, out: &mut [u8]) -> Result<(), ProtocolError> {
    // Another byte, which inflating up to the end of a block leaves alone.
    let [a, b, c, d] = TAIL;
    match step(state, &[a, b, c, d, 0], out, InflateFlush::Block) {
        Ok((4, 0, Status::Ok)) => Ok(()),
        _ => Err(ProtocolError::DeflateTruncated),
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("takeover", &self.takeover).finish_non_exhaustive()
    }
}
