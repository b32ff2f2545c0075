//! The benches. What they load is `tools/call` of an echo tool through the whole MCP path of the shipped binary, with
//! its default limits, validation and records on; beside it, in the same run, the floor: a native hyper server that
//! parses the same JSON and answers the same bytes. Server and client are pinned to a processor each; rounds are
//! interleaved; ids are unique; anything but the right answer is a failure.

mod args;
mod call;
mod calls;
mod cell;
mod chart;
mod compare;
mod density;
mod face;
mod floor;
mod http;
mod instructions;
mod load;
mod neighbours;
mod outbound;
mod peers;
mod place;
mod server;
mod threads;
mod train;

use std::process::ExitCode;

use args::Args;
use place::Place;

/// The one that the house has, so that the floor is not lower for want of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Done<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const HELP: &str = "\
certosa-bench [--connections N] [--round-ms N] [--rounds N] [--no-load]

  Prints the time of a start, the memory of idle sessions, the time of a long list; then requests per second,
  p50, p99 and memory of the house and of the floor, and their ratio. --no-load leaves out the second part.

certosa-bench compare [--connections N] [--round-ms N] [--rounds N] [--only NAME,...] [--draw]

  The same call on the floor, on the house and on the peers that `cargo xtask bench peers` installed. Writes
  target/compare.json; --draw also draws docs/figures/compare.svg.

certosa-bench cell

  The same call without a face: in this process, in a cell, through the house and through MCP; on one thread and
  on two.

certosa-bench density [--sizes N,...] [--draw]

  Memory, first and second call and start of houses of so many bundles. Writes target/density.json; --draw also
  draws docs/figures/density.svg. The first time the components have to be compiled, one after the other.

certosa-bench neighbours [--round-ms N] [--rounds N] [--draw]

  p50 and p99 of an honest tool beside one that spins, works in pieces, allocates, hoards streams, floods its log
  or breaks off. Writes target/neighbours.json; --draw also draws docs/figures/neighbours.svg.

certosa-bench outbound [--round-ms N] [--rounds N] [--draw]

  Requests that go out with a credential: by a plain hyper client, by egress alone and by a bundle in a house.
  Writes target/outbound.json; --draw also draws docs/figures/outbound.svg.

certosa-bench instructions [--check | --write]

  Instructions of the server for each call, which nothing else on the machine moves. Needs valgrind. --check fails
  when one is more than 5 % above benches/budget.json, --write makes what came out the budget. The profiles are in
  target/instructions, for callgrind_annotate.

certosa-bench train

  What a house does all day, for `cargo xtask dist`, which optimises by what a house that counts has counted.
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&Args(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("certosa-bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Done<()> {
    let place = Place::of_this_program()?;
    if args.0.first().is_some_and(|name| name == "floor") {
        return floor::serve();
    }
    let result = take(args, &place);
    // A bench makes millions of them, even if it ends half-way.
    place.remove_records()?;
    result
}

fn take(args: &Args, place: &Place) -> Done<()> {
    match args.0.first().map(String::as_str) {
        Some("cell") => cell::run(place),
        Some("compare") => compare::run(args, place),
        Some("density") => density::run(args, place),
        Some("neighbours") => neighbours::run(args, place),
        Some("instructions") => instructions::run(args, place),
        Some("outbound") => outbound::run(args, place),
        Some("train") => train::run(place),
        Some("help" | "--help") => {
            tell(HELP.trim_end());
            Ok(())
        }
        _ => calls::run(args, place),
    }
}

#[expect(clippy::print_stdout, reason = "telling is what this program does")]
fn tell(text: &str) {
    println!("{text}");
}
