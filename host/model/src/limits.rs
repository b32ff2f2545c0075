use serde::Serialize;

/// Bounds of one cell, as `CellLimits` in `certosa.capnp` explains them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellLimits {
    pub memory_bytes_max: usize,
    pub cpu_ms_max: u32,
    pub wall_ms_max: u32,
    pub output_bytes_max: usize,
    pub concurrency_max: usize,
    pub queue_max: usize,
}

/// Bounds of the house, as `HouseLimits` in `certosa.capnp` explains them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HouseLimits {
    pub cells_max: u32,
    pub stack_bytes_max: usize,
    pub request_bytes_max: usize,
    pub connections_max: usize,
    pub header_ms_max: u32,
    pub body_ms_max: u32,
    pub sessions_max: usize,
    pub session_idle_s_max: u32,
    pub drain_ms_max: u32,
    pub answer_s_max: u32,
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
    Concurrency,
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
            Self::Concurrency => "queueMax",
        }
    }
}

/// What a call consumed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Ticks of 1 ms in which the guest was seen running.
    pub cpu_ms: u32,
    /// From the start of the cell to its end.
    pub wall_us: u64,
    /// The most that memories and tables came to at any time.
    pub memory_bytes: usize,
    /// The size of the result.
    pub output_bytes: usize,
    /// Log messages and progress reports that were dropped because there were too many.
    pub events_dropped: u32,
}
