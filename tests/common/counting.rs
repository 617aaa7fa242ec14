//! A transport of bytes in memory, for both adapters, whose other end is told what to do: what it
//! says, what it takes, and what blocks for ever. It counts the calls that move nothing, and fails
//! the test when an adapter makes them one after the other at the same moment.

#![allow(dead_code, reason = "every test binary uses a part of this")]

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::Waker;
use std::time::{Duration, Instant};

use openline::Role;
use openline::net::Transport;

use super::{BINARY, PING, TEXT, frame, header};

/// What a peer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Nothing,
    OneMessage,
    TwoMessages,
    /// A Ping with every tick.
    Pings,
    /// Two messages, and then a Ping with every tick.
    MessagesAndPings,
    /// A byte of a long message with every tick.
    Drips,
    /// The end of its side, at once.
    End,
    /// A message, and the end of its side.
    MessageAndEnd,
}

pub(crate) const SAYS: [Says; 8] = [
    Says::Nothing,
    Says::OneMessage,
    Says::TwoMessages,
    Says::Pings,
    Says::MessagesAndPings,
    Says::Drips,
    Says::End,
    Says::MessageAndEnd,
];

/// What a peer takes, and what its transport does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    All,
    Nothing,
    /// A thousand bytes with every tick.
    Slowly,
    /// All is taken by a buffer of the transport, which is never flushed.
    NoFlush,
    /// The transport never says that its writing side has been shut down.
    NoShutdown,
}

pub(crate) const TAKES: [Takes; 5] = [Takes::All, Takes::Nothing, Takes::Slowly, Takes::NoFlush, Takes::NoShutdown];

/// Our end of a transport, of which the peer has the other end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire(Arc<(Mutex<Ends>, Condvar)>);

#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// What lies there to be read, and whether nothing comes after it.
    pub(crate) incoming: VecDeque<u8>,
    pub(crate) ended: bool,
    /// How much is taken, until the peer makes more room.
    pub(crate) room: usize,
    pub(crate) flush_blocks: bool,
    pub(crate) flush_fails: bool,
    pub(crate) shutdown_blocks: bool,
    pub(crate) taken: Vec<u8>,
    pub(crate) shut_down: bool,
    timeouts: [Option<Duration>; 2],
    /// All calls, and those that moved nothing since something was moved or time went on.
    pub(crate) calls: usize,
    idle: usize,
    ends_read: usize,
    at: Option<Duration>,
    /// One waker for each direction, as a socket has it: that of the task which polled it last.
    waiting: [Option<Waker>; 2],
}

/// How many calls in a row may move nothing while no time goes on: two tasks may try both directions,
/// and the flush, and be woken for either.
const MOST_IDLE: usize = 40;

impl Wire {
    pub(crate) fn ends(&self) -> MutexGuard<'_, Ends> {
        self.0.0.lock().unwrap()
    }

    /// The peer does something, and whoever waits for the transport is woken.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Ends)) {
        let mut ends = self.ends();
        change(&mut ends);
        let waiting = std::mem::take(&mut ends.waiting);
        drop(ends);
        self.0.1.notify_all();
        waiting.into_iter().flatten().for_each(Waker::wake);
    }

    pub(crate) fn say(&self, bytes: &[u8]) {
        self.change(|ends| ends.incoming.extend(bytes));
    }

    /// What the peer does at the beginning.
    pub(crate) fn begin(&self, peer: Role, says: Says, takes: Takes) {
        self.change(|ends| {
            ends.room = if matches!(takes, Takes::Nothing | Takes::Slowly) { 0 } else { usize::MAX };
            (ends.flush_blocks, ends.shutdown_blocks) = (takes == Takes::NoFlush, takes == Takes::NoShutdown);
            ends.ended = matches!(says, Says::End | Says::MessageAndEnd);
            let messages = match says {
                Says::OneMessage | Says::MessageAndEnd => 1,
                Says::TwoMessages | Says::MessagesAndPings => 2,
                _ => 0,
            };
            (0..messages).for_each(|_| ends.incoming.extend(frame(peer, TEXT, "hello")));
            if says == Says::Drips {
                ends.incoming.extend(header(peer, BINARY, 10_000_000));
            }
        });
    }

    /// What it does with every tick of its clock.
    pub(crate) fn tick(&self, peer: Role, says: Says, takes: Takes) {
        self.change(|ends| {
            match says {
                Says::Pings | Says::MessagesAndPings => ends.incoming.extend(frame(peer, PING, [7; 125])),
                Says::Drips => ends.incoming.push_back(7),
                _ => {}
            }
            if takes == Takes::Slowly {
                ends.room = ends.room.saturating_add(1000);
            }
        });
    }
}

impl Ends {
    /// Notes a call, and whether it moved anything. `now` is any clock that goes on.
    fn note(&mut self, moved: bool, now: Duration) {
        self.calls += 1;
        if moved || self.at.is_none_or(|at| now.saturating_sub(at) >= Duration::from_millis(1)) {
            (self.idle, self.at) = (0, Some(now));
        }
        self.idle += usize::from(!moved);
        assert!(self.idle < MOST_IDLE, "{MOST_IDLE} calls in a row have moved nothing");
    }

    fn take(&mut self, bytes: &[u8]) -> usize {
        assert!(!self.shut_down, "written after the shutdown");
        let len = bytes.len().min(self.room);
        if self.room != usize::MAX {
            self.room -= len;
        }
        self.taken.extend_from_slice(&bytes[..len]);
        len
    }

    fn give(&mut self, len: usize) -> Vec<u8> {
        let len = len.min(self.incoming.len());
        self.incoming.drain(..len).collect()
    }
}

/// The same for the blocking adapter: calls block for as long as the timeout says.
#[derive(Debug)]
pub(crate) struct Blocking(pub(crate) Wire);

impl Blocking {
    /// Waits until `done` returns something, or the timeout of the direction is over.
    fn wait<T>(&self, direction: usize, mut done: impl FnMut(&mut Ends) -> Option<T>) -> io::Result<T> {
        let (ends, changed) = &*self.0.0;
        let begun = Instant::now();
        let mut ends = ends.lock().unwrap();
        loop {
            let result = done(&mut ends);
            if let Some(result) = result {
                ends.calls += 1;
                return Ok(result);
            }
            let timeout = ends.timeouts[direction];
            let left = timeout.map_or(Duration::from_secs(3600), |timeout| timeout.saturating_sub(begun.elapsed()));
            if left.is_zero() {
                ends.calls += 1;
                return Err(ErrorKind::WouldBlock.into());
            }
            ends = changed.wait_timeout(ends, left).unwrap().0;
        }
    }
}

impl Read for Blocking {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        assert!(!space.is_empty(), "no room to read to");
        let bytes = self.wait(0, |ends| {
            (!ends.incoming.is_empty() || ends.ended).then(|| {
                let bytes = ends.give(space.len());
                ends.ends_read += usize::from(bytes.is_empty());
                assert!(ends.ends_read < 5, "the end is read again and again");
                bytes
            })
        })?;
        space[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

impl Write for Blocking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(1, |ends| (ends.room > 0).then(|| ends.take(bytes)))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.wait(1, |ends| match ends.flush_fails {
            true => Some(Err(ErrorKind::BrokenPipe.into())),
            false => (!ends.flush_blocks).then_some(Ok(())),
        })?
    }
}

impl Transport for Blocking {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.ends().timeouts[0] = timeout;
        Ok(())
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.ends().timeouts[1] = timeout;
        Ok(())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.ends().shut_down = true;
        Ok(())
    }

    fn try_clone(&self) -> io::Result<Blocking> {
        Ok(Blocking(self.0.clone()))
    }
}

#[cfg(feature = "tokio")]
mod polled {
    use std::io;
    use std::pin::Pin;
    use std::sync::LazyLock;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::{Ends, ErrorKind, Wire};

    impl Wire {
        /// What `call` returns, or Pending; counted.
        fn poll<T>(
            &self,
            direction: usize,
            cx: &Context<'_>,
            call: impl FnOnce(&mut Ends) -> (Option<T>, bool),
        ) -> Poll<T> {
            let mut ends = self.ends();
            let (result, moved) = call(&mut ends);
            let now = tokio::time::Instant::now().into_std().saturating_duration_since(*START);
            ends.note(moved, now);
            match result {
                Some(result) => Poll::Ready(result),
                None => {
                    ends.waiting[direction] = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        }
    }

    /// A paused clock begins at the true time, and only goes ahead of it.
    static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

    impl AsyncRead for Wire {
        fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, space: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            assert!(space.remaining() > 0, "no room to read to");
            self.poll(0, cx, |ends| {
                let bytes = ends.give(space.remaining());
                space.put_slice(&bytes);
                let done = !bytes.is_empty() || ends.ended;
                (done.then_some(Ok(())), !bytes.is_empty())
            })
        }
    }

    impl AsyncWrite for Wire {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            assert!(!bytes.is_empty(), "nothing to write");
            self.poll(1, cx, |ends| {
                let len = ends.take(bytes);
                ((len > 0).then_some(Ok(len)), len > 0)
            })
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.poll(1, cx, |ends| match (ends.flush_fails, ends.flush_blocks) {
                (true, _) => (Some(Err(ErrorKind::BrokenPipe.into())), false),
                (false, blocks) => ((!blocks).then_some(Ok(())), false),
            })
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.poll(1, cx, |ends| {
                ends.shut_down |= !ends.shutdown_blocks;
                ((!ends.shutdown_blocks).then_some(Ok(())), false)
            })
        }
    }
}
