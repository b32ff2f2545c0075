//! The way in from the network: accept → route → identify the caller → hand over → respond. [`request`] shows
//! the flow on one screen; `respond.rs` has the only table from what happened to an HTTP status.

mod guard;
mod metrics;
mod read;
mod request;
mod respond;
mod server;
mod stream;
mod tls;

pub use server::{BindError, Server};
