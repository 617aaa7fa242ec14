//! The command line.

use std::path::PathBuf;

/// What `--help` prints.
pub const HELP: &str = "usage: web [OPTIONS]

Pages, a chat and auctions over WebSockets, on HTTP/1.1 and HTTP/2. Prints its address once it listens. After SIGTERM or
Ctrl-C it accepts nothing new, closes its sockets over some seconds, and ends.

options:
  --listen ADDRESS:PORT  where to listen (127.0.0.1:8080 if not given; port 0: any that is free)
  --tls                  TLS, with a certificate for localhost and 127.0.0.1 that is made now
  --ca-out FILE          write the certificate that a client has to trust to this file, in PEM
  --redis URL            share topics with other nodes by this server, such as redis://127.0.0.1:6379/
  --retain MESSAGES      how many messages each topic keeps (256 if not given)
  --origin URL           let pages of this origin in, besides the server's own; may be repeated
  --snapshot FILE        save history and positions there at the end, and take them up at the start (with
                         --redis it is not used, since both are there)
  -h, --help             print this
";

/// How the server is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Address and port.
    pub listen: String,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The file for the certificate of its authority.
    pub ca_out: Option<PathBuf>,
    /// The server by which topics are shared.
    pub redis: Option<String>,
    /// How many messages each topic keeps.
    pub retain: Option<usize>,
    /// The other origins that may come, as browsers write them.
    pub origins: Vec<String>,
    /// The file for history and positions.
    pub snapshot: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        let listen = "127.0.0.1:8080".into();
        let (redis, retain, origins) = (None, None, Vec::new());
        Options { listen, tls: false, ca_out: None, redis, retain, origins, snapshot: None }
    }
}

impl Options {
    /// Reads the arguments behind the program's name. `None`: help is asked for.
    ///
    /// # Errors
    ///
    /// A sentence about what is wrong.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Option<Options>, String> {
        let mut options = Options::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value\n\n{HELP}"));
            match &*argument {
                "--listen" => options.listen = value()?,
                "--tls" => options.tls = true,
                "--ca-out" => options.ca_out = Some(value()?.into()),
                "--redis" => options.redis = Some(value()?),
                "--retain" => {
                    let text = value()?;
                    let count = text.parse().ok().filter(|count| *count > 0);
                    options.retain = Some(count.ok_or_else(|| format!("--retain {text}: not a count of messages"))?);
                }
                "--origin" => options.origins.push(origin(&value()?)?),
                "--snapshot" => options.snapshot = Some(value()?.into()),
                "-h" | "--help" => return Ok(None),
                other => return Err(format!("unexpected {other}\n\n{HELP}")),
            }
        }
        if options.ca_out.is_some() && !options.tls {
            return Err(format!("--ca-out needs --tls\n\n{HELP}"));
        }
        Ok(Some(options))
    }
}

/// An origin as browsers write it: in lower case, without a path, and without the scheme's own port (RFC 6454 §6).
fn origin(url: &str) -> Result<String, String> {
    let wrong = || format!("--origin {url}: must be a scheme and a host, such as https://example.com");
    let uri: http::Uri = url.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong()) };
    if uri.path() != "/" || uri.query().is_some() || authority.as_str().contains('@') {
        return Err(wrong());
    }
    Ok(crate::origins::without_default_port(scheme, authority.as_str()).map_or_else(
        || url.trim_end_matches('/').to_ascii_lowercase(),
        |authority| format!("{scheme}://{authority}").to_ascii_lowercase(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        assert_eq!(parse(""), Ok(Some(Options::default())));
        assert_eq!(parse("--help"), Ok(None));
    }

    #[test]
    fn all_of_it() {
        let line = "--listen 0.0.0.0:1 --tls --ca-out ca.pem --retain 3 --origin HTTPS://A.example:443/ \
                    --origin http://b:81 --snapshot file";
        let options = Options {
            listen: "0.0.0.0:1".into(),
            tls: true,
            ca_out: Some("ca.pem".into()),
            retain: Some(3),
            redis: None,
            origins: vec!["https://a.example".into(), "http://b:81".into()],
            snapshot: Some("file".into()),
        };
        assert_eq!(parse(line), Ok(Some(options)));
        assert_eq!(parse("--redis redis://h/").unwrap().unwrap().redis.as_deref(), Some("redis://h/"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for line in [
            "--listen",
            "--retain 0",
            "--retain x",
            "--retain -1",
            "--origin example.com",
            "--origin http://a/b",
            "--origin http://u@a",
            "--origin /",
            "--ca-out f",
            "--redis",
            "--what",
            "x",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
