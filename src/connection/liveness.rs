//! §5.5.2: is the peer alive, does it take what we send, and how far away is it? All that judges a
//! peer which is neither opening nor closing lies here. Never reads a clock.
//!
//! Two signs of life count: bytes that came, and bytes that the transport took after it had been
//! found to take nothing. (A write that goes through says nothing: the bytes may lie in this
//! machine's own socket buffer.)

#![expect(clippy::arithmetic_side_effects, reason = "a count of Pings, in 64 bits")]

use alloc::boxed::Box;
use core::time::Duration;

use super::config::Config;
use super::state::Cause;
use crate::time::Time;

/// Pings sent by themselves, the Ping that waits for its Pong, a transport that takes nothing, and
/// the latency.
#[derive(Debug)]
pub(crate) struct Liveness {
    next_ping: Time,
    /// The number of the last Ping sent by itself: its payload.
    count: u64,
    /// The last sign of life.
    seen: Time,
    /// Since when the transport has taken nothing while something waited, or could not pass on what it
    /// had taken.
    blocked: Option<Time>,
    /// Whether it could not pass it on. Then what it takes into a buffer of its own says nothing.
    stuck: bool,
    /// Boxed: most of the time there is none.
    waiting: Option<Box<Waiting>>,
    latency: Option<Duration>,
}

/// The last Ping, which has not been answered, and for how long none has been.
#[derive(Debug)]
struct Waiting {
    payload: Box<[u8]>,
    /// Where in the outgoing stream it ends.
    end: u64,
    /// When it had left.
    left: Option<Time>,
    /// Where the first Ping ends that was not answered: later ones do not buy the
    /// peer more time.
    first_end: u64,
    /// When that one was queued, or when it or anything before it was last transmitted, or when
    /// reading was resumed.
    since: Time,
}

/// What the clock asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping([u8; 8]),
    Dead(Cause),
}

impl Liveness {
    pub(crate) fn new(config: &Config, now: Time) -> Liveness {
        let next_ping = config.keepalive.map_or(now, |keepalive| now + keepalive.interval);
        Liveness { next_ping, count: 0, seen: now, blocked: None, stuck: false, waiting: None, latency: None }
    }

    /// The connection is open now. What is known of the transport still holds.
    pub(crate) fn opened(&mut self, config: &Config, now: Time) {
        let (blocked, stuck) = (self.blocked, self.stuck);
        *self = Liveness { blocked, stuck, ..Liveness::new(config, now) };
    }

    pub(crate) fn latency(&self) -> Option<Duration> {
        self.latency
    }

    /// Whether [`transmitted`](Self::transmitted) has a use for the time.
    #[inline]
    pub(crate) fn needs_time(&self) -> bool {
        self.waiting.is_some() || self.blocked.is_some()
    }

    /// Keepalive begins: a Ping is due at once, whenever an earlier keepalive would have sent it, and one that was
    /// sent before was not to be answered in time.
    pub(crate) fn begin_keepalive(&mut self) {
        self.next_ping = Time::ZERO;
        self.waiting = None;
    }

    /// Something came from the peer.
    #[inline]
    pub(crate) fn heard(&mut self, now: Time) {
        // A clock that went back must not make the silence longer.
        self.seen = self.seen.max(now);
    }

    /// A Ping was queued that ends at `end` in the outgoing stream. It replaces one
    /// that still waits: only the last is measured.
    pub(crate) fn pinged(&mut self, payload: &[u8], end: u64, now: Time) {
        let (first_end, since) = self.waiting.as_ref().map_or((end, now), |first| (first.first_end, first.since));
        self.waiting = Some(Box::new(Waiting { payload: payload.into(), end, left: None, first_end, since }));
    }

    /// The transport took nothing; or, if nothing waits, it could not pass on what it had taken.
    pub(crate) fn blocked(&mut self, nothing_waits: bool, now: Time) {
        self.blocked.get_or_insert(now);
        self.stuck |= nothing_waits;
    }

    /// Whether the transport has taken nothing for so long that the peer is given up.
    pub(crate) fn is_stalled(&self, config: &Config, now: Time) -> bool {
        self.stall_deadline(config).is_some_and(|deadline| deadline <= now)
    }

    fn stall_deadline(&self, config: &Config) -> Option<Time> {
        self.blocked.zip(config.stall_timeout).map(|(blocked, timeout)| blocked + timeout)
    }

    /// The transport took something. If it had been found to take nothing, the peer must have made room.
    #[inline]
    pub(crate) fn took(&mut self, now: Time) {
        if self.blocked.is_some() && !self.stuck {
            self.blocked = None;
            self.heard(now);
        }
    }

    /// The outgoing stream, gone up to `before` until now, has got to `position`.
    #[inline]
    pub(crate) fn transmitted(&mut self, before: u64, position: u64, now: Time) {
        if self.needs_time() {
            self.noted(before, position, now);
        }
    }

    fn noted(&mut self, before: u64, position: u64, now: Time) {
        // What had been taken before has been passed on. That says something of the peer only if it could not
        // be until now.
        if core::mem::take(&mut self.stuck) {
            self.took(now);
        }
        let Some(waiting) = &mut self.waiting else { return };
        // The time to answer runs from when the Ping has left, and while data
        // before it is still being taken, somebody is alive there.
        if before < position && before < waiting.first_end {
            waiting.since = waiting.since.max(now);
        }
        if waiting.left.is_none() && position >= waiting.end {
            waiting.left = Some(now);
        }
    }

    /// A Pong came. If it answers the Ping that waits, that is the latency now.
    pub(crate) fn ponged(&mut self, payload: &[u8], now: Time) -> Option<Duration> {
        // §5.5.3: a Pong may also be unsolicited, or answer an older Ping.
        let waiting = self.waiting.take_if(|waiting| *waiting.payload == *payload)?;
        // A host may hear of the answer before it hears that the Ping has left.
        let latency = now.since(waiting.left?);
        self.latency = Some(latency);
        self.latency
    }

    /// Reading goes on after it was suspended. The Pong may have come long ago, so the time to
    /// answer begins anew.
    pub(crate) fn resumed(&mut self, now: Time) {
        self.heard(now);
    }

    /// The next deadline while no Ping waits, and the transport takes what there is.
    #[inline]
    pub(crate) fn next_ping(&self, config: &Config) -> Option<Time> {
        config.keepalive.map(|_| self.next_ping)
    }

    /// The next deadline. `reads` says whether a Pong could be seen.
    pub(crate) fn deadline(&self, config: &Config, reads: bool) -> Option<Time> {
        Time::earlier(self.stall_deadline(config), self.ping_deadline(config, reads))
    }

    /// When to send the next Ping, or to give up waiting for a Pong.
    fn ping_deadline(&self, config: &Config, reads: bool) -> Option<Time> {
        let keepalive = config.keepalive?;
        Some(match &self.waiting {
            Some(waiting) if waiting.is_judged(reads) => waiting.since.max(self.seen) + keepalive.timeout,
            _ => self.next_ping,
        })
    }

    pub(crate) fn due(&mut self, config: &Config, reads: bool, now: Time) -> Due {
        let reached = |deadline: Option<Time>| deadline.is_some_and(|deadline| deadline <= now);
        if self.is_stalled(config, now) {
            return Due::Dead(Cause::StallTimeout);
        }
        let Some(keepalive) = config.keepalive.filter(|_| reached(self.ping_deadline(config, reads))) else {
            return Due::Nothing;
        };
        if self.waiting.as_ref().is_some_and(|waiting| waiting.is_judged(reads)) {
            return Due::Dead(Cause::PongTimeout);
        }
        // A Ping whose answer could not be seen says nothing: the next one begins anew.
        self.waiting = None;
        // Time must go on before the next one, or a host that handles what is due never comes to an end.
        self.next_ping = now + keepalive.interval.max(LEAST_INTERVAL);
        self.count += 1;
        Due::Ping(self.count.to_be_bytes())
    }
}

/// The interval between two Pings, whatever the application asks for.
const LEAST_INTERVAL: Duration = Duration::from_millis(1);

impl Waiting {
    /// Whether silence means something. While this end does not read, a Pong could not be seen;
    /// but a Ping that has not left yet says that the peer takes nothing.
    fn is_judged(&self, reads: bool) -> bool {
        reads || self.left.is_none()
    }
}
