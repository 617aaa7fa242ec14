//! A `redis-server` for one test.

#![allow(dead_code, unreachable_pub, reason = "as its neighbour")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, file};

/// Killed when it is dropped.
pub struct Redis {
    child: Child,
    port: u16,
    directory: PathBuf,
}

impl Redis {
    /// `None`, if `OPENLINE_NO_REDIS` says that there shall be none.
    pub fn start() -> Option<Redis> {
        if std::env::var_os("OPENLINE_NO_REDIS").is_some() {
            return None;
        }
        let directory = file("redis");
        std::fs::create_dir_all(&directory).unwrap();
        // Another process may take the port between the look and the start.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut redis = Redis { child: spawn(port, &directory), port, directory: directory.clone() };
            if redis.is_up() {
                return Some(redis);
            }
        }
        panic!("redis-server does not start: see {}/log", directory.display());
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// It stands still, with its connections open, until [`go_on`](Self::go_on).
    pub fn stop(&self) {
        self.signal("STOP");
    }

    pub fn go_on(&self) {
        self.signal("CONT");
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// After [`kill`](Self::kill), at the same port, and empty.
    pub fn restart(&mut self) {
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            self.child = spawn(self.port, &self.directory);
            if self.is_up() {
                return;
            }
        }
        panic!("redis-server does not start again: see {}/log", self.directory.display());
    }

    /// What it answers to a command, if that is a number.
    pub fn number(&self, command: &str) -> Option<u64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.lines().next()?.strip_prefix(':')?.parse().ok()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// False if it has ended instead.
    fn is_up(&mut self) -> bool {
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if self.ping().is_ok_and(|pong| pong == *b"+PONG") {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn ping(&self) -> std::io::Result<[u8; 5]> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(port: u16, directory: &std::path::Path) -> Child {
    let program = std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
    Command::new(&program)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--logfile", "log", "--dir"])
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{}: {error}. Install redis-server 7, or set OPENLINE_NO_REDIS to leave these tests out",
                program.display()
            )
        })
}
