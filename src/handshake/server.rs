//! §4.2: the server's side of the opening handshake. Whatever comes gets a complete
//! HTTP answer, and nothing is said before the request has been heard to its end.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::HandshakeConfig;
use super::fields::{self, Headers, is_token, write_field};
use super::head::HeadReader;
use super::key;
use super::message::{Request, Response, write_status};
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
#[derive(Debug)]
pub struct ServerHandshake {
    config: Arc<HandshakeConfig>,
    deadline: Time,
    phase: Phase,
    request: Option<Request>,
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
        ServerHandshake { config, deadline, phase, request: None, out: Vec::new(), sent: 0 }
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
            Phase::Reading(head) => match head.receive(input) {
                Ok(false) => return Ok(None),
                Ok(true) => {}
                Err(error) => return Err(self.refuse(error)),
            },
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
        write_status(&mut self.out, 101);
        write_field(&mut self.out, "Upgrade", "websocket");
        write_field(&mut self.out, "Connection", "Upgrade");
        write_field(&mut self.out, "Sec-WebSocket-Accept", key::accept(key.as_bytes()));
        if let Some(chosen) = subprotocol {
            write_field(&mut self.out, "Sec-WebSocket-Protocol", chosen);
        }
        headers.write(&mut self.out);
        self.out.extend_from_slice(b"\r\n");
        self.phase = Phase::Accepted;
        Ok(Upgrade::server(Agreement { subprotocol: subprotocol.map(String::from) }))
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
            response.write(&mut self.out);
            self.phase = Phase::Refused(HandshakeError::Rejected { status: response.status });
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
    /// [`HandshakeError::UnexpectedEof`] if its request is not complete. A complete one
    /// may be decided on all the same.
    pub fn handle_eof(&mut self) -> Result<(), HandshakeError> {
        match self.phase {
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
        response.write(&mut self.out);
        self.phase = Phase::Refused(error);
        error
    }
}

/// What a server sets itself in a 101, so that an application must not.
fn is_reserved(name: &str) -> bool {
    const RESERVED: [&str; 4] = ["Upgrade", "Connection", "Content-Length", "Transfer-Encoding"];
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
        || name.get(..14).is_some_and(|front| front.eq_ignore_ascii_case("Sec-WebSocket-"))
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
    let absolute = ["http://", "https://", "ws://", "wss://"];
    let starts = |prefix: &str| target.get(..prefix.len()).is_some_and(|front| front.eq_ignore_ascii_case(prefix));
    match target.starts_with('/') || absolute.into_iter().any(starts) {
        true => Ok(()),
        false => Err(HandshakeError::TargetInvalid),
    }
}

/// §4.2.1: what HTTP/1.1 needs for the upgrade, and HTTP/2 (RFC 8441) has other words for.
fn check_upgrade(headers: &Headers) -> Result<(), HandshakeError> {
    let wants = |(name, _): (&str, &[u8])| {
        name.eq_ignore_ascii_case("Upgrade")
            || name.get(..14).is_some_and(|front| front.eq_ignore_ascii_case("Sec-WebSocket-"))
    };
    if !headers.iter().any(wants) {
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
    let mut seen = Vec::new();
    for offer in headers.list("Sec-WebSocket-Protocol") {
        // The number of offers is bounded by the head's length; not so its square.
        if !is_token(offer) || seen.len() == MAX_SUBPROTOCOLS || seen.contains(&offer) {
            return Err(HandshakeError::SubprotocolsInvalid);
        }
        seen.push(offer);
    }
    fields::extensions(headers)?;
    // §4.2.2: 403 if the server does not want this origin.
    if config.origins.allow(request) { Ok(()) } else { Err(HandshakeError::OriginRefused) }
}

/// Whether the list has exactly one element that is `wanted`, in any case, and all are
/// well-formed.
pub(super) fn has_once(headers: &Headers, name: &str, wanted: &[u8]) -> bool {
    let well_formed = |element: &[u8]| element.split(|&byte| byte == b'/').take(3).all(is_token);
    headers.list(name).all(well_formed)
        && headers.list(name).filter(|element| element.eq_ignore_ascii_case(wanted)).count() == 1
}

/// More offers than anybody makes.
const MAX_SUBPROTOCOLS: usize = 64;
