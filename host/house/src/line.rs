use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// The line in front of a bundle's cells: so many run, so many wait, first come, first served, and one more
/// is told to come back.
pub(crate) struct Line {
    places: Semaphore,
    running_max: usize,
    waiting: AtomicUsize,
    waiting_max: usize,
    wait_max: Duration,
}

/// The line is full, or did not move in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// Leaves the line again, however the wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl Line {
    pub(crate) fn new(running_max: usize, waiting_max: usize, wait_max: Duration) -> Self {
        Self { places: Semaphore::new(running_max), running_max, waiting: AtomicUsize::new(0), waiting_max, wait_max }
    }

    pub(crate) fn running(&self) -> usize {
        self.running_max - self.places.available_permits()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A place to run, held until it is dropped.
    pub(crate) async fn enter(&self) -> Result<SemaphorePermit<'_>, Full> {
        // Nobody is overtaken here: a free place goes to those who wait first.
        if let Ok(place) = self.places.try_acquire() {
            return Ok(place);
        }
        if self.waiting.fetch_add(1, Ordering::SeqCst) >= self.waiting_max {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return Err(Full);
        }
        let _waiting = Waiting(&self.waiting);
        match tokio::time::timeout(self.wait_max, self.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Full),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn the_line_is_bounded_and_in_order() {
        let line = Arc::new(Line::new(1, 2, Duration::from_secs(5)));
        let first = line.enter().await.unwrap();
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut waiters = Vec::new();
        for number in 0..2 {
            let (line, order) = (Arc::clone(&line), Arc::clone(&order));
            waiters.push(tokio::spawn(async move {
                let _place = line.enter().await.unwrap();
                order.lock().unwrap().push(number);
            }));
            tokio::task::yield_now().await;
        }
        assert_eq!(line.enter().await.err(), Some(Full));
        drop(first);
        for waiter in waiters {
            waiter.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1]);
        assert!(line.enter().await.is_ok());
        assert_eq!(line.waiting.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_wait_ends() {
        let line = Line::new(1, 2, Duration::from_millis(10));
        let _place = line.enter().await.unwrap();
        assert_eq!(line.enter().await.err(), Some(Full));
        assert_eq!(line.waiting.load(Ordering::SeqCst), 0);
    }
}
