//! Requests that do not ask for a WebSocket: told what this server speaks, or answered by the
//! application's hook.

#[path = "common/opening.rs"]
mod opening;

use std::sync::{Arc, Mutex};

use opening::Opening;
use openline::HandshakeError as E;
use openline::{HandshakeConfig, HandshakeError, Response};

/// What the server makes of a request, fed whole and byte by byte: the error and the answer.
fn ask(config: &Arc<HandshakeConfig>, request: &str) -> (HandshakeError, String) {
    let answer = |chunk: usize| {
        let mut server = Opening::server(Arc::clone(config));
        let mut error = None;
        for mut piece in request.as_bytes().chunks(chunk) {
            if error.is_none() {
                error = server.give(&mut piece).err();
            }
        }
        (error.expect("it is no upgrade"), server.said())
    };
    assert_eq!(answer(1), answer(request.len()), "{request}");
    answer(request.len())
}

/// A configuration whose hook answers with what it has seen.
fn hooked() -> Arc<HandshakeConfig> {
    let mut config = HandshakeConfig::default();
    config.on_plain_request = Some(Arc::new(|request| {
        let seen = format!("{} {} {:?}", request.method, request.path(), request.host());
        Response::new(200).header("X-Seen", &seen).unwrap().body(seen)
    }));
    Arc::new(config)
}

#[test]
fn a_hook_answers_what_is_valid_and_no_upgrade() {
    for (request, seen) in [
        ("GET /a?b HTTP/1.1\r\nHost: h:1\r\n\r\n", "GET /a Some(\"h:1\")"),
        ("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "GET / Some(\"h\")"),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / Some(\"\")"),
        ("GET http://x/a HTTP/1.1\r\nHost:\r\n\r\n", "GET /a Some(\"x\")"),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "GET / Some(\"h\")"),
        ("GET /health HTTP/1.0\r\n\r\n", "GET /health None"),
        ("GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", "GET / Some(\"h\")"),
        ("HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD /a Some(\"h\")"),
        ("HEAD / HTTP/1.0\r\n\r\n", "HEAD / None"),
        ("OPTIONS /a HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS /a Some(\"h\")"),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * Some(\"h\")"),
        ("OPTIONS * HTTP/1.0\r\n\r\n", "OPTIONS * None"),
    ] {
        let (error, answer) = ask(&hooked(), request);
        // RFC 9110 §9.3.2: the headers of an answer to HEAD say what GET would send; its body does not come.
        let body = if request.starts_with("HEAD") { "" } else { seen };
        let expected = format!(
            "HTTP/1.1 200 OK\r\nX-Seen: {seen}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            seen.len()
        );
        assert_eq!((error, answer), (E::NotUpgrade, expected), "{request}");
    }
}

#[test]
fn a_hook_does_not_see_what_is_wrong_or_has_a_body_or_is_to_be_an_upgrade() {
    use opening::UPGRADE;
    for (request, error) in [
        ("GET / HTTP/1.1\r\n\r\n", E::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", E::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", E::HostInvalid),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", E::HttpVersionTooOld),
        ("GET * HTTP/1.1\r\nHost: h\r\n\r\n", E::TargetInvalid),
        ("GET /#a HTTP/1.1\r\nHost: h\r\n\r\n", E::TargetFragment),
        ("HEAD * HTTP/1.1\r\nHost: h\r\n\r\n", E::MethodNotGet),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n", E::RequestBody),
        ("OPTIONS / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", E::MethodNotGet),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", E::MethodNotGet),
        ("DELETE / HTTP/1.1\r\nHost: h\r\n\r\n", E::MethodNotGet),
        ("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", E::MethodNotGet),
        ("CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", E::MethodNotGet),
        ("GET / HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Version: 13\r\n\r\n", E::UpgradeInvalid),
        ("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket/13\r\n\r\n", E::UpgradeInvalid),
        (&format!("GET / HTTP/1.1\r\nHost:\r\n{UPGRADE}\r\n"), E::HostInvalid),
        (&format!("GET / HTTP/1.0\r\nHost: h\r\n{UPGRADE}\r\n"), E::HttpVersionTooOld),
        (&format!("HEAD / HTTP/1.1\r\nHost: h\r\n{UPGRADE}\r\n"), E::MethodNotGet),
    ] {
        let (found, answer) = ask(&hooked(), request);
        assert_eq!(found, error, "{request}");
        assert!(answer.starts_with(&format!("HTTP/1.1 {} ", error.status().unwrap())), "{answer}");
        assert!(!answer.contains("X-Seen"), "{answer}");
    }
}

#[test]
fn without_a_hook_each_has_its_status() {
    let config = Arc::new(HandshakeConfig::default());
    for (request, error, status) in [
        ("GET /page?x HTTP/1.1\r\nHost: h\r\n\r\n", E::NotUpgrade, 426),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", E::HostInvalid, 400),
        ("GET / HTTP/1.0\r\nHost: h\r\n\r\n", E::HttpVersionTooOld, 400),
        ("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", E::MethodNotGet, 405),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", E::MethodNotGet, 405),
        ("POST / HTTP/1.1\r\nHost: h\r\n\r\n", E::MethodNotGet, 405),
    ] {
        let (found, answer) = ask(&config, request);
        assert_eq!(found, error, "{request}");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let options = if status == 426 { "Upgrade, close" } else { "close" };
        assert!(answer.contains(&format!("\r\nConnection: {options}\r\n")), "{answer}");
        assert_eq!(answer.contains("\r\nUpgrade: websocket\r\n"), status == 426, "{answer}");
    }
}

/// A hook is called once for a request, and for none that is accepted or rejected.
#[test]
fn a_hook_is_called_once() {
    let calls = Arc::new(Mutex::new(0));
    let count = Arc::clone(&calls);
    let mut config = HandshakeConfig::default();
    config.on_plain_request = Some(Arc::new(move |_| {
        *count.lock().unwrap() += 1;
        Response::new(204)
    }));
    let config = Arc::new(config);
    let mut server = Opening::server(Arc::clone(&config));
    for _ in 0..3 {
        assert_eq!(server.give(&mut &b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..]), Err(E::NotUpgrade));
    }
    assert_eq!(*calls.lock().unwrap(), 1);
    assert!(server.said().starts_with("HTTP/1.1 204 "));
    // The hook has answered: nothing is left to decide.
    assert_eq!(server.reject(Response::new(404)), Err(E::NothingToDecide));
    assert!(server.said().starts_with("HTTP/1.1 204 "));

    let mut server = Opening::server(config);
    assert_eq!(server.give(&mut opening::get("/", opening::UPGRADE).as_bytes()), Ok(true));
    server.reject(Response::new(404)).unwrap();
    assert_eq!(*calls.lock().unwrap(), 1);
}
