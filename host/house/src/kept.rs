use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use certosa_isolate::Warm;
use certosa_model::{Reuse, Subject};

/// The cells of a bundle that wait for their next call, where the manifest lets cells outlive calls.
pub(crate) struct Kept {
    reuse: Reuse,
    cells: Mutex<HashMap<Option<Subject>, Waiting>>,
    cells_max: usize,
    idle_max: Duration,
}

struct Waiting {
    cell: Warm,
    since: Instant,
}

const SWEEP: Duration = Duration::from_millis(500);

impl Kept {
    pub(crate) fn new(reuse: Reuse, cells_max: usize, idle_max: Duration) -> Arc<Self> {
        let kept = Arc::new(Self { reuse, cells: Mutex::default(), cells_max, idle_max });
        if reuse != Reuse::Once {
            tokio::spawn(sweep(Arc::downgrade(&kept)));
        }
        kept
    }

    pub(crate) fn is_once(&self) -> bool {
        self.reuse == Reuse::Once
    }

    /// The cell that `caller` may go on with. The line has seen to it that nobody else is in it.
    pub(crate) fn take(&self, caller: &Subject) -> Option<Warm> {
        self.lock().remove(&self.key(caller)).map(|waiting| waiting.cell)
    }

    /// Keeps a cell for the next call. If there are too many, the one that waits for longest ends.
    pub(crate) fn put(&self, caller: &Subject, cell: Warm) {
        let waiting = Waiting { cell, since: Instant::now() };
        let mut cells = self.lock();
        let replaced = cells.insert(self.key(caller), waiting);
        let mut dropped = None;
        if cells.len() > self.cells_max {
            let oldest = cells.iter().min_by_key(|(_, waiting)| waiting.since).map(|(key, _)| key.clone());
            dropped = oldest.and_then(|key| cells.remove(&key));
        }
        // To end a cell takes a while.
        drop(cells);
        drop((replaced, dropped));
    }

    fn key(&self, caller: &Subject) -> Option<Subject> {
        match self.reuse {
            Reuse::Caller => Some(caller.clone()),
            Reuse::Once | Reuse::Serial => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<Subject>, Waiting>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends cells that have waited for too long.
async fn sweep(kept: Weak<Kept>) {
    while let Some(kept) = kept.upgrade() {
        let idle_max = kept.idle_max;
        let over: Vec<_> = kept.lock().extract_if(|_, waiting| waiting.since.elapsed() > idle_max).collect();
        drop((over, kept));
        tokio::time::sleep(SWEEP.min(idle_max)).await;
    }
}
