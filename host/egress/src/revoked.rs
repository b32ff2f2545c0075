//! The end of an exchange that may not go on.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::Shared;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

use crate::error::EgressError;
use crate::request::{BodyError, GuestBody};

/// Fires when what allowed an exchange is gone. What goes on then ends, wherever it is: each half looks by itself, since
/// whoever sends may never read.
#[derive(Clone)]
pub struct Revoked(Option<Shared<Pin<Box<dyn Future<Output = ()> + Send>>>>);

/// The body of a request, as long as it may be sent.
struct Until {
    body: GuestBody,
    revoked: Revoked,
}

impl Revoked {
    pub fn never() -> Self {
        Self(None)
    }

    /// When `revoked` is over.
    pub fn when(revoked: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Some(revoked.boxed().shared()))
    }

    /// A body that ends with this.
    pub(crate) fn cuts(self, body: GuestBody) -> GuestBody {
        if self.0.is_none() || body.is_end_stream() { body } else { Until { body, revoked: self }.boxed_unsync() }
    }

    pub(crate) fn fired(&mut self) -> impl Future<Output = ()> + '_ {
        std::future::poll_fn(|context| self.poll(context))
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            None => Poll::Pending,
            Some(revoked) => Pin::new(revoked).poll(context),
        }
    }
}

impl Body for Until {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.revoked.poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(EgressError::Revoked.into()))),
            Poll::Pending => Pin::new(&mut self.body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
