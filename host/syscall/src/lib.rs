//! The doors of a cell: every function that a guest can reach in the host, and nothing else. [`link`] is the
//! audit: what it does not add, no component can import.
//!
//! One file for each file in `wit/`; `caller.rs` is the state of one call, which all doors share.

pub mod caller;
mod changes;
mod clock;
mod errand;
pub mod guest;
mod http;
mod log;
mod meter;
mod paced;
mod progress;
mod refused;
mod tools;
mod vault;
mod wasi;

pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "full-bundle",
        imports: { "certosa:tools/vault": async },
        exports: { default: async },
    });
}

pub use caller::{Cell, Hearing};
pub use clock::{CpuClock, Weight};
pub use errand::{Egress, Errand, Granted, Grants, Seen};
pub use guest::Linked;
pub use meter::{CORE_INSTANCES_MAX, CpuSpent, MEMORIES_MAX, Meter, TABLES_MAX};
pub use wasi::{is_out_of_handles, is_too_random};

use wasmtime::component::{HasSelf, Linker};

/// Adds all doors.
pub fn link(linker: &mut Linker<Cell>) -> wasmtime::Result<()> {
    wasi::link(linker)?;
    bindings::certosa::tools::progress::add_to_linker::<_, HasSelf<Cell>>(linker, |cell| cell)?;
    bindings::certosa::tools::log::add_to_linker::<_, HasSelf<Cell>>(linker, |cell| cell)?;
    bindings::certosa::tools::changes::add_to_linker::<_, HasSelf<Cell>>(linker, |cell| cell)?;
    bindings::certosa::tools::vault::add_to_linker::<_, HasSelf<Cell>>(linker, |cell| cell)?;
    http::link(linker)
}

/// What has to be in the manifest for a component to import an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Nothing,
    /// `egress` of the bundle.
    Egress,
    /// A credential that names the bundle.
    Credential,
    /// There is no such door.
    Door,
}

/// What a component needs to import the interface `name` (as in `wasi:io/poll@0.2.6`).
pub fn need(name: &str) -> Need {
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    match interface.split_once('/') {
        Some(("certosa:tools", door)) if version == "0.1.0" => match door {
            "types" | "progress" | "log" | "changes" => Need::Nothing,
            "vault" => Need::Credential,
            _ => Need::Door,
        },
        Some(("wasi:http", "types" | "outgoing-handler")) if version.starts_with("0.2.") => Need::Egress,
        Some((package, _)) if wasi::PACKAGES.contains(&package) && version.starts_with("0.2.") => Need::Nothing,
        _ => Need::Door,
    }
}
