//! Why an opening handshake failed (§4).

use core::fmt;

/// Why an opening handshake failed: the rule that was broken, and by whom.
///
/// When a server gets this error, the answer with [`status`](Self::status) is already queued. A client sends
/// nothing, and closes the transport.
///
/// Two of these errors are decisions, and no broken rules. [`Rejected`](Self::Rejected): the application of
/// this server rejected a request. [`Refused`](Self::Refused): a server refused the request of this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeError {
    // Errors in the head of a request or a response.
    /// RFC 9112 §2.2: a line ended in LF without CR.
    BareLineFeed,
    /// RFC 9110 §5.5: the head has a control character, such as NUL or a lone CR.
    ControlCharacter,
    /// RFC 9112 §5.2: a header line continues the one before it.
    FoldedHeader,
    /// RFC 9112: the first line or a header line is malformed.
    MalformedHead,
    /// §4.1: the version of HTTP is lower than 1.1.
    HttpVersionTooOld,
    /// The major version of HTTP is not 1. Other versions do not have this form.
    HttpVersionUnknown,
    /// The head is longer than the limit.
    HeadTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The head has more header lines than the limit.
    TooManyHeaders {
        /// The limit in lines.
        limit: usize,
    },

    // Errors in a request, which a server finds.
    /// The request line is longer than the limit for the whole head.
    TargetTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// §4.1: the method is not GET.
    MethodNotGet,
    /// RFC 9112 §3.2: the target is neither a path nor a valid absolute URI.
    TargetInvalid,
    /// §3: the target has a fragment.
    TargetFragment,
    /// RFC 9112 §6: the request announces a body, whose bytes would be taken for frames.
    RequestBody,
    /// RFC 9112 §3.2: there is not exactly one Host, or it is invalid, or it is empty in a request for a
    /// WebSocket. In a client: the application set an invalid Host.
    HostInvalid,
    /// The request does not ask for an upgrade to WebSocket. The status is sent unless
    /// [`on_plain_request`](crate::HandshakeConfig::on_plain_request) has answered.
    NotUpgrade,
    /// RFC 8441 §4: the `:protocol` of an extended CONNECT is not `websocket`.
    ProtocolUnsupported,
    /// §4.2.1: Upgrade does not contain `websocket`, or is no list of protocols; in a response
    /// (§4.1), it does not contain `websocket` alone.
    UpgradeInvalid,
    /// §4.2.1: Connection does not contain `upgrade`, or is no list of tokens.
    ConnectionInvalid,
    /// §4.2.1: there is not exactly one Sec-WebSocket-Version.
    VersionMissing,
    /// §4.4: Sec-WebSocket-Version is not 13.
    VersionUnsupported,
    /// §4.2.1: there is not exactly one Sec-WebSocket-Key, or it is not the base64 of 16 bytes.
    KeyInvalid,
    /// RFC 6454 §7.3: there is more than one Origin.
    OriginInvalid,
    /// §4.2.2: [`HandshakeConfig::origins`](crate::HandshakeConfig::origins) does not allow this origin.
    OriginRefused,
    /// §4.1: the subprotocols, in a request or as a client's application sets them, are not different tokens.
    SubprotocolsInvalid,
    /// §9.1: Sec-WebSocket-Extensions does not follow its grammar.
    ExtensionsInvalid,
    /// The application of this server rejected a valid request.
    Rejected {
        /// The status that was sent to the client.
        status: u16,
    },

    // A response, as a client judges it.
    /// §4.1: the server said no to this client: it answered with a status other than 101, or,
    /// to an extended CONNECT, other than 2xx.
    Refused {
        /// The status of its answer.
        status: u16,
    },
    /// §4.1: there is not exactly one Sec-WebSocket-Accept, or it does not answer our key.
    AcceptInvalid,
    /// §4.1: the server chose a subprotocol that the client did not offer, or more than one.
    SubprotocolNotOffered,
    /// §4.1: the server chose an extension that the client did not offer.
    ExtensionNotOffered,

    /// RFC 7692 §7.1: the answer's permessage-deflate accepts none of the offers.
    DeflateInvalid,

    // Errors of this end.
    /// §3: the URI is not valid for a WebSocket. [`Uri`](crate::Uri) says which are.
    UriInvalid {
        /// The part that is not valid.
        part: UriPart,
        /// The byte of the URI at which it becomes invalid, counted from 0.
        at: usize,
    },
    /// §3: the URI has a fragment, which a WebSocket URI must not have.
    UriFragment,
    /// The URI is `wss:`, and this transport has no TLS.
    TlsUnavailable,
    /// RFC 9110 §5.1: a header name is not a token.
    HeaderNameInvalid,
    /// RFC 9110 §5.5: a header value has a control character.
    HeaderValueInvalid,
    /// The application set a header that the handshake sets itself.
    HeaderReserved,
    /// No request waits for a decision: none has come, or it has been accepted, rejected or refused.
    NothingToDecide,

    // Errors of the transport.
    /// The opening handshake took longer than its time limit.
    TimedOut,
    /// The peer ended the transport during the opening handshake. A server that has read a part of the request
    /// answers 400, since the peer may have ended only its own direction.
    UnexpectedEof,
}

impl HandshakeError {
    /// The HTTP status that a server answers with over HTTP/1; `None` where there is nobody to
    /// answer to. HTTP/2 and HTTP/3 have no 426, and 400 takes its place there.
    #[must_use]
    pub const fn status(self) -> Option<u16> {
        use HandshakeError::*;
        Some(match self {
            BareLineFeed | ControlCharacter | FoldedHeader | MalformedHead | HttpVersionTooOld => 400,
            TargetInvalid | TargetFragment | RequestBody | HostInvalid | VersionMissing | OriginInvalid => 400,
            UpgradeInvalid | ConnectionInvalid | KeyInvalid | SubprotocolsInvalid | ExtensionsInvalid => 400,
            OriginRefused => 403,
            MethodNotGet => 405,
            TimedOut => 408,
            TargetTooLong { .. } => 414,
            NotUpgrade | VersionUnsupported => 426,
            HeadTooLarge { .. } | TooManyHeaders { .. } => 431,
            ProtocolUnsupported => 501,
            HttpVersionUnknown => 505,
            Rejected { status } => status,
            _ => return None,
        })
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use HandshakeError::*;
        f.write_str(match self {
            BareLineFeed => "line feed without a carriage return in the head",
            ControlCharacter => "control character in the head",
            FoldedHeader => "header folded over several lines",
            MalformedHead => "malformed first line or header line",
            HttpVersionTooOld => "HTTP version below 1.1",
            HttpVersionUnknown => "unknown HTTP version",
            HeadTooLarge { limit } => return write!(f, "head longer than the limit of {limit} bytes"),
            TooManyHeaders { limit } => return write!(f, "more headers than the limit of {limit}"),
            TargetTooLong { limit } => return write!(f, "request line longer than the limit of {limit} bytes"),
            MethodNotGet => "method is not GET",
            TargetInvalid => "request target is neither a path nor an absolute URI",
            TargetFragment => "request target with a fragment",
            RequestBody => "request with a body",
            HostInvalid => "missing, empty, repeated or malformed Host",
            NotUpgrade => "request without an upgrade to websocket",
            ProtocolUnsupported => "extended CONNECT for a protocol that is not websocket",
            UpgradeInvalid => "Upgrade without websocket, or malformed",
            ConnectionInvalid => "Connection without upgrade, or malformed",
            VersionMissing => "missing or repeated Sec-WebSocket-Version",
            VersionUnsupported => "Sec-WebSocket-Version is not 13",
            KeyInvalid => "missing, repeated or malformed Sec-WebSocket-Key",
            OriginInvalid => "repeated Origin",
            OriginRefused => "Origin is not one that this server allows",
            SubprotocolsInvalid => "malformed or repeated element in Sec-WebSocket-Protocol",
            ExtensionsInvalid => "malformed Sec-WebSocket-Extensions",
            Rejected { status } => return write!(f, "application rejected the request with status {status}"),
            Refused { status } => return write!(f, "server refused with status {status}"),
            AcceptInvalid => "missing, repeated or wrong Sec-WebSocket-Accept",
            SubprotocolNotOffered => "chosen subprotocol was not offered by the client",
            ExtensionNotOffered => "server chose an extension that was not offered",
            DeflateInvalid => "server's permessage-deflate parameters accept no offer",
            UriInvalid { part, at } => return write!(f, "invalid {part} in the URI, at byte {at}"),
            UriFragment => "URI with a fragment",
            TlsUnavailable => "wss URI on a transport without TLS",
            HeaderNameInvalid => "header name is not a token",
            HeaderValueInvalid => "control character in a header value",
            HeaderReserved => "header that only the handshake itself may set",
            NothingToDecide => "no request waits for a decision",
            TimedOut => "opening handshake timed out",
            UnexpectedEof => "connection ended during the opening handshake",
        })
    }
}

impl core::error::Error for HandshakeError {}

/// A part of a URI (RFC 3986 §3), in [`HandshakeError::UriInvalid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UriPart {
    /// The scheme and the `://` behind it.
    Scheme,
    /// The text before the `@`.
    Userinfo,
    /// The name or the address.
    Host,
    /// The port, a number from 1 to 65535.
    Port,
    /// The path.
    Path,
    /// The text behind the `?`.
    Query,
}

impl fmt::Display for UriPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UriPart::Scheme => "scheme",
            UriPart::Userinfo => "userinfo",
            UriPart::Host => "host",
            UriPart::Port => "port",
            UriPart::Path => "path",
            UriPart::Query => "query",
        })
    }
}
