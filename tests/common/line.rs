//! An asynchronous transport that follows a script, and ways to interrupt a future.

#![allow(dead_code, reason = "every test binary uses a part of this")]

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use openline::tokio::WebSocket;
use openline::{Agreement, Cause, Closed, Config, Error, Role, Upgrade};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::common::parse;

#[derive(Clone, Debug, Default)]
pub(crate) struct Line(Arc<Mutex<Script>>);

#[derive(Debug, Default)]
pub(crate) struct Script {
    /// What comes, one read each.
    pub(crate) reads: VecDeque<io::Result<Vec<u8>>>,
    /// What comes after that.
    pub(crate) then: Then,
    /// The most that a write takes; 0 for all.
    pub(crate) take: usize,
    /// What becomes of the next writes: how much is taken, or an error.
    pub(crate) writes: VecDeque<io::Result<usize>>,
    /// Writes and flushes wait, until [`Line::unblock`].
    pub(crate) blocked: bool,
    pub(crate) flush_blocked: bool,
    pub(crate) shutdown_blocked: bool,
    /// Only vectored writes take more than one slice.
    pub(crate) vectored: bool,
    /// Every call is refused once, and woken at once.
    pub(crate) hiccup: bool,
    hiccuped: [bool; 4],
    pub(crate) written: Vec<u8>,
    /// How much each write took.
    pub(crate) sizes: Vec<usize>,
    pub(crate) flushed: usize,
    pub(crate) shut_down: bool,
    calls: usize,
    waiting: Vec<Waker>,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum Then {
    #[default]
    End,
    Silence,
    Bytes(Vec<u8>),
}

impl Line {
    pub(crate) fn hearing(pieces: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Line {
        let line = Line::default();
        line.script().reads = pieces.into_iter().map(|piece| Ok(piece.into())).collect();
        line
    }

    /// A peer that says nothing more.
    pub(crate) fn silent(pieces: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Line {
        let line = Line::hearing(pieces);
        line.script().then = Then::Silence;
        line
    }

    pub(crate) fn none() -> Line {
        Line::silent([[]; 0])
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }

    pub(crate) fn said(&self, role: Role) -> Vec<(u8, Vec<u8>)> {
        parse(role, &self.script().written)
    }

    /// The peer says this now.
    pub(crate) fn say(&self, bytes: impl Into<Vec<u8>>) {
        self.change(|script| script.reads.push_back(Ok(bytes.into())));
    }

    /// Writes go on.
    pub(crate) fn unblock(&self) {
        self.change(|script| (script.blocked, script.flush_blocked, script.shutdown_blocked) = (false, false, false));
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Script)) {
        let mut script = self.script();
        change(&mut script);
        let waiting = std::mem::take(&mut script.waiting);
        drop(script);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Script {
    fn hiccup(&mut self, what: usize, cx: &Context<'_>) -> Poll<()> {
        self.calls += 1;
        assert!(self.calls < 1_000_000, "the adapter runs in circles");
        if self.hiccup {
            self.hiccuped[what] = !self.hiccuped[what];
            if self.hiccuped[what] {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.waiting.push(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, space: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut script = self.script();
        if script.hiccup(0, cx).is_pending() {
            return Poll::Pending;
        }
        let mut bytes = match (script.reads.pop_front(), &script.then) {
            (Some(read), _) => read?,
            (None, Then::End) => return Poll::Ready(Ok(())),
            (None, Then::Silence) => return script.wait(cx),
            (None, Then::Bytes(bytes)) => bytes.clone(),
        };
        let rest = bytes.split_off(bytes.len().min(space.remaining()));
        space.put_slice(&bytes);
        if !rest.is_empty() {
            script.reads.push_front(Ok(rest));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut script = self.script();
        if script.hiccup(1, cx).is_pending() {
            return Poll::Pending;
        }
        assert!(!script.shut_down, "written after the shutdown");
        assert!(!bytes.is_empty(), "nothing to write");
        let len = match script.writes.pop_front() {
            Some(write) => write?.min(bytes.len()),
            None if script.blocked => return script.wait(cx),
            None if script.take > 0 => script.take.min(bytes.len()),
            None => bytes.len(),
        };
        script.written.extend_from_slice(&bytes[..len]);
        script.sizes.push(len);
        Poll::Ready(Ok(len))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = match self.script().vectored {
            true => slices.iter().flat_map(|slice| slice.to_vec()).collect(),
            false => slices.first().map_or(vec![], |slice| slice.to_vec()),
        };
        self.poll_write(cx, &all)
    }

    fn is_write_vectored(&self) -> bool {
        self.script().vectored
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut script = self.script();
        if script.hiccup(2, cx).is_pending() {
            return Poll::Pending;
        }
        if script.blocked || script.flush_blocked {
            return script.wait(cx);
        }
        script.flushed = script.written.len();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut script = self.script();
        if script.hiccup(3, cx).is_pending() {
            return Poll::Pending;
        }
        if script.shutdown_blocked {
            return script.wait(cx);
        }
        assert_eq!(script.flushed, script.written.len(), "flushed before the shutdown");
        assert!(!script.shut_down, "shut down twice");
        script.shut_down = true;
        Poll::Ready(Ok(()))
    }
}

pub(crate) fn upgrade(role: Role) -> Upgrade {
    match role {
        Role::Server => Upgrade::server(Agreement::default()),
        Role::Client => Upgrade::client(Agreement::default(), [7; 32]),
    }
}

pub(crate) fn socket<S: AsyncRead + AsyncWrite + Unpin>(role: Role, io: S, config: Config) -> WebSocket<S> {
    WebSocket::new(io, upgrade(role), config, &[])
}

pub(crate) fn ended(closed: Option<&Closed>) -> Option<(u16, Cause)> {
    closed.map(|closed| (closed.code.get(), closed.cause))
}

pub(crate) fn is_io<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind) -> bool {
    matches!(&result, Err(Error::Io(error)) if error.kind() == kind)
}

/// Polls a future up to `polls` times, and drops it; what it returned, if it did.
pub(crate) async fn only<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..polls {
        // A fresh budget, so that nothing but the transport makes it wait.
        tokio::task::yield_now().await;
        if let Poll::Ready(value) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            return Some(value);
        }
    }
    None
}

/// Whether a future waits, for now.
pub(crate) async fn waits<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
    for _ in 0..3 {
        if only(1, &mut *future).await.is_some() {
            return false;
        }
    }
    true
}

/// Fails a test that hangs. Generous: on a virtual clock it comes when nothing else does.
pub(crate) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(100_000), work).await.expect("it hangs")
}

/// As [`in_time`], for tests on the real clock.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), work).await.expect("it hangs")
}
