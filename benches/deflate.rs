//! permessage-deflate: 1 KiB of JSON, there and back, by level and takeover.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use openline::{Agreement, Config, Connection, Deflate, Event, Time, Upgrade};

fn json() -> String {
    let mut text = String::new();
    for i in 0..17_u32 {
        let price = i.wrapping_mul(2_654_435_761) >> 18;
        text += &format!(r#"{{"lot":{i},"bidder":"user-{}","price":{price},"open":true}},"#, price % 997);
    }
    text
}

fn deflate(c: &mut Criterion) {
    let text = json();
    let mut group = c.benchmark_group(format!("deflate, {} bytes of JSON", text.len()));
    for takeover in [false, true] {
        for level in [1, 3, 6, 9] {
            let mut deflate = Deflate::default();
            deflate.level = level;
            (deflate.send.takeover, deflate.receive.takeover) = (takeover, takeover);
            let mut agreement = Agreement::default();
            agreement.deflate = Some(deflate);
            let mut us = Connection::new(Upgrade::server(agreement.clone()), Config::default(), Time::ZERO);
            let mut peer = Connection::new(Upgrade::client(agreement, [7; 32]), Config::default(), Time::ZERO);
            let mut there = || {
                us.send(black_box(&text)).unwrap();
                let mut wire = us.next_transmit().unwrap().to_vec();
                us.handle_transmitted(wire.len(), Time::ZERO);
                let event = peer.receive(&mut &mut wire[..], Time::ZERO).unwrap();
                assert!(
                    matches!(event, Some(Event::Message(message)) if message.as_text() == Some(&text)),
                    "the answer"
                );
                wire.len()
            };
            there();
            let name = format!("level {level}{}, {} bytes", if takeover { ", takeover" } else { "" }, there());
            group.bench_function(name, |b| b.iter(&mut there));
        }
    }
    group.finish();
}

criterion_group!(benches, deflate);
criterion_main!(benches);
