//! §4.2: the server's side of the opening handshake. It reads and writes the bytes; the rules are in
//! [`judge`](super::judge) and [`accept`](super::accept). Every request gets a complete HTTP answer, and
//! nothing is sent before the request is complete or wrong.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::HandshakeConfig;
use super::head::HeadReader;
use super::write::{refusal_status, write_refusal, write_switch};
use crate::error::HandshakeError;
use crate::http::{Accept, Request, Response};
use crate::opening::{Opened, Opening};
use crate::upgrade::Upgrade;

/// A server that reads a request, or waits for the application's decision on it.
#[derive(Debug)]
pub(crate) struct ServerOpening {
    config: Arc<HandshakeConfig>,
    stage: Stage,
    /// Whether the request's method is HEAD, so that the answer has no body.
    is_head: bool,
}

/// How far the server is with the request.
#[derive(Debug)]
enum Stage {
    Reading(HeadReader),
    /// The request is in order, and waits for `accept` or `reject`.
    Deciding(Request),
}

impl ServerOpening {
    pub(crate) fn new(config: Arc<HandshakeConfig>) -> ServerOpening {
        let stage = Stage::Reading(HeadReader::request(config.max_head, config.max_headers));
        ServerOpening { config, stage, is_head: false }
    }

    fn answer(&self, error: HandshakeError, request: Option<&Request>, out: &mut Vec<u8>) -> HandshakeError {
        write_refusal(out, &self.config.refusal(error, request), self.is_head);
        error
    }
}

impl Opening for ServerOpening {
    fn receive(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<Option<Opened>, HandshakeError> {
        let Stage::Reading(head) = &mut self.stage else { return Ok(None) };
        let complete = head.receive(input);
        self.is_head = head.is_head();
        match complete {
            Ok(false) => return Ok(None),
            Ok(true) => {}
            Err(error) => return Err(self.answer(error, None, out)),
        }
        let next = HeadReader::request(0, 0);
        let request = match core::mem::replace(head, next).into_request() {
            Ok(request) => request,
            Err(error) => return Err(self.answer(error, None, out)),
        };
        match self.config.judge(&request) {
            Ok(()) => {
                self.stage = Stage::Deciding(request);
                Ok(Some(Opened::Request))
            }
            Err(error) => Err(self.answer(error, Some(&request), out)),
        }
    }

    fn handle_eof(&mut self, out: &mut Vec<u8>) -> Option<HandshakeError> {
        match &self.stage {
            // The peer may have ended only its own side, and may still read an answer.
            Stage::Reading(head) if head.len() > 0 => Some(self.answer(HandshakeError::UnexpectedEof, None, out)),
            Stage::Reading(_) => Some(HandshakeError::UnexpectedEof),
            Stage::Deciding(_) => None,
        }
    }

    fn handle_timeout(&mut self, out: &mut Vec<u8>) -> HandshakeError {
        self.answer(HandshakeError::TimedOut, None, out)
    }

    fn request(&self) -> Option<&Request> {
        match &self.stage {
            Stage::Reading(_) => None,
            Stage::Deciding(request) => Some(request),
        }
    }

    fn max_held(&self) -> usize {
        self.config.max_head
    }

    fn refuse(&mut self, error: HandshakeError, out: &mut Vec<u8>) -> HandshakeError {
        self.answer(error, None, out)
    }

    fn accept(&mut self, answer: Accept, out: &mut Vec<u8>) -> Result<Upgrade, HandshakeError> {
        let Stage::Deciding(request) = &self.stage else { return Err(HandshakeError::NothingToDecide) };
        let before = out.len();
        let accepted = write_switch(out, |add| self.config.accept_into(request, &answer, add));
        if accepted.is_err() {
            out.truncate(before);
        }
        accepted.map(|(_, upgrade)| upgrade)
    }

    fn reject(&mut self, response: Response, out: &mut Vec<u8>) -> HandshakeError {
        write_refusal(out, &response, self.is_head);
        HandshakeError::Rejected { status: refusal_status(&response) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;

    /// A server that has read this request, its error, and its answer.
    fn read(request: &str) -> (ServerOpening, Option<HandshakeError>, String) {
        let config = HandshakeConfig { max_head: 1 << 20, ..HandshakeConfig::default() };
        let (mut opening, mut out) = (ServerOpening::new(Arc::new(config)), Vec::new());
        let error = opening.receive(&mut request.as_bytes(), &mut out).err();
        (opening, error, String::from_utf8(out).unwrap())
    }

    /// The server's error for a request with these fields and the usual ones.
    fn offer(fields: &str) -> Option<HandshakeError> {
        let usual = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        read(&format!("GET / HTTP/1.1\r\nHost: h\r\n{usual}{fields}\r\n")).1
    }

    #[test]
    fn an_upgrade_to_something_else_is_none() {
        let plain = |fields: &str| read(&format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).1;
        assert_eq!(plain(""), Some(HandshakeError::NotUpgrade));
        assert_eq!(plain("Upgrade: h2c\r\n"), Some(HandshakeError::NotUpgrade));
        assert_eq!(plain("Upgrade: h2c, websocket/13\r\n"), Some(HandshakeError::UpgradeInvalid));
        assert_eq!(plain("Upgrade: h2c\r\nSec-WebSocket-Key: x\r\n"), Some(HandshakeError::UpgradeInvalid));
    }

    #[test]
    fn offers_are_different_and_origins_alone() {
        let many: Vec<_> = (0..10_000).map(|i| format!("p{i}")).collect();
        assert_eq!(offer(&format!("Sec-WebSocket-Protocol: {}\r\n", many.join(","))), None);
        let twice = "Sec-WebSocket-Protocol: b, a\r\nSec-WebSocket-Protocol: b\r\n";
        assert_eq!(offer(twice), Some(HandshakeError::SubprotocolsInvalid));
        assert_eq!(offer("Origin: a\r\n"), None);
        assert_eq!(offer("Origin: a\r\nOrigin: a\r\n"), Some(HandshakeError::OriginInvalid));
    }

    #[test]
    fn a_head_has_no_body_in_answer() {
        for (request, status) in [
            ("HEAD / HTTP/1.1\r\n\r\n", "405"),
            ("HEAD / HTTP/1.0\r\n\r\n", "400"),
            ("\r\nHEAD / HTTP/1.1\r\nA\n", "400"),
        ] {
            let (_, error, sent) = read(request);
            assert!(error.is_some());
            assert!(sent.starts_with(&format!("HTTP/1.1 {status}")) && sent.ends_with("\r\n\r\n"), "{sent}");
        }
    }

    #[test]
    fn half_a_request_is_answered() {
        for (part, answer) in [("", ""), ("\r", "HTTP/1.1 400 "), ("GET / HTTP/1.1\r\n", "HTTP/1.1 400 ")] {
            let (mut opening, error, sent) = read(part);
            assert_eq!((error, &sent[..]), (None, ""));
            let mut out = Vec::new();
            assert_eq!(opening.handle_eof(&mut out), Some(HandshakeError::UnexpectedEof));
            assert_eq!(&out[..out.len().min(13)], answer.as_bytes(), "{part:?}");
        }
    }

    #[test]
    fn the_error_has_the_status_that_was_sent() {
        let usual = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let (mut opening, error, _) =
            read(&format!("GET /?secret HTTP/1.1\r\nHost: h\r\n{usual}Cookie: secret\r\n\r\n"));
        assert_eq!(error, None);
        let debug = format!("{opening:?}");
        assert!(!debug.contains("secret") && debug.contains("Deciding"), "{debug}");
        let mut out = Vec::new();
        assert_eq!(opening.reject(Response::new(101), &mut out), HandshakeError::Rejected { status: 500 });
        assert!(out.starts_with(b"HTTP/1.1 500 "));
    }
}
