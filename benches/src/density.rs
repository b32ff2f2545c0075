//! How many bundles fit: the memory of a bundle that is declared and of one that was called, the time of its first
//! and second call, and the start of a house that has them all.

use std::process::Command;
use std::time::Instant;

use serde::Serialize;

use crate::args::Args;
use crate::call::{Call, FIRST_ID, check};
use crate::chart::{Bar, Chart, Kind, Section, thousands};
use crate::http::Client;
use crate::place::Place;
use crate::server::{Server, pin_to_second_processor, pinned};
use crate::{Done, tell};

const SIZES: &str = "100,1000,10000";
/// Up to here every bundle has a component of its own; beyond, all have the same one.
const DISTINCT_MAX: usize = 1_000;
/// The house without the bundles that are counted.
const EMPTY: usize = 1;

#[derive(Serialize)]
struct Row {
    bundles: usize,
    distinct: bool,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Outcome {
    Measured {
        /// From starting the process, with a warm cache, to the line that says where it listens.
        start_ms: u64,
        peak_kib: u64,
        idle: Memory,
        /// After two calls of each.
        warm: Memory,
        idle_kib_a_bundle: f64,
        warm_kib_a_bundle: f64,
        first_call_us: u64,
        second_call_us: u64,
    },
    LeftOut {
        left_out: String,
    },
}

/// Memory of one process. The proportional figures share out a page among all processes that have it mapped.
#[derive(Clone, Copy, Serialize)]
struct Memory {
    resident_kib: u64,
    proportional_kib: u64,
    anonymous_kib: u64,
    file_kib: u64,
}

pub(crate) fn run(args: &Args, place: &Place) -> Done<()> {
    pin_to_second_processor();
    let (_, empty, ..) = start(place, &manifest(place, EMPTY)?)?;
    tell(&format!("a house of one bundle: {empty}"));
    let mut rows = Vec::new();
    for size in args.text("--sizes").unwrap_or(SIZES).split(',') {
        let bundles = size.parse()?;
        let outcome =
            measure(place, bundles, empty).unwrap_or_else(|why| Outcome::LeftOut { left_out: why.to_string() });
        let row = Row { bundles, distinct: bundles <= DISTINCT_MAX, outcome };
        row.tell();
        rows.push(row);
    }
    place.keep("density", &rows, args.has("--draw").then(|| chart(&rows)))
}

fn measure(place: &Place, bundles: usize, empty: Memory) -> Done<Outcome> {
    let manifest = manifest(place, bundles)?;
    tell(&format!("{} bundles: compiling those that are not in the cache", thousands(bundles as f64)));
    let check = Command::new(place.certosa()).arg("check").arg(&manifest).output()?;
    if !check.status.success() {
        let said = String::from_utf8_lossy(&check.stdout) + String::from_utf8_lossy(&check.stderr);
        return Err(said.lines().filter(|line| !line.contains('|')).collect::<Vec<_>>().join(" ").into());
    }
    let (server, idle, start_ms) = start(place, &manifest)?;
    let peak_kib = server.peak_kib()?;
    let [first_call_us, second_call_us] = call_each(&server, bundles)?;
    let warm = Memory::of(&server)?;
    let more = u32::try_from(bundles - EMPTY)?;
    let a_bundle = |memory: Memory| {
        let kib = memory.anonymous_kib.saturating_sub(empty.anonymous_kib);
        kib as f64 / f64::from(more.max(1))
    };
    let (idle_kib_a_bundle, warm_kib_a_bundle) = (a_bundle(idle), a_bundle(warm));
    Ok(Outcome::Measured {
        start_ms,
        peak_kib,
        idle,
        warm,
        idle_kib_a_bundle,
        warm_kib_a_bundle,
        first_call_us,
        second_call_us,
    })
}

/// Starts the house and looks at its memory before anybody calls.
fn start(place: &Place, manifest: &std::path::Path) -> Done<(Server, Memory, u64)> {
    let started = Instant::now();
    let server = Server::start(pinned(&place.certosa()).args(["serve", "-o", "json"]).arg(manifest))?;
    let start_ms = u64::try_from(started.elapsed().as_millis())?;
    let memory = Memory::of(&server)?;
    Ok((server, memory, start_ms))
}

/// Calls every bundle twice, one after the other on one connection, and returns the medians of the first and of the
/// second calls in microseconds.
fn call_each(server: &Server, bundles: usize) -> Done<[u64; 2]> {
    let mut client = Client::connect(&server.address)?;
    let mut times = [Vec::new(), Vec::new()];
    let mut ids = FIRST_ID..;
    for bundle in 0..bundles {
        let call = Call::modern(&format!("{}_echo", name(bundle)));
        for (times, id) in times.iter_mut().zip(&mut ids) {
            let request = call.request(&server.address, id);
            let started = Instant::now();
            let answer = client.send(&request)?;
            times.push(u64::try_from(started.elapsed().as_micros())?);
            check(&answer, id)?;
        }
    }
    Ok(times.map(|mut times| {
        times.sort_unstable();
        times.get(bundles / 2).copied().unwrap_or_default()
    }))
}

fn name(bundle: usize) -> String {
    format!("h{bundle:05}")
}

/// Writes a manifest of so many bundles, and the components that it names.
fn manifest(place: &Place, bundles: usize) -> Done<std::path::PathBuf> {
    std::fs::create_dir_all(place.target.join("density"))?;
    let hello = std::fs::read(place.target.join("bundles/hello.wasm"))?;
    let mut declared = Vec::new();
    for bundle in 0..bundles {
        let name = name(bundle);
        let file = if bundles <= DISTINCT_MAX {
            let file = format!("density/{name}.wasm");
            write(&place.target.join(&file), &named(&hello, &name)?)?;
            file
        } else {
            "bundles/hello.wasm".to_owned()
        };
        declared.push(format!("(name = \"{name}\", file = \"{file}\")"));
    }
    place.manifest(&format!("density-{bundles}.capnp"), &format!("bundles = [{}]", declared.join(",\n")))
}

/// The component with a custom section at its end, so that its digest is its own.
fn named(component: &[u8], name: &str) -> Done<Vec<u8>> {
    let mut section = vec![u8::try_from("bench".len())?];
    section.extend_from_slice(b"bench");
    section.extend_from_slice(name.as_bytes());
    // Lengths below 128 are one byte.
    let head = [0, u8::try_from(section.len())?];
    Ok([component, &head, &section].concat())
}

fn write(path: &std::path::Path, content: &[u8]) -> Done<()> {
    let is_there = std::fs::read(path).is_ok_and(|there| there == content);
    if is_there { Ok(()) } else { Ok(std::fs::write(path, content)?) }
}

impl Memory {
    fn of(server: &Server) -> Done<Self> {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", server.id()))?;
        let field = |name: &str| -> Done<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| format!("no {name}"))?;
            Ok(line.split_whitespace().next().ok_or("no number")?.parse()?)
        };
        Ok(Self {
            resident_kib: field("Rss:")?,
            proportional_kib: field("Pss:")?,
            anonymous_kib: field("Pss_Anon:")?,
            file_kib: field("Pss_File:")?,
        })
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [resident, proportional, anonymous, file] =
            [self.resident_kib, self.proportional_kib, self.anonymous_kib, self.file_kib]
                .map(|kib| kib as f64 / 1024.0);
        write!(f, "{resident:.1} MiB resident, {proportional:.1} MiB proportional ")?;
        write!(f, "({anonymous:.1} anonymous, {file:.1} of files)")
    }
}

impl Row {
    fn tell(&self) {
        let components = if self.distinct { "each with a component of its own" } else { "all with the same component" };
        let bundles = thousands(self.bundles as f64);
        match &self.outcome {
            Outcome::LeftOut { left_out } => tell(&format!("{bundles} bundles are left out: {left_out}")),
            Outcome::Measured {
                start_ms,
                peak_kib,
                idle,
                warm,
                idle_kib_a_bundle,
                warm_kib_a_bundle,
                first_call_us,
                second_call_us,
            } => {
                tell(&format!("{bundles} bundles, {components}: start {start_ms} ms, peak {} MiB", peak_kib >> 10));
                tell(&format!("  idle   {idle_kib_a_bundle:>7.1} KiB a bundle; {idle}"));
                tell(&format!("  warm   {warm_kib_a_bundle:>7.1} KiB a bundle; {warm}"));
                tell(&format!("  calls  first {first_call_us} µs, second {second_call_us} µs (medians)"));
            }
        }
    }
}

fn chart(rows: &[Row]) -> Chart {
    type Figures = Vec<(&'static str, f64, String)>;
    let section = |title: &str, figures: fn(&Outcome) -> Figures| {
        let bars = rows.iter().flat_map(|row| {
            let same = if row.distinct { "" } else { "; one component for all" };
            let label = format!("{} bundles", thousands(row.bundles as f64));
            figures(&row.outcome).into_iter().map(move |(note, value, text)| {
                let (label, note) = (label.clone(), format!("{note}{same}"));
                Bar { label, note, value, text, kind: Kind::Ours }
            })
        });
        Section { title: title.to_owned(), bars: bars.collect() }
    };
    Chart {
        title: "What a bundle costs".to_owned(),
        subtitle: "Memory beside that of a house of one bundle, and without the code, which is mapped; medians"
            .to_owned(),
        sections: vec![
            section("Memory of a bundle", |outcome| match *outcome {
                Outcome::Measured { idle_kib_a_bundle: idle, warm_kib_a_bundle: warm, .. } => {
                    let bar = |note, kib: f64| (note, kib, format!("{} KiB", thousands(kib)));
                    vec![bar("declared", idle), bar("called twice", warm)]
                }
                Outcome::LeftOut { .. } => Vec::new(),
            }),
            section("Time of a call", |outcome| match *outcome {
                Outcome::Measured { first_call_us: first, second_call_us: second, .. } => {
                    let bar = |note, us: u64| (note, us as f64, format!("{} µs", thousands(us as f64)));
                    vec![bar("the first", first), bar("the second", second)]
                }
                Outcome::LeftOut { .. } => Vec::new(),
            }),
            section("Start of the house, with a warm cache", |outcome| match *outcome {
                Outcome::Measured { start_ms, .. } => {
                    vec![("until it listens", start_ms as f64, format!("{} ms", thousands(start_ms as f64)))]
                }
                Outcome::LeftOut { .. } => Vec::new(),
            }),
        ],
    }
}
