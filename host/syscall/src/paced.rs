//! A body that a guest reads piece by piece. Copying much of what came at once would hold up the others of the thread, and
//! pass for computing: in between it gives way.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};

pub(crate) struct Paced<B> {
    body: B,
    /// Of a frame that was larger than a piece.
    rest: Bytes,
    /// Since others had their turn.
    taken: usize,
}

const PIECE_BYTES_MAX: usize = 64 << 10;
/// Between two turns of others: some 20 µs.
const TURN_BYTES: usize = 128 << 10;

impl<B> Paced<B> {
    pub(crate) fn new(body: B) -> Self {
        Self { body, rest: Bytes::new(), taken: 0 }
    }

    fn piece(&mut self, mut data: Bytes) -> Frame<Bytes> {
        self.rest = data.split_off(data.len().min(PIECE_BYTES_MAX));
        self.taken += data.len();
        Frame::data(data)
    }

    /// Goes on when those had their turn that can. Whoever only looks whether something is there has to wait first.
    fn give_way<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        // The waker of those that do not wait (`Waker::noop`) has no data; it is not the same one in each crate.
        if !context.waker().data().is_null() {
            self.taken = 0;
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.taken >= TURN_BYTES {
            return self.give_way(context);
        }
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(self.piece(rest))));
        }
        let Poll::Ready(polled) = Pin::new(&mut self.body).poll_frame(context) else {
            self.taken = 0;
            return Poll::Pending;
        };
        Poll::Ready(polled.map(|frame| {
            Ok(match frame?.into_data() {
                Ok(data) => self.piece(data),
                Err(trailers) => trailers,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker, ready};

    use http_body_util::Full;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take(body: &mut Paced<Full<Bytes>>, waker: &Waker) -> Poll<Option<Bytes>> {
        let frame = ready!(Pin::new(body).poll_frame(&mut Context::from_waker(waker)));
        Poll::Ready(frame.map(|frame| frame.unwrap().into_data().unwrap()))
    }

    #[test]
    fn a_large_frame_comes_in_pieces_and_gives_way_in_between() {
        let sent: Bytes = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let (mut body, mut came, mut pieces) = (Paced::new(Full::new(sent.clone())), Vec::new(), Vec::new());
        loop {
            match take(&mut body, &waker) {
                Poll::Ready(Some(piece)) => {
                    pieces.push(piece.len());
                    came.extend(piece);
                }
                Poll::Ready(None) => break,
                Poll::Pending => pieces.push(0),
            }
        }
        assert_eq!(pieces, [65536, 65536, 0, 65536, 65536, 0, 37856]);
        assert_eq!((came, woken.0.load(Ordering::Relaxed)), (sent.to_vec(), 2));
        assert!(body.is_end_stream());
    }

    #[test]
    fn who_only_looks_does_not_go_on_before_the_others() {
        let woken = Arc::new(Woken::default());
        let mut body = Paced::new(Full::new(Bytes::from(vec![0; 300_000])));
        let looks = |body: &mut _| take(body, Waker::noop()).is_ready();
        assert!(looks(&mut body) && looks(&mut body));
        assert!(!looks(&mut body) && !looks(&mut body));
        assert!(take(&mut body, &Waker::from(Arc::clone(&woken))).is_pending());
        assert!(looks(&mut body));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }
}
