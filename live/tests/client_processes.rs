//! The examples `chat` and `chat_client` as processes, with a network between them that is cut.
#![cfg(all(feature = "client", feature = "pump"))]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use example::{Running, build};
use openline::net::connect;

#[path = "common/example.rs"]
mod example;

fn start(name: &str, argument: &str) -> Running {
    let mut command = Command::new(build(name, "pump,client"));
    command.arg(argument).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running(command.spawn().unwrap())
}

/// The lines of a stream, as they come.
struct Lines(mpsc::Receiver<String>);

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Lines {
        let (read, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| read.send(line))
        });
        Lines(lines)
    }

    /// The next line. The time only ends a test in which nothing comes.
    fn next(&self) -> String {
        self.0.recv_timeout(Duration::from_secs(60)).expect("a line")
    }

    /// Waits for a line that begins so.
    fn until(&self, start: &str) {
        while !self.next().starts_with(start) {}
    }
}

/// A network to a server. While it is cut it takes connections, and resets them.
#[derive(Default)]
struct Network {
    cut: bool,
    open: Vec<TcpStream>,
}

impl Network {
    fn to(server: String) -> (Arc<Mutex<Network>>, String) {
        let network = Arc::new(Mutex::new(Network::default()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = network.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut network = shared.lock().unwrap();
                if network.cut {
                    continue;
                }
                let server = TcpStream::connect(&server).unwrap();
                for (mut from, mut to) in [
                    (client.try_clone().unwrap(), server.try_clone().unwrap()),
                    (server.try_clone().unwrap(), client.try_clone().unwrap()),
                ] {
                    thread::spawn(move || io::copy(&mut from, &mut to).and_then(|_| to.shutdown(Shutdown::Write)));
                }
                network.open.extend([client, server]);
            }
        });
        (network, address)
    }

    fn cut(&mut self) {
        self.cut = true;
        for stream in self.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[test]
fn the_chat_client_comes_back_and_has_missed_nothing() {
    let mut server = start("chat", "");
    let url = Lines::of(server.0.stdout.take().unwrap()).next();
    let url = url.strip_prefix("listening on ").unwrap();
    let (network, address) = Network::to(url.strip_prefix("ws://").unwrap().to_owned());
    let mut client = start("chat_client", &format!("ws://{address}"));
    let (heard, notices) = (Lines::of(client.0.stdout.take().unwrap()), Lines::of(client.0.stderr.take().unwrap()));
    let mut typed = client.0.stdin.take().unwrap();
    let mut other = connect(url).unwrap();
    notices.until("* connected");
    // It hears itself: it has joined.
    writeln!(typed, "hello").unwrap();
    assert_eq!(heard.next(), "hello");
    for round in 0..2 {
        network.lock().unwrap().cut();
        notices.until("* the connection");
        other.send(format!("{round} one")).unwrap();
        other.send(format!("{round} two")).unwrap();
        // Behind it an empty line: it does not wait for the next attempt.
        writeln!(typed, "{round} three\n").unwrap();
        notices.until("* cannot connect");
        network.lock().unwrap().cut = false;
        writeln!(typed).unwrap();
        notices.until("* back again");
        for said in ["one", "two", "three"] {
            assert_eq!(heard.next(), format!("{round} {said}"));
        }
    }
    // The end of its input ends it.
    drop(typed);
    assert!(client.0.wait().unwrap().success());
    drop(server);
}
