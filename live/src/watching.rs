//! How a subscriber begins and ends to watch a topic.

use crate::subscriber::Subscriber;
use crate::topic::Topic;

impl<M> Subscriber<M> {
    /// Watches who is here, in a topic that need not be joined. Its first delivery is
    /// [`Delivery::Here`](crate::Delivery::Here). What changes is told by [`Delivery::Changed`](crate::Delivery::Changed), at
    /// most four times a second. A second call makes it begin anew, with another `Here`.
    ///
    /// On a hub with a backplane, the first `Here` waits until the engine has said who is at other nodes.
    pub fn watch(&mut self, topic: &Topic<M>) {
        self.watches.watch(&topic.0, self.bell.bell());
    }

    /// Ends [`watch`](Self::watch). Nothing more is told of who is here. Nothing happens if the topic was not watched, and
    /// whether it is joined is another matter.
    pub fn unwatch(&mut self, topic: &Topic<M>) {
        self.watches.unwatch(&topic.0, self.bell.bell());
    }
}
