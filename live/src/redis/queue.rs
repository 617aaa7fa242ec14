//! What the feed has brought and nobody has taken yet. It is bounded in messages and bytes: if one more does not fit,
//! all of it goes, and the cut is told instead. And which topics the feed's task looks after.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::words;
use crate::backplane::{Announce, Fed};

/// Between the connection of the feed, which must not wait, and the one who waits for [`next`](Self::next).
pub(super) struct Queue {
    state: Mutex<State>,
    came: Notify,
    most: usize,
    most_bytes: usize,
}

struct State {
    /// The topics whose feed is wanted, by the names of their channels.
    wanted: HashMap<Vec<u8>, Arc<str>>,
    /// The topics in which this node may have names.
    named: HashSet<Arc<str>>,
    ready: VecDeque<Fed>,
    bytes: usize,
    /// Which connection may add: what an earlier one still brings would come after what the later one has brought.
    connection: u64,
    /// How often something came from the server.
    signs: u64,
}

impl Queue {
    pub(super) fn new(most: usize, most_bytes: usize) -> Queue {
        let (wanted, named, ready) = (HashMap::new(), HashSet::new(), VecDeque::new());
        let state = State { wanted, named, ready, bytes: 0, connection: 0, signs: 0 };
        Queue { state: Mutex::new(state), came: Notify::new(), most: most.max(1), most_bytes }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under this lock leaves it half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancel-safe: what is taken out is returned at once.
    pub(super) async fn next(&self) -> Fed {
        loop {
            // `notify_one` keeps one permit, so what comes between the look and the wait is not missed.
            if let Some(fed) = self.take() {
                return fed;
            }
            self.came.notified().await;
        }
    }

    fn take(&self) -> Option<Fed> {
        let mut state = self.state();
        let fed = state.ready.pop_front()?;
        state.bytes -= weight(&fed);
        if state.ready.is_empty() {
            state.ready = VecDeque::new();
        }
        Some(fed)
    }

    /// A message on a channel. Those of topics that are no longer wanted are dropped.
    pub(super) fn push(&self, connection: u64, channel: &[u8], came: Vec<u8>) {
        let mut state = self.state();
        state.signs += 1;
        if state.connection != connection {
            return;
        }
        let Some(topic) = state.wanted.get(channel) else { return };
        let fed = words::fed(topic, came);
        state.add(fed, self.most, self.most_bytes);
        drop(state);
        self.came.notify_one();
    }

    /// Something may be missing.
    pub(super) fn cut(&self) {
        self.state().add(Fed::Cut, self.most, self.most_bytes);
        self.came.notify_one();
    }

    /// Something of this topic may be missing.
    pub(super) fn stale(&self, topic: Arc<str>) {
        self.state().add(Fed::Stale(topic), self.most, self.most_bytes);
        self.came.notify_one();
    }

    /// From now on only the connection with this number may add.
    pub(super) fn next_connection(&self) -> u64 {
        let mut state = self.state();
        state.connection += 1;
        state.connection
    }

    /// A sign of life of the server.
    pub(super) fn sign(&self) {
        self.state().signs += 1;
    }

    pub(super) fn signs(&self) -> u64 {
        self.state().signs
    }

    /// Whether it was not wanted before.
    pub(super) fn want(&self, channel: Vec<u8>, topic: Arc<str>) -> bool {
        self.state().wanted.insert(channel, topic).is_none()
    }

    pub(super) fn unwant(&self, channel: &[u8]) {
        let mut state = self.state();
        state.wanted.remove(channel);
        if state.wanted.len() < state.wanted.capacity() / 4 {
            state.wanted.shrink_to_fit();
        }
    }

    pub(super) fn wants(&self, channel: &[u8]) -> bool {
        self.state().wanted.contains_key(channel)
    }

    pub(super) fn wanted(&self) -> Vec<(Vec<u8>, Arc<str>)> {
        self.state().wanted.iter().map(|(channel, topic)| (channel.clone(), topic.clone())).collect()
    }

    pub(super) fn name(&self, topic: &Arc<str>) {
        self.state().named.insert(topic.clone());
    }

    /// This node certainly has no name there.
    pub(super) fn unname(&self, topic: &Arc<str>) {
        let mut state = self.state();
        state.named.remove(topic);
        if state.named.len() < state.named.capacity() / 4 {
            state.named.shrink_to_fit();
        }
    }

    pub(super) fn named(&self) -> Vec<Arc<str>> {
        self.state().named.iter().cloned().collect()
    }
}

impl State {
    fn add(&mut self, fed: Fed, most: usize, most_bytes: usize) {
        let bytes = weight(&fed);
        // A cut that waits says all of what another would say, if it still stands at the end.
        if matches!((self.ready.back(), &fed), (Some(Fed::Cut), Fed::Cut)) {
            return;
        }
        if self.ready.len() >= most || self.bytes + bytes > most_bytes {
            self.ready.clear();
            self.ready.push_back(Fed::Cut);
            self.bytes = weight(&Fed::Cut);
            return;
        }
        self.bytes += bytes;
        self.ready.push_back(fed);
    }
}

fn weight(fed: &Fed) -> usize {
    size_of::<Fed>()
        + match fed {
            Fed::Message { payload, .. } => payload.len() + HEADER,
            Fed::Presence(Announce { joined, gone, .. }) => {
                joined.iter().chain(gone).map(|name| name.len() + NAME).sum()
            }
            Fed::Stale(_) | Fed::Cut => 0,
        }
}

/// Bytes before a payload, which it keeps in memory, with what an allocation costs.
const HEADER: usize = 96;
/// Bytes of a name beside its text.
const NAME: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{Epoch, Position};

    fn fed(offset: u64, bytes: usize) -> Vec<u8> {
        let at = Position { epoch: Epoch::from_bytes([1; 16]), offset };
        [format!("m{at}:").as_bytes(), &vec![b'x'; bytes]].concat()
    }

    fn queue(most: usize, most_bytes: usize) -> Queue {
        let queue = Queue::new(most, most_bytes);
        queue.want(b"c".to_vec(), "topic".into());
        assert_eq!(queue.next_connection(), 1);
        queue
    }

    /// The offsets that it holds, 0 for a cut.
    fn take(queue: &Queue) -> Vec<u64> {
        let offset = |fed| match fed {
            Fed::Message { at, .. } => at.offset,
            Fed::Cut => 0,
            _ => panic!(),
        };
        std::iter::from_fn(|| queue.take().map(offset)).collect()
    }

    #[test]
    fn what_does_not_fit_is_told_as_a_cut_and_the_rest_comes_after_it() {
        let count = queue(3, 1 << 20);
        (1..=5).for_each(|offset| count.push(1, b"c", fed(offset, 1)));
        assert_eq!(take(&count), [0, 5]);
        let bytes = queue(100, 1200);
        (1..=9).for_each(|offset| bytes.push(1, b"c", fed(offset, 100)));
        let taken = take(&bytes);
        assert!(taken[0] == 0 && *taken.last().unwrap() == 9 && taken.len() > 2, "{taken:?}");
        bytes.push(1, b"c", fed(10, 5000));
        assert_eq!(take(&bytes), [0]);
        let state = bytes.state();
        assert_eq!((state.bytes, state.ready.capacity()), (0, 0));
    }

    #[test]
    fn only_the_last_connection_and_wanted_channels_add() {
        let queue = queue(100, 1 << 20);
        queue.push(1, b"c", fed(1, 1));
        assert_eq!(queue.next_connection(), 2);
        queue.push(1, b"c", fed(9, 1));
        queue.cut();
        queue.cut();
        queue.push(2, b"d", fed(9, 1));
        queue.push(2, b"c", fed(2, 1));
        queue.cut();
        assert_eq!(take(&queue), [1, 0, 2, 0]);
        queue.unwant(b"c");
        queue.push(2, b"c", fed(3, 1));
        assert_eq!(take(&queue), []);
    }
}
