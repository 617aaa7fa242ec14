//! Which proxy the environment asks for. The rules are those of hyper-util's matcher, which reqwest uses; where a value
//! cannot be used, this is an error instead of a connection without a proxy.

use alloc::format;
use alloc::string::String;
use core::net::IpAddr;

use super::Proxy;
use crate::error::HandshakeError;
use crate::handshake::Uri;

/// The proxy for this URI, if the variables ask for one.
pub(crate) fn find(uri: &Uri, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Proxy>, HandshakeError> {
    let first = |names: [&str; 2]| names.into_iter().find_map(&variable).unwrap_or_default();
    // In a CGI program HTTP_PROXY is a header of the request: somebody else would choose the proxy.
    if variable("REQUEST_METHOD").is_some() || is_exempt(uri, &first(["NO_PROXY", "no_proxy"])) {
        return Ok(None);
    }
    let own = match uri.is_secure() {
        false => first(["HTTP_PROXY", "http_proxy"]),
        true => first(["HTTPS_PROXY", "https_proxy"]),
    };
    let proxy = if own.is_empty() { first(["ALL_PROXY", "all_proxy"]) } else { own };
    match proxy.as_str() {
        "" => Ok(None),
        proxy if proxy.contains("://") => proxy.parse().map(Some),
        proxy => format!("http://{proxy}").parse().map(Some),
    }
}

/// Whether the list of hosts without a proxy has this one.
fn is_exempt(uri: &Uri, list: &str) -> bool {
    let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    match uri.host().parse::<IpAddr>() {
        Ok(address) => entries.into_iter().any(|entry| has_address(entry, address, uri.port())),
        Err(_) => entries.into_iter().any(|entry| has_name(entry, uri.host(), uri.port())),
    }
}

/// An entry for names is `*`, or a domain, with or without a dot before it, for all names in it and itself. A port may
/// follow.
fn has_name(entry: &str, host: &str, port: u16) -> bool {
    let Some(domain) = without_port(entry, port) else { return false };
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    if domain == "*" {
        return true;
    }
    let (host, domain) = (host.as_bytes(), domain.as_bytes());
    let (before, end) = host.split_at(host.len().saturating_sub(domain.len()));
    end.eq_ignore_ascii_case(domain) && matches!(before, [] | [.., b'.'])
}

/// An entry for addresses is an address, or a network, as `10.0.0.0/8`. A port may follow; an IPv6 address before it has
/// brackets.
fn has_address(entry: &str, address: IpAddr, port: u16) -> bool {
    let Some((network, length)) = entry.split_once('/') else {
        return entry.parse().ok().or_else(|| address_of(without_port(entry, port)?)) == Some(address);
    };
    let Some(length) = without_port(length, port) else { return false };
    let (Some(network), Ok(length)) = (address_of(network), length.parse()) else { return false };
    let in_common = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) if length <= 32 => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) if length <= 128 => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => return false,
    };
    in_common >= length
}

/// An address, with or without brackets.
fn address_of(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inner.unwrap_or(text).parse().ok()
}

/// The entry without its port. `None` if the port is another one.
fn without_port(entry: &str, port: u16) -> Option<&str> {
    match entry.rsplit_once(':') {
        // The colon is one of the address in brackets.
        Some((_, end)) if end.ends_with(']') => Some(entry),
        Some((host, only)) => (only.parse() == Ok(port)).then_some(host),
        None => Some(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::HandshakeError as E;
    use alloc::string::ToString;

    /// The proxy for a URI in an environment.
    fn found(uri: &str, variables: &[(&str, &str)]) -> Result<Option<String>, E> {
        let variable =
            |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).into());
        Ok(find(&uri.parse().unwrap(), variable)?.map(|proxy| proxy.to_string()))
    }

    #[test]
    fn which_variable_counts() {
        let all = [
            ("HTTP_PROXY", "http://a"),
            ("http_proxy", "http://b"),
            ("HTTPS_PROXY", "http://c"),
            ("https_proxy", "http://d"),
            ("ALL_PROXY", "socks5h://e"),
            ("all_proxy", "socks5h://f"),
        ];
        for (from, plain, secure) in [(0, "a", "c"), (1, "b", "c"), (2, "e", "c"), (3, "e", "d")] {
            let [plain, secure] = [plain, secure].map(|host| match host {
                "e" => "socks5h://e:1080".to_string(),
                host => format!("http://{host}:80"),
            });
            assert_eq!(found("ws://h/", &all[from..]), Ok(Some(plain)));
            assert_eq!(found("https://h/", &all[from..]), Ok(Some(secure)));
        }
        assert_eq!(found("ws://h/", &all[5..]), Ok(Some("socks5h://f:1080".into())));
        assert_eq!(found("ws://h/", &[]), Ok(None));
        assert_eq!(found("ws://h/", &[("HTTP_PROXY", ""), ("http_proxy", "b")]), Ok(None), "set and empty");
        assert_eq!(found("ws://h/", &[("HTTP_PROXY", ""), ("ALL_PROXY", "b")]), Ok(Some("http://b:80".into())));
        assert_eq!(found("ws://h/", &[("HTTP_PROXY", "a:3128")]), Ok(Some("http://a:3128".into())));
        assert_eq!(found("ws://h/", &[("HTTP_PROXY", "a"), ("REQUEST_METHOD", "GET")]), Ok(None));
        assert!(found("ws://h/", &[("HTTP_PROXY", "socks4://a")]).is_err(), "never directly instead");
    }

    #[test]
    fn who_is_exempt() {
        let list = " .one.example, two.example , 10.0.0.0/8,192.0.2.1, fd00::/8,::1,three.example:8080,*.four.example";
        for (uri, exempt) in [
            ("ws://one.example/", true),
            ("ws://A.one.example/", true),
            ("ws://none.example/", false),
            ("ws://two.example/", true),
            ("ws://a.b.two.example:99/", true),
            ("ws://atwo.example/", false),
            ("ws://example/", false),
            ("ws://10.255.0.1/", true),
            ("ws://11.0.0.1/", false),
            ("ws://192.0.2.1/", true),
            ("ws://192.0.2.2/", false),
            ("ws://[fdff::1]/", true),
            ("ws://[fe00::1]/", false),
            ("ws://[::1]/", true),
            ("ws://three.example:8080/", true),
            ("ws://three.example/", false),
            ("ws://a.four.example/", false),
        ] {
            let found = found(uri, &[("all_proxy", "p"), ("no_proxy", list)]).unwrap();
            assert_eq!(found.is_none(), exempt, "{uri}");
        }
        for list in ["*", "h", "H", ".h"] {
            assert_eq!(found("ws://h/", &[("all_proxy", "p"), ("NO_PROXY", list)]), Ok(None), "{list}");
        }
        for list in ["0.0.0.0/33", "0.0.0.0/x", "/", "h:", ":80", "x/0"] {
            assert!(found("ws://1.2.3.4/", &[("all_proxy", "p"), ("no_proxy", list)]).unwrap().is_some(), "{list}");
        }
        assert_eq!(found("ws://1.2.3.4/", &[("all_proxy", "p"), ("no_proxy", "0.0.0.0/0")]), Ok(None));
    }
}
