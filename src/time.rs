//! Time as a number that the caller supplies. Only the adapters read a clock.

use core::ops::{Add, AddAssign};
use core::time::Duration;

/// A moment, counted from an epoch that the caller chooses.
///
/// Any monotonic clock can be used: a microcontroller's tick count, an `Instant` minus one that was taken at
/// start-up, or a variable of a test. Only differences matter. The resolution is one nanosecond and the range 584
/// years. Arithmetic saturates, so a deadline of `Duration::MAX` means *never*.
///
/// ```
/// use core::time::Duration;
/// use openline::Time;
///
/// let start = Time::ZERO;
/// let later = start + Duration::from_millis(1500);
/// assert_eq!(later.since(start), Duration::from_millis(1500));
/// assert_eq!(start.since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The caller's epoch.
    pub const ZERO: Time = Time(0);

    /// The moment `elapsed` after the epoch.
    #[must_use]
    pub fn from_epoch(elapsed: Duration) -> Time {
        Time(nanos(elapsed))
    }

    /// How long after the caller's epoch this is. It is the inverse of [`from_epoch`](Self::from_epoch).
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// How long after `earlier` this is; zero if it is not later.
    #[must_use]
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The earlier of two deadlines, each of which may be absent.
    pub(crate) fn earlier(one: Option<Time>, other: Option<Time>) -> Option<Time> {
        match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, wait: Duration) -> Time {
        Time(self.0.saturating_add(nanos(wait)))
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, wait: Duration) {
        *self = *self + wait;
    }
}

/// A moment, or none, in the memory of one moment: connections have several of them. The last moment that a [`Time`] can
/// show, 584 years after the epoch, stands for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaybeTime(u64);

impl MaybeTime {
    pub(crate) const NONE: MaybeTime = MaybeTime(u64::MAX);

    #[inline]
    pub(crate) fn get(self) -> Option<Time> {
        if self.is_some() { Some(Time(self.0)) } else { None }
    }

    #[inline]
    pub(crate) fn is_some(self) -> bool {
        self != MaybeTime::NONE
    }
}

impl From<Time> for MaybeTime {
    fn from(time: Time) -> MaybeTime {
        MaybeTime(time.0)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_moment_counts_as_none() {
        assert_eq!(MaybeTime::NONE.get(), None);
        for time in [0, 1, u64::MAX - 1].map(Time) {
            assert_eq!(MaybeTime::from(time).get(), Some(time));
        }
        assert_eq!(MaybeTime::from(Time(u64::MAX)), MaybeTime::NONE);
    }
}
