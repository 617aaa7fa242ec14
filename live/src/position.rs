//! Where a log stands: epoch and offset, as values and as text.

use std::fmt;
use std::io;
use std::str::FromStr;

/// One life of a topic's log. Offsets of different epochs have nothing to do with each other.
///
/// A topic that is swept and made again has a new epoch, and so has every topic of a program that starts without a
/// snapshot. As text it has 32 hexadecimal digits, and never a colon.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64, u64);

impl Epoch {
    /// The epoch with these 16 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Epoch {
        let all = u128::from_be_bytes(bytes);
        Epoch((all >> 64) as u64, all as u64)
    }

    /// The 16 bytes of this epoch.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.0) << 64 | u128::from(self.1)).to_be_bytes()
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.0, self.1)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}

impl FromStr for Epoch {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Epoch, ParsePositionError> {
        // `from_str_radix` takes a sign, and capitals would be a second spelling of the same epoch.
        let valid = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let all = u128::from_str_radix(text, 16).ok().filter(|_| valid).ok_or(ParsePositionError)?;
        Ok(Epoch::from_bytes(all.to_be_bytes()))
    }
}

/// How far a log has come, or how far a client has read it: the offset of the last message, 0 if there was none.
///
/// As text it is `EPOCH:OFFSET`. JavaScript's numbers are exact up to 2^53 only, which no topic reaches in practice.
///
/// ```
/// use openline_live::{Epoch, Position};
///
/// let position = Position { epoch: Epoch::from_bytes([1; 16]), offset: 7 };
/// assert_eq!(position.to_string(), "01010101010101010101010101010101:7");
/// assert_eq!(position.to_string().parse(), Ok(position));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The life of the log to which the offset belongs.
    pub epoch: Epoch,
    /// The offset of a message. The first message has 1.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.offset)
    }
}

impl FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Position, ParsePositionError> {
        let (epoch, offset) = text.split_once(':').ok_or(ParsePositionError)?;
        let valid = !offset.is_empty() && offset.bytes().all(|b| b.is_ascii_digit());
        let offset = offset.parse().ok().filter(|_| valid).ok_or(ParsePositionError)?;
        Ok(Position { epoch: epoch.parse()?, offset })
    }
}

/// The text is no epoch, or no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsePositionError;

impl fmt::Display for ParsePositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a position is 32 hexadecimal digits, a colon and a number")
    }
}

impl std::error::Error for ParsePositionError {}

/// 16 random bytes, from which a hub makes its epochs.
///
/// Two hubs with the same seed make the same epochs. Then clients that come back from one to the other miss messages in
/// silence. So only tests use a fixed seed.
#[derive(Debug)]
pub struct EpochSeed([u8; 16]);

impl EpochSeed {
    /// A seed from the operating system.
    ///
    /// # Errors
    ///
    /// The operating system gives no random bytes: it is too old, or a sandbox forbids the call.
    pub fn from_os() -> io::Result<EpochSeed> {
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).map_err(io::Error::from)?;
        Ok(EpochSeed(seed))
    }

    /// The epoch of the topic that a hub has made as its `count`th.
    pub(crate) fn epoch(&self, count: u64) -> Epoch {
        let Epoch(high, low) = Epoch::from_bytes(self.0);
        Epoch(high, low.wrapping_add(count))
    }
}

impl From<[u8; 16]> for EpochSeed {
    fn from(seed: [u8; 16]) -> EpochSeed {
        EpochSeed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_one_spelling() {
        let epoch = "0123456789abcdef0123456789abcdef";
        for (text, valid) in [
            (format!("{epoch}:0"), true),
            (format!("{epoch}:18446744073709551615"), true),
            (format!("{epoch}:18446744073709551616"), false),
            (format!("{epoch}:+1"), false),
            (format!("{epoch}:-1"), false),
            (format!("{epoch}:"), false),
            (epoch.to_owned(), false),
            (format!("+{}:1", &epoch[1..]), false),
            (format!("{}:1", &epoch[1..]), false),
            (format!("{}:1", epoch.to_uppercase()), false),
            (String::new(), false),
        ] {
            let position = text.parse::<Position>();
            assert_eq!(position.is_ok(), valid, "{text}");
            assert!(position.is_err() || position.unwrap().to_string() == text);
        }
    }

    #[test]
    fn no_epoch_comes_twice() {
        let seed = EpochSeed::from([255; 16]);
        assert_ne!(seed.epoch(0), seed.epoch(1));
        assert_ne!(EpochSeed::from_os().unwrap().epoch(0), EpochSeed::from_os().unwrap().epoch(0));
    }
}
