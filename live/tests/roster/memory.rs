//! What presence costs: memory after and during churn, and allocations where nothing happens.

use allocation_counter::measure;

use super::*;

static REAL: Bounds = Bounds::DEFAULT;

fn number(number: usize) -> Arc<str> {
    format!("{number:07} and so on").into()
}

#[test]
fn a_million_names_leave_nothing_behind() {
    let mut roster = Roster::new(None, &REAL);
    let mut watcher = roster.watch();
    let (mut now, mut told) = (0, 0);
    let mut work = |roster: &mut Roster| {
        for round in 0..2500 {
            for name in 0..400 {
                // Another name each time. It is there for two turns.
                let name = roster.enter(&number(round * 400 + name), 800).unwrap();
                roster.leave(&name, at(now + 1500));
            }
            now += 1000;
            roster.tick(at(now));
            told += usize::from(roster.read(&mut watcher).is_some());
        }
        // The last ones go, and then the last change.
        roster.tick(at(now + 1500));
        roster.tick(at(now + 11_500));
    };
    let cost = measure(|| work(&mut roster));
    println!("{cost:?}, told {told}");
    assert!(told > 2000 && roster.len() == 0);
    // 800 names with their places, and up to 2,000 in the log of changes.
    assert!(cost.bytes_max < 1_000_000, "{} bytes", cost.bytes_max);
    assert!(cost.bytes_current < 2_000, "{} bytes", cost.bytes_current);
}

#[test]
fn one_who_comes_and_goes_a_million_times_takes_one_place() {
    let mut roster = Roster::new(Some(ME), &REAL);
    roster.watch();
    let name = roster.enter("ann", 1).unwrap();
    let cost = measure(|| {
        for moment in 0..1_000_000 {
            roster.leave(&name, at(moment + 30_000));
            roster.enter("ann", 1).unwrap();
        }
    });
    assert!(cost.bytes_max < 2_000, "{} bytes", cost.bytes_max);
}

#[test]
fn what_was_fed_while_the_engine_is_asked_takes_one_place_for_each_name() {
    let mut roster = Roster::new(Some(ME), &REAL);
    roster.watch();
    roster.ask();
    let (name, none) = (names("ann"), names(""));
    let cost = measure(|| {
        for _ in 0..100_000 {
            roster.fed(OTHER, &name, &none, at(0));
            roster.fed(OTHER, &none, &name, at(0));
        }
    });
    assert!(cost.bytes_max < 2_000, "{} bytes", cost.bytes_max);
}

#[test]
fn a_here_of_very_many_costs_what_it_shows() {
    let mut roster = Roster::new(None, &REAL);
    for name in 0..100_000 {
        roster.enter(&number(name), MANY).unwrap();
    }
    let mut watcher = roster.watch();
    let cost = measure(|| {
        let Some(News::Here { names, more }) = roster.read(&mut watcher) else { panic!() };
        assert_eq!((names.len(), more), (1000, 99_000));
    });
    assert!(cost.bytes_max < 40_000, "{} bytes", cost.bytes_max);
    let again = measure(|| {
        let mut other = roster.watch();
        assert!(roster.read(&mut other).is_some());
        assert!(roster.read(&mut other).is_none());
        assert!(!roster.tick(at(250)));
    });
    assert_eq!(again.count_total, 0, "the same list goes to all, and a turn without news allocates nothing");
}

#[test]
fn a_person_is_small() {
    assert_eq!(size_of::<Person>(), 40);
}
