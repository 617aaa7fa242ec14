//! Chance as an input: a generator that the caller seeds. The same seed gives
//! the same masking keys and the same nonce, so a conversation can be replayed.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// 32 bytes that nobody else can guess, from which a client draws its nonce and
/// all its masking keys.
///
/// The adapters take it from the operating system. Embedders must too, or from
/// a hardware source: RFC 6455 §10.3 rests on masking keys being unpredictable.
/// Only tests and fuzzers should use a fixed seed.
#[derive(Clone)]
pub struct Seed([u8; 32]);

impl Seed {
    /// From the operating system.
    #[cfg(feature = "std")]
    pub fn from_os() -> std::io::Result<Seed> {
        use rand::TryRng;
        let mut seed = [0; 32];
        rand::rngs::SysRng.try_fill_bytes(&mut seed).map_err(std::io::Error::other)?;
        Ok(Seed(seed))
    }
}

impl From<[u8; 32]> for Seed {
    fn from(seed: [u8; 32]) -> Seed {
        Seed(seed)
    }
}

impl core::fmt::Debug for Seed {
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
