//! Tests from outside: a real house in a process of its own, real components, real bytes on the wire.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::type_complexity,
    reason = "a test may fail"
)]

mod absence;
mod bounds;
mod cells;
mod cli;
mod clients;
mod components;
mod confined;
mod corpora;
mod demo;
mod egress;
mod foreign;
mod gateway;
mod hostile;
mod idle;
mod killed;
mod manifest;
mod many;
mod mcp;
mod offers;
mod oracle;
mod pages;
mod planted;
mod questions;
mod relist;
mod rust_sdk;
mod seen;
mod stdio;
mod streams;
mod support;
mod tls;
mod typed;
mod unread;
mod vault;
mod ways;
mod wire;
