//! Writing for people and for programs. A reader that has gone away is no error.

use std::io::{self, IsTerminal as _, Write as _};

use tracing_subscriber::EnvFilter;

/// Writes a line to standard output.
pub fn say(line: &str) {
    let _reader_gone = writeln!(io::stdout().lock(), "{line}");
}

/// Writes a line to standard error.
pub fn complain(line: &str) {
    let _reader_gone = writeln!(io::stderr().lock(), "{line}");
}

/// The log goes to standard error.
pub fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "warn,certosa=debug,certosa_gateway=debug,certosa_house=debug",
        _ => "debug",
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
}
