//! Connections to the server: how one is made, and the one that carries all commands.
//!
//! The run of the server is asked for on each new connection before anything else, so that it always belongs to it. An
//! error says whether the command certainly has not run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo, Pipeline, ProtocolVersion, PushInfo, PushKind, Value,
};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::error::{Reason, RedisError, is_password_cut};
use super::words::{self, Names};

/// Makes connections.
pub(super) struct Dialer {
    client: Client,
    /// Host and port, without a password.
    address: String,
    pub(super) database: i64,
    pub(super) timeout: Duration,
}

/// A connection, and which server is behind it. It ends with its last clone.
pub(super) struct Line {
    connection: MultiplexedConnection,
    /// One life of one server process.
    pub(super) run: Arc<str>,
    /// When it was made.
    since: Instant,
    pub(super) lost: Arc<Lost>,
}

/// Whether a connection may still be used.
#[derive(Default)]
pub(super) struct Lost {
    lost: AtomicBool,
    told: Notify,
}

impl Lost {
    pub(super) fn set(&self) {
        self.lost.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    pub(super) fn is(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    pub(super) async fn wait(&self) {
        let told = self.told.notified();
        if !self.is() {
            told.await;
        }
    }
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It certainly has not run.
    Never,
    /// It may have run, or a part of it.
    Maybe,
}

impl Dialer {
    pub(super) fn new(url: &str, timeout: Duration) -> Result<Dialer, RedisError> {
        let parsed = ::redis::parse_redis_url(url);
        if is_password_cut(url) {
            return Err(RedisError::new("", Reason::Url));
        }
        let address = parsed.as_ref().map_or_else(String::new, |parsed| {
            format!("{}:{}", parsed.host_str().unwrap_or_default(), parsed.port().unwrap_or(6379))
        });
        if parsed.is_some_and(|parsed| TLS.contains(&parsed.scheme())) && !can_tls() {
            return Err(RedisError::new(&address, Reason::Tls));
        }
        let wrong = |error: ::redis::RedisError| RedisError::new(&address, Reason::of_url(url, &error));
        let info = url.into_connection_info().map_err(wrong)?;
        let to = info.addr().to_string();
        // RESP3 tells messages from answers, so that a connection with subscriptions can be asked for more.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let settings = settings.set_lib_name("openline-live", env!("CARGO_PKG_VERSION"));
        let database = settings.db();
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let info = info.set_redis_settings(settings).set_tcp_settings(tcp);
        Ok(Dialer { client: Client::open(info).map_err(wrong)?, address: to, database, timeout })
    }

    /// A connection to a server that can be written to. `push` must not wait.
    pub(super) async fn dial(
        &self,
        lost: Arc<Lost>,
        push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Line, RedisError> {
        let told = lost.clone();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(None)
            .set_push_sender(move |info: PushInfo| {
                if info.kind == PushKind::Disconnection {
                    told.set()
                } else {
                    push(info)
                }
                Ok::<(), ::redis::aio::SendError>(())
            });
        let made = async {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            let mut ask = ::redis::pipe();
            ask.cmd("INFO").arg("server").cmd("INFO").arg("replication");
            let answers: Vec<Value> = ask.query_async(&mut connection).await?;
            let info = answers.iter().flat_map(words::parse_info).collect::<std::collections::HashMap<_, _>>();
            // Redis and Valkey call it differently.
            let modes = ["redis_mode", "server_mode"].map(|key| info.get(key).is_some_and(|mode| mode == "cluster"));
            if modes.contains(&true) {
                let cluster = Cmd::new().arg("CLUSTER").arg("INFO").query_async(&mut connection).await?;
                let shards = words::parse_info(&cluster).get("cluster_size").cloned().unwrap_or_default();
                if shards != "1" {
                    return Ok::<_, ::redis::RedisError>(Err(Reason::Cluster(shards)));
                }
            }
            let of = |key| info.get(key).map_or("", String::as_str);
            let version = of("redis_version");
            if version.split('.').next().and_then(|major| major.parse().ok()).is_none_or(|major: u32| major < 7) {
                return Ok(Err(Reason::Version(Some(version.to_owned()))));
            }
            if of("role") != "master" {
                return Ok(Err(Reason::Replica));
            }
            // All servers would count as one life of one server, and a lost tail would not be seen.
            if of("run_id").is_empty() {
                return Ok(Err(Reason::Run));
            }
            Ok(Ok(Line { connection, run: Arc::from(of("run_id")), since: Instant::now(), lost }))
        };
        let reason = match timeout(self.timeout, made).await {
            Ok(Ok(Ok(line))) => return Ok(line),
            Ok(Ok(Err(reason))) => reason,
            Ok(Err(error)) => Reason::of(&error, self.timeout),
            Err(_) => Reason::Time(self.timeout),
        };
        Err(RedisError::new(&self.address, reason))
    }

    pub(super) fn error(&self, reason: Reason) -> RedisError {
        RedisError::new(&self.address, reason)
    }
}

impl Line {
    pub(super) async fn pipe(&self, pipe: &Pipeline) -> Result<Vec<Value>, ::redis::RedisError> {
        pipe.query_async(&mut self.connection.clone()).await
    }

    async fn command(&self, command: &Cmd) -> Result<Value, ::redis::RedisError> {
        command.query_async(&mut self.connection.clone()).await
    }
}

/// A script, and what the server calls it.
pub(super) struct Script {
    text: &'static str,
    sha1: OnceLock<String>,
}

impl Script {
    pub(super) const fn new(text: &'static str) -> Script {
        Script { text, sha1: OnceLock::new() }
    }

    fn sha1(&self) -> &str {
        use sha1::{Digest, Sha1};
        let hex = || Sha1::digest(self.text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        self.sha1.get_or_init(hex)
    }
}

/// The connection for commands. It is made again when it is needed.
pub(super) struct Commands {
    pub(super) dialer: Dialer,
    line: Mutex<Option<Arc<Line>>>,
    /// Locked before `line`.
    attempt: Mutex<Attempt>,
    /// The run of the server of the last connection. The feed must come from the same one.
    run: watch::Sender<Arc<str>>,
}

/// The last attempt to make the connection. It belongs to no call: those that wait for it end sooner or later than it.
enum Attempt {
    Made,
    Failed(Instant),
    /// The sender goes when it ends.
    Runs(watch::Receiver<()>),
}

impl Commands {
    pub(super) async fn connect(dialer: Dialer) -> Result<Commands, RedisError> {
        let line = dialer.dial(Arc::default(), |_| ()).await?;
        let run = watch::Sender::new(line.run.clone());
        let (line, attempt) = (Mutex::new(Some(Arc::new(line))), Mutex::new(Attempt::Made));
        Ok(Commands { dialer, line, attempt, run })
    }

    /// Whether the user may do what a message needs. Asked at the beginning, when there is somebody to tell.
    pub(super) async fn probe(&self, names: &Names) -> Result<(), RedisError> {
        let Some(line) = self.standing() else { return Ok(()) };
        let mut pipe = ::redis::pipe();
        // A topic with an empty name does not exist.
        names.log("").iter().for_each(|key| _ = pipe.cmd("EXISTS").arg(key));
        pipe.cmd("SPUBLISH").arg(names.channel("")).arg("");
        match timeout(self.dialer.timeout, line.pipe(&pipe)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.dialer.error(Reason::of(&error, self.dialer.timeout))),
            Err(_) => Err(self.dialer.error(Reason::Time(self.dialer.timeout))),
        }
    }

    pub(super) fn run(&self) -> watch::Receiver<Arc<str>> {
        self.run.subscribe()
    }

    /// The feed comes from the server with this run. Leaves a connection to another one.
    pub(super) fn follow(&self, run: &Arc<str>) {
        if let Some(line) = self.standing().filter(|line| line.run != *run) {
            line.lost.set();
        }
        self.run.send_replace(run.clone());
    }

    fn standing(&self) -> Option<Arc<Line>> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if line.as_ref().is_some_and(|line| line.lost.is()) {
            // Others may still wait for answers on it. It ends with the last of them.
            *line = None;
        }
        line.clone()
    }

    /// An attempt that fails fails for all who waited for it, and for who comes soon after it.
    async fn line(self: &Arc<Self>) -> Result<Arc<Line>, Trouble> {
        let mut ended = {
            let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(line) = self.standing() {
                return Ok(line);
            }
            match &*attempt {
                Attempt::Failed(at) if at.elapsed() < PAUSE => return Err(Trouble::Never),
                Attempt::Runs(ended) if ended.has_changed().is_ok() => ended.clone(),
                _ => {
                    let (end, ended) = watch::channel(());
                    *attempt = Attempt::Runs(ended.clone());
                    tokio::spawn(self.clone().dial(end));
                    ended
                }
            }
        };
        _ = ended.changed().await;
        self.standing().ok_or(Trouble::Never)
    }

    /// A task of its own, which ends in the time that an attempt may take. If each call dialed for itself and gave up at
    /// the end of its own time, then under a steady load of calls the connection would never be made again: each one
    /// would come to dial when its time is nearly over.
    async fn dial(self: Arc<Self>, end: watch::Sender<()>) {
        let made = self.dialer.dial(Arc::default(), |_| ()).await;
        let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        *attempt = match made {
            Ok(line) => {
                let run = line.run.clone();
                *self.line.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(line));
                self.run.send_replace(run);
                Attempt::Made
            }
            Err(_) => Attempt::Failed(Instant::now()),
        };
        drop(attempt);
        drop(end);
    }

    /// Runs a script. Its first argument is the run of the server, then come those that `arguments` adds.
    pub(super) async fn script(
        self: &Arc<Self>,
        script: &Script,
        keys: &[String],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Value, Trouble> {
        let eval = |name: &str, script: &str, run: &str| {
            let mut command = ::redis::cmd(name);
            command.arg(script).arg(keys.len()).arg(keys).arg(run);
            arguments(&mut command);
            command
        };
        self.on_line(async |line| {
            match line.command(&eval("EVALSHA", script.sha1(), &line.run)).await {
                // The server has started again, or somebody has told it to forget.
                Err(error) if error.code() == Some("NOSCRIPT") => {
                    line.command(&eval("EVAL", script.text, &line.run)).await
                }
                known => known,
            }
        })
        .await
    }

    pub(super) async fn command(self: &Arc<Self>, command: &Cmd) -> Result<Value, Trouble> {
        self.on_line(async |line| line.command(command).await).await
    }

    /// Asks for a sign of life if there is a connection. Other calls may all be dropped before they have waited for long
    /// enough to leave one that leads nowhere.
    pub(super) async fn look(self: Arc<Self>) {
        if self.standing().is_some() {
            _ = self.command(&::redis::cmd("PING")).await;
        }
    }

    /// Says what an error means. A connection that has not answered in time is left: behind it may be nobody. But who had
    /// to wait until it was made has not given it that time, and leaves it to others.
    async fn on_line<T>(
        self: &Arc<Self>,
        work: impl AsyncFnOnce(&Line) -> Result<T, ::redis::RedisError>,
    ) -> Result<T, Trouble> {
        let used = OnceLock::new();
        let whole = async {
            let line = self.line().await?;
            let line = used.get_or_init(|| line);
            work(line).await.map_err(|error| trouble(line, &error))
        };
        let result = timeout(self.dialer.timeout, whole).await;
        result.unwrap_or_else(|_| match used.get() {
            Some(line) => {
                if line.since.elapsed() >= self.dialer.timeout {
                    line.lost.set();
                }
                Err(Trouble::Maybe)
            }
            None => Err(Trouble::Never),
        })
    }
}

/// These answers are given before a script has begun, and the others perhaps in the middle of one.
fn trouble(line: &Line, error: &::redis::RedisError) -> Trouble {
    match error.code() {
        // This server is no longer, or not yet, the one to ask.
        Some("READONLY" | "LOADING" | "MASTERDOWN" | "MOVED" | "CLUSTERDOWN" | "NOAUTH") => {
            line.lost.set();
            Trouble::Never
        }
        Some("OOM" | "NOSCRIPT" | "BUSY" | "MISCONF" | "NOREPLICAS" | "CROSSSLOT" | "TRYAGAIN") => Trouble::Never,
        Some(_) => Trouble::Maybe,
        None => {
            line.lost.set();
            Trouble::Maybe
        }
    }
}

/// The schemes of URLs for TLS.
const TLS: [&str; 2] = ["rediss", "valkeys"];

/// Whether the crate `redis` was built with TLS, for whatever reason.
fn can_tls() -> bool {
    let (host, port) = (String::new(), 0);
    ::redis::ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }.is_supported()
}

/// How long nobody dials after a failure, so that many publishers do not make many attempts.
const PAUSE: Duration = Duration::from_millis(100);
