//! The servers that no other crate's tests know give right answers: the client, which checks every byte, against them as
//! processes.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a scenario, briefly, against a program that says on its first line where it listens.
fn answers(program: &str, arguments: &[&str], scenario: &str, client: &[&str]) {
    let mut server = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().map(Server).unwrap();
    let mut line = String::new();
    BufReader::new(server.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim().rsplit(':').next().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_peers"))
        .args(["load", scenario, "--port", port, "--pid", &server.0.id().to_string()])
        .args(["--seconds", "0.2", "--warmup", "0.05"])
        .args(client)
        .output()
        .unwrap();
    assert!(output.status.success(), "{scenario}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.starts_with(b"{"), "figures");
}

fn raw_mio(scenario: &str, options: &[&str]) {
    answers(env!("CARGO_BIN_EXE_peers"), &[&["serve", "raw-mio"], options].concat(), scenario, &["--raw"]);
}

#[test]
fn raw_mio_gives_the_bytes_back() {
    for scenario in ["s1", "s2", "s3", "s4", "handshakes", "l1"] {
        raw_mio(scenario, &[]);
    }
}

#[test]
fn raw_mio_gives_them_back_on_two_threads() {
    raw_mio("s2", &["--threads", "2"]);
}

#[test]
fn raw_mio_gives_them_to_all() {
    raw_mio("s7", &["--broadcast"]);
    raw_mio("s7one", &["--broadcast"]);
}

/// The example, with what `run` gives it. Its broadcasts are its own tests' business.
#[test]
fn the_example_answers() {
    let listen = ["--listen", "127.0.0.1:0", "--max-message-size", "33554432", "--deflate"];
    for (scenario, deflate, client) in [
        ("s1", "off", &[][..]),
        ("s4", "off", &[]),
        ("handshakes", "off", &[]),
        ("s8", "alone", &["--deflate"]),
        ("s8", "takeover", &["--takeover"]),
    ] {
        answers(env!("CARGO_BIN_EXE_epoll_server"), &[&listen[..], &[deflate]].concat(), scenario, client);
    }
    answers(env!("CARGO_BIN_EXE_epoll_server"), &[&listen[..], &["off", "--threads", "2"]].concat(), "s2", &[]);
}
