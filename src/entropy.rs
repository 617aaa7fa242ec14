//! Chance as an input: a generator that the caller seeds. The same seed gives
//! the same masking keys and the same nonce, so a conversation can be replayed.

#[cfg(feature = "std")]
use rand::TryRng;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// 32 bytes that nobody else can guess, from which a client draws its nonce and
/// all its masking keys.
///
/// The adapters take it from the operating system, by `Seed::from_os` (feature `std`).
/// Embedders must too, or take 32 bytes from a hardware source: RFC 6455 §10.3 rests on masking
/// keys being unpredictable. Each connection needs a seed of its own. It is neither `Clone` nor
/// `Copy`, so that none is used twice by oversight, and its `Debug` shows nothing.
///
/// Only tests and fuzzers should use a fixed one: whatever takes a seed takes `[7; 32]` too.
///
/// ```
/// use openline::{Agreement, Seed, Upgrade};
///
/// # #[cfg(feature = "std")]
/// let upgrade = Upgrade::client(Agreement::default(), Seed::from_os()?);
/// let replayed = Upgrade::client(Agreement::default(), [7; 32]);
/// assert_eq!(format!("{:?}", Seed::from([7; 32])), "Seed(..)");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Seed([u8; 32]);

impl Seed {
    /// A seed from the operating system.
    ///
    /// # Errors
    ///
    /// The operating system has no randomness to give: it is too old, or a sandbox keeps us
    /// from asking.
    #[cfg(feature = "std")]
    pub fn from_os() -> std::io::Result<Seed> {
        let mut seed = [0; 32];
        rand::rngs::SysRng.try_fill_bytes(&mut seed).map_err(std::io::Error::other)?;
        Ok(Seed(seed))
    }
}

#[cfg(feature = "std")]
impl Seed {
    /// The same again, for a client that was told to replay.
    pub(crate) fn again(&self) -> Seed {
        Seed(self.0)
    }
}

impl From<[u8; 32]> for Seed {
    fn from(seed: [u8; 32]) -> Seed {
        Seed(seed)
    }
}

impl core::fmt::Debug for Seed {
    // Whoever reads it can predict every key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// A cryptographically secure generator (ChaCha), drawn from once a frame.
pub(crate) struct Entropy(StdRng);

impl Entropy {
    pub(crate) fn new(seed: Seed) -> Entropy {
        Entropy(StdRng::from_seed(seed.0))
    }

    /// The next masking key (§5.3: fresh and unpredictable for every frame).
    pub(crate) fn mask_key(&mut self) -> [u8; 4] {
        self.0.next_u32().to_le_bytes()
    }

    /// The next nonce for `Sec-WebSocket-Key` (§4.1: 16 bytes, chosen at random).
    pub(crate) fn nonce(&mut self) -> [u8; 16] {
        let mut nonce = [0; 16];
        self.0.fill_bytes(&mut nonce);
        nonce
    }
}

impl core::fmt::Debug for Entropy {
    // The state would let a reader predict every later key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Entropy(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_and_shows_nothing() {
        let keys = |seed: Seed| (Entropy::new(seed).mask_key(), Entropy::new([0; 32].into()).nonce());
        assert_eq!(keys([7; 32].into()), keys([7; 32].into()));
        assert_ne!(keys([7; 32].into()), keys([8; 32].into()));
        assert_eq!(std::format!("{:?}", Seed::from([7; 32])), "Seed(..)");
    }

    #[cfg(feature = "std")]
    #[test]
    fn the_operating_system_gives_another_seed_each_time() {
        let keys = || Entropy::new(Seed::from_os().unwrap()).nonce();
        assert_ne!(keys(), keys());
    }
}
