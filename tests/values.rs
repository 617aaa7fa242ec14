//! The opening handshake as values, for programs whose HTTP is another library's: the same rules as over bytes.

use openline::{
    Accept, Client, ClientRequest, Config, Connection, Event, HandshakeConfig, HandshakeError, Headers, Origins,
    Refusal, Request, Response, Role, Server, Time,
};

const USUAL: [(&str, &str); 5] = [
    ("Host", "example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

fn with(mut request: Request, fields: &[(&str, &str)]) -> Request {
    for (name, value) in fields {
        request = request.header(name, value).unwrap();
    }
    request
}

fn changed(mut request: Request, change: impl FnOnce(&mut Request)) -> Request {
    change(&mut request);
    request
}

fn upgrade() -> Request {
    with(Request::new("GET", "/chat?a=b"), &USUAL)
}

fn connect(fields: &[(&str, &str)]) -> Request {
    with(Request::extended_connect("https://example.com/chat", "websocket"), fields)
}

fn fields(headers: &Headers) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_owned(), String::from_utf8(value.to_vec()).unwrap())).collect()
}

fn refused(server: &Server, request: &Request) -> (HandshakeError, Response) {
    let Refusal { error, response, .. } = server.answer(request, &Accept::default()).unwrap_err();
    (error, response)
}

/// The request as bytes of HTTP/1.1, what a connection makes of it, and what it sends.
fn over_bytes(server: &Server, request: &Request, accept: Accept) -> (Result<(), HandshakeError>, Vec<u8>) {
    let mut bytes =
        format!("{} {} HTTP/{}.{}\r\n", request.method, request.target, request.version.0, request.version.1);
    for (name, value) in fields(&request.headers) {
        bytes += &format!("{name}: {value}\r\n");
    }
    bytes += "\r\n";
    let mut bytes = bytes.into_bytes();
    let mut connection = Connection::server(server, Time::ZERO);
    let verdict = match connection.receive(&mut &mut bytes[..], Time::ZERO) {
        Ok(Some(Event::Request)) => connection.accept(accept, Time::ZERO),
        Err(openline::Fault::Opening(error)) => Err(error),
        other => panic!("{other:?}"),
    };
    let sent = connection.transmits().flatten().copied().collect();
    (verdict, sent)
}

#[test]
fn an_upgrade_is_answered_with_101() {
    let mut handshake = HandshakeConfig::default();
    handshake.subprotocols = vec!["b".into()];
    let server = Server::default().handshake(handshake);
    let request = with(upgrade(), &[("Sec-WebSocket-Protocol", "a, b")]);
    let accept = Accept::default().header("Set-Cookie", "seen=1").unwrap();
    let (response, upgrade) = server.answer(&request, &accept).unwrap();
    assert_eq!((response.status, &response.body[..]), (101, &b""[..]));
    let expected = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("Sec-WebSocket-Protocol", "b"),
        ("Set-Cookie", "seen=1"),
    ];
    assert_eq!(fields(&response.headers), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(upgrade.role(), Role::Server);
    assert_eq!(upgrade.agreement().subprotocol.as_deref(), Some("b"));
    // The connection behind it is like any other.
    let mut connection = Connection::new(upgrade, Config::default(), Time::ZERO);
    let mut hello = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    let event = connection.receive(&mut &mut hello[..], Time::ZERO);
    assert!(matches!(event, Ok(Some(Event::Message(message))) if message == openline::Message::from("Hello")));
}

/// RFC 8441 §5: 200, and nothing that belongs to the connection below (RFC 9113 §8.2.2).
#[test]
fn an_extended_connect_is_answered_with_200() {
    for (version, protocol) in [((2, 0), "websocket"), ((2, 0), "WebSocket"), ((3, 0), "websocket")] {
        for more in [&[][..], &[("Sec-WebSocket-Version", "13")], &USUAL] {
            let mut request = connect(more);
            (request.version, request.protocol) = (version, Some(protocol.into()));
            let (response, upgrade) = Server::default().answer(&request, &Accept::default()).unwrap();
            assert_eq!((response.status, response.headers.len()), (200, 0), "{more:?}");
            assert_eq!(upgrade.role(), Role::Server);
        }
    }
    // The target may come without its authority.
    let request = Request::extended_connect("/chat", "websocket");
    assert_eq!(Server::default().answer(&request, &Accept::default()).unwrap().0.status, 200);
}

#[test]
fn what_is_wrong_with_an_extended_connect_is_said_without_words_of_http_1() {
    let server = Server::default();
    let version = |value: &str| connect(&[("Sec-WebSocket-Version", value)]);
    let twice = connect(&[("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Version", "13")]);
    let mut handshake = HandshakeConfig::default();
    handshake.origins = Origins::Only(vec!["https://example.com".into()]);
    let choosy = Server::default().handshake(handshake);
    let (other, get) =
        (Request::extended_connect("/", "connect-udp"), changed(connect(&[]), |request| request.method = "GET".into()));
    let plain = changed(connect(&[]), |request| request.protocol = None);
    let fragment = Request::extended_connect("https://example.com/#a", "websocket");
    for (server, request, error, status) in [
        (&server, version("8"), HandshakeError::VersionUnsupported, 400),
        (&server, twice, HandshakeError::VersionMissing, 400),
        (&server, other, HandshakeError::ProtocolUnsupported, 501),
        (&server, get, HandshakeError::MalformedHead, 400),
        // RFC 9110 §9.3.6: a CONNECT without `:protocol` is for a proxy.
        (&server, plain, HandshakeError::NotUpgrade, 400),
        (&server, fragment, HandshakeError::TargetFragment, 400),
        (&server, connect(&[("Sec-WebSocket-Protocol", "a, a")]), HandshakeError::SubprotocolsInvalid, 400),
        (&choosy, connect(&[("Origin", "https://evil.example")]), HandshakeError::OriginRefused, 403),
        (&choosy, connect(&[]), HandshakeError::OriginRefused, 403),
    ] {
        let (found, response) = refused(server, &request);
        assert_eq!((found, response.status), (error, status));
        for name in ["Upgrade", "Connection", "Content-Length", "Transfer-Encoding", "Keep-Alive"] {
            assert!(!response.headers.contains(name), "{name} in the answer to {error:?}");
        }
        let says_version = matches!(
            error,
            HandshakeError::VersionUnsupported | HandshakeError::VersionMissing | HandshakeError::NotUpgrade
        );
        assert_eq!(response.headers.get("Sec-WebSocket-Version"), says_version.then_some("13"));
        assert!(!response.body.is_empty());
    }
}

/// RFC 9110 §15.5.22, §7.8: a 426 names what it wants, and the field that says so.
#[test]
fn what_is_wrong_with_an_upgrade_has_the_status_of_http_1() {
    let get = |fields: &[(&str, &str)]| with(Request::new("GET", "/"), fields);
    let mut old = USUAL;
    old[3].1 = "8";
    let post = changed(upgrade(), |request| request.method = "POST".into());
    for (request, status, upgrade) in [
        (get(&[("Host", "h")]), 426, true),
        (get(&old), 426, true),
        (get(&USUAL[..3]), 400, true),
        (get(&USUAL[..4]), 400, false),
        (post, 405, false),
    ] {
        let (error, response) = refused(&Server::default(), &request);
        assert_eq!((response.status, error.status()), (status, Some(status)));
        assert_eq!(response.headers.get("Upgrade"), upgrade.then_some("websocket"));
        assert_eq!(response.headers.get("Connection"), upgrade.then_some("Upgrade"));
        assert_eq!(response.headers.get("Sec-WebSocket-Version"), upgrade.then_some("13"));
        assert_eq!(response.headers.get("Allow"), (status == 405).then_some("GET"));
    }
}

/// Values and bytes are judged by one set of rules: all that is left out, doubled or changed has the same error, and
/// what is accepted the same fields.
#[test]
fn values_and_bytes_are_judged_alike() {
    let mut handshake = HandshakeConfig::default();
    handshake.subprotocols = vec!["b".into()];
    handshake.origins = Origins::OnlyOrAbsent(vec!["https://example.com".into()]);
    let server = Server::default().handshake(handshake);
    let more = [
        ("Origin", "https://example.com"),
        ("Sec-WebSocket-Protocol", "a, b"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
    ];
    let all: Vec<_> = USUAL.into_iter().chain(more).collect();
    let mut judged = 0;
    for at in 0..all.len() {
        for change in ["", "x", "websocket", "13", "a,a", "https://evil.example", ";", "twice", "none"] {
            let mut fields = all.clone();
            match change {
                "twice" => fields.push(all[at]),
                "none" => drop(fields.remove(at)),
                value => fields[at].1 = value,
            }
            for (method, target, version) in
                [("GET", "/", (1, 1)), ("POST", "/", (1, 1)), ("GET", "x", (1, 1)), ("GET", "/", (1, 0))]
            {
                let request = changed(with(Request::new(method, target), &fields), |request| request.version = version);
                let (verdict, sent) = over_bytes(&server, &request, Accept::default());
                let sent = String::from_utf8(sent).unwrap();
                let (status, answer) = match server.answer(&request, &Accept::default()) {
                    Ok((response, _)) => (Ok(response.status), response),
                    Err(refusal) => (Err(refusal.error), refusal.response),
                };
                assert_eq!(status.map(|_| ()), verdict, "{request:?}");
                assert_eq!(server.judge(&request).map_err(|refusal| refusal.error), verdict, "{request:?}");
                assert!(sent.starts_with(&format!("HTTP/1.1 {} ", answer.status)), "{sent}");
                for (name, value) in answer.headers.iter().filter(|(name, _)| *name != "Connection") {
                    assert!(
                        sent.contains(&format!("{name}: {}\r\n", String::from_utf8_lossy(value))),
                        "{name} in {sent}"
                    );
                }
                judged += 1;
            }
        }
    }
    assert_eq!(judged, 8 * 9 * 4);
}

#[test]
fn a_choice_that_was_not_offered_is_the_programs_mistake() {
    let refusal = Server::default().answer(&upgrade(), &Accept::default().subprotocol("a")).unwrap_err();
    assert_eq!((refusal.error, refusal.response.status), (HandshakeError::SubprotocolNotOffered, 500));
    assert_eq!(refusal.to_string(), "opening handshake refused with status 500");
    assert_eq!(std::error::Error::source(&refusal).unwrap().to_string(), refusal.error.to_string());
}

#[test]
fn a_client_asks_and_judges() {
    let request = ClientRequest::new("wss://u:p@example.com:8443/a?b").unwrap().subprotocol("a").unwrap();
    let client = Client::new(request.header("Origin", "https://example.com").unwrap());
    let mut handshake = HandshakeConfig::default();
    handshake.subprotocols = vec!["a".into()];
    let server = Server::default().handshake(handshake);

    let (request, pending) = client.upgrade_request([7; 32]);
    assert_eq!((&*request.method, &*request.target, request.version), ("GET", "/a?b", (1, 1)));
    assert_eq!(request.host(), Some("example.com:8443"));
    let (response, _) = server.answer(&request, &Accept::default()).unwrap();
    let upgrade = pending.confirm(&response).unwrap();
    assert_eq!((upgrade.role(), upgrade.agreement().subprotocol.as_deref()), (Role::Client, Some("a")));

    let (request, pending) = client.connect_request([7; 32]);
    assert_eq!((&*request.method, request.version), ("CONNECT", (2, 0)));
    assert_eq!((request.protocol.as_deref(), request.host()), (Some("websocket"), Some("example.com:8443")));
    assert_eq!(request.target, "https://example.com:8443/a?b");
    for name in ["Connection", "Upgrade", "Host", "Sec-WebSocket-Key"] {
        assert!(!request.headers.contains(name), "{name}");
    }
    assert_eq!(request.headers.get("Authorization"), Some("Basic dTpw"));
    let (response, _) = server.answer(&request, &Accept::default()).unwrap();
    assert_eq!(pending.confirm(&response).unwrap().agreement().subprotocol.as_deref(), Some("a"));
}

#[test]
fn a_client_takes_no_other_answer() {
    let client = Client::new(ClientRequest::new("ws://example.com/").unwrap());
    let confirm = |connect: bool, response: &Response| {
        let (_, pending) = if connect { client.connect_request([7; 32]) } else { client.upgrade_request([7; 32]) };
        pending.confirm(response).map(drop)
    };
    for status in [100, 101, 200, 204, 299, 302, 404, 501] {
        let said_no = Err(HandshakeError::Refused { status });
        let upgrade = if status == 101 { Err(HandshakeError::UpgradeInvalid) } else { said_no };
        assert_eq!(confirm(false, &Response::new(status)), upgrade);
        let connect = if (200..300).contains(&status) { Ok(()) } else { said_no };
        assert_eq!(confirm(true, &Response::new(status)), connect);
    }
    let chosen = Response::new(200).header("Sec-WebSocket-Protocol", "a").unwrap();
    assert_eq!(confirm(true, &chosen), Err(HandshakeError::SubprotocolNotOffered));
    let extension = Response::new(200).header("Sec-WebSocket-Extensions", "x-a").unwrap();
    assert_eq!(confirm(true, &extension), Err(HandshakeError::ExtensionNotOffered));
}

#[test]
fn debug_shows_no_key() {
    let (_, pending) = Client::new(ClientRequest::new("ws://h/").unwrap()).upgrade_request([7; 32]);
    assert_eq!(format!("{pending:?}"), "PendingUpgrade { .. }");
}

#[cfg(feature = "deflate")]
#[test]
fn compression_is_agreed_over_every_version_of_http() {
    let mut handshake = HandshakeConfig::default();
    handshake.deflate = vec![openline::Deflate::default()];
    let server = Server::default().handshake(handshake.clone());
    let client = Client::new(ClientRequest::new("ws://h/").unwrap()).handshake(handshake);
    for (request, pending) in [client.upgrade_request([7; 32]), client.connect_request([7; 32])] {
        let (response, theirs) = server.answer(&request, &Accept::default()).unwrap();
        let ours = pending.confirm(&response).unwrap();
        assert!(ours.agreement().deflate.is_some() && ours.agreement() == theirs.agreement());
        let (response, theirs) = server.answer(&request, &Accept::default().uncompressed()).unwrap();
        assert!(!response.headers.contains("Sec-WebSocket-Extensions") && theirs.agreement().deflate.is_none());
    }
}

/// What other libraries have read comes over whole, and goes back.
#[cfg(feature = "http")]
#[test]
fn values_of_the_http_crate() {
    let mut request = http::Request::get("/chat?a=[b]").version(http::Version::HTTP_11);
    for (name, value) in USUAL {
        request = request.header(name, value);
    }
    let request = request.header("cookie", "a=1").header("cookie", "b=\u{e9}").body("ignored").unwrap();
    let value = Request::from_http(&request, None);
    assert_eq!(Request::from_http_parts(&request.into_parts().0, None), value);
    assert_eq!((&*value.method, &*value.target, value.version, &value.protocol), ("GET", "/chat?a=[b]", (1, 1), &None));
    assert_eq!(value.headers.get_all("Cookie").collect::<Vec<_>>(), [&b"a=1"[..], "b=\u{e9}".as_bytes()]);
    let (response, _) = Server::default().answer(&value, &Accept::default()).unwrap();
    let response = response.to_http().unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["upgrade"].as_bytes()), (101, &b"websocket"[..]));
    let back = Response::from_http(&response);
    assert_eq!((back.status, back.headers.len()), (101, 3));

    let client = Client::new(ClientRequest::new("wss://example.com/a?b").unwrap());
    let (request, pending) = client.connect_request([7; 32]);
    let request = request.to_http().unwrap();
    assert_eq!((request.method(), request.version()), (&http::Method::CONNECT, http::Version::HTTP_2));
    assert_eq!(request.uri(), "https://example.com/a?b");
    let read = Request::from_http(&request, Some("websocket"));
    let (response, _) = Server::default().answer(&read, &Accept::default()).unwrap();
    assert!(pending.confirm(&Response::from_http(&response.to_http().unwrap())).is_ok());
    for (version, numbers) in [
        (http::Version::HTTP_09, (0, 9)),
        (http::Version::HTTP_10, (1, 0)),
        (http::Version::HTTP_11, (1, 1)),
        (http::Version::HTTP_2, (2, 0)),
        (http::Version::HTTP_3, (3, 0)),
    ] {
        let request = http::Request::get("/").version(version).body(()).unwrap();
        assert_eq!(Request::from_http(&request, None).version, numbers);
    }
}
