//! What a head costs, however it comes: time that grows with its bytes, and no memory that outlives it.

use allocation_counter::{AllocationInfo, measure};
use openline::{Accept, Client, ClientRequest, Connection, Event, Server, Time};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn client() -> Connection {
    let client = Client::new(ClientRequest::new("ws://example.com/").unwrap());
    let mut us = Connection::client(&client, [7; 32], Time::ZERO);
    us.handle_transmitted(us.queued(), Time::ZERO);
    us
}

/// The key is that of the seed, so that the answer to it is the same each time.
fn accepted() -> String {
    let client = Client::new(ClientRequest::new("ws://example.com/").unwrap());
    let us = Connection::client(&client, [7; 32], Time::ZERO);
    let request = String::from_utf8(us.next_transmit().unwrap().to_vec()).unwrap();
    let mut them = Connection::server(&Server::default(), Time::ZERO);
    assert_eq!(them.receive_copied(&mut request.as_bytes(), Time::ZERO), Ok(Some(Event::Request)));
    them.accept(Accept::default(), Time::ZERO).unwrap();
    String::from_utf8(them.next_transmit().unwrap().to_vec()).unwrap()
}

/// README: "cost grows linearly with the bytes that came". A server, or a proxy, sends as many interim answers as fit into the
/// limit of a head, in one piece.
#[test]
fn interim_answers_cost_no_more_than_their_bytes() {
    let to_client = |mut input: &[u8]| {
        let mut us = client();
        measure(|| assert_eq!(us.receive_copied(&mut input, Time::ZERO), Ok(None)))
    };
    let through_proxy = |mut input: &[u8]| {
        let client = Client::new(ClientRequest::new("ws://example.com/").unwrap());
        let mut tunnel = client.proxy("http://proxy".parse().unwrap()).tunnel(None).unwrap();
        measure(|| assert_eq!(tunnel.receive(&mut input), Ok(false)))
    };
    let takes: [fn(&[u8]) -> AllocationInfo; 2] = [to_client, through_proxy];
    for take in takes {
        let costs =
            [64, 1000].map(|count| take("HTTP/1.1 100\r\n\r\n".repeat(count).as_bytes()).bytes_total / count as u64);
        assert!(costs[1] <= 2 * costs[0], "bytes allocated for one answer of 16 bytes, of 64 and of 1000: {costs:?}");
    }
}

/// Promise 3: "no buffer that is not in use". The answer is kept for `Connection::response`; the memory of what came
/// behind it in the same read is not.
#[test]
fn an_answer_keeps_no_memory_for_what_came_behind_it() {
    let accepted = accepted();
    let kept = |behind: usize| {
        let mut us = client();
        let mut input = accepted.clone().into_bytes();
        // Whole messages of 100 bytes.
        for _ in 0..behind / 102 {
            input.extend_from_slice(&[0x82, 100]);
            input.extend_from_slice(&[7; 100]);
        }
        let info = measure(|| {
            let mut input = &mut input[..];
            while us.receive(&mut input, Time::ZERO).unwrap().is_some() {}
        });
        assert!(us.response().is_some());
        info.bytes_current
    };
    let (alone, followed) = (kept(0), kept(32 * 1024));
    assert!(followed <= alone + 1024, "{alone} bytes kept, or {followed} if messages came behind the answer");
}

/// The same of a request that an application keeps.
#[test]
fn a_request_keeps_no_memory_for_what_came_behind_it() {
    let kept = |behind: usize| {
        let mut us = Connection::server(&Server::default(), Time::ZERO);
        let mut input = REQUEST.as_bytes().to_vec();
        input.extend(std::iter::repeat_n(0, behind));
        let mut first = &mut input[..];
        let mut request = None;
        let info = measure(|| {
            assert_eq!(us.receive(&mut first, Time::ZERO), Ok(Some(Event::Request)));
            request = us.request().cloned();
        });
        drop(request);
        let after = measure(|| us.accept(Accept::default(), Time::ZERO).unwrap());
        (info.bytes_current, info.bytes_current + after.bytes_current)
    };
    let (alone, followed) = (kept(0), kept(12 * 1024));
    assert!(followed.0 <= alone.0 + 1024 && followed.1 <= alone.1 + 1024, "{alone:?} {followed:?}");
}

/// README: "cost grows linearly with the bytes that came". A head near its limit that comes byte by byte.
#[test]
fn a_head_that_comes_byte_by_byte_allocates_as_one_that_comes_whole() {
    let head = format!("{}X: {}\r\n\r\n", &REQUEST[..REQUEST.len() - 2], "a".repeat(16_000));
    let cost = |piece: usize| {
        let mut us = Connection::server(&Server::default(), Time::ZERO);
        let info = measure(|| {
            let mut events = 0;
            for mut part in head.as_bytes().chunks(piece) {
                events += usize::from(us.receive_copied(&mut part, Time::ZERO).unwrap().is_some());
            }
            assert_eq!(events, 1);
        });
        info.bytes_total
    };
    let (whole, bytes) = (cost(usize::MAX), cost(1));
    assert!(bytes <= 3 * whole, "{whole} {bytes}");
}
