//! Writing for people and for programs. A reader that has gone away is no error.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};

use certosa_manifest::Problem;
use tracing_subscriber::EnvFilter;

use crate::args::Log;

/// Writes a line to standard output.
pub fn say(line: &str) {
    let _reader_gone = say_if_heard(line);
}

/// Writes a line to standard output and says whether anybody reads it.
pub fn say_if_heard(line: &str) -> bool {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", harmless(line, out.is_terminal())).is_ok()
}

/// Writes a line to standard error.
pub fn complain(line: &str) {
    let mut out = io::stderr().lock();
    let _reader_gone = writeln!(out, "{}", harmless(line, out.is_terminal()));
}

/// Says what does not keep a house from opening.
pub fn warn(problem: &Problem) {
    complain(&format!("warning: {problem}"));
}

/// What tools and manifests say must not steer a terminal: on one, control characters are shown as such.
fn harmless(text: &str, on_terminal: bool) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !on_terminal || !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().map(|c| if steers(c) { c.escape_default().to_string() } else { c.to_string() });
    Cow::Owned(shown.collect())
}

/// The log goes to standard error.
pub fn start_log(verbose: u8, form: Log) {
    let level = match verbose {
        0 => "warn",
        1 => "warn,certosa=debug,certosa_gateway=debug,certosa_house=debug",
        // What the other side of HTTP/2 wrote, as it came, is nothing for a log.
        _ => "debug,h2=warn",
    };
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(level)).with_writer(io::stderr);
    match form {
        Log::Text => log.with_ansi(io::stderr().is_terminal()).with_target(false).init(),
        Log::Json => log.json().flatten_event(true).init(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_steers_the_terminal() {
        let text = "a\tb\n\u{1b}[31mred\u{9b}K";
        assert_eq!(harmless(text, true), "a\tb\n\\u{1b}[31mred\\u{9b}K");
        assert_eq!(harmless(text, false), text, "programs get what was said");
    }
}
