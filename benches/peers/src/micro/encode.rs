//! Sending: binary messages to frames, as a server and as a client, up to what would be written to a socket.

use std::hint::black_box;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, SinkExt};
use openline::{Agreement, Config, Connection, Message, Prepared, Time, Upgrade};
use soketto::connection::{Builder, Mode};
use tokio_util::compat::TokioAsyncReadCompatExt;

use super::pipe::{Output, Pipe};
use super::{Case, SIZES, count, table};
use crate::load::frame;
use crate::load::script::messages;
use crate::serve::LONGEST;

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Server,
    Client,
}

pub fn run() {
    for (title, role) in [("Encoding as a server", Role::Server), ("Encoding as a client", Role::Client)] {
        table(title, &SIZES, |size| (cases(role, size), count(size)));
    }
}

/// Makes what sends these messages to there.
type Pass = fn(Role, Vec<Bytes>, &Arc<Output>) -> Box<dyn FnMut()>;

fn cases(role: Role, size: usize) -> Vec<Case> {
    let payloads: Vec<Bytes> = messages(frame::BINARY, count(size), size).into_iter().map(Bytes::from).collect();
    let case = |name, make: Pass| {
        let output = Arc::new(Output::default());
        let mut pass = make(role, payloads.clone(), &output);
        let mut written = 0;
        for _ in 0..2 {
            let wire = output.kept(&mut pass);
            check(name, role, &wire, &payloads);
            written = output.count();
        }
        Case::new(name, move || {
            pass();
            assert_eq!(output.count(), written, "{name}");
        })
    };
    let limit = {
        let payloads = payloads.clone();
        let mut buffer = vec![0; size];
        Case::new("memcpy (limit)", move || {
            for payload in &payloads {
                black_box(&mut buffer[..]).copy_from_slice(payload);
            }
        })
    };
    vec![
        limit,
        case("openline", openline),
        case("openline, owned", openline_owned),
        case("openline, prepared", openline_prepared),
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

/// Reads the frames again.
fn check(name: &str, role: Role, mut wire: &[u8], payloads: &[Bytes]) {
    for payload in payloads {
        let [first, second, ..] = wire else { panic!("{name}: too few bytes") };
        let (len, size) = match second & 127 {
            126 => (usize::from(u16::from_be_bytes([wire[2], wire[3]])), 4),
            127 => (wire[2..10].iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), 10),
            len => (usize::from(len), 2),
        };
        assert_eq!((*first, second >> 7 == 1, len), (0x82, role == Role::Client, payload.len()), "{name}");
        wire = &wire[size..];
        let mut key = [0; 4];
        if role == Role::Client {
            key.copy_from_slice(&wire[..4]);
            wire = &wire[4..];
        }
        let plain = wire[..len].iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
        assert!(plain.eq(payload.iter().copied()), "{name}: another payload");
        wire = &wire[len..];
    }
    assert!(wire.is_empty(), "{name}: too many bytes");
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the pipe never waits")
}

/// Borrowed messages, which are copied behind their headers.
fn openline(role: Role, payloads: Vec<Bytes>, output: &Arc<Output>) -> Box<dyn FnMut()> {
    openline_each(role, output, move |connection| {
        for payload in &payloads {
            connection.send(Message::from(&payload[..])).expect("an open connection");
        }
    })
}

/// Messages of its own, each a new one: one allocation and one copy are the application's.
fn openline_owned(role: Role, payloads: Vec<Bytes>, output: &Arc<Output>) -> Box<dyn FnMut()> {
    openline_each(role, output, move |connection| {
        for payload in &payloads {
            connection.send(payload.to_vec()).expect("an open connection");
        }
    })
}

fn openline_prepared(role: Role, payloads: Vec<Bytes>, output: &Arc<Output>) -> Box<dyn FnMut()> {
    let prepared: Vec<_> = payloads.iter().map(|payload| Prepared::new(&payload[..])).collect();
    openline_each(role, output, move |connection| {
        for message in &prepared {
            connection.send(message).expect("an open connection");
        }
    })
}

fn openline_each(role: Role, output: &Arc<Output>, send: impl Fn(&mut Connection) + 'static) -> Box<dyn FnMut()> {
    let agreement = Agreement::default();
    let upgrade = match role {
        Role::Server => Upgrade::server(agreement),
        Role::Client => Upgrade::client(agreement, [7; 32]),
    };
    let mut connection = Connection::new(upgrade, Config::default(), Time::ZERO);
    let output = output.clone();
    Box::new(move || {
        send(&mut connection);
        while connection.queued() > 0 {
            let mut len = 0;
            for bytes in connection.transmits() {
                output.take(bytes);
                len += bytes.len();
            }
            connection.handle_transmitted(len, Time::ZERO);
        }
    })
}

fn tungstenite(role: Role, payloads: Vec<Bytes>, output: &Arc<Output>) -> Box<dyn FnMut()> {
    use tungstenite::protocol::Role as Its;
    use tungstenite::{Message, WebSocket};
    let role = if role == Role::Server { Its::Server } else { Its::Client };
    let mut socket = WebSocket::from_raw_socket(Pipe::to(output), role, None);
    Box::new(move || {
        for payload in &payloads {
            socket.write(Message::Binary(payload.clone())).expect("room");
        }
        socket.flush().expect("room");
    })
}

fn fastwebsockets(role: Role, payloads: Vec<Bytes>, output: &Arc<Output>) -> Box<dyn FnMut()> {
    use fastwebsockets::{Frame, Payload, Role as Its, WebSocket};
    let role = if role == Role::Server { Its::Server } else { Its::Client };
    let mut socket = WebSocket::after_handshake(Pipe::to(output), role);
    // It borrows for as long as it lives.
    let payloads: &'static [Bytes] = payloads.leak();
    Box::new(move || {
        for payload in payloads {
            now(socket.write_frame(Frame::binary(Payload::Borrowed(payload)))).expect("room");
        }
    })
}

fn tokio_websockets(role: Role, payloads: Vec<Bytes>, output: &Arc<Output>) -> Box<dyn FnMut()> {
    use tokio_websockets::{ClientBuilder, Message, ServerBuilder};
    let mut socket = match role {
        Role::Server => ServerBuilder::new().serve(Pipe::to(output)),
        Role::Client => ClientBuilder::new().take_over(Pipe::to(output)),
    };
    Box::new(move || {
        for payload in &payloads {
            now(socket.feed(Message::binary(payload.clone()))).expect("room");
        }
        now(socket.flush()).expect("room");
    })
}

fn soketto(role: Role, payloads: Vec<Bytes>, output: &Arc<Output>) -> Box<dyn FnMut()> {
    let mode = if role == Role::Server { Mode::Server } else { Mode::Client };
    let (mut sender, _) = Builder::new(Pipe::to(output).compat(), mode).finish();
    Box::new(move || {
        for payload in &payloads {
            now(sender.send_binary(payload)).expect("room");
        }
        now(sender.flush()).expect("room");
    })
}

fn yawc(role: Role, payloads: Vec<Bytes>, output: &Arc<Output>) -> Box<dyn FnMut()> {
    use yawc::{Frame, Options, Role as Its, WebSocket};
    let role = if role == Role::Server { Its::Server } else { Its::Client };
    let mut socket = WebSocket::from_stream(Pipe::to(output), role, Options::default()).expect("no extensions");
    Box::new(move || {
        for payload in &payloads {
            now(socket.feed(Frame::binary(payload.clone()))).expect("room");
        }
        now(SinkExt::flush(&mut socket)).expect("room");
    })
}

/// What lies under its stream, as in decoding.
fn sockudo(role: Role, payloads: Vec<Bytes>, output: &Arc<Output>) -> Box<dyn FnMut()> {
    use sockudo_ws::protocol::{Message, Protocol, Role as Its};
    let role = if role == Role::Server { Its::Server } else { Its::Client };
    let mut protocol = Protocol::new(role, LONGEST, LONGEST);
    let output = output.clone();
    let mut buffer = BytesMut::new();
    Box::new(move || {
        for payload in &payloads {
            protocol.encode_message(&Message::Binary(payload.clone()), &mut buffer).expect("memory");
        }
        output.take(&buffer);
        buffer.clear();
    })
}

fn web_socket(role: Role, payloads: Vec<Bytes>, output: &Arc<Output>) -> Box<dyn FnMut()> {
    use web_socket::{Frame, WebSocket};
    let mut socket = match role {
        Role::Server => WebSocket::server(Pipe::to(output)),
        Role::Client => WebSocket::client(Pipe::to(output)),
    };
    Box::new(move || {
        for data in &payloads {
            now(socket.send_raw(Frame { fin: true, opcode: 2, data })).expect("room");
        }
    })
}

/// It masks where the message lies, so a client must give each a copy; a server does without.
fn wtx(role: Role, payloads: Vec<Bytes>, output: &Arc<Output>) -> Box<dyn FnMut()> {
    match role {
        Role::Server => wtx_as::<false>(payloads, output),
        Role::Client => wtx_as::<true>(payloads, output),
    }
}

fn wtx_as<const CLIENT: bool>(payloads: Vec<Bytes>, output: &Arc<Output>) -> Box<dyn FnMut()> {
    use wtx::web_socket::{Frame, OpCode, WebSocketBuffer, WebSocketOwned};
    let rng = wtx::rng::Xorshift64::new(1);
    let mut socket: WebSocketOwned<(), _, _, CLIENT> =
        WebSocketOwned::new((), false, rng, Pipe::to(output), WebSocketBuffer::new());
    let mut plain: Vec<Vec<u8>> = payloads.iter().map(|payload| payload.to_vec()).collect();
    Box::new(move || {
        for (kept, payload) in plain.iter_mut().zip(&payloads) {
            if CLIENT {
                kept.copy_from_slice(payload);
            }
            now(socket.write_frame(&mut Frame::new_fin(OpCode::Binary, &mut kept[..]))).expect("room");
        }
    })
}
