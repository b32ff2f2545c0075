use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use certosa_model::{CellLimits, Limit};
use certosa_policy::Permit;
use certosa_syscall::guest::{Linked, Offer, Outcome, Refusal, Task};
use certosa_syscall::{Cell, Errand, Hearing};
use wasmtime::component::{Component, Instance, InstancePre, Linker};
use wasmtime::{Engine, Store};

use crate::cell::{self, Broke, CellError, End, Over};
use crate::lanes::{Lanes, Pace};
use crate::pool::{self, PoolError, PoolFacts};
use crate::terms::{Breach, Terms, Turns};
use crate::ticker::Ticker;
use crate::typed::{Arguments, Description, Skipped, Typed};

/// Where cells run. There is one in a house.
pub struct Machine {
    /// One for each depth of stack: the stack is the one limit that belongs to an engine.
    wings: Vec<Wing>,
    ticker: Ticker,
    lanes: Lanes,
    facts: PoolFacts,
}

struct Wing {
    stack_bytes_max: usize,
    linker: Linker<Cell>,
}

/// A component that is loaded and linked: all that is left to do for a cell is to instantiate it.
pub struct Image {
    bundle: Bundle,
    turns: Turns,
}

enum Bundle {
    /// It speaks our world.
    Linked(Linked),
    /// Its functions are its tools.
    Typed(Typed),
}

/// Code that [`crate::compile`] made.
///
/// It has to come from the compiler of this program, directly or through the authenticated cache.
pub enum Code<'a> {
    Bytes(&'a [u8]),
    /// To be mapped: its pages are read when they are needed, and are shared and given back by the system.
    File(File),
}

/// What a cell does: one task, within its bounds.
pub struct Work<'p> {
    pub task: Task,
    pub limits: CellLimits,
    /// What arguments and result are held to, if the bundle said anything of it.
    pub terms: Option<Arc<dyn Terms>>,
    /// Who hears of it before its end.
    pub hearing: Hearing,
    /// What it may use outside, if its bundle was granted anything.
    pub errand: Option<Arc<Errand>>,
    /// Of what is called.
    pub pace: &'p Pace,
}

/// A cell that outlives its calls. It is dropped when one of them ends with anything but a result.
pub struct Warm {
    store: Store<Cell>,
    instance: Instance,
}

/// A task whose arguments are in order.
enum Admitted<'i> {
    /// They go to the guest as they came.
    Task,
    Values(Arguments<'i>),
}

/// Why a component's code did not become an image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("the compiled code cannot be loaded: {0}")]
    Code(String),
    #[error("{0}")]
    World(String),
}

impl Machine {
    /// Sets up a machine for cells with these limits, of which at most `cells` exist at the same time.
    pub fn new<'l>(cells: u32, limits: impl IntoIterator<Item = &'l CellLimits>) -> Result<Self, PoolError> {
        let limits: Vec<_> = limits.into_iter().collect();
        let mut stacks: Vec<_> = limits.iter().map(|limits| limits.stack_bytes_max).collect();
        stacks.sort_unstable();
        stacks.dedup();
        let failed = |source| PoolError::of(cells, source);
        let (mut wings, mut engines, mut facts) = (Vec::new(), Vec::new(), PoolFacts::default());
        for stack_bytes_max in stacks {
            let here = limits.iter().filter(|limits| limits.stack_bytes_max == stack_bytes_max);
            let memory_bytes_max = here.map(|limits| limits.memory_bytes_max).max().unwrap_or_default();
            let engine;
            (engine, facts) = pool::engine(cells, memory_bytes_max, stack_bytes_max)?;
            let mut linker = Linker::new(&engine);
            certosa_syscall::link(&mut linker).map_err(failed)?;
            engines.push(engine);
            wings.push(Wing { stack_bytes_max, linker });
        }
        let ticker = Ticker::start(engines).map_err(|error| failed(error.into()))?;
        let lanes = Lanes::new().map_err(|error| failed(error.into()))?;
        Ok(Self { wings, ticker, lanes, facts })
    }

    pub fn facts(&self) -> PoolFacts {
        self.facts
    }

    /// Loads code and links it to the doors, for cells with this stack.
    pub fn image(&self, code: Code<'_>, stack_bytes_max: usize) -> Result<Image, ImageError> {
        let linked = self.link(code, stack_bytes_max)?.and_then(Linked::new);
        let bundle = linked.map_err(|error| ImageError::World(format!("{error:#}")))?;
        Ok(Image { bundle: Bundle::Linked(bundle), turns: Turns::new() })
    }

    /// The same for a component that has no more than its functions. Their names as tools are at most
    /// `name_bytes_max` long.
    pub fn typed_image(
        &self,
        code: Code<'_>,
        stack_bytes_max: usize,
        description: &Description,
        name_bytes_max: usize,
    ) -> Result<Image, ImageError> {
        let linked = self.link(code, stack_bytes_max)?.map_err(|error| ImageError::World(format!("{error:#}")))?;
        let bundle = Bundle::Typed(Typed::new(linked, description, name_bytes_max));
        Ok(Image { bundle, turns: Turns::new() })
    }

    fn link(&self, code: Code<'_>, stack_bytes_max: usize) -> Result<wasmtime::Result<InstancePre<Cell>>, ImageError> {
        let wing = self.wings.iter().find(|wing| wing.stack_bytes_max == stack_bytes_max);
        let Some(Wing { linker, .. }) = wing else {
            return Err(ImageError::World("this machine was set up for other limits".to_owned()));
        };
        #[expect(unsafe_code, reason = "loading machine code is what a code cache is for")]
        // SAFETY: both callers pass what our own child process compiled, or what the cache kept under a MAC
        // whose key only this user can read; wasmtime checks the engine's version and settings.
        let component = unsafe {
            match code {
                Code::Bytes(bytes) => Component::deserialize(linker.engine(), bytes),
                // The very file that was checked, whatever has its name now.
                Code::File(file) => {
                    Component::deserialize_file(linker.engine(), format!("/proc/self/fd/{}", file.as_raw_fd()))
                }
            }
        };
        Ok(linker.instantiate_pre(&component.map_err(|error| too_much(&error))?))
    }

    /// Asks a bundle for what it offers, in a cell of its own and without any caller. It stands back behind calls.
    pub async fn list(&self, image: &Arc<Image>, limits: &CellLimits) -> End<Offer> {
        let (ticking, image, limits) = (self.ticker.run(), Arc::clone(image), *limits);
        let cell = async move {
            let _ticking = ticking;
            image.list(&limits).await
        };
        self.lanes.run(cell, &Pace::slow()).await.unwrap_or_else(|lost| End::lost(&lost))
    }

    /// Does on a thread that stands back what may take long and is done for a bundle outside of its cells. `None` where the
    /// house closes meanwhile.
    pub async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.lanes.aside(work).await
    }

    /// Does one task in a cell of its own. The permit is the proof that it may run. `held` is kept for as long as
    /// there is a cell, which may outlast this by a tick when it is given up.
    pub async fn call(
        &self,
        image: &Arc<Image>,
        _permit: &Permit<'_>,
        work: Work<'_>,
        held: impl Send + 'static,
    ) -> End<Outcome> {
        let (ticking, image) = (self.ticker.run(), Arc::clone(image));
        let Work { task, limits, terms, hearing, errand, pace } = work;
        let cell = async move {
            let _held = (held, ticking);
            let mut store = image.store(&limits, hearing, errand);
            let work = async |store: &mut Store<Cell>| image.work(store, &mut None, &task, terms.as_deref()).await;
            sized(cell::run(&mut store, work).await, &limits)
        };
        let end = self.lanes.run(cell, pace).await.unwrap_or_else(|lost| End::lost(&lost));
        pace.note(end.was_in_the_way);
        end
    }

    /// Does one task in a cell that is there from the call before, and comes back if this one had a result.
    /// Without one a cell is made. If the call is given up, the cell is gone. `held` comes back too.
    pub async fn call_again<H: Send + 'static>(
        &self,
        warm: Option<Warm>,
        image: &Arc<Image>,
        _permit: &Permit<'_>,
        work: Work<'_>,
        held: H,
    ) -> (End<Outcome>, Option<Warm>, Option<H>) {
        let (ticking, image) = (self.ticker.run(), Arc::clone(image));
        let Work { task, limits, terms, hearing, errand, pace } = work;
        let cell = async move {
            let _ticking = ticking;
            let (end, warm) = image.run_again(warm, (&task, terms.as_deref()), &limits, (hearing, errand)).await;
            (end, warm, Some(held))
        };
        let ended = self.lanes.run(cell, pace).await.unwrap_or_else(|lost| (End::lost(&lost), None, None));
        pace.note(ended.0.was_in_the_way);
        ended
    }
}

impl Image {
    /// The exports of a typed component that are no tools.
    pub fn skipped(&self) -> &[Skipped] {
        match &self.bundle {
            Bundle::Linked(_) => &[],
            Bundle::Typed(typed) => typed.skipped(),
        }
    }

    fn engine(&self) -> &Engine {
        match &self.bundle {
            Bundle::Linked(linked) => linked.engine(),
            Bundle::Typed(typed) => typed.engine(),
        }
    }

    fn store(&self, limits: &CellLimits, hearing: Hearing, errand: Option<Arc<Errand>>) -> Store<Cell> {
        cell::store(self.engine(), limits, hearing, errand)
    }

    /// Runs a task in a cell from before, or in a new one, which is there afterwards if there was a result.
    async fn run_again(
        &self,
        warm: Option<Warm>,
        (task, terms): (&Task, Option<&dyn Terms>),
        limits: &CellLimits,
        (hearing, errand): (Hearing, Option<Arc<Errand>>),
    ) -> (End<Outcome>, Option<Warm>) {
        let (mut store, known) = match warm {
            Some(Warm { mut store, instance }) => {
                store.data_mut().begin(*limits, hearing, errand);
                (store, Some(instance))
            }
            None => (self.store(limits, hearing, errand), None),
        };
        let mut made = known;
        let work = async |store: &mut Store<Cell>| self.work(store, &mut made, task, terms).await;
        let end = sized(cell::run(&mut store, work).await, limits);
        let is_good = matches!(&end.result, Ok(_) | Err(CellError::Refused(_))) && !store.data().left_open;
        (end, made.filter(|_| is_good).map(|instance| Warm { store, instance }))
    }

    async fn list(&self, limits: &CellLimits) -> End<Offer> {
        match &self.bundle {
            Bundle::Linked(linked) => {
                let mut store = self.store(limits, Hearing::default(), None);
                cell::run(&mut store, async |store| linked.list(store).await).await
            }
            // That is known without a cell.
            Bundle::Typed(typed) => End::without_a_cell(Ok(typed.offer())),
        }
    }

    /// A task from its arguments to its outcome. Nothing of the guest runs before its arguments are in order; its
    /// instance is there, or is made.
    async fn work(
        &self,
        store: &mut Store<Cell>,
        made: &mut Option<Instance>,
        task: &Task,
        terms: Option<&dyn Terms>,
    ) -> wasmtime::Result<Result<Outcome, Refusal>> {
        let (limits, time) = left(store);
        let admitted = match self.admit(task, terms, &limits, time).await? {
            Ok(admitted) => admitted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let instance = match *made {
            Some(instance) => instance,
            None => self.instantiate(store).await?,
        };
        *made = Some(instance);
        let done = self.run(store, &instance, task, admitted).await?;
        let (_, time) = left(store);
        // Of what is too large that is said.
        if let (Ok(outcome), Some(terms)) = (&done, terms)
            && outcome.size() <= limits.output_bytes_max
        {
            self.turns.check(time, terms.gives(outcome)).await.map_err(|breach| match breach {
                Breach::Wrong(why) => wasmtime::Error::new(Broke(why)),
                Breach::Long => wasmtime::Error::new(Over(Limit::Cpu)),
            })?;
        }
        Ok(done)
    }

    /// Whether the bundle takes the arguments. What a typed one takes is said by its types, and what it gives has them.
    async fn admit(
        &self,
        task: &Task,
        terms: Option<&dyn Terms>,
        limits: &CellLimits,
        time: Duration,
    ) -> wasmtime::Result<Result<Admitted<'_>, Refusal>> {
        if let Bundle::Typed(typed) = &self.bundle {
            return Ok(typed.arguments(task, limits)?.map(Admitted::Values));
        }
        let (Task::Call(call), Some(terms)) = (task, terms) else { return Ok(Ok(Admitted::Task)) };
        match self.turns.check(time, terms.takes(&call.arguments)).await {
            Ok(()) => Ok(Ok(Admitted::Task)),
            Err(Breach::Wrong(why)) => Ok(Err(Refusal::InvalidArguments(why))),
            Err(Breach::Long) => Err(wasmtime::Error::new(Over(Limit::Cpu))),
        }
    }

    async fn instantiate(&self, store: &mut Store<Cell>) -> wasmtime::Result<Instance> {
        match &self.bundle {
            Bundle::Linked(linked) => linked.instantiate(store).await,
            Bundle::Typed(typed) => typed.instantiate(store).await,
        }
    }

    async fn run(
        &self,
        store: &mut Store<Cell>,
        instance: &Instance,
        task: &Task,
        admitted: Admitted<'_>,
    ) -> wasmtime::Result<Result<Outcome, Refusal>> {
        match (&self.bundle, admitted) {
            (Bundle::Typed(typed), Admitted::Values(arguments)) => typed.run(store, instance, arguments).await.map(Ok),
            (Bundle::Linked(linked), _) => linked.run(store, instance, task).await,
            (Bundle::Typed(_), Admitted::Task) => Ok(Err(Refusal::Unknown)),
        }
    }
}

/// The bounds of a cell, and what is left of its time.
fn left(store: &Store<Cell>) -> (CellLimits, Duration) {
    let meter = &store.data().meter;
    (*meter.limits(), meter.time_left())
}

/// Says why code does not fit into the pool. wasmtime has no types for the reasons; the tests of the limits notice
/// when the texts change.
fn too_much(error: &wasmtime::Error) -> ImageError {
    let why = error.root_cause().to_string();
    if !why.contains("exceeds") {
        return ImageError::Code(format!("{error:#}"));
    }
    ImageError::World(if why.contains("minimum byte size") {
        format!("it starts with more memory than any cell here may have ({why}): memoryMibMax, set by the operator")
    } else {
        format!("it has more parts than a cell may have ({why}): {}, set by the house", pool::parts())
    })
}

/// Measures the outcome, and refuses one that is too large.
fn sized(mut end: End<Outcome>, limits: &CellLimits) -> End<Outcome> {
    if let Ok(outcome) = &end.result {
        end.usage.output_bytes = outcome.size();
        if end.usage.output_bytes > limits.output_bytes_max {
            end.result = Err(cell::over(Limit::Output, limits));
        }
    }
    end
}
