//! The time of a hub by tokio's clock, for `Hub::run`.

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::limits::Stamp;

/// Which moment of tokio's clock is which of the hub's. Whoever runs the hub holds the lock, so only one does.
#[derive(Debug, Default)]
pub(crate) struct Clock(Mutex<Option<Anchor>>);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor(Instant, Stamp);

impl Clock {
    /// Waits until nobody runs the hub. The time goes on from the last tick, and counts what has passed since an
    /// earlier run.
    pub(crate) async fn start(&self, last_tick: impl Fn() -> Stamp) -> Running<'_> {
        let mut only = self.0.lock().await;
        let (now, last) = (Instant::now(), last_tick());
        let anchor = Anchor(now, only.map_or(last, |earlier| earlier.stamp(now).max(last)));
        *only = Some(anchor);
        Running { anchor, _only: only }
    }
}

/// While this is there, nobody else runs the hub.
pub(crate) struct Running<'c> {
    pub(crate) anchor: Anchor,
    _only: MutexGuard<'c, Option<Anchor>>,
}

impl Anchor {
    pub(crate) fn stamp(&self, now: Instant) -> Stamp {
        self.1.later(now.saturating_duration_since(self.0))
    }

    /// How late it is now. If the hub has been told a later time, it goes on from there.
    pub(crate) fn go_on(&mut self, now: Instant, last_tick: Stamp) -> Stamp {
        if self.stamp(now) < last_tick {
            *self = Anchor(now, last_tick);
        }
        self.stamp(now)
    }

    /// When it will be this late.
    pub(crate) fn instant(&self, stamp: Stamp) -> Instant {
        self.0 + stamp.since(self.1)
    }
}
