//! Judges a run by what was seen alone: it knows no hub, no engine and no clock. Whatever it rejects is wrong, whoever
//! ran; what it does not reject was at least not seen to be wrong.

mod readers;
mod record;

#[cfg(test)]
mod examples;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::history::{Event, History, What};
use readers::Readers;
use record::Record;

/// What the run was set up with, as far as promises depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How many messages a topic keeps at least, if age and bytes let go of none. Nothing if they may.
    pub retain: Option<u64>,
    /// How long an id is known.
    pub ids: Duration,
}

/// A promise, named by how it is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A reader got a message again.
    Twice,
    /// A reader did not get a message, and was not told so, or was told a wrong number.
    Hole,
    /// A delivery that may not come here: before `Joined`, after `Left`, or against the lag policy.
    OutOfPlace,
    /// A reader or a publisher got into an epoch that was over.
    OldEpoch,
    /// `whole: true`, and it is not.
    FalseWhole,
    /// `whole: false`, and nothing is gone.
    FalseAlarm,
    /// `whole: false`, because the node has not come as far yet as the client has at another one.
    Behind,
    /// A hole was told that nothing made necessary: the log was not longer than what is kept.
    Needless,
    /// More epochs of a topic than there were reasons for one.
    NewEpoch,
    /// Two messages at one position.
    TwoAtOnePlace,
    /// One message at two places in an epoch.
    AppendedTwice,
    /// Two messages with one id in an epoch, within the id's time.
    IdTwice,
    /// A publisher was told that its id is another message's, and no other message has it.
    IdNotTaken,
    /// A message was read that nobody has said, or that was certainly refused.
    Ghost,
    /// The log ends before a message that was acknowledged or read in the same epoch.
    Lost,
    /// A message that was said after another one had been acknowledged stands before it.
    Order,
    /// A message that expected a position was appended elsewhere, or was refused though the log stood there.
    Expect,
    /// A lot was sold twice, went on after its end, or its price did not rise.
    Auction,
    /// After all faults were over somebody did not get to the end, or got no answer.
    Stuck,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    /// The index of the event at which it was noticed.
    pub event: usize,
    pub topic: Option<usize>,
    pub text: String,
}

/// What happened in a run, to see that runs are not all empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub read: u64,
    pub missed: u64,
    pub left: u64,
    pub rejoined: u64,
    pub not_whole: u64,
    pub moved_epoch: u64,
    pub acknowledged: u64,
    pub unknown: u64,
    pub again: u64,
    pub conflicts: u64,
    pub ids_taken: u64,
    pub bids: u64,
    pub sold: u64,
}

impl Summary {
    fn all(&mut self) -> [&mut u64; 13] {
        let Summary { read, missed, left, rejoined, not_whole, moved_epoch, acknowledged, unknown, again, .. } = self;
        let Summary { conflicts, ids_taken, bids, sold, .. } = self;
        [
            read,
            missed,
            left,
            rejoined,
            not_whole,
            moved_epoch,
            acknowledged,
            unknown,
            again,
            conflicts,
            ids_taken,
            bids,
            sold,
        ]
    }

    pub fn add(&mut self, mut other: Summary) {
        self.all().into_iter().zip(other.all()).for_each(|(sum, more)| *sum += *more);
    }

    /// Each of these things happened.
    pub fn has_all(&mut self) -> bool {
        self.all().into_iter().all(|sum| *sum > 0)
    }
}

/// Judges all of it.
///
/// # Errors
///
/// The first thing that was found wrong.
pub fn judge(setup: Setup, history: &History) -> Result<Summary, Violation> {
    let mut oracle = Oracle { setup, ..Oracle::default() };
    for (index, event) in history.0.iter().enumerate() {
        oracle.see(event).map_err(|Wrong(rule, text)| Violation { rule, event: index, topic: event.topic, text })?;
    }
    Ok(oracle.summary)
}

#[derive(Debug, Default)]
struct Oracle {
    setup: Setup,
    topics: BTreeMap<usize, (Record, Readers)>,
    /// How often the engine may have forgotten something, and whether faults are over.
    forgot: u64,
    quiet: bool,
    summary: Summary,
}

/// A rule that is broken, and how.
pub(crate) struct Wrong(Rule, String);

pub(crate) type Judged = Result<(), Wrong>;

pub(crate) fn wrong<T>(rule: Rule, text: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong(rule, text.into()))
}

impl Oracle {
    fn see(&mut self, event: &Event) -> Judged {
        let Some(topic) = event.topic else {
            match event.what {
                What::Fault { forgets, .. } => self.forgot += u64::from(forgets),
                What::Quiet => self.quiet = true,
                _ => {}
            }
            return Ok(());
        };
        let (setup, sum) = (&self.setup, &mut self.summary);
        let (record, readers) = self.topics.entry(topic).or_default();
        match &event.what {
            What::Says { said, id, expect, .. } => {
                record.says(event.at, *said, *id, *expect, self.quiet, sum)?;
            }
            What::Answer { number, answer } => {
                record.answer(setup, *number, answer, sum)?;
            }
            What::Join { reader, start, lag, .. } => readers.join(*reader, *start, *lag),
            What::Joined { reader, at, whole } => {
                readers.joined(*reader, *at, *whole, sum)?;
                record.stands(*at)?;
            }
            What::Message { reader, at, words } => {
                readers.message(*reader, *at, sum)?;
                record.read(setup, *at, *words)?;
            }
            What::Missed { reader, count } => readers.missed(setup, *reader, *count, sum)?,
            What::Left { reader } => readers.left(*reader, sum)?,
            What::Gone { reader } => readers.gone(*reader),
            What::End { at } => {
                record.end(*at)?;
                readers.end(setup, *at)?;
            }
            What::Fault { .. } | What::Quiet => {}
        }
        if record.epochs() > 1 + self.forgot {
            return wrong(Rule::NewEpoch, format!("{} epochs, {} reasons", record.epochs(), self.forgot));
        }
        Ok(())
    }
}

impl Default for Setup {
    fn default() -> Setup {
        Setup { retain: None, ids: Duration::from_secs(300) }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at event {}: {}", self.rule, self.event, self.text)
    }
}
