//! The README's programs, which stand in `examples` word for word, run: a client comes back, and has missed nothing.
#![cfg(feature = "pump")]

use std::env;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use openline::net::{Stream, WebSocket, connect};

#[test]
fn the_readme_shows_the_example() {
    let readme = include_str!("../README.md");
    for example in [include_str!("../examples/chat.rs"), include_str!("../examples/nodes.rs")] {
        assert!(readme.contains(&format!("```rust,no_run\n{example}```\n")));
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Builds an example, which cargo has built for `cargo test`, or builds here.
fn build(example: &str) -> PathBuf {
    // This test lies in <target>/<profile>/deps.
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let name = match profile.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        name => name,
    };
    let built = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--example", example, "--features", "pump", "--profile", name, "--target-dir"])
        .arg(profile.parent().unwrap())
        .status();
    assert!(built.unwrap().success());
    profile.join("examples").join(format!("{example}{}", env::consts::EXE_SUFFIX))
}

fn start() -> (Running, String) {
    let mut server = Running(Command::new(build("chat")).stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (server, line.trim_end().strip_prefix("listening on ").unwrap().to_owned())
}

fn hear(socket: &mut WebSocket<Stream>) -> Vec<String> {
    let message = socket.recv().unwrap().expect("a message");
    message.as_text().unwrap().split(' ').map(str::to_owned).collect()
}

#[test]
fn who_comes_back_has_missed_nothing() {
    let (_server, url) = start();
    let (mut one, mut two) = (connect(&url).unwrap(), connect(&url).unwrap());
    for socket in [&mut one, &mut two] {
        assert_eq!(hear(socket)[0], "joined");
    }
    one.send("first").unwrap();
    let seen = hear(&mut two);
    assert_eq!(seen[1], "first");
    drop(two);
    one.send("second").unwrap();
    one.send("third").unwrap();
    assert_eq!([0, 1, 2].map(|_| hear(&mut one)[1].clone()), ["first", "second", "third"]);
    let mut two = connect(&url).unwrap();
    assert_eq!(hear(&mut two)[0], "joined");
    two.send(format!("from {}", seen[0])).unwrap();
    let joined = hear(&mut two);
    assert_eq!((&joined[0][..], &joined[2][..]), ("joined", "true"), "nothing is gone");
    assert_eq!([hear(&mut two)[1].clone(), hear(&mut two)[1].clone()], ["second", "third"]);
}

#[test]
fn two_nodes_share_their_topics() {
    let output = Command::new(build("nodes")).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "1: rain\nnothing is gone: true\n1: rain\n");
}
