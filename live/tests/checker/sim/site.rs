//! The simulated site, as those who use it see it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use openline_live::{Id, Lag, Position, PublishError, Start, Subscriber, Topic};

use super::node::{Life, Node};
use super::socket;
use super::world::World;
use crate::actors::notes::Notes;
use crate::actors::remote::Remote;
use crate::actors::speak::Speech;
use crate::actors::words::{Heard, Seen, name};
use crate::actors::{Connection, Site};
use crate::plan::Plan;
use crate::rng::Rng;

impl Site for World {
    type Node = Node;
    type Connection = Way;
    type Voice = ();

    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn notes(&self) -> &Notes {
        &self.notes
    }

    fn some_node(&self, rng: &mut Rng) -> Option<Arc<Node>> {
        let living = self.living();
        living.get(rng.below(living.len())).cloned()
    }

    fn number_of(&self, node: &Node) -> usize {
        node.number
    }

    async fn connect(&self, node: &Arc<Node>, plainly: bool) -> Option<Way> {
        Some(if plainly {
            Way::Direct { node: Arc::clone(node), subscriber: Subscriber::new(), topics: BTreeMap::new() }
        } else {
            Way::Socket(socket::connect(node))
        })
    }

    async fn publish(&self, (): &mut (), node: &Arc<Node>, speech: &Speech) -> Result<Position, PublishError> {
        let topic = node.hub.topic(&name(speech.topic)).unwrap();
        let words = speech.words;
        // Whatever the words, it is the same message.
        let id = speech.id.map(|id| Id::new(&id.to_string()).of(words.said.to_string().as_bytes()));
        let publish = topic.publish(id, Bytes::from(words.to_string()), speech.expect);
        node.life.run(publish).await.unwrap_or(Err(PublishError::Unknown))
    }

    fn position(&self, node: &Node, topic: usize) -> Option<Position> {
        node.hub.topic(&name(topic)).unwrap().position()
    }
}

/// How a client gets to a node.
pub enum Way {
    Direct { node: Arc<Node>, subscriber: Subscriber<Seen>, topics: BTreeMap<usize, Topic<Seen>> },
    Socket(Remote),
}

impl Connection for Way {
    fn join(&mut self, topic: usize, start: Start, lag: Lag) {
        match self {
            Way::Direct { node, subscriber, topics } => {
                let topic = topics.entry(topic).or_insert_with(|| node.hub.topic(&name(topic)).unwrap());
                subscriber.join(topic, start, lag);
            }
            Way::Socket(socket) => socket.join(topic, start, lag),
        }
    }

    fn leave(&mut self, topic: usize) -> bool {
        match self {
            Way::Direct { subscriber, topics, .. } => {
                topics.remove(&topic).map(|topic| subscriber.leave(&topic)).is_some()
            }
            Way::Socket(_) => false,
        }
    }

    fn can_leave(&self) -> bool {
        matches!(self, Way::Direct { .. })
    }

    async fn next(&mut self) -> Option<Heard> {
        match self {
            Way::Direct { node, subscriber, .. } => Life::run(&node.life, subscriber.next()).await.map(Heard::new),
            Way::Socket(socket) => socket.next().await,
        }
    }
}
