//! Headers of requests that are nobody's but the host's.

/// Of one connection (RFC 9110, section 7.6.1).
pub fn is_hop_by_hop(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade" | "http2-settings")
        || name.starts_with("proxy-")
}

/// Those that are the host's to set, or to leave out, by their names in lower case.
pub fn is_hosts(name: &str) -> bool {
    if name.contains('_') {
        return is_hosts(&name.replace('_', "-"));
    }
    is_hop_by_hop(name)
        || name.starts_with("x-forwarded-")
        || matches!(name, "host" | "content-length" | "expect" | "forwarded" | "via" | "x-real-ip")
        // They name another method or another path than those that are judged.
        || matches!(name, "x-http-method" | "x-http-method-override" | "x-method-override")
        || matches!(name, "x-original-url" | "x-rewrite-url")
}

/// Whether two names are one header to some upstream: where headers become variables (RFC 3875, section 4.1.18), `_` stands
/// for `-`.
pub fn is_same_header(name: &str, other: &str) -> bool {
    let is_same = |a: u8, b: u8| a.eq_ignore_ascii_case(&b) || (matches!(a, b'-' | b'_') && matches!(b, b'-' | b'_'));
    name.len() == other.len() && name.bytes().zip(other.bytes()).all(|(a, b)| is_same(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_hosts_is_so_in_every_spelling() {
        for name in
            ["host", "x-forwarded-for", "x_forwarded_for", "x_http_method-override", "content_length", "proxy_x"]
        {
            assert!(is_hosts(name), "{name}");
        }
        assert!(!is_hosts("x_forwarded") && !is_hosts("accept"));
        assert!(is_same_header("x-api-key", "X_Api-Key") && !is_same_header("x-api-key", "x-apikey"));
    }
}
