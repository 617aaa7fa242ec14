//! The opening handshake failed (§4).

use core::fmt;

/// Why an opening handshake failed: the rule that was broken.
///
/// A server has queued the answer with [`status`](Self::status) when this is
/// returned. A client has nothing to say and just closes the transport.
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
    /// RFC 9112 §3.2: not exactly one Host, or not of valid form.
    HostInvalid,
    /// An HTTP request that does not ask for an upgrade to WebSocket at all. The status
    /// is sent unless [`HandshakeConfig::plain`](crate::HandshakeConfig::plain) answers.
    NotUpgrade,
    /// §4.2.1: not exactly one `websocket` in Upgrade; in a response (§4.1), the field
    /// is not, once, that word alone.
    UpgradeInvalid,
    /// §4.2.1: not exactly one `upgrade` in Connection; in a response (§4.1), none.
    ConnectionInvalid,
    /// §4.2.1: no, or more than one, Sec-WebSocket-Version.
    VersionMissing,
    /// §4.4: a version other than 13.
    VersionUnsupported,
    /// §4.2.1: not exactly one Sec-WebSocket-Key, or not base64 of 16 bytes.
    KeyInvalid,
    /// RFC 6454 §7.3: more than one Origin.
    OriginInvalid,
    /// §4.2.2: this origin is not welcome.
    OriginRefused,
    /// §4.1: Sec-WebSocket-Protocol is not a list of different tokens.
    SubprotocolsInvalid,
    /// §9.1: Sec-WebSocket-Extensions does not follow its grammar.
    ExtensionsInvalid,
    /// The application said no.
    Rejected {
        /// The status that it answered with.
        status: u16,
    },

    // A response, as a client judges it.
    /// §4.1: the server answered with something other than 101.
    Refused {
        /// The status in its answer.
        status: u16,
    },
    /// §4.1: Sec-WebSocket-Accept is not, once, the answer to our key.
    AcceptInvalid,
    /// §4.1: a subprotocol that was not offered, or more than one.
    SubprotocolNotOffered,
    /// §4.1: an extension that was not offered.
    ExtensionNotOffered,

    /// RFC 7692 §7.1: the answer's permessage-deflate accepts none of the offers.
    DeflateInvalid,

    // What this end asked for.
    /// §3: not a `ws:` or `wss:` URI of valid form.
    UriInvalid,
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
    /// There is no request to decide on, or it has been decided on.
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
            HostInvalid => "missing, repeated or malformed Host",
            NotUpgrade => "request without an upgrade to websocket",
            UpgradeInvalid => "missing, repeated or malformed websocket in Upgrade",
            ConnectionInvalid => "missing, repeated or malformed upgrade in Connection",
            VersionMissing => "missing or repeated Sec-WebSocket-Version",
            VersionUnsupported => "Sec-WebSocket-Version is not 13",
            KeyInvalid => "missing, repeated or malformed Sec-WebSocket-Key",
            OriginInvalid => "repeated Origin",
            OriginRefused => "origin not allowed",
            SubprotocolsInvalid => "malformed or repeated element in Sec-WebSocket-Protocol",
            ExtensionsInvalid => "malformed Sec-WebSocket-Extensions",
            Rejected { status } => return write!(f, "rejected with status {status}"),
            Refused { status } => return write!(f, "server answered with status {status} instead of 101"),
            AcceptInvalid => "missing, repeated or wrong Sec-WebSocket-Accept",
            SubprotocolNotOffered => "server chose a subprotocol that was not offered",
            ExtensionNotOffered => "server chose an extension that was not offered",
            DeflateInvalid => "server's permessage-deflate parameters accept no offer",
            UriInvalid => "not a valid ws or wss URI",
            UriFragment => "websocket URI with a fragment",
            TlsUnavailable => "wss URI on a transport without TLS",
            HeaderNameInvalid => "header name is not a token",
            HeaderValueInvalid => "control character in a header value",
            HeaderReserved => "header is set by the handshake itself",
            NothingToDecide => "no request waits for a decision",
            TimedOut => "opening handshake timed out",
            UnexpectedEof => "connection ended during the opening handshake",
        })
    }
}

impl core::error::Error for HandshakeError {}
