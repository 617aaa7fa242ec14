//! One client without its socket: what it says to its door, and what it makes of the answers. Each is as small as its door
//! allows, so that the doors are measured and not their clients.
//!
//! ```text
//! poll:    GET without a position -> the position -> GET after it -> answer: messages and position -> GET after it -> …
//! events:  GET -> 200, `id` without data -> one event for each message, comments
//! socket:  upgrade -> 101 -> hello; join -> joined -> one frame for each message; Pings, which are answered
//! ```

use std::str::FromStr;

use crate::message::{self, Heard};
use crate::requests::{Requests, is_accepted};
use crate::{Error, Result, events, frames, http};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Poll,
    Events,
    Socket,
}

impl Door {
    pub(crate) const ALL: [Door; 3] = [Door::Poll, Door::Events, Door::Socket];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Door::Poll => "poll",
            Door::Events => "events",
            Door::Socket => "socket",
        }
    }
}

impl FromStr for Door {
    type Err = Error;

    fn from_str(name: &str) -> Result<Door> {
        let found = Door::ALL.into_iter().find(|door| door.name() == name);
        found.ok_or_else(|| format!("no door: {name}").into())
    }
}

#[derive(Debug)]
pub(crate) struct Client {
    talk: Talk,
    /// Whether it waits for messages: it has a position, and all that is published from then on comes.
    waits: bool,
}

#[derive(Debug)]
enum Talk {
    Poll {
        http: http::Reader,
        body: Vec<u8>,
    },
    Events {
        http: http::Reader,
        events: events::Reader,
    },
    /// The handshake's response is not there yet.
    Upgrade {
        http: http::Reader,
    },
    Socket {
        frames: frames::Reader,
    },
}

impl Client {
    /// Appends its first request to `out`.
    pub(crate) fn new(door: Door, requests: &Requests, out: &mut Vec<u8>) -> Client {
        let http = http::Reader::default();
        let talk = match door {
            Door::Poll => {
                requests.poll(out, None);
                Talk::Poll { http, body: Vec::new() }
            }
            Door::Events => {
                requests.events(out);
                Talk::Events { http, events: events::Reader::default() }
            }
            Door::Socket => {
                requests.socket(out);
                Talk::Upgrade { http }
            }
        };
        Client { talk, waits: false }
    }

    pub(crate) fn waits(&self) -> bool {
        self.waits
    }

    /// Reads what has come, calls `heard` for each message, and appends to `out` what there is to say.
    pub(crate) fn read(
        &mut self,
        mut input: &[u8],
        requests: &Requests,
        out: &mut Vec<u8>,
        mut heard: impl FnMut(Heard) -> Result<()>,
    ) -> Result<()> {
        while !input.is_empty() {
            match &mut self.talk {
                Talk::Poll { http, body } => match http.read(&mut input, body)? {
                    http::Step::More => {}
                    http::Step::Head(head) => ok(&head)?,
                    http::Step::End => {
                        let answer = str::from_utf8(body)?;
                        let after = message::position(answer)?;
                        message::each(answer, &mut heard)?;
                        *body = Vec::new();
                        requests.poll(out, Some(&after));
                        self.waits = true;
                    }
                },
                Talk::Events { http, events } => {
                    // What is of the body in these bytes.
                    let mut body = Vec::new();
                    match http.read(&mut input, &mut body)? {
                        http::Step::More => {}
                        http::Step::Head(head) => ok(&head)?,
                        http::Step::End => return Err("the stream of events has ended".into()),
                    }
                    let waits = &mut self.waits;
                    events.read(&body, |event| match (event.kind, event.data) {
                        (None, Some(data)) => one(data, &mut heard),
                        (None, None) => {
                            *waits |= event.id.is_some();
                            Ok(())
                        }
                        (Some(kind), _) => Err(format!("the stream of events says {kind}: {:?}", event.data).into()),
                    })?;
                }
                Talk::Upgrade { http } => match http.read(&mut input, &mut Vec::new())? {
                    http::Step::Head(head) if head.status == 101 => {
                        if !is_accepted(head.field("sec-websocket-accept")) {
                            return Err("the server has not understood the key".into());
                        }
                        if let Some(extensions) = head.field("sec-websocket-extensions") {
                            return Err(format!("an extension that this client does not know: {extensions}").into());
                        }
                        frames::text(out, "{\"join\":\"doors\"}");
                        self.talk = Talk::Socket { frames: frames::Reader::default() };
                    }
                    http::Step::More => {}
                    refused => return Err(format!("the upgrade was not accepted: {refused:?}").into()),
                },
                Talk::Socket { frames } => {
                    let waits = &mut self.waits;
                    frames.read(std::mem::take(&mut input), |frame| match frame {
                        frames::Frame::Text(text) if text.starts_with("{\"topic\":") => one(text, &mut heard),
                        frames::Frame::Text(text) if text.starts_with("{\"hello\":") => Ok(()),
                        // serde_json sorts the members.
                        frames::Frame::Text(text) if text.contains("\"joined\":\"doors\"") => {
                            *waits = true;
                            Ok(())
                        }
                        frames::Frame::Text(text) => Err(format!("the socket says {text:.100}").into()),
                        frames::Frame::Ping(payload) => {
                            frames::pong(out, payload);
                            Ok(())
                        }
                        frames::Frame::Close(code) => Err(format!("the socket is closed: {code:?}").into()),
                    })?;
                }
            }
        }
        Ok(())
    }
}

fn ok(head: &http::Head) -> Result<()> {
    if head.status == 200 { Ok(()) } else { Err(format!("the server answers {}", head.status).into()) }
}

fn one(text: &str, heard: impl FnMut(Heard) -> Result<()>) -> Result<()> {
    match message::each(text, heard)? {
        1 => Ok(()),
        count => Err(format!("{count} messages in {text:.100}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::to_publish;
    use crate::requests::Headers;

    const FIRST: Heard = Heard { n: 1, at: 10 };
    const SECOND: Heard = Heard { n: 2, at: 20 };

    fn said(heard: Heard) -> String {
        format!("{{\"topic\":\"doors\",\"epoch\":\"e\",\"offset\":{},\"message\":{}}}", heard.n, to_publish(heard))
    }

    fn answer(offset: u64, messages: &str) -> String {
        let body = format!("{{\"epoch\":\"e\",\"offset\":{offset},\"whole\":true,\"messages\":[{messages}]}}");
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    fn chunk(text: &str) -> String {
        format!("{:x}\r\n{text}\r\n", text.len())
    }

    fn frame(first: u8, payload: &str) -> Vec<u8> {
        let mut frame = vec![first];
        match u8::try_from(payload.len()) {
            Ok(length) if length < 126 => frame.push(length),
            _ => {
                frame.push(126);
                frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            }
        }
        frame.extend_from_slice(payload.as_bytes());
        frame
    }

    /// What the server says when the client is to wait, and with two messages.
    fn script(door: Door) -> (Vec<u8>, Vec<u8>) {
        match door {
            Door::Poll => {
                (answer(0, "").into(), (answer(1, &said(FIRST)) + &answer(2, &said(SECOND)) + &answer(2, "")).into())
            }
            Door::Events => {
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
                let event = |heard: Heard| format!("id: e:{}\ndata: {}\n\n", heard.n, said(heard));
                (
                    (head + &chunk("id: e:0\n\n")).into(),
                    (chunk(":\n\n") + &chunk(&(event(FIRST) + &event(SECOND)))).into(),
                )
            }
            Door::Socket => {
                let head = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
                             sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
                    .to_vec();
                let hello = frame(0x81, "{\"hello\":\"x\"}");
                let joined = frame(0x81, "{\"epoch\":\"e\",\"joined\":\"doors\",\"offset\":0,\"whole\":true}");
                let messages = [frame(0x81, &said(FIRST)), frame(0x89, "p"), frame(0x81, &said(SECOND))];
                ([head, hello, joined].concat(), messages.concat())
            }
        }
    }

    #[test]
    fn each_door_in_any_pieces() {
        let requests = Requests::new(Headers::Minimal);
        for door in Door::ALL {
            let (begin, rest) = script(door);
            for size in (1..40).chain([begin.len(), rest.len(), 10_000]) {
                let (mut out, mut all) = (Vec::new(), Vec::new());
                let mut client = Client::new(door, &requests, &mut out);
                let mut read = |client: &mut Client, piece: &[u8], out: &mut Vec<u8>| {
                    client.read(piece, &requests, out, |heard| {
                        all.push(heard);
                        Ok(())
                    })
                };
                assert!(!client.waits(), "{door:?}");
                for piece in begin.chunks(size) {
                    read(&mut client, piece, &mut out).unwrap();
                }
                assert!(client.waits(), "{door:?}");
                for piece in rest.chunks(size) {
                    read(&mut client, piece, &mut out).unwrap();
                }
                assert_eq!(all, [FIRST, SECOND], "{door:?} in pieces of {size}");
                let polls = out.windows(5).filter(|bytes| bytes == b"GET /").count();
                assert_eq!(polls, if door == Door::Poll { 5 } else { 1 });
                if door == Door::Poll {
                    let out = String::from_utf8(out).unwrap();
                    let after = |position| out.matches(&format!("&after={position} ")).count();
                    assert_eq!((after("e:0"), after("e:1"), after("e:2")), (1, 1, 2));
                } else if door == Door::Socket {
                    assert!(out.windows(2).any(|bytes| bytes == [0x8a, 0x81]), "a Pong");
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let requests = Requests::new(Headers::Minimal);
        let missed = chunk("event: missed\ndata: {}\n\n").into_bytes();
        let (busy, answered) = ("HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n", answer(0, ""));
        for (door, begin, wrong) in [
            (Door::Poll, false, busy.as_bytes()),
            (Door::Poll, true, &b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"[..]),
            (Door::Events, false, busy.as_bytes()),
            (Door::Events, true, &missed),
            (Door::Events, true, b"0\r\n\r\n"),
            (Door::Socket, false, busy.as_bytes()),
            (Door::Socket, false, answered.as_bytes()),
            (Door::Socket, true, b"\x88\x02\x03\xe8"),
            (Door::Socket, true, &frame(0x81, "{\"left\":\"doors\",\"reason\":\"lag\"}")),
            (Door::Socket, true, &frame(0x81, "{\"topic\":\"doors\",\"message\":1}")),
        ] {
            let mut out = Vec::new();
            let mut client = Client::new(door, &requests, &mut out);
            if begin {
                client.read(&script(door).0, &requests, &mut out, |_| Ok(())).unwrap();
            }
            assert!(client.read(wrong, &requests, &mut out, |_| Ok(())).is_err(), "{door:?} {wrong:?}");
        }
    }
}
