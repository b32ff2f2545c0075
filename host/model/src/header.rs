//! Headers of requests that are nobody's but the host's.

/// Of one connection (RFC 9110, section 7.6.1).
pub fn is_hop_by_hop(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade" | "http2-settings")
        || name.starts_with("proxy-")
}

/// Those that are the host's to set, or to leave out, by their names in lower case.
pub fn is_hosts(name: &str) -> bool {
    is_hop_by_hop(name)
        || name.starts_with("x-forwarded-")
        || matches!(name, "host" | "content-length" | "expect" | "forwarded" | "via" | "x-real-ip")
        // They name another method or another path than those that are judged.
        || matches!(name, "x-http-method" | "x-http-method-override" | "x-method-override")
        || matches!(name, "x-original-url" | "x-rewrite-url")
}
