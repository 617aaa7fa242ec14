//! tokio's clock as the core's [`Time`], and the one timer of a connection.

use std::boxed::Box;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::tokio::time::{Instant, Sleep, sleep_until};

use crate::time::Time;

#[derive(Debug)]
pub(super) struct Clock {
    epoch: Instant,
    /// Made when first needed. It is moved only if it would fire too late: most
    /// deadlines move on before they come, and then one look at the end is enough.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    pub(super) fn new() -> Clock {
        Clock { epoch: Instant::now(), sleep: None }
    }

    pub(super) fn now(&self) -> Time {
        Time::from_epoch(self.epoch.elapsed())
    }

    /// Waits until `deadline`, or for ever. Returns the time then.
    pub(super) fn poll_deadline(&mut self, deadline: Option<Time>, cx: &mut Context<'_>) -> Poll<Time> {
        let Some(deadline) = deadline else { return Poll::Pending };
        // A deadline beyond what the clock can show is never reached.
        let Some(at) = self.epoch.checked_add(deadline.since(Time::ZERO)) else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if at < sleep.deadline() {
            sleep.as_mut().reset(at);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if at <= sleep.deadline() || at <= Instant::now() {
                // The timer is spent; the next deadline sets it anew.
                sleep.as_mut().reset(at + FAR);
                return Poll::Ready(self.now());
            }
            sleep.as_mut().reset(at);
        }
    }
}

/// Longer than any deadline is looked ahead.
const FAR: Duration = Duration::from_secs(60 * 60 * 24);
