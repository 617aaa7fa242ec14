//! The tokio adapter where it can go wrong: futures dropped half-way, both sides writing
//! at once, deadlines, halves, and what leaves in one write.
#![cfg(feature = "tokio")]

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use openline::tokio::{WebSocket, accept, connect, connect_on, connect_with, read_request};
use openline::{
    Agreement, Cause, ClientRequest, CloseCode, Config, Error, Event, HandshakeConfig, HandshakeError, Keepalive,
    Message, Response, SendError, State, Upgrade,
};
use openline::{Client, Server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A failure bound, for tests that would otherwise hang.
const LONG: Duration = Duration::from_secs(60);

fn pair_with<S: AsyncRead + AsyncWrite + Unpin>(ends: (S, S), config: Config) -> (WebSocket<S>, WebSocket<S>) {
    let client = WebSocket::new(ends.0, Upgrade::client(Agreement::default(), [7; 32]), config, &[]);
    let server = WebSocket::new(ends.1, Upgrade::server(Agreement::default()), config, &[]);
    (client, server)
}

fn pair(size: usize) -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>) {
    pair_with(duplex(size), Config::default())
}

/// A transport that hesitates: before every step it is pending once, then it moves one
/// byte at the most. Counts its writes.
struct Hesitant<S> {
    io: S,
    ready: [bool; 2],
    step: usize,
    writes: usize,
}

impl<S> Hesitant<S> {
    fn new(io: S, step: usize) -> Hesitant<S> {
        Hesitant { io, ready: [false; 2], step, writes: 0 }
    }

    fn hesitate(&mut self, side: usize, cx: &mut Context<'_>) -> Poll<()> {
        self.ready[side] = !self.ready[side];
        if self.ready[side] {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Hesitant<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.hesitate(0, cx));
        let mut small = vec![0; self.step.min(buf.remaining())];
        let mut small = ReadBuf::new(&mut small);
        std::task::ready!(Pin::new(&mut self.io).poll_read(cx, &mut small))?;
        buf.put_slice(small.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Hesitant<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.hesitate(1, cx));
        self.writes += 1;
        let len = bytes.len().min(self.step);
        Pin::new(&mut self.io).poll_write(cx, &bytes[..len])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Polls a future `polls` times and drops it, if it is not ready before.
fn poll_for<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    (0..polls).find_map(|_| match future.as_mut().poll(&mut cx) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    })
}

/// Every call of one end is dropped after each number of polls, over and over, and all
/// messages arrive once, whole and in order.
#[tokio::test]
async fn no_future_that_is_dropped_loses_or_doubles_anything() {
    for polls in 1..40 {
        let (client, server) = duplex(64);
        let (mut client, mut server) =
            pair_with((Hesitant::new(client, 3), Hesitant::new(server, 3)), Config::default());
        let messages: Vec<String> = (0..12).map(|i| format!("{i}: {}", "x".repeat(i * 7))).collect();
        let (mut received, mut sent) = (vec![], 0);
        let mut flushed = false;
        while received.len() < messages.len() {
            // A task that never yields gets nothing from tokio's transports after a while.
            tokio::task::yield_now().await;
            if sent < messages.len() {
                // Queued whole or not at all: a feed that was dropped has not been queued.
                if poll_for(polls, client.feed(&messages[sent])).is_some_and(|fed| fed.is_ok()) {
                    sent += 1;
                    let _ = poll_for(polls, client.ping(b"?"));
                }
            }
            flushed |= poll_for(polls, client.flush()).is_some();
            if let Some(message) = poll_for(polls, server.recv()) {
                received.push(message.unwrap().unwrap().as_text().unwrap().to_owned());
            }
            let _ = poll_for(polls, client.recv());
        }
        assert_eq!(received, messages, "dropped after {polls} polls");
        assert!(flushed || polls < 40);

        // The closing handshake too.
        let mut ended = [false; 2];
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
            ended[0] |= poll_for(polls, client.close(CloseCode::NORMAL, "bye")).is_some();
            ended[1] |= matches!(poll_for(polls, server.recv()), Some(Ok(None)));
            if ended == [true; 2] {
                break;
            }
        }
        assert_eq!(ended, [true; 2], "dropped after {polls} polls");
        assert!(client.closed().unwrap().is_clean() && server.closed().unwrap().is_clean());
        assert_eq!(server.closed().unwrap().reason, "bye");
    }
}

#[tokio::test]
async fn a_send_that_is_dropped_is_queued_whole_or_not_at_all() {
    for polls in 1..60 {
        let (client, server) = duplex(1 << 16);
        let (mut client, mut server) =
            pair_with((Hesitant::new(client, 2), Hesitant::new(server, 64)), Config::default());
        let done = poll_for(polls, client.send("half of this is nothing")).is_some();
        client.send("the next").await.unwrap();
        let first = server.recv().await.unwrap().unwrap();
        if first == Message::from("half of this is nothing") {
            assert_eq!(server.recv().await.unwrap().unwrap(), Message::from("the next"));
        } else {
            assert!(!done);
            assert_eq!(first, Message::from("the next"));
        }
    }
}

#[tokio::test]
async fn chunks_and_events_survive_being_dropped() {
    for polls in 1..20 {
        let (client, server) = duplex(1 << 16);
        let (mut client, mut server) =
            pair_with((Hesitant::new(client, 64), Hesitant::new(server, 3)), Config::default());
        client.ping(b"first").await.unwrap();
        client.send("za\u{17c}\u{f3}\u{142}\u{107}".repeat(9)).await.unwrap();
        client.send("second").await.unwrap();
        let mut text = String::new();
        loop {
            tokio::task::yield_now().await;
            let Some(chunk) = poll_for(polls, server.recv_chunk()) else { continue };
            let chunk = chunk.unwrap().unwrap();
            text.push_str(chunk.data.as_text().unwrap());
            if chunk.last {
                break;
            }
        }
        assert_eq!(text, "za\u{17c}\u{f3}\u{142}\u{107}".repeat(9));
        loop {
            tokio::task::yield_now().await;
            if let Some(event) = poll_for(polls, server.event()) {
                assert_eq!(event.unwrap().unwrap(), Event::Message("second".into()));
                break;
            }
        }
    }
}

#[tokio::test]
async fn two_ends_that_send_at_once_do_not_wait_for_each_other() {
    let big = vec![7; 8 << 20];
    let talk = |mut socket: WebSocket<DuplexStream>, big: Vec<u8>| async move {
        socket.send(&big).await.unwrap();
        let message = socket.recv().await.unwrap().unwrap();
        assert!(message.as_bytes() == big);
        socket.send("done").await.unwrap();
        assert_eq!(socket.recv().await.unwrap().unwrap(), Message::from("done"));
    };
    let (client, server) = pair(4096);
    timeout(LONG, async { tokio::join!(talk(client, big.clone()), talk(server, big)) }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halves_in_two_tasks_lose_no_wake_up() {
    const COUNT: usize = 10_000;
    let (client, server) = pair(100);
    let mut tasks = vec![];
    for socket in [client, server] {
        let (mut receiver, mut sender) = socket.split();
        tasks.push(tokio::spawn(async move {
            for i in 0..COUNT {
                sender.send(i.to_string()).await.unwrap();
                if i % 100 == 0 {
                    sender.ping(b"!").await.unwrap();
                }
            }
            // Kept until the other half is done: dropping it must not matter, though.
        }));
        tasks.push(tokio::spawn(async move {
            for i in 0..COUNT {
                assert_eq!(receiver.recv().await.unwrap().unwrap().as_text(), Some(&*i.to_string()));
            }
            assert!(receiver.latency().is_some());
        }));
    }
    for task in tasks {
        timeout(LONG, task).await.expect("nobody waits for ever").unwrap();
    }
}

#[tokio::test]
async fn a_goodbye_wakes_a_sender_that_waits_for_room() {
    let (client, server) = pair(64);
    let (mut receiver, mut sender) = client.split();
    let sending = tokio::spawn(async move {
        let data = vec![0; 1000];
        loop {
            if let Err(error) = sender.send(&data).await {
                return error;
            }
        }
    });
    let receiving = tokio::spawn(async move {
        let end = receiver.recv().await;
        (end, receiver.closed())
    });
    tokio::task::yield_now().await;
    let (mut hears, mut says) = server.split();
    timeout(LONG, async {
        says.close(CloseCode::GOING_AWAY, "maintenance").await.unwrap();
        while hears.recv().await.unwrap().is_some() {}
        assert!(matches!(sending.await.unwrap(), Error::Send(SendError::Closed)));
        let (end, closed) = receiving.await.unwrap();
        assert_eq!(end.unwrap(), None);
        let closed = closed.unwrap();
        assert_eq!((closed.code, &*closed.reason, closed.cause), (CloseCode::GOING_AWAY, "maintenance", Cause::Clean));
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_one_read_provokes_leaves_in_one_write() {
    let (client, server) = duplex(1 << 16);
    let (mut client, mut server) =
        pair_with((Hesitant::new(client, 1 << 16), Hesitant::new(server, 1 << 16)), Config::default());
    for i in 0..16 {
        client.feed(i.to_string()).await.unwrap();
    }
    assert_eq!(client.get_ref().writes, 0, "what is fed waits");
    client.flush().await.unwrap();
    assert_eq!(client.get_ref().writes, 1);
    for _ in 0..16 {
        let message = server.recv().await.unwrap().unwrap();
        server.feed(message).await.unwrap();
    }
    assert_eq!(server.get_ref().writes, 0, "while messages are at hand");
    assert!(poll_for(10, server.recv()).is_none());
    assert_eq!(server.get_ref().writes, 1, "and leaves when the task would wait");
    for i in 0..16 {
        assert_eq!(client.recv().await.unwrap().unwrap(), Message::from(i.to_string()));
    }
}

#[tokio::test]
async fn back_pressure_reaches_the_sender_and_a_pong_does_not_wait_for_it() {
    let (mut client, mut server) = pair(256);
    let mut fed = 0;
    // 64 KiB and one message, and what the transport holds.
    while poll_for(3, client.feed(&[0; 1000])).is_some() {
        fed += 1;
        assert!(fed < 100);
        tokio::task::yield_now().await;
    }
    assert!(fed >= 64, "{fed}");
    // The sender gets on as the receiver does.
    let receiving = async {
        for _ in 0..fed {
            assert_eq!(server.recv().await.unwrap().unwrap().len(), 1000);
        }
    };
    let (flushed, ()) = timeout(LONG, async { tokio::join!(client.flush(), receiving) }).await.unwrap();
    flushed.unwrap();

    tokio::task::yield_now().await;
    let (mut client, mut server) = pair(256);
    client.ping(b"are you there?").await.unwrap();
    assert!(poll_for(2, server.recv()).is_none());
    match client.event().await.unwrap().unwrap() {
        Event::Pong { payload, latency } => {
            assert_eq!(&payload[..], b"are you there?");
            assert!(latency.is_some());
        }
        other => panic!("{other:?}"),
    }
    assert!(client.latency().is_some());
}

fn impatient() -> Config {
    let mut config = Config::default();
    config.keepalive = Some(Keepalive::new(Duration::from_secs(5), Duration::from_secs(3)));
    config.close_timeout = Duration::from_secs(2);
    config
}

#[tokio::test(start_paused = true)]
async fn a_dead_peer_is_noticed_and_a_live_one_kept() {
    let (client, mut silent) = duplex(1 << 16);
    let mut client = WebSocket::new(client, Upgrade::client(Agreement::default(), [7; 32]), impatient(), &[]);
    let start = tokio::time::Instant::now();
    assert!(matches!(client.recv().await, Err(Error::PongTimeout)));
    assert_eq!(start.elapsed().as_secs(), 8);
    assert_eq!(client.recv().await.unwrap(), None);
    assert_eq!(client.closed().unwrap().cause, Cause::PongTimeout);
    drop(client);
    let mut ping = vec![];
    silent.read_to_end(&mut ping).await.unwrap();
    assert_eq!((ping[0], ping.len()), (0x89, 2 + 4 + 8), "one Ping, and nothing else");

    // Both ends ping each other for ten minutes, and nobody has anything to say.
    let (mut client, mut server) = pair_with(duplex(1 << 16), impatient());
    let quiet = async { tokio::join!(client.recv(), server.recv()) };
    assert!(timeout(Duration::from_secs(600), quiet).await.is_err());
    assert_eq!((client.state(), server.state()), (State::Open, State::Open));
    assert!(client.latency().is_some() && server.latency().is_some());
}

#[tokio::test(start_paused = true)]
async fn deadlines_come_while_a_write_is_blocked() {
    let (client, _deaf) = duplex(16);
    let mut client = WebSocket::new(client, Upgrade::client(Agreement::default(), [7; 32]), impatient(), &[]);
    assert!(matches!(client.send(&vec![0; 1000]).await, Err(Error::PongTimeout)));

    let (client, _deaf) = duplex(16);
    let mut client = WebSocket::new(client, Upgrade::client(Agreement::default(), [7; 32]), impatient(), &[]);
    let start = tokio::time::Instant::now();
    client.close(CloseCode::NORMAL, "a reason that does not fit").await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 2);
    assert_eq!(client.closed().unwrap().cause, Cause::CloseTimeout);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_stops_talking_does_not_stop_the_clock() {
    struct Endless;
    impl AsyncRead for Endless {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            buf.put_slice(b"\x82\x01x");
            Poll::Ready(Ok(()))
        }
    }
    impl AsyncWrite for Endless {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    let mut config = impatient();
    config.close_timeout = Duration::ZERO;
    let mut client = WebSocket::new(Endless, Upgrade::client(Agreement::default(), [7; 32]), config, &[]);
    client.close(CloseCode::NORMAL, "").await.unwrap();
    assert_eq!(client.closed().unwrap().cause, Cause::CloseTimeout);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_drips_times_out_as_a_whole() {
    let (mut client, server) = duplex(1 << 16);
    let server = tokio::spawn(async move { accept(server).await.map(drop) });
    let drip = tokio::spawn(async move {
        let request = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(1000));
        for byte in request.into_bytes() {
            if client.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut answer = String::new();
        let _ = client.read_to_string(&mut answer).await;
        answer
    });
    let start = tokio::time::Instant::now();
    assert!(matches!(server.await.unwrap(), Err(Error::Handshake(HandshakeError::TimedOut))));
    assert!((10..13).contains(&start.elapsed().as_secs()));
    assert!(drip.await.unwrap().starts_with("HTTP/1.1 408 "));

    let (client, _silent) = duplex(1 << 16);
    let client = connect_on(&Client::new(ClientRequest::new("ws://a/").unwrap()), client).await;
    assert!(matches!(client, Err(Error::Handshake(HandshakeError::TimedOut))));
}

#[tokio::test]
async fn ends_of_every_kind() {
    // The peer just goes away.
    let (client, mut server) = pair(1 << 16);
    drop(client);
    assert_eq!(server.recv().await.unwrap(), None);
    assert_eq!(server.closed().unwrap().code, CloseCode::ABNORMAL);
    assert!(matches!(server.send("hello?").await, Err(Error::Send(SendError::Closed) | Error::Io(_))));

    // The peer breaks the protocol: it is told so, and the messages before that count.
    let (mut wire, server) = duplex(1 << 16);
    let mut server =
        WebSocket::new(server, Upgrade::server(Agreement::default()), Config::default(), b"\x81\x80\0\0\0\0\x83");
    assert!(server.recv().await.unwrap().unwrap().is_empty());
    let answer = tokio::spawn(async move {
        let mut answer = vec![];
        wire.read_to_end(&mut answer).await.unwrap();
        answer
    });
    assert!(matches!(server.recv().await, Err(Error::Protocol(_))));
    assert_eq!(server.recv().await.unwrap(), None);
    drop(server);
    let answer = answer.await.unwrap();
    assert_eq!((answer[0], &answer[2..4]), (0x88, &1002_u16.to_be_bytes()[..]));
}

#[tokio::test]
async fn over_tcp_from_the_first_byte_to_the_last() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut handshake = HandshakeConfig::default();
    handshake.subprotocols = vec!["chat".into()];
    let server = Server::default().handshake(handshake);
    let serving = tokio::spawn(async move {
        for _ in 0..2 {
            let accepting = read_request(&server, listener.accept().await.unwrap().0).await.unwrap();
            if accepting.request().path() != "/chat" {
                let response = Response::new(404).header("X-Why", "no room").unwrap().body("nobody here");
                accepting.reject(response).await.unwrap();
                continue;
            }
            let mut socket = accepting.accept().await.unwrap();
            while let Some(message) = socket.recv().await.unwrap() {
                socket.feed(message).await.unwrap();
            }
            assert!(socket.closed().unwrap().is_clean());
        }
    });
    match connect(&format!("ws://{address}/nowhere")).await {
        Err(Error::Refused(response)) => {
            assert_eq!((response.status, &response.body[..]), (404, &b"nobody here"[..]));
            assert_eq!(response.headers.get("x-why"), Some("no room"));
        }
        other => panic!("{other:?}"),
    }
    let request = ClientRequest::new(&format!("ws://{address}/chat")).unwrap().subprotocol("chat").unwrap();
    let mut socket: WebSocket<openline::tokio::Stream> = connect_with(&Client::new(request)).await.unwrap();
    assert!(socket.get_ref().tcp().nodelay().unwrap() && !socket.get_ref().is_tls());
    assert_eq!(socket.agreement().subprotocol.as_deref(), Some("chat"));
    for size in [0, 1, 125, 126, 65535, 65536, 1 << 20] {
        let data: Vec<u8> = (0..size).map(|i| i as u8).collect();
        socket.send(&data).await.unwrap();
        assert_eq!(socket.recv().await.unwrap().unwrap(), Message::from(data));
    }
    socket.close(CloseCode::new(4000), "enough").await.unwrap();
    let closed = socket.closed().unwrap();
    assert_eq!((closed.code.get(), closed.cause), (4000, Cause::Clean));
    serving.await.unwrap();
}

/// An idle connection owns no read buffer, so this is most of what it costs.
#[test]
fn a_socket_is_small() {
    assert!(size_of::<WebSocket<TcpStream>>() <= 1024, "{}", size_of::<WebSocket<TcpStream>>());
}

// permessage-deflate over real handshakes.

#[cfg(feature = "deflate")]
mod deflate {
    use super::*;

    const LEN: usize = 3_000_000;

    fn handshake() -> HandshakeConfig {
        let mut deflate = openline::Deflate::default();
        (deflate.send.takeover, deflate.receive.takeover) = (true, true);
        let mut config = HandshakeConfig::default();
        config.deflate.push(deflate);
        config
    }

    fn request() -> ClientRequest {
        ClientRequest::new("ws://h/").unwrap()
    }

    /// A few kilobytes on the wire are many chunks, all of which are handed out before the
    /// adapter waits for more.
    #[tokio::test]
    async fn chunks_of_one_read() {
        let (client, server) = duplex(64 * 1024);
        let server = tokio::spawn(async move {
            let mut socket =
                openline::tokio::accept_with(&Server::default().handshake(handshake()), server).await.unwrap();
            assert!(socket.agreement().deflate.is_some_and(|agreed| agreed.receive.takeover));
            let (mut total, mut chunks) = (0, 0);
            while let Some(chunk) = socket.recv_chunk().await.unwrap() {
                (total, chunks) = (total + chunk.data.len(), chunks + 1);
                if chunk.last {
                    break;
                }
            }
            assert!(total == LEN && chunks > 50, "{total} bytes in {chunks} chunks");
            socket.send("got it").await.unwrap();
            assert_eq!(socket.recv().await.unwrap(), Some(Message::from("thanks, thanks, thanks")));
        });
        let work = async {
            let mut socket = connect_on(&Client::new(request()).handshake(handshake()), client).await.unwrap();
            socket.send(vec![b'x'; LEN]).await.unwrap();
            assert_eq!(socket.recv().await.unwrap(), Some(Message::from("got it")));
            socket.send("thanks, thanks, thanks").await.unwrap();
            server.await.unwrap();
        };
        timeout(LONG, work).await.unwrap();
    }

    #[test]
    fn chunks_of_one_read_blocking() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut socket = openline::net::accept_with(&Server::default().handshake(handshake()), stream).unwrap();
            let mut total = 0;
            while let Some(chunk) = socket.recv_chunk().unwrap() {
                total += chunk.data.len();
                if chunk.last {
                    break;
                }
            }
            assert_eq!(total, LEN);
            socket.send("got it").unwrap();
            assert_eq!(socket.recv().unwrap(), Some(Message::from("thanks, thanks, thanks")));
        });
        let request = ClientRequest::new(&format!("ws://{address}/")).unwrap();
        let mut socket = openline::net::connect_with(&Client::new(request).handshake(handshake())).unwrap();
        assert!(socket.agreement().deflate.is_some_and(|agreed| agreed.send.takeover));
        socket.send(vec![b'x'; LEN]).unwrap();
        assert_eq!(socket.recv().unwrap(), Some(Message::from("got it")));
        socket.send("thanks, thanks, thanks").unwrap();
        server.join().unwrap();
    }
}
