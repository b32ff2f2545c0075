//! What comes back: bounded, unpacked, scrubbed.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::connect::Link;
use crate::decode::Decoder;
use crate::error::{EgressError, ResponseError, Stage};
use crate::inject::Sending;
use crate::outgoing::Progress;
use crate::request::remove_hop_by_hop;
use crate::revoked::Revoked;
use crate::scrub::Scrubber;

/// A response in which the credential is not to be found any more.
pub struct Scrubbed(pub(crate) http::Response<ResponseBody>);

/// The body of a response. It is read from the upstream when it is read here, and no faster.
pub struct ResponseBody {
    source: Source,
    /// Goes back to the others when the source is at its end; dropped before, it takes the connection along.
    link: Option<Box<Link>>,
    progress: Arc<Progress>,
    decoder: Option<Decoder>,
    scrubber: Option<Box<Scrubber>>,
    /// What can be taken.
    pieces: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    taken: u64,
    max: u64,
    wait: Wait,
    revoked: Revoked,
}

enum Source {
    Open(Incoming),
    /// All came, and the last of it was looked at.
    Ended,
    Failed,
}

/// How long the upstream may be silent.
struct Wait {
    time: Duration,
    /// Since when somebody waits.
    since: Option<Instant>,
    /// Rings at the earliest when the time is over; setting it anew for each chunk would cost more than the chunk.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Scrubbed {
    pub fn into_response(self) -> http::Response<ResponseBody> {
        self.0
    }
}

impl ResponseBody {
    pub(crate) fn new(sent: Sending, body: Incoming, decoder: Option<Decoder>) -> Result<Self, EgressError> {
        let limits = sent.target.policy.limits;
        if decoder.is_none() && body.size_hint().lower() > limits.response_bytes_max {
            return Err(EgressError::Response(ResponseError::TooLarge));
        }
        let mut made = Self {
            source: Source::Open(body),
            link: Some(sent.link),
            progress: sent.progress,
            decoder,
            scrubber: sent.scrubber,
            pieces: VecDeque::new(),
            trailers: None,
            taken: 0,
            max: limits.response_bytes_max,
            wait: Wait { time: limits.between_bytes(), since: None, sleep: None },
            revoked: Revoked::never(),
        };
        made.end_if_through()?;
        Ok(made)
    }

    pub(crate) fn end_when(&mut self, revoked: Revoked) {
        self.revoked = revoked;
    }

    /// A piece that came, as the guest may have it. `is_last`: nothing follows.
    fn add(&mut self, piece: Bytes, is_last: bool) -> Result<(), EgressError> {
        self.taken += piece.len() as u64;
        if self.taken > self.max {
            return Err(EgressError::Response(ResponseError::TooLarge));
        }
        match &mut self.scrubber {
            Some(scrubber) => scrubber.push(&piece, is_last, &mut self.pieces),
            None if piece.is_empty() => {}
            None => self.pieces.push_back(piece),
        }
        Ok(())
    }

    /// Unpacks until there is something to take. Returns whether there may be.
    fn unpack(&mut self) -> Result<bool, EgressError> {
        let Some(decoder) = &mut self.decoder else { return Ok(false) };
        match decoder.next().map_err(EgressError::Response)? {
            None => Ok(false),
            Some(piece) => self.add(piece, false).map(|()| true),
        }
    }

    fn came(&mut self, frame: Frame<Bytes>) -> Result<(), EgressError> {
        match frame.into_data() {
            Ok(data) => match &mut self.decoder {
                Some(decoder) => decoder.push(data),
                None => self.add(data, self.is_through())?,
            },
            Err(frame) => {
                let mut trailers = frame.into_trailers().unwrap_or_default();
                remove_hop_by_hop(&mut trailers);
                if let Some(scrubber) = &self.scrubber {
                    scrubber.headers(&mut trailers);
                }
                self.trailers = Some(trailers);
            }
        }
        self.end_if_through()
    }

    /// Ends where the source says that it is at its end, and does not wait to be asked once more.
    fn end_if_through(&mut self) -> Result<(), EgressError> {
        if self.is_through() { self.end() } else { Ok(()) }
    }

    /// Whether nothing more comes. What is packed is through when all of it is unpacked.
    fn is_through(&self) -> bool {
        matches!(&self.source, Source::Open(body) if self.decoder.is_none() && body.is_end_stream())
    }

    fn end(&mut self) -> Result<(), EgressError> {
        let last = match &mut self.decoder {
            Some(decoder) => decoder.finish().map_err(EgressError::Response)?,
            None => Bytes::new(),
        };
        self.add(last, true)?;
        self.source = Source::Ended;
        if let Some(link) = self.link.take() {
            // Whoever has all of the answer has no use for what the guest still sends.
            if self.progress.is_sent() { link.give_back() } else { self.progress.end() }
        }
        Ok(())
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, EgressError>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Poll::Ready(Ok(Some(Frame::data(piece))));
            }
            if self.unpack()? {
                continue;
            }
            let Source::Open(body) = &mut self.source else {
                return Poll::Ready(Ok(self.trailers.take().map(Frame::trailers)));
            };
            match Pin::new(body).poll_frame(context) {
                Poll::Pending => return self.wait.poll(context).map(Err),
                Poll::Ready(None) => self.end()?,
                Poll::Ready(Some(Ok(frame))) => self.came(frame)?,
                Poll::Ready(Some(Err(error))) => {
                    let fault = self.progress.fault().map(EgressError::RequestBody);
                    return Poll::Ready(Err(fault.unwrap_or(error.into())));
                }
            }
            self.wait.since = None;
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        if matches!(self.source, Source::Failed) {
            return Poll::Ready(None);
        }
        let polled = match self.revoked.poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(EgressError::Revoked)),
            Poll::Pending => self.poll_piece(context),
        };
        if let Poll::Ready(Err(_)) = &polled {
            // The connection goes with it.
            self.source = Source::Failed;
            self.link = None;
            self.pieces.clear();
            self.progress.end();
        }
        polled.map(Result::transpose)
    }

    fn is_end_stream(&self) -> bool {
        match self.source {
            Source::Open(_) => false,
            Source::Ended => self.pieces.is_empty() && self.trailers.is_none(),
            Source::Failed => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Open(body) if self.decoder.is_none() && self.scrubber.is_none() && self.pieces.is_empty() => {
                body.size_hint()
            }
            _ => SizeHint::default(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if self.link.is_some() {
            self.progress.end();
        }
    }
}

impl Wait {
    /// Ready when nothing came for too long. It counts while somebody waits.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<EgressError> {
        let end = *self.since.get_or_insert_with(Instant::now) + self.time;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        while sleep.as_mut().poll(context).is_ready() {
            if sleep.deadline() >= end {
                return Poll::Ready(EgressError::Time(Stage::BetweenBytes));
            }
            sleep.as_mut().reset(end);
        }
        Poll::Pending
    }
}
