//! One cell: a store with its limits, the work in it, and why it ended.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use certosa_model::{CellLimits, Change, Limit, Usage};
use certosa_syscall::guest::Refusal;
use certosa_syscall::{Cell, CpuClock, CpuSpent, Errand, Hearing, is_out_of_handles, is_too_random};
use wasmtime::{Engine, Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use crate::lanes::Lost;

/// How a cell ended, and what it used.
pub struct End<T> {
    pub usage: Usage,
    /// It was in the way of others: it worked for long, or the host had to end it.
    pub(crate) was_in_the_way: bool,
    /// What the bundle said is out of date with its clients.
    pub changes: Vec<Change>,
    pub result: Result<T, CellError>,
}

/// Why a cell has no result.
#[derive(Debug, Clone)]
pub enum CellError {
    /// It went past a limit. The number is the bound, in the unit of the manifest's field.
    Limit(Limit, u64),
    /// It broke off: a panic, an invalid access, an exit. The text is for the caller, the trace for the operator.
    Trap(String, Trace),
    /// It answered with a refusal, or does not take the arguments.
    Refused(Refusal),
    /// It gave what it said that it never would.
    Broke(String),
    /// The host could not do its part.
    Host(String),
}

/// Where a cell broke off, and the end of its standard error. Writing it down takes longer than most calls.
#[derive(Clone)]
pub struct Trace(Arc<(wasmtime::Error, String)>);

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (error, said) = &*self.0;
        write!(f, "{error:?}\n{said}")
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trace(…)")
    }
}

impl CellError {
    /// The host had to end it at work, which takes longer than a call: a signal, a stack that is unwound.
    fn was_costly(&self) -> bool {
        match self {
            Self::Trap(..) => true,
            // One that waited is not at work.
            Self::Limit(limit, _) => *limit != Limit::Wall,
            Self::Refused(_) | Self::Broke(_) | Self::Host(_) => false,
        }
    }
}

impl<T> End<T> {
    /// The end of a cell that never was, or that did not come to one.
    pub fn failed(why: CellError) -> Self {
        Self::without_a_cell(Err(why))
    }

    /// What it did not take a cell to find out.
    pub(crate) fn without_a_cell(result: Result<T, CellError>) -> Self {
        Self { usage: Usage::default(), was_in_the_way: false, changes: Vec::new(), result }
    }

    pub(crate) fn lost(why: &Lost) -> Self {
        Self::failed(CellError::Host(why.to_string()))
    }
}

/// Room for lists and records around the bytes that count as output.
pub(crate) const LIFT_SLACK_BYTES: usize = 64 << 10;

/// A store in which one cell runs.
pub(crate) fn store(
    engine: &Engine,
    limits: &CellLimits,
    hearing: Hearing,
    errand: Option<Arc<Errand>>,
) -> Store<Cell> {
    let mut store = Store::new(engine, Cell::new(*limits, hearing, errand));
    store.limiter(|cell| &mut cell.meter);
    store.set_max_component_handles(limits.handles_max);
    store.set_hostcall_fuel(limits.output_bytes_max.saturating_add(LIFT_SLACK_BYTES));
    // The deadline is one tick from the start (faster than to move it later): a guest that is seen
    // running when the epoch changes is looked at and lets its neighbours go first.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|context| {
        context.data().meter.tick()?;
        Ok(UpdateDeadline::Yield(1))
    });
    store
}

/// Works in a cell within the limits of its call.
pub(crate) async fn run<T>(
    store: &mut Store<Cell>,
    work: impl AsyncFnOnce(&mut Store<Cell>) -> wasmtime::Result<Result<T, Refusal>>,
) -> End<T> {
    let started = Instant::now();
    let limits = *store.data().meter.limits();
    let clock = store.data().meter.clock.clone();
    let wall = Duration::from_millis(limits.wall_ms_max.into());
    // Pinned here once: a future that is handed on by value is held twice, and a call copies what it holds.
    let ended = tokio::time::timeout(wall, timed(&clock, pin!(work(&mut *store)))).await;
    let cell = store.data_mut();
    let usage = Usage {
        cpu_us: micros(clock.spent()),
        wall_us: micros(started.elapsed()),
        memory_bytes: cell.meter.memory_bytes_peak,
        output_bytes: 0,
        events_dropped: cell.meter.events_dropped,
    };
    let result = match ended {
        Err(_elapsed) => Err(over(Limit::Wall, &limits)),
        Ok(Err(error)) => Err(explain(error, cell, &limits)),
        // A long instruction or a host function may have outlasted the last tick.
        Ok(Ok(_)) if cell.meter.end().is_err() => Err(over(Limit::Cpu, &limits)),
        Ok(Ok(Err(refusal))) => Err(CellError::Refused(refusal)),
        Ok(Ok(Ok(value))) => Ok(value),
    };
    let was_in_the_way = clock.was_heavy() || result.as_ref().is_err_and(CellError::was_costly);
    End { usage, was_in_the_way, changes: cell.end(), result }
}

/// Polls `work`, and lets the clock run while it does.
async fn timed<F: Future>(clock: &CpuClock, mut work: Pin<&mut F>) -> F::Output {
    std::future::poll_fn(|context| {
        clock.run();
        let polled = work.as_mut().poll(context);
        clock.stop();
        polled
    })
    .await
}

/// The error of a cell that went past `limit`.
pub(crate) fn over(limit: Limit, limits: &CellLimits) -> CellError {
    let bound = match limit {
        Limit::Memory => limits.memory_bytes_max >> 20,
        Limit::Cpu => limits.cpu_ms_max as usize,
        Limit::Wall => limits.wall_ms_max as usize,
        Limit::Stack => limits.stack_bytes_max >> 10,
        Limit::Output => limits.output_bytes_max >> 10,
        Limit::Handles => limits.handles_max,
        Limit::Random => (limits.random_bytes_max >> 10) as usize,
        Limit::Concurrency => limits.queue_max,
    };
    CellError::Limit(limit, bound as u64)
}

/// The host ended a cell, because of a limit that it sees to by itself.
#[derive(Debug, thiserror::Error)]
#[error("the cell went past {}", .0.field())]
pub(crate) struct Over(pub Limit);

/// The bundle did not keep to its terms.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Broke(pub String);

/// Finds out why the cell was ended, by wasmtime or by the host.
fn explain(error: wasmtime::Error, cell: &Cell, limits: &CellLimits) -> CellError {
    let trap = error.downcast_ref::<Trap>();
    let exit = error.downcast_ref::<I32Exit>();
    if let Some(Over(limit)) = error.downcast_ref() {
        return over(*limit, limits);
    }
    if let Some(Broke(why)) = error.downcast_ref() {
        return CellError::Broke(why.clone());
    }
    if error.is::<CpuSpent>() {
        return over(Limit::Cpu, limits);
    }
    if trap == Some(&Trap::StackOverflow) {
        return over(Limit::Stack, limits);
    }
    if is_out_of_handles(&error) {
        return over(Limit::Handles, limits);
    }
    if is_too_random(&error) {
        return over(Limit::Random, limits);
    }
    // wasmtime has no type for this; the test of the output limit notices when the text changes.
    if error.root_cause().to_string().contains("fuel allocated for hostcalls has been exhausted") {
        return over(Limit::Output, limits);
    }
    // Out of memory shows as an abort, or as a component that could not even be instantiated.
    if cell.meter.memory_refused && exit.is_none() && matches!(trap, None | Some(Trap::UnreachableCodeReached)) {
        return over(Limit::Memory, limits);
    }
    let seen = match (exit, trap) {
        (Some(exit), _) => format!("the tool ended its own process (exit code {})", exit.0),
        (_, Some(trap)) => format!("the tool broke off: {trap}"),
        _ => format!("the tool broke off: {}", error.root_cause()),
    };
    CellError::Trap(seen, Trace(Arc::new((error, cell.errors()))))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
