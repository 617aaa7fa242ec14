//! Who is here, as dialogues; any order of operations is in `model`.

mod memory;
mod model;

use std::time::Duration;

use openline::Time;

use super::*;
use crate::remote::Wants;
use crate::told::Names;

static SMALL: Bounds = Bounds { named: 4, kept: 8, age: Duration::from_secs(10) };

const ME: Node = [0; 16];
const OTHER: Node = [1; 16];
const THIRD: Node = [2; 16];
const MANY: usize = usize::MAX;

fn at(millis: u64) -> Stamp {
    Stamp::from(Time::from_epoch(Duration::from_millis(millis)))
}

fn names(text: &str) -> Vec<Arc<str>> {
    text.split_whitespace().map(Arc::from).collect()
}

/// `here a b`, `here a b and 2`, `+a -b`, or `nothing`.
fn word(news: Option<News>) -> String {
    let list = |names: &Names, before: &str| names.iter().map(|name| format!(" {before}{name}")).collect::<String>();
    match news {
        None => "nothing".to_owned(),
        Some(News::Here { names, more: 0 }) => format!("here{}", list(&names, "")),
        Some(News::Here { names, more }) => format!("here{} and {more}", list(&names, "")),
        Some(News::Changed { joined, gone }) => format!("{}{}", list(&joined, "+"), list(&gone, "-")).trim().to_owned(),
    }
}

struct Talk {
    roster: Roster,
    now: u64,
}

impl Talk {
    fn alone() -> Talk {
        Talk { roster: Roster::new(None, &SMALL), now: 0 }
    }

    /// With an engine that has answered: nobody is at other nodes.
    fn with_others() -> (Talk, Watcher) {
        let mut talk = Talk { roster: Roster::new(Some(ME), &SMALL), now: 0 };
        let watcher = talk.roster.watch();
        talk.answer(&[]);
        talk.tick(0);
        (talk, watcher)
    }

    fn enter(&mut self, text: &str) {
        names(text).iter().for_each(|name| assert!(self.roster.enter(name, MANY).is_ok()));
    }

    /// The guards go; the names stay for 30 s.
    fn leave(&mut self, text: &str) {
        names(text).iter().for_each(|name| self.roster.leave(name, at(self.now + 30_000)));
    }

    fn tick(&mut self, later: u64) -> bool {
        self.now += later;
        self.roster.tick(at(self.now))
    }

    fn read(&mut self, watcher: &mut Watcher) -> String {
        word(self.roster.read(watcher))
    }

    fn fed(&mut self, node: Node, joined: &str, gone: &str) {
        self.roster.fed(node, &names(joined), &names(gone), at(self.now));
    }

    fn answer(&mut self, states: &[(Node, &str)]) {
        assert!(self.roster.wants().is_some());
        self.roster.ask();
        self.answered(states);
    }

    fn answered(&mut self, states: &[(Node, &str)]) {
        let states: Vec<_> = states.iter().map(|(node, text)| (*node, names(text))).collect();
        self.roster.answered(states.iter().map(|(node, names)| (*node, &names[..])), at(self.now));
    }

    fn say(&mut self) -> String {
        let Some(saying) = self.roster.say(100) else { return "nothing".to_owned() };
        let joined = saying.joined.iter().map(|name| format!("+{name}"));
        joined.chain(saying.gone.iter().map(|name| format!("-{name}"))).collect::<Vec<_>>().join(" ")
    }

    fn said(&mut self) -> String {
        let said = self.say();
        self.roster.said();
        said
    }
}

#[test]
fn several_sockets_are_one_person_and_a_reconnect_is_not_seen() {
    let mut talk = Talk::alone();
    let mut watcher = talk.roster.watch();
    assert_eq!(talk.read(&mut watcher), "here");
    talk.enter("ann ann");
    assert!(talk.tick(250));
    assert_eq!(talk.read(&mut watcher), "+ann");
    talk.leave("ann");
    assert!(!talk.tick(60_000), "one guard is left");
    talk.leave("ann");
    assert!(!talk.tick(29_999));
    talk.enter("ann");
    assert!(!talk.tick(60_000), "the linger does not count any more");
    talk.leave("ann");
    assert!(!talk.tick(29_999));
    assert!(talk.tick(1));
    assert_eq!(talk.read(&mut watcher), "-ann");
    assert_eq!(talk.read(&mut watcher), "nothing");
}

#[test]
fn who_comes_and_goes_between_two_turns_is_not_told() {
    let (mut talk, mut first) = Talk::with_others();
    assert_eq!(talk.read(&mut first), "here");
    talk.fed(OTHER, "bob", "");
    talk.fed(OTHER, "", "bob");
    assert!(!talk.tick(250));
    assert_eq!(talk.read(&mut first), "nothing");
    // Who began in between waits for a turn, though nothing has changed in the end.
    talk.fed(OTHER, "bob", "");
    let mut second = talk.roster.watch();
    talk.fed(OTHER, "", "bob");
    assert!(talk.tick(250));
    assert_eq!((talk.read(&mut first), talk.read(&mut second)), ("nothing".into(), "here".into()));
}

#[test]
fn who_watches_sees_all_who_came_before() {
    let mut talk = Talk::alone();
    let mut first = talk.roster.watch();
    assert_eq!(talk.read(&mut first), "here");
    talk.enter("ann");
    let mut second = talk.roster.watch();
    assert_eq!(talk.read(&mut second), "nothing", "what is told now would be without ann");
    assert!(talk.roster.due().is_some());
    assert!(talk.tick(250));
    talk.enter("bob");
    assert_eq!((talk.read(&mut first), talk.read(&mut second)), ("+ann".into(), "here ann".into()));
    assert!(talk.tick(250));
    assert_eq!((talk.read(&mut first), talk.read(&mut second)), ("+bob".into(), "+bob".into()));
}

#[test]
fn a_here_that_is_read_late_is_that_of_the_last_turn() {
    let mut talk = Talk::alone();
    talk.enter("ann bob");
    let mut watcher = talk.roster.watch();
    talk.leave("bob");
    talk.enter("cid");
    talk.roster.leave(&names("ann")[0], at(1));
    // Bob goes in the last of these turns, and abe has come since.
    assert!(talk.tick(250));
    assert!(talk.tick(30_000));
    talk.enter("abe");
    assert_eq!(talk.read(&mut watcher), "here cid");
    assert!(talk.tick(250));
    assert_eq!(talk.read(&mut watcher), "+abe");
}

#[test]
fn a_change_is_shared_and_a_here_too() {
    let mut talk = Talk::alone();
    let (mut one, mut two) = (talk.roster.watch(), talk.roster.watch());
    for _ in ["here", "changed"] {
        let (one, two) = (talk.roster.read(&mut one).unwrap(), talk.roster.read(&mut two).unwrap());
        match (one, two) {
            (News::Here { names: one, .. }, News::Here { names: two, .. }) => assert!(Arc::ptr_eq(&one, &two)),
            (News::Changed { joined: one, .. }, News::Changed { joined: two, .. }) => assert!(Arc::ptr_eq(&one, &two)),
            other => panic!("{other:?}"),
        }
        talk.enter("ann");
        talk.tick(250);
    }
}

#[test]
fn who_lags_gets_here_again() {
    let mut talk = Talk::alone();
    let (mut lags, mut reads) = (talk.roster.watch(), talk.roster.watch());
    assert_eq!((talk.read(&mut lags), talk.read(&mut reads)), ("here".into(), "here".into()));
    for name in ["a", "b", "c", "d"] {
        talk.enter(name);
        assert!(talk.tick(3_500));
        assert_eq!(talk.read(&mut reads), format!("+{name}"));
    }
    assert_eq!(talk.read(&mut lags), "here a b c d", "the first change is 10 s old");
    assert_eq!(talk.read(&mut lags), "nothing");
    // Nine names do not fit into the log.
    talk.enter("e f g");
    talk.tick(250);
    talk.enter("h i j");
    talk.tick(250);
    talk.enter("k l m");
    talk.tick(250);
    assert_eq!(talk.read(&mut lags), "here a b c d and 9");
    assert_eq!([talk.read(&mut reads), talk.read(&mut reads)], ["here a b c d and 9", "nothing"]);
}

#[test]
fn too_much_at_once_is_told_as_here() {
    let mut talk = Talk::alone();
    let mut watcher = talk.roster.watch();
    assert_eq!(talk.read(&mut watcher), "here");
    talk.enter("a b c d");
    talk.tick(250);
    assert_eq!(talk.read(&mut watcher), "+a +b +c +d");
    talk.enter("e f g h i");
    talk.tick(250);
    assert_eq!(talk.read(&mut watcher), "here a b c d and 5");
}

#[test]
fn who_was_counted_is_named_when_there_is_room() {
    let mut talk = Talk::alone();
    talk.enter("a b c d e f");
    let (mut partly, mut later) = (talk.roster.watch(), talk.roster.watch());
    assert_eq!([talk.read(&mut partly), talk.read(&mut later)], ["here a b c d and 2", "here a b c d and 2"]);
    talk.leave("e");
    assert!(talk.tick(30_000));
    assert_eq!(talk.read(&mut partly), "-e", "it was one of the two");
    talk.leave("a");
    talk.enter("g");
    assert!(talk.tick(250));
    assert_eq!(talk.read(&mut partly), "+g");
    talk.leave("g");
    assert!(talk.tick(29_750));
    assert!(talk.tick(250));
    assert_eq!(talk.read(&mut partly), "here b c d f", "f was never named");
    talk.enter("h");
    assert!(talk.tick(250));
    assert_eq!([talk.read(&mut partly), talk.read(&mut partly)], ["+h", "nothing"], "who knows all needs no here");
    assert_eq!(talk.read(&mut later), "here b c d f and 1", "it has lagged");
}

#[test]
fn names_have_a_length_and_a_limit() {
    let mut roster = Roster::new(None, &SMALL);
    let long = "x".repeat(128);
    assert_eq!(roster.enter("", MANY), Err(EnterError::Name));
    assert_eq!(roster.enter(&(long.clone() + "x"), MANY), Err(EnterError::Name));
    assert!(roster.enter(&long, 2).is_ok() && roster.enter("b", 2).is_ok() && roster.enter("b", 2).is_ok());
    assert_eq!(roster.enter("c", 2), Err(EnterError::TooMany));
    // Who only lingers makes room, the oldest first.
    roster.leave(&names("b")[0], at(1));
    assert_eq!(roster.enter("c", 2), Err(EnterError::TooMany));
    roster.leave(&names("b")[0], at(2));
    roster.leave(&Arc::from(long), at(1));
    assert!(roster.enter("c", 2).is_ok());
    assert_eq!(roster.people.keys().map(|name| &**name).collect::<Vec<_>>(), ["b", "c"]);
}

#[test]
fn names_that_an_absent_engine_must_hear_of_are_bounded() {
    let mut roster = Roster::new(Some(ME), &SMALL);
    let mut entered = 0;
    for number in 0..1000 {
        if let Ok(name) = roster.enter(&number.to_string(), 10) {
            roster.leave(&name, at(0));
            entered += 1;
        }
        roster.tick(at(0));
        assert!(roster.weight() <= 10 && roster.len() <= 1);
    }
    assert_eq!((entered, roster.weight(), roster.enter("x", 10)), (10, 10, Err(EnterError::TooMany)));
    roster.say(MANY);
    roster.said();
    assert!(roster.is_idle() && roster.enter("x", 10).is_ok());
}

#[test]
fn who_goes_lingers_from_the_next_tick_on() {
    let mut talk = Talk::alone();
    let mut watcher = talk.roster.watch();
    talk.enter("ann bob cid");
    talk.tick(0);
    talk.leave("cid");
    for name in names("ann bob") {
        talk.roster.leave(&name, LATER);
    }
    talk.enter("bob");
    assert_eq!(talk.roster.due(), Some(NOW));
    assert!(talk.tick(50_000));
    assert_eq!(talk.roster.len(), 2, "nobody has said until when ann is here");
    talk.roster.date(at(60_000));
    assert_eq!(talk.roster.due(), Some(at(60_000)));
    assert!(!talk.tick(9_999));
    assert!(talk.tick(1));
    assert_eq!(talk.roster.people.keys().map(|name| &**name).collect::<Vec<_>>(), ["bob"]);
    while talk.roster.read(&mut watcher).is_some() {}
    talk.roster.unwatch(LATER);
    assert_eq!(talk.roster.due(), Some(NOW));
    talk.roster.date(at(70_000));
    talk.tick(9_999);
    assert!(talk.roster.watched.is_some());
    talk.tick(1);
    assert!(talk.roster.watched.is_none());
}

#[test]
fn it_is_due_when_there_is_something_to_do() {
    let mut talk = Talk::alone();
    let now = Some(Stamp::from_nanos(0));
    talk.enter("ann");
    assert_eq!(talk.roster.due(), None, "nobody watches");
    talk.leave("ann");
    assert_eq!(talk.roster.due(), Some(at(30_000)));
    talk.roster.watch();
    talk.enter("bob");
    assert_eq!(talk.roster.due(), now);
    assert!(talk.tick(250));
    assert_eq!(talk.roster.due(), Some(at(10_250)), "the change is forgotten then");
    assert!(!talk.tick(10_000));
    assert_eq!(talk.roster.due(), Some(at(30_000)));
    talk.roster.unwatch(at(20_000));
    assert_eq!(talk.roster.due(), Some(at(20_000)));
    assert!(!talk.tick(10_000) && talk.roster.watched.is_none());
    talk.leave("bob");
    assert!(!talk.tick(40_000));
    assert!(talk.roster.is_idle() && talk.roster.due().is_none());
}

#[test]
fn a_person_on_two_nodes_is_here_until_both_say_otherwise() {
    let (mut talk, mut watcher) = Talk::with_others();
    assert_eq!(talk.read(&mut watcher), "here");
    talk.enter("ann");
    talk.fed(OTHER, "ann bob", "");
    talk.fed(OTHER, "ann", "");
    talk.fed(THIRD, "ann", "");
    assert!(talk.tick(250));
    assert_eq!(talk.read(&mut watcher), "+ann +bob");
    talk.fed(OTHER, "", "ann ann bob");
    talk.leave("ann");
    assert!(talk.tick(30_000));
    assert_eq!(talk.read(&mut watcher), "-bob", "the third node has ann");
    talk.fed(ME, "zoe", "ann");
    assert!(!talk.tick(250), "what this node has said itself is nothing new");
    talk.fed(THIRD, "", "ann");
    assert!(talk.tick(250));
    assert_eq!(talk.read(&mut watcher), "-ann");
}

#[test]
fn nothing_is_told_before_the_engine_has_answered() {
    let mut talk = Talk { roster: Roster::new(Some(ME), &SMALL), now: 0 };
    talk.fed(OTHER, "nobody_watches", "");
    talk.enter("ann");
    let mut watcher = talk.roster.watch();
    assert_eq!(talk.roster.wants(), Some(Wants::First));
    assert!(!talk.tick(250) && talk.roster.due().is_none());
    talk.roster.ask();
    talk.roster.stale();
    assert_eq!(talk.roster.wants(), Some(Wants::First), "it has failed");
    talk.answered(&[(OTHER, "nobody_asks")]);
    talk.roster.ask();
    // The engine's answer is older than the one and newer than the other.
    talk.fed(OTHER, "bob", "cid");
    assert!(!talk.tick(250));
    assert_eq!(talk.read(&mut watcher), "nothing");
    talk.answered(&[(OTHER, "cid dan"), (ME, "zoe")]);
    assert!(talk.tick(250));
    assert_eq!(talk.read(&mut watcher), "here ann bob dan");
    talk.roster.stale();
    assert_eq!(talk.roster.wants(), Some(Wants::Again));
    talk.roster.ask();
    talk.fed(OTHER, "eve", "");
    assert!(talk.tick(250));
    assert_eq!(talk.read(&mut watcher), "+eve", "what is known goes on");
    talk.answered(&[(THIRD, "ann")]);
    assert!(talk.tick(250));
    assert_eq!(talk.read(&mut watcher), "-bob -dan");
}

#[test]
fn a_dead_node_goes_as_a_whole_and_a_new_one_does_not() {
    let (mut talk, mut watcher) = Talk::with_others();
    assert_eq!(talk.read(&mut watcher), "here");
    talk.enter("ann");
    talk.fed(OTHER, "ann bob cid", "");
    talk.tick(250);
    assert_eq!(talk.read(&mut watcher), "+ann +bob +cid");
    let asked = at(talk.now);
    // The third node began after the engine had answered.
    talk.tick(250);
    talk.fed(THIRD, "dan", "");
    talk.roster.alive(&BTreeSet::from([ME, OTHER]), asked);
    assert!(talk.tick(250));
    assert_eq!(talk.read(&mut watcher), "+dan");
    talk.roster.alive(&BTreeSet::from([ME, THIRD]), at(talk.now));
    assert!(talk.tick(250));
    assert_eq!(talk.read(&mut watcher), "-bob -cid");
}

#[test]
fn the_engine_is_told_again_what_it_may_not_have_heard() {
    let (mut talk, _) = Talk::with_others();
    assert_eq!(talk.say(), "nothing");
    talk.enter("ann ann bob");
    talk.leave("ann");
    assert_eq!(talk.said(), "+ann +bob");
    talk.leave("ann");
    assert_eq!(talk.said(), "nothing", "ann lingers");
    talk.tick(30_000);
    assert_eq!(talk.say(), "-ann");
    talk.enter("cid");
    assert_eq!([talk.say(), talk.say()], ["-ann", "+cid"], "there was no answer, so each has its turn");
    talk.enter("ann");
    talk.roster.said();
    assert_eq!(talk.say(), "+ann", "she came while that was on its way");
    talk.leave("ann");
    talk.tick(30_000);
    // The engine has forgotten this node. Others may still have ann, whatever became of the last call.
    talk.roster.say_all();
    assert_eq!([talk.said(), talk.said()], ["+bob +cid", "-ann"]);
    assert_eq!(talk.say(), "nothing");
    talk.leave("bob cid");
    talk.tick(30_000);
    talk.roster.unwatch(at(talk.now));
    talk.tick(0);
    assert!(!talk.roster.is_idle(), "the engine has not heard of it");
    assert_eq!(talk.said(), "-bob -cid");
    assert!(talk.roster.is_idle());
}

#[test]
fn what_other_nodes_say_is_kept_while_somebody_watches_and_a_while_longer() {
    let (mut talk, _) = Talk::with_others();
    talk.enter("ann");
    talk.fed(OTHER, "ann bob", "");
    talk.roster.unwatch(at(30_000));
    talk.tick(29_999);
    let mut watcher = talk.roster.watch();
    assert_eq!((talk.roster.wants(), talk.read(&mut watcher)), (None, "here ann bob".into()));
    talk.roster.unwatch(at(60_000));
    talk.tick(30_001);
    assert_eq!((talk.roster.len(), talk.roster.watched.is_none()), (1, true));
    talk.roster.watch();
    assert_eq!(talk.roster.wants(), Some(Wants::First));
}
