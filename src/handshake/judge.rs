//! §4.2.1: the rules by which a server judges a request. The request is a value: the same rules hold for a
//! request that [`ServerOpening`](super::ServerOpening) read from bytes and for one that another HTTP
//! library read.
//!
//! What only the upgrade of HTTP/1.1 needs ([`check_upgrade`]), and what only an extended CONNECT
//! of HTTP/2 and HTTP/3 ([`check_connect`]), stand apart from what both ends negotiate in every
//! version of HTTP ([`HandshakeConfig::judge_offer`]).

use alloc::format;
use alloc::vec::Vec;

use super::authority::split_authority;
use super::grammar::{extensions, includes, is_protocol};
use super::{HandshakeConfig, key};
use crate::error::HandshakeError;
use crate::http::{Headers, Request, Response, is_token, is_websocket_field, split_absolute};

impl HandshakeConfig {
    /// Judges a request that is to ask for a WebSocket. The error says which rule it broke;
    /// [`refusal`](Self::refusal) makes the answer of it.
    pub(crate) fn judge(&self, request: &Request) -> Result<(), HandshakeError> {
        let verdict = match &request.protocol {
            Some(protocol) => check_connect(request, protocol),
            None => check_upgrade(request),
        };
        match verdict.and_then(|()| self.judge_offer(&request.headers)) {
            // It broke the rules for an upgrade, since it is to be none.
            Err(_) if self.on_plain_request.is_some() && is_plain(request) => Err(HandshakeError::NotUpgrade),
            verdict => verdict,
        }
    }

    /// Judges what the two ends negotiate, in every version of HTTP.
    pub(super) fn judge_offer(&self, headers: &Headers) -> Result<(), HandshakeError> {
        // Most requests offer no subprotocol.
        if headers.contains("Sec-WebSocket-Protocol") {
            check_subprotocols(headers)?;
        }
        // §4.2.1, 9, §9.1: Sec-WebSocket-Extensions follows its grammar.
        extensions(headers).try_for_each(|extension| extension.map(drop))?;
        // RFC 6454 §7.3: there is at most one Origin. Of two, the application would see the first, and a proxy
        // in front may have looked at the other.
        let mut origins = headers.get_all("Origin");
        let origin = origins.next();
        if origins.next().is_some() {
            return Err(HandshakeError::OriginInvalid);
        }
        // §4.2.2, 4: a server that does not accept the origin answers 403.
        if self.origins.allow(origin) { Ok(()) } else { Err(HandshakeError::OriginRefused) }
    }

    /// The answer to a request that failed with `error`. `request` is `None` if its head is not
    /// complete or malformed.
    pub(crate) fn refusal(&self, error: HandshakeError, request: Option<&Request>) -> Response {
        if let (HandshakeError::NotUpgrade, Some(hook), Some(request)) = (error, &self.on_plain_request, request) {
            return hook(request);
        }
        // RFC 9113 §8.2.2, §8.6: HTTP/2 has no Upgrade, and 426 means nothing without one.
        let knows_upgrade = request.is_none_or(|request| request.version < (2, 0));
        let status = match error.status().unwrap_or(400) {
            426 if !knows_upgrade => 400,
            status => status,
        };
        let mut response = Response::new(status).body(format!("{error}\n"));
        let headers = &mut response.headers;
        headers.set("Content-Type", "text/plain; charset=utf-8");
        match error {
            // RFC 9110 §15.5.6: a 405 comes with Allow, which lists what is answered here.
            HandshakeError::MethodNotGet if self.on_plain_request.is_some() => headers.set("Allow", PLAIN.join(", ")),
            HandshakeError::MethodNotGet => headers.set("Allow", "GET"),
            // RFC 9110 §15.5.22, RFC 6455 §4.4: the answer names the protocol and the version that we speak.
            HandshakeError::NotUpgrade | HandshakeError::VersionUnsupported | HandshakeError::VersionMissing => {
                if knows_upgrade {
                    headers.set("Upgrade", "websocket");
                    // RFC 9110 §7.8: who sends Upgrade names it here.
                    headers.set("Connection", "Upgrade");
                }
                headers.set("Sec-WebSocket-Version", "13");
            }
            _ => {}
        }
        response
    }
}

/// The subprotocols that a client offers are tokens, and no two are equal.
fn check_subprotocols(headers: &Headers) -> Result<(), HandshakeError> {
    // §4.1: "elements [...] MUST all be unique strings" of token characters.
    let list = || headers.list("Sec-WebSocket-Protocol");
    // What is refused without being collected takes no memory. Tokens of one character are of so few kinds that
    // thousands of them are not unique.
    let short = list().filter(|offer| offer.len() == 1).count();
    if short > TOKEN_CHARACTERS || !list().all(is_token) {
        return Err(HandshakeError::SubprotocolsInvalid);
    }
    let mut offers = Vec::with_capacity(list().count());
    offers.extend(list());
    // The list is sorted to find equal elements. A head may hold thousands of them: to compare each with
    // each would take too long.
    offers.sort_unstable();
    if offers.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(HandshakeError::SubprotocolsInvalid);
    }
    Ok(())
}

/// RFC 8441 §4, §5: what an extended CONNECT has instead. What makes a request of HTTP/2 or HTTP/3
/// well-formed has been checked by whoever read it.
fn check_connect(request: &Request, protocol: &str) -> Result<(), HandshakeError> {
    // RFC 8441 §4: only a CONNECT has a `:protocol`, and RFC 9110 §9.1: methods have a case.
    if request.method != "CONNECT" || request.version < (2, 0) {
        return Err(HandshakeError::MalformedHead);
    }
    // RFC 9110 §7.8: names of protocols match in any case; a proxy may pass on `WebSocket`.
    if !protocol.eq_ignore_ascii_case("websocket") {
        return Err(HandshakeError::ProtocolUnsupported);
    }
    check_target(&request.target)?;
    // A browser behind a proxy leaves the version out: then it is the only one there is.
    match (request.headers.only("Sec-WebSocket-Version"), request.headers.contains("Sec-WebSocket-Version")) {
        (None, false) | (Some(b"13"), _) => Ok(()),
        (None, true) => Err(HandshakeError::VersionMissing),
        (Some(_), _) => Err(HandshakeError::VersionUnsupported),
    }
}

/// §4.2.1: what HTTP/1.1 needs for the upgrade. HTTP/2 (RFC 8441) has other words for it.
fn check_upgrade(request: &Request) -> Result<(), HandshakeError> {
    // RFC 9113 §8.6: HTTP/2 has no upgrade.
    if request.version >= (2, 0) {
        return Err(HandshakeError::NotUpgrade);
    }
    // §4.2.1: "an HTTP/1.1 or higher GET request".
    if request.version < (1, 1) {
        return Err(HandshakeError::HttpVersionTooOld);
    }
    if request.method != "GET" {
        return Err(HandshakeError::MethodNotGet);
    }
    check_target(&request.target)?;
    check_no_body(&request.headers)?;
    match host(request) {
        // RFC 9112 §3.2: a Host may be empty only if the target has no authority. A target in absolute form
        // has one, which replaces Host (§3.2.2).
        Some("") if split_absolute(&request.target).is_some() => {}
        Some("") | None => return Err(HandshakeError::HostInvalid),
        Some(_) => {}
    }
    let headers = &request.headers;
    // §4.2.1, 3: "containing the value "websocket"". Other values may stand beside it.
    if !includes(headers, "Upgrade", b"websocket", is_protocol) {
        return Err(match asks_for_websocket(headers) {
            true => HandshakeError::UpgradeInvalid,
            false => HandshakeError::NotUpgrade,
        });
    }
    // §4.2.1, 4: "includes the token "Upgrade"".
    if !includes(headers, "Connection", b"upgrade", is_token) {
        return Err(HandshakeError::ConnectionInvalid);
    }
    // §4.2.1, 6, §4.4: the version is 13. The answer to another version names 13.
    match headers.only("Sec-WebSocket-Version") {
        None => return Err(HandshakeError::VersionMissing),
        Some(b"13") => {}
        Some(_) => return Err(HandshakeError::VersionUnsupported),
    }
    // §4.2.1, 5: there is one Sec-WebSocket-Key, the base64 of 16 bytes.
    match headers.only("Sec-WebSocket-Key").is_some_and(key::is_valid) {
        true => Ok(()),
        false => Err(HandshakeError::KeyInvalid),
    }
}

/// Whether this is a request for something other than a WebSocket that
/// [`HandshakeConfig::on_plain_request`] may answer.
fn is_plain(request: &Request) -> bool {
    let valid_target = match check_target(&request.target) {
        Ok(()) => true,
        // RFC 9112 §3.2.4: `*` is the target of an OPTIONS request for the server as a whole.
        Err(_) => request.method == "OPTIONS" && request.target == "*",
    };
    // RFC 9112 §3.2: a client of HTTP/1.1 sends Host, if only an empty one. HTTP/1.0 had none.
    // From HTTP/2 on `:authority` takes its place.
    let needs_host = ((1, 1)..(2, 0)).contains(&request.version);
    let valid_host = host(request).is_some() || !needs_host && !request.headers.contains("Host");
    PLAIN.contains(&request.method.as_str())
        && valid_target
        && valid_host
        && check_no_body(&request.headers).is_ok()
        && !asks_for_websocket(&request.headers)
        && request.protocol.is_none()
}

/// The methods of plain requests. RFC 9110 §9.2.1: the safe ones. A hook that knows nothing of the others would answer with
/// success to a DELETE. TRACE, the fourth, shows secrets to whoever asks.
const PLAIN: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// RFC 9112 §3.2.1, §3.2.2: the target is a path or an absolute URI. Any visible character may stand in it:
/// browsers send `[ ] | ^ { }`, backticks and a bare `%` without encoding them.
fn check_target(target: &str) -> Result<(), HandshakeError> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(HandshakeError::TargetInvalid);
    }
    // §3: fragment identifiers MUST NOT be used.
    if target.contains('#') {
        return Err(HandshakeError::TargetFragment);
    }
    if target.starts_with('/') {
        return Ok(());
    }
    match split_absolute(target) {
        // RFC 9110 §4.2.4: a userinfo is an error here. It is likely to deceive people about the host.
        Some((authority, _)) if split_authority(authority).is_some() => Ok(()),
        _ => Err(HandshakeError::TargetInvalid),
    }
}

/// RFC 9112 §6: the request has no body. The bytes of a body would be taken for frames.
fn check_no_body(headers: &Headers) -> Result<(), HandshakeError> {
    let mut lengths = headers.get_all("Content-Length");
    let no_length = lengths.all(|len| !len.is_empty() && len.iter().all(|&digit| digit == b'0'));
    match no_length && !headers.contains("Transfer-Encoding") {
        true => Ok(()),
        false => Err(HandshakeError::RequestBody),
    }
}

/// RFC 9112 §3.2: the value of Host, if there is exactly one and it is valid. It may be empty.
fn host(request: &Request) -> Option<&str> {
    let host = core::str::from_utf8(request.headers.only("Host")?).ok()?;
    (host.is_empty() || split_authority(host).is_some()).then_some(host)
}

/// Whether the request asks for a WebSocket. A request with only a part of what an upgrade needs asks for
/// one too: it is wrong, and not plain.
fn asks_for_websocket(headers: &Headers) -> bool {
    // RFC 9110 §7.8: a server may ignore an Upgrade to other protocols, such as h2c.
    let mut protocols = headers.list("Upgrade").flat_map(|protocol| protocol.split(|&byte| byte == b'/').next());
    protocols.any(|name| name.eq_ignore_ascii_case(b"websocket"))
        || headers.iter().any(|(name, _)| is_websocket_field(name))
}

/// RFC 9110 §5.6.2: how many characters may stand in a token.
const TOKEN_CHARACTERS: usize = 77;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Accept;
    use alloc::sync::Arc;
    use std::string::String;

    /// A valid request, made as a value and not read from bytes.
    fn request() -> Request {
        let mut headers = Headers::new();
        for (name, value) in [
            ("Host", "example.com"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.append(name, value).unwrap();
        }
        Request { headers, ..Request::new("GET", "/") }
    }

    #[test]
    fn a_value_is_judged_and_accepted() {
        let config = HandshakeConfig::default();
        assert_eq!(config.judge(&request()), Ok(()));
        let (response, upgrade) = config.accept(&request(), &Accept::default()).unwrap();
        let headers: Vec<_> =
            response.headers.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))).collect();
        assert_eq!(response.status, 101);
        assert_eq!(
            headers,
            [
                ("Upgrade", "websocket".into()),
                ("Connection", "Upgrade".into()),
                ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into())
            ]
        );
        assert_eq!(upgrade.agreement(), &crate::upgrade::Agreement::default());
        for version in [(1, 0), (0, 9)] {
            assert_eq!(config.judge(&Request { version, ..request() }), Err(HandshakeError::HttpVersionTooOld));
        }
        assert_eq!(config.judge(&Request { version: (1, 2), ..request() }), Ok(()));
    }

    /// The offer is judged without the fields that only HTTP/1.1 needs for the upgrade.
    #[test]
    fn an_offer_is_judged_alone() {
        let mut headers = Headers::new();
        assert_eq!(HandshakeConfig::default().judge_offer(&headers), Ok(()));
        let config = HandshakeConfig { origins: super::super::Origins::Only(Vec::new()), ..Default::default() };
        assert_eq!(config.judge_offer(&headers), Err(HandshakeError::OriginRefused));
        headers.append("Sec-WebSocket-Protocol", "a, a").unwrap();
        assert_eq!(config.judge_offer(&headers), Err(HandshakeError::SubprotocolsInvalid));
    }

    #[test]
    fn tokens_of_one_character_are_counted() {
        let all: Vec<_> = (0..=255).filter(|&byte| is_token(&[byte])).map(char::from).collect();
        assert_eq!(all.len(), TOKEN_CHARACTERS);
        let list = |of: &[char]| of.iter().map(|one| format!("{one},")).collect::<String>();
        for (offers, verdict) in
            [(all.clone(), Ok(())), ([&all[..], &['a']].concat(), Err(HandshakeError::SubprotocolsInvalid))]
        {
            let mut headers = Headers::new();
            headers.append("Sec-WebSocket-Protocol", list(&offers)).unwrap();
            assert_eq!(HandshakeConfig::default().judge_offer(&headers), verdict);
        }
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
    fn a_hook_sees_plain_requests_only() {
        let hook = |request: &Request| Response::new(200).body(request.method.clone());
        let config = HandshakeConfig { on_plain_request: Some(Arc::new(hook)), ..Default::default() };
        let mut plain = request();
        plain.headers = Headers::new();
        plain.headers.append("Host", "").unwrap();
        assert_eq!(config.judge(&plain), Err(HandshakeError::NotUpgrade));
        let response = config.refusal(HandshakeError::NotUpgrade, Some(&plain));
        assert_eq!((response.status, &response.body[..]), (200, &b"GET"[..]));
        // Another method is told which ones are answered.
        for method in ["HEAD", "OPTIONS", "POST", "DELETE", "TRACE"] {
            let other = Request { method: method.into(), ..plain.clone() };
            let error = config.judge(&other).unwrap_err();
            let response = config.refusal(error, Some(&other));
            let expected = if PLAIN.contains(&method) { (200, None) } else { (405, Some("GET, HEAD, OPTIONS")) };
            assert_eq!((response.status, response.headers.get("Allow")), expected, "{method}");
        }
        // A wrong request for an upgrade is not plain: it keeps the error that says what is wrong with it.
        let wrong = Request { version: (1, 0), ..request() };
        assert_eq!(config.judge(&wrong), Err(HandshakeError::HttpVersionTooOld));
        assert_eq!(config.refusal(HandshakeError::HttpVersionTooOld, Some(&wrong)).status, 400);
    }
}
