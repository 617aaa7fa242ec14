//! The two halves of a tokio WebSocket: neither may miss a wake-up, nor what the
//! other one has read or begun. And the `Stream` and `Sink` of whole and halves.

#![cfg(feature = "tokio")]

mod common;
#[path = "common/line.rs"]
mod line;

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use common::*;
use futures_core::Stream;
use futures_sink::Sink;
use line::*;
use openline::Role::{Client, Server};
use openline::tokio::{Receiver, Sender, WebSocket};
use openline::{Cause, CloseCode, Config, Error, Message, ProtocolError, SendError, State};
use tokio::io::{AsyncRead, AsyncWrite, duplex};

const MANY: u32 = 10_000;

/// Message `i` of a long conversation: mostly small, now and then larger than any buffer.
fn nth(i: u32) -> Vec<u8> {
    let len = match i % 1000 {
        0 => 100_000,
        n if n % 50 == 0 => 2_000,
        n => n % 20,
    };
    let mut data = i.to_be_bytes().to_vec();
    data.resize(4 + len as usize, i as u8);
    data
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin>(sender: &mut Sender<S>) {
    for i in 0..MANY {
        match i % 7 {
            0 => sender.feed(nth(i)).await.unwrap(),
            1 => {
                sender.ping(b"are you there").await.unwrap();
                sender.send(&nth(i)[..]).await.unwrap();
            }
            _ => sender.send(nth(i)).await.unwrap(),
        }
    }
    sender.flush().await.unwrap();
}

async fn listen<S: AsyncRead + AsyncWrite + Unpin>(receiver: &mut Receiver<S>) {
    for i in 0..MANY {
        assert!(receiver.recv().await.unwrap() == Some(Message::from(nth(i))), "message {i}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_lost_in_both_directions_at_once() {
    for (capacity, high_water) in [(64, 100), (1000, 64 * 1024), (65_536, 1)] {
        let (client, server) = duplex(capacity);
        let mut config = quiet();
        config.high_water = high_water;
        let tasks = [socket(Client, client, config), socket(Server, server, config)].map(|socket| {
            let (mut receiver, mut sender) = socket.split();
            let sending = tokio::spawn(async move {
                speak(&mut sender).await;
                sender
            });
            let receiving = tokio::spawn(async move {
                listen(&mut receiver).await;
                receiver
            });
            (sending, receiving)
        });
        let mut ends = vec![];
        for (sending, receiving) in tasks {
            ends.push((soon(sending).await.unwrap(), soon(receiving).await.unwrap()));
        }
        // Both close at once.
        let closing = ends.into_iter().map(|(mut sender, mut receiver)| {
            let closing = tokio::spawn(async move { sender.close(CloseCode::NORMAL, "").await });
            let receiving = tokio::spawn(async move {
                assert_eq!(receiver.recv().await.unwrap(), None);
                assert!(receiver.closed().unwrap().is_clean());
            });
            (closing, receiving)
        });
        for (closing, receiving) in closing.collect::<Vec<_>>() {
            soon(closing).await.unwrap().unwrap();
            soon(receiving).await.unwrap();
        }
    }
}

const LONG: usize = 8 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halves_in_one_task_each_send_before_they_receive() {
    let (client, server) = duplex(1000);
    let ends = [socket(Client, client, quiet()), socket(Server, server, quiet())].map(|socket| {
        tokio::spawn(async move {
            let (mut receiver, mut sender) = socket.split();
            sender.send(vec![1; LONG]).await.unwrap();
            assert!(receiver.recv().await.unwrap() == Some(Message::from(vec![1; LONG])));
            sender.close(CloseCode::NORMAL, "").await.unwrap();
            assert_eq!(receiver.recv().await.unwrap(), None);
            assert!(receiver.closed().unwrap().is_clean());
        })
    });
    for end in ends {
        soon(end).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_fed_leaves_when_the_receiver_waits() {
    for role in BOTH {
        let line = Line::none();
        let (mut receiver, mut sender) = socket(role, line.clone(), quiet()).split();
        let receiving = tokio::spawn(async move { receiver.recv().await.map(|message| message.is_some()) });
        tokio::task::yield_now().await;
        sender.feed("one").await.unwrap();
        sender.feed("two").await.unwrap();
        assert!(line.script().written.is_empty());
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        assert_eq!(line.said(role).len(), 2);
        assert_eq!(line.script().sizes.len(), 1);
        line.change(|script| script.then = Then::End);
        assert!(!in_time(receiving).await.unwrap().unwrap());
    }
}

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    fn rung(&self) -> bool {
        self.0.swap(0, Ordering::SeqCst) > 0
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_read_ends_the_wait_for_room() {
    // By the receiver, by the sender itself, and by a WebSocket that was not split.
    for role in BOTH {
        for who in 0..3 {
            let line = Line::none();
            line.change(|script| script.blocked = true);
            let mut whole = socket(role, line.clone(), quiet());
            whole.feed(vec![0; 100_000]).await.unwrap();
            let begun = tokio::time::Instant::now();
            let result = if who == 2 {
                line.say(close_frame(role.peer(), 1000, ""));
                in_time(whole.feed("late")).await
            } else {
                let (mut receiver, mut sender) = whole.split();
                let feeding = tokio::spawn(async move { sender.feed("late").await });
                tokio::task::yield_now().await;
                let receiving = (who == 0).then(|| tokio::spawn(async move { receiver.recv().await.is_err() }));
                tokio::task::yield_now().await;
                line.say(close_frame(role.peer(), 1000, ""));
                let result = in_time(feeding).await.unwrap();
                receiving.inspect(|task| task.abort());
                result
            };
            assert!(matches!(result, Err(Error::Send(SendError::Closed))));
            // What was accepted may still leave, until the time to close is over.
            let passed = begun.elapsed();
            assert!((10_000..10_010).contains(&passed.as_millis()), "{role:?}, {who}: {passed:?}");
        }
    }
}

#[test]
fn every_wake_of_the_transport_reaches_both_halves() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let line = Line::none();
    line.change(|script| script.blocked = true);
    let (mut receiver, mut sender) = socket(Server, line.clone(), quiet()).split();
    let (hears, speaks) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
    let (hears_waker, speaks_waker) = (Waker::from(hears.clone()), Waker::from(speaks.clone()));
    let mut hearing = Context::from_waker(&hears_waker);
    let mut speaking = Context::from_waker(&speaks_waker);

    // The receiver polls last, so that its waker is the last that the transport saw.
    let mut sending = Box::pin(sender.send("hello"));
    let mut receiving = Box::pin(receiver.recv());
    assert!(sending.as_mut().poll(&mut speaking).is_pending());
    assert!(receiving.as_mut().poll(&mut hearing).is_pending());
    line.unblock();
    assert!(speaks.rung() && hears.rung());
    // The receiver is first and does the writing: the sender has to know.
    assert!(receiving.as_mut().poll(&mut hearing).is_pending());
    assert_eq!(line.said(Server).len(), 1);
    assert!(matches!(sending.as_mut().poll(&mut speaking), Poll::Ready(Ok(()))));
    drop(sending);

    // Now the sender polls last, reads ahead what the receiver waits for, and is dropped.
    line.change(|script| script.blocked = true);
    let mut sending = Box::pin(sender.send("hello"));
    hears.rung();
    assert!(receiving.as_mut().poll(&mut hearing).is_pending());
    line.script().reads.push_back(Ok(frame(Client, TEXT, "ahead")));
    assert!(sending.as_mut().poll(&mut speaking).is_pending());
    drop(sending);
    assert!(hears.rung(), "the sender has read its message");
    let Poll::Ready(Ok(Some(message))) = receiving.as_mut().poll(&mut hearing) else { panic!("it is here") };
    assert_eq!(message, Message::from("ahead"));
}

#[tokio::test(start_paused = true)]
async fn dropped_futures_of_halves_lose_nothing() {
    for role in BOTH {
        let words: Vec<String> = (0..20).map(|i| format!("word {i}")).collect();
        let heard = frames(role.peer(), words.iter().map(|word| (TEXT, word)));
        for polls in 1..40 {
            let line = Line::silent(heard.chunks(1));
            line.change(|script| (script.hiccup, script.take) = (true, 1));
            let (mut receiver, mut sender) = socket(role, line.clone(), quiet()).split();
            let mut got = vec![];
            for i in 0.. {
                match words.get(i) {
                    Some(word) => drop(only(polls, sender.send(&**word)).await),
                    None => drop(only(polls, sender.flush()).await),
                }
                if let Some(message) = only(polls, receiver.recv()).await {
                    got.push(message.unwrap().unwrap());
                }
                if i >= 20 && got.len() == 20 {
                    break;
                }
            }
            in_time(sender.flush()).await.unwrap();
            assert!(got.iter().zip(&words).all(|(got, word)| *got == Message::from(&**word)), "{polls} polls");
            let said: Vec<_> = words.iter().map(|word| (TEXT, word.as_bytes().to_vec())).collect();
            assert_eq!(line.said(role), said, "{polls} polls");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_closes_and_its_receiver_gets_the_rest_and_the_end() {
    for role in BOTH {
        let (ours, theirs) = duplex(64);
        let (mut receiver, mut sender) = socket(role, ours, quiet()).split();
        let mut peer = socket(role.peer(), theirs, quiet());
        let receiving = tokio::spawn(async move {
            assert_eq!(receiver.recv().await.unwrap(), Some(Message::from("last words")));
            assert_eq!(receiver.recv().await.unwrap(), None);
            receiver
        });
        tokio::task::yield_now().await;
        sender.close(CloseCode::new(1001), "bye").await.unwrap();
        assert_eq!(sender.state(), State::Closing);
        peer.feed("last words").await.unwrap();
        assert_eq!(in_time(peer.recv()).await.unwrap(), None);
        assert_eq!(ended(peer.closed()), Some((1001, Cause::Clean)));
        let receiver = in_time(receiving).await.unwrap();
        assert_eq!(ended(receiver.closed().as_ref()), Some((1001, Cause::Clean)));
        assert!(matches!(sender.send("late").await, Err(Error::Send(SendError::Closed))));
        sender.close(CloseCode::NORMAL, "again").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_reach_both_halves() {
    for role in BOTH {
        // The receiver waited before there was a deadline.
        let (mut receiver, mut sender) = socket(role, Line::none(), quiet()).split();
        let receiving = tokio::spawn(async move { (receiver.recv().await.unwrap(), receiver) });
        tokio::task::yield_now().await;
        sender.close(CloseCode::NORMAL, "").await.unwrap();
        let (message, receiver) = in_time(receiving).await.unwrap();
        assert_eq!(message, None);
        assert_eq!(ended(receiver.closed().as_ref()), Some((1006, Cause::CloseTimeout)));

        // One of them is told why, the other that it is over.
        let line = Line::none();
        line.change(|script| script.blocked = true);
        let (mut receiver, mut sender) = socket(role, line, Config::default()).split();
        let receiving = tokio::spawn(async move { receiver.recv().await });
        let sending = tokio::spawn(async move { sender.send("hello").await });
        let (received, sent) = (in_time(receiving).await.unwrap(), in_time(sending).await.unwrap());
        match received {
            Err(Error::PongTimeout) => assert!(matches!(sent, Err(Error::Send(SendError::Closed)))),
            received => assert!(matches!((received, sent), (Ok(None), Err(Error::PongTimeout)))),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_ends_both_halves() {
    for role in BOTH {
        let line = Line::none();
        line.change(|script| script.blocked = true);
        let (mut receiver, mut sender) = socket(role, line.clone(), quiet()).split();
        let sending = tokio::spawn(async move { sender.send("hello").await });
        tokio::task::yield_now().await;
        let receiving = tokio::spawn(async move { (receiver.recv().await, receiver.recv().await) });
        tokio::task::yield_now().await;
        line.change(|script| script.reads.push_back(Err(ErrorKind::ConnectionReset.into())));
        let (sent, received) = (in_time(sending).await.unwrap(), in_time(receiving).await.unwrap());
        match received {
            (Err(Error::Io(_)), Ok(None)) => assert!(matches!(sent, Err(Error::Send(SendError::Closed)))),
            received => assert!(matches!((received, sent), ((Ok(None), Ok(None)), Err(Error::Io(_))))),
        }

        let line = Line::silent([vec![0x83]]);
        let (mut receiver, mut sender) = socket(role, line.clone(), quiet()).split();
        let receiving = tokio::spawn(async move { (receiver.recv().await, receiver.recv().await) });
        tokio::task::yield_now().await;
        assert!(matches!(in_time(sender.send("late")).await, Err(Error::Send(SendError::Closed))));
        line.change(|script| script.then = Then::End);
        let error = in_time(receiving).await.unwrap();
        assert!(matches!(error, (Err(Error::Protocol(ProtocolError::ReservedOpcode(3))), Ok(None))), "{error:?}");
        assert!(matches!(&line.said(role)[..], [(CLOSE, _)]));
    }
}

#[tokio::test]
async fn dropping_both_halves_closes_the_transport() {
    let (ours, theirs) = duplex(64);
    let (receiver, sender) = socket(Client, ours, quiet()).split();
    let mut peer = socket(Server, theirs, quiet());
    drop(sender);
    let mut waiting = Box::pin(peer.recv());
    assert!(waits(&mut waiting).await, "one half is there still");
    drop(receiver);
    assert_eq!(soon(waiting).await.unwrap(), None);
}

// Stream and Sink.

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}

async fn put<S: for<'m> Sink<Message<'m>, Error = Error> + Unpin>(sink: &mut S, text: &str) -> Result<(), Error> {
    poll_fn(|cx| Sink::<Message<'_>>::poll_ready(Pin::new(&mut *sink), cx)).await?;
    Pin::new(sink).start_send(Message::from(text))
}

async fn flush<S: for<'m> Sink<Message<'m>, Error = Error> + Unpin>(sink: &mut S) -> Result<(), Error> {
    poll_fn(|cx| Sink::<Message<'_>>::poll_flush(Pin::new(&mut *sink), cx)).await
}

async fn close<S: for<'m> Sink<Message<'m>, Error = Error> + Unpin>(sink: &mut S) -> Result<(), Error> {
    poll_fn(|cx| Sink::<Message<'_>>::poll_close(Pin::new(&mut *sink), cx)).await
}

#[tokio::test(start_paused = true)]
async fn a_websocket_is_a_stream_and_a_sink() {
    for role in BOTH {
        let heard = [frames(role.peer(), [(TEXT, "one"), (TEXT, "two")]), close_frame(role.peer(), 1000, "")].concat();
        let line = Line::hearing(heard.chunks(1));
        line.change(|script| (script.hiccup, script.take) = (true, 1));
        let mut socket = socket(role, line.clone(), quiet());
        assert_eq!(next(&mut socket).await.unwrap().unwrap(), Message::from("one"));
        put(&mut socket, "fed").await.unwrap();
        put(&mut socket, "sent").await.unwrap();
        flush(&mut socket).await.unwrap();
        assert_eq!(line.said(role), [(TEXT, b"fed".into()), (TEXT, b"sent".into())]);
        in_time(close(&mut socket)).await.unwrap();
        in_time(close(&mut socket)).await.unwrap();
        assert_eq!(line.said(role)[2], (CLOSE, 1000_u16.to_be_bytes().into()));
        assert_eq!(line.said(role).len(), 3);
        // What came before their Close frame is the stream's.
        assert_eq!(next(&mut socket).await.unwrap().unwrap(), Message::from("two"));
        assert!(next(&mut socket).await.is_none());
        assert!(next(&mut socket).await.is_none());
        assert!(matches!(put(&mut socket, "late").await, Err(Error::Send(SendError::Closed))));
        assert!(socket.closed().unwrap().is_clean());
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_is_the_last_item() {
    let mut socket: WebSocket<Line> = socket(Server, Line::hearing([[0x83]]), quiet());
    assert!(matches!(next(&mut socket).await, Some(Err(Error::Protocol(_)))));
    assert!(next(&mut socket).await.is_none());
    assert!(next(&mut socket).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn halves_are_a_stream_and_a_sink() {
    for role in BOTH {
        let (ours, theirs) = duplex(7);
        let (mut receiver, mut sender) = socket(role, ours, quiet()).split();
        let mut peer = socket(role.peer(), theirs, quiet());
        let echoing = tokio::spawn(async move {
            while let Some(message) = peer.recv().await.unwrap() {
                peer.feed(message).await.unwrap();
            }
        });
        let receiving = tokio::spawn(async move {
            let mut got = vec![];
            while let Some(message) = next(&mut receiver).await {
                got.push(message.unwrap());
            }
            got
        });
        for i in 0..100 {
            put(&mut sender, &i.to_string()).await.unwrap();
        }
        flush(&mut sender).await.unwrap();
        in_time(close(&mut sender)).await.unwrap();
        let got = in_time(receiving).await.unwrap();
        let expected: Vec<_> = (0..100).map(|i| Message::from(i.to_string())).collect();
        assert_eq!(got, expected);
        in_time(echoing).await.unwrap();
        assert!(matches!(put(&mut sender, "late").await, Err(Error::Send(SendError::Closed))));
    }
}
