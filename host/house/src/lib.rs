//! Decide → run → record, in one place. HTTP, `certosa call` and every later way in enter at [`House::call`]:
//!
//! ```text
//! Request ─ find ─→ Target ─ policy::decide ─→ Permit ─ check arguments, wait in line ─→ cell ─→ Recorded
//! ```
//!
//! [`House::open`] builds the house: it loads every component of the plan, asks it for its tools, and refuses
//! to open when anything does not fit. [`House::follow`] asks again, where the manifest lets lists change.

mod call;
mod checks;
mod entry;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod house;
mod images;
mod kept;
mod line;
mod listings;
mod load;
mod metrics;
mod offer;
mod outbound;
mod pending;
mod record;
mod relist;
mod routes;
mod schema;
mod uri;

pub use call::{Ask, Call, News, Reply, Typing, Way};
pub use entry::{Entry, Outcome as RecordOutcome};
pub use error::CallError;
pub use house::{Facts, House, ItemView, List, Offered, Route, RouteView};
pub use images::Compilers;
pub use listings::Listings;
pub use load::{OpenError, Progress};
pub use metrics::Metrics;
pub use offer::{Annotations, Offer, Prompt, PromptArgument, Resource, ResourceTemplate, Tool, role_name};
pub use outbound::{Lack, certificates, is_for};
pub use record::{Observer, Recorded, RecorderError};
pub use schema::{Misfit, Schema};
