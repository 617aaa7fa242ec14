//! Which pages may open sockets and post (RFC 6455 §10.2): those of this server, and those of the origins in a list.
//! Programs other than browsers send no Origin, and are let in: a page cannot leave it out.

/// The origins that may come, besides the server's own.
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<String>);

impl Origins {
    /// These origins, as browsers write them, such as `https://example.com`.
    #[must_use]
    pub fn new(others: Vec<String>) -> Origins {
        Origins(others)
    }

    /// Whether a request with this Origin may come to this host (the field Host, or `:authority`).
    #[must_use]
    pub fn allow(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        self.is_listed(origin) || is_own(origin, host)
    }

    /// Whether it is one of the list.
    #[must_use]
    pub fn is_listed(&self, origin: &str) -> bool {
        self.0.iter().any(|listed| listed.eq_ignore_ascii_case(origin))
    }
}

fn is_own(origin: &str, host: Option<&str>) -> bool {
    let (Some((scheme, authority)), Some(host)) = (origin.split_once("://"), host) else { return false };
    // A browser leaves out the scheme's own port in both. Other programs may write it.
    let plain = |authority| without_default_port(scheme, authority);
    match (plain(authority), plain(host)) {
        (Some(page), Some(host)) => page.eq_ignore_ascii_case(host),
        _ => false,
    }
}

/// The authority without `:80` or `:443`, if that is the port of the scheme. `None`: no scheme of a page.
pub(crate) fn without_default_port<'a>(scheme: &str, authority: &'a str) -> Option<&'a str> {
    let port = match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => ":80",
        _ if scheme.eq_ignore_ascii_case("https") => ":443",
        _ => return None,
    };
    Some(authority.strip_suffix(port).unwrap_or(authority)).filter(|authority| !authority.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_ours_if_its_authority_is_the_host() {
        let origins = Origins::new(vec!["https://friend.example".into()]);
        for (origin, host, allowed) in [
            (None, Some("h:1"), true),
            (Some("http://h:1"), Some("h:1"), true),
            (Some("https://H:1"), Some("h:1"), true),
            (Some("https://h"), Some("h:443"), true),
            (Some("http://h:80"), Some("h"), true),
            (Some("https://friend.example"), Some("h"), true),
            (Some("http://[::1]:8080"), Some("[::1]:8080"), true),
            (Some("http://h"), Some("h:8080"), false),
            (Some("http://h:443"), Some("h"), false),
            (Some("http://friend.example"), Some("h"), false),
            (Some("https://friend.example.evil"), Some("h"), false),
            (Some("http://evil"), Some("h"), false),
            (Some("null"), Some("null"), false),
            (Some("http://"), Some(""), false),
            (Some("file://"), Some(""), false),
            (Some(""), Some(""), false),
            (Some("http://h"), None, false),
        ] {
            assert_eq!(origins.allow(origin, host), allowed, "{origin:?} {host:?}");
        }
    }
}
