//! How the engine is set up. The figures behind it are in `docs/performance.md`.

use certosa_syscall::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLES_MAX};
use serde::Serialize;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Address space is 128 TiB and each memory sets 4 GiB of it aside.
const TOTAL_MEMORIES_MAX: u32 = 16_384;

/// Memory that a slot keeps between cells, so that the next one finds its pages mapped. With PAGEMAP_SCAN
/// only pages that were touched are reset; without it the whole amount is, so it has to be small.
const KEEP_BYTES_WITH_SCAN: usize = 2 << 20;
const KEEP_TABLE_BYTES_WITH_SCAN: usize = 64 << 10;
const KEEP_BYTES_WITHOUT_SCAN: usize = 64 << 10;
const KEEP_TABLE_BYTES_WITHOUT_SCAN: usize = 4 << 10;

/// A cell that stays within what is kept has nothing to give back to the system, and a batch of nothing is a system
/// call all the same.
const DECOMMIT_BATCH: usize = 1;
const HOST_STACK_BYTES: usize = 1 << 20;

/// What the machine found out about the kernel; for the operator.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct PoolFacts {
    /// Linux 6.7 and later resets only the pages that a cell touched. Without it cells cost more.
    pub pagemap_scan: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("could not set address space aside for {cells} cells: lower `cellsMax`, or raise the limit on address space")]
pub struct PoolError {
    cells: u32,
    source: wasmtime::Error,
}

impl PoolError {
    pub(crate) fn of(cells: u32, source: wasmtime::Error) -> Self {
        Self { cells, source }
    }
}

/// What a cell may consist of, for messages.
pub(crate) fn parts() -> String {
    format!(
        "{CORE_INSTANCES_MAX} core instances, {MEMORIES_MAX} memories, {TABLES_MAX} tables of {TABLE_ELEMENTS_MAX} \
         elements, and 1 MiB for functions, globals and what else an instance counts"
    )
}

/// What decides how code is compiled. Every engine that has to understand the same code shares it.
pub(crate) fn code_config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .cranelift_opt_level(OptLevel::Speed)
        .generate_address_map(false);
    config
}

/// An engine that cells run in, with a pool for so many of them.
pub(crate) fn engine(
    cells: u32,
    memory_bytes_max: usize,
    stack_bytes_max: usize,
) -> Result<(Engine, PoolFacts), PoolError> {
    let pagemap_scan = PoolingAllocationConfig::is_pagemap_scan_available();
    let (keep, keep_table) = match pagemap_scan {
        true => (KEEP_BYTES_WITH_SCAN, KEEP_TABLE_BYTES_WITH_SCAN),
        false => (KEEP_BYTES_WITHOUT_SCAN, KEEP_TABLE_BYTES_WITHOUT_SCAN),
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(cells)
        .total_core_instances(cells.saturating_mul(CORE_INSTANCES_MAX))
        .total_memories(cells.saturating_mul(MEMORIES_MAX).min(TOTAL_MEMORIES_MAX.max(cells)))
        .total_tables(cells.saturating_mul(TABLES_MAX))
        .total_stacks(cells)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_memories_per_module(MEMORIES_MAX)
        .max_tables_per_module(TABLES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(memory_bytes_max)
        .linear_memory_keep_resident(keep)
        .table_keep_resident(keep_table)
        .decommit_batch_size(DECOMMIT_BATCH)
        .pagemap_scan(if pagemap_scan { Enabled::Yes } else { Enabled::No });
    let mut config = code_config();
    config
        .max_wasm_stack(stack_bytes_max)
        .async_stack_size(stack_bytes_max + HOST_STACK_BYTES)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config).map_err(|source| PoolError::of(cells, source))?;
    Ok((engine, PoolFacts { pagemap_scan }))
}
