//! Opening handshakes: both ends, joined in memory.

use criterion::{Criterion, criterion_group, criterion_main};
use openline::{Accept, Client, ClientRequest, Connection, Event, Server, Time};

fn serve(server: &Server, request: &[u8]) -> Vec<u8> {
    let mut connection = Connection::server(server, Time::ZERO);
    assert_eq!(connection.receive_copied(&mut &request[..], Time::ZERO), Ok(Some(Event::Request)));
    connection.accept(Accept::default(), Time::ZERO).unwrap();
    connection.next_transmit().unwrap().to_vec()
}

fn handshake(c: &mut Criterion) {
    let server = Server::default();
    let request = ClientRequest::new("ws://example.com/chat").unwrap().header("Origin", "https://example.com").unwrap();
    let client = Client::new(request);
    let new = || Connection::client(&client, [7; 32], Time::ZERO);
    let sent = new().next_transmit().unwrap().to_vec();
    let mut group = c.benchmark_group("handshake");
    group.bench_function("server", |b| b.iter(|| serve(&server, &sent)));
    group.bench_function("client", |b| {
        let answer = serve(&server, &sent);
        b.iter(|| {
            let mut connection = new();
            assert_eq!(connection.receive_copied(&mut &answer[..], Time::ZERO), Ok(Some(Event::Opened)));
        });
    });
    group.finish();
}

criterion_group!(benches, handshake);
criterion_main!(benches);
