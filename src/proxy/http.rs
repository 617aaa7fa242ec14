//! RFC 9110 §9.3.6: CONNECT, as a client.

#![expect(clippy::arithmetic_side_effects, reason = "`spent` counts heads that lie in memory")]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::{fmt, mem};

use crate::error::ProxyError;
use crate::handshake::{HandshakeConfig, HeadReader, Uri, basic_authorization, write_request};
use crate::http::{Request, Response};

/// A client that waits for the answer to its CONNECT.
pub(super) struct Connect {
    head: HeadReader,
    /// How many bytes of the limit for heads the interim answers have used up.
    spent: usize,
    max_head: usize,
    max_headers: usize,
    /// The answer, if it is a refusal.
    response: Option<Box<Response>>,
}

impl Connect {
    /// A client that has appended its request to `out`.
    pub(super) fn new(userinfo: Option<&str>, uri: &Uri, config: &HandshakeConfig, out: &mut Vec<u8>) -> Connect {
        // §9.3.6: the target of a CONNECT has a port, even if it is the default.
        let target = uri.site();
        let mut request = Request::new("CONNECT", &target);
        request.headers.set("Host", &target);
        if let Some(authorization) = userinfo.and_then(basic_authorization) {
            request.headers.set("Proxy-Authorization", authorization);
        }
        write_request(out, &request);
        let (max_head, max_headers) = (config.max_head, config.max_headers);
        let head = HeadReader::response(0, max_head, max_headers);
        Connect { head, spent: 0, max_head, max_headers, response: None }
    }

    /// As [`Tunnel::receive`](super::Tunnel::receive).
    pub(super) fn receive(&mut self, input: &mut &[u8]) -> Result<bool, ProxyError> {
        loop {
            if !self.head.receive(input).map_err(ProxyError::Head)? {
                return Ok(false);
            }
            // All answers together have the limit of one head, so that a proxy cannot send interim ones for ever.
            self.spent += self.head.len();
            let next = HeadReader::response(self.spent, self.max_head, self.max_headers);
            let head = mem::replace(&mut self.head, next).into_response().map_err(ProxyError::Head)?;
            match head.status {
                // §9.3.6: behind the head of a 2xx the tunnel begins. A client "MUST ignore any Content-Length or
                // Transfer-Encoding header fields" there.
                200..=299 => return Ok(true),
                // §15.2: interim answers. A 101 is none: it would end HTTP, and nobody asked for it.
                100 | 102..=199 => {}
                status => {
                    self.response = Some(Box::new(Response { headers: head.headers, ..Response::new(status) }));
                    return Err(ProxyError::Refused { status });
                }
            }
        }
    }

    pub(super) fn take_response(&mut self) -> Option<Box<Response>> {
        self.response.take()
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("head", &self.head).finish_non_exhaustive()
    }
}
