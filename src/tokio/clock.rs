//! tokio's clock as the core's [`Time`], and the timer of a connection.

#![expect(clippy::arithmetic_side_effects, reason = "a day after a moment that the clock can show")]

use std::boxed::Box;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ::tokio::task::coop::unconstrained;
use ::tokio::time::{Instant, Sleep, sleep_until};

use crate::Time;

#[derive(Debug)]
pub(super) struct Clock {
    epoch: Instant,
    /// The timer. It is made when it is first needed, and set anew only if it would fire too late. Most deadlines
    /// move to a later time before they come, and then it is checked once when it fires.
    sleep: Option<Pin<Box<Sleep>>>,
    /// The deadline and the waker of the timer while it is armed.
    set: Option<(Time, Waker)>,
}

impl Clock {
    pub(super) fn new() -> Clock {
        Clock { epoch: Instant::now(), sleep: None, set: None }
    }

    /// A clock whose times count from `epoch`.
    pub(super) fn since(epoch: std::time::Instant) -> Clock {
        Clock { epoch: Instant::from_std(epoch), ..Clock::new() }
    }

    /// The moment from which the times count.
    pub(super) fn epoch(&self) -> std::time::Instant {
        self.epoch.into_std()
    }

    pub(super) fn now(&self) -> Time {
        Time::from_epoch(self.epoch.elapsed())
    }

    /// Waits until `deadline`, or for ever. Returns the time after that.
    #[inline]
    pub(super) fn poll_deadline(&mut self, deadline: Option<Time>, cx: &mut Context<'_>) -> Poll<Time> {
        let Some(deadline) = deadline else { return Poll::Pending };
        // The common case: the timer is armed early enough for this task.
        if let (Some(sleep), Some((at, waker))) = (&self.sleep, &self.set)
            && *at <= deadline
            && waker.will_wake(cx.waker())
            && !sleep.is_elapsed()
        {
            return Poll::Pending;
        }
        self.poll_sleep(deadline, cx)
    }

    fn poll_sleep(&mut self, deadline: Time, cx: &mut Context<'_>) -> Poll<Time> {
        // A deadline beyond what the clock can show is never reached.
        let Some(at) = self.epoch.checked_add(deadline.since(Time::ZERO)) else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if at < sleep.deadline() {
            sleep.as_mut().reset(at);
        }
        loop {
            self.set = None;
            // The timer is polled outside tokio's budget. If the budget were used up, the poll would return `Pending`
            // without arming the timer.
            if pin!(unconstrained(sleep.as_mut())).poll(cx).is_pending() {
                let set = Time::from_epoch(sleep.deadline().saturating_duration_since(self.epoch));
                self.set = Some((set, cx.waker().clone()));
                return Poll::Pending;
            }
            if at <= sleep.deadline() || at <= Instant::now() {
                // The timer has fired. The next deadline sets it anew.
                sleep.as_mut().reset(at + FAR);
                return Poll::Ready(self.now());
            }
            sleep.as_mut().reset(at);
        }
    }
}

/// Later than any deadline that is waited for.
const FAR: Duration = Duration::from_secs(60 * 60 * 24);
