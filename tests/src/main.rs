//! Tests from outside: a real house in a process of its own, real components, real bytes on the wire.

mod cells;
mod cli;
mod clients;
mod components;
mod gateway;
mod manifest;
mod mcp;
mod support;
mod ways;
