//! Finds what loses, doubles, reorders or hides messages: hubs of several nodes behind an engine, while all that can
//! break breaks.
//!
//! `SEEDS=10000` runs so many of them, `SEED=17` one alone. A run that is wrong prints its seed, and the history of the
//! topic up to the event at which it was noticed; `SURVEY=1` lists all that are wrong. `plant` beside this file has faults
//! of the hub that must be found.

#![cfg(feature = "pump")]
#![allow(unreachable_pub, reason = "a program of its own")]

mod actors;
mod history;
mod oracle;
mod plan;
#[cfg(feature = "redis")]
mod real;
mod rng;
mod sim;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use oracle::{Rule, Summary, Violation, judge};
use plan::{Plan, Plant};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn check(seed: u64, plant: Option<Plant>) -> Result<Summary, (Violation, String)> {
    let plan = Plan::new(seed, plant);
    let (setup, history) = sim::run(plan.clone());
    judge(setup, &history).map_err(|violation| {
        let events = history.of(violation.topic, violation.event);
        let text = format!("SEED={seed}: {violation}\n{plan:?}\n{events}\nSEED={seed}: {violation}");
        (violation, text)
    })
}

/// Runs these seeds on all cores. Without `all` it stops soon after one of them is wrong.
fn check_all(seeds: Range<u64>, plant: Option<Plant>, all: bool) -> (Summary, BTreeMap<u64, (Violation, String)>) {
    let (next, found) = (AtomicU64::new(seeds.start), Mutex::new((Summary::default(), BTreeMap::new())));
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Relaxed)).filter(|seed| *seed < seeds.end) {
            let checked = check(seed, plant);
            let (summary, wrong) = &mut *found.lock().unwrap();
            match checked {
                Ok(more) => summary.add(more),
                Err(violation) => {
                    wrong.insert(seed, violation);
                    // Those before it are under way.
                    next.fetch_max(if all { 0 } else { seeds.end }, Relaxed);
                }
            }
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
        (0..cores).for_each(|_| drop(scope.spawn(work)));
    });
    found.into_inner().unwrap()
}

#[test]
fn nothing_is_lost_in_silence() {
    let seeds = number("SEED").map_or(0..number("SEEDS").unwrap_or(200), |seed| seed..seed + 1);
    let survey = number("SURVEY").is_some();
    let (mut summary, wrong) = check_all(seeds.clone(), None, survey);
    if survey {
        wrong.iter().for_each(|(seed, (violation, _))| println!("SEED={seed}: {violation}"));
    }
    if let Some((_, (_, text))) = wrong.first_key_value() {
        panic!("{text}");
    }
    println!("{summary:?}");
    assert!(seeds.end - seeds.start < 200 || summary.has_all(), "something never happens: {summary:?}");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let run = |seed| sim::run(Plan::new(seed, None)).1;
    for seed in 0..20 {
        let (one, two) = (run(seed), run(seed));
        let differs = one.0.iter().zip(&two.0).position(|(one, two)| one != two);
        assert_eq!(one.digest(), two.digest(), "seed {seed} differs at event {differs:?}");
    }
    assert_ne!(run(1).digest(), run(2).digest());
}

/// Each fault that is planted in the engine, or in those who use it, is found within 200 seeds, and for a good reason.
#[test]
fn planted_faults_are_found() {
    let plants: [(Plant, &[Rule]); 13] = [
        (Plant::AckBeforeAppend, &[Rule::TwoAtOnePlace, Rule::Lost, Rule::Order, Rule::AppendedTwice]),
        (Plant::SameEpoch, &[Rule::OutOfPlace, Rule::TwoAtOnePlace, Rule::Lost, Rule::FalseAlarm, Rule::Behind]),
        (Plant::KeepsOneLess, &[Rule::Needless]),
        (Plant::CutUnnoticed, &[Rule::Stuck]),
        (Plant::IdsSwallow, &[Rule::TwoAtOnePlace]),
        (Plant::FedAgain, &[Rule::TwoAtOnePlace]),
        (Plant::IdsForgotten, &[Rule::IdTwice, Rule::AppendedTwice]),
        (Plant::ExpectIgnored, &[Rule::Expect]),
        (Plant::OffsetTwice, &[Rule::TwoAtOnePlace]),
        (Plant::PageLacksOne, &[Rule::Stuck, Rule::Hole]),
        (Plant::FailedIsAppended, &[Rule::Ghost, Rule::AppendedTwice]),
        (Plant::RetryWithoutId, &[Rule::AppendedTwice, Rule::IdTwice]),
        (Plant::DecidesBlindly, &[Rule::Auction]),
    ];
    for (plant, rules) in plants {
        if number("SURVEY").is_some() {
            let mut sets: BTreeMap<Rule, Vec<u64>> = BTreeMap::new();
            for (seed, (violation, _)) in check_all(0..200, Some(plant), true).1 {
                sets.entry(violation.rule).or_default().push(seed);
            }
            println!("{plant:?}: {:?}", sets.iter().map(|(r, s)| (r, s[0], s.len())).collect::<Vec<_>>());
            continue;
        }
        let found = (0..200).find_map(|seed| Some((seed, check(seed, Some(plant)).err()?.0)));
        let (seed, violation) = found.unwrap_or_else(|| panic!("{plant:?} is not found"));
        println!("{plant:?}: seed {seed}: {violation}");
        assert!(rules.contains(&violation.rule), "{plant:?}: seed {seed}: {violation}");
    }
}

/// With real processes and a real Redis, which keeps its log in a file, and which keeps nothing: `SECONDS` each, 30 if not
/// said otherwise.
#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server and a minute"]
async fn nothing_is_lost_in_silence_by_real_processes() {
    let seconds = std::time::Duration::from_secs(number("SECONDS").unwrap_or(30));
    for persists in [true, false] {
        let (history, judged) = real::run(number("SEED").unwrap_or(0), persists, seconds).await;
        match judged {
            Ok(summary) => println!("persists {persists}: {} events, {summary:?}", history.0.len()),
            Err(violation) => panic!("{violation}\n{}\n{violation}", history.of(violation.topic, violation.event)),
        }
    }
}
