use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The time that a cell spends on the processor: its own instructions and what the host does for it, as long
/// as it does not wait. Whoever polls the cell lets the clock run and stops it; ticks look at it in between.
///
/// A stretch between two waits that no tick sees is shorter than a tick and is taken from the monotonic clock,
/// which costs next to nothing. From the first tick on time is taken from the clock of the thread, which is a system
/// call, and does not count the time in which the thread had to give way to others.
#[derive(Debug, Default)]
pub struct CpuClock(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    spent: Duration,
    /// A tick has seen it before.
    is_long: bool,
    stretch: Option<Stretch>,
    weight: Weight,
}

/// How much a cell is in the way of those that share its thread: what it works beyond [`LIGHT`](Self::LIGHT) each time
/// before it gives way, added up. A part of the time that passes is taken off; to give way often is not enough, since that
/// costs a guest nothing.
#[derive(Debug, Default)]
pub struct Weight {
    now: Duration,
    last: Option<Instant>,
    was_heavy: bool,
}

#[derive(Debug)]
struct Stretch {
    since: Instant,
    /// What was spent when it began.
    before: Duration,
    /// The clock of the thread at the last look.
    thread: Option<Duration>,
}

impl CpuClock {
    /// The cell goes on.
    pub fn run(&self) {
        let mut state = self.lock();
        // Who works for long may be made to give way at any time.
        let thread = state.is_long.then(on_thread);
        state.stretch = Some(Stretch { since: Instant::now(), before: state.spent, thread });
    }

    /// The cell waits, or has ended.
    pub fn stop(&self) {
        let mut state = self.lock();
        if let Some(stretch) = state.stretch.take() {
            state.spent += stretch.thread.map_or_else(|| stretch.since.elapsed(), |before| on_thread() - before);
            let worked = state.spent - stretch.before;
            state.weight.add(stretch.since, worked);
        }
    }

    /// A tick found the cell running: what it has spent until now.
    pub fn look(&self) -> Duration {
        let mut state = self.lock();
        let State { spent, is_long, stretch, .. } = &mut *state;
        if let Some(stretch) = stretch {
            *is_long = true;
            let now = on_thread();
            *spent += stretch.thread.replace(now).map_or_else(|| stretch.since.elapsed(), |before| now - before);
        }
        *spent
    }

    /// What it has spent up to the last look.
    pub fn spent(&self) -> Duration {
        self.lock().spent
    }

    /// Whether it was in the way of others.
    pub fn was_heavy(&self) -> bool {
        self.lock().weight.was_heavy()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Weight {
    /// Nobody notices whoever gives way sooner.
    pub const LIGHT: Duration = Duration::from_micros(100);
    const HEAVY: Duration = Duration::from_micros(400);
    /// The part of all time for which it may be in the way.
    const SHARE: u32 = 16;

    /// It went on at `since` and worked for so long without giving way.
    pub fn add(&mut self, since: Instant, stretch: Duration) {
        let passed = self.last.replace(since).map_or(Duration::ZERO, |last| since - last);
        self.now = self.now.saturating_sub(passed / Self::SHARE) + stretch.saturating_sub(Self::LIGHT);
        self.was_heavy |= self.now >= Self::HEAVY;
    }

    /// Whether it ever was too much.
    pub fn was_heavy(&self) -> bool {
        self.was_heavy
    }
}

fn on_thread() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_does_not_count_and_working_does() {
        let clock = CpuClock::default();
        clock.run();
        let before = clock.look();
        std::thread::sleep(Duration::from_millis(200));
        assert!(clock.look() - before < Duration::from_millis(100), "the thread slept");
        let until = on_thread() + Duration::from_millis(30);
        while on_thread() < until {
            std::hint::spin_loop();
        }
        clock.stop();
        let spent = clock.spent();
        assert!(spent - before >= Duration::from_millis(30), "{spent:?}");
        std::thread::sleep(Duration::from_millis(5));
        clock.stop();
        assert_eq!(clock.spent(), spent);
        clock.run();
        clock.stop();
        assert!(clock.spent() > spent);
    }

    #[test]
    fn a_long_stretch_is_heavy_and_so_are_many_that_are_not_light() {
        let us = Duration::from_micros;
        // Each goes on so long after the one before has ended.
        let was_heavy = |stretches: &[u64], wait: u64| {
            let (mut weight, mut now) = (Weight::default(), Instant::now());
            for stretch in stretches {
                weight.add(now, us(*stretch));
                now += us(*stretch + wait);
            }
            weight.was_heavy()
        };
        assert!(was_heavy(&[500], 0) && was_heavy(&[450; 2], 0) && was_heavy(&[200; 5], 0));
        assert!(was_heavy(&[450, 0, 0, 0, 0, 0, 450], 1), "to give way costs nothing");
        assert!(!was_heavy(&[499], 0) && !was_heavy(&[200; 3], 0) && !was_heavy(&[100; 1000], 0));
        assert!(!was_heavy(&[200; 1000], 1_600), "it was in the way for a small part of the time");
    }
}
