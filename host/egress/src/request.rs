//! A request as a guest made it, read once: what is judged, connected to and sent are these values.

use bytes::Bytes;
use certosa_model::{Destination, Host, Method, Scheme, is_hop_by_hop, is_hosts};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http_body::Body as _;
use http_body_util::combinators::UnsyncBoxBody;

use crate::error::{EgressError, Malformed, RequestBodyError};

/// The body of a request, as it comes from the guest.
pub type GuestBody = UnsyncBoxBody<Bytes, BodyError>;
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// What `wasi:http` hands over, as text.
pub struct Head<'a> {
    pub method: &'a str,
    /// `None` is `https`, as `wasi:http` has it.
    pub scheme: Option<&'a str>,
    pub authority: &'a str,
    pub path_and_query: &'a str,
    pub headers: HeaderMap,
}

/// A request that can mean only one thing.
pub struct Request {
    pub(crate) method: Method,
    pub(crate) origin: Origin,
    /// With the query; of visible ASCII.
    pub(crate) target: String,
    /// Without those that are the host's to set.
    pub(crate) headers: HeaderMap,
    pub(crate) body: GuestBody,
    /// What the guest says that the body has.
    pub(crate) length: Option<u64>,
}

/// Where a request goes; two requests may share a connection only if these are equal.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub scheme: Scheme,
    pub host: Host,
    pub port: u16,
}

pub(crate) const TARGET_BYTES_MAX: usize = 8 << 10;
const HEADERS_MAX: usize = 100;
const HEADER_BYTES_MAX: usize = 32 << 10;

impl Request {
    pub fn parse(head: Head<'_>, body: GuestBody) -> Result<Self, EgressError> {
        let method = Method::new(head.method).map_err(|_| Malformed::Method)?;
        let scheme = match head.scheme {
            None | Some("https") => Scheme::Https,
            Some("http") => Scheme::Http,
            Some(_) => return Err(Malformed::Scheme.into()),
        };
        let origin = Origin::parse(scheme, head.authority)?;
        let target = target(head.path_and_query)?;
        let mut headers = head.headers;
        let length = length(&headers, &body)?;
        clean(&mut headers)?;
        Ok(Self { method, origin, target, headers, body, length })
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// Where it goes.
    pub fn destination(&self) -> Destination<'_> {
        let Origin { scheme, host, port } = &self.origin;
        Destination { scheme: *scheme, host, port: *port, method: self.method.as_str(), path: self.path() }
    }
}

impl Origin {
    /// Reads `host`, `host:port` or either with an IPv6 address in brackets (RFC 3986, section 3.2). Letters become
    /// lower-case: only those of ASCII are there, and case means nothing in a host (section 6.2.2.1).
    pub(crate) fn parse(scheme: Scheme, authority: &str) -> Result<Self, Malformed> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        if !authority.bytes().all(is_plain) {
            return Err(Malformed::Authority);
        }
        let (host, rest) = match authority.strip_prefix('[') {
            Some(inner) => inner.split_once(']').filter(|(host, _)| host.contains(':')).ok_or(Malformed::Authority)?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        if host.contains(['[', ']']) {
            return Err(Malformed::Authority);
        }
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => scheme.default_port(),
            None => return Err(Malformed::Authority),
            Some(digits) => port(digits)?,
        };
        let host = Host::new(&host.to_ascii_lowercase()).map_err(Malformed::Host)?;
        Ok(Self { scheme, host, port })
    }

    /// As it stands in `Host` and `:authority`: without a port that goes without saying.
    pub(crate) fn authority(&self) -> String {
        let Self { scheme, host, port } = self;
        let mut authority = String::with_capacity(host.as_str().len() + 8);
        let parts: [&str; 3] =
            if host.as_str().contains(':') { ["[", host.as_str(), "]"] } else { ["", host.as_str(), ""] };
        authority.extend(parts);
        if *port != scheme.default_port() {
            authority.push(':');
            authority.push_str(&port.to_string());
        }
        authority
    }
}

/// Names and values of headers, as they come over the boundary.
pub fn headers<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<HeaderMap, EgressError> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Malformed::Header)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| Malformed::Header)?;
        headers.try_append(name, value).map_err(|_| Malformed::HeaderCount)?;
    }
    Ok(headers)
}

fn port(digits: &str) -> Result<u16, Malformed> {
    let is_plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|_| is_plain).ok_or(Malformed::Port)
}

fn target(text: &str) -> Result<String, Malformed> {
    if text.len() > TARGET_BYTES_MAX {
        return Err(Malformed::PathLength);
    }
    let is_visible = |b: u8| b.is_ascii_graphic() && b != b'\\' && b != b'#';
    if !text.bytes().all(is_visible) {
        return Err(Malformed::Path);
    }
    let target = match text.chars().next() {
        None => "/".to_owned(),
        Some('/') => text.to_owned(),
        Some('?') => format!("/{text}"),
        // An absolute URL would be read as one by whoever gets it, `Host` or not (RFC 9112, section 3.2.2).
        Some(_) => return Err(Malformed::Path),
    };
    PathAndQuery::try_from(target.as_str()).map(|_| target).map_err(|_| Malformed::Path)
}

/// What the guest says about the length of the body, if it says so and does not contradict itself.
fn length(headers: &HeaderMap, body: &GuestBody) -> Result<Option<u64>, EgressError> {
    let known = body.size_hint().exact();
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let said = match (values.next(), values.next()) {
        (None, _) => return Ok(known),
        (Some(value), None) => value.to_str().ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit())),
        (Some(_), Some(_)) => None,
    };
    let said: u64 = said.and_then(|digits| digits.parse().ok()).ok_or(Malformed::ContentLength)?;
    match known {
        Some(known) if known != said => Err(EgressError::RequestBody(RequestBodyError::Length)),
        _ => Ok(Some(said)),
    }
}

/// Takes out what is not the guest's to say.
fn clean(headers: &mut HeaderMap) -> Result<(), Malformed> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(Malformed::HeaderCount);
    }
    if headers.contains_key(header::UPGRADE) {
        return Err(Malformed::Upgrade);
    }
    remove_hop_by_hop(headers);
    remove(headers, is_hosts);
    Ok(())
}

/// Takes out those of one connection, and those that `connection` says are.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    remove(headers, is_hop_by_hop);
}

/// Takes out those with such a name.
pub(crate) fn remove(headers: &mut HeaderMap, is_out: impl Fn(&str) -> bool) {
    let out: Vec<HeaderName> = headers.keys().filter(|name| is_out(name.as_str())).cloned().collect();
    for name in out {
        headers.remove(name);
    }
}
