//! Any bytes as a request, and as an answer: no panic; however they are cut, the same
//! outcome and the same bytes left over; and a server always has an answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openline::{ClientHandshake, ClientRequest, HandshakeConfig, HandshakeError, ServerHandshake, Time};

type Outcome = Result<bool, HandshakeError>;

/// The outcome, what was left over, and what was answered.
fn as_server<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Outcome, Vec<u8>, Vec<u8>) {
    let mut server = ServerHandshake::new(HandshakeConfig::default(), Time::ZERO);
    let (mut outcome, mut left) = (Ok(false), vec![]);
    for mut chunk in chunks {
        if matches!(outcome, Ok(false)) {
            outcome = server.receive(&mut chunk).map(|request| request.is_some());
        }
        left.extend_from_slice(chunk);
    }
    if outcome == Ok(true) {
        server.accept().expect("a request that is in order can be accepted");
    }
    let answer = server.poll_transmit().unwrap_or_default().to_vec();
    assert_eq!(answer.is_empty(), outcome == Ok(false));
    (outcome, left, answer)
}

fn as_client<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Outcome, Vec<u8>, Option<(u16, Vec<u8>)>) {
    let request = ClientRequest::new("ws://example.com/").expect("a valid URI");
    let mut client = ClientHandshake::new(request, HandshakeConfig::default(), [7; 32], Time::ZERO);
    let (mut outcome, mut left) = (Ok(false), vec![]);
    for mut chunk in chunks {
        if matches!(outcome, Ok(false)) {
            outcome = client.receive(&mut chunk).map(|upgrade| upgrade.is_some());
        }
        left.extend_from_slice(chunk);
    }
    (outcome, left, client.response().map(|response| (response.status, response.body.clone())))
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let size = usize::from(size) + 1;
    let whole = as_server(std::iter::once(bytes));
    assert_eq!(as_server(bytes.chunks(1)), whole);
    assert_eq!(as_server(bytes.chunks(size)), whole);
    let whole = as_client(std::iter::once(bytes));
    assert_eq!(as_client(bytes.chunks(1)), whole);
    assert_eq!(as_client(bytes.chunks(size)), whole);
});
