//! Random numbers, from a generator that the caller seeds. The same seed gives the same nonce and the same masking
//! keys, so a conversation can be replayed.

#[cfg(feature = "std")]
use rand::TryRng;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// 32 bytes that nobody else can guess. A client makes its nonce and all its masking keys from them.
///
/// Take it from the operating system with `Seed::from_os` (feature `std`), as the adapters do, or from a hardware
/// source: RFC 6455 §10.3 demands that masking keys cannot be predicted. Each connection needs a seed of its own.
/// So `Seed` is neither `Clone` nor `Copy`. Its `Debug` shows nothing.
///
/// Only tests and fuzzers should use a fixed seed. Every function that takes a seed takes `[7; 32]` too.
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
    /// The operating system gives no random bytes: it is too old, or a sandbox forbids the call.
    #[cfg(feature = "std")]
    pub fn from_os() -> std::io::Result<Seed> {
        let mut seed = [0; 32];
        rand::rngs::SysRng.try_fill_bytes(&mut seed).map_err(std::io::Error::other)?;
        Ok(Seed(seed))
    }
}

#[cfg(feature = "std")]
impl Seed {
    /// The same seed again, for a [`Client`](crate::Client) with a fixed seed.
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
    // `Debug` hides the seed: whoever reads it can predict every key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// A cryptographically secure generator (ChaCha). It makes one key for each frame.
pub(crate) struct Entropy(StdRng);

impl Entropy {
    pub(crate) fn new(seed: Seed) -> Entropy {
        Entropy(StdRng::from_seed(seed.0))
    }

    /// The next masking key. §5.3: every frame has a new one, which cannot be predicted.
    pub(crate) fn mask_key(&mut self) -> [u8; 4] {
        self.0.next_u32().to_le_bytes()
    }

    /// A nonce for `Sec-WebSocket-Key`. §4.1: it has 16 bytes, which are chosen at random.
    pub(crate) fn nonce(&mut self) -> [u8; 16] {
        let mut nonce = [0; 16];
        self.0.fill_bytes(&mut nonce);
        nonce
    }
}

impl core::fmt::Debug for Entropy {
    // `Debug` hides the state: whoever reads it can predict every later key.
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
