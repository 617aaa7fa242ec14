//! Whatever the peer sends and the application does, in any order: no panic, what waits
//! stays under its bound, one Close frame at the most and nothing behind it, and no
//! deadline that has been handled is still due.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use openline::frame::{Decoder, Opcode};
use openline::{Agreement, CloseCode, Config, Connection, Event, Role, State, Time, Upgrade};

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Receive(&'a [u8]),
    ReceiveChunk(&'a [u8]),
    Fill(&'a [u8]),
    Eof,
    Reset,
    Send(&'a str),
    SendFragment(&'a [u8], bool),
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    Close(u16, &'a str),
    Transmit(u16),
    Pass(u32),
}

const HIGH_WATER: usize = 1000;

fuzz_target!(|input: (bool, Vec<Step<'_>>)| {
    let (server, steps) = input;
    let agreement = Agreement::default();
    let upgrade = if server { Upgrade::server(agreement) } else { Upgrade::client(agreement, [7; 32]) };
    let mut config = Config::default();
    config.max_message_size = 5000;
    config.max_fragments = 50;
    config.high_water = HIGH_WATER;
    let mut now = Time::ZERO;
    let mut us = Connection::new(upgrade, config, now);
    let mut sent = vec![];
    let mut longest = 0;

    for step in steps {
        match step {
            Step::Receive(bytes) | Step::ReceiveChunk(bytes) => {
                let chunks = matches!(step, Step::ReceiveChunk(_));
                let mut bytes = bytes.to_vec();
                let mut input = &mut bytes[..];
                let mut take = || match chunks {
                    true => us.receive_chunk(&mut input, now),
                    false => us.receive(&mut input, now),
                };
                while let Ok(Some(event)) = take() {
                    match event {
                        Event::Message(message) => assert!(message.len() <= 5000),
                        Event::Chunk(chunk) => assert!(chunk.data.len() <= 5000),
                        _ => {}
                    }
                }
                assert!(input.is_empty(), "all that was given is taken");
            }
            Step::Fill(bytes) => {
                if let Some(room) = us.receive_room() {
                    let len = room.len().min(bytes.len());
                    room[..len].copy_from_slice(&bytes[..len]);
                    us.handle_filled(len, now);
                }
            }
            Step::Eof => us.handle_eof(now),
            Step::Reset => us.handle_reset(),
            Step::Send(text) => {
                longest = longest.max(text.len());
                let _ = us.send(text);
            }
            Step::SendFragment(data, fin) => {
                longest = longest.max(data.len());
                let _ = us.send_fragment(data, fin);
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
            Step::Pass(millis) => {
                now += Duration::from_millis(millis.into());
                us.handle_timeout(now);
                assert!(us.poll_timeout().is_none_or(|deadline| deadline > now));
            }
        }
        // The mark, the last message, Pongs, Pings and a Close frame.
        assert!(us.queued() <= HIGH_WATER + longest + 5000, "{} bytes wait", us.queued());
        assert_eq!(us.closed().is_some(), us.state() == State::Closed);
    }

    sent.extend(us.transmits().flatten());
    let mut decoder = Decoder::new(if server { Role::Client } else { Role::Server });
    let mut input = &mut sent[..];
    let mut said_close = false;
    while let Some(piece) = decoder.decode(&mut input).expect("what we send is valid") {
        assert!(!said_close, "nothing comes behind a Close frame");
        said_close = piece.last && piece.header.opcode == Opcode::Close;
    }
});
