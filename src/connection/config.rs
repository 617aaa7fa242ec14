//! What an application may choose about a connection, with safe defaults.

use core::time::Duration;

/// Limits and deadlines of one connection.
///
/// Connections share one `Arc` of it until [`set_config`](crate::Connection::set_config) gives one
/// of them another.
///
/// ```
/// use std::time::Duration;
/// use openline::Config;
///
/// let mut config = Config::default();
/// config.max_message_size = 64 * 1024;
/// config.close_timeout = Duration::from_secs(2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The longest message to receive, in payload bytes; a longer one fails the
    /// connection with 1009, as soon as its length is announced. Default 16 MiB.
    /// A compressed message is refused when more has been inflated, and also when more than
    /// twice this and 16 KiB are announced in compressed form.
    /// It holds in chunk mode too: raise it to `u64::MAX`, and
    /// [`max_fragments`](Self::max_fragments) too, to take messages without end there,
    /// at no cost in memory. Without a limit whole messages are not read ahead while a send is blocked.
    pub max_message_size: u64,
    /// The most fragments that one received message may come in, empty ones
    /// counted; more fail the connection with 1008. Default 131,072.
    pub max_fragments: u32,
    /// Once this many bytes wait to be transmitted, [`has_room`] is false and
    /// [`send`](crate::Connection::send) refuses. A message taken before may exceed it. Default 64 KiB.
    ///
    /// [`has_room`]: crate::Connection::has_room
    pub high_water: usize,
    /// When to look whether the peer still lives; `None` for never. Default:
    /// a Ping every 25 s, answered within 20 s.
    pub keepalive: Option<Keepalive>,
    /// How long the peer may take nothing at all while something waits for it; `None` for as long
    /// as it likes. The time begins when the transport is found to take nothing, and a single byte
    /// that it takes ends it: a slow peer lives. A transport with a buffer of its own shows
    /// nothing of what goes on in it: there the peer must take what lies in the buffer in this time. Default 60 s.
    pub stall_timeout: Option<Duration>,
    /// How long the closing handshake may take, from the first Close frame until
    /// the peer has closed the transport (§7.1.1). Default 10 s.
    pub close_timeout: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_message_size: 16 * 1024 * 1024,
            max_fragments: 128 * 1024,
            high_water: 64 * 1024,
            keepalive: Some(Keepalive::default()),
            stall_timeout: Some(Duration::from_secs(60)),
            close_timeout: Duration::from_secs(10),
        }
    }
}

/// When to send a Ping, and how long to wait for a sign of life (§5.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keepalive {
    /// The time from one Ping to the next. The default, 25 s, is well below the
    /// 60 s after which common proxies cut a silent connection.
    pub interval: Duration,
    /// How long after a Ping the peer may be silent. Anything it sends counts: a
    /// peer in the middle of a long frame cannot answer before its end. So does
    /// its taking what waits for it. While this end does not read it could not see
    /// an answer, so the time begins anew when it reads again. Default 20 s.
    pub timeout: Duration,
}

impl Keepalive {
    /// A Ping every `interval`, answered within `timeout`.
    #[must_use]
    pub const fn new(interval: Duration, timeout: Duration) -> Keepalive {
        Keepalive { interval, timeout }
    }
}

impl Default for Keepalive {
    fn default() -> Keepalive {
        Keepalive::new(Duration::from_secs(25), Duration::from_secs(20))
    }
}
