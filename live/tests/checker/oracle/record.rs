//! What is known of one topic's log, by all who have said or read something, put together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openline_live::{Epoch, Position, PublishError};

use super::{Judged, Rule, Setup, Summary, wrong};
use crate::history::{Deal, Said, Words, short};

#[derive(Debug, Default)]
pub(super) struct Record {
    lives: BTreeMap<Epoch, Life>,
    messages: BTreeMap<u64, Message>,
    /// The messages that were said with an id.
    named: BTreeMap<u64, Vec<u64>>,
    /// Epochs that were over before something that is known: who speaks later is never answered in one of them.
    over: BTreeSet<Epoch>,
}

/// An epoch.
#[derive(Debug, Default)]
struct Life {
    at: BTreeMap<u64, Said>,
    /// In which attempt's words it was read.
    attempts: BTreeMap<u64, u64>,
    /// Those of them that decide something.
    deals: BTreeMap<u64, Said>,
    places: BTreeMap<u64, u64>,
    ids: BTreeMap<u64, Vec<u64>>,
    /// The last offset that anybody has seen, and of those that were acknowledged or read.
    end: u64,
}

/// A message as its publisher sees it.
#[derive(Debug)]
struct Message {
    said: Said,
    id: Option<u64>,
    expect: Option<Position>,
    /// How often it was said, and when first and last.
    times: u64,
    first: Duration,
    last: Duration,
    /// An attempt has not been answered yet.
    open: bool,
    /// An attempt may have appended it.
    possible: bool,
    acknowledged: bool,
    refused: bool,
    /// Said when all faults were over.
    late: bool,
    /// Where the epochs ended, as far as anybody knew, when it was said first, and which were over.
    floor: BTreeMap<Epoch, u64>,
    over: BTreeSet<Epoch>,
}

impl Record {
    pub(super) fn epochs(&self) -> u64 {
        self.lives.len() as u64
    }

    pub(super) fn says(
        &mut self,
        at: Duration,
        said: Said,
        id: Option<u64>,
        expect: Option<Position>,
        late: bool,
        sum: &mut Summary,
    ) -> Judged {
        if let Some(known) = self.messages.get_mut(&said.number) {
            assert!(
                known.said == said && known.id == id && known.expect == expect && !known.open,
                "{said}: no such history"
            );
            (known.open, known.last, known.times) = (true, at, known.times + 1);
            sum.again += 1;
            return Ok(());
        }
        let floor = self.lives.iter().map(|(epoch, life)| (*epoch, life.end)).collect();
        let message = Message {
            said,
            id,
            expect,
            times: 1,
            first: at,
            last: at,
            open: true,
            possible: false,
            acknowledged: false,
            refused: false,
            late,
            floor,
            over: self.over.clone(),
        };
        self.messages.insert(said.number, message);
        if let Some(id) = id {
            self.named.entry(id).or_default().push(said.number);
        }
        Ok(())
    }

    pub(super) fn answer(
        &mut self,
        setup: &Setup,
        number: u64,
        answer: &Result<Position, PublishError>,
        sum: &mut Summary,
    ) -> Judged {
        let message = self.messages.get_mut(&number).expect("nobody answers what was not said");
        assert!(message.open, "{number}: two answers");
        message.open = false;
        match *answer {
            Ok(at) => {
                sum.acknowledged += 1;
                (message.possible, message.acknowledged) = (true, true);
                match message.said.deal {
                    Deal::None => {}
                    Deal::Bid(_) => sum.bids += 1,
                    Deal::Sold(_) => sum.sold += 1,
                }
                return self.acknowledged(setup, number, at);
            }
            Err(PublishError::Unknown) => {
                sum.unknown += 1;
                message.possible = true;
            }
            Err(PublishError::Conflict(at)) => {
                sum.conflicts += 1;
                message.refused = true;
                if message.expect.is_none_or(|expected| expected == at) {
                    return wrong(Rule::Expect, "the log stands where it was expected to, or nothing was expected");
                }
                self.stands(at)?;
            }
            Err(PublishError::IdTaken) => {
                sum.ids_taken += 1;
                message.refused = true;
                let named = message.id.and_then(|id| self.named.get(&id)).into_iter().flatten();
                let mut others = named.filter(|other| **other != number).map(|other| &self.messages[other]);
                if !others.any(|other| other.possible || other.open) {
                    return wrong(Rule::IdNotTaken, "no other message has this id");
                }
            }
            Err(PublishError::Failed) => {}
            Err(error) => return wrong(Rule::Stuck, format!("{number}: {error:?}, which nothing in the run explains")),
        }
        let message = &self.messages[&number];
        if !message.possible && self.lives.values().any(|life| life.places.contains_key(&number)) {
            return wrong(Rule::Ghost, format!("{number} was refused, and is in the log"));
        }
        Ok(())
    }

    fn acknowledged(&mut self, setup: &Setup, number: u64, at: Position) -> Judged {
        let message = &self.messages[&number];
        if message.over.contains(&at.epoch) {
            return wrong(Rule::OldEpoch, format!("{number} was appended to an epoch that was over"));
        }
        // Under a known id a message may be found again in a later epoch.
        if let Some(expected) = message.expect.filter(|expected| expected.epoch == at.epoch)
            && at.offset != expected.offset + 1
        {
            return wrong(Rule::Expect, format!("{number} was appended at {}", short(at)));
        }
        // Each epoch that had a message when this one was said first came before its own.
        self.over.extend(message.floor.keys().filter(|epoch| **epoch != at.epoch));
        let (said, floor) = (message.said, message.floor.get(&at.epoch).copied());
        self.place(setup, at, said)?;
        if floor.is_some_and(|end| at.offset <= end) {
            return wrong(Rule::Order, format!("{number} stands before what was there when it was said"));
        }
        Ok(())
    }

    /// Somebody has read this.
    pub(super) fn read(&mut self, setup: &Setup, at: Position, words: Words) -> Judged {
        let Words { said, attempt } = words;
        match self.messages.get(&said.number) {
            Some(message) if message.said == said && attempt < message.times && (message.open || message.possible) => {}
            Some(_) => return wrong(Rule::Ghost, format!("{words} was refused, or said otherwise")),
            None => return wrong(Rule::Ghost, format!("nobody has said {words}")),
        }
        self.place(setup, at, said)?;
        let first = *self.lives.entry(at.epoch).or_default().attempts.entry(at.offset).or_insert(attempt);
        if first != attempt {
            return wrong(
                Rule::TwoAtOnePlace,
                format!("{} is {words}, and was read in the words of {first}", short(at)),
            );
        }
        Ok(())
    }

    /// Somebody was told that the log stands here.
    pub(super) fn stands(&mut self, at: Position) -> Judged {
        let life = self.lives.entry(at.epoch).or_default();
        life.end = life.end.max(at.offset);
        Ok(())
    }

    fn place(&mut self, setup: &Setup, at: Position, said: Said) -> Judged {
        let life = self.lives.entry(at.epoch).or_default();
        life.end = life.end.max(at.offset);
        match life.at.insert(at.offset, said) {
            Some(other) if other == said => return Ok(()),
            Some(other) => return wrong(Rule::TwoAtOnePlace, format!("{} is {other} and {said}", short(at))),
            None => {}
        }
        if let Some(other) = life.places.insert(said.number, at.offset) {
            return wrong(Rule::AppendedTwice, format!("{said} stands at {other} and {}", at.offset));
        }
        let message = &self.messages[&said.number];
        if let Some(id) = message.id {
            let others = life.ids.entry(id).or_default();
            for other in others.iter().map(|other| &self.messages[other]) {
                let apart = message.last.max(other.last).saturating_sub(message.first.min(other.first));
                if apart < setup.ids {
                    return wrong(Rule::IdTwice, format!("{said} and {} have the id {id}", other.said));
                }
            }
            others.push(said.number);
        }
        if said.deal == Deal::None {
            return Ok(());
        }
        life.deals.insert(at.offset, said);
        let before = life.deals.range(..at.offset).next_back().map(|(_, before)| (*before, said));
        let after = life.deals.range(at.offset + 1..).next().map(|(_, after)| (said, *after));
        for (one, two) in before.into_iter().chain(after) {
            let follows = match (one.deal, two.deal) {
                (Deal::Bid(low), Deal::Bid(high)) => low < high,
                // There may be bids between them that nobody has read.
                (Deal::Bid(price), Deal::Sold(sold)) => price <= sold,
                (Deal::Sold(_), Deal::Bid(_) | Deal::Sold(_)) => false,
                (Deal::None, _) | (_, Deal::None) => true,
            };
            if !follows {
                return wrong(Rule::Auction, format!("{two} follows {one}"));
            }
        }
        Ok(())
    }

    pub(super) fn end(&mut self, at: Position) -> Judged {
        self.stands(at)?;
        if self.lives[&at.epoch].end > at.offset {
            return wrong(Rule::Lost, format!("{} was seen, the log ends at {}", self.lives[&at.epoch].end, short(at)));
        }
        if self.over.contains(&at.epoch) {
            return wrong(Rule::OldEpoch, "the log ends in an epoch that was over");
        }
        for (number, message) in &self.messages {
            if message.open {
                return wrong(Rule::Stuck, format!("{number} has no answer"));
            }
            if message.late && !message.acknowledged && !message.refused {
                return wrong(
                    Rule::Stuck,
                    format!("{number} was said when all faults were over, and is not in the log"),
                );
            }
        }
        Ok(())
    }
}
