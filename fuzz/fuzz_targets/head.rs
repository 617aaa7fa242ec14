//! Any bytes as a request, and as an answer: no panic; however they are cut, the same outcome,
//! answer and rest; nothing is said too early; every refusal is HTTP; and what is accepted has, read
//! a second time and plainly, what RFC 6455 §4 asks.
#![no_main]

#[path = "../../tests/common/opening.rs"]
mod opening;

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use opening::{Opening, accept_key};
use openline::{Accept, ClientRequest, HandshakeConfig, HandshakeError, Headers, Response, Time};
use openline_fuzz::cut;

type Outcome = Result<bool, HandshakeError>;

/// The limits (small ones in the lowest two bits) and a hook for plain requests (the third), the lengths of pieces, the bytes. In an answer,
/// `{accept}` stands for the value that the client waits for, which no fuzzer guesses.
type Input<'a> = (u8, [u8; 4], &'a [u8]);

fuzz_target!(|input: Input<'_>| {
    let (flags, pieces, bytes) = input;
    let config = || {
        let mut config = HandshakeConfig::default();
        config.subprotocols = vec!["chat".into()];
        if flags & 1 != 0 {
            (config.max_head, config.max_headers) = (300, 6);
        }
        if flags & 2 != 0 {
            config.max_body = 10;
        }
        if flags & 4 != 0 {
            config.on_plain_request = Some(Arc::new(|request| Response::new(299).body(request.method.clone())));
        }
        config
    };
    let whole = as_server(config(), std::iter::once(bytes));
    assert_eq!(as_server(config(), bytes.chunks(1)), whole);
    assert_eq!(as_server(config(), cut(bytes, pieces)), whole);

    let bytes = with_accept(bytes);
    let whole = as_client(config(), std::iter::once(&bytes[..]));
    assert_eq!(as_client(config(), bytes.chunks(1)), whole);
    assert_eq!(as_client(config(), cut(&bytes, pieces)), whole);
});

/// The outcome, what was left over, and what was answered.
fn as_server<'a>(config: HandshakeConfig, chunks: impl Iterator<Item = &'a [u8]>) -> (Outcome, Vec<u8>, Vec<u8>) {
    let hooked = config.on_plain_request.is_some();
    let mut server = Opening::server(config);
    let (mut outcome, mut taken, mut left) = (Ok(false), vec![], vec![]);
    for mut chunk in chunks {
        let before = chunk;
        if outcome == Ok(false) {
            outcome = server.give(&mut chunk);
            assert!(outcome != Ok(false) || server.sent().is_empty(), "an answer to half a request");
            taken.extend_from_slice(&before[..before.len() - chunk.len()]);
        } else if let Err(error) = outcome {
            assert_eq!(server.give(&mut chunk), Err(error), "what was refused stays refused");
        }
        left.extend_from_slice(chunk);
    }
    match outcome {
        Ok(true) => {
            assert!(server.sent().is_empty());
            reread_request(&taken, &server.request().headers);
            server.accept(Accept::default()).expect("a request that is in order can be accepted");
            assert!(server.sent().starts_with(b"HTTP/1.1 101 "));
        }
        Ok(false) => {
            server.0.handle_eof(Time::ZERO);
            assert_eq!(server.give(&mut &b""[..]), Err(HandshakeError::UnexpectedEof));
            if !taken.is_empty() {
                check_refusal(&server.sent(), 400, &taken);
            }
        }
        Err(HandshakeError::NotUpgrade) if hooked => {
            check_refusal(&server.sent(), 299, &taken);
            // What is behind the head of a request that is refused is taken, and thrown away.
            let end = taken.windows(4).position(|part| part == b"\r\n\r\n").expect("a whole head") + 4;
            reread_plain(&taken[..end]);
        }
        Err(error) => check_refusal(&server.sent(), error.status().unwrap(), &taken),
    }
    let answer = server.take(Time::ZERO);
    if outcome != Ok(true) {
        server.0.handle_eof(Time::ZERO);
        assert!(server.failure().is_some() && server.0.wants().is_none());
    }
    (outcome, left, answer)
}

fn check_refusal(answer: &[u8], status: u16, request: &[u8]) {
    let mut slots = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut slots);
    let size = response.parse(answer).expect("the answer is HTTP").unwrap();
    assert_eq!((response.code, response.version), (Some(status), Some(1)));
    let value = |name: &str| {
        let mut values = response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        let value = std::str::from_utf8(values.next().unwrap_or_else(|| panic!("no {name}")).value).unwrap();
        assert!(values.next().is_none(), "{name} twice");
        value
    };
    let body = answer.len() - size;
    // RFC 9110 §9.3.2: the answer to a HEAD has none. It may be refused for an empty line before it.
    let to_head = request.strip_prefix(b"\r\n").unwrap_or(request).starts_with(b"HEAD ");
    assert!(value("Content-Length") == body.to_string() || to_head && body == 0);
    assert!(value("Connection").split(", ").any(|option| option == "close"));
    if status == 426 {
        assert_eq!((value("Upgrade"), value("Sec-WebSocket-Version")), ("websocket", "13"));
    }
}

/// The lines of a head as names in lower case and values, read without haste.
fn lines(head: &[u8]) -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
    let head: Vec<char> = head.iter().map(|&byte| char::from(byte)).collect();
    let head: String = head.into_iter().collect();
    let latin = |text: &str| text.chars().map(|c| c as u8).collect::<Vec<_>>();
    let head = head.strip_suffix("\r\n\r\n").expect("a head ends in an empty line");
    let mut lines = head.strip_prefix("\r\n").unwrap_or(head).split("\r\n");
    let first = latin(lines.next().unwrap());
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(':').expect("a field has a colon");
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()), "no space in {name:?}");
        (name.to_ascii_lowercase(), latin(value.trim_matches([' ', '\t'])))
    });
    (first, fields.collect())
}

fn same(headers: &Headers, fields: &[(String, Vec<u8>)]) {
    let read: Vec<_> = headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec())).collect();
    assert_eq!(read, fields);
}

/// The elements of a list, in lower case.
fn list(fields: &[(String, Vec<u8>)], name: &str) -> Vec<String> {
    let values = fields.iter().filter(|(other, _)| other == name);
    let values: Vec<_> = values.map(|(_, value)| String::from_utf8_lossy(value).to_ascii_lowercase()).collect();
    values.join(",").split(',').map(|element| element.trim().to_owned()).collect()
}

/// §4.2.1, the things that a request MUST have.
fn reread_request(head: &[u8], headers: &Headers) {
    let (first, fields) = lines(head);
    same(headers, &fields);
    let words: Vec<_> = first.split(|&byte| byte == b' ').collect();
    assert_eq!((words.len(), words[0]), (3, &b"GET"[..]));
    assert!(words[2].starts_with(b"HTTP/1.") && words[2][7] >= b'1' && words[2].len() == 8);
    assert!(words[1].starts_with(b"/") || words[1].windows(3).any(|part| part == b"://"));
    assert!(!words[1].contains(&b'#'));
    for (name, most) in [("host", 1), ("sec-websocket-version", 1), ("sec-websocket-key", 1), ("origin", 1)] {
        let count = fields.iter().filter(|(other, _)| other == name).count();
        assert!(count == most || count == 0 && name == "origin", "{count} times {name}");
    }
    assert!(list(&fields, "upgrade").contains(&"websocket".to_owned()));
    assert!(list(&fields, "connection").contains(&"upgrade".to_owned()));
    assert_eq!(list(&fields, "sec-websocket-version"), ["13"]);
    let key = &fields.iter().find(|(name, _)| name == "sec-websocket-key").unwrap().1;
    assert!(key.len() == 24 && key.ends_with(b"==") && !key[..22].contains(&b'='));
    assert!(list(&fields, "content-length").iter().all(|len| len.bytes().all(|digit| digit == b'0')));
    assert!(list(&fields, "transfer-encoding") == [""]);
}

/// RFC 9112, what a request has that the hook may answer: a method that changes nothing, no body, no
/// more than one Host, and nothing of an upgrade to WebSocket.
fn reread_plain(head: &[u8]) {
    let (first, fields) = lines(head);
    let words: Vec<_> = first.split(|&byte| byte == b' ').collect();
    assert!(words.len() == 3 && [&b"GET"[..], b"HEAD", b"OPTIONS"].contains(&words[0]));
    assert!(words[2].starts_with(b"HTTP/1.") && words[2].len() == 8);
    let hosts = fields.iter().filter(|(name, _)| name == "host").count();
    assert!(hosts == 1 || hosts == 0 && words[2] == b"HTTP/1.0");
    assert!(!fields.iter().any(|(name, _)| name.starts_with("sec-websocket-") || name == "transfer-encoding"));
    assert!(!list(&fields, "upgrade").contains(&"websocket".to_owned()));
    assert!(list(&fields, "content-length").iter().all(|len| len.bytes().all(|digit| digit == b'0')));
}

fn client(config: HandshakeConfig) -> Opening {
    let request = ClientRequest::new("ws://example.com/").unwrap().subprotocol("chat").unwrap();
    Opening::client(request, config)
}

fn with_accept(bytes: &[u8]) -> Vec<u8> {
    const MARK: &[u8] = b"{accept}";
    match bytes.windows(MARK.len()).position(|part| part == MARK) {
        Some(at) => [&bytes[..at], accept_key().as_bytes(), &bytes[at + MARK.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

fn as_client<'a>(
    config: HandshakeConfig,
    chunks: impl Iterator<Item = &'a [u8]>,
) -> (Outcome, Vec<u8>, Option<(u16, Vec<u8>)>) {
    let most = config.max_body;
    let mut client = client(config);
    let (mut outcome, mut taken, mut left) = (Ok(false), vec![], vec![]);
    for mut chunk in chunks {
        let before = chunk;
        if outcome == Ok(false) {
            outcome = client.give(&mut chunk);
            taken.extend_from_slice(&before[..before.len() - chunk.len()]);
        } else if let Err(error) = outcome {
            assert_eq!(client.give(&mut chunk), Err(error), "what has failed has failed");
        }
        left.extend_from_slice(chunk);
    }
    assert_eq!(client.0.wants().is_none(), outcome.is_err());
    if outcome == Ok(true) {
        reread_response(&taken, &client.response().unwrap().headers);
    }
    if let Some(response) = client.response() {
        assert!(response.body.len() <= most);
        assert!(!matches!(outcome, Err(HandshakeError::Refused { status }) if status != response.status));
    }
    (outcome, left, client.response().map(|response| (response.status, response.body.clone())))
}

/// §4.1, what the client must check. Interim answers may come before (RFC 9110 §15.2).
fn reread_response(heads: &[u8], headers: &Headers) {
    let start = heads[..heads.len() - 4].windows(4).rposition(|part| part == b"\r\n\r\n").map_or(0, |at| at + 4);
    let (first, fields) = lines(&heads[start..]);
    same(headers, &fields);
    assert!(first.starts_with(b"HTTP/1.") && first[8..].starts_with(b" 101"));
    let upgrade = list(&fields, "upgrade");
    assert!(upgrade.iter().all(|protocol| protocol == "websocket" || protocol.is_empty()));
    assert!(upgrade.contains(&"websocket".to_owned()));
    assert!(list(&fields, "connection").contains(&"upgrade".to_owned()));
    let value =
        |name: &str| fields.iter().filter(|(other, _)| other == name).map(|(_, value)| value).collect::<Vec<_>>();
    assert_eq!(value("sec-websocket-accept"), [accept_key().as_bytes()]);
    assert!(value("sec-websocket-protocol").iter().all(|chosen| *chosen == b"chat"));
    assert!(list(&fields, "sec-websocket-extensions").iter().all(|extension| extension.is_empty()));
}
