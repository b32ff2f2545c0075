//! An honest tool beside a hostile one: one connection with small calls, and several that call a tool which spins,
//! allocates, hoards streams, floods its log or breaks off. House and neighbours have one processor, the clients the
//! other. What the honest tool has to bear is compared with what a neighbour costs that only does honest work.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Serialize;
use serde_json::json;

use crate::args::Args;
use crate::call::{Call, FIRST_ID, meta};
use crate::chart::{Bar, Chart, Kind, Section, thousands};
use crate::http::Client;
use crate::load::{Figures, Load};
use crate::place::Place;
use crate::server::{Server, pinned};
use crate::{Done, tell};

const CONNECTIONS: usize = 4;

/// What a neighbour does, the tool that does it, and its arguments.
const NEIGHBOURS: [(&str, &str, &str); 7] = [
    ("nobody", "", ""),
    ("honest", "hello_echo", r#"{"text":"the text of a neighbour"}"#),
    ("spinning", "probe_spin", "{}"),
    ("allocating", "probe_hoard", r#"{"mib":100}"#),
    ("hoarding streams", "probe_streams", r#"{"count":1000}"#),
    ("flooding its log", "probe_chatter", r#"{"count":10000}"#),
    ("breaking off", "probe_panic", "{}"),
];

#[derive(Serialize)]
struct Row {
    neighbour: &'static str,
    honest: Figures,
    /// Calls of the neighbour that were answered, in a second.
    neighbour_per_second: f64,
}

pub(crate) fn run(args: &Args, place: &Place) -> Done<()> {
    let fields = "bundles = [(name = \"hello\", file = \"bundles/hello.wasm\"), \
                  (name = \"probe\", file = \"bundles/probe.wasm\")]";
    let manifest = place.manifest("neighbours.capnp", fields)?;
    let (seconds, rounds) = (args.number("--seconds", 3)?, args.number("--rounds", 3)?);
    let mut rows = Vec::new();
    for (neighbour, tool, arguments) in NEIGHBOURS {
        let mut taken = Vec::new();
        for _ in 0..rounds {
            let mut command = pinned(&place.certosa());
            // What the neighbours leave in the log is not what is measured here.
            command.stderr(std::process::Stdio::null()).args(["serve", "-o", "json"]).arg(&manifest);
            let server = Server::start(&mut command)?;
            taken.push(beside(&server, tool, arguments, seconds)?);
            server.stop()?;
        }
        let honest: Vec<_> = taken.iter().map(|(figures, _)| *figures).collect();
        let neighbour_per_second = taken.iter().map(|(_, per_second)| per_second).sum::<f64>() / taken.len() as f64;
        let row = Row { neighbour, honest: Figures::median(&honest).ok_or("no round")?, neighbour_per_second };
        tell(&format!("{neighbour:<18} {}   neighbour {:>7.0}/s", row.honest, row.neighbour_per_second));
        rows.push(row);
    }
    let path = place.target.join("neighbours.json");
    std::fs::write(&path, serde_json::to_string_pretty(&rows)? + "\n")?;
    tell(&format!("written to {}", path.display()));
    if args.has("--draw") {
        let path = place.root.join("docs/figures/neighbours.svg");
        chart(&rows).draw(&path)?;
        tell(&format!("drawn to {}", path.display()));
    }
    Ok(())
}

/// One honest connection beside those of the neighbour.
fn beside(server: &Server, tool: &str, arguments: &str, seconds: u64) -> Done<(Figures, f64)> {
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let connections = if tool.is_empty() { 0 } else { CONNECTIONS };
        let neighbours: Vec<_> = (0..connections)
            .map(|_| scope.spawn(|| keep_calling(&server.address, tool, arguments, &stop, &answered)))
            .collect();
        let load = Load { connections: 1, seconds };
        let figures = load.run(&server.address, &Call::modern("hello_echo"), &[server.id()]);
        let per_second = answered.load(Ordering::Relaxed) as f64 / (seconds as f64 + 0.5);
        stop.store(true, Ordering::Relaxed);
        for neighbour in neighbours {
            neighbour.join().map_err(|_| "a neighbour broke off")??;
        }
        Ok((figures?, per_second))
    })
}

/// Calls the tool, whatever it answers, until it is time to stop.
fn keep_calling(address: &str, tool: &str, arguments: &str, stop: &AtomicBool, answered: &AtomicU64) -> Done<()> {
    let mut client = Client::connect(address)?;
    let arguments: serde_json::Value = serde_json::from_str(arguments)?;
    let mut params: serde_json::Value = serde_json::from_str(&format!("{{{}}}", meta()))?;
    let members = params.as_object_mut().ok_or("no object")?;
    members.extend([("name".to_owned(), tool.into()), ("arguments".to_owned(), arguments)]);
    let body = json!({"jsonrpc": "2.0", "id": FIRST_ID - 1, "method": "tools/call", "params": params}).to_string();
    let headers = format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n");
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
            let kind = if matches!(row.neighbour, "nobody" | "honest") { Kind::Floor } else { Kind::Ours };
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
