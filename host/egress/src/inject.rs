//! The last step before sending: the credential goes in. What is made here with a secret is overwritten when it is
//! dropped; what hyper and TLS make of it in their buffers is theirs.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use certosa_model::{EgressLimits, Injection, is_hosts, is_same_header};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use zeroize::Zeroizing;

use crate::connect::{Connected, Link};
use crate::credential::{Credential, SecretUnavailable};
use crate::error::{EgressError, InjectError, Malformed, SECRET_BYTES_MAX};
use crate::fields;
use crate::forms::{CODED_BYTES_MIN, percent_encoded};
use crate::outgoing::{self, Outgoing, Progress};
use crate::policy::Target;
use crate::request::{Request, TARGET_BYTES_MAX, remove};
use crate::scrub::Scrubber;

/// A connection, and the request as it goes out on it, with its credential. Nothing shows what is in it.
pub struct Injected {
    pub(crate) request: http::Request<Outgoing>,
    pub(crate) sending: Sending,
}

/// What stays of an exchange when its request is handed over.
pub(crate) struct Sending {
    pub target: Target,
    pub link: Box<Link>,
    pub progress: Arc<Progress>,
    /// `None` without a credential, and for one of which there is nothing to look for.
    pub scrubber: Option<Box<Scrubber>>,
}

/// Where the secret is now.
enum Placed {
    Header(HeaderName, HeaderValue),
    Path(PathAndQuery),
    Body(Bytes),
}

/// A secret in its place, and what finds it in the answer.
type Made = (Placed, Option<Box<Scrubber>>);

/// Bytes that hold a secret.
type Sealed = Zeroizing<Vec<u8>>;

impl Connected {
    /// The one way to an [`Injected`].
    pub async fn inject(self) -> Result<Injected, EgressError> {
        let Self { target, mut request, link } = self;
        let progress = Progress::new();
        let limits = target.policy.limits;
        let mut path = PathAndQuery::try_from(request.target.as_str()).map_err(|_| Malformed::Path)?;
        let (mut whole, mut scrubber) = (None, None);
        if let Some(credential) = &target.credential {
            hush(&mut request.headers);
            let body = body(&credential.injection, &mut request, &limits).await?;
            let (placed, found_by) = loop {
                match place(credential, &request, body.as_deref())? {
                    Some(placed) => break placed,
                    None => credential.secret.settle().await.map_err(|_| InjectError::Unavailable)?,
                }
            };
            match placed {
                Placed::Header(name, value) => {
                    remove(&mut request.headers, |other| is_same_header(other, name.as_str()));
                    request.headers.insert(name, value);
                }
                Placed::Path(with_secret) => path = with_secret,
                Placed::Body(with_secret) => whole = Some(with_secret),
            }
            scrubber = found_by;
        }
        let body = match whole {
            Some(whole) => Outgoing::whole(whole, &progress),
            None => Outgoing::stream(request.body, request.length, limits.request_bytes_max, &progress),
        };
        let mut outgoing = http::Request::new(body);
        let method = request.method.as_str().as_bytes();
        *outgoing.method_mut() = http::Method::from_bytes(method).map_err(|_| Malformed::Method)?;
        *outgoing.headers_mut() = request.headers;
        *outgoing.uri_mut() = Uri::from(path);
        Ok(Injected { request: outgoing, sending: Sending { target, link, progress, scrubber } })
    }
}

/// Takes out what a guest may not say where a credential speaks for it, and what would hide the credential in the
/// answer: codings, and ranges, which cut it in pieces.
fn hush(headers: &mut HeaderMap) {
    for name in [header::AUTHORIZATION, header::COOKIE, header::RANGE, header::IF_RANGE] {
        headers.remove(name);
    }
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// All of the body, if the credential goes into it.
async fn body(
    injection: &Injection,
    request: &mut Request,
    limits: &EgressLimits,
) -> Result<Option<Vec<u8>>, EgressError> {
    let wanted = match injection {
        Injection::JsonField { .. } => "application/json",
        Injection::FormField { .. } => "application/x-www-form-urlencoded",
        _ => return Ok(None),
    };
    let said = request.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let said = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = wanted == "application/json" && said.starts_with("application/") && said.ends_with("+json");
    if said != wanted && !is_json {
        return Err(InjectError::ContentType(wanted).into());
    }
    if request.headers.contains_key(header::CONTENT_ENCODING) {
        return Err(InjectError::Body("as it is, but coded").into());
    }
    outgoing::collect(request, limits).await.map(Some)
}

/// Has the secret lent, puts it in its place, and remembers what it looks like. `None`: nobody knows yet whether there
/// still is one.
fn place(credential: &Credential, request: &Request, body: Option<&[u8]>) -> Result<Option<Made>, InjectError> {
    let mut made = Err(InjectError::Unavailable);
    let lent = credential.secret.expose(&mut |secret| {
        made = if (1..=SECRET_BYTES_MAX).contains(&secret.len()) {
            write(&credential.injection, request, body, secret)
        } else {
            Err(InjectError::Length)
        };
    });
    match lent {
        Ok(()) => made.map(Some),
        Err(SecretUnavailable::Unsettled) => Ok(None),
        Err(SecretUnavailable::Absent) => Err(InjectError::Unavailable),
        Err(SecretUnavailable::TooOften) => Err(InjectError::TooOften),
    }
}

fn write(injection: &Injection, request: &Request, body: Option<&[u8]>, secret: &[u8]) -> Result<Made, InjectError> {
    match injection {
        Injection::Bearer => in_header(header::AUTHORIZATION, joined(&[b"Bearer ", visible(secret)?]), secret),
        Injection::Basic { user } => {
            let token = basic(user, secret)?;
            let value = sensitive(joined(&[b"Basic ", &token]))?;
            // What comes before a password in its base64 changes the password's own characters at the border.
            let bare = token.trim_ascii_end().strip_suffix(b"==").or(token.strip_suffix(b"=")).unwrap_or(&token);
            Ok((Placed::Header(header::AUTHORIZATION, value), Scrubber::new(&[secret, bare])))
        }
        Injection::Header { name, prefix } => {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| InjectError::HeaderName)?;
            if is_hosts(name.as_str()) || name == header::ACCEPT_ENCODING {
                return Err(InjectError::HeaderName);
            }
            in_header(name, joined(&[prefix.as_bytes(), visible(secret)?]), secret)
        }
        Injection::Query { name } => {
            let coded = percent_encoded(secret);
            let path = fields::replace_query(&request.target, name, &coded);
            if path.len() > TARGET_BYTES_MAX {
                return Err(InjectError::PathLength);
            }
            let path = PathAndQuery::from_maybe_shared(Bytes::from_owner(path)).map_err(|_| InjectError::PathLength)?;
            Ok((Placed::Path(path), sought(secret, joined(&[name.as_bytes(), b"=", &coded]))))
        }
        Injection::JsonField { name } => {
            let member = fields::json_member(name, secret)?;
            let body = fields::add_member(body.unwrap_or_default(), name, &member)?;
            Ok((Placed::Body(Bytes::from_owner(body)), sought(secret, member)))
        }
        Injection::FormField { name } => {
            let field = joined(&[&percent_encoded(name.as_bytes()), b"=", &percent_encoded(secret)]);
            let body = fields::add_field(body.unwrap_or_default(), name, &field)?;
            Ok((Placed::Body(Bytes::from_owner(body)), sought(secret, field)))
        }
    }
}

fn in_header(name: HeaderName, value: Sealed, secret: &[u8]) -> Result<Made, InjectError> {
    let scrubber = sought(secret, value.clone());
    Ok((Placed::Header(name, sensitive(value)?), scrubber))
}

/// A short secret is looked for as it was sent, too: with what stood in front of it, it is long enough not to be in
/// other texts by chance.
fn sought(secret: &[u8], sent: Sealed) -> Option<Box<Scrubber>> {
    if secret.len() < CODED_BYTES_MIN { Scrubber::new(&[secret, &sent]) } else { Scrubber::new(&[secret]) }
}

/// Marked, so that it is not shown, and not put into the tables of HTTP/2 (RFC 7541, section 7.1.3).
fn sensitive(value: Sealed) -> Result<HeaderValue, InjectError> {
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(value)).map_err(|_| InjectError::Value)?;
    value.set_sensitive(true);
    Ok(value)
}

/// RFC 7617, section 2: neither may have control characters, and the user no colon.
fn basic(user: &str, password: &[u8]) -> Result<Sealed, InjectError> {
    if user.contains(|c: char| c == ':' || c.is_control()) {
        return Err(InjectError::User);
    }
    if password.iter().any(u8::is_ascii_control) {
        return Err(InjectError::Value);
    }
    let pair = joined(&[user.as_bytes(), b":", password]);
    let mut token = Zeroizing::new(vec![0; pair.len().div_ceil(3) * 4]);
    STANDARD.encode_slice(&*pair, &mut token).map_err(|_| InjectError::Value)?;
    Ok(token)
}

/// A line break in a header would be another header; a space at an end would be lost on the way.
fn visible(secret: &[u8]) -> Result<&[u8], InjectError> {
    let is_visible = secret.iter().all(|b| b.is_ascii_graphic() || *b == b' ') && secret.trim_ascii() == secret;
    if is_visible { Ok(secret) } else { Err(InjectError::Value) }
}

/// In room that is enough: a vector that grows would leave copies behind.
fn joined(parts: &[&[u8]]) -> Sealed {
    let mut all = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| all.extend_from_slice(part));
    all
}
