//! The two halves of a tokio WebSocket under loom, and a `Stream` and a `Sink` that two tasks poll: in
//! every order in which their threads and the network's may run, each of them comes to its end.
//! TESTING.md has the command.

#![cfg(openline_loom)]

mod common;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use common::*;
use futures_core::Stream;
use futures_sink::Sink;
use loom::future::block_on;
use loom::sync::Mutex;
use loom::thread;
use openline::Role::{Client, Server};
use openline::tokio::{Receiver, Sender, WebSocket};
use openline::{Agreement, Config, Message, Upgrade};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A transport that remembers one waker for each direction, as a socket does.
#[derive(Clone, Default)]
struct Line(Arc<Mutex<Wire>>);

#[derive(Default)]
struct Wire {
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// How many bytes it takes before somebody makes room.
    room: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Line {
    /// The peer says this.
    fn say(&self, bytes: &[u8]) {
        let mut wire = self.0.lock().unwrap();
        wire.incoming.extend_from_slice(bytes);
        let waker = wire.reader.take();
        drop(wire);
        waker.into_iter().for_each(Waker::wake);
    }

    /// The network takes this much more.
    fn make_room(&self, len: usize) {
        let mut wire = self.0.lock().unwrap();
        wire.room += len;
        let waker = wire.writer.take();
        drop(wire);
        waker.into_iter().for_each(Waker::wake);
    }

    fn written(&self) -> Vec<u8> {
        self.0.lock().unwrap().outgoing.clone()
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.0.lock().unwrap();
        if wire.incoming.is_empty() {
            wire.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buffer.put_slice(&std::mem::take(&mut wire.incoming));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.0.lock().unwrap();
        let len = bytes.len().min(wire.room);
        if len == 0 {
            wire.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        wire.room -= len;
        wire.outgoing.extend_from_slice(&bytes[..len]);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn socket(line: &Line) -> WebSocket<Line> {
    let mut config = Config::default();
    // Without a timer there is nothing that would wake a half whose wake-up was lost.
    (config.keepalive, config.stall_timeout) = (None, None);
    WebSocket::new(line.clone(), Upgrade::server(Agreement::default()), config, &[])
}

fn halves(line: &Line) -> (Receiver<Line>, Sender<Line>) {
    socket(line).split()
}

/// Explores the orders with up to three preemptions, which is where such mistakes show.
fn model(test: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}

#[test]
fn a_receiver_waits_while_a_sender_is_blocked() {
    model(|| {
        let line = Line::default();
        let (mut receiver, mut sender) = halves(&line);
        let receiving = thread::spawn(move || block_on(receiver.recv()).unwrap());
        let sending = thread::spawn(move || block_on(sender.send("hi")).unwrap());
        line.make_room(100);
        line.say(&frame(Client, TEXT, "you"));
        assert_eq!(receiving.join().unwrap(), Some(Message::from("you")));
        sending.join().unwrap();
        assert_eq!(line.written(), frame(Server, TEXT, "hi"));
    });
}

#[test]
fn a_pong_and_a_message_share_the_writing_side() {
    model(|| {
        let line = Line::default();
        let (mut receiver, mut sender) = halves(&line);
        line.say(&frame(Client, PING, "p"));
        let receiving = thread::spawn(move || block_on(receiver.recv()).unwrap());
        let sending = thread::spawn(move || {
            block_on(sender.send("hi")).unwrap();
            sender
        });
        // Too little for both, then enough.
        line.make_room(4);
        line.make_room(100);
        line.say(&frame(Client, TEXT, "you"));
        assert_eq!(receiving.join().unwrap(), Some(Message::from("you")));
        // If the Pong was queued last and nobody waited any more, it leaves with the next message: a Pong is
        // not what a flush waits for.
        let mut sender = sending.join().unwrap();
        block_on(sender.send("more")).unwrap();
        let mut said = parse(Server, &line.written());
        said.sort();
        assert_eq!(said, [(TEXT, b"hi".to_vec()), (TEXT, b"more".to_vec()), (PONG, b"p".to_vec())]);
    });
}

/// What `StreamExt::split` and the like do: two tasks poll one socket under a lock of their own, of which the
/// socket knows nothing.
#[derive(Clone)]
struct Both(Arc<Mutex<WebSocket<Line>>>);

impl Both {
    fn poll<T>(&self, poll: impl FnOnce(Pin<&mut WebSocket<Line>>) -> T) -> T {
        poll(Pin::new(&mut self.0.lock().unwrap()))
    }

    fn next(&self) -> Option<Message<'static>> {
        block_on(poll_fn(|cx| self.poll(|ws| ws.poll_next(cx)))).map(Result::unwrap)
    }

    fn send(&self, text: &'static str) {
        block_on(poll_fn(|cx| self.poll(|ws| Sink::<Message<'_>>::poll_ready(ws, cx)))).unwrap();
        self.poll(|ws| ws.start_send(Message::from(text))).unwrap();
        self.flush();
    }

    fn flush(&self) {
        block_on(poll_fn(|cx| self.poll(|ws| Sink::<Message<'_>>::poll_flush(ws, cx)))).unwrap();
    }
}

#[test]
fn a_stream_waits_while_its_sink_is_blocked() {
    model(|| {
        let line = Line::default();
        let both = Both(Arc::new(Mutex::new(socket(&line))));
        let stream = both.clone();
        let receiving = thread::spawn(move || stream.next());
        let sending = thread::spawn(move || both.send("hi"));
        line.make_room(100);
        line.say(&frame(Client, TEXT, "you"));
        assert_eq!(receiving.join().unwrap(), Some(Message::from("you")));
        sending.join().unwrap();
        assert_eq!(line.written(), frame(Server, TEXT, "hi"));
    });
}

#[test]
fn a_stream_answers_while_its_sink_sends() {
    model(|| {
        let line = Line::default();
        let both = Both(Arc::new(Mutex::new(socket(&line))));
        line.say(&frame(Client, PING, "p"));
        let (stream, sink) = (both.clone(), both.clone());
        let receiving = thread::spawn(move || stream.next());
        let sending = thread::spawn(move || sink.send("hi"));
        // Too little for both, then enough.
        line.make_room(4);
        line.make_room(100);
        line.say(&frame(Client, TEXT, "you"));
        assert_eq!(receiving.join().unwrap(), Some(Message::from("you")));
        sending.join().unwrap();
        both.send("more");
        let mut said = parse(Server, &line.written());
        said.sort();
        assert_eq!(said, [(TEXT, b"hi".to_vec()), (TEXT, b"more".to_vec()), (PONG, b"p".to_vec())]);
    });
}
