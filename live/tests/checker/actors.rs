//! Those who publish, decide and read, at a site of several nodes, whatever it is made of. They write down what they see.

pub mod client;
pub mod decide;
pub mod notes;
pub mod read;
pub mod remote;
pub mod speak;
pub mod words;

use std::future::Future;
use std::sync::Arc;

use openline_live::{Lag, Position, PublishError, Start};

use crate::plan::Plan;
use crate::rng::Rng;
use notes::Notes;
use speak::Speech;
use words::Heard;

/// Nodes that share their topics.
pub trait Site: Send + Sync + Sized + 'static {
    type Node: Send + Sync;
    type Connection: Connection;
    /// What a publisher keeps between two messages.
    type Voice: Default + Send;

    fn plan(&self) -> &Plan;
    fn notes(&self) -> &Notes;
    /// A node to connect to, as far as anybody knows.
    fn some_node(&self, rng: &mut Rng) -> Option<Arc<Self::Node>>;
    fn number_of(&self, node: &Self::Node) -> usize;
    /// Connects to a node. `plainly`: without a socket, if that is possible.
    fn connect(&self, node: &Arc<Self::Node>, plainly: bool) -> impl Future<Output = Option<Self::Connection>> + Send;
    /// Publishes at a node. If nobody answers because the node dies, that is `Unknown`.
    fn publish(
        &self,
        voice: &mut Self::Voice,
        node: &Arc<Self::Node>,
        speech: &Speech,
    ) -> impl Future<Output = Result<Position, PublishError>> + Send;
    /// Where the node says that the log stands.
    fn position(&self, node: &Self::Node, topic: usize) -> Option<Position>;
}

/// A client's connection to a node.
pub trait Connection: Send {
    fn join(&mut self, topic: usize, start: Start, lag: Lag);
    /// Leaves a topic, of which nothing comes any more from now on. False if it cannot be sure of that. It does not move
    /// in a joined topic either then.
    fn leave(&mut self, topic: usize) -> bool;
    fn can_leave(&self) -> bool;
    /// Nothing: the connection is over.
    fn next(&mut self) -> impl Future<Output = Option<Heard>> + Send;
}
