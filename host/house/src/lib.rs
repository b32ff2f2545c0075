//! Decide → run → record, in one place. HTTP, `certosa call` and every later way in enter at [`House::call`]:
//!
//! ```text
//! Request ─ find ─→ Target ─ policy::decide ─→ Permit ─ check arguments, wait in line ─→ cell ─→ Recorded
//! ```
//!
//! [`House::open`] builds the house: it loads every component of the plan, asks it for its tools, and refuses
//! to open when anything does not fit.

mod call;
mod house;
mod json;
mod line;
mod load;
mod record;
mod schema;
mod tool;

pub use call::{Call, CallError, Way};
pub use house::{Facts, House, RouteView, ToolView};
pub use json::{JsonError, parse as parse_json};
pub use load::{Compilers, OpenError, Progress};
pub use record::{Recorded, RecorderError};
pub use schema::Schema;
pub use tool::Tool;
