//! Instructions of the server for each call: what other work on the machine does not move, and so what a test can
//! hold. valgrind counts those of all threads, of the host's code and of the cells' alike, but not those of the kernel.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::args::Args;
use crate::call::{Call, FIRST_ID, check};
use crate::chart::thousands;
use crate::http::Client;
use crate::peers::{hello, takes_reuse};
use crate::place::Place;
use crate::server::{Server, pinned};
use crate::{Done, tell};

/// The difference of a run with twice as many calls to a run with so many leaves out the start and the end.
const CALLS: u64 = 1_500;
/// The lowest of so many counts: the slower the machine, the more ticks a call gives way to.
const RUNS: u32 = 3;
/// From build to build counts move by up to 3 %; another libc may choose other ways to copy.
const ABOVE_PERCENT_MAX: f64 = 5.0;

type Counts = BTreeMap<String, f64>;

pub(crate) fn run(args: &Args, place: &Place) -> Done<()> {
    let folder = place.target.join("instructions");
    std::fs::create_dir_all(&folder)?;
    let mut counts = Counts::new();
    count(&mut counts, "floor", &folder, &Call::modern("echo"), place.bench().as_ref(), &["floor"])?;
    std::fs::copy(place.target.join("bundles/hello.wasm"), folder.join("hello.wasm"))?;
    for reuse in ["once", "serial"] {
        // valgrind has no address space for the pool of a whole house, and one cell is enough for one connection.
        let fields = format!("bundles = [{}],\n  limits = (cellsMax = 1)", hello("hello.wasm", reuse));
        let manifest = place.manifest(&format!("instructions/{reuse}.capnp"), &fields)?;
        if !takes_reuse(place, &manifest)? {
            tell(&format!("{reuse:<8} left out: the manifest does not take `reuse = {reuse}`"));
            continue;
        }
        let manifest = manifest.to_str().ok_or("a path that is not text")?;
        compile(place, manifest)?;
        let serve = ["serve", "-o", "json", manifest];
        count(&mut counts, reuse, &folder, &Call::modern("hello_echo"), &place.certosa(), &serve)?;
    }
    let budget = place.root.join("benches/budget.json");
    if args.has("--write") {
        counts.values_mut().for_each(|count| *count = count.round());
        std::fs::write(&budget, serde_json::to_string_pretty(&counts)? + "\n")?;
        tell(&format!("written to {}", budget.display()));
    }
    if args.has("--check") { compare(&counts, &budget) } else { Ok(()) }
}

/// Compiles with valgrind's processor in mind, which has less than the real one. The cache beside these manifests has
/// nothing else in it.
fn compile(place: &Place, manifest: &str) -> Done<()> {
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=none", "--trace-children=yes"]).arg(place.certosa()).args(["check", manifest]);
    let status = command.stdout(Stdio::null()).status().map_err(|error| format!("cannot run valgrind: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed").into()) }
}

fn count(counts: &mut Counts, name: &str, folder: &Path, call: &Call, program: &Path, args: &[&str]) -> Done<()> {
    let log = folder.join(format!("{name}.log"));
    let profile = folder.join(format!("{name}.callgrind"));
    let run = |calls: u64| -> Done<u64> {
        let mut command = pinned(Path::new("valgrind"));
        command.arg("--tool=callgrind").arg(option("--log-file=", &log)).arg(option("--callgrind-out-file=", &profile));
        let server = Server::start(command.arg(program).args(args))?;
        let mut client = Client::connect(&server.address)?;
        for id in FIRST_ID..FIRST_ID + calls {
            check(&client.send(&call.request(&server.address, id))?, id)?;
        }
        server.stop()?;
        collected(&log)
    };
    let mut each = f64::INFINITY;
    for _ in 0..RUNS {
        let (fewer, more) = (run(CALLS)?, run(2 * CALLS)?);
        each = each.min(more.saturating_sub(fewer) as f64 / CALLS as f64);
    }
    tell(&format!("{name:<8} {:>9} instructions a call", thousands(each)));
    counts.insert(name.to_owned(), each);
    Ok(())
}

fn option(name: &str, path: &Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(name);
    option.push(path);
    option
}

/// What callgrind says at its end: `==1== Collected : 123456`.
fn collected(log: &Path) -> Done<u64> {
    let text = std::fs::read_to_string(log)?;
    let line =
        text.lines().find_map(|line| line.split_once("Collected : ")).ok_or_else(|| format!("no count: {text}"))?;
    Ok(line.1.trim().parse()?)
}

fn compare(counts: &Counts, budget: &Path) -> Done<()> {
    let budget: Counts = serde_json::from_slice(&std::fs::read(budget)?)?;
    let mut over = Vec::new();
    for (name, count) in counts {
        let Some(allowed) = budget.get(name) else {
            over.push(format!("{name} has no budget"));
            continue;
        };
        let percent = (count / allowed - 1.0) * 100.0;
        tell(&format!("{name:<8} {percent:>+9.1} % against the budget of {}", thousands(*allowed)));
        if percent > ABOVE_PERCENT_MAX {
            over.push(format!("{name} is {percent:.1} % above its budget"));
        } else if percent < -ABOVE_PERCENT_MAX {
            tell(&format!("{name:<8} is cheaper than its budget: --write holds that"));
        }
    }
    if over.is_empty() { Ok(()) } else { Err(over.join(", ").into()) }
}
