//! What each target does with an input: it panics where the host is wrong. The targets and the test that
//! replays their corpora include these files.

pub mod arguments;
pub mod component;
pub mod json;
pub mod manifest;
pub mod offer;
pub mod rpc;
pub mod schema;

/// For a check by a schema, which counts steps and does not look at the clock.
const TIME: std::time::Duration = std::time::Duration::from_secs(2);

/// The targets by their names.
pub const ALL: [(&str, fn(&[u8])); 7] = [
    ("arguments", arguments::run),
    ("component", component::run),
    ("json", json::run),
    ("manifest", manifest::run),
    ("offer", offer::run),
    ("rpc", rpc::run),
    ("schema", schema::run),
];
