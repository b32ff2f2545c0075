//! What the fuzz targets do with their inputs, in a library; `tests/src/corpora.rs` has the same files.

pub mod bodies;
pub mod typed;
