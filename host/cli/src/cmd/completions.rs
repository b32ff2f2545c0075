use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Args;
use crate::exit::Exit;

/// Prints a completion script for a shell.
///
///   certosa completions bash > /etc/bash_completion.d/certosa
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Completions {
    shell: Shell,
}

pub fn run(args: &Completions) -> anyhow::Result<Exit> {
    clap_complete::generate(args.shell, &mut Args::command(), "certosa", &mut std::io::stdout());
    Ok(Exit::Done)
}
