//! The program fails if a server loses one message for one client, repeats one, or has them out of order, at each door. The
//! server here does what a test says, and writes in small pieces.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

const DOORS: [&str; 3] = ["poll", "events", "socket"];
const CLIENTS: usize = 5;
const MESSAGES: u64 = 6;

#[test]
fn all_messages() {
    for door in DOORS {
        let output = run(door, &[1, 2, 3, 4, 5, 6]);
        let (out, err) = texts(&output);
        assert!(output.status.success(), "{door}: {err}");
        assert!(out.contains("\"heard\":30,\"lost\":0,"), "{door}: {out}");
    }
}

#[test]
fn one_lost_in_the_middle() {
    for door in DOORS {
        fails(door, &[1, 2, 4, 5, 6], "\"heard\":29,\"lost\":1,", "1 of 30 messages are lost");
    }
}

#[test]
fn the_first_and_the_last_lost() {
    at_each_door(|door| fails(door, &[2, 3, 4, 5], "\"heard\":28,\"lost\":2,", "2 of 30 messages are lost"));
}

#[test]
fn none_at_all() {
    at_each_door(|door| fails(door, &[], "\"heard\":24,\"lost\":6,", "6 of 30 messages are lost"));
}

#[test]
fn one_twice_or_out_of_order() {
    for door in DOORS {
        fails(door, &[1, 2, 2, 3, 4, 5, 6], "", "message 2 where 3 should be");
        fails(door, &[1, 2, 3, 5, 4, 6], "", "message 4 where 6 should be");
    }
}

/// At the same time, since what is missing at the end is waited for.
fn at_each_door(test: impl Fn(&str) + Sync) {
    thread::scope(|scope| {
        for door in DOORS {
            scope.spawn(|| test(door));
        }
    });
}

/// The program fails, and says so, if one client gets these messages and the others get all.
fn fails(door: &str, planted: &[u64], printed: &str, told: &str) {
    let output = run(door, planted);
    let (out, err) = texts(&output);
    assert!(!output.status.success(), "{door} {planted:?}: {out}");
    assert!(out.contains(printed), "{door} {planted:?}: {out}");
    assert!(err.contains(told), "{door} {planted:?}: {err}");
}

fn texts(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into(), String::from_utf8_lossy(&output.stderr).into())
}

/// The clients of this door against a server that loses nothing but what is planted.
fn run(door: &str, planted: &[u64]) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap().to_string();
    let gate = Arc::new(Gate::default());
    let all: Vec<u64> = (1..=MESSAGES).collect();
    let mut messages = vec![planted.to_vec()];
    messages.resize(CLIENTS, all);
    let serving = Arc::clone(&gate);
    // It ends with the listener's process, which is this one, and waits for nobody else.
    thread::spawn(move || {
        for messages in messages {
            let (stream, gate) = (listener.accept().unwrap().0, Arc::clone(&serving));
            thread::spawn(move || serve(stream, &gate, &messages));
        }
    });
    let (clients, messages) = (CLIENTS.to_string(), MESSAGES.to_string());
    let mut child = Command::new(env!("CARGO_BIN_EXE_doors"))
        .args(["clients", "--door", door, "--to", &to, "--clients", &clients, "--messages", &messages])
        .args(["--headers", "browser", "--seconds", "0", "--patience", "5"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "waiting\n");
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    gate.open();
    let mut stdout = Vec::new();
    out.read_to_end(&mut stdout).unwrap();
    let output = child.wait_with_output().unwrap();
    Output { stdout, ..output }
}

#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        drop(self.opened.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap());
    }
}

/// One connection: says these messages when the gate opens. An error is the end of a client that has found a fault.
fn serve(mut stream: TcpStream, gate: &Gate, messages: &[u64]) -> Option<()> {
    let mut requests = BufReader::new(stream.try_clone().ok()?);
    let target = request(&mut requests)?;
    if target.starts_with("/events") {
        write(&mut stream, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        chunk(&mut stream, "id: e:0\n\n")?;
        gate.wait();
        for n in messages {
            chunk(&mut stream, &format!("id: e:{n}\ndata: {}\n\n", said(*n)))?;
        }
    } else if target.starts_with("/live") {
        write(
            &mut stream,
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
              sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        )?;
        frame(&mut stream, "{\"hello\":\"x\"}")?;
        frame(&mut stream, "{\"epoch\":\"e\",\"joined\":\"doors\",\"offset\":0,\"whole\":true}")?;
        gate.wait();
        for n in messages {
            frame(&mut stream, &said(*n))?;
        }
    } else {
        answer(&mut stream, 0, &[])?;
        for some in messages.chunks(2) {
            request(&mut requests)?;
            gate.wait();
            answer(&mut stream, *some.last()?, some)?;
        }
    }
    // Open until the client goes.
    drop(requests.read_to_end(&mut Vec::new()));
    Some(())
}

/// The target of the next request.
fn request(requests: &mut impl BufRead) -> Option<String> {
    let mut target = None;
    loop {
        let mut line = String::new();
        requests.read_line(&mut line).ok().filter(|length| *length > 0)?;
        match line.trim_end() {
            "" => return target,
            line => target = target.or_else(|| Some(line.split(' ').nth(1)?.to_owned())),
        }
    }
}

fn said(n: u64) -> String {
    let message = format!("{{\"n\":{n},\"at\":1,\"text\":\"{}\"}}", "x".repeat(60));
    format!("{{\"topic\":\"doors\",\"epoch\":\"e\",\"offset\":{n},\"socketid\":\"http\",\"message\":{message}}}")
}

fn answer(stream: &mut TcpStream, offset: u64, messages: &[u64]) -> Option<()> {
    let messages: Vec<_> = messages.iter().map(|n| said(*n)).collect();
    let body = format!("{{\"epoch\":\"e\",\"offset\":{offset},\"whole\":true,\"messages\":[{}]}}", messages.join(","));
    write(stream, format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes())
}

fn chunk(stream: &mut TcpStream, text: &str) -> Option<()> {
    write(stream, format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
}

fn frame(stream: &mut TcpStream, text: &str) -> Option<()> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    let head = if text.len() < 126 { vec![0x81, length[1]] } else { vec![0x81, 126, length[0], length[1]] };
    write(stream, &[&head, text.as_bytes()].concat())
}

fn write(stream: &mut TcpStream, bytes: &[u8]) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    bytes.chunks(50).try_for_each(|piece| stream.write_all(piece)).ok()
}
