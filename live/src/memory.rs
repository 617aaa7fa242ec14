//! An engine in memory: the nodes of one process share it. For tests, and as the plainest example of a [`Backplane`].

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::backplane::{Announce, Append, Away, Backplane, Fed, Lease, NodeId, Page, Present};
use crate::error::PublishError;
use crate::limits::Limits;
use crate::position::{Epoch, Position};
use crate::store::{Feed, Store};
use crate::sync::each;

/// An engine in memory, for hubs of one process. A clone is another handle to the same engine.
///
/// It keeps to all that [`Backplane`] asks for, so what a program does on many machines can be tried in one test:
///
/// ```
/// # use bytes::Bytes;
/// # use openline_live::{Delivery, EpochSeed, Hub, Lag, Memory, Position, Retain, Start, Subscriber};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let memory = Memory::new();
/// let make = |_: &str, at: Position, _: &Bytes| at.offset;
/// let hub = Hub::with(memory.node(), Retain::default(), EpochSeed::from_os()?, make);
/// let news = hub.topic("news")?;
/// news.publish(None, Bytes::from("rain"), None).await?;
///
/// let mut reader = Subscriber::new();
/// reader.join(&news, Start::Oldest, Lag::Leave);
/// let read = async { [reader.next().await, reader.next().await] };
/// tokio::select! {
///     () = hub.run() => {}
///     [joined, message] = read => {
///         assert!(matches!(joined, Delivery::Joined { whole: true, .. }));
///         assert_eq!(message, Delivery::Message(1));
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// Its clock is tokio's. A topic that nobody has appended to or read for an hour longer than its messages and ids are kept
/// is forgotten.
#[derive(Clone)]
pub struct Memory(Arc<Mutex<Store>>);

/// One node's way to a [`Memory`]: the [`Backplane`] of one hub. What is fed to it is held until it is taken: 4,096 things
/// and 16 MiB at most, else [`Fed::Cut`] comes instead.
pub struct MemoryNode {
    memory: Memory,
    number: u64,
}

impl Memory {
    /// An empty engine with the default [`Limits`].
    #[must_use]
    pub fn new() -> Memory {
        Memory::with_limits(Limits::default())
    }

    /// An empty engine. Beyond [`Limits::bytes`] a topic drops its own oldest messages, and without any,
    /// [`PublishError::Full`] is the answer. Beyond [`Limits::topics`], new ones are refused: [`PublishError::Failed`],
    /// [`Away`].
    #[must_use]
    pub fn with_limits(limits: Limits) -> Memory {
        Memory(Arc::new(Mutex::new(Store::new(limits))))
    }

    /// A node's way to this engine, for one hub. When it is dropped, nothing is fed to it any more.
    #[must_use]
    pub fn node(&self) -> MemoryNode {
        let mut store = self.lock();
        store.made += 1;
        let number = store.made;
        store.feeds.insert(number, Feed::default());
        MemoryNode { memory: self.clone(), number }
    }

    /// Forgets all topics, leases and names, as a server that was restarted without its data: new epochs begin, and all
    /// nodes are told [`Fed::Cut`]. For tests of what a program does then.
    pub fn forget(&self) {
        let mut store = self.lock();
        let wakers = store.forget();
        drop(store);
        each(wakers, Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backplane for MemoryNode {
    async fn append(&self, append: Append) -> Result<Position, PublishError> {
        let (at, wakers) = self.memory.lock().append(append)?;
        each(wakers, Waker::wake);
        Ok(at)
    }

    async fn after(&self, topic: Arc<str>, after: Option<Position>, most: usize, fresh: Epoch) -> Result<Page, Away> {
        self.memory.lock().page(&topic, after, most, fresh)
    }

    async fn interest(&self, add: Vec<Arc<str>>, remove: Vec<Arc<str>>) -> Result<(), Away> {
        let mut store = self.memory.lock();
        let feed = store.feeds.get_mut(&self.number).ok_or(Away)?;
        for name in &remove {
            feed.topics.remove(name);
        }
        feed.topics.extend(add);
        Ok(())
    }

    async fn fed(&self) -> Fed {
        poll_fn(|cx| {
            let mut store = self.memory.lock();
            let taken = store.take(self.number, cx.waker());
            // Dropping a waker can run code of the executor, so it is done without the lock.
            drop(store);
            match taken {
                Ok(fed) => Poll::Ready(fed),
                Err(_) => Poll::Pending,
            }
        })
        .await
    }

    async fn lease(&self, node: NodeId, time: Duration) -> Result<Lease, Away> {
        let mut store = self.memory.lock();
        let now = store.now();
        store.end_leases(now);
        let held = store.leases.insert(node, now.later(time)).is_some();
        // This one may be to end at once.
        store.end_leases(now);
        Ok(Lease { held, alive: store.leases.keys().copied().collect() })
    }

    async fn announce(&self, announce: Announce) -> Result<(), Away> {
        let mut store = self.memory.lock();
        let now = store.now();
        store.end_leases(now);
        if !store.leases.contains_key(&announce.node) {
            return Err(Away);
        }
        let nodes = store.here.entry(Arc::clone(&announce.topic)).or_default();
        let names = nodes.entry(announce.node).or_default();
        names.extend(announce.joined.iter().cloned());
        for name in &announce.gone {
            names.remove(name);
        }
        if names.is_empty() {
            nodes.remove(&announce.node);
        }
        if nodes.is_empty() {
            store.here.remove(&announce.topic);
        }
        let topic = Arc::clone(&announce.topic);
        let wakers = store.feed(&topic, &Fed::Presence(announce));
        drop(store);
        each(wakers, Waker::wake);
        Ok(())
    }

    async fn here(&self, topic: Arc<str>) -> Result<Vec<Present>, Away> {
        let mut store = self.memory.lock();
        let now = store.now();
        store.end_leases(now);
        let nodes = store.here.get(&topic).into_iter().flatten();
        Ok(nodes.map(|(node, names)| Present { node: *node, names: names.iter().cloned().collect() }).collect())
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new()
    }
}

impl Drop for MemoryNode {
    fn drop(&mut self) {
        self.memory.lock().feeds.remove(&self.number);
    }
}

impl fmt::Debug for Memory {
    // It shows no message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl fmt::Debug for MemoryNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNode").field("number", &self.number).finish_non_exhaustive()
    }
}
