//! How often something may happen, by a clock that the caller reads.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many times in any span of this length. When each was is known to a sixtieth of it, so one may count for that much
/// longer, and never for less.
#[derive(Debug)]
pub struct Allowance {
    most: u32,
    span: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    /// The parts of the span in which there were any, by number, and how many.
    parts: VecDeque<(u128, u32)>,
    taken: u32,
    refused: u64,
}

/// Of one span.
const PARTS: u32 = 60;

/// How many went untold before what is told now, as the end of a line of the log; nothing if there were none.
#[derive(Debug, Clone, Copy)]
pub struct Untold(pub u64);

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, " ({} more were not told)", self.0) }
    }
}

impl Allowance {
    pub fn new(most: u32, span: Duration) -> Self {
        Self { most, span, state: Mutex::default() }
    }

    /// For what an operator is warned of and a bundle can cause again and again: 10 times in 10 s.
    pub fn of_warnings() -> Self {
        Self::new(10, Duration::from_secs(10))
    }

    /// Takes one, and says how many were refused since the last one that was not. `None`: there is none left.
    pub fn take(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *state.since.get_or_insert(now);
        let part = now.saturating_duration_since(since).as_nanos() * u128::from(PARTS) / self.span.as_nanos().max(1);
        state.forget_before(part.saturating_sub(PARTS.into()));
        if state.taken >= self.most {
            state.refused = state.refused.saturating_add(1);
            return None;
        }
        state.taken += 1;
        match state.parts.back_mut() {
            // A clock that was read before another one may come after it.
            Some((last, count)) if *last >= part => *count += 1,
            _ => state.parts.push_back((part, 1)),
        }
        Some(std::mem::take(&mut state.refused))
    }
}

impl State {
    fn forget_before(&mut self, first: u128) {
        while let Some(&(part, count)) = self.parts.front()
            && part < first
        {
            self.parts.pop_front();
            self.taken -= count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_in_any_span() {
        let allowance = Allowance::new(2, Duration::from_secs(60));
        let start = Instant::now();
        let at = |s| allowance.take(start + Duration::from_secs(s));
        assert_eq!([at(0), at(50), at(51), at(60)], [Some(0), Some(0), None, None]);
        assert_eq!([at(61), at(62), at(110)], [Some(2), None, None], "the one of 50 counts on");
        assert_eq!([at(111), at(121), at(122)], [Some(2), None, Some(1)]);
        assert_eq!([at(500), at(499), at(560), at(561)], [Some(0), Some(0), None, Some(1)]);
    }

    #[test]
    fn a_long_life_holds_no_more_than_one_span() {
        let allowance = Allowance::new(u32::MAX, Duration::from_secs(60));
        let start = Instant::now();
        for ms in (0..600_000).step_by(100) {
            assert_eq!(allowance.take(start + Duration::from_millis(ms)), Some(0));
        }
        let state = allowance.state.into_inner().unwrap();
        assert_eq!((state.parts.len(), state.taken), (61, 610));
    }
}
