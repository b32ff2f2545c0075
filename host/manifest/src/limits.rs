//! The limits of a manifest: every number in its range.

use certosa_model::{CellLimits, CompileLimits, HouseLimits};
use certosa_schema::{cell_limits, house_limits};

use crate::plan::Check;
use crate::span::Path;

impl Check<'_> {
    pub(crate) fn cell_limits(
        &mut self,
        path: &Path,
        said: cell_limits::Reader<'_>,
        house: Option<&HouseLimits>,
    ) -> Option<CellLimits> {
        let cells_max = house.map_or(10_000, |house| house.cells_max);
        let memory = self.bound(&path.field("memoryMibMax"), said.get_memory_mib_max(), 1, 4_096);
        let cpu = self.bound(&path.field("cpuMsMax"), said.get_cpu_ms_max(), 1, 600_000);
        let wall = self.bound(&path.field("wallMsMax"), said.get_wall_ms_max(), 1, 3_600_000);
        let output = self.bound(&path.field("outputKibMax"), said.get_output_kib_max(), 1, 65_536);
        let stack = self.bound(&path.field("stackKibMax"), said.get_stack_kib_max(), 64, 8_192);
        let handles = self.bound(&path.field("handlesMax"), said.get_handles_max(), 16, 1_000_000);
        let logs = self.bound(&path.field("logsMax"), said.get_logs_max(), 0, 100_000);
        let random = self.bound(&path.field("randomKibMax"), said.get_random_kib_max(), 1, 65_536);
        let concurrency = self.bound(&path.field("concurrencyMax"), said.get_concurrency_max(), 1, 10_000);
        let caller = self.bound(&path.field("callerConcurrencyMax"), said.get_caller_concurrency_max(), 1, 10_000);
        let queue = self.bound(&path.field("queueMax"), said.get_queue_max(), 1, 100_000);
        Some(CellLimits {
            memory_bytes_max: (memory? as usize) << 20,
            cpu_ms_max: cpu?,
            wall_ms_max: wall?,
            output_bytes_max: (output? as usize) << 10,
            stack_bytes_max: (stack? as usize) << 10,
            handles_max: handles? as usize,
            logs_max: logs?,
            random_bytes_max: u64::from(random?) << 10,
            concurrency_max: concurrency?.min(cells_max) as usize,
            caller_concurrency_max: caller?.min(cells_max) as usize,
            queue_max: queue? as usize,
        })
    }

    /// They stand among the limits of cells.
    pub(crate) fn compile_limits(&mut self, path: &Path, said: cell_limits::Reader<'_>) -> Option<CompileLimits> {
        let wall = self.bound(&path.field(CompileLimits::TIME), said.get_compile_ms_max(), 1, 3_600_000);
        let memory = self.bound(&path.field(CompileLimits::MEMORY), said.get_compile_mib_max(), 128, 65_536);
        Some(CompileLimits { wall_ms_max: wall?, memory_bytes_max: u64::from(memory?) << 20 })
    }

    pub(crate) fn house_limits(&mut self, path: &Path, said: house_limits::Reader<'_>) -> Option<HouseLimits> {
        let cells = self.bound(&path.field("cellsMax"), said.get_cells_max(), 1, 4_096);
        let request = self.bound(&path.field("requestKibMax"), said.get_request_kib_max(), 1, 65_536);
        let connections = self.bound(&path.field("connectionsMax"), said.get_connections_max(), 1, 100_000);
        let header = self.bound(&path.field("headerMsMax"), said.get_header_ms_max(), 100, 600_000);
        let body = self.bound(&path.field("bodyMsMax"), said.get_body_ms_max(), 100, 600_000);
        let sessions = self.bound(&path.field("sessionsMax"), said.get_sessions_max(), 1, 1_000_000);
        let idle = self.bound(&path.field("sessionIdleSMax"), said.get_session_idle_s_max(), 10, 604_800);
        let drain = self.bound(&path.field("drainMsMax"), said.get_drain_ms_max(), 1, 600_000);
        let answer = self.bound(&path.field("answerSMax"), said.get_answer_s_max(), 1, 86_400);
        Some(HouseLimits {
            cells_max: cells?,
            request_bytes_max: (request? as usize) << 10,
            connections_max: connections? as usize,
            header_ms_max: header?,
            body_ms_max: body?,
            sessions_max: sessions? as usize,
            session_idle_s_max: idle?,
            drain_ms_max: drain?,
            answer_s_max: answer?,
        })
    }

    pub(crate) fn bound(&mut self, path: &Path, value: u32, min: u32, max: u32) -> Option<u32> {
        let fits = (min..=max).contains(&value);
        if !fits {
            self.refuse(path, "a limit out of its range", value.to_string(), format!("{min} to {max}"));
        }
        fits.then_some(value)
    }
}
