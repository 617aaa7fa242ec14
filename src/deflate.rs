//! RFC 7692 §7.1: the parameters of permessage-deflate.

/// permessage-deflate (RFC 7692): what an end wants, or what both have agreed on.
///
/// A client [offers](crate::HandshakeConfig::deflate) it, and a server accepts. The peer may make the windows
/// smaller and switch context takeover off, but it cannot enlarge what is set here. There is one exception: a
/// client that cannot use a smaller window uses one of 15 bits (§7.1.2.2), which costs the server no more.
///
/// Without context takeover each message is compressed by itself. All connections of a thread share the memory
/// for that, and between messages a connection has none of its own. With context takeover a message may refer to
/// the messages before it, which makes short messages that are alike much shorter. Then each connection keeps
/// memory of its own, from the first compressed message in that direction on:
///
/// | memory per connection, in KiB | 9 bits | 10 | 11 | 12 | 13 | 14 | 15 |
/// |---|---|---|---|---|---|---|---|
/// | `send`, `memory` 1 | 134 | 136 | 140 | 148 | 164 | 196 | 260 |
/// | `send`, `memory` 5 | 147 | 149 | 153 | 161 | 177 | 209 | 273 |
/// | `send`, `memory` 8 (default) | 245 | 247 | 251 | 259 | 275 | 307 | 371 |
/// | `send`, `memory` 9 | 357 | 359 | 363 | 371 | 387 | 419 | 483 |
/// | `receive` | 46 | 46 | 46 | 46 | 46 | 46 | 46 |
///
/// The level does not change these numbers. A window of 8 bits takes as much memory as one of 9.
///
/// Do not compress a message that has a secret and also data that somebody else may choose: its compressed length
/// can tell the secret (RFC 7692 §9; the attack on HTTPS is known as BREACH).
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
    /// How much time to spend on a short result, from 0 (none) to 9; more counts as 9. Default 6.
    pub level: u8,
    /// How much memory to compress with besides the window, from 1 to 9. A value outside counts as the nearest
    /// one. Default 8.
    pub memory: u8,
    /// Messages of fewer bytes are not compressed. Default 128. A message in fragments is always compressed:
    /// nobody knows how long it will be.
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

/// What the compressed messages of one direction may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateContext {
    /// Whether a message may refer to the messages before it (§7.1.1). Default: no.
    pub takeover: bool,
    /// How far back a message may refer, as a power of two in bytes (§7.1.2): 8 to 15. A value outside counts as
    /// the nearest one. Default 15, which is 32 KiB.
    pub window_bits: u8,
}

impl DeflateContext {
    pub(crate) const LEAST_BITS: u8 = 8;
    pub(crate) const MOST_BITS: u8 = 15;

    /// The window's bits, within the bounds that the RFC sets.
    pub(crate) fn bits(self) -> u8 {
        self.window_bits.clamp(Self::LEAST_BITS, Self::MOST_BITS)
    }
}
