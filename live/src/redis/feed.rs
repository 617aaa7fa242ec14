//! The feed of a node: one connection with all subscriptions, and the one task that keeps it.
//!
//! The server confirms a subscription before anybody is told of it. A connection is made again if it is lost, if it does
//! not answer, if its server is another one than that of the commands, or if the server has taken a topic from it. Then
//! all topics are subscribed to, and after that the cut is told.

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{ErrorKind, Pipeline, PushInfo, PushKind, Value};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::RedisError;
use super::line::{Commands, Line, Lost};
use super::queue::Queue;
use super::words::Names;
use crate::backplane::Away;

/// A call of [`interest`](crate::Backplane::interest).
pub(super) struct Request {
    pub(super) add: Vec<Arc<str>>,
    pub(super) remove: Vec<Arc<str>>,
    pub(super) done: oneshot::Sender<Result<(), Away>>,
}

/// What the task works on. It ends when it is aborted.
pub(super) struct Feed {
    pub(super) commands: Arc<Commands>,
    pub(super) queue: Arc<Queue>,
    pub(super) names: Arc<Names>,
    pub(super) requests: mpsc::Receiver<Request>,
    /// Topics that the server feeds no more, though it once did: the rights of the user have changed. They are asked for
    /// again and again, and the others have their feed.
    pub(super) refused: Vec<(Vec<u8>, Arc<str>)>,
}

/// Why a connection is made again.
struct Broken;

impl Feed {
    /// A connection without subscriptions.
    pub(super) async fn dial(commands: &Commands, queue: &Arc<Queue>) -> Result<Line, RedisError> {
        let (number, queue) = (queue.next_connection(), queue.clone());
        let lost: Arc<Lost> = Arc::default();
        let taken = lost.clone();
        let push = move |info: PushInfo| {
            let mut data = info.data.into_iter();
            match (info.kind, data.next(), data.next()) {
                (PushKind::SMessage, Some(Value::BulkString(channel)), Some(Value::BulkString(came))) => {
                    queue.push(number, &channel, came);
                }
                // A topic is unwanted before it is unsubscribed from, so here the server has taken it away.
                (PushKind::SUnsubscribe, Some(Value::BulkString(channel)), _) if queue.wants(&channel) => taken.set(),
                _ => queue.sign(),
            }
        };
        let line = commands.dialer.dial(lost, push).await?;
        commands.follow(&line.run);
        Ok(line)
    }

    pub(super) async fn run(mut self, mut line: Line) {
        let mut attempts = 0;
        loop {
            let since = Instant::now();
            let unanswered = self.hold(&line).await;
            drop(line);
            if since.elapsed() >= STEADY {
                attempts = 0;
            }
            line = loop {
                sleep(backoff(attempts)).await;
                attempts = (attempts + 1).min(16);
                if let Ok(line) = self.restore().await {
                    break line;
                }
            };
            self.queue.cut();
            for done in unanswered {
                // Who does not wait any longer has been told that the engine is away.
                _ = done.send(Ok(()));
            }
        }
    }

    /// A new connection with all subscriptions.
    async fn restore(&mut self) -> Result<Line, Broken> {
        let line = Feed::dial(&self.commands, &self.queue).await.map_err(|_| Broken)?;
        self.refused = self.subscribe(&line, &self.queue.wanted()).await?;
        Ok(line)
    }

    /// Subscribes to these topics, some at a time. Returns those that the user may not read.
    async fn subscribe(&self, line: &Line, all: &[(Vec<u8>, Arc<str>)]) -> Result<Vec<(Vec<u8>, Arc<str>)>, Broken> {
        let mut refused = Vec::new();
        for some in all.chunks(AT_ONCE) {
            let mut pipe = ::redis::pipe();
            some.iter().for_each(|(channel, _)| _ = pipe.cmd("SSUBSCRIBE").arg(&channel[..]));
            let Err(error) = self.pipe(line, &pipe).await? else { continue };
            let errors = error.into_server_errors().ok_or(Broken)?;
            if errors.iter().any(|(_, error)| error.code() != "NOPERM") {
                return Err(Broken);
            }
            refused.extend(errors.iter().filter_map(|(at, _)| some.get(*at).cloned()));
        }
        Ok(refused)
    }

    /// Asks again for what was refused.
    async fn retry(&mut self, line: &Line) -> Result<(), Broken> {
        let mut asked = std::mem::take(&mut self.refused);
        asked.retain(|(channel, _)| self.queue.wants(channel));
        self.refused = self.subscribe(line, &asked).await?;
        let refused: HashSet<&Vec<u8>> = self.refused.iter().map(|(channel, _)| channel).collect();
        for (_, topic) in asked.iter().filter(|(channel, _)| !refused.contains(channel)) {
            // What was said meanwhile has not been fed.
            self.queue.stale(topic.clone());
        }
        Ok(())
    }

    /// Serves a connection until it is lost. Returns the requests that it could not finish: they are done when the next
    /// connection has all subscriptions.
    async fn hold(&mut self, line: &Line) -> Vec<oneshot::Sender<Result<(), Away>>> {
        let mut run = self.commands.run();
        let mut refresh = Refresh::default();
        let mut next = Instant::now() + TICK;
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                () = line.lost.wait() => return Vec::new(),
                () = other(&mut run, &line.run) => return Vec::new(),
                () = sleep_until(next) => {
                    let pipe = refresh.next(&self.names, &self.queue);
                    next = Instant::now() + TICK;
                    tokio::spawn(self.commands.clone().look());
                    match self.pipe(line, &pipe).await {
                        Ok(Err(error)) if error.code() == Some("READONLY") => return Vec::new(),
                        Ok(_) => {}
                        Err(Broken) => return Vec::new(),
                    }
                    if self.retry(line).await.is_err() {
                        return Vec::new();
                    }
                }
                1.. = self.requests.recv_many(&mut batch, 64) => {
                    if let Err(unanswered) = self.serve(line, batch).await {
                        return unanswered;
                    }
                }
            }
        }
    }

    /// Serves some requests as one.
    async fn serve(&self, line: &Line, batch: Vec<Request>) -> Result<(), Vec<oneshot::Sender<Result<(), Away>>>> {
        // What the last request says of a topic counts.
        let mut topics = BTreeMap::new();
        let mut waiting = Vec::new();
        for request in batch {
            topics.extend(request.remove.into_iter().map(|topic| (topic, false)));
            topics.extend(request.add.into_iter().map(|topic| (topic, true)));
            waiting.push(request.done);
        }
        let mut pipe = ::redis::pipe();
        let mut added = Vec::new();
        for (topic, wanted) in topics {
            let channel = self.names.channel(&topic).into_bytes();
            if wanted {
                pipe.cmd("SSUBSCRIBE").arg(&channel[..]);
                if self.queue.want(channel.clone(), topic) {
                    added.push(channel);
                }
            } else {
                self.queue.unwant(&channel);
                pipe.cmd("SUNSUBSCRIBE").arg(&channel[..]);
            }
        }
        let result = match self.pipe(line, &pipe).await {
            Err(Broken) => return Err(waiting),
            Ok(Ok(())) => Ok(()),
            // The user may not read these. The others must not lose their feed for it at the next connection.
            Ok(Err(_)) => {
                added.iter().for_each(|channel| self.queue.unwant(channel));
                Err(Away)
            }
        };
        waiting.into_iter().for_each(|done| _ = done.send(result));
        Ok(())
    }

    /// Waits for all answers, for as long as the server sends anything. The inner error is one of the server's words.
    async fn pipe(&self, line: &Line, pipe: &Pipeline) -> Result<Result<(), ::redis::RedisError>, Broken> {
        if pipe.is_empty() {
            return Ok(Ok(()));
        }
        let mut answers = pin!(line.pipe(pipe));
        loop {
            let signs = self.queue.signs();
            match timeout(self.commands.dialer.timeout, &mut answers).await {
                Ok(Ok(_)) => return Ok(Ok(())),
                Ok(Err(error)) if is_said(&error) => return Ok(Err(error)),
                Ok(Err(_)) => return Err(Broken),
                Err(_) if self.queue.signs() == signs => return Err(Broken),
                Err(_) => {}
            }
        }
    }
}

/// Whether the server has said it, and the connection stands.
fn is_said(error: &::redis::RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// Waits until commands go to another server than this.
async fn other(run: &mut watch::Receiver<Arc<str>>, this: &Arc<str>) {
    if run.wait_for(|run| run != this).await.is_err() {
        // There are no commands any more, and soon no feed.
        std::future::pending::<()>().await;
    }
}

/// Keeps the epochs of the topics that this node has, and who is there of its own names, while nothing is said. All are
/// done once per minute, some at each tick. There is a PING with them.
#[derive(Default)]
struct Refresh {
    /// Keys, and for how many milliseconds they are kept.
    due: Vec<(String, u64)>,
    ticks: usize,
}

impl Refresh {
    fn next(&mut self, names: &Names, queue: &Queue) -> Pipeline {
        if self.ticks == 0 {
            let logs = queue.wanted().into_iter().map(|(_, topic)| (names.log(&topic)[0].clone(), KEPT));
            let here = queue.named().into_iter().map(|topic| (names.presence(&topic), super::PRESENCE_KEPT));
            self.due = logs.chain(here).collect();
            self.ticks = TICKS;
        }
        let some = self.due.len().div_ceil(self.ticks);
        self.ticks -= 1;
        let mut pipe = ::redis::pipe();
        pipe.cmd("PING");
        for (key, kept) in self.due.drain(..some) {
            pipe.cmd("PEXPIRE").arg(key).arg(kept).arg("GT").ignore();
        }
        pipe
    }
}

/// A random time, so that many nodes do not come back at the same moment.
fn backoff(attempts: u32) -> Duration {
    let most = FIRST.saturating_mul(1 << attempts.min(16)).min(LONGEST);
    // Without random numbers it waits for the whole time.
    let part = getrandom::u32().unwrap_or(u32::MAX);
    most.mul_f64(f64::from(part) / f64::from(u32::MAX))
}

/// How often the connection is tried, and how many of these until each topic has had its turn.
const TICK: Duration = Duration::from_secs(5);
const TICKS: usize = 12;
/// For how many milliseconds a log is known after its turn. `stand.lua` has the same time.
const KEPT: u64 = 600_000;
/// How long a connection must have stood for the next attempts to begin soon again.
const STEADY: Duration = Duration::from_secs(10);
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(3);
/// How many topics are subscribed to before the answers are waited for.
const AT_ONCE: usize = 4096;
