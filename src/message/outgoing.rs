//! What can be sent: messages whose payload is borrowed, owned or shared.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;
use core::str::Utf8Error;

use bytes::Bytes;

use super::message::{Message, Shown};
use super::prepared::Prepared;
use super::utf8;
use crate::frame::Opcode;

/// What can be sent: a [`Message`], anything that converts into one, [`Bytes`], or a [`Prepared`] message.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outgoing<'m> {
    /// A message that is encoded when it is sent.
    Message(Message<'m>),
    /// A message that was encoded before.
    Prepared(&'m Prepared),
    /// A message whose payload others may hold too.
    Bytes(BytesMessage),
}

impl<'m, T: Into<Message<'m>>> From<T> for Outgoing<'m> {
    #[inline]
    fn from(message: T) -> Outgoing<'m> {
        Outgoing::Message(message.into())
    }
}

impl<'m> From<&'m Prepared> for Outgoing<'m> {
    #[inline]
    fn from(prepared: &'m Prepared) -> Outgoing<'m> {
        Outgoing::Prepared(prepared)
    }
}

impl From<BytesMessage> for Outgoing<'_> {
    fn from(message: BytesMessage) -> Self {
        Outgoing::Bytes(message)
    }
}

/// A binary message.
impl From<Bytes> for Outgoing<'_> {
    fn from(data: Bytes) -> Self {
        Outgoing::Bytes(BytesMessage::binary(data))
    }
}

/// A message to send whose payload is [`Bytes`], which others may hold too: for example a part of a larger
/// buffer, or of a file that is mapped into memory.
///
/// A payload below 4 KiB is copied when it is sent. From 4 KiB on, a server transmits it from where it lies.
/// A client must mask it: where it lies if nobody else holds it, otherwise in a copy.
///
/// To send one message to many connections, see [`Prepared`].
///
/// ```
/// use bytes::Bytes;
/// use openline::{Agreement, BytesMessage, Config, Connection, Time, Upgrade};
///
/// let mut connection = Connection::new(Upgrade::server(Agreement::default()), Config::default(), Time::ZERO);
/// connection.send(Bytes::from_static(b"\x01\x02"))?;
/// connection.send(BytesMessage::text(Bytes::from_static(b"tick"))?)?;
/// assert_eq!(connection.next_transmit(), Some(&b"\x82\x02\x01\x02\x81\x04tick"[..]));
/// assert!(BytesMessage::text(Bytes::from_static(b"\xff")).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BytesMessage {
    text: bool,
    payload: Bytes,
}

impl BytesMessage {
    /// A binary message.
    #[must_use]
    pub const fn binary(payload: Bytes) -> BytesMessage {
        BytesMessage { text: false, payload }
    }

    /// A text message.
    ///
    /// # Errors
    ///
    /// The payload is not UTF-8, as §8.1 demands of text.
    pub fn text(payload: Bytes) -> Result<BytesMessage, Utf8Error> {
        if utf8::from_utf8(&payload).is_err() {
            // This check is slower, but it says where the text is wrong.
            core::str::from_utf8(&payload)?;
        }
        Ok(BytesMessage { text: true, payload })
    }

    /// Whether this is a text message; if not, it is a binary one.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        self.text
    }

    /// The message's payload.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    pub(crate) fn into_parts(self) -> (Opcode, Payload<'static>) {
        (if self.text { Opcode::Text } else { Opcode::Binary }, Payload::Shared(self.payload))
    }
}

impl fmt::Debug for BytesMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown { text: self.text, len: self.payload.len() }.fmt(f)
    }
}

/// A payload to send. Who owns it decides whether it is copied.
pub(crate) enum Payload<'m> {
    Borrowed(&'m [u8]),
    Owned(Vec<u8>),
    Shared(Bytes),
}

impl Payload<'_> {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Payload::Borrowed(data) => data,
            Payload::Owned(data) => data,
            Payload::Shared(data) => data,
        }
    }
}

impl<'m> From<Cow<'m, [u8]>> for Payload<'m> {
    fn from(data: Cow<'m, [u8]>) -> Payload<'m> {
        match data {
            Cow::Borrowed(data) => Payload::Borrowed(data),
            Cow::Owned(data) => Payload::Owned(data),
        }
    }
}
