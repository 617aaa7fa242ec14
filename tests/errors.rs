//! Errors assign blame in exact words, and know the Close frame that answers them.

mod common;

use std::collections::BTreeSet;
use std::error::Error;

use common::*;
use openline::{CloseCode, Fault, HandshakeError, ProtocolError, ProxyError, SendError, Unsent, UriPart};

const PROTOCOL: [(ProtocolError, &str, u16); 18] = [
    (ProtocolError::ReservedOpcode(3), "reserved opcode 0x3 in a frame header", 1002),
    (ProtocolError::ReservedBits(4), "reserved bits 100 set in a frame header that no extension defines there", 1002),
    (ProtocolError::FrameNotMasked, "unmasked frame from a client", 1002),
    (ProtocolError::FrameMasked, "masked frame from a server", 1002),
    (ProtocolError::LengthNotMinimal, "frame length not in its shortest form", 1002),
    (ProtocolError::LengthTooLarge, "frame length with its top bit set", 1002),
    (ProtocolError::ControlFragmented, "fragmented control frame", 1002),
    (ProtocolError::ControlTooLong, "control frame payload longer than 125 bytes", 1002),
    (ProtocolError::UnexpectedContinuation, "continuation frame outside a message", 1002),
    (ProtocolError::ExpectedContinuation, "new message inside a fragmented message", 1002),
    (ProtocolError::InvalidUtf8 { at: 7 }, "text message is not UTF-8 after byte 7", 1007),
    (ProtocolError::MessageTooBig { limit: 1024 }, "message longer than the limit of 1024 bytes", 1009),
    (ProtocolError::TooManyFragments { limit: 9 }, "message in more frames than the limit of 9", 1008),
    (ProtocolError::DeflateInvalid, "compressed message is not valid DEFLATE data", 1007),
    (ProtocolError::DeflateTruncated, "compressed message ends inside a DEFLATE block", 1007),
    (ProtocolError::CloseTruncated, "close frame with a payload of one byte", 1002),
    (
        ProtocolError::CloseCodeInvalid(CloseCode::ABNORMAL),
        "close frame with the code 1006, which may not be sent",
        1002,
    ),
    (ProtocolError::CloseReasonInvalid, "close reason is not UTF-8", 1007),
];

const SEND: [(SendError, &str); 8] = [
    (SendError::NotOpen, "the opening handshake is not done"),
    (SendError::Closed, "the connection is closing or closed"),
    (SendError::Full, "the send buffer is at its high-water mark"),
    (SendError::MessageUnfinished, "a fragmented message has not been finished"),
    (SendError::TypeChanged, "a fragment's type differs from its message's"),
    (SendError::ControlTooLong { len: 126 }, "control payload of 126 bytes is longer than 125"),
    (SendError::CloseCodeInvalid(CloseCode::ABNORMAL), "close code 1006 may not be sent"),
    (SendError::CloseReasonTooLong { len: 124 }, "close reason of 124 bytes does not fit beside its code"),
];

const PROXY: [(ProxyError, &str, bool); 11] = [
    (ProxyError::Refused { status: 407 }, "proxy refused with status 407", false),
    (ProxyError::Head(HandshakeError::MalformedHead), "invalid head in the proxy's answer", false),
    (ProxyError::NoMethod, "proxy takes none of the ways of authentication that were offered", false),
    (ProxyError::NotAuthorized, "proxy does not accept the name and password", false),
    (ProxyError::Failed { reply: 2 }, "connection not allowed by the proxy's ruleset", false),
    (ProxyError::Failed { reply: 3 }, "network unreachable for the proxy", true),
    (ProxyError::Failed { reply: 4 }, "host unreachable for the proxy", true),
    (ProxyError::Failed { reply: 5 }, "connection refused to the proxy", true),
    (ProxyError::Malformed, "malformed answer of a SOCKS proxy", false),
    (ProxyError::NameTooLong, "name of the server longer than 255 bytes", false),
    (ProxyError::UnexpectedEof, "proxy ended the connection before it had answered", true),
];

#[test]
fn proxy_errors_in_words() {
    for (error, words, transient) in PROXY {
        assert_eq!((error.to_string(), error.is_transient()), (words.to_owned(), transient));
    }
    assert_eq!(ProxyError::Failed { reply: 7 }.to_string(), "proxy failed with reply 7");
    assert!(ProxyError::Refused { status: 503 }.is_transient());
}

#[test]
fn protocol_errors_in_words() {
    for (error, words, code) in PROTOCOL {
        assert_eq!((error.to_string(), error.close_code().get()), (words.to_owned(), code));
        assert!(error.close_code().is_sendable());
        assert!(error.source().is_none());
    }
}

#[test]
fn send_errors_in_words() {
    for (error, words) in SEND {
        assert_eq!(error.to_string(), words);
        assert!(error.source().is_none());
    }
}

/// The words travel as the reason of the Close frame, which holds 123 bytes.
#[test]
fn the_longest_words_fit_in_a_close_frame() {
    let longest = [
        ProtocolError::ReservedOpcode(u8::MAX),
        ProtocolError::ReservedBits(7),
        ProtocolError::InvalidUtf8 { at: u64::MAX },
        ProtocolError::MessageTooBig { limit: u64::MAX },
        ProtocolError::TooManyFragments { limit: u32::MAX },
        ProtocolError::CloseCodeInvalid(CloseCode::new(u16::MAX)),
    ];
    for error in longest.into_iter().chain(PROTOCOL.map(|(error, ..)| error)) {
        assert!(error.to_string().len() <= 123, "{error}");
    }
}

#[test]
fn the_peer_is_told_in_the_same_words() {
    for role in BOTH {
        let mut us = open(role);
        let error = hear(&mut us, &frame(role.peer(), TEXT, b"ok\xff")).1.unwrap();
        assert_eq!(said(&mut us), [(CLOSE, [&1007_u16.to_be_bytes()[..], error.to_string().as_bytes()].concat())]);
    }
}

#[test]
fn errors_are_small_and_can_be_kept() {
    fn kept<E: Error + Copy + Eq + Send + Sync + 'static>(size: usize) {
        assert!(size_of::<E>() <= size, "{} bytes", size_of::<E>());
    }
    kept::<ProtocolError>(16);
    kept::<SendError>(16);
}

/// The variants of this `enum`, as its source has them.
fn variants(source: &str, name: &str) -> BTreeSet<String> {
    let body = source.split(&format!("pub enum {name} {{\n")).nth(1).unwrap().split("\n}").next().unwrap();
    let lines = body.lines().filter(|line| line.starts_with("    ") && line.as_bytes()[4].is_ascii_uppercase());
    lines.map(|line| word(line.trim().to_owned())).collect()
}

/// The first word.
fn word(text: String) -> String {
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned()
}

/// The lists have every variant that the source has.
#[test]
fn no_variant_is_forgotten() {
    let protocol: BTreeSet<_> = PROTOCOL.iter().map(|(error, ..)| word(format!("{error:?}"))).collect();
    let send: BTreeSet<_> = SEND.iter().map(|(error, _)| word(format!("{error:?}"))).collect();
    assert_eq!(protocol, variants(include_str!("../src/error/protocol.rs"), "ProtocolError"));
    assert_eq!(send, variants(include_str!("../src/error/send.rs"), "SendError"));
    let handshake: BTreeSet<_> = HANDSHAKE.iter().map(|(error, ..)| word(format!("{error:?}"))).collect();
    assert_eq!(handshake, variants(include_str!("../src/error/handshake.rs"), "HandshakeError"));
    let proxy: BTreeSet<_> = PROXY.iter().map(|(error, ..)| word(format!("{error:?}"))).collect();
    assert_eq!(proxy, variants(include_str!("../src/error/proxy.rs"), "ProxyError"));
}

const HANDSHAKE: [(HandshakeError, &str, Option<u16>); 45] = [
    (HandshakeError::BareLineFeed, "line feed without a carriage return in the head", Some(400)),
    (HandshakeError::ControlCharacter, "control character in the head", Some(400)),
    (HandshakeError::FoldedHeader, "header folded over several lines", Some(400)),
    (HandshakeError::MalformedHead, "malformed first line or header line", Some(400)),
    (HandshakeError::HttpVersionTooOld, "HTTP version below 1.1", Some(400)),
    (HandshakeError::HttpVersionUnknown, "unknown HTTP version", Some(505)),
    (HandshakeError::HeadTooLarge { limit: 9 }, "head longer than the limit of 9 bytes", Some(431)),
    (HandshakeError::TooManyHeaders { limit: 9 }, "more headers than the limit of 9", Some(431)),
    (HandshakeError::TargetTooLong { limit: 9 }, "request line longer than the limit of 9 bytes", Some(414)),
    (HandshakeError::MethodNotGet, "method is not GET", Some(405)),
    (HandshakeError::TargetInvalid, "request target is neither a path nor an absolute URI", Some(400)),
    (HandshakeError::TargetFragment, "request target with a fragment", Some(400)),
    (HandshakeError::RequestBody, "request with a body", Some(400)),
    (HandshakeError::HostInvalid, "missing, empty, repeated or malformed Host", Some(400)),
    (HandshakeError::NotUpgrade, "request without an upgrade to websocket", Some(426)),
    (HandshakeError::ProtocolUnsupported, "extended CONNECT for a protocol that is not websocket", Some(501)),
    (HandshakeError::UpgradeInvalid, "Upgrade without websocket, or malformed", Some(400)),
    (HandshakeError::ConnectionInvalid, "Connection without upgrade, or malformed", Some(400)),
    (HandshakeError::VersionMissing, "missing or repeated Sec-WebSocket-Version", Some(400)),
    (HandshakeError::VersionUnsupported, "Sec-WebSocket-Version is not 13", Some(426)),
    (HandshakeError::KeyInvalid, "missing, repeated or malformed Sec-WebSocket-Key", Some(400)),
    (HandshakeError::OriginInvalid, "repeated Origin", Some(400)),
    (HandshakeError::OriginRefused, "Origin is not one that this server allows", Some(403)),
    (HandshakeError::SubprotocolsInvalid, "malformed or repeated element in Sec-WebSocket-Protocol", Some(400)),
    (HandshakeError::ExtensionsInvalid, "malformed Sec-WebSocket-Extensions", Some(400)),
    (HandshakeError::Rejected { status: 418 }, "application rejected the request with status 418", Some(418)),
    (HandshakeError::Refused { status: 403 }, "server refused with status 403", None),
    (HandshakeError::AcceptInvalid, "missing, repeated or wrong Sec-WebSocket-Accept", None),
    (HandshakeError::SubprotocolNotOffered, "chosen subprotocol was not offered by the client", None),
    (HandshakeError::DeflateInvalid, "server's permessage-deflate parameters accept no offer", None),
    (HandshakeError::ExtensionNotOffered, "server chose an extension that was not offered", None),
    (HandshakeError::UriInvalid { part: UriPart::Scheme, at: 0 }, "invalid scheme in the URI, at byte 0", None),
    (HandshakeError::UriInvalid { part: UriPart::Userinfo, at: 5 }, "invalid userinfo in the URI, at byte 5", None),
    (HandshakeError::UriInvalid { part: UriPart::Host, at: 7 }, "invalid host in the URI, at byte 7", None),
    (HandshakeError::UriInvalid { part: UriPart::Port, at: 9 }, "invalid port in the URI, at byte 9", None),
    (HandshakeError::UriInvalid { part: UriPart::Path, at: 9 }, "invalid path in the URI, at byte 9", None),
    (HandshakeError::UriInvalid { part: UriPart::Query, at: 9 }, "invalid query in the URI, at byte 9", None),
    (HandshakeError::UriFragment, "URI with a fragment", None),
    (HandshakeError::TlsUnavailable, "wss URI on a transport without TLS", None),
    (HandshakeError::HeaderNameInvalid, "header name is not a token", None),
    (HandshakeError::HeaderValueInvalid, "control character in a header value", None),
    (HandshakeError::HeaderReserved, "header that only the handshake itself may set", None),
    (HandshakeError::NothingToDecide, "no request waits for a decision", None),
    (HandshakeError::TimedOut, "opening handshake timed out", Some(408)),
    (HandshakeError::UnexpectedEof, "connection ended during the opening handshake", None),
];

#[test]
fn handshake_errors_in_words() {
    for (error, words, status) in HANDSHAKE {
        assert_eq!((error.to_string(), error.status()), (words.to_owned(), status));
        assert!(error.source().is_none());
    }
    let different: BTreeSet<_> = HANDSHAKE.iter().map(|(_, words, _)| words).collect();
    assert_eq!(different.len(), HANDSHAKE.len());
}

/// What lies beneath is told by `source`.
#[test]
fn faults_in_words() {
    for (fault, words, chained) in [
        (
            Fault::from(HandshakeError::KeyInvalid),
            "opening handshake failed",
            "opening handshake failed: missing, repeated or malformed Sec-WebSocket-Key",
        ),
        (
            ProtocolError::FrameMasked.into(),
            "peer broke the protocol",
            "peer broke the protocol: masked frame from a server",
        ),
    ] {
        assert_eq!((fault.to_string(), chain(&fault)), (words.to_owned(), chained.to_owned()));
    }
}

#[cfg(feature = "std")]
fn adapter_errors() -> Vec<openline::Error> {
    use openline::{Error, Response, TlsError};
    use std::io::Error as Io;
    vec![
        Error::Name(Io::other("unknown")),
        Error::Connect(Io::other("unreachable")),
        Error::ProxyIo(Io::other("no proxy")),
        ProxyError::NotAuthorized.into(),
        Error::ProxyRefused(Response::new(407).into()),
        TlsError::Alpn.into(),
        std::io::Error::other("unplugged").into(),
        ProtocolError::FrameMasked.into(),
        HandshakeError::KeyInvalid.into(),
        Error::Refused(Response::new(503).into()),
        SendError::Closed.into(),
        Error::PongTimeout,
        Error::StallTimeout,
        Error::TimedOut,
    ]
}

#[cfg(feature = "std")]
#[test]
fn adapter_errors_in_words() {
    let words = [
        ("name lookup failed", Some("unknown")),
        ("cannot connect", Some("unreachable")),
        ("cannot reach the proxy", Some("no proxy")),
        ("proxy opened no tunnel", Some("proxy does not accept the name and password")),
        ("proxy refused with status 407", None),
        ("TLS failed", Some("the server does not speak http/1.1 here")),
        ("transport failed", Some("unplugged")),
        ("peer broke the protocol", Some("masked frame from a server")),
        ("opening handshake failed", Some("missing, repeated or malformed Sec-WebSocket-Key")),
        ("server refused with status 503", None),
        ("cannot send", Some("the connection is closing or closed")),
        ("no answer to a ping in time", None),
        ("peer took nothing of what waited for it in time", None),
        ("time given by the caller is over", None),
    ];
    let errors = adapter_errors();
    let kinds: BTreeSet<_> = errors.iter().map(|error| word(format!("{error:?}"))).collect();
    assert_eq!(kinds, variants(include_str!("../src/driver/error.rs"), "Error"));
    assert_eq!(errors.len(), words.len());
    for (error, (outer, inner)) in errors.iter().zip(words) {
        assert_eq!((error.to_string(), error.source().map(ToString::to_string)), (outer.into(), inner.map(Into::into)));
    }
}

#[cfg(feature = "std")]
fn tls_errors() -> Vec<openline::TlsError> {
    use openline::TlsError::*;
    vec![
        Certificate("expired".into()),
        Alpn,
        Protocol("alert".into()),
        Setup("no roots".into()),
        Io(std::io::Error::other("unplugged")),
    ]
}

#[cfg(feature = "std")]
#[test]
fn tls_errors_in_words() {
    let words = [
        "the server's certificate is not valid: expired",
        "the server does not speak http/1.1 here",
        "the handshake broke off: alert",
        "TLS cannot be set up: no roots",
        "transport failed during the handshake: unplugged",
    ];
    let kinds: BTreeSet<_> = tls_errors().iter().map(|error| word(format!("{error:?}"))).collect();
    assert_eq!(kinds, variants(include_str!("../src/driver/error.rs"), "TlsError"));
    for (error, words) in tls_errors().into_iter().zip(words) {
        let transient = matches!(error, openline::TlsError::Io(_));
        assert_eq!(chain(&error), words);
        assert_eq!(openline::Error::from(error).is_transient(), transient, "a bad certificate does not get better");
    }
}

/// An error that is printed with all that lies beneath it says nothing twice.
#[test]
fn no_error_says_what_its_source_says() {
    let mut all: Vec<Box<dyn Error>> = vec![];
    for (error, ..) in HANDSHAKE {
        all.push(Fault::from(error).into());
        #[cfg(feature = "std")]
        all.push(openline::Error::from(error).into());
    }
    for (error, ..) in PROTOCOL {
        all.push(Fault::from(error).into());
        #[cfg(feature = "std")]
        all.push(openline::Error::from(error).into());
    }
    for (error, _) in SEND {
        all.push(unsent(error).into());
        #[cfg(feature = "std")]
        all.push(openline::Error::from(error).into());
    }
    #[cfg(feature = "std")]
    all.extend(adapter_errors().into_iter().map(Into::into));
    #[cfg(feature = "std")]
    all.extend(tls_errors().into_iter().map(Into::into));
    all.extend(PROXY.map(|(error, ..)| error.into()));
    #[cfg(feature = "std")]
    all.push(not_split().into());
    let refusal = openline::Server::default().answer(&openline::Request::new("GET", "/"), &openline::Accept::default());
    all.push(refusal.unwrap_err().into());
    let mut sources = 0;
    for error in &all {
        let mut outer: &dyn Error = &**error;
        while let Some(inner) = outer.source() {
            let (said, beneath) = (outer.to_string(), inner.to_string());
            assert!(!beneath.is_empty() && !said.contains(&beneath), "{said:?} has its source's {beneath:?}");
            sources += 1;
            outer = inner;
        }
    }
    assert!(sources >= HANDSHAKE.len() + PROTOCOL.len() + SEND.len());
}

/// The list of that test has every type with a source that the source code has.
#[test]
fn no_type_with_a_source_is_forgotten() {
    fn with_source(dir: &std::path::Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                with_source(&path, found);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                // Each `impl` ends at the first brace at the margin.
                for part in text.split("Error for ").skip(1) {
                    let body = part.split("\n}").next().unwrap();
                    if body.contains("fn source(") {
                        found.insert(word(body.to_owned()));
                    }
                }
            }
        }
    }
    let mut found = BTreeSet::new();
    with_source(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert_eq!(
        found.into_iter().collect::<Vec<_>>(),
        ["Error", "Fault", "ProxyError", "Refusal", "SplitError", "TlsError", "Unsent"]
    );
}

/// A transport that cannot be cloned.
#[cfg(feature = "std")]
struct Line;

#[cfg(feature = "std")]
impl std::io::Read for Line {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Ok(0)
    }
}

#[cfg(feature = "std")]
impl std::io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "std")]
impl openline::net::Transport for Line {}

#[cfg(feature = "std")]
fn not_split() -> openline::net::SplitError<Line> {
    use openline::{Agreement, Config, Upgrade};
    let upgrade = Upgrade::server(Agreement::default());
    openline::net::WebSocket::new(Line, upgrade, Config::default(), &[]).split().err().expect("it cannot be cloned")
}

#[cfg(feature = "std")]
#[test]
fn a_transport_that_cannot_be_split_in_words() {
    let error = not_split();
    assert_eq!(error.to_string(), "the transport cannot be cloned");
    assert_eq!(error.source().map(ToString::to_string), Some(error.error.to_string()));
}

/// A message that was not sent, because of this.
fn unsent(error: SendError) -> Unsent<String> {
    let mut unsent = open(openline::Role::Server);
    unsent.close(CloseCode::NORMAL, "", openline::Time::ZERO).unwrap();
    let mut unsent = unsent.try_send(String::from("secret")).unwrap_err();
    assert_eq!((unsent.error, &unsent.message[..]), (SendError::Closed, "secret"));
    unsent.error = error;
    unsent
}

#[test]
fn a_message_that_was_not_sent_in_words() {
    let unsent = unsent(SendError::Full);
    assert_eq!(chain(&unsent), "the message was not queued: the send buffer is at its high-water mark");
    assert_eq!(format!("{unsent:?}"), "Unsent(Full)");
}
