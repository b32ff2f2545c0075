//! The manifest schema: its text, which is also the manual, and the readers generated from it.

/// `certosa.capnp` as it was compiled into this program. Manifests import it as `/certosa.capnp`.
pub const TEXT: &str = include_str!("../certosa.capnp");

#[allow(clippy::all, clippy::pedantic, clippy::unwrap_used, clippy::indexing_slicing, reason = "generated code")]
pub mod certosa_capnp {
    include!(concat!(env!("OUT_DIR"), "/certosa_capnp.rs"));
}

pub use certosa_capnp::{
    bundle, cell_limits, credential, egress, house_limits, manifest, reach, route, send, telemetry, tls, vault,
};
