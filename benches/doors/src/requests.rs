//! The requests of each door: with the fields that Chromium 156 sends from the page `/compare` (as it sent them to a socket
//! that printed them; only Host is longer, as names are), or with the least that the server needs.

use std::str::FromStr;

use crate::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Headers {
    Browser,
    Minimal,
}

impl FromStr for Headers {
    type Err = Error;

    fn from_str(name: &str) -> Result<Headers> {
        match name {
            "browser" => Ok(Headers::Browser),
            "minimal" => Ok(Headers::Minimal),
            _ => Err(format!("no such headers: {name}").into()),
        }
    }
}

/// Makes requests.
#[derive(Debug)]
pub(crate) struct Requests(Headers);

impl Requests {
    pub(crate) fn new(headers: Headers) -> Requests {
        Requests(headers)
    }

    /// Appends a request for what is after a position in the form `EPOCH:OFFSET`, or for all.
    pub(crate) fn poll(&self, out: &mut Vec<u8>, after: Option<&str>) {
        out.extend_from_slice(b"GET /poll?topic=doors");
        if let Some(after) = after {
            out.extend_from_slice(b"&after=");
            out.extend_from_slice(after.as_bytes());
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        self.fields(out, POLL);
    }

    pub(crate) fn events(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"GET /events?topic=doors HTTP/1.1\r\n");
        self.fields(out, EVENTS);
    }

    pub(crate) fn socket(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"GET /live HTTP/1.1\r\n");
        match self.0 {
            Headers::Browser => self.fields(out, SOCKET),
            Headers::Minimal => out.extend_from_slice(MINIMAL_SOCKET.as_bytes()),
        }
    }

    fn fields(&self, out: &mut Vec<u8>, browser: &str) {
        let fields = match self.0 {
            Headers::Browser => browser,
            Headers::Minimal => MINIMAL,
        };
        out.extend_from_slice(fields.as_bytes());
    }
}

/// Whether the answer to the socket's key is the right one (RFC 6455 §1.3 has both).
pub(crate) fn is_accepted(accept: Option<&str>) -> bool {
    accept == Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
}

const MINIMAL: &str = "Host: chat.example.com\r\n\r\n";

const MINIMAL_SOCKET: &str = "\
Host: chat.example.com\r
Connection: Upgrade\r
Upgrade: websocket\r
Sec-WebSocket-Version: 13\r
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
\r
";

const POLL: &str = "\
Host: chat.example.com\r
Connection: keep-alive\r
sec-ch-ua-platform: \"Linux\"\r
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r
sec-ch-ua: \"Not:A-Brand\";v=\"8\", \"Chromium\";v=\"156\"\r
sec-ch-ua-mobile: ?0\r
Accept: */*\r
Sec-Fetch-Site: same-origin\r
Sec-Fetch-Mode: cors\r
Sec-Fetch-Dest: empty\r
Referer: http://chat.example.com/compare\r
Accept-Encoding: gzip, deflate, br, zstd\r
Accept-Language: en-US,en;q=0.9\r
\r
";

const EVENTS: &str = "\
Host: chat.example.com\r
Connection: keep-alive\r
Pragma: no-cache\r
Cache-Control: no-cache\r
sec-ch-ua-platform: \"Linux\"\r
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r
Accept: text/event-stream\r
sec-ch-ua: \"Not:A-Brand\";v=\"8\", \"Chromium\";v=\"156\"\r
sec-ch-ua-mobile: ?0\r
Sec-Fetch-Site: same-origin\r
Sec-Fetch-Mode: cors\r
Sec-Fetch-Dest: empty\r
Referer: http://chat.example.com/compare\r
Accept-Encoding: gzip, deflate, br, zstd\r
Accept-Language: en-US,en;q=0.9\r
\r
";

const SOCKET: &str = "\
Host: chat.example.com\r
Connection: Upgrade\r
Pragma: no-cache\r
Cache-Control: no-cache\r
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r
Upgrade: websocket\r
Origin: http://chat.example.com\r
Sec-WebSocket-Version: 13\r
Accept-Encoding: gzip, deflate, br, zstd\r
Accept-Language: en-US,en;q=0.9\r
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r
\r
";
