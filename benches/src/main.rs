//! The benches. What they load is `tools/call` of an echo tool through the whole MCP path of the shipped binary, with
//! its default limits, validation and records on; beside it, in the same run, the floor: a native hyper server that
//! parses the same JSON and answers the same bytes. Server and client are pinned to a processor each; rounds are
//! interleaved; ids are unique; anything but the right answer is a failure.

mod args;
mod call;
mod calls;
mod chart;
mod compare;
mod face;
mod floor;
mod http;
mod load;
mod peers;
mod place;
mod server;

use std::process::ExitCode;

use args::Args;
use place::Place;

type Done<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const HELP: &str = "\
certosa-bench [--connections N] [--seconds N] [--rounds N] [--no-load]

  Prints the time of a start, the memory of idle sessions, the time of a long list; then requests per second,
  p50, p99 and memory of the house and of the floor, and their ratio. --no-load leaves out the second part.

certosa-bench compare [--connections N] [--seconds N] [--rounds N] [--only NAME,...] [--draw]

  The same call on the floor, on the house and on the peers that `cargo xtask bench peers` installed. Writes
  target/compare.json; --draw also draws docs/figures/compare.svg.
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
    match args.0.first().map(String::as_str) {
        Some("floor") => floor::serve(),
        Some("compare") => compare::run(args, &place),
        Some("help" | "--help") => {
            tell(HELP.trim_end());
            Ok(())
        }
        _ => calls::run(args, &place),
    }
}

#[expect(clippy::print_stdout, reason = "telling is what this program does")]
fn tell(text: &str) {
    println!("{text}");
}
