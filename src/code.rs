//! Close codes: the numbers 0 to 65535, and which of them may be sent (§7.4 and the IANA registry). No other file
//! compares a close code with a number.

use core::fmt;

/// A close code (RFC 6455 §7.4), with the IANA registry's names as constants.
///
/// ```
/// use openline::CloseCode;
///
/// assert_eq!(CloseCode::GOING_AWAY.get(), 1001);
/// assert!(CloseCode::new(4000).is_sendable());
/// assert!(!CloseCode::ABNORMAL.is_sendable());
/// assert_eq!(CloseCode::GOING_AWAY.to_string(), "1001 (going away)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection has been fulfilled.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// 1001: a server is going down, or a browser has left the page.
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: CloseCode = CloseCode(1002);
    /// 1003: this end does not accept the kind of data that came.
    pub const UNSUPPORTED_DATA: CloseCode = CloseCode(1003);
    /// 1005: the Close frame carried no code. It is never sent.
    pub const NO_STATUS: CloseCode = CloseCode(1005);
    /// 1006: the connection ended without a Close frame. It is never sent.
    pub const ABNORMAL: CloseCode = CloseCode(1006);
    /// 1007: the payload did not match its type, for example text that is not UTF-8.
    pub const INVALID_PAYLOAD: CloseCode = CloseCode(1007);
    /// 1008: a message broke a policy of this end.
    pub const POLICY_VIOLATION: CloseCode = CloseCode(1008);
    /// 1009: a message was too big to process.
    pub const MESSAGE_TOO_BIG: CloseCode = CloseCode(1009);
    /// 1010: a client needed an extension that the server did not agree to.
    pub const MANDATORY_EXTENSION: CloseCode = CloseCode(1010);
    /// 1011: something unexpected went wrong at this end.
    pub const INTERNAL_ERROR: CloseCode = CloseCode(1011);
    /// 1012: the service is restarting.
    pub const SERVICE_RESTART: CloseCode = CloseCode(1012);
    /// 1013: the service is overloaded; try again later.
    pub const TRY_AGAIN_LATER: CloseCode = CloseCode(1013);
    /// 1014: a gateway got an invalid response from upstream.
    pub const BAD_GATEWAY: CloseCode = CloseCode(1014);
    /// 1015: the TLS handshake failed. It is never sent.
    pub const TLS_HANDSHAKE: CloseCode = CloseCode(1015);

    /// The code with this number. Every number makes a code; [`is_sendable`](Self::is_sendable) says which may
    /// be sent.
    #[must_use]
    pub const fn new(code: u16) -> CloseCode {
        CloseCode(code)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether a Close frame may carry this code (§7.4.1, §7.4.2).
    ///
    /// These may be sent: 1000–1003 and 1007–1014 (registered), 3000–3999 (libraries and applications, by
    /// registration) and 4000–4999 (private use). These may not: 0–999 (unused), 1004 (reserved without a
    /// meaning), 1005, 1006 and 1015 (they are only reported to the application), 1016–2999 (reserved for later
    /// versions of the protocol) and 5000 upwards (undefined).
    #[must_use]
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// Whether connecting again later may help: whether a client that wants to stay connected should connect again,
    /// after a while, when a connection has ended with this code.
    ///
    /// | code | | |
    /// |---|---|---|
    /// | 1000, 1005 | no | it is an ordinary end |
    /// | 1001, 1006, 1011–1014 | yes | the other end, or the network to it, does not work now |
    /// | 1002, 1003, 1007–1010 | no | one end does something that the other refuses, and would do it again |
    /// | 1015 | no | the certificate would be refused again |
    /// | 3000–4499 | yes | codes of libraries and applications |
    /// | 4500–4999 | no | codes of applications for a final end, by a convention of this crate |
    /// | all others | no | their meaning is unknown |
    ///
    /// RFC 6455 and the registry do not say this of each code. An application whose own codes have other meanings
    /// should look at those before it calls this.
    ///
    /// ```
    /// use openline::CloseCode;
    ///
    /// assert!(CloseCode::SERVICE_RESTART.is_transient());
    /// assert!(!CloseCode::POLICY_VIOLATION.is_transient());
    /// ```
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self.0, 1001 | 1006 | 1011..=1014 | 3000..=4499)
    }

    const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1000 => "normal closure",
            1001 => "going away",
            1002 => "protocol error",
            1003 => "unsupported data",
            1005 => "no status code",
            1006 => "abnormal closure",
            1007 => "invalid payload",
            1008 => "policy violation",
            1009 => "message too big",
            1010 => "mandatory extension",
            1011 => "internal error",
            1012 => "service restart",
            1013 => "try again later",
            1014 => "bad gateway",
            1015 => "TLS handshake",
            _ => return None,
        })
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> CloseCode {
        CloseCode(code)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every number has a line in the table of [`CloseCode::is_transient`].
    #[test]
    #[cfg_attr(miri, ignore = "tries all 65,536 numbers")]
    fn every_code_is_transient_or_not() {
        for code in 0..=u16::MAX {
            let line = match code {
                1000 | 1005 => "ordinary",
                1001 | 1006 | 1011 | 1012 | 1013 | 1014 => "gone for now",
                1002 | 1003 | 1007 | 1008 | 1009 | 1010 => "would do it again",
                3000..4500 => "unless they say otherwise",
                4500..5000 => "final",
                _ => "unknown",
            };
            let expected = matches!(line, "gone for now" | "unless they say otherwise");
            assert_eq!(CloseCode::new(code).is_transient(), expected, "{code}: {line}");
        }
    }
}
