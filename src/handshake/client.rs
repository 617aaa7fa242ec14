//! §4.1: the client's side of the opening handshake. It writes and reads the bytes; the rules are in
//! [`request`](super::request) and [`confirm`](super::confirm).

#![expect(clippy::arithmetic_side_effects, reason = "`spent` counts heads that lie in memory")]

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::{fmt, mem};

use super::body::BodyReader;
use super::confirm::PendingUpgrade;
use super::head::{HeadReader, ResponseHead};
use super::write::write_request;
use super::{ClientRequest, HandshakeConfig};
use crate::entropy::Seed;
use crate::error::HandshakeError;
use crate::http::Response;
use crate::opening::{Opened, Opening};
use crate::upgrade::Upgrade;

/// A client that waits for the answer to its request.
pub(crate) struct ClientOpening {
    config: Arc<HandshakeConfig>,
    /// How many bytes of the limit for heads the interim answers have used up.
    spent: usize,
    /// Judges the 101. `None` when it has.
    pending: Option<PendingUpgrade>,
    part: Part,
    response: Option<Box<Response>>,
}

/// The part of the answer that is being read.
#[derive(Debug)]
enum Part {
    Head(HeadReader),
    /// The body, which is read only if the server refused.
    Body(BodyReader),
}

impl ClientOpening {
    /// A client that has appended its request to `out`.
    pub(crate) fn new(
        request: &ClientRequest,
        config: Arc<HandshakeConfig>,
        seed: Seed,
        out: &mut Vec<u8>,
    ) -> ClientOpening {
        let (request, pending) = PendingUpgrade::upgrade(request, Arc::clone(&config), seed);
        write_request(out, &request);
        ClientOpening {
            pending: Some(pending),
            part: Part::Head(HeadReader::response(0, config.max_head, config.max_headers)),
            response: None,
            spent: 0,
            config,
        }
    }

    /// The error, if no more of the answer will come.
    fn ended(&self, error: HandshakeError) -> HandshakeError {
        match (&self.part, &self.response) {
            (Part::Body(_), Some(response)) => HandshakeError::Refused { status: response.status },
            _ => error,
        }
    }

    /// Judges the answer, which has the status 101.
    fn upgrade(&mut self) -> Result<Upgrade, HandshakeError> {
        match (&self.response, self.pending.take()) {
            (Some(response), Some(pending)) => pending.confirm(response),
            _ => Err(HandshakeError::NothingToDecide),
        }
    }
}

impl Opening for ClientOpening {
    fn receive(&mut self, input: &mut &[u8], _: &mut Vec<u8>) -> Result<Option<Opened>, HandshakeError> {
        loop {
            match &mut self.part {
                Part::Body(body) => {
                    let Some(response) = &mut self.response else { return Ok(None) };
                    let done = body.receive(input, &mut response.body, self.config.max_body);
                    return if done { Err(HandshakeError::Refused { status: response.status }) } else { Ok(None) };
                }
                Part::Head(head) => {
                    if !head.receive(input)? {
                        return Ok(None);
                    }
                    // RFC 9110 §15.2: interim answers come before the final one. All of them together have the
                    // limit of one head, so that a server cannot send them for ever.
                    self.spent += head.len();
                    let next = HeadReader::response(self.spent, self.config.max_head, self.config.max_headers);
                    let ResponseHead { minor, status, headers } = mem::replace(head, next).into_response()?;
                    let response = self.response.insert(Box::new(Response { status, headers, body: Vec::new() }));
                    match status {
                        // §4.1: a 101 must be HTTP/1.1. Any other answer may be HTTP/1.0 too.
                        101 if minor == 0 => return Err(HandshakeError::HttpVersionTooOld),
                        101 => return self.upgrade().map(|upgrade| Some(Opened::Agreed(upgrade))),
                        100..=199 => self.response = None,
                        _ => self.part = Part::Body(BodyReader::new(status, &response.headers)),
                    }
                }
            }
        }
    }

    fn handle_eof(&mut self, _: &mut Vec<u8>) -> Option<HandshakeError> {
        Some(self.ended(HandshakeError::UnexpectedEof))
    }

    fn handle_timeout(&mut self, _: &mut Vec<u8>) -> HandshakeError {
        self.ended(HandshakeError::TimedOut)
    }

    fn take_response(&mut self) -> Option<Box<Response>> {
        self.response.take()
    }
}

/// `Debug` shows neither the key nor the answer: both may be secret.
impl fmt::Debug for ClientOpening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOpening").field("part", &self.part).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;

    /// A client, and the request that it has sent.
    fn asking(request: &ClientRequest) -> (ClientOpening, String) {
        let mut out = Vec::new();
        let opening = ClientOpening::new(request, Arc::default(), Seed::from([7; 32]), &mut out);
        (opening, String::from_utf8(out).unwrap())
    }

    /// The answer to the key that it has sent.
    fn accept(opening: &ClientOpening) -> String {
        String::from_utf8(opening.pending.as_ref().unwrap().accept.unwrap().to_vec()).unwrap()
    }

    /// What it makes of the answer with this first line and these fields besides the key's.
    fn answer(line: &str, fields: &str) -> Option<HandshakeError> {
        let (mut opening, _) = asking(&ClientRequest::new("ws://h/").unwrap());
        let response = format!("{line}\r\nSec-WebSocket-Accept: {}\r\n{fields}\r\n", accept(&opening));
        opening.receive(&mut response.as_bytes(), &mut Vec::new()).err()
    }

    #[test]
    fn what_is_single_is_sent_once() {
        let mut request = ClientRequest::new("ws://u:p@h/").unwrap();
        for (name, value) in [("Host", "a"), ("host", "b:1"), ("Authorization", "x"), ("AUTHORIZATION", "y")] {
            request = request.header(name, value).unwrap();
        }
        let request = request.header("Cookie", "a=1").unwrap().header("Cookie", "b=2").unwrap();
        let sent = asking(&request).1.to_lowercase();
        assert_eq!((sent.matches("\r\nhost: ").count(), sent.matches("\r\nhost: b:1\r\n").count()), (1, 1));
        assert_eq!((sent.matches("authorization: ").count(), sent.matches("authorization: y\r\n").count()), (1, 1));
        assert_eq!(sent.matches("cookie: ").count(), 2);
        for wrong in ["", "a b", "u@h", "h:x", "[h]"] {
            let request = ClientRequest::new("ws://h/").unwrap().header("Host", wrong);
            assert_eq!(request, Err(HandshakeError::HostInvalid), "{wrong}");
        }
    }

    #[test]
    fn userinfo() {
        // RFC 7617 §2: user-id, colon, password.
        for (uri, expected) in [("ws://user@h/", Some("Basic dXNlcjo=\r\n")), ("ws://@h/", None), ("ws://h/", None)] {
            let (_, sent) = asking(&ClientRequest::new(uri).unwrap());
            assert_eq!(sent.split_once("Authorization: ").map(|(_, rest)| &rest[..16]), expected, "{uri}");
        }
    }

    #[test]
    fn fields_of_a_101() {
        use HandshakeError::*;
        let line = "HTTP/1.1 101 x";
        for (fields, error) in [
            ("Upgrade: WebSocket\r\nConnection: keep-alive, upgrade, Upgrade\r\n", None),
            ("Upgrade: websocket, h2c\r\nConnection: upgrade\r\n", Some(UpgradeInvalid)),
            ("Upgrade: websocket\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n", None),
            ("Upgrade:\r\nConnection: upgrade\r\n", Some(UpgradeInvalid)),
            ("Upgrade: websocket/13\r\nConnection: upgrade\r\n", Some(UpgradeInvalid)),
            ("Upgrade: websocket\r\nConnection: upgrades\r\n", Some(ConnectionInvalid)),
        ] {
            assert_eq!(answer(line, fields), error, "{fields}");
        }
    }

    #[test]
    fn an_upgrade_takes_http_1_1_and_a_refusal_does_not() {
        let (fields, end) = ("Upgrade: websocket\r\nConnection: upgrade\r\n", "Content-Length: 0\r\n");
        assert_eq!(answer("HTTP/1.0 101 x", fields), Some(HandshakeError::HttpVersionTooOld));
        assert_eq!(answer("HTTP/1.0 403 x", end), Some(HandshakeError::Refused { status: 403 }));
        assert_eq!(answer("HTTP/1.2 403", end), Some(HandshakeError::Refused { status: 403 }));
        assert_eq!(answer("HTTP/2.0 403 x", end), Some(HandshakeError::HttpVersionUnknown));
        assert_eq!(answer("\r\nHTTP/1.1 403 x", end), Some(HandshakeError::MalformedHead));
    }

    #[test]
    fn debug_keeps_secrets() {
        let request = ClientRequest::new("ws://u:secret@h/").unwrap().header("Cookie", "secret").unwrap();
        let (mut opening, _) = asking(&request);
        let mut debug = format!("{request:?}{opening:?}");
        let refusal = b"HTTP/1.1 401 x\r\nSet-Cookie: secret\r\n\r\nsecret";
        assert!(opening.receive(&mut &refusal[..], &mut Vec::new()).unwrap().is_none());
        debug += &format!("{opening:?}{:?}", opening.response);
        assert!(!debug.contains("secret") && !debug.contains(&accept(&opening)), "{debug}");
    }
}
