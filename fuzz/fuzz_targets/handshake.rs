//! A client and a server with arbitrary wishes, joined in memory: both agree on the same, or both
//! fail for the same reason; and what is sent behind the handshake in either direction is what a
//! connection makes of it that had no handshake, whether it comes before the decision or after it.
#![no_main]

#[path = "../../tests/common/opening.rs"]
mod opening;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use opening::Opening;
use openline::{
    Accept, ClientRequest, Connection, Deflate, DeflateContext, Event, Fault, HandshakeConfig, HandshakeError, Headers,
    Origins, Response, Time,
};
use openline_fuzz::{connection, cut};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    uri: &'a str,
    offered: Vec<&'a str>,
    headers: Vec<(&'a str, &'a str)>,
    offers: Vec<Wish>,
    spoken: Vec<&'a str>,
    accepts: Option<Wish>,
    origin: Option<(bool, &'a str)>,
    max_head: u16,
    decision: Decision<'a>,
    cuts: [u8; 4],
    behind: &'a [u8],
    /// How much of that comes before the decision.
    early: u8,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Wish {
    send: (bool, u8),
    receive: (bool, u8),
}

#[derive(Arbitrary, Debug)]
enum Decision<'a> {
    Accept,
    /// The answer that is given: a subprotocol (an unknown one, an offered one, or none), headers, and
    /// whether it may be compressed.
    AcceptWith(Option<Option<u8>>, Vec<(&'a str, &'a str)>, bool),
    Reject(u16, Vec<(&'a str, &'a str)>, &'a [u8]),
}

fn deflate(wish: &Wish) -> Deflate {
    let context = |(takeover, window_bits): (bool, u8)| DeflateContext { takeover, window_bits };
    let mut deflate = Deflate::default();
    (deflate.send, deflate.receive) = (context(wish.send), context(wish.receive));
    deflate
}

fuzz_target!(|input: Input<'_>| {
    let uri = if input.uri.contains("://") { input.uri.to_owned() } else { format!("ws://{}", input.uri) };
    let Ok(mut request) = ClientRequest::new(&uri) else { return };
    for name in input.offered.iter().take(50) {
        request = request.clone().subprotocol(name).unwrap_or(request);
    }
    for (name, value) in input.headers.iter().take(20) {
        request = request.clone().header(name, value).unwrap_or(request);
    }
    let mut ours = HandshakeConfig::default();
    ours.max_body = 1000;
    ours.deflate = input.offers.iter().take(10).map(deflate).collect();
    let mut theirs = HandshakeConfig::default();
    theirs.max_head = 2000 + usize::from(input.max_head);
    theirs.subprotocols = input.spoken.iter().map(|name| (*name).to_owned()).collect();
    theirs.deflate = input.accepts.iter().map(deflate).collect();
    theirs.origins = match input.origin {
        None => Origins::Any,
        Some((false, origin)) => Origins::Only(vec![origin.to_owned()]),
        Some((true, origin)) => Origins::OnlyOrAbsent(vec![origin.to_owned()]),
    };
    let declined = matches!(input.decision, Decision::AcceptWith(_, _, true));
    let limited = theirs.max_head;
    let mut client = Opening::client(request, ours);
    let mut server = Opening::server(theirs.clone());

    // To the server.
    let wire = client.take(Time::ZERO);
    assert!(client.sent().is_empty());
    let (outcome, left) = give(&mut server, &wire, input.cuts);
    let accepted = match outcome {
        Ok(complete) => {
            assert!(complete && left.is_empty());
            // A client that does not wait.
            let early = input.behind.len().min(usize::from(input.early));
            let (early, late) = input.behind.split_at(early);
            assert_eq!(tell(&mut server.0, early), (vec![], None));
            let accepted = decide(&mut server, &input.decision);
            if accepted {
                let (mut events, mut fault) = tell(&mut server.0, b"");
                for piece in cut(late, input.cuts) {
                    let more = tell(&mut server.0, piece);
                    events.extend(more.0);
                    fault = more.1;
                }
                same_as_without(&server.0, &events, fault, input.behind);
            }
            accepted
        }
        Err(HandshakeError::TargetTooLong { limit } | HandshakeError::HeadTooLarge { limit }) => {
            assert!(limit == limited && wire.len() > limited);
            false
        }
        Err(error) => {
            assert_eq!(error, HandshakeError::OriginRefused, "our client keeps the rules");
            assert!(theirs.origins != Origins::Any);
            let sent = input.headers.iter().take(20).any(|(name, _)| name.eq_ignore_ascii_case("Origin"));
            assert!(sent || matches!(theirs.origins, Origins::Only(_)), "it may be absent");
            false
        }
    };

    // To the client: the answer, which ends in the first empty line if it is a 101.
    let mut answer = server.take(Time::ZERO);
    if accepted {
        let end = answer.windows(4).position(|part| part == b"\r\n\r\n").expect("an answer") + 4;
        answer.truncate(end);
    }
    let (outcome, left) = give(&mut client, &answer, input.cuts);
    if !accepted {
        let status = client.response().expect("the refusal arrives").status;
        assert_eq!(outcome.unwrap_err(), HandshakeError::Refused { status });
        let refusal = server.give(&mut &b""[..]).unwrap_err();
        assert_eq!(refusal.status(), Some(status));
        assert!(client.0.wants().is_none());
        server.0.handle_eof(Time::ZERO);
        assert_eq!((server.failure(), server.0.wants()), (Some(refusal), None));
        return;
    }
    assert!(outcome == Ok(true) && left.is_empty(), "only the server has agreed: {outcome:?}");
    assert_eq!(client.response().unwrap().status, 101);
    let (ours, theirs) = (client.0.agreement(), server.0.agreement());
    assert_eq!(ours.subprotocol, theirs.subprotocol);
    match (ours.deflate, theirs.deflate) {
        (None, None) => assert!(input.offers.is_empty() || input.accepts.is_none() || declined),
        (Some(_), Some(_)) if declined => panic!("it was declined"),
        (Some(a), Some(b)) => assert_eq!((a.send, a.receive), (b.receive, b.send)),
        other => panic!("only one end compresses: {other:?}"),
    }
    let (events, fault) = tell(&mut client.0, input.behind);
    same_as_without(&client.0, &events, fault, input.behind);
});

/// Gives these bytes in pieces: the outcome, and what was left.
fn give(opening: &mut Opening, bytes: &[u8], cuts: [u8; 4]) -> (Result<bool, HandshakeError>, Vec<u8>) {
    let (mut outcome, mut left) = (Ok(false), vec![]);
    for mut piece in cut(bytes, cuts) {
        if outcome == Ok(false) {
            outcome = opening.give(&mut piece);
        }
        left.extend_from_slice(piece);
    }
    (outcome, left)
}

/// All that comes of these bytes.
fn tell(connection: &mut Connection, bytes: &[u8]) -> (Vec<Event<'static>>, Option<Fault>) {
    let mut bytes = bytes.to_vec();
    let (mut input, mut events) = (&mut bytes[..], vec![]);
    loop {
        match connection.receive(&mut input, Time::ZERO) {
            Ok(Some(event)) => events.push(event.into_owned()),
            Ok(None) => return (events, None),
            Err(fault) => return (events, Some(fault)),
        }
    }
}

/// What came behind the handshake is what it is to a connection that begins after one.
fn same_as_without(this: &Connection, events: &[Event<'_>], fault: Option<Fault>, bytes: &[u8]) {
    let mut other = connection(this.role(), this.agreement().deflate, *this.config());
    let (expected, expected_fault) = tell(&mut other, bytes);
    assert_eq!((events, fault), (&expected[..], expected_fault));
    assert_eq!(this.state(), other.state());
}

/// What the server's application says. True: it accepts.
fn decide(server: &mut Opening, decision: &Decision<'_>) -> bool {
    let fields = |fields: &[(&str, &str)]| {
        let mut headers = Headers::new();
        fields.iter().take(20).for_each(|(name, value)| {
            let _ = headers.append(name, value);
        });
        headers
    };
    let accepted = match decision {
        Decision::Accept => {
            server.accept(Accept::default()).expect("a request that waits");
            true
        }
        Decision::AcceptWith(choice, headers, declined) => {
            let offered: Vec<_> = server.request().subprotocols().map(String::from).collect();
            let mut answer = if *declined { Accept::default().uncompressed() } else { Accept::default() };
            for (name, value) in headers.iter().take(20) {
                answer = answer.clone().header(name, value).unwrap_or(answer);
            }
            let chosen = match choice {
                None => None,
                Some(None) => Some(None),
                Some(Some(at)) => Some(offered.get(usize::from(*at))),
            };
            match chosen {
                None => answer = answer.no_subprotocol(),
                Some(None) => {
                    // Nobody can offer this one. The request still waits.
                    let unknown = server.accept(answer.clone().subprotocol("no token"));
                    assert_eq!(unknown.unwrap_err(), HandshakeError::SubprotocolNotOffered);
                }
                Some(Some(name)) => answer = answer.subprotocol(name),
            }
            server.accept(answer).expect("a request that waits");
            if let Some(chosen) = chosen.unwrap_or_default() {
                assert_eq!(server.0.agreement().subprotocol.as_ref(), Some(chosen));
            }
            true
        }
        Decision::Reject(status, headers, body) => {
            let mut response = Response::new(*status).body(*body);
            for (name, value) in fields(headers).iter() {
                response = response.clone().header(name, str::from_utf8(value).unwrap()).unwrap_or(response);
            }
            server.reject(response).expect("a request that waits");
            false
        }
    };
    assert_eq!(server.accept(Accept::default()).unwrap_err(), HandshakeError::NothingToDecide);
    accepted
}
