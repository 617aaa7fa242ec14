//! Since when a socket has taken nothing, for `pump`. A subscriber keeps it, so the time goes on from call to call.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Context;
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Sleep, sleep};

/// How many bytes the transport had taken when it took no more, and when it is to be let go. `None`: nothing waits.
#[derive(Default)]
pub(crate) struct Stall(Option<Box<Stalled>>);

type Stalled = (u64, Pin<Box<Sleep>>);

impl Stall {
    /// Nothing waits any more.
    pub(crate) fn end(&mut self) {
        self.0 = None;
    }

    /// Whether its time is over. It begins anew if the transport has taken something.
    pub(crate) fn is_over(&mut self, taken: u64, cx: &mut Context<'_>) -> bool {
        let (_, until) = &mut **match &mut self.0 {
            Some(stall) if stall.0 == taken => stall,
            none => none.insert(Box::new((taken, Box::pin(sleep(PATIENCE))))),
        };
        pin!(unconstrained(until.as_mut())).poll(cx).is_ready()
    }
}

/// How long a client may take nothing while something waits for it.
const PATIENCE: Duration = Duration::from_secs(10);
