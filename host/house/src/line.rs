use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use certosa_model::Subject;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The line in front of cells: so many run, of each caller so many, and so many wait. Callers who wait take
/// turns, so one with many calls does not hold up one with few; each caller's own calls keep their order.
pub(crate) struct Line {
    state: Mutex<State>,
    bounds: Bounds,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub running_max: usize,
    pub caller_running_max: usize,
    pub waiting_max: usize,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    #[error("is full")]
    Line,
    #[error("did not move in time")]
    Waited,
}

/// How long a call waits, in all the lines that it stands in.
#[derive(Debug)]
pub(crate) struct Patience {
    wait_max: Duration,
    /// From the first wait on; most calls need not wait.
    until: Option<Instant>,
}

/// A place to run, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    line: Arc<Line>,
    caller: Subject,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    waiting: usize,
    callers: BTreeMap<Subject, Queue>,
    /// Callers who wait, in the order of their turns.
    turns: VecDeque<Subject>,
    /// Numbers the calls that wait.
    next: u64,
}

#[derive(Debug, Default)]
struct Queue {
    running: usize,
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A call that waits. However its wait ends, it leaves the line as if it had not been there.
struct Waiting<'a> {
    line: &'a Line,
    caller: &'a Subject,
    number: u64,
    called: oneshot::Receiver<()>,
    /// The wait is over, and the place in use.
    has_place: bool,
}

/// Callers that are remembered although nothing of theirs runs: making room for them anew costs time.
const IDLE_CALLERS_MAX: usize = 64;

impl Line {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { state: Mutex::default(), bounds }
    }

    pub(crate) fn running(&self) -> usize {
        self.lock().running
    }

    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting
    }

    /// Waits for a place.
    pub(crate) async fn enter(self: &Arc<Self>, caller: &Subject, patience: &mut Patience) -> Result<Place, Full> {
        let place = || Place { line: Arc::clone(self), caller: caller.clone() };
        let Some(mut waiting) = self.ask(caller)? else { return Ok(place()) };
        match tokio::time::timeout_at(patience.until(), &mut waiting.called).await {
            Ok(Ok(())) => {
                waiting.has_place = true;
                Ok(place())
            }
            _ => Err(Full::Waited),
        }
    }

    /// Takes a place, or one in the line.
    fn ask<'a>(&'a self, caller: &'a Subject) -> Result<Option<Waiting<'a>>, Full> {
        let mut state = self.lock();
        let State { running, waiting, callers, turns, next } = &mut *state;
        if !callers.contains_key(caller) {
            callers.insert(caller.clone(), Queue::default());
        }
        let Some(queue) = callers.get_mut(caller) else { return Err(Full::Line) };
        // Whoever waits and could run would have been called when the last place was given back.
        if *running < self.bounds.running_max && queue.running < self.bounds.caller_running_max {
            *running += 1;
            queue.running += 1;
            return Ok(None);
        }
        if *waiting >= self.bounds.waiting_max {
            state.forget_idle(caller);
            return Err(Full::Line);
        }
        let (call, called) = oneshot::channel();
        let number = *next;
        *next += 1;
        *waiting += 1;
        if queue.waiting.is_empty() {
            turns.push_back(caller.clone());
        }
        queue.waiting.insert(number, call);
        Ok(Some(Waiting { line: self, caller, number, called, has_place: false }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Patience {
    pub(crate) fn new(wait_ms_max: u32) -> Self {
        Self { wait_max: Duration::from_millis(wait_ms_max.into()), until: None }
    }

    fn until(&mut self) -> Instant {
        *self.until.get_or_insert_with(|| Instant::now() + self.wait_max)
    }
}

impl State {
    /// Gives a place back, and to whoever is next.
    fn give_back(&mut self, caller: &Subject, bounds: &Bounds) {
        self.running = self.running.saturating_sub(1);
        if let Some(queue) = self.callers.get_mut(caller) {
            queue.running = queue.running.saturating_sub(1);
        }
        self.forget_idle(caller);
        self.call_next(bounds);
    }

    /// Nothing of this caller may be left, and there are enough like it.
    fn forget_idle(&mut self, caller: &Subject) {
        let is_idle = |queue: &Queue| queue.running == 0 && queue.waiting.is_empty();
        if self.callers.len() > IDLE_CALLERS_MAX && self.callers.get(caller).is_some_and(is_idle) {
            self.callers.remove(caller);
        }
    }

    fn call_next(&mut self, bounds: &Bounds) {
        for _ in 0..self.turns.len() {
            if self.running >= bounds.running_max {
                return;
            }
            let Some(caller) = self.turns.pop_front() else { return };
            let Some(queue) = self.callers.get_mut(&caller) else { continue };
            if queue.running < bounds.caller_running_max
                && let Some((_, call)) = queue.waiting.pop_first()
            {
                self.waiting = self.waiting.saturating_sub(1);
                // One who does not wait any more has taken itself out before.
                if call.send(()).is_ok() {
                    self.running += 1;
                    queue.running += 1;
                }
            }
            if !queue.waiting.is_empty() {
                self.turns.push_back(caller);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.line.lock().give_back(&self.caller, &self.line.bounds);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.has_place {
            return;
        }
        let mut state = self.line.lock();
        let queue = state.callers.get_mut(self.caller);
        match queue.and_then(|queue| queue.waiting.remove(&self.number)) {
            Some(_) => {
                state.waiting = state.waiting.saturating_sub(1);
                let is_empty = state.callers.get(self.caller).is_none_or(|queue| queue.waiting.is_empty());
                if is_empty {
                    state.turns.retain(|caller| caller != self.caller);
                    state.forget_idle(self.caller);
                }
            }
            // It was called in the moment in which it gave up.
            None => state.give_back(self.caller, &self.line.bounds),
        }
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(running_max: usize, caller_running_max: usize, waiting_max: usize) -> Arc<Line> {
        Arc::new(Line::new(Bounds { running_max, caller_running_max, waiting_max }))
    }

    impl Line {
        async fn enter_within(self: &Arc<Self>, caller: &Subject, wait_ms_max: u32) -> Result<Place, Full> {
            self.enter(caller, &mut Patience::new(wait_ms_max)).await
        }
    }

    fn who(name: &str) -> Subject {
        Subject::new(&format!("user/{name}")).unwrap()
    }

    /// Puts calls into the line one after the other and says in which order they got a place.
    async fn order(line: &Arc<Line>, callers: &[&str], free: impl FnOnce()) -> Vec<String> {
        let served = Arc::new(Mutex::new(Vec::new()));
        let mut calls = Vec::new();
        for (number, caller) in callers.iter().enumerate() {
            let (line, served, caller) = (Arc::clone(line), Arc::clone(&served), (*caller).to_owned());
            calls.push(tokio::spawn(async move {
                let subject = who(&caller);
                let place = line.enter_within(&subject, 5_000).await.unwrap();
                served.lock().unwrap().push(format!("{caller}{number}"));
                tokio::task::yield_now().await;
                drop(place);
            }));
            tokio::task::yield_now().await;
        }
        free();
        for call in calls {
            call.await.unwrap();
        }
        Arc::into_inner(served).unwrap().into_inner().unwrap()
    }

    #[tokio::test]
    async fn callers_take_turns_and_keep_their_order() {
        let (line, first) = (line(1, 1, 10), who("x"));
        let place = line.enter_within(&first, 5_000).await.unwrap();
        let served = order(&line, &["a", "a", "a", "b", "c", "c"], || drop(place)).await;
        assert_eq!(served, ["a0", "b3", "c4", "a1", "c5", "a2"]);
        assert_eq!((line.running(), line.waiting(), line.lock().turns.len()), (0, 0, 0));
    }

    #[tokio::test]
    async fn one_caller_does_not_take_all_places() {
        let (line, a, b) = (line(3, 2, 10), who("a"), who("b"));
        let (one, _two) = (line.enter_within(&a, 5_000).await.unwrap(), line.enter_within(&a, 5_000).await.unwrap());
        let third = order(&line, &["a", "b"], || assert_eq!((line.running(), line.waiting()), (3, 1)));
        let third = tokio::time::timeout(Duration::from_millis(50), third).await;
        assert!(third.is_err(), "the third of a waits although there is room");
        drop(one);
        assert!(line.enter_within(&a, 5_000).await.is_ok() && line.enter_within(&b, 5_000).await.is_ok());
    }

    #[tokio::test]
    async fn the_line_is_bounded_and_a_wait_ends() {
        let (line, a) = (line(1, 1, 1), who("a"));
        let place = line.enter_within(&a, 5_000).await.unwrap();
        let (second, third) = tokio::join!(line.enter_within(&a, 20), line.enter_within(&a, 20));
        assert_eq!((second.err(), third.err()), (Some(Full::Waited), Some(Full::Line)));
        assert_eq!((line.waiting(), line.lock().turns.len()), (0, 0), "who gave up is gone");
        drop(place);
        assert!(line.enter_within(&a, 5_000).await.is_ok());
    }

    #[tokio::test]
    async fn one_wait_is_for_all_lines() {
        let (lines, a) = ([line(1, 1, 1), line(1, 1, 1)], who("a"));
        let first = lines[0].enter_within(&a, 1).await.unwrap();
        let _second = lines[1].enter_within(&a, 1).await.unwrap();
        let mut patience = Patience::new(200);
        let started = Instant::now();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(150)).await;
            drop(first);
        });
        let _place = lines[0].enter(&a, &mut patience).await.unwrap();
        assert_eq!(lines[1].enter(&a, &mut patience).await.err(), Some(Full::Waited));
        let took = started.elapsed();
        assert!((200..345).contains(&took.as_millis()), "{took:?}");
    }

    #[tokio::test]
    async fn who_was_turned_away_or_gave_up_is_forgotten() {
        let (line, first) = (line(1, 1, 1), who("first"));
        let _place = line.enter_within(&first, 5_000).await.unwrap();
        for number in 0..IDLE_CALLERS_MAX * 3 {
            // One of them waits until it gives up, the other finds the line full.
            let (one, other) = (who(&format!("one{number}")), who(&format!("other{number}")));
            let (one, other) = tokio::join!(line.enter_within(&one, 1), line.enter_within(&other, 1));
            assert_eq!((one.err(), other.err()), (Some(Full::Waited), Some(Full::Line)));
        }
        assert!(line.lock().callers.len() <= IDLE_CALLERS_MAX + 1);
    }

    #[tokio::test]
    async fn who_goes_away_leaves_its_place_to_others() {
        let (line, a, b) = (line(1, 1, 10), who("a"), who("b"));
        let place = line.enter_within(&a, 5_000).await.unwrap();
        let mut gone = Box::pin(line.enter_within(&b, 5_000));
        assert!(std::future::poll_fn(|context| std::task::Poll::Ready(gone.as_mut().poll(context).is_pending())).await);
        drop(place);
        assert_eq!(line.running(), 1, "it was called");
        drop(gone);
        assert_eq!((line.running(), line.waiting()), (0, 0));
        assert!(line.enter_within(&a, 5_000).await.is_ok());
    }
}
