//! What all parts of the server share: the hub, who may come, the auction, and the order to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use openline::{Config, Server};
use openline_live::{Backplane, EpochSeed, Hub, Retain, Snapshot, Time, Topic, TopicError};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auction::Auction;
use crate::message::Item;
use crate::origins::Origins;
use crate::pages::Pages;

/// The server, without its listener. A clone is the same one.
#[derive(Clone)]
pub struct Site(Arc<Inner>);

struct Inner {
    /// The topics that all nodes have in common.
    hub: Hub<Item>,
    /// Those that each node has for itself. On a single node it is the same hub.
    own: Hub<Item>,
    auction: Auction,
    origins: Origins,
    pages: Pages,
    sockets: TaskTracker,
    /// Requests that wait for something, and all sockets, end soon after this.
    stop: CancellationToken,
    connections: AtomicUsize,
    open_sockets: AtomicUsize,
    echo: Server,
    live: Server,
}

impl Site {
    /// A server with topics of its own, or with those of a snapshot.
    ///
    /// # Errors
    ///
    /// The operating system gives no random numbers.
    pub fn local(messages: Option<usize>, origins: Origins, snapshot: Option<&Snapshot>) -> std::io::Result<Site> {
        let (retain, seed) = (retain(messages), EpochSeed::from_os()?);
        let hub = match snapshot {
            Some(snapshot) => Hub::restore(snapshot, retain, seed, Time::ZERO, Item::new),
            None => Hub::local(retain, seed, Item::new),
        };
        Ok(Site::new(hub.clone(), hub, origins))
    }

    /// A node that has its topics in common with others.
    ///
    /// # Errors
    ///
    /// The operating system gives no random numbers.
    pub fn shared(backplane: impl Backplane, messages: Option<usize>, origins: Origins) -> std::io::Result<Site> {
        let own = Hub::local(Retain::default(), EpochSeed::from_os()?, Item::new);
        Ok(Site::new(Hub::with(backplane, retain(messages), EpochSeed::from_os()?, Item::new), own, origins))
    }

    fn new(hub: Hub<Item>, own: Hub<Item>, origins: Origins) -> Site {
        let auction = Auction::new(&hub);
        Site(Arc::new(Inner {
            hub,
            own,
            auction,
            origins,
            pages: Pages::new(),
            sockets: TaskTracker::new(),
            stop: CancellationToken::new(),
            connections: AtomicUsize::new(0),
            open_sockets: AtomicUsize::new(0),
            echo: crate::echo::server(),
            live: Server::default().config(live_config()),
        }))
    }

    /// What the server does by itself, until it is dropped: its hub, the ends of lots, the figures on the first page.
    pub async fn run(&self) {
        tokio::join!(self.0.hub.run(), self.0.own.run(), self.auction().run(), crate::metrics::run(self));
    }

    /// The topics that all nodes have in common.
    #[must_use]
    pub fn hub(&self) -> &Hub<Item> {
        &self.0.hub
    }

    /// The topic of this name. That of the figures is one of this node alone, since they are about this node.
    ///
    /// # Errors
    ///
    /// As [`Hub::topic`].
    pub fn topic(&self, name: &str) -> Result<Topic<Item>, TopicError> {
        let hub = if name == crate::metrics::TOPIC { &self.0.own } else { &self.0.hub };
        hub.topic(name)
    }

    /// The lots.
    #[must_use]
    pub fn auction(&self) -> &Auction {
        &self.0.auction
    }

    /// Who may open sockets and post.
    #[must_use]
    pub fn origins(&self) -> &Origins {
        &self.0.origins
    }

    /// The pages.
    #[must_use]
    pub fn pages(&self) -> &Pages {
        &self.0.pages
    }

    /// The tasks of the sockets.
    #[must_use]
    pub fn sockets(&self) -> &TaskTracker {
        &self.0.sockets
    }

    /// Is cancelled when the server is to end.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// Ready at a random moment after the order to stop, so that not all clients come back at once.
    pub async fn turn_to_go(&self) {
        self.0.stop.cancelled().await;
        sleep(LEAVING.mul_f64(rand::random())).await;
    }

    /// How many connections and sockets there are. A connection of HTTP/2 may have many sockets.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.0.connections.load(Relaxed), self.0.open_sockets.load(Relaxed))
    }

    /// Counts a connection until it is dropped.
    #[must_use]
    pub fn count_connection(&self) -> Counted {
        Counted::new(self, |inner| &inner.connections)
    }

    /// Counts a socket until it is dropped.
    #[must_use]
    pub fn count_socket(&self) -> Counted {
        Counted::new(self, |inner| &inner.open_sockets)
    }

    /// 64 random bits as text, which no other socket has.
    #[must_use]
    pub fn new_name(&self) -> String {
        format!("{:016x}", rand::random::<u64>())
    }

    /// Judges requests for `/echo`.
    #[must_use]
    pub fn echo(&self) -> &Server {
        &self.0.echo
    }

    /// Judges requests for `/live`.
    #[must_use]
    pub fn live(&self) -> &Server {
        &self.0.live
    }
}

/// Something that is counted as long as this lives.
pub struct Counted {
    site: Site,
    count: fn(&Inner) -> &AtomicUsize,
}

impl Counted {
    fn new(site: &Site, count: fn(&Inner) -> &AtomicUsize) -> Counted {
        count(&site.0).fetch_add(1, Relaxed);
        Counted { site: site.clone(), count }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.count)(&self.site.0).fetch_sub(1, Relaxed);
    }
}

fn retain(messages: Option<usize>) -> Retain {
    let mut retain = Retain::default();
    retain.messages = messages.unwrap_or(retain.messages);
    retain
}

fn live_config() -> Config {
    let mut config = Config::default();
    config.max_message_size = 64 << 10;
    config.close_timeout = Duration::from_secs(5);
    config
}

/// Over how long the sockets are closed at the end.
const LEAVING: Duration = Duration::from_secs(3);
