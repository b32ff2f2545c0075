//! Two lanes for cells. A cell begins in the fast one, on the thread that took the call. One that is in the way of others
//! there goes on in the slow one: on threads of its own, which stand back. So a neighbour that spins takes what time is
//! left over, and small calls do not wait behind it. A cell that does little between its waits, however many, holds nobody
//! up: it stays, or comes back. What was in the way the last times begins in the slow lane: a neighbour whose calls are as
//! long as a tick would hardly ever be found at work.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use certosa_syscall::Weight;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinError, JoinHandle};

pub(crate) struct Lanes {
    /// Always there until it is dropped.
    slow: Option<Runtime>,
}

/// Whether the last calls of one thing were in the way of others. It decides in which lane the next one begins.
#[derive(Debug, Default)]
pub struct Pace(AtomicU8);

/// The slow lane did not bring the cell to its end.
#[derive(Debug, thiserror::Error)]
#[error("a cell was lost: {0}")]
pub(crate) struct Lost(String);

/// A cell of the slow lane that gave way early so many times in a row goes back to the fast one; the second time twice as
/// many, and so on. One that spins does not: it gives way at ticks, which are further apart.
const CALM: u32 = 16;
/// A call that was in the way counts as much as so many others: one may just have had to give way in the middle.
const IN_THE_WAY: u8 = 3;
/// From here on calls begin in the slow lane.
const SLOW: u8 = 6;
const SLOW_MAX: u8 = 24;
/// How far the threads of the slow lane stand back (nice(2)).
const NICE: i32 = 10;

/// How it went in the slow lane.
enum Went<F: Future> {
    Ended(F::Output),
    /// It does not belong there.
    Calm(Pin<Box<F>>),
}

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

    /// Does what is no cell's.
    pub(crate) async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.slow.as_ref()?.spawn_blocking(work).await.ok()
    }

    /// Brings a cell to its end. If this is given up the cell ends too, at its next tick if it is at work.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        cell: impl Future<Output = T> + Send + 'static,
        pace: &Pace,
    ) -> Result<T, Lost> {
        let mut cell = Box::pin(cell);
        let (mut is_slow, mut calm) = (pace.is_slow(), CALM);
        loop {
            if !is_slow && let Some(ended) = small(cell.as_mut()).await {
                return Ok(ended);
            }
            let Some(slow) = &self.slow else { return Err(Lost("the house is closed".to_owned())) };
            let mut elsewhere = Elsewhere(slow.spawn(long(cell, calm)));
            match (&mut elsewhere.0).await.map_err(|error: JoinError| Lost(error.to_string()))? {
                Went::Ended(ended) => return Ok(ended),
                Went::Calm(back) => (cell, is_slow, calm) = (back, false, calm.saturating_mul(2)),
            }
        }
    }
}

impl Pace {
    /// Of what nobody waits for.
    pub(crate) fn slow() -> Self {
        Self(AtomicU8::new(SLOW_MAX))
    }

    fn is_slow(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= SLOW
    }

    /// Takes note of how a call was.
    pub(crate) fn note(&self, was_in_the_way: bool) {
        let before = self.0.load(Ordering::Relaxed);
        let after = match was_in_the_way {
            true => (before + IN_THE_WAY).min(SLOW_MAX),
            false => before.saturating_sub(1),
        };
        // Calls that end at the same time may count as one.
        if after != before {
            self.0.store(after, Ordering::Relaxed);
        }
    }
}

/// The end of the cell, or `None` when it turns out to be a long one.
async fn small<F: Future>(cell: Pin<&mut F>) -> Option<F::Output> {
    let mut weight = Weight::default();
    let is_long = |since, worked| {
        weight.add(since, worked);
        weight.was_heavy()
    };
    run_until(cell, is_long).await
}

/// Works on a cell until it ends, or has given way early so many times in a row.
async fn long<F: Future>(mut cell: Pin<Box<F>>, calm: u32) -> Went<F> {
    let mut early = 0;
    let is_calm = |_, worked| {
        early = if worked < Weight::LIGHT { early + 1 } else { 0 };
        early >= calm
    };
    run_until(cell.as_mut(), is_calm).await.map_or_else(|| Went::Calm(cell), Went::Ended)
}

/// The end of the cell, or `None` if it does not belong here any more: `leaves` says so each time when it gives way, by
/// when it went on and how long it worked.
async fn run_until<F: Future>(
    mut cell: Pin<&mut F>,
    mut leaves: impl FnMut(Instant, Duration) -> bool,
) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        let since = Instant::now();
        match cell.as_mut().poll(context) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if leaves(since, since.elapsed()) => Poll::Ready(None),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_begins_slowly_and_what_once_had_to_wait_does_not() {
        let pace = Pace::default();
        let note = |all: &[bool]| all.iter().for_each(|was_in_the_way| pace.note(*was_in_the_way));
        note(&[true, false, false, false, true]);
        assert!(!pace.is_slow());
        note(&[true]);
        assert!(pace.is_slow());
        note(&[true; 100]);
        note(&[false; 18]);
        assert!(pace.is_slow());
        note(&[false]);
        assert!(!pace.is_slow());
    }

    /// Works for so long before each of its waits, and says on which thread it ended.
    async fn work(stretch: Duration, waits: u32) -> String {
        for _ in 0..waits {
            let until = Instant::now() + stretch;
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            tokio::task::yield_now().await;
        }
        std::thread::current().name().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_works_for_long_stands_back_and_what_only_waits_returns() {
        let (lanes, runtime) = (Lanes::new().unwrap(), Builder::new_current_thread().build().unwrap());
        let ended_on = |cell| runtime.block_on(lanes.run(cell, &Pace::default())).unwrap();
        let (little, much) = (Duration::ZERO, Weight::LIGHT * 8);
        assert_eq!(ended_on(Box::pin(work(much, 2 * CALM)) as Pin<Box<dyn Future<Output = _> + Send>>), "certosa-slow");
        assert_ne!(ended_on(Box::pin(work(little, 20 * CALM))), "certosa-slow");
        let both = async move {
            work(much, 1).await;
            work(little, 20 * CALM).await
        };
        assert_ne!(ended_on(Box::pin(both)), "certosa-slow");
        assert_eq!(ended_on(Box::pin(work(Weight::LIGHT * 3, 2 * CALM))), "certosa-slow", "none of it is long");
    }
}
