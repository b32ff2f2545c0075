//! Responses. Here, and nowhere else, what happened becomes an HTTP status.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use certosa_mcp::{Answer, Code, Exchange, Kind, Message, SESSION_HEADER, rpc_error};
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, Response, StatusCode};
use http_body::Frame;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::request::Front;

/// Why a request did not reach a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
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

/// A response's body: all at once, or as it comes up.
pub(crate) enum Body {
    Whole(Option<Bytes>),
    Stream(Stream),
}

/// Server-sent events (WHATWG HTML, "Server-sent events") from a task that works on an exchange.
pub(crate) struct Stream {
    frames: mpsc::Receiver<Bytes>,
    /// Ends the task when the client is gone.
    task: Option<JoinHandle<()>>,
}

const FRAMES_MAX: usize = 512;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
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

/// Works on an exchange: plain JSON if the answer is all there is to say, a stream if something comes first.
pub(crate) async fn exchange(front: &Front, mut exchange: Exchange) -> Response<Body> {
    if exchange.outlives_client {
        return detached(exchange, Arc::clone(&front.working)).await;
    }
    match step(&mut exchange).await {
        (early, Some(answer)) if early.is_empty() => reply(answer),
        first => {
            let (sender, frames) = mpsc::channel(FRAMES_MAX);
            let task = tokio::spawn(drive(exchange, first, sender));
            streaming(Stream { frames, task: Some(task) })
        }
    }
}

/// The same for an exchange that goes on when its client is gone: all of it runs in a task of its own.
async fn detached(mut exchange: Exchange, working: Arc<()>) -> Response<Body> {
    let (plain, is_plain) = oneshot::channel();
    let (sender, frames) = mpsc::channel(FRAMES_MAX);
    tokio::spawn(async move {
        match step(&mut exchange).await {
            (early, Some(answer)) if early.is_empty() => drop(plain.send(answer)),
            first => {
                drop(plain);
                drive(exchange, first, sender).await;
            }
        }
        drop(working);
    });
    match is_plain.await {
        Ok(answer) => reply(answer),
        Err(_streams) => streaming(Stream { frames, task: None }),
    }
}

/// What an exchange brought up, and its answer if that was the end.
type Step = (VecDeque<Bytes>, Option<Answer>);

/// Works on an exchange until there is something to pass on.
async fn step(exchange: &mut Exchange) -> Step {
    std::future::poll_fn(|context| {
        let polled = Pin::new(&mut *exchange).poll(context);
        let news = exchange.take_notifications();
        match polled {
            Poll::Ready(answer) => Poll::Ready((news, Some(answer))),
            Poll::Pending if news.is_empty() => Poll::Pending,
            Poll::Pending => Poll::Ready((news, None)),
        }
    })
    .await
}

/// Works on an exchange to its end, from its first step on. What a slow client leaves no room for is dropped,
/// but for the answer.
async fn drive(mut exchange: Exchange, first: Step, sender: mpsc::Sender<Bytes>) {
    let mut beat = tokio::time::interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    let mut next = first;
    loop {
        let (news, answer) = next;
        for text in news {
            let _full_or_gone = sender.try_send(event(&text));
        }
        if let Some(answer) = answer {
            if let Answer::Reply { body, .. } = answer {
                let _gone = sender.send(event(&body)).await;
            }
            return;
        }
        next = tokio::select! {
            step = step(&mut exchange) => step,
            _ = beat.tick() => {
                let _full_or_gone = sender.try_send(Bytes::from_static(b": keep-alive\n\n"));
                Step::default()
            }
        };
    }
}

/// One event, on one line of data. A line break in JSON can only stand between tokens, where a space means
/// the same: what bundles wrote passes through as it is, and may have some.
fn event(text: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(text.len() + 32);
    frame.put_slice(b"event: message\ndata: ");
    frame.extend(text.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    frame.put_slice(b"\n\n");
    frame.freeze()
}

/// The stream that older clients open with GET. Nothing comes up in it yet but signs of life. It ends with
/// its session, and with the house.
pub(crate) fn stream(front: &Arc<Front>, message: Message) -> Response<Body> {
    if let Err(refusal) = front.face.may_stream(&message) {
        return reply_to_bodiless(refusal);
    }
    let (sender, frames) = mpsc::channel(1);
    let front = Arc::clone(front);
    let task = tokio::spawn(async move {
        let mut closing = front.closing.subscribe();
        while front.face.may_stream(&message).is_ok()
            && !*closing.borrow_and_update()
            && sender.send(Bytes::from_static(b": keep-alive\n\n")).await.is_ok()
        {
            tokio::select! {
                _ = closing.changed() => {}
                () = tokio::time::sleep(KEEP_ALIVE) => {}
            }
        }
    });
    streaming(Stream { frames, task: Some(task) })
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

fn reply(answer: Answer) -> Response<Body> {
    match answer {
        Answer::Accepted => empty(StatusCode::ACCEPTED),
        Answer::Cancelled => empty(StatusCode::NO_CONTENT),
        Answer::Reply { kind, body, session } => {
            let mut response = whole(status(kind), body);
            if let Some(id) = session.and_then(|id| HeaderValue::from_str(&id).ok()) {
                response.headers_mut().insert(HeaderName::from_static(SESSION_HEADER), id);
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
    if *front.closing.borrow() {
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

fn only_get(method: &Method) -> Result<(), Refusal> {
    if matches!(*method, Method::GET | Method::HEAD) { Ok(()) } else { Err(Refusal::Method("GET, HEAD")) }
}

fn whole(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::Whole(Some(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Whole(None));
    *response.status_mut() = status;
    response
}

fn streaming(stream: Stream) -> Response<Body> {
    let mut response = Response::new(Body::Stream(stream));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // Some proxies hold a stream back without this.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) => {
                stream.frames.poll_recv(context).map(|frame| frame.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Whole(bytes) => http_body::SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(_) => http_body::SizeHint::default(),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
