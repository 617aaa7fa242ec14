//! What the readers of one topic get: each from its join to its end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use openline_live::{Epoch, Lag, Position, Start};

use super::{Judged, Rule, Setup, Summary, wrong};
use crate::history::short;

#[derive(Debug, Default)]
pub(super) struct Readers {
    joined: BTreeMap<usize, Session>,
    /// Holes that were told, to be judged when it is known how long the log has become.
    holes: Vec<Hole>,
}

#[derive(Debug)]
struct Session {
    /// Joins that wait for their `Joined`, and the last one, answered or not.
    asked: VecDeque<Start>,
    start: Start,
    lag: Lag,
    place: Place,
    /// The epochs from which it was moved on.
    over: BTreeSet<Epoch>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// It waits for `Joined`.
    Asked,
    /// The next message has this position. `since_hole`: it was told of a hole just before.
    At { next: Position, missed: bool },
    /// The next message is in this epoch, at `least` this offset and at `most` that one.
    Somewhere { epoch: Epoch, least: u64, most: u64, missed: bool },
}

/// A reader was told that this and more is gone; it went on at `resumed`, if it did.
#[derive(Debug)]
struct Hole {
    next: Position,
    resumed: Option<u64>,
}

impl Readers {
    pub(super) fn join(&mut self, reader: usize, start: Start, lag: Lag) {
        // Who joins again before it was answered is answered twice.
        let mut asked = self.joined.remove(&reader).map(|session| session.asked).unwrap_or_default();
        asked.push_back(start);
        let session = Session { asked, start, lag, place: Place::Asked, over: BTreeSet::new() };
        self.joined.insert(reader, session);
    }

    pub(super) fn gone(&mut self, reader: usize) {
        self.joined.remove(&reader);
    }

    fn session(&mut self, reader: usize) -> Result<&mut Session, super::Wrong> {
        match self.joined.get_mut(&reader) {
            Some(session) => Ok(session),
            None => nobody(),
        }
    }

    pub(super) fn joined(&mut self, reader: usize, at: Position, whole: bool, sum: &mut Summary) -> Judged {
        let Some(session) = self.joined.get_mut(&reader) else { return nobody() };
        if matches!(session.place, Place::Asked) {
            session.asked.pop_front();
            if !session.asked.is_empty() {
                return Ok(());
            }
        }
        let end = at.offset + 1;
        sum.not_whole += u64::from(!whole);
        let begin = |next: u64| Place::At { next: Position { offset: next, ..at }, missed: false };
        let from = |least: u64| Place::Somewhere { epoch: at.epoch, least, most: end, missed: false };
        session.place = match (session.place, session.start) {
            (Place::Asked, Start::Now) if !whole => return wrong(Rule::FalseAlarm, "now is always whole"),
            (Place::Asked, Start::Now) => begin(end),
            (Place::Asked, start) => {
                let asked = match start {
                    Start::After(asked) => asked,
                    _ => Position { offset: 0, ..at },
                };
                sum.rejoined += u64::from(matches!(start, Start::After(_)));
                match (whole, asked.epoch == at.epoch) {
                    (true, false) => return wrong(Rule::FalseWhole, "another epoch is never whole"),
                    (true, true) if asked.offset > at.offset => {
                        return wrong(Rule::FalseWhole, "what was asked for lies beyond the end");
                    }
                    (true, true) => begin(asked.offset + 1),
                    (false, false) => from(1),
                    (false, true) if asked.offset > at.offset => {
                        return wrong(Rule::Behind, "the client has come further at another node");
                    }
                    (false, true) if asked.offset == at.offset => {
                        return wrong(Rule::FalseAlarm, "nothing came after what was asked for");
                    }
                    (false, true) => {
                        // The log may be longer than this node knows.
                        let next = Position { offset: asked.offset + 1, ..at };
                        self.holes.push(Hole { next, resumed: None });
                        from(asked.offset + 2)
                    }
                }
            }
            (Place::At { next: Position { epoch, .. }, .. } | Place::Somewhere { epoch, .. }, _) => {
                if whole {
                    return wrong(Rule::FalseWhole, "an unasked Joined is never whole");
                }
                if epoch == at.epoch {
                    return wrong(Rule::OutOfPlace, "an unasked Joined without a new epoch");
                }
                session.over.insert(epoch);
                if session.over.contains(&at.epoch) {
                    return wrong(Rule::OldEpoch, "the reader was there before");
                }
                sum.moved_epoch += 1;
                from(1)
            }
        };
        Ok(())
    }

    pub(super) fn message(&mut self, reader: usize, at: Position, sum: &mut Summary) -> Judged {
        let session = self.session(reader)?;
        let (epoch, least, most) = match session.place {
            Place::Asked => return wrong(Rule::OutOfPlace, "a message before Joined"),
            Place::At { next, .. } => (next.epoch, next.offset, next.offset),
            Place::Somewhere { epoch, least, most, .. } => (epoch, least, most),
        };
        if at.epoch != epoch {
            return wrong(Rule::OldEpoch, "a message of an epoch that was not joined");
        }
        if at.offset > most {
            return wrong(Rule::Hole, format!("offset {most} did not come"));
        }
        if at.offset < least {
            // What was asked for is not gone if it comes.
            let fresh = matches!(session.place, Place::Somewhere { missed: false, .. });
            let again =
                matches!(session.start, Start::After(asked) if asked.epoch == epoch && at.offset <= asked.offset);
            let rule = if fresh && !again { Rule::FalseAlarm } else { Rule::Twice };
            return wrong(rule, format!("at least offset {least} is next"));
        }
        sum.read += 1;
        session.place = Place::At { next: Position { epoch, offset: at.offset + 1 }, missed: false };
        Ok(())
    }

    pub(super) fn missed(&mut self, setup: &Setup, reader: usize, count: u64, sum: &mut Summary) -> Judged {
        let session = self.session(reader)?;
        if session.lag == Lag::Leave || count == 0 {
            return wrong(Rule::OutOfPlace, "leave has no gaps, and no gap is empty");
        }
        sum.missed += count;
        match &mut session.place {
            Place::Asked => return wrong(Rule::OutOfPlace, "a gap before Joined"),
            Place::At { missed: true, .. } | Place::Somewhere { missed: true, .. } if setup.retain.is_some() => {
                return wrong(Rule::OutOfPlace, "a second gap without a message between");
            }
            Place::At { next, missed } => {
                let resumed = (session.lag == Lag::Skip).then_some(next.offset + count);
                let hole = Hole { next: *next, resumed };
                (next.offset, *missed) = (next.offset + count, true);
                self.holes.push(hole);
            }
            Place::Somewhere { least, most, missed, .. } => {
                (*least, *most, *missed) = (*least + count, *most + count, true);
            }
        }
        Ok(())
    }

    pub(super) fn left(&mut self, reader: usize, sum: &mut Summary) -> Judged {
        let session = self.session(reader)?;
        if session.lag != Lag::Leave {
            return wrong(Rule::OutOfPlace, "who did not ask to leave was let go");
        }
        let hole = match session.place {
            Place::Asked => return wrong(Rule::OutOfPlace, "let go before Joined"),
            Place::At { next, .. } => Some(Hole { next, resumed: None }),
            Place::Somewhere { .. } => None,
        };
        sum.left += 1;
        self.holes.extend(hole);
        self.joined.remove(&reader);
        Ok(())
    }

    pub(super) fn end(&mut self, setup: &Setup, end: Position) -> Judged {
        // A cursor lags only if it stands before all that is kept.
        for hole in self.holes.iter().filter(|hole| hole.next.epoch == end.epoch) {
            let Some(retain) = setup.retain else { break };
            let resumed = hole.resumed.unwrap_or(0);
            if end.offset < hole.next.offset + retain || end.offset + 1 < resumed + retain {
                return wrong(Rule::Needless, format!("at {} a reader was told of a hole", short(hole.next)));
            }
        }
        for (reader, session) in &self.joined {
            let stands = match session.place {
                Place::At { next, missed: false } => next == Position { offset: end.offset + 1, ..end },
                // If all that is kept is too old, no message tells where it stands.
                Place::At { next, missed: true } => {
                    setup.retain.is_none() && next == Position { offset: end.offset + 1, ..end }
                }
                // Nothing that is kept tells where it stands.
                Place::Somewhere { epoch, least, most, missed } => {
                    let (is_empty, next) = (end.offset == 0 || setup.retain.is_none(), end.offset + 1);
                    let possible = if missed { least..=most } else { most..=most };
                    is_empty && epoch == end.epoch && possible.contains(&next)
                }
                Place::Asked => false,
            };
            if !stands {
                return wrong(
                    Rule::Stuck,
                    format!("reader {reader} stands at {:?}, the end is {}", session.place, short(end)),
                );
            }
        }
        Ok(())
    }
}

fn nobody<T>() -> Result<T, super::Wrong> {
    wrong(Rule::OutOfPlace, "a delivery for who has not joined")
}
