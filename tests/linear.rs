//! Cost grows with the input and not with its square: twice the input, twice the bytes
//! allocated (each reallocation counted in full), whatever pieces it came in. Bytes are
//! counted, not seconds.

mod common;

use std::borrow::Cow;

use common::*;
use openline::Role::{Client, Server};
use openline::{Config, Connection, Event, Message};

fn unlimited() -> Config {
    let mut config = quiet();
    config.max_fragments = u32::MAX;
    config.high_water = usize::MAX;
    config
}

/// Feeds what is at hand and drops the events; returns how many bytes of messages they held.
fn feed(us: &mut Connection, mut input: &mut [u8]) -> usize {
    let mut total = 0;
    while let Some(event) = us.receive(&mut input, s(0)).unwrap() {
        if let Event::Message(message) = event {
            total += message.len();
        }
    }
    total
}

/// Asserts that `work(2 * size)` allocates about twice as much as `work(size)`.
#[track_caller]
fn doubles(size: usize, work: impl Fn(usize)) {
    let cost = |size| allocation_counter::measure(|| work(size)).bytes_total;
    let (once, twice) = (cost(size), cost(2 * size));
    assert!(twice <= 3 * once + 4096, "{size}: {once} bytes; twice that: {twice} bytes");
}

#[test]
fn input_byte_by_byte() {
    for first in [TEXT, BINARY] {
        doubles(20_000, |len| {
            let mut us = connection(Client, unlimited());
            let mut bytes = header(Server, first, len as u64);
            bytes.resize(bytes.len() + len, b'x');
            let total: usize = bytes.chunks_mut(1).map(|byte| feed(&mut us, byte)).sum();
            assert_eq!(total, len);
        });
    }
}

#[test]
fn messages_byte_by_byte_in_chunk_mode() {
    doubles(20_000, |len| {
        let mut us = connection(Client, unlimited());
        let mut bytes = frames(Server, std::iter::repeat_n((BINARY, b"xyz"), len));
        for byte in bytes.chunks_mut(1) {
            let mut input = byte;
            while us.receive_chunk(&mut input, s(0)).unwrap().is_some() {}
        }
    });
}

#[test]
fn many_messages_in_one_input() {
    doubles(10_000, |count| {
        let mut us = connection(Client, unlimited());
        let mut bytes = frames(Server, std::iter::repeat_n((TEXT, b"hello"), count));
        assert_eq!(feed(&mut us, &mut bytes), 5 * count);
    });
}

#[test]
fn a_message_in_one_frame_is_copied_once_and_a_bit() {
    // Growing by the factor four costs less than half of the bytes again.
    for first in [TEXT, BINARY] {
        let len = 1_000_000;
        let mut bytes = frame(Server, first, vec![b'x'; len]);
        let mut us = connection(Client, unlimited());
        let info = allocation_counter::measure(|| {
            bytes.chunks_mut(1000).for_each(|piece| {
                feed(&mut us, piece);
            });
        });
        assert!(info.bytes_total < 2 * len as u64, "{} bytes allocated for {len}", info.bytes_total);
    }
}

#[test]
fn many_pings_answered() {
    doubles(10_000, |count| {
        let mut us = connection(Server, unlimited());
        let mut bytes = frames(Client, std::iter::repeat_n((PING, b"are you there?"), count));
        for ping in bytes.chunks_mut(20) {
            feed(&mut us, ping);
            us.handle_transmitted(us.queued(), s(0));
        }
    });
}

#[test]
fn many_messages_queued_and_sent_byte_by_byte() {
    for len in [3, 20_000] {
        doubles(200, |count| {
            let mut us = connection(Server, unlimited());
            for _ in 0..count {
                us.send(vec![1; len]).unwrap();
            }
            while us.queued() > 0 {
                us.handle_transmitted(100, s(0));
            }
        });
    }
}

const MIB: usize = 1 << 20;

/// What a connection holds of what it sends: what waits, and a constant. Neither a Ping behind a
/// long message nor a message that comes when the last one has nearly left doubles it.
#[test]
fn what_waits_to_be_sent_is_held_once() {
    let text = "x".repeat(16 * MIB);
    for role in BOTH {
        for owned in [false, true] {
            let mut us = connection(role, Config::default());
            let mut ping = frame(role.peer(), PING, b"");
            let (mut held, mut most) = (0, 0);
            let mut step = |us: &mut Connection, act: &mut dyn FnMut(&mut Connection)| {
                let info = allocation_counter::measure(|| act(us));
                most = most.max(held + info.bytes_max as i64);
                held += info.bytes_current;
                held
            };
            for _ in 0..3 {
                step(&mut us, &mut |us| {
                    if owned { us.send(text.clone()) } else { us.send(&text) }.unwrap();
                });
                let now = step(&mut us, &mut |us| {
                    let mut input = &mut ping[..];
                    us.receive(&mut input, s(0)).unwrap();
                });
                assert!(now < (us.queued() + 128 * 1024) as i64, "{role:?}, owned: {owned}, {now} held");
                // All but what lies below the high-water mark.
                while us.queued() > 60_000 {
                    step(&mut us, &mut |us| us.handle_transmitted(1_000_000.min(us.queued() - 60_000), s(0)));
                }
                ping = frame(role.peer(), PING, b"");
            }
            let held = step(&mut us, &mut |_| ());
            assert!(held < 256 * 1024, "{role:?}, owned: {owned}, {held} held for 60 KB");
            // The 16th part is held twice for the moment in which it is copied.
            assert!(most < (17 * MIB + 256 * 1024) as i64, "{role:?}, owned: {owned}, {most} held at the most");
        }
    }
}

#[test]
fn a_steady_stream_allocates_nothing() {
    // The common case: a message that lies whole in the input, and a short answer.
    let mut us = connection(Server, unlimited());
    let bytes = frames(Client, [(TEXT, "tick"), (BINARY, "tock")]);
    let mut buffer = bytes.clone();
    let mut turn = || {
        buffer.copy_from_slice(&bytes);
        feed(&mut us, &mut buffer);
        us.send("answer").unwrap();
        us.handle_transmitted(us.queued(), s(0));
    };
    turn();
    let info = allocation_counter::measure(|| (0..1000).for_each(|_| turn()));
    assert_eq!(info.count_total, 0);
}

#[test]
fn fragments_of_one_byte() {
    for first in [TEXT_BEGINS, BINARY_BEGINS] {
        doubles(20_000, |count| {
            let mut us = connection(Client, unlimited());
            assert_eq!(feed(&mut us, &mut frame(Server, first, "x")), 0);
            let mut bytes = frames(Server, std::iter::repeat_n((GOES_ON, b"x"), count));
            assert_eq!(feed(&mut us, &mut bytes), 0);
            assert_eq!(feed(&mut us, &mut frame(Server, ENDS, "")), count + 1);
        });
    }
}

#[test]
fn fragments_read_into_the_space() {
    let part = vec![7; 40_000];
    doubles(50, |count| {
        let mut us = connection(Client, {
            let mut config = unlimited();
            config.max_message_size = u64::MAX;
            config
        });
        feed(&mut us, &mut frame(Server, BINARY_BEGINS, &part));
        for _ in 0..count {
            feed(&mut us, &mut header(Server, GOES_ON, 40_000));
            while let Some(space) = us.receive_space() {
                let len = space.len();
                us.handle_filled(len, s(0));
            }
            feed(&mut us, &mut []);
        }
        assert_eq!(feed(&mut us, &mut frame(Server, ENDS, "")), 40_000 * (count + 1));
    });
}

/// What comes a few bytes at a time, in chunk mode, is not given new space each time.
#[test]
fn chunks_read_into_the_space() {
    for step in [1, 100, 20_000] {
        doubles(200_000, |len| {
            let mut us = connection(Client, unlimited());
            let mut wire = frame(Server, BINARY, vec![7; len]);
            // The first piece is long, so that there is space for the next one.
            let (mut first, rest) = wire.split_at_mut(64 * 1024);
            let Ok(Some(Event::Chunk(chunk))) = us.receive_chunk(&mut first, s(0)) else { panic!("no chunk") };
            let mut got = chunk.data.len();
            let info = allocation_counter::measure(|| {
                for mut piece in rest.chunks_mut(step) {
                    if let Some(space) = us.receive_space() {
                        let n = piece.len().min(space.len());
                        space[..n].copy_from_slice(&piece[..n]);
                        us.handle_filled(n, s(0));
                        let mut none: &mut [u8] = &mut [];
                        while let Ok(Some(Event::Chunk(chunk))) = us.receive_chunk(&mut none, s(0)) {
                            got += chunk.data.len();
                        }
                        piece = &mut piece[n..];
                    }
                    while let Ok(Some(Event::Chunk(chunk))) = us.receive_chunk(&mut piece, s(0)) {
                        got += chunk.data.len();
                    }
                }
            });
            assert_eq!(got, len);
            let bytes = info.bytes_total;
            assert!(bytes < 5 * len as u64, "{bytes} bytes allocated for {len}, {step} at a time");
        });
    }
}

#[test]
fn memory_stays_below_the_limit() {
    // What grows ahead of the bytes must not grow ahead of the limit.
    for first in [TEXT_BEGINS, BINARY_BEGINS] {
        for part in [1, 1000, 33_333] {
            let mut config = unlimited();
            config.max_message_size = 100_000;
            let mut us = connection(Client, config);
            let mut bytes = frame(Server, first, vec![b'x'; part]);
            bytes.extend(frames(Server, std::iter::repeat_n((GOES_ON, vec![b'x'; part]), 99_999 / part - 1)));
            let info = allocation_counter::measure(|| {
                bytes.chunks_mut(700).for_each(|piece| {
                    feed(&mut us, piece);
                });
            });
            assert!(info.bytes_current <= 100_000 + 512, "{} bytes kept", info.bytes_current);
        }
    }
}

/// What is kept of the peer holds its own length and no more, however it came; a chunk that was
/// read into its own space 272 KiB at the most.
#[test]
fn what_was_received_holds_its_own_length() {
    fn excess(message: &Message<'_>) -> usize {
        match message {
            Message::Text(Cow::Owned(text)) => text.capacity() - text.len(),
            Message::Binary(Cow::Owned(data)) => data.capacity() - data.len(),
            _ => 0,
        }
    }
    const LEN: usize = 1_500_000;
    for first in [TEXT, BINARY] {
        for parts in [1, 3, 700] {
            for step in [1000, 70_000, 400_000] {
                let part = vec![b'x'; LEN / parts];
                let opcode = |nth| match nth {
                    0 if parts == 1 => first,
                    0 => first & 0x0f,
                    nth if nth + 1 == parts => ENDS,
                    _ => GOES_ON,
                };
                let wire = frames(Server, (0..parts).map(|nth| (opcode(nth), &part)));
                for chunks in [false, true] {
                    let mut us = connection(Client, unlimited());
                    let (mut bytes, mut got, mut most) = (wire.clone(), 0, 0);
                    let mut rest = &mut bytes[..];
                    while !rest.is_empty() {
                        // As an adapter reads: into the space, if there is some.
                        let space = us.receive_space();
                        let len = rest.len().min(space.as_ref().map_or(step, |space| space.len()));
                        let (mut read, after) = rest.split_at_mut(len);
                        rest = after;
                        if let Some(space) = space {
                            space[..len].copy_from_slice(read);
                            us.handle_filled(len, s(0));
                            read = &mut [];
                        }
                        loop {
                            let heard =
                                if chunks { us.receive_chunk(&mut read, s(0)) } else { us.receive(&mut read, s(0)) };
                            let data = match heard.unwrap() {
                                Some(Event::Message(data)) => data,
                                Some(Event::Chunk(chunk)) => chunk.data,
                                _ => break,
                            };
                            assert_eq!(excess(&data), 0, "chunks: {chunks}, {parts} parts, {step} a time");
                            got += data.len();
                            most = most.max(data.len());
                        }
                    }
                    assert_eq!(got, LEN / parts * parts);
                    assert!(!chunks || most <= step.max(272 * 1024), "a chunk of {most} bytes");
                }
            }
        }
    }
}

/// Handed out in chunks and dropped, a message of any length takes the space of one chunk.
#[test]
fn chunks_take_the_room_of_one() {
    for step in [1000, 64 * 1024, 300_000] {
        let mut wire = frame(Server, BINARY, vec![7; 8 * MIB]);
        let mut us = connection(Client, unlimited());
        let mut read_all = |us: &mut Connection| {
            let mut rest = &mut wire[..];
            while !rest.is_empty() {
                let space = us.receive_space();
                let len = rest.len().min(space.as_ref().map_or(step, |space| space.len()));
                let (mut read, after) = rest.split_at_mut(len);
                rest = after;
                if let Some(space) = space {
                    space[..len].copy_from_slice(read);
                    us.handle_filled(len, s(0));
                    read = &mut [];
                }
                while let Ok(Some(Event::Chunk(_))) = us.receive_chunk(&mut read, s(0)) {}
            }
        };
        let info = allocation_counter::measure(|| read_all(&mut us));
        assert!(info.bytes_max <= 272 * 1024 + 512, "{} bytes held, {step} at a time", info.bytes_max);
        assert!(info.bytes_current <= 512, "{} bytes kept", info.bytes_current);
    }
}

// What the adapters hold.

/// A transport that says how much space each read has, and brings so much.
#[cfg(feature = "std")]
#[derive(Clone, Default)]
struct Rooms(std::sync::Arc<std::sync::Mutex<(Reads, Vec<usize>)>>);

/// What comes, one read each.
#[cfg(feature = "std")]
type Reads = std::collections::VecDeque<Vec<u8>>;

#[cfg(feature = "std")]
impl std::io::Read for Rooms {
    fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
        let mut rooms = self.0.lock().unwrap();
        rooms.1.push(space.len());
        let mut bytes = rooms.0.pop_front().unwrap_or_default();
        let rest = bytes.split_off(bytes.len().min(space.len()));
        space[..bytes.len()].copy_from_slice(&bytes);
        if !rest.is_empty() {
            rooms.0.push_front(rest);
        }
        Ok(bytes.len())
    }
}

#[cfg(feature = "std")]
impl std::io::Write for Rooms {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "std")]
impl openline::net::Transport for Rooms {}

/// A thread that waits in a read has 4 KiB for it; 64 KiB only if much came lately.
#[cfg(feature = "std")]
#[test]
fn a_thread_that_waits_has_little_to_read_to_unless_much_came() {
    use openline::{Agreement, Upgrade};
    let little = frame(Client, TEXT, "hello");
    let much = frames(Client, std::iter::repeat_n((BINARY, [7_u8; 100]), 100));
    let rooms = Rooms::default();
    {
        let mut script = rooms.0.lock().unwrap();
        script.0.extend([little.clone(), little.clone(), much]);
        script.0.extend(std::iter::repeat_n(little, 12));
    }
    let mut ws = openline::net::WebSocket::new(rooms.clone(), Upgrade::server(Agreement::default()), quiet(), &[]);
    while ws.recv().unwrap().is_some() {}
    let seen = rooms.0.lock().unwrap().1.clone();
    let expected = [vec![4096; 3], vec![65_536; 9], vec![4096; 5]].concat();
    assert_eq!(seen, expected);
}

/// A send that is blocked, the next message read ahead, and Pings without end: what the adapter holds is the
/// message that is sent, the one ahead, one read buffer and a few kilobytes.
#[cfg(feature = "tokio")]
#[test]
fn a_blocked_send_holds_one_message_ahead() {
    use openline::{Agreement, Upgrade};
    use tokio::io::AsyncWriteExt;
    const AHEAD: usize = 2 * MIB;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let info = allocation_counter::measure(|| {
        runtime.block_on(async {
            let (mut peer, ours) = tokio::io::duplex(4096);
            let upgrade = Upgrade::server(Agreement::default());
            let mut ws = openline::tokio::WebSocket::new(ours, upgrade, Config::default(), &[]);
            let talks = async {
                let ping = frame(Client, PING, [7; 125]);
                for _ in 0..1000 {
                    peer.write_all(&ping).await.unwrap();
                }
                // Not all at once: the test's own memory counts too.
                peer.write_all(&header(Client, BINARY, AHEAD as u64)).await.unwrap();
                for _ in 0..AHEAD / 1024 {
                    peer.write_all(&[7; 1024]).await.unwrap();
                }
                loop {
                    peer.write_all(&ping).await.unwrap();
                }
            };
            let sends = async {
                let sent = ws.send(vec![7_u8; MIB]).await;
                assert!(sent.is_err(), "the peer takes nothing");
            };
            tokio::select! {
                () = talks => (),
                () = sends => (),
            }
        });
    });
    // A message that grows is moved: what has come, and four times as much at the most.
    let bound = (MIB + 2 * AHEAD + AHEAD / 2 + 128 * 1024) as u64;
    assert!(info.bytes_max < bound, "{} held, more than {bound}", info.bytes_max);
}
