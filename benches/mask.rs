//! Masking (§5.3), against the memcpy that nothing can beat.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use openline::frame::MaskKey;

fn mask(c: &mut Criterion) {
    let mut group = c.benchmark_group("mask");
    for len in [16, 125, 1024, 16 * 1024, 1024 * 1024] {
        let plain: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let key = MaskKey::new([0x37, 0xfa, 0x21, 0x3d]);
        let mut data = plain.clone();
        let _ = key.apply(&mut data);
        assert!(data.iter().zip(&plain).enumerate().all(|(i, (a, b))| a ^ b == key.get()[i % 4]), "the answer");

        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("in place", len), |b| {
            b.iter(|| black_box(key).apply(black_box(&mut data)))
        });
        group.bench_function(BenchmarkId::new("memcpy", len), |b| {
            b.iter(|| black_box(&mut data).copy_from_slice(&plain))
        });
    }
    group.finish();
}

criterion_group!(benches, mask);
criterion_main!(benches);
