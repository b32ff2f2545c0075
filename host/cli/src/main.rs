//! The binary `certosa`. It joins the parts and does not think.

mod args;
mod bridge;
mod cmd;
mod exit;
mod keys;
mod lines;
mod opening;
mod output;
mod telemetry;
mod words;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Command, Output};

/// A call makes and frees some hundred small things; with glibc's allocator it took about 5 % longer
/// (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The compilers run in children of this very binary; see `certosa-confine`.
    if let Some(code) = opening::child_task() {
        return code;
    }
    keep_memory_private();
    let args = Args::parse();
    output::start_log(args.verbose, args.log);
    let ended = match &args.command {
        Command::Serve(serve) => cmd::serve::run(serve, args.output),
        Command::Check(check) => cmd::check::run(check, args.output),
        Command::Tools(tools) => cmd::tools::run(tools, args.output),
        Command::Call(call) => cmd::call::run(call, args.output),
        Command::Stdio(stdio) => cmd::stdio::run(stdio),
        Command::Tail(tail) => cmd::tail::run(tail, args.output),
        Command::Inspect(inspect) => cmd::inspect::run(inspect, args.output),
        Command::Vault(vault) => cmd::vault::run(vault, args.output),
        Command::Doctor(doctor) => cmd::doctor::run(doctor, args.output),
        Command::Completions(completions) => cmd::completions::run(completions),
    };
    match ended {
        Ok(code) => code.into(),
        // Standard output of `stdio` is for messages alone.
        Err(error) if matches!(args.command, Command::Stdio(_)) => exit::report(&error, Output::Text).into(),
        Err(error) => exit::report(&error, args.output).into(),
    }
}

/// A process that holds keys leaves no image of its memory, and nobody but the administrator looks into it.
fn keep_memory_private() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    // Where this is refused nothing is weaker than without it.
    let _refused = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _refused = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

#[cfg(test)]
mod tests {
    use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

    #[test]
    fn memory_is_private() {
        super::keep_memory_private();
        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
        assert_eq!(dumpable_behavior().ok(), Some(DumpableBehavior::NotDumpable));
    }
}
