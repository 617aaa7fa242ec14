//! RFC 9112: writes the heads of HTTP/1.1. The names and values have been checked before.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::http::{Request, Response, is_framing};

/// Appends a request, which has no body.
pub(crate) fn write_request(out: &mut Vec<u8>, request: &Request) {
    for part in [&request.method, " ", &request.target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    write_fields(out, request.headers.iter());
    out.extend_from_slice(b"\r\n");
}

/// Appends a 101, with the fields that `fields` gives. After it, frames follow on the connection.
pub(super) fn write_switch<T>(out: &mut Vec<u8>, fields: impl FnOnce(&mut dyn FnMut(&[u8], &[u8])) -> T) -> T {
    out.reserve(USUAL_SWITCH);
    out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
    let result = fields(&mut |name, value| write_field(out, name, value));
    out.extend_from_slice(b"\r\n");
    result
}

/// Appends an answer other than 101. The answer to a HEAD has no body. The connection ends after the
/// answer.
pub(super) fn write_refusal(out: &mut Vec<u8>, response: &Response, to_head: bool) {
    let status = refusal_status(response);
    write_status(out, status);
    // The application may pass on an answer from another connection: its framing does not hold here.
    write_fields(out, response.headers.iter().filter(|(name, _)| !is_framing(name)));
    // RFC 9110 §7.8: a message with Upgrade names it in Connection.
    let upgrade = response.headers.contains("Upgrade");
    write_field(out, b"Connection", if upgrade { b"Upgrade, close" } else { b"close" });
    // RFC 9110 §8.6, §15.3.6, §15.4.5: these have no body.
    let body = if matches!(status, 204 | 205 | 304) { &[] } else { &response.body[..] };
    // RFC 9110 §8.6: a 204 has no Content-Length.
    if !matches!(status, 204 | 304) {
        write_field(out, b"Content-Length", body.len().to_string().as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    // RFC 9110 §9.3.2: "the server MUST NOT send content in the response" to HEAD.
    if !to_head {
        out.extend_from_slice(body);
    }
}

/// The status that is sent for a response other than 101. A status that is not final becomes 500.
pub(super) fn refusal_status(response: &Response) -> u16 {
    if (200..600).contains(&response.status) { response.status } else { 500 }
}

fn write_fields<'a>(out: &mut Vec<u8>, fields: impl Iterator<Item = (&'a str, &'a [u8])>) {
    fields.for_each(|(name, value)| write_field(out, name.as_bytes(), value));
}

fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

fn write_status(out: &mut Vec<u8>, status: u16) {
    let reason = match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        414 => "URI Too Long",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        // RFC 9112 §4: the reason phrase may be empty, and has no meaning.
        _ => "",
    };
    for part in ["HTTP/1.1 ", &status.to_string(), " ", reason, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Enough bytes for most answers: a 101 without subprotocol and extensions has 129.
const USUAL_SWITCH: usize = 192;

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    #[test]
    fn an_answer_that_is_passed_on_is_framed_anew() {
        let mut response = Response::new(403).body("no");
        for (name, value) in
            [("content-length", "9"), ("Transfer-Encoding", "chunked"), ("CONNECTION", "x"), ("A", "b")]
        {
            response.headers.append(name, value).unwrap();
        }
        let sent = |to_head| {
            let mut out = Vec::new();
            write_refusal(&mut out, &response, to_head);
            String::from_utf8(out).unwrap()
        };
        let head = "HTTP/1.1 403 Forbidden\r\nA: b\r\nConnection: close\r\nContent-Length: 2\r\n\r\n";
        assert_eq!((sent(false), sent(true)), (String::from(head) + "no", String::from(head)));
    }
}
