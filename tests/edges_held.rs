//! Bytes that are held, as the tokio adapter sees them; for the first test see also
//! `one_message_is_read_ahead_behind_bytes_that_are_held`.
#![cfg(feature = "tokio")]

mod common;
#[path = "common/line.rs"]
mod line;

use common::*;
use line::*;
use openline::Role::{Client, Server};
use openline::tokio::WebSocket;
use openline::{Cause, CloseCode};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::time::Instant;

/// Two ends that send to each other at once both get on (manual, Back-pressure). A server behind hyper was given the
/// first bytes of the client's first message with the upgrade. It sends a greeting; the client, which
/// is sending its own message, takes nothing until that has been read. The server reads nothing: both hang
/// until the stall timeout.
#[tokio::test(start_paused = true)]
async fn a_send_reads_on_though_some_bytes_came_with_the_upgrade() {
    let message = frame(Client, TEXT, "hello, here is a long message of mine");
    let line = Line::silent([&message[5..]]);
    line.script().blocked = true;
    let mut socket = WebSocket::new(line.clone(), upgrade(Server), quiet(), &message[..5]);
    let mut sending = Box::pin(socket.send("greeting"));
    assert!(waits(&mut sending).await);
    assert!(line.script().reads.is_empty(), "nothing is read while the send is blocked");
    drop(sending);
    line.unblock();
    assert!(in_time(socket.recv()).await.unwrap().is_some());
}

/// "A deadline of ours begins when we change state and not when some bytes were read"; the time to close begins "not
/// before this end has tried to answer, if the application was busy meanwhile" (manual, Closing). A Close
/// frame that was read long ago, behind a message that the application was busy with, and is now read
/// ahead since a send is blocked for a moment, is acted upon at once: what was being sent is thrown away,
/// our answer too, and it ends with `CloseTimeout` in the instant that it was first looked at.
#[tokio::test(start_paused = true)]
async fn a_close_frame_that_is_read_ahead_late_does_not_end_the_send_at_once() {
    let line = Line::silent([[frame(Client, TEXT, "work"), close_frame(Client, 1000, "")].concat()]);
    let mut socket = socket(Server, line.clone(), quiet());
    assert!(in_time(socket.recv()).await.unwrap().is_some());
    tokio::time::sleep(Duration::from_secs(30)).await;
    line.script().blocked = true;
    let mut sending = Box::pin(socket.send("the result"));
    let early = only(3, &mut sending).await;
    assert!(early.is_none(), "blocked for an instant: {early:?}");
    line.unblock();
    assert!(in_time(sending).await.is_ok());
    assert_eq!(line.said(Server).first(), Some(&(TEXT, b"the result".to_vec())));
}

/// Our Close cannot be written, and the peer's side has ended: nothing is left to wait for. The core waits in `Flushing`
/// for bytes that it has dropped, so closing a connection whose peer is gone takes `close_timeout`, 10 s.
#[tokio::test(start_paused = true)]
async fn closing_what_is_dead_takes_no_time() {
    let line = Line::hearing([[]; 0]);
    line.script().writes.push_back(Err(ErrorKind::BrokenPipe.into()));
    let mut socket = socket(Server, line.clone(), quiet());
    let start = Instant::now();
    let _ = in_time(socket.close(CloseCode::NORMAL, "")).await;
    assert_eq!(ended(socket.closed()), Some((1006, Cause::Eof)));
    assert_eq!(start.elapsed(), Duration::ZERO);
}
