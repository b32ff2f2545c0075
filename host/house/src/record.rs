//! The record of every call: JSON lines, append-only, and honest about being unsigned. Signed receipts will
//! take its place.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::entry::Entry;

/// Someone who is told of every call when it is recorded. It must not wait.
pub trait Observer: Send + Sync {
    fn recorded(&self, entry: &Entry<'_>);
}

/// The durations of a bundle's calls.
pub(crate) type Seconds = prometheus_client::metrics::histogram::Histogram;

/// A value that the record log has taken note of. Only [`Recorder::record`] makes one, and answers are only
/// made from one.
#[derive(Debug)]
pub struct Recorded<T>(T);

impl<T> Recorded<T> {
    pub fn get(&self) -> &T {
        &self.0
    }

    pub fn into_inner(self) -> T {
        self.0
    }
}

#[derive(Debug, Clone, thiserror::Error)]
#[error("the record log cannot be written: {0}")]
pub struct RecorderError(String);

/// Appends lines from a thread of its own. What is recorded within a few milliseconds is written together.
pub(crate) struct Recorder {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    observer: OnceLock<Box<dyn Observer>>,
}

struct Shared {
    queue: Mutex<Queue>,
    news: Condvar,
    /// The first error is final: a log with a hole in it is none.
    failed: OnceLock<RecorderError>,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    closed: bool,
}

const GATHER: Duration = Duration::from_millis(2);
const QUEUE_BYTES_MAX: usize = 16 << 20;

impl Recorder {
    pub(crate) fn start(log: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), news: Condvar::new(), failed: OnceLock::new() });
        let ours = Arc::clone(&shared);
        let thread = thread::Builder::new().name("certosa-records".to_owned()).spawn(move || write(log, &ours))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), observer: OnceLock::new() })
    }

    /// Tells `observer` of every call from now on. There is one at most.
    pub(crate) fn observe(&self, observer: Box<dyn Observer>) {
        let _there_is_one = self.observer.set(observer);
    }

    /// Writes what is left and says whether everything was written.
    pub(crate) fn close(&self) -> Result<(), RecorderError> {
        self.finish();
        self.check()
    }

    fn finish(&self) {
        self.shared.lock().closed = true;
        self.shared.news.notify_one();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _panicked = thread.join();
        }
    }

    /// Whether calls can be recorded at all. If not, none may run.
    pub(crate) fn check(&self) -> Result<(), RecorderError> {
        if let Some(error) = self.shared.failed.get() {
            return Err(error.clone());
        }
        // A slow disk is waited for by those who come next; only an error of the disk is final.
        match self.shared.lock().bytes.len() > QUEUE_BYTES_MAX {
            true => Err(RecorderError("more is recorded than the disk takes at the moment".to_owned())),
            false => Ok(()),
        }
    }

    /// Takes note of a call and its value.
    pub(crate) fn record<T>(&self, entry: &Entry<'_>, value: T) -> Recorded<T> {
        tracing::debug!(
            kind = entry.kind.as_str(),
            name = entry.name,
            outcome = entry.outcome.as_str(),
            wall_us = entry.usage.wall_us,
            reason = entry.reason,
            "call"
        );
        self.shared.push(entry);
        if let Some(observer) = self.observer.get() {
            observer.recorded(entry);
        }
        Recorded(value)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Shared {
    fn push(&self, entry: &Entry<'_>) {
        let mut queue = self.lock();
        let was_empty = queue.bytes.is_empty();
        if let Err(error) = entry.write(&mut queue.bytes) {
            self.fail(&error.to_string());
        }
        drop(queue);
        if was_empty {
            self.news.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, why: &str) {
        if self.failed.set(RecorderError(why.to_owned())).is_ok() {
            tracing::error!("the record log cannot be written, so calls are refused from now on: {why}");
        }
    }
}

fn write(mut log: impl Write, shared: &Shared) {
    let mut batch = Vec::new();
    loop {
        let mut queue = shared.lock();
        while queue.bytes.is_empty() && !queue.closed {
            queue = shared.news.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let closed = queue.closed;
        if !closed {
            drop(queue);
            thread::sleep(GATHER);
            queue = shared.lock();
        }
        std::mem::swap(&mut batch, &mut queue.bytes);
        drop(queue);
        if shared.failed.get().is_none()
            && let Err(error) = log.write_all(&batch).and_then(|()| log.flush())
        {
            shared.fail(&error.to_string());
        }
        if closed {
            return;
        }
        batch.clear();
    }
}
