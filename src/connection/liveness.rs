//! §5.5.2: whether the peer is alive, whether it takes what we send, and the latency. Here are all time limits for a
//! peer that is neither opening nor closing. The caller gives the time.
//!
//! There are two signs of life: bytes that came, and bytes that the transport took after it had been blocked. (A write
//! that succeeds at once is none: the bytes may lie in the socket buffer of this machine.)

use alloc::boxed::Box;
use core::time::Duration;

use super::config::Config;
use super::state::Cause;
use crate::time::{MaybeTime, Time};

/// The state of keepalive, of a blocked transport, and of the latency.
#[derive(Debug)]
pub(crate) struct Liveness {
    /// When keepalive sends its next Ping.
    next_ping: Time,
    /// When the last sign of life came.
    seen: Time,
    /// Since when the transport has been blocked: it takes nothing while bytes wait, or cannot pass on what it has
    /// taken.
    blocked: MaybeTime,
    /// It is boxed, since most of the time there is none.
    waiting: Option<Box<Waiting>>,
    /// The latency, as the moment that is so long after zero.
    latency: MaybeTime,
    /// How many Pings keepalive has sent. The number is the payload of the last one. After the last number comes the first:
    /// it only tells a Ping from the one before it.
    count: u32,
    /// Whether it could not pass on what it had taken. Then it is no sign of life if it takes bytes into a buffer of
    /// its own.
    stuck: bool,
}

/// The last Ping, which has not been answered, and since when the peer has not answered any Ping.
#[derive(Debug)]
struct Waiting {
    payload: Box<[u8]>,
    /// The mark where it ends in the outgoing stream.
    end: u64,
    /// When the transport had taken all of it.
    left: Option<Time>,
    /// The mark where the first unanswered Ping ends. The time to answer counts from that Ping, so that later Pings
    /// do not give the peer more time.
    first_end: u64,
    /// Whether the time to answer counts at all. It does not for a Ping that was sent before keepalive began.
    counts: bool,
    /// From when the time to answer counts: when the first unanswered Ping was queued, or when it or anything before
    /// it was last transmitted.
    since: Time,
}

/// What this end can see of the peer's signs of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// All that has come: this end reads, and the host says when nothing is left to read.
    Whole,
    /// Nothing: this end does not read. So the time to answer does not count; but it does for a Ping that has not left,
    /// since then the peer takes nothing.
    Suspended,
    /// Something may have come that has not been looked at. So no Ping is judged, nor given up for another one.
    Unread,
}

/// What must be done when a deadline has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping([u8; 8]),
    Dead(Cause),
}

impl Liveness {
    pub(crate) fn new(config: &Config, now: Time) -> Liveness {
        let next_ping = config.keepalive.map_or(now, |keepalive| now + keepalive.interval);
        Liveness {
            next_ping,
            seen: now,
            blocked: MaybeTime::NONE,
            waiting: None,
            latency: MaybeTime::NONE,
            count: 0,
            stuck: false,
        }
    }

    /// Begins anew, because the connection is open now. What is known of the transport is kept.
    pub(crate) fn opened(&mut self, config: &Config, now: Time) {
        let (blocked, stuck) = (self.blocked, self.stuck);
        *self = Liveness { blocked, stuck, ..Liveness::new(config, now) };
    }

    pub(crate) fn latency(&self) -> Option<Duration> {
        self.latency.get().map(Time::since_epoch)
    }

    /// Whether [`transmitted`](Self::transmitted) needs the right time.
    #[inline]
    pub(crate) fn needs_time(&self) -> bool {
        self.waiting.is_some() || self.blocked.is_some()
    }

    /// Keepalive begins: a Ping is due at once, whenever an earlier keepalive would have sent it, and one that was
    /// sent before was not to be answered in time.
    pub(crate) fn begin_keepalive(&mut self) {
        self.next_ping = Time::ZERO;
        if let Some(waiting) = &mut self.waiting {
            waiting.counts = false;
        }
    }

    /// Something came from the peer.
    #[inline]
    pub(crate) fn heard(&mut self, now: Time) {
        // If the clock went back, the silence does not become longer.
        self.seen = self.seen.max(now);
    }

    /// Whether the last sign of life came `now`, or at a later time.
    #[inline]
    pub(crate) fn has_heard(&self, now: Time) -> bool {
        self.seen >= now
    }

    /// A Ping was queued that ends at the mark `end`. It replaces an unanswered one: the latency is measured from the
    /// last Ping only. The time to answer goes on only if it counted for the replaced Ping, or this one could be overdue
    /// at once.
    pub(crate) fn pinged(&mut self, payload: &[u8], end: u64, sight: Sight, now: Time) {
        let first = self.waiting.as_ref().filter(|first| first.is_judged(sight));
        let (first_end, since) = first.map_or((end, now), |first| (first.first_end, first.since));
        let payload = payload.into();
        self.waiting = Some(Box::new(Waiting { payload, end, left: None, first_end, counts: true, since }));
    }

    /// The transport takes nothing. If nothing waits, it cannot pass on what it has taken.
    pub(crate) fn blocked(&mut self, nothing_waits: bool, now: Time) {
        if !self.is_blocked() {
            self.blocked = now.into();
        }
        self.stuck |= nothing_waits;
    }

    /// Whether the transport takes nothing.
    #[inline]
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// When the peer is given up because it takes nothing, if the transport is blocked.
    pub(crate) fn stall_deadline(&self, config: &Config) -> Option<Time> {
        self.blocked.get().zip(config.stall_timeout).map(|(blocked, timeout)| blocked + timeout)
    }

    /// The transport took bytes. If it had been blocked, the peer must have taken bytes, which is a sign of life.
    #[inline]
    pub(crate) fn took(&mut self, now: Time) {
        if self.blocked.is_some() && !self.stuck {
            self.blocked = MaybeTime::NONE;
            self.heard(now);
        }
    }

    /// The transport has passed on the outgoing stream up to the mark `position`, after `before`. `waits` says whether
    /// there are bytes that it has not taken. Only to be called if this [needs the time](Self::needs_time).
    #[inline(never)]
    pub(crate) fn transmitted(&mut self, before: u64, position: u64, waits: bool, now: Time) {
        // The transport has passed on what it had taken. If it could not until now, this is a sign of life. But for
        // bytes that it does not take, the time only begins anew.
        if core::mem::take(&mut self.stuck) {
            self.heard(now);
            self.blocked = if waits { now.into() } else { MaybeTime::NONE };
        }
        let Some(waiting) = &mut self.waiting else { return };
        // The time to answer counts from when the Ping has left. As long as the peer takes bytes before it, the peer
        // is alive.
        if before < position && before < waiting.first_end {
            waiting.since = waiting.since.max(now);
        }
        if waiting.left.is_none() && position >= waiting.end {
            waiting.left = Some(now);
        }
    }

    /// A Pong came. If it answers the last Ping, returns the latency.
    pub(crate) fn ponged(&mut self, payload: &[u8], now: Time) -> Option<Duration> {
        // §5.5.3: a Pong may also be unsolicited, or answer an older Ping.
        let waiting = self.waiting.take_if(|waiting| *waiting.payload == *payload)?;
        // A host may report the Pong before it reports that the Ping has left. Then there is no latency.
        let latency = now.since(waiting.left?);
        self.latency = Time::from_epoch(latency).into();
        Some(latency)
    }

    /// Reading goes on after it was suspended. The time to answer begins anew: the Pong may lie unread in the
    /// transport.
    pub(crate) fn resumed(&mut self, now: Time) {
        self.heard(now);
    }

    /// The next deadline, if no Ping is unanswered and the transport is not blocked.
    #[inline]
    pub(crate) fn next_ping(&self, config: &Config) -> Option<Time> {
        config.keepalive.map(|_| self.next_ping)
    }

    /// When to send the next Ping, or to give up waiting for a Pong.
    pub(crate) fn ping_deadline(&self, config: &Config, sight: Sight) -> Option<Time> {
        let keepalive = config.keepalive?;
        match &self.waiting {
            Some(_) if sight == Sight::Unread => None,
            Some(waiting) if waiting.is_judged(sight) => Some(waiting.since.max(self.seen) + keepalive.timeout),
            _ => Some(self.next_ping),
        }
    }

    /// What must be done now.
    pub(crate) fn due(&mut self, config: &Config, sight: Sight, now: Time) -> Due {
        let reached = |deadline: Option<Time>| deadline.is_some_and(|deadline| deadline <= now);
        if reached(self.stall_deadline(config)) {
            return Due::Dead(Cause::StallTimeout);
        }
        let Some(keepalive) = config.keepalive.filter(|_| reached(self.ping_deadline(config, sight))) else {
            return Due::Nothing;
        };
        if self.waiting.as_ref().is_some_and(|waiting| waiting.is_judged(sight)) {
            return Due::Dead(Cause::PongTimeout);
        }
        // An unanswered Ping is forgotten if its answer could not be seen.
        self.waiting = None;
        // Time must go on before the next one, or a host that handles what is due never comes to an end.
        self.next_ping = now + keepalive.interval.max(LEAST_INTERVAL);
        self.count = self.count.wrapping_add(1);
        Due::Ping(u64::from(self.count).to_be_bytes())
    }
}

/// The interval between two Pings, whatever the application asks for.
const LEAST_INTERVAL: Duration = Duration::from_millis(1);

impl Waiting {
    /// Whether the time to answer counts.
    fn is_judged(&self, sight: Sight) -> bool {
        self.counts
            && match sight {
                Sight::Whole => true,
                Sight::Suspended => self.left.is_none(),
                Sight::Unread => false,
            }
    }
}
