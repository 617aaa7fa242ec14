//! What is left when the rest is gone: sockets in a thread that ends, a decoder after its error, and what
//! `Debug` shows of everything that is public.
#![cfg(feature = "tokio")]

mod common;
#[path = "common/line.rs"]
mod line;

use std::cell::RefCell;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::thread;

use common::*;
use line::Line;
use openline::Role::{Client, Server};
use openline::frame::Decoder;
use openline::{Agreement, Config, Connection, Upgrade, net, tokio as asynchronous};

fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (ours, listener.accept().unwrap().0)
}

fn net_socket(io: TcpStream) -> net::WebSocket<TcpStream> {
    net::WebSocket::new(io, Upgrade::server(Agreement::default()), Config::default(), &[])
}

/// What a thread keeps for the connections that it had: a socket with unread bytes, in use when the thread
/// ends, after what it would give its memory back to, or before.
struct AtTheEnd<T>(RefCell<Option<Last<T>>>);

/// A socket, and what is done to it last.
type Last<T> = (T, fn(T));

impl<T> Drop for AtTheEnd<T> {
    fn drop(&mut self) {
        let (socket, act) = self.0.take().unwrap();
        act(socket);
    }
}

thread_local! {
    static NET: AtTheEnd<net::WebSocket<TcpStream>> = const { AtTheEnd(RefCell::new(None)) };
    static TOKIO: AtTheEnd<asynchronous::WebSocket<Line>> = const { AtTheEnd(RefCell::new(None)) };
}

#[test]
fn a_net_socket_may_be_used_and_dropped_while_its_thread_ends() {
    let used: fn(net::WebSocket<TcpStream>) = |mut ws| {
        // The second message lies in a read buffer, the third in the transport.
        assert!(ws.recv().unwrap().is_some());
        assert!(ws.recv().unwrap().is_some());
        ws.send("goodbye").unwrap();
    };
    for act in [used, drop] {
        for first in [true, false] {
            let (mut peer, ours) = tcp();
            peer.write_all(&frames(Client, [(TEXT, "one"), (TEXT, "two")])).unwrap();
            let three = frame(Client, BINARY, vec![7; 100_000]);
            let writer = thread::spawn(move || {
                peer.write_all(&three).unwrap();
                peer
            });
            let ended = thread::spawn(move || {
                // What is registered first is destroyed last.
                if first {
                    NET.with(|_| ());
                }
                let mut ws = net_socket(ours);
                assert!(ws.recv().unwrap().is_some());
                NET.with(|kept| *kept.0.borrow_mut() = Some((ws, act)));
            });
            ended.join().unwrap();
            drop(writer.join());
        }
    }
}

#[test]
fn a_tokio_socket_may_be_used_and_dropped_while_its_thread_ends() {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it waits"),
        }
    }
    let used: fn(asynchronous::WebSocket<Line>) = |mut ws| {
        assert!(now(ws.recv()).unwrap().is_some());
        assert!(now(ws.recv()).unwrap().is_some());
        now(ws.send("goodbye")).unwrap();
    };
    for act in [used, drop] {
        for first in [true, false] {
            thread::spawn(move || {
                if first {
                    TOKIO.with(|_| ());
                }
                let three = frame(Client, BINARY, vec![7; 100_000]);
                let line = Line::hearing([frames(Client, [(TEXT, "one"), (TEXT, "two")]), three]);
                let mut ws = line::socket(Server, line, quiet());
                assert!(now(ws.recv()).unwrap().is_some());
                TOKIO.with(|kept| *kept.0.borrow_mut() = Some((ws, act)));
            })
            .join()
            .unwrap();
        }
    }
}

/// Where permessage-deflate was agreed its memory is the thread's.
#[cfg(feature = "deflate")]
#[test]
fn a_compressing_connection_may_be_used_and_dropped_while_its_thread_ends() {
    thread_local! {
        static CONNECTION: AtTheEnd<Connection> = const { AtTheEnd(RefCell::new(None)) };
    }
    for first in [true, false] {
        thread::spawn(move || {
            if first {
                CONNECTION.with(|_| ());
            }
            let mut agreement = Agreement::default();
            let mut deflate = openline::Deflate::default();
            deflate.threshold = 8;
            agreement.deflate = Some(deflate);
            let mut us = Connection::new(Upgrade::server(agreement), quiet(), s(0));
            us.send("again and again and again and again").unwrap();
            let act: fn(Connection) = |mut us| us.send("again and again and again and again").unwrap();
            CONNECTION.with(|kept| *kept.0.borrow_mut() = Some((us, act)));
        })
        .join()
        .unwrap();
    }
}

/// After its error a decoder says the same again, whatever it is given; it neither panics nor goes on.
#[test]
fn a_decoder_stays_at_its_error() {
    for role in BOTH {
        let peer = role.peer();
        for wrong in [
            vec![0x83],
            vec![0xf1],
            vec![PING & 0x7f],
            frame(role, TEXT, "masked wrongly"),
            header(peer, PING, 126),
            header(peer, BINARY, 1 << 63),
        ] {
            for cut in 0..wrong.len() {
                let mut decoder = Decoder::new(role);
                let (mut front, mut back) = (wrong[..cut].to_vec(), wrong[cut..].to_vec());
                let mut error = decoder.decode(&mut &mut front[..]).map(|piece| piece.is_some());
                if error == Ok(false) {
                    error = decoder.decode(&mut &mut back[..]).map(|piece| piece.is_some());
                }
                assert!(error.is_err(), "{wrong:x?}");
                for more in [vec![], wrong.clone(), frame(peer, TEXT, "fine"), vec![0; 20], vec![0xff; 20]] {
                    let mut more = more.clone();
                    let again = decoder.decode(&mut &mut more[..]).map(|piece| piece.is_some());
                    assert_eq!(again, error, "{wrong:x?} and then {more:x?}");
                }
            }
        }
    }
}

/// Logs must not give away what is said, nor who says it: of sockets and their halves, of what opens them,
/// and of every way in which they end.
#[tokio::test(start_paused = true)]
async fn debug_shows_no_secret() {
    const SECRET: &str = "secret";
    let show = |what: &dyn std::fmt::Debug| {
        let text = format!("{what:?} {what:#?}");
        // Also as numbers, in a list or one below the other.
        for part in ["secret", "ecre", "115, 101", "115,\n", "73, 65"] {
            assert!(!text.contains(part), "{text}");
        }
    };
    let secrets = || [frame(Client, TEXT, SECRET), frame(Client, BINARY, SECRET.repeat(20_000))].concat();

    // Sockets with unread bytes, a message in part, and bytes to send.
    let line = Line::silent([secrets()[..1000].to_vec()]);
    line.script().blocked = true;
    let mut ws = line::socket(Server, line, quiet());
    assert!(ws.recv().await.unwrap().is_some());
    ws.feed(SECRET).await.unwrap();
    show(ws.connection());
    let failed = ws.try_feed(SECRET.repeat(100_000)).and_then(|()| ws.try_feed(SECRET.to_owned())).unwrap_err();
    show(&failed);
    // The transport's `Debug` is the transport's.
    let io = || tokio::io::join(tokio::io::empty(), tokio::io::sink());
    let mut ws = asynchronous::WebSocket::new(io(), Upgrade::server(Agreement::default()), quiet(), &secrets()[..1000]);
    ws.feed(SECRET).await.unwrap();
    show(&ws);
    assert!(ws.recv().await.unwrap().is_some());
    show(&ws);
    let (rx, tx) = ws.split();
    show(&rx);
    show(&tx);
    let other = asynchronous::WebSocket::new(io(), Upgrade::server(Agreement::default()), quiet(), &secrets()).split();
    show(&rx.reunite(other.1).unwrap_err());

    let (mut peer, ours) = tcp();
    peer.write_all(&secrets()[..1000]).unwrap();
    let mut ws = net_socket(ours);
    ws.feed(SECRET).unwrap();
    assert!(ws.recv().unwrap().is_some());
    show(&ws);
    let (rx, tx) = ws.split().unwrap();
    show(&rx);
    show(&tx);

    // How a connection ended.
    for role in BOTH {
        let mut us = open(role);
        let heard = hear(&mut us, &close_frame(role.peer(), 1000, SECRET));
        show(&heard);
        show(&us);
        us.handle_eof(s(0));
        show(&us);
        show(&us.closed());
        let mut us = open(role);
        show(&hear(&mut us, &[&frame(role.peer(), TEXT_BEGINS, SECRET)[..], &[0x83], b"secret"].concat()));
        show(&us);
        let mut us = open(role);
        us.close(1000.into(), SECRET, s(0)).unwrap();
        show(&us);
        // What is held, and what was read ahead.
        let mut us = open(role);
        us.set_reading(openline::Reading::OneAhead, s(0));
        us.receive_ahead(&mut &mut frame(role.peer(), TEXT, SECRET)[..], s(0)).unwrap();
        us.hold(&frame(role.peer(), TEXT, SECRET));
        show(&us);
    }

    // What opens connections, and how that fails.
    let request = openline::ClientRequest::new("ws://secret:secret@h/chat?secret").unwrap();
    let request = request.header("Authorization", "secret").unwrap().header("Cookie", "a=secret").unwrap();
    let client = openline::Client::new(request.clone()).seed(*b"secretsecretsecretsecretsecretse");
    show(&request);
    show(&client);
    let mut us = Connection::client(&client, client.new_seed().unwrap(), s(0));
    show(&us);
    let mut asked: Vec<u8> = transmit(&mut us, s(0));
    let mut answer = b"HTTP/1.1 401 No\r\nSet-Cookie: secret\r\nContent-Length: 6\r\n\r\nsecret".to_vec();
    show(&us.receive(&mut &mut answer[..], s(0)));
    us.handle_eof(s(0));
    show(&us);
    show(&us.closed());
    show(&us.response());
    show(&openline::Error::Refused(Box::new(us.response().unwrap().clone())));
    let mut us = Connection::server(&openline::Server::default(), s(0));
    assert!(us.receive(&mut &mut asked[..], s(0)).unwrap().is_some());
    show(&us);
    show(&us.request());
    let answer = openline::Accept::default().header("Set-Cookie", "secret").unwrap();
    show(&answer);
    show(&openline::Response::new(401).header("Set-Cookie", "secret").unwrap().body("secret"));
    us.accept(answer, s(0)).unwrap();
    show(&us);
}
