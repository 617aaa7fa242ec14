//! §5.5.2: is the peer alive, and how far away is it? Never reads a clock.

use alloc::boxed::Box;
use core::time::Duration;

use super::config::Keepalive;
use crate::time::Time;

/// Pings sent by themselves, the Ping that waits for its Pong, and the latency.
#[derive(Debug)]
pub(crate) struct Pulse {
    keepalive: Option<Keepalive>,
    next_ping: Time,
    /// The number of the last Ping sent by itself: its payload.
    count: u64,
    /// When the peer last gave a sign of life.
    heard: Time,
    waiting: Option<Waiting>,
    latency: Option<Duration>,
}

/// A Ping that has not been answered.
#[derive(Debug)]
struct Waiting {
    payload: Box<[u8]>,
    /// Where in the outgoing stream it ends.
    end: u64,
    /// When it was queued, or when it or anything before it was last transmitted.
    since: Time,
    transmitted: bool,
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
        Pulse { keepalive, next_ping, count: 0, heard: now, waiting: None, latency: None }
    }

    pub(crate) fn latency(&self) -> Option<Duration> {
        self.latency
    }

    /// Something came from the peer.
    #[inline]
    pub(crate) fn heard(&mut self, now: Time) {
        self.heard = now;
    }

    /// A Ping was queued that ends at `end` in the outgoing stream. It replaces one
    /// that still waits: only the last is measured.
    pub(crate) fn pinged(&mut self, payload: &[u8], end: u64, now: Time) {
        self.waiting = Some(Waiting { payload: payload.into(), end, since: now, transmitted: false });
    }

    /// The outgoing stream has been transmitted up to `position`.
    #[inline]
    pub(crate) fn transmitted(&mut self, position: u64, now: Time) {
        // The time to answer runs from when the Ping has left, and while data
        // before it is still being taken, somebody is alive there.
        if let Some(waiting) = &mut self.waiting
            && !waiting.transmitted
        {
            waiting.since = now;
            waiting.transmitted = position >= waiting.end;
        }
    }

    /// A Pong came. If it answers the Ping that waits, that is the latency now.
    pub(crate) fn ponged(&mut self, payload: &[u8], now: Time) -> Option<Duration> {
        // §5.5.3: a Pong may also be unsolicited, or answer an older Ping.
        let waiting = self.waiting.take_if(|waiting| waiting.transmitted && *waiting.payload == *payload)?;
        self.latency = Some(now.since(waiting.since));
        self.latency
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let keepalive = self.keepalive?;
        Some(match &self.waiting {
            Some(waiting) => waiting.since.max(self.heard) + keepalive.timeout,
            None => self.next_ping,
        })
    }

    pub(crate) fn due(&mut self, now: Time) -> Due {
        let (Some(keepalive), Some(deadline)) = (self.keepalive, self.deadline()) else { return Due::Nothing };
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
