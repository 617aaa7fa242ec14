//! §5.5.2: is the peer alive, and how far away is it? Never reads a clock.

#![expect(clippy::arithmetic_side_effects, reason = "a count of Pings, in 64 bits")]

use alloc::boxed::Box;
use core::time::Duration;

use super::config::Keepalive;
use crate::time::Time;

/// Pings sent by themselves, the Ping that waits for its Pong, and the latency.
#[derive(Debug)]
pub(crate) struct Pulse {
    next_ping: Time,
    /// The number of the last Ping sent by itself: its payload.
    count: u64,
    /// When the peer last gave a sign of life.
    heard: Time,
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
    /// When that one was queued, or when it or anything before it was last transmitted.
    since: Time,
}

/// What the clock asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping([u8; 8]),
    Dead,
}

impl Pulse {
    pub(crate) fn new(keepalive: Option<Keepalive>, now: Time) -> Pulse {
        let next_ping = keepalive.map_or(now, |keepalive| now + keepalive.interval);
        Pulse { next_ping, count: 0, heard: now, waiting: None, latency: None }
    }

    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    pub(crate) fn latency(&self) -> Option<Duration> {
        self.latency
    }

    /// Something came from the peer.
    #[inline]
    pub(crate) fn heard(&mut self, now: Time) {
        // A clock that went back must not make the silence longer.
        self.heard = self.heard.max(now);
    }

    /// A Ping was queued that ends at `end` in the outgoing stream. It replaces one
    /// that still waits: only the last is measured.
    pub(crate) fn pinged(&mut self, payload: &[u8], end: u64, now: Time) {
        let (first_end, since) = self.waiting.as_ref().map_or((end, now), |first| (first.first_end, first.since));
        self.waiting = Some(Box::new(Waiting { payload: payload.into(), end, left: None, first_end, since }));
    }

    /// The outgoing stream, transmitted up to `before` until now, has got to `position`.
    #[inline]
    pub(crate) fn transmitted(&mut self, before: u64, position: u64, now: Time) {
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
        let left = self.waiting.as_ref().filter(|waiting| *waiting.payload == *payload)?.left?;
        self.waiting = None;
        self.latency = Some(now.since(left));
        self.latency
    }

    #[inline]
    pub(crate) fn deadline(&self, keepalive: Option<Keepalive>) -> Option<Time> {
        let keepalive = keepalive?;
        Some(match &self.waiting {
            Some(waiting) => waiting.since.max(self.heard) + keepalive.timeout,
            None => self.next_ping,
        })
    }

    pub(crate) fn due(&mut self, keepalive: Option<Keepalive>, now: Time) -> Due {
        let (Some(keepalive), Some(deadline)) = (keepalive, self.deadline(keepalive)) else { return Due::Nothing };
        if now < deadline {
            return Due::Nothing;
        }
        if self.waiting.is_some() {
            return Due::Dead;
        }
        self.next_ping = now + keepalive.interval;
        self.count += 1;
        Due::Ping(self.count.to_be_bytes())
    }
}
