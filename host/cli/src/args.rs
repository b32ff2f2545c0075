use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::cmd::{call, check, completions, doctor, inspect, serve, stdio, tail, tools, vault};

/// Runs AI tools as WebAssembly components, each call in a cell of its own.
///
/// A house is declared in one manifest (Cap'n Proto text). Start with:
///
///   certosa check manifest.capnp           is everything right?
///   certosa serve manifest.capnp           answer MCP clients
///   certosa call hello_greet '{"name":"Ana"}'   try a tool without a server
///   certosa tail                           watch the calls
#[derive(Debug, Parser)]
#[command(name = "certosa", version, verbatim_doc_comment, after_help = EXIT_CODES)]
pub struct Args {
    /// How results are written: for people, or as one JSON value (one a line where there are several).
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// Say more on standard error: -v for debugging, -vv for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// How the log is written to standard error.
    #[arg(long, global = true, value_enum, default_value_t = Log::Text, value_name = "FORM")]
    pub log: Log,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Log {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Serve(serve::Serve),
    Check(check::Check),
    Tools(tools::Tools),
    Call(call::Call),
    Stdio(stdio::Stdio),
    Tail(tail::Tail),
    Inspect(inspect::Inspect),
    Vault(vault::VaultArgs),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
}

/// Which house.
#[derive(Debug, Clone, clap::Args)]
pub struct HouseArgs {
    /// The manifest.
    #[arg(value_name = "FILE", default_value = "manifest.capnp")]
    pub manifest: PathBuf,

    /// The folder for the cache and the records [default: .certosa beside the manifest].
    #[arg(long, value_name = "FOLDER")]
    pub state: Option<PathBuf>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the tool answered with an error
  2  the command line is wrong
  3  the manifest, or a component that it names, is wrong
  4  the call was refused: no such tool, wrong arguments, too many calls
  5  the call went past a limit or broke off
  6  this machine would not: a file, a port, the record log";
