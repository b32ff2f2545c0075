//! Types and values by chance, as the tests have them.

#[path = "../../tests/src/typed/types.rs"]
pub mod types;
