//! Responses, and bodies of every kind.

use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};
use futures_util::stream::{self, Stream};
use http::{HeaderMap, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Body, Frame, SizeHint};
use serde_json::Value;

use super::State;

pub type Sent = UnsyncBoxBody<Bytes, Infallible>;
pub type Reply = Response<Sent>;

pub fn text(status: u16, text: impl Into<Bytes>) -> Reply {
    reply(status, "text/plain; charset=utf-8", Full::new(text.into()).boxed_unsync())
}

pub fn json(status: u16, value: &Value) -> Reply {
    reply(status, "application/json; charset=utf-8", Full::new(value.to_string().into()).boxed_unsync())
}

pub fn reply(status: u16, kind: &str, body: Sent) -> Reply {
    Response::builder().status(status).header("content-type", kind).body(body).unwrap()
}

pub fn streamed(chunks: impl Stream<Item = Bytes> + Send + 'static) -> Sent {
    use futures_util::StreamExt as _;
    StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk)))).boxed_unsync()
}

/// These chunks, with some time before each of them.
pub fn slowly(chunks: Vec<Bytes>, pause: Duration) -> Sent {
    streamed(stream::unfold(chunks.into_iter(), move |mut rest| async move {
        let chunk = rest.next()?;
        tokio::time::sleep(pause).await;
        Some((chunk, rest))
    }))
}

/// The same chunk again and again, without an end if `count` is none.
pub fn repeated(chunk: Bytes, count: Option<usize>) -> Sent {
    streamed(stream::iter(std::iter::repeat_n(chunk, count.unwrap_or(usize::MAX))))
}

/// A text, and trailers behind it.
pub fn with_trailers(text: String, trailers: HeaderMap) -> Sent {
    // With a length that is known before, HTTP/1.1 would have no place for trailers.
    let text = streamed(stream::once(std::future::ready(Bytes::from(text))));
    text.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed_unsync()
}

pub fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().into()
}

/// Zeros in gzip (RFC 1952). Each mebibyte is packed alike, so they are packed once and the blocks repeated.
pub fn bomb(mebibytes: usize) -> Sent {
    let zeros = vec![0; 1 << 20];
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&zeros).unwrap();
    encoder.flush().unwrap();
    let block = Bytes::from(encoder.get_ref().clone());
    let mut one = Crc::new();
    one.update(&zeros);
    let mut all = Crc::new();
    (0..mebibytes).for_each(|_| all.combine(&one));
    let head = Bytes::from_static(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
    // The last block, which is empty, the checksum, and the length modulo 2^32.
    let end = [&[3, 0], &all.sum().to_le_bytes()[..], &all.amount().to_le_bytes()].concat();
    let blocks = std::iter::repeat_n(block, mebibytes);
    streamed(stream::iter(std::iter::once(head).chain(blocks).chain(std::iter::once(end.into()))))
}

/// A request that is under way, counted until this is dropped.
pub struct Open(Arc<State>);

impl Open {
    pub fn new(state: Arc<State>) -> Self {
        state.open.fetch_add(1, Ordering::SeqCst);
        Self(state)
    }

    /// Under way until the body of its response is through.
    pub fn over(self, reply: Reply) -> Reply {
        reply.map(|body| Counted { body, _open: self }.boxed_unsync())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Counted {
    body: Sent,
    _open: Open,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
