//! Why a client has no connection, and whether it should come back (feature `client`). No other file decides this.

use std::error::Error as StdError;
use std::{fmt, io};

use openline::{CloseCode, Closed, Error, HandshakeError, Response};

/// What a client does when a connection has ended, or an attempt has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It connects again later: the other end, or the network to it, does not work now.
    Retry,
    /// It stays away: it was an ordinary end.
    End,
    /// It stays away: the same would happen again.
    Fatal,
}

impl Verdict {
    /// What a close code means: [`End`](Self::End) for 1000 and 1005, which are ordinary ends; otherwise
    /// [`Retry`](Self::Retry) for those that [are transient](CloseCode::is_transient), and [`Fatal`](Self::Fatal) for
    /// the rest. So codes whose meaning is unknown are fatal. No peer can send those: openline fails the connection.
    ///
    /// ```
    /// use openline::CloseCode;
    /// use openline_live::client::Verdict;
    ///
    /// assert_eq!(Verdict::of_code(CloseCode::SERVICE_RESTART), Verdict::Retry);
    /// assert_eq!(Verdict::of_code(CloseCode::NORMAL), Verdict::End);
    /// assert_eq!(Verdict::of_code(CloseCode::new(4500)), Verdict::Fatal);
    /// ```
    #[must_use]
    pub fn of_code(code: CloseCode) -> Verdict {
        match code {
            CloseCode::NORMAL | CloseCode::NO_STATUS => Verdict::End,
            code if code.is_transient() => Verdict::Retry,
            _ => Verdict::Fatal,
        }
    }

    /// What an error means: [`Retry`](Self::Retry) if it [is transient](Error::is_transient), otherwise
    /// [`Fatal`](Self::Fatal).
    #[must_use]
    pub fn of_error(error: &Error) -> Verdict {
        if error.is_transient() { Verdict::Retry } else { Verdict::Fatal }
    }
}

/// Why an attempt to connect has failed: openline's error, or one of the caller's own, such as a token that could not
/// be fetched. `?` makes one of openline's errors.
#[derive(Debug)]
#[non_exhaustive]
pub enum DialError {
    /// openline could not connect.
    Connect(Error),
    /// The caller's part of the attempt failed, and the caller says what that means.
    Own {
        /// What the client does then.
        verdict: Verdict,
        /// What happened.
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl DialError {
    /// An error of the caller's own.
    ///
    /// ```
    /// use openline_live::client::{DialError, Verdict};
    ///
    /// let error = DialError::own(Verdict::Fatal, "the password was changed");
    /// assert_eq!(error.verdict(), Verdict::Fatal);
    /// ```
    pub fn own(verdict: Verdict, source: impl Into<Box<dyn StdError + Send + Sync>>) -> DialError {
        DialError::Own { verdict, source: source.into() }
    }

    /// What the client does.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            DialError::Connect(error) => Verdict::of_error(error),
            DialError::Own { verdict, .. } => *verdict,
        }
    }
}

impl From<Error> for DialError {
    fn from(error: Error) -> DialError {
        DialError::Connect(error)
    }
}

impl From<HandshakeError> for DialError {
    fn from(error: HandshakeError) -> DialError {
        DialError::Connect(error.into())
    }
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> DialError {
        DialError::Connect(error.into())
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Connect(error) => error.fmt(f),
            DialError::Own { source, .. } => source.fmt(f),
        }
    }
}

impl StdError for DialError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            DialError::Connect(error) => error.source(),
            DialError::Own { source, .. } => source.source(),
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Why {
    /// The connection has ended. The code is 1006 if the peer said nothing.
    Closed(Closed),
    /// The connection has failed.
    Failed(Error),
    /// An attempt has failed.
    Dial(DialError),
}

impl Why {
    /// What the client does.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Why::Closed(closed) => Verdict::of_code(closed.code),
            Why::Failed(error) => Verdict::of_error(error),
            Why::Dial(error) => error.verdict(),
        }
    }

    /// The answer of a server or a proxy that refused.
    #[must_use]
    pub fn response(&self) -> Option<&Response> {
        match self {
            Why::Dial(DialError::Connect(Error::Refused(response) | Error::ProxyRefused(response))) => Some(response),
            _ => None,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Closed(closed) => write!(f, "the connection ended with code {}", closed.code),
            Why::Failed(_) => f.write_str("the connection failed"),
            Why::Dial(_) => f.write_str("cannot connect"),
        }
    }
}

impl StdError for Why {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Why::Closed(_) => None,
            Why::Failed(error) => Some(error),
            Why::Dial(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{End, Fatal, Retry};
    use super::*;
    use openline::{ProtocolError, ProxyError, SendError, TlsError, UriPart};

    #[test]
    fn every_close_code_has_a_verdict() {
        for code in 0..=u16::MAX {
            let expected = match code {
                1000 | 1005 => End,
                1001 | 1006 | 1011..=1014 | 3000..=4499 => Retry,
                1002 | 1003 | 1007..=1010 | 4500..=4999 => Fatal,
                // Reserved, or only reported: no Close frame has them.
                0..=999 | 1004 | 1015..=2999 | 5000.. => Fatal,
            };
            assert_eq!(Verdict::of_code(CloseCode::new(code)), expected, "{code}");
        }
    }

    #[test]
    fn every_status_has_a_verdict() {
        for status in 0..=999 {
            let expected = if matches!(status, 408 | 421 | 425 | 429 | 500..=599) { Retry } else { Fatal };
            let mut response = Response::new(200);
            response.status = status;
            for error in [Error::Refused, Error::ProxyRefused] {
                assert_eq!(Verdict::of_error(&error(Box::new(response.clone()))), expected, "{status}");
            }
            assert_eq!(Verdict::of_error(&ProxyError::Refused { status }.into()), expected, "{status}");
        }
    }

    #[test]
    fn every_kind_of_error_has_a_verdict() {
        let io = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let text = || "x".into();
        let table: Vec<(Verdict, Vec<Error>)> = vec![
            (Retry, vec![Error::Name(io()), Error::Connect(io()), Error::ProxyIo(io()), Error::Io(io())]),
            (Retry, vec![Error::PongTimeout, Error::StallTimeout, Error::TimedOut]),
            (Retry, vec![TlsError::Io(io()).into()]),
            (Retry, vec![HandshakeError::TimedOut.into(), HandshakeError::UnexpectedEof.into()]),
            (Retry, vec![ProxyError::UnexpectedEof.into()]),
            (Retry, [1, 3, 4, 5, 6].map(|reply| ProxyError::Failed { reply }.into()).into()),
            (Fatal, [0, 2, 7, 8, 255].map(|reply| ProxyError::Failed { reply }.into()).into()),
            (Fatal, [ProxyError::NoMethod, ProxyError::NotAuthorized].map(Error::from).into()),
            (Fatal, [ProxyError::Malformed, ProxyError::NameTooLong].map(Error::from).into()),
            (Fatal, vec![ProxyError::Head(HandshakeError::MalformedHead).into()]),
            (Fatal, vec![TlsError::Certificate(text()).into(), TlsError::Alpn.into()]),
            (Fatal, vec![TlsError::Protocol(text()).into(), TlsError::Setup(text()).into()]),
            (Fatal, vec![HandshakeError::UriInvalid { part: UriPart::Host, at: 5 }.into()]),
            (Fatal, [HandshakeError::UriFragment, HandshakeError::TlsUnavailable].map(Error::from).into()),
            (Fatal, [HandshakeError::AcceptInvalid, HandshakeError::UpgradeInvalid].map(Error::from).into()),
            (Fatal, [HandshakeError::ConnectionInvalid, HandshakeError::DeflateInvalid].map(Error::from).into()),
            (Fatal, vec![HandshakeError::SubprotocolNotOffered.into(), HandshakeError::ExtensionNotOffered.into()]),
            (Fatal, vec![HandshakeError::HeaderNameInvalid.into(), HandshakeError::HeadTooLarge { limit: 1 }.into()]),
            (Fatal, vec![ProtocolError::FrameMasked.into(), ProtocolError::MessageTooBig { limit: 1 }.into()]),
            (Fatal, vec![ProtocolError::CloseCodeInvalid(CloseCode::ABNORMAL).into()]),
            (Fatal, vec![SendError::Closed.into(), SendError::Full.into()]),
        ];
        // A new kind of error is missing here until somebody has thought of it.
        let mut missing = vec![
            "Name",
            "Connect",
            "ProxyIo",
            "Proxy(",
            "ProxyRefused",
            "Tls",
            "Io",
            "Protocol",
            "Handshake",
            "Refused",
            "Send",
            "PongTimeout",
            "StallTimeout",
            "TimedOut",
        ];
        for (expected, errors) in table {
            for error in errors {
                assert_eq!(Verdict::of_error(&error), expected, "{error:?}");
                let shown = format!("{error:?}");
                missing.retain(|kind| !shown.starts_with(kind));
                assert_eq!(Why::Failed(error).verdict(), expected);
            }
        }
        assert_eq!(missing, ["ProxyRefused", "Refused"], "the statuses have a test of their own");
    }

    #[test]
    fn the_caller_decides_about_its_own_part() {
        for verdict in [Retry, End, Fatal] {
            let why = Why::Dial(DialError::own(verdict, "no token"));
            assert_eq!((why.verdict(), why.to_string()), (verdict, "cannot connect".into()));
            assert_eq!(why.source().unwrap().to_string(), "no token");
        }
    }
}
