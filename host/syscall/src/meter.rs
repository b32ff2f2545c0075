use std::sync::Arc;
use std::time::Duration;

use certosa_model::CellLimits;
use wasmtime::ResourceLimiter;

use crate::clock::CpuClock;

/// What one cell has used, and where it ends. Memory is summed over all linear memories and tables, because
/// a bound for each of them alone is none.
#[derive(Debug)]
pub struct Meter {
    limits: CellLimits,
    memory_bytes: usize,
    pub memory_bytes_peak: usize,
    /// The guest asked for more memory than it may have. Some guests can do without; most trap next.
    pub memory_refused: bool,
    pub clock: Arc<CpuClock>,
    pub logs: u32,
    pub events_dropped: u32,
}

/// The guest has used up its time on the processor. It ends the call.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the cell has used up its {0} ms on the processor")]
pub struct CpuSpent(pub u32);

/// An element of a table is a pointer in the host.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// Core instances, tables and memories that one cell may have; the pool of the machine is sized by them. A
/// component is linked from several core modules: a plain Rust one has 4, an interpreter for Python about 16.
pub const CORE_INSTANCES_MAX: u32 = 32;
pub const TABLES_MAX: u32 = 8;
pub const MEMORIES_MAX: u32 = 4;

impl Meter {
    pub fn new(limits: CellLimits) -> Self {
        Self {
            limits,
            memory_bytes: 0,
            memory_bytes_peak: 0,
            memory_refused: false,
            clock: Arc::default(),
            logs: 0,
            events_dropped: 0,
        }
    }

    pub fn limits(&self) -> &CellLimits {
        &self.limits
    }

    /// Begins to count for the next call. What the guest holds in memory it still holds.
    pub fn begin(&mut self, limits: CellLimits) {
        let memory_bytes = self.memory_bytes;
        *self = Self { memory_bytes, memory_bytes_peak: memory_bytes, ..Self::new(limits) };
    }

    /// Looks at a cell that is running.
    pub fn tick(&self) -> Result<(), CpuSpent> {
        self.check(self.clock.look())
    }

    /// Whether a cell that has ended kept within its time.
    pub fn end(&self) -> Result<(), CpuSpent> {
        self.check(self.clock.spent())
    }

    /// Time on the processor that is left, as of the last look.
    pub fn time_left(&self) -> Duration {
        Duration::from_millis(self.limits.cpu_ms_max.into()).saturating_sub(self.clock.spent())
    }

    fn check(&self, spent: Duration) -> Result<(), CpuSpent> {
        let ms_max = self.limits.cpu_ms_max;
        if spent > Duration::from_millis(ms_max.into()) { Err(CpuSpent(ms_max)) } else { Ok(()) }
    }

    fn grow(&mut self, more_bytes: usize) -> bool {
        let wanted = self.memory_bytes.saturating_add(more_bytes);
        let fits = wanted <= self.limits.memory_bytes_max;
        if fits {
            self.memory_bytes = wanted;
            self.memory_bytes_peak = self.memory_bytes_peak.max(wanted);
        }
        self.memory_refused |= !fits;
        fits
    }
}

/// Whether a memory or a table can become so large by its own bound. If not, growing it fails in any case, so nothing
/// is counted.
fn fits_in(desired: usize, own_max: Option<usize>) -> bool {
    own_max.is_none_or(|max| desired <= max)
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, own_max: Option<usize>) -> wasmtime::Result<bool> {
        Ok(fits_in(desired, own_max) && self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, own_max: Option<usize>) -> wasmtime::Result<bool> {
        let more_bytes = desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(fits_in(desired, own_max) && self.grow(more_bytes))
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn limits() -> CellLimits {
        CellLimits {
            memory_bytes_max: 1000,
            cpu_ms_max: 20,
            wall_ms_max: 1,
            output_bytes_max: 1,
            stack_bytes_max: 1,
            handles_max: 1,
            logs_max: 1,
            random_bytes_max: 1,
            concurrency_max: 1,
            caller_concurrency_max: 1,
            queue_max: 1,
        }
    }

    fn meter() -> Meter {
        Meter::new(limits())
    }

    #[test]
    fn memories_and_tables_share_one_bound() {
        let mut meter = meter();
        assert!(meter.memory_growing(0, 500, None).unwrap());
        assert!(meter.memory_growing(0, 400, None).unwrap(), "a second memory");
        assert!(!meter.table_growing(0, 13, None).unwrap());
        assert!(meter.memory_refused);
        assert!(meter.table_growing(0, 12, None).unwrap(), "a refusal takes nothing");
        assert_eq!(meter.memory_bytes_peak, 996);
        meter.memory_refused = false;
        assert!(!meter.table_growing(0, 2, Some(1)).unwrap() && !meter.memory_growing(0, 2, Some(1)).unwrap());
        assert!(!meter.memory_refused && meter.memory_bytes == 996, "what cannot be is not counted");
    }

    #[test]
    fn time_is_counted_anew_for_each_call_and_memory_is_not() {
        let mut meter = meter();
        assert!(meter.memory_growing(0, 500, None).unwrap());
        meter.clock.run();
        let started = std::time::Instant::now();
        while meter.tick().is_ok() {
            assert!(started.elapsed() < Duration::from_secs(20));
        }
        meter.clock.stop();
        assert!(meter.end().is_err());
        meter.begin(*meter.limits());
        assert!(meter.end().is_ok());
        assert!(!meter.memory_growing(0, 501, None).unwrap());
    }
}
