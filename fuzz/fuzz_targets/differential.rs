//! The same bytes to openline and to tungstenite, with the same limits: the same messages, Pings,
//! Pongs and goodbye in the same order, and the same verdict at the end, but for the differences
//! that are listed here by name.
#![no_main]

use std::io::{self, Cursor, Read, Write};

use libfuzzer_sys::fuzz_target;
use openline::{CloseCode, Config, Event, Fault, Message, ProtocolError, Role, Time};
use openline_fuzz::{connection, cut, role};
use tungstenite::protocol::frame::coding::CloseCode as TheirCode;
use tungstenite::protocol::{Role as TheirRole, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message as TheirMessage};

const LIMIT: usize = 5000;

/// Who receives it, in the lowest bit; the lengths of pieces; the bytes.
type Input<'a> = (u8, [u8; 4], &'a [u8]);

#[derive(Debug, PartialEq)]
enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

/// How it ended: with a Close frame, with the bytes, or by an error.
#[derive(Debug)]
enum End<E> {
    Closed,
    Bytes,
    Error(E),
}

/// Where the two do not say the same, and why that is right.
#[derive(Debug, PartialEq)]
enum Difference {
    None,
    /// We refuse a length that is not in its shortest form, and a control frame that has more than
    /// seven bits for it: RFC 6455 §5.2, "the minimal number of bytes MUST be used", and §5.5.
    LongLength,
    /// We refuse a Close frame with a code that may not be sent, which they report as 1002: §7.4.2.
    CloseCode,
    /// We accept 1014 (bad gateway), which they do not know: in the IANA registry since §7.4.2 was written.
    BadGateway,
    /// We refuse at the first byte that proves it; they wait for the end of the frame: §7.1.7 leaves
    /// the time open.
    Early,
    /// Both refuse, but the frame breaks several rules: §7.1.7 asks for one.
    Several,
}

fuzz_target!(|input: Input<'_>| {
    let (flags, pieces, bytes) = input;
    let receiver = role(flags & 1 != 0);
    let (ours, our_end) = openline(receiver, bytes, pieces);
    let (theirs, their_end) = tungstenite(receiver, bytes);
    let difference = match (&our_end, &their_end) {
        (End::Closed, End::Closed) if ours.last() == Some(&Heard::Close(Some(1014), closing(&ours))) => {
            Difference::BadGateway
        }
        (End::Closed, End::Closed) | (End::Bytes, End::Bytes) => Difference::None,
        (End::Error(ProtocolError::LengthNotMinimal), _) => Difference::LongLength,
        (End::Error(ProtocolError::ControlTooLong), their_end) if !is_too_long(their_end) => Difference::LongLength,
        (End::Error(ProtocolError::CloseCodeInvalid(_)), End::Closed) => Difference::CloseCode,
        (End::Error(error), End::Error(their_error)) => match agree(*error, their_error) {
            true => Difference::None,
            false => Difference::Several,
        },
        (End::Error(_), End::Bytes) => Difference::Early,
        ends => panic!("{ends:?} after {ours:?} and {theirs:?}"),
    };
    match difference {
        // They go on, where we do not.
        Difference::LongLength => assert!(theirs.starts_with(&ours), "{ours:?}, {theirs:?}"),
        Difference::CloseCode => {
            let (close, before) = theirs.split_last().expect("the Close frame");
            assert_eq!(ours, before);
            assert!(matches!(close, Heard::Close(Some(1002), reason) if reason == "Protocol violation"));
        }
        Difference::BadGateway => {
            assert_eq!(ours[..ours.len() - 1], theirs[..theirs.len() - 1]);
            assert_eq!(theirs.last(), Some(&Heard::Close(Some(1002), "Protocol violation".into())));
        }
        _ => assert_eq!(ours, theirs),
    }
    if difference == Difference::Early {
        // Their frame has not ended with the bytes: more of them end it, and then they refuse it too.
        let more = [bytes, &vec![0; LIMIT + 14]].concat();
        let (later, their_end) = tungstenite(receiver, &more);
        let same = later == ours && matches!(their_end, End::Error(_));
        let code =
            matches!(our_end, End::Error(ProtocolError::CloseCodeInvalid(_))) && matches!(their_end, End::Closed);
        assert!(same || code, "{our_end:?} after {ours:?}, but {their_end:?} after {later:?}");
    }
});

fn is_too_long(their_end: &End<Error>) -> bool {
    matches!(their_end, End::Error(error) if agree(ProtocolError::ControlTooLong, error))
}

fn closing(heard: &[Heard]) -> String {
    match heard.last() {
        Some(Heard::Close(_, reason)) => reason.clone(),
        _ => String::new(),
    }
}

/// Whether their error is what they call ours.
fn agree(ours: ProtocolError, theirs: &Error) -> bool {
    use tungstenite::error::ProtocolError as Theirs;
    match theirs {
        Error::Capacity(_) => matches!(ours, ProtocolError::MessageTooBig { .. } | ProtocolError::LengthTooLarge),
        Error::Utf8(_) => matches!(ours, ProtocolError::InvalidUtf8 { .. } | ProtocolError::CloseReasonInvalid),
        Error::Protocol(theirs) => match theirs {
            Theirs::InvalidOpcode(_) | Theirs::UnknownControlFrameType(_) | Theirs::UnknownDataFrameType(_) => {
                matches!(ours, ProtocolError::ReservedOpcode(_))
            }
            Theirs::NonZeroReservedBits => matches!(ours, ProtocolError::ReservedBits(_)),
            Theirs::UnmaskedFrameFromClient => ours == ProtocolError::FrameNotMasked,
            Theirs::MaskedFrameFromServer => ours == ProtocolError::FrameMasked,
            Theirs::FragmentedControlFrame => ours == ProtocolError::ControlFragmented,
            Theirs::ControlFrameTooBig => ours == ProtocolError::ControlTooLong,
            Theirs::InvalidCloseSequence => ours == ProtocolError::CloseTruncated,
            Theirs::UnexpectedContinueFrame => ours == ProtocolError::UnexpectedContinuation,
            Theirs::ExpectedFragment(_) => ours == ProtocolError::ExpectedContinuation,
            other => panic!("{ours:?} and {other:?}"),
        },
        other => panic!("{ours:?} and {other:?}"),
    }
}

fn openline(receiver: Role, bytes: &[u8], pieces: [u8; 4]) -> (Vec<Heard>, End<ProtocolError>) {
    let mut config = Config::default();
    config.max_message_size = LIMIT as u64;
    // They have no such limit.
    config.max_fragments = u32::MAX;
    let mut us = connection(receiver, None, config);
    let mut heard = vec![];
    for piece in cut(bytes, pieces) {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            // Both ways, in turn.
            let event = match input.len() % 2 {
                0 => us.receive_owned(&mut input, Time::ZERO),
                _ => us.receive(&mut input, Time::ZERO),
            };
            match event {
                Ok(Some(Event::Message(Message::Text(text)))) => heard.push(Heard::Text(text.into_owned())),
                Ok(Some(Event::Message(Message::Binary(data)))) => heard.push(Heard::Binary(data.into_owned())),
                Ok(Some(Event::Ping(payload))) => heard.push(Heard::Ping(payload.into_owned())),
                Ok(Some(Event::Pong { payload, .. })) => heard.push(Heard::Pong(payload.into_owned())),
                Ok(Some(Event::Close(frame))) => {
                    let code = (frame.code != CloseCode::NO_STATUS).then_some(frame.code.get());
                    heard.push(Heard::Close(code, frame.reason));
                    // §5.5.1: what comes behind it is ignored, and here not looked at.
                    return (heard, End::Closed);
                }
                Ok(Some(event)) => panic!("{event:?}"),
                Ok(None) => break,
                Err(Fault::Protocol(error)) => return (heard, End::Error(error)),
                Err(fault) => panic!("{fault:?}"),
            }
        }
    }
    (heard, End::Bytes)
}

/// What can be read and then ends; what is written to it is lost.
struct Peer<'a>(Cursor<&'a [u8]>);

impl Read for Peer<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read(room)
    }
}

impl Write for Peer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tungstenite(receiver: Role, bytes: &[u8]) -> (Vec<Heard>, End<Error>) {
    let role = if receiver == Role::Server { TheirRole::Server } else { TheirRole::Client };
    let config =
        WebSocketConfig::default().read_buffer_size(1000).max_message_size(Some(LIMIT)).max_frame_size(Some(LIMIT));
    let mut socket = WebSocket::from_raw_socket(Peer(Cursor::new(bytes)), role, Some(config));
    let mut heard = vec![];
    loop {
        match socket.read() {
            Ok(TheirMessage::Text(text)) => heard.push(Heard::Text(text.to_string())),
            Ok(TheirMessage::Binary(data)) => heard.push(Heard::Binary(data.to_vec())),
            Ok(TheirMessage::Ping(payload)) => heard.push(Heard::Ping(payload.to_vec())),
            Ok(TheirMessage::Pong(payload)) => heard.push(Heard::Pong(payload.to_vec())),
            Ok(TheirMessage::Close(frame)) => {
                let code = |code: TheirCode| u16::from(code);
                let reason = frame.as_ref().map(|frame| frame.reason.to_string()).unwrap_or_default();
                heard.push(Heard::Close(frame.map(|frame| code(frame.code)), reason));
                return (heard, End::Closed);
            }
            Ok(message) => panic!("{message:?}"),
            // The bytes have ended, in the middle of a frame or between two.
            Err(Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                return (heard, End::Bytes);
            }
            Err(error) => return (heard, End::Error(error)),
        }
    }
}
