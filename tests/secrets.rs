//! `Debug` of what knows secrets, in the middle of its work.
//!
//! SECURITY.md: "`Debug` of the crate's types shows lengths only: no payload, no close reason, no credentials, no value of a
//! header."
#![cfg(feature = "std")]

mod common;

use std::fmt::Debug;

use common::*;
use openline::{
    Accept, Agreement, Client, ClientRequest, Connection, Error, Event, Headers, Origins, Proxy, Reading, Request,
    Response, Server, Time, Upgrade,
};

const REQUEST: &str = "GET /secret?secret=secret HTTP/1.1\r\nHost: secret.example\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: c2VjcmV0c2VjcmV0c2Vjcg==\r\nSec-WebSocket-Version: 13\r\n\
    Cookie: secret\r\nAuthorization: Basic c2VjcmV0\r\nSec-WebSocket-Protocol: secret\r\n";

fn show(what: &dyn Debug) {
    for text in [format!("{what:?}"), format!("{what:#?}")] {
        // As text, as base64, and as numbers.
        for part in ["secret", "c2Vjcm", "115, 101", "115,\n", "73, 65"] {
            assert!(!text.contains(part), "{text}");
        }
    }
}

#[test]
fn nobody_shows_a_secret_in_the_middle_of_its_work() {
    // A server that reads, that waits for a decision with bytes behind the request, that has accepted, and that has refused.
    let mut us = Connection::server(&Server::default(), Time::ZERO);
    us.receive_copied(&mut REQUEST.as_bytes(), Time::ZERO).unwrap();
    show(&us);
    let mut rest = b"X: secret\r\n\r\n\x81secret".to_vec();
    let mut input = &mut rest[..];
    assert_eq!(us.receive(&mut input, Time::ZERO), Ok(Some(Event::Request)));
    us.hold(input);
    us.set_reading(Reading::Paused, Time::ZERO);
    show(&us);
    let request = us.request().unwrap().clone();
    show(&request);
    let mut other = Connection::server(&Server::default(), Time::ZERO);
    let whole = format!("{REQUEST}\r\n");
    other.receive_copied(&mut whole.as_bytes(), Time::ZERO).unwrap();
    other.reject(Response::new(403).body("secret"), Time::ZERO).unwrap();
    show(&other);
    let answer = Accept::default().subprotocol("secret").header("Set-Cookie", "secret").unwrap();
    show(&answer);
    us.accept(answer, Time::ZERO).unwrap();
    us.queue("secret").unwrap();
    show(&us);

    // A client that asks, through a proxy, and is refused.
    let asked = ClientRequest::new("ws://secret:secret@h/secret?secret").unwrap().subprotocol("secret").unwrap();
    let proxy: Proxy = "http://secret:secret@proxy".parse().unwrap();
    let client =
        Client::new(asked.header("Cookie", "secret").unwrap()).seed(*b"secretsecretsecretsecretsecretse").proxy(proxy);
    show(&client);
    show(&client.request().uri());
    let mut tunnel = client.tunnel(None).unwrap();
    show(&tunnel);
    assert!(tunnel.receive(&mut &b"HTTP/1.1 407 x\r\nProxy-Authenticate: secret\r\n\r\n"[..]).is_err());
    show(&tunnel);
    let (request, pending) = client.upgrade_request(*b"secretsecretsecretsecretsecretse");
    show(&request);
    show(&pending);
    let mut us = Connection::client(&client, *b"secretsecretsecretsecretsecretse", Time::ZERO);
    show(&us);
    assert_eq!(
        us.receive_copied(&mut &b"HTTP/1.1 302 secret\r\nLocation: secret\r\n\r\nsecret"[..], Time::ZERO),
        Ok(None)
    );
    show(&us);
    us.handle_eof(Time::ZERO);
    let response = us.response().unwrap().clone();
    show(&us);
    show(&Error::Refused(response.into()));

    // Values.
    let mut headers = Headers::new();
    headers.append("X", "secret").unwrap();
    show(&headers);
    let mut server = openline::HandshakeConfig::default();
    server.origins = Origins::Any;
    show(&Server::default().handshake(server));
    show(&Server::default().judge(&Request::new("GET", "/secret")).unwrap_err());

    // Both ends of a close with a reason, also one that was read ahead.
    let mut us = Connection::new(Upgrade::server(Agreement::default()), quiet(), Time::ZERO);
    us.queue("secret").unwrap();
    us.set_reading(Reading::OneAhead, Time::ZERO);
    let mut bytes = close_frame(openline::Role::Client, 1000, "secret");
    us.receive_ahead(&mut &mut bytes[..], Time::ZERO).unwrap();
    show(&us);
    us.handle_write_failed(Time::ZERO);
    show(&us);
    show(&us.closed());
    show(&us.try_send("secret").unwrap_err());
}
