//! A hub's way to its engine: the [`Backplane`] without its type, each of whose calls ends within 10 seconds.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{Stream, unfold};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::backplane::{Announce, Append, Away, Backplane, Fed, Lease, NodeId, Page, Present};
use crate::error::PublishError;
use crate::interest::Interest;
use crate::position::{Epoch, Position};

/// The engine of a hub, and what is known of it.
pub(crate) struct Link {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) interest: Interest,
    pub(crate) loads: AtomicU64,
    /// A lease was asked for, and what the engine has answered is not known. It may have forgotten this node by then.
    pub(crate) unheard: AtomicBool,
    /// How many nanoseconds the last read took; `NEVER` if there was none.
    delay: AtomicU64,
    pulse: Mutex<Pulse>,
    pub(crate) standing: watch::Sender<Standing>,
}

/// Whether the engine answers to this node's lease.
#[derive(Clone, Copy, Debug)]
enum Pulse {
    /// It did so then, or has not been asked before that.
    There(Instant),
    /// It did so last then, and a question after that has failed.
    Away(Instant),
}

/// Whether this node is one among others, for those who are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The engine has never known it, so there is nobody who has heard of its names.
    New,
    Here,
    /// It says of all its names that they have gone, and ends its lease after that.
    Leaving,
    /// Nobody hears of its names any more.
    Gone,
}

impl Link {
    pub(crate) fn new(backplane: impl Backplane) -> Link {
        Link {
            engine: Box::new(backplane),
            interest: Interest::default(),
            loads: AtomicU64::new(0),
            unheard: AtomicBool::new(false),
            delay: AtomicU64::new(NEVER),
            pulse: Mutex::new(Pulse::There(Instant::now())),
            standing: watch::Sender::new(Standing::New),
        }
    }

    fn pulse(&self, change: impl FnOnce(Pulse) -> Pulse) -> Pulse {
        let mut pulse = self.pulse.lock().unwrap_or_else(PoisonError::into_inner);
        *pulse = change(*pulse);
        *pulse
    }

    /// This node has begun to take leave of the others.
    pub(crate) fn takes_leave(&self) -> bool {
        matches!(*self.standing.borrow(), Standing::Leaving | Standing::Gone)
    }

    /// Changes the standing, if there is another one for it. Returns whether there was.
    pub(crate) fn moves(&self, next: impl FnOnce(Standing) -> Option<Standing>) -> bool {
        self.standing.send_if_modified(|standing| match next(*standing) {
            Some(next) => {
                *standing = next;
                true
            }
            None => false,
        })
    }

    /// The hub begins to run. Nobody has asked the engine for a while, and that is no fault of it.
    pub(crate) fn begins(&self) {
        self.pulse(|pulse| if let Pulse::There(_) = pulse { Pulse::There(Instant::now()) } else { pulse });
    }

    pub(crate) fn answered(&self) {
        self.pulse(|_| Pulse::There(Instant::now()));
    }

    pub(crate) fn failed(&self) {
        self.pulse(|(Pulse::There(last) | Pulse::Away(last))| Pulse::Away(last));
    }

    /// How long ago the engine has answered last, if it does not any more.
    pub(crate) fn away(&self) -> Option<Duration> {
        if let Pulse::Away(last) = self.pulse(|pulse| pulse) { Some(last.elapsed()) } else { None }
    }

    /// How long to wait after so many failures in a row before names are told again. Those that may only have been in bad
    /// company do not wait for each that is refused, if the engine is there.
    pub(crate) fn pause(&self, attempts: u32, has_suspects: bool) -> Duration {
        pause(if has_suspects && self.away().is_none() { 0 } else { attempts })
    }

    /// Publishes a message, and counts it then.
    pub(crate) async fn publish(&self, append: Append, published: &AtomicU64) -> Result<Position, PublishError> {
        if append.payload.len() > append.retain.bytes {
            return Err(PublishError::TooLong);
        }
        let position = self.engine.append(append).await?;
        published.fetch_add(1, Relaxed);
        Ok(position)
    }

    pub(crate) fn took(&self, time: Duration) {
        self.delay.store(u64::try_from(time.as_nanos()).unwrap_or(NEVER - 1), Relaxed);
    }

    pub(crate) fn delay(&self) -> Option<Duration> {
        Some(self.delay.load(Relaxed)).filter(|nanos| *nanos != NEVER).map(Duration::from_nanos)
    }
}

/// [`Backplane`], for any engine. A call that takes longer than [`PATIENCE`] has failed.
pub(crate) trait Engine: Send + Sync {
    fn append(&self, append: Append) -> Call<'_, Result<Position, PublishError>>;
    /// The next messages of a topic: [`PAGE`] of them at most.
    fn after(&self, topic: Arc<str>, after: Option<Position>, fresh: Epoch) -> Call<'_, Result<Page, Away>>;
    fn interest(&self, add: Vec<Arc<str>>, remove: Vec<Arc<str>>) -> Call<'_, Result<(), Away>>;
    fn lease(&self, node: NodeId, time: Duration) -> Call<'_, Result<Lease, Away>>;
    fn announce(&self, announce: Announce) -> Call<'_, Result<(), Away>>;
    fn here(&self, topic: Arc<str>) -> Call<'_, Result<Vec<Present>, Away>>;
    /// All that is fed from now on. It never ends.
    fn feed(&self) -> Pin<Box<dyn Stream<Item = Fed> + Send + '_>>;
}

pub(crate) type Call<'c, T> = Pin<Box<dyn Future<Output = T> + Send + 'c>>;

impl<B: Backplane> Engine for B {
    fn append(&self, append: Append) -> Call<'_, Result<Position, PublishError>> {
        let call = Backplane::append(self, append);
        Box::pin(async move { timeout(PATIENCE, call).await.unwrap_or(Err(PublishError::Unknown)) })
    }

    fn after(&self, topic: Arc<str>, after: Option<Position>, fresh: Epoch) -> Call<'_, Result<Page, Away>> {
        let call = Backplane::after(self, topic, after, PAGE, fresh);
        Box::pin(async move { timeout(PATIENCE, call).await.unwrap_or(Err(Away)) })
    }

    fn interest(&self, add: Vec<Arc<str>>, remove: Vec<Arc<str>>) -> Call<'_, Result<(), Away>> {
        let call = Backplane::interest(self, add, remove);
        Box::pin(async move { timeout(PATIENCE, call).await.unwrap_or(Err(Away)) })
    }

    fn lease(&self, node: NodeId, time: Duration) -> Call<'_, Result<Lease, Away>> {
        let call = Backplane::lease(self, node, time);
        Box::pin(async move { timeout(PATIENCE, call).await.unwrap_or(Err(Away)) })
    }

    fn announce(&self, announce: Announce) -> Call<'_, Result<(), Away>> {
        let call = Backplane::announce(self, announce);
        Box::pin(async move { timeout(PATIENCE, call).await.unwrap_or(Err(Away)) })
    }

    fn here(&self, topic: Arc<str>) -> Call<'_, Result<Vec<Present>, Away>> {
        let call = Backplane::here(self, topic);
        Box::pin(async move { timeout(PATIENCE, call).await.unwrap_or(Err(Away)) })
    }

    fn feed(&self) -> Pin<Box<dyn Stream<Item = Fed> + Send + '_>> {
        Box::pin(unfold(self, |backplane| async move { Some((backplane.fed().await, backplane)) }))
    }
}

/// How long to wait after so many failures before the last one: 0.1 s, doubled each time, 5 s at most.
pub(crate) fn pause(attempts: u32) -> Duration {
    Duration::from_millis(100 << attempts.min(6)).min(Duration::from_secs(5))
}

/// How long an engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many messages are read at a time.
const PAGE: usize = 256;
const NEVER: u64 = u64::MAX;
