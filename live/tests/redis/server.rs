//! A `redis-server` of its own for a test.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use openline_live::{Redis, RedisOptions};

/// Killed when it is dropped, and its directory removed.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    directory: PathBuf,
    arguments: Vec<String>,
}

impl Server {
    /// With these arguments beside its own: no persistence, one address, one directory. None if there shall be none.
    pub(crate) async fn start(arguments: &[&str]) -> Option<Server> {
        if !is_there() {
            return None;
        }
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("openline-redis-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        // Another process may take the port between the look and the start.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let child = spawn(port, &directory, &arguments);
            let mut server = Server { child, port, directory: directory.clone(), arguments: arguments.clone() };
            if server.is_up().await {
                return Some(server);
            }
            server.directory = PathBuf::new();
        }
        panic!("redis-server does not start: see {}/log", directory.display());
    }

    /// False if it has ended instead.
    async fn is_up(&mut self) -> bool {
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(60) {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if self.try_ask::<String>(&["PING"]).is_ok_and(|pong| pong == "PONG") {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(crate) async fn node(&self) -> Redis {
        Redis::connect(&self.url()).await.unwrap()
    }

    /// One whose calls end sooner, so that the tests do.
    pub(crate) async fn hasty_node(&self) -> Redis {
        let mut options = RedisOptions::default();
        options.timeout = Duration::from_millis(700);
        Redis::connect_with(&self.url(), options).await.unwrap()
    }

    fn try_ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> redis::RedisResult<T> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(5))?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut ask = redis::Cmd::new();
        ask.arg(command);
        ask.query(&mut connection)
    }

    /// What an operator would type.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        self.try_ask(command).unwrap()
    }

    /// What `CLIENT LIST` says of the connections of nodes: id and last command.
    pub(crate) fn connections(&self) -> Vec<(u64, String)> {
        let all: String = self.ask(&["CLIENT", "LIST"]);
        let field = |line: &str, name: &str| {
            line.split(' ').find_map(|field| Some(field.strip_prefix(name)?.to_owned())).unwrap_or_default()
        };
        let others = all.lines().filter(|line| !line.contains(" cmd=client"));
        others.map(|line| (field(line, "id=").parse().unwrap(), field(line, "cmd="))).collect()
    }

    /// As if the machine had lost power.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// After [`kill`](Self::kill): the same port and directory.
    pub(crate) async fn restart(&mut self) {
        for _ in 0..50 {
            self.child = spawn(self.port, &self.directory, &self.arguments);
            if self.is_up().await {
                return;
            }
        }
        panic!("redis-server does not start again");
    }

    /// It stands still, with its connections open, until [`go_on`](Self::go_on).
    pub(crate) fn stop(&self) {
        self.signal("STOP");
    }

    pub(crate) fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        if !self.directory.as_os_str().is_empty() && !std::thread::panicking() {
            _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

fn program() -> std::ffi::OsString {
    std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into())
}

/// Whether there is a server to start. With `OPENLINE_REDIS=required`, as in `.ci/run`, there must be one.
fn is_there() -> bool {
    let there = Command::new(program()).arg("--version").stdout(Stdio::null()).status();
    let required = std::env::var_os("OPENLINE_REDIS").is_some_and(|value| value == "required");
    match there {
        Ok(_) => true,
        Err(error) if required => {
            panic!("cannot start {}: {error}. Install redis-server 7, or name it in REDIS_SERVER", program().display())
        }
        Err(error) => {
            eprintln!("skipped: cannot start {} ({error}); redis-server 7 is needed here", program().display());
            false
        }
    }
}

fn spawn(port: u16, directory: &std::path::Path, arguments: &[String]) -> Child {
    let port = port.to_string();
    let own = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--logfile", "log", "--daemonize", "no"];
    let started = Command::new(program())
        .args(own)
        .arg("--dir")
        .arg(directory)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    started.unwrap()
}
