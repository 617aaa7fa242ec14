//! What a topic's log is to this node: its own, or a copy of the engine's, and how far that has come.
//!
//! ```text
//!  Local     a hub of one process: the log is the topic's own, and stays so
//!
//!  Idle ──join──► Loading ──the end is reached──► Live ──something is missing──► Again
//!                (joins wait)                      ▲                               │
//!                                                  └───────the end is reached──────┘
//! ```
//!
//! *Idle*: nobody has joined here, so nothing is asked and nothing is kept. *Loading*: the log is read for the first time.
//! *Live*: each message that is fed is the next one. *Again*: something may be missing (a gap, another epoch, a feed that
//! was cut), so the log is read on from where it stands; meanwhile subscribers read what there is.
//!
//! A log is read in steps:
//!
//! ```text
//!  Wanted ──interest confirmed──► Queued ──ask──► Asked ──page──► Queued, or Live
//!                                    ▲              │
//!                                    └───failure────┘
//! ```
//!
//! What is fed before a page is asked for is in the page, or in one that follows. Only what is fed while one is on its
//! way must be held: it is newer than the page, or in it. So no more topics hold something than are read at a time.

#![cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "without a backplane, each topic is local"))]

use std::collections::VecDeque;

use bytes::Bytes;

use crate::limits::{Retain, Stamp};
use crate::position::Position;

#[derive(Debug)]
pub(crate) enum Phase {
    Local,
    Idle,
    /// The topic opens when its log has come to this offset, where the engine's stood when the read began. So it opens
    /// however fast others publish. `None`: no page has come.
    Loading {
        until: Option<u64>,
        step: Step,
    },
    Live,
    Again(Step),
}

/// How often the engine's log was read.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    pub(crate) begun: u64,
    /// The number of the last one that was answered, and where the log ended then.
    pub(crate) answered: u64,
    pub(crate) end: u64,
}

#[derive(Debug)]
pub(crate) enum Step {
    /// The engine has not confirmed that it feeds the topic.
    Wanted,
    /// To be asked for, now or after a pause.
    Queued,
    Asked(Held),
}

impl Phase {
    /// Whether the log can be read by subscribers.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Phase::Local | Phase::Live | Phase::Again(_))
    }

    /// Whether the engine must feed the topic.
    pub(crate) fn is_wanted(&self) -> bool {
        matches!(self, Phase::Loading { .. } | Phase::Live | Phase::Again(_))
    }

    pub(crate) fn step(&mut self) -> Option<&mut Step> {
        match self {
            Phase::Loading { step, .. } | Phase::Again(step) => Some(step),
            Phase::Local | Phase::Idle | Phase::Live => None,
        }
    }
}

/// What was fed while a page is on its way.
#[derive(Debug, Default)]
pub(crate) struct Held {
    messages: VecDeque<(Position, Bytes, Stamp)>,
    bytes: usize,
    /// The engine has said that something may be missing in the feed, and the page may be older than that.
    pub(crate) missing: bool,
}

impl Held {
    /// Holds a message. What is more than `Retain` keeps, or than may be held, goes, the oldest first: then the log is
    /// read once more.
    pub(crate) fn push(&mut self, at: Position, payload: Bytes, now: Stamp, retain: &Retain) {
        self.bytes += payload.len();
        self.messages.push_back((at, payload, now));
        let (most, bytes) = (retain.messages.min(HELD), retain.bytes.min(HELD_BYTES));
        while self.messages.len() > 1 && (self.messages.len() > most || self.bytes > bytes) {
            self.pop();
        }
    }

    /// The message that follows this position. Those up to it are dropped.
    pub(crate) fn next_after(&mut self, log: Position) -> Option<(Position, Bytes, Stamp)> {
        while self.messages.front().is_some_and(|(at, ..)| at.epoch == log.epoch && at.offset <= log.offset) {
            self.pop();
        }
        let follows = |(at, ..): &(Position, Bytes, Stamp)| at.epoch == log.epoch && at.offset == log.offset + 1;
        if self.messages.front().is_some_and(follows) { self.pop() } else { None }
    }

    fn pop(&mut self) -> Option<(Position, Bytes, Stamp)> {
        let oldest = self.messages.pop_front()?;
        self.bytes -= oldest.1.len();
        Some(oldest)
    }

    /// Whether all there was has been taken, and nothing may be missing.
    pub(crate) fn is_done(&self) -> bool {
        self.messages.is_empty() && !self.missing
    }
}

/// How much is held of a topic, whatever it keeps: it counts against none of the hub's limits.
const HELD: usize = 4096;
const HELD_BYTES: usize = 4 << 20;
