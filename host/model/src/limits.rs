use std::time::Duration;

use serde::Serialize;

/// Bounds of one cell, as `CellLimits` in `certosa.capnp` explains them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellLimits {
    pub memory_bytes_max: usize,
    pub cpu_ms_max: u32,
    pub wall_ms_max: u32,
    pub output_bytes_max: usize,
    pub stack_bytes_max: usize,
    pub handles_max: usize,
    pub logs_max: u32,
    pub random_bytes_max: u64,
    pub concurrency_max: usize,
    pub caller_concurrency_max: usize,
    pub queue_max: usize,
}

/// Bounds of the children that make code of a component and look at its types, as `CellLimits` in `certosa.capnp`
/// explains them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    pub wall_ms_max: u32,
    pub memory_bytes_max: u64,
}

/// Which calls share a cell, as `Reuse` in `certosa.capnp` explains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reuse {
    #[default]
    Once,
    Serial,
    Caller,
}

/// Bounds of the house, as `HouseLimits` in `certosa.capnp` explains them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HouseLimits {
    pub cells_max: u32,
    pub request_bytes_max: usize,
    pub connections_max: usize,
    pub header_ms_max: u32,
    pub body_ms_max: u32,
    pub sessions_max: usize,
    pub session_idle_s_max: u32,
    pub drain_ms_max: u32,
    pub answer_s_max: u32,
}

/// How much of everything, for one exchange of a bundle with the outside, as `Egress` in `certosa.capnp` explains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EgressLimits {
    pub request_bytes_max: u64,
    /// Of the body as the guest gets it, unpacked.
    pub response_bytes_max: u64,
    /// For looking up, and again for connecting to one of the addresses, with TLS.
    pub connect_ms_max: u32,
    /// From the last byte that was sent to the first that comes back.
    pub first_byte_ms_max: u32,
    /// Between two reads of a body; time in which the guest does not read does not count.
    pub between_bytes_ms_max: u32,
    /// Redirects that the host follows by itself; those beyond are for the guest to see.
    pub redirects_max: u8,
}

/// A limit of a cell that a call went past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    Memory,
    Cpu,
    Wall,
    Stack,
    Output,
    Handles,
    Random,
    Concurrency,
}

impl CompileLimits {
    /// The fields of the manifest that set them.
    pub const TIME: &str = "compileMsMax";
    pub const MEMORY: &str = "compileMibMax";
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { wall_ms_max: 180_000, memory_bytes_max: 8 << 30 }
    }
}

impl Default for EgressLimits {
    fn default() -> Self {
        Self {
            request_bytes_max: 8 << 20,
            response_bytes_max: 32 << 20,
            connect_ms_max: 10_000,
            first_byte_ms_max: 60_000,
            between_bytes_ms_max: 30_000,
            redirects_max: 0,
        }
    }
}

impl EgressLimits {
    pub fn connect(&self) -> Duration {
        Duration::from_millis(self.connect_ms_max.into())
    }

    pub fn first_byte(&self) -> Duration {
        Duration::from_millis(self.first_byte_ms_max.into())
    }

    pub fn between_bytes(&self) -> Duration {
        Duration::from_millis(self.between_bytes_ms_max.into())
    }
}

impl Limit {
    /// Its name in records and in `_meta`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Wall => "wall",
            Self::Stack => "stack",
            Self::Output => "output",
            Self::Handles => "handles",
            Self::Random => "random",
            Self::Concurrency => "concurrency",
        }
    }

    /// The field of the manifest that sets it.
    pub fn field(self) -> &'static str {
        match self {
            Self::Memory => "memoryMibMax",
            Self::Cpu => "cpuMsMax",
            Self::Wall => "wallMsMax",
            Self::Stack => "stackKibMax",
            Self::Output => "outputKibMax",
            Self::Handles => "handlesMax",
            Self::Random => "randomKibMax",
            Self::Concurrency => "queueMax",
        }
    }
}

/// What a call consumed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Time on the processor, in the guest and in the host on its behalf.
    pub cpu_us: u64,
    /// From the start of the cell to its end.
    pub wall_us: u64,
    /// The most that memories and tables came to at any time.
    pub memory_bytes: usize,
    /// The size of the result.
    pub output_bytes: usize,
    /// Log messages and progress reports that were dropped because there were too many.
    pub events_dropped: u32,
}
