//! Conversations that any adapter must carry the same way, however the transport
//! cuts the bytes and whenever it makes the adapter wait.

use openline::{Cause, Message, ProtocolError, Role};

use super::{BINARY, BOTH, CLOSE, ENDS, GOES_ON, PING, PONG, TEXT, TEXT_BEGINS, close_frame, frame, frames};

/// What the application does next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cue {
    Recv,
    Send(&'static str),
    Feed(&'static str),
    Fragment(&'static str, bool),
    Ping(&'static str),
    Flush,
    Close(u16, &'static str),
}

/// A conversation: the peer's bytes lie there from the beginning, and end.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    /// What the peer sends before it ends its side.
    pub(crate) hears: Vec<u8>,
    /// What the application does, and what it gets: a message as [`told`], `end`, `ok`,
    /// or an error's `Display`.
    pub(crate) cues: Vec<(Cue, &'static str)>,
    /// The frames we write.
    pub(crate) says: Vec<(u8, Vec<u8>)>,
    /// How it has ended after that, if it has: code, cause, and whether the writing
    /// side was shut down.
    pub(crate) closed: Option<(u16, Cause, bool)>,
}

/// A message in words: its type and what it says.
pub(crate) fn told(message: &Message<'_>) -> String {
    match message {
        Message::Text(text) => format!("Text({text:?})"),
        Message::Binary(data) => format!("Binary({data:?})"),
    }
}

fn body(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

pub(crate) fn talks() -> Vec<Talk> {
    BOTH.into_iter().flat_map(talks_of).collect()
}

fn talks_of(role: Role) -> Vec<Talk> {
    use Cue::*;
    let peer = role.peer();
    let closing = "cannot send: the connection is closing or closed";
    vec![
        Talk {
            name: "echo, and they close",
            role,
            hears: [frames(peer, [(TEXT, "Hello"), (BINARY, "\0")]), close_frame(peer, 1000, "bye")].concat(),
            cues: vec![
                (Recv, "Text(\"Hello\")"),
                (Send("Hello"), "ok"),
                (Recv, "Binary([0])"),
                (Feed("one"), "ok"),
                (Feed("two"), "ok"),
                (Recv, "end"),
                (Recv, "end"),
                (Send("late"), closing),
            ],
            says: vec![(TEXT, b"Hello".into()), (TEXT, b"one".into()), (TEXT, b"two".into()), (CLOSE, body(1000, ""))],
            closed: Some((1000, Cause::Clean, true)),
        },
        Talk {
            name: "pings are answered and seen by nobody",
            role,
            hears: frames(
                peer,
                [(PING, "1"), (TEXT_BEGINS, "a"), (PING, "2"), (GOES_ON, ""), (ENDS, "b"), (PONG, "x")],
            ),
            cues: vec![(Recv, "Text(\"ab\")"), (Recv, "end"), (Flush, "ok")],
            says: vec![(PONG, b"1".into()), (PONG, b"2".into())],
            closed: Some((1006, Cause::Eof, true)),
        },
        Talk {
            name: "we close, and skip what comes before their Close",
            role,
            hears: [frame(peer, TEXT, "skipped"), frame(peer, TEXT_BEGINS, "too"), close_frame(peer, 1000, "")]
                .concat(),
            cues: vec![
                (Send("last"), "ok"),
                (Close(1000, "bye"), "ok"),
                (Close(1000, "again"), "ok"),
                (Recv, "end"),
                (Send("late"), closing),
                (Flush, "ok"),
            ],
            says: vec![(TEXT, b"last".into()), (CLOSE, body(1000, "bye"))],
            closed: Some((1000, Cause::Clean, true)),
        },
        Talk {
            name: "we close, they only go away",
            role,
            hears: vec![],
            cues: vec![(Close(1001, ""), "ok")],
            says: vec![(CLOSE, body(1001, ""))],
            closed: Some((1006, Cause::Eof, true)),
        },
        Talk {
            name: "a close that cannot be",
            role,
            hears: frame(peer, TEXT, "on"),
            cues: vec![(Close(1006, ""), "cannot send: close code 1006 may not be sent"), (Recv, "Text(\"on\")")],
            says: vec![],
            closed: None,
        },
        Talk {
            name: "a protocol error is told once to each end",
            role,
            hears: [frame(peer, TEXT, "good"), vec![0x83], frame(peer, TEXT, "never seen")].concat(),
            cues: vec![
                (Recv, "Text(\"good\")"),
                (Recv, "peer broke the protocol: reserved opcode 0x3 in a frame header"),
                (Recv, "end"),
                (Send("late"), closing),
                (Close(1000, ""), "ok"),
            ],
            says: vec![(CLOSE, body(1002, "reserved opcode 0x3 in a frame header"))],
            closed: Some((1006, Cause::Protocol(ProtocolError::ReservedOpcode(3)), true)),
        },
        Talk {
            name: "the end without a Close frame is no error",
            role,
            hears: frame(peer, TEXT, "cut")[..4].to_vec(),
            cues: vec![(Recv, "end"), (Recv, "end"), (Send("late"), closing)],
            says: vec![],
            closed: Some((1006, Cause::Eof, true)),
        },
        Talk {
            name: "fragments and pings of ours",
            role,
            // Something is there to read ahead, so that the end is not seen.
            hears: frame(peer, TEXT, "ahead"),
            cues: vec![
                (Fragment("a", false), "ok"),
                (Send("no"), "cannot send: a fragmented message has not been finished"),
                (Ping("p"), "ok"),
                (Fragment("b", true), "ok"),
            ],
            says: vec![(TEXT_BEGINS, b"a".into()), (PING, b"p".into()), (ENDS, b"b".into())],
            closed: None,
        },
    ]
}
