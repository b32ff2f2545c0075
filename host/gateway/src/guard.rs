//! Host and Origin: the checks against web pages that talk to this machine through the browser of someone on
//! it (DNS rebinding; MCP 2026-07-28, "Streamable HTTP", security warning). They are always on.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Version};

use crate::respond::Refusal;

/// Lets a request pass if it is meant for this address by name, and if a web page of another origin did not
/// send it.
pub(crate) fn check(head: &Parts, address: SocketAddr, secure: bool) -> Result<(), Refusal> {
    let named = single(&head.headers, HOST, Refusal::NoHost)?;
    let host = match head.version {
        // `:authority` stands for Host, and where both are they say the same (RFC 9113, section 8.3.1).
        Version::HTTP_2 => {
            let authority = head.uri.authority().ok_or(Refusal::NoHost)?.as_str();
            if named.is_some_and(|host| host != authority) {
                return Err(Refusal::Host);
            }
            authority
        }
        _ if head.uri.scheme().is_some() || head.uri.authority().is_some() => return Err(Refusal::AbsoluteTarget),
        // RFC 9112, section 3.2.
        _ => named.ok_or(Refusal::NoHost)?,
    };
    if !is_ours(host, address.port(), if secure { 443 } else { 80 }) {
        return Err(Refusal::Host);
    }
    match single(&head.headers, ORIGIN, Refusal::Origin)? {
        None => Ok(()),
        Some(origin) => {
            let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            // Any port: a page that is served from this machine is a program of this machine.
            match authority.is_some_and(is_loopback) {
                true => Ok(()),
                false => Err(Refusal::Origin),
            }
        }
    }
}

/// The one value of a header. Two of them are never a mistake of a good client.
fn single(headers: &HeaderMap, name: HeaderName, refusal: Refusal) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(&name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| refusal),
        (Some(_), Some(_)) => Err(refusal),
    }
}

fn is_ours(host: &str, port: u16, default: u16) -> bool {
    loopback(host).is_some_and(|named| named.unwrap_or(default) == port)
}

fn is_loopback(authority: &str) -> bool {
    loopback(authority).is_some()
}

/// The port of `HOST` or `HOST:PORT` (RFC 3986, section 3.2), if it names this machine: `localhost` or a loopback
/// address.
fn loopback(authority: &str) -> Option<Option<u16>> {
    let (host, port) = match authority.rsplit_once(':') {
        // What comes behind the last colon of an address in brackets may be a part of it.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_ours = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback()),
        None => host.eq_ignore_ascii_case("localhost") || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback()),
    };
    let digits = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    match port.filter(|port| !port.is_empty()) {
        _ if !is_ours => None,
        None => Some(None),
        Some(port) if digits(port) => port.parse().ok().map(Some),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(headers: &[(&str, &str)]) -> bool {
        let mut request = http::Request::builder().uri("/mcp");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0, "127.0.0.1:8787".parse().unwrap(), false).is_ok()
    }

    #[test]
    fn http_2_names_its_host_in_the_target() {
        let passes = |uri: &str, host: Option<&str>| {
            let mut request = http::Request::builder().version(Version::HTTP_2).uri(uri);
            if let Some(host) = host {
                request = request.header("host", host);
            }
            let parts = request.body(()).unwrap().into_parts().0;
            check(&parts, "127.0.0.1:8443".parse().unwrap(), true).is_ok()
        };
        assert!(passes("https://localhost:8443/mcp", None));
        assert!(passes("https://localhost:8443/mcp", Some("localhost:8443")));
        assert!(!passes("https://localhost:8443/mcp", Some("127.0.0.1:8443")));
        assert!(!passes("https://evil.example:8443/mcp", None));
        assert!(!passes("https://localhost/mcp", None));
        assert!(!passes("/mcp", Some("localhost:8443")));
    }

    #[test]
    fn our_own_names_pass() {
        for host in ["127.0.0.1:8787", "localhost:8787", "LOCALHOST:8787", "[::1]:8787"] {
            assert!(passes(&[("host", host)]), "{host}");
        }
        for origin in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:8787"] {
            assert!(passes(&[("host", "localhost:8787"), ("origin", origin)]), "{origin}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        assert!(!passes(&[]));
        assert!(!passes(&[("host", "localhost:8787"), ("host", "localhost:8787")]));
        for host in [
            "evil.example:8787",
            "localhost",
            "localhost:80",
            "localhost.evil.example:8787",
            "127.0.0.1.evil.example:8787",
            "evil@localhost:8787",
            "0.0.0.0:8787",
            "2130706433:8787",
            "127.1:8787",
            "127.0.0.1:+8787",
            "127.0.0.1:18787",
            "127.0.0.1:87870",
            "::1:8787",
            "[::1]",
            "[::1]]:8787",
            "[127.0.0.1]:8787",
            "localhost:8787:8787",
            "",
        ] {
            assert!(!passes(&[("host", host)]), "{host}");
        }
        for origin in [
            "null",
            "",
            "http://evil.example",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
            "file://localhost",
            "http://localhost/../evil",
            "chrome-extension://localhost",
        ] {
            assert!(!passes(&[("host", "localhost:8787"), ("origin", origin)]), "{origin}");
        }
    }
}
