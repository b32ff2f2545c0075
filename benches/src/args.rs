//! What was asked for on the command line.

use std::str::FromStr;

use crate::Done;

pub(crate) struct Args(pub Vec<String>);

impl Args {
    pub(crate) fn of(args: &[&str]) -> Self {
        Self(args.iter().map(ToString::to_string).collect())
    }

    /// The value that follows `name`.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let place = self.0.iter().position(|arg| arg == name)?;
        self.0.get(place + 1).map(String::as_str)
    }

    pub(crate) fn number<N: FromStr>(&self, name: &str, default: N) -> Done<N> {
        self.text(name)
            .map_or(Ok(default), |value| value.parse().map_err(|_| format!("{name} {value}: no number").into()))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|arg| arg == name)
    }
}
