//! Two lanes for cells. A cell begins in the fast one, on the thread that took the call. One that a tick finds at work
//! is no small call, and goes on in the slow one: on threads of its own, which give way to the others. So a neighbour
//! that spins takes what time is left over, and small calls do not wait behind it.

use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinError, JoinHandle};

pub(crate) struct Lanes {
    /// Always there until it is dropped.
    slow: Option<Runtime>,
}

/// The slow lane did not bring the cell to its end.
#[derive(Debug, thiserror::Error)]
#[error("a cell was lost: {0}")]
pub(crate) struct Lost(String);

/// A cell that waits for no tick gives way sooner than this.
const LONG: Duration = Duration::from_micros(500);
/// How far the threads of the slow lane stand back (nice(2)).
const NICE: i32 = 10;

/// Ends the cell when nobody waits for it any more.
struct Elsewhere<T>(JoinHandle<T>);

impl Lanes {
    pub(crate) fn new() -> io::Result<Self> {
        let slow = Builder::new_multi_thread()
            .thread_name("certosa-slow")
            .on_thread_start(|| {
                // On Linux this is of the thread. Where it is refused the lanes are equal.
                let _or_equal = rustix::process::setpriority_process(None, NICE);
            })
            .enable_time()
            .build()?;
        Ok(Self { slow: Some(slow) })
    }

    /// Brings a cell to its end. If this is given up the cell ends too, at its next tick if it is at work.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        cell: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Lost> {
        let mut cell = Box::pin(cell);
        if let Some(ended) = small(cell.as_mut()).await {
            return Ok(ended);
        }
        let Some(slow) = &self.slow else { return Err(Lost("the house is closed".to_owned())) };
        let mut elsewhere = Elsewhere(slow.spawn(cell));
        (&mut elsewhere.0).await.map_err(|error: JoinError| Lost(error.to_string()))
    }
}

/// The end of the cell, or `None` when it turns out to be a long one.
async fn small<F: Future>(mut cell: Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        let started = Instant::now();
        match cell.as_mut().poll(context) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if started.elapsed() >= LONG => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

impl<T> Drop for Elsewhere<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        // A runtime must not be waited for where others run.
        if let Some(slow) = self.slow.take() {
            slow.shutdown_background();
        }
    }
}
