//! Presence: who is here in one topic, on all nodes.
//!
//! A name is here as long as this node holds it, or another one does. This node holds it while it has a guard, and for a
//! while after the last guard, so that who reconnects does not seem to go:
//!
//! ```text
//!           enter                  the last guard goes                  tick, once t has come
//!   None ──────────▶ Held::By(n) ──────────────────────▶ Held::Until(t) ─────────────────────▶ None
//!                        ▲              enter                │      (or a newcomer needs the place)
//!                        └───────────────────────────────────┘
//! ```
//!
//! What is where:
//!
//! - `people` has exactly those who are here. Whoever comes or goes is a *flip*, which [`told`](crate::told) keeps for
//!   the watchers.
//! - `unsaid` has those names of this node about which the engine may know something else.
//! - `watched` exists while somebody watches, and for a while afterwards. Without it nothing is kept of other nodes, since
//!   nobody asks.
//!
//! Nothing here is done for each name at a tick: who lingers stands in order of time. No call has a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::bell::Seat;
use crate::error::EnterError;
use crate::limits::{MAX_NAME, Stamp};
use crate::nodes::{Node, Nodes, Others};
use crate::slab::Slab;
use crate::told::{Bounds, News, Told, Watcher};
use crate::unsaid::Unsaid;

#[derive(Debug)]
pub(crate) struct Roster {
    pub(crate) people: BTreeMap<Arc<str>, Person>,
    /// Those who are `Held::Until`, by that time.
    lingering: BTreeSet<(Stamp, Arc<str>)>,
    /// This node, if there may be others.
    pub(crate) me: Option<Node>,
    pub(crate) unsaid: Unsaid,
    /// Whoever comes and goes is to be announced. Not without an engine, and not by a node that takes leave.
    announces: bool,
    pub(crate) watched: Option<Box<Watched>>,
    bounds: &'static Bounds,
}

/// Somebody who is here: held by this node, or by others, or both.
#[derive(Debug, Default)]
pub(crate) struct Person {
    pub(crate) local: Option<Held>,
    /// The other nodes that have announced it, while somebody watches here.
    pub(crate) others: Nodes,
}

/// Something stays while it is held, and for a while afterwards.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Held {
    /// By so many; at least one.
    By(u32),
    Until(Stamp),
}

#[derive(Debug)]
pub(crate) struct Watched {
    watchers: Held,
    /// The watchers that are to be rung for after a turn.
    pub(crate) seats: Slab<Seat>,
    /// Has no turn until what other nodes have announced is here for the first time.
    pub(crate) told: Told,
    pub(crate) others: Others,
}

impl Roster {
    /// Nobody is here. `me`: this node, if there is an engine with other nodes.
    pub(crate) fn new(me: Option<Node>, bounds: &'static Bounds) -> Roster {
        let (people, lingering) = (BTreeMap::new(), BTreeSet::new());
        let (unsaid, announces) = (Unsaid::default(), me.is_some());
        Roster { people, lingering, me, unsaid, announces, watched: None, bounds }
    }

    /// This node takes leave: who is here by now is announced once more, as gone. Nobody hears of who comes later, so nobody
    /// need hear that he goes.
    pub(crate) fn take_leave(&mut self) {
        self.say_all();
        self.announces = false;
    }

    /// How many names are here, on all nodes as far as they are known.
    pub(crate) fn len(&self) -> usize {
        self.people.len()
    }

    /// What counts against the limits: names that are here, or those to be announced if they are more. While the engine is
    /// away, each name that has gone is one to be announced.
    pub(crate) fn weight(&self) -> usize {
        self.people.len().max(self.unsaid.len())
    }

    /// Whether it can be dropped: nobody is here, watches, or is to be announced as gone.
    pub(crate) fn is_idle(&self) -> bool {
        self.people.is_empty() && self.watched.is_none() && self.unsaid.is_empty()
    }

    /// Somebody has come: one guard more for this name.
    ///
    /// `most`: so many names there may be afterwards, if this one is new. Who only lingers makes room for a newcomer, so
    /// that nobody can fill a topic with names that he does not hold. What other nodes announce is always taken: they
    /// have limits of their own, and all nodes must agree.
    pub(crate) fn enter(&mut self, name: &str, most: usize) -> Result<Arc<str>, EnterError> {
        if !is_name(name) {
            return Err(EnterError::Name);
        }
        if !self.people.contains_key(name) {
            if self.unsaid.len() >= most {
                return Err(EnterError::TooMany);
            }
            self.make_room(most)?;
        }
        let name = self.people.get_key_value(name).map_or_else(|| Arc::from(name), |(name, _)| Arc::clone(name));
        let person = self.come(&name);
        let before = person.local;
        person.local = match before {
            Some(Held::By(count)) => Some(Held::By(count + 1)),
            Some(Held::Until(_)) | None => Some(Held::By(1)),
        };
        match before {
            Some(Held::By(_)) => {}
            Some(Held::Until(until)) => {
                self.lingering.remove(&(until, Arc::clone(&name)));
            }
            None => self.must_say(&name),
        }
        Ok(name)
    }

    /// A guard of this name goes. If it was the last one, the name stays until then, or until somebody enters again.
    /// [`LATER`]: until a time that [`date`](Self::date) will say.
    pub(crate) fn leave(&mut self, name: &Arc<str>, until: Stamp) {
        let Some(person) = self.people.get_mut(name) else { return };
        match person.local {
            Some(Held::By(count)) if count > 1 => person.local = Some(Held::By(count - 1)),
            Some(Held::By(_)) => {
                person.local = Some(Held::Until(until));
                self.lingering.insert((until, Arc::clone(name)));
            }
            Some(Held::Until(_)) | None => {}
        }
    }

    /// Nobody goes if there is no room even then.
    fn make_room(&mut self, most: usize) -> Result<(), EnterError> {
        // `most` = 0 has no room for anybody.
        let excess = (self.people.len() + 1).saturating_sub(most);
        if most == 0 || excess > self.lingering.len() {
            return Err(EnterError::TooMany);
        }
        let (mut alone, mut shared) = (Vec::new(), Vec::new());
        for (_, name) in &self.lingering {
            if alone.len() == excess {
                break;
            }
            let is_alone = self.people.get(name).is_some_and(|person| person.others.is_empty());
            if is_alone { &mut alone } else { &mut shared }.push(Arc::clone(name));
        }
        // Who is also at another node is here all the same. Without this, each newcomer who is refused would look at them
        // again.
        let going = if alone.len() == excess { &alone[..] } else { &[] };
        for name in shared.iter().chain(going) {
            if let Some(Held::Until(until)) = self.people.get(name).and_then(|person| person.local) {
                self.lingering.remove(&(until, Arc::clone(name)));
            }
            self.end_linger(name);
        }
        if alone.len() == excess { Ok(()) } else { Err(EnterError::TooMany) }
    }

    fn end_linger(&mut self, name: &Arc<str>) {
        if let Some(person) = self.people.get_mut(name) {
            person.local = None;
        }
        self.go(name);
        self.must_say(name);
    }

    /// Who has this name; it is here from now on.
    pub(crate) fn come(&mut self, name: &Arc<str>) -> &mut Person {
        self.people.entry(Arc::clone(name)).or_insert_with(|| {
            flip(&mut self.watched, name);
            Person::default()
        })
    }

    /// The name is no longer here, if nobody holds it.
    pub(crate) fn go(&mut self, name: &Arc<str>) {
        if self.people.get(name).is_some_and(Person::is_gone) {
            self.people.remove(name);
            flip(&mut self.watched, name);
        }
    }

    fn must_say(&mut self, name: &Arc<str>) {
        if self.announces {
            self.unsaid.insert(name);
        }
    }
}

/// Watchers, and time.
impl Roster {
    /// One watcher more.
    pub(crate) fn watch(&mut self) -> Watcher {
        let watched = match &mut self.watched {
            Some(watched) => watched,
            none => {
                let (mut told, others) = (Told::new(self.bounds), Others::new(self.me));
                if others.is_done() {
                    told.begin(self.people.len());
                }
                let nobody = Held::Until(NOW);
                none.insert(Box::new(Watched { watchers: nobody, seats: Slab::new(), told, others }))
            }
        };
        watched.watchers = match watched.watchers {
            Held::By(count) => Held::By(count + 1),
            Held::Until(_) => Held::By(1),
        };
        watched.told.watch()
    }

    /// A watcher goes. After the last one, what other nodes have announced is kept until then. Otherwise a client that
    /// watches and stops in turns would make the engine send everything each time.
    pub(crate) fn unwatch(&mut self, until: Stamp) {
        if let Some(watched) = &mut self.watched {
            watched.watchers = match watched.watchers {
                Held::By(count) if count > 1 => Held::By(count - 1),
                Held::By(_) => Held::Until(until),
                lingers @ Held::Until(_) => lingers,
            };
        }
    }

    /// The next news for a watcher.
    pub(crate) fn read(&mut self, watcher: &mut Watcher) -> Option<News> {
        self.watched.as_mut()?.told.read(watcher, &self.people)
    }

    /// Whoever has gone since the last tick stays until then, and so does what other nodes have announced. Nothing here
    /// has a clock, so only a tick knows when that is.
    pub(crate) fn date(&mut self, until: Stamp) {
        // The end of time is no `LATER`, or those who stay until then would be dated again and again.
        let until = until.min(NEVER);
        while let Some((LATER, name)) = self.lingering.last() {
            let name = Arc::clone(name);
            self.lingering.remove(&(LATER, Arc::clone(&name)));
            if let Some(person) = self.people.get_mut(&name) {
                person.local = Some(Held::Until(until));
            }
            self.lingering.insert((until, name));
        }
        if let Some(watched) = &mut self.watched
            && let Held::Until(LATER) = watched.watchers
        {
            watched.watchers = Held::Until(until);
        }
    }

    /// A turn: who has lingered long enough goes, and what has happened since the last turn is told. Returns whether
    /// watchers have something to read.
    pub(crate) fn tick(&mut self, now: Stamp) -> bool {
        while let Some((until, _)) = self.lingering.first()
            && *until <= now
            && let Some((_, name)) = self.lingering.pop_first()
        {
            self.end_linger(&name);
        }
        if self.watched.as_ref().is_some_and(|watched| matches!(watched.watchers, Held::Until(until) if until <= now)) {
            self.watched = None;
            self.people.retain(|_, person| {
                person.others = Nodes::None;
                person.local.is_some()
            });
        }
        match &mut self.watched {
            Some(watched) if watched.may_tell() => watched.told.turn(&self.people, now),
            _ => false,
        }
    }

    /// When the next tick has something to do. A time that has passed: as soon as the next turn may be.
    pub(crate) fn due(&self) -> Option<Stamp> {
        if let Some((LATER, _)) = self.lingering.last() {
            return Some(NOW);
        }
        let lingers = self.lingering.first().map(|(until, _)| *until);
        let watched = self.watched.as_ref().and_then(|watched| watched.due());
        [lingers, watched].into_iter().flatten().min()
    }
}

impl Person {
    pub(crate) fn is_gone(&self) -> bool {
        self.local.is_none() && self.others.is_empty()
    }
}

impl Watched {
    fn may_tell(&self) -> bool {
        self.told.has_begun() || self.others.is_done()
    }

    fn due(&self) -> Option<Stamp> {
        if self.may_tell() && self.told.is_due() {
            return Some(NOW);
        }
        let until = match self.watchers {
            Held::Until(LATER) => Some(NOW),
            Held::Until(until) => Some(until),
            Held::By(_) => None,
        };
        [until, self.told.forgets_at()].into_iter().flatten().min()
    }
}

fn flip(watched: &mut Option<Box<Watched>>, name: &Arc<str>) {
    if let Some(watched) = watched {
        watched.told.flip(name);
    }
}

/// A time that has passed, one that does not come, and one that is not known yet.
const NOW: Stamp = Stamp::from_nanos(0);
const NEVER: Stamp = Stamp::from_nanos(u64::MAX - 1);
pub(crate) const LATER: Stamp = Stamp::from_nanos(u64::MAX);

pub(crate) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
}

#[cfg(test)]
#[path = "../tests/roster/mod.rs"]
mod tests;
