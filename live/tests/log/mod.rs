//! What a log keeps, for whom, and when that goes.

use std::time::Duration;

use openline::Time;

use super::*;

fn log() -> Log<u64> {
    Log::new(Position { epoch: Epoch::from_bytes([0; 16]), offset: 0 })
}

fn at(seconds: u64) -> Stamp {
    Stamp::from(Time::ZERO + Duration::from_secs(seconds))
}

fn retain(messages: usize, slack: usize) -> Retain {
    Retain { messages, slack_messages: slack, ..Retain::default() }
}

fn say(log: &mut Log<u64>, count: u64, len: usize, retain: &Retain) {
    for _ in 0..count {
        log.append(Entry::new(log.head() + 1, vec![0; len].into(), at(0)));
        log.trim(retain, at(0));
    }
}

#[test]
fn nobody_waits_so_only_retain_is_kept() {
    let (mut log, retain) = (log(), retain(3, 10));
    log.enter(1, Lag::Leave);
    log.exit(1, Lag::Leave);
    say(&mut log, 5, 1, &retain);
    assert_eq!((log.first(), log.kept(), log.head(), log.len()), (3, 3, 5, 3));
    assert_eq!(log.read(4, 9).copied().collect::<Vec<_>>(), [4, 5]);
    assert_eq!(log.weight(), 3 + 3 * size_of::<Entry<u64>>());
}

#[test]
fn a_cursor_holds_the_slack_and_no_more() {
    let (mut log, retain) = (log(), retain(3, 10));
    log.enter(1, Lag::Leave);
    say(&mut log, 13, 1, &retain);
    assert_eq!((log.first(), log.kept(), log.lag()), (1, 11, 13));
    say(&mut log, 1, 1, &retain);
    // The cursor at 1 has lagged. It holds nothing any more, but it is not forgotten.
    assert_eq!((log.first(), log.kept(), log.lag()), (12, 12, 3));
    log.exit(1, Lag::Leave);
    assert_eq!(log.lag(), 0);
}

#[test]
fn a_cursor_that_skips_holds_the_slack_again() {
    let (mut log, retain) = (log(), retain(3, 10));
    log.enter(1, Lag::Skip);
    log.enter(2, Lag::Leave);
    say(&mut log, 20, 1, &retain);
    assert_eq!((log.first(), log.kept(), log.lag()), (8, 18, 13));
    while log.drop_oldest() {}
    assert_eq!((log.waiting.all, log.waiting.skipping), (1, 1));
    say(&mut log, 20, 1, &retain);
    assert_eq!((log.first(), log.lag()), (28, 13));
    log.exit(1, Lag::Skip);
    log.trim(&retain, at(0));
    assert_eq!((log.first(), log.lag()), (38, 3), "the other one has lagged");
    log.exit(2, Lag::Leave);
    assert_eq!(log.lag(), 0);
}

#[test]
fn what_a_cursor_has_taken_goes_at_once() {
    let (mut log, retain) = (log(), retain(3, 10));
    log.enter(1, Lag::Leave);
    say(&mut log, 8, 1, &retain);
    log.exit(1, Lag::Leave);
    log.enter(5, Lag::Leave);
    log.trim(&retain, at(0));
    assert_eq!((log.first(), log.kept()), (5, 6));
    log.exit(5, Lag::Leave);
    log.enter(9, Lag::Leave);
    log.trim(&retain, at(0));
    assert_eq!((log.first(), log.kept()), (6, 6));
}

#[test]
fn bytes_and_age_limit_what_is_kept_and_the_slack_bytes_what_is_waited_for() {
    let mut retain = retain(100, 100);
    (retain.bytes, retain.slack_bytes, retain.age) = (10, 20, Duration::from_secs(5));
    let mut log = log();
    log.enter(1, Lag::Leave);
    say(&mut log, 3, 10, &retain);
    assert_eq!((log.first(), log.kept()), (1, 3));
    say(&mut log, 1, 1, &retain);
    assert_eq!((log.first(), log.kept()), (4, 4), "31 bytes are too many, and nobody else waits");
    log.trim(&retain, at(5));
    assert_eq!(log.kept(), 4);
    log.trim(&retain, at(6));
    assert_eq!((log.kept(), log.len(), log.head()), (5, 0, 4));
}

#[test]
fn who_waits_for_what_has_passed_has_lagged_and_holds_nothing() {
    let (mut log, retain) = (log(), retain(3, 10));
    say(&mut log, 2, 1, &retain);
    log.enter(3, Lag::Leave);
    log.enter(3, Lag::Skip);
    log.enter(1, Lag::Leave);
    log.pass(5);
    assert_eq!((log.first(), log.kept(), log.head(), log.len()), (6, 6, 5, 0));
    assert_eq!((log.waiting.all, log.waiting.skipping), (1, 1));
    log.exit(3, Lag::Leave);
    log.exit(1, Lag::Leave);
    log.exit(3, Lag::Skip);
    say(&mut log, 9, 1, &retain);
    assert_eq!((log.first(), log.head(), log.lag(), log.weight()), (12, 14, 0, 3 + 3 * size_of::<Entry<u64>>()));
    log.enter(15, Lag::Latest);
    log.pass(9);
    assert_eq!((log.head(), log.len(), log.waiting.all), (14, 0, 1), "they were all that has passed");
}

/// Whatever is kept, and for whom: to trim before a message comes is to trim when it has come.
#[test]
fn what_goes_before_a_message_is_what_would_go_after_it() {
    let mut random = 1u64;
    let mut below = |most: u64| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) % most
    };
    for _ in 0..500 {
        let mut retain = retain(below(6) as usize, below(6) as usize);
        (retain.bytes, retain.slack_bytes) = (30, below(40) as usize);
        let (mut before, mut after, mut cursors) = (log(), log(), Vec::new());
        for second in 0..40 {
            let (len, new) = (below(20) as usize, Entry::<u64>::new);
            before.trim_before(len, &retain, at(second * 20));
            let early = (before.first(), before.kept(), before.bytes);
            before.append(new(second, vec![0; len].into(), at(second * 20)));
            before.trim(&retain, at(second * 20));
            after.append(new(second, vec![0; len].into(), at(second * 20)));
            after.trim(&retain, at(second * 20));
            assert_eq!(early, (after.first(), after.kept(), after.bytes - len));
            assert_eq!((before.first(), before.kept(), before.weight()), (early.0, early.1, after.weight()));
            assert_eq!((before.lag(), before.kept_bytes), (after.lag(), after.kept_bytes));
            let lag = if below(2) == 0 { Lag::Skip } else { Lag::Leave };
            match below(3) {
                0 => cursors.push((before.head() + 1 - below(2), lag)),
                1 if !cursors.is_empty() => {
                    let (offset, lag) = cursors.swap_remove(below(cursors.len() as u64) as usize);
                    [&mut before, &mut after].into_iter().for_each(|log| log.exit(offset, lag));
                    continue;
                }
                _ => continue,
            }
            let (offset, lag) = cursors[cursors.len() - 1];
            [&mut before, &mut after].into_iter().for_each(|log| log.enter(offset, lag));
        }
    }
}

#[test]
fn a_burst_gives_its_memory_back() {
    let (mut log, retain) = (log(), retain(3, 5000));
    log.enter(1, Lag::Leave);
    say(&mut log, 5000, 1, &retain);
    log.exit(1, Lag::Leave);
    log.trim(&retain, at(0));
    assert!(log.entries.capacity() <= 64, "{}", log.entries.capacity());
}

/// The hub had no room for them, so they went one by one and not by `Retain`.
#[test]
fn a_burst_that_went_for_room_gives_its_memory_back() {
    let (mut log, retain) = (log(), retain(10_000, 0));
    say(&mut log, 8000, 1, &retain);
    while log.len() > 1 {
        log.drop_oldest();
    }
    say(&mut log, 1, 1, &retain);
    assert!(log.entries.capacity() <= 64, "{}", log.entries.capacity());
}
