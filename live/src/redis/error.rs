//! Why there is no connection to Redis: each error says what is wrong and where, on one line and without a password.

use std::fmt;
use std::time::Duration;

use ::redis::ErrorKind;

/// Why there is no connection to Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisError {
    /// Host and port, or the path of a socket.
    address: String,
    reason: Reason,
}

/// What was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The URL has a scheme of another kind, or none.
    Scheme(Option<String>),
    /// Nobody can tell where the host and the port are.
    Url,
    /// Another part of the URL.
    Part(String),
    Tls,
    Prefix,
    /// None: so old that it does not say.
    Version(Option<String>),
    Cluster(String),
    /// Some slots of a cluster are at another server, or at none.
    Slots(String),
    Replica,
    Run,
    Time(Duration),
    Rights(String),
    NoPassword,
    WrongPassword,
    /// What answers speaks something else.
    Stranger,
    /// It ended the connection without a word.
    Ended,
    /// As the connection, the operating system or the server says it.
    Other(String),
}

impl RedisError {
    pub(super) fn new(address: &str, reason: Reason) -> RedisError {
        RedisError { address: address.to_owned(), reason }
    }
}

/// Whether an `@` stands behind the host of the URL. Then a password has a `/`, `?` or `#` that should be written otherwise,
/// and what seems to be the host and the port is the user and a part of that password.
pub(super) fn is_password_cut(url: &str) -> bool {
    let host = url.split_once("://").filter(|(scheme, _)| !scheme.contains("unix")).map(|(_, rest)| rest);
    host.and_then(|rest| rest.split_once(['/', '?', '#', '\\'])).is_some_and(|(_, behind)| behind.contains('@'))
}

impl Reason {
    /// What is wrong with a URL that the crate `redis` does not take.
    pub(super) fn of_url(url: &str, error: &::redis::RedisError) -> Reason {
        if ::redis::parse_redis_url(url).is_some() {
            return Reason::Part(words(error));
        }
        // What stands before the first colon, if it can be no part of a password.
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        let is_scheme = |scheme: &&str| scheme.bytes().all(|byte| byte.is_ascii_lowercase() || b"+-".contains(&byte));
        match scheme.filter(is_scheme) {
            Some(scheme) if SCHEMES.contains(&scheme) => Reason::Url,
            scheme => Reason::Scheme(scheme.map(str::to_owned)),
        }
    }

    /// What an error of a connection means; `time`: how long it had.
    pub(super) fn of(error: &::redis::RedisError, time: Duration) -> Reason {
        if error.is_timeout() {
            return Reason::Time(time);
        }
        // The errors of many commands are those of the first one.
        let said = error.clone().into_server_errors().and_then(|errors| errors.first().map(|(_, error)| error.clone()));
        let code = said.as_ref().map(|said| said.code().to_owned()).or_else(|| error.code().map(str::to_owned));
        let words = match &said {
            Some(said) => one_line(&format!("{} {}", said.code(), said.details().unwrap_or_default())),
            None => words(error),
        };
        match (code.as_deref(), error.kind()) {
            (Some("NOAUTH"), _) => Reason::NoPassword,
            (Some("WRONGPASS"), _) | (_, ErrorKind::AuthenticationFailed) => Reason::WrongPassword,
            (Some("NOPERM"), _) => Reason::Rights(words),
            (Some("MOVED" | "ASK" | "CLUSTERDOWN"), _) => Reason::Slots(words),
            (_, ErrorKind::RESP3NotSupported) => Reason::Version(None),
            (_, ErrorKind::Parse) => Reason::Stranger,
            _ if error.is_connection_dropped() && !error.is_connection_refusal() => Reason::Ended,
            _ => Reason::Other(words),
        }
    }
}

fn words(error: &::redis::RedisError) -> String {
    let words = one_line(&error.to_string());
    words.strip_suffix(" - InvalidClientConfig").unwrap_or(&words).to_owned()
}

/// So that it is one line of a log.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Scheme(Some(scheme)) => {
                return write!(f, "a URL with the scheme {scheme} leads to no Redis server: it must be {FORM}");
            }
            Reason::Scheme(None) => return write!(f, "this is no URL of a Redis server: it must be {FORM}"),
            Reason::Url => {
                return write!(
                    f,
                    "the URL of the Redis server has no host or no good port: it must be {FORM}, \
                     and in a password each of / ? # @ : must be written as % and its number"
                );
            }
            Reason::Prefix => return f.write_str("the prefix for Redis has more than 128 bytes, or a brace"),
            _ => write!(f, "Redis at {}: ", self.address)?,
        }
        match &self.reason {
            Reason::Scheme(_) | Reason::Url | Reason::Prefix => Ok(()),
            Reason::Part(error) => write!(f, "its URL is wrong: {error}: it must be {FORM}"),
            Reason::Tls => f.write_str(
                "this program was built without TLS for Redis (the feature tokio-rustls-comp of the crate redis)",
            ),
            Reason::Version(Some(version)) => write!(f, "version {version} is older than 7.0"),
            Reason::Version(None) => f.write_str("it does not know HELLO, so it is older than 7.0"),
            Reason::Cluster(shards) => write!(f, "a cluster of {shards} shards, and only one of 1 is supported"),
            Reason::Slots(error) => {
                write!(f, "it is one of a cluster and has not all slots, and only one that has is supported: {error}")
            }
            Reason::Replica => f.write_str("this is a replica, which takes no messages"),
            Reason::Run => f.write_str("it does not say its run_id, so nobody can see that it has lost messages"),
            Reason::Time(time) => write!(f, "no answer within {time:?}"),
            Reason::Rights(error) => write!(f, "the user may not do what is needed: {error}"),
            Reason::NoPassword => f.write_str("it wants a password, and the URL has none"),
            Reason::WrongPassword => {
                f.write_str("it does not take the user and the password of the URL, or the user is disabled")
            }
            Reason::Stranger => {
                f.write_str("what answers there does not speak as Redis does: another service, or one that wants TLS")
            }
            Reason::Ended => f.write_str(
                "the connection was ended without an answer: another service, one that wants TLS or \
                 takes nobody from here (protected-mode), or one that goes down",
            ),
            Reason::Other(error) => f.write_str(error),
        }
    }
}

impl std::error::Error for RedisError {}

/// What the crate `redis` knows.
const SCHEMES: [&str; 7] = ["redis", "rediss", "valkey", "valkeys", "redis+unix", "valkey+unix", "unix"];
const FORM: &str = "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], rediss://… for TLS, or redis+unix:///PATH";
