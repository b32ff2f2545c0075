//! The house beside the floor, and how fast it starts. The quick one of the benches.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::args::Args;
use crate::call::Call;
use crate::compare::compare;
use crate::face;
use crate::place::Place;
use crate::server::Server;
use crate::{Done, tell};

const STARTS: usize = 9;

pub(crate) fn run(args: &Args, place: &Place) -> Done<()> {
    let manifest = place.manifest("bench.capnp", r#"bundles = [(name = "hello", file = "bundles/hello.wasm")]"#)?;
    start(place, &manifest)?;
    face::sessions(place, &manifest)?;
    face::lists(place)?;
    if args.has("--no-load") { Ok(()) } else { compare(args, place, Some("once")) }
}

/// From starting the process, with a warm cache, to the answer of its first call.
fn start(place: &Place, manifest: &Path) -> Done<()> {
    let mut times_ms = Vec::new();
    let mut resident_mib = 0;
    for _ in 0..=STARTS {
        let started = Instant::now();
        let house = Server::start(Command::new(place.certosa()).args(["serve", "-o", "json"]).arg(manifest))?;
        Call::modern("hello_echo").once(&house.address)?;
        times_ms.push(started.elapsed().as_millis());
        resident_mib = house.resident_mib()?;
    }
    // The first one may have had to compile.
    let mut warm = times_ms.split_off(1);
    warm.sort_unstable();
    let median = warm.get(STARTS / 2).copied().unwrap_or_default();
    tell(&format!("start to first answer {median} ms (median of {STARTS}), then {resident_mib} MiB resident"));
    Ok(())
}
