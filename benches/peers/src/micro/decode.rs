//! A server's receiving: many masked frames in a buffer of 64 KiB, to messages that are unmasked and, if text, valid
//! UTF-8. All include one copy of the frames from where they lie to where they are unmasked, as a read does it.

use std::hint::black_box;
use std::sync::Arc;

use bytes::BytesMut;
use futures_util::{FutureExt, StreamExt};
use openline::{Agreement, Config, Connection, Event, Time, Upgrade};
use simdutf8::basic::from_utf8;
use soketto::connection::{Builder, Mode};
use tokio_util::compat::TokioAsyncReadCompatExt;

use super::pipe::Pipe;
use super::{Case, SIZES, count, table};
use crate::load::frame;
use crate::load::script::messages;
use crate::serve::LONGEST;

pub fn run() {
    for (title, opcode) in [("Decoding binary messages", frame::BINARY), ("Decoding text", frame::TEXT)] {
        table(title, &SIZES, |size| (cases(opcode, size), count(size)));
    }
}

fn cases(opcode: u8, size: usize) -> Vec<Case> {
    let text = opcode == frame::TEXT;
    let messages: Vec<Vec<u8>> = if text {
        (0..count(size)).map(|number| ascii(number, size)).collect()
    } else {
        messages(opcode, count(size), size)
    };
    let mut wire = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        frame::write(&mut wire, opcode, false, [1, 2, 3, number as u8], message);
    }
    let wire = Arc::new(wire);
    let case = |name, pass: Pass| {
        let mut seen = Seen { text, expected: messages.clone(), number: 0, check: true };
        let mut pass = pass(&wire);
        // Once with all of it compared, and several times around the input.
        for _ in 0..3 {
            seen.check = true;
            pass(&mut seen);
            seen.end(name);
        }
        seen.check = false;
        Case::new(name, move || {
            pass(&mut seen);
            seen.end(name);
        })
    };
    vec![
        case(if text { "memcpy and simdutf8 (limit)" } else { "memcpy (limit)" }, limit),
        case("openline", openline),
        case("openline, owned", openline_owned),
        case("tungstenite", tungstenite),
        case("fastwebsockets", fastwebsockets),
        case("tokio-websockets", tokio_websockets),
        case("soketto", soketto),
        case("yawc", yawc),
        case("sockudo", sockudo),
        case("web-socket", web_socket),
        case("wtx", wtx),
    ]
}

/// Text as most text is.
fn ascii(number: usize, len: usize) -> Vec<u8> {
    let words = b"{\"price\": 1234.5, \"symbol\": \"ACME\"} ";
    words.iter().copied().cycle().skip(number % words.len()).take(len).collect()
}

/// Makes what does a pass over these frames.
type Pass = fn(&Arc<Vec<u8>>) -> Box<dyn FnMut(&mut Seen)>;

/// What a pass has decoded.
struct Seen {
    text: bool,
    expected: Vec<Vec<u8>>,
    number: usize,
    /// Whether to compare, or only to take a look.
    check: bool,
}

impl Seen {
    #[inline]
    fn message(&mut self, text: bool, payload: &[u8]) {
        if self.check {
            assert!(payload == self.expected[self.number] && text == self.text, "message {}", self.number);
        }
        self.number += 1;
        black_box(payload.as_ptr());
    }

    #[inline]
    fn more(&self) -> bool {
        self.number < self.expected.len()
    }

    /// All have come, and no more.
    #[inline]
    fn end(&mut self, name: &str) {
        assert_eq!(self.number, self.expected.len(), "{name}");
        self.number = 0;
    }
}

/// The future is ready: nothing here waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the pipe never waits")
}

fn limit(wire: &Arc<Vec<u8>>) -> Box<dyn FnMut(&mut Seen)> {
    let wire = wire.clone();
    let mut buffer = wire.to_vec();
    Box::new(move |seen| {
        buffer.copy_from_slice(black_box(&wire));
        // There is nothing to decode; what is checked is what a decoder would check.
        for number in 0..seen.expected.len() {
            let message = &seen.expected[number][..];
            let valid = !seen.text || from_utf8(black_box(message)).is_ok();
            assert!(valid);
            seen.number += 1;
        }
        black_box(&mut buffer);
    })
}

fn openline(wire: &Arc<Vec<u8>>) -> Box<dyn FnMut(&mut Seen)> {
    let (wire, mut buffer, mut connection) = openline_setup(wire);
    Box::new(move |seen| {
        buffer.copy_from_slice(&wire);
        let mut input = &mut buffer[..];
        while let Some(event) = connection.receive(&mut input, Time::ZERO).expect("valid") {
            if let Event::Message(message) = event {
                seen.message(message.is_text(), message.as_bytes());
            }
        }
    })
}

fn openline_owned(wire: &Arc<Vec<u8>>) -> Box<dyn FnMut(&mut Seen)> {
    let (wire, mut buffer, mut connection) = openline_setup(wire);
    Box::new(move |seen| {
        buffer.copy_from_slice(&wire);
        let mut input = &mut buffer[..];
        while let Some(event) = connection.receive_owned(&mut input, Time::ZERO).expect("valid") {
            if let Event::Message(message) = event {
                seen.message(message.is_text(), message.as_bytes());
            }
        }
    })
}

fn openline_setup(wire: &Arc<Vec<u8>>) -> (Arc<Vec<u8>>, Vec<u8>, Connection) {
    let connection = Connection::new(Upgrade::server(Agreement::default()), Config::default(), Time::ZERO);
    (wire.clone(), wire.to_vec(), connection)
}

fn tungstenite(wire: &Arc<Vec<u8>>) -> Box<dyn FnMut(&mut Seen)> {
    let config = crate::serve::tungstenite::config();
    let role = tungstenite::protocol::Role::Server;
    let mut socket = tungstenite::WebSocket::from_raw_socket(Pipe::new(wire), role, Some(config));
    Box::new(move |seen| {
        while seen.more() {
            match socket.read().expect("valid frames") {
                tungstenite::Message::Text(text) => seen.message(true, text.as_bytes()),
                tungstenite::Message::Binary(data) => seen.message(false, &data),
                other => panic!("{other:?}"),
            }
        }
    })
}

fn fastwebsockets(wire: &Arc<Vec<u8>>) -> Box<dyn FnMut(&mut Seen)> {
    use fastwebsockets::{FragmentCollector, OpCode, Role, WebSocket};
    let mut socket = FragmentCollector::new(WebSocket::after_handshake(Pipe::new(wire), Role::Server));
    Box::new(move |seen| {
        while seen.more() {
            let frame = now(socket.read_frame()).expect("valid frames");
            seen.message(frame.opcode == OpCode::Text, &frame.payload);
        }
    })
}

fn tokio_websockets(wire: &Arc<Vec<u8>>) -> Box<dyn FnMut(&mut Seen)> {
    let mut socket = tokio_websockets::ServerBuilder::new().serve(Pipe::new(wire));
    Box::new(move |seen| {
        while seen.more() {
            let message = now(socket.next()).expect("no end").expect("valid frames");
            seen.message(message.is_text(), message.as_payload());
        }
    })
}

fn soketto(wire: &Arc<Vec<u8>>) -> Box<dyn FnMut(&mut Seen)> {
    let (_, mut receiver) = Builder::new(Pipe::new(wire).compat(), Mode::Server).finish();
    let mut message = Vec::new();
    Box::new(move |seen| {
        while seen.more() {
            message.clear();
            let data = now(receiver.receive_data(&mut message)).expect("valid frames");
            assert!(!data.is_text() || from_utf8(&message).is_ok());
            seen.message(data.is_text(), &message);
        }
    })
}

fn yawc(wire: &Arc<Vec<u8>>) -> Box<dyn FnMut(&mut Seen)> {
    use yawc::{OpCode, Options, Role, WebSocket};
    let options = Options::default().with_utf8().with_limits(LONGEST, LONGEST);
    let mut socket = WebSocket::from_stream(Pipe::new(wire), Role::Server, options).expect("no extensions");
    Box::new(move |seen| {
        while seen.more() {
            let frame = now(socket.next_frame()).expect("valid frames");
            seen.message(frame.opcode() == OpCode::Text, frame.payload());
        }
    })
}

/// Its stream asks the clock; this is what lies under it.
fn sockudo(wire: &Arc<Vec<u8>>) -> Box<dyn FnMut(&mut Seen)> {
    use sockudo_ws::protocol::{Protocol, Role};
    let wire = wire.clone();
    let mut protocol = Protocol::new(Role::Server, LONGEST, LONGEST);
    let mut buffer = BytesMut::with_capacity(wire.len());
    let mut messages = Vec::new();
    Box::new(move |seen| {
        buffer.extend_from_slice(&wire);
        while seen.more() {
            protocol.process_into(&mut buffer, &mut messages).expect("valid frames");
            for message in messages.drain(..) {
                seen.message(message.is_text(), message.as_bytes());
            }
        }
    })
}

fn web_socket(wire: &Arc<Vec<u8>>) -> Box<dyn FnMut(&mut Seen)> {
    use web_socket::{DataType, Event, WebSocket};
    let mut socket = WebSocket::server(tokio::io::BufReader::with_capacity(super::PASS, Pipe::new(wire)));
    Box::new(move |seen| {
        while seen.more() {
            match now(socket.recv()).expect("valid frames") {
                Event::Data { ty: DataType::Complete(ty), data } => {
                    assert!(!ty.is_text() || from_utf8(&data).is_ok());
                    seen.message(ty.is_text(), &data);
                }
                other => panic!("{other:?}"),
            }
        }
    })
}

fn wtx(wire: &Arc<Vec<u8>>) -> Box<dyn FnMut(&mut Seen)> {
    use wtx::web_socket::{OpCode, WebSocketBuffer, WebSocketOwned, WebSocketPayloadOrigin};
    let rng = wtx::rng::Xorshift64::new(1);
    let mut socket: WebSocketOwned<(), _, _, false> =
        WebSocketOwned::new((), false, rng, Pipe::new(wire), WebSocketBuffer::new());
    let mut buffer = wtx::collection::Vector::new();
    Box::new(move |seen| {
        while seen.more() {
            let read = socket.read_frame(&mut buffer, WebSocketPayloadOrigin::Adaptive);
            let frame = now(read).expect("valid frames");
            seen.message(frame.op_code() == OpCode::Text, frame.payload());
        }
    })
}
