//! RFC 7692 §7.2.1: compresses payloads.

#![expect(clippy::arithmetic_side_effects, reason = "differences of two counts, the later and the earlier")]

use core::fmt;
use std::borrow::Cow;
use std::boxed::Box;
use std::vec::Vec;

use zlib_rs::{Deflate as Compressor, DeflateFlush};

use super::TAIL;
use super::pool::{self, Settings, with_scratch};
use crate::deflate::Deflate;

/// Compresses what one end sends.
pub(crate) struct Deflater {
    settings: Settings,
    threshold: usize,
    takeover: bool,
    /// It is made for the first message. Without context takeover it goes back to the pool after each message.
    state: Option<Box<Compressor>>,
}

impl Deflater {
    pub(crate) fn new(agreed: &Deflate) -> Deflater {
        Deflater {
            settings: Settings::new(agreed),
            threshold: agreed.threshold,
            takeover: agreed.send.takeover,
            state: None,
        }
    }

    /// Whether a message of `len` bytes is long enough to be compressed.
    pub(crate) fn wants(&self, len: usize) -> bool {
        len >= self.threshold
    }

    /// Compresses a whole message and gives it to `send`, or gives `None` if it became no shorter.
    pub(crate) fn message(&mut self, payload: &[u8], send: impl FnOnce(Option<Cow<'_, [u8]>>)) {
        let takeover = self.takeover;
        self.compress(payload, true, |compressed| {
            // With context takeover it is sent compressed in any case: later messages refer to it.
            let pays = takeover || compressed.len() < payload.len();
            send(pays.then_some(compressed));
        });
    }

    /// Compresses the next fragment of a message. Its length does not matter, since nobody knows how long the
    /// message will be.
    pub(crate) fn fragment(&mut self, payload: &[u8], fin: bool, send: impl FnOnce(Cow<'_, [u8]>)) {
        self.compress(payload, fin, send);
    }

    /// The bits of the window, if each message is compressed without regard to the others.
    pub(crate) fn window_bits_alone(&self) -> Option<u8> {
        if self.takeover { None } else { Some(self.settings.window_bits) }
    }

    /// Compresses a message without regard to others. `None` if it became no shorter.
    pub(crate) fn alone<T>(&self, payload: &[u8], encode: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let mut encoded = None;
        let mut alone = Deflater { state: None, takeover: false, ..*self };
        alone.message(payload, |shorter| encoded = shorter.map(|shorter| encode(&shorter)));
        encoded
    }

    fn compress<T>(&mut self, payload: &[u8], fin: bool, then: impl FnOnce(Cow<'_, [u8]>) -> T) -> T {
        let mut state = self.state.take().unwrap_or_else(|| pool::deflater(self.settings));
        let result = with_scratch(|scratch| then(flush(&mut state, payload, fin, scratch)));
        if self.takeover || !fin {
            self.state = Some(state);
        } else {
            pool::keep_deflater(self.settings, state);
        }
        result
    }
}

/// RFC 7692 §7.2.1: compresses all of `payload`, and flushes the compressor so that the peer can read it.
#[expect(clippy::indexing_slicing, reason = "the compressor fills no more than it is given")]
fn flush<'s>(state: &mut Compressor, mut payload: &[u8], fin: bool, scratch: &'s mut [u8]) -> Cow<'s, [u8]> {
    let mut gathered = Vec::new();
    let made = loop {
        let (taken, given) = (state.total_in(), state.total_out());
        // This cannot fail in the middle of a stream: the compressor allocates nothing here, and its state is
        // valid. If it had nothing to do, that is no error.
        let status = state.compress(payload, scratch, DeflateFlush::SyncFlush);
        debug_assert!(status.is_ok(), "{status:?}");
        payload = payload.get((state.total_in() - taken) as usize..).unwrap_or_default();
        let made = (state.total_out() - given) as usize;
        // If `scratch` is not full, all output has come.
        if made < scratch.len() {
            break made;
        }
        gathered.extend_from_slice(scratch);
    };
    let mut compressed = Cow::Borrowed(&scratch[..made]);
    if !gathered.is_empty() {
        gathered.extend_from_slice(&compressed);
        compressed = Cow::Owned(gathered);
    }
    if fin {
        take_off_tail(&mut compressed);
    }
    compressed
}

/// RFC 7692 §7.2.1: removes the last four bytes of a message. If nothing is left, the message is one byte, an empty
/// block (§7.2.3.6).
#[expect(clippy::indexing_slicing, reason = "`len` is its length, less a tail that it has")]
fn take_off_tail(compressed: &mut Cow<'_, [u8]>) {
    let len = compressed.len().saturating_sub(if compressed.ends_with(&TAIL) { TAIL.len() } else { 0 });
    match compressed {
        _ if len == 0 => *compressed = Cow::Borrowed(&[0]),
        Cow::Borrowed(bytes) => *bytes = &bytes[..len],
        Cow::Owned(bytes) => bytes.truncate(len),
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Deflater { settings, threshold, takeover, .. } = self;
        f.debug_struct("Deflater")
            .field("settings", settings)
            .field("threshold", threshold)
            .field("takeover", takeover)
            .finish_non_exhaustive()
    }
}
