//! §4.2: every request and its answer, fed whole, byte by byte, cut at every point, and
//! followed by strangers, always with the same outcome.

#[path = "common/opening.rs"]
mod opening;

use opening::{Opening, UPGRADE, get};
use openline::HandshakeError as E;
use openline::{Accept, HandshakeConfig, HandshakeError, Origins, Response};

const STRANGERS: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58GET / HTTP/1.1\r\n\r\n";

/// What a server made of its input: the verdict, the answer, and what it left.
type Outcome = (Result<bool, HandshakeError>, String, Vec<u8>);

/// Every other piece comes as bytes that may not be changed.
fn feed<'a>(config: &HandshakeConfig, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut server = Opening::server(config.clone());
    let (mut verdict, mut left) = (Ok(false), vec![]);
    for (number, mut piece) in pieces.into_iter().enumerate() {
        let give = if number % 2 == 0 { Opening::give } else { Opening::give_copied };
        match verdict {
            Ok(false) => {
                verdict = give(&mut server, &mut piece);
                // Nothing is said before the request has been heard to its end.
                assert_eq!(server.sent().is_empty(), verdict.is_ok());
            }
            // Whatever a client says that was refused, it changes nothing.
            Err(error) => assert_eq!(give(&mut server, &mut piece), Err(error)),
            Ok(true) => {}
        }
        left.extend_from_slice(piece);
    }
    if verdict == Ok(true) {
        server.accept(Accept::default()).unwrap();
        assert_eq!(server.accept(Accept::default()), Err(E::NothingToDecide));
    }
    (verdict, server.said(), left)
}

/// Feeds a request in every way, and returns the verdict and the answer.
fn ask_with(config: &HandshakeConfig, request: &[u8]) -> (Result<bool, HandshakeError>, String) {
    let (verdict, answer, left) = feed(config, [request]);
    let all = [request, STRANGERS].concat();
    if verdict != Ok(false) {
        let left = if verdict == Ok(true) { [&left, STRANGERS].concat() } else { vec![] };
        let followed = (verdict, answer.clone(), left);
        assert_eq!(feed(config, [&all[..]]), followed, "followed by strangers");
        assert_eq!(feed(config, [&b""[..], &all[..]]), followed, "not to be changed");
        assert_eq!(feed(config, all.chunks(1)), followed, "byte by byte");
        for cut in 0..request.len() {
            assert_eq!(feed(config, [&all[..cut], &all[cut..]]), followed, "cut at {cut}");
        }
    }
    (verdict, answer)
}

fn ask(request: impl AsRef<[u8]>) -> (Result<bool, HandshakeError>, String) {
    ask_with(&HandshakeConfig::default(), request.as_ref())
}

fn accepted(request: &str) -> String {
    let (verdict, answer) = ask(request);
    assert_eq!(verdict, Ok(true), "{request}");
    assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"));
    answer
}

/// An answer is complete: a status line, a length that is right, and the end of it.
fn refused(request: impl AsRef<[u8]>, error: HandshakeError, status: u16) -> String {
    let request = request.as_ref();
    let (verdict, answer) = ask(request);
    assert_eq!(verdict, Err(error), "{}", String::from_utf8_lossy(request));
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{answer}");
    assert!(head.contains("\r\nConnection: close") || head.contains("\r\nConnection: Upgrade, close"), "{answer}");
    answer
}

/// A request that is in order but for one line, which is left out, replaced or added.
fn changed(from: &str, to: &str) -> String {
    let request = get("/", UPGRADE);
    assert!(request.contains(from));
    request.replacen(from, to, 1)
}

#[test]
fn the_examples_of_sections_1_2_and_1_3() {
    let request = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
        Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let mut config = HandshakeConfig::default();
    config.subprotocols = vec!["superchat".into(), "chat".into()];
    let (verdict, answer) = ask_with(&config, request.as_bytes());
    assert_eq!(verdict, Ok(true));
    assert_eq!(
        answer,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    );
    let mut server = Opening::server(config);
    assert_eq!(server.give(&mut request.as_bytes()), Ok(true));
    let request = server.request();
    assert_eq!((request.path(), request.query()), ("/chat", None));
    assert_eq!((request.host(), request.origin()), (Some("server.example.com"), Some("http://example.com")));
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["chat", "superchat"]);
    server.accept(Accept::default()).unwrap();
    assert_eq!(server.0.agreement().subprotocol.as_deref(), Some("chat"));
}

#[test]
fn all_that_http_allows() {
    for (from, to) in [
        ("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        ("Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade"),
        ("Connection: Upgrade", "Connection:,, uPGRADE ,,"),
        // §4.2.1: fields that "include" the word, as often as they do.
        ("Connection: Upgrade", "Connection: Upgrade, upgrade"),
        ("Connection: Upgrade", "Connection: Upgrade\r\nConnection: Upgrade"),
        ("Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: WebSocket"),
        ("Upgrade: websocket", "upgrade: WebSocket"),
        ("Upgrade: websocket", "Upgrade: h2c, websocket"),
        ("Upgrade: websocket", "Upgrade:\r\nUpgrade: \t websocket \t"),
        ("Sec-WebSocket-Version: 13", "SEC-WEBSOCKET-VERSION:13"),
        ("GET / ", "GET /a/%20?q=1&r[]=2 "),
        ("GET / ", "GET http://example.com/ "),
        // Browsers send these as they are.
        ("GET / ", "GET /[]|^{}`%\"<>\\?ids[]=1&%zz "),
        ("GET / HTTP/1.1\r\nHost: example.com", "GET ws://example.com HTTP/1.1\r\nHost:"),
        ("GET / ", "\r\nGET / "),
        ("Host: example.com", "Host: example.com:9001"),
        ("Host: example.com", "Host: [::1]"),
        ("Host: example.com", "Host: [::1]:80"),
        ("Host: example.com", "Host: 127.0.0.1"),
        ("Host: example.com", "Host: example.com\r\nContent-Length: 0"),
        ("Host: example.com", "Host: example.com\r\nX: caf\u{e9}"),
        ("Host: example.com", "Host: example.com\r\nSec-WebSocket-Extensions: permessage-deflate; a=\"1\", x"),
        ("Host: example.com", "Host: example.com\r\nSec-WebSocket-Protocol: a,,b\r\nSec-WebSocket-Protocol: c"),
    ] {
        let answer = accepted(&changed(from, to));
        assert!(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(!answer.contains("Extensions") && !answer.contains("Protocol:"));
    }
}

#[test]
fn wrong_requests_get_right_answers() {
    for (from, to, error, status) in [
        ("GET / HTTP/1.1", "POST / HTTP/1.1", E::MethodNotGet, 405),
        ("GET / HTTP/1.1", "get / HTTP/1.1", E::MethodNotGet, 405),
        ("GET / HTTP/1.1", "CONNECT example.com:80 HTTP/1.1", E::MethodNotGet, 405),
        ("HTTP/1.1", "HTTP/1.0", E::HttpVersionTooOld, 400),
        ("HTTP/1.1", "HTTP/2.0", E::HttpVersionUnknown, 505),
        ("GET / HTTP/1.1", "GET /", E::MalformedHead, 400),
        ("GET / HTTP/1.1", "GET  / HTTP/1.1", E::MalformedHead, 400),
        ("GET / HTTP/1.1", "GET / HTTP/1.1 ", E::MalformedHead, 400),
        ("GET /", "GET /#frag", E::TargetFragment, 400),
        ("GET /", "GET *", E::TargetInvalid, 400),
        ("GET /", "GET /\u{e9}", E::TargetInvalid, 400),
        ("GET /", "GET http://a\\@example.com/", E::TargetInvalid, 400),
        ("GET /", "GET chat", E::TargetInvalid, 400),
        ("GET /", "GET example.com:80", E::TargetInvalid, 400),
        ("GET /", "GET ftp://example.com/", E::TargetInvalid, 400),
        ("Host: example.com\r\n", "", E::HostInvalid, 400),
        ("Host: example.com", "Host: a\r\nHost: a", E::HostInvalid, 400),
        ("Host: example.com", "Host: a\r\nhost: b", E::HostInvalid, 400),
        ("Host: example.com", "Host:", E::HostInvalid, 400),
        ("Host: example.com", "Host: a b", E::HostInvalid, 400),
        ("Host: example.com", "Host: a/b", E::HostInvalid, 400),
        ("Host: example.com", "Host: u@a", E::HostInvalid, 400),
        ("Host: example.com", "Host: a:b", E::HostInvalid, 400),
        ("Host: example.com", "Host: a:65536", E::HostInvalid, 400),
        ("Host: example.com", "Host: [::g]", E::HostInvalid, 400),
        ("Host: example.com", "Host: a,b:1:2", E::HostInvalid, 400),
        ("Upgrade: websocket\r\n", "", E::UpgradeInvalid, 400),
        ("Upgrade: websocket", "Upgrade: websockets", E::UpgradeInvalid, 400),
        ("Upgrade: websocket", "Upgrade: websocket/13", E::UpgradeInvalid, 400),
        ("Upgrade: websocket", "Upgrade: web socket", E::UpgradeInvalid, 400),
        ("Upgrade: websocket", "Upgrade: websocket, a/b/c", E::UpgradeInvalid, 400),
        ("Upgrade: websocket", "Upgrade: websocket, a/b c", E::UpgradeInvalid, 400),
        ("Connection: Upgrade", "Connection: Upgrade, a/b/c/d e", E::ConnectionInvalid, 400),
        ("Connection: Upgrade\r\n", "", E::ConnectionInvalid, 400),
        ("Connection: Upgrade", "Connection: close", E::ConnectionInvalid, 400),
        ("Connection: Upgrade", "Connection: Upgrade, a/1", E::ConnectionInvalid, 400),
        ("Connection: Upgrade", "Connection: \"Upgrade\"", E::ConnectionInvalid, 400),
        ("Sec-WebSocket-Version: 13\r\n", "", E::VersionMissing, 400),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13", E::VersionMissing, 400),
        ("Version: 13", "Version: 8", E::VersionUnsupported, 426),
        ("Version: 13", "Version: 13, 8", E::VersionUnsupported, 426),
        ("Version: 13", "Version: 013", E::VersionUnsupported, 426),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", E::KeyInvalid, 400),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key", E::KeyInvalid, 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ", E::KeyInvalid, 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=Q", E::KeyInvalid, 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSE=", E::KeyInvalid, 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "", E::KeyInvalid, 400),
        ("Host:", "Content-Length: 5\r\nHost:", E::RequestBody, 400),
        ("Host:", "Content-Length: x\r\nHost:", E::RequestBody, 400),
        ("Host:", "Content-Length:\r\nHost:", E::RequestBody, 400),
        ("Host:", "Content-Length: 0\r\nContent-Length: 1\r\nHost:", E::RequestBody, 400),
        ("Host:", "Transfer-Encoding: chunked\r\nHost:", E::RequestBody, 400),
        ("Host:", "Sec-WebSocket-Protocol: a, b c\r\nHost:", E::SubprotocolsInvalid, 400),
        ("Host:", "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: a\r\nHost:", E::SubprotocolsInvalid, 400),
        ("Host:", "Sec-WebSocket-Extensions: a;;\r\nHost:", E::ExtensionsInvalid, 400),
        ("Host: ", "Host : ", E::MalformedHead, 400),
        ("Host: ", "Host\t: ", E::MalformedHead, 400),
        ("Host: ", ": x\r\nHost: ", E::MalformedHead, 400),
        ("Host: ", "no colon\r\nHost: ", E::MalformedHead, 400),
        ("\r\nUpgrade", "\r\n folded\r\nUpgrade", E::FoldedHeader, 400),
        ("\r\nUpgrade", "\r\n\tfolded\r\nUpgrade", E::FoldedHeader, 400),
        ("\r\nUpgrade", "\nUpgrade", E::BareLineFeed, 400),
        ("GET / HTTP/1.1\r\n", "GET / HTTP/1.1\n", E::BareLineFeed, 400),
        ("example.com", "exam\0ple.com", E::ControlCharacter, 400),
        ("example.com", "exam\rple.com", E::ControlCharacter, 400),
        ("example.com", "exam\x7fple.com", E::ControlCharacter, 400),
        ("GET /", "GET /\x01", E::ControlCharacter, 400),
    ] {
        let answer = refused(changed(from, to), error, status);
        assert_eq!(error.status(), Some(status));
        assert_eq!(answer.contains("\r\nAllow: GET\r\n"), status == 405);
        let says_version = status == 426 || error == E::VersionMissing;
        assert_eq!(answer.contains("\r\nSec-WebSocket-Version: 13\r\n"), says_version, "{answer}");
    }
}

#[test]
fn limits_hold_while_the_head_arrives() {
    let mut config = HandshakeConfig::default();
    config.max_head = 300;
    config.max_headers = 6;
    let long_target = format!("GET /{}", "a".repeat(400));
    let (verdict, answer) = ask_with(&config, long_target.as_bytes());
    assert_eq!(verdict, Err(E::TargetTooLong { limit: 300 }));
    assert!(answer.starts_with("HTTP/1.1 414 "));

    let long_value = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(400));
    let (verdict, answer) = ask_with(&config, long_value.as_bytes());
    assert_eq!(verdict, Err(E::HeadTooLarge { limit: 300 }));
    assert!(answer.starts_with("HTTP/1.1 431 "));

    let many = format!("GET / HTTP/1.1\r\n{}", "X:\r\n".repeat(7));
    let (verdict, answer) = ask_with(&config, many.as_bytes());
    assert_eq!(verdict, Err(E::TooManyHeaders { limit: 6 }));
    assert!(answer.starts_with("HTTP/1.1 431 "));

    let mut exact = get("/", UPGRADE);
    config.max_head = exact.len();
    config.max_headers = 5;
    assert_eq!(ask_with(&config, exact.as_bytes()).0, Ok(true));
    config.max_head -= 1;
    assert_eq!(ask_with(&config, exact.as_bytes()).0, Err(E::HeadTooLarge { limit: exact.len() - 1 }));
    config.max_head = 1000;
    config.max_headers = 4;
    assert_eq!(ask_with(&config, exact.as_bytes()).0, Err(E::TooManyHeaders { limit: 4 }));
    // The defaults.
    exact = get("/", &format!("{UPGRADE}X: {}\r\n", "a".repeat(16 * 1024)));
    let mut server = Opening::server(HandshakeConfig::default());
    assert_eq!(server.give(&mut exact.as_bytes()), Err(E::HeadTooLarge { limit: 16 * 1024 }));
}

#[test]
fn origins() {
    let with = |origin: &str| get("/", &format!("{UPGRADE}{origin}"));
    let mut config = HandshakeConfig::default();
    assert_eq!(ask_with(&config, with("Origin: https://anywhere.example\r\n").as_bytes()).0, Ok(true));
    config.origins = Origins::Only(vec!["https://a.example".into(), "https://b.example:8443".into()]);
    for (origin, welcome) in [
        ("Origin: https://a.example\r\n", true),
        ("Origin: https://b.example:8443\r\n", true),
        ("Origin: HTTPS://A.example\r\n", true),
        ("", false),
        ("Origin: null\r\n", false),
        ("Origin: http://a.example\r\n", false),
        ("Origin: https://a.example:443\r\n", false),
        ("Origin: https://a.example.evil.example\r\n", false),
        ("Origin: https://evil.example/https://a.example\r\n", false),
    ] {
        let (verdict, answer) = ask_with(&config, with(origin).as_bytes());
        assert_eq!(verdict, if welcome { Ok(true) } else { Err(E::OriginRefused) }, "{origin}");
        assert_eq!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), !welcome);
    }
    config.origins = Origins::OnlyOrAbsent(vec!["https://a.example".into()]);
    for (origin, welcome) in [
        ("", true),
        ("Origin: https://a.example\r\n", true),
        ("Origin: https://b.example\r\n", false),
        ("Origin: null\r\n", false),
        ("Origin:\r\n", false),
    ] {
        let verdict = ask_with(&config, with(origin).as_bytes()).0;
        assert_eq!(verdict, if welcome { Ok(true) } else { Err(E::OriginRefused) }, "{origin}");
    }
    let twice = with("Origin: https://a.example\r\nOrigin: https://a.example\r\n");
    assert!(ask_with(&config, twice.as_bytes()).0.is_err());
}

/// A server at which a request has arrived that is in order.
fn deciding(config: &HandshakeConfig, fields: &str) -> Opening {
    let mut server = Opening::server(config.clone());
    assert_eq!(server.give(&mut get("/", &format!("{UPGRADE}{fields}")).as_bytes()), Ok(true));
    server
}

#[test]
fn an_application_may_choose() {
    let mut server = deciding(&HandshakeConfig::default(), "Sec-WebSocket-Protocol: a, b\r\n");
    assert_eq!(server.accept(Accept::default().subprotocol("c")), Err(E::SubprotocolNotOffered));
    for reserved in ["Upgrade", "connection", "Sec-WebSocket-Accept", "sec-websocket-extensions", "Content-Length"] {
        assert_eq!(Accept::default().header(reserved, "x").unwrap_err(), E::HeaderReserved, "{reserved}");
    }
    assert_eq!(Accept::default().header("X", "a\r\nY: b").unwrap_err(), E::HeaderValueInvalid);
    // Mistakes change nothing: the request waits still.
    assert_eq!((server.said(), server.request().path()), (String::new(), "/"));
    let answer = Accept::default().subprotocol("b").header("Set-Cookie", "x=1").unwrap();
    server.accept(answer.header("set-cookie", "y=2").unwrap()).unwrap();
    assert_eq!(server.0.agreement().subprotocol.as_deref(), Some("b"));
    let answer = server.said();
    assert!(
        answer.ends_with("\r\nSec-WebSocket-Protocol: b\r\nSet-Cookie: x=1\r\nset-cookie: y=2\r\n\r\n"),
        "{answer}"
    );
    // What is decided stays decided.
    assert_eq!(server.reject(Response::new(404)), Err(E::NothingToDecide));
    assert_eq!(server.said(), answer);
}

#[test]
fn the_answer_is_asked_before_the_configuration() {
    let mut config = HandshakeConfig::default();
    config.subprotocols = vec!["b".into()];
    for (answer, chosen) in [
        (Accept::default(), Some("b")),
        (Accept::default().subprotocol("a"), Some("a")),
        (Accept::default().subprotocol("a").no_subprotocol(), None),
    ] {
        let mut server = deciding(&config, "Sec-WebSocket-Protocol: a, b\r\n");
        let shown = format!("{answer:?}");
        server.accept(answer).unwrap();
        assert_eq!(server.0.agreement().subprotocol.as_deref(), chosen, "{shown}");
        let sent = server.said();
        assert_eq!(sent.contains("Sec-WebSocket-Protocol"), chosen.is_some(), "{sent}");
    }
}

#[test]
fn an_application_may_reject() {
    let mut server = deciding(&HandshakeConfig::default(), "");
    let response = Response::new(401).header("WWW-Authenticate", "Bearer").unwrap().body("who?");
    server.reject(response).unwrap();
    let answer =
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nConnection: close\r\nContent-Length: 4\r\n\r\nwho?";
    assert_eq!(server.said(), answer);
    assert_eq!(server.accept(Accept::default()), Err(E::NothingToDecide));
    assert_eq!(server.reject(Response::new(404)), Err(E::NothingToDecide));
    assert_eq!(server.give(&mut &b"more"[..]), Err(E::Rejected { status: 401 }));
    assert_eq!(server.said(), answer);
}

#[test]
fn no_header_can_be_smuggled() {
    for (name, value) in [("X\r\nY", "z"), ("", "z"), ("X Y", "z"), ("X:", "z")] {
        assert_eq!(Response::new(403).header(name, value).unwrap_err(), E::HeaderNameInvalid);
    }
    for value in ["a\r\nSet-Cookie: b", "a\nb", "a\0b"] {
        assert_eq!(Response::new(403).header("X", value).unwrap_err(), E::HeaderValueInvalid);
    }
    for name in ["Content-Length", "transfer-encoding", "Connection"] {
        assert_eq!(Response::new(403).header(name, "1").unwrap_err(), E::HeaderReserved);
    }
}

/// There is no order of calls that a server must be protected from.
#[test]
fn calls_out_of_order_do_no_harm() {
    let mut server = Opening::server(HandshakeConfig::default());
    assert_eq!(server.accept(Accept::default()), Err(E::NothingToDecide));
    assert_eq!(server.reject(Response::new(403)), Err(E::NothingToDecide));
    server.0.handle_transmitted(1000, openline::Time::ZERO);
    assert!(server.sent().is_empty() && server.0.request().is_none() && server.response().is_none());
    assert_eq!(server.0.send("early"), Err(openline::SendError::NotOpen));
    assert_eq!(server.give(&mut get("/", UPGRADE).as_bytes()), Ok(true));
    // It is told of once, and stays there for whoever asks.
    assert_eq!(server.give(&mut &b""[..]), Ok(false));
    assert_eq!(server.request().path(), "/");
    server.accept(Accept::default()).unwrap();
    assert_eq!(server.0.request(), None);
}
