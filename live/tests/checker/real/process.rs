//! Processes that a run has started: they are stopped, go on, and are killed with it.

use std::env;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

pub struct Process(Mutex<Child>);

impl Process {
    pub fn start(command: &mut Command) -> (Process, Option<std::process::ChildStdout>) {
        let mut child = command.stdin(Stdio::null()).spawn().expect("the program is there");
        let output = child.stdout.take();
        (Process(Mutex::new(child)), output)
    }

    /// Sends a signal, by its name.
    pub fn signal(&self, name: &str) {
        let id = self.0.lock().unwrap().id();
        let sent = Command::new("kill").args([format!("-{name}"), id.to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{name} to {id}");
    }

    /// Kills it without a last word.
    pub fn kill(&self) {
        let mut child = self.0.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a node. Nothing: it has ended at once, because its Redis is away. This blocks.
pub fn node(program: &PathBuf, redis: &str, retain: usize) -> Option<(Process, String)> {
    let mut command = Command::new(program);
    command.args(["127.0.0.1:0", redis, &retain.to_string()]).stdout(Stdio::piped()).stderr(Stdio::null());
    let (process, output) = Process::start(&mut command);
    let mut line = String::new();
    BufReader::new(output?).read_line(&mut line).ok()?;
    Some((process, line.trim_end().strip_prefix("listening on ")?.to_owned()))
}

/// A Redis server of its own, whose data lie in a directory of their own.
pub struct Server {
    pub port: u16,
    directory: PathBuf,
    /// It keeps its log in a file.
    persists: bool,
    process: Mutex<Option<Process>>,
}

impl Server {
    pub fn new(persists: bool) -> Server {
        // Nobody else takes a port so soon again.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = env::temp_dir().join(format!("openline-checker-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let server = Server { port, directory, persists, process: Mutex::default() };
        server.start();
        server
    }

    pub fn start(&self) {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", ""]);
        command.args(["--appendonly", if self.persists { "yes" } else { "no" }, "--appendfsync", "everysec"]);
        command.args(["--aof-load-truncated", "yes", "--dir"]).arg(&self.directory).stdout(Stdio::null());
        *self.process.lock().unwrap() = Some(Process::start(&mut command).0);
    }

    pub fn kill(&self) {
        drop(self.process.lock().unwrap().take());
    }

    pub fn signal(&self, name: &str) {
        if let Some(process) = &*self.process.lock().unwrap() {
            process.signal(name);
        }
    }

    /// Cuts off the end of the log file, as when the machine loses what was not on its disk.
    pub fn lose(&self, bytes: u64) {
        let files = std::fs::read_dir(self.directory.join("appendonlydir")).into_iter().flatten().flatten();
        for path in files.map(|file| file.path()).filter(|path| path.to_string_lossy().ends_with(".incr.aof")) {
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            let length = file.metadata().unwrap().len();
            file.set_len(length.saturating_sub(bytes)).unwrap();
        }
    }

    /// Says something to it until it has done so. While it loads its log it answers with an error.
    pub async fn tell(&self, command: &str) {
        let tell = async {
            while timeout(Duration::from_secs(2), self.ask(command)).await != Ok(Some(())) {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(Duration::from_secs(60), tell).await.expect("Redis answers");
    }

    async fn ask(&self, command: &str) -> Option<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).await.ok()?;
        matches!(stream.read_u8().await.ok()?, b'+' | b':').then_some(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
