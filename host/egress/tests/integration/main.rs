//! What is thrown at egress, really tried: against servers with TLS under a root of their own, with a resolver that
//! says what the test wants. Beside each forbidden thing stands the allowed one.

mod addresses;
mod bodies;
mod connections;
mod echoes;
mod injection;
mod parsing;
mod quiet;
mod redirects;
mod world;
