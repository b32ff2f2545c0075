//! Exit codes, and how errors are told. The codes are stable; `docs/cli.md` lists them.

use std::process::ExitCode;

use certosa_house::OpenError;
use certosa_manifest::{CompileError, Problem, Problems};
use certosa_vault::VaultError;

use crate::args::Output;
use crate::output;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    ToolError = 1,
    Wrong = 3,
    Refused = 4,
    Ended = 5,
    Machine = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Tells an error and picks its code.
pub fn report(error: &anyhow::Error, format: Output) -> Exit {
    match problems(error) {
        Some(problems) => {
            tell_problems(problems, format);
            Exit::Wrong
        }
        None => {
            let exit = code(error);
            let text = format!("{error:#}");
            match format {
                Output::Text => output::complain(&format!("error: {text}")),
                Output::Json => output::say(&serde_json::json!({ "error": text }).to_string()),
            }
            exit
        }
    }
}

/// What somebody asked for is not there, or does not go together.
#[derive(Debug)]
pub struct Refused(pub String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Most errors that are not about the manifest are about this machine.
fn code(error: &anyhow::Error) -> Exit {
    let refused = |cause: &(dyn std::error::Error + 'static)| {
        if cause.is::<Refused>() {
            return true;
        }
        let cause = cause.downcast_ref();
        matches!(
            cause,
            Some(VaultError::Absent(_) | VaultError::NoVersion(..) | VaultError::Conflict | VaultError::Seed(_))
        )
    };
    if error.chain().any(refused) { Exit::Refused } else { Exit::Machine }
}

fn problems(error: &anyhow::Error) -> Option<&Problems> {
    error.chain().find_map(|cause| {
        if let Some(OpenError::Manifest(problems)) = cause.downcast_ref() {
            return Some(problems);
        }
        if let Some(CompileError::Text(problems)) = cause.downcast_ref() {
            return Some(problems);
        }
        cause.downcast_ref()
    })
}

fn tell_problems(problems: &Problems, format: Output) {
    match format {
        Output::Json => output::say(&serde_json::json!({ "ok": false, "problems": problems }).to_string()),
        Output::Text => {
            output::complain(&problems.to_string());
            let several = |count: usize| if count == 1 { "1 problem".to_owned() } else { format!("{count} problems") };
            output::complain(&format!(
                "\n{}; nothing was started",
                several(problems.iter().collect::<Vec<&Problem>>().len())
            ));
        }
    }
}
