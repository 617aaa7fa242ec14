//! Receiving: a buffer of 64 KiB full of frames, as one read may bring it, becomes
//! messages. Per message, as a server (masked) and as a client.

mod common;

use std::hint::black_box;

use common::{connection, frames, payload};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use openline::{Connection, Event, Role, Time};

const BUFFER: usize = 64 * 1024;

fn borrowed(us: &mut Connection, mut input: &mut [u8]) -> usize {
    let mut total = 0;
    while let Some(event) = us.receive(&mut input, Time::ZERO).unwrap() {
        if let Event::Message(message) = event {
            total += black_box(message).len();
        }
    }
    total
}

fn owned(us: &mut Connection, mut input: &mut [u8]) -> usize {
    let mut total = 0;
    while let Some(event) = us.receive_owned(&mut input, Time::ZERO).unwrap() {
        if let Event::Message(message) = event {
            total += black_box(message).len();
        }
    }
    total
}

fn decode(c: &mut Criterion) {
    for (role, text) in [(Role::Server, false), (Role::Server, true), (Role::Client, false), (Role::Client, true)] {
        let mut group = c.benchmark_group(format!("decode, {role:?}, {}", if text { "text" } else { "binary" }));
        for len in [16, 125, 1024, 64_000] {
            let count = BUFFER / (len + 14);
            let count = count.max(1);
            let wire = frames(role.peer(), text, &payload(len), count);
            group.throughput(Throughput::Elements(count as u64));
            for (name, run) in [("borrowed", borrowed as fn(&mut Connection, &mut [u8]) -> usize), ("owned", owned)] {
                let mut us = connection(role);
                assert_eq!(run(&mut us, &mut wire.clone()), len * count, "the answer");
                group.bench_function(BenchmarkId::new(name, len), |b| {
                    // Unmasking changes the buffer, so that each round needs its own.
                    b.iter_batched_ref(|| wire.clone(), |wire| run(&mut us, wire), BatchSize::SmallInput);
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, decode);
criterion_main!(benches);
