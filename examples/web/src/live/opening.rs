//! Joins and watches whose answer is not there yet. A node asks its engine for a topic when somebody joins or watches it for
//! the first time; if the engine is away, the client is told so after a while instead of waiting for ever.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Instant, sleep_until};

use crate::say::PATIENCE;

/// What a socket waits for, each once, the longest first. A clone is the same one.
#[derive(Clone, Default)]
pub(super) struct Opening(Arc<Mutex<VecDeque<Wait>>>);

struct Wait {
    due: Instant,
    verb: Verb,
    topic: String,
}

/// What was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Join,
    Watch,
}

impl Opening {
    /// It is waited for from now on.
    pub(super) fn begin(&self, verb: Verb, topic: &str) {
        self.end(verb, topic);
        self.waits().push_back(Wait { due: Instant::now() + PATIENCE, verb, topic: topic.to_owned() });
    }

    /// The answer is there, or nobody wants it any more.
    pub(super) fn end(&self, verb: Verb, topic: &str) {
        self.waits().retain(|wait| wait.verb != verb || wait.topic != topic);
    }

    /// Ready when something has waited long enough, and not when its answer has come meanwhile: whoever waits for this
    /// stops to send, and begins to count anew how long the client has taken nothing.
    pub(super) async fn overdue(&self) {
        loop {
            let Some(due) = self.due() else { return pending().await };
            sleep_until(due).await;
            if self.due().is_some_and(|due| due <= Instant::now()) {
                return;
            }
        }
    }

    /// Something that has waited long enough.
    pub(super) fn take_overdue(&self) -> Option<(Verb, String)> {
        let mut waits = self.waits();
        if waits.front()?.due > Instant::now() {
            return None;
        }
        waits.pop_front().map(|wait| (wait.verb, wait.topic))
    }

    fn due(&self) -> Option<Instant> {
        self.waits().front().map(|wait| wait.due)
    }

    fn waits(&self) -> MutexGuard<'_, VecDeque<Wait>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
