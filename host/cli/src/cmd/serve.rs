use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use certosa_gateway::Server;
use certosa_house::House;
use certosa_mcp::Face;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{HouseArgs, Output};
use crate::exit::Exit;
use crate::{opening, output, telemetry};

/// Opens the house and answers MCP clients until it is told to stop (Ctrl-C, SIGTERM).
///
/// Running calls get `drainMsMax` to finish; a second signal ends them at once. `/health` says that the
/// process answers, `/ready` whether it takes calls and if not, why.
#[derive(Debug, clap::Args)]
pub struct Serve {
    #[command(flatten)]
    house: HouseArgs,
}

/// A cell gives way at least every millisecond, so dropping all of them takes no longer than this.
const DROP_MAX: Duration = Duration::from_secs(5);

pub fn run(args: &Serve, format: Output) -> anyhow::Result<Exit> {
    raise_file_limit();
    let runtime = opening::runtime()?;
    let (house, finished) = runtime.block_on(async {
        let house = Arc::new(opening::open(opening::check(&args.house)?).await?);
        let traces = telemetry::start(&house)?;
        let face = Arc::new(Face::new(Arc::clone(&house)).context("no random numbers")?);
        tokio::spawn(Arc::clone(&face).follow());
        let kept = Arc::clone(&house);
        tokio::spawn(async move { kept.follow_vault().await });
        let server = Server::bind(Arc::clone(&house), face).await?;
        announce(&house, &server, format);
        let finished = server.run(stop_signal()?).await;
        house.note_uses().await;
        traces.close().await;
        anyhow::Ok((house, finished))
    })?;
    // Whatever is still running is dropped, and recorded as cancelled, before the log is closed.
    runtime.shutdown_timeout(DROP_MAX);
    house.close()?;
    if finished {
        return Ok(Exit::Done);
    }
    output::complain("some calls did not finish within drainMsMax and were ended");
    Ok(Exit::Ended)
}

fn announce(house: &House, server: &Server, format: Output) {
    let facts = house.facts();
    let address = server.address();
    let scheme = if house.plan().tls.is_some() { "https" } else { "http" };
    let urls: Vec<String> = house.routes().map(|route| format!("{scheme}://{address}{}", route.plan().path)).collect();
    if format == Output::Json {
        let line = serde_json::json!({ "address": address.to_string(), "routes": urls, "house": facts });
        return output::say(&line.to_string());
    }
    let (version, bundles, tools) = (env!("CARGO_PKG_VERSION"), facts.bundles, facts.tools);
    let (prompts, resources) = (facts.prompts, facts.resources);
    output::say(&format!(
        "certosa {version}: {bundles} bundles, {tools} tools, {prompts} prompts, {resources} resources"
    ));
    house.warnings().iter().chain(house.notes()).for_each(output::warn);
    for url in &urls {
        output::say(&format!("  answering  {url}"));
    }
    output::say("  callers    anonymous: every program on this machine may use these tools");
    output::say("  records    unsigned, one line a call, in the state folder: watch them with `certosa tail`");
    output::say(&format!("  metrics    {scheme}://{address}/metrics"));
    if !facts.pool.pagemap_scan {
        output::say("  note       this kernel has no PAGEMAP_SCAN (Linux 6.7): cells start somewhat slower");
    }
}

/// Comes back at the first signal to stop. The second one ends the process.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let next = async |terminate: &mut tokio::signal::unix::Signal, interrupt: &mut tokio::signal::unix::Signal| {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        next(&mut terminate, &mut interrupt).await;
        output::complain("closing: running calls may finish; a second signal ends them");
        tokio::spawn(async move {
            next(&mut terminate, &mut interrupt).await;
            std::process::exit(Exit::Machine as i32);
        });
    })
}

/// A connection is a file descriptor, and the usual soft limit of 1,024 is less than `connectionsMax`.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _stays_as_it_is = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
