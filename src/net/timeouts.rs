//! How long a call into the transport may block, and what it means if it fails because its time is over.
//!
//! The timeout of the socket is kept if it lies between 1/8 of the time left and the time left: setting it takes a
//! system call, and the deadline moves with every message. A call that returns early is made again. So one deadline
//! takes a few calls, however many messages come before it.

#![expect(clippy::arithmetic_side_effects, reason = "division by a constant")]

use std::io;
use std::mem;
use std::time::{Duration, Instant};

use crate::Time;

/// The standard library's clock as the core's [`Time`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn new() -> Clock {
        Clock(Instant::now())
    }

    /// A clock whose times count from `epoch`.
    pub(super) fn since(epoch: Instant) -> Clock {
        Clock(epoch)
    }

    /// The moment from which the times count.
    pub(super) fn epoch(self) -> Instant {
        self.0
    }

    pub(super) fn now(self) -> Time {
        Time::from_epoch(self.0.elapsed())
    }
}

/// Until when a call waits.
///
/// What lies there comes before the limit, even if that is over: a program that may not wait at all gets it too. So the
/// limit is not looked at before the first turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    by: Option<Time>,
    has_turned: bool,
}

impl Limit {
    pub(super) fn none() -> Limit {
        Limit { by: None, has_turned: false }
    }

    pub(super) fn at(by: Time) -> Limit {
        Limit { by: Some(by), has_turned: false }
    }

    #[inline]
    pub(super) fn by(self) -> Option<Time> {
        self.by
    }

    /// Whether the limit is over. A turn comes after each call of this.
    #[inline]
    pub(super) fn is_over(&mut self, now: impl FnOnce() -> Time) -> bool {
        let Some(by) = self.by else { return false };
        mem::replace(&mut self.has_turned, true) && by <= now()
    }
}

/// The result of a call into the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// It succeeded; or the transport has failed, and the driver has been told.
    Done,
    /// Its time was over. It may be made again at once.
    Expired,
    /// The transport is non-blocking, and cannot read or write now. The caller decides when to try again.
    WouldBlock,
}

/// The timeout of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timeout {
    /// The timeout that is set now, if it is known.
    set: Option<Option<Duration>>,
    /// The longest time left for which it is kept.
    longest: Duration,
    /// How many calls in a row failed almost at once.
    quick: u8,
}

impl Timeout {
    /// Sets the timeout, unless it is good enough, so that a call does not block for much longer than `left`.
    #[inline]
    pub(super) fn arrange(&mut self, left: Option<Duration>, apply: impl FnOnce(Option<Duration>) -> io::Result<()>) {
        let wanted = match left.map(|left| left.clamp(LEAST, MOST)) {
            Some(left) => match self.set {
                Some(Some(set)) if set <= left && left <= self.longest => return,
                _ => Some((left / 2).max(left.min(SHORT))),
            },
            None => None,
        };
        if self.set != Some(wanted) {
            // After an error here (for example if the socket is closed) the next call fails too.
            self.set = apply(wanted).is_ok().then_some(wanted);
            self.longest = wanted.map_or(Duration::ZERO, |wanted| wanted.saturating_mul(8));
        }
    }

    /// What the `error` of a call that took the time `took` means. `None` if the transport has failed.
    #[cold]
    pub(super) fn judge(&mut self, error: &io::Error, took: Duration) -> Option<Flow> {
        let quick = error.kind() == io::ErrorKind::WouldBlock && self.never_waits(took);
        match error.kind() {
            _ if quick => Some(Flow::WouldBlock),
            io::ErrorKind::Interrupted => Some(Flow::Expired),
            // On Unix the error of a timeout is `WouldBlock`. `TimedOut` means that TCP has given up the peer.
            io::ErrorKind::TimedOut if cfg!(unix) && error.raw_os_error().is_some() => None,
            io::ErrorKind::TimedOut => Some(Flow::Expired),
            io::ErrorKind::WouldBlock => Some(match self.set {
                // A timeout may be over a little early. In doubt it counts as expired, and the call is made again. If
                // it counted as non-blocking, a caller with a blocking transport would get a `WouldBlock`.
                Some(Some(set)) if set <= SHORT || took >= set / 4 => Flow::Expired,
                _ => Flow::WouldBlock,
            }),
            _ => None,
        }
    }
}

impl Timeout {
    /// Whether the transport does not wait at all. A timeout may be over early once, but not several times in a row.
    fn never_waits(&mut self, took: Duration) -> bool {
        self.quick = if took < LEAST / 2 { self.quick.saturating_add(1) } else { 0 };
        self.quick > MOST_QUICK
    }
}

/// If more calls in a row than this fail almost at once, the transport is non-blocking.
const MOST_QUICK: u8 = 3;

/// The shortest timeout. No socket takes a timeout of zero, and a shorter one than this is not exact.
const LEAST: Duration = Duration::from_millis(1);

/// A deadline that is nearer than this is waited for in one call.
const SHORT: Duration = Duration::from_millis(16);

/// The longest timeout. Some systems refuse timeouts of many years.
const MOST: Duration = Duration::from_secs(60 * 60 * 24);

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn millis(millis: u64) -> Option<Duration> {
        Some(Duration::from_millis(millis))
    }

    /// The timeouts that are set while `left` takes these values.
    fn set_for(lefts: impl IntoIterator<Item = Option<Duration>>) -> Vec<Option<Duration>> {
        let mut timeout = Timeout::default();
        let mut all = Vec::new();
        for left in lefts {
            timeout.arrange(left, |set| {
                all.push(set);
                Ok(())
            });
        }
        all
    }

    #[test]
    fn no_deadline_is_no_timeout() {
        assert_eq!(set_for([None, None]), [None]);
    }

    #[test]
    fn messages_that_move_the_deadline_a_little_set_nothing_anew() {
        assert_eq!(set_for((10_000..=20_000).rev().map(millis)), [millis(10_000)]);
        assert_eq!(set_for((10_000..=80_000).step_by(8).map(millis)), [millis(5_000), millis(20_004)]);
    }

    #[test]
    fn a_deadline_is_approached_in_a_few_steps_and_not_passed() {
        let (mut timeout, mut left, mut sets, mut calls) = (Timeout::default(), Duration::from_secs(25), 0, 0);
        while !left.is_zero() {
            timeout.arrange(Some(left), |_| {
                sets += 1;
                Ok(())
            });
            let wait = timeout.set.unwrap().unwrap();
            assert!(wait <= left.max(LEAST));
            left = left.saturating_sub(wait);
            calls += 1;
        }
        assert!(sets <= 12 && calls <= 16, "{sets} timeouts set, {calls} calls");
    }

    #[test]
    fn extremes_are_legal_timeouts() {
        assert_eq!(set_for([Some(Duration::ZERO)]), [millis(1)]);
        assert_eq!(set_for([Some(Duration::from_nanos(1)), millis(1)]), [millis(1)]);
        assert_eq!(set_for([Some(Duration::MAX), Some(Duration::MAX / 2)]), [Some(MOST / 2)]);
        assert_eq!(set_for([millis(5), None, millis(5)]), [millis(5), None, millis(5)]);
    }

    #[test]
    fn a_timeout_that_could_not_be_set_is_set_again() {
        let mut timeout = Timeout::default();
        timeout.arrange(millis(5), |_| Err(io::ErrorKind::InvalidInput.into()));
        let mut set = None;
        timeout.arrange(millis(5), |wanted| {
            set = wanted;
            Ok(())
        });
        assert_eq!(set, millis(5));
    }

    #[test]
    fn nothing_for_now_is_told_from_failure() {
        let after = |set: Option<Duration>, error: io::Error, took: u64| {
            Timeout { set: Some(set), ..Timeout::default() }.judge(&error, Duration::from_millis(took))
        };
        let would_block = || io::Error::from(io::ErrorKind::WouldBlock);
        assert_eq!(after(millis(1000), would_block(), 999), Some(Flow::Expired));
        assert_eq!(after(millis(1000), would_block(), 0), Some(Flow::WouldBlock));
        assert_eq!(after(millis(5), would_block(), 0), Some(Flow::Expired), "too short to tell");
        assert_eq!(after(None, would_block(), 5000), Some(Flow::WouldBlock));
        assert_eq!(after(None, io::ErrorKind::TimedOut.into(), 0), Some(Flow::Expired));
        assert_eq!(after(None, io::ErrorKind::Interrupted.into(), 0), Some(Flow::Expired));
        assert_eq!(after(millis(1000), io::ErrorKind::ConnectionReset.into(), 999), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn tcp_giving_up_is_a_failure() {
        let gave_up = io::Error::from_raw_os_error(110);
        assert_eq!(gave_up.kind(), io::ErrorKind::TimedOut);
        assert_eq!(Timeout::default().judge(&gave_up, Duration::ZERO), None);
    }
}
