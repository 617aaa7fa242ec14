//! The one future of a node, [`Hub::run`]: time passes, topics are swept, and what the engine feeds comes in.
//!
//! ```text
//!   topics joined and swept ──► interest, one call at a time ──► queue ──► reads, 32 at a time ──► logs
//!                     gaps, Stale, Cut in the feed ───────────────►▲              │
//!                                             pauses, longer each time ◄── failed ┘
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, Stream};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::attend::Attend;
use crate::backplane::{Away, Fed, Page};
use crate::clock::Anchor;
use crate::engine::{Call, Link, pause};
use crate::follow::Then;
use crate::hub::Hub;
use crate::interest::Told;
use crate::limits::Stamp;
use crate::position::Position;
use crate::round::Lane;
use crate::topic::Inner;

impl<M: Send> Hub<M> {
    /// Keeps the hub going: its clock, its sweeps, and with a backplane all that comes from the engine. It never returns, so
    /// spawn it, or put it into a `select!` beside what ends the program. It ends for nothing that the engine does.
    ///
    /// It can be dropped and called again. A hub with a backplane stands still meanwhile, and reads all of its topics again
    /// afterwards, so nothing is lost. If it runs already, the second call waits until the first one is dropped.
    ///
    /// The hub's time goes on from the last [`tick`](Self::tick), also if that comes while it runs, or from the moment of
    /// [`restore`](Self::restore).
    ///
    /// # Panics
    ///
    /// It is polled outside of a runtime of tokio with time; or the hub's `make` panics, after which it can be called again.
    pub async fn run(&self) {
        let running = self.0.clock.start(|| self.0.shared.now()).await;
        let Some(link) = &self.0.shared.link else {
            let mut ticks = Ticks::new(self, running.anchor);
            return poll_fn(|cx| ticks.poll(cx)).await;
        };
        let mut node = Node::new(self, link, running.anchor);
        poll_fn(|cx| node.poll(cx)).await
    }
}

/// The hub's clock.
struct Ticks<'h, M> {
    hub: &'h Hub<M>,
    anchor: Anchor,
    timer: Pin<Box<Sleep>>,
    next_sweep: Stamp,
    /// The hub's time has come to its end, and moves no more. When it was told last.
    ended: Option<Instant>,
}

impl<'h, M> Ticks<'h, M> {
    fn new(hub: &'h Hub<M>, anchor: Anchor) -> Ticks<'h, M> {
        let (timer, next_sweep) = (Box::pin(sleep_until(Instant::now())), hub.0.shared.now());
        Ticks { hub, anchor, timer, next_sweep, ended: None }
    }

    /// Tells the hub what time it is, again and again: when it is time to sweep, and when somebody has come or gone.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Somebody else may have told a later time, by which turns are reckoned from then on.
            self.stamp(Instant::now());
            let turn = self.hub.0.shared.turns.next_or_wait(cx.waker());
            let mut next = self.anchor.instant(turn.map_or(self.next_sweep, |turn| turn.min(self.next_sweep)));
            if let Some(ticked) = self.ended {
                next = ticked + Duration::from_secs(1);
            }
            if self.timer.deadline() != next {
                self.timer.as_mut().reset(next);
            }
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            let stamp = self.stamp(now);
            self.next_sweep = self.hub.advance(stamp.time());
            self.ended = (self.next_sweep <= stamp).then_some(now);
        }
    }

    /// The hub's time. Somebody else may have told it a later one.
    fn stamp(&mut self, now: Instant) -> Stamp {
        self.anchor.go_on(now, self.hub.0.shared.now())
    }
}

/// A node at its engine.
struct Node<'h, M> {
    hub: &'h Hub<M>,
    link: &'h Link,
    ticks: Ticks<'h, M>,
    feed: Pin<Box<dyn Stream<Item = Fed> + Send + 'h>>,
    interest: Asking<'h>,
    /// Topics to read. A topic stands here once at most, or in `reads`, or in `paused`: see [`Step`](crate::phase::Step).
    queue: VecDeque<Wish<M>>,
    reads: FuturesUnordered<Call<'h, Answer<M>>>,
    /// Topics to read later, by when, and a number that no other has.
    paused: BTreeMap<(Instant, u64), Wish<M>>,
    pauses: u64,
    attend: Attend<'h, M>,
    /// Wakes for `paused`, `interest` and `attend`.
    timer: Pin<Box<Sleep>>,
}

/// A topic that is to be read. It may be swept meanwhile.
struct Wish<M> {
    topic: Weak<Inner<M>>,
    /// How many reads in a row have brought nothing.
    attempts: u32,
}

struct Answer<M> {
    wish: Wish<M>,
    asked: Option<Position>,
    page: Result<Page, Away>,
    took: Duration,
}

/// What the engine is being told.
struct Asking<'h> {
    call: Option<Telling<'h>>,
    /// When names of calls that have failed may be told again, and how many such calls in a row have failed.
    again: Instant,
    attempts: u32,
}

struct Telling<'h> {
    lane: Lane,
    add: Vec<Arc<str>>,
    remove: Vec<Arc<str>>,
    call: Call<'h, Result<(), Away>>,
}

impl<'h, M: Send> Node<'h, M> {
    fn new(hub: &'h Hub<M>, link: &'h Link, anchor: Anchor) -> Node<'h, M> {
        // What an earlier run has asked for does not come any more.
        link.interest.begin_again();
        for topic in hub.all() {
            if topic.begin_again() {
                drop(link.interest.change(&topic.name));
            }
        }
        Node {
            hub,
            link,
            ticks: Ticks::new(hub, anchor),
            feed: link.engine.feed(),
            interest: Asking { call: None, again: Instant::now(), attempts: 0 },
            queue: VecDeque::new(),
            reads: FuturesUnordered::new(),
            paused: BTreeMap::new(),
            pauses: 0,
            attend: Attend::new(hub, link, Instant::now()),
            timer: Box::pin(sleep_until(Instant::now())),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        // Messages are stamped with the time of now, not of the last sweep.
        self.hub.0.shared.now.fetch_max(self.ticks.stamp(now).nanos(), Relaxed);
        let _ = self.ticks.poll(cx);
        let mut busy = self.tell(now, cx);
        self.resume(now);
        self.start_reads();
        busy |= self.take_pages(cx);
        busy |= self.take_feed(cx);
        busy |= self.attend.poll(now, cx);
        // What is started here is polled in the next turn.
        busy |= self.start_reads();
        if busy || !self.wait(now, cx) {
            // Other tasks run first, however much there is to do.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Tells the engine what to feed. Returns whether there may be more to tell.
    fn tell(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        if let Some(told) = &mut self.interest.call {
            let Poll::Ready(answer) = told.call.as_mut().poll(cx) else { return false };
            if let Some(told) = self.interest.call.take() {
                self.told(told, answer, now);
            }
        }
        let is_due = self.interest.again <= now;
        let (lane, names) = self.link.interest.take(NAMES, is_due, cx);
        if names.is_empty() {
            return false;
        }
        let (mut add, mut remove) = (Vec::new(), Vec::new());
        for (name, told) in names {
            let wanted = self.hub.find(&name).is_some_and(|topic| topic.is_wanted());
            match (wanted, told) {
                (true, Some(Told::Yes)) => self.fed_from_now(&name),
                (true, _) => add.push(name),
                (false, Some(_)) => remove.push(name),
                (false, None) => self.link.interest.settle(&name, None),
            }
        }
        if !add.is_empty() || !remove.is_empty() {
            let call = self.link.engine.interest(add.clone(), remove.clone());
            self.interest.call = Some(Telling { lane, add, remove, call });
        }
        true
    }

    /// What has become of a call.
    fn told(&mut self, Telling { lane, add, remove, .. }: Telling<'h>, answer: Result<(), Away>, now: Instant) {
        if answer.is_err() {
            self.link.interest.failed(add.into_iter().chain(remove).collect());
            let attempts = self.interest.attempts;
            self.interest.again = now + self.link.pause(attempts, self.link.interest.has_suspects());
            self.interest.attempts = attempts.saturating_add(1);
            // It tells whether the engine is there.
            self.attend.hasten(now);
            return;
        }
        self.link.interest.heard(lane);
        if lane == Lane::Again {
            self.interest.attempts = 0;
        }
        remove.iter().for_each(|name| self.link.interest.settle(name, None));
        add.iter().for_each(|name| self.fed_from_now(name));
    }

    /// The engine feeds this topic.
    fn fed_from_now(&mut self, name: &Arc<str>) {
        self.link.interest.settle(name, Some(Told::Yes));
        self.attend.confirmed(name, Instant::now());
        if let Some(topic) = self.hub.find(name) {
            self.then(topic.confirmed(), Wish::new(&topic), Duration::ZERO);
        }
    }

    /// Does what is next for a topic.
    fn then(&mut self, then: Then, wish: Wish<M>, pause: Duration) {
        match then {
            Then::Nothing => {}
            Then::Read => self.queue.push_back(Wish { attempts: 0, ..wish }),
            Then::Pause if pause.is_zero() => self.queue.push_back(wish),
            Then::Pause => {
                self.paused.insert((Instant::now() + pause, self.pauses), wish);
                self.pauses += 1;
            }
        }
    }

    /// Queues those whose pause is over.
    fn resume(&mut self, now: Instant) {
        while let Some(first) = self.paused.first_entry().filter(|first| first.key().0 <= now) {
            self.queue.push_back(first.remove());
        }
    }

    /// Returns whether a read has been started.
    fn start_reads(&mut self) -> bool {
        let before = self.reads.len();
        while self.reads.len() < READS
            && let Some(wish) = self.queue.pop_front()
        {
            let Some(topic) = wish.topic.upgrade() else { continue };
            let Some(asked) = topic.ask() else { continue };
            let call = self.link.engine.after(Arc::clone(&topic.name), asked, self.hub.0.shared.fresh());
            self.reads.push(Box::pin(async move {
                let began = Instant::now();
                let page = call.await;
                Answer { wish, asked, page, took: began.elapsed() }
            }));
        }
        self.reads.len() > before
    }

    /// Takes pages that have come, a few at most. Returns whether there may be more.
    fn take_pages(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..PAGES {
            let Poll::Ready(Some(answer)) = Pin::new(&mut self.reads).poll_next(cx) else { return false };
            let Answer { wish: Wish { topic: weak, attempts }, asked, page, took } = answer;
            self.link.loads.fetch_add(1, Relaxed);
            self.link.took(took);
            if let Some(topic) = weak.upgrade() {
                let came = page.is_ok();
                let then = page.map_or_else(|Away| topic.failed(), |page| topic.page(asked, page));
                // What brought nothing for the first time was only too early.
                let pause = if came && attempts == 0 { Duration::ZERO } else { pause(attempts) };
                self.then(then, Wish { topic: weak, attempts: attempts.saturating_add(1) }, pause);
            }
            self.start_reads();
        }
        true
    }

    /// Takes what is fed, so much at most. Returns whether there may be more.
    fn take_feed(&mut self, cx: &mut Context<'_>) -> bool {
        let (mut left, mut cut) = (FEED, false);
        while left > 0
            && let Poll::Ready(Some(fed)) = self.feed.as_mut().poll_next(cx)
        {
            left -= 1;
            self.attend.fed(&fed);
            match fed {
                Fed::Message { topic, at, payload } => self.topic(&topic, |topic| topic.fed(at, payload)),
                Fed::Stale(topic) => self.topic(&topic, Inner::stale),
                Fed::Cut => cut = true,
                Fed::Presence(_) => {}
            }
        }
        if cut {
            for topic in self.hub.all() {
                self.then(topic.stale(), Wish::new(&topic), Duration::ZERO);
            }
        }
        left == 0
    }

    fn topic(&mut self, name: &str, act: impl FnOnce(&Inner<M>) -> Then) {
        if let Some(topic) = self.hub.find(name) {
            self.then(act(&topic), Wish::new(&topic), Duration::ZERO);
        }
    }

    /// Waits for the next pause to end. Returns false if it has ended.
    fn wait(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let read = self.paused.first_key_value().map(|(first, _)| first.0);
        let waits = self.interest.call.is_none() && self.link.interest.has_failed();
        let tell = waits.then_some(self.interest.again);
        let Some(first) = read.into_iter().chain(tell).chain(self.attend.next()).min() else { return true };
        if self.timer.deadline() != first {
            self.timer.as_mut().reset(first);
        }
        first > now && self.timer.as_mut().poll(cx).is_pending()
    }
}

impl<M> Wish<M> {
    fn new(topic: &Arc<Inner<M>>) -> Wish<M> {
        Wish { topic: Arc::downgrade(topic), attempts: 0 }
    }
}

/// How many topics are read at a time.
const READS: usize = 32;
/// How many names the engine is told at a time.
const NAMES: usize = 1024;
/// How many pages, and how many things from the feed are taken before other tasks run.
const PAGES: usize = 8;
const FEED: usize = 256;
