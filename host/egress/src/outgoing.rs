//! The body of a request on its way out: counted, and no longer than it may be.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use certosa_model::EgressLimits;
use futures_util::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

use crate::error::{EgressError, RequestBodyError, Stage};
use crate::request::{GuestBody, Request};

/// The body of a request. Trailers of guests are left out: they would be headers that nobody looked at.
pub(crate) struct Outgoing {
    source: Source,
    /// What `content-length` says, if anything does.
    length: Option<u64>,
    sent: u64,
    max: u64,
    progress: Arc<Progress>,
}

enum Source {
    Stream(GuestBody),
    /// All of it, with a secret inside.
    Whole(Bytes),
}

/// What the two halves of an exchange know of each other.
pub(crate) struct Progress {
    began: Instant,
    /// When something was last sent, in milliseconds since `began`.
    moved_ms: AtomicU64,
    is_over: AtomicBool,
    /// All of the body went out, or will not.
    is_sent: AtomicBool,
    /// Whoever waits for more of the body.
    sender: AtomicWaker,
    /// hyper passes on that there was an error, and loses which.
    fault: Mutex<Option<RequestBodyError>>,
}

impl Outgoing {
    pub(crate) fn stream(body: GuestBody, length: Option<u64>, max: u64, progress: &Arc<Progress>) -> Self {
        Self { source: Source::Stream(body), length, sent: 0, max, progress: Arc::clone(progress) }
    }

    pub(crate) fn whole(body: Bytes, progress: &Arc<Progress>) -> Self {
        let length = u64::try_from(body.len()).ok();
        Self { source: Source::Whole(body), length, sent: 0, max: u64::MAX, progress: Arc::clone(progress) }
    }

    fn fail(&self, fault: RequestBodyError) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        self.progress.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
        Poll::Ready(Some(Err(fault)))
    }
}

/// All of a body, of a guest that is not too slow.
pub(crate) async fn collect(request: &mut Request, limits: &EgressLimits) -> Result<Vec<u8>, EgressError> {
    let mut all = Vec::new();
    loop {
        let frame = tokio::time::timeout(limits.first_byte(), request.body.frame()).await;
        let frame = match frame.map_err(|_elapsed| EgressError::Time(Stage::FirstByte))? {
            None => break,
            Some(frame) => frame.map_err(|_| EgressError::RequestBody(RequestBodyError::Aborted))?,
        };
        if let Some(data) = frame.data_ref() {
            let is_too_large = (all.len() + data.len()) as u64 > limits.request_bytes_max;
            if is_too_large {
                return Err(EgressError::RequestBody(RequestBodyError::TooLarge));
            }
            all.extend_from_slice(data);
        }
    }
    match request.length {
        Some(length) if length != all.len() as u64 => Err(EgressError::RequestBody(RequestBodyError::Length)),
        _ => Ok(all),
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        self.progress.sender.register(context.waker());
        loop {
            if self.progress.is_over.load(Ordering::Acquire) {
                return self.fail(RequestBodyError::Aborted);
            }
            let data = match &mut self.source {
                Source::Whole(all) if all.is_empty() => return Poll::Ready(None),
                Source::Whole(all) => std::mem::take(all),
                Source::Stream(body) => match ready!(Pin::new(body).poll_frame(context)) {
                    None if self.length.is_some_and(|length| length != self.sent) => {
                        return self.fail(RequestBodyError::Length);
                    }
                    None => return Poll::Ready(None),
                    Some(Err(_)) => return self.fail(RequestBodyError::Aborted),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) if !data.is_empty() => data,
                        Ok(_) | Err(_) => continue,
                    },
                },
            };
            self.sent += data.len() as u64;
            if self.sent > self.max {
                return self.fail(RequestBodyError::TooLarge);
            }
            if self.length.is_some_and(|length| length < self.sent) {
                return self.fail(RequestBodyError::Length);
            }
            self.progress.moved();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(all) => all.is_empty(),
            Source::Stream(body) => body.is_end_stream() && self.length.is_none_or(|length| length == self.sent),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Some(length) => SizeHint::with_exact(length.saturating_sub(self.sent)),
            None => SizeHint::default(),
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.progress.is_sent.store(true, Ordering::Release);
    }
}

impl Progress {
    pub(crate) fn new() -> Arc<Self> {
        let moved_ms = AtomicU64::new(0);
        let [is_over, is_sent] = [const { AtomicBool::new(false) }; 2];
        let (sender, fault) = (AtomicWaker::new(), Mutex::default());
        Arc::new(Self { began: Instant::now(), moved_ms, is_over, is_sent, sender, fault })
    }

    /// The time since something was sent.
    pub(crate) fn still(&self) -> Duration {
        let moved = Duration::from_millis(self.moved_ms.load(Ordering::Acquire));
        self.began.elapsed().saturating_sub(moved)
    }

    /// Nobody waits for the exchange any more: what the guest still has to send goes nowhere.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.sender.wake();
    }

    pub(crate) fn is_sent(&self) -> bool {
        self.is_sent.load(Ordering::Acquire)
    }

    pub(crate) fn fault(&self) -> Option<RequestBodyError> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn moved(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(now, Ordering::Release);
    }
}
