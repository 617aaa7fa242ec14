//! RFC 7692 §5 and §7.1: what a client offers, what a server makes of it, and what the
//! client makes of the answer. Every combination is held against the RFC's rules, which
//! are written down here a second time.
#![cfg(feature = "deflate")]

#[path = "common/opening.rs"]
mod opening;

use opening::Opening;
use openline::HandshakeError as E;
use openline::{Accept, ClientRequest, Connection, Deflate, HandshakeConfig, HandshakeError, Headers};

const WINDOWS: std::ops::RangeInclusive<u8> = 8..=15;

/// The wish for this, with the other settings as they are by default.
fn wish(send_takeover: bool, receive_takeover: bool, send_bits: u8, receive_bits: u8) -> Deflate {
    let mut deflate = Deflate::default();
    deflate.send.takeover = send_takeover;
    deflate.receive.takeover = receive_takeover;
    deflate.send.window_bits = send_bits;
    deflate.receive.window_bits = receive_bits;
    deflate
}

/// All wishes with these windows.
fn wishes(bits: impl IntoIterator<Item = u8> + Clone) -> Vec<Deflate> {
    let mut all = vec![];
    for takeovers in 0..4 {
        for send in bits.clone() {
            for receive in bits.clone() {
                all.push(wish(takeovers & 1 != 0, takeovers & 2 != 0, send, receive));
            }
        }
    }
    all
}

/// What asks for no more than any peer can do.
fn lax() -> Deflate {
    wish(true, true, 15, 15)
}

/// One line for each of `values`.
fn lines(values: &[&str]) -> Headers {
    let mut headers = Headers::new();
    for value in values {
        headers.append("Sec-WebSocket-Extensions", value).unwrap();
    }
    headers
}

/// The parameters of one offer or answer, as this test reads them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Params {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// `Some(None)`: without a value, as only an offer may have it (§7.1.2.2).
    client_max_window_bits: Option<Option<u8>>,
}

impl Params {
    fn write(&self) -> String {
        let mut out = String::from("permessage-deflate");
        if self.server_no_context_takeover {
            out += "; server_no_context_takeover";
        }
        if self.client_no_context_takeover {
            out += "; client_no_context_takeover";
        }
        if let Some(bits) = self.server_max_window_bits {
            out += &format!("; server_max_window_bits={bits}");
        }
        if let Some(value) = self.client_max_window_bits {
            out += "; client_max_window_bits";
            out += &value.map(|bits| format!("={bits}")).unwrap_or_default();
        }
        out
    }

    /// Reads one element of the list. Panics on whatever §7.1 forbids.
    fn read(element: &str) -> Params {
        let mut parts = element.split(';').map(str::trim);
        assert_eq!(parts.next(), Some("permessage-deflate"), "{element}");
        let mut params = Params::default();
        for part in parts {
            let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
            let bits = value.map(|value| {
                let bits = value.parse().unwrap();
                assert!(WINDOWS.contains(&bits) && value == bits.to_string(), "{element}");
                bits
            });
            let repeated = match name {
                "server_no_context_takeover" if value.is_none() => {
                    std::mem::replace(&mut params.server_no_context_takeover, true)
                }
                "client_no_context_takeover" if value.is_none() => {
                    std::mem::replace(&mut params.client_no_context_takeover, true)
                }
                "server_max_window_bits" => params.server_max_window_bits.replace(bits.unwrap()).is_some(),
                "client_max_window_bits" => params.client_max_window_bits.replace(bits).is_some(),
                _ => panic!("unknown or with a value: {element}"),
            };
            assert!(!repeated, "{element}");
        }
        params
    }

    /// Every set of parameters with valid values.
    fn all() -> Vec<Params> {
        let mut all = vec![];
        for takeovers in 0..4 {
            for server in [None].into_iter().chain(WINDOWS.map(Some)) {
                for client in [None, Some(None)].into_iter().chain(WINDOWS.map(|bits| Some(Some(bits)))) {
                    all.push(Params {
                        server_no_context_takeover: takeovers & 1 != 0,
                        client_no_context_takeover: takeovers & 2 != 0,
                        server_max_window_bits: server,
                        client_max_window_bits: client,
                    });
                }
            }
        }
        all
    }
}

/// The answer of a server that would accept anything, to this list.
fn answer_to(offers: &[&str]) -> Option<Params> {
    lax().accept(&lines(offers)).map(|(_, answer)| Params::read(&answer))
}

// The handshake machines.

fn server(deflate: &[Deflate]) -> HandshakeConfig {
    let mut config = HandshakeConfig::default();
    config.deflate = deflate.to_vec();
    config
}

fn request(extensions: &[&str]) -> String {
    let lines: String = extensions.iter().map(|value| format!("Sec-WebSocket-Extensions: {value}\r\n")).collect();
    format!(
        "GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
    )
}

/// The values of the Sec-WebSocket-Extensions lines in this head.
fn extension_lines(head: &str) -> Vec<&str> {
    head.lines().filter_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: ")).collect()
}

/// Lets a server accept this request, and returns its end and the whole answer.
fn serve(config: HandshakeConfig, request: &str) -> (Connection, String) {
    let mut server = Opening::server(config);
    assert_eq!(server.give(&mut request.as_bytes()), Ok(true));
    server.accept(Accept::default()).unwrap();
    let answer = server.said();
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    (server.0, answer)
}

fn client(deflate: &[Deflate]) -> (Opening, String) {
    let client = Opening::client(ClientRequest::new("ws://example.com/").unwrap(), server(deflate));
    let sent = client.said();
    (client, sent)
}

/// Lets a client that offers these have an answer with these extension lines.
fn answered(deflate: &[Deflate], extensions: &[&str]) -> Result<Option<Deflate>, HandshakeError> {
    let (mut client, sent) = client(deflate);
    let (_, answer) = serve(HandshakeConfig::default(), &sent);
    let lines: String = extensions.iter().map(|value| format!("Sec-WebSocket-Extensions: {value}\r\n")).collect();
    let answer = answer.replacen("\r\n\r\n", &format!("\r\n{lines}\r\n"), 1);
    client.give(&mut answer.as_bytes()).map(|agreed| {
        assert!(agreed);
        client.0.agreement().deflate
    })
}

// The server reads offers.

#[test]
fn every_valid_parameter_is_taken() {
    for bits in WINDOWS {
        for written in [format!("{bits}"), format!("\"{bits}\"")] {
            let answer = answer_to(&[&format!("permessage-deflate; server_max_window_bits={written}")]).unwrap();
            assert!(answer.server_max_window_bits.unwrap() <= bits);
            assert!(answer_to(&[&format!("permessage-deflate; client_max_window_bits={written}")]).is_some());
        }
    }
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover",
        // The order means nothing, and space may stand at every mark (RFC 6455 §9.1).
        "permessage-deflate;client_max_window_bits;server_max_window_bits=9;client_no_context_takeover;\
            server_no_context_takeover",
        " \t permessage-deflate \t ; \t server_max_window_bits \t = \t 12 \t ",
        // RFC 9110 §5.6.4: a backslash in a quoted string stands for what follows it.
        "permessage-deflate; server_max_window_bits=\"\\1\\0\"",
    ] {
        assert!(answer_to(&[offer]).is_some(), "{offer}");
    }
    let quoted = answer_to(&["permessage-deflate; server_max_window_bits=\"\\1\\0\""]).unwrap();
    assert_eq!(quoted.server_max_window_bits, Some(10));
}

/// Offers that are well-formed lists (RFC 6455 §9.1), but not offers of this extension.
fn invalid_parameters() -> Vec<String> {
    let mut list: Vec<String> = [
        // Unknown (§7.1).
        "x",
        "x=1",
        "window_bits=10",
        "server_max_window_bit=10",
        "server_max_window_bits_=10",
        "client_max_window_bits; x",
        "server_no_context_takeover; server_no_takeover",
        // A value where none belongs (§7.1.1).
        "server_no_context_takeover=1",
        "server_no_context_takeover=true",
        "server_no_context_takeover=\"true\"",
        "client_no_context_takeover=0",
        "client_no_context_takeover=client_no_context_takeover",
        // None where one is needed (§7.1.2.1).
        "server_max_window_bits",
        "server_max_window_bits; client_max_window_bits",
        // The same name twice (§7.1), with the same value or another, or none.
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits; client_max_window_bits=10",
        "client_max_window_bits=10; client_max_window_bits",
        "client_max_window_bits=10; client_max_window_bits=10",
        "client_max_window_bits=10; client_max_window_bits=11",
        "client_max_window_bits=15; client_max_window_bits=15",
        "client_max_window_bits=10; client_max_window_bits=99",
        "server_max_window_bits=10; server_max_window_bits=10",
        "server_max_window_bits=15; server_max_window_bits=9",
        "server_max_window_bits=9; server_no_context_takeover; server_max_window_bits=15",
        "server_no_context_takeover; server_no_context_takeover=1",
        "server_max_window_bits=10; server_max_window_bits",
    ]
    .map(String::from)
    .into();
    // §7.1.2: "a decimal integer value without leading zeroes between 8 to 15 inclusive".
    for value in [
        "0",
        "1",
        "7",
        "16",
        "17",
        "20",
        "80",
        "08",
        "09",
        "010",
        "015",
        "+8",
        "+10",
        "-8",
        "-10",
        "8.",
        "8.0",
        "1e1",
        "0xa",
        "0x8",
        "a",
        "f",
        "x",
        "ten",
        "1_0",
        "264",
        "266",
        "271",
        "65546",
        "4294967306",
        "18446744073709551626",
        "\"08\"",
        "\"7\"",
        "\"+10\"",
        "\"\\0\\8\"",
        "10'",
        "'10'",
        "`",
        "*",
    ] {
        list.push(format!("server_max_window_bits={value}"));
        list.push(format!("client_max_window_bits={value}"));
    }
    list
}

#[test]
fn an_invalid_offer_is_declined_and_the_next_gets_its_chance() {
    for invalid in invalid_parameters() {
        let invalid = format!("permessage-deflate; {invalid}");
        assert_eq!(answer_to(&[&invalid]), None, "{invalid}");
        assert_eq!(answer_to(&[&invalid, &invalid]), None, "{invalid}");

        // Told by its window: 11 is the second offer.
        let second = "permessage-deflate; server_max_window_bits=11";
        let taken = Params { server_max_window_bits: Some(11), ..Params::default() };
        assert_eq!(answer_to(&[&format!("{invalid}, {second}")]), Some(taken.clone()), "{invalid}");
        assert_eq!(answer_to(&[&invalid, second]), Some(taken.clone()), "{invalid}, in two lines");
        assert_eq!(answer_to(&[second, &invalid]), Some(taken), "{invalid}, behind");

        // §5.1: declined is not failed. The handshake goes on without.
        let (end, answer) = serve(server(&[lax()]), &request(&[&invalid]));
        assert_eq!((end.agreement().deflate, extension_lines(&answer)), (None, vec![]), "{invalid}");
        let (end, answer) = serve(server(&[lax()]), &request(&[&invalid, second]));
        assert_eq!(end.agreement().deflate.unwrap().send.window_bits, 11);
        assert_eq!(extension_lines(&answer).len(), 1, "{answer}");
    }
}

#[test]
fn a_value_that_is_empty_breaks_the_grammar_of_the_field() {
    // RFC 6455 §9.1: a value is a token, quoted or not, and a token is not empty. It is
    // the whole handshake that fails then, whatever else stands in the field.
    for broken in [
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; client_max_window_bits=, permessage-deflate",
        "permessage-deflate; server_max_window_bits=\"\"",
        "permessage-deflate; server_max_window_bits=\"1 0\"",
        "permessage-deflate, permessage-deflate;",
    ] {
        assert_eq!(lax().accept(&lines(&[broken])), None, "{broken}");
        let mut handshake = Opening::server(server(&[lax()]));
        assert_eq!(handshake.give(&mut request(&[broken]).as_bytes()), Err(E::ExtensionsInvalid));
        let answer = handshake.said();
        assert!(answer.starts_with("HTTP/1.1 400 ") && extension_lines(&answer).is_empty(), "{answer}");
    }
}

#[test]
fn other_extensions_are_passed_over() {
    let taken = Some(Params { server_max_window_bits: Some(11), ..Params::default() });
    let ours = "permessage-deflate; server_max_window_bits=11";
    for list in [
        &["x-webkit-deflate-frame", ours][..],
        &["x-webkit-deflate-frame, permessage-bzip2; x=1, permessage-deflate; server_max_window_bits=11"],
        &["permessage-deflate; server_max_window_bits=11, foo; server_max_window_bits=8; bar=\"baz\""],
        &["foo; permessage-deflate", "bar; server_max_window_bits=7", ours],
        &["permessage-deflated, permessage, deflate, permessage-deflate-", ours],
        &["", " , ,", ours, ","],
        &["foo; a; a; a=1", ours, "foo"],
    ] {
        assert_eq!(answer_to(list), taken, "{list:?}");
    }
    for list in [
        &[][..],
        &[""],
        &[" ,, "],
        &["foo"],
        &["x-webkit-deflate-frame"],
        &["foo; permessage-deflate"],
        &["permessage-deflate2"],
        &["perframe-deflate", "permessage-compress; method=deflate"],
    ] {
        assert_eq!(answer_to(list), None, "{list:?}");
        let (end, answer) = serve(server(&[lax()]), &request(list));
        assert_eq!((end.agreement().deflate, extension_lines(&answer)), (None, vec![]), "{list:?}");
    }
}

#[test]
fn the_first_acceptable_offer_is_taken() {
    // §5.1: offers stand in the client's order of preference.
    let list = "permessage-deflate; server_max_window_bits=10, permessage-deflate; server_max_window_bits=12";
    let answer = answer_to(&[list]).unwrap();
    assert_eq!(answer.server_max_window_bits, Some(10));
    let answer = answer_to(&["permessage-deflate; server_max_window_bits=12, permessage-deflate"]).unwrap();
    assert_eq!(answer.server_max_window_bits, Some(12));
    // What one offer lacks is not made up for by another: the second has the right to
    // client_max_window_bits, the first was taken.
    let (_, answer) = wish(true, true, 15, 10)
        .accept(&lines(&["permessage-deflate", "permessage-deflate; client_max_window_bits"]))
        .unwrap();
    let answer = Params::read(&answer);
    // Either the first without, or, since it does not serve our wish, the second with.
    assert!(matches!(answer.client_max_window_bits, None | Some(Some(10))), "{answer:?}");
}

#[test]
fn what_is_not_wished_for_is_not_accepted() {
    let offer = "permessage-deflate; client_max_window_bits";
    let (end, answer) = serve(HandshakeConfig::default(), &request(&[offer]));
    assert_eq!((end.agreement().deflate, extension_lines(&answer)), (None, vec![]));
    // "A server accepts by the first of these."
    let (end, _) = serve(server(&[wish(false, false, 9, 9), lax()]), &request(&[offer]));
    assert_eq!(end.agreement().deflate, Some(wish(false, false, 9, 9)));
}

#[test]
fn an_application_may_decline_for_one_request() {
    // A second line would make the answer a list of two.
    let more = Accept::default().header("Sec-WebSocket-Extensions", "permessage-deflate");
    assert_eq!(more.unwrap_err(), E::HeaderReserved);
    for (answer, agreed) in [
        (Accept::default(), Some(lax())),
        (Accept::default().no_subprotocol().header("X", "y").unwrap(), Some(lax())),
        (Accept::default().uncompressed(), None),
    ] {
        let mut handshake = Opening::server(server(&[lax()]));
        assert_eq!(handshake.give(&mut request(&["permessage-deflate"]).as_bytes()), Ok(true));
        handshake.accept(answer).unwrap();
        assert_eq!(handshake.0.agreement().deflate, agreed);
        let answer = handshake.said();
        assert_eq!(extension_lines(&answer).len(), usize::from(agreed.is_some()), "{answer}");
    }
}

#[test]
fn a_refusal_has_no_extensions() {
    let mut handshake = Opening::server(server(&[lax()]));
    assert_eq!(handshake.give(&mut request(&["permessage-deflate"]).as_bytes()), Ok(true));
    handshake.reject(openline::Response::new(403)).unwrap();
    let answer = handshake.said();
    assert!(answer.starts_with("HTTP/1.1 403 ") && extension_lines(&answer).is_empty(), "{answer}");
}

// The server answers.

/// Holds an answer to an offer, and what the server takes as agreed, against §7.1.
#[track_caller]
fn judge(ours: &Deflate, offer: &Params, agreed: &Deflate, answer: &Params) {
    let case = format!("{ours:?} answers {offer:?} by {answer:?} and agrees to {agreed:?}");
    let nearest = |bits: u8| bits.clamp(8, 15);

    // §7.1.1.1: an offer with it is accepted by an answer with it, and only so.
    assert!(!offer.server_no_context_takeover || answer.server_no_context_takeover, "{case}");
    assert_eq!(agreed.send.takeover, ours.send.takeover && !offer.server_no_context_takeover, "{case}");
    // The client may save the memory only if it is told.
    assert_eq!(answer.server_no_context_takeover, !agreed.send.takeover, "{case}");

    // §7.1.1.2: what the answer rules out, and what the client ruled out by itself, the
    // server must not keep memory for; everything else it must.
    let client_may = !offer.client_no_context_takeover && !answer.client_no_context_takeover;
    assert_eq!(agreed.receive.takeover, client_may, "{case}");
    assert!(!agreed.receive.takeover || ours.receive.takeover, "{case}");
    assert_eq!(agreed.receive.takeover, ours.receive.takeover && !offer.client_no_context_takeover, "{case}");

    // §7.1.2.1: "the same or smaller value"; without one the client expects 15.
    if let Some(offered) = offer.server_max_window_bits {
        assert!(answer.server_max_window_bits.is_some_and(|bits| bits <= offered), "{case}");
    }
    assert_eq!(agreed.send.window_bits, answer.server_max_window_bits.unwrap_or(15), "{case}");
    let possible = nearest(ours.send.window_bits).min(offer.server_max_window_bits.unwrap_or(15));
    assert_eq!(agreed.send.window_bits, possible, "{case}");

    // §7.1.2.2: only if it was offered, with a value, and one that is not above the hint.
    if let Some(limit) = answer.client_max_window_bits {
        let hint = offer.client_max_window_bits.expect(&case);
        assert!(limit.expect(&case) <= hint.unwrap_or(15), "{case}");
    }
    // A client keeps to its own hint even if the answer says nothing (§7.1.2.2).
    let hint = offer.client_max_window_bits.flatten().unwrap_or(15);
    let client_may = answer.client_max_window_bits.flatten().unwrap_or(15).min(hint);
    assert!(agreed.receive.window_bits >= client_may, "{case}");
    if offer.client_max_window_bits.is_some() {
        assert_eq!(agreed.receive.window_bits, nearest(ours.receive.window_bits).min(hint), "{case}");
    }

    // The rest is nobody else's business.
    let rest = |deflate: &Deflate| (deflate.level, deflate.memory, deflate.threshold);
    assert_eq!(rest(agreed), rest(ours), "{case}");
}

#[test]
fn every_answer_follows_the_rules() {
    let mut ours = wishes([0, 8, 9, 12, 14, 15, 16, 255]);
    for wish in &mut ours {
        (wish.level, wish.memory, wish.threshold) = (3, 4, 5);
    }
    for offer in Params::all() {
        let headers = lines(&[&offer.write()]);
        for ours in &ours {
            let (agreed, answer) = ours.accept(&headers).expect("nothing in it that cannot be accepted");
            judge(ours, &offer, &agreed, &Params::read(&answer));
        }
    }
}

#[test]
fn the_handshake_says_what_was_accepted() {
    for ours in wishes([8, 12, 15]) {
        for offer in Params::all().iter().step_by(7) {
            let offer = offer.write();
            let (agreed, answer) = ours.accept(&lines(&[&offer])).unwrap();
            let (end, head) = serve(server(&[ours]), &request(&[&offer]));
            assert_eq!(end.agreement().deflate, Some(agreed));
            assert_eq!(extension_lines(&head), [&answer[..]]);
        }
    }
}

#[test]
fn a_peer_cannot_add_to_what_is_set() {
    // But that a client which does not offer client_max_window_bits may use 15 (§7.1.2.2).
    for offer in Params::all() {
        for ours in wishes(WINDOWS) {
            let Some((agreed, _)) = ours.accept(&lines(&[&offer.write()])) else { continue };
            for (agreed, ours) in [(agreed.send, ours.send), (agreed.receive, ours.receive)] {
                assert!(agreed.takeover <= ours.takeover, "{offer:?}");
            }
            assert!(agreed.send.window_bits <= ours.send.window_bits, "{offer:?}");
            let unasked = offer.client_max_window_bits.is_none() && agreed.receive.window_bits == 15;
            assert!(unasked || agreed.receive.window_bits <= ours.receive.window_bits, "{offer:?}");
        }
    }
}

// The client offers.

#[test]
fn an_offer_asks_for_what_is_wished() {
    let nearest = |bits: u8| bits.clamp(8, 15);
    for ours in wishes([0, 8, 9, 12, 14, 15, 16, 255]) {
        let offer = Params::read(&Deflate::offer(&[ours]));
        // §7.1.1.1: the only way to keep a server from takeover.
        assert_eq!(offer.server_no_context_takeover, !ours.receive.takeover, "{ours:?}");
        // §7.1.1.2: a hint, but a server may not take what it was not told for granted.
        assert_eq!(offer.client_no_context_takeover, !ours.send.takeover, "{ours:?}");
        // §7.1.2.1: no limit is the same as 15, and the older way to say it.
        assert_eq!(offer.server_max_window_bits.unwrap_or(15), nearest(ours.receive.window_bits), "{ours:?}");
        // §7.1.2.2: whoever can use a smaller window says so, and hints at its own limit.
        let hint = offer.client_max_window_bits.expect("offered always");
        assert_eq!(hint.unwrap_or(15), nearest(ours.send.window_bits), "{ours:?}");
    }
}

#[test]
fn offers_stand_in_order() {
    let ours = [wish(true, true, 15, 10), wish(false, true, 9, 15), lax()];
    let list = Deflate::offer(&ours);
    let each = ours.map(|one| Params::read(&Deflate::offer(&[one])));
    assert_eq!(list.split(',').map(Params::read).collect::<Vec<_>>(), each);
    // Best first: that is the one which a server takes.
    let (agreed, _) = lax().accept(&lines(&[&list])).unwrap();
    assert_eq!(agreed.send.window_bits, 10);
}

#[test]
fn the_request_has_the_offers() {
    for ours in [&[lax()][..], &[wish(false, false, 9, 10), lax()]] {
        assert_eq!(extension_lines(&client(ours).1), [Deflate::offer(ours)]);
    }
    assert!(!client(&[]).1.contains("Sec-WebSocket-Extensions"));
}

// The client reads answers.

/// What both ways to hear an answer make of it: the function and the machine.
#[track_caller]
fn confirmed(ours: &[Deflate], answer: &[&str]) -> Result<Option<Deflate>, HandshakeError> {
    let verdict = Deflate::confirm(ours, &lines(answer));
    assert_eq!(answered(ours, answer), verdict, "{answer:?}");
    verdict
}

#[test]
fn no_answer_is_a_no() {
    for ours in [&[][..], &[lax()], &[wish(false, false, 8, 8), lax()]] {
        for answer in [&[][..], &[""], &[" , "]] {
            assert_eq!(confirmed(ours, answer), Ok(None), "{answer:?}");
        }
    }
}

#[test]
fn every_answer_is_judged_by_the_rules() {
    // §7.1.1, §7.1.2, seen from the client.
    for ours in wishes([8, 9, 12, 14, 15]) {
        for answer in Params::all() {
            let case = format!("{ours:?} hears {answer:?}");
            let verdict = Deflate::confirm(&[ours], &lines(&[&answer.write()]));
            let takeover = answer.server_no_context_takeover || ours.receive.takeover;
            let window = answer.server_max_window_bits.unwrap_or(15) <= ours.receive.window_bits;
            if !takeover || !window || answer.client_max_window_bits == Some(None) {
                assert_eq!(verdict, Err(E::DeflateInvalid), "{case}");
                continue;
            }
            let limit = answer.client_max_window_bits.flatten().unwrap_or(15);
            // §7.1.2.2 wants a server that uses the hint not to exceed it, but gives the
            // client no duty to refuse one that does. Our own window is smaller, so no
            // harm is done either way.
            if verdict == Err(E::DeflateInvalid)
                && answer.client_max_window_bits.is_some()
                && limit > ours.send.window_bits
            {
                continue;
            }
            let agreed = verdict.unwrap().unwrap();
            assert_eq!(agreed.send.takeover, ours.send.takeover && !answer.client_no_context_takeover, "{case}");
            assert_eq!(agreed.send.window_bits, ours.send.window_bits.min(limit), "{case}");
            assert_eq!(agreed.receive.takeover, !answer.server_no_context_takeover, "{case}");
            assert_eq!(agreed.receive.window_bits, answer.server_max_window_bits.unwrap_or(15), "{case}");
        }
    }
}

#[test]
fn invalid_answers_fail_the_connection() {
    for parameters in invalid_parameters() {
        let answer = format!("permessage-deflate; {parameters}");
        assert_eq!(confirmed(&[lax()], &[&answer]), Err(E::DeflateInvalid), "{answer}");
        // More offers do not make it better.
        assert_eq!(confirmed(&[wish(true, false, 9, 9), lax()], &[&answer]), Err(E::DeflateInvalid), "{answer}");
    }
    // §7.1.2.2: in an answer it has a value.
    let answer = "permessage-deflate; client_max_window_bits";
    assert_eq!(confirmed(&[lax()], &[answer]), Err(E::DeflateInvalid));
}

#[test]
fn answers_with_more_than_was_offered_fail_the_connection() {
    for (ours, answer) in [
        (&[lax()][..], &["foo"][..]),
        (&[lax()], &["x-webkit-deflate-frame"]),
        (&[lax()], &["permessage-deflate", "foo"]),
        (&[lax()], &["foo, permessage-deflate"]),
        (&[lax()], &["permessage-deflate, foo; bar=1"]),
        (&[], &["permessage-deflate"]),
        (&[], &["permessage-deflate; server_no_context_takeover; client_no_context_takeover"]),
        (&[], &["foo"]),
    ] {
        assert_eq!(confirmed(ours, answer), Err(E::ExtensionNotOffered), "{answer:?}");
    }
}

#[test]
fn permessage_deflate_twice_fails_the_connection() {
    for answer in [
        &["permessage-deflate, permessage-deflate"][..],
        &["permessage-deflate", "permessage-deflate"],
        &["permessage-deflate; server_max_window_bits=10, permessage-deflate; server_max_window_bits=12"],
        &["permessage-deflate; x", "permessage-deflate"],
        &["permessage-deflate, permessage-deflate, permessage-deflate"],
    ] {
        for ours in [&[][..], &[lax()], &[lax(), lax()]] {
            assert!(confirmed(ours, answer).is_err(), "{answer:?} to {ours:?}");
        }
    }
}

#[test]
fn answers_that_break_the_grammar_fail_the_connection() {
    for answer in
        ["permessage-deflate;", "permessage-deflate; server_max_window_bits=", "permessage deflate", "=", "\"x\""]
    {
        for ours in [&[][..], &[lax()]] {
            assert!(confirmed(ours, &[answer]).is_err(), "{answer}");
        }
    }
}

#[test]
fn an_answer_may_accept_any_of_the_offers() {
    // The first wants small windows and nothing kept, the second is content with less.
    let strict = wish(false, false, 9, 9);
    let middle = wish(true, false, 15, 12);
    let all = [strict, middle, lax()];
    let nothing_kept = "permessage-deflate; server_no_context_takeover";
    for (ours, answer, accepted) in [
        (&all[..1], format!("{nothing_kept}; server_max_window_bits=9"), true),
        (&all[..1], format!("{nothing_kept}; server_max_window_bits=10"), false),
        (&all[..1], "permessage-deflate; server_max_window_bits=9".into(), false),
        (&all[..2], format!("{nothing_kept}; server_max_window_bits=10"), true),
        (&all[..2], format!("{nothing_kept}; server_max_window_bits=12"), true),
        (&all[..2], format!("{nothing_kept}; server_max_window_bits=13"), false),
        (&all[..2], nothing_kept.into(), false),
        // Demanded by all offers, and missing.
        (&all[..2], "permessage-deflate; server_max_window_bits=8".into(), false),
        (&all[..2], "permessage-deflate; server_max_window_bits=8; client_no_context_takeover".into(), false),
        (&all[..], "permessage-deflate".into(), true),
        (&all[..], "permessage-deflate; server_max_window_bits=15".into(), true),
        (&all[..], "permessage-deflate; client_max_window_bits=15".into(), true),
    ] {
        let verdict = confirmed(ours, &[&answer]);
        assert_eq!(verdict.is_ok(), accepted, "{answer}: {verdict:?}");
        let Ok(agreed) = verdict else {
            assert_eq!(verdict, Err(E::DeflateInvalid));
            continue;
        };
        // Whichever offer it was, the server does what its answer says, and no more
        // may be sent than some offer allowed.
        let (agreed, answer) = (agreed.unwrap(), Params::read(&answer));
        assert_eq!(agreed.receive.takeover, !answer.server_no_context_takeover);
        assert!(agreed.receive.window_bits >= answer.server_max_window_bits.unwrap_or(15));
        assert!(ours.iter().any(|ours| agreed.send.window_bits <= ours.send.window_bits));
    }
}

#[test]
fn settings_of_our_own_come_from_the_offer_that_was_accepted() {
    let mut first = wish(false, false, 15, 9);
    (first.level, first.memory, first.threshold) = (1, 2, 3);
    let mut second = lax();
    (second.level, second.memory, second.threshold) = (9, 8, 7);
    let agreed = confirmed(&[first, second], &["permessage-deflate"]).unwrap().unwrap();
    assert_eq!((agreed.level, agreed.memory, agreed.threshold), (9, 8, 7));
    let answer = "permessage-deflate; server_no_context_takeover; server_max_window_bits=9";
    let agreed = confirmed(&[first, second], &[answer]).unwrap().unwrap();
    assert_eq!((agreed.level, agreed.memory, agreed.threshold), (1, 2, 3));
}

// Both.

/// What the sender keeps is what the receiver keeps, and no distance is too far.
#[track_caller]
fn agree(client: &Deflate, server: &Deflate, case: &str) {
    for (sender, receiver) in [(client.send, server.receive), (server.send, client.receive)] {
        assert_eq!(sender.takeover, receiver.takeover, "{case}");
        assert!(sender.window_bits <= receiver.window_bits, "{case}");
    }
}

#[test]
fn both_ends_come_to_the_same() {
    let all = wishes(WINDOWS);
    for ours in &all {
        let offer = lines(&[&Deflate::offer(&[*ours])]);
        for theirs in &all {
            let case = format!("client {ours:?}, server {theirs:?}");
            let (server, answer) = theirs.accept(&offer).expect(&case);
            let client = Deflate::confirm(&[*ours], &lines(&[&answer])).expect(&case).expect(&case);
            agree(&client, &server, &case);
            // Nobody got more than it had set, and both got all that both had set.
            let both = |a: openline::DeflateContext, b: openline::DeflateContext| {
                (a.takeover && b.takeover, a.window_bits.min(b.window_bits))
            };
            for (agreed, possible) in
                [(client.send, both(ours.send, theirs.receive)), (client.receive, both(ours.receive, theirs.send))]
            {
                assert_eq!((agreed.takeover, agreed.window_bits), possible, "{case}");
            }
        }
    }
}

#[test]
fn both_ends_come_to_the_same_with_several_offers() {
    let some = wishes([8, 11, 15]);
    for first in &some {
        for second in &some {
            let offers = [*first, *second];
            let list = lines(&[&Deflate::offer(&offers)]);
            for theirs in some.iter().step_by(5) {
                let case = format!("client {offers:?}, server {theirs:?}");
                let (server, answer) = theirs.accept(&list).expect(&case);
                let client = Deflate::confirm(&offers, &lines(&[&answer])).expect(&case).expect(&case);
                agree(&client, &server, &case);
            }
        }
    }
}

#[test]
fn the_two_handshakes_agree() {
    for ours in wishes([8, 15]) {
        for theirs in wishes([8, 10, 15]) {
            let (mut client, sent) = client(&[ours]);
            let (end, answer) = serve(server(&[theirs]), &sent);
            assert_eq!(client.give(&mut answer.as_bytes()), Ok(true));
            let (client, server) = (client.0.agreement().deflate.unwrap(), end.agreement().deflate.unwrap());
            agree(&client, &server, &format!("client {ours:?}, server {theirs:?}"));
        }
    }
}
