//! What the fuzz targets in `fuzz/` reach of this crate; nothing else uses it.

use std::path::Path as FilePath;

use crate::manifest::Manifest;
use crate::plan::Plan;
use crate::problem::{Place, Problems};
use crate::sources::{Sources, references};
use crate::span::{Path, locate};

/// The plan in what the compiler made of `text`, and what the cache would keep.
pub fn of_request(text: &str, request: &[u8]) -> Result<(Plan, Vec<u8>), Problems> {
    let manifest = Manifest::of_request(Sources::of_text(text), request)?;
    Ok((Plan::of(&manifest)?, manifest.to_cache()))
}

/// The plan in what the cache kept.
pub fn of_cache(text: &str, cached: &[u8]) -> Option<Result<Plan, Problems>> {
    Manifest::of_cache(Sources::of_text(text), cached).ok().map(|manifest| Plan::of(&manifest))
}

/// How many files a text names, or what is wrong with their names.
pub fn files(text: &str) -> Result<usize, Problems> {
    let named = references("manifest.capnp", text, FilePath::new("manifest.capnp"), 1);
    named.map(|wanted| wanted.len()).map_err(|problems| match Problems::new(problems) {
        Some(problems) => problems,
        None => crate::problem::Problem::new("refused without a reason").into(),
    })
}

/// The place of a value in the constant `name`.
pub fn place(text: &str, name: &str, path: &Path) -> Option<Place> {
    locate("manifest.capnp", text, name, path)
}
