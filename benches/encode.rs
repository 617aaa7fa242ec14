//! Sending: a message into the send buffer and out again. Small ones are gathered, as for
//! one write; per message.

mod common;

use std::hint::black_box;

use common::{connection, payload};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use openline::{Connection, Prepared, Role, Time};

/// Sends until 16 KiB or one message wait, and takes them off.
fn send(us: &mut Connection, message: &[u8], count: usize) -> usize {
    for _ in 0..count {
        us.send(black_box(message)).unwrap();
    }
    take(us)
}

fn send_prepared(us: &mut Connection, message: &Prepared, count: usize) -> usize {
    for _ in 0..count {
        us.send(black_box(message)).unwrap();
    }
    take(us)
}

fn take(us: &mut Connection) -> usize {
    let mut total = 0;
    while let Some(len) = us.next_transmit().map(|bytes| black_box(bytes).len()) {
        us.handle_transmitted(len, Time::ZERO);
        total += len;
    }
    total
}

fn encode(c: &mut Criterion) {
    for role in [Role::Server, Role::Client] {
        let mut group = c.benchmark_group(format!("encode, {role:?}"));
        for len in [16, 125, 1024, 64 * 1024] {
            let count = (16 * 1024 / len).max(1);
            let (message, prepared) = (payload(len), Prepared::new(payload(len)));
            let header = if len < 126 {
                2
            } else if len < 65536 {
                4
            } else {
                10
            } + if role == Role::Client { 4 } else { 0 };
            let mut us = connection(role);
            assert_eq!(send(&mut us, &message, count), (header + len) * count, "the answer");
            assert_eq!(send_prepared(&mut us, &prepared, count), (header + len) * count, "the answer");
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new("borrowed", len), |b| b.iter(|| send(&mut us, &message, count)));
            group.bench_function(BenchmarkId::new("prepared", len), |b| {
                b.iter(|| send_prepared(&mut us, &prepared, count))
            });
        }
        group.finish();
    }
}

criterion_group!(benches, encode);
criterion_main!(benches);
