//! Joins whose answer is not there yet. A node loads a topic from its engine when somebody joins it for the first time; if
//! the engine is away, the client is told so after a while instead of waiting for ever.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::say::PATIENCE;

/// The topics that a socket waits for, each once, the longest first.
#[derive(Default)]
pub(super) struct Opening(VecDeque<(Instant, String)>);

impl Opening {
    /// A topic is being joined from now on.
    pub(super) fn begin(&mut self, topic: &str) {
        self.end(topic);
        self.0.push_back((Instant::now() + PATIENCE, topic.to_owned()));
    }

    /// It has been joined, or left.
    pub(super) fn end(&mut self, topic: &str) {
        self.0.retain(|(_, waits)| waits != topic);
    }

    /// When the first one has waited long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.front().map(|(due, _)| *due)
    }

    /// One that has waited long enough.
    pub(super) fn take_due(&mut self) -> Option<String> {
        if self.due()? > Instant::now() {
            return None;
        }
        self.0.pop_front().map(|(_, topic)| topic)
    }
}
