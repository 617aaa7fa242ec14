//! Why something cannot be sent.

use core::fmt;

use crate::code::CloseCode;

/// The caller asked to send something that cannot be sent now, or ever. Nothing was queued, and the
/// connection goes on as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendError {
    /// The opening handshake is not done yet.
    NotOpen,
    /// A Close frame has been queued or sent, or the connection has ended. §5.5.1 forbids data after a Close
    /// frame; the application can send nothing at all after it.
    Closed,
    /// As many bytes as [`Config::high_water`](crate::Config::high_water) wait to be transmitted. Transmit some,
    /// and try again.
    Full,
    /// §5.4: a fragmented message is being sent. It must end before another begins.
    MessageUnfinished,
    /// §5.4: the fragment does not have the type of the message's first fragment.
    TypeChanged,
    /// §5.5: the payload of a control frame is longer than 125 bytes.
    ControlTooLong {
        /// The length of the payload in bytes.
        len: usize,
    },
    /// §7.4: this code may not be sent.
    CloseCodeInvalid(CloseCode),
    /// §5.5: code and reason together are longer than 125 bytes, which leaves 123 for the reason. Without a
    /// code there can be no reason.
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
