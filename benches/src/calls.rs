//! The house beside the floor, and how fast it starts. The quick one of the benches.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::args::Args;
use crate::call::Call;
use crate::face;
use crate::load::{Figures, Load};
use crate::place::Place;
use crate::server::{Server, pinned};
use crate::{Done, tell};

const STARTS: usize = 9;

pub(crate) fn run(args: &Args, place: &Place) -> Done<()> {
    let load = Load { connections: args.number("--connections", 16)?, seconds: args.number("--seconds", 5)? };
    let rounds = args.number("--rounds", 3)?;
    let manifest = place.manifest("bench.capnp", r#"bundles = [(name = "hello", file = "bundles/hello.wasm")]"#)?;
    start(place, &manifest)?;
    face::sessions(place, &manifest)?;
    face::lists(place)?;
    if args.has("--no-load") {
        return Ok(());
    }
    let house = Server::start(pinned(&place.certosa()).args(["serve", "-o", "json"]).arg(&manifest))?;
    let floor = Server::start(pinned(&place.bench()).arg("floor"))?;
    let Load { connections, seconds } = load;
    tell(&format!("{connections} connections, {seconds} s a round, {rounds} rounds, one processor for each side"));
    tell("server, client: time on the processor for each call, and its share of the time");
    let call = Call::modern("hello_echo");
    let (mut houses, mut floors) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        for (name, server, all) in [("floor", &floor, &mut floors), ("house", &house, &mut houses)] {
            let figures = load.run(&server.address, &call, &[server.id()])?;
            tell(&format!("round {round}  {name}  {figures}  {} MiB", server.resident_mib()?));
            all.push(figures);
        }
    }
    let best = floors.iter().map(|floor| floor.per_second).fold(0.0, f64::max);
    let calm: Vec<_> = floors.iter().copied().zip(houses).filter(|(floor, _)| floor.is_calm(best)).collect();
    let (floors, houses): (Vec<_>, Vec<_>) = calm.iter().copied().unzip();
    let (Some(house), Some(floor)) = (Figures::median(&houses), Figures::median(&floors)) else {
        tell("no round was calm: the machine has something else to do");
        return Ok(());
    };
    tell(&format!("{} of {rounds} rounds were calm; the medians of these:", calm.len()));
    tell(&format!("floor  {floor}"));
    tell(&format!("house  {house}"));
    let (ratio, of_time) = (house.per_second / floor.per_second, floor.server_us / house.server_us);
    tell(&format!("ratio  {ratio:.3} of the floor; {of_time:.3} by time on the processor"));
    Ok(())
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
