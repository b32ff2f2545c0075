use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use certosa_house::Way;
use certosa_policy::Caller;
use http::HeaderMap;

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
pub struct Outbox(Arc<Mutex<VecDeque<Note>>>);

const OUTBOX_MAX: usize = 512;

impl Exchange {
    pub(crate) fn new(
        outbox: Outbox,
        outlives_client: bool,
        future: impl Future<Output = Answer> + Send + 'static,
    ) -> Self {
        Self { future: Box::pin(future), outbox, outlives_client }
    }

    /// What has come up since the last time.
    pub fn take_notes(&self) -> VecDeque<Note> {
        std::mem::take(&mut *self.outbox.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Future for Exchange {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        self.future.as_mut().poll(context)
    }
}

impl Outbox {
    /// Adds a note that may be lost.
    pub(crate) fn push(&self, text: Bytes) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() < OUTBOX_MAX {
            queue.push_back(Note { text, needed: false });
        }
    }

    /// Adds a note that is waited for. There are few: the questions of one round.
    pub(crate) fn push_needed(&self, text: Bytes) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(Note { text, needed: true });
    }
}

impl Answer {
    pub(crate) fn reply(kind: Kind, body: Bytes) -> Self {
        Self::Reply { kind, body, session: None }
    }
}
