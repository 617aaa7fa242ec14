//! An event that was found, and may have been left in the read buffer. A loop that looks for an event cannot return a
//! borrow of the buffer (the borrow checker does not allow it), so it returns the place.

use std::borrow::Cow;

use crate::connection::Event;
use crate::message::{Chunk, Message};

/// What [`Driver::next_event`](super::Driver::next_event) found.
#[derive(Debug)]
pub enum NextEvent {
    /// A message or chunk that lies in the read buffer: [`Driver::look`](super::Driver::look) borrows it.
    InPlace(InPlace),
    /// Any other event.
    Owned(Event<'static>),
}

/// A message or chunk that lies in the read buffer: its type, and where its payload lies.
#[derive(Debug)]
pub struct InPlace {
    pub(super) text: bool,
    /// Where the payload begins in the buffer's memory.
    pub(super) at: usize,
    pub(super) len: usize,
    /// For a chunk: whether it is the first, and the last.
    pub(super) chunk: Option<(bool, bool)>,
}

impl NextEvent {
    /// A message or chunk that lies in the read buffer, of which `base` is the address.
    #[inline]
    pub(super) fn in_place(base: usize, text: bool, payload: &[u8], chunk: Option<(bool, bool)>) -> NextEvent {
        let len = payload.len();
        // An empty slice may lie anywhere.
        let at = if len == 0 { 0 } else { payload.as_ptr().addr().wrapping_sub(base) };
        NextEvent::InPlace(InPlace { text, at, len, chunk })
    }

    /// A message or chunk. `base` is the address of the read buffer, from which the place of the payload follows.
    pub(super) fn data(base: usize, data: Message<'_>, chunk: Option<(bool, bool)>) -> NextEvent {
        match data {
            Message::Text(Cow::Borrowed(text)) => NextEvent::in_place(base, true, text.as_bytes(), chunk),
            Message::Binary(Cow::Borrowed(data)) => NextEvent::in_place(base, false, data, chunk),
            owned => NextEvent::Owned(match chunk {
                Some((first, last)) => Event::Chunk(Chunk { data: owned.into_owned(), first, last }),
                None => Event::Message(owned.into_owned()),
            }),
        }
    }
}
