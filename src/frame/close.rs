//! §5.5.1: what a Close frame says. Codes are judged by `code`, not here.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::MAX_CONTROL_PAYLOAD;
use crate::code::CloseCode;
use crate::error::{ProtocolError, SendError};

/// The body of a Close frame: a code and a reason.
///
/// A Close frame without a body is one with the code
/// [`NO_STATUS`](CloseCode::NO_STATUS), which is how the RFC reports it (§7.1.5).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CloseFrame {
    /// Why the connection is closed.
    pub code: CloseCode,
    /// The same in words, at most 123 bytes; not meant for end users (§7.1.6).
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
        let reason = core::str::from_utf8(reason).map_err(|_| ProtocolError::CloseReasonInvalid)?;
        Ok(CloseFrame { code, reason: reason.into() })
    }

    /// Judges the front of a payload whose rest has not come.
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
        // §7.4.1: 1005 stands for a Close frame without a code, so it writes none.
        if code == CloseCode::NO_STATUS {
            return if reason.is_empty() { Ok(Vec::new()) } else { Err(too_long) };
        }
        if !code.is_sendable() {
            return Err(SendError::CloseCodeInvalid(code));
        }
        if reason.len() > MAX_CONTROL_PAYLOAD - 2 {
            return Err(too_long);
        }
        Ok([&code.get().to_be_bytes()[..], reason.as_bytes()].concat())
    }
}

impl fmt::Debug for CloseFrame {
    // A reason is a payload: what is logged must not give it away.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = format_args!("{} bytes", self.reason.len());
        f.debug_struct("CloseFrame").field("code", &self.code).field("reason", &reason).finish()
    }
}

fn sendable(code: [u8; 2]) -> Result<CloseCode, ProtocolError> {
    let code = CloseCode::new(u16::from_be_bytes(code));
    if code.is_sendable() { Ok(code) } else { Err(ProtocolError::CloseCodeInvalid(code)) }
}
