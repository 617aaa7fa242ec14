//! A message (§1.2, §6), and a part of one.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::frame::Opcode;

/// A whole message.
///
/// It borrows its payload if possible: a message that lies whole in the read buffer is received without a
/// copy. It owns the payload otherwise: a `String` or a `Vec` is sent without a copy.
/// [`into_owned`](Self::into_owned) makes a message that can be kept; it holds no more memory than its own
/// length.
///
/// [`Debug`](fmt::Debug) shows the type and the length, never the payload, so that no payload is written to
/// logs.
///
/// ```
/// use openline::Message;
///
/// assert_eq!(Message::from("tick"), Message::from(String::from("tick")));
/// assert_eq!(Message::from("tick").as_text(), Some("tick"));
/// assert_eq!(Message::from(&[1, 2, 3]).as_bytes(), [1, 2, 3]);
/// assert!(Message::from(vec![1, 2, 3]).is_binary());
/// assert_eq!(format!("{:?}", Message::from("tick")), "Text(4 bytes)");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Message<'a> {
    /// UTF-8 text.
    Text(Cow<'a, str>),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
}

impl<'a> Message<'a> {
    /// The payload as bytes, for text and binary messages.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(data) => data,
        }
    }

    /// The text, if this is a text message.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Message::Text(text) => Some(text),
            Message::Binary(_) => None,
        }
    }

    /// Whether this is a text message.
    #[must_use]
    #[inline]
    pub const fn is_text(&self) -> bool {
        matches!(self, Message::Text(_))
    }

    /// Whether this is a binary message.
    #[must_use]
    pub const fn is_binary(&self) -> bool {
        matches!(self, Message::Binary(_))
    }

    /// The payload's length in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the payload is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The opcode of the message's first frame (§5.2).
    #[inline]
    pub(crate) const fn opcode(&self) -> Opcode {
        if self.is_text() { Opcode::Text } else { Opcode::Binary }
    }

    /// Whether the message owns its data. Then neither [`into_owned`](Self::into_owned) nor sending it copies them.
    #[must_use]
    #[inline]
    pub const fn is_owned(&self) -> bool {
        matches!(self, Message::Text(Cow::Owned(_)) | Message::Binary(Cow::Owned(_)))
    }

    /// The same message, borrowing from this one.
    #[must_use]
    pub fn as_ref(&self) -> Message<'_> {
        match self {
            Message::Text(text) => Message::Text(Cow::Borrowed(text)),
            Message::Binary(data) => Message::Binary(Cow::Borrowed(data)),
        }
    }

    /// A message that can be kept. The payload is copied only if it was borrowed.
    #[must_use]
    #[inline]
    pub fn into_owned(self) -> Message<'static> {
        match self {
            Message::Text(text) => Message::Text(Cow::Owned(text.into_owned())),
            Message::Binary(data) => Message::Binary(Cow::Owned(data.into_owned())),
        }
    }

    /// The payload as bytes that can be kept. It is copied only if it was borrowed.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Message::Text(text) => text.into_owned().into_bytes(),
            Message::Binary(data) => data.into_owned(),
        }
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown { text: self.is_text(), len: self.len() }.fmt(f)
    }
}

/// What `Debug` shows of a message: its type and its length.
pub(super) struct Shown {
    pub(super) text: bool,
    pub(super) len: usize,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({} bytes)", if self.text { "Text" } else { "Binary" }, self.len)
    }
}

/// The payload. It is copied only if it was borrowed.
impl From<Message<'_>> for Bytes {
    fn from(message: Message<'_>) -> Bytes {
        Bytes::from(message.into_bytes())
    }
}

impl<'a> From<&'a str> for Message<'a> {
    fn from(text: &'a str) -> Message<'a> {
        Message::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Message<'_> {
    fn from(text: String) -> Self {
        Message::Text(Cow::Owned(text))
    }
}

impl<'a> From<&'a String> for Message<'a> {
    fn from(text: &'a String) -> Message<'a> {
        Message::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<Cow<'a, str>> for Message<'a> {
    fn from(text: Cow<'a, str>) -> Message<'a> {
        Message::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Message<'a> {
    fn from(data: &'a [u8]) -> Message<'a> {
        Message::Binary(Cow::Borrowed(data))
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Message<'a> {
    fn from(data: &'a [u8; N]) -> Message<'a> {
        Message::Binary(Cow::Borrowed(data))
    }
}

impl From<Vec<u8>> for Message<'_> {
    fn from(data: Vec<u8>) -> Self {
        Message::Binary(Cow::Owned(data))
    }
}

impl<'a> From<&'a Vec<u8>> for Message<'a> {
    fn from(data: &'a Vec<u8>) -> Message<'a> {
        Message::Binary(Cow::Borrowed(data))
    }
}

impl<'a> From<Cow<'a, [u8]>> for Message<'a> {
    fn from(data: Cow<'a, [u8]>) -> Message<'a> {
        Message::Binary(data)
    }
}

impl<'a> From<&'a Message<'_>> for Message<'a> {
    fn from(message: &'a Message<'_>) -> Message<'a> {
        message.as_ref()
    }
}

/// A part of a message, returned as it arrived.
///
/// The places where a message is cut into chunks have no meaning: they depend on the network. Text is cut only
/// between characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Chunk<'a> {
    /// The next part. It has the message's type. Only the last part may be empty.
    pub data: Message<'a>,
    /// Whether this is the first chunk of its message.
    pub first: bool,
    /// Whether this is the last chunk of its message.
    pub last: bool,
}

impl<'a> Chunk<'a> {
    /// A chunk with these fields, for tests of code that receives chunks.
    #[must_use]
    pub const fn new(data: Message<'a>, first: bool, last: bool) -> Chunk<'a> {
        Chunk { data, first, last }
    }

    /// A chunk that can be kept. Its data is copied only if it was borrowed.
    #[must_use]
    pub fn into_owned(self) -> Chunk<'static> {
        Chunk { data: self.data.into_owned(), first: self.first, last: self.last }
    }
}
