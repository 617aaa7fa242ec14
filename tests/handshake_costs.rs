//! What the opening handshake allocates does not grow with the number of lines in a head, nor with
//! the number of elements in a line. Allocations are counted, not seconds.

use openline::{Accept, Client, ClientRequest, Connection, Event, HandshakeConfig, Server, Time};

const UPGRADE: &str = "Host: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

fn config() -> HandshakeConfig {
    let mut config = HandshakeConfig::default();
    config.max_headers = usize::MAX;
    config.subprotocols = vec!["chat".into()];
    #[cfg(feature = "deflate")]
    config.deflate.push(openline::Deflate::default());
    config
}

/// As many of these as fit into a head of 16 KiB.
fn filled(unit: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for number in 0.. {
        let unit = unit(number);
        if text.len() + unit.len() > 16_000 {
            break;
        }
        text += &unit;
    }
    text
}

/// Heads of 16 KiB that are mostly lines, or mostly elements.
fn fields() -> [(&'static str, String); 8] {
    [
        ("lines", filled(|_| "a:\r\n".into())),
        ("extensions", format!("Sec-WebSocket-Extensions: {}\r\n", filled(|_| "a,".into()))),
        ("parameters", format!("Sec-WebSocket-Extensions: permessage-deflate{}\r\n", filled(|_| ";a=1".into()))),
        ("offers", format!("Sec-WebSocket-Extensions: {}\r\n", filled(|_| "permessage-deflate;a,".into()))),
        ("quoted", format!("Sec-WebSocket-Extensions: {}\r\n", filled(|_| "a;b=\"\\c\",".into()))),
        ("lines of extensions", filled(|_| "Sec-WebSocket-Extensions:a\r\n".into())),
        ("subprotocols", format!("Sec-WebSocket-Protocol: {}\r\n", filled(|number| format!("{number},")))),
        ("options", format!("Connection: {}\r\n", filled(|_| "a,".into()))),
    ]
}

#[test]
fn a_request_costs_a_handful_of_allocations() {
    for (name, fields) in fields() {
        let request = format!("GET / HTTP/1.1\r\n{UPGRADE}{fields}\r\n");
        assert!((15_000..16 * 1024).contains(&request.len()));
        let server = Server::default().handshake(config());
        let info = allocation_counter::measure(|| {
            let mut connection = Connection::server(&server, Time::ZERO);
            let judged = connection.receive_copied(&mut request.as_bytes(), Time::ZERO);
            assert_eq!(judged, Ok(Some(Event::Request)), "{name}");
            connection.accept(Accept::default(), Time::ZERO).unwrap();
        });
        assert!(info.count_total <= 20, "{name}: {} allocations", info.count_total);
        // A line has four bytes at the least, and takes 64 bytes more while it is read.
        assert!(info.bytes_max <= 20 * 16 * 1024, "{name}: {} bytes at once", info.bytes_max);
    }
}

/// All that a server's connection allocates for a client that opens it and closes it cleanly: what it opens with, the
/// head and where its fields lie, the method and the target; the answer, and until when it must leave; the Close frame,
/// where that ends, and how it all ended.
#[test]
fn an_opening_and_a_clean_end_cost_ten_allocations() {
    let server = Server::default();
    let mut request = format!("GET / HTTP/1.1\r\n{UPGRADE}\r\n").into_bytes();
    let mut close = [0x88, 0x82, 0, 0, 0, 0, 3, 232];
    let now = Time::ZERO;
    let info = allocation_counter::measure(|| {
        let mut us = Connection::server(&server, now);
        assert_eq!(us.receive(&mut &mut request[..], now), Ok(Some(Event::Request)));
        us.accept(Accept::default(), now).unwrap();
        us.handle_transmitted(us.queued(), now);
        assert!(matches!(us.receive(&mut &mut close[..], now), Ok(Some(Event::Close(_)))));
        assert_eq!(us.next_transmit(), Some(&[0x88, 2, 3, 232][..]));
        us.handle_transmitted(4, now);
        us.handle_shutdown();
        us.handle_eof(now);
        assert!(us.wants().is_none());
    });
    assert_eq!(info.count_total, 10);
}

/// With the limits of lines that hold by default no head takes more, whatever stands in it.
#[test]
fn a_request_takes_no_more_than_seven_times_its_limit() {
    for (name, fields) in fields() {
        let request = format!("GET / HTTP/1.1\r\n{UPGRADE}{fields}\r\n");
        let server = Server::default();
        let info = allocation_counter::measure(|| {
            let mut connection = Connection::server(&server, Time::ZERO);
            let _ = connection.receive_copied(&mut request.as_bytes(), Time::ZERO);
        });
        assert!(info.bytes_max <= 7 * 16 * 1024, "{name}: {} bytes at once", info.bytes_max);
    }
}

/// SECURITY.md: "A connection that is still opening takes 48 KiB at most", of which the read buffer is 4 KiB; and
/// seven times `max_head` while its request is judged, if that offers thousands of subprotocols that are in order.
#[test]
fn a_connection_that_is_opening_takes_no_more_than_it_says() {
    let get = |path: &str, fields: &str| format!("GET /{path} HTTP/1.1\r\n{UPGRADE}{fields}\r\n");
    let long = get(&"a".repeat(15_850), "");
    let elements = get("", &format!("Sec-WebSocket-Protocol: {}\r\n", "a,".repeat(7_900)));
    let mut over = vec![];
    let mut different = String::from("Sec-WebSocket-Protocol: ");
    let letters = || (b'a'..=b'z').chain(b'A'..=b'Z').chain(b'0'..=b'9').chain(*b"!#$%&'*+-.^_`|~").map(char::from);
    different.extend(letters().flat_map(|a| letters().map(move |b| format!("{a}{b},"))).take(5_350));
    let different = get("", &(different + "\r\n"));
    for (name, request, most) in [
        ("a long target", long, 44),
        ("many subprotocols", elements, 44),
        ("many different subprotocols", different, 7 * 16),
    ] {
        assert!(request.len() <= 16 * 1024);
        let mut request = request.into_bytes();
        let server = Server::default();
        let mut behind = vec![0; 16 * 1024];
        let info = allocation_counter::measure(|| {
            let mut connection = Connection::server(&server, Time::ZERO);
            for part in request.chunks_mut(4096).chain(behind.chunks_mut(4096)) {
                let mut input = part;
                while let Ok(Some(_)) = connection.receive(&mut input, Time::ZERO) {}
            }
        });
        if info.bytes_max > most * 1024 {
            over.push((name, info.bytes_max));
        }
    }
    assert!(over.is_empty(), "{over:?}");
}

/// The same bound over an adapter, whose read buffer is part of it: a request that waits for a decision, with bytes behind
/// it that nobody looks at yet.
#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_socket_that_waits_for_a_decision_takes_no_more_than_it_says() {
    use std::task::{Context, Poll, Waker};
    use tokio::io::AsyncWriteExt;

    let (mut client, end) = tokio::io::duplex(1024);
    client.write_all(format!("GET / HTTP/1.1\r\n{UPGRADE}\r\nbehind").as_bytes()).await.unwrap();
    let server = Server::default();
    let mut reading = Box::pin(openline::tokio::read_request(&server, end));
    let mut read = Poll::Pending;
    let info = allocation_counter::measure(|| {
        read = reading.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    });
    assert!(matches!(read, Poll::Ready(Ok(_))), "{read:?}");
    assert!(info.bytes_current <= 48 * 1024, "{} bytes for a request that waits", info.bytes_current);
}

#[test]
fn an_answer_costs_a_handful_of_allocations() {
    for (name, fields) in fields() {
        let answer = format!("HTTP/1.1 101 x\r\n{fields}\r\n");
        let request = ClientRequest::new("ws://example.com/").unwrap();
        let mut connection = Connection::client(&Client::new(request).handshake(config()), [7; 32], Time::ZERO);
        let info = allocation_counter::measure(|| {
            assert!(connection.receive_copied(&mut answer.as_bytes(), Time::ZERO).is_err(), "{name}");
        });
        // The places of 4,000 lines grow fourfold, in five steps.
        assert!(info.count_total <= 10, "{name}: {} allocations", info.count_total);
    }
}

/// The extensions of an answer are looked at when all before them is right.
#[cfg(feature = "deflate")]
#[test]
fn a_negotiation_costs_a_handful_of_allocations() {
    use openline::{Deflate, Headers};
    for element in ["a,", "permessage-deflate,", "permessage-deflate;a=\"\\1\","] {
        let mut headers = Headers::new();
        headers.append("Sec-WebSocket-Extensions", filled(|_| element.into())).unwrap();
        let info = allocation_counter::measure(|| {
            assert!(Deflate::confirm(&[Deflate::default()], &headers).is_err());
            let _ = Deflate::default().accept(&headers);
        });
        assert!(info.count_total <= 4, "{element}: {} allocations", info.count_total);
    }
}
