//! What is done with received bytes: the application takes events, or waits for a send, or takes nothing now. Also what
//! was read before the application asked for it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::mem;

use super::Connection;
use super::event::Event;
use super::liveness::Sight;
use super::state::Phase;
use crate::buffer::reserve_within;
use crate::error::Fault;
use crate::message::{Chunk, Delivery};
use crate::time::Time;

/// What is done with bytes that the peer sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reading {
    /// The application takes events. The host gives what it reads to [`receive`](Connection::receive).
    #[default]
    Events,
    /// A send is blocked, and the application waits for it. The host gives what it reads to
    /// [`receive_ahead`](Connection::receive_ahead), until one message or the peer's Close frame has been read; then
    /// it reads nothing more. If neither of two ends read while they send to each other, both would wait for ever.
    ///
    /// If the application takes messages in chunks, or has no limit for them, no message is read ahead: reading stops
    /// at the first data.
    OneAhead,
    /// The application takes nothing now. Nothing is read, so the transport slows the peer down. Meanwhile no Pong is
    /// waited for, since none could be seen.
    ///
    /// [`close`](Connection::close) does not end this state, and while nothing is read the peer's Close frame is not seen. So
    /// whoever closes a connection sets [`Events`](Self::Events), or it ends with 1006 after
    /// [`close_timeout`](crate::Config::close_timeout).
    Paused,
}

/// What was read ahead, in order: first events, then bytes that have not been decoded.
#[derive(Default)]
pub(super) struct Ahead {
    events: VecDeque<Event<'static>>,
    /// Whether nothing more may be read: the events have a message or the Close frame, or the next bytes are data that
    /// may not be gathered.
    full: bool,
    /// If the peer's Close frame is one of the events: what lies before this mark in the outgoing stream must have left
    /// until this time, or the frame is acted upon.
    close_by: Option<(u64, Time)>,
    /// Whether the peer has ended its side behind what is held.
    ended: bool,
    /// Bytes that have not been decoded.
    held: Vec<u8>,
    /// How much of `held` has been taken.
    taken: usize,
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ahead({} events, {} bytes)", self.events.len(), self.held.len().saturating_sub(self.taken))
    }
}

impl Connection {
    /// What is done with bytes that the peer sends.
    #[must_use]
    #[inline]
    pub fn reading(&self) -> Reading {
        self.reading
    }

    /// Sets what is done with bytes that the peer sends from now on; see [`Reading`].
    ///
    /// After that, and before more is read, call [`receive`](Self::receive) until it returns `Ok(None)`, or
    /// [`receive_ahead`](Self::receive_ahead). The input may be empty: events may have been read ahead, or bytes
    /// [held](Self::hold).
    pub fn set_reading(&mut self, reading: Reading, now: Time) {
        let could = self.may_read();
        self.reading = reading;
        if !could && self.may_read() {
            self.liveness.resumed(now);
        }
    }

    /// As [`receive`](Self::receive), while [reading](Self::set_reading) is [`Reading::OneAhead`]: takes bytes off the
    /// front of `input`, and keeps the events for later calls of `receive`. Pings are answered at once. The peer's
    /// Close frame is acted upon when `receive` returns it, so that the application can still send what it waits to
    /// send. But what waits has to leave within [`Config::close_timeout`](crate::Config::close_timeout); otherwise the
    /// connection is over. When it has left, that time begins anew with the next call of
    /// [`handle_blocked`](Self::handle_blocked).
    ///
    /// It stops after one message. If messages are taken in chunks or have no limit, it stops before the first data.
    /// Give the rest of `input` to `receive` later, or to [`hold`](Self::hold). It keeps at most 16 Pings and Pongs;
    /// later ones are acted upon, but make no event.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    pub fn receive_ahead(&mut self, input: &mut &mut [u8], now: Time) -> Result<(), Fault> {
        // Bytes that have no meaning any more are not kept.
        if !self.phase.may_look() && !matches!(self.phase, Phase::Opening(_)) {
            return self.next_unheld(input, now, Delivery::Messages, OnClose::Act).map(drop);
        }
        while self.may_take_ahead() {
            if !matches!(self.phase, Phase::Opening(_)) && !self.may_gather() && self.is_at_data(input) {
                self.ahead.get_or_insert_default().full = true;
                break;
            }
            // Where nothing can be sent any more, the peer's Close frame waits for nothing.
            let on_close = if self.phase.may_send() { OnClose::Keep } else { OnClose::Act };
            let event = if self.held() > 0 && !self.is_deciding() {
                match self.next_held(now, Delivery::Messages, on_close)? {
                    Some(event) => event,
                    None => continue,
                }
            } else {
                match self.next_unheld(input, now, Delivery::Messages, on_close)? {
                    Some(event) => event.into_owned(),
                    None => {
                        // The end may have come behind what has been looked at now.
                        if self.held() == 0 {
                            self.tidy_ahead(false, now);
                        }
                        break;
                    }
                }
            };
            let kept = on_close == OnClose::Keep && matches!(event, Event::Close(_));
            let ahead = self.ahead.get_or_insert_default();
            match event {
                Event::Ping(_) | Event::Pong { .. } if ahead.events.len() >= MOST_CONTROL => {}
                event => {
                    ahead.full = !matches!(event, Event::Ping(_) | Event::Pong { .. });
                    ahead.events.push_back(event);
                }
            }
            if kept {
                // §5.5.1: bytes behind a Close frame have no meaning.
                (ahead.held, ahead.taken) = (Vec::new(), 0);
                self.limit_close_ahead(now);
            }
        }
        Ok(())
    }

    /// Keeps the rest of an input that the application cannot take events from now. Later calls of
    /// [`receive`](Self::receive) look at it before their own input; also after the peer has ended its side, the
    /// transport has failed, or the peer was given up for its silence, or since it takes nothing.
    ///
    /// The rest is copied, and its length has no limit here: give it no more than one read brought.
    pub fn hold(&mut self, rest: &[u8]) {
        self.hold_within(rest, usize::MAX);
    }

    /// As [`hold`](Self::hold). All that is held is at most `most` bytes.
    pub(super) fn hold_within(&mut self, rest: &[u8], most: usize) {
        if !rest.is_empty() && !matches!(self.phase, Phase::Closed(_)) && !self.has_close_ahead() {
            let ahead = self.ahead.get_or_insert_default();
            ahead.held.drain(..mem::take(&mut ahead.taken));
            reserve_within(&mut ahead.held, rest.len(), most);
            ahead.held.extend_from_slice(rest);
        }
    }

    /// Whether the peer's Close frame has been read ahead.
    fn has_close_ahead(&self) -> bool {
        self.ahead.as_ref().is_some_and(|ahead| matches!(ahead.events.back(), Some(Event::Close(_))))
    }

    /// How many bytes are held.
    pub(super) fn held(&self) -> usize {
        self.ahead.as_ref().map_or(0, |ahead| ahead.held.len().saturating_sub(ahead.taken))
    }

    /// Whether something that came has not been decoded, and still has a meaning.
    pub(super) fn has_unread(&self) -> bool {
        // If the payload of a frame was read straight to its place, its last piece is decoded only with the next call.
        let is_filled = || self.decoder.unfinished().is_some_and(|(_, remaining)| remaining == 0);
        // §5.5.1: bytes behind the peer's Close frame have none.
        let is_held = || self.held() > 0;
        match self.phase {
            Phase::Opening(_) => is_held(),
            _ => self.phase.may_look() && (is_held() || self.assembler.has_rest() || is_filled()),
        }
    }

    /// Whether events were read ahead, or bytes are held, for a later call of [`receive`](Self::receive).
    #[must_use]
    #[inline]
    pub fn has_ahead(&self) -> bool {
        self.ahead.is_some()
    }

    /// Whether a message may be read ahead. It may not if the application wants chunks, or if messages have no
    /// limit.
    pub(super) fn may_gather(&self) -> bool {
        self.delivery == Delivery::Messages && self.config.max_message_size < u64::MAX
    }

    /// Whether the next bytes belong to a message.
    fn is_at_data(&self, input: &[u8]) -> bool {
        let held = self.ahead.as_ref().and_then(|ahead| ahead.held.get(ahead.taken..)).filter(|held| !held.is_empty());
        let next = held.unwrap_or(input);
        self.assembler.has_rest() || (!next.is_empty() && self.decoder.is_at_data(next))
    }

    /// Whether more may be read ahead.
    #[inline]
    pub(crate) fn may_take_ahead(&self) -> bool {
        self.ahead.as_ref().is_none_or(|ahead| !ahead.full)
    }

    /// Whether an open connection may read bytes of the peer.
    #[inline]
    pub(super) fn may_read(&self) -> bool {
        match self.reading {
            Reading::Events => self.ahead.is_none() || !self.has_ended(),
            Reading::Paused => false,
            Reading::OneAhead => self.may_take_ahead() && !self.has_ended(),
        }
    }

    /// What this end can see of the peer, if the host has read all that has come.
    #[inline]
    pub(super) fn sight(&self) -> Sight {
        if self.may_read() { Sight::Whole } else { Sight::Suspended }
    }

    /// Whether the peer has ended its side behind bytes that are held.
    #[inline]
    pub(super) fn has_ended(&self) -> bool {
        self.ahead.as_ref().is_some_and(|ahead| ahead.ended)
    }

    /// Notes that the peer has ended its side behind the bytes that are held.
    pub(super) fn end_behind_held(&mut self) {
        self.ahead.get_or_insert_default().ended = true;
    }

    /// When a Close frame that was read ahead is acted upon at the latest. The time does not run while nothing waits
    /// for the peer: then the application is busy, and the peer is not to blame.
    #[inline]
    pub(crate) fn close_ahead_by(&self) -> Option<Time> {
        let (mark, by) = self.ahead.as_ref()?.close_by?;
        (self.transmitted() < mark).then_some(by)
    }

    /// Something waits for the peer. If its Close frame was read ahead, the time begins until that is acted upon,
    /// unless it runs.
    pub(super) fn limit_close_ahead(&mut self, now: Time) {
        let by = (self.written(), now + self.config.close_timeout);
        if self.close_ahead_by().is_none()
            && self.has_close_ahead()
            && let Some(ahead) = &mut self.ahead
        {
            ahead.close_by = Some(by);
        }
    }

    /// The peer's Close frame was read ahead some time after it had come: the time counts from `now`.
    pub(super) fn put_off_close_ahead(&mut self, now: Time) {
        let later = now + self.config.close_timeout;
        if let Some((_, by)) = self.ahead.as_mut().and_then(|ahead| ahead.close_by.as_mut()) {
            *by = later.max(*by);
        }
    }

    /// Acts upon a Close frame that was read ahead. What the application sends later will not leave any more.
    pub(super) fn act_on_close_ahead(&mut self, now: Time) {
        let frame = self.ahead.as_ref().and_then(|ahead| match ahead.events.back() {
            Some(Event::Close(frame)) => Some(frame.clone()),
            _ => None,
        });
        if let Some(frame) = frame {
            self.close_received(&frame, now);
        }
    }

    /// Drops the event of a request that was read ahead, since the request has been decided on.
    pub(super) fn forget_request(&mut self, now: Time) {
        let Some(ahead) = &mut self.ahead else { return };
        ahead.events.retain(|event| !matches!(event, Event::Request));
        self.tidy_ahead(self.has_unread(), now);
    }

    /// The next event that was read ahead, in the form of `delivery`. `None` if nothing is left.
    pub(super) fn next_ahead(&mut self, now: Time, delivery: Delivery) -> Result<Option<Event<'static>>, Fault> {
        let Some(ahead) = &mut self.ahead else { return Ok(None) };
        if let Some(event) = ahead.events.pop_front() {
            let event = self.delivered(event, delivery, now);
            self.tidy_ahead(self.has_unread(), now);
            return Ok(Some(event));
        }
        // Bytes behind a request that waits for a decision are not decoded.
        if self.is_deciding() {
            return Ok(None);
        }
        self.next_held(now, delivery, OnClose::Act)
    }

    /// The next event in the bytes that are held. `None` if nothing is held any more.
    fn next_held(&mut self, now: Time, delivery: Delivery, on_close: OnClose) -> Result<Option<Event<'static>>, Fault> {
        let Some(ahead) = &mut self.ahead else { return Ok(None) };
        let mut held = mem::take(&mut ahead.held);
        let from = mem::take(&mut ahead.taken);
        let mut rest = held.get_mut(from..).unwrap_or_default();
        let event = self.next_unheld(&mut rest, now, delivery, on_close).map(|event| event.map(Event::into_owned));
        let left = rest.len();
        // If the bytes ended the connection, `ahead` is gone.
        if let Some(ahead) = &mut self.ahead
            && left > 0
        {
            ahead.taken = held.len().saturating_sub(left);
            ahead.held = held;
        }
        // Bytes that made no event have been decoded to their end. The assembler may still have a rest if the
        // connection receives nothing any more. That does not count, since it never makes an event.
        let unread = matches!(event, Ok(Some(_))) && self.has_unread();
        self.tidy_ahead(unread, now);
        event
    }

    /// Tidies up after a part of what was read ahead has been taken. `unread` says whether more waits to be decoded.
    fn tidy_ahead(&mut self, unread: bool, now: Time) {
        let Some(ahead) = self.ahead.as_mut().filter(|ahead| ahead.events.is_empty()) else { return };
        if mem::take(&mut ahead.full) {
            // Reading goes on.
            self.liveness.resumed(now);
        }
        ahead.close_by = None;
        if !unread
            && let Some(ahead) = self.ahead.take()
            && ahead.ended
        {
            self.end_of_input(now);
        }
    }

    /// An event that was read ahead, in the form of `delivery`. A Close frame is acted upon.
    fn delivered(&mut self, event: Event<'static>, delivery: Delivery, now: Time) -> Event<'static> {
        match (event, delivery) {
            (Event::Message(data), Delivery::Chunks) => Event::Chunk(Chunk { data, first: true, last: true }),
            (Event::Close(frame), _) => {
                self.close_received(&frame, now);
                Event::Close(frame)
            }
            (event, _) => event,
        }
    }
}

/// When the peer's Close frame is acted upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnClose {
    /// At once: the application gets its event now.
    Act,
    /// Later, when the application gets its event.
    Keep,
}

/// How many Pings and Pongs are kept while a send is blocked.
const MOST_CONTROL: usize = 16;
