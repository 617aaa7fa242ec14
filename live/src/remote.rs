//! Presence on many nodes: what a roster says to the engine, and what it hears from it.
//!
//! Nobody goes by mistake, as far as the order of what is heard can tell: an answer of the engine does not undo what was
//! fed after the question, and a node that was heard of after a question is not dropped by its answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::limits::Stamp;
use crate::nodes::{Answer, At, Node};
use crate::roster::{Roster, is_name};
use crate::unsaid::{Saying, Unsaid};

/// Why the engine is to be asked who is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// Nothing is known, and watchers wait for it.
    First,
    /// Something may have been missed. Whoever the engine does not know will go.
    Again,
}

impl Roster {
    /// What the engine is to be told next: at most so many names. Only one of them may be on its way at a time. If it is
    /// not [`said`](Self::said), all of it comes again, since the engine may have heard it or not.
    pub(crate) fn say(&mut self, most: usize) -> Option<Saying> {
        let people = &self.people;
        self.unsaid.say(most, |name| people.get(name).is_some_and(|person| person.local.is_some()))
    }

    /// The engine has heard what it was told last.
    pub(crate) fn said(&mut self) {
        self.unsaid.said();
    }

    pub(crate) fn has_unsaid(&self) -> bool {
        !self.unsaid.is_empty()
    }

    /// The engine is told nothing any more.
    pub(crate) fn forget_unsaid(&mut self) {
        self.unsaid = Unsaid::default();
    }

    /// The engine has forgotten this node, so all who are here are announced again. Those who have gone, and of whom the
    /// engine may not have heard that, are announced too: another node need not have noticed that this one was forgotten.
    pub(crate) fn say_all(&mut self) {
        let local = self.people.iter().filter(|(_, person)| self.me.is_some() && person.local.is_some());
        local.for_each(|(name, _)| self.unsaid.insert(name));
    }

    /// A node has announced these names.
    pub(crate) fn fed(&mut self, node: Node, joined: &[Arc<str>], gone: &[Arc<str>], now: Stamp) {
        let Some(watched) = &mut self.watched else { return };
        let names = joined.iter().chain(gone).filter(|name| is_name(name));
        let Some(number) = watched.others.fed(node, names, now) else { return };
        joined.iter().filter(|name| is_name(name)).for_each(|name| self.add(number, name));
        gone.iter().for_each(|name| self.remove(number, name));
        self.tidy();
    }

    /// Something that was fed may have been lost, or a question has failed: the engine is to be asked (again).
    pub(crate) fn stale(&mut self) {
        if let Some(watched) = &mut self.watched {
            watched.others.stale();
        }
    }

    /// Whether the engine is to be asked who is here, and why.
    pub(crate) fn wants(&self) -> Option<Wants> {
        let watched = self.watched.as_ref().filter(|watched| watched.others.is_wanted())?;
        Some(if watched.told.has_begun() { Wants::Again } else { Wants::First })
    }

    /// The engine is being asked. Only one question may be on its way at a time.
    pub(crate) fn ask(&mut self) {
        if let Some(watched) = &mut self.watched {
            watched.others.ask();
        }
    }

    /// The engine has answered: these names are at these nodes, and no others.
    pub(crate) fn answered<'a>(&mut self, states: impl Iterator<Item = (Node, &'a [Arc<str>])>, now: Stamp) {
        let Some(watched) = &mut self.watched else { return };
        let Some(Answer { stated, newer }) = watched.others.answered(states, now) else { return };
        self.retain(|at| stated.contains(at) || newer.contains(at));
        stated.iter().filter(|(_, name)| is_name(name)).for_each(|(number, name)| self.add(*number, name));
        self.tidy();
    }

    /// The engine has said which nodes are alive, when it was asked at that time. The names of all others go.
    pub(crate) fn alive(&mut self, alive: &BTreeSet<Node>, asked: Stamp) {
        let Some(watched) = &mut self.watched else { return };
        let dead = watched.others.dead(alive, asked);
        if !dead.is_empty() {
            self.retain(|(number, _)| !dead.contains(number));
            self.tidy();
        }
    }

    /// A node has this name.
    fn add(&mut self, number: u32, name: &Arc<str>) {
        if self.come(name).others.insert(number)
            && let Some(watched) = &mut self.watched
        {
            watched.others.add(number);
        }
    }

    /// A node has this name no longer.
    fn remove(&mut self, number: u32, name: &Arc<str>) {
        let (Some(person), Some(watched)) = (self.people.get_mut(name), &mut self.watched) else { return };
        person.others.retain(|other| {
            let stays = other != number;
            if !stays {
                watched.others.sub(number);
            }
            stays
        });
        self.go(name);
    }

    /// Other nodes have only these names any more.
    fn retain(&mut self, keep: impl Fn(&At) -> bool) {
        let Some(watched) = &mut self.watched else { return };
        self.people.retain(|name, person| {
            person.others.retain(|number| {
                let stays = keep(&(number, Arc::clone(name)));
                if !stays {
                    watched.others.sub(number);
                }
                stays
            });
            if person.is_gone() {
                watched.told.flip(name);
            }
            !person.is_gone()
        });
    }

    fn tidy(&mut self) {
        if let Some(watched) = &mut self.watched {
            watched.others.tidy();
        }
    }
}
