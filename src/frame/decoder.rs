//! §5: turns bytes into pieces of frames, and unmasks them where they lie. The decoder keeps at most one
//! header (14 bytes) of its input.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "a header of 14 bytes at the most, and of a payload no more than lies in the input"
)]

use alloc::vec::Vec;
use core::{fmt, mem};

use super::header::{Header, Opcode};
use super::mask::MaskKey;
use crate::error::ProtocolError;
use crate::role::Role;

/// A frame, or as much of one as has arrived.
#[derive(PartialEq, Eq)]
#[non_exhaustive]
pub struct Piece<'b> {
    /// The frame's header.
    pub header: Header,
    /// The next bytes of the payload. They lie in the input buffer, and are unmasked there.
    pub payload: &'b mut [u8],
    /// Whether the payload begins here.
    pub first: bool,
    /// Whether the payload ends here.
    pub last: bool,
}

/// A whole message in one frame, at the front of the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole {
    pub(crate) opcode: Opcode,
    key: MaskKey,
    /// The length of the header.
    size: usize,
    /// The length of the payload.
    pub(crate) len: usize,
}

/// Decodes the frames that one end receives.
///
/// Every frame gives one or more pieces. The first piece comes as soon as the header is whole, even if no
/// payload has come yet: so a frame can be refused before its payload has come.
pub struct Decoder {
    receiver: Role,
    /// The reserved bits that an agreed extension defines.
    rsv: u8,
    at: At,
}

/// Where the next byte of the input stands. It is one enum, so that a decoder has 32 bytes and the fast paths ask one
/// question: all of them begin between two frames.
enum At {
    Between,
    /// In a header, the front of which is `partial[..held]`: the end of the input cut it.
    Header {
        partial: [u8; Header::MAX_SIZE],
        held: u8,
    },
    /// In the payload of a frame; so many bytes of it are still to come.
    Payload {
        header: Header,
        remaining: u64,
    },
    /// Nowhere: the peer has broken this rule.
    Failed(ProtocolError),
}

impl Decoder {
    /// A decoder at the start of a connection, for what `receiver` gets.
    #[must_use]
    pub fn new(receiver: Role) -> Decoder {
        Decoder::with_rsv(receiver, 0)
    }

    /// As [`new`](Self::new), for a connection on which an extension defines these reserved bits for the
    /// first frames of messages. RSV1 counts as 4, RSV2 as 2, RSV3 as 1.
    #[must_use]
    pub fn with_rsv(receiver: Role, rsv: u8) -> Decoder {
        Decoder { receiver, rsv, at: At::Between }
    }

    /// Takes the next piece from the front of `input` and moves `input` past it.
    /// `Ok(None)` means that all input has been taken, and more is needed.
    ///
    /// The piece borrows from the input buffer, not from the decoder.
    ///
    /// # Errors
    ///
    /// As [`Header::decode`]. Every later call returns the same error and takes nothing: after an error
    /// nobody knows where the next frame begins.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "`size <= end`, which adds the payload to it")]
    pub fn decode<'b>(&mut self, input: &mut &'b mut [u8]) -> Result<Option<Piece<'b>>, ProtocolError> {
        // The common case: the frame lies whole in the input, and the decoder need not remember it.
        // Speed only; whatever does not match takes the general path, an error too.
        if matches!(self.at, At::Between)
            && let Ok(Some((header, size))) = Header::decode(input, self.receiver, self.rsv)
            && let Some(end) = usize::try_from(header.len).ok().and_then(|len| size.checked_add(len))
            && end <= input.len()
        {
            let payload = &mut advance(input, end)[size..];
            return Ok(Some(unmask(header, payload, true, true).1));
        }
        self.decode_cut(input)
    }

    /// Looks for a whole message in one frame that lies whole in `input`, the common case of
    /// [`decode`](Self::decode), at a fraction of its cost. It takes nothing off `input`.
    /// Speed only; whatever does not match takes the general path.
    #[inline]
    pub(crate) fn find_message(&self, input: &[u8]) -> Option<Whole> {
        if !matches!(self.at, At::Between) {
            return None;
        }
        let (opcode, key, size, len) = Header::decode_common(input, self.receiver)?;
        if len > input.len() - size { None } else { Some(Whole { opcode, key, size, len }) }
    }

    /// Whether the next bytes of `input` belong to a data frame.
    pub(crate) fn is_at_data(&self, input: &[u8]) -> bool {
        // §5.2: the opcode is the low half of the first byte. 0, 1 and 2 are data.
        let is_data = |first: u8| first & 0x0f <= 2;
        match &self.at {
            At::Between => input.first().is_some_and(|first| is_data(*first)),
            At::Header { partial: [first, ..], .. } => is_data(*first),
            At::Payload { header, .. } => !header.opcode.is_control(),
            At::Failed(_) => false,
        }
    }

    /// Takes the message that [`find_message`](Self::find_message) found, and unmasks it where it lies.
    #[inline]
    pub(crate) fn take_message<'b>(&mut self, found: Whole, input: &mut &'b mut [u8]) -> &'b mut [u8] {
        let (_, payload) = advance(input, found.size + found.len).split_at_mut(found.size);
        if self.receiver.peer().masks() {
            let _ = found.key.apply(payload);
        }
        payload
    }

    /// As [`take_message`](Self::take_message), but copies the message, and unmasks the copy.
    #[inline]
    pub(crate) fn copy_message(&mut self, found: Whole, input: &mut &mut [u8]) -> Vec<u8> {
        self.copy_payload(found, advance(input, found.size + found.len))
    }

    /// As [`copy_message`](Self::copy_message), from bytes that must not be changed.
    #[inline]
    pub(crate) fn copy_unchanged(&mut self, found: Whole, input: &mut &[u8]) -> Vec<u8> {
        let (frame, rest) = input.split_at(found.size + found.len);
        *input = rest;
        self.copy_payload(found, frame)
    }

    #[inline]
    fn copy_payload(&self, found: Whole, frame: &[u8]) -> Vec<u8> {
        let (_, payload) = frame.split_at(found.size);
        if !self.receiver.peer().masks() {
            return payload.to_vec();
        }
        found.key.copy(payload)
    }

    /// [`decode`](Self::decode) for a frame of which the input has only a part.
    fn decode_cut<'b>(&mut self, input: &mut &'b mut [u8]) -> Result<Option<Piece<'b>>, ProtocolError> {
        let (header, remaining, first) = match &self.at {
            At::Failed(error) => return Err(*error),
            At::Payload { header, remaining } => (*header, *remaining, false),
            At::Between | At::Header { .. } => {
                let Some(header) = self.header(input)? else { return Ok(None) };
                (header, header.len, true)
            }
        };
        let len = usize::try_from(remaining).map_or(input.len(), |remaining| remaining.min(input.len()));
        if len == 0 && remaining != 0 && !first {
            return Ok(None);
        }
        let remaining = remaining - len as u64;
        let last = remaining == 0;
        let (header, piece) = unmask(header, advance(input, len), first, last);
        self.at = if last { At::Between } else { At::Payload { header, remaining } };
        Ok(Some(piece))
    }

    /// The frame whose payload is unfinished, and how many bytes of it are to come.
    pub(crate) fn unfinished(&self) -> Option<(&Header, u64)> {
        match &self.at {
            At::Payload { header, remaining } => Some((header, *remaining)),
            _ => None,
        }
    }

    /// Unmasks payload that was read straight into its own memory and not through
    /// [`decode`](Self::decode), and counts it. `data` must not be longer than what remains of the
    /// frame. If it ends the frame, the next call to `decode` returns the last piece, which is empty.
    pub(crate) fn claim(&mut self, data: &mut [u8]) {
        if let At::Payload { header, remaining } = &mut self.at {
            header.mask = header.mask.map(|key: MaskKey| key.apply(data));
            *remaining = remaining.saturating_sub(data.len() as u64);
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "no header is longer than `partial`, so one is whole before `held` gets there"
    )]
    fn header(&mut self, input: &mut &mut [u8]) -> Result<Option<Header>, ProtocolError> {
        let (mut partial, mut held) = match &self.at {
            At::Header { partial, held } => (*partial, usize::from(*held)),
            _ => ([0; Header::MAX_SIZE], 0),
        };
        if held == 0
            && let Ok(Some((header, size))) = Header::decode(input, self.receiver, self.rsv)
        {
            advance(input, size);
            return Ok(Some(header));
        }
        // The header is cut, or it is wrong. Gathered byte by byte, it fails at the first wrong byte.
        while let [byte, ..] = **input {
            partial[held] = byte;
            held += 1;
            advance(input, 1);
            match Header::decode(&partial[..held], self.receiver, self.rsv) {
                Ok(None) => self.at = At::Header { partial, held: held as u8 },
                Ok(Some((header, _))) => {
                    self.at = At::Between;
                    return Ok(Some(header));
                }
                Err(error) => {
                    self.at = At::Failed(error);
                    return Err(error);
                }
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for Decoder {
    // `Debug` hides `partial`, which may hold a part of a masking key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Decoder { receiver, rsv, at } = self;
        let mut shown = f.debug_struct("Decoder");
        shown.field("receiver", receiver).field("rsv", rsv);
        match at {
            At::Between => {}
            At::Header { held, .. } => drop(shown.field("held", held)),
            At::Payload { header, remaining } => drop(shown.field("frame", header).field("remaining", remaining)),
            At::Failed(error) => drop(shown.field("error", error)),
        }
        shown.finish_non_exhaustive()
    }
}

impl fmt::Debug for Piece<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Piece { header, payload, first, last } = self;
        f.debug_struct("Piece")
            .field("header", header)
            .field("payload", &format_args!("{} bytes", payload.len()))
            .field("first", first)
            .field("last", last)
            .finish()
    }
}

/// §5.3: unmasks the payload at once, while the processor's cache still holds it from the read. Also returns
/// the header with its key rotated to where the next piece begins.
#[inline]
fn unmask(header: Header, payload: &mut [u8], first: bool, last: bool) -> (Header, Piece<'_>) {
    let mask = header.mask.map(|key| key.apply(payload));
    let header = Header { mask, ..header };
    (header, Piece { header, payload, first, last })
}

/// Cuts `len` bytes off the front of `input`.
#[inline]
fn advance<'b>(input: &mut &'b mut [u8], len: usize) -> &'b mut [u8] {
    let (front, rest) = mem::take(input).split_at_mut(len);
    *input = rest;
    front
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    /// A frame that is valid but perhaps for its first byte and its masking. Wherever its payload is cut, the
    /// rest looks like a header.
    fn frame(first: u8, masked: bool, len: usize) -> Vec<u8> {
        let mask = masked.then_some(MaskKey::new([1, 20, 3, 40]));
        let header = Header { fin: true, rsv: 0, opcode: Opcode::Text, mask, len: len as u64 };
        let mut bytes = [0; Header::MAX_SIZE];
        let size = header.encode(&mut bytes);
        let mut bytes = bytes[..size].to_vec();
        bytes[0] = first;
        let short = if masked { 0x80 } else { 0 };
        bytes.extend_from_slice(&[0x81, short].repeat(len.div_ceil(2))[..len]);
        bytes
    }

    fn wire(receiver: Role) -> impl Strategy<Value = Vec<u8>> {
        let masks = receiver.peer().masks();
        let first = prop_oneof![9 => 0x81..=0x82_u8, 2 => Just(0x89), 2 => 0..=2_u8, 1 => any::<u8>()];
        let len = prop_oneof![12 => 0..20_usize, 6 => 120..130_usize, 1 => 65_530..65_540_usize];
        let part = prop_oneof![
            12 => (first.clone(), len.clone()).prop_map(move |(first, len)| frame(first, masks, len)),
            1 => (first, len).prop_map(move |(first, len)| frame(first, !masks, len)),
            // These have lengths that are not in their shortest form, or are too long.
            1 => (0x81..=0x82_u8, 0..3_u8).prop_map(move |(first, form)| {
                let masked = if masks { 0x80 } else { 0 };
                let mut bytes = vec![first, masked | if form == 0 { 126 } else { 127 }];
                bytes.extend([if form == 2 { 0x80 } else { 0 }; 8]);
                bytes
            }),
            1 => prop::collection::vec(any::<u8>(), 0..20),
        ];
        prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 4 } else { 500 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// For any bytes, cut anywhere: the fast path of [`Decoder::find_message`] and `Header::decode_common` gives
        /// the same pieces, the same payloads and the same error as the general one, and misses no common case.
        #[test]
        fn the_fast_path_agrees_with_the_general_one(
            (receiver, bytes) in prop_oneof![Just(Role::Client), Just(Role::Server)]
                .prop_flat_map(|role| (Just(role), wire(role))),
            cuts in prop::collection::vec(prop_oneof![1..6_usize, 1..100_000_usize], 1..6),
        ) {
            let (mut fast, mut general) = (Decoder::new(receiver), Decoder::new(receiver));
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at(rest.len().min(*cut));
                rest = after;
                let (mut ours, mut theirs, mut copies) = (piece.to_vec(), piece.to_vec(), piece.to_vec());
                let (mut ours, mut theirs) = (&mut ours[..], &mut theirs[..]);
                loop {
                    let at_rest = matches!(general.at, At::Between);
                    let left = theirs.len();
                    let expected = general.decode(&mut theirs);
                    let Some(found) = fast.find_message(ours) else {
                        let common = matches!(
                            &expected,
                            Ok(Some(Piece {
                                header: Header { fin: true, rsv: 0, opcode: Opcode::Text | Opcode::Binary, .. },
                                first: true,
                                last: true,
                                ..
                            }))
                        );
                        prop_assert!(!(at_rest && common), "it was there to be found");
                        let got = fast.decode(&mut ours);
                        prop_assert!(got == expected, "{:?}, not {:?}", got, expected);
                        prop_assert_eq!(ours.len(), theirs.len());
                        if !matches!(expected, Ok(Some(_))) {
                            break;
                        }
                        continue;
                    };
                    let copy = copies.len() - left;
                    let copy = fast.copy_message(found, &mut &mut copies[copy..]);
                    let payload = fast.take_message(found, &mut ours);
                    let Ok(Some(piece)) = expected else { panic!("{found:?}, not {expected:?}") };
                    prop_assert_eq!((piece.first, piece.last), (true, true));
                    prop_assert_eq!((piece.header.fin, piece.header.rsv), (true, 0));
                    prop_assert_eq!((piece.header.opcode, piece.header.len), (found.opcode, found.len as u64));
                    prop_assert!(&*piece.payload == payload && copy == payload);
                    prop_assert_eq!(ours.len(), theirs.len());
                }
                if rest.is_empty() {
                    break;
                }
            }
        }

        /// After an error every call returns the same error and takes nothing, whatever it is given.
        #[test]
        fn an_error_stays(
            (receiver, bytes) in prop_oneof![Just(Role::Client), Just(Role::Server)]
                .prop_flat_map(|role| (Just(role), wire(role))),
            cut in 1..40_usize,
            more in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        ) {
            let mut decoder = Decoder::new(receiver);
            let mut error = None;
            for piece in bytes.chunks(cut) {
                let mut piece = piece.to_vec();
                let mut input = &mut piece[..];
                loop {
                    let left = input.len();
                    match (decoder.decode(&mut input), error) {
                        (Ok(Some(_)), None) => {}
                        (Ok(None), None) => break,
                        (Err(found), None) => {
                            error = Some(found);
                            break;
                        }
                        (again, Some(error)) => {
                            prop_assert_eq!((again, input.len()), (Err(error), left));
                            break;
                        }
                    }
                }
            }
            if let Some(error) = error {
                for mut bytes in more.into_iter().chain([frame(0x81, receiver.peer().masks(), 5)]) {
                    let len = bytes.len();
                    let mut input = &mut bytes[..];
                    prop_assert!(decoder.find_message(input).is_none() && decoder.unfinished().is_none());
                    prop_assert_eq!(decoder.decode(&mut input), Err(error));
                    prop_assert_eq!(input.len(), len);
                }
            }
        }
    }
}
