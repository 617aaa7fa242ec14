//! Payloads that are lent and not copied, in any order with all else that leaves: what arrives is what was sent, and no
//! other holder of a payload sees it change.

mod common;

use bytes::{Bytes, BytesMut};
use common::*;

use openline::{BytesMessage, CloseCode, Connection, Message, Prepared, Time};

struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }
}

const LENGTHS: [usize; 14] = [0, 1, 125, 126, 4095, 4096, 4097, 8192, 65_535, 65_536, 69_632, 69_633, 100_000, 300_000];

fn filled(dice: &mut Dice, len: usize) -> Vec<u8> {
    let first = dice.roll(256);
    (0..len).map(|at| (at * 7 + at / 251 + first) as u8).collect()
}

/// Takes some of what waits, in one of the two ways.
fn take_some(us: &mut Connection, taken: &mut usize, wire: &mut Vec<u8>, dice: &mut Dice) {
    match dice.roll(4) {
        0 => {
            if let Some(bytes) = us.take_transmit(1 + dice.roll(150_000)) {
                *taken += bytes.len();
                wire.extend_from_slice(&bytes);
            }
        }
        // What was taken is passed on first, then what lies there.
        1 => us.handle_transmitted(std::mem::take(taken), Time::ZERO),
        _ => {
            us.handle_transmitted(std::mem::take(taken), Time::ZERO);
            let most = dice.roll(150_000);
            let some: Vec<_> = us.transmits().flatten().copied().take(most).collect();
            us.handle_transmitted(some.len(), Time::ZERO);
            wire.extend_from_slice(&some);
        }
    }
}

#[test]
fn what_is_lent_arrives_and_is_not_changed_for_others() {
    for seed in 1..=12_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        // One buffer whose parts go to both connections, and the parts that somebody still holds.
        let whole = filled(&mut dice, 600_000);
        let shared = Bytes::from(whole.clone());
        let mut held: Vec<(Bytes, Vec<u8>)> = vec![(shared.clone(), whole)];
        let mut ends: Vec<_> = BOTH.into_iter().map(|role| (open(role), vec![], vec![], 0_usize)).collect();
        for _ in 0..60 {
            let len = LENGTHS[dice.roll(LENGTHS.len())];
            let data = filled(&mut dice, len);
            let (us, wire, sent, taken) = &mut ends[dice.roll(2)];
            let mut binary = |data: Vec<u8>| sent.push((BINARY, data));
            match dice.roll(12) {
                0 => {
                    us.queue(data.clone()).unwrap();
                    binary(data);
                }
                1 => {
                    us.queue(Bytes::from(data.clone())).unwrap();
                    binary(data);
                }
                2 => {
                    let bytes = Bytes::from(data.clone());
                    held.push((bytes.clone(), data.clone()));
                    us.queue(bytes).unwrap();
                    binary(data);
                }
                3 => {
                    let at = dice.roll(600_000 - len);
                    let part = shared.slice(at..at + len);
                    binary(part.to_vec());
                    us.queue(BytesMessage::binary(part)).unwrap();
                }
                4 => {
                    // The one part of a buffer is sent, and the other is written to afterwards.
                    let mut buffer = BytesMut::from(&data[..]);
                    let front = buffer.split_to(dice.roll(len + 1)).freeze();
                    binary(front.to_vec());
                    us.queue(front).unwrap();
                    buffer.fill(0xee);
                    held.push((buffer.clone().freeze(), vec![0xee; buffer.len()]));
                }
                5 => {
                    // The one part is kept, and the other, which nobody else has, is sent.
                    let mut buffer = BytesMut::from(&data[..]);
                    let front = buffer.split_to(dice.roll(len + 1)).freeze();
                    held.push((front.clone(), front.to_vec()));
                    binary(buffer.to_vec());
                    us.queue(buffer.freeze()).unwrap();
                }
                6 => {
                    us.queue(Bytes::from_owner(data.clone())).unwrap();
                    binary(data);
                }
                7 => {
                    us.queue(&Prepared::new(data.clone())).unwrap();
                    binary(data);
                }
                8 => {
                    let (front, back) = data.split_at(dice.roll(len + 1));
                    us.queue_fragment(Message::from(front.to_vec()), false).unwrap();
                    us.queue_fragment(Message::from(back.to_vec()), true).unwrap();
                    sent.push((BINARY_BEGINS, front.to_vec()));
                    sent.push((ENDS, back.to_vec()));
                }
                9 => {
                    if us.ping(&data[..len.min(125)], Time::ZERO).is_ok() {
                        sent.push((PING, data[..len.min(125)].to_vec()));
                    }
                }
                _ => take_some(us, taken, wire, &mut dice),
            }
        }
        for (mut us, mut wire, mut sent, taken) in ends {
            us.close(CloseCode::NORMAL, "", Time::ZERO).unwrap();
            sent.push((CLOSE, vec![3, 232]));
            us.handle_transmitted(taken, Time::ZERO);
            wire.extend(transmit(&mut us, Time::ZERO));
            assert!(parse(us.role(), &wire) == sent, "{:?}, seed {seed}", us.role());
            assert_eq!(us.queued(), 0);
        }
        for (bytes, expected) in held {
            assert!(bytes == expected, "somebody else's bytes have changed, seed {seed}");
        }
    }
}

/// A payload that is half written when the connection ends is given back, whole.
#[test]
fn a_lent_payload_that_is_half_written_is_given_back_unchanged() {
    type End = fn(&mut Connection);
    let ends: [(&str, End); 4] = [
        ("failed", |us| us.handle_write_failed(Time::ZERO)),
        ("reset", |us| us.handle_reset()),
        ("late", |us| {
            us.close(CloseCode::NORMAL, "", Time::ZERO).unwrap();
            us.handle_timeout(s(11));
        }),
        ("stalled", |us| {
            us.handle_blocked(Time::ZERO);
            us.handle_timeout(s(61));
        }),
    ];
    for (name, end) in ends {
        for role in BOTH {
            let data = Bytes::from(vec![7; 200_000]);
            let mut us = open(role);
            us.send(data.clone()).unwrap();
            us.handle_transmitted(50_000, Time::ZERO);
            end(&mut us);
            assert_eq!((us.queued(), us.has_lost(), data.is_unique()), (0, true, true), "{name} {role:?}");
            assert!(data.iter().all(|byte| *byte == 7), "{name} {role:?}");
        }
    }
}

/// The bound of what waits counts a payload that is lent as any other, whoever else holds it.
#[test]
fn what_is_lent_counts_for_the_high_water_mark() {
    for role in BOTH {
        for len in [4095, 4096, 70_000] {
            let data = Bytes::from(vec![1; len]);
            let mut us = open(role);
            let mut sent = 0;
            while us.send(data.clone()).is_ok() {
                sent += 1;
                assert!(us.queued() >= sent * len);
            }
            assert!((sent - 1) * len < 64 * 1024 + 14 * sent, "{role:?} {len} {sent}");
        }
    }
}
