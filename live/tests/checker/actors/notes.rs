//! What the actors of a run write down, and what they must know of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use crate::history::{Event, History, What};

pub struct Notes {
    began: Instant,
    history: Mutex<History>,
    numbers: AtomicU64,
    quiet: AtomicBool,
}

impl Notes {
    pub fn new() -> Notes {
        Notes {
            began: Instant::now(),
            history: Mutex::default(),
            numbers: AtomicU64::new(0),
            quiet: AtomicBool::new(false),
        }
    }

    /// How long the run has lasted.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Notes that this was seen now.
    pub fn saw(&self, topic: Option<usize>, what: What) {
        let mut history = self.history.lock().unwrap();
        // Taken with the lock, so that times rise.
        let at = self.now();
        history.0.push(Event { at, topic, what });
    }

    pub fn did(&self, text: impl Into<String>, forgets: bool) {
        self.saw(None, What::Fault { text: text.into(), forgets });
    }

    /// The number of a new message.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed) + 1
    }

    pub fn is_quiet(&self) -> bool {
        self.quiet.load(Relaxed)
    }

    /// All faults are over.
    pub fn quiet(&self) {
        self.quiet.store(true, Relaxed);
        self.saw(None, What::Quiet);
    }

    pub fn history(&self) -> History {
        self.history.lock().unwrap().clone()
    }
}
