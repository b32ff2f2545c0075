//! What is thrown at egress, really tried: against servers with TLS under a root of their own, with a resolver that
//! says what the test wants. Beside each forbidden thing stands the allowed one.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests, and what they share")]

mod addresses;
mod bodies;
mod connections;
mod echoes;
mod injection;
mod parsing;
mod quiet;
mod redirects;
mod world;
