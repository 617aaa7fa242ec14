//! Opening handshakes over tokio: both ends, refusals that arrive whole, time that is
//! over, and what comes right behind the handshake.

#![cfg(feature = "tokio")]

mod common;
#[path = "common/line.rs"]
mod line;

use std::future::Future;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use line::*;
use openline::tokio::{accept, accept_with, connect, connect_on, connect_with, read_request};
use openline::{Accept, ClientRequest, Error, HandshakeConfig, HandshakeError, Message, Origins, Response, Role};
use openline::{Client, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// The request of RFC 6455 §1.3, and the answer to it.
const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn request() -> Vec<u8> {
    format!("{REQUEST}\r\n").into_bytes()
}

fn client() -> Client {
    Client::new(ClientRequest::new("ws://example.com/chat").unwrap())
}

fn heard(line: &Line) -> String {
    String::from_utf8(line.script().written.clone()).unwrap()
}

/// A server at a local address, and that address.
async fn serving<F: Future<Output = ()> + Send + 'static>(
    serve: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("ws://{}/chat?room=1", listener.local_addr().unwrap());
    (uri, tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await }))
}

#[tokio::test]
async fn two_ends_meet_over_tcp() {
    let (uri, serving) = serving(|io| async move {
        let mut socket = accept(io).await.unwrap();
        while let Some(message) = socket.recv().await.unwrap() {
            socket.feed(message).await.unwrap();
        }
        assert!(socket.closed().unwrap().is_clean());
    })
    .await;
    let mut socket = soon(connect(&uri)).await.unwrap();
    assert!(socket.get_ref().tcp().nodelay().unwrap());
    socket.send("Hello").await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), Some(Message::from("Hello")));
    soon(socket.close(openline::CloseCode::NORMAL, "")).await.unwrap();
    soon(serving).await.unwrap();
}

#[tokio::test]
async fn the_application_decides_on_a_request() {
    let (uri, serving) = serving(|io| async move {
        let accepting = read_request(&Server::default(), io).await.unwrap();
        accepting.get_ref().set_nodelay(true).unwrap();
        let request = accepting.request();
        assert_eq!((request.path(), request.query()), ("/chat", Some("room=1")));
        assert_eq!(request.headers.get("x-token"), Some("abc"));
        let answer = Accept::default().subprotocol("superchat").header("X-Served-By", "test").unwrap();
        let mut socket = accepting.accept_as(answer).await.unwrap();
        assert_eq!(socket.agreement().subprotocol.as_deref(), Some("superchat"));
        assert_eq!(socket.recv().await.unwrap(), None);
    })
    .await;
    let offer = ClientRequest::new(&uri).unwrap().subprotocol("chat").unwrap().subprotocol("superchat").unwrap();
    let client = Client::new(offer.header("X-Token", "abc").unwrap());
    let mut socket = soon(connect_with(&client)).await.unwrap();
    assert_eq!(socket.agreement().subprotocol.as_deref(), Some("superchat"));
    soon(socket.close(openline::CloseCode::NORMAL, "")).await.unwrap();
    soon(serving).await.unwrap();
}

#[tokio::test]
async fn a_refusal_arrives_complete_though_the_client_has_said_more() {
    let (uri, serving) = serving(|io| async move {
        let accepting = read_request(&Server::default(), io).await.unwrap();
        // What the client said behind its request lies unread in the socket.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let response = Response::new(403).header("X-Why", "not you").unwrap().body(vec![b'x'; 10_000]);
        accepting.reject(response).await.unwrap();
    })
    .await;
    let mut io = TcpStream::connect(uri[5..].split('/').next().unwrap()).await.unwrap();
    io.write_all(&[&request()[..], &[0; 50_000]].concat()).await.unwrap();
    let mut answer = vec![];
    soon(io.read_to_end(&mut answer)).await.unwrap();
    drop(io);
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer:.100}");
    assert!(answer.ends_with(&"x".repeat(10_000)));
    soon(serving).await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_told_with_status_headers_and_body() {
    let (uri, serving) = serving(|io| async move {
        let accepting = read_request(&Server::default(), io).await.unwrap();
        accepting.reject(Response::new(401).header("X-Why", "who are you").unwrap().body("login")).await.unwrap();
    })
    .await;
    let Err(Error::Refused(response)) = soon(connect(&uri)).await else { panic!("it was refused") };
    assert_eq!(response.status, 401);
    assert_eq!(response.headers.get("x-why"), Some("who are you"));
    assert_eq!(response.body, b"login");
    soon(serving).await.unwrap();
}

#[tokio::test]
async fn the_server_refuses_by_itself_and_says_why() {
    let mut handshake = HandshakeConfig::default();
    handshake.origins = Origins::Only(vec!["https://example.com".into()]);
    let (uri, serving) = serving(|io| async move {
        let refused = accept_with(&Server::default().handshake(handshake), io).await;
        assert!(matches!(refused, Err(Error::Handshake(HandshakeError::OriginRefused))));
    })
    .await;
    let Err(Error::Refused(response)) = soon(connect(&uri)).await else { panic!("it was refused") };
    assert_eq!(response.status, 403);
    soon(serving).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_plain_get_gets_its_page() {
    let mut handshake = HandshakeConfig::default();
    handshake.on_plain_request =
        Some(Arc::new(|request| Response::new(200).body(format!("this is {}", request.path()))));
    let line = Line::hearing(["GET /health HTTP/1.1\r\nHost: example.com\r\n\r\n"]);
    let refused = in_time(accept_with(&Server::default().handshake(handshake), line.clone())).await;
    assert!(matches!(refused, Err(Error::Handshake(HandshakeError::NotUpgrade))), "{refused:?}");
    assert!(heard(&line).starts_with("HTTP/1.1 200 ") && heard(&line).ends_with("this is /health"));
    assert!(line.script().shut_down);
}

#[cfg(not(feature = "rustls-no-provider"))]
#[tokio::test]
async fn wss_is_never_sent_in_the_clear() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = connect(&format!("wss://{}/", listener.local_addr().unwrap())).await;
    assert!(matches!(refused, Err(Error::Handshake(HandshakeError::TlsUnavailable))));
    assert!(only(5, listener.accept()).await.is_none(), "not even connected");
}

#[tokio::test]
async fn where_nobody_listens_is_an_error_of_that_step() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("ws://{}/", listener.local_addr().unwrap());
    drop(listener);
    let refused = soon(connect(&uri)).await;
    assert!(
        matches!(&refused, Err(Error::Connect(error)) if error.kind() == ErrorKind::ConnectionRefused),
        "{refused:?}"
    );
    let unknown = soon(connect("ws://unknown.invalid/")).await;
    assert!(matches!(unknown, Err(Error::Name(_))), "{unknown:?}");
}

/// The answer of a server to the request that is on the line.
fn answer_to(written: &[u8]) -> Option<Vec<u8>> {
    let mut server = openline::Connection::server(&Server::default(), openline::Time::ZERO);
    server.receive_copied(&mut &*written, openline::Time::ZERO).unwrap()?;
    server.accept(Accept::default(), openline::Time::ZERO).unwrap();
    Some(server.next_transmit().unwrap().to_vec())
}

#[tokio::test(start_paused = true)]
async fn frames_right_behind_the_handshake_are_not_lost() {
    for hiccup in [false, true] {
        for cut in [1, 2, 3, 50, usize::MAX] {
            for take in [1, 7, 0] {
                let bytes = [request(), frame(Role::Client, TEXT, "one"), frame(Role::Client, TEXT, "two")].concat();
                let line = Line::silent(bytes.chunks(cut.min(bytes.len())));
                line.change(|script| (script.hiccup, script.take) = (hiccup, take));
                let mut server = in_time(accept(line.clone())).await.unwrap();
                let answer = heard(&line);
                assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains(ACCEPT) && answer.ends_with("\r\n\r\n"));
                assert_eq!(line.script().flushed, answer.len());
                assert_eq!(server.recv().await.unwrap(), Some(Message::from("one")));
                assert_eq!(server.recv().await.unwrap(), Some(Message::from("two")));

                let line = Line::none();
                line.change(|script| (script.hiccup, script.take) = (hiccup, take));
                let answering = line.clone();
                let connecting = tokio::spawn(async move { connect_on(&client(), answering).await });
                let answer = loop {
                    tokio::task::yield_now().await;
                    if let Some(answer) = answer_to(&line.script().written) {
                        break answer;
                    }
                };
                let bytes = [answer, frame(Role::Server, TEXT, "one"), frame(Role::Server, TEXT, "two")].concat();
                bytes.chunks(cut.min(bytes.len())).for_each(|piece| line.say(piece));
                let mut client = in_time(connecting).await.unwrap().unwrap();
                assert_eq!(client.recv().await.unwrap(), Some(Message::from("one")));
                assert_eq!(client.recv().await.unwrap(), Some(Message::from("two")));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_has_to_be_flushed_is() {
    let (ours, theirs) = duplex(64);
    let serving = tokio::spawn(async move { accept(BufStream::new(theirs)).await });
    let mut client = in_time(connect_on(&client(), BufStream::new(ours))).await.unwrap();
    let mut server = in_time(serving).await.unwrap().unwrap();
    client.send("there").await.unwrap();
    assert_eq!(in_time(server.recv()).await.unwrap(), Some(Message::from("there")));
}

// Time.

fn timed_out<T: std::fmt::Debug>(result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::Handshake(HandshakeError::TimedOut))), "{result:?}");
}

fn impatient() -> HandshakeConfig {
    let mut handshake = HandshakeConfig::default();
    handshake.timeout = Duration::from_secs(3);
    handshake
}

fn assert_within(begun: Instant, from: u64, to: u64) {
    let passed = begun.elapsed();
    assert!(passed >= Duration::from_secs(from) && passed <= Duration::from_millis(to * 1000 + 10), "{passed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_given_up() {
    let begun = Instant::now();
    timed_out(in_time(connect_on(&client().handshake(impatient()), Line::none())).await);
    assert_within(begun, 3, 3);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_take_the_request_is_given_up() {
    for flush in [false, true] {
        let begun = Instant::now();
        let line = Line::none();
        line.change(|script| (script.blocked, script.flush_blocked) = (!flush, flush));
        timed_out(in_time(connect_on(&client().handshake(impatient()), line)).await);
        assert_within(begun, 3, 3);
    }
}

/// Says a byte a second, for ever.
fn trickle(line: &Line, bytes: Vec<u8>) {
    let line = line.clone();
    tokio::spawn(async move {
        for byte in bytes {
            line.say([byte]);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
}

#[tokio::test(start_paused = true)]
async fn an_end_that_trickles_is_given_up() {
    let (begun, line) = (Instant::now(), Line::none());
    trickle(&line, request());
    timed_out(in_time(accept_with(&Server::default().handshake(impatient()), line.clone())).await);
    assert!(heard(&line).starts_with("HTTP/1.1 408 "), "{}", heard(&line));
    assert_within(begun, 3, 3);

    let (begun, line) = (Instant::now(), Line::none());
    trickle(&line, b"HTTP/1.1 101 Switching Protocols\r\n".to_vec());
    timed_out(in_time(connect_on(&client().handshake(impatient()), line)).await);
    assert_within(begun, 3, 3);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_take_the_answer_is_given_up() {
    for flush in [false, true] {
        let begun = Instant::now();
        let line = Line::silent([request()]);
        line.change(|script| (script.blocked, script.flush_blocked) = (!flush, flush));
        timed_out(in_time(accept_with(&Server::default().handshake(impatient()), line)).await);
        assert_within(begun, 3, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_take_its_refusal_is_given_up() {
    let begun = Instant::now();
    let line = Line::silent([request()]);
    line.change(|script| script.blocked = true);
    let accepting = in_time(read_request(&Server::default(), line)).await.unwrap();
    timed_out(in_time(accepting.reject(Response::new(403))).await);
    assert_within(begun, 10, 10);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_took_its_refusal_and_stays_does_no_harm() {
    let begun = Instant::now();
    let line = Line::silent([request()]);
    let accepting = in_time(read_request(&Server::default(), line.clone())).await.unwrap();
    in_time(accepting.reject(Response::new(403).body("no"))).await.unwrap();
    assert_within(begun, 10, 10);
    assert!(line.script().shut_down);
    assert!(heard(&line).ends_with("no"));
}

#[tokio::test]
async fn a_client_that_never_stops_talking_is_refused_and_cut_off() {
    let line = Line::silent([request()]);
    line.change(|script| script.then = Then::Bytes(vec![b'x'; 1000]));
    let accepting = soon(read_request(&Server::default(), line.clone())).await.unwrap();
    soon(accepting.reject(Response::new(403).body("no"))).await.unwrap();
    assert!(line.script().shut_down);
}

// Ends.

#[tokio::test(start_paused = true)]
async fn the_end_of_the_transport_is_an_error() {
    let bytes = request();
    for cut in [0, 1, bytes.len() - 1] {
        let ended = in_time(accept(Line::hearing([&bytes[..cut]].into_iter().filter(|piece| !piece.is_empty())))).await;
        assert!(matches!(ended, Err(Error::Handshake(HandshakeError::UnexpectedEof))), "{cut}: {ended:?}");
    }
    let ended = in_time(connect_on(&client(), Line::default())).await;
    assert!(matches!(ended, Err(Error::Handshake(HandshakeError::UnexpectedEof))), "{ended:?}");

    let line = Line::default();
    line.change(|script| script.reads.push_back(Err(ErrorKind::ConnectionReset.into())));
    assert!(is_io(in_time(accept(line.clone())).await, ErrorKind::ConnectionReset));
    let line = Line::default();
    line.change(|script| script.writes.push_back(Ok(0)));
    assert!(is_io(in_time(connect_on(&client(), line)).await, ErrorKind::WriteZero));
}

#[tokio::test]
async fn dropping_the_future_closes_the_transport() {
    let (ours, mut theirs): (DuplexStream, DuplexStream) = duplex(1000);
    assert!(only(3, accept(ours)).await.is_none());
    assert_eq!(soon(theirs.read(&mut [0; 10])).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_the_handshake_goes_on_in_the_connection() {
    // The timer was set for the handshake; the first Ping is due 25 s after its end.
    let line = Line::none();
    let serving = line.clone();
    let opening = tokio::spawn(async move { accept(serving).await.unwrap().recv().await.err() });
    tokio::time::sleep(Duration::from_secs(5)).await;
    line.say(request());
    let begun = Instant::now();
    assert!(matches!(in_time(opening).await.unwrap(), Some(Error::PongTimeout)));
    assert_within(begun, 45, 45);
}
