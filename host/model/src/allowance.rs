//! How often something may happen, by a clock that the caller reads.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many times in each window of this length; a window begins with the first time after the last one.
#[derive(Debug)]
pub struct Allowance {
    most: u32,
    window: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    taken: u32,
    refused: u64,
}

/// How many went untold before what is told now, as the end of a line of the log; nothing if there were none.
#[derive(Debug, Clone, Copy)]
pub struct Untold(pub u64);

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, " ({} more were not told)", self.0) }
    }
}

impl Allowance {
    pub fn new(most: u32, window: Duration) -> Self {
        Self { most, window, state: Mutex::default() }
    }

    /// For what an operator is warned of and a bundle can cause again and again: 10 times in 10 s.
    pub fn of_warnings() -> Self {
        Self::new(10, Duration::from_secs(10))
    }

    /// Takes one, and says how many were refused since the last one that was not. `None`: there is none left.
    pub fn take(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since.is_none_or(|since| now.saturating_duration_since(since) >= self.window) {
            (state.since, state.taken) = (Some(now), 0);
        }
        if state.taken >= self.most {
            state.refused = state.refused.saturating_add(1);
            return None;
        }
        state.taken += 1;
        Some(std::mem::take(&mut state.refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_in_each_window() {
        let allowance = Allowance::new(2, Duration::from_secs(60));
        let start = Instant::now();
        let at = |s| allowance.take(start + Duration::from_secs(s));
        assert_eq!([at(0), at(1), at(2), at(59)], [Some(0), Some(0), None, None]);
        assert_eq!([at(60), at(61), at(119)], [Some(2), Some(0), None]);
        assert_eq!([at(500), at(559), at(559)], [Some(1), Some(0), None], "a window begins with its first");
    }
}
