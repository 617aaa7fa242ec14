//! The caller asked for something that cannot be sent. Nothing was queued.

use core::fmt;

use crate::code::CloseCode;

/// This end asked to send what cannot be sent now, or ever. Nothing was queued
/// and the connection goes on as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendError {
    /// The opening handshake is not done yet.
    NotOpen,
    /// A Close frame has been queued or sent, or the connection has ended. §5.5.1 rules
    /// out data behind a Close frame; this crate sends nothing at all behind it.
    Closed,
    /// The send buffer is at its high-water mark. Transmit, then try again.
    Full,
    /// §5.4: a fragmented message is being sent; end it before another begins.
    MessageUnfinished,
    /// §5.4: all fragments of a message have the type of the first.
    TypeChanged,
    /// §5.5: the payload of a control frame is at most 125 bytes.
    ControlTooLong {
        /// The length of the payload in bytes.
        len: usize,
    },
    /// §7.4: this code may not be sent.
    CloseCodeInvalid(CloseCode),
    /// §5.5: code and reason share 125 bytes, which leaves 123 for the reason
    /// (and none where there is no code).
    CloseReasonTooLong {
        /// The length of the reason in bytes.
        len: usize,
    },
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::NotOpen => f.write_str("the opening handshake is not done"),
            SendError::Closed => f.write_str("the connection is closing or closed"),
            SendError::Full => f.write_str("the send buffer is at its high-water mark"),
            SendError::MessageUnfinished => f.write_str("a fragmented message has not been finished"),
            SendError::TypeChanged => f.write_str("a fragment's type differs from its message's"),
            SendError::ControlTooLong { len } => {
                write!(f, "control payload of {len} bytes is longer than 125")
            }
            SendError::CloseCodeInvalid(code) => write!(f, "close code {} may not be sent", code.get()),
            SendError::CloseReasonTooLong { len } => {
                write!(f, "close reason of {len} bytes does not fit beside its code")
            }
        }
    }
}

impl core::error::Error for SendError {}
