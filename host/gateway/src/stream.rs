//! Exchanges as responses: plain JSON if the answer is all there is to say, server-sent events (WHATWG HTML,
//! "Server-sent events") if something comes before it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use certosa_mcp::{Answer, Exchange, Note};
use http::Response;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::request::Front;
use crate::respond::{Body, reply, streaming};

/// Events from a task that works on an exchange.
pub(crate) struct Stream {
    frames: mpsc::Receiver<Bytes>,
    /// Ends the task when the client is gone.
    task: Option<JoinHandle<()>>,
}

const FRAMES_MAX: usize = 512;
/// Streams on which little comes up need less.
const QUIET_FRAMES_MAX: usize = 16;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Works on an exchange: plain JSON if the answer is all there is to say, a stream if something comes first.
pub(crate) async fn exchange(front: &Front, mut exchange: Exchange) -> Response<Body> {
    if exchange.outlives_client {
        return detached(exchange, Arc::clone(&front.working)).await;
    }
    match exchange.step().await {
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
        match exchange.step().await {
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
type Step = (VecDeque<Note>, Option<Answer>);

/// Works on an exchange to its end, from its first step on. A client that reads slowly does not hold up the work:
/// what there is no room for is dropped, and what somebody waits for is kept until there is.
async fn drive(mut exchange: Exchange, first: Step, sender: mpsc::Sender<Bytes>) {
    let mut beat = tokio::time::interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    let mut kept = VecDeque::new();
    let (mut is_gone, mut next) = (false, first);
    let answer = loop {
        let (notes, answer) = next;
        for note in notes {
            match (note.needed, kept.is_empty()) {
                (true, _) => kept.push_back(event(&note.text)),
                (false, true) => drop(sender.try_send(event(&note.text))),
                (false, false) => {}
            }
        }
        if let Some(answer) = answer {
            break answer;
        }
        next = tokio::select! {
            step = exchange.step() => step,
            room = sender.reserve(), if !kept.is_empty() && !is_gone => {
                room.into_iter().zip(kept.pop_front()).for_each(|(room, frame)| room.send(frame));
                Step::default()
            }
            () = sender.closed(), if !is_gone => {
                is_gone = true;
                exchange.client_is_gone();
                Step::default()
            }
            _ = beat.tick() => {
                let _full_or_gone = sender.try_send(Bytes::from_static(b": keep-alive\n\n"));
                Step::default()
            }
        };
    };
    // What the work held is given back, however long the client takes to read the rest.
    drop(exchange);
    if let Answer::Reply { body, .. } = answer {
        kept.push_back(event(&body));
    }
    for frame in kept {
        if sender.send(frame).await.is_err() {
            return;
        }
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

/// The stream of a session of the older era: nothing may come up in it for a long time.
pub(crate) fn quiet(exchange: Exchange) -> Response<Body> {
    let (sender, frames) = mpsc::channel(QUIET_FRAMES_MAX);
    let _there_is_room = sender.try_send(Bytes::from_static(b": open\n\n"));
    let task = tokio::spawn(drive(exchange, Step::default(), sender));
    streaming(Stream { frames, task: Some(task) })
}

impl Stream {
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.frames.poll_recv(context)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
