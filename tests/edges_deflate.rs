//! Compressed messages at the edges: ends in the middle of one, and much from little.
#![cfg(all(feature = "deflate", feature = "tokio"))]

mod common;
#[path = "common/line.rs"]
mod line;

use common::*;
use line::*;
use openline::Role::Client;
use openline::tokio::WebSocket;
use openline::{Agreement, Config, Connection, Deflate, Event, Reading, Time, Upgrade};

const Z_BINARY: u8 = 0xc2;
const Z_BINARY_BEGINS: u8 = 0x42;

fn agreed() -> Upgrade {
    let mut agreement = Agreement::default();
    agreement.deflate = Some(Deflate::default());
    Upgrade::server(agreement)
}

/// A message is never delivered cut short, and nothing that was accepted is lost: reading ahead stops before data for
/// who takes messages in chunks. But if a compressed message has inflated to more than one chunk, the rest of
/// it waits in the assembler and not in the input, and `receive_ahead` with nothing to read inflates it as
/// a "message whose beginning went in chunks", and drops it: no last chunk, no error.
#[test]
fn chunks_of_a_compressed_message_survive_reading_ahead() {
    let mut us = Connection::new(agreed(), quiet(), Time::ZERO);
    let mut bytes = frame(Client, Z_BINARY, bomb::zeros(200_000));
    let mut input = &mut bytes[..];
    let mut len = 0;
    let Ok(Some(Event::Chunk(chunk))) = us.receive_chunk(&mut input, Time::ZERO) else { panic!() };
    assert!(chunk.first && !chunk.last && input.is_empty());
    len += chunk.data.len();
    // The application answers with something, and its send is blocked for a moment.
    us.set_reading(Reading::OneAhead, Time::ZERO);
    us.receive_ahead(&mut &mut [][..], Time::ZERO).unwrap();
    us.set_reading(Reading::Events, Time::ZERO);
    let mut last = false;
    while let Ok(Some(Event::Chunk(chunk))) = us.receive_chunk(&mut &mut [][..], Time::ZERO) {
        len += chunk.data.len();
        last |= chunk.last;
    }
    assert_eq!((len, last), (200_000, true));
}

/// The same in the tokio adapter: an application that streams a message to somewhere and sends in between, to a peer
/// whose window is full for a moment.
#[tokio::test(start_paused = true)]
async fn chunks_of_a_compressed_message_survive_a_send() {
    let next = frame(Client, 0x81, "next");
    let line = Line::silent([frame(Client, Z_BINARY, bomb::zeros(200_000)), next]);
    let mut config = quiet();
    config.high_water = 1;
    let mut socket = WebSocket::new(line.clone(), agreed(), config, &[]);
    let mut len = 0;
    let chunk = in_time(socket.recv_chunk()).await.unwrap().unwrap();
    assert!(chunk.first && !chunk.last);
    len += chunk.data.len();
    line.script().blocked = true;
    assert!(only(3, socket.send("I have got some")).await.is_none());
    line.unblock();
    loop {
        let chunk = in_time(socket.recv_chunk()).await.unwrap().unwrap();
        assert!(!chunk.first, "the message before ({len} of 200000 bytes) never ended");
        len += chunk.data.len();
        if chunk.last {
            break;
        }
    }
    assert_eq!(len, 200_000);
}

/// No call may panic, in any order. "Sets other limits, which hold from now on. A message of which some has come is
/// judged by its next frame." A limit below what has been inflated already is subtracted from: a panic with
/// overflow checks; without them a message is inflated with a limit of 2^64 for one stretch.
#[test]
fn a_limit_that_is_lowered_in_the_middle_of_a_compressed_message() {
    let mut us = Connection::new(agreed(), quiet(), Time::ZERO);
    let payload = bomb::zeros(1_000_000);
    let bytes = [frame(Client, Z_BINARY_BEGINS, &payload[..500]), frame(Client, 0x80, &payload[500..])].concat();
    let (events, error) = hear(&mut us, &bytes[..506]);
    assert!(events.is_empty() && error.is_none());
    let mut config: Config = quiet();
    config.max_message_size = 1000;
    us.set_config(config);
    let (events, error) = hear(&mut us, &bytes[506..]);
    assert!(events.is_empty() && error.is_some());
}

/// The same where nothing but the rest of one frame, which was allowed before, is to come: in chunk mode.
#[test]
fn a_limit_that_is_lowered_between_two_chunks() {
    let mut us = Connection::new(agreed(), quiet(), Time::ZERO);
    let mut bytes = frame(Client, Z_BINARY, bomb::zeros(200_000));
    assert!(matches!(us.receive_chunk(&mut &mut bytes[..], Time::ZERO), Ok(Some(Event::Chunk(_)))));
    let mut config: Config = quiet();
    config.max_message_size = 1000;
    us.set_config(config);
    let _ = us.receive_chunk(&mut &mut [][..], Time::ZERO);
}

/// A message that has come whole is not lost when the peer ends its side behind it: its rest lies here.
#[test]
fn chunks_of_a_compressed_message_survive_the_end() {
    let mut us = Connection::new(agreed(), quiet(), Time::ZERO);
    let mut bytes = frame(Client, Z_BINARY, bomb::zeros(200_000));
    let mut input = &mut bytes[..];
    assert!(matches!(us.receive_chunk(&mut input, Time::ZERO), Ok(Some(Event::Chunk(_)))));
    assert!(input.is_empty());
    us.handle_eof(Time::ZERO);
    let mut last = false;
    while let Ok(Some(Event::Chunk(chunk))) = us.receive_chunk(&mut &mut [][..], Time::ZERO) {
        last |= chunk.last;
    }
    assert!(last, "the last chunk was taken in before the end, and is not told");
}
