//! A client and a server with arbitrary wishes, joined in memory: both agree on the same, or both
//! fail for the same reason; and what is sent behind the handshake in either direction is left for
//! the connection.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use openline::{
    Accept, ClientHandshake, ClientRequest, Deflate, DeflateContext, HandshakeConfig, HandshakeError, Headers, Origins,
    Response, ServerHandshake, Time,
};
use openline_fuzz::cut;

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
    let mut client = ClientHandshake::new(request, ours.clone(), [7; 32], Time::ZERO);
    let mut server = ServerHandshake::new(theirs.clone(), Time::ZERO);

    // To the server. Bytes behind the request are the connection's.
    let wire = [client.poll_transmit().unwrap(), input.behind].concat();
    client.handle_transmitted(usize::MAX);
    assert!(client.poll_transmit().is_none());
    let (mut outcome, mut left) = (Ok(false), vec![]);
    for mut piece in cut(&wire, input.cuts) {
        if outcome == Ok(false) {
            outcome = server.receive(&mut piece).map(|request| request.is_some());
        }
        left.extend_from_slice(piece);
    }

    let upgrade = match outcome {
        Ok(complete) => {
            assert!(complete && left == input.behind);
            decide(&mut server, &input.decision)
        }
        Err(HandshakeError::TargetTooLong { limit } | HandshakeError::HeadTooLarge { limit }) => {
            assert!(limit == limited && wire.len() > limited);
            None
        }
        Err(error) => {
            assert_eq!(error, HandshakeError::OriginRefused, "our client keeps the rules");
            assert!(theirs.origins != Origins::Any);
            let sent = input.headers.iter().take(20).any(|(name, _)| name.eq_ignore_ascii_case("Origin"));
            assert!(sent || matches!(theirs.origins, Origins::Only(_)), "it may be absent");
            None
        }
    };

    // To the client.
    let answer = server.poll_transmit().expect("an answer").to_vec();
    server.handle_transmitted(answer.len());
    assert!(server.poll_transmit().is_none() && server.poll_timeout().is_none());
    let accepted = upgrade.is_some();
    let wire = if accepted { [&answer[..], input.behind].concat() } else { answer };
    let (mut outcome, mut left) = (Ok(None), vec![]);
    for mut piece in cut(&wire, input.cuts) {
        if matches!(outcome, Ok(None)) {
            outcome = client.receive(&mut piece);
        }
        left.extend_from_slice(piece);
    }
    let (Some(theirs), Ok(Some(ours))) = (&upgrade, &outcome) else {
        assert!(!accepted, "only the server has agreed: {outcome:?}");
        let status = client.response().expect("the refusal arrives").status;
        assert_eq!(outcome.unwrap_err(), HandshakeError::Refused { status });
        let refusal = server.receive(&mut &b""[..]).unwrap_err();
        assert_eq!(refusal.status(), Some(status));
        return;
    };
    assert_eq!(left, input.behind);
    assert_eq!(client.response().unwrap().status, 101);
    assert_eq!(client.poll_timeout(), None);
    assert_eq!(ours.agreement().subprotocol, theirs.agreement().subprotocol);
    match (ours.agreement().deflate, theirs.agreement().deflate) {
        (None, None) => assert!(input.offers.is_empty() || input.accepts.is_none() || declined),
        (Some(_), Some(_)) if declined => panic!("it was declined"),
        (Some(a), Some(b)) => assert_eq!((a.send, a.receive), (b.receive, b.send)),
        other => panic!("only one end compresses: {other:?}"),
    }
});

/// What the server's application says.
fn decide(server: &mut ServerHandshake, decision: &Decision<'_>) -> Option<openline::Upgrade> {
    let fields = |fields: &[(&str, &str)]| {
        let mut headers = Headers::new();
        fields.iter().take(20).for_each(|(name, value)| {
            let _ = headers.append(name, value);
        });
        headers
    };
    let upgrade = match decision {
        Decision::Accept => Some(server.accept(Accept::default()).expect("a request that waits")),
        Decision::AcceptWith(choice, headers, declined) => {
            let offered: Vec<_> = server.request().unwrap().subprotocols().map(String::from).collect();
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
            let upgrade = server.accept(answer).expect("a request that waits");
            if let Some(chosen) = chosen.unwrap_or_default() {
                assert_eq!(upgrade.agreement().subprotocol.as_ref(), Some(chosen));
            }
            Some(upgrade)
        }
        Decision::Reject(status, headers, body) => {
            let mut response = Response::new(*status).body(*body);
            for (name, value) in fields(headers).iter() {
                response = response.clone().header(name, str::from_utf8(value).unwrap()).unwrap_or(response);
            }
            server.reject(response);
            None
        }
    };
    assert_eq!(server.accept(Accept::default()).unwrap_err(), HandshakeError::NothingToDecide);
    upgrade
}
