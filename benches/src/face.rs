//! What the face costs beyond calls: a long list, and clients that have a session and do nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::call::{initialize, meta};
use crate::http::Client;
use crate::place::Place;
use crate::server::{Server, pinned};
use crate::{Done, tell};

const TOOLS: usize = 1_000;
const SESSIONS: usize = 1_000;
const LISTS: usize = 200;

/// `tools/list` over 1,000 tools of many bundles, all pages on one connection.
pub(crate) fn lists(place: &Place) -> Done<()> {
    // hello has three tools.
    let bundle = |number| format!(r#"(name = "h{number:03}", file = "bundles/hello.wasm")"#);
    let bundles: Vec<_> = (0..TOOLS.div_ceil(3)).map(bundle).collect();
    let manifest = place.manifest("bench-list.capnp", &format!("bundles = [{}]", bundles.join(",\n")))?;
    let server = Server::start(pinned(&place.certosa()).args(["serve", "-o", "json"]).arg(&manifest))?;
    let mut client = Client::connect(&server.address)?;
    let (mut times, mut tools, mut pages) = (Vec::new(), 0, 0);
    for _ in 0..LISTS {
        let started = Instant::now();
        (tools, pages) = (0, 0);
        let mut cursor = String::new();
        loop {
            let answer = list(&mut client, &cursor)?;
            pages += 1;
            tools += answer.matches(r#""inputSchema""#).count();
            match answer.split_once(r#""nextCursor":""#) {
                Some((_, rest)) => cursor = rest.split('"').next().unwrap_or_default().to_owned(),
                None => break,
            }
        }
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let median = times.get(LISTS / 2).copied().unwrap_or_default();
    let us = median.as_micros();
    tell(&format!(
        "tools/list of {tools} tools in {pages} pages {us} µs (median of {LISTS}, the client's reading included)"
    ));
    Ok(())
}

/// Memory of 1,000 idle sessions, first without and then with a stream for each.
pub(crate) fn sessions(place: &Place, manifest: &Path) -> Done<()> {
    let server = Server::start(pinned(&place.certosa()).args(["serve", "-o", "json"]).arg(manifest))?;
    let mut first = Client::connect(&server.address)?;
    list(&mut first, "")?;
    let before = server.resident_kib()?;
    let mut ids = Vec::new();
    for _ in 0..SESSIONS {
        ids.push(initialize(&mut first, "/mcp")?);
    }
    let sessions = server.resident_kib()?;
    let mut streams = Vec::new();
    for id in &ids {
        let mut client = Client::connect(&server.address)?;
        client.listen("/mcp", &format!("Mcp-Session-Id: {id}\r\n"))?;
        streams.push(client);
    }
    std::thread::sleep(Duration::from_millis(300));
    let with_streams = server.resident_kib()?;
    tell(&format!(
        "{SESSIONS} idle sessions {:.1} MiB; each with an open stream {:.1} MiB",
        mib(sessions - before),
        mib(with_streams - before)
    ));
    Ok(())
}

fn mib(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}

fn list(client: &mut Client, cursor: &str) -> Done<String> {
    let cursor = if cursor.is_empty() { String::new() } else { format!(r#""cursor":"{cursor}","#) };
    let meta = meta();
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{cursor}{meta}}}}}"#);
    let headers = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n";
    Ok(String::from_utf8(client.post("/mcp", headers, &body)?.body)?)
}
