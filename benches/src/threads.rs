//! The same work on one thread and on two, each on a processor of its own: alone on the first, both, alone on the second.
//! So two threads are compared with what each of them does alone, and a machine that is slower for a while shows.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use crate::load::{CALM, median, own_time};
use crate::server::pin_this_thread;
use crate::{Done, tell};

const ROUNDS: usize = 30;
const SLICE: Duration = Duration::from_millis(150);
const WARM_UP: usize = 2_000;

/// What one thread did.
struct Slice {
    times: Vec<Duration>,
    per_second: f64,
    /// The share of the time that it had its processor.
    busy: f64,
}

struct Round {
    first: Slice,
    both: [Slice; 2],
    second: Slice,
}

/// Calls for a while in these three ways, in turn, and says what came of it.
pub(crate) fn report(what: &str, call: impl Fn(&Runtime) -> bool + Sync) -> Done<()> {
    let mut calm = Vec::new();
    for _ in 0..ROUNDS {
        let round = Round::take(&call)?;
        if round.is_calm() {
            calm.push(round);
        }
    }
    let (one, two) = (median(calm.iter().map(Round::one)), median(calm.iter().map(Round::two)));
    let (Some(one), Some(two), Some(ratio)) = (one, two, median(calm.iter().map(|round| round.two() / round.one())))
    else {
        return Err(format!("{what}: no round was calm, so other work has to end first").into());
    };
    let mut times: Vec<_> = calm.iter().flat_map(|round| [&round.first.times, &round.second.times]).flatten().collect();
    times.sort_unstable();
    let us =
        |share: usize| times.get(times.len() * share / 100).map_or(f64::NAN, |time| time.as_nanos() as f64 / 1000.0);
    let (p50, p99) = (us(50), us(99));
    tell(&format!(
        "{what:<6} {one:>7.0}/s  p50 {p50:>5.1} µs  p99 {p99:>5.1} µs;  on two threads {two:>7.0}/s ({ratio:.2} times)  \
         {} of {ROUNDS} rounds calm",
        calm.len()
    ));
    Ok(())
}

pub(crate) fn runtime() -> Done<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

impl Round {
    fn take(call: &(impl Fn(&Runtime) -> bool + Sync)) -> Done<Self> {
        let [first] = Slice::take_on([0], call)?;
        let both = Slice::take_on([0, 1], call)?;
        let [second] = Slice::take_on([1], call)?;
        Ok(Self { first, both, second })
    }

    /// Each thread had its processor for itself, and one is about as fast as the other.
    fn is_calm(&self) -> bool {
        let (first, second) = (self.first.per_second, self.second.per_second);
        let all = [&self.first, &self.second].into_iter().chain(&self.both);
        first.min(second) >= CALM * first.max(second) && all.map(|slice| slice.busy).all(|busy| busy >= CALM)
    }

    fn one(&self) -> f64 {
        f64::midpoint(self.first.per_second, self.second.per_second)
    }

    fn two(&self) -> f64 {
        self.both.iter().map(|slice| slice.per_second).sum()
    }
}

impl Slice {
    /// One thread on each of these processors, all from the same moment on.
    fn take_on<const N: usize>(processors: [u32; N], call: &(impl Fn(&Runtime) -> bool + Sync)) -> Done<[Self; N]> {
        let start = Barrier::new(N);
        let take = |processor| Self::take(processor, &start, call).map_err(|error| error.to_string());
        std::thread::scope(|scope| {
            let workers = processors.map(|processor| scope.spawn(move || take(processor)));
            let mut slices = Vec::new();
            for worker in workers {
                slices.push(worker.join().map_err(|_| "a thread broke off")??);
            }
            slices.try_into().map_err(|_| "a thread is missing".into())
        })
    }

    fn take(processor: u32, start: &Barrier, call: &impl Fn(&Runtime) -> bool) -> Done<Self> {
        let runtime = pin_this_thread(processor).and_then(|()| runtime());
        if let Ok(runtime) = &runtime {
            for _ in 0..WARM_UP {
                call(runtime);
            }
        }
        // Whoever failed before is waited for as well.
        start.wait();
        let runtime = runtime?;
        let (mut times, began, busy) = (Vec::new(), Instant::now(), own_time()?);
        while began.elapsed() < SLICE {
            let started = Instant::now();
            if !call(&runtime) {
                return Err("a call failed".into());
            }
            times.push(started.elapsed());
        }
        let took = began.elapsed().as_secs_f64();
        let busy = own_time()?.saturating_sub(busy).as_secs_f64() / took;
        Ok(Self { per_second: times.len() as f64 / took, times, busy })
    }
}
