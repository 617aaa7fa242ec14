//! Presence at the engine: this node's lease, what it announces of those who are here, and what it asks about others.
//!
//! ```text
//!                        ┌── every 5 s, for 15 s; soon, if something may have been missed
//!                      lease ──answered──► nodes that are not alive lose their names
//!                        │
//!   topics that talk ────┼──► announce: 1,000 names at most, one call at a time for a topic ─┐
//!                        ├──► here, for the first watcher ───────────────────────────────────┼─► 32 calls at a time
//!                        └──► here again, after a lease that began later than the loss ──────┘
//!                                   ▲ pauses, longer each time ◄── failed
//! ```
//!
//! A node that takes leave says of all its names that they have gone, and then ends its lease:
//!
//! ```text
//!   Here ──sign_off──► Leaving: all that is announced has gone ──each was said once──► lease of no time ──answered──► Gone
//! ```
//!
//! After that it goes on as before, but says nothing of its own names, and its lease is always one of no time. That is asked
//! for all the same, because the answer tells whether the engine is there.
//!
//! **Nobody flickers.** If this node's lease had ended, the engine may have lost everything, and the other nodes' leases
//! too. All of them announce again what they have, but not in the same moment. So for the time of one lease, no answer of
//! the engine makes anybody go. For the same reason nothing is asked again before a lease shows that the engine still knows
//! this node.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, Stream};
use tokio::time::Instant;

use crate::backplane::{Announce, Away, Fed, Lease, NodeId, Present};
use crate::engine::{Call, Link, Standing, pause};
use crate::hub::Hub;
use crate::limits::Stamp;
use crate::remote::Wants;
use crate::roster::Roster;
use crate::unsaid::Saying;

pub(crate) struct Attend<'h, M> {
    hub: &'h Hub<M>,
    link: &'h Link,
    me: NodeId,
    lease: Leasing<'h>,
    /// The engine knows this node: nothing is announced or asked before that.
    is_known: bool,
    /// Until then, the other nodes may not have announced again what the engine has lost.
    trusted_from: Option<Instant>,
    /// Each job of `queue`, `paused`, `again` and `calls`: a topic stands in them once at most for each kind.
    busy: BTreeSet<(Kind, Arc<str>)>,
    queue: VecDeque<Job>,
    calls: FuturesUnordered<Call<'h, Done>>,
    /// By when, and a number that no other has.
    paused: BTreeMap<(Instant, u64), Job>,
    pauses: u64,
    /// Topics to ask about after the next lease, and after the one that is being asked for.
    again: Vec<Job>,
    covered: Vec<Job>,
}

enum Leasing<'h> {
    /// `last`: when the last one began.
    Rest { last: Option<Instant>, until: Instant, attempts: u32 },
    Call {
        began: Instant,
        asked: Stamp,
        attempts: u32,
        /// The lease is to end.
        is_last: bool,
        /// What has become of the lease before is not known.
        is_unsure: bool,
        call: Call<'h, Result<Lease, Away>>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Announce,
    Here,
}

struct Job {
    kind: Kind,
    topic: Arc<str>,
    /// How many calls in a row have failed.
    attempts: u32,
}

struct Done(Job, Answer);

enum Answer {
    Said,
    Here(Vec<Present>),
    Failed,
}

impl<'h, M> Attend<'h, M> {
    pub(crate) fn new(hub: &'h Hub<M>, link: &'h Link, now: Instant) -> Attend<'h, M> {
        let attend = Attend {
            hub,
            link,
            me: NodeId(hub.0.shared.me().unwrap_or_default()),
            lease: Leasing::Rest { last: None, until: now, attempts: 0 },
            is_known: false,
            trusted_from: None,
            busy: BTreeSet::new(),
            queue: VecDeque::new(),
            calls: FuturesUnordered::new(),
            paused: BTreeMap::new(),
            pauses: 0,
            again: Vec::new(),
            covered: Vec::new(),
        };
        // What an earlier run has asked for does not come any more, and what was fed since then is lost.
        attend.hub.each_roster(Roster::stale);
        link.begins();
        attend
    }

    fn standing(&self) -> Standing {
        *self.link.standing.borrow()
    }

    /// All names of this node have been said to have gone, or the engine has refused that again and again. What is refused
    /// goes with the lease.
    fn has_said_all(&self) -> bool {
        let is_refused = |job: &Job| job.kind == Kind::Announce && job.attempts >= TRIES;
        let refused = self.paused.values().filter(|job| is_refused(job)).count();
        let busy = self.busy.iter().filter(|(kind, _)| *kind == Kind::Announce).count();
        busy == refused && !self.hub.0.shared.turns.has_talk()
    }

    /// Returns whether there may be more to do at once.
    pub(crate) fn poll(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let trusts = self.renew(now, cx);
        while let Some(first) = self.paused.first_entry().filter(|first| first.key().0 <= now) {
            let job = first.remove();
            self.queue(job, now);
        }
        let mut left = TOPICS;
        while left > 0
            && let Some(topic) = self.hub.0.shared.turns.take_talk()
        {
            left -= 1;
            self.consider(&topic, now);
        }
        let mut started = self.start();
        while left > 0
            && let Poll::Ready(Some(done)) = Pin::new(&mut self.calls).poll_next(cx)
        {
            left -= 1;
            self.done(done, now);
            started |= self.start();
        }
        let ends = matches!(self.lease, Leasing::Rest { attempts: 0, .. }) && self.takes_leave();
        ends || trusts || started || left == 0 || self.next().is_some_and(|next| next <= now)
    }

    /// When there is something to do, if nothing comes before.
    pub(crate) fn next(&self) -> Option<Instant> {
        let paused = self.paused.first_key_value().map(|(first, _)| first.0);
        let lease = if let Leasing::Rest { until, .. } = self.lease { Some(until) } else { None };
        paused.into_iter().chain(lease).min()
    }

    /// The engine feeds this topic from now on.
    pub(crate) fn confirmed(&mut self, topic: &Arc<str>, now: Instant) {
        self.consider(topic, now);
    }

    /// What the feed says of presence.
    pub(crate) fn fed(&self, fed: &Fed) {
        let now = self.hub.0.shared.now();
        match fed {
            Fed::Presence(Announce { topic, node, joined, gone }) => {
                self.roster(topic, |roster| roster.fed(node.0, joined, gone, now));
            }
            Fed::Stale(topic) => _ = self.roster(topic, Roster::stale),
            Fed::Cut => self.hub.each_roster(Roster::stale),
            Fed::Message { .. } => {}
        }
    }

    fn roster<T>(&self, topic: &str, change: impl FnOnce(&mut Roster) -> T) -> Option<T> {
        self.hub.find(topic)?.if_roster(change)
    }

    /// Keeps the lease. Returns whether the engine may be told more, because it has answered.
    fn renew(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let is_last = self.takes_leave();
        match &mut self.lease {
            Leasing::Rest { until, attempts, .. } if now < *until && !(is_last && *attempts == 0) => return false,
            Leasing::Rest { attempts, .. } => {
                let (attempts, asked) = (*attempts, self.hub.0.shared.now());
                self.covered.append(&mut self.again);
                let is_here = !is_last && self.standing() != Standing::Gone;
                let is_unsure = self.link.unheard.swap(true, Relaxed);
                let call = self.link.engine.lease(self.me, if is_here { LEASE } else { Duration::ZERO });
                self.lease = Leasing::Call { began: now, asked, attempts, is_last, is_unsure, call };
            }
            Leasing::Call { .. } => {}
        }
        let Leasing::Call { began, asked, attempts, is_last, is_unsure, call } = &mut self.lease else { return false };
        let (began, asked, attempts, is_last, is_unsure) = (*began, *asked, *attempts, *is_last, *is_unsure);
        let Poll::Ready(answer) = call.as_mut().poll(cx) else { return false };
        let mut trusts = false;
        let (until, attempts) = match answer {
            Ok(mut lease) => {
                self.link.answered();
                self.link.unheard.store(false, Relaxed);
                trusts = self.link.interest.trust();
                if is_last {
                    self.link.standing.send_replace(Standing::Gone);
                }
                // A lease whose answer was lost may have been a new one.
                lease.held &= !is_unsure;
                self.leased(&lease, asked, now);
                (began + RENEW, 0)
            }
            Err(Away) => {
                self.link.failed();
                self.again.append(&mut self.covered);
                (now + pause(attempts), attempts.saturating_add(1))
            }
        };
        self.lease = Leasing::Rest { last: Some(began), until, attempts };
        if !self.again.is_empty() && attempts == 0 && !self.is_distrusted(now) {
            self.hasten(now);
        }
        trusts
    }

    /// All is said, so the lease is to end.
    fn takes_leave(&self) -> bool {
        self.is_known && self.standing() == Standing::Leaving && self.has_said_all()
    }

    fn leased(&mut self, lease: &Lease, asked: Stamp, now: Instant) {
        self.is_known = true;
        if self.standing() == Standing::Gone {
            // Whether the engine has lost everything cannot be seen any more, so nobody is taken for dead.
            self.trusted_from = None;
            self.queue.extend(self.covered.drain(..));
            return;
        }
        let is_first = self.link.moves(|standing| (standing == Standing::New).then_some(Standing::Here));
        if !lease.held {
            // The first time there is nothing that the engine could have lost.
            self.trusted_from = if is_first { None } else { Some(now + LEASE) };
            self.hub.each_roster(Roster::say_all);
        }
        if self.is_distrusted(now) {
            self.again.append(&mut self.covered);
            return;
        }
        self.trusted_from = None;
        self.queue.extend(self.covered.drain(..));
        let alive = lease.alive.iter().map(|node| node.0).collect();
        self.hub.each_roster(|roster| roster.alive(&alive, asked));
    }

    fn is_distrusted(&self, now: Instant) -> bool {
        self.trusted_from.is_some_and(|from| now < from)
    }

    /// A lease is wanted soon.
    pub(crate) fn hasten(&mut self, now: Instant) {
        let is_distrusted = self.is_distrusted(now);
        if let Leasing::Rest { last, until, attempts: 0 } = &mut self.lease
            && !is_distrusted
        {
            *until = (*until).min(last.map_or(now, |last| last + SOON).max(now));
        }
    }

    /// Looks at what a topic has for the engine.
    fn consider(&mut self, topic: &Arc<str>, now: Instant) {
        let Some(inner) = self.hub.find(topic) else { return };
        let Some((mut says, asks)) = inner.look(|roster| (roster.has_unsaid(), roster.wants().is_some())) else {
            return;
        };
        if says && self.standing() == Standing::Gone {
            inner.if_roster(Roster::forget_unsaid);
            says = false;
        }
        for (kind, wanted) in [(Kind::Announce, says), (Kind::Here, asks && self.link.interest.is_told(topic))] {
            if wanted && self.busy.insert((kind, Arc::clone(topic))) {
                self.queue(Job { kind, topic: Arc::clone(topic), attempts: 0 }, now);
            }
        }
    }

    fn queue(&mut self, job: Job, now: Instant) {
        let wants = |topic: &str| self.hub.find(topic)?.look(Roster::wants)?;
        if job.kind == Kind::Here && wants(&job.topic) == Some(Wants::Again) {
            self.again.push(job);
            self.hasten(now);
        } else {
            self.queue.push_back(job);
        }
    }

    /// Returns whether a call has been started.
    fn start(&mut self) -> bool {
        let before = self.calls.len();
        while self.is_known
            && self.calls.len() < CALLS
            && let Some(job) = self.queue.pop_front()
        {
            let call = match job.kind {
                Kind::Announce => self.announce(job),
                Kind::Here => self.here(job),
            };
            match call {
                Ok(call) => self.calls.push(call),
                Err(Job { kind, topic, .. }) => _ = self.busy.remove(&(kind, topic)),
            }
        }
        self.calls.len() > before
    }

    fn announce(&self, job: Job) -> Result<Call<'h, Done>, Job> {
        let standing = self.standing();
        let saying = self.roster(&job.topic, |roster| {
            // It was refused before, or found while the engine had not answered yet.
            if standing == Standing::Gone {
                roster.forget_unsaid();
            }
            roster.say(NAMES)
        });
        let Some(Saying { mut joined, mut gone }) = saying.flatten() else { return Err(job) };
        if standing == Standing::Leaving {
            gone.append(&mut joined);
        }
        let announce = Announce { topic: Arc::clone(&job.topic), node: self.me, joined, gone };
        let call = self.link.engine.announce(announce);
        Ok(Box::pin(async move { Done(job, call.await.map_or(Answer::Failed, |()| Answer::Said)) }))
    }

    fn here(&self, job: Job) -> Result<Call<'h, Done>, Job> {
        let asked = self.roster(&job.topic, |roster| {
            let wants = roster.wants().is_some();
            if wants {
                roster.ask();
            }
            wants
        });
        if asked != Some(true) {
            return Err(job);
        }
        let call = self.link.engine.here(Arc::clone(&job.topic));
        Ok(Box::pin(async move { Done(job, call.await.map_or(Answer::Failed, Answer::Here)) }))
    }

    fn done(&mut self, Done(job, answer): Done, now: Instant) {
        let stamp = self.hub.0.shared.now();
        let failed = matches!(answer, Answer::Failed);
        self.roster(&job.topic, |roster| match (job.kind, answer) {
            (_, Answer::Said) => roster.said(),
            (_, Answer::Here(present)) => {
                roster.answered(present.iter().map(|present| (present.node.0, &present.names[..])), stamp);
            }
            (Kind::Here, Answer::Failed) => roster.stale(),
            (Kind::Announce, Answer::Failed) => {}
        });
        if failed {
            let suspects = |roster: &Roster| job.kind == Kind::Announce && roster.unsaid.has_suspects();
            let has_suspects = self.hub.find(&job.topic).and_then(|inner| inner.look(suspects)) == Some(true);
            let until = now + self.link.pause(job.attempts, has_suspects);
            self.paused.insert((until, self.pauses), Job { attempts: job.attempts.saturating_add(1), ..job });
            self.pauses += 1;
            return;
        }
        self.busy.remove(&(job.kind, Arc::clone(&job.topic)));
        self.consider(&job.topic, now);
    }
}

/// For how long a node counts as alive without renewing its lease, and how often it does.
const LEASE: Duration = Duration::from_secs(15);
const RENEW: Duration = Duration::from_secs(5);
/// How long after the last lease one comes that is wanted soon.
const SOON: Duration = Duration::from_millis(500);
/// How many names are announced at a time.
const NAMES: usize = 1000;
/// How many announcements of a topic fail before a node that takes leave waits no longer for it.
const TRIES: u32 = 3;
/// How many calls are under way at a time.
const CALLS: usize = 32;
/// How many topics and answers are looked at before other tasks run.
const TOPICS: usize = 256;
