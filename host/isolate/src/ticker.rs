use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::Engine;

/// Advances the epoch of the engines every millisecond while cells run. It is a plain thread of the operating
/// system: a guest that pins a worker of the async runtime may stop its timers, but not this one. When no
/// cell has run for a while it sleeps until the next one does.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

/// Held while a cell runs.
pub(crate) struct Running(Arc<Shared>);

struct Shared {
    running: AtomicUsize,
    asleep: AtomicBool,
    stopped: AtomicBool,
}

const TICK: Duration = Duration::from_millis(1);
const IDLE_TICKS_MAX: u32 = 50;

impl Ticker {
    pub(crate) fn start(engines: Vec<Engine>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            running: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let ours = Arc::clone(&shared);
        let handle = thread::Builder::new().name("certosa-ticker".to_owned()).spawn(move || tick(&engines, &ours))?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    /// Keeps the clock ticking until the guard is dropped.
    pub(crate) fn run(&self) -> Running {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(Arc::clone(&self.shared))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

fn tick(engines: &[Engine], shared: &Shared) {
    let mut idle_ticks = 0;
    while !shared.stopped.load(Ordering::SeqCst) {
        thread::sleep(TICK);
        engines.iter().for_each(Engine::increment_epoch);
        idle_ticks = if shared.running.load(Ordering::SeqCst) > 0 { 0 } else { idle_ticks + 1 };
        if idle_ticks > IDLE_TICKS_MAX {
            // Announce sleep first and look again, so that a cell that starts in between wakes us.
            shared.asleep.store(true, Ordering::SeqCst);
            while shared.running.load(Ordering::SeqCst) == 0 && !shared.stopped.load(Ordering::SeqCst) {
                thread::park();
            }
            shared.asleep.store(false, Ordering::SeqCst);
            idle_ticks = 0;
        }
    }
}
