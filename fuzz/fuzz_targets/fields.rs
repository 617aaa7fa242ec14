//! What stands inside header fields: what is taken is sent as it was and read back the same, nothing
//! taken can end a line, and what a server makes of an offer of permessage-deflate the client takes
//! for the same.
#![no_main]

#[path = "../../tests/common/opening.rs"]
mod opening;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use opening::{Opening, UPGRADE, get};
use openline::{ClientRequest, Deflate, DeflateContext, HandshakeConfig, HandshakeError, Headers, Uri};

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Fields(Vec<(&'a str, &'a str)>),
    Uri(&'a str),
    Subprotocols(Vec<&'a str>),
    /// Lines of Sec-WebSocket-Extensions as they come, and what the server wants.
    Extensions(Vec<&'a str>, Wish),
    Negotiation(Vec<Wish>, Wish),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Wish {
    send: (bool, u8),
    receive: (bool, u8),
}

fuzz_target!(|input: Input<'_>| match input {
    Input::Fields(fields) => check_fields(&fields),
    Input::Uri(text) => check_uri(text),
    Input::Subprotocols(names) => check_subprotocols(&names),
    Input::Extensions(lines, wish) => check_extensions(&lines, deflate(wish)),
    Input::Negotiation(offers, wish) => {
        negotiate(&offers.into_iter().map(deflate).collect::<Vec<_>>(), deflate(wish))
    }
});

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    const SIGNS: &str = "!#$%&'*+-.^_`|~";
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || SIGNS.contains(c))
}

fn sent(request: ClientRequest) -> Vec<u8> {
    Opening::client(request, HandshakeConfig::default()).sent()
}

/// For heads as long as they may get here.
fn patient() -> HandshakeConfig {
    let mut config = HandshakeConfig::default();
    (config.max_head, config.max_headers) = (1 << 20, 1000);
    config
}

/// What our server makes of a request of our client.
fn received(request: ClientRequest) -> Opening {
    let mut server = Opening::server(patient());
    let bytes = sent(request);
    let mut input = &bytes[..];
    let outcome = server.give(&mut input);
    assert_eq!(outcome, Ok(true), "{}", String::from_utf8_lossy(&bytes));
    assert!(input.is_empty());
    server
}

fn check_fields(fields: &[(&str, &str)]) {
    let mut headers = Headers::new();
    let mut taken = vec![];
    let mut request = ClientRequest::new("ws://example.com").unwrap();
    for (name, value) in fields.iter().take(100) {
        let outcome = headers.append(name, value);
        let control = value.bytes().any(|byte| byte < 0x20 && byte != b'\t' || byte == 0x7f);
        assert_eq!(
            outcome,
            match () {
                () if !is_token(name) => Err(HandshakeError::HeaderNameInvalid),
                () if control => Err(HandshakeError::HeaderValueInvalid),
                () => Ok(()),
            }
        );
        if outcome.is_ok() {
            taken.push((*name, value.trim_matches([' ', '\t'])));
        }
        if let Ok(with) = request.clone().header(name, value) {
            request = with;
        }
    }
    assert_eq!(headers.iter().map(|(name, value)| (name, str::from_utf8(value).unwrap())).collect::<Vec<_>>(), taken);
    for (name, _) in &taken {
        let all = || taken.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        assert_eq!(headers.get(&name.to_ascii_uppercase()), all().next());
        assert!(headers.get_all(name).eq(all().map(str::as_bytes)));
    }
    // What the client adds arrives as it was, in the same order, behind what it sets itself.
    let bytes = sent(request.clone());
    let mut slots = [httparse::EMPTY_HEADER; 200];
    let mut parsed = httparse::Request::new(&mut slots);
    assert_eq!(parsed.parse(&bytes), Ok(httparse::Status::Complete(bytes.len())));
    let arrived: Vec<_> = parsed.headers.iter().map(|header| (header.name, header.value)).collect();
    let single = |name: &&str| ["host", "authorization", "origin", "user-agent"].contains(&&*name.to_ascii_lowercase());
    let repeated =
        taken.iter().filter(|(name, _)| !single(name) && ClientRequest::header(request.clone(), name, "").is_ok());
    let added = repeated.map(|(name, value)| (*name, value.as_bytes()));
    assert!(arrived.iter().copied().filter(|(name, _)| !single(name)).skip(4).eq(added), "{bytes:?}");
    // It is a request that our server takes.
    received(request);
}

fn check_uri(text: &str) {
    let Ok(uri) = text.parse::<Uri>() else { return assert!(ClientRequest::new(text).is_err()) };
    assert!(uri.port() != 0 && !uri.host().is_empty() && uri.resource().starts_with('/'));
    let printed = uri.to_string();
    assert!(printed.bytes().all(|byte| byte.is_ascii_graphic()) && !printed.contains('#'));
    let again: Uri = printed.parse().expect("what is printed can be read");
    assert_eq!(again.to_string(), printed);
    assert_eq!(again.is_secure(), uri.is_secure());
    assert_eq!((again.host(), again.port(), again.resource()), (uri.host(), uri.port(), uri.resource()));
    assert_eq!(again.authority(), uri.authority());
    let server = received(ClientRequest::new(text).unwrap());
    let request = server.request();
    assert_eq!((request.host(), &request.target[..]), (Some(&uri.authority()[..]), uri.resource()));
    // Printed without the userinfo, or it would be a secret in every log.
    let rest = text.split_once("://").unwrap().1;
    let (authority, after) = rest.split_at(rest.find(['/', '?', '\\']).unwrap_or(rest.len()));
    assert!(authority.matches('@').count() <= 1 && !after.starts_with('\\'));
    assert_eq!(request.headers.contains("Authorization"), !matches!(authority.rfind('@'), None | Some(0)));
    assert!(!printed[..printed.len() - uri.resource().len()].contains('@'));
}

fn check_subprotocols(names: &[&str]) {
    let mut request = ClientRequest::new("ws://example.com").unwrap();
    let mut offered: Vec<&str> = vec![];
    for &name in names.iter().take(1000) {
        match request.clone().subprotocol(name) {
            Ok(with) => {
                assert!(is_token(name) && !offered.contains(&name));
                offered.push(name);
                request = with;
            }
            Err(error) => {
                assert_eq!(error, HandshakeError::SubprotocolsInvalid);
                assert!(!is_token(name) || offered.contains(&name));
            }
        }
    }
    assert!(received(request).request().subprotocols().eq(offered));
    // A list as it may come from others is the same cut into fields anywhere between its elements.
    let read = |lines: &[&str]| {
        let mut fields = UPGRADE.to_owned();
        lines.iter().for_each(|line| fields += &format!("Sec-WebSocket-Protocol: {line}\r\n"));
        let mut server = Opening::server(patient());
        let outcome = server.give(&mut get("/", &fields).as_bytes());
        outcome.map(|complete| complete.then(|| server.request().subprotocols().map(String::from).collect::<Vec<_>>()))
    };
    if names.iter().take(100).all(|name| name.bytes().all(|byte| matches!(byte, b' '..=b'~'))) {
        let names = &names[..names.len().min(100)];
        let whole = read(&[&names.join(",")]);
        assert_eq!(read(names), whole);
        let mut elements: Vec<_> = names.iter().flat_map(|name| name.split(',')).map(str::trim).collect();
        elements.retain(|element| !element.is_empty());
        let repeated = (1..elements.len()).any(|i| elements[..i].contains(&elements[i]));
        let valid = elements.iter().all(|element| is_token(element)) && !repeated;
        assert_eq!(whole.is_ok(), valid);
        if let Ok(Some(offers)) = whole {
            assert_eq!(offers, elements);
        }
    }
}

fn deflate(wish: Wish) -> Deflate {
    let context = |(takeover, bits): (bool, u8)| DeflateContext { takeover, window_bits: bits % 18 };
    let mut deflate = Deflate::default();
    (deflate.send, deflate.receive) = (context(wish.send), context(wish.receive));
    deflate
}

fn extensions(lines: &[&str]) -> Option<Headers> {
    let mut headers = Headers::new();
    lines.iter().try_for_each(|line| headers.append("Sec-WebSocket-Extensions", line)).ok()?;
    Some(headers)
}

fn check_extensions(lines: &[&str], wish: Deflate) {
    let Some(headers) = extensions(lines) else { return };
    let accepted = wish.accept(&headers);
    assert_eq!(wish.accept(&extensions(&[&lines.join(",")]).unwrap()), accepted, "RFC 6455 §9.1: one list");
    // As an answer, it either names nothing, or is refused, or stays within what was offered.
    let offer = deflate(Wish { send: (true, 12), receive: (false, 11) });
    if let Ok(Some(agreed)) = Deflate::confirm(&[offer], &headers) {
        assert!(agreed.send.window_bits <= 12 && agreed.receive.window_bits <= 11 && !agreed.receive.takeover);
    }
    let Some((agreed, answer)) = accepted else { return };
    assert!((8..=15).contains(&agreed.send.window_bits) && (8..=15).contains(&agreed.receive.window_bits));
    assert!(agreed.send.takeover <= wish.send.takeover && agreed.receive.takeover <= wish.receive.takeover);
    // RFC 7692 §7.1.2.2: only if the client has offered it.
    assert!(!answer.contains("client_max_window_bits") || lines.join(",").contains("client_max_window_bits"));
    // A client that can do everything agrees to the same.
    let able = deflate(Wish { send: (true, 15), receive: (true, 15) });
    let confirmed = Deflate::confirm(&[able], &extensions(&[&answer]).unwrap()).unwrap().unwrap();
    assert_eq!((confirmed.send, confirmed.receive), (agreed.receive, agreed.send));
}

fn negotiate(offers: &[Deflate], wish: Deflate) {
    let offers = &offers[..offers.len().min(20)];
    let text = Deflate::offer(offers);
    let Some((agreed, answer)) = wish.accept(&extensions(&[&text]).unwrap()) else {
        return assert!(offers.is_empty(), "every offer of ours can be accepted");
    };
    let confirmed = Deflate::confirm(offers, &extensions(&[&answer]).unwrap()).unwrap().unwrap();
    assert_eq!((confirmed.send, confirmed.receive), (agreed.receive, agreed.send));
    // Nothing beyond what either end has asked for.
    let best = offers[0];
    for (ours, theirs, agreed) in [(wish.send, best.receive, agreed.send), (wish.receive, best.send, agreed.receive)] {
        assert!(!agreed.takeover || ours.takeover && theirs.takeover);
        assert!(agreed.window_bits <= ours.window_bits.clamp(8, 15).min(theirs.window_bits.clamp(8, 15)));
    }
}
