//! The server as a process of its own, and clients that talk to it over loopback.

#![allow(dead_code, unreachable_pub, reason = "each test uses some of it")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use openline::tokio::{Stream, WebSocket};
use openline::{Client, ClientRequest, Error, Message};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// How long anything may take. Only a failure waits so long.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Server {
    child: Child,
    /// Such as `127.0.0.1:40000`.
    pub at: String,
    pub scheme: String,
}

impl Server {
    pub fn start(arguments: &[&str]) -> Server {
        Server::start_at("127.0.0.1:0", arguments)
    }

    pub fn start_at(listen: &str, arguments: &[&str]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_web"))
            .args(["--listen", listen])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server can be started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("it has said {line:?}"));
        let (scheme, at) = url.split_once("://").unwrap();
        Server { at: at.to_owned(), scheme: scheme.to_owned(), child }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("the server ends")
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub async fn live(&self) -> Live {
        let mut live = Live::connect(&format!("ws://{}/live", self.at)).await.unwrap();
        let hello = live.next().await;
        live.id = hello["hello"].as_str().unwrap_or_else(|| panic!("{hello}")).to_owned();
        live
    }

    /// A request of HTTP/1.1 on a connection of its own: the status, the head and the body.
    pub async fn http(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.at).await.unwrap();
        let mut request =
            format!("{method} {target} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request.push_str(&format!("Host: {}\r\n", self.at));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{request}\r\n{body}").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer").unwrap();
        Answer::parse(&answer)
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.http("GET", target, &[], "").await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let (head, mut body) = (head.to_ascii_lowercase(), body.to_owned());
        if head.contains("transfer-encoding: chunked") {
            body = unchunk(&body);
        }
        Answer { status, head, body }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.trim()))
    }
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            break;
        }
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

/// A client of `/live`.
pub struct Live {
    pub socket: WebSocket<Stream>,
    pub id: String,
}

impl Live {
    pub async fn connect(uri: &str) -> Result<Live, Error> {
        Live::connect_with(ClientRequest::new(uri).unwrap()).await
    }

    pub async fn connect_with(request: ClientRequest) -> Result<Live, Error> {
        let socket = openline::tokio::connect_with(&Client::new(request)).await?;
        Ok(Live { socket, id: String::new() })
    }

    pub async fn say(&mut self, message: &Value) {
        self.text(&message.to_string()).await;
    }

    pub async fn text(&mut self, text: &str) {
        self.socket.send(text).await.unwrap();
    }

    /// The next thing that the server says.
    pub async fn next(&mut self) -> Value {
        let message = tokio::time::timeout(PATIENCE, self.socket.recv()).await.expect("the server says something");
        let message: Message<'_> = message.unwrap().unwrap_or_else(|| panic!("it is over: {:?}", self.socket.closed()));
        serde_json::from_str(message.as_text().expect("text")).unwrap()
    }

    /// Says something, and returns what comes next.
    pub async fn ask(&mut self, message: Value) -> Value {
        self.say(&message).await;
        self.next().await
    }

    /// Says something, and returns the first answer that has this member. What came before it is returned too.
    pub async fn until(&mut self, member: &str) -> (Vec<Value>, Value) {
        let mut before = Vec::new();
        loop {
            let next = self.next().await;
            if next.get(member).is_some() {
                return (before, next);
            }
            before.push(next);
        }
    }

    /// Says something, and drops what comes until the answer with this member.
    pub async fn answer(&mut self, message: Value, member: &str) -> Value {
        self.say(&message).await;
        self.until(member).await.1
    }

    /// All that has come until now: the server answers in order.
    pub async fn rest(&mut self) -> Vec<Value> {
        self.say(&json!({"leave": "the rest"})).await;
        let (before, left) = self.until("left").await;
        assert_eq!(left, json!({"left": "the rest"}), "after {before:?}");
        before
    }
}

/// The path of a file that no other test has.
pub fn file(name: &str) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let unique = format!("{}-{}-{name}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique);
    drop(std::fs::remove_file(&path));
    path
}
