//! The load bench: `tools/call` of an echo tool, a fresh cell for each call, through the whole MCP path of the
//! shipped binary with its default limits, validation and records on. Beside it, in the same run, the floor: a
//! native hyper server that parses the same JSON and answers the same bytes. Server and client are pinned to a
//! processor each; rounds are interleaved; ids are unique; anything but the right answer is a failure.

mod cell;
mod face;
mod floor;
mod load;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

use load::{Figures, Load};

const STARTS: usize = 9;

type Done<T> = Result<T, Box<dyn std::error::Error>>;

const HELP: &str = "\
certosa-bench [--connections N] [--seconds N] [--rounds N] [--no-load]

Prints the time of a start, the memory of idle sessions, the time of a long list; then requests per second,
p50, p99 and memory of the house and of the floor, and their ratio. --no-load leaves out the second part.
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.first().map(String::as_str) {
        Some("floor") => floor::serve(),
        Some("cell") => cell(),
        Some("help" | "--help") => {
            tell(HELP);
            Ok(())
        }
        _ => bench(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("certosa-bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn cell() -> Done<()> {
    let here = std::env::current_exe()?;
    let folder = here.parent().ok_or("no folder")?;
    cell::run(folder, &manifest(folder)?)
}

fn bench(args: &[String]) -> Done<()> {
    let number = |name: &str, default: u64| {
        let place = args.iter().position(|arg| arg == name);
        place.and_then(|place| args.get(place + 1)).map_or(Ok(default), |value| value.parse())
    };
    let (connections, seconds, rounds) =
        (number("--connections", 16)?, number("--seconds", 5)?, number("--rounds", 3)?);
    let here = std::env::current_exe()?;
    let folder = here.parent().ok_or("no folder")?;
    let manifest = manifest(folder)?;
    start(folder, &manifest)?;
    face::sessions(folder, &manifest)?;
    face::lists(folder)?;
    if args.iter().any(|arg| arg == "--no-load") {
        return Ok(());
    }
    let house = Server::start(pinned(&folder.join("certosa")).args(["serve", "-o", "json"]).arg(&manifest))?;
    let floor = Server::start(pinned(&here).arg("floor"))?;
    let load = Load { connections: usize::try_from(connections)?, seconds };
    tell(&format!("{connections} connections, {seconds} s a round, {rounds} rounds, one processor for each side"));
    let (mut houses, mut floors) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        for (name, server, all) in [("floor", &floor, &mut floors), ("house", &house, &mut houses)] {
            let figures = load.run(&server.address)?;
            tell(&format!("round {round}  {name}  {figures}  {} MiB", server.resident_mib()?));
            all.push(figures);
        }
    }
    // Whatever else the machine does slows a fast floor more than a slower house, so only calm rounds count:
    // those whose floor comes within 10 % of the best one.
    let best = floors.iter().map(|floor| floor.per_second).fold(0.0, f64::max);
    let is_calm = |floor: &Figures| floor.per_second >= 0.9 * best;
    let calm: Vec<_> = floors.iter().copied().zip(houses).filter(|(floor, _)| is_calm(floor)).collect();
    let (floors, houses): (Vec<_>, Vec<_>) = calm.iter().copied().unzip();
    let (house, floor) = (Figures::median(&houses), Figures::median(&floors));
    tell(&format!("{} of {rounds} rounds were calm; the medians of these:", calm.len()));
    tell(&format!("floor  {floor}"));
    tell(&format!("house  {house}"));
    tell(&format!("ratio  {:.3} of the floor", house.per_second / floor.per_second));
    Ok(())
}

/// From starting the process, with a warm cache, to the answer of its first call.
fn start(folder: &Path, manifest: &Path) -> Done<()> {
    let mut times_ms = Vec::new();
    let mut resident_mib = 0;
    for _ in 0..=STARTS {
        let started = Instant::now();
        let house = Server::start(Command::new(folder.join("certosa")).args(["serve", "-o", "json"]).arg(manifest))?;
        load::one_call(&house.address)?;
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

/// The demo's hello bundle with nothing set, on a port of its own.
fn manifest(folder: &Path) -> Done<PathBuf> {
    let target = folder.parent().ok_or("no folder")?;
    let path = target.join("bench.capnp");
    let text = r#"@0xd0b1c2d3e4f50617;
using Certosa = import "/certosa.capnp";
const house :Certosa.Manifest = (
  listen = "127.0.0.1:0",
  bundles = [(name = "hello", file = "bundles/hello.wasm")],
  routes = [(tools = ["bundle/**"], callers = ["anonymous/loopback"])],
);
"#;
    std::fs::write(&path, text)?;
    Ok(path)
}

/// `program` on the first processor; the client keeps to the second.
fn pinned(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    command
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts a server that says its address in a line of JSON.
    fn start(command: &mut Command) -> Done<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let said: serde_json::Value = serde_json::from_str(&line)?;
        let address = said.get("address").and_then(serde_json::Value::as_str).ok_or("no address")?.to_owned();
        Ok(Self { child, address })
    }

    fn resident_mib(&self) -> Done<u64> {
        Ok(self.resident_kib()? >> 10)
    }

    fn resident_kib(&self) -> Done<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.split_whitespace().next().ok_or("no VmRSS")?.parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _status = self.child.wait();
    }
}

#[expect(clippy::print_stdout, reason = "telling is what this program does")]
fn tell(text: &str) {
    println!("{text}");
}
