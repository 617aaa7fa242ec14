//! Which URIs are accepted, and what is sent for them. A URI that is accepted has the host, the port,
//! the path and the query that it has in a browser: the `url` crate, which follows the WHATWG URL
//! Standard, is the judge.

#[path = "common/opening.rs"]
mod opening;

use std::cell::Cell;

use opening::Opening;
use openline::HandshakeError as E;
use openline::{ClientRequest, HandshakeConfig, Uri, UriPart};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Host, port, resource and authority.
fn accepted(text: &str) -> (String, u16, String, String) {
    let uri: Uri = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    (uri.host().into(), uri.port(), uri.resource().into(), uri.authority())
}

/// Asserts that both parsers say the same of what ours accepts. Whether it does.
#[track_caller]
fn agrees(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    // The standard decodes these labels to judge them. Ours leaves that to the name server.
    if uri.host().split('.').any(|label| label.starts_with("xn--")) {
        return false;
    }
    let theirs = url::Url::parse(text).unwrap_or_else(|error| panic!("only openline accepts {text:?}: {error}"));
    assert_eq!(uri.is_secure(), matches!(theirs.scheme(), "wss" | "https"), "{text:?}");
    let host = theirs.host_str().unwrap();
    assert_eq!(uri.host(), host.trim_matches(['[', ']']), "{text:?}");
    assert_eq!(Some(uri.port()), theirs.port_or_known_default(), "{text:?}");
    // In a path the standard encodes `^` since 2025. The crate, as of 2.5.8, does not yet.
    let path = theirs.path().replace('^', "%5E");
    let resource = path + &theirs.query().map(|query| format!("?{query}")).unwrap_or_default();
    assert_eq!(uri.resource(), resource, "{text:?}");
    // What is sent can be a request line, whatever the URI was.
    assert!(uri.resource().bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
    let authorization = !theirs.username().is_empty() || theirs.password().is_some_and(|password| !password.is_empty());
    let request = ClientRequest::new(text).unwrap();
    let sent = Opening::client(request, HandshakeConfig::default()).said();
    let port = theirs.port().map(|port| format!(":{port}")).unwrap_or_default();
    assert!(sent.starts_with(&format!("GET {resource} HTTP/1.1\r\nHost: {host}{port}\r\n")), "{text:?}: {sent}");
    assert!(sent.contains("\r\nAuthorization: ") || !authorization, "{text:?}: {sent}");
    // What is written is the same URI again, but for the userinfo.
    let again: Uri = uri.to_string().parse().unwrap();
    assert_eq!((again.to_string(), again.resource()), (uri.to_string(), uri.resource()), "{text:?}");
    true
}

#[test]
fn what_is_accepted() {
    for (text, host, port, resource, authority) in [
        ("ws://example.com", "example.com", 80, "/", "example.com"),
        ("WS://EXAMPLE.com:80/", "example.com", 80, "/", "example.com"),
        ("http://example.com/a", "example.com", 80, "/a", "example.com"),
        ("HTTPS://example.com:80/a", "example.com", 80, "/a", "example.com:80"),
        ("wss://example.com/a?b=c&d", "example.com", 443, "/a?b=c&d", "example.com"),
        ("wss://example.com:80?x", "example.com", 80, "/?x", "example.com:80"),
        ("ws://example.com:00443/?", "example.com", 443, "/?", "example.com:443"),
        ("ws://[::1]:9001/x", "::1", 9001, "/x", "[::1]:9001"),
        ("ws://[0:0::0:0:0:1]", "::1", 80, "/", "[::1]"),
        ("ws://[2001:DB8::1]", "2001:db8::1", 80, "/", "[2001:db8::1]"),
        ("ws://[::ffff:1.2.3.4]", "::ffff:102:304", 80, "/", "[::ffff:102:304]"),
        ("ws://127.0.0.1:/x", "127.0.0.1", 80, "/x", "127.0.0.1"),
        ("ws://1.2.3.example", "1.2.3.example", 80, "/", "1.2.3.example"),
        ("ws://0x7f.1.example.", "0x7f.1.example.", 80, "/", "0x7f.1.example."),
        ("ws://ex%61mple%2Ecom/", "example.com", 80, "/", "example.com"),
        ("ws://a_b!$&'()*+,;=~/", "a_b!$&'()*+,;=~", 80, "/", "a_b!$&'()*+,;=~"),
        ("ws://u:p@h/x@y", "h", 80, "/x@y", "h"),
        ("ws://u:p:%3A%40@h", "h", 80, "/", "h"),
        ("ws://@h", "h", 80, "/", "h"),
        // Encoded as browsers do it.
        (
            "ws://h/\"<>^`{|}[]%zz%'?\"<>^`{|}[]%zz%'",
            "h",
            80,
            "/%22%3C%3E%5E%60%7B|%7D[]%zz%'?%22%3C%3E^`{|}[]%zz%%27",
            "h",
        ),
        ("ws://h/\u{e9}?\u{20ac}", "h", 80, "/%C3%A9?%E2%82%AC", "h"),
        ("ws://h/a/./b/../c/%2e%2E/d/..", "h", 80, "/a/", "h"),
        ("ws://h/../../etc?../..", "h", 80, "/etc?../..", "h"),
        // A backslash in the path is a slash, one in the query is none.
        ("ws://h/a\\..\\b?c\\d", "h", 80, "/b?c\\d", "h"),
        ("ws://h/\\evil.example/", "h", 80, "//evil.example/", "h"),
    ] {
        assert_eq!(accepted(text), (host.into(), port, resource.into(), authority.into()), "{text}");
        assert!(agrees(text), "{text}");
    }
}

#[test]
fn what_is_refused_and_where() {
    use UriPart::*;
    for (text, part, at) in [
        ("", Scheme, 0),
        ("a/b", Scheme, 0),
        ("ftp://h/", Scheme, 0),
        (" ws://h/", Scheme, 0),
        ("ws", Scheme, 2),
        ("ws:", Scheme, 2),
        ("ws:/a", Scheme, 2),
        ("ws:\\\\h/", Scheme, 2),
        ("wss//h", Scheme, 3),
        ("ws://", Host, 5),
        ("ws:///x", Host, 5),
        ("ws://?x", Host, 5),
        ("ws://:80", Host, 5),
        ("ws://u@", Host, 7),
        ("ws://u@:80/", Host, 7),
        // Browsers connect to good.example.
        ("ws://good.example\\@evil.example/", Host, 17),
        ("ws://h\\", Host, 6),
        ("ws://\\h/", Host, 5),
        ("ws://a b/", Host, 6),
        ("ws://a\tb/", Host, 6),
        ("ws://a%zz/", Host, 6),
        ("ws://a%2", Host, 6),
        ("ws://a%2fb/", Host, 5),
        ("ws://a%00/", Host, 5),
        ("ws://a%ff/", Host, 5),
        ("ws://\u{e9}.example/", Host, 5),
        ("ws://a<b/", Host, 6),
        ("ws://a|b/", Host, 6),
        ("ws://a^b/", Host, 6),
        ("ws://a[b/", Host, 6),
        ("ws://[::1", Host, 5),
        ("ws://[::g]", Host, 5),
        ("ws://[v1.a]", Host, 5),
        ("ws://[fe80::1%25eth0]", Host, 5),
        ("ws://[127.0.0.1]", Host, 5),
        // What browsers take for an address that one does not see.
        ("ws://0x7f.1/", Host, 5),
        ("ws://0X7F000001/", Host, 5),
        ("ws://%30x7f.1/", Host, 5),
        ("ws://2130706433/", Host, 5),
        ("ws://127.1/", Host, 5),
        ("ws://0177.0.0.1/", Host, 5),
        ("ws://127.0.0.1./", Host, 5),
        ("ws://256.0.0.1/", Host, 5),
        ("ws://a.0x/", Host, 5),
        ("ws://a.1/", Host, 5),
        ("ws://u\\@h/", Host, 6),
        ("ws://a@b@c/", Userinfo, 6),
        ("ws://u p@h/", Userinfo, 6),
        ("ws://u[@h/", Userinfo, 6),
        ("ws://u:\"@h/", Userinfo, 7),
        ("ws://u%@h/", Userinfo, 6),
        ("ws://u%4@h/", Userinfo, 6),
        ("ws://u\u{e9}@h/", Userinfo, 6),
        // RFC 7617 §2: the server would read another name, or a control character.
        ("ws://u%3av:p@h/", Userinfo, 5),
        ("ws://u:p%0a@h/", Userinfo, 5),
        ("ws://a:b", Port, 7),
        ("ws://u@a:b", Port, 9),
        ("ws://a:+1", Port, 7),
        ("ws://a:-1", Port, 7),
        ("ws://a:65536", Port, 7),
        ("ws://a:80:80", Port, 7),
        ("ws://a:0", Port, 7),
        ("ws://[::1]:0", Port, 11),
        ("ws://[::1]x", Port, 10),
        ("ws://a/b c", Path, 8),
        ("ws://a/b?c d", Query, 10),
        ("ws://a/b\r\nX: y", Path, 8),
        ("ws://a/b?\r\nX: y", Query, 9),
        ("ws://a/ ", Path, 7),
        ("ws://a/\0", Path, 7),
        ("ws://a/\x7f", Path, 7),
        ("ws://a/b\tc", Path, 8),
    ] {
        let expected = E::UriInvalid { part, at };
        assert_eq!(text.parse::<Uri>().unwrap_err(), expected, "{text:?}");
        assert_eq!(ClientRequest::new(text).unwrap_err(), expected, "{text:?}");
    }
    for fragment in ["ws://a#b", "ws://a/#", "ws://a/b?c#d", "ws://u#@a/"] {
        assert_eq!(fragment.parse::<Uri>().unwrap_err(), E::UriFragment);
    }
}

#[test]
fn debug_shows_neither_userinfo_nor_query() {
    let request = ClientRequest::new("ws://user:secret@h:81/?token=secret").unwrap();
    let request = request.subprotocol("secret").unwrap().header("Cookie", "secret").unwrap();
    assert_eq!(
        format!("{request:?}"),
        "ClientRequest { uri: Uri { secure: false, host: \"h\", port: 81, resource: 14 bytes, .. }, \
        subprotocols: 1, headers: {\"Cookie\": 6 bytes} }"
    );
    assert_eq!(request.uri().to_string(), "ws://h:81/?token=secret");
}

/// Pieces of URIs, among them what parsers disagree about.
fn uri() -> impl Strategy<Value = String> {
    let pick = |pieces: &[&str], most: usize| {
        let pieces: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
        prop::collection::vec(prop::sample::select(pieces), 0..=most).prop_map(|pieces| pieces.concat())
    };
    let scheme = prop::sample::select(vec!["ws", "wss", "http", "https", "WS", "ws", "x"]);
    let slashes = prop_oneof![9 => Just("://"), 1 => prop::sample::select(vec![":/", ":", ":\\\\", ":///"])];
    let userinfo = pick(&["a", ":", "%41", "!", "@", "%", "\\", "/", "[", "\u{e9}"], 2);
    let name = pick(&["a", "B", ".", "-", "_", "1", "127.0.0.1", "0x", "%41", "%2e", "%2F", "~", "@", "\\"], 4);
    let address = pick(&["[::1]", "[1::a:0:0:B]", "[::1.2.3.4]", "127.0.0.1", "127.1", "a"], 1);
    let port = prop_oneof![4 => Just(String::new()), 1 => pick(&[":", "8", "0", "443", "80", "+"], 3)];
    let usual = pick(
        &[
            "/",
            "/",
            "?",
            "\\",
            ".",
            "..",
            "%2e",
            "%2E",
            "a",
            "%",
            "%zz",
            "\"",
            "<",
            ">",
            "^",
            "`",
            "{",
            "|",
            "}",
            "[",
            "]",
            "'",
            "\u{e9}",
            "\u{1f600}",
            "\u{85}",
            "\u{feff}",
            "@",
            ":",
            "~",
            "&",
            "=",
        ],
        12,
    );
    let wrong = pick(&["/", "a", "?", "#", " ", "\t", "\0", "\x7f"], 4);
    let rest = prop_oneof![9 => usual, 1 => wrong];
    (scheme, slashes, prop::option::weighted(0.2, userinfo), prop_oneof![name, address], port, rest).prop_map(
        |(scheme, slashes, userinfo, host, port, rest)| {
            let userinfo = userinfo.map(|userinfo| userinfo + "@").unwrap_or_default();
            let rest = if rest.starts_with(['/', '?', '#', '\\']) { rest } else { format!("/{rest}") };
            format!("{scheme}{slashes}{userinfo}{host}{port}{rest}")
        },
    )
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

#[test]
fn what_is_accepted_is_what_browsers_read() {
    let (cases, accepted) = (10_000, Cell::new(0));
    let count = |text: String| {
        accepted.set(accepted.get() + u32::from(agrees(&text)));
        Ok(())
    };
    runner(cases).run(&uri(), count).unwrap();
    // Otherwise little was compared.
    assert!(accepted.get() > cases / 5, "{} URIs were accepted", accepted.get());
}

#[test]
fn any_text_is_read_as_browsers_read_it() {
    for texts in ["ws://\\PC{0,12}(/\\PC{0,12})?", "ws://[a-z0-9.x%@:\\[\\]\\\\-]{1,10}[/?]?[!-~]{0,10}"] {
        let check = |text: String| {
            agrees(&text);
            Ok(())
        };
        runner(5_000).run(&texts, check).unwrap();
    }
}
