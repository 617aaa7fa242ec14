//! What is kept, for how long, and how much there may be in all.

use std::time::Duration;

use openline::Time;

/// How much of its log each topic of a hub keeps. It holds for all topics: for another kind of topic, make another hub.
///
/// ```
/// use openline_live::Retain;
///
/// let mut retain = Retain::default();
/// retain.messages = 50;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retain {
    /// How many messages a topic keeps. 0 counts as 1. Default: 256.
    pub messages: usize,
    /// How many bytes of payload a topic keeps. A longer message is refused, so with 0 only empty messages are
    /// taken. Default: 1 MiB.
    pub bytes: usize,
    /// How old a kept message may be. It is judged at each join, publish and sweep, by the time of the last
    /// [`Hub::tick`](crate::Hub::tick). Default: 5 minutes.
    pub age: Duration,
    /// How long a topic stays that nobody holds. One with messages stays at least for `age` after the last one, and one
    /// with ids until they have expired. Default: 1 minute.
    pub linger: Duration,
    /// How long a name stays here after the last [`Presence`](crate::Presence) of it, so that a client that reconnects does
    /// not seem to go. It begins with the next [`Hub::tick`](crate::Hub::tick). Default: 30 seconds.
    pub absence: Duration,
    /// How many messages beyond `messages` are kept while a cursor waits for them. Default: 4,096.
    pub slack_messages: usize,
    /// How many bytes beyond `bytes` are kept while a cursor waits for them. Default: 4 MiB.
    pub slack_bytes: usize,
}

impl Default for Retain {
    fn default() -> Retain {
        Retain {
            messages: 256,
            bytes: 1 << 20,
            age: Duration::from_secs(300),
            linger: Duration::from_secs(60),
            absence: Duration::from_secs(30),
            slack_messages: 4096,
            slack_bytes: 4 << 20,
        }
    }
}

/// How much a hub holds in all.
///
/// ```
/// use openline_live::Limits;
///
/// let mut limits = Limits::default();
/// limits.topics = 1000;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many topics there may be. Default: 100,000.
    pub topics: usize,
    /// How many bytes all logs may hold: payloads, and what lies beside each message and each id. What the caller's
    /// `make` allocates comes on top. Default: 256 MiB.
    ///
    /// At this limit a topic drops its own oldest messages for each new one. Who waited for them is told so.
    pub bytes: usize,
    /// How many names of those who are here all topics may have, each name once for each of its topics. Names that other
    /// nodes have announced count too, but are always taken. Default: 1,000,000.
    pub names: usize,
    /// How many names one topic may have, as for [`names`](Self::names). Default: 100,000.
    pub names_per_topic: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { topics: 100_000, bytes: 256 << 20, names: 1_000_000, names_per_topic: 100_000 }
    }
}

/// The caller's time, moved so far from zero that a message of a snapshot can be older than this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(u64);

impl Stamp {
    pub(crate) const fn from_nanos(nanos: u64) -> Stamp {
        Stamp(nanos)
    }

    pub(crate) fn nanos(self) -> u64 {
        self.0
    }

    pub(crate) fn time(self) -> Time {
        Time::from_epoch(Duration::from_nanos(self.0.saturating_sub(MOVED)))
    }

    pub(crate) fn since(self, earlier: Stamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn later(self, by: Duration) -> Stamp {
        Stamp(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }

    pub(crate) fn earlier(self, by: Duration) -> Stamp {
        Stamp(self.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl From<Time> for Stamp {
    fn from(time: Time) -> Stamp {
        Stamp(u64::try_from(time.since_epoch().as_nanos()).unwrap_or(u64::MAX).saturating_add(MOVED))
    }
}

/// How many bytes a topic's name may have.
pub(crate) const MAX_NAME: usize = 128;
/// 146 years.
const MOVED: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_can_be_older_than_the_clock() {
        let start = Stamp::from(Time::ZERO);
        let hour = Duration::from_secs(3600);
        assert_eq!(start.since(start.earlier(hour)), hour);
        assert_eq!(start.earlier(hour).since(start), Duration::ZERO);
        assert_eq!(start.time(), Time::ZERO);
    }
}
