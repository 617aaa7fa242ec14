//! How a topic's log follows the engine's: by what is fed, and by pages of the engine's log where that is not enough.
//!
//! Only the one future that runs the hub comes here, so the log grows at one place, and `make` runs without a lock.

use bytes::Bytes;

use crate::backplane::Page;
use crate::limits::Stamp;
use crate::log::{Entry, Log};
use crate::phase::{Held, Phase, Step};
use crate::position::Position;
use crate::topic::{Inner, State};

/// What is to be done next for a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Then {
    Nothing,
    /// Its log is to be read.
    Read,
    /// The same after a pause, since the last attempt has brought nothing.
    Pause,
}

impl<M> Inner<M> {
    /// Whether the engine must feed the topic: for those who have joined it, or for those who watch it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.change(|state| state.phase.is_wanted()) || self.is_watched()
    }

    /// Nothing that was asked for comes any more. Returns whether the topic must be fed and read again.
    pub(crate) fn begin_again(&self) -> bool {
        self.change(|state| {
            match &mut state.phase {
                Phase::Local | Phase::Idle => return false,
                Phase::Loading { until, step } => (*until, *step) = (None, Step::Wanted),
                Phase::Live | Phase::Again(_) => state.phase = Phase::Again(Step::Wanted),
            }
            true
        })
    }

    /// The engine has confirmed that it feeds the topic.
    pub(crate) fn confirmed(&self) -> Then {
        self.change(|state| match state.phase.step() {
            Some(step @ Step::Wanted) => {
                *step = Step::Queued;
                Then::Read
            }
            _ => Then::Nothing,
        })
    }

    /// Something that was fed may be missing.
    pub(crate) fn stale(&self) -> Then {
        self.change(|state| {
            match &mut state.phase {
                Phase::Live => {
                    state.phase = Phase::Again(Step::Queued);
                    return Then::Read;
                }
                Phase::Loading { step: Step::Asked(held), .. } | Phase::Again(Step::Asked(held)) => held.missing = true,
                _ => {}
            }
            Then::Nothing
        })
    }

    /// A message has been fed.
    pub(crate) fn fed(&self, at: Position, payload: Bytes) -> Then {
        let (retain, now) = (&self.shared.retain, self.shared.now());
        let put = self.change(|state| {
            let log = state.log.position();
            let known = at.epoch == log.epoch && at.offset <= log.offset;
            let next = at.epoch == log.epoch && at.offset == log.offset + 1;
            match &mut state.phase {
                Phase::Live if known => Err(Then::Nothing),
                Phase::Live | Phase::Again(_) if next => Ok(payload),
                Phase::Live => {
                    state.phase = Phase::Again(Step::Queued);
                    Err(Then::Read)
                }
                Phase::Again(Step::Asked(held)) | Phase::Loading { step: Step::Asked(held), .. } => {
                    held.push(at, payload, now, retain);
                    Err(Then::Nothing)
                }
                // The page that will be asked for has it.
                _ => Err(Then::Nothing),
            }
        });
        match put {
            Ok(payload) => {
                self.put(at, &payload, now);
                self.ring();
                Then::Nothing
            }
            Err(then) => then,
        }
    }

    /// The log is to be read after this position, or all of it. `None`: it is not to be read now.
    pub(crate) fn ask(&self) -> Option<Option<Position>> {
        self.change(|state| {
            let after = match state.phase {
                Phase::Loading { until: None, .. } => None,
                _ => Some(state.log.position()),
            };
            let step = state.phase.step().filter(|step| matches!(step, Step::Queued))?;
            *step = Step::Asked(Held::default());
            state.reads.begun += 1;
            Some(after)
        })
    }

    /// What was asked for has not come.
    pub(crate) fn failed(&self) -> Then {
        self.change(|state| match state.phase.step() {
            Some(step @ Step::Asked(_)) => {
                *step = Step::Queued;
                Then::Pause
            }
            _ => Then::Nothing,
        })
    }

    /// A page has come, which was asked for after this position. It is the authority.
    pub(crate) fn page(&self, asked: Option<Position>, page: Page) -> Then {
        if !is_sound(&page) {
            return self.failed();
        }
        let Page { at, messages } = page;
        let now = self.shared.now();
        let (before, replaced) = self.change(|state| {
            (state.reads.answered, state.reads.end) = (state.reads.begun, at.offset);
            let before = messages.first().map_or(at.offset, |kept| kept.offset - 1);
            let head = state.log.head();
            let replaced = asked.is_none_or(|asked| at.epoch != asked.epoch || at.offset < asked.offset);
            if replaced {
                // What was fed since and is in no page that was asked for would be lost.
                let more = asked.is_some_and(|asked| head > asked.offset);
                state.replace(Position { offset: before, ..at }, more);
            } else if before > head {
                state.log.pass(before);
            }
            (head, replaced)
        });
        for kept in messages {
            if replaced || kept.offset > before {
                self.put(Position { offset: kept.offset, ..at }, &kept.payload, now.earlier(kept.age));
            }
        }
        let then = loop {
            match self.change(|state| state.settle(at)) {
                Ok((at, payload, fed)) => self.put(at, &payload, fed),
                Err(then) => break then,
            }
        };
        let (grown, open) = self.change(|state| (replaced || state.log.head() > before, state.phase.is_open()));
        if open {
            // Before that there is nothing to read, however many pages come.
            self.ring();
        }
        if then == Then::Read && !grown { Then::Pause } else { then }
    }

    /// Appends a message. If the hub has no room for it, it has come and gone: who waits for it has lagged.
    fn put(&self, at: Position, payload: &[u8], stamp: Stamp) {
        let payload = Bytes::copy_from_slice(payload);
        let message = (self.shared.make)(&self.name, at, &payload);
        let Err(unused) = self.admit(Entry::new(message, payload, stamp), 0) else { return };
        self.change(|state| {
            state.log.pass(at.offset);
            (state.used, state.has_been_used) = (state.used.max(stamp), true);
        });
        drop(unused);
    }
}

impl<M> State<M> {
    /// Another log takes the place of this one. All cursors begin anew with it.
    fn replace(&mut self, at: Position, more: bool) {
        self.log = Log::new(at);
        self.life = self.life.wrapping_add(1);
        if let Phase::Loading { until, .. } = &mut self.phase {
            *until = None;
        }
        if let Some(Step::Asked(held)) = self.phase.step() {
            held.missing |= more;
        }
    }

    /// After a page that stood at `end`: gives what was fed meanwhile and comes next. Without that, the read is over, or
    /// goes on.
    fn settle(&mut self, end: Position) -> Result<(Position, Bytes, Stamp), Then> {
        let log = self.log.position();
        let Some(Step::Asked(held)) = self.phase.step() else { return Err(Then::Nothing) };
        let mut done = false;
        if log.offset >= end.offset {
            if let Some(next) = held.next_after(log) {
                return Ok(next);
            }
            done = held.is_done();
        }
        let goal = match self.phase {
            Phase::Loading { until, .. } => until.unwrap_or(end.offset),
            _ => 0,
        };
        self.phase = if log.offset < goal {
            Phase::Loading { until: Some(goal), step: Step::Queued }
        } else if done {
            Phase::Live
        } else {
            Phase::Again(Step::Queued)
        };
        Err(if done { Then::Nothing } else { Then::Read })
    }
}

/// Whether a page is what it must be: messages without a gap, of which none lies beyond the end.
fn is_sound(page: &Page) -> bool {
    let offsets = || page.messages.iter().map(|kept| kept.offset);
    let first = offsets().next().unwrap_or(1);
    // Offsets end long before the numbers do, so nothing here overflows.
    page.at.offset < u64::MAX / 2
        && offsets().all(|offset| offset > 0 && offset <= page.at.offset)
        && offsets().eq((first..).take(page.messages.len()))
}
