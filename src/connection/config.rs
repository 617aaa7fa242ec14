//! The limits and deadlines of a connection, with safe defaults.

use core::time::Duration;

/// Limits and deadlines of one connection.
///
/// Connections can share one `Arc` of it. [`set_config`](crate::Connection::set_config) gives one connection
/// another.
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
    /// The longest message to receive, in payload bytes. A longer one fails the connection with 1009, as soon as
    /// its length is announced. Default 16 MiB.
    ///
    /// A compressed message fails when more than this has been inflated, and also when its compressed form is
    /// announced to be longer than twice this and 16 KiB.
    ///
    /// The limit holds for chunks too. To receive messages without end in chunks, set it and
    /// [`max_fragments`](Self::max_fragments) to their greatest values; this takes no more memory. With `u64::MAX`
    /// no whole message is read ahead while a send is blocked.
    pub max_message_size: u64,
    /// The most fragments of one received message, empty ones counted. More of them fail the connection with
    /// 1008. Default 131,072.
    pub max_fragments: u32,
    /// Once this many bytes wait to be transmitted, [`has_room`] is false and
    /// [`send`](crate::Connection::send) fails. A message that is queued while there is room may exceed it.
    /// Default 64 KiB.
    ///
    /// [`has_room`]: crate::Connection::has_room
    pub high_water: usize,
    /// How to check that the peer is still there; `None` for not at all. Default: a Ping every 25 s, which must be
    /// answered within 20 s.
    pub keepalive: Option<Keepalive>,
    /// How long the peer may take no byte at all while bytes wait for it; `None` for any time. The time begins when
    /// the transport takes nothing, and ends when it takes a byte, so a slow peer is not given up. A transport with
    /// a buffer of its own does not show when bytes leave the buffer: there the peer must take all that lies in the
    /// buffer in this time. Default 60 s.
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
    /// The time from one Ping to the next. The default is 25 s, since common proxies end a silent connection after
    /// 60 s.
    pub interval: Duration,
    /// How long after a Ping the peer may give no sign of life. Every byte that it sends is one: a peer in the middle
    /// of a long frame cannot answer before the end of the frame. If bytes wait for the peer, every byte that it takes
    /// is one too. While this end does not read, it cannot see an answer, so the time begins anew when it reads again.
    /// Default 20 s.
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
