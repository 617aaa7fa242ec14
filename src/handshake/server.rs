//! §4.2: the server's side of the opening handshake, as bytes. Whatever comes gets a complete
//! HTTP answer, and nothing is sent before the request is complete or wrong. The rules are in
//! [`judge`](super::judge) and [`accept`](super::accept).

#![expect(clippy::arithmetic_side_effects, reason = "`sent <= out.len()`")]

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::{fmt, mem};

use super::head::HeadReader;
use super::write::{refusal_status, write_refusal, write_switch};
use super::{Accept, HandshakeConfig};
use crate::error::HandshakeError;
use crate::http::{Request, Response};
use crate::time::Time;
use crate::upgrade::Upgrade;

/// The server's side of an opening handshake (§4.2), without IO.
///
/// ```
/// use openline::{Accept, HandshakeConfig, ServerHandshake, Time};
///
/// let mut handshake = ServerHandshake::new(HandshakeConfig::default(), Time::ZERO);
/// let mut input = &b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n..."[..];
/// // `Ok(None)` would mean: not complete yet.
/// let request = handshake.receive(&mut input)?.unwrap();
/// assert_eq!(request.path(), "/chat");
/// let upgrade = handshake.accept(Accept::default())?;
/// assert!(handshake.poll_transmit().unwrap().starts_with(b"HTTP/1.1 101 "));
/// // What came behind the request belongs to the connection.
/// assert_eq!(input, b"...");
/// # Ok::<(), openline::HandshakeError>(())
/// ```
pub struct ServerHandshake {
    config: Arc<HandshakeConfig>,
    deadline: Time,
    phase: Phase,
    request: Option<Request>,
    /// The request's method is HEAD: no answer to it has a body.
    is_head: bool,
    out: Vec<u8>,
    sent: usize,
}

#[derive(Debug)]
enum Phase {
    Reading(HeadReader),
    /// The request is in order, and waits for `accept` or `reject`.
    Deciding,
    Accepted,
    /// An answer other than 101 is queued: a rule was broken, or the application rejected.
    Refused(HandshakeError),
}

impl ServerHandshake {
    /// Waits for a request, from `now` on. A server that shares one `Arc` among its
    /// connections copies no configuration.
    #[must_use]
    pub fn new(config: impl Into<Arc<HandshakeConfig>>, now: Time) -> ServerHandshake {
        let config = config.into();
        let deadline = now + config.timeout;
        let phase = Phase::Reading(HeadReader::request(config.max_head, config.max_headers));
        ServerHandshake { config, deadline, phase, request: None, is_head: false, out: Vec::new(), sent: 0 }
    }

    /// Takes the request's bytes off the front of `input`. `Ok(None)`: more is to come.
    /// Otherwise the request is complete and in order, and waits to be
    /// [accepted](Self::accept) or [rejected](Self::reject); what is left of `input`
    /// comes after it.
    ///
    /// # Errors
    ///
    /// The request is refused: the answer is queued, and no more input is looked at.
    pub fn receive(&mut self, input: &mut &[u8]) -> Result<Option<&Request>, HandshakeError> {
        match &mut self.phase {
            Phase::Reading(head) => {
                let complete = head.receive(input);
                self.is_head = head.is_head();
                match complete {
                    Ok(false) => return Ok(None),
                    Ok(true) => {}
                    Err(error) => return Err(self.refuse(error)),
                }
            }
            Phase::Refused(error) => return Err(*error),
            Phase::Deciding | Phase::Accepted => return Ok(self.request.as_ref()),
        }
        let Phase::Reading(head) = mem::replace(&mut self.phase, Phase::Deciding) else { return Ok(None) };
        let request = match head.into_request() {
            Ok(request) => self.request.insert(request),
            Err(error) => return Err(self.refuse(error)),
        };
        match self.config.judge(request) {
            Ok(()) => Ok(self.request.as_ref()),
            Err(error) => Err(self.refuse(error)),
        }
    }

    /// The request, once its head is complete; also if it was refused after that.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        self.request.as_ref()
    }

    /// Accepts the request; [`Accept::default`] is the usual answer. The 101 is queued. The
    /// connection may begin at once, and send behind it.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::SubprotocolNotOffered`] if the answer chooses a subprotocol that the
    /// client did not offer; the request still waits then. [`HandshakeError::NothingToDecide`] if
    /// no request waits: none has come, or it was accepted, rejected or refused.
    pub fn accept(&mut self, answer: Accept) -> Result<Upgrade, HandshakeError> {
        let (Phase::Deciding, Some(request)) = (&self.phase, &self.request) else {
            return Err(HandshakeError::NothingToDecide);
        };
        let (response, upgrade) = self.config.accept(request, &answer)?;
        write_switch(&mut self.out, &response.headers);
        self.phase = Phase::Accepted;
        Ok(upgrade)
    }

    /// Answers the request with something other than a WebSocket; [`receive`](Self::receive) fails
    /// with [`HandshakeError::Rejected`] then. Also replaces the answer to a request that was
    /// refused, as long as none of it has been transmitted. Does nothing while there is no request,
    /// and after it has been accepted.
    pub fn reject(&mut self, response: Response) {
        let decidable = match self.phase {
            Phase::Deciding => true,
            Phase::Refused(_) => self.sent == 0,
            Phase::Reading(_) | Phase::Accepted => false,
        };
        if decidable {
            self.out.clear();
            write_refusal(&mut self.out, &response, self.is_head);
            self.phase = Phase::Refused(HandshakeError::Rejected { status: refusal_status(&response) });
        }
    }

    /// The bytes to transmit next, if there are any.
    #[must_use]
    pub fn poll_transmit(&self) -> Option<&[u8]> {
        self.out.get(self.sent..).filter(|bytes| !bytes.is_empty())
    }

    /// The transport took the first `len` of them.
    pub fn handle_transmitted(&mut self, len: usize) {
        self.sent = self.out.len().min(self.sent.saturating_add(len));
    }

    /// When to call [`handle_timeout`](Self::handle_timeout): until the decision has
    /// been transmitted there is one deadline for all of it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let over = matches!(self.phase, Phase::Accepted | Phase::Refused(_)) && self.poll_transmit().is_none();
        if over { None } else { Some(self.deadline) }
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) gave may have come.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::TimedOut`] if it has. If nothing was answered yet, an answer
    /// (408) is queued; try to transmit it, without waiting, and close.
    pub fn handle_timeout(&mut self, now: Time) -> Result<(), HandshakeError> {
        match self.poll_timeout() {
            Some(deadline) if deadline <= now => Err(match self.phase {
                Phase::Reading(_) | Phase::Deciding => self.refuse(HandshakeError::TimedOut),
                Phase::Accepted | Phase::Refused(_) => HandshakeError::TimedOut,
            }),
            _ => Ok(()),
        }
    }

    /// The peer has ended its side of the transport.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::UnexpectedEof`] if its request is not complete; if there is any
    /// of it, an answer (400) is queued. A complete one may be decided on all the same.
    pub fn handle_eof(&mut self) -> Result<(), HandshakeError> {
        match &self.phase {
            // The peer may have ended its own side only, and listen.
            Phase::Reading(head) if head.len() > 0 => Err(self.refuse(HandshakeError::UnexpectedEof)),
            Phase::Reading(_) => {
                self.phase = Phase::Refused(HandshakeError::UnexpectedEof);
                Err(HandshakeError::UnexpectedEof)
            }
            _ => Ok(()),
        }
    }

    /// Queues the answer to a request that broke a rule, and returns the error.
    fn refuse(&mut self, error: HandshakeError) -> HandshakeError {
        self.out.clear();
        let response = self.config.refusal(error, self.request.as_ref());
        write_refusal(&mut self.out, &response, self.is_head);
        self.phase = Phase::Refused(error);
        error
    }
}

/// The bytes in either direction may be secret.
impl fmt::Debug for ServerHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unsent = self.out.len() - self.sent;
        f.debug_struct("ServerHandshake")
            .field("phase", &self.phase)
            .field("deadline", &self.deadline)
            .field("unsent", &unsent)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn read(request: &str) -> (ServerHandshake, Option<HandshakeError>) {
        let config = HandshakeConfig { max_head: 1 << 20, ..HandshakeConfig::default() };
        let mut handshake = ServerHandshake::new(config, Time::ZERO);
        let error = handshake.receive(&mut request.as_bytes()).err();
        (handshake, error)
    }

    /// The answer to a request with these fields besides the usual ones.
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
            let (handshake, _) = read(request);
            let sent = handshake.poll_transmit().unwrap();
            assert!(sent.starts_with(format!("HTTP/1.1 {status}").as_bytes()) && sent.ends_with(b"\r\n\r\n"));
        }
    }

    #[test]
    fn half_a_request_is_answered() {
        for (part, status) in [("", None), ("\r", Some(400)), ("GET / HTTP/1.1\r\n", Some(400))] {
            let (mut handshake, error) = read(part);
            assert_eq!((error, handshake.handle_eof()), (None, Err(HandshakeError::UnexpectedEof)));
            let answer = handshake.poll_transmit().map(|sent| sent.starts_with(b"HTTP/1.1 400 "));
            assert_eq!(answer, status.map(|_| true), "{part:?}");
        }
    }

    #[test]
    fn the_error_has_the_status_that_was_sent() {
        let (mut handshake, _) = read("GET / HTTP/1.1\r\nHost: h\r\nCookie: secret\r\n\r\n");
        handshake.reject(Response::new(101));
        assert!(handshake.poll_transmit().unwrap().starts_with(b"HTTP/1.1 500 "));
        assert_eq!(handshake.receive(&mut &b""[..]), Err(HandshakeError::Rejected { status: 500 }));
        let debug = format!("{handshake:?}");
        assert!(!debug.contains("secret") && debug.contains("Rejected"), "{debug}");
    }
}
