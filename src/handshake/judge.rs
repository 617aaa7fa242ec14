//! §4.2.1: the rules by which a server judges a request. The request is a value: who has it from
//! another HTTP library judges it by the same rules as [`ServerOpening`](super::ServerOpening),
//! which reads it from bytes.
//!
//! What only the upgrade of HTTP/1.1 needs ([`check_upgrade`]) stands apart from what both ends
//! negotiate in every version of HTTP ([`HandshakeConfig::judge_offer`]).

use alloc::format;
use alloc::vec::Vec;

use super::grammar::{extensions, includes, is_protocol};
use super::uri::split_authority;
use super::{HandshakeConfig, key};
use crate::error::HandshakeError;
use crate::http::{Headers, Request, Response, is_token, is_websocket_field, split_absolute};

impl HandshakeConfig {
    /// Judges a request of HTTP/1 that is to ask for a WebSocket. The error says which rule it
    /// broke; [`refusal`](Self::refusal) makes the answer of it.
    pub(super) fn judge(&self, request: &Request) -> Result<(), HandshakeError> {
        let verdict = check_upgrade(request).and_then(|()| self.judge_offer(&request.headers));
        match verdict {
            // It broke the rules for an upgrade, since it is to be none.
            Err(_) if self.on_plain_request.is_some() && is_plain(request) => Err(HandshakeError::NotUpgrade),
            verdict => verdict,
        }
    }

    /// Judges what the two ends negotiate, in every version of HTTP.
    pub(super) fn judge_offer(&self, headers: &Headers) -> Result<(), HandshakeError> {
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
        // Sorted, for there may be thousands in a head: the square of that is a long time.
        offers.sort_unstable();
        if offers.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(HandshakeError::SubprotocolsInvalid);
        }
        extensions(headers).try_for_each(|extension| extension.map(drop))?;
        // RFC 6454 §7.3: there is at most one. Of two the application would see the first,
        // and a proxy in front may have looked at the other.
        if headers.get_all("Origin").nth(1).is_some() {
            return Err(HandshakeError::OriginInvalid);
        }
        // §4.2.2: 403 if the server does not want this origin.
        let origin = headers.get_all("Origin").next();
        if self.origins.allow(origin) { Ok(()) } else { Err(HandshakeError::OriginRefused) }
    }

    /// The answer to a request that failed with `error`. `request` is `None` if its head is not
    /// complete or malformed.
    pub(super) fn refusal(&self, error: HandshakeError, request: Option<&Request>) -> Response {
        if let (HandshakeError::NotUpgrade, Some(hook), Some(request)) = (error, &self.on_plain_request, request) {
            return hook(request);
        }
        let mut response = Response::new(error.status().unwrap_or(400)).body(format!("{error}\n"));
        let headers = &mut response.headers;
        headers.set("Content-Type", "text/plain; charset=utf-8");
        match error {
            // RFC 9110 §10.2.1.
            HandshakeError::MethodNotGet => headers.set("Allow", "GET"),
            // RFC 9110 §15.5.22, RFC 6455 §4.4: say what would be understood.
            HandshakeError::NotUpgrade | HandshakeError::VersionUnsupported | HandshakeError::VersionMissing => {
                headers.set("Upgrade", "websocket");
                headers.set("Sec-WebSocket-Version", "13");
            }
            _ => {}
        }
        response
    }
}

/// §4.2.1: what HTTP/1.1 needs for the upgrade. HTTP/2 (RFC 8441) has other words for it.
fn check_upgrade(request: &Request) -> Result<(), HandshakeError> {
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
        // RFC 9112 §3.2: an empty Host is for a target that has no authority. One in absolute
        // form has, and replaces the Host (§3.2.2).
        Some("") if split_absolute(&request.target).is_some() => {}
        Some("") | None => return Err(HandshakeError::HostInvalid),
        Some(_) => {}
    }
    let headers = &request.headers;
    if !asks_for_websocket(headers) {
        return Err(HandshakeError::NotUpgrade);
    }
    // "containing the value "websocket"": others may stand beside it.
    if !includes(headers, "Upgrade", b"websocket", is_protocol) {
        return Err(HandshakeError::UpgradeInvalid);
    }
    // "includes the token "Upgrade"".
    if !includes(headers, "Connection", b"upgrade", is_token) {
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

/// Whether this is a request for something other than a WebSocket that
/// [`HandshakeConfig::on_plain_request`] may answer.
fn is_plain(request: &Request) -> bool {
    let valid_target = match check_target(&request.target) {
        Ok(()) => true,
        // RFC 9112 §3.2.4: for the server as a whole.
        Err(_) => request.method == "OPTIONS" && request.target == "*",
    };
    // RFC 9112 §3.2: a client of HTTP/1.1 sends Host, if only an empty one. HTTP/1.0 had none.
    let valid_host = host(request).is_some() || request.version < (1, 1) && !request.headers.contains("Host");
    // RFC 9110 §9.2.1: the safe methods. A hook that knows nothing of the others would answer
    // with success to a DELETE. TRACE, the fourth, shows secrets to whoever asks.
    matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS")
        && valid_target
        && valid_host
        && check_no_body(&request.headers).is_ok()
        && !asks_for_websocket(&request.headers)
}

/// RFC 9112 §3.2.1, §3.2.2: a path, or an absolute URI. Browsers leave `[ ] | ^ { }`, backticks and
/// a bare `%` as they are, so any visible character may stand in it.
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

/// RFC 9112 §6: with a body behind the request, its bytes would be taken for frames.
fn check_no_body(headers: &Headers) -> Result<(), HandshakeError> {
    let mut lengths = headers.get_all("Content-Length");
    let no_length = lengths.all(|len| !len.is_empty() && len.iter().all(|&digit| digit == b'0'));
    match no_length && !headers.contains("Transfer-Encoding") {
        true => Ok(()),
        false => Err(HandshakeError::RequestBody),
    }
}

/// RFC 9112 §3.2: the value of Host, which may be empty, if there is exactly one and it is valid.
fn host(request: &Request) -> Option<&str> {
    let host = core::str::from_utf8(request.headers.only("Host")?).ok()?;
    (host.is_empty() || split_authority(host).is_some()).then_some(host)
}

/// Whether the request is to become a WebSocket. One that has only a part of what that needs is a
/// mistake, and no plain request.
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

    /// A request that is in order: a value, which no bytes were read for.
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
        Request { method: "GET".into(), target: "/".into(), headers, version: (1, 1) }
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

    /// What both ends negotiate needs none of the fields of HTTP/1.1's upgrade.
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
        // What is to be an upgrade stays one, with the error that says what is wrong with it.
        let wrong = Request { version: (1, 0), ..request() };
        assert_eq!(config.judge(&wrong), Err(HandshakeError::HttpVersionTooOld));
        assert_eq!(config.refusal(HandshakeError::HttpVersionTooOld, Some(&wrong)).status, 400);
    }
}
