//! The MCP face of a house: JSON-RPC in, JSON-RPC out, for both eras of the protocol on one endpoint.
//!
//! ```text
//! Message ─ rpc (envelope) ─ era? ─┬ modern (2026-07-28): checks of `_meta` and headers ─┬─ request ─→ Answer
//!                                  └ legacy (2025-…): sessions, initialize ──────────────┘
//! ```
//!
//! Dispatch is ours: raw JSON passes through, and only what is read is typed. Nothing here knows an HTTP
//! status; an [`Answer`] says what happened and the gateway has the table.

mod asking;
mod catalog;
mod exchange;
mod face;
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod hub;
mod legacy;
mod modern;
mod params;
mod render;
mod request;
mod rpc;
mod sessions;
mod state;
mod versions;

pub use exchange::{Answer, Exchange, Kind, Message, Note, Outbox};
pub use face::Face;
pub use headers::{header_value, param_headers};
pub use render::result as render_result;
pub use rpc::{Code, error as rpc_error};
pub use versions::Version;

/// The header that names the session of an older client (MCP 2025-11-25, "Session Management").
pub static SESSION_HEADER: http::HeaderName = http::HeaderName::from_static("mcp-session-id");
