//! §5.5.1: the payload of a Close frame. `crate::code` judges the codes.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::MAX_CONTROL_PAYLOAD;
use crate::code::CloseCode;
use crate::error::{ProtocolError, SendError};

/// The body of a Close frame: a code and a reason.
///
/// A Close frame without a body has the code [`NO_STATUS`](CloseCode::NO_STATUS) here, as in §7.1.5.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CloseFrame {
    /// Why the connection is closed.
    pub code: CloseCode,
    /// The reason in words, at most 123 bytes. It is not meant for end users (§7.1.6).
    pub reason: String,
}

impl CloseFrame {
    /// Reads the payload of a Close frame.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::CloseTruncated`], [`CloseCodeInvalid`](ProtocolError::CloseCodeInvalid)
    /// or [`CloseReasonInvalid`](ProtocolError::CloseReasonInvalid).
    pub fn decode(payload: &[u8]) -> Result<CloseFrame, ProtocolError> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            // §5.5.1: "If there is a body, the first two bytes of the body MUST be [the code]".
            return match payload {
                [] => Ok(CloseFrame { code: CloseCode::NO_STATUS, reason: String::new() }),
                _ => Err(ProtocolError::CloseTruncated),
            };
        };
        let code = sendable(*code)?;
        // §5.5.1: the reason is UTF-8.
        let reason = core::str::from_utf8(reason).map_err(|_| ProtocolError::CloseReasonInvalid)?;
        Ok(CloseFrame { code, reason: reason.into() })
    }

    /// Judges the front of a payload, the rest of which has not come.
    pub(crate) fn check_front(payload: &[u8]) -> Result<(), ProtocolError> {
        let Some((code, reason)) = payload.split_first_chunk() else { return Ok(()) };
        sendable(*code)?;
        match core::str::from_utf8(reason) {
            Err(error) if error.error_len().is_some() => Err(ProtocolError::CloseReasonInvalid),
            _ => Ok(()),
        }
    }

    /// Writes the payload of a Close frame.
    ///
    /// # Errors
    ///
    /// [`SendError::CloseCodeInvalid`] or [`SendError::CloseReasonTooLong`].
    pub fn encode(code: CloseCode, reason: &str) -> Result<Vec<u8>, SendError> {
        let too_long = SendError::CloseReasonTooLong { len: reason.len() };
        let Some(front) = CloseFrame::front(code) else {
            return if reason.is_empty() { Ok(Vec::new()) } else { Err(too_long) };
        };
        // §7.4: some codes may not be sent.
        if !code.is_sendable() {
            return Err(SendError::CloseCodeInvalid(code));
        }
        // §5.5: the code and the reason share 125 bytes.
        if reason.len() > MAX_CONTROL_PAYLOAD - 2 {
            return Err(too_long);
        }
        Ok([&front[..], reason.as_bytes()].concat())
    }

    /// The front of a payload: the code. §7.4.1: 1005 means that the Close frame has none, and no reason either.
    pub(crate) fn front(code: CloseCode) -> Option<[u8; 2]> {
        (code != CloseCode::NO_STATUS).then(|| code.get().to_be_bytes())
    }
}

impl fmt::Debug for CloseFrame {
    // `Debug` hides the reason: no payload is written to logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = format_args!("{} bytes", self.reason.len());
        f.debug_struct("CloseFrame").field("code", &self.code).field("reason", &reason).finish()
    }
}

/// §7.4: reads a code, and refuses one that no Close frame may carry.
fn sendable(code: [u8; 2]) -> Result<CloseCode, ProtocolError> {
    let code = CloseCode::new(u16::from_be_bytes(code));
    if code.is_sendable() { Ok(code) } else { Err(ProtocolError::CloseCodeInvalid(code)) }
}
