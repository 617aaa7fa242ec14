//! The README's programs, which stand in `examples` word for word, run: a client comes back, and has missed nothing.
#![cfg(feature = "pump")]

use std::process::Command;

use example::{build, start};
use openline::net::{Stream, WebSocket, connect};

#[path = "common/example.rs"]
mod example;

#[test]
fn the_readme_shows_the_example() {
    let readme = include_str!("../README.md");
    for example in [include_str!("../examples/chat.rs"), include_str!("../examples/nodes.rs")] {
        assert!(readme.contains(&format!("```rust,no_run\n{example}```\n")));
    }
}

fn hear(socket: &mut WebSocket<Stream>) -> Vec<String> {
    let message = socket.recv().unwrap().expect("a message");
    message.as_text().unwrap().split(' ').map(str::to_owned).collect()
}

#[test]
fn who_comes_back_has_missed_nothing() {
    let (_server, url) = start(build("chat", "pump"), &[]);
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
    let output = Command::new(build("nodes", "tokio")).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "1: rain\nnothing is gone: true\n1: rain\n");
}
