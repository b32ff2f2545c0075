//! Responses. Here, and nowhere else, what happened becomes an HTTP status.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use certosa_mcp::{Answer, Code, Exchange, Kind, SESSION_HEADER, rpc_error};
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, Response, StatusCode};
use http_body::Frame;

use crate::metrics;
use crate::request::Front;
use crate::server::Active;
use crate::stream::{self, Stream};

/// Why a request did not reach a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoHost,
    Host,
    Origin,
    AbsoluteTarget,
    NoRoute,
    Method(&'static str),
    MediaType,
    NotAcceptable,
    BodyTooLarge(usize),
    BodyTooSlow(u32),
    BodyBroken,
}

/// A response's body.
pub(crate) struct Body {
    content: Content,
    /// Says that the response is not through yet, on connections where that is counted.
    active: Option<Active>,
}

/// All at once, or as it comes up.
enum Content {
    Whole(Option<Bytes>),
    Stream(Stream),
}

/// How much of an answer is handed over at once where it is looked at whether the client takes it. What was handed
/// over cannot be told from what was read.
const PIECE_BYTES_MAX: usize = 64 << 10;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The table of MCP answers.
fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Result => StatusCode::OK,
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::UnknownMethod | Kind::UnknownSession => StatusCode::NOT_FOUND,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The table of refusals: status, and what was found and would be right.
pub(crate) fn refuse(refusal: &Refusal) -> Response<Body> {
    let (status, why) = match refusal {
        Refusal::NoHost => (StatusCode::BAD_REQUEST, "there is no Host header, or more than one".to_owned()),
        Refusal::Host => (
            StatusCode::FORBIDDEN,
            "the Host header does not name this server; use localhost or a loopback address with the right port"
                .to_owned(),
        ),
        Refusal::Origin => {
            (StatusCode::FORBIDDEN, "this Origin may not use this server; only pages of this machine may".to_owned())
        }
        Refusal::AbsoluteTarget => {
            (StatusCode::BAD_REQUEST, "the request target is a whole URL; this server is no proxy".to_owned())
        }
        Refusal::NoRoute => (StatusCode::NOT_FOUND, "there is no such route; the manifest declares them".to_owned()),
        Refusal::Method(allowed) => (StatusCode::METHOD_NOT_ALLOWED, format!("allowed here: {allowed}")),
        Refusal::MediaType => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json without a Content-Encoding".to_owned())
        }
        Refusal::NotAcceptable => {
            (StatusCode::NOT_ACCEPTABLE, "accept application/json and text/event-stream".to_owned())
        }
        Refusal::BodyTooLarge(bytes_max) => {
            (StatusCode::PAYLOAD_TOO_LARGE, format!("a request has at most {} KiB (requestKibMax)", bytes_max >> 10))
        }
        Refusal::BodyTooSlow(ms_max) => {
            (StatusCode::REQUEST_TIMEOUT, format!("a request's body comes within {ms_max} ms (bodyMsMax)"))
        }
        Refusal::BodyBroken => (StatusCode::BAD_REQUEST, "the body broke off".to_owned()),
    };
    let mut response = whole(status, rpc_error(None, Code::InvalidRequest, &why, None));
    if let Refusal::Method(allowed) = refusal {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    }
    // What is left of such a request on the connection is not worth reading.
    if !matches!(refusal, Refusal::NoRoute | Refusal::Method(_)) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The stream that older clients open with GET.
pub(crate) fn opened(opened: Result<Exchange, Answer>) -> Response<Body> {
    opened.map_or_else(reply_to_bodiless, stream::quiet)
}

pub(crate) fn ended(ended: Result<(), Answer>) -> Response<Body> {
    match ended {
        Ok(()) => empty(StatusCode::NO_CONTENT),
        Err(refusal) => reply_to_bodiless(refusal),
    }
}

/// GET and DELETE without a session belong to no era that we serve.
fn reply_to_bodiless(refusal: Answer) -> Response<Body> {
    match refusal {
        Answer::Reply { kind: Kind::UnknownSession, .. } => reply(refusal),
        _ => refuse(&Refusal::Method("POST")),
    }
}

pub(crate) fn reply(answer: Answer) -> Response<Body> {
    match answer {
        Answer::Accepted => empty(StatusCode::ACCEPTED),
        Answer::Silence => empty(StatusCode::NO_CONTENT),
        Answer::Reply { kind, body, session } => {
            let mut response = whole(status(kind), body);
            if let Some(id) = session.and_then(|id| HeaderValue::from_str(&id).ok()) {
                response.headers_mut().insert(SESSION_HEADER.clone(), id);
            }
            if kind == Kind::Unavailable {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            response
        }
    }
}

/// The process is there and answers.
pub(crate) fn health(method: &Method) -> Result<Response<Body>, Refusal> {
    only_get(method)?;
    Ok(whole(StatusCode::OK, Bytes::from_static(br#"{"status":"ok"}"#)))
}

/// Calls are answered, or why not.
pub(crate) fn ready(method: &Method, front: &Front) -> Result<Response<Body>, Refusal> {
    only_get(method)?;
    let mut reasons = Vec::new();
    if front.face.is_closing() {
        reasons.push("the house is closing".to_owned());
    }
    reasons.extend(front.house.ready().err().map(|error| error.to_string()));
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let facts = serde_json::json!({
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "house": front.house.facts(),
    });
    Ok(whole(status, facts.to_string().into()))
}

/// What Prometheus reads (OpenMetrics 1.0).
pub(crate) fn metrics(method: &Method, front: &Front) -> Result<Response<Body>, Refusal> {
    only_get(method)?;
    let mut response = whole(StatusCode::OK, front.metrics.written().into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
    Ok(response)
}

fn only_get(method: &Method) -> Result<(), Refusal> {
    if matches!(*method, Method::GET | Method::HEAD) { Ok(()) } else { Err(Refusal::Method("GET, HEAD")) }
}

fn whole(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::of(Content::Whole(Some(body))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::of(Content::Whole(None)));
    *response.status_mut() = status;
    response
}

pub(crate) fn streaming(stream: Stream) -> Response<Body> {
    let mut response = Response::new(Body::of(Content::Stream(stream)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // Some proxies hold a stream back without this.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

impl Body {
    fn of(content: Content) -> Self {
        Self { content, active: None }
    }

    /// Keeps `active` until the body is through or dropped.
    pub(crate) fn holding(self, active: Active) -> Self {
        Self { active: Some(active.answered()), ..self }
    }
}

/// The next piece of what is left. Nothing is copied.
fn piece(rest: &mut Option<Bytes>, bytes_max: usize) -> Option<Bytes> {
    let whole = rest.as_mut()?;
    let piece = whole.split_to(whole.len().min(bytes_max));
    if whole.is_empty() {
        *rest = None;
    }
    Some(piece)
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let body = self.get_mut();
        body.active.iter().for_each(Active::taken);
        match &mut body.content {
            Content::Whole(rest) => {
                let bytes_max = if body.active.is_some() { PIECE_BYTES_MAX } else { usize::MAX };
                Poll::Ready(piece(rest, bytes_max).map(|bytes| Ok(Frame::data(bytes))))
            }
            Content::Stream(stream) => stream.poll(context).map(|frame| frame.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Whole(None))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match &self.content {
            Content::Whole(bytes) => {
                http_body::SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Stream(_) => http_body::SizeHint::default(),
        }
    }
}
