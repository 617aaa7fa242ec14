//! §5: single frames, without the rules that join them to messages. This is for protocol tools and fuzzers;
//! all other programs use [`Connection`](crate::Connection).
//!
//! ```
//! use openline::frame::{Decoder, Opcode};
//! use openline::Role;
//!
//! // §5.7: a masked text frame that says "Hello".
//! let mut bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
//! let mut input = &mut bytes[..];
//! let mut decoder = Decoder::new(Role::Server);
//! let piece = decoder.decode(&mut input)?.unwrap();
//! assert_eq!(piece.header.opcode, Opcode::Text);
//! assert_eq!(piece.payload, b"Hello");
//! assert!(piece.first && piece.last && input.is_empty());
//! # Ok::<(), openline::ProtocolError>(())
//! ```

mod close;
mod decoder;
mod encoder;
mod header;
mod mask;

pub use close::CloseFrame;
pub(crate) use decoder::Whole;
pub use decoder::{Decoder, Piece};
pub(crate) use encoder::{Encoder, FirstByte};
pub use header::{Header, Opcode};
pub use mask::MaskKey;

/// §5.5: the longest payload of a control frame, in bytes.
pub const MAX_CONTROL_PAYLOAD: usize = 125;
