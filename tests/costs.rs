//! What a message costs, counted: allocations, their bytes, copies, and the reads and
//! writes of an adapter. `src/manual.rs` has these figures as a table.

mod common;

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use allocation_counter::{AllocationInfo, measure};
use common::*;
use openline::Role::{Client, Server};
use openline::{Config, Connection, Event, Message, Prepared};

/// Allocations by `turn`, once it has found its stride.
fn steady(mut turn: impl FnMut()) -> AllocationInfo {
    (0..3).for_each(|_| turn());
    measure(turn)
}

fn costs(info: &AllocationInfo) -> (u64, u64) {
    (info.count_total, info.bytes_total)
}

fn sent(us: &mut Connection) {
    us.handle_transmitted(us.queued(), s(0));
}

#[test]
fn a_borrowed_message_costs_nothing() {
    for len in [0, 1, 20, 125, 126, 1000, 65_535, 65_536, 100_000] {
        for first in [TEXT, BINARY] {
            let wire = frame(Client, first, vec![b'x'; len]);
            let (mut us, mut buffer) = (connection(Server, Config::default()), wire.clone());
            let info = steady(|| {
                buffer.copy_from_slice(&wire);
                let range = buffer.as_ptr_range();
                let mut input = &mut buffer[..];
                let Ok(Some(Event::Message(message))) = us.receive(&mut input, s(0)) else { panic!("no message") };
                assert!(len == 0 || range.contains(&message.as_bytes().as_ptr()), "it lies in the input");
            });
            assert_eq!(costs(&info), (0, 0), "{len} bytes");
        }
    }
}

#[test]
fn an_owned_message_costs_one_allocation_of_its_own_length() {
    for role in BOTH {
        for len in [1, 20, 125, 126, 1000, 65_535, 65_536, 100_000] {
            for first in [TEXT, BINARY] {
                let wire = frame(role.peer(), first, vec![b'x'; len]);
                let (mut us, mut buffer) = (connection(role, Config::default()), wire.clone());
                let info = steady(|| {
                    buffer.copy_from_slice(&wire);
                    let Ok(Some(Event::Message(_))) = us.receive_owned(&mut &mut buffer[..], s(0)) else {
                        panic!("no message")
                    };
                });
                assert_eq!(costs(&info), (1, len as u64), "{role:?}, {len} bytes");
            }
        }
    }
}

#[test]
fn a_chunk_of_a_long_message_costs_one_allocation_of_what_was_read() {
    let len = 1 << 20;
    let wire = frame(Client, BINARY, vec![7; len]);
    let mut us = connection(Server, Config::default());
    let mut turn = || {
        let mut wire = wire.clone();
        let (mut rest, mut got, mut chunks) = (&mut wire[..], 0, 0_u64);
        while got < len {
            let mut none: &mut [u8] = &mut [];
            let event = if let Some(space) = us.receive_space() {
                let n = space.len();
                space.copy_from_slice(&rest[..n]);
                rest = &mut rest[n..];
                us.handle_filled(n, s(0));
                us.receive_chunk(&mut none, s(0))
            } else {
                let (mut read, after) = rest.split_at_mut(rest.len().min(64 * 1024));
                rest = after;
                us.receive_chunk(&mut read, s(0))
            };
            let Ok(Some(Event::Chunk(chunk))) = event else { panic!("no chunk") };
            assert!(chunk.data.as_bytes().iter().all(|byte| *byte == 7));
            got += chunk.data.len();
            chunks += 1;
        }
        assert_eq!(got, len);
        chunks
    };
    // What the first read brings, borrowed; then four times as much and 272 KiB at the most,
    // owned, four times.
    assert_eq!(turn(), 5);
    let info = measure(|| {
        turn();
    });
    // One is the copy of the wire, and one remembers the message.
    assert_eq!(info.count_total, 4 + 2);
}

#[test]
fn what_is_sent_costs_a_copy_or_nothing() {
    let (text, prepared) = ("x".repeat(200), Prepared::new("x".repeat(200)));
    for role in BOTH {
        let mut us = connection(role, Config::default());
        let info = steady(|| {
            us.send(&text).unwrap();
            sent(&mut us);
        });
        assert_eq!(costs(&info), (0, 0), "{role:?}");
    }
    let mut us = connection(Server, Config::default());
    let info = steady(|| {
        us.send(&prepared).unwrap();
        sent(&mut us);
    });
    assert_eq!(costs(&info), (0, 0), "prepared");

    // From 4 KiB on an owned payload goes out from where it lies, of either role.
    for role in BOTH {
        let mut us = connection(role, Config::default());
        let data = vec![1_u8; 4 * 1024];
        let at = data.as_ptr();
        us.send(data).unwrap();
        assert_eq!(us.transmits().map(<[u8]>::as_ptr).nth(1), Some(at), "{role:?}");
    }
}

/// A transport that brings `wire` with every read, waits before the next one, and
/// counts what is asked of it.
struct Line {
    wire: Vec<u8>,
    turns: u64,
    waits: bool,
    reads: Rc<Cell<u64>>,
    writes: Rc<Cell<u64>>,
    ends: Rc<Cell<u64>>,
}

impl Line {
    fn new(wire: Vec<u8>) -> (Line, Rc<Cell<u64>>, Rc<Cell<u64>>) {
        let (reads, writes, ends) = <(Rc<Cell<u64>>, Rc<Cell<u64>>, _)>::default();
        let line = Line { wire, turns: 20, waits: true, reads: Rc::clone(&reads), writes: Rc::clone(&writes), ends };
        (line, reads, writes)
    }

    fn bring(&mut self) -> &[u8] {
        if self.turns == 0 {
            return &[];
        }
        self.turns -= 1;
        self.reads.set(self.reads.get() + 1);
        &self.wire
    }

    fn taken(&mut self, len: usize) -> io::Result<usize> {
        self.writes.set(self.writes.get() + 1);
        Ok(len)
    }

    fn end(&self) {
        self.ends.set(self.ends.get() + 1);
    }
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bring().read(buffer)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.taken(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl openline::net::Transport for Line {
    fn shutdown_write(&mut self) -> io::Result<()> {
        self.end();
        Ok(())
    }
}

mod tokio_line {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::*;

    impl AsyncRead for Line {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            self.waits = !self.waits;
            if self.waits {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            buffer.put_slice(self.bring());
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Line {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(self.taken(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.end();
            Poll::Ready(Ok(()))
        }
    }
}

fn upgrade() -> openline::Upgrade {
    openline::Upgrade::server(openline::Agreement::default())
}

fn batch_of(count: u64) -> Vec<u8> {
    frames(Client, std::iter::repeat_n((TEXT, [b'x'; 100]), count as usize))
}

/// `turns` echoes so many batches. Each is one read and one write, and each message in it one
/// allocation.
fn check_echo(batch: u64, reads: &Cell<u64>, writes: &Cell<u64>, mut turns: impl FnMut(u64)) {
    turns(3);
    let (read, written) = (reads.get(), writes.get());
    let info = measure(|| turns(10));
    assert_eq!((reads.get() - read, writes.get() - written), (10, 10));
    assert_eq!(costs(&info), (10 * batch, 1000 * batch));
}

/// The echo that the docs show: its messages come and go with one read and one write for
/// each batch, and each of them is one allocation.
#[test]
fn an_echo_over_std_reads_once_and_writes_once() {
    for batch in [1_u64, 2] {
        let (line, reads, writes) = Line::new(batch_of(batch));
        let mut socket = openline::net::WebSocket::new(line, upgrade(), Config::default(), &[]);
        let turns = |count: u64| {
            for _ in 0..count * batch {
                let message = socket.recv().unwrap().unwrap();
                socket.feed(message).unwrap();
            }
        };
        check_echo(batch, &reads, &writes, turns);
    }
}

#[test]
fn an_echo_over_tokio_reads_once_and_writes_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for batch in [1_u64, 2] {
        let (line, reads, writes) = Line::new(batch_of(batch));
        let mut socket = openline::tokio::WebSocket::new(line, upgrade(), Config::default(), &[]);
        let turns = |count: u64| {
            runtime.block_on(async {
                for _ in 0..count * batch {
                    let message = socket.recv().await.unwrap().unwrap();
                    socket.feed(message).await.unwrap();
                }
            });
        };
        check_echo(batch, &reads, &writes, turns);
    }
}

/// A client that closes gets our Close in one write, and then our end, once.
#[test]
fn a_clean_end_writes_once_and_shuts_down_once() {
    let line = || {
        let (mut line, reads, writes) = Line::new(close_frame(Client, 1000, ""));
        line.turns = 1;
        let ends = Rc::clone(&line.ends);
        (line, move || (reads.get(), writes.get(), ends.get()))
    };
    let (io, counts) = line();
    let mut socket = openline::net::WebSocket::new(io, upgrade(), Config::default(), &[]);
    assert_eq!(socket.recv().unwrap(), None);
    assert_eq!(counts(), (1, 1, 1));

    let (io, counts) = line();
    let mut socket = openline::tokio::WebSocket::new(io, upgrade(), Config::default(), &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(socket.recv()).unwrap(), None);
    assert_eq!(counts(), (1, 1, 1));
}

#[test]
fn a_message_to_keep_holds_no_more_than_itself() {
    let mut wire = frame(Client, BINARY, vec![1; 1001]);
    let mut us = connection(Server, Config::default());
    let Ok(Some(Event::Message(Message::Binary(data)))) = us.receive_owned(&mut &mut wire[..], s(0)) else {
        panic!("no message")
    };
    assert_eq!(data.into_owned().capacity(), 1001);
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// What a server's connection takes while nothing happens, after all that an idle one has seen: its opening handshake, a
/// message and its answer, a Ping of the peer, and a Ping of its own. The host's slot, its timer and the configuration that
/// connections share are not in it.
#[test]
#[cfg(target_pointer_width = "64")]
fn an_idle_connection_takes_little() {
    let server = openline::Server::default();
    let mut request = REQUEST.to_vec();
    let mut message = frame(Client, TEXT, [b'x'; 20]);
    let mut ping = frame(Client, PING, "ping");
    // The payload of the first Ping that keepalive sends is its number.
    let mut pong = frame(Client, PONG, 1_u64.to_be_bytes());
    let mut kept = None;
    let mut most = vec![];
    let mut step = |what: &'static str, bytes: &mut [u8], at: u64| {
        let info = measure(|| {
            let us = kept.get_or_insert_with(|| Box::new(Connection::server(&server, s(0))));
            us.handle_timeout(s(at));
            us.handle_transmitted(us.queued(), s(at));
            let mut input = bytes;
            while let Some(event) = us.receive(&mut input, s(at)).unwrap() {
                match event {
                    Event::Request => us.accept(openline::Accept::default(), s(at)).unwrap(),
                    Event::Message(message) => us.queue(message).unwrap(),
                    Event::Pong { latency, .. } => assert_eq!(latency, Some(std::time::Duration::ZERO)),
                    _ => {}
                }
            }
            us.handle_transmitted(us.queued(), s(at));
        });
        most.push((what, info.bytes_current));
    };
    step("handshake", &mut request, 0);
    step("message", &mut message, 1);
    step("Ping", &mut ping, 2);
    step("keepalive", &mut pong, 25);
    let total: i64 = most.iter().map(|(_, bytes)| bytes).sum();
    assert!(most[0].1 <= 240 && total <= 288, "{total} bytes: {most:?}");
}

/// What a server's task takes on tokio while it waits in README's loop, after its opening handshake and a message: the task
/// itself, the socket's registration and the timer included, which are tokio's.
#[test]
#[cfg(all(feature = "tokio", target_os = "linux", target_pointer_width = "64"))]
fn an_idle_task_takes_little() {
    use openline::tokio::accept_with;

    const COUNT: usize = 16;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let server: &'static openline::Server = Box::leak(Box::default());
    let message = frame(Client, TEXT, [b'x'; 20]);
    let serve = async |io| {
        let mut socket = accept_with(server, io).await?;
        while let Some(message) = socket.recv().await? {
            socket.feed(message).await?;
        }
        Ok::<_, openline::Error>(())
    };
    // The clients take no memory here.
    let mut clients: Vec<std::net::TcpStream> = Vec::with_capacity(2 * COUNT);
    let mut answers = vec![0; 1024];
    let mut some = || {
        for _ in 0..COUNT {
            let mut client = std::net::TcpStream::connect(address).unwrap();
            client.set_nonblocking(true).unwrap();
            client.write_all(REQUEST).unwrap();
            client.write_all(&message).unwrap();
            runtime.block_on(async {
                let (io, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(io));
                // Until the answer to the message is there.
                let begun = std::time::Instant::now();
                while !client.peek(&mut answers).is_ok_and(|len| answers[..len].ends_with(&[b'x'; 20])) {
                    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "no answer");
                    tokio::task::yield_now().await;
                }
            });
            clients.push(client);
        }
    };
    // What the runtime keeps for all of them is there afterwards.
    some();
    let info = measure(some);
    let each = info.bytes_current / COUNT as i64;
    assert!((1000..=1280).contains(&each), "{each} bytes");
}
