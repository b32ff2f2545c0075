//! The doors of a cell: every function that a guest can reach in the host, and nothing else. [`link`] is the
//! audit: what it does not add, no component can import.
//!
//! One file for each file in `wit/`; `caller.rs` is the state of one call, which all doors share.

pub mod caller;
mod changes;
mod clock;
pub mod guest;
mod log;
mod meter;
mod progress;
mod tools;
mod wasi;

pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "full-bundle",
        exports: { default: async },
    });
}

pub use caller::{Cell, Hearing};
pub use clock::CpuClock;
pub use guest::Linked;
pub use meter::{CORE_INSTANCES_MAX, CpuSpent, MEMORIES_MAX, Meter, TABLES_MAX};
pub use wasi::is_out_of_handles;

use wasmtime::component::{HasSelf, Linker};

/// Adds all doors.
pub fn link(linker: &mut Linker<Cell>) -> wasmtime::Result<()> {
    wasi::link(linker)?;
    bindings::certosa::tools::progress::add_to_linker::<_, HasSelf<Cell>>(linker, |cell| cell)?;
    bindings::certosa::tools::log::add_to_linker::<_, HasSelf<Cell>>(linker, |cell| cell)?;
    bindings::certosa::tools::changes::add_to_linker::<_, HasSelf<Cell>>(linker, |cell| cell)?;
    Ok(())
}

/// Whether a component may import the interface `name` (as in `wasi:io/poll@0.2.6`) without any grant.
pub fn is_granted_to_all(name: &str) -> bool {
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    match interface.split_once('/') {
        Some(("certosa:tools", door)) => matches!(door, "types" | "progress" | "log" | "changes") && version == "0.1.0",
        Some((package, _)) => wasi::PACKAGES.contains(&package) && version.starts_with("0.2."),
        None => false,
    }
}
