//! What was said, and what is meant.
//!
//! [`Sources`] are the files of a manifest, read once. The embedded Cap'n Proto compiler turns them into a
//! [`Manifest`] (said), in a confined child process; [`Plan::of`] checks that and turns it into a [`Plan`]
//! (meant: parsed, complete, hashed). Everything wrong is a [`Problem`] with the place in the text.
//!
//! ```text
//! Sources::read ─→ Sources::compile ─→ Manifest ─→ Plan::of ─→ Plan
//!   (files)         (child process)     (said)      (checks)    (meant)
//! ```

mod compile;
#[doc(hidden)]
pub mod fuzzing;
mod lex;
mod limits;
mod manifest;
mod outward;
mod plan;
mod problem;
mod sources;
mod span;

pub use compile::{CompileError, compile_in_child};
pub use manifest::Manifest;
pub use plan::{BundlePlan, ComponentSource, CredentialPlan, EgressPlan, Plan, RoutePlan, TlsPlan, ToolNames};
pub use problem::{Place, Problem, Problems};
pub use sources::Sources;
pub use span::{Path, Step};
