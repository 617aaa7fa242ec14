//! The words of the `http` crate, in which other HTTP libraries say what they have read. The fields
//! are copied: the rules of the handshake look them up in one kind of value.

use alloc::string::ToString;
use alloc::vec::Vec;

use ::http::request::Parts;
use ::http::{HeaderMap, Method, Uri, Version};

use super::{Headers, Request, Response};

impl Request {
    /// From a request that another library has read (feature `http`), for
    /// [`Server::answer`](crate::Server::answer). `protocol` is the `:protocol` of an extended
    /// CONNECT, which each library keeps in a type of its own: hyper in the extension
    /// `hyper::ext::Protocol`, h2 in `h2::ext::Protocol`. The body is not looked at.
    ///
    /// ```
    /// use openline::{Accept, Request, Server};
    ///
    /// let request = http::Request::connect("https://example.com/chat").version(http::Version::HTTP_2).body(())?;
    /// let request = Request::from_http(&request, Some("websocket"));
    /// let (response, upgrade) = Server::default().answer(&request, &Accept::default())?;
    /// assert_eq!(response.to_http()?.status(), 200);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn from_http<B>(request: &::http::Request<B>, protocol: Option<&str>) -> Request {
        request_of(request.method(), request.uri(), request.headers(), request.version(), protocol)
    }

    /// As [`from_http`](Self::from_http), from the head of a request alone, as an extractor of axum has it.
    #[must_use]
    pub fn from_http_parts(head: &Parts, protocol: Option<&str>) -> Request {
        request_of(&head.method, &head.uri, &head.headers, head.version, protocol)
    }

    /// The request as a value of the `http` crate (feature `http`), for another library to send.
    /// An extended CONNECT also needs its `:protocol`, as an extension of the library's type.
    ///
    /// # Errors
    ///
    /// The method, the target or a header is one that the `http` crate does not take, such as a
    /// target of 64 KiB.
    pub fn to_http(&self) -> ::http::Result<::http::Request<()>> {
        let version = match self.version {
            (1, 0) => Version::HTTP_10,
            (2, _) => Version::HTTP_2,
            (3, _) => Version::HTTP_3,
            _ => Version::HTTP_11,
        };
        let mut request = ::http::Request::builder().method(self.method.as_str()).uri(&self.target).version(version);
        for (name, value) in self.headers.iter() {
            request = request.header(name, value);
        }
        request.body(())
    }
}

impl Response {
    /// From a response that another library has read (feature `http`), without its body, for
    /// [`PendingUpgrade::confirm`](crate::PendingUpgrade::confirm).
    #[must_use]
    pub fn from_http<B>(response: &::http::Response<B>) -> Response {
        Response { status: response.status().as_u16(), headers: copied(response.headers()), body: Vec::new() }
    }

    /// The response as a value of the `http` crate (feature `http`), for another library to send: the status as it is,
    /// and no field added.
    ///
    /// # Errors
    ///
    /// The status or a header is one that the `http` crate does not take.
    pub fn to_http(&self) -> ::http::Result<::http::Response<Vec<u8>>> {
        let mut response = ::http::Response::builder().status(self.status);
        for (name, value) in self.headers.iter() {
            response = response.header(name, value);
        }
        response.body(self.body.clone())
    }
}

fn request_of(method: &Method, uri: &Uri, fields: &HeaderMap, version: Version, protocol: Option<&str>) -> Request {
    Request {
        method: method.as_str().into(),
        target: uri.to_string(),
        headers: copied(fields),
        version: numbers(version),
        protocol: protocol.map(Into::into),
    }
}

fn copied(fields: &HeaderMap) -> Headers {
    let bytes = fields.iter().map(|(name, value)| name.as_str().len().saturating_add(value.len())).sum();
    let mut headers = Headers::with_capacity(fields.len(), bytes);
    for (name, value) in fields {
        // RFC 9110 §5.1: a name is a token. The `http` crate lets a name of HTTP/2 have a `"` too. No field of a WebSocket
        // has such a name, so it is left out.
        let _ = headers.append(name.as_str(), value);
    }
    headers
}

fn numbers(version: Version) -> (u8, u8) {
    match version {
        Version::HTTP_09 => (0, 9),
        Version::HTTP_10 => (1, 0),
        Version::HTTP_2 => (2, 0),
        Version::HTTP_3 => (3, 0),
        _ => (1, 1),
    }
}
