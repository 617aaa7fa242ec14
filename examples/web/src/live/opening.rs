//! Joins and watches whose answer is not there yet. A node asks its engine for a topic when somebody joins or watches it for
//! the first time; if the engine is away, the client is told so after a while instead of waiting for ever.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::say::PATIENCE;

/// What a socket waits for, each once, the longest first.
#[derive(Default)]
pub(super) struct Opening(VecDeque<(Instant, Verb, String)>);

/// What was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Join,
    Watch,
}

impl Opening {
    /// It is waited for from now on.
    pub(super) fn begin(&mut self, verb: Verb, topic: &str) {
        self.end(verb, topic);
        self.0.push_back((Instant::now() + PATIENCE, verb, topic.to_owned()));
    }

    /// The answer is there, or nobody wants it any more.
    pub(super) fn end(&mut self, verb: Verb, topic: &str) {
        self.0.retain(|(_, asked, waits)| (*asked, &**waits) != (verb, topic));
    }

    /// When the first one has waited long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.front().map(|(due, ..)| *due)
    }

    /// One that has waited long enough.
    pub(super) fn take_due(&mut self) -> Option<(Verb, String)> {
        if self.due()? > Instant::now() {
            return None;
        }
        self.0.pop_front().map(|(_, verb, topic)| (verb, topic))
    }
}
