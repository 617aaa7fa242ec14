//! Histories by hand. Each rule has some that it must reject, and beside each stands the nearest one that is right.

use std::time::Duration;

use openline_live::{Epoch, Lag, Position, PublishError, Start};

use super::{Rule, Setup, judge};
use crate::history::{Deal, Event, History, Said, What, Words};

const SETUP: Setup = Setup { retain: Some(3), ids: Duration::from_secs(300) };

fn at(epoch: u8, offset: u64) -> Position {
    Position { epoch: Epoch::from_bytes([epoch; 16]), offset }
}

fn says(number: u64) -> What {
    What::Says { node: 0, said: Said::plain(number), id: None, expect: None }
}

fn says_as(number: u64, id: u64) -> What {
    What::Says { node: 0, said: Said::plain(number), id: Some(id), expect: None }
}

fn decides(number: u64, deal: Deal, expect: Position) -> What {
    What::Says { node: 0, said: Said { number, deal }, id: None, expect: Some(expect) }
}

fn answer(number: u64, at: Position) -> What {
    What::Answer { number, answer: Ok(at) }
}

fn error(number: u64, error: PublishError) -> What {
    What::Answer { number, answer: Err(error) }
}

fn join(start: Start) -> What {
    join_as(start, Lag::Skip)
}

fn join_as(start: Start, lag: Lag) -> What {
    What::Join { reader: 0, node: 0, start, lag }
}

fn joined(at: Position, whole: bool) -> What {
    What::Joined { reader: 0, at, whole }
}

fn reads(at: Position, number: u64) -> What {
    reads_words(0, at, number, 0)
}

fn reads_words(reader: usize, at: Position, number: u64, attempt: u64) -> What {
    What::Message { reader, at, words: Words { said: Said::plain(number), attempt } }
}

fn missed(count: u64) -> What {
    What::Missed { reader: 0, count }
}

fn forgets() -> What {
    What::Fault { text: String::new(), forgets: true }
}

const GONE: What = What::Gone { reader: 0 };
const LEFT: What = What::Left { reader: 0 };

fn ends(at: Position) -> What {
    What::End { at }
}

/// The messages with the numbers from 1 on are appended in epoch 1.
fn said(count: u64) -> Vec<What> {
    (1..=count).flat_map(|number| [says(number), answer(number, at(1, number))]).collect()
}

/// The reader reads these numbers at the same offsets of epoch 1.
fn read(offsets: impl Iterator<Item = u64>) -> Vec<What> {
    offsets.map(|offset| reads(at(1, offset), offset)).collect()
}

fn history(parts: &[&[What]]) -> History {
    let event = |(second, what): (u64, &What)| {
        let topic = (!matches!(what, What::Fault { .. } | What::Quiet)).then_some(0);
        Event { at: Duration::from_secs(second), topic, what: what.clone() }
    };
    History((0..).zip(parts.iter().copied().flatten()).map(event).collect())
}

#[track_caller]
fn good(parts: &[&[What]]) {
    let history = history(parts);
    if let Err(violation) = judge(SETUP, &history) {
        panic!("{violation}\n{}", history.of(None, usize::MAX - 1));
    }
}

/// It is rejected by this rule, at its last event.
#[track_caller]
fn bad(rule: Rule, parts: &[&[What]]) {
    let history = history(parts);
    match judge(SETUP, &history) {
        Ok(_) => panic!("not rejected\n{}", history.of(None, usize::MAX - 1)),
        Err(violation) => assert_eq!((violation.rule, violation.event + 1), (rule, history.0.len()), "{violation}"),
    }
}

#[test]
fn a_reader_gets_everything_once_and_in_order() {
    let begin = [&said(2)[..], &[join(Start::Oldest), joined(at(1, 2), true)]].concat();
    good(&[&begin, &read(1..=2), &[ends(at(1, 2))]]);
    bad(Rule::Hole, &[&begin, &read(2..=2)]);
    bad(Rule::Twice, &[&begin, &read(1..=1), &read(1..=1)]);
    bad(Rule::OldEpoch, &[&begin, &[reads(at(2, 1), 1)]]);
    bad(Rule::Stuck, &[&begin, &read(1..=1), &[ends(at(1, 2))]]);
    bad(Rule::OutOfPlace, &[&said(1), &[join(Start::Oldest)], &read(1..=1)]);
    bad(Rule::OutOfPlace, &[&said(1), &read(1..=1)]);
    bad(Rule::OutOfPlace, &[&begin, &[GONE], &read(1..=1)]);
    let now = [&said(2)[..], &[join(Start::Now), joined(at(1, 2), true)]].concat();
    good(&[&now, &[ends(at(1, 2))]]);
    bad(Rule::Twice, &[&now, &read(2..=2)]);
    bad(Rule::Stuck, &[&said(2), &[join(Start::Now), ends(at(1, 2))]]);
    bad(Rule::FalseAlarm, &[&said(2), &[join(Start::Now), joined(at(1, 2), false)]]);
}

#[test]
fn who_comes_back_misses_nothing_that_is_not_told() {
    let back = |from: Position, count: u64, whole: bool| {
        [&said(count)[..], &[join(Start::After(from)), joined(at(1, count), whole)]].concat()
    };
    good(&[&back(at(1, 1), 4, true), &read(2..=4), &[ends(at(1, 4))]]);
    bad(Rule::Twice, &[&back(at(1, 1), 4, true), &read(1..=1)]);
    bad(Rule::Hole, &[&back(at(1, 1), 4, true), &read(3..=3)]);
    good(&[&back(at(1, 1), 5, false), &read(3..=5), &[ends(at(1, 5))]]);
    bad(Rule::FalseAlarm, &[&back(at(1, 1), 5, false), &read(2..=2)]);
    bad(Rule::Twice, &[&back(at(1, 1), 5, false), &read(1..=1)]);
    bad(Rule::Needless, &[&back(at(1, 1), 4, false), &read(3..=4), &[ends(at(1, 4))]]);
    good(&[&back(at(1, 1), 4, false), &read(3..=4), &said(5)[8..], &read(5..=5), &[ends(at(1, 5))]]);
    bad(Rule::FalseAlarm, &[&back(at(1, 4), 4, false)]);
    bad(Rule::Behind, &[&back(at(1, 5), 4, false)]);
    bad(Rule::FalseWhole, &[&back(at(1, 5), 4, true)]);
    good(&[&back(at(2, 1), 1, false), &read(1..=1), &[ends(at(1, 1))]]);
    bad(Rule::FalseWhole, &[&back(at(2, 1), 1, true)]);
    bad(Rule::Hole, &[&back(at(1, 1), 5, false), &read(3..=3), &read(5..=5)]);
}

#[test]
fn a_gap_is_told_with_its_length_and_only_if_there_is_one() {
    let begin = [&[says(99), error(99, PublishError::Failed)], &said(6)[..], &[join(Start::After(at(1, 0)))]].concat();
    let begin = [&begin[..], &[joined(at(1, 1), true)]].concat();
    let end = [ends(at(1, 6))];
    good(&[&begin, &[missed(3)], &read(4..=6), &end]);
    bad(Rule::Hole, &[&begin, &[missed(3)], &read(5..=5)]);
    bad(Rule::Twice, &[&begin, &[missed(3)], &read(3..=3)]);
    bad(Rule::Needless, &[&begin, &[missed(4)], &read(5..=6), &end]);
    bad(Rule::Needless, &[&begin, &read(1..=3), &[missed(1)], &read(5..=6), &end]);
    bad(Rule::OutOfPlace, &[&begin, &[missed(0)]]);
    bad(Rule::OutOfPlace, &[&begin, &[missed(1), missed(1)]]);
    let latest = [&said(6)[..], &[join_as(Start::After(at(1, 0)), Lag::Latest), joined(at(1, 1), true)]].concat();
    good(&[&latest, &[missed(5)], &read(6..=6), &end]);
    bad(Rule::Stuck, &[&latest, &[missed(6)], &end]);
    let leave = [&said(6)[..], &[join_as(Start::After(at(1, 0)), Lag::Leave), joined(at(1, 1), true)]].concat();
    good(&[&leave, &[LEFT], &end]);
    bad(Rule::OutOfPlace, &[&leave, &[missed(3)]]);
    bad(Rule::OutOfPlace, &[&begin, &[LEFT]]);
    bad(Rule::OutOfPlace, &[&leave, &[LEFT], &read(1..=1)]);
    bad(Rule::Needless, &[&leave, &read(1..=3), &[LEFT], &end]);
}

/// Where all that is kept may be too old, nothing tells a reader exactly where it stands.
#[test]
fn who_finds_nothing_that_is_kept_is_at_the_end() {
    let short = Setup { retain: None, ..SETUP };
    let begin = [&said(4)[..], &[join(Start::After(at(1, 1))), joined(at(1, 3), false)]].concat();
    for (rest, rule) in [
        (vec![ends(at(1, 3))], Some(Rule::Lost)),
        (vec![ends(at(1, 4))], Some(Rule::Stuck)),
        (vec![missed(1), ends(at(1, 4))], None),
        (vec![missed(2), ends(at(1, 4))], None),
        (vec![missed(3), ends(at(1, 4))], Some(Rule::Stuck)),
    ] {
        let judged = judge(short, &history(&[&begin, &rest]));
        assert_eq!(judged.err().map(|violation| violation.rule), rule, "{rest:?}");
    }
}

#[test]
fn an_epoch_ends_with_a_reason_and_for_good() {
    let begin = [&said(2)[..], &[join(Start::Oldest), joined(at(1, 2), true)], &read(1..=2)].concat();
    let next = [says(3), answer(3, at(2, 1))];
    good(&[&begin, &[forgets()], &next, &[joined(at(2, 1), false), reads(at(2, 1), 3), ends(at(2, 1))]]);
    good(&[&begin, &[forgets()], &next, &[joined(at(2, 3), false), reads(at(2, 3), 1)]]);
    bad(Rule::NewEpoch, &[&begin, &[says(3), answer(3, at(2, 1))]]);
    bad(Rule::NewEpoch, &[&begin, &[joined(at(2, 0), false)]]);
    bad(Rule::FalseWhole, &[&begin, &[forgets(), joined(at(2, 2), true)]]);
    bad(Rule::OutOfPlace, &[&begin, &[forgets(), joined(at(1, 2), false)]]);
    bad(Rule::OldEpoch, &[&begin, &[forgets(), joined(at(2, 2), false), joined(at(1, 2), false)]]);
    bad(Rule::OldEpoch, &[&begin, &[forgets(), joined(at(2, 2), false)], &read(3..=3)]);
    bad(Rule::OldEpoch, &[&said(2), &[forgets()], &next, &[says(4), answer(4, at(1, 3))]]);
    bad(Rule::OldEpoch, &[&said(2), &[forgets()], &next, &[ends(at(1, 2))]]);
    bad(Rule::Stuck, &[&begin, &[forgets()], &next, &[ends(at(2, 1))]]);
    bad(Rule::Hole, &[&begin, &[forgets()], &next, &[joined(at(2, 1), false), reads(at(2, 3), 1)]]);
}

#[test]
fn the_log_is_one_for_all() {
    good(&[&said(2), &[ends(at(1, 2))]]);
    bad(Rule::TwoAtOnePlace, &[&said(1), &[says(2), answer(2, at(1, 1))]]);
    bad(
        Rule::AppendedTwice,
        &[&said(1), &[join(Start::Oldest), joined(at(1, 2), true)], &read(1..=1), &[reads(at(1, 2), 1)]],
    );
    bad(Rule::Lost, &[&said(2), &[ends(at(1, 1))]]);
    bad(Rule::Order, &[&said(2)[2..], &[says(3), answer(3, at(1, 1))]]);
    // Who speaks at the same time may come in either order.
    good(&[&[says(1), says(2), answer(2, at(1, 2)), answer(1, at(1, 1))]]);
    let lost = [says(1), error(1, PublishError::Unknown), join(Start::Oldest)];
    good(&[&lost, &[joined(at(1, 1), true)], &read(1..=1), &[ends(at(1, 1))]]);
    good(&[&lost, &[joined(at(1, 0), true), ends(at(1, 0))]]);
}

#[test]
fn what_was_refused_is_not_in_the_log() {
    let begin = [join(Start::Oldest), joined(at(1, 0), true)];
    bad(Rule::Ghost, &[&begin, &read(1..=1)]);
    bad(Rule::Ghost, &[&begin, &[says(1), error(1, PublishError::Failed)], &read(1..=1)]);
    bad(Rule::Ghost, &[&begin, &[says(1)], &read(1..=1), &[error(1, PublishError::Failed)]]);
    let again = [says_as(1, 1), error(1, PublishError::Unknown), says_as(1, 1), error(1, PublishError::Failed)];
    good(&[&begin, &again, &read(1..=1)]);
    bad(Rule::Stuck, &[&[says(1), ends(at(1, 0))]]);
    bad(Rule::Stuck, &[&[says(1), error(1, PublishError::Full)]]);
    bad(Rule::Stuck, &[&[What::Quiet, says(1), error(1, PublishError::Unknown), ends(at(1, 1))]]);
    good(&[&[says(1), error(1, PublishError::Unknown), What::Quiet, ends(at(1, 1))]]);
}

#[test]
fn an_id_names_one_message() {
    let unknown = [says_as(1, 7), error(1, PublishError::Unknown), says_as(1, 7)];
    good(&[&unknown, &[answer(1, at(1, 1)), ends(at(1, 1))]]);
    bad(
        Rule::AppendedTwice,
        &[
            &unknown,
            &[answer(1, at(1, 1)), join(Start::Oldest), joined(at(1, 2), true)],
            &read(1..=1),
            &[reads(at(1, 2), 1)],
        ],
    );
    // All read it in the words in which it was appended.
    let other = [What::Join { reader: 1, node: 1, start: Start::Oldest, lag: Lag::Skip }];
    let other = [&other[..], &[What::Joined { reader: 1, at: at(1, 1), whole: true }]].concat();
    let two = [&unknown[..], &[join(Start::Oldest), joined(at(1, 1), true)], &other].concat();
    good(&[&two, &[reads_words(0, at(1, 1), 1, 1), reads_words(1, at(1, 1), 1, 1)]]);
    bad(Rule::TwoAtOnePlace, &[&two, &[reads_words(0, at(1, 1), 1, 1), reads_words(1, at(1, 1), 1, 0)]]);
    bad(Rule::Ghost, &[&two, &[reads_words(0, at(1, 1), 1, 2)]]);
    let one = [says_as(1, 7), answer(1, at(1, 1)), says_as(2, 7)];
    good(&[&one, &[error(2, PublishError::IdTaken)]]);
    bad(Rule::TwoAtOnePlace, &[&one, &[answer(2, at(1, 1))]]);
    bad(Rule::IdTwice, &[&one, &[answer(2, at(1, 2))]]);
    bad(Rule::IdNotTaken, &[&[says_as(1, 7), error(1, PublishError::IdTaken)]]);
    bad(Rule::IdNotTaken, &[&said(1), &[says(2), error(2, PublishError::IdTaken)]]);
    // After its time an id is free again.
    let mut history = history(&[&one, &[answer(2, at(1, 2))]]);
    history.0[2].at = Duration::from_secs(302);
    history.0[3].at = Duration::from_secs(303);
    assert!(judge(SETUP, &history).is_ok());
}

#[test]
fn decisions_stand_on_what_was_decided_before() {
    let lot = [decides(1, Deal::Bid(5), at(1, 0)), answer(1, at(1, 1))];
    let bid = |number, price| decides(number, Deal::Bid(price), at(1, 1));
    good(&[&lot, &[bid(2, 6), answer(2, at(1, 2))]]);
    good(&[&lot, &[bid(2, 6), bid(3, 6), answer(3, at(1, 2)), error(2, PublishError::Conflict(at(1, 2)))]]);
    bad(Rule::Expect, &[&lot, &[bid(2, 6), bid(3, 6), answer(3, at(1, 2)), answer(2, at(1, 3))]]);
    bad(Rule::Expect, &[&lot, &[bid(2, 6), error(2, PublishError::Conflict(at(1, 1)))]]);
    bad(Rule::Expect, &[&[says(1), error(1, PublishError::Conflict(at(1, 1)))]]);
    bad(Rule::Auction, &[&lot, &[bid(2, 5), answer(2, at(1, 2))]]);
    let sold = |number: u64, expect| decides(number, Deal::Sold(5), at(1, expect));
    good(&[&lot, &[sold(2, 1), answer(2, at(1, 2))]]);
    bad(Rule::Auction, &[&lot, &[sold(2, 1), answer(2, at(1, 2)), sold(3, 2), answer(3, at(1, 3))]]);
    bad(
        Rule::Auction,
        &[&lot, &[sold(2, 1), answer(2, at(1, 2)), decides(3, Deal::Bid(6), at(1, 2)), answer(3, at(1, 3))]],
    );
    // It does not matter who is heard first.
    bad(
        Rule::Auction,
        &[
            &[decides(2, Deal::Bid(5), at(1, 1)), answer(2, at(1, 2))],
            &[decides(1, Deal::Sold(4), at(1, 0)), answer(1, at(1, 1))],
        ],
    );
}

#[test]
fn a_message_has_one_spelling() {
    for deal in [Deal::None, Deal::Bid(3), Deal::Sold(4)] {
        let said = Said { number: 12, deal };
        assert_eq!(said.to_string().parse(), Ok(said));
    }
    for wrong in ["", "1 bid", "1 bid x", "x", "1 gone 3", "1 bid 3 4"] {
        assert!(wrong.parse::<Said>().is_err(), "{wrong}");
    }
}
