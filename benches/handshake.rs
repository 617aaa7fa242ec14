//! Opening handshakes: both ends, joined in memory.

use criterion::{Criterion, criterion_group, criterion_main};
use openline::{Accept, ClientHandshake, ClientRequest, HandshakeConfig, Role, ServerHandshake, Time};
use std::sync::Arc;

fn server(config: &Arc<HandshakeConfig>, request: &[u8]) -> Vec<u8> {
    let mut server = ServerHandshake::new(Arc::clone(config), Time::ZERO);
    assert!(server.receive(&mut &request[..]).unwrap().is_some());
    assert_eq!(server.accept(Accept::default()).unwrap().role(), Role::Server);
    server.poll_transmit().unwrap().to_vec()
}

fn handshake(c: &mut Criterion) {
    let config = Arc::new(HandshakeConfig::default());
    let request = ClientRequest::new("ws://example.com/chat").unwrap().header("Origin", "https://example.com").unwrap();
    let new = || ClientHandshake::new(request.clone(), Arc::clone(&config), [7; 32], Time::ZERO);
    let sent = new().poll_transmit().unwrap().to_vec();
    let mut group = c.benchmark_group("handshake");
    group.bench_function("server", |b| b.iter(|| server(&config, &sent)));
    group.bench_function("client", |b| {
        let answer = server(&config, &sent);
        b.iter(|| {
            let mut client = new();
            assert!(client.receive(&mut &answer[..]).unwrap().is_some());
        });
    });
    group.finish();
}

criterion_group!(benches, handshake);
criterion_main!(benches);
