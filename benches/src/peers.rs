//! Who is compared: one table, and how each of them is started.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Done;
use crate::call::Call;
use crate::place::Place;
use crate::server::{Says, Server, free_address, pinned};

pub(crate) struct Peer {
    /// For `--only`, and in the file of results.
    pub key: &'static str,
    pub name: &'static str,
    /// What somebody who looks at the figure has to know about it.
    pub note: &'static str,
    start: fn(&Place) -> Done<Started>,
}

pub(crate) enum Started {
    Running(Running),
    /// It is not here, and why.
    Absent(String),
}

pub(crate) struct Running {
    pub server: Server,
    pub call: Call,
    /// What stands behind it, and works on the same processor.
    behind: Option<Server>,
}

/// The floor comes first: the others are measured against it.
pub(crate) const PEERS: [Peer; 10] = [
    Peer { key: "floor", name: "floor", note: "native hyper, nothing but the JSON", start: floor },
    Peer { key: "once", name: "Certosa", note: "a fresh cell for each call", start: |place| certosa(place, "once") },
    Peer {
        key: "serial",
        name: "Certosa, serial",
        note: "cells are used again",
        start: |place| certosa(place, "serial"),
    },
    Peer { key: "serve", name: "wasmtime serve", note: "as it comes", start: |place| wasmtime(place, &[]) },
    Peer {
        key: "tuned",
        name: "wasmtime serve, tuned",
        note: "pool kept resident",
        start: |place| wasmtime(place, &TUNED),
    },
    Peer {
        key: "reuse",
        name: "wasmtime serve, reuse",
        note: "tuned, instances used again",
        start: |place| wasmtime(place, &[&TUNED[..], &REUSE].concat()),
    },
    Peer { key: "workerd", name: "workerd", note: "JavaScript, one isolate", start: workerd },
    Peer { key: "typescript", name: "TypeScript SDK", note: "MCP server on Node.js", start: typescript },
    Peer { key: "python", name: "Python SDK", note: "MCP server on uvicorn", start: python },
    Peer { key: "proxy", name: "mcp-proxy", note: "gateway, the floor behind it", start: mcp_proxy },
];

/// What the house does too: see `host/isolate/src/pool.rs`.
const TUNED: [&str; 10] = [
    "-O",
    "pooling-allocator=y",
    "-O",
    "pooling-pagemap-scan=auto",
    "-O",
    "pooling-memory-keep-resident=2097152",
    "-O",
    "pooling-table-keep-resident=65536",
    "-O",
    "pooling-decommit-batch-size=16",
];
/// More than any round has calls, for each instance.
const REUSE: [&str; 1] = ["--max-instance-reuse-count=1000000000"];

const FIRST_ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

impl Peer {
    /// Starts it, and sees that it answers rightly.
    pub(crate) fn start(&self, place: &Place) -> Done<Started> {
        let started = (self.start)(place)?;
        if let Started::Running(running) = &started {
            eventually(|| running.call.once(&running.server.address))?;
        }
        Ok(started)
    }
}

impl Running {
    fn alone(server: Server, call: Call) -> Started {
        Started::Running(Self { server, call, behind: None })
    }

    /// All that works for it.
    pub(crate) fn processes(&self) -> Vec<u32> {
        [Some(&self.server), self.behind.as_ref()].into_iter().flatten().map(Server::id).collect()
    }
}

fn floor(place: &Place) -> Done<Started> {
    let server = Server::start(pinned(&place.bench()).arg("floor"))?;
    Ok(Running::alone(server, Call::modern("echo")))
}

fn certosa(place: &Place, reuse: &str) -> Done<Started> {
    let fields = format!("bundles = [{}]", hello("bundles/hello.wasm", reuse));
    let manifest = place.manifest(&format!("compare-{reuse}.capnp"), &fields)?;
    if !takes_reuse(place, &manifest)? {
        return Ok(Started::Absent(format!("the manifest does not take `reuse = {reuse}`")));
    }
    let server = Server::start(pinned(&place.certosa()).args(["serve", "-o", "json"]).arg(&manifest))?;
    Ok(Running::alone(server, Call::modern("hello_echo")))
}

/// How a manifest declares the bundle `hello` with this reuse of its cells.
pub(crate) fn hello(file: &str, reuse: &str) -> String {
    // The default, which older houses do not know by name.
    let field = if reuse == "once" { String::new() } else { format!(", reuse = {reuse}") };
    format!(r#"(name = "hello", file = "{file}"{field})"#)
}

/// Whether the house knows the reuse that this manifest wants; any other fault in it is an error.
pub(crate) fn takes_reuse(place: &Place, manifest: &Path) -> Done<bool> {
    let check = Command::new(place.certosa()).arg("check").arg(manifest).output()?;
    let said = String::from_utf8_lossy(&check.stdout) + String::from_utf8_lossy(&check.stderr);
    match check.status.success() {
        true => Ok(true),
        false if said.contains("'reuse'") => Ok(false),
        false => Err(said.into()),
    }
}

fn wasmtime(place: &Place, flags: &[&str]) -> Done<Started> {
    let program = place.peers().join("bin/wasmtime");
    let component = place.peers().join("wasi-http/wasm32-wasip2/release/echo.wasm");
    if let Some(absent) = missing(&[&program, &component]) {
        return Ok(absent);
    }
    let mut command = pinned(&program);
    command.args(["serve", "--addr", "127.0.0.1:0", "-S", "cli"]).args(flags).arg(component);
    Ok(Running::alone(Server::start_saying(&mut command, &Says::Url)?, Call::modern("echo")))
}

fn workerd(place: &Place) -> Done<Started> {
    let program = place.peers().join("node_modules/@cloudflare/workerd-linux-64/bin/workerd");
    if let Some(absent) = missing(&[&program]) {
        return Ok(absent);
    }
    // It says its port on a descriptor of its own, which is made the output here.
    let mut command = pinned(Path::new("sh"));
    command.args(["-c", r#"exec "$0" "$@" 3>&1 1>&2"#]).arg(program).arg("serve");
    command.arg(place.sources().join("workerd.capnp")).arg("--control-fd=3");
    Ok(Running::alone(Server::start(&mut command)?, Call::modern("echo")))
}

fn typescript(place: &Place) -> Done<Started> {
    let program = place.peers().join("node_modules/node/bin/node");
    if let Some(absent) = missing(&[&program, &place.peers().join("node_modules/@modelcontextprotocol/server")]) {
        return Ok(absent);
    }
    let server = Server::start(pinned(&program).arg(place.sources().join("typescript.mjs")).arg(place.peers()))?;
    Ok(Running::alone(server, Call::modern("echo")))
}

fn python(place: &Place) -> Done<Started> {
    let program = place.peers().join("venv/bin/python");
    if let Some(absent) = missing(&[&program]) {
        return Ok(absent);
    }
    let server = Server::start(pinned(&program).arg(place.sources().join("python.py")))?;
    Ok(Running::alone(server, Call::modern("echo")))
}

/// Speaks MCP 2025-11-25 on both sides, with a session for the client.
fn mcp_proxy(place: &Place) -> Done<Started> {
    let program = place.peers().join("bin/mcp-proxy");
    if let Some(absent) = missing(&[&program]) {
        return Ok(absent);
    }
    let behind = Server::start(pinned(&place.bench()).arg("floor"))?;
    let address = free_address()?;
    let (host, port) = address.split_once(':').ok_or("no port")?;
    let configuration = place.target.join("compare-proxy.toml");
    let url = format!("http://{}/mcp", behind.address);
    let text = format!(
        "[proxy]\nname = \"proxy\"\n\n[proxy.listen]\nhost = \"{host}\"\nport = {port}\n\n\
         [observability]\nlog_level = \"warn\"\n\n\
         [[backends]]\nname = \"floor\"\ntransport = \"http\"\nurl = \"{url}\"\n"
    );
    std::fs::write(&configuration, text)?;
    let mut command = pinned(&program);
    command.arg("--config").arg(configuration).stdout(Stdio::null());
    let server = Server::start_at(&mut command, &address)?;
    let call = eventually(|| Call::session(&address, "/", "floor/echo"))?;
    Ok(Started::Running(Running { server, call, behind: Some(behind) }))
}

fn missing(needed: &[&PathBuf]) -> Option<Started> {
    let path = needed.iter().find(|path| !path.exists())?;
    Some(Started::Absent(format!("{} is not there: `cargo xtask bench peers` installs it", path.display())))
}

/// Tries until it succeeds: a server that said where it listens may not answer at once.
fn eventually<T>(mut step: impl FnMut() -> Done<T>) -> Done<T> {
    let until = Instant::now() + FIRST_ANSWER_WAIT_MAX;
    loop {
        match step() {
            Err(error) if Instant::now() > until => return Err(error),
            Err(_) => sleep(Duration::from_millis(100)),
            done => return done,
        }
    }
}
