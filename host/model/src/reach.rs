//! Where requests may go: hosts, ports, methods and paths, each in the one spelling in which it is compared.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A scheme of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Https,
    Http,
}

/// A host: a name in lower case without a dot at its end (RFC 1123, section 2.1; other alphabets in their A-labels,
/// RFC 5890), or an address as RFC 5952 (IPv6, without brackets) or dotted decimals (IPv4) have it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Box<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error("a host has 1 to 253 characters")]
    Length,
    #[error("a host is written in lower case, without a dot at its end; other alphabets as A-labels (`xn--…`)")]
    Label,
    #[error("an address is written as RFC 5952 and dotted decimals have it: no other base, no zeros in front")]
    Address,
    #[error("`*.` stands for one label in front of a name of at least two; there is no other star")]
    Star,
}

/// A host, or every host with one more label in front: `*.example.com` is `api.example.com` and neither
/// `example.com` nor `a.b.example.com`.
#[derive(Clone, PartialEq, Eq)]
pub struct HostPattern(Box<str>);

/// A path in which `*` stands for one whole segment, which is not empty, and `**`, last only, for whatever is left.
#[derive(Clone, PartialEq, Eq)]
pub struct PathPattern(Box<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a path begins with `/`; `*` is a whole segment, `**` the last one; no `.` or `..`, no `?`, `#` or `\\`, and `%` only \
     as `%XX` of what has no character of its own"
)]
pub struct PathError;

/// The method of a request: capital letters, as all that are registered have it (RFC 9110, section 9.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Method(Box<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a method is 1 to 20 capital letters, `-` between them, and neither CONNECT nor TRACE")]
pub struct MethodError;

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    pub scheme: Scheme,
    pub host: &'a Host,
    pub port: u16,
    pub method: &'a str,
    /// Without the query.
    pub path: &'a str,
}

/// Where requests may go. An empty list allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reach {
    pub schemes: Vec<Scheme>,
    pub hosts: Vec<HostPattern>,
    pub ports: Vec<u16>,
    pub methods: Vec<Method>,
    pub paths: Vec<PathPattern>,
}

const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

impl Host {
    pub fn new(text: &str) -> Result<Self, HostError> {
        if text.is_empty() || text.len() > HOST_BYTES_MAX {
            return Err(HostError::Length);
        }
        if text.contains(':') {
            let address: Ipv6Addr = text.parse().map_err(|_| HostError::Address)?;
            return if address.to_string() == text { Ok(Self(text.into())) } else { Err(HostError::Address) };
        }
        if !text.split('.').all(is_label) {
            return Err(HostError::Label);
        }
        // Whoever ends with a number is read as an address by some (WHATWG URL, "ends in a number"), in any base.
        let last = text.rsplit('.').next().unwrap_or_default();
        let is_number = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
        match text.parse::<Ipv4Addr>() {
            Ok(address) if address.to_string() == text => Ok(Self(text.into())),
            Err(_) if !is_number => Ok(Self(text.into())),
            _ => Err(HostError::Address),
        }
    }

    /// The address, if it is one and no name.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl HostPattern {
    pub fn new(text: &str) -> Result<Self, HostError> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        if name.contains('*') {
            return Err(HostError::Star);
        }
        let host = Host::new(name)?;
        if name.len() < text.len() && (host.address().is_some() || !name.contains('.')) {
            return Err(HostError::Star);
        }
        Ok(Self(text.into()))
    }

    pub fn matches(&self, host: &Host) -> bool {
        match self.0.strip_prefix("*.") {
            None => *self.0 == *host.0,
            Some(above) => host.0.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == above),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PathPattern {
    pub fn new(text: &str) -> Result<Self, PathError> {
        let segments = text.strip_prefix('/').ok_or(PathError)?;
        let count = segments.split('/').count();
        for (index, segment) in segments.split('/').enumerate() {
            let is_star = segment == "*" || (segment == "**" && index + 1 == count);
            if !is_star && (segment.contains('*') || !is_segment(segment)) {
                return Err(PathError);
            }
        }
        Ok(Self(text.into()))
    }

    /// Whether a path fits, in time linear in the length of both. One that has a segment with two readings (`..`, an
    /// escaped slash, an empty one before the last) fits nothing.
    pub fn matches(&self, path: &str) -> bool {
        let Some(found) = path.strip_prefix('/').filter(|_| is_path(path)) else { return false };
        let mut found = found.split('/');
        for wanted in self.0.split('/').skip(1) {
            match (wanted, found.next()) {
                ("**", found) => return found.is_some(),
                ("*", Some(segment)) if !segment.is_empty() => {}
                (_, Some(segment)) if segment == wanted => {}
                _ => return false,
            }
        }
        found.next().is_none()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Method {
    pub fn new(text: &str) -> Result<Self, MethodError> {
        let is_token = (1..=20).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        // One asks for a tunnel, the other for the request as it came, credentials and all (RFC 9110, section 9.3).
        if is_token && !matches!(text, "CONNECT" | "TRACE") { Ok(Self(text.into())) } else { Err(MethodError) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Reach {
    /// The first field that does not allow `to`, by its name in the manifest.
    pub fn refusal(&self, to: &Destination<'_>) -> Option<&'static str> {
        let allowed = [
            ("schemes", self.schemes.contains(&to.scheme)),
            ("hosts", self.hosts.iter().any(|pattern| pattern.matches(to.host))),
            ("ports", self.ports.contains(&to.port)),
            ("methods", self.methods.iter().any(|method| method.as_str() == to.method)),
            // Where every path is allowed nothing rests on how one is read, and its spelling is between guest and
            // upstream.
            ("paths", self.paths.iter().any(|pattern| &*pattern.0 == "/**" || pattern.matches(to.path))),
        ];
        allowed.into_iter().find_map(|(field, allows)| (!allows).then_some(field))
    }

    /// Whether each entry of `other` is one of these, or its paths are among all paths.
    pub fn covers(&self, other: &Self) -> bool {
        fn cover<T: PartialEq>(these: &[T], others: &[T]) -> bool {
            others.iter().all(|other| these.contains(other))
        }
        cover(&self.schemes, &other.schemes)
            && cover(&self.hosts, &other.hosts)
            && cover(&self.ports, &other.ports)
            && cover(&self.methods, &other.methods)
            && (self.paths.iter().any(|pattern| &*pattern.0 == "/**") || cover(&self.paths, &other.paths))
    }
}

/// A label of letters, digits and hyphens; underscores too, which names of services have.
fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Whether everybody reads this path in the same way: no empty segment but the last, no dots, no characters that have
/// to be escaped, and no escapes of those that stand for themselves or for a slash.
pub fn is_path(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|segments| is_simple(segments) || are_segments(segments))
}

fn are_segments(segments: &str) -> bool {
    let last = segments.split('/').count() - 1;
    segments
        .split('/')
        .enumerate()
        .all(|(index, segment)| (!segment.is_empty() || index == last) && is_segment(segment))
}

/// Whether there is nothing to think about, as in most paths: letters, digits and hyphens, and no empty segment before the
/// last.
fn is_simple(segments: &str) -> bool {
    let mut before = b'/';
    segments.bytes().all(|byte| {
        let is_empty = byte == b'/' && before == b'/';
        before = byte;
        !is_empty && (byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/'))
    })
}

/// RFC 3986, section 3.3, with one spelling of each character. Some servers decode twice, and some leave out what stands
/// behind a `;`: what would be another path to them is none, either.
fn is_segment(segment: &str) -> bool {
    let before_parameters = segment.split(';').next().and_then(|name| name.split("%3B").next()).unwrap_or_default();
    let is_hidden = before_parameters.is_empty() && !segment.is_empty();
    if is_hidden || matches!(before_parameters, "." | "..") || is_coded_twice(segment) {
        return false;
    }
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
        if is_plain {
            continue;
        }
        let (b'%', Some(high), Some(low)) = (byte, bytes.next(), bytes.next()) else { return false };
        let digits = [high, low];
        let Some(value) = str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
            return false;
        };
        let has_two_spellings = value.is_ascii_alphanumeric() || b"-._~".contains(&value);
        if has_two_spellings || matches!(value, b'/' | b'\\' | 0) || digits.iter().any(u8::is_ascii_lowercase) {
            return false;
        }
    }
    true
}

/// Whether a second decoding would make of it what has a meaning in a path.
fn is_coded_twice(segment: &str) -> bool {
    segment.split("%25").skip(1).any(|rest| {
        let value = rest.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        value.is_some_and(|value| b"./\\%;\0".contains(&value))
    })
}

shown_as_text!(Host, HostPattern, PathPattern, Method);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_spelling() {
        for good in [
            "example.com",
            "localhost",
            "a-b.c1",
            "_dns.example",
            "xn--bcher-kva.example",
            "127.0.0.1",
            "::1",
            "2001:db8::1",
            "1.example",
        ] {
            assert_eq!(Host::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "Example.com",
            "example.com.",
            "a..b",
            ".a",
            "-a.b",
            "a-.b",
            "bücher.example",
            "user@evil",
            "a b",
            "a/b",
            "a\\b",
            "a#b",
            "a%2e",
            "127.1",
            "0127.0.0.1",
            "0x7f.0.0.1",
            "2130706433",
            "1.2.3.4.5",
            "evil.0x1",
            "[::1]",
            "::01",
            "::FFFF:1",
            "::ffff:1.2.3.4%1",
        ] {
            assert!(Host::new(bad).is_err(), "{bad}");
        }
        assert!(Host::new(&"a.".repeat(127)).is_err());
        assert!(Host::new(&format!("{}.com", "a".repeat(64))).is_err());
    }

    #[test]
    fn a_star_is_one_label() {
        let host = |text| Host::new(text).unwrap();
        let pattern = HostPattern::new("*.stripe.com").unwrap();
        assert!(pattern.matches(&host("api.stripe.com")));
        for other in ["stripe.com", "a.b.stripe.com", "evilstripe.com", "api.stripe.com.evil", "api.stripe.co"] {
            assert!(!pattern.matches(&host(other)), "{other}");
        }
        assert!(HostPattern::new("stripe.com").unwrap().matches(&host("stripe.com")));
        for bad in ["*", "*.com", "a.*.com", "*a.com", "**.a.com", "*.*.com", "*.127.0.0.1", "*.", "*.Stripe.com"] {
            assert!(HostPattern::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_simple_path_is_a_path() {
        let bytes = b"aZ0-_/.%;\\ ";
        let mut simple = 0;
        for number in 0..bytes.len().pow(5) {
            let places = std::iter::successors(Some(number), |rest| Some(rest / bytes.len()).filter(|rest| *rest > 0));
            let text: String = places.map(|place| char::from(bytes[place % bytes.len()])).collect();
            simple += usize::from(is_simple(&text));
            assert!(!is_simple(&text) || are_segments(&text), "{text:?}");
        }
        assert!(simple > 1000, "{simple}");
        assert!(is_simple("") && is_simple("repos/a-b/c_d/issues/1/") && !is_simple("/") && !is_simple("a//b"));
    }

    #[test]
    fn a_path_has_one_reading() {
        let fits = |pattern: &str, path: &str| PathPattern::new(pattern).unwrap().matches(path);
        assert!(fits("/", "/"));
        assert!(fits("/repos/*/*/issues", "/repos/a/b/issues"));
        assert!(fits("/v1/**", "/v1/") && fits("/v1/**", "/v1/a/b/") && fits("/**", "/") && fits("/**", "/a%20b"));
        assert!(fits("/v1/*", "/v1/a;b=c") && fits("/v1/*", "/v1/100%25") && fits("/v1/*", "/v1/100%25ab"));
        for (pattern, path) in [
            ("/v1/**", "/v1"),
            ("/v1/**", "/v1/../admin"),
            ("/v1/**", "/v1/%2e%2e/admin"),
            ("/v1/**", "/v1/a%2Fb"),
            ("/v1/**", "/v1//a"),
            ("/v1/**", "/v1/a\\b"),
            ("/v1/**", "//v1/a"),
            ("/v1/**", "v1/a"),
            ("/v1/*", "/v1/"),
            ("/v1/*", "/v1/a/b"),
            ("/v1", "/v1/"),
            ("/v1", "/V1"),
            ("/**", "/a b"),
            ("/**", "/ü"),
            ("/**", "/a?b"),
            ("/**", "/%41"),
            ("/**", "/%0"),
            ("/**", "/%c3%bc"),
            // Another path to servers that decode twice, or that leave parameters out.
            ("/v1/**", "/v1/%252E%252E/admin"),
            ("/v1/**", "/v1/%252e%252e/admin"),
            ("/v1/**", "/v1/a%252Fb"),
            ("/v1/**", "/v1/%25252E"),
            ("/v1/**", "/v1/..;/admin"),
            ("/v1/**", "/v1/..;a=b/admin"),
            ("/v1/**", "/v1/.%3B/admin"),
            ("/v1/**", "/v1/;/admin"),
        ] {
            assert!(!fits(pattern, path), "{pattern} {path}");
        }
        for bad in ["", "a", "/a*", "/**/a", "/../a", "/a?b", "/%41", "/***"] {
            assert!(PathPattern::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_first_field_that_refuses_is_named() {
        let reach = Reach {
            schemes: vec![Scheme::Https],
            hosts: vec![HostPattern::new("api.example.com").unwrap()],
            ports: vec![443],
            methods: vec![Method::new("GET").unwrap()],
            paths: vec![PathPattern::new("/v1/**").unwrap()],
        };
        let (ours, other) = (Host::new("api.example.com").unwrap(), Host::new("example.com").unwrap());
        let to = Destination { scheme: Scheme::Https, host: &ours, port: 443, method: "GET", path: "/v1/a" };
        assert_eq!(reach.refusal(&to), None);
        assert_eq!(reach.refusal(&Destination { scheme: Scheme::Http, ..to }), Some("schemes"));
        assert_eq!(reach.refusal(&Destination { host: &other, ..to }), Some("hosts"));
        assert_eq!(reach.refusal(&Destination { port: 444, ..to }), Some("ports"));
        assert_eq!(reach.refusal(&Destination { method: "get", ..to }), Some("methods"));
        assert_eq!(reach.refusal(&Destination { path: "/v2", ..to }), Some("paths"));
        assert_eq!(Reach::default().refusal(&to), Some("schemes"));
        assert!(["CONNECT", "TRACE", "get", "", "A B", "-A"].iter().all(|bad| Method::new(bad).is_err()));
    }
}
