//! The wasm machine: the sole owner of wasmtime's `Engine` and `Store`.
//!
//! ```text
//! component ─ check_shape ─ compile (child process) ─→ code ─ Machine::image ─→ Image
//! Image + Permit + Task ─ Machine::call ─→ one cell: store, instance, limits ─→ End
//! ```
//!
//! A component that does not speak our world is described first (`typed.rs`); its image knows which function
//! each of its tools is.

mod cell;
mod compile;
#[doc(hidden)]
pub mod fuzzing;
mod inspect;
mod lanes;
mod machine;
mod pool;
mod terms;
mod ticker;
mod typed;

pub use cell::{CellError, End, Trace};
pub use compile::{COMPONENT_BYTES_MAX, CodeError, code_digest, compile, compile_in_child};
pub use inspect::{Form, Shape, ShapeError, check_shape};
pub use lanes::Pace;
pub use machine::{Code, Image, ImageError, Machine, Warm, Work};
pub use pool::{PoolError, PoolFacts};
pub use terms::{Breach, Held, Terms};
pub use typed::{Description, Function, Skipped, describe, describe_in_child, wit, wit_in_child};
