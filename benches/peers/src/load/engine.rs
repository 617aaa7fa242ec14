//! All connections on one thread.

use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::conn::{Conn, Opening, PATIENCE};
use super::script::Script;
use crate::Result;

pub struct Engine {
    epoll: Epoll,
    pub conns: Vec<Conn>,
    buffer: Vec<u8>,
    /// A broadcast: each message of the first connection comes to all.
    broadcast: bool,
    /// How many messages are under way at once, on a connection or in a broadcast.
    depth: usize,
    /// Of a broadcast, how many messages are still to arrive somewhere.
    missing: usize,
    /// When the message was sent, where there is only one.
    sent_at: Instant,
    /// How long each took, where there is only one.
    pub took: Vec<Duration>,
}

/// Large: a client that reads often would be the bottleneck.
const BUFFER: usize = 512 * 1024;

impl Engine {
    pub fn open(opening: Opening, script: &Rc<Script>, count: usize, depth: usize, broadcast: bool) -> Result<Engine> {
        let epoll = Epoll::new(EpollCreateFlags::empty())?;
        let mut conns = Vec::with_capacity(count);
        for number in 0..count {
            let stream = opening.open(number)?;
            stream.set_nonblocking(true)?;
            epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
            conns.push(Conn::new(stream, script, opening));
        }
        let (missing, took) = (0, Vec::new());
        let buffer = vec![0; BUFFER];
        Ok(Engine { epoll, conns, buffer, broadcast, depth, missing, sent_at: Instant::now(), took })
    }

    pub fn start(&mut self) -> Result<()> {
        if self.broadcast {
            return self.trigger();
        }
        for number in 0..self.conns.len() {
            self.send(number, self.depth)?;
        }
        Ok(())
    }

    /// Keeps the load up for some time; returns how many messages came.
    pub fn run(&mut self, time: Duration) -> Result<u64> {
        let end = Instant::now() + time;
        let mut events = [EpollEvent::empty(); 256];
        let timeout = EpollTimeout::try_from(PATIENCE)?;
        let mut messages = 0;
        loop {
            let count = self.epoll.wait(&mut events, timeout)?;
            if count == 0 {
                return Err("the server says nothing more".into());
            }
            for event in &events[..count] {
                messages += self.serve(event.data() as usize, event.events())? as u64;
            }
            if Instant::now() >= end {
                return Ok(messages);
            }
        }
    }

    fn serve(&mut self, number: usize, flags: EpollFlags) -> Result<usize> {
        let conn = &mut self.conns[number];
        if flags.contains(EpollFlags::EPOLLOUT) {
            conn.write()?;
            self.listen(number)?;
        }
        if !flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            return Ok(0);
        }
        let messages = self.conns[number].read(&mut self.buffer)?;
        if self.broadcast {
            self.missing = self.missing.checked_sub(messages).ok_or("more messages than were sent")?;
            if self.missing == 0 {
                self.trigger()?;
            }
        } else if messages > 0 {
            if self.conns.len() == 1 && self.depth == 1 {
                self.took.push(self.sent_at.elapsed());
            }
            self.send(number, messages)?;
        }
        Ok(messages)
    }

    fn trigger(&mut self) -> Result<()> {
        self.missing = self.conns.len() * self.depth;
        self.send(0, self.depth)
    }

    fn send(&mut self, number: usize, messages: usize) -> Result<()> {
        self.sent_at = Instant::now();
        self.conns[number].send(messages)?;
        if self.conns[number].blocked { self.listen(number) } else { Ok(()) }
    }

    /// Asks for room to write only where there is none.
    fn listen(&self, number: usize) -> Result<()> {
        let conn = &self.conns[number];
        let flags = if conn.blocked { EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
        Ok(self.epoll.modify(&conn.stream, &mut EpollEvent::new(flags, number as u64))?)
    }
}
