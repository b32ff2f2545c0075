use std::time::{Duration, Instant};

use certosa_model::{CellLimits, Change, HouseLimits, Limit, Usage};
use certosa_policy::Permit;
use certosa_syscall::guest::{Linked, Offer, Outcome, Refusal, Task};
use certosa_syscall::{Cell, CpuSpent, Hearing};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use crate::pool::{self, PoolError, PoolFacts};
use crate::ticker::Ticker;
use crate::typed::{Description, Skipped, Typed};

/// Where cells run. There is one in a house.
pub struct Machine {
    engine: Engine,
    linker: Linker<Cell>,
    ticker: Ticker,
    facts: PoolFacts,
    stack_bytes_max: usize,
}

/// A component that is loaded and linked: all that is left to do for a cell is to instantiate it.
pub struct Image {
    bundle: Bundle,
}

enum Bundle {
    /// It speaks our world.
    Linked(Linked),
    /// Its functions are its tools.
    Typed(Typed),
}

/// Why a component's code did not become an image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("the compiled code cannot be loaded: {0}")]
    Code(String),
    #[error("{0}")]
    World(String),
}

/// How a cell ended, and what it used.
pub struct End<T> {
    pub usage: Usage,
    /// What the bundle said is out of date with its clients.
    pub changes: Vec<Change>,
    pub result: Result<T, CellError>,
}

/// Why a cell has no result.
#[derive(Debug, Clone)]
pub enum CellError {
    /// It went past a limit. The number is the bound, in the unit of the manifest's field.
    Limit(Limit, u64),
    /// It broke off: a panic, an invalid access, an exit. The second text is for the operator: the trace and
    /// the end of the guest's standard error.
    Trap(String, String),
    /// It answered with a refusal.
    Refused(Refusal),
    /// The host could not do its part.
    Host(String),
}

/// Room for lists and records around the bytes that count as output.
pub(crate) const LIFT_SLACK_BYTES: usize = 64 << 10;

impl Image {
    /// The exports of a typed component that are no tools.
    pub fn skipped(&self) -> &[Skipped] {
        match &self.bundle {
            Bundle::Linked(_) => &[],
            Bundle::Typed(typed) => typed.skipped(),
        }
    }
}

impl Machine {
    /// Sets up a machine whose cells have at most `memory_bytes_max` in one memory.
    pub fn new(limits: &HouseLimits, memory_bytes_max: usize) -> Result<Self, PoolError> {
        let (engine, facts) = pool::engine(limits, memory_bytes_max)?;
        let failed = |source| PoolError::of(limits, source);
        let mut linker = Linker::new(&engine);
        certosa_syscall::link(&mut linker).map_err(failed)?;
        let ticker = Ticker::start(engine.clone()).map_err(|error| failed(error.into()))?;
        Ok(Self { engine, linker, ticker, facts, stack_bytes_max: limits.stack_bytes_max })
    }

    pub fn facts(&self) -> PoolFacts {
        self.facts
    }

    /// Loads code that [`crate::compile`] made and links it to the doors.
    ///
    /// `code` has to come from the compiler of this program, directly or through the authenticated cache.
    pub fn image(&self, code: &[u8]) -> Result<Image, ImageError> {
        let linked = self.link(code)?.and_then(Linked::new);
        let bundle = linked.map_err(|error| ImageError::World(format!("{error:#}")))?;
        Ok(Image { bundle: Bundle::Linked(bundle) })
    }

    /// The same for a component that has no more than its functions. Their names as tools are at most
    /// `name_bytes_max` long.
    pub fn typed_image(
        &self,
        code: &[u8],
        description: &Description,
        name_bytes_max: usize,
    ) -> Result<Image, ImageError> {
        let linked = self.link(code)?.map_err(|error| ImageError::World(format!("{error:#}")))?;
        Ok(Image { bundle: Bundle::Typed(Typed::new(linked, description, name_bytes_max)) })
    }

    fn link(&self, code: &[u8]) -> Result<wasmtime::Result<InstancePre<Cell>>, ImageError> {
        #[expect(unsafe_code, reason = "loading machine code is what a code cache is for")]
        // SAFETY: both callers pass what our own child process compiled, or what the cache kept under a MAC
        // whose key only this user can read; wasmtime checks the engine's version and settings.
        let component = unsafe { Component::deserialize(&self.engine, code) };
        let component = component.map_err(|error| match format!("{error:#}") {
            why if why.contains("pooling allocator") => ImageError::World(format!(
                "it starts with more than any cell here may have ({}): see memoryMibMax",
                error.root_cause()
            )),
            why => ImageError::Code(why),
        })?;
        Ok(self.linker.instantiate_pre(&component))
    }

    /// Asks a bundle for what it offers, in a cell of its own and without any caller. What a typed one offers
    /// is known without a cell.
    pub async fn list(&self, image: &Image, limits: &CellLimits) -> End<Offer> {
        match &image.bundle {
            Bundle::Linked(linked) => {
                self.run(limits, Hearing::default(), async |store| linked.list(store).await).await
            }
            Bundle::Typed(typed) => End { usage: Usage::default(), changes: Vec::new(), result: Ok(typed.offer()) },
        }
    }

    /// Does one task in a cell of its own. The permit is the proof that it may run.
    pub async fn call(
        &self,
        image: &Image,
        _permit: &Permit<'_>,
        task: &Task,
        limits: &CellLimits,
        hearing: Hearing,
    ) -> End<Outcome> {
        let bytes_max = limits.output_bytes_max;
        let mut end = match &image.bundle {
            Bundle::Linked(linked) => self.run(limits, hearing, async |store| linked.run(store, task).await).await,
            Bundle::Typed(typed) => {
                self.run(limits, hearing, async |store| typed.run(store, task, bytes_max).await).await
            }
        };
        if let Ok(outcome) = &end.result {
            end.usage.output_bytes = outcome.size();
            if end.usage.output_bytes > limits.output_bytes_max {
                end.result = Err(self.over(Limit::Output, limits));
            }
        }
        end
    }

    async fn run<T>(
        &self,
        limits: &CellLimits,
        hearing: Hearing,
        work: impl AsyncFnOnce(&mut Store<Cell>) -> wasmtime::Result<Result<T, Refusal>>,
    ) -> End<T> {
        let started = Instant::now();
        let _ticking = self.ticker.run();
        let mut store = self.store(limits, hearing);
        let wall = Duration::from_millis(limits.wall_ms_max.into());
        let ended = tokio::time::timeout(wall, work(&mut store)).await;
        let cell = store.data();
        let usage = Usage {
            cpu_ms: cell.meter.cpu_ms,
            wall_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            memory_bytes: cell.meter.memory_bytes_peak,
            output_bytes: 0,
            events_dropped: cell.meter.events_dropped,
        };
        let result = match ended {
            Err(_elapsed) => Err(self.over(Limit::Wall, limits)),
            Ok(Err(error)) => Err(self.explain(&error, cell, limits)),
            Ok(Ok(Err(refusal))) => Err(CellError::Refused(refusal)),
            Ok(Ok(Ok(value))) => Ok(value),
        };
        End { usage, changes: std::mem::take(&mut store.data_mut().changes), result }
    }

    fn store(&self, limits: &CellLimits, hearing: Hearing) -> Store<Cell> {
        let mut store = Store::new(&self.engine, Cell::new(*limits, hearing));
        store.limiter(|cell| &mut cell.meter);
        store.set_hostcall_fuel(limits.output_bytes_max.saturating_add(LIFT_SLACK_BYTES));
        // The deadline is one tick from the start (faster than to move it later): a guest that is seen
        // running when the epoch changes pays one tick and lets its neighbours go first.
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut context| {
            context.data_mut().meter.tick()?;
            Ok(UpdateDeadline::Yield(1))
        });
        store
    }

    /// The error of a cell that went past `limit`.
    fn over(&self, limit: Limit, limits: &CellLimits) -> CellError {
        let bound = match limit {
            Limit::Memory => limits.memory_bytes_max >> 20,
            Limit::Cpu => limits.cpu_ms_max as usize,
            Limit::Wall => limits.wall_ms_max as usize,
            Limit::Stack => self.stack_bytes_max >> 10,
            Limit::Output => limits.output_bytes_max >> 10,
            Limit::Concurrency => limits.queue_max,
        };
        CellError::Limit(limit, bound as u64)
    }

    /// Finds out why wasmtime ended the cell.
    fn explain(&self, error: &wasmtime::Error, cell: &Cell, limits: &CellLimits) -> CellError {
        let trap = error.downcast_ref::<Trap>();
        let exit = error.downcast_ref::<I32Exit>();
        if error.is::<CpuSpent>() {
            return self.over(Limit::Cpu, limits);
        }
        if trap == Some(&Trap::StackOverflow) {
            return self.over(Limit::Stack, limits);
        }
        // wasmtime has no type for this; the test of the output limit notices when the text changes.
        if format!("{error:#}").contains("fuel allocated for hostcalls has been exhausted") {
            return self.over(Limit::Output, limits);
        }
        // Out of memory shows as an abort, or as a component that could not even be instantiated.
        if cell.meter.memory_refused && exit.is_none() && matches!(trap, None | Some(Trap::UnreachableCodeReached)) {
            return self.over(Limit::Memory, limits);
        }
        let seen = match (exit, trap) {
            (Some(exit), _) => format!("the tool ended its own process (exit code {})", exit.0),
            (_, Some(trap)) => format!("the tool broke off: {trap}"),
            _ => format!("the tool broke off: {}", error.root_cause()),
        };
        CellError::Trap(seen, format!("{error:?}\n{}", cell.errors()))
    }
}
