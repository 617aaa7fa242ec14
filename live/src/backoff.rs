//! When a client connects again (feature `client`): full jitter, and what a server asks for with `Retry-After`. Time
//! and chance come in.

use std::time::{Duration, UNIX_EPOCH};

use openline::{Response, Time};

/// How fast a client comes back.
///
/// The wait before an attempt is a random one of `0 ..= min(cap, base · 2^n)`, where `n` counts the failures so far: so
/// with the defaults the first wait after a loss is up to 0.5 s, then 1 s, 2 s, … 30 s. Clients that were lost together
/// come back evenly spread (*full jitter*).
///
/// ```
/// use std::time::Duration;
/// use openline_live::client::Pace;
///
/// let mut pace = Pace::default();
/// // So many clients that half a second is too short for all of them. RFC 6455 §7.2.3 speaks of 5 s.
/// pace.base = Duration::from_secs(5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pace {
    /// The longest wait after the first failure. Default: 0.5 s.
    pub base: Duration,
    /// The longest wait at all, `Retry-After` aside. Default: 30 s.
    pub cap: Duration,
    /// How long a connection must have stood for `n` to begin at 0 again. Default: 30 s.
    ///
    /// It is not reset when a connection opens: a server that accepts and lets go at once, because something behind it
    /// does not work, would be asked without a pause. With the length of `cap` such a server is asked no more often
    /// than one that does not answer.
    pub stood: Duration,
    /// How much of a `Retry-After` is kept at most. The random wait comes on top of it, since all clients that were
    /// refused have been told the same. Default: 5 minutes.
    pub retry_after: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            stood: Duration::from_secs(30),
            retry_after: Duration::from_secs(300),
        }
    }
}

/// When to connect again: a machine without IO, clock or random source.
///
/// The very first attempt is not its business; make it at once.
///
/// ```
/// use std::time::Duration;
/// use openline::Time;
/// use openline_live::client::{Backoff, Pace};
///
/// let mut backoff = Backoff::new(Pace::default());
/// let mut now = Time::ZERO;
/// backoff.opened(now);
/// // It is lost. Chance is a number of 64 random bits; this one is in the middle.
/// now += Duration::from_secs(1);
/// assert_eq!(backoff.lost(now, 1 << 63, None).since(now), Duration::from_millis(250));
/// // The attempt fails. The server has asked for 10 s.
/// let asked = Some(Duration::from_secs(10));
/// assert_eq!(backoff.lost(now, 1 << 63, asked).since(now), Duration::from_millis(10_500));
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    pace: Pace,
    failures: u32,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Nothing has been told since the last attempt began, if there was one.
    Trying,
    Stands {
        since: Time,
    },
    Waits {
        until: Time,
        /// The attempt may be brought forward to this moment.
        earliest: Time,
    },
}

impl Backoff {
    /// A machine that nothing has happened to.
    #[must_use]
    pub fn new(pace: Pace) -> Backoff {
        Backoff { pace, failures: 0, phase: Phase::Trying }
    }

    /// The connection is open.
    pub fn opened(&mut self, now: Time) {
        self.phase = Phase::Stands { since: now };
    }

    /// The connection is lost, or an attempt has failed. Returns when the next attempt is to be made.
    ///
    /// `chance` are 64 random bits, new ones each time. `retry_after` is what the server [asked for](retry_after).
    pub fn lost(&mut self, now: Time, chance: u64, retry_after: Option<Duration>) -> Time {
        if let Phase::Stands { since } = self.phase
            && now.since(since) >= self.pace.stood
        {
            self.failures = 0;
        }
        let factor = 2_u32.saturating_pow(self.failures);
        let span = self.pace.base.saturating_mul(factor).min(self.pace.cap);
        self.failures = self.failures.saturating_add(1);
        let allowed = now + retry_after.unwrap_or_default().min(self.pace.retry_after);
        let until = allowed + share(span, chance);
        self.phase = Phase::Waits { until, earliest: until.min(allowed.max(now + self.pace.base)) };
        until
    }

    /// There is reason to hope: the network is back. Brings the attempt forward, and returns when it is to be made now;
    /// `None` if none is waited for.
    ///
    /// A `Retry-After` is kept, and so is a distance of `base` from the loss: a network that comes and goes all the
    /// time must not make a client try all the time.
    pub fn wake(&mut self, now: Time) -> Option<Time> {
        let Phase::Waits { until, earliest } = &mut self.phase else { return None };
        *until = (*until).min(now.max(*earliest));
        Some(*until)
    }

    /// How many times in succession an attempt has failed, or a connection has not [stood](Pace::stood).
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// The part of `0 ..= span` that the random bits say.
fn share(span: Duration, chance: u64) -> Duration {
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let share = ((u128::from(nanos) + 1) * u128::from(chance)) >> 64;
    Duration::from_nanos(share as u64)
}

/// How long a server asks to wait with `Retry-After` (RFC 9110 §10.2.3), in seconds or as a date; `None` if it does
/// not, or in no form that is known.
///
/// A date counts from the `Date` of the same response, so that a client whose clock is wrong waits as long as the
/// others. If there is none, it counts from `wall`, the time since 1970 by the client's clock. A date in the past is
/// zero.
///
/// ```
/// use std::time::Duration;
/// use openline::Response;
/// use openline_live::client::retry_after;
///
/// let response = Response::new(503).header("Retry-After", "120")?;
/// assert_eq!(retry_after(&response, Duration::ZERO), Some(Duration::from_secs(120)));
///
/// let response = Response::new(503)
///     .header("Date", "Sun, 06 Nov 1994 08:49:30 GMT")?
///     .header("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT")?;
/// assert_eq!(retry_after(&response, Duration::ZERO), Some(Duration::from_secs(7)));
/// # Ok::<(), openline::HandshakeError>(())
/// ```
#[must_use]
pub fn retry_after(response: &Response, wall: Duration) -> Option<Duration> {
    let value = response.headers.get("Retry-After")?;
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that is too large is a very long time.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = |value: &str| httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok();
    let now = response.headers.get("Date").and_then(date).unwrap_or(wall);
    Some(date(value)?.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn seconds(seconds: u64) -> Time {
        Time::from_epoch(Duration::from_secs(seconds))
    }

    /// Waits in milliseconds, of the longest chance.
    fn longest(backoff: &mut Backoff, times: usize) -> Vec<u128> {
        let waits = (0..times).map(|_| backoff.lost(Time::ZERO, u64::MAX, None).since_epoch());
        waits.map(|wait| wait.as_millis()).collect()
    }

    #[test]
    fn the_span_doubles_up_to_the_cap() {
        let mut backoff = Backoff::new(Pace::default());
        assert_eq!(longest(&mut backoff, 8), [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(backoff.lost(seconds(9), 0, None), seconds(9), "the shortest wait is none");
        for _ in 0..100_000 {
            assert_eq!(longest(&mut backoff, 1), [30000]);
        }
    }

    #[test]
    fn only_a_connection_that_stood_begins_anew() {
        let mut backoff = Backoff::new(Pace::default());
        longest(&mut backoff, 3);
        backoff.opened(seconds(100));
        assert_eq!(backoff.lost(seconds(129), u64::MAX, None).since(seconds(129)), 4 * SECOND);
        backoff.opened(seconds(200));
        assert_eq!(backoff.lost(seconds(230), u64::MAX, None).since(seconds(230)), SECOND / 2);
        // What stood once does not count for an attempt that fails later.
        assert_eq!(backoff.lost(seconds(300), u64::MAX, None).since(seconds(300)), SECOND);
        assert_eq!(backoff.failures(), 2);
    }

    #[test]
    fn what_the_server_asks_for_is_kept_up_to_five_minutes() {
        for (asked, kept) in [(0, 0), (10, 10), (300, 300), (301, 300), (u64::MAX, 300)] {
            for (chance, more) in [(0, Duration::ZERO), (u64::MAX, SECOND / 2)] {
                let mut backoff = Backoff::new(Pace::default());
                let until = backoff.lost(seconds(7), chance, Some(Duration::from_secs(asked)));
                assert_eq!(until, seconds(7 + kept) + more, "{asked}");
            }
        }
    }

    #[test]
    fn who_is_woken_does_not_wait_but_for_what_the_server_asked() {
        let mut backoff = Backoff::new(Pace::default());
        assert_eq!(backoff.wake(seconds(1)), None);
        longest(&mut backoff, 9);
        assert_eq!(backoff.lost(seconds(10), u64::MAX, None), seconds(40));
        assert_eq!(backoff.wake(seconds(10)), Some(seconds(10) + SECOND / 2), "not at once after the loss");
        assert_eq!(backoff.wake(seconds(20)), Some(seconds(10) + SECOND / 2), "and never later than it was");
        backoff.lost(seconds(10), u64::MAX, None);
        assert_eq!(backoff.wake(seconds(12)), Some(seconds(12)));
        backoff.lost(seconds(10), u64::MAX, Some(8 * SECOND));
        assert_eq!(backoff.wake(seconds(12)), Some(seconds(18)));
        backoff.lost(seconds(10), 0, None);
        assert_eq!(backoff.wake(seconds(10)), Some(seconds(10)), "it is due");
        backoff.opened(seconds(10));
        assert_eq!(backoff.wake(seconds(12)), None);
    }

    #[test]
    fn both_forms_of_retry_after() {
        let wall = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:00 GMT").unwrap();
        let wall = wall.duration_since(UNIX_EPOCH).unwrap();
        for (value, date, wait) in [
            ("0", None, Some(0)),
            ("120", None, Some(120)),
            ("120", Some("Sun, 06 Nov 1994 08:49:30 GMT"), Some(120)),
            ("99999999999999999999999", None, Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None, Some(37)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None, Some(37)),
            ("Sun Nov  6 08:49:37 1994", None, Some(37)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some("Sun, 06 Nov 1994 08:49:30 GMT"), Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some("yesterday"), Some(37)),
            ("Sun, 06 Nov 1994 08:40:00 GMT", None, Some(0)),
            ("soon", None, None),
            ("-1", None, None),
            ("1.5", None, None),
            ("", None, None),
        ] {
            let mut response = Response::new(503).header("Retry-After", value).unwrap();
            if let Some(date) = date {
                response = response.header("Date", date).unwrap();
            }
            assert_eq!(retry_after(&response, wall), wait.map(Duration::from_secs), "{value} {date:?}");
        }
        assert_eq!(retry_after(&Response::new(503), wall), None);
    }

    proptest! {
        #[test]
        fn a_wait_lies_within_its_span(
            base in 0..u64::MAX, cap in 0..u64::MAX, failures in 0..80_usize, chance: u64, asked in 0..u64::MAX,
        ) {
            let [base, cap, asked] = [base, cap, asked].map(Duration::from_nanos);
            let mut backoff = Backoff::new(Pace { base, cap, ..Pace::default() });
            longest(&mut backoff, failures);
            let wait = backoff.lost(Time::ZERO, chance, None).since_epoch();
            prop_assert!(wait <= cap);
            prop_assert!(failures > 20 || wait <= base.saturating_mul(1 << failures));
            let held = backoff.lost(Time::ZERO, chance, Some(asked)).since_epoch();
            prop_assert!(held >= asked.min(Pace::default().retry_after));
            prop_assert!(held <= Pace::default().retry_after.saturating_add(cap));
            let woken = backoff.wake(Time::ZERO).unwrap().since_epoch();
            prop_assert!(woken <= held && woken >= asked.min(Pace::default().retry_after));
        }

        #[test]
        fn no_value_makes_a_client_panic(value in "[ -~]{0,40}", date in "[ -~]{0,40}", wall in 0..u64::MAX) {
            let response = Response::new(503).header("Retry-After", &value).unwrap().header("Date", &date).unwrap();
            let _ = retry_after(&response, Duration::from_secs(wall));
        }
    }

    /// 8,000 clients with evenly spread chances come back evenly spread, whatever has happened before.
    #[test]
    fn equal_parts_of_the_span_are_equally_full() {
        for failures in [0, 3, 20] {
            let mut parts = [0_u32; 8];
            for client in 0..8000_u64 {
                let mut backoff = Backoff::new(Pace::default());
                longest(&mut backoff, failures);
                let span = Duration::from_millis(500).saturating_mul(1 << failures.min(16)).min(30 * SECOND);
                let wait = backoff.lost(Time::ZERO, client * (u64::MAX / 8000), None).since_epoch();
                let part = wait.as_nanos() * 8 / (span.as_nanos() + 1);
                parts[usize::try_from(part).unwrap()] += 1;
            }
            assert!(parts.iter().all(|part| (999..=1001).contains(part)), "{parts:?}");
        }
    }
}
