//! How the peer broke the protocol (§7.1.7 _Fail the WebSocket Connection_).

use core::fmt;

use crate::code::CloseCode;

/// The peer broke one rule of RFC 6455, or one of our limits.
///
/// When this is returned the connection has failed. The Close frame with
/// [`close_code`](Self::close_code) is already queued, all later input is ignored, and every later call
/// to receive returns the same error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProtocolError {
    /// §5.2: the opcode is one of the reserved ones, 3–7 and 11–15.
    ReservedOpcode(u8),
    /// §5.2: a reserved bit is set that no agreed extension defines for such a frame. In the value RSV1
    /// counts as 4, RSV2 as 2, RSV3 as 1.
    ReservedBits(u8),
    /// §5.1: the client did not mask a frame.
    FrameNotMasked,
    /// §5.1: the server masked a frame.
    FrameMasked,
    /// §5.2: the length is not in its shortest form.
    LengthNotMinimal,
    /// §5.2: the most significant bit of a 64-bit length is not 0.
    LengthTooLarge,
    /// §5.5: a control frame is fragmented.
    ControlFragmented,
    /// §5.5: a control frame's payload is longer than 125 bytes.
    ControlTooLong,
    /// §5.4: a continuation frame came although no message had begun.
    UnexpectedContinuation,
    /// §5.4: a new message began inside a fragmented one.
    ExpectedContinuation,
    /// §8.1: a text message is not UTF-8.
    InvalidUtf8 {
        /// How many bytes of the message are valid UTF-8.
        at: u64,
    },
    /// §10.4: the message is longer than our limit, or its headers announce that. For a compressed message
    /// the inflated length counts.
    MessageTooBig {
        /// The limit in bytes.
        limit: u64,
    },
    /// §10.4: the message has more frames than our limit. Empty frames count too.
    TooManyFragments {
        /// The limit in frames.
        limit: u32,
    },
    /// RFC 7692 §7.2.2: a compressed message is not valid DEFLATE data.
    DeflateInvalid,
    /// RFC 7692 §7.2.2: a compressed message ends in the middle of a DEFLATE block.
    DeflateTruncated,
    /// §5.5.1: a Close payload has one byte. A code takes two.
    CloseTruncated,
    /// §7.4: the Close frame has a code that may not be sent.
    CloseCodeInvalid(CloseCode),
    /// §5.5.1: the close reason is not UTF-8.
    CloseReasonInvalid,
}

impl ProtocolError {
    /// The code of the Close frame that answers this error (§7.4.1).
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            ProtocolError::InvalidUtf8 { .. } | ProtocolError::CloseReasonInvalid => CloseCode::INVALID_PAYLOAD,
            // RFC 7692 names no code. 1007 means that the payload is not what its frame says.
            ProtocolError::DeflateInvalid | ProtocolError::DeflateTruncated => CloseCode::INVALID_PAYLOAD,
            ProtocolError::MessageTooBig { .. } => CloseCode::MESSAGE_TOO_BIG,
            ProtocolError::TooManyFragments { .. } => CloseCode::POLICY_VIOLATION,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtocolError::ReservedOpcode(opcode) => write!(f, "reserved opcode {opcode:#x} in a frame header"),
            ProtocolError::ReservedBits(bits) => {
                write!(f, "reserved bits {bits:03b} set in a frame header that no extension defines there")
            }
            ProtocolError::FrameNotMasked => f.write_str("unmasked frame from a client"),
            ProtocolError::FrameMasked => f.write_str("masked frame from a server"),
            ProtocolError::LengthNotMinimal => f.write_str("frame length not in its shortest form"),
            ProtocolError::LengthTooLarge => f.write_str("frame length with its top bit set"),
            ProtocolError::ControlFragmented => f.write_str("fragmented control frame"),
            ProtocolError::ControlTooLong => f.write_str("control frame payload longer than 125 bytes"),
            ProtocolError::UnexpectedContinuation => f.write_str("continuation frame outside a message"),
            ProtocolError::ExpectedContinuation => f.write_str("new message inside a fragmented message"),
            ProtocolError::InvalidUtf8 { at } => write!(f, "text message is not UTF-8 after byte {at}"),
            ProtocolError::MessageTooBig { limit } => write!(f, "message longer than the limit of {limit} bytes"),
            ProtocolError::TooManyFragments { limit } => {
                write!(f, "message in more frames than the limit of {limit}")
            }
            ProtocolError::DeflateInvalid => f.write_str("compressed message is not valid DEFLATE data"),
            ProtocolError::DeflateTruncated => f.write_str("compressed message ends inside a DEFLATE block"),
            ProtocolError::CloseTruncated => f.write_str("close frame with a payload of one byte"),
            ProtocolError::CloseCodeInvalid(code) => {
                write!(f, "close frame with the code {}, which may not be sent", code.get())
            }
            ProtocolError::CloseReasonInvalid => f.write_str("close reason is not UTF-8"),
        }
    }
}

impl core::error::Error for ProtocolError {}
