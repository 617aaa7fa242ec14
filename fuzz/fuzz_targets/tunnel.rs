//! Any bytes as the answers of a proxy: no panic; however they are cut, the same outcome, the same that is said, and the
//! same rest; what is said has the server's name and the proxy's password, and nothing of the request; and a tunnel is open
//! only behind a 2xx, or a SOCKS reply of success.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openline::{Client, ClientRequest, HandshakeConfig, ProxyError};
use openline_fuzz::cut;

/// The kind of proxy, with a password or without, and small limits or not, in the lowest three bits; the lengths of pieces;
/// the bytes.
type Input<'a> = (u8, [u8; 4], &'a [u8]);

type Outcome = (Result<bool, ProxyError>, Vec<u8>, Vec<u8>, Option<u16>);

fuzz_target!(|input: Input<'_>| {
    let (flags, pieces, bytes) = input;
    let mut config = HandshakeConfig::default();
    if flags & 1 != 0 {
        (config.max_head, config.max_headers) = (300, 6);
    }
    let scheme = if flags & 2 != 0 { "socks5h" } else { "http" };
    let userinfo = if flags & 4 != 0 { "me:mine@" } else { "" };
    let request = ClientRequest::new("ws://name:secret@server.example/path?query").unwrap();
    let client = Client::new(request.header("Cookie", "secret").unwrap()).handshake(config);
    let client = client.proxy(format!("{scheme}://{userinfo}proxy").parse().unwrap());

    let whole = talk(&client, std::iter::once(bytes));
    assert_eq!(talk(&client, bytes.chunks(1)), whole);
    assert_eq!(talk(&client, cut(bytes, pieces)), whole);
    let (outcome, said, _, status) = whole;
    for word in [&b"secret"[..], b"path", b"query", b"Upgrade"] {
        assert!(!said.windows(word.len()).any(|part| part == word));
    }
    match outcome {
        Ok(true) if flags & 2 != 0 => assert!(bytes.starts_with(&[5])),
        Ok(true) => assert!(bytes.starts_with(b"HTTP/1.")),
        Err(ProxyError::Refused { status: refused }) => {
            assert!(status == Some(refused) && !(200..300).contains(&refused))
        }
        Ok(false) | Err(_) => assert_eq!(status, None),
    }
});

/// How it ends, what was said, what was left over, and the status of a refusal.
fn talk<'a>(client: &Client, chunks: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut tunnel = client.tunnel(None).unwrap();
    let (mut outcome, mut said, mut left) = (Ok(false), vec![], vec![]);
    for mut chunk in chunks {
        if outcome == Ok(false) {
            said.extend_from_slice(tunnel.next_transmit());
            tunnel.handle_transmitted(tunnel.next_transmit().len());
            outcome = tunnel.receive(&mut chunk);
            assert!(outcome != Ok(false) || chunk.is_empty());
        }
        left.extend_from_slice(chunk);
    }
    said.extend_from_slice(tunnel.next_transmit());
    (outcome, said, left, tunnel.take_response().map(|response| response.status))
}
