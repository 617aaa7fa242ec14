//! The conversations with proxies, without IO: a CONNECT (RFC 9110 §9.3.6) and SOCKS5 (RFC 1928, RFC 1929).

use openline::{Client, ClientRequest, HandshakeConfig, HandshakeError as E, Proxy, ProxyError, Tunnel, UriPart};

fn client(uri: &str, proxy: &str) -> Client {
    Client::new(ClientRequest::new(uri).unwrap()).proxy(proxy.parse().unwrap())
}

/// What a client says to its proxy, which says these things one after the other; and how it ends: what comes behind the
/// proxy's last answer, or why there is no tunnel. The answers come in pieces of `cut` bytes.
fn talk_cut(client: &Client, answers: &[&[u8]], cut: usize) -> (Vec<u8>, Result<Vec<u8>, ProxyError>) {
    let mut tunnel = client.tunnel(None).unwrap();
    let mut said = Vec::new();
    let mut take = |tunnel: &mut Tunnel| {
        while let Some(&byte) = tunnel.next_transmit().first() {
            said.push(byte);
            tunnel.handle_transmitted(1);
        }
    };
    let mut open = false;
    let mut behind = Vec::new();
    for answer in answers {
        take(&mut tunnel);
        for piece in answer.chunks(cut) {
            if open {
                behind.extend_from_slice(piece);
                continue;
            }
            let mut input = piece;
            match tunnel.receive(&mut input) {
                Ok(now_open) => open = now_open,
                Err(error) => return (said, Err(error)),
            }
            assert!(open || input.is_empty());
            behind.extend_from_slice(input);
        }
    }
    take(&mut tunnel);
    (said, if open { Ok(behind) } else { Err(ProxyError::UnexpectedEof) })
}

/// As `talk_cut`, wherever the answers are cut.
fn talk(client: &Client, answers: &[&[u8]]) -> (Vec<u8>, Result<Vec<u8>, ProxyError>) {
    let whole = talk_cut(client, answers, usize::MAX);
    for cut in 1..20 {
        assert_eq!(talk_cut(client, answers, cut), whole, "cut into pieces of {cut}");
    }
    whole
}

#[test]
fn what_a_proxy_may_be() {
    for (uri, shown, host, port) in [
        ("http://proxy", "http://proxy:80", "proxy", 80),
        ("HTTP://Proxy:3128/", "http://proxy:3128", "proxy", 3128),
        ("http://u:p@[::1]:8080", "http://[::1]:8080", "::1", 8080),
        ("socks5://127.0.0.1", "socks5://127.0.0.1:1080", "127.0.0.1", 1080),
        ("socks5h://u@proxy:9050/", "socks5h://proxy:9050", "proxy", 9050),
    ] {
        let proxy: Proxy = uri.parse().unwrap();
        assert_eq!((&*proxy.to_string(), proxy.host(), proxy.port()), (shown, host, port));
        assert_eq!(format!("{proxy:?}"), format!("Proxy({shown})"), "no password");
    }
    let long = format!("socks5://{}:p@h", "n".repeat(256));
    for (uri, part) in [
        ("https://proxy", UriPart::Scheme),
        ("socks4://proxy", UriPart::Scheme),
        ("proxy:3128", UriPart::Scheme),
        ("", UriPart::Scheme),
        ("http://", UriPart::Host),
        ("http://pro xy", UriPart::Host),
        ("http://proxy:0", UriPart::Port),
        ("http://proxy/path", UriPart::Path),
        ("http://proxy?query", UriPart::Path),
        ("http://a b@proxy", UriPart::Userinfo),
        ("http://a%0d%0a:b@proxy", UriPart::Userinfo),
        ("socks5://:password@proxy", UriPart::Userinfo),
        (&long, UriPart::Userinfo),
    ] {
        let refused = uri.parse::<Proxy>();
        assert!(matches!(refused, Err(E::UriInvalid { part: wrong, .. }) if wrong == part), "{uri}: {refused:?}");
    }
}

#[test]
fn a_connect_has_the_server_and_nothing_of_the_request() {
    let request = ClientRequest::new("ws://name:secret@example.com/path?token").unwrap();
    let request = request.header("Cookie", "c=1").unwrap().subprotocol("chat").unwrap();
    let client = Client::new(request).proxy("http://me:p%40ss@proxy".parse().unwrap());
    let (said, end) = talk(&client, &[b"HTTP/1.1 200 OK\r\n\r\n"]);
    let expected =
        "CONNECT example.com:80 HTTP/1.1\r\nHost: example.com:80\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n\r\n";
    assert_eq!(String::from_utf8(said).unwrap(), expected);
    assert_eq!(end, Ok(vec![]));
    for (uri, site) in [("wss://example.com/", "example.com:443"), ("ws://[::1]:81/", "[::1]:81")] {
        let (said, _) = talk(&self::client(uri, "http://proxy"), &[]);
        assert_eq!(String::from_utf8(said).unwrap(), format!("CONNECT {site} HTTP/1.1\r\nHost: {site}\r\n\r\n"));
    }
}

#[test]
fn a_tunnel_begins_behind_the_head_of_a_2xx() {
    let client = client("ws://h/", "http://proxy");
    for head in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 200\r\n\r\n",
        "HTTP/1.1 204 x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 299 x\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        for behind in ["", "HTTP/1.1 101 x\r\n\r\n", "\r\n\r\n"] {
            let (_, end) = talk(&client, &[head.as_bytes(), behind.as_bytes()]);
            assert_eq!(end.as_deref(), Ok(behind.as_bytes()), "{head}");
            let (_, end) = talk(&client, &[format!("{head}{behind}").as_bytes()]);
            assert_eq!(end.as_deref(), Ok(behind.as_bytes()), "{head}");
        }
    }
}

#[test]
fn a_refusal_is_reported_with_its_headers() {
    let client = client("ws://h/", "http://proxy");
    let mut tunnel = client.tunnel(None).unwrap();
    let answer = "HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 900\r\n\r\nbody";
    assert_eq!(tunnel.receive(&mut answer.as_bytes()), Err(ProxyError::Refused { status: 407 }));
    let response = tunnel.take_response().unwrap();
    assert_eq!((response.status, response.headers.get("Proxy-Authenticate")), (407, Some("Basic realm=\"x\"")));
    assert!(response.body.is_empty() && tunnel.take_response().is_none());
    for status in [101, 301, 403, 500, 600] {
        let answer = format!("HTTP/1.1 {status} x\r\n\r\n");
        assert_eq!(talk(&client, &[answer.as_bytes()]).1, Err(ProxyError::Refused { status }));
    }
}

#[test]
fn a_proxy_has_the_limits_of_a_server() {
    let mut config = HandshakeConfig::default();
    (config.max_head, config.max_headers) = (200, 3);
    let client = client("ws://h/", "http://proxy").handshake(config);
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(9);
    let long = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(200));
    for (answer, error) in [
        (&*interim, E::HeadTooLarge { limit: 200 }),
        (&*long, E::HeadTooLarge { limit: 200 }),
        ("HTTP/1.1 200 OK\r\nA:\r\nB:\r\nC:\r\nD:", E::TooManyHeaders { limit: 3 }),
        ("SSH-2.0-x\r\n", E::MalformedHead),
        ("HTTP/2 200 OK\r\n\r\n", E::HttpVersionUnknown),
        ("HTTP/1.1 200 OK\n", E::BareLineFeed),
    ] {
        assert_eq!(talk(&client, &[answer.as_bytes()]).1, Err(ProxyError::Head(error)), "{answer}");
    }
}

#[test]
fn socks_with_a_name() {
    let proxy = "socks5h://proxy";
    let (said, end) = talk(&client("ws://example.com/", proxy), &[&[5, 0], &[5, 0, 0, 1, 1, 2, 3, 4, 0, 80], b"HTTP"]);
    assert_eq!(said, [&[5, 1, 0][..], &[5, 1, 0, 3, 11], b"example.com", &[0, 80]].concat());
    assert_eq!(end.as_deref(), Ok(&b"HTTP"[..]));
    // RFC 1928 §5: all forms of the address that the proxy bound.
    for bound in [vec![1; 7], [&[4][..], &[0; 18]].concat(), vec![3, 0, 0, 0], [&[3, 255][..], &[b'n'; 257]].concat()] {
        let reply = [&[5, 0, 0][..], &bound, b"behind"].concat();
        let (_, end) = talk(&client("wss://h/", proxy), &[&[5, 0], &reply]);
        assert_eq!(end.as_deref(), Ok(&b"behind"[..]), "{bound:?}");
    }
}

#[test]
fn socks_with_an_address() {
    for (uri, address) in [
        ("ws://1.2.3.4:5/", &[1, 1, 2, 3, 4, 0, 5][..]),
        ("ws://[::1]:5/", &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 5]),
    ] {
        let (said, _) = talk(&client(uri, "socks5h://proxy"), &[&[5, 0]]);
        assert_eq!(said[3..], [&[5, 1, 0][..], address].concat());
    }
    let client = client("ws://example.com/", "socks5://proxy");
    assert!(!client.proxy_to_use().unwrap().looks_up_names());
    let mut tunnel = client.tunnel(Some([9, 8, 7, 6].into())).unwrap();
    tunnel.handle_transmitted(3);
    assert_eq!(tunnel.receive(&mut &[5, 0][..]), Ok(false));
    assert_eq!(tunnel.next_transmit(), [5, 1, 0, 1, 9, 8, 7, 6, 0, 80]);
}

#[test]
fn socks_with_a_password() {
    let client = client("ws://h/", "socks5h://me:p%40ss@proxy");
    let reply = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let request = [&[5, 1, 0, 3, 1, b'h', 0, 80][..]].concat();
    let (said, end) = talk(&client, &[&[5, 2], &[1, 0], &reply]);
    assert_eq!(said, [&[5, 2, 0, 2, 1, 2][..], b"me", &[4], b"p@ss", &request].concat());
    assert_eq!(end, Ok(vec![]));
    let (said, end) = talk(&client, &[&[5, 0], &reply]);
    assert_eq!(said, [&[5, 2, 0, 2][..], &request].concat(), "a proxy that does not ask gets no password");
    assert_eq!(end, Ok(vec![]));
    assert_eq!(talk(&client, &[&[5, 2], &[1, 1]]).1, Err(ProxyError::NotAuthorized));
    assert!(!format!("{:?}", client.tunnel(None)).contains("p@ss"));
}

#[test]
fn socks_that_fails() {
    let client = client("ws://h/", "socks5h://proxy");
    for (answers, error) in [
        (&[&b"HTTP/1.1 400 x"[..]][..], ProxyError::Malformed),
        (&[&[5, 0xff]], ProxyError::NoMethod),
        (&[&[5, 2]], ProxyError::NoMethod),
        (&[&[4, 0]], ProxyError::Malformed),
        (&[&[5, 0], &[5, 5]], ProxyError::Failed { reply: 5 }),
        (&[&[5, 0], &[5, 0, 0, 2, 0]], ProxyError::Malformed),
        (&[&[5, 0], &[5, 0, 0, 1, 0]], ProxyError::UnexpectedEof),
    ] {
        assert_eq!(talk(&client, answers).1, Err(error), "{answers:?}");
    }
    let long = format!("ws://{}/", "n".repeat(256));
    assert_eq!(talk(&self::client(&long, "socks5h://proxy"), &[&[5, 0]]).1, Err(ProxyError::NameTooLong));
}
