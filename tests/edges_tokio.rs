//! The tokio adapter at its edges. Each test says the promise.

#![cfg(feature = "tokio")]

mod common;
#[path = "common/line.rs"]
mod line;

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use common::*;
use futures_core::Stream;
use futures_sink::Sink;
use line::*;
use openline::Role::{Client, Server};
use openline::tokio::WebSocket;
use openline::{CloseCode, Config, Error, Message};
use tokio::io::{AsyncRead, AsyncWrite, BufWriter};

/// `flush`: "Waits until the transport has taken all that this end queued before." A socket made of its
/// parts says Ok at once, and nothing has been written: what `into_parts` carried over is lost with the socket.
#[tokio::test(start_paused = true)]
async fn a_flush_after_from_connection_flushes() {
    for role in BOTH {
        let line = Line::none();
        let mut whole = socket(role, line.clone(), quiet());
        whole.feed("accepted").await.unwrap();
        let (io, connection, epoch) = whole.into_parts();
        let mut whole = WebSocket::from_connection(io, connection, epoch);
        in_time(whole.flush()).await.unwrap();
        drop(whole);
        assert_eq!(line.said(role), [(TEXT, b"accepted".to_vec())]);
    }
}

/// The same by `Sink::poll_flush` (`SinkExt::flush`) and by a half's `flush`.
#[tokio::test(start_paused = true)]
async fn a_sink_or_half_made_of_parts_flushes() {
    let line = Line::none();
    let mut whole = socket(Server, line.clone(), quiet());
    whole.feed("accepted").await.unwrap();
    let (io, connection, epoch) = whole.into_parts();
    let (_receiver, mut sender) = WebSocket::from_connection(io, connection, epoch).split();
    in_time(sender.flush()).await.unwrap();
    assert_eq!(line.said(Server), [(TEXT, b"accepted".to_vec())]);
}

/// "What it had not finished goes on in the next call." The adapter forgets in `into_parts` that the transport was
/// not flushed: no later flush and no recv passes on what a buffering transport holds.
#[tokio::test(start_paused = true)]
async fn what_was_written_and_not_flushed_is_flushed_after_into_parts() {
    let line = Line::none();
    line.change(|script| script.flush_blocked = true);
    let mut whole = socket(Server, line.clone(), quiet());
    assert!(only(3, whole.send("accepted")).await.is_none(), "taken, but not flushed");
    let (io, connection, epoch) = whole.into_parts();
    line.unblock();
    let mut whole = WebSocket::from_connection(io, connection, epoch);
    in_time(whole.flush()).await.unwrap();
    assert!(only(3, whole.recv()).await.is_none());
    let script = line.script();
    assert_eq!(script.flushed, script.written.len(), "flush was never called");
}

/// "What was accepted leaves": an echo loop that ends with `None` drops its socket. Over an unbuffered transport the
/// end waits for what is queued (`Flushing`); over one that buffers (BufWriter, TLS) the same peer, whose end follows its Close
/// frame at once, makes recv say `None` while the answers lie in the buffer, and they are lost.
#[tokio::test(start_paused = true)]
async fn an_end_waits_for_what_lies_in_the_transports_buffer() {
    for buffered in [false, true] {
        for role in BOTH {
            let heard = [frame(role.peer(), TEXT, "echo me"), close_frame(role.peer(), 1000, "")].concat();
            let line = Line::hearing([heard]); // and then its end
            line.change(|script| script.blocked = true);
            let unblocking = line.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                unblocking.unblock();
            });
            if buffered {
                echo(socket(role, BufWriter::new(line.clone()), quiet())).await;
            } else {
                echo(socket(role, line.clone(), quiet())).await;
            }
            let said: Vec<u8> = line.said(role).iter().map(|(first, _)| *first).collect();
            assert_eq!(said, [TEXT, CLOSE], "{role:?}, buffered: {buffered}");
        }
    }
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocket<S>) {
    while let Some(message) = in_time(socket.recv()).await.unwrap() {
        socket.feed(message).await.unwrap();
    }
    assert!(socket.closed().unwrap().is_clean());
}

/// `is_clean`: "both ends said goodbye, so that neither can have missed a message". A transport that buffers fails when
/// it is flushed, nothing has left, and the end is called clean and recv says Ok.
#[tokio::test(start_paused = true)]
async fn an_end_is_not_clean_if_the_flush_failed() {
    for buffered in [false, true] {
        let heard = [frame(Client, TEXT, "echo me"), close_frame(Client, 1000, "")].concat();
        let line = Line::hearing([heard]);
        line.change(|script| (0..9).for_each(|_| script.writes.push_back(Err(ErrorKind::BrokenPipe.into()))));
        async fn ends<S: AsyncRead + AsyncWrite + Unpin>(io: S) -> (bool, bool) {
            let mut socket = socket(Server, io, quiet());
            let result = loop {
                match in_time(socket.recv()).await {
                    Ok(Some(message)) => socket.feed(message).await.unwrap(),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            (result.is_err(), socket.closed().unwrap().is_clean())
        }
        let (_failed, clean) = match buffered {
            false => ends(line.clone()).await,
            true => ends(BufWriter::new(line.clone())).await,
        };
        assert!(line.script().written.is_empty());
        assert!(!clean, "buffered: {buffered}: nothing has left");
    }
}

/// `send`: "returns when the transport has taken all of it" (sent means taken and flushed, as `sent_means_taken_and_flushed` says).
/// If the peer's side ends while the flush waits, it says Ok, and nothing has left.
#[tokio::test(start_paused = true)]
async fn a_send_is_not_ok_before_the_flush_though_the_peer_has_ended() {
    let line = Line::default(); // the peer has ended its side
    line.change(|script| script.blocked = true);
    let mut socket = socket(Server, BufWriter::new(line.clone()), quiet());
    let sent = in_time(socket.send("hello")).await;
    assert!(sent.is_err() || !line.script().written.is_empty(), "Ok, and nothing was written");
}

/// `Accepting::reject`: "Error::Handshake if the answer did not go in time". It says Ok if a buffer took it.
#[tokio::test(start_paused = true)]
async fn a_rejection_that_was_never_flushed_is_an_error() {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    for buffered in [false, true] {
        let line = Line::silent([request]);
        line.change(|script| script.blocked = true);
        let server = openline::Server::default();
        let result = match buffered {
            false => {
                let accepting = openline::tokio::read_request(&server, line.clone()).await.unwrap();
                in_time(accepting.reject(openline::Response::new(403))).await
            }
            true => {
                let accepting = openline::tokio::read_request(&server, BufWriter::new(line.clone())).await.unwrap();
                in_time(accepting.reject(openline::Response::new(403))).await
            }
        };
        assert!(line.script().written.is_empty());
        assert!(result.is_err(), "buffered: {buffered}: Ok, and nothing was written");
    }
}

/// `Sink::poll_close`: "Sends a Close frame, and waits until it has left." If the write fails it says Ok: whoever forwards a
/// stream into the sink believes that all of it was sent.
#[tokio::test(start_paused = true)]
async fn a_sink_whose_close_cannot_be_written_says_so() {
    for role in BOTH {
        let line = Line::none();
        line.change(|script| script.writes.push_back(Err(ErrorKind::BrokenPipe.into())));
        let mut socket = socket(role, line.clone(), quiet());
        poll_fn(|cx| Pin::new(&mut socket).poll_ready(cx)).await.unwrap();
        Pin::new(&mut socket).start_send(Message::from("accepted")).unwrap();
        let closed: Result<(), Error> =
            in_time(poll_fn(|cx| Sink::<Message<'_>>::poll_close(Pin::new(&mut socket), cx))).await;
        assert!(line.script().written.is_empty());
        assert!(closed.is_err(), "{role:?}: Ok, and neither message nor Close frame has left");
    }
}

/// The same if the peer takes nothing until the time to close is over.
#[tokio::test(start_paused = true)]
async fn a_sink_whose_close_never_leaves_says_so() {
    let line = Line::none();
    line.change(|script| script.blocked = true);
    let mut socket = socket(Server, line.clone(), quiet());
    poll_fn(|cx| Pin::new(&mut socket).poll_ready(cx)).await.unwrap();
    Pin::new(&mut socket).start_send(Message::from("accepted")).unwrap();
    let closed: Result<(), Error> =
        in_time(poll_fn(|cx| Sink::<Message<'_>>::poll_close(Pin::new(&mut socket), cx))).await;
    assert!(line.script().written.is_empty());
    assert!(closed.is_err(), "Ok, and neither message nor Close frame has left");
}

/// `close` of the half: "Sends a Close frame … otherwise as flush". Likewise.
#[tokio::test(start_paused = true)]
async fn a_half_whose_close_never_leaves_says_so() {
    let line = Line::none();
    line.change(|script| script.blocked = true);
    let (_receiver, mut sender) = socket(Server, line.clone(), quiet()).split();
    sender.feed("accepted").await.unwrap();
    let closed = in_time(sender.close(CloseCode::NORMAL, "")).await;
    assert!(line.script().written.is_empty());
    assert!(closed.is_err(), "Ok, and neither message nor Close frame has left");
}

/// `recv`: "`Error::Protocol` … once; after that it returns `None`." A send that is refused because the connection is
/// closing takes the error while it says goodbye, and drops it: nobody is ever told.
#[tokio::test(start_paused = true)]
async fn an_error_is_told_once_and_not_never() {
    for role in BOTH {
        let line = Line::silent([vec![0x83]]);
        line.change(|script| script.blocked = true);
        let mut socket = socket(role, line.clone(), quiet());
        assert!(only(3, socket.send("first")).await.is_none(), "blocked; the fault has been read");
        let mut told = vec![];
        told.push(in_time(socket.send("second")).await.map(|()| false));
        told.push(in_time(socket.recv()).await.map(|message| message.is_some()));
        assert!(told.iter().any(|told| matches!(told, Err(Error::Protocol(_)))), "{role:?}: {told:?}");
    }
}

/// The same for a sink: `poll_close` promises the outcome, and its own goodbye has swallowed it.
#[tokio::test(start_paused = true)]
async fn a_sinks_close_does_not_swallow_the_error() {
    let line = Line::silent([vec![0x83]]);
    line.change(|script| script.blocked = true);
    let mut socket = socket(Server, line.clone(), quiet());
    poll_fn(|cx| Pin::new(&mut socket).poll_ready(cx)).await.unwrap();
    Pin::new(&mut socket).start_send(Message::from("accepted")).unwrap();
    assert!(only(3, socket.flush()).await.is_none(), "blocked; the fault has been read");
    let closed: Result<(), Error> =
        in_time(poll_fn(|cx| Sink::<Message<'_>>::poll_close(Pin::new(&mut socket), cx))).await;
    let next = in_time(poll_fn(|cx| Pin::new(&mut socket).poll_next(cx))).await;
    let told = matches!(closed, Err(Error::Protocol(_))) || matches!(next, Some(Err(Error::Protocol(_))));
    assert!(told, "{closed:?}, {next:?}");
}

/// `Sender::close` "Sends a Close frame". When the peer was first and the answer waits, it returns at once, and halves that
/// are dropped then have not answered (the Sink's `poll_close` waits for it).
#[tokio::test(start_paused = true)]
async fn a_half_that_closes_behind_the_peer_waits_for_the_answer_to_leave() {
    let line = Line::silent([close_frame(Client, 1000, "")]);
    line.change(|script| script.blocked = true);
    let (mut receiver, mut sender) = socket(Server, line.clone(), quiet()).split();
    assert!(only(3, receiver.recv()).await.is_none(), "the Close frame has been read");
    let mut closing = Box::pin(sender.close(CloseCode::NORMAL, ""));
    assert!(waits(&mut closing).await, "nothing has left yet");
    line.unblock();
    in_time(closing).await.unwrap();
    assert_eq!(line.said(Server).len(), 1);
}

/// "The time begins when the transport is found to take nothing" and "the peer took nothing for stall_timeout": a
/// write that the *runtime* put off (the task had used up its budget) counts as one that the transport refused. Two
/// such polls, a minute apart, and a peer that would have taken everything is given up.
#[tokio::test(start_paused = true)]
async fn a_budget_that_is_used_up_says_nothing_of_the_peer() {
    let (ours, _theirs) = tokio::io::duplex(1024 * 1024);
    let mut socket = socket(Server, ours, quiet_but_stall());
    socket.feed("hello").await.unwrap();
    let mut flushed = vec![];
    for _ in 0..2 {
        let once = poll_fn(|cx| {
            spend(cx);
            Poll::Ready(match pin!(socket.flush()).poll(cx) {
                Poll::Ready(result) => Some(result),
                Poll::Pending => None,
            })
        })
        .await;
        flushed.push(once);
        tokio::time::advance(Duration::from_secs(61)).await;
    }
    assert!(!flushed.iter().any(|flushed| matches!(flushed, Some(Err(Error::StallTimeout)))), "{flushed:?}");
    in_time(socket.flush()).await.unwrap();
}

fn quiet_but_stall() -> Config {
    let mut config = quiet();
    config.stall_timeout = Some(Duration::from_secs(60));
    config
}

/// Uses up the budget of this poll.
fn spend(cx: &mut Context<'_>) {
    while tokio::task::coop::has_budget_remaining() {
        assert!(
            pin!(tokio::task::coop::consume_budget()).poll(cx).is_ready() || !tokio::task::coop::has_budget_remaining()
        );
    }
}

/// "A deadline always runs": in a task whose budget something else uses up before the socket is polled (a busy neighbour in
/// `join!` or `FuturesUnordered`), every look ends in "later", and no deadline is looked at, whatever it is of.
#[tokio::test(start_paused = true)]
async fn deadlines_hold_in_a_task_whose_budget_others_use_up() {
    let line = Line::none();
    let mut socket = socket(Server, line.clone(), Config::default());
    let mut closing = Box::pin(socket.close(CloseCode::NORMAL, ""));
    for _ in 0..100 {
        let done = poll_fn(|cx| {
            spend(cx);
            Poll::Ready(closing.as_mut().poll(cx).is_ready())
        })
        .await;
        if done {
            return;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    panic!("100 s, and the closing handshake, which may take 10 s, is not over");
}

/// `ready`: "Waits until there is room (`has_room`) for a message … what a pump needs". With a `high_water` of 0, which `feed` copes
/// with, it says Ok where there is none and never will be: a pump of `ready` and `try_feed` runs in circles without a pause.
#[tokio::test(start_paused = true)]
async fn after_ready_there_is_room() {
    let mut config = quiet();
    config.high_water = 0;
    let mut socket = socket(Server, Line::none(), config);
    in_time(socket.ready()).await.unwrap();
    assert!(socket.try_feed("hello").is_ok(), "ready, and Full");
}

/// A transport's end is a read of 0 bytes *into some space*. With bytes held behind the peer's Close frame (`leftover`) and a write that
/// is blocked, the adapter reads into no space, takes that for the end, and does not wait for the client's (§7.1.1).
#[tokio::test(start_paused = true)]
async fn a_read_into_no_space_is_no_end() {
    for behind in ["", "x"] {
        let line = Line::none();
        line.change(|script| script.blocked = true);
        let leftover = [close_frame(Client, 1000, ""), behind.into()].concat();
        let mut socket = WebSocket::new(line.clone(), upgrade(Server), quiet(), &leftover);
        assert!(in_time(socket.event()).await.unwrap().is_some(), "the Close frame");
        let mut sending = Box::pin(socket.send("late"));
        assert!(waits(&mut sending).await);
        line.say("more");
        assert!(waits(&mut sending).await);
        line.say("still more");
        assert!(waits(&mut sending).await);
        line.unblock();
        assert!(in_time(sending).await.unwrap_err().is_closed());
        let mut receiving = Box::pin(socket.recv());
        assert!(
            waits(&mut receiving).await,
            "behind the Close frame: {behind:?}: it did not wait for the client's end"
        );
    }
}

/// Three ways to close say three things when the peer takes nothing of what was queued until the time is over: `close` and the sink say
/// Ok, the half says an error. Ok must mean that what was accepted has left.
#[tokio::test(start_paused = true)]
async fn a_close_that_left_messages_behind_says_so() {
    let line = Line::none();
    line.change(|script| script.blocked = true);
    let mut socket = socket(Server, line.clone(), quiet());
    socket.feed("accepted").await.unwrap();
    let closed = in_time(socket.close(CloseCode::NORMAL, "")).await;
    assert!(line.script().written.is_empty());
    assert!(closed.is_err(), "Ok, {:?}", socket.closed());
}

/// "A send of an adapter that fails because the connection is closing returns when what was accepted before has left": `start_send` of a
/// half returns at once if the other half has read the peer's Close frame since `poll_ready`.
#[tokio::test(start_paused = true)]
async fn a_send_through_the_sink_is_not_refused_before_the_rest_has_left() {
    let line = Line::none();
    line.change(|script| script.blocked = true);
    let (mut receiver, mut sender) = socket(Server, line.clone(), quiet()).split();
    sender.feed("accepted").await.unwrap();
    poll_fn(|cx| Sink::<Message<'_>>::poll_ready(Pin::new(&mut sender), cx)).await.unwrap();
    line.say(close_frame(Client, 1000, ""));
    assert!(only(3, receiver.recv()).await.is_none());
    let begun = tokio::time::Instant::now();
    let sent = Pin::new(&mut sender).start_send(Message::from("late"));
    assert!(sent.is_ok() || begun.elapsed() > Duration::from_secs(9) || sender.queued() == 0, "{sent:?} at once");
}

/// The blocking adapter has the same Driver: `flush` after `from_connection`.
#[test]
fn a_blocking_flush_after_from_connection_flushes() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let io = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (_peer, _) = listener.accept().unwrap();
    let mut whole = openline::net::WebSocket::new(io, upgrade(Server), quiet(), &[]);
    whole.feed("accepted").unwrap();
    let (io, connection, epoch) = whole.into_parts();
    let mut whole = openline::net::WebSocket::from_connection(io, connection, epoch);
    whole.flush().unwrap();
    assert_eq!(whole.queued(), 0);
}
