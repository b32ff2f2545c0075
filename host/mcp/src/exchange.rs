use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use certosa_house::Way;
use certosa_policy::Caller;
use http::HeaderMap;
use tokio::sync::Notify;

/// One message as a transport hands it over.
pub struct Message {
    pub caller: Arc<Caller>,
    pub way: Way,
    /// The path of the route.
    pub route: Box<str>,
    /// Over HTTP those of the request. Other transports have at most the one that names their session.
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The last word on a message.
#[derive(Debug)]
pub enum Answer {
    Reply {
        kind: Kind,
        body: Bytes,
        /// A session that begins with this reply.
        session: Option<String>,
    },
    /// A notification was taken; there is nothing to say.
    Accepted,
    /// The client took its request back, or a stream is over; there is nothing more to say.
    Silence,
}

/// What kind of reply it is. The gateway translates it into a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Result,
    /// The caller's fault: it cannot be answered as it stands.
    Invalid,
    /// There is no such method.
    UnknownMethod,
    /// There is no such session, or none any more.
    UnknownSession,
    /// Calls cannot be recorded, so none are answered.
    Unavailable,
}

/// The work on one message: a future of the answer, and what is said before it.
pub struct Exchange {
    future: Pin<Box<dyn Future<Output = Answer> + Send>>,
    outbox: Outbox,
    /// In the older era a client that goes away has not cancelled anything.
    pub outlives_client: bool,
}

/// Something that is said before the answer.
#[derive(Debug)]
pub struct Note {
    pub text: Bytes,
    /// It may not be left out when the client is slow: somebody waits for the answer to it.
    pub needed: bool,
}

/// Notes on their way to the client, in order. The exchange fills it while it is polled, and whoever polls the
/// exchange empties it afterwards; so it needs no waker, and it is bounded by dropping.
#[derive(Clone, Default)]
pub struct Outbox {
    notes: Arc<Mutex<VecDeque<Note>>>,
    gone: Arc<Gone>,
}

/// Whether the client reads what is put into the outbox.
#[derive(Default)]
struct Gone {
    is_gone: AtomicBool,
    news: Notify,
}

const OUTBOX_MAX: usize = 512;

impl Exchange {
    pub(crate) fn new(
        outbox: Outbox,
        outlives_client: bool,
        future: impl Future<Output = Answer> + Send + 'static,
    ) -> Self {
        Self { future: Box::pin(future), outbox, outlives_client }
    }

    /// Works until there is something to pass on: what has come up, and the answer if that was the end.
    pub async fn step(&mut self) -> (VecDeque<Note>, Option<Answer>) {
        std::future::poll_fn(|context| {
            let polled = self.future.as_mut().poll(context);
            let notes = std::mem::take(&mut *self.outbox.lock());
            match polled {
                Poll::Ready(answer) => Poll::Ready((notes, Some(answer))),
                Poll::Pending if notes.is_empty() => Poll::Pending,
                Poll::Pending => Poll::Ready((notes, None)),
            }
        })
        .await
    }

    /// Says that nobody reads any more. Calls go on; nobody waits for answers to questions that were not heard.
    pub fn client_is_gone(&self) {
        self.outbox.gone.is_gone.store(true, Ordering::Release);
        self.outbox.gone.news.notify_waiters();
    }
}

impl Outbox {
    /// Adds a note that may be lost.
    pub(crate) fn push(&self, text: Bytes) {
        let mut queue = self.lock();
        if queue.len() < OUTBOX_MAX {
            queue.push_back(Note { text, needed: false });
        }
    }

    /// Adds a note that is waited for. There are few: the questions of one round.
    pub(crate) fn push_needed(&self, text: Bytes) {
        self.lock().push_back(Note { text, needed: true });
    }

    /// Comes back when nobody reads any more.
    pub(crate) async fn gone(&self) {
        let mut news = std::pin::pin!(self.gone.news.notified());
        // Before the look, so that nothing that happens after it is missed.
        news.as_mut().enable();
        if !self.gone.is_gone.load(Ordering::Acquire) {
            news.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Note>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    pub(crate) fn reply(kind: Kind, body: Bytes) -> Self {
        Self::Reply { kind, body, session: None }
    }
}
