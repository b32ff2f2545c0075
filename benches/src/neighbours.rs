//! An honest tool beside a hostile one: one connection with small calls, and several that call a tool which spins, works
//! in pieces, allocates, hoards streams, floods its log, breaks off, has lists that change or a schema without end. House
//! and neighbours have one processor, the clients the other. What the honest tool has to bear is compared with what a
//! neighbour costs that only does honest work.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, json};

use crate::args::Args;
use crate::call::{Call, of_tool};
use crate::chart::{Bar, Chart, Kind, Section, thousands};
use crate::http::Client;
use crate::load::{Figures, Load, median};
use crate::place::Place;
use crate::server::{Says, Server, pinned};
use crate::{Done, tell};

const CONNECTIONS: usize = 4;
const WARM_UP: Duration = Duration::from_millis(500);
const HONEST: &str = "honest";

/// What a neighbour does, the tool that does it, and its arguments.
const NEIGHBOURS: [(&str, &str, &str); 10] = [
    ("nobody", "", ""),
    (HONEST, "hello_echo", r#"{"text":"the text of a neighbour"}"#),
    ("spinning", "probe_spin", "{}"),
    ("working in pieces", "probe_pulse", r#"{"us":450,"count":1000}"#),
    ("allocating", "probe_hoard", r#"{"mib":100}"#),
    ("hoarding streams", "probe_streams", r#"{"count":1000}"#),
    ("flooding its log", "probe_chatter", r#"{"count":10000}"#),
    ("breaking off", "probe_panic", "{}"),
    ("changing its lists", "shifty_announce", "{}"),
    ("a schema without end", "endless_terms", "{}"),
];

/// The bundles, two of which are the same component but for the schema that is written into the second.
const BUNDLES: &str = "bundles = [(name = \"hello\", file = \"bundles/hello.wasm\"), \
                       (name = \"probe\", file = \"bundles/probe.wasm\"), \
                       (name = \"shifty\", file = \"bundles/shifty.wasm\", listsChange = true), \
                       (name = \"endless\", file = \"endless.wasm\")]";
/// How often the schema doubles what is to be looked at.
const DOUBLED: usize = 60;

#[derive(Serialize)]
struct Row {
    neighbour: &'static str,
    honest: Figures,
    /// Calls of the neighbour that were answered, in a second.
    neighbour_per_second: f64,
    /// The p99 of the honest call over that beside an honest neighbour.
    p99_ratio: f64,
}

/// One round beside one neighbour.
struct One {
    honest: Figures,
    neighbour_per_second: f64,
}

pub(crate) fn run(args: &Args, place: &Place) -> Done<()> {
    fs::write(place.target.join("endless.wasm"), endless(fs::read(place.target.join("bundles/shifty.wasm"))?)?)?;
    let manifest = place.manifest("neighbours.capnp", BUNDLES)?;
    let (time, rounds) = (Duration::from_millis(args.number("--round-ms", 1000)?), args.number("--rounds", 9)?);
    let load = Load { connections: 1, warm_up: WARM_UP, time };
    let mut taken = NEIGHBOURS.map(|_| Vec::new());
    for round in 1..=rounds {
        tell(&format!("round {round}"));
        for ((neighbour, tool, arguments), taken) in NEIGHBOURS.iter().zip(&mut taken) {
            let mut command = pinned(&place.certosa());
            // What the neighbours leave in the log is not what is measured here.
            command.stderr(std::process::Stdio::null()).args(["serve", "-o", "json"]).arg(&manifest);
            let server = Server::start_saying(&mut command, &Says::JsonAlone)?;
            let one = beside(&server, tool, arguments, &load)?;
            server.stop()?;
            tell(&format!("  {neighbour:<20} {}   neighbour {:>7.0}/s", one.honest, one.neighbour_per_second));
            taken.push(one);
        }
    }
    let rows = rows(&taken)?;
    tell("medians; p99 as a multiple of that beside an honest neighbour in the same round:");
    for Row { neighbour, honest, p99_ratio, .. } in &rows {
        tell(&format!("  {neighbour:<20} p50 {:>6} µs  p99 {:>6} µs  {p99_ratio:.2}", honest.p50_us, honest.p99_us));
    }
    place.keep("neighbours", &rows, args.has("--draw").then(|| chart(&rows)))
}

fn rows(taken: &[Vec<One>; NEIGHBOURS.len()]) -> Done<Vec<Row>> {
    let honest = NEIGHBOURS.iter().position(|(name, ..)| *name == HONEST).ok_or("nobody is honest")?;
    let honest = taken.get(honest).ok_or("nobody is honest")?;
    let row = |((neighbour, ..), taken): (&(&'static str, &str, &str), &Vec<One>)| {
        let figures: Vec<_> = taken.iter().map(|one| one.honest).collect();
        let p99 = |one: &One| f64::from(one.honest.p99_us);
        let ratios = taken.iter().zip(honest).map(|(one, honest)| p99(one) / p99(honest));
        Ok(Row {
            neighbour,
            honest: Figures::median(&figures).ok_or("no round")?,
            neighbour_per_second: taken.iter().map(|one| one.neighbour_per_second).sum::<f64>() / taken.len() as f64,
            p99_ratio: median(ratios).ok_or("no round")?,
        })
    };
    NEIGHBOURS.iter().zip(taken).map(row).collect()
}

/// `shifty` with a tool whose arguments could be looked at for ever.
fn endless(mut component: Vec<u8>) -> Done<Vec<u8>> {
    let level = |level: usize| {
        let next = json!({"$ref": format!("#/$defs/r{}", level + 1)});
        (format!("r{level}"), json!({"allOf": [next, next]}))
    };
    let last = (format!("r{DOUBLED}"), json!({}));
    let levels: Map<_, _> = (0..DOUBLED).map(level).chain([last]).collect();
    let schema = json!({"type": "object", "$ref": "#/$defs/r0", "$defs": levels});
    let (schema, name) = (schema.to_string(), b"shifty-terms:");
    let at = component.windows(name.len()).position(|window| window == name).ok_or("shifty has no room for schemas")?;
    let room = component.get_mut(at + name.len()..).and_then(|room| room.get_mut(..schema.len()));
    room.ok_or("the schema is too long")?.copy_from_slice(schema.as_bytes());
    Ok(component)
}

/// One honest connection beside those of the neighbour.
fn beside(server: &Server, tool: &str, arguments: &str, load: &Load) -> Done<One> {
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let connections = if tool.is_empty() { 0 } else { CONNECTIONS };
        let neighbours: Vec<_> = (0..connections)
            .map(|_| scope.spawn(|| keep_calling(&server.address, tool, arguments, &stop, &answered)))
            .collect();
        let figures = load.run(&server.address, &Call::modern("hello_echo"), &[server.id()]);
        let per_second = answered.load(Ordering::Relaxed) as f64 / (load.warm_up + load.time).as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        for neighbour in neighbours {
            neighbour.join().map_err(|_| "a neighbour broke off")??;
        }
        Ok(One { honest: figures?, neighbour_per_second: per_second })
    })
}

/// Calls the tool, whatever it answers, until it is time to stop.
fn keep_calling(address: &str, tool: &str, arguments: &str, stop: &AtomicBool, answered: &AtomicU64) -> Done<()> {
    let mut client = Client::connect(address)?;
    let (headers, body) = of_tool(tool, serde_json::from_str(arguments)?)?;
    while !stop.load(Ordering::Relaxed) {
        let answer = client.post("/mcp", &headers, &body)?;
        if !answer.is_success() {
            return Err(format!("the neighbour was not answered: {}", answer.text()).into());
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn chart(rows: &[Row]) -> Chart {
    let section = |title: &str, figure: fn(&Figures) -> u32| {
        let bars = rows.iter().map(|row| {
            let value = f64::from(figure(&row.honest));
            let kind = if matches!(row.neighbour, "nobody" | HONEST) { Kind::Floor } else { Kind::Ours };
            Bar {
                label: row.neighbour.to_owned(),
                note: String::new(),
                value,
                text: format!("{} µs", thousands(value)),
                kind,
            }
        });
        Section { title: title.to_owned(), bars: bars.collect() }
    };
    Chart {
        title: "An honest call beside a hostile neighbour".to_owned(),
        subtitle: format!("One connection beside {CONNECTIONS} of the neighbour, the house on one processor"),
        sections: vec![section("p50", |figures| figures.p50_us), section("p99", |figures| figures.p99_us)],
    }
}
