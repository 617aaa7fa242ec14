//! Any order of operations, against a model that searches for everything. What must hold:
//!
//! - Who is here by this node's guards, their linger and the limit is what a list of them says.
//! - What an alive node has announced, and was fed, is known; what it has taken back is not.
//! - A watcher that has read everything knows what the last turn knew: how many are here, all of them if they fit into one
//!   `Here`, and nobody who is not here. It is told of nobody twice, and of nobody's end without need.
//! - Its first `Here` is not older than its question.
//! - When the engine rests, all nodes agree: what is known here is what alive nodes have, and the engine and a node that
//!   only follows the feed know what this one has.

use proptest::prelude::*;

use super::*;

const NAMES: usize = 10;
const WATCHERS: usize = 4;
const MOST: usize = 7;
const LINGER: u64 = 30_000;

#[derive(Clone, Debug)]
enum Op {
    Enter(usize),
    Leave(usize),
    Tick(u64),
    Watch(usize),
    Unwatch(usize),
    Read(usize, usize),
    /// A node of those that are alive announces.
    Announce(usize, Vec<usize>, Vec<usize>),
    Born,
    Die(usize),
    /// So many events of the feed come, or come again from so far back.
    Feed(usize),
    Rewind(usize),
    Cut,
    /// A call to the engine begins, is done there, and is answered or not.
    AskHere,
    DoHere,
    EndHere(bool),
    AskLease,
    DoLease,
    EndLease,
    Say,
    DoSay,
    EndSay(bool),
    /// The engine has forgotten this node; a node that follows the feed has noticed it or not.
    Forgotten(bool),
    Rest,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let (name, watcher, some) = (|| 0..NAMES, || 0..WATCHERS, || prop::collection::vec(0..NAMES, 0..3));
    let tick = prop_oneof![6 => Just(250u64), 2 => 0..3000u64, 2 => 0..40_000u64];
    let op = prop_oneof![
        12 => name().prop_map(Op::Enter),
        12 => (0..20usize).prop_map(Op::Leave),
        16 => tick.prop_map(Op::Tick),
        4 => watcher().prop_map(Op::Watch),
        2 => watcher().prop_map(Op::Unwatch),
        8 => (watcher(), 1..4usize).prop_map(|(watcher, count)| Op::Read(watcher, count)),
        12 => (0..4usize, some(), some()).prop_map(|(node, joined, gone)| Op::Announce(node, joined, gone)),
        2 => Just(Op::Born),
        1 => (0..4usize).prop_map(Op::Die),
        12 => (1..5usize).prop_map(Op::Feed),
        2 => (1..5usize).prop_map(Op::Rewind),
        1 => Just(Op::Cut),
        6 => Just(Op::AskHere),
        6 => Just(Op::DoHere),
        6 => prop::bool::weighted(0.8).prop_map(Op::EndHere),
        3 => Just(Op::AskLease),
        3 => Just(Op::DoLease),
        3 => Just(Op::EndLease),
        4 => Just(Op::Say),
        4 => Just(Op::DoSay),
        4 => prop::bool::weighted(0.7).prop_map(Op::EndSay),
        1 => any::<bool>().prop_map(Op::Forgotten),
        1 => Just(Op::Rest),
    ];
    prop::collection::vec(op, 0..250)
}

type Set = BTreeSet<Arc<str>>;

/// What is announced: the node, who has come, who has gone.
type Event = (Node, Vec<Arc<str>>, Vec<Arc<str>>);

#[derive(Default)]
struct Site {
    alive: Vec<Node>,
    born: u8,
    /// Who is at which node. What dead nodes have said stays here, which is the worst that an engine may do.
    store: BTreeMap<Node, Set>,
    feed: Vec<Event>,
    /// The last event about a name at a node, and whether it has come.
    newest: BTreeMap<(Node, Arc<str>), (usize, bool)>,
    /// How much of the feed has come, how much had come at most, and from where on it can come again.
    fed: usize,
    most: usize,
    cut: usize,
    /// What a node knows of this one that only follows the feed.
    follower: Set,
}

/// A call to the engine: when it was asked, and what was done there.
type Call<T> = Option<(Stamp, Option<T>)>;

/// What a watcher knows.
struct View {
    watcher: Watcher,
    named: Option<Set>,
    more: usize,
    /// Who has been here since it began, and how many turns there had been then.
    began: (Set, usize),
}

struct World {
    roster: Roster,
    now: u64,
    /// Guards of this node, in any order, and who lingers.
    guards: Vec<Arc<str>>,
    lingers: Vec<(u64, Arc<str>)>,
    site: Site,
    here: Call<BTreeMap<Node, Set>>,
    lease: Call<Vec<Node>>,
    saying: Option<(crate::unsaid::Saying, bool)>,
    views: Vec<Option<View>>,
    /// How many turns there have been, and who was here at the last one.
    turns: usize,
    last: Set,
}

fn name(number: usize) -> Arc<str> {
    format!("{number}").into()
}

impl Site {
    fn announce(&mut self, node: Node, joined: Vec<Arc<str>>, gone: Vec<Arc<str>>) {
        let store = self.store.entry(node).or_default();
        store.extend(joined.iter().cloned());
        store.retain(|name| !gone.contains(name));
        if node == ME {
            self.follower.extend(joined.iter().cloned());
            self.follower.retain(|name| !gone.contains(name));
        }
        let event = self.feed.len();
        self.newest.extend(joined.iter().map(|name| ((node, Arc::clone(name)), (event, true))));
        self.newest.extend(gone.iter().map(|name| ((node, Arc::clone(name)), (event, false))));
        self.feed.push((node, joined, gone));
    }

    fn born(&mut self) {
        self.born += 1;
        self.alive.push([self.born; 16]);
    }
}

impl World {
    fn new(alone: bool) -> World {
        let mut site = Site::default();
        if !alone {
            site.born();
            site.born();
        }
        World {
            roster: Roster::new((!alone).then_some(ME), &SMALL),
            now: 0,
            guards: vec![],
            lingers: vec![],
            site,
            here: None,
            lease: None,
            saying: None,
            views: (0..WATCHERS).map(|_| None).collect(),
            turns: 0,
            last: Set::new(),
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Enter(number) => self.enter(&name(number)),
            Op::Leave(which) if !self.guards.is_empty() => {
                let name = self.guards.swap_remove(which % self.guards.len());
                self.roster.leave(&name, at(self.now + LINGER));
                if !self.guards.contains(&name) {
                    self.lingers.push((self.now + LINGER, name));
                }
            }
            Op::Leave(_) => {}
            Op::Tick(later) => self.tick(later),
            Op::Watch(which) if self.views[which].is_none() => self.watch(which),
            Op::Watch(_) => {}
            Op::Unwatch(which) => {
                if self.views[which].take().is_some() {
                    self.roster.unwatch(at(self.now + LINGER));
                }
            }
            Op::Read(which, count) => {
                for _ in 0..count {
                    let _ = self.read(which);
                }
            }
            Op::Announce(which, joined, gone) if !self.site.alive.is_empty() => {
                let node = self.site.alive[which % self.site.alive.len()];
                let gone = gone.iter().filter(|number| !joined.contains(number)).map(|number| name(*number)).collect();
                self.site.announce(node, joined.into_iter().map(name).collect(), gone);
            }
            Op::Announce(..) => {}
            Op::Born if self.roster.me.is_some() && self.site.alive.len() < 4 => self.site.born(),
            Op::Born => {}
            Op::Die(which) if which < self.site.alive.len() => drop(self.site.alive.swap_remove(which)),
            Op::Die(_) => {}
            Op::Feed(count) => self.feed(count),
            Op::Rewind(count) => self.site.fed = self.site.fed.saturating_sub(count).max(self.site.cut),
            Op::Cut => {
                let end = self.site.feed.len();
                (self.site.fed, self.site.most, self.site.cut) = (end, end, end);
                self.roster.stale();
            }
            Op::AskHere if self.here.is_none() && self.roster.wants().is_some() => {
                self.roster.ask();
                self.here = Some((at(self.now), None));
            }
            Op::AskHere => {}
            Op::DoHere => do_once(&mut self.here, || self.site.store.clone()),
            Op::EndHere(well) => self.end_here(well),
            Op::AskLease if self.lease.is_none() => self.lease = Some((at(self.now), None)),
            Op::AskLease => {}
            Op::DoLease => do_once(&mut self.lease, || self.site.alive.clone()),
            Op::EndLease => {
                if let Some((asked, Some(alive))) = self.lease.take_if(|(_, done)| done.is_some()) {
                    self.roster.alive(&alive.into_iter().collect(), asked);
                }
            }
            Op::Say if self.saying.is_none() => self.saying = self.roster.say(3).map(|saying| (saying, false)),
            Op::Say => {}
            Op::DoSay => {
                if let Some((saying, done @ false)) = &mut self.saying {
                    *done = true;
                    self.site.announce(ME, saying.joined.clone(), saying.gone.clone());
                }
            }
            Op::EndSay(well) => {
                if self.saying.take_if(|(_, done)| !well || *done).is_some() && well {
                    self.roster.said();
                }
            }
            Op::Forgotten(noticed) => {
                self.site.store.remove(&ME);
                if noticed {
                    self.site.follower.clear();
                }
                self.roster.say_all();
            }
            Op::Rest => self.rest(),
        }
        self.check();
    }

    /// Who is here by this node.
    fn local(&self) -> Set {
        self.guards.iter().chain(self.lingers.iter().map(|(_, name)| name)).cloned().collect()
    }

    fn people(&self) -> Set {
        self.roster.people.keys().cloned().collect()
    }

    fn enter(&mut self, name: &Arc<str>) {
        let people = self.people();
        // Whoever is gone, and of whom the engine may not have heard that, takes up room too.
        let mut room = people.contains(name) || self.roster.unsaid.len() < MOST;
        if room && !people.contains(name) {
            // The oldest who only linger go, if that makes room. Those among them who are also at another node only cease
            // to linger here, even if there are too few of the others.
            self.lingers.sort();
            let excess = (people.len() + 1).saturating_sub(MOST);
            let is_shared =
                |name: &Arc<str>| self.roster.people.get(name).is_some_and(|person| !person.others.is_empty());
            let alone: Vec<_> =
                self.lingers.iter().filter(|(_, name)| !is_shared(name)).take(excess).cloned().collect();
            room = alone.len() == excess;
            if excess > 0 && excess <= self.lingers.len() {
                let last = if room { alone.last() } else { None };
                let ends = |linger: &(u64, Arc<str>)| last.is_none_or(|last| linger <= last);
                self.lingers.retain(|linger| !ends(linger) || !room && !is_shared(&linger.1));
            }
        }
        let entered = self.roster.enter(name, MOST);
        assert_eq!(entered, if room { Ok(Arc::clone(name)) } else { Err(EnterError::TooMany) });
        if room {
            self.lingers.retain(|(_, other)| other != name);
            self.guards.push(Arc::clone(name));
        }
    }

    fn tick(&mut self, later: u64) {
        self.now += later;
        let due = self.roster.due().is_some_and(|due| due <= at(self.now));
        let before = self.people();
        let told = self.roster.tick(at(self.now));
        assert!(due || !told && before == self.people(), "there was something to do");
        self.lingers.retain(|(until, _)| *until > self.now);
        self.forget_who_went();
        if self.roster.watched.as_ref().is_some_and(|watched| watched.told.has_begun()) {
            assert!(told || self.last == self.people());
            self.turns += usize::from(told);
            self.last = self.people();
            // Two of the watchers are never late.
            (0..2).for_each(|which| while self.read(which) {});
        }
    }

    fn watch(&mut self, which: usize) {
        if self.roster.watched.is_none() {
            self.last = self.people();
        }
        let began = (self.people(), self.turns);
        self.views[which] = Some(View { watcher: self.roster.watch(), named: None, more: 0, began });
    }

    fn read(&mut self, which: usize) -> bool {
        let Some(view) = &mut self.views[which] else { return false };
        let last = &self.last;
        let Some(news) = self.roster.read(&mut view.watcher) else {
            match &view.named {
                Some(named) => {
                    assert!(named.is_subset(last));
                    assert_eq!(named.len() + view.more, last.len());
                    assert!(view.more == 0 || last.len() > SMALL.named, "all of them fit");
                }
                None => assert!(view.began.1 == self.turns, "it waits for ever"),
            }
            return false;
        };
        match news {
            News::Here { names, more } => {
                let all: Vec<_> = last.iter().take(SMALL.named).cloned().collect();
                assert_eq!((&names[..], more), (&all[..], last.len() - all.len()));
                if view.named.is_none() {
                    assert!(view.began.0.is_subset(last), "older than the question");
                }
                (view.named, view.more) = (Some(names.iter().cloned().collect()), more);
            }
            News::Changed { joined, gone } => {
                let named = view.named.as_mut().expect("here comes first");
                let all = joined.len() + gone.len();
                assert!((1..=SMALL.named).contains(&all));
                assert_eq!(joined.iter().chain(&*gone).collect::<BTreeSet<_>>().len(), all, "each name once");
                assert!(joined.is_sorted() && gone.is_sorted());
                for name in &*joined {
                    assert!(named.insert(Arc::clone(name)), "{name} was told twice");
                }
                for name in &*gone {
                    if !named.remove(name) {
                        view.more = view.more.checked_sub(1).expect("who goes was named, or one of the others");
                    }
                }
            }
        }
        true
    }

    fn feed(&mut self, count: usize) {
        for _ in 0..count {
            let Some((node, joined, gone)) = self.site.feed.get(self.site.fed) else { return };
            self.roster.fed(*node, joined, gone, at(self.now));
            self.site.fed += 1;
            self.site.most = self.site.most.max(self.site.fed);
        }
    }

    fn end_here(&mut self, well: bool) {
        let Some((_, done)) = self.here.take_if(|(_, done)| !well || done.is_some()) else { return };
        match done.filter(|_| well) {
            Some(store) => {
                let states: Vec<_> =
                    store.iter().map(|(node, names)| (*node, names.iter().cloned().collect::<Vec<_>>())).collect();
                self.roster.answered(states.iter().map(|(node, names)| (*node, &names[..])), at(self.now));
            }
            None => self.roster.stale(),
        }
    }

    fn forget_who_went(&mut self) {
        let people = &self.roster.people;
        self.views.iter_mut().flatten().for_each(|view| view.began.0.retain(|name| people.contains_key(name)));
    }

    /// What holds after each operation.
    fn check(&mut self) {
        let people = self.people();
        self.forget_who_went();
        assert!(self.local().is_subset(&people));
        assert_eq!(self.guards.iter().collect::<BTreeSet<_>>().len() + self.lingers.len(), self.local().len());
        let Some(watched) = &self.roster.watched else {
            assert_eq!(people, self.local());
            return;
        };
        if !watched.others.is_done() || self.site.fed < self.site.most {
            return;
        }
        for ((node, name), (event, joined)) in &self.site.newest {
            if *joined && *event < self.site.fed && self.site.alive.contains(node) {
                let others = self.roster.people.get(name).is_some_and(|person| !person.others.is_empty());
                assert!(others, "{name} was announced");
            }
        }
    }

    /// Everything that is on its way arrives.
    fn rest(&mut self) {
        self.apply(Op::EndSay(false));
        while self.roster.has_unsaid() {
            [Op::Say, Op::DoSay, Op::EndSay(true)].into_iter().for_each(|op| self.apply(op));
        }
        self.feed(usize::MAX);
        for _ in 0..2 {
            [Op::DoHere, Op::EndHere(true), Op::AskHere].into_iter().for_each(|op| self.apply(op));
            self.feed(usize::MAX);
        }
        [Op::DoLease, Op::EndLease, Op::Tick(250)].into_iter().for_each(|op| self.apply(op));
        [Op::AskLease, Op::DoLease, Op::EndLease, Op::Tick(250)].into_iter().for_each(|op| self.apply(op));
        let mut truth = self.local();
        if self.roster.watched.is_some() {
            let alive = self.site.alive.iter().filter_map(|node| self.site.store.get(node));
            truth.extend(alive.flatten().cloned());
        }
        assert_eq!(self.people(), truth);
        for which in 0..WATCHERS {
            while self.read(which) {}
            assert!(self.views[which].as_ref().is_none_or(|view| view.named.is_some()));
        }
        if self.roster.me.is_some() {
            // Whoever has gone in the last ticks is to be said too.
            while self.roster.has_unsaid() {
                [Op::Say, Op::DoSay, Op::EndSay(true)].into_iter().for_each(|op| self.apply(op));
            }
            assert_eq!(self.site.store.get(&ME).cloned().unwrap_or_default(), self.local());
            assert_eq!(self.site.follower, self.local());
        }
    }

    /// In the end nobody is here, and nothing is left.
    fn end(mut self) {
        self.rest();
        (0..WATCHERS).for_each(|which| self.apply(Op::Unwatch(which)));
        while !self.guards.is_empty() {
            self.apply(Op::Leave(0));
        }
        self.apply(Op::Tick(LINGER));
        self.rest();
        assert!(self.roster.is_idle() && self.roster.due().is_none());
    }
}

fn do_once<T>(call: &mut Call<T>, at_engine: impl FnOnce() -> T) {
    if let Some((_, done @ None)) = call {
        *done = Some(at_engine());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_roster_does_what_the_model_does(alone in prop::bool::weighted(0.3), ops in ops()) {
        let mut world = World::new(alone);
        for op in ops {
            world.apply(op);
        }
        world.end();
    }
}
