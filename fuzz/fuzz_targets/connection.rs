//! Whatever the peer sends and the application does, in any order, compressed or not: no panic, what
//! waits stays under its bound, one Close frame at the most and nothing behind it, no way back from
//! closing, and no deadline that has been handled is still due.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use openline::frame::{Decoder, Header, MaskKey, Opcode};
use openline::{
    Cause, CloseCode, Closed, Config, Deflate, DeflateContext, Event, Fault, Keepalive, Prepared, State, Time,
};
use openline_fuzz::{Asks, connection, role};

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Receive(&'a [u8]),
    ReceiveChunk(&'a [u8]),
    /// A valid frame with one byte many times over, of which only so much comes.
    Frame {
        first: u8,
        len: u32,
        byte: u8,
        come: u16,
    },
    /// What comes next is read where it belongs, if there is space for it.
    Fill(u16),
    Eof,
    Reset,
    /// The transport takes nothing, or fails to.
    Blocked,
    WriteFailed,
    Send(&'a str),
    /// The same byte many times over, owned.
    SendLong(u8, u16),
    SendPrepared(&'a [u8]),
    SendFragment(&'a [u8], bool),
    SendTextFragment(&'a str, bool),
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    Close(u16, &'a str),
    Transmit(u16),
    /// The clock goes on; or, if it is a bad one, back.
    Pass {
        millis: u32,
        back: bool,
    },
}

#[derive(Arbitrary, Debug)]
struct Setup {
    server: bool,
    deflate: Option<(bool, u8, u8, u8)>,
    keepalive: Option<(u16, u16)>,
    close_timeout: u16,
}

const HIGH_WATER: usize = 1000;
const LIMIT: usize = 100_000;

fuzz_target!(|input: (Setup, Vec<Step<'_>>)| {
    let (setup, steps) = input;
    let ours = role(setup.server);
    let mut config = Config::default();
    config.max_message_size = LIMIT as u64;
    config.max_fragments = 50;
    config.high_water = HIGH_WATER;
    // At least a millisecond: who asks to be woken at once is.
    let millis = |count: u16| Duration::from_millis(u64::from(count) + 1);
    config.keepalive = setup.keepalive.map(|(interval, timeout)| Keepalive::new(millis(interval), millis(timeout)));
    config.close_timeout = millis(setup.close_timeout);
    let deflate = setup.deflate.map(|(takeover, window_bits, level, memory)| {
        let mut deflate = Deflate::default();
        (deflate.level, deflate.memory, deflate.threshold) = (level, memory, 8);
        deflate.send = DeflateContext { takeover, window_bits };
        deflate.receive = deflate.send;
        deflate
    });
    let rsv = if deflate.is_some() { 4 } else { 0 };
    let mut now = Time::ZERO;
    let mut us = connection(ours, deflate, config);
    let (mut sent, mut longest) = (vec![], 0);
    let mut ended: Option<Fault> = None;
    let mut told: Option<Closed> = None;

    for step in steps {
        let before = us.state();
        let mut hear = |connection: &mut openline::Connection, bytes: &[u8], chunks: bool| {
            let mut bytes = bytes.to_vec();
            let mut input = &mut bytes[..];
            loop {
                let event = match chunks {
                    true => connection.receive_chunk(&mut input, now),
                    // Both ways, in turn.
                    false if input.len() % 2 == 0 => connection.receive_owned(&mut input, now),
                    false => connection.receive(&mut input, now),
                };
                assert!(ended.is_none_or(|fault| event == Err(fault)), "a fault stays");
                match event {
                    Ok(Some(Event::Message(message))) => assert!(message.len() <= LIMIT),
                    Ok(Some(Event::Chunk(chunk))) => assert!(chunk.data.len() <= LIMIT),
                    // If nothing can be answered any more, it is over at once.
                    Ok(Some(Event::Close(_))) => assert_ne!(connection.state(), State::Open),
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(fault) => {
                        ended = Some(fault);
                        assert_ne!(connection.state(), State::Open);
                        break;
                    }
                }
            }
            assert!(input.is_empty(), "all that was given is taken");
        };
        match step {
            Step::Receive(bytes) => hear(&mut us, bytes, false),
            Step::ReceiveChunk(bytes) => hear(&mut us, bytes, true),
            Step::Frame { first, len, byte, come } => {
                let opcode = Opcode::new(first & 15).unwrap_or(Opcode::Binary);
                let mask = ours.peer().masks().then_some(MaskKey::new([byte; 4]));
                let mut header = [0; Header::MAX_SIZE];
                let frame =
                    Header { fin: first & 128 != 0, rsv: first >> 4 & rsv, opcode, mask, len: u64::from(len >> 12) };
                let size = frame.encode(&mut header);
                let payload = vec![byte; usize::from(come).min(frame.len as usize)];
                hear(&mut us, &[&header[..size], &payload].concat(), false);
            }
            Step::Fill(len) => {
                if let Some(space) = us.receive_space() {
                    let chunks = len & 1 != 0;
                    let len = space.len().min(len.into());
                    space[..len].fill(b'x');
                    us.handle_filled(len, now);
                    hear(&mut us, b"", chunks);
                }
            }
            Step::Eof => us.handle_eof(now),
            Step::Reset => us.handle_reset(),
            Step::Blocked => us.handle_blocked(now),
            Step::WriteFailed => us.handle_write_failed(now),
            Step::Send(text) => {
                longest = longest.max(text.len());
                let _ = us.send(text);
            }
            Step::SendLong(byte, times) => {
                longest = longest.max(times.into());
                let _ = us.send(vec![byte; times.into()]);
            }
            Step::SendPrepared(data) => {
                longest = longest.max(data.len());
                let _ = us.send(&Prepared::new(data));
            }
            Step::SendFragment(data, fin) => {
                longest = longest.max(data.len());
                let _ = us.send_fragment(data, fin);
            }
            Step::SendTextFragment(text, fin) => {
                longest = longest.max(text.len());
                let _ = us.send_fragment(text, fin);
            }
            Step::Ping(payload) => {
                let _ = us.ping(payload, now);
            }
            Step::Pong(payload) => {
                let _ = us.pong(payload);
            }
            Step::Close(code, reason) => {
                let _ = us.close(CloseCode::new(code), reason, now);
            }
            Step::Transmit(most) => {
                let bytes: Vec<u8> = us.transmits().flatten().copied().take(most.into()).collect();
                us.handle_transmitted(bytes.len(), now);
                sent.extend(bytes);
            }
            Step::Pass { millis, back } => {
                let wait = Duration::from_millis(millis.into());
                now = if back { Time::from_epoch(now.since(Time::ZERO + wait)) } else { now + wait };
                us.handle_timeout(now);
                assert!(us.until().is_none_or(|deadline| deadline > now));
            }
        }
        // The mark, the last message, Pongs, a Ping and a Close frame.
        assert!(us.queued() <= HIGH_WATER + longest + 5000, "{} bytes wait", us.queued());
        assert_eq!(us.queued(), us.transmits().map(<[u8]>::len).sum());
        assert!(us.transmits().all(|slice| !slice.is_empty()));
        assert_eq!(us.closed().is_some(), us.state() == State::Closed);
        assert!(us.state() as u8 >= before as u8, "no way back");
        assert!(us.state() != State::Closed || us.until().is_none());
        if let (Some(before), Some(now)) = (&told, us.closed()) {
            // It is said once. But what was read before the transport failed, the peer was given up, or the time to close
            // was over, and is looked at after that, may have a Close frame with its code and reason, or a fault.
            let given_up = matches!(before.cause, Cause::PongTimeout | Cause::StallTimeout | Cause::CloseTimeout);
            let cut_off = given_up || before.cause == Cause::Eof;
            let told_more = now.cause == before.cause || matches!(now.cause, Cause::Protocol(_));
            let knew_nothing = before.code == CloseCode::ABNORMAL && before.reason.is_empty();
            assert!(now == before || cut_off && knew_nothing && told_more, "{before:?}, then {now:?}");
        }
        told = us.closed().cloned();
    }

    sent.extend(us.transmits().flatten());
    let mut decoder = Decoder::with_rsv(ours.peer(), rsv);
    let mut input = &mut sent[..];
    let mut said_close = false;
    while let Some(piece) = decoder.decode(&mut input).expect("what we send is valid") {
        // §5.5.1, §5.5.2: no data, and a Pong for each Ping that comes before the peer's own Close frame.
        assert!(!said_close || piece.header.opcode == Opcode::Pong, "only Pongs come behind a Close frame");
        said_close |= piece.last && piece.header.opcode == Opcode::Close;
    }
});
