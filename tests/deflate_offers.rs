//! RFC 7692 §5 and §7.1: permessage-deflate is offered, accepted, and confirmed.
#![cfg(feature = "deflate")]

use openline::{
    ClientHandshake, ClientRequest, Deflate, DeflateContext, HandshakeConfig, HandshakeError, Headers, ServerHandshake,
    Time,
};

fn headers(values: &[&str]) -> Headers {
    let mut headers = Headers::new();
    for value in values {
        headers.append("Sec-WebSocket-Extensions", value).unwrap();
    }
    headers
}

/// What an end wishes for: takeover and bits of what it sends, and of what it receives.
fn wish(send: (bool, u8), receive: (bool, u8)) -> Deflate {
    let mut deflate = Deflate::default();
    deflate.send = DeflateContext { takeover: send.0, window_bits: send.1 };
    deflate.receive = DeflateContext { takeover: receive.0, window_bits: receive.1 };
    deflate
}

/// A server with these wishes answers so.
#[track_caller]
fn answers(wish: Deflate, offer: &str, expected: Option<&str>) {
    let answer = wish.accept(&headers(&[offer])).map(|(_, answer)| answer);
    assert_eq!(answer.as_deref(), expected, "{offer}");
}

const ANY: ((bool, u8), (bool, u8)) = ((true, 15), (true, 15));

/// §7.1: what a server that does not mind answers to each parameter.
#[test]
fn parameters() {
    let any = wish(ANY.0, ANY.1);
    for (offered, answered) in [
        ("", ""),
        ("; server_no_context_takeover", "; server_no_context_takeover"),
        ("; client_no_context_takeover", "; client_no_context_takeover"),
        ("; client_max_window_bits", ""),
        ("; client_max_window_bits=15", ""),
        ("; client_max_window_bits=8", "; client_max_window_bits=8"),
        ("; server_max_window_bits=15", "; server_max_window_bits=15"),
        ("; server_max_window_bits=8", "; server_max_window_bits=8"),
        (" ;server_max_window_bits = \"10\" ", "; server_max_window_bits=10"),
        (
            "; client_max_window_bits=\"9\"; server_no_context_takeover; server_max_window_bits=12; client_no_context_takeover",
            "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12; client_max_window_bits=9",
        ),
    ] {
        answers(any, &format!("permessage-deflate{offered}"), Some(&format!("permessage-deflate{answered}")));
    }
    for bits in 8..=15 {
        let offer = format!("permessage-deflate; server_max_window_bits={bits}");
        answers(any, &offer, Some(&offer));
        let (agreed, _) = any.accept(&headers(&[&offer])).unwrap();
        assert_eq!((agreed.send.window_bits, agreed.receive.window_bits), (bits, 15));
    }
}

/// Offers that cannot be accepted, alone and with another behind them (§7.1: each "MUST be
/// declined").
#[test]
fn invalid_offers() {
    let any = wish(ANY.0, ANY.1);
    for parameters in [
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=+10",
        "server_max_window_bits=10.0",
        "server_max_window_bits=0x8",
        "server_max_window_bits=100",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=08",
        "client_max_window_bits=+10",
        "server_no_context_takeover=1",
        "server_no_context_takeover=\"true\"",
        "client_no_context_takeover=0",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits; client_max_window_bits=10",
        "client_max_window_bits=10; client_max_window_bits",
        "server_max_window_bits=10; server_max_window_bits=10",
        "server_max_window_bits=10; server_max_window_bits=11",
        "unknown",
        "unknown=1",
        "Server_No_Context_Takeover",
    ] {
        let offer = format!("permessage-deflate; {parameters}");
        answers(any, &offer, None);
        let next = "permessage-deflate; server_max_window_bits=10";
        for list in [format!("{offer}, {next}"), format!("{offer},foo;a=b , , bar, {next}, permessage-deflate")] {
            answers(any, &list, Some(next));
        }
        // Several fields are one list (RFC 6455 §9.1).
        let (_, answer) = any.accept(&headers(&["x-other", &offer, next])).unwrap();
        assert_eq!(answer, next);
    }
    for other in
        ["", "foo", "permessage-deflate-2", "x-webkit-deflate-frame", "permessage-bzip2; a=\"permessage-deflate\""]
    {
        answers(any, other, None);
    }
}

/// All wishes of a server against all offers: the answer keeps the RFC's rules, and what is
/// agreed is what it says.
#[test]
fn answers_keep_the_rules() {
    let contexts = || [false, true].into_iter().flat_map(|takeover| [8, 11, 15].map(|bits| (takeover, bits)));
    for (send, receive) in contexts().flat_map(|send| contexts().map(move |receive| (send, receive))) {
        let wish = wish(send, receive);
        for flags in 0..4 {
            for server_bits in [None, Some(8), Some(10), Some(15)] {
                for client_bits in [None, Some(None), Some(Some(8)), Some(Some(12)), Some(Some(15))] {
                    let mut offer = String::from("permessage-deflate");
                    for (flag, name) in [(1, "server_no_context_takeover"), (2, "client_no_context_takeover")] {
                        if flags & flag != 0 {
                            offer += &format!("; {name}");
                        }
                    }
                    if let Some(bits) = server_bits {
                        offer += &format!("; server_max_window_bits={bits}");
                    }
                    if let Some(bits) = client_bits {
                        offer += "; client_max_window_bits";
                        offer += &bits.map(|bits: u8| format!("={bits}")).unwrap_or_default();
                    }
                    let (agreed, answer) = wish.accept(&headers(&[&offer])).expect(&offer);
                    let said = |name: &str| {
                        let mut found = answer.split("; ").filter_map(|part| part.strip_prefix(name));
                        let value = found.next();
                        assert_eq!(found.next(), None, "{answer}: {name} twice");
                        value.map(|value| value.trim_start_matches('=').to_owned())
                    };
                    let (server_alone, client_alone) =
                        (said("server_no_context_takeover"), said("client_no_context_takeover"));
                    // §7.1.1.1: asked for, it must be granted; and it may be without.
                    assert_eq!(server_alone.is_some(), flags & 1 != 0 || !send.0);
                    assert_eq!(client_alone.is_some(), flags & 2 != 0 || !receive.0);
                    assert_eq!(agreed.send.takeover, server_alone.is_none());
                    assert_eq!(agreed.receive.takeover, client_alone.is_none());
                    // §7.1.2.1: the same or a smaller value, and one if one was asked for.
                    let server_said = said("server_max_window_bits").map(|bits| bits.parse::<u8>().unwrap());
                    assert!(server_said.is_some() || server_bits.is_none());
                    assert!(server_said.unwrap_or(15) <= server_bits.unwrap_or(15).min(send.1));
                    assert_eq!(agreed.send.window_bits, server_said.unwrap_or(15));
                    // §7.1.2.2: only if the client knows it.
                    let client_said = said("client_max_window_bits").map(|bits| bits.parse::<u8>().unwrap());
                    assert!(client_said.is_none() || client_bits.is_some());
                    assert_eq!(agreed.receive.window_bits, client_said.unwrap_or(15));
                    if client_bits.is_some() {
                        assert!(agreed.receive.window_bits <= receive.1);
                    }
                }
            }
        }
    }
}

/// What a client makes of answers to one offer.
#[test]
fn answers_confirmed_and_not() {
    let (any, strict) = (wish(ANY.0, ANY.1), wish((true, 12), (false, 10)));
    let offered =
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=12";
    assert_eq!(Deflate::offer(&[strict]), offered);
    let name = |parameters: &str| format!("permessage-deflate{parameters}");
    let confirm = |offers: &[Deflate], parameters: &str| Deflate::confirm(offers, &headers(&[&name(parameters)]));

    for (parameters, expected) in [
        ("", wish((true, 15), (true, 15))),
        ("; server_no_context_takeover", wish((true, 15), (false, 15))),
        ("; client_no_context_takeover", wish((false, 15), (true, 15))),
        // A server may limit itself without being asked to.
        ("; server_max_window_bits=9", wish((true, 15), (true, 9))),
        ("; client_max_window_bits=\"8\"", wish((true, 8), (true, 15))),
    ] {
        assert_eq!(confirm(&[any], parameters), Ok(Some(expected)), "{parameters}");
    }
    for (parameters, expected) in [
        ("; server_no_context_takeover; server_max_window_bits=10", wish((true, 12), (false, 10))),
        ("; server_no_context_takeover; server_max_window_bits=8", wish((true, 12), (false, 8))),
        (
            "; server_max_window_bits=9; server_no_context_takeover; client_max_window_bits=15",
            wish((true, 12), (false, 9)),
        ),
    ] {
        assert_eq!(confirm(&[strict], parameters), Ok(Some(expected)), "{parameters}");
    }
    // What was asked for is not granted; but a second offer does not ask for it.
    for parameters in ["", "; server_no_context_takeover", "; server_max_window_bits=10"] {
        assert_eq!(confirm(&[strict], parameters), Err(HandshakeError::DeflateInvalid), "{parameters}");
        assert!(confirm(&[strict, any], parameters).is_ok_and(|agreed| agreed.is_some()), "{parameters}");
    }
    for wrong in [
        "; server_no_context_takeover; server_max_window_bits=11",
        "; client_max_window_bits",
        "; server_max_window_bits",
        "; server_max_window_bits=08",
        "; client_max_window_bits=16",
        "; server_no_context_takeover=1",
        "; server_no_context_takeover; server_no_context_takeover",
        "; unknown",
        ", permessage-deflate",
    ] {
        assert_eq!(confirm(&[strict], wrong), Err(HandshakeError::DeflateInvalid), "{wrong}");
    }
    assert_eq!(confirm(&[], ""), Err(HandshakeError::ExtensionNotOffered));
    for other in ["foo", "foo, permessage-deflate", "permessage-deflate, foo", "permessage-deflate;"] {
        assert_eq!(Deflate::confirm(&[any], &headers(&[other])), Err(HandshakeError::ExtensionNotOffered), "{other}");
    }
    assert_eq!(Deflate::confirm(&[any], &headers(&[])), Ok(None));
}

fn config(deflate: &[Deflate]) -> HandshakeConfig {
    let mut config = HandshakeConfig::default();
    config.deflate = deflate.to_vec();
    config
}

/// Both machines, with all wishes on both sides: they agree, each with the other.
#[test]
fn both_ends_agree() {
    let contexts = || [false, true].into_iter().flat_map(|takeover| [8, 12, 15].map(|bits| (takeover, bits)));
    let wishes = || contexts().flat_map(|send| contexts().map(move |receive| wish(send, receive)));
    for (client_wish, server_wish) in wishes().flat_map(|client| wishes().map(move |server| (client, server))) {
        let request = ClientRequest::new("ws://h/").unwrap();
        let mut client = ClientHandshake::new(request, config(&[client_wish]), [7; 32], Time::ZERO);
        let mut server = ServerHandshake::new(config(&[server_wish]), Time::ZERO);
        server.receive(&mut client.poll_transmit().unwrap()).unwrap().unwrap();
        let theirs = server.accept().unwrap().agreement().deflate.unwrap();
        let ours = client.receive(&mut server.poll_transmit().unwrap()).unwrap().unwrap().agreement().deflate.unwrap();
        for (sender, receiver) in [(ours.send, theirs.receive), (theirs.send, ours.receive)] {
            assert!(receiver.takeover || !sender.takeover);
            assert!(sender.window_bits <= receiver.window_bits);
        }
        // Nobody does what it did not want to do.
        for (agreed, wanted) in [(ours, client_wish), (theirs, server_wish)] {
            assert!(!agreed.send.takeover || wanted.send.takeover);
            assert!(agreed.send.window_bits <= wanted.send.window_bits);
            assert!(!agreed.receive.takeover || wanted.receive.takeover);
            assert!(agreed.receive.window_bits <= wanted.receive.window_bits);
        }
    }
}

/// One end that does not want it is enough; the handshake succeeds.
#[test]
fn without() {
    for (client, server) in [(&[][..], &[Deflate::default()][..]), (&[Deflate::default()], &[])] {
        let request = ClientRequest::new("ws://h/").unwrap();
        let mut client = ClientHandshake::new(request, config(client), [7; 32], Time::ZERO);
        let mut server = ServerHandshake::new(config(server), Time::ZERO);
        server.receive(&mut client.poll_transmit().unwrap()).unwrap().unwrap();
        assert_eq!(server.accept().unwrap().agreement().deflate, None);
        let answer = server.poll_transmit().unwrap();
        assert!(!String::from_utf8_lossy(answer).contains("Extensions"));
        assert_eq!(client.receive(&mut &answer[..]).unwrap().unwrap().agreement().deflate, None);
    }
}
