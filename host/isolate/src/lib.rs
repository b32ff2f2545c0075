//! The wasm machine: the sole owner of wasmtime's `Engine` and `Store`.
//!
//! ```text
//! component ─ check_shape ─ compile (child process) ─→ code ─ Machine::image ─→ Image
//! Image + Permit + Task ─ Machine::call ─→ one cell: store, instance, limits ─→ End
//! ```

mod cell;
mod compile;
mod inspect;
mod machine;
mod pool;
mod ticker;

pub use cell::{CellError, End};
pub use compile::{COMPONENT_BYTES_MAX, CodeError, code_digest, compile, compile_in_child};
pub use inspect::{Shape, ShapeError, check_shape, wit};
pub use machine::{Image, ImageError, Machine, Warm};
pub use pool::{PoolError, PoolFacts};
