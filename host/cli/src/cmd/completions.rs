use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Args;
use crate::exit::Exit;
use crate::output;

/// Prints a completion script for a shell.
///
///   certosa completions bash > /etc/bash_completion.d/certosa
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Completions {
    shell: Shell,
}

pub fn run(args: &Completions) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "certosa", &mut script);
    output::say(String::from_utf8_lossy(&script).trim_end());
    Ok(Exit::Done)
}
