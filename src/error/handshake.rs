//! The opening handshake failed (§4).

use core::fmt;

/// Why an opening handshake failed: the rule that was broken, and by whom.
///
/// A server has queued the answer with [`status`](Self::status) when this is
/// returned. A client sends nothing, and closes the transport.
///
/// Two of these are a decision, and no broken rule: [`Rejected`](Self::Rejected), where the
/// application of this server said no to a client, and [`Refused`](Self::Refused), where a server
/// said no to this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeError {
    // The HTTP head, of a request or a response.
    /// RFC 9112 §2.2: a line ended in LF without CR.
    BareLineFeed,
    /// RFC 9110 §5.5: a control character in the head, such as NUL or a lone CR.
    ControlCharacter,
    /// RFC 9112 §5.2: a header line that continues the one before it.
    FoldedHeader,
    /// RFC 9112: the first line or a header line does not have the form of one.
    MalformedHead,
    /// RFC 6455 §4.1: HTTP 1.1 or higher is required.
    HttpVersionTooOld,
    /// A major version of HTTP that is spoken in other ways than this.
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

    // A request, as a server judges it.
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
    /// The request has a body, or says so; what follows could be taken for frames.
    RequestBody,
    /// RFC 9112 §3.2: not exactly one Host, or one that is not valid; in a request for a
    /// WebSocket, also an empty one. At a client: a Host header that is not valid.
    HostInvalid,
    /// An HTTP request that does not ask for an upgrade to WebSocket at all. The status is sent
    /// unless [`on_plain_request`](crate::HandshakeConfig::on_plain_request) has answered.
    NotUpgrade,
    /// §4.2.1: Upgrade does not contain `websocket`, or is no list of protocols; in a response
    /// (§4.1), it does not contain `websocket` alone.
    UpgradeInvalid,
    /// §4.2.1: Connection does not contain `upgrade`, or is no list of tokens.
    ConnectionInvalid,
    /// §4.2.1: no, or more than one, Sec-WebSocket-Version.
    VersionMissing,
    /// §4.4: a version other than 13.
    VersionUnsupported,
    /// §4.2.1: not exactly one Sec-WebSocket-Key, or not base64 of 16 bytes.
    KeyInvalid,
    /// RFC 6454 §7.3: more than one Origin.
    OriginInvalid,
    /// §4.2.2: [`HandshakeConfig::origins`](crate::HandshakeConfig::origins) does not have this
    /// origin.
    OriginRefused,
    /// §4.1: Sec-WebSocket-Protocol, or what a client wants to offer, is not a list of different
    /// tokens.
    SubprotocolsInvalid,
    /// §9.1: Sec-WebSocket-Extensions does not follow its grammar.
    ExtensionsInvalid,
    /// The application of this server said no to a request that was in order.
    Rejected {
        /// The status that was sent to the client.
        status: u16,
    },

    // A response, as a client judges it.
    /// §4.1: the server said no to this client: it answered with a status other than 101.
    Refused {
        /// The status of its answer.
        status: u16,
    },
    /// §4.1: Sec-WebSocket-Accept is not, once, the answer to our key.
    AcceptInvalid,
    /// §4.1: a subprotocol was chosen that the client did not offer, or more than one.
    SubprotocolNotOffered,
    /// §4.1: an extension that was not offered.
    ExtensionNotOffered,

    /// RFC 7692 §7.1: the answer's permessage-deflate accepts none of the offers.
    DeflateInvalid,

    // What this end asked for.
    /// §3: not a valid URI for a WebSocket. See [`Uri`](crate::Uri) for what is.
    UriInvalid {
        /// The part that is not valid.
        part: UriPart,
        /// The byte of the URI at which it becomes invalid, counted from 0.
        at: usize,
    },
    /// §3: a WebSocket URI has no fragment.
    UriFragment,
    /// A `wss:` URI needs TLS, and there is none on this transport.
    TlsUnavailable,
    /// RFC 9110 §5.1: a header name must be a token.
    HeaderNameInvalid,
    /// RFC 9110 §5.5: a header value must not hold control characters.
    HeaderValueInvalid,
    /// A header that the handshake sets itself.
    HeaderReserved,
    /// No request waits for a decision: none has come, or it was accepted, rejected or refused.
    NothingToDecide,

    // The transport.
    /// It took longer than the limit.
    TimedOut,
    /// The peer ended the transport in the middle. A server that had heard a part of the
    /// request answers 400, in case that only one direction has ended.
    UnexpectedEof,
}

impl HandshakeError {
    /// The HTTP status that a server answers with; `None` where there is nobody to
    /// answer to.
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
            Refused { status } => return write!(f, "server answered with status {status} instead of 101"),
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
    /// What stands before the `@`.
    Userinfo,
    /// The name or the address.
    Host,
    /// The port, a number from 1 to 65535.
    Port,
    /// The path.
    Path,
    /// What stands behind the `?`.
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
