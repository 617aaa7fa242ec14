//! All connections on one thread.

use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::conn::{Conn, Opening, PATIENCE};
use super::pace::Pace;
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

    /// Keeps the load up for some time: an answer is followed by the next message. Returns how many messages came.
    pub fn run(&mut self, time: Duration) -> Result<u64> {
        let end = Instant::now() + time;
        let mut messages = 0;
        self.wait(
            |engine, number, answers| {
                messages += answers as u64;
                engine.follow(number, answers)?;
                Ok(())
            },
            || Instant::now() >= end,
        )?;
        Ok(messages)
    }

    /// The answers to what [`run`](Engine::run) has left under way; no more is sent.
    pub fn drain(&mut self) -> Result<()> {
        let mut left = self.conns.len() * self.depth;
        while left > 0 {
            let mut came = 0;
            self.wait(
                |_, _, answers| {
                    came += answers;
                    Ok(())
                },
                || true,
            )?;
            left = left.checked_sub(came).ok_or("more messages than were sent")?;
        }
        Ok(())
    }

    /// Sends messages by the clock, so many in a second, whether or not answers come; then waits for the last answer.
    ///
    /// It does not sleep, so that no wake-up of the client is a part of what it measures.
    pub fn paced(&mut self, rate: f64, time: Duration) -> Result<Pace> {
        let mut pace = Pace::new(self.conns.len(), rate, time);
        // Due, but not sent: the socket has taken no more.
        let mut owed = vec![0; self.conns.len()];
        let mut events = [EpollEvent::empty(); 256];
        let start = Instant::now();
        let mut heard = Duration::ZERO;
        while !pace.done() {
            while let Some(number) = pace.next(start.elapsed()) {
                owed[number] += 1;
                self.pay(number, &mut owed[number])?;
            }
            let count = self.epoll.wait(&mut events, EpollTimeout::ZERO)?;
            for event in &events[..count] {
                let number = event.data() as usize;
                let answers = self.turn(number, event.events())?;
                heard = start.elapsed();
                pace.answered(number, answers, heard)?;
                self.pay(number, &mut owed[number])?;
            }
            if start.elapsed() > heard + PATIENCE {
                return Err("the server says nothing more".into());
            }
        }
        Ok(pace)
    }

    /// Sends what is owed, if the socket takes it.
    fn pay(&mut self, number: usize, owed: &mut usize) -> Result<()> {
        while *owed > 0 && !self.conns[number].blocked {
            let some = (*owed).min(self.conns[number].cycle());
            *owed -= some;
            self.send(number, some)?;
        }
        Ok(())
    }

    /// Waits for events and handles all of them, over and over until it is to end; `came` hears of answers.
    fn wait(
        &mut self,
        mut came: impl FnMut(&mut Engine, usize, usize) -> Result<()>,
        mut end: impl FnMut() -> bool,
    ) -> Result<()> {
        let mut events = [EpollEvent::empty(); 256];
        let timeout = EpollTimeout::try_from(PATIENCE)?;
        loop {
            let count = self.epoll.wait(&mut events, timeout)?;
            if count == 0 {
                return Err("the server says nothing more".into());
            }
            for event in &events[..count] {
                let number = event.data() as usize;
                let answers = self.turn(number, event.events())?;
                came(self, number, answers)?;
            }
            if end() {
                return Ok(());
            }
        }
    }

    /// Writes what waits and reads once, as far as the socket lets. Returns how many answers came.
    fn turn(&mut self, number: usize, flags: EpollFlags) -> Result<usize> {
        if flags.contains(EpollFlags::EPOLLOUT) {
            self.conns[number].write()?;
            self.listen(number)?;
        }
        if !flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            return Ok(0);
        }
        self.conns[number].read(&mut self.buffer)
    }

    /// What follows some answers.
    fn follow(&mut self, number: usize, answers: usize) -> Result<()> {
        if self.broadcast {
            self.missing = self.missing.checked_sub(answers).ok_or("more messages than were sent")?;
            if self.missing == 0 {
                self.trigger()?;
            }
        } else if answers > 0 {
            if self.conns.len() == 1 && self.depth == 1 {
                self.took.push(self.sent_at.elapsed());
            }
            self.send(number, answers)?;
        }
        Ok(())
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
