//! §4.1: what a client asks, and what it takes for an answer, in every cut.

#[path = "common/opening.rs"]
mod opening;

use std::time::Duration;

use opening::{Opening, accept_key};
use openline::HandshakeError as E;
use openline::{Accept, Client, ClientRequest, Connection, HandshakeConfig, HandshakeError, Role, Time};

const STRANGERS: &[u8] = b"\x81\x05Hello\x88\x00";

fn request() -> ClientRequest {
    ClientRequest::new("ws://example.com/chat").unwrap()
}

fn client(request: ClientRequest) -> Opening {
    Opening::client(request, HandshakeConfig::default())
}

fn sent(request: ClientRequest) -> String {
    client(request).said()
}

fn answer(headers: &str) -> String {
    format!("HTTP/1.1 101 Switching Protocols\r\n{}\r\n", headers.replace("KEY", &accept_key()))
}

const GOOD: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: KEY\r\n";

/// The verdict (with the subprotocol), what is known of the answer, and what was left.
type Outcome = (Result<Option<Option<String>>, HandshakeError>, Option<(u16, Vec<u8>)>, Vec<u8>);

/// Every other piece comes as bytes that may not be changed.
fn feed<'a>(request: &ClientRequest, config: &HandshakeConfig, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut client = Opening::client(request.clone(), config.clone());
    let (mut verdict, mut left) = (Ok(false), vec![]);
    for (number, mut piece) in pieces.into_iter().enumerate() {
        let give = if number % 2 == 0 { Opening::give } else { Opening::give_copied };
        match verdict {
            Ok(false) => verdict = give(&mut client, &mut piece),
            Err(error) => assert_eq!(give(&mut client, &mut piece), Err(error)),
            Ok(true) => {}
        }
        left.extend_from_slice(piece);
    }
    // A client that was refused, or will not have the answer, has nothing more to say.
    assert_eq!(verdict.is_err(), client.sent().is_empty());
    let verdict = verdict.map(|agreed| agreed.then(|| client.0.agreement().subprotocol.clone()));
    (verdict, client.response().map(|response| (response.status, response.body.clone())), left)
}

/// Feeds an answer in every way; all must come to the same.
fn hear_with(request: &ClientRequest, config: &HandshakeConfig, answer: &[u8]) -> Outcome {
    let (verdict, response, left) = feed(request, config, [answer]);
    if verdict != Ok(None) {
        let all = [answer, STRANGERS].concat();
        let left = if verdict.is_ok() { [&left, STRANGERS].concat() } else { vec![] };
        let followed = (verdict.clone(), response.clone(), left);
        assert_eq!(feed(request, config, [&all[..]]), followed, "followed by strangers");
        assert_eq!(feed(request, config, [&b""[..], &all[..]]), followed, "not to be changed");
        assert_eq!(feed(request, config, all.chunks(1)), followed, "byte by byte");
        for cut in 0..answer.len() {
            assert_eq!(feed(request, config, [&all[..cut], &all[cut..]]), followed, "cut at {cut}");
        }
    }
    (verdict, response, left)
}

fn hear(answer: impl AsRef<[u8]>) -> Outcome {
    hear_with(&request(), &HandshakeConfig::default(), answer.as_ref())
}

#[test]
fn the_request_on_the_wire() {
    let key = sent(request()).lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap().to_owned();
    assert_eq!(
        sent(request()),
        format!(
            "GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
    );
    let full = ClientRequest::new("ws://me:s%20ecret@example.com:9001?q=1").unwrap();
    let full = full.subprotocol("a").unwrap().subprotocol("b").unwrap().header("Origin", "http://o.example").unwrap();
    let sent = sent(full);
    assert!(sent.starts_with("GET /?q=1 HTTP/1.1\r\nHost: example.com:9001\r\n"), "{sent}");
    assert!(sent.contains("\r\nSec-WebSocket-Protocol: a, b\r\nAuthorization: Basic bWU6cyBlY3JldA==\r\n"), "{sent}");
    assert!(sent.ends_with("\r\nOrigin: http://o.example\r\n\r\n"), "{sent}");
}

#[test]
fn another_seed_another_key() {
    let other = Connection::client(&Client::new(request()), [8; 32], Time::ZERO);
    assert_ne!(other.next_transmit().unwrap(), sent(request()).as_bytes());
    let same = Connection::client(&Client::new(request()), opening::SEED, Time::ZERO);
    assert_eq!(same.next_transmit().unwrap(), sent(request()).as_bytes());
}

#[test]
fn what_cannot_be_asked() {
    for (name, value, error) in [
        ("Upgrade", "x", E::HeaderReserved),
        ("connection", "x", E::HeaderReserved),
        ("Sec-WebSocket-Key", "x", E::HeaderReserved),
        ("Sec-WebSocket-Protocol", "x", E::HeaderReserved),
        ("Content-Length", "5", E::HeaderReserved),
        ("Transfer-Encoding", "chunked", E::HeaderReserved),
        ("X", "a\r\nY: b", E::HeaderValueInvalid),
        ("X\r\nY", "b", E::HeaderNameInvalid),
    ] {
        assert_eq!(request().header(name, value).unwrap_err(), error, "{name}: {value}");
    }
    for name in ["", "a b", "a,b", "a\r\n", "é"] {
        assert_eq!(request().subprotocol(name).unwrap_err(), E::SubprotocolsInvalid, "{name}");
    }
    assert_eq!(request().subprotocol("a").unwrap().subprotocol("a").unwrap_err(), E::SubprotocolsInvalid);
    let sent = sent(request().header("Host", "other.example").unwrap());
    assert_eq!(sent.matches("Host: ").count(), 1);
    assert!(sent.contains("\r\nHost: other.example\r\n"));
}

#[test]
fn a_good_answer() {
    for headers in [
        GOOD,
        "upgrade: WebSocket\r\nCONNECTION: keep-alive,  upgrade\r\nsec-websocket-accept:KEY\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: KEY \r\nServer: x\r\nServer: y\r\n",
        // §4.1 asks that no value of Upgrade is another, not that it stands there once.
        "Upgrade: websocket\r\nUpgrade: WebSocket\r\nConnection: Upgrade, upgrade\r\nSec-WebSocket-Accept: KEY\r\n",
    ] {
        assert_eq!(hear(answer(headers)), (Ok(Some(None)), Some((101, vec![])), vec![]));
    }
    let offered = request().subprotocol("a").unwrap().subprotocol("b").unwrap();
    let config = HandshakeConfig::default();
    let chosen = answer(&format!("{GOOD}Sec-WebSocket-Protocol: b\r\n"));
    assert_eq!(hear_with(&offered, &config, chosen.as_bytes()).0, Ok(Some(Some("b".into()))));
    // §4.1: a server may choose none.
    assert_eq!(hear_with(&offered, &config, answer(GOOD).as_bytes()).0, Ok(Some(None)));
}

#[test]
fn bad_answers() {
    for (from, to, error) in [
        ("Upgrade: websocket\r\n", "", E::UpgradeInvalid),
        ("Upgrade: websocket", "Upgrade: h2c", E::UpgradeInvalid),
        ("Upgrade: websocket", "Upgrade: websocket, h2c", E::UpgradeInvalid),
        ("Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: h2c", E::UpgradeInvalid),
        ("Upgrade: websocket", "Upgrade:", E::UpgradeInvalid),
        ("Connection: Upgrade\r\n", "", E::ConnectionInvalid),
        ("Connection: Upgrade", "Connection: close", E::ConnectionInvalid),
        ("Sec-WebSocket-Accept: KEY\r\n", "", E::AcceptInvalid),
        ("Accept: KEY", "Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", E::AcceptInvalid),
        ("Accept: KEY", "Accept: KEY\r\nSec-WebSocket-Accept: KEY", E::AcceptInvalid),
        ("Accept: KEY", "Accept: KEYx", E::AcceptInvalid),
        ("Accept: KEY", "Accept: KEY\r\nSec-WebSocket-Protocol: c", E::SubprotocolNotOffered),
        ("Accept: KEY", "Accept: KEY\r\nSec-WebSocket-Protocol: A", E::SubprotocolNotOffered),
        ("Accept: KEY", "Accept: KEY\r\nSec-WebSocket-Protocol: a, b", E::SubprotocolNotOffered),
        ("Accept: KEY", "Accept: KEY\r\nSec-WebSocket-Protocol:", E::SubprotocolNotOffered),
        (
            "Accept: KEY",
            "Accept: KEY\r\nSec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a",
            E::SubprotocolNotOffered,
        ),
        ("Accept: KEY", "Accept: KEY\r\nSec-WebSocket-Extensions: permessage-deflate", E::ExtensionNotOffered),
        ("Accept: KEY", "Accept: KEY\r\n folded", E::FoldedHeader),
        ("Accept: KEY", "Accept: KEY\r\nX : y", E::MalformedHead),
        ("Accept: KEY", "Accept: KEY\nX: y", E::BareLineFeed),
        ("Accept: KEY", "Accept: KEY\r\nX: a\0b", E::ControlCharacter),
    ] {
        let offered = request().subprotocol("a").unwrap().subprotocol("b").unwrap();
        let (verdict, ..) =
            hear_with(&offered, &HandshakeConfig::default(), answer(&GOOD.replacen(from, to, 1)).as_bytes());
        assert_eq!(verdict, Err(error), "{to}");
    }
    let not_offered = answer(&format!("{GOOD}Sec-WebSocket-Protocol: a\r\n"));
    assert_eq!(hear(not_offered).0, Err(E::SubprotocolNotOffered));
    assert_eq!(hear(answer(GOOD).replace("HTTP/1.1", "HTTP/1.0")).0, Err(E::HttpVersionTooOld));
    assert_eq!(hear("SSH-2.0-OpenSSH_9\r\n\r\n").0, Err(E::MalformedHead));
}

#[test]
fn a_refusal_is_reported_with_its_body() {
    let refused = |status| Err(E::Refused { status });
    let outcome = hear("HTTP/1.1 403 Forbidden\r\nX: y\r\nContent-Length: 5\r\n\r\nsorry");
    assert_eq!((outcome.0, outcome.1), (refused(403), Some((403, b"sorry".to_vec()))));
    let outcome = hear("HTTP/1.1 401 \r\nContent-Length: 0\r\n\r\n");
    assert_eq!((outcome.0, outcome.1), (refused(401), Some((401, vec![]))));
    let outcome = hear("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!((outcome.0, outcome.1), (refused(204), Some((204, vec![]))));
    let chunked = "HTTP/1.1 503 x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nsor\r\n2\r\nry\r\n0\r\n\r\n";
    let mut client = client(request());
    assert_eq!(client.give(&mut chunked.as_bytes()), Err(E::Refused { status: 503 }));
    assert_eq!(client.response().unwrap().body, b"sorry");
    assert_eq!(client.give(&mut &b"more"[..]), Err(E::Refused { status: 503 }));
    assert_eq!(client.response().unwrap().body, b"sorry");
}

#[test]
fn a_refusals_body_may_end_with_the_connection_or_the_limit_or_the_time() {
    let head = b"HTTP/1.1 500 x\r\nX: y\r\n\r\n";
    for how in ["eof", "limit", "time"] {
        let mut client = client(request());
        assert_eq!(client.give(&mut &head[..]), Ok(false));
        assert_eq!(client.give(&mut &b"some"[..]), Ok(false));
        match how {
            "eof" => client.0.handle_eof(Time::ZERO),
            "time" => client.0.handle_timeout(Time::ZERO + Duration::from_secs(10)),
            _ => assert!(client.give(&mut &vec![b'x'; 20_000][..]).is_err()),
        }
        assert_eq!(client.failure(), Some(E::Refused { status: 500 }));
        let response = client.response().unwrap();
        assert_eq!(response.headers.get("x"), Some("y"));
        assert_eq!(response.body.len(), if how == "limit" { 16 * 1024 } else { 4 });
    }
}

#[test]
fn interim_answers_are_passed_over() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    assert_eq!(hear(format!("{interim}{}", answer(GOOD))).0, Ok(Some(None)));
    // But not without end.
    let endless = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
    let mut client = client(request());
    assert!(matches!(client.give(&mut endless.as_bytes()), Err(E::HeadTooLarge { .. })));
}

#[test]
fn an_answer_has_limits() {
    let mut config = HandshakeConfig::default();
    config.max_head = 200;
    config.max_headers = 4;
    let large = answer(&format!("{GOOD}X: {}\r\n", "a".repeat(200)));
    assert!(matches!(hear_with(&request(), &config, large.as_bytes()).0, Err(E::HeadTooLarge { .. })));
    config.max_headers = 3;
    let many = answer(&format!("{GOOD}X: y\r\n"));
    assert_eq!(hear_with(&request(), &config, many.as_bytes()).0, Err(E::TooManyHeaders { limit: 3 }));
}

#[test]
fn client_and_server_agree_in_every_cut() {
    let asks = || request().subprotocol("v2").unwrap().subprotocol("v1").unwrap();
    let asked = sent(asks());
    for cut in 0..asked.len() {
        let mut config = HandshakeConfig::default();
        config.subprotocols = vec!["v1".into(), "v3".into()];
        let mut server = Opening::server(config);
        let mut client = client(asks());
        client.0.handle_transmitted(cut, Time::ZERO);
        assert_eq!(client.sent(), &asked.as_bytes()[cut..]);
        assert_eq!(server.give(&mut &asked.as_bytes()[..cut]), Ok(false));
        assert_eq!(server.give(&mut &asked.as_bytes()[cut..]), Ok(true));
        server.accept(Accept::default()).unwrap();
        let answer = [&server.sent(), STRANGERS].concat();
        let mut input = &answer[..];
        assert_eq!(client.give(&mut input), Ok(true));
        assert_eq!(input, STRANGERS);
        let (ours, theirs) = (server.0, client.0);
        assert_eq!((ours.agreement(), ours.role(), theirs.role()), (theirs.agreement(), Role::Server, Role::Client));
        assert_eq!(ours.agreement().subprotocol.as_deref(), Some("v1"));
    }
}
