//! Redirects that the host follows by itself (RFC 9110, section 15.4): only where the policy allows, and only where
//! following needs no second copy of a body.

use std::sync::Arc;

use bytes::Bytes;
use certosa_model::Method;
use http::header::{self, HeaderMap};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Empty};

use crate::credential::Credential;
use crate::policy::Policy;
use crate::request::{GuestBody, Head, Origin, Request};
use crate::response::ResponseBody;

/// What is known of the request before it is gone.
pub(crate) struct Redirects {
    left: u8,
    method: Method,
    headers: HeaderMap,
    has_body: bool,
    origin: Origin,
    credential: Option<Arc<Credential>>,
}

impl Redirects {
    pub(crate) fn of(request: &Request, most: u8, credential: Option<Arc<Credential>>) -> Self {
        Self {
            left: most,
            method: request.method.clone(),
            headers: if most == 0 { HeaderMap::new() } else { request.headers.clone() },
            has_body: !request.body.is_end_stream(),
            origin: request.origin.clone(),
            credential,
        }
    }

    pub(crate) fn credential(&self) -> Option<Arc<Credential>> {
        self.credential.clone()
    }

    /// The request to the place that a response names, if it is one to follow. All others are for the guest to see.
    pub(crate) fn next(&mut self, response: &http::Response<ResponseBody>, policy: &Arc<Policy>) -> Option<Request> {
        self.left = self.left.checked_sub(1)?;
        let is_plain = matches!(self.method.as_str(), "GET" | "HEAD") && !self.has_body;
        match response.status().as_u16() {
            301 | 302 | 307 | 308 if is_plain => {}
            303 if is_plain => {}
            303 => {
                self.method = Method::new("GET").ok()?;
                self.has_body = false;
                [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE].iter().for_each(|name| {
                    self.headers.remove(name);
                });
            }
            _ => return None,
        }
        let mut locations = response.headers().get_all(header::LOCATION).iter();
        let (Some(location), None) = (locations.next(), locations.next()) else { return None };
        let (origin, target) = self.place(location.to_str().ok()?)?;
        if origin != self.origin {
            // What was meant for one origin is not for another one.
            self.credential = None;
            self.headers.remove(header::AUTHORIZATION);
            self.headers.remove(header::COOKIE);
        }
        // There is none to put it into, and a refusal would hide that the request had its effect.
        let in_body = |credential: &Arc<Credential>| credential.injection.is_in_body();
        if self.credential.as_ref().is_some_and(in_body) {
            return None;
        }
        let authority = origin.authority();
        let head = Head {
            method: self.method.as_str(),
            scheme: Some(origin.scheme.as_str()),
            authority: &authority,
            path_and_query: &target,
            headers: self.headers.clone(),
        };
        let next = Request::parse(head, no_body()).ok()?;
        // The next round asks again; this one is to leave what is not allowed to the guest.
        policy.check(&next, self.credential.as_deref()).ok()?;
        self.origin = origin;
        Some(next)
    }

    /// Absolute URLs, `//authority/path` and `/path`. Paths relative to a path are for the guest to work out.
    fn place(&self, location: &str) -> Option<(Origin, String)> {
        let location = location.split('#').next()?;
        let absolute = match location.split_once("://") {
            Some(("https", rest)) => Some((certosa_model::Scheme::Https, rest)),
            Some(("http", rest)) => Some((certosa_model::Scheme::Http, rest)),
            _ => location.strip_prefix("//").map(|rest| (self.origin.scheme, rest)),
        };
        match absolute {
            Some((scheme, rest)) => {
                let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                Some((Origin::parse(scheme, authority).ok()?, target.to_owned()))
            }
            None if location.starts_with('/') => Some((self.origin.clone(), location.to_owned())),
            None => None,
        }
    }
}

fn no_body() -> GuestBody {
    Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync()
}
