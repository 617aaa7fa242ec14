//! What was found in the read buffer and left there: the borrow checker lets only the
//! end of a function lend it, not a loop.

use std::borrow::Cow;

use crate::connection::Event;
use crate::message::{Chunk, Message};

/// What [`Driver::next_event`](super::Driver::next_event) found.
#[derive(Debug)]
pub enum NextEvent {
    /// A message or chunk that lies in the read buffer.
    InPlace(InPlace),
    /// Anything else.
    Owned(Event<'static>),
}

/// A message or chunk, and where its payload lies in the read buffer.
#[derive(Debug)]
pub struct InPlace {
    pub(super) text: bool,
    /// Where in the buffer's memory it begins.
    pub(super) at: usize,
    pub(super) len: usize,
    /// For a chunk: whether it is the first, and the last.
    pub(super) chunk: Option<(bool, bool)>,
}

impl NextEvent {
    /// `base` is the address of the read buffer, to know the place of a slice in it.
    pub(super) fn data(base: usize, data: Message<'_>, chunk: Option<(bool, bool)>) -> NextEvent {
        let (text, len) = (data.is_text(), data.len());
        // An empty slice may lie anywhere.
        let at = if len == 0 { 0 } else { data.as_bytes().as_ptr().addr().wrapping_sub(base) };
        match data {
            Message::Text(Cow::Borrowed(_)) | Message::Binary(Cow::Borrowed(_)) => {
                NextEvent::InPlace(InPlace { text, at, len, chunk })
            }
            owned => NextEvent::Owned(match chunk {
                Some((first, last)) => Event::Chunk(Chunk { data: owned.into_owned(), first, last }),
                None => Event::Message(owned.into_owned()),
            }),
        }
    }
}
