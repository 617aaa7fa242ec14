//! §4.2: the server's side of the opening handshake. Whatever comes gets a complete
//! HTTP answer, and nothing is said before the request has been heard to its end.

#![expect(clippy::arithmetic_side_effects, reason = "`sent <= out.len()`")]

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::{fmt, mem};

use super::HandshakeConfig;
use super::fields::{self, Headers, is_token, write_field};
use super::head::HeadReader;
use super::key;
use super::message::{Request, Response, split_absolute, write_status};
use super::uri::split_authority;
use crate::error::HandshakeError;
use crate::time::Time;
use crate::upgrade::{Agreement, Upgrade};

/// The server's side of an opening handshake (§4.2), without IO.
///
/// ```
/// use openline::{HandshakeConfig, ServerHandshake, Time};
///
/// let mut handshake = ServerHandshake::new(HandshakeConfig::default(), Time::ZERO);
/// let mut input = &b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n..."[..];
/// // `Ok(None)` would mean: not complete yet.
/// let request = handshake.receive(&mut input)?.unwrap();
/// assert_eq!(request.path(), "/chat");
/// let upgrade = handshake.accept()?;
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
    /// The request was in order; the application has the word.
    Deciding,
    Accepted,
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
            Ok(head) => {
                self.request.insert(Request { method: head.method, target: head.target, headers: head.headers })
            }
            Err(error) => return Err(self.refuse(error)),
        };
        match check(request, &self.config) {
            Ok(()) => Ok(self.request.as_ref()),
            Err(error) => Err(self.refuse(error)),
        }
    }

    /// The request, once its head was complete; also if it was refused after that.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        self.request.as_ref()
    }

    /// Accepts the request, with the first offered subprotocol that
    /// [`HandshakeConfig::subprotocols`] has. The 101 is queued; the connection may
    /// begin at once, and send behind it.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::NothingToDecide`] if there is no request, or it was decided on.
    pub fn accept(&mut self) -> Result<Upgrade, HandshakeError> {
        let supported = &self.config.subprotocols;
        let offered = self.request.iter().flat_map(Request::subprotocols);
        let chosen =
            offered.into_iter().find(|offer| supported.iter().any(|ours| ours == offer)).map(ToString::to_string);
        self.accept_with(chosen.as_deref(), &Headers::new())
    }

    /// As [`accept`](Self::accept), with a subprotocol of the application's choice, or
    /// none, and more headers.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::SubprotocolNotOffered`] if the client did not offer it,
    /// [`HandshakeError::HeaderReserved`] for a header that the handshake sets itself;
    /// the request still waits then. [`HandshakeError::NothingToDecide`] as above.
    pub fn accept_with(&mut self, subprotocol: Option<&str>, headers: &Headers) -> Result<Upgrade, HandshakeError> {
        let (Phase::Deciding, Some(request)) = (&self.phase, &self.request) else {
            return Err(HandshakeError::NothingToDecide);
        };
        // §4.2.2: "if the client did not offer it, the server MUST NOT choose it".
        if subprotocol.is_some_and(|chosen| !request.subprotocols().any(|offer| offer == chosen)) {
            return Err(HandshakeError::SubprotocolNotOffered);
        }
        if headers.iter().any(|(name, _)| is_reserved(name)) {
            return Err(HandshakeError::HeaderReserved);
        }
        let key = request.headers.get("Sec-WebSocket-Key").unwrap_or_default();
        self.out.reserve(USUAL_ANSWER);
        write_status(&mut self.out, 101);
        write_field(&mut self.out, "Upgrade", "websocket");
        write_field(&mut self.out, "Connection", "Upgrade");
        write_field(&mut self.out, "Sec-WebSocket-Accept", key::accept(key.as_bytes()));
        if let Some(chosen) = subprotocol {
            write_field(&mut self.out, "Sec-WebSocket-Protocol", chosen);
        }
        let mut agreement = Agreement { subprotocol: subprotocol.map(String::from), ..Agreement::default() };
        if let Some(answer) = self.config.accept_extensions(&request.headers, &mut agreement) {
            write_field(&mut self.out, "Sec-WebSocket-Extensions", answer);
        }
        headers.write(&mut self.out);
        self.out.extend_from_slice(b"\r\n");
        self.phase = Phase::Accepted;
        Ok(Upgrade::server(agreement))
    }

    /// Answers the request with something else than a WebSocket. Also replaces the
    /// answer to a request that was [refused](Self::receive), as long as none of it has
    /// been transmitted: so a server can serve a page to a plain GET. Does nothing
    /// while there is no request, and after it has been accepted.
    pub fn reject(&mut self, response: Response) {
        let decidable = match self.phase {
            Phase::Deciding => true,
            Phase::Refused(_) => self.sent == 0,
            Phase::Reading(_) | Phase::Accepted => false,
        };
        if decidable {
            self.out.clear();
            response.write(&mut self.out, self.is_head);
            self.phase = Phase::Refused(HandshakeError::Rejected { status: response.status_sent() });
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

    fn refuse(&mut self, error: HandshakeError) -> HandshakeError {
        self.out.clear();
        let response = match (error, &self.config.plain, &self.request) {
            (HandshakeError::NotUpgrade, Some(plain), Some(request)) => plain(request),
            _ => Response::refusal(error),
        };
        response.write(&mut self.out, self.is_head);
        self.phase = Phase::Refused(error);
        error
    }
}

/// A 101 without a subprotocol or extensions has 129 bytes.
const USUAL_ANSWER: usize = 192;

/// What a server sets itself in a 101, so that an application must not.
fn is_reserved(name: &str) -> bool {
    const RESERVED: [&str; 4] = ["Upgrade", "Connection", "Content-Length", "Transfer-Encoding"];
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) || is_websocket_field(name)
}

fn is_websocket_field(name: &str) -> bool {
    name.get(..14).is_some_and(|front| front.eq_ignore_ascii_case("Sec-WebSocket-"))
}

/// Without the bytes in either direction: they hold what is secret.
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

/// Judges a request: first as HTTP/1.1, then as a request for a WebSocket.
fn check(request: &Request, config: &HandshakeConfig) -> Result<(), HandshakeError> {
    check_http(request)?;
    check_upgrade(&request.headers)?;
    check_offer(request, config)
}

/// RFC 9112: is this a request that a server may answer on its own terms?
fn check_http(request: &Request) -> Result<(), HandshakeError> {
    let headers = &request.headers;
    // §4.1: "The method of the request MUST be GET".
    if request.method != "GET" {
        return Err(HandshakeError::MethodNotGet);
    }
    check_target(&request.target)?;
    // RFC 9112 §6: with a body behind it, its bytes would be taken for frames.
    let no_body =
        headers.get_all("Content-Length").all(|len| !len.is_empty() && len.iter().all(|&digit| digit == b'0'));
    if !no_body || headers.contains("Transfer-Encoding") {
        return Err(HandshakeError::RequestBody);
    }
    // RFC 9112 §3.2: exactly one Host of valid syntax.
    let host = headers.only("Host").and_then(|host| core::str::from_utf8(host).ok());
    match host.and_then(split_authority) {
        Some(_) => Ok(()),
        None => Err(HandshakeError::HostInvalid),
    }
}

fn check_target(target: &str) -> Result<(), HandshakeError> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(HandshakeError::TargetInvalid);
    }
    // §3: fragment identifiers MUST NOT be used.
    if target.contains('#') {
        return Err(HandshakeError::TargetFragment);
    }
    match split_absolute(target) {
        _ if target.starts_with('/') => Ok(()),
        // RFC 9110 §4.2.4: what has a userinfo is likely to deceive, and not valid here.
        Some((authority, _)) if split_authority(authority).is_some() => Ok(()),
        _ => Err(HandshakeError::TargetInvalid),
    }
}

/// §4.2.1: what HTTP/1.1 needs for the upgrade, and HTTP/2 (RFC 8441) has other words for.
fn check_upgrade(headers: &Headers) -> Result<(), HandshakeError> {
    let mut protocols = headers.list("Upgrade").flat_map(|protocol| protocol.split(|&byte| byte == b'/').next());
    // RFC 9110 §7.8: a server may ignore an Upgrade to other protocols, such as h2c.
    if !protocols.any(|name| name.eq_ignore_ascii_case(b"websocket"))
        && !headers.iter().any(|(name, _)| is_websocket_field(name))
    {
        return Err(HandshakeError::NotUpgrade);
    }
    if !has_once(headers, "Upgrade", b"websocket") {
        return Err(HandshakeError::UpgradeInvalid);
    }
    if !has_once(headers, "Connection", b"upgrade") {
        return Err(HandshakeError::ConnectionInvalid);
    }
    // §4.4: another version is answered with the one that we speak.
    match headers.only("Sec-WebSocket-Version") {
        None => return Err(HandshakeError::VersionMissing),
        Some(b"13") => {}
        Some(_) => return Err(HandshakeError::VersionUnsupported),
    }
    match headers.only("Sec-WebSocket-Key").is_some_and(key::is_valid) {
        true => Ok(()),
        false => Err(HandshakeError::KeyInvalid),
    }
}

/// What the two ends negotiate, whatever version of HTTP carries it.
fn check_offer(request: &Request, config: &HandshakeConfig) -> Result<(), HandshakeError> {
    let headers = &request.headers;
    // §4.1: "elements [...] MUST all be unique strings" of token characters.
    let mut offers: Vec<_> = headers.list("Sec-WebSocket-Protocol").collect();
    // Sorted, for there may be thousands in a head: the square of that is a long time.
    offers.sort_unstable();
    if !offers.iter().all(|offer| is_token(offer)) || offers.iter().zip(offers.iter().skip(1)).any(|(a, b)| a == b) {
        return Err(HandshakeError::SubprotocolsInvalid);
    }
    fields::extensions(headers)?;
    // RFC 6454 §7.3: there is at most one. Of two the application would see the first,
    // and a proxy in front may have looked at the other.
    if headers.get_all("Origin").nth(1).is_some() {
        return Err(HandshakeError::OriginInvalid);
    }
    // §4.2.2: 403 if the server does not want this origin.
    if config.origins.allow(request) { Ok(()) } else { Err(HandshakeError::OriginRefused) }
}

/// Whether the list has exactly one element that is `wanted`, in any case, and all are
/// well-formed.
fn has_once(headers: &Headers, name: &str, wanted: &[u8]) -> bool {
    // RFC 9110 §7.8: a protocol is a name, or a name and a version; an option is a token.
    let well_formed = |element: &[u8]| {
        let mut parts = element.split(|&byte| byte == b'/');
        parts.by_ref().take(2).all(is_token) && parts.next().is_none()
    };
    headers.list(name).all(well_formed)
        && headers.list(name).filter(|element| element.eq_ignore_ascii_case(wanted)).count() == 1
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
    fn targets() {
        for valid in ["/", "//x", "http://h", "WSS://h:1/a", "ws://[::1]?b"] {
            assert_eq!(check_target(valid), Ok(()), "{valid}");
        }
        for wrong in ["", "*", "h:80", "ftp://h/", "http://", "http:///a", "http://u@h/", "ws://[1/", "ws://h:x/"] {
            assert_eq!(check_target(wrong), Err(HandshakeError::TargetInvalid), "{wrong}");
        }
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
