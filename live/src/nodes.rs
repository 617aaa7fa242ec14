//! Other nodes: which of them have a name, and how it is learnt.
//!
//! ```text
//!            ask              answered
//!   Wanted ───────▶ Asked ──────────────▶ Done
//!     ▲               │ stale               │ stale: something that was fed may have been lost
//!     └───────────────┴─────────────────────┘
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::limits::Stamp;
use crate::slab::Slab;

/// A node, by its 16 bytes.
pub(crate) type Node = [u8; 16];

/// The numbers of some nodes. Nearly every name is at one node, so that costs no memory of its own.
#[derive(Debug, Default)]
pub(crate) enum Nodes {
    #[default]
    None,
    One(u32),
    /// Two or more.
    Many(Box<[u32]>),
}

impl Nodes {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Nodes::None)
    }

    /// Returns whether the node is new.
    pub(crate) fn insert(&mut self, node: u32) -> bool {
        let known = self.as_slice();
        if known.contains(&node) {
            return false;
        }
        *self = known.iter().copied().chain([node]).collect();
        true
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(u32) -> bool) {
        *self = self.as_slice().iter().copied().filter(|node| keep(*node)).collect();
    }

    fn as_slice(&self) -> &[u32] {
        match self {
            Nodes::None => &[],
            Nodes::One(node) => std::slice::from_ref(node),
            Nodes::Many(nodes) => nodes,
        }
    }
}

impl FromIterator<u32> for Nodes {
    fn from_iter<I: IntoIterator<Item = u32>>(nodes: I) -> Nodes {
        let mut nodes = nodes.into_iter();
        match (nodes.next(), nodes.next()) {
            (None, _) => Nodes::None,
            (Some(one), None) => Nodes::One(one),
            (Some(one), Some(two)) => Nodes::Many([one, two].into_iter().chain(nodes).collect()),
        }
    }
}

/// A name at a node, by the node's number.
pub(crate) type At = (u32, Arc<str>);

/// The nodes that have names of a topic.
#[derive(Debug)]
pub(crate) struct Others {
    me: Option<Node>,
    known: Slab<Known>,
    load: Load,
}

#[derive(Debug)]
struct Known {
    id: Node,
    /// How many names of the topic it has.
    names: usize,
    /// When it was last heard of.
    heard: Stamp,
}

/// Whether what the other nodes have announced is here.
#[derive(Debug)]
enum Load {
    /// It is, and what changes is fed.
    Done,
    /// The engine is to be asked.
    Wanted,
    /// The engine has been asked. What was fed since then may be newer than its answer, which does not change it.
    Asked(BTreeSet<(Node, Arc<str>)>),
}

/// What an answer of the engine says.
pub(crate) struct Answer {
    /// These names are there.
    pub(crate) stated: BTreeSet<At>,
    /// What is known about these is newer.
    pub(crate) newer: BTreeSet<At>,
}

impl Others {
    /// `me`: this node, if there may be others.
    pub(crate) fn new(me: Option<Node>) -> Others {
        let load = if me.is_some() { Load::Wanted } else { Load::Done };
        Others { me, known: Slab::new(), load }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.load, Load::Done)
    }

    pub(crate) fn is_wanted(&self) -> bool {
        matches!(self.load, Load::Wanted)
    }

    pub(crate) fn ask(&mut self) {
        self.load = Load::Asked(BTreeSet::new());
    }

    pub(crate) fn stale(&mut self) {
        if self.me.is_some() {
            self.load = Load::Wanted;
        }
    }

    /// The number of a node that has announced these names. None: it is this one.
    pub(crate) fn fed<'a>(&mut self, node: Node, names: impl Iterator<Item = &'a Arc<str>>, now: Stamp) -> Option<u32> {
        if self.me == Some(node) {
            return None;
        }
        if let Load::Asked(newer) = &mut self.load {
            newer.extend(names.map(|name| (node, Arc::clone(name))));
        }
        Some(self.heard(node, now))
    }

    /// The engine has answered, if it was asked and nothing has become stale since then.
    pub(crate) fn answered<'a>(
        &mut self,
        states: impl Iterator<Item = (Node, &'a [Arc<str>])>,
        now: Stamp,
    ) -> Option<Answer> {
        let newer = match std::mem::replace(&mut self.load, Load::Done) {
            Load::Asked(newer) => newer,
            other => {
                self.load = other;
                return None;
            }
        };
        let mut stated = BTreeSet::new();
        let me = self.me;
        for (node, names) in states.filter(|(node, _)| me != Some(*node)) {
            let number = self.heard(node, now);
            let names = names.iter().map(|name| (node, Arc::clone(name))).filter(|at| !newer.contains(at));
            stated.extend(names.map(|(_, name)| (number, name)));
        }
        let newer = newer.into_iter().filter_map(|(node, name)| Some((self.find(node)?, name))).collect();
        Some(Answer { stated, newer })
    }

    fn find(&mut self, id: Node) -> Option<u32> {
        self.known.iter_mut().find(|(_, known)| known.id == id).map(|(number, _)| number)
    }

    /// The number of a node that was heard of now. [`tidy`](Self::tidy) frees it again if the node has no name by then.
    fn heard(&mut self, id: Node, now: Stamp) -> u32 {
        let number = self.find(id).unwrap_or_else(|| self.known.insert_with(|_| Known { id, names: 0, heard: now }));
        if let Some(known) = self.known.get_mut(number) {
            known.heard = now;
        }
        number
    }

    /// The node has one name more.
    pub(crate) fn add(&mut self, number: u32) {
        if let Some(known) = self.known.get_mut(number) {
            known.names += 1;
        }
    }

    /// The node has one name less.
    pub(crate) fn sub(&mut self, number: u32) {
        if let Some(known) = self.known.get_mut(number) {
            known.names -= 1;
        }
    }

    /// Forgets the nodes without a name.
    pub(crate) fn tidy(&mut self) {
        let empty = self.known.iter_mut().filter(|(_, known)| known.names == 0);
        for number in empty.map(|(number, _)| number).collect::<Vec<_>>() {
            self.known.remove(number);
        }
    }

    /// The nodes that are not alive, by an answer of the engine for which it was asked then.
    ///
    /// A node that was heard of since the question may have begun between the engine's answer and now. It stays until
    /// the next answer, because a node that is dropped by mistake does not announce its names again.
    pub(crate) fn dead(&mut self, alive: &BTreeSet<Node>, asked: Stamp) -> BTreeSet<u32> {
        let dead = self.known.iter_mut().filter(|(_, known)| known.heard < asked && !alive.contains(&known.id));
        dead.map(|(number, _)| number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_in_a_set_once() {
        let mut nodes = Nodes::default();
        assert!(nodes.is_empty());
        for (node, new) in [(3, true), (3, false), (1, true), (7, true), (1, false)] {
            assert_eq!(nodes.insert(node), new, "{node}");
        }
        assert_eq!(nodes.as_slice(), [3, 1, 7]);
        nodes.retain(|node| node != 1);
        nodes.retain(|node| node != 3);
        assert!(matches!(nodes, Nodes::One(7)));
        nodes.retain(|_| false);
        assert!(nodes.is_empty());
    }
}
