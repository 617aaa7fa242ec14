//! RFC 7692 §7.1: the parameters of permessage-deflate, as they are wished for and as
//! they are agreed.

/// permessage-deflate (RFC 7692): what an end wants, or what both have agreed on.
///
/// A client [offers](crate::HandshakeConfig::deflate) it, a server accepts. The peer may
/// lower windows and take takeover away, but cannot add to what is set here; only that a
/// client which does not know how to use a smaller window uses one of 15 bits (§7.1.2.2),
/// which costs the server no more.
///
/// Without context takeover each message is compressed by itself. The memory for that is
/// shared by all connections of a thread, and a connection has none between messages.
/// With it, a message may refer to the ones before, which makes short messages that are
/// alike much shorter; and each connection holds on to its state, from the first
/// compressed message in that direction on:
///
/// | memory per connection, in KiB | 9 bits | 10 | 11 | 12 | 13 | 14 | 15 |
/// |---|---|---|---|---|---|---|---|
/// | `send`, `memory` 1 | 134 | 136 | 140 | 148 | 164 | 196 | 260 |
/// | `send`, `memory` 5 | 147 | 149 | 153 | 161 | 177 | 209 | 273 |
/// | `send`, `memory` 8 (default) | 245 | 247 | 251 | 259 | 275 | 307 | 371 |
/// | `send`, `memory` 9 | 357 | 359 | 363 | 371 | 387 | 419 | 483 |
/// | `receive` | 46 | 46 | 46 | 46 | 46 | 46 | 46 |
///
/// The level makes no difference to that. A window of 8 bits takes as much as one of 9.
///
/// Where a message holds a secret beside what somebody else may choose, its compressed
/// length can tell the secret (the attack on HTTPS is known as BREACH; RFC 7692 §9).
/// Do not compress there.
///
/// ```
/// use openline::{Deflate, HandshakeConfig};
///
/// let mut deflate = Deflate::default();
/// deflate.level = 1;
/// deflate.receive.takeover = true;
/// let mut config = HandshakeConfig::default();
/// config.deflate.push(deflate);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deflate {
    /// How hard to look for a short form: 0 (not at all) to 9; more counts as 9. Default 6.
    pub level: u8,
    /// How much memory to compress with besides the window, 1 to 9; what lies outside
    /// counts as the nearest. Default 8.
    pub memory: u8,
    /// Messages of fewer bytes are sent as they are. Default 128. What is sent in
    /// fragments is compressed whatever its length, which nobody knows.
    pub threshold: usize,
    /// How this end compresses what it sends.
    pub send: DeflateContext,
    /// How the peer compresses what it sends.
    pub receive: DeflateContext,
}

impl Default for Deflate {
    /// Both directions with the largest window, without context takeover.
    fn default() -> Deflate {
        let context = DeflateContext { takeover: false, window_bits: DeflateContext::MOST_BITS };
        Deflate { level: 6, memory: 8, threshold: 128, send: context, receive: context }
    }
}

/// What the compression of one direction may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateContext {
    /// Whether a message may refer to those before it (§7.1.1). Default: no.
    pub takeover: bool,
    /// How far back, as the power of two in bytes (§7.1.2): 8 to 15; what lies outside
    /// counts as the nearest. Default 15, which is 32 KiB.
    pub window_bits: u8,
}

impl DeflateContext {
    pub(crate) const LEAST_BITS: u8 = 8;
    pub(crate) const MOST_BITS: u8 = 15;

    /// The window's bits, between the bounds that the RFC sets.
    pub(crate) fn bits(self) -> u8 {
        self.window_bits.clamp(Self::LEAST_BITS, Self::MOST_BITS)
    }
}
