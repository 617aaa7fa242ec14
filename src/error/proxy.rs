//! Why a proxy opened no tunnel.

use core::fmt;

use super::HandshakeError;

/// Why a proxy opened no tunnel: it said no, or broke the rules of its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyError {
    /// RFC 9110 §9.3.6: the proxy answered the CONNECT with a status other than 2xx, such as 407 if it wants to know who
    /// asks.
    Refused {
        /// The status of its answer.
        status: u16,
    },
    /// The head of its answer breaks a rule of HTTP, or a limit of ours.
    Head(HandshakeError),
    /// RFC 1928 §3: the proxy takes none of the ways of authentication that were offered.
    NoMethod,
    /// RFC 1929 §2: the proxy does not accept this name and password.
    NotAuthorized,
    /// RFC 1928 §6: the proxy could not connect, or did not want to.
    Failed {
        /// The code of its reply.
        reply: u8,
    },
    /// RFC 1928, RFC 1929: its answer is malformed, or of another version.
    Malformed,
    /// RFC 1928 §5: the name of the server is longer than 255 bytes.
    NameTooLong,
    /// The proxy ended the transport before it had answered.
    UnexpectedEof,
}

impl ProxyError {
    /// Whether trying again later may help.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        match self {
            ProxyError::Refused { status } => super::is_transient(status),
            // RFC 1928 §6: general failure, network or host unreachable, connection refused, TTL expired.
            ProxyError::Failed { reply } => matches!(reply, 1 | 3..=6),
            ProxyError::UnexpectedEof => true,
            _ => false,
        }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProxyError::Refused { status } => return write!(f, "proxy refused with status {status}"),
            ProxyError::Head(_) => "invalid head in the proxy's answer",
            ProxyError::NoMethod => "proxy takes none of the ways of authentication that were offered",
            ProxyError::NotAuthorized => "proxy does not accept the name and password",
            // The words of RFC 1928 §6.
            ProxyError::Failed { reply: 2 } => "connection not allowed by the proxy's ruleset",
            ProxyError::Failed { reply: 3 } => "network unreachable for the proxy",
            ProxyError::Failed { reply: 4 } => "host unreachable for the proxy",
            ProxyError::Failed { reply: 5 } => "connection refused to the proxy",
            ProxyError::Failed { reply } => return write!(f, "proxy failed with reply {reply}"),
            ProxyError::Malformed => "malformed answer of a SOCKS proxy",
            ProxyError::NameTooLong => "name of the server longer than 255 bytes",
            ProxyError::UnexpectedEof => "proxy ended the connection before it had answered",
        })
    }
}

impl core::error::Error for ProxyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            ProxyError::Head(error) => Some(error),
            _ => None,
        }
    }
}
