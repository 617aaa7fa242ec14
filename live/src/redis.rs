//! A backplane over Redis 7 or Valkey (feature `redis`).
//!
//! A node has two connections, whatever it does: one for commands, and one for the feed of all its topics. All that is
//! decided about a topic is decided by one script, so that it happens as a whole or not at all.

mod error;
mod feed;
mod line;
mod queue;
mod words;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::redis::{Cmd, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::error::Reason;
pub use self::error::RedisError;
use self::feed::{Feed, Request};
use self::line::{Commands, Dialer, Script, Trouble};
use self::queue::Queue;
use self::words::Names;
use crate::backplane::{Announce, Append, Away, Backplane, Fed, Lease, NodeId, Page, Present};
use crate::error::PublishError;
use crate::position::{Epoch, Position};

/// A [`Backplane`] over one Redis server, 7.0 or later, or Valkey.
///
/// ```no_run
/// # async fn docs() -> Result<(), openline_live::RedisError> {
/// use openline_live::Redis;
///
/// let redis = Redis::connect("redis://:secret@redis.example:6379/0").await?;
/// # Ok(())
/// # }
/// ```
///
/// It must be made inside a tokio runtime. One task in it keeps the feed's connection, reads what comes, and ends when
/// this value is dropped: the feed must be read and its server watched also while nobody waits for it. While the
/// connection for commands is lost, a call begins a task that makes it again, and ends within [`RedisOptions::timeout`].
///
/// # The server
///
/// - **Memory.** Everything has a limit and a time to live, so an idle topic costs nothing after a while: its messages go
///   after [`Retain::age`](crate::Retain::age), its ids after 5 minutes, and its epoch and last offset 10 minutes after
///   both, but not while a node has its feed. Set `maxmemory` with `maxmemory-policy noeviction`: a server that is full
///   then refuses messages ([`PublishError::Failed`]). With any other policy it removes whole topics, which then begin
///   new epochs.
/// - **Persistence** is your choice. With none, a restart begins new epochs with empty logs. With an append-only file
///   (`appendonly yes`) the logs are still there. Their epochs are new ones also then, because the last second may be
///   missing (`appendfsync everysec`).
/// - **Slow nodes.** `client-output-buffer-limit pubsub 32mb 8mb 60`, the default, is good. A feed that was cut by it is
///   read again from the logs.
/// - **Rights.** A user needs the keys `PREFIX*`, the channels `PREFIX*`, and these commands: `HELLO AUTH SELECT INFO PING
///   EVALSHA EVAL TIME EXISTS DEL PEXPIRE HMGET HGET HSET HDEL HGETALL RPUSH LINDEX LPOP XADD XRANGE XTRIM SPUBLISH
///   SSUBSCRIBE SUNSUBSCRIBE`, and `CLUSTER|INFO` in a cluster. `CLIENT|SETINFO` may be refused.
/// - **TLS** (`rediss://`) works if the program itself depends on the crate `redis` 1.x with the feature
///   `tokio-rustls-comp`, and on `rustls` with one provider (`ring` or `aws_lc_rs`). Otherwise such a URL is an error. The
///   platform's certificates are trusted. `redis+unix:///path` is a socket of this machine.
///
/// # Failover
///
/// The URL must lead to the server that takes writes: a name or address that a failover moves, or a proxy for TCP. Each
/// new connection asks who is there. A replica is refused and asked again later, a server of another life begins new
/// epochs, and commands and feed never stay at different ones.
///
/// What Redis loses in a failover is lost here too, but told: clients see a new epoch. There is one exception. If a
/// server loses its place, takes over the data of its successor, and then gets its place back without a restart, nobody
/// can see that what the successor had not received of a topic is missing, unless something was said in that topic
/// meanwhile. Sentinel is not asked for addresses. Its URLs are refused.
///
/// In a *cluster* this works only if one shard has all slots; with more, [`connect`](Self::connect) fails. The keys of
/// each topic have one slot.
///
/// # Bounds
///
/// The feed holds [`RedisOptions::feed_messages`] and [`RedisOptions::feed_bytes`] that nobody has taken. Then it drops
/// them and says [`Fed::Cut`]. Each call ends after [`RedisOptions::timeout`]. All calls are cancel-safe in so far as
/// nothing breaks: a call that was dropped may have happened.
pub struct Redis {
    names: Arc<Names>,
    commands: Arc<Commands>,
    queue: Arc<Queue>,
    requests: mpsc::Sender<Request>,
    feed: JoinHandle<()>,
    /// How many announcements and leases this node has asked for. A later one has a higher number.
    calls: AtomicU64,
    /// When the lease that this node knows of ends, by the server's clock, in milliseconds.
    leased: AtomicU64,
}

/// How a node uses its Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisOptions {
    /// What the names of all keys and channels begin with. Hubs with different ones, or with different databases, know
    /// nothing of each other. At most 128 bytes, without `{` and `}`. Default: `openline:`.
    pub prefix: String,
    /// How long a call and the making of a connection may take. At most 8 seconds count. Default: 5 seconds.
    pub timeout: Duration,
    /// How many messages of the feed may wait in this process. Default: 65,536.
    pub feed_messages: usize,
    /// How many bytes of the feed may wait in this process. It should be more than
    /// [`Retain::bytes`](crate::Retain::bytes): a longer message is never fed but read from the log. Default: 32 MiB.
    pub feed_bytes: usize,
}

impl Default for RedisOptions {
    fn default() -> RedisOptions {
        RedisOptions {
            prefix: "openline:".to_owned(),
            timeout: Duration::from_secs(5),
            feed_messages: 65_536,
            feed_bytes: 32 << 20,
        }
    }
}

impl Redis {
    /// Connects with the default options.
    ///
    /// The URL is `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`.
    ///
    /// # Errors
    ///
    /// The URL is none, or nobody is there, or it is no Redis that will do. The error says which, and where.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn connect(url: &str) -> Result<Redis, RedisError> {
        Redis::connect_with(url, RedisOptions::default()).await
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and if the prefix is not allowed.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn connect_with(url: &str, options: RedisOptions) -> Result<Redis, RedisError> {
        let dialer = Dialer::new(url, options.timeout.min(LONGEST))?;
        let names = Names::new(&options.prefix, dialer.database);
        let names = Arc::new(names.ok_or_else(|| dialer.error(Reason::Prefix))?);
        let commands = Arc::new(Commands::connect(dialer).await?);
        commands.probe(&names).await?;
        let queue = Arc::new(Queue::new(options.feed_messages, options.feed_bytes));
        let line = Feed::dial(&commands, &queue).await?;
        let (requests, receiver) = mpsc::channel(64);
        let refused = Vec::new();
        let feed = Feed {
            commands: commands.clone(),
            queue: queue.clone(),
            names: names.clone(),
            requests: receiver,
            refused,
        };
        let feed = tokio::spawn(feed.run(line));
        let (calls, leased) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Redis { names, commands, queue, requests, feed, calls, leased })
    }

    fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Backplane for Redis {
    async fn append(&self, append: Append) -> Result<Position, PublishError> {
        let Append { topic, id, payload, expect, retain, fresh } = append;
        let hash = id.map_or_else(Vec::new, |id| id.fingerprint(&payload).to_vec());
        let arguments = |call: &mut Cmd| {
            call.arg(fresh.to_string()).arg(self.names.channel(&topic)).arg(&payload[..]);
            call.arg(count(retain.messages.max(1))).arg(count(retain.bytes)).arg(millis(retain.age));
            call.arg(id.map_or_else(Vec::new, |id| id.to_bytes().to_vec())).arg(&hash[..]);
            call.arg(expect.map(|at| at.to_string()).unwrap_or_default());
        };
        match self.commands.script(&APPEND, &self.names.log(&topic), arguments).await {
            Ok(answer) => words::parse_append(answer).unwrap_or(Err(PublishError::Unknown)),
            Err(Trouble::Never) => Err(PublishError::Failed),
            Err(Trouble::Maybe) => Err(PublishError::Unknown),
        }
    }

    async fn after(&self, topic: Arc<str>, after: Option<Position>, most: usize, fresh: Epoch) -> Result<Page, Away> {
        let (epoch, offset) = after.map(|at| (at.epoch.to_string(), at.offset.to_string())).unwrap_or_default();
        let arguments = |call: &mut Cmd| {
            call.arg(fresh.to_string()).arg(&epoch).arg(&offset).arg(count(most.max(1)));
        };
        let answer = self.commands.script(&AFTER, &self.names.log(&topic), arguments).await?;
        words::parse_after(answer).ok_or(Away)
    }

    async fn interest(&self, add: Vec<Arc<str>>, remove: Vec<Arc<str>>) -> Result<(), Away> {
        let whole = async {
            let (done, answer) = oneshot::channel();
            self.requests.send(Request { add, remove, done }).await.map_err(|_| Away)?;
            answer.await.map_err(|_| Away)?
        };
        timeout(self.commands.dialer.timeout, whole).await.unwrap_or(Err(Away))
    }

    async fn fed(&self) -> Fed {
        self.queue.next().await
    }

    async fn lease(&self, node: NodeId, time: Duration) -> Result<Lease, Away> {
        let number = self.next_call();
        let arguments = |call: &mut Cmd| _ = call.arg(&node.0).arg(millis(time)).arg(number);
        let answer = self.commands.script(&LEASE, &[self.names.leases()], arguments).await?;
        let (ends, lease) = words::parse_lease(answer).ok_or(Away)?;
        self.leased.store(ends, Ordering::Relaxed);
        Ok(lease)
    }

    async fn announce(&self, announce: Announce) -> Result<(), Away> {
        let Announce { topic, node, joined, gone } = &announce;
        let (number, leased) = (self.next_call(), self.leased.load(Ordering::Relaxed));
        let arguments = |call: &mut Cmd| {
            call.arg(self.names.leases()).arg(&node.0).arg(number).arg(leased);
            call.arg(self.names.channel(topic)).arg(words::announcement(&announce)).arg(PRESENCE_KEPT);
            call.arg(joined.len());
            joined.iter().chain(gone).for_each(|name| _ = call.arg(name.as_bytes()));
        };
        // It may be heard even if nobody learns of it.
        self.queue.name(topic);
        match self.commands.script(&ANNOUNCE, &[self.names.presence(topic)], arguments).await? {
            Value::Int(0) => self.queue.unname(topic),
            Value::Int(1..) => {}
            _ => return Err(Away),
        }
        Ok(())
    }

    async fn here(&self, topic: Arc<str>) -> Result<Vec<Present>, Away> {
        // No script reads the names, because that takes the server three times as long.
        let key = self.names.presence(&topic);
        let entries = self.commands.command(::redis::cmd("HGETALL").arg(&key)).await?;
        // Asked after the names were read: who is dead now was dead when they were announced, or has died since.
        let lives = self.commands.script(&LIVES, &[self.names.leases()], |_| ()).await?;
        let (here, void) = words::parse_here(entries, lives).ok_or(Away)?;
        for some in void.chunks(AT_ONCE) {
            let arguments = |call: &mut Cmd| _ = call.arg(self.names.leases()).arg(some);
            // Who asks next tries again.
            _ = self.commands.script(&VOID, std::slice::from_ref(&key), arguments).await;
        }
        Ok(here)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.feed.abort();
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

impl From<Trouble> for Away {
    fn from(_: Trouble) -> Away {
        Away
    }
}

fn millis(time: Duration) -> String {
    time.as_millis().min(CENTURY).to_string()
}

/// Lua's numbers are exact up to 2^53.
fn count(count: usize) -> String {
    count.min(1 << 53).to_string()
}

/// A script of these files, one behind the other.
macro_rules! script {
    ($flags:literal, $($file:literal),+) => {
        Script::new(concat!("#!lua", $flags, "\n", $(include_str!(concat!("redis/", $file, ".lua"))),+))
    };
}

static APPEND: Script = script!("", "now", "stand", "append");
static AFTER: Script = script!("", "now", "stand", "after");
static LEASE: Script = script!("", "now", "lease");
static LIVES: Script = script!("", "now", "lives");
// The leases have another slot than a topic, and are at the same server all the same.
static ANNOUNCE: Script = script!(" flags=allow-cross-slot-keys", "now", "alive", "announce");
static VOID: Script = script!(" flags=allow-cross-slot-keys", "now", "alive", "void");

/// In milliseconds: Redis adds it to the time of day, in 63 bits.
const CENTURY: u128 = 100 * 365 * 86_400_000;
/// For how many milliseconds it is known who is in a topic, if no node with names there says anything more.
const PRESENCE_KEPT: u64 = 3_600_000;
/// How many names are removed at a time.
const AT_ONCE: usize = 1000;
/// The hub gives a call up after 10 seconds.
const LONGEST: Duration = Duration::from_secs(8);
